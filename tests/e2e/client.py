"""client.py - pretend clients: raw bytes out, replies read strictly."""
import socket
import struct
import time

from wire import Closed, Stream

PATIENCE = 10                             # seconds; nothing in these tests takes that long unless it hangs


def until(what, patience=PATIENCE):
    """What it says as soon as that is something."""
    end = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < end
        time.sleep(0.002)
    return found


def request(method="GET", target="/", *fields, host="h.example", body=None, chunks=None, trailers=(), version="1.1"):
    """The bytes of a request. fields: "Name: value"; body: sent with Content-Length; chunks: sent chunked."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += fields
    if chunks is not None:
        lines.append("Transfer-Encoding: chunked")
    elif body is not None:
        lines.append(f"Content-Length: {len(body)}")
    out = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if chunks is not None:
        return out + chunked(chunks, trailers)
    return out + (body or b"")


def chunked(chunks, trailers=()):
    out = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)
    return out + b"0\r\n" + b"".join(t.encode() + b"\r\n" for t in trailers) + b"\r\n"


class Client(Stream):
    def __init__(self, address, receive_buffer=0, source=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        sock = socket.socket(family)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            sock.bind((source, 0))
        sock.settimeout(PATIENCE)
        try:
            sock.connect(address)
        except OSError:
            sock.close()
            raise
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def drip(self, data):
        """Byte by byte. The peer may answer and close before the last one."""
        try:
            for i in range(len(data)):
                self.sock.send(data[i:i + 1])
        except (BrokenPipeError, ConnectionResetError):
            pass

    def read(self, method="GET"):
        """One reply, its 1xx collected in .informational."""
        informational = []
        while True:
            r = self.reply_head()
            self.reply_body(r, method)
            if r.status >= 200 or r.status == 101:
                r.informational = informational
                return r
            informational.append(r)

    def ask(self, method="GET", target="/", *fields, **more):
        self.send(request(method, target, *fields, **more))
        return self.read(method)

    def ended(self, patience=PATIENCE):
        """True: the peer has closed (b"" or reset), and nothing else came."""
        self.sock.settimeout(patience)
        try:
            return not self.ahead and self.sock.recv(1) == b""
        except ConnectionResetError:
            return True
        except (socket.timeout, TimeoutError):
            return False
        finally:
            if self.sock.fileno() >= 0:
                self.sock.settimeout(PATIENCE)

    def silent(self, seconds=0.15):
        """True: for so long nothing came, not even the end."""
        self.sock.settimeout(seconds)
        try:
            self.more()
            return False
        except (socket.timeout, TimeoutError):
            return True
        except (Closed, ConnectionResetError):
            return False
        finally:
            self.sock.settimeout(PATIENCE)

    def end(self):
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self):
        self.sock.close()
