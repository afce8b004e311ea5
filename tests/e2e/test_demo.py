"""test_demo.py - `outrigger demo` as a stranger meets it: what its page promises is what happens, and what is in its way is said.

The demo's upstream is a server of its own kind (streams, faults, a WebSocket), so this is also where streams are tested against something
that is not Python.
"""
import base64
import hashlib
import os
import socket
import struct
import subprocess
import time

import pytest

from client import Client, request
from ports import free_port
from proxy import BIN, Outrigger, environment, run, sanitized
from wire import Closed

SANITIZED = sanitized()                                           # their memory tells nothing about ours
STREAMED = (64 if SANITIZED else 1024) << 20


class Demo(Outrigger):
    def ports(self):
        self.port, self.admin_port, self.app_port = free_port(), free_port(), free_port()
        self.file, self.text = None, "(conf/demo.yaml)"

    def start(self, wait):
        self.out_file, self.err_file = self.tmp / f"out-{self.port}", self.tmp / f"err-{self.port}"
        words = ["--set", f"listen=127.0.0.1:{self.port}", "--set", f"admin.listen=127.0.0.1:{self.admin_port}",
                 "--set", f"upstreams.demo.endpoints=http://127.0.0.1:{self.app_port}", *self.words]
        with open(self.out_file, "wb") as out, open(self.err_file, "wb") as err:
            self.process = subprocess.Popen([BIN, "demo", *words], stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                            env=environment(), cwd=self.tmp)      # no conf/ there: it is in the binary
        return not wait or self.ready()


@pytest.fixture(scope="module")
def demo(shared_rig):
    shared_rig.proxies.append(Demo(shared_rig.tmp, {}))
    return shared_rig.proxies[-1]


# ── pages ──

def test_says_what_to_try(demo):
    said = demo.out_file.read_text()
    assert f"http://localhost:{demo.port}/slow?ms=3000" in said and str(demo.admin_port) in said and str(demo.app_port) in said


def test_page(demo):
    host = f"127.0.0.1:{demo.port}"
    text = demo.ask(host=host)
    assert text.status == 200 and text.fields.get("content-type").startswith("text/plain")
    assert f"{host}/slow?ms=3000".encode() in text.body and b"8080" not in text.body.replace(host.encode(), b"")
    html = demo.ask("GET", "/", "Accept: text/html,*/*;q=0.8")
    assert html.fields.get("content-type").startswith("text/html") and html.body.startswith(b"<!doctype html>")


@pytest.mark.parametrize("target, status", [
    ("/hello", 200), ("/status/200", 200), ("/status/204", 204), ("/status/304", 304), ("/status/418", 418), ("/status/599", 599),
    ("/status/100", 400), ("/status/600", 400), ("/status/x", 400), ("/safe/status/500", 200), ("/nothing", 404), ("/slow?ms=1", 200),
    ("/slow?ms=-1", 400), ("/slow?ms=99999999999999999999", 400), ("/big?size=-1", 400), ("/big?size=99999999999GiB", 400),
    ("/big?size=0", 200), ("/flaky?fail=101%25", 400), ("/flaky?fail=0", 200), ("/down?for=x", 400),
])
def test_statuses(demo, target, status):
    assert demo.ask("GET", target).status == status


@pytest.mark.parametrize("target", ["/", "/big?size=1GiB", "/sse", "/echo", "/slow?ms=1"])
def test_head(demo, target):
    with demo.client() as c:
        assert c.ask("HEAD", target).status == 200
        assert c.ask("GET", "/hello").status == 200    # nothing came behind it


def test_slow_is_cut_off(demo):
    began = time.monotonic()
    r = demo.ask("GET", "/slow?ms=3000", "Accept: application/json")
    assert r.status == 504 and r.json()["reason"] == "deadline_exceeded" and 1.9 < time.monotonic() - began < 2.9


# ── faults ──

def share_of_failures(demo, target, n):
    with demo.client() as c:
        return sum(c.ask("GET", target).status != 200 for _ in range(n)) / n


def test_retries_take_failures_away(demo):
    """Within five standard deviations: 30% bare, 2.7% of what is tried three times. (Resets that looked like the close of an idle connection
    would be repaired for free, and 22% be left of the 30.)"""
    assert abs(share_of_failures(demo, "/bare/flaky?fail=30%", 2500) - 0.3) < 5 * (0.3 * 0.7 / 2500) ** 0.5
    assert share_of_failures(demo, "/flaky?fail=30%", 400) < 0.027 + 5 * (0.027 * 0.973 / 400) ** 0.5


def test_both_kinds_of_failure(demo):
    with demo.client() as c:
        replies = [c.ask("GET", "/bare/flaky?fail=100%", "Accept: application/json") for _ in range(40)]
    assert {r.status for r in replies} == {502, 503}
    assert {r.json()["reason"] for r in replies if r.status == 502} == {"upstream_reset"}


def test_down(rig, tmp_path):
    rig.proxies.append(Demo(tmp_path, {}))
    demo = rig.proxies[-1]
    assert demo.ask("GET", "/down?for=700ms").status == 200
    assert demo.ask("GET", "/").status == 200
    assert demo.ask("GET", "/status/200").status == 502
    with Client(("127.0.0.1", demo.app_port)) as c:     # the app itself: dead, not merely rude
        c.send(request("GET", "/echo"))
        with pytest.raises((ConnectionResetError, Closed)):
            c.read()
    safe = demo.ask("GET", "/safe/status/200")
    assert safe.status == 200 and b"this is what outrigger has instead" in safe.body
    time.sleep(0.8)
    assert demo.ask("GET", "/status/200").body == b"as you wished\n"


# ── streams ──

def test_echo(demo):
    with demo.client() as c:
        r = c.ask("POST", "/echo?a=1", "X-Mine: yes", body=b"the body")
        assert r.body.startswith(b"POST /echo?a=1 HTTP/1.1\n") and b"X-Mine: yes\n" in r.body and r.body.endswith(b"\n\nthe body")
        assert c.ask("PUT", "/echo", chunks=[b"in", b"pieces"]).body.endswith(b"\n\ninpieces")
        assert c.ask("GET", "/echo").status == 200


def test_events_come_one_by_one(demo):
    with demo.client() as c:
        c.send(request("GET", "/sse"))
        assert c.reply_head().fields.get("content-type") == "text/event-stream"
        at = []
        for n in (1, 2, 3):
            while b"\n\n" not in c.ahead:
                c.more()
            at.append(time.monotonic())
            event, c.ahead = c.ahead.split(b"\n\n", 1)
            assert b"id: %d\n" % n in event and b'data: {"n":%d,' % n in event
    assert all(0.7 < later - earlier < 1.6 for earlier, later in zip(at, at[1:])), at


def settled(demo):
    """Memory after each path has been walked once."""
    demo.ask("GET", "/big?size=8MiB")
    demo.ask("POST", "/upload", body=bytes(8 << 20))
    demo.ask("POST", "/upload", chunks=[bytes(1 << 20)] * 8)
    return demo.rss()


def grew(demo, before):
    return 0 if SANITIZED else demo.rss() - before


def test_a_gibibyte_down_in_constant_memory(demo):
    before = settled(demo)
    with demo.client() as c:
        c.send(request("GET", f"/big?size={STREAMED}"))
        assert c.reply_head().fields.get("content-length") == str(STREAMED)
        left, place = STREAMED - len(c.ahead), memoryview(bytearray(1 << 20))
        while left:
            n = c.sock.recv_into(place, min(left, 1 << 20))
            assert n, f"{left} bytes are missing"
            left -= n
    assert grew(demo, before) < 4 << 20


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_gibibyte_up_in_constant_memory(demo, framing):
    before = settled(demo)
    piece = os.urandom(1 << 20)
    with demo.client() as c:
        how = f"Content-Length: {STREAMED}" if framing == "length" else "Transfer-Encoding: chunked"
        c.send(request("POST", "/upload", how))
        for _ in range(STREAMED >> 20):
            c.send(piece if framing == "length" else b"100000\r\n" + piece + b"\r\n")
        if framing == "chunked":
            c.send(b"0\r\n\r\n")
        assert c.read().body == b"%d bytes came in\n" % STREAMED
    assert grew(demo, before) < 4 << 20


def test_echo_waits_for_its_reader(demo):
    """Neither the app nor the proxy holds what nobody reads. (The kernel does: up to 36 MiB on each of three hops, as Linux is set up.)"""
    before, sent = settled(demo), 0
    with demo.client(receive_buffer=4096) as c:
        c.send(request("POST", "/echo", f"Content-Length: {1 << 30}"))
        c.sock.settimeout(0.7)
        with pytest.raises((socket.timeout, TimeoutError)):
            while sent < 1 << 30:
                sent += c.sock.send(bytes(65536))
    assert sent < 256 << 20 and grew(demo, before) < 4 << 20


# ── WebSocket ──

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class WebSocket(Client):
    """The client's half of RFC 6455, enough to be rude with."""

    def __init__(self, address, target="/echo"):
        super().__init__(address)
        key = base64.b64encode(os.urandom(16)).decode()
        self.send(request("GET", target, "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"))
        r = self.reply_head()
        assert r.status == 101, r
        digest = hashlib.sha1(key.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        assert r.fields.get("sec-websocket-accept") == base64.b64encode(digest).decode()

    @staticmethod
    def frame(op, payload=b"", fin=True, mask=True, reserved=0):
        n = len(payload)
        length = bytes([n]) if n < 126 else b"\x7e" + struct.pack(">H", n) if n < 65536 else b"\x7f" + struct.pack(">Q", n)
        first = bytes([fin << 7 | reserved << 4 | op])
        if not mask:
            return first + length + payload
        key = os.urandom(4)
        masked = (int.from_bytes(payload, "big") ^ int.from_bytes((key * (n // 4 + 1))[:n], "big")).to_bytes(n, "big")
        return first + bytes([length[0] | 0x80]) + length[1:] + key + masked

    def say(self, *args, **more):
        self.send(self.frame(*args, **more))

    def hear(self):
        """(op, fin, payload) of one frame, which must not be masked and be no longer than it needs to be."""
        first, n = self.exactly(2)
        assert not first & 0x70 and n < 128
        if n == 126:
            n, = struct.unpack(">H", self.exactly(2))
            assert n > 125
        elif n == 127:
            n, = struct.unpack(">Q", self.exactly(8))
            assert n > 65535
        return first & 15, bool(first & 0x80), self.exactly(n)


@pytest.fixture
def ws(demo):
    with WebSocket(("127.0.0.1", demo.port)) as w:
        yield w


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 3 << 20])
def test_websocket_sizes(ws, size):
    payload = os.urandom(size)
    ws.say(BINARY, payload)
    assert ws.hear() == (BINARY, True, payload)


def test_websocket_byte_by_byte(ws):
    ws.drip(ws.frame(TEXT, b"slowly") + ws.frame(PING, b"p") + ws.frame(TEXT, bytes(200)))
    assert [ws.hear() for _ in range(3)] == [(TEXT, True, b"slowly"), (PONG, True, b"p"), (TEXT, True, bytes(200))]


def test_websocket_fragments_with_a_ping_between(ws):
    ws.send(ws.frame(TEXT, b"one ", fin=False) + ws.frame(PING, b"are you there") + ws.frame(0, b"two ", fin=False) + ws.frame(0, b"three"))
    assert ws.hear() == (TEXT, False, b"one ")
    assert ws.hear() == (PONG, True, b"are you there")
    assert ws.hear() == (0, False, b"two ")
    assert ws.hear() == (0, True, b"three")
    ws.say(PONG, b"nobody asked")
    ws.say(TEXT, b"still here")
    assert ws.hear() == (TEXT, True, b"still here")


@pytest.mark.parametrize("payload", [b"", struct.pack(">H", 1000) + b"bye"])
def test_websocket_close(ws, payload):
    ws.say(CLOSE, payload)
    assert ws.hear() == (CLOSE, True, payload)
    ws.end()
    assert ws.ended()


@pytest.mark.parametrize("frame", [
    WebSocket.frame(TEXT, b"x", mask=False), WebSocket.frame(TEXT, b"x", reserved=4), WebSocket.frame(3, b"x"), WebSocket.frame(11, b"x"),
    WebSocket.frame(0, b"x"), WebSocket.frame(PING, b"x", fin=False), WebSocket.frame(PING, bytes(126)), WebSocket.frame(CLOSE, b"x"),
    WebSocket.frame(TEXT, b"x", fin=False) + WebSocket.frame(TEXT, b"y"), b"\x82\xff" + b"\xff" * 8 + b"mask",
], ids=["unmasked", "reserved bit", "opcode 3", "opcode 11", "nothing to continue", "ping in pieces", "long ping", "half a code",
        "message in a message", "2^64-1 bytes"])
def test_websocket_refuses_what_breaks_the_protocol(ws, frame):
    ws.send(frame)
    while True:
        op, _, payload = ws.hear()
        if op == CLOSE:
            break
    assert payload == struct.pack(">H", 1002)
    ws.send(bytes(1000))                  # thrown away
    ws.end()
    assert ws.ended()


@pytest.mark.parametrize("fields, status", [
    (["Sec-WebSocket-Version: 13"], 400), (["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: short"], 400),
    (["Sec-WebSocket-Version: 8", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="], 426),
])
def test_websocket_handshake_refused(demo, fields, status):
    r = demo.ask("GET", "/echo", "Connection: Upgrade", "Upgrade: websocket", *fields)
    assert r.status == status


# ── starting and stopping ──

@pytest.mark.parametrize("which", ["listen={}", "admin.listen={}", "upstreams.demo.endpoints=http://{}"])
def test_port_in_use(which):
    ports = {"listen={}": free_port(), "admin.listen={}": free_port(), "upstreams.demo.endpoints=http://{}": free_port()}
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", ports[which]))
        taken.listen()
        done = run("demo", *(w for k, port in ports.items() for w in ("--set", k.format(f"127.0.0.1:{port}"))))
    assert done.returncode == 69 and done.stdout == ""
    assert f"127.0.0.1:{ports[which]}: the address is in use" in done.stderr and done.stderr.count("\n") == 1


def test_another_file(tmp_path, rig):
    (tmp_path / "mine.yaml").write_text("upstreams: {demo: {endpoints: 'http://127.0.0.1:1'}}\n"
                                        "routes: [{path: /, upstream: demo}, {path: /mine, respond: {body: mine}}]\n")
    rig.proxies.append(Demo(tmp_path, {}, ("-c", str(tmp_path / "mine.yaml"))))
    assert rig.proxies[-1].ask("GET", "/mine").body == b"mine" and rig.proxies[-1].ask("GET", "/hello").status == 404
    done = run("demo", "-c", str(tmp_path / "none.yaml"))
    assert done.returncode == 78 and "none.yaml" in done.stderr


def test_stops_with_streams_open(rig, tmp_path):
    """The shutdown's patience (2 s) is what a stream that never ends gets."""
    rig.proxies.append(Demo(tmp_path, {}))
    demo = rig.proxies[-1]
    with demo.client() as events, WebSocket(("127.0.0.1", demo.port)) as ws:
        events.send(request("GET", "/sse"))
        events.reply_head()
        ws.say(TEXT, b"x")
        ws.hear()
        began = time.monotonic()
        demo.signal(15)
        assert demo.wait() == 0 and time.monotonic() - began < 5
