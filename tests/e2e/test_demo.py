"""`outrigger demo`: every path of the demo app through the proxy, the WebSocket echo frame by frame, memory, and ports in use."""

import base64
import hashlib
import os
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request

import pytest

BIN = os.environ.get("OUTRIGGER_BIN", "build/release/outrigger")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def command(proxy, admin, app):
    return [BIN, "demo", "--set", f"listen=127.0.0.1:{proxy}", "--set", f"admin.listen=127.0.0.1:{admin}",
            "--set", f"upstreams.demo.endpoints=http://127.0.0.1:{app}", "--set", "access_log.to=off"]


@pytest.fixture(scope="module")
def demo():
    ports = free_port(), free_port(), free_port()
    process = subprocess.Popen(command(*ports), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", ports[0])).close()
            if get(ports[0], "/")[0] == 200:
                break
        except OSError:
            time.sleep(0.1)
    yield process, ports
    process.terminate()
    assert process.wait(20) == 0


def get(port, path, data=None, headers=None):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


@pytest.mark.parametrize("path, status, holds", [
    ("/", 200, b"/flaky"), ("/slow?ms=10", 200, b"slept"), ("/slow?ms=3000", 504, b"deadline_exceeded"), ("/slow?ms=x", 400, b"ms:"),
    ("/bare/flaky?fail=0%", 200, b"well"), ("/flaky?fail=30%25", 200, b"well"), ("/flaky?fail=101%", 400, b"share"),
    ("/status/418", 418, b"wished"), ("/status/600", 400, b"200 to 599"), ("/safe/status/500", 200, b"outrigger has instead"),
    ("/hello", 200, b"itself"), ("/big?size=3KB", 200, b"outrigger demo"), ("/big?size=3XB", 400, b"size:"), ("/nowhere", 404, b"nothing"),
])
def test_paths(demo, path, status, holds):
    got = get(demo[1][0], path)
    if path.startswith("/flaky?fail=30"):
        assert got[0] in (200, 502, 503)
    else:
        assert got[0] == status and holds in got[1]


def test_echo_and_upload(demo):
    body = os.urandom(300_000)
    status, text = get(demo[1][0], "/echo?x=1", body, {"X-Mine": "yes"})
    head, _, rest = text.partition(b"\n\n")
    assert status == 200 and rest == body
    assert head.startswith(b"POST /echo?x=1 HTTP/1.1\n") and b"x-mine: yes" in head.lower() and b"via: 1.1 outrigger" in head
    assert get(demo[1][0], "/upload", body) == (200, b"300000 bytes came in\n")


def test_events(demo):
    with urllib.request.urlopen(f"http://127.0.0.1:{demo[1][0]}/sse", timeout=20) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        began = time.monotonic()
        ids = [line for line in (reply.readline() for _ in range(9)) if line.startswith(b"id:")]
        assert ids == [b"id: 1\n", b"id: 2\n", b"id: 3\n"] and 1.5 < time.monotonic() - began < 10


def test_large_bodies_cost_no_memory(demo):
    def resident():
        with open(f"/proc/{demo[0].pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    get(demo[1][0], "/big?size=8MiB")
    before, total = resident(), 0
    with urllib.request.urlopen(f"http://127.0.0.1:{demo[1][0]}/big?size=256MiB", timeout=60) as reply:
        while piece := reply.read(1 << 20):
            total += len(piece)
    assert total == 256 << 20
    if "debug" not in BIN and "tsan" not in BIN:          # sanitizers keep what was freed
        assert resident() - before < 4096


def test_down(demo):
    port, app = demo[1][0], demo[1][2]
    assert get(port, "/down?for=1s")[0] == 200
    assert get(port, "/")[0] == 200 and get(port, "/echo")[0] == 502 and get(port, "/safe/echo")[0] == 200
    with pytest.raises(OSError):
        get(app, "/echo")
    time.sleep(1.1)
    assert get(port, "/echo")[0] == 200


def test_a_port_in_use(demo):
    proxy, admin, app = demo[1]
    for taken in ((proxy, free_port(), free_port()), (free_port(), admin, free_port()), (free_port(), free_port(), app)):
        done = subprocess.run(command(*taken), capture_output=True, timeout=20, check=False)
        assert done.returncode == 69 and done.stdout == b"" and b"in use" in done.stderr


# ── WebSocket ──

def frame(opcode, data, fin=True, mask=True, reserved=0):
    n, masked = len(data), 0x80 if mask else 0
    head = bytes([fin << 7 | reserved << 4 | opcode])
    head += bytes([masked | n]) if n < 126 else bytes([masked | 126]) + struct.pack(">H", n) if n < 65536 else bytes([masked | 127]) + struct.pack(">Q", n)
    if not mask:
        return head + data
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(data))


class Socket:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), 20)
        key = base64.b64encode(os.urandom(16))
        self.socket.sendall(b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: " + key
                            + b"\r\nSec-WebSocket-Version: 13\r\n\r\n")
        self.file = self.socket.makefile("rb")
        head = b"".join(iter(self.file.readline, b"\r\n"))
        assert head.startswith(b"HTTP/1.1 101") and base64.b64encode(
            hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()) in head

    def send(self, data):
        self.socket.sendall(data)

    def read(self):
        first, n = self.file.read(2)
        if n > 125:
            n = int.from_bytes(self.file.read(2 if n == 126 else 8), "big")
        return first, self.file.read(n)


def test_websocket(demo):
    ws = Socket(demo[1][0])
    for n in (0, 1, 125, 126, 65535, 65536, 100_000):
        data = os.urandom(n)
        ws.send(frame(2, data))
        assert ws.read() == (0x82, data)
    ws.send(frame(9, b"ping"))
    assert ws.read() == (0x8A, b"ping")
    ws.send(frame(1, b"a", fin=False) + frame(9, b"between") + frame(0, b"b"))
    assert [ws.read() for _ in range(3)] == [(1, b"a"), (0x8A, b"between"), (0x80, b"b")]
    for byte in frame(1, b"byte by byte"):
        ws.send(bytes([byte]))
    assert ws.read() == (0x81, b"byte by byte")
    ws.send(frame(8, b"\x03\xe8bye"))
    assert ws.read() == (0x88, b"\x03\xe8bye") and ws.file.read() == b""


@pytest.mark.parametrize("bad", [
    frame(1, b"x", mask=False), frame(3, b"x"), frame(1, b"x", reserved=4), frame(0, b"x"), frame(9, b"x", fin=False), frame(9, b"x" * 126),
    frame(8, b"x"), b"\x82" + b"\xff" * 13,
], ids=["unmasked", "opcode", "reserved", "nothing to continue", "ping in parts", "long ping", "half a code", "length"])
def test_websocket_protocol_errors(demo, bad):
    ws = Socket(demo[1][0])
    ws.send(bad)
    assert ws.read() == (0x88, b"\x03\xea") and ws.file.read() == b""
