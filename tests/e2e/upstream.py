"""upstream.py - a scripted upstream on a real socket. A behaviour is a function (call, request): it gets the request once its head
was read and does what it likes with the connection. `up.on[path]` picks one, then `up.script` (used up one by one), then `up.default`.

Everything received is kept, and read strictly: bytes that are not a clean HTTP/1 request make the test fail (Upstream.check).
"""
import os
import socket
import struct
import threading
import time

from client import PATIENCE, chunked
from ports import free_port
from wire import Closed, Malformed, Stream


class Hangup(Exception):
    """Ends the connection from within a behaviour."""


class Call(Stream):
    """One connection, as a behaviour sees it."""

    def __init__(self, up, sock, number):
        super().__init__(sock)
        self.up, self.number = up, number

    def send(self, data):
        self.sock.sendall(data)

    def body(self, q):
        if not q.over:
            self.request_body(q)
        return q.body

    def close(self):
        raise Hangup

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()
        raise Hangup


# ── behaviours ──

def head(status=200, *fields, reason="OK", version="1.1"):
    return "\r\n".join([f"HTTP/{version} {status} {reason}", *fields]).encode("latin-1") + b"\r\n\r\n"


def reply(body=b"hello", status=200, *fields, delay=0.0):
    body = body.encode() if isinstance(body, str) else body

    def behave(call, q):
        call.body(q)
        if delay:
            time.sleep(delay)
        framing = [] if status in (204, 304) else [f"Content-Length: {len(body)}"]
        call.send(head(status, *fields, *framing) + (b"" if q.method == "HEAD" or status in (204, 304) else body))
    return behave


def raw(data, close=False, delay=0.0):
    def behave(call, q):
        call.body(q)
        if delay:
            time.sleep(delay)
        call.send(data)
        if close:
            call.close()
    return behave


def chunks(parts, *fields, trailers=(), pause=0.0):
    def behave(call, q):
        call.body(q)
        call.send(head(200, "Transfer-Encoding: chunked", *fields))
        for p in parts:
            call.send(b"%x\r\n%s\r\n" % (len(p), p))
            if pause:
                time.sleep(pause)
        call.send(chunked([], trailers))
    return behave


def echo(call, q):
    """Answers with the body it got, framed the way it came."""
    call.body(q)
    if q.fields.get("transfer-encoding"):
        call.send(head(200, "Transfer-Encoding: chunked") + chunked([q.body] if q.body else [], [f"{n}: {v}" for n, v in q.trailers]))
    else:
        call.send(head(200, f"Content-Length: {len(q.body)}") + q.body)


def hang(call, q):
    """Never answers; ends with the connection."""
    call.body(q)
    call.rest()
    call.close()


def hangup(call, q):
    call.close()


def reset(call, q):
    call.reset()


def tunnel(token="websocket", *fields, greet=b""):
    """Switches protocols and echoes, in capitals, until the client's end; then says bye and ends."""
    def behave(call, q):
        call.send(head(101, f"Upgrade: {token}", "Connection: upgrade", *fields, reason="Switching Protocols") + greet)
        try:
            while True:
                if call.ahead:
                    data, call.ahead = call.ahead, b""
                    call.send(data.upper())
                call.more()
        except Closed:
            call.send(b"BYE")
        call.close()
    return behave


class Upstream:
    def __init__(self, address=None, default=None):
        self.address, self.default = address, default or reply()
        self.on, self.script = {}, []
        self.requests, self.connections, self.errors = [], [], []
        self.lock, self.listening, self.alive = threading.Lock(), None, set()
        self.start()

    # ── life ──

    def start(self):
        address = self.address or ("127.0.0.1", free_port())
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        if family == socket.AF_UNIX and os.path.exists(address):
            os.unlink(address)
        listening = socket.socket(family)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(1024)
        self.listening, self.address = listening, listening.getsockname()[:2] if family != socket.AF_UNIX else address
        threading.Thread(target=self.accept, args=(listening,), daemon=True).start()

    def stop(self):
        """As when the process is killed: no listener, every connection reset."""
        listening, self.listening = self.listening, None
        if listening:
            listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        self.hang_up_all()

    def hang_up_all(self):
        with self.lock:
            alive = list(self.alive)
        for call in alive:
            try:
                call.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    @property
    def url(self):
        if isinstance(self.address, str):
            return f"unix:{self.address}"
        host, port = self.address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def name(self):
        return self.url.replace("http://", "")

    # ── work ──

    def accept(self, listening):
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            sock.settimeout(PATIENCE * 3)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                call = Call(self, sock, len(self.connections))
                self.connections.append(call)
                self.alive.add(call)
            threading.Thread(target=self.serve, args=(call,), daemon=True).start()

    def pick(self, q):
        with self.lock:
            path = q.target.split("?")[0]
            if path in self.on:
                return self.on[path]
            return self.script.pop(0) if self.script else self.default

    def serve(self, call):
        try:
            while True:
                if not call.ahead:
                    call.more()
                q = call.request_head()
                q.connection = call.number
                with self.lock:
                    self.requests.append(q)
                self.pick(q)(call, q)
                call.body(q)
        except (Closed, Hangup, OSError):
            pass
        except Malformed as e:
            self.errors.append(f"connection {call.number}: {e}; all of it: {bytes(call.raw[:4000])!r}")
        finally:
            with self.lock:
                self.alive.discard(call)
            call.sock.close()

    # ── what came ──

    def wait_for(self, count, patience=PATIENCE):
        """Waits until so many requests came."""
        end = time.monotonic() + patience
        while len(self.requests) < count:
            assert time.monotonic() < end, f"{len(self.requests)} of {count} requests came: {self.requests}"
            time.sleep(0.002)
        return self.requests

    @property
    def last(self):
        return self.requests[-1]

    def forget(self):
        with self.lock:
            self.requests.clear()

    def check(self):
        assert not self.errors, self.errors
