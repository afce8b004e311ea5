"""test_chaos.py - everybody misbehaves at once: clients leave in the midst of everything, the service breaks off, talks nonsense or too much.

Each answer carries the id of the request that it belongs to, and a body made of it: whatever happens, no client may ever get another one's answer, or
a broken one that looks whole. And when all have gone, nothing is left: no request in flight, no descriptor, no report of a sanitizer.

OUTRIGGER_CHAOS_SECONDS  how long (default 3)    OUTRIGGER_CHAOS_SEED  to begin with (default: drawn, and told when the test fails)
"""
import os
import pathlib
import random
import re
import resource
import shlex
import socket
import subprocess
import threading
import time

import pytest

from client import Client, chunked, request
from proxy import sanitized
from upstream import head, reply
from wire import Closed, Malformed

SECONDS = float(os.environ.get("OUTRIGGER_CHAOS_SECONDS", "3"))
SEED = int(os.environ.get("OUTRIGGER_CHAOS_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 32)
SIZES = [0, 1, 10, 1000, 20_000, 70_000, 300_000]


def bytes_of(name, size):
    return (f"<{name}>".encode() * (size // (len(name) + 2) + 1))[:size]


# ── the service ──

class Service:
    """What it does to each request is drawn; its true answers say whose they are."""

    def __init__(self, seed):
        self.random, self.lock, self.did = random.Random(seed), threading.Lock(), {}

    def draw(self, choices):
        with self.lock:
            return self.random.choice(choices)

    def __call__(self, call, q):
        kinds = ["plain"] * 6 + ["chunked"] * 4 + ["to_the_end", "early", "late", "informed", "busy", "hangup", "reset", "cut", "cut_chunked", "nonsense", "too_much", "hang", "bad_chunk"]
        kind = self.draw(kinds)
        with self.lock:
            self.did[kind] = self.did.get(kind, 0) + 1
        name, size = re.match(r"/(\w+)/(\d+)", q.target).groups()
        body = bytes_of(name, int(size))
        getattr(self, kind)(call, q, [f"X-Id: {name}"], b"" if q.method == "HEAD" else body, len(body))

    def plain(self, call, q, tag, body, size):
        call.body(q)
        call.send(head(200, *tag, f"Content-Length: {size}") + body)

    def chunked(self, call, q, tag, body, size):
        call.body(q)
        call.send(head(200, *tag, "Transfer-Encoding: chunked"))
        if q.method != "HEAD":
            for i in range(0, len(body), 9000):
                call.send(b"%x\r\n%s\r\n" % (len(body[i:i + 9000]), body[i:i + 9000]))
            call.send(b"0\r\n\r\n")

    def to_the_end(self, call, q, tag, body, size):
        call.body(q)
        call.send(head(200, *tag, "Connection: close") + body)
        call.close()

    def early(self, call, q, tag, body, size):
        call.send(head(200, *tag, f"Content-Length: {size}") + body)

    def late(self, call, q, tag, body, size):
        call.body(q)
        time.sleep(0.05)
        self.plain(call, q, tag, body, size)

    def informed(self, call, q, tag, body, size):
        call.send(head(103, "Link: </x>; rel=preload"))
        self.plain(call, q, tag, body, size)

    def busy(self, call, q, tag, body, size):
        call.body(q)
        call.send(head(503, *tag, "Content-Length: 0"))

    def hangup(self, call, q, tag, body, size):
        call.close()

    def reset(self, call, q, tag, body, size):
        call.reset()

    def cut(self, call, q, tag, body, size):
        call.send(head(200, *tag, f"Content-Length: {size + 10}") + body)
        call.close()

    def cut_chunked(self, call, q, tag, body, size):
        call.send(head(200, *tag, "Transfer-Encoding: chunked") + b"5\r\nhal")
        call.close()

    def bad_chunk(self, call, q, tag, body, size):
        call.send(head(200, *tag, "Transfer-Encoding: chunked") + b"5\r\nhello\r\nzz\r\n0\r\n\r\n")

    def nonsense(self, call, q, tag, body, size):
        call.send(b"HTTP/1.1 twohundred OK\r\nX-Id: nobody\r\n\r\n")

    def too_much(self, call, q, tag, body, size):
        """A whole answer and then another one, to a question that nobody asked; in one piece, for what comes later nobody can tell from an answer."""
        call.body(q)
        if len(body) > 1000:
            return self.plain(call, q, tag, body, size)
        call.send(head(200, *tag, f"Content-Length: {size}") + body + head(200, "X-Id: nobody", "Content-Length: 3") + b"bad")

    def hang(self, call, q, tag, body, size):
        call.body(q)
        time.sleep(0.4)
        call.close()


# ── the clients ──

class Guest(threading.Thread):
    def __init__(self, address, number, until, seed):
        super().__init__(daemon=True)
        self.address, self.number, self.until, self.random = address, number, until, random.Random(seed * 1000 + number)
        self.count, self.whole, self.wrong = 0, 0, []
        self.start()

    def run(self):
        while time.monotonic() < self.until and not self.wrong:
            try:
                with Client(self.address) as c:
                    while time.monotonic() < self.until and not self.wrong and self.one(c):
                        pass
            except (Closed, OSError):
                pass
            except Malformed as e:
                self.wrong.append(f"not HTTP: {e}")

    def question(self):
        self.count += 1
        name, size = f"g{self.number}n{self.count}", self.random.choice(SIZES)
        method = self.random.choice(["GET", "GET", "HEAD", "POST", "PUT"])
        body = bytes_of("up", self.random.choice(SIZES)) if method[0] == "P" else None
        if body is not None and self.random.random() < 0.5:
            wire = request(method, f"/{name}/{size}", chunks=[body[i:i + 7000] for i in range(0, len(body), 7000)])
        else:
            wire = request(method, f"/{name}/{size}", body=body)
        return method, name, size, wire

    def one(self, c):
        """Does one thing on this connection; true: it can go on."""
        r = self.random.random()
        asked = [self.question() for _ in range(3 if r < 0.1 else 1)]
        wire = b"".join(q[3] for q in asked)
        if r > 0.8:
            return self.leave(c, asked[0], wire)
        c.send(wire)
        return all(self.hear(c, q) for q in asked)

    def leave(self, c, q, wire):
        how = self.random.random()
        if how < 0.5:
            wire = wire[:self.random.randrange(len(wire))]
        c.send(wire)
        if how > 0.7:
            time.sleep(self.random.random() * 0.02)
        if how > 0.8 and self.random.random() < 0.5:
            c.reply_head()
        if self.random.random() < 0.5:
            c.reset()
        elif self.random.random() < 0.3:
            c.end()
            c.sock.settimeout(2)
            c.ended(2)
        return False

    def hear(self, c, q):
        method, name, size, _ = q
        r = c.read(method)
        told = r.fields.get("x-id")
        if told is None:
            if r.status < 400 or "proxy-status" not in r.fields:
                self.wrong.append(f"{name}: {r.status} without an id: {r.fields}")
        elif told != name:
            self.wrong.append(f"{name} got the answer of {told}")
        elif r.status == 200 and r.body != (b"" if method == "HEAD" else bytes_of(name, size)):
            self.wrong.append(f"{name}: {len(r.body)} bytes of {size}, but it looked whole")
        else:
            self.whole += r.status == 200
        return "close" not in (r.fields.get("connection") or "")


def gauge(proxy, name):
    text = proxy.probe("/metrics").body.decode()
    found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", text, re.M)
    assert found, name
    return sum(float(x) for x in found)


def calm(proxy, patience=10):
    """Nothing is in flight, and all clients' connections have been closed."""
    end = time.monotonic() + patience
    while gauge(proxy, "outrigger_http_requests_in_flight") or gauge(proxy, "outrigger_connections"):
        assert time.monotonic() < end, proxy.probe("/metrics").body.decode()
        time.sleep(0.05)


def sockets(proxy):
    """Pipes are not counted: a few of them are kept for the next long body."""
    count, path = 0, f"/proc/{proxy.pid}/fd"
    for fd in os.listdir(path):
        try:
            count += os.readlink(f"{path}/{fd}").startswith("socket:")
        except OSError:
            pass
    return count


@pytest.mark.parametrize("route", [{}, {"retry": {"max_retries": 3, "methods": ["GET", "HEAD", "PUT", "POST"], "retry_on": ["5xx", "reset", "timeout", "connect_failure"],
                                                  "backoff": {"base": "1ms", "max": "5ms"}, "buffer": "512KiB", "budget": "100%"}, "per_try_timeout": "200ms"}], ids=["plain", "retrying"])
def test_chaos(rig, route):
    services = [Service(SEED + i) for i in range(2)]
    ups = [rig.upstream(s) for s in services]
    proxy = rig.before(ups, route={"timeout": "1s", "idle_timeout": "1s", **route}, upstream={"outlier_detection": {"consecutive_errors": 20, "eject_for": "50ms"}, "pool": {"max_connections": 16}},
                       client={"keepalive_timeout": "1s", "header_timeout": "1s"}, access_log={"to": "off"})
    before = sockets(proxy)
    until = time.monotonic() + SECONDS
    guests = [Guest(("127.0.0.1", proxy.port), i, until, SEED) for i in range(12)]
    for g in guests:
        g.join(SECONDS + 15)
        assert not g.is_alive(), f"seed {SEED}: a client waits for ever"
    wrong = [w for g in guests for w in g.wrong]
    assert not wrong, f"seed {SEED}: {wrong[:5]}"
    assert sum(g.whole for g in guests) > 20 * SECONDS, "and many were served as ever"
    assert len({k for s in services for k in s.did}) == 15, "all that can go wrong did"
    calm(proxy)
    for up in ups:
        up.hang_up_all()
    end = time.monotonic() + 5
    while sockets(proxy) > before:
        assert time.monotonic() < end, f"seed {SEED}: {sockets(proxy)} sockets, {before} before"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def shortage(tmp_path_factory):
    """A library to preload, which lets allocations fail."""
    if sanitized():
        pytest.skip("a sanitizer has an allocator of its own")
    out = tmp_path_factory.mktemp("shortage") / "shortage.so"
    done = subprocess.run([*shlex.split(os.environ.get("CC", "cc")), "-D_GNU_SOURCE", "-O1", "-shared", "-fPIC", "-o", out, pathlib.Path(__file__).with_name("shortage.c"), "-ldl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize("one_of,seed", [(2, 1), (3, 2), (8, 3), (40, 4)])
def test_shortage_of_memory(rig, shortage, one_of, seed):
    """Every second, third ... allocation fails while everybody misbehaves: some get an error, or nothing; nobody gets a wrong answer, and it lives on and ends in order."""
    ups = [rig.upstream(Service(SEED + i)) for i in range(2)]
    proxy = rig.before(ups, route={"timeout": "1s", "idle_timeout": "1s"}, upstream={"pool": {"max_connections": 16}}, client={"keepalive_timeout": "1s", "header_timeout": "1s"},
                       access_log={"to": "off"}, env={"LD_PRELOAD": str(shortage), "SHORTAGE": str(one_of), "SHORTAGE_SEED": str(seed), "SHORTAGE_AFTER_MS": "700"})
    time.sleep(0.7)
    until = time.monotonic() + max(1, SECONDS - 1)
    guests = [Guest(("127.0.0.1", proxy.port), i, until, SEED) for i in range(12)]
    for g in guests:
        g.join(SECONDS + 15)
        assert not g.is_alive(), f"seed {SEED}: a client waits for ever"
    wrong = [w for g in guests for w in g.wrong]
    assert not wrong, f"seed {SEED}: {wrong[:5]}"
    assert proxy.process.poll() is None, f"seed {SEED}: {proxy.err}"
    assert sum(g.whole for g in guests) > 20, "what is kept in pools serves on"


def cpu_seconds(proxy):
    words = pathlib.Path(f"/proc/{proxy.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_shortage_of_descriptors(rig):
    """There are fewer than clients and service together would like: some wait, some get an error; nobody spins, and with more of them all is well again."""
    ups = [rig.upstream(Service(SEED + i)) for i in range(2)]
    proxy = rig.before(ups, route={"timeout": "1s", "idle_timeout": "1s"}, client={"keepalive_timeout": "1s", "header_timeout": "1s"}, access_log={"to": "off"})
    limits = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir(f"/proc/{proxy.pid}/fd"))
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (highest + 14, limits[1]))
    until = time.monotonic() + SECONDS
    guests = [Guest(("127.0.0.1", proxy.port), i, until, SEED) for i in range(12)]
    for g in guests:
        g.join(SECONDS + 15)
        assert not g.is_alive(), f"seed {SEED}: a client waits for ever"
    wrong = [w for g in guests for w in g.wrong]
    assert not wrong, f"seed {SEED}: {wrong[:5]}"
    idle = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(30)]       # more than there are descriptors: they stand in the backlog
    before = cpu_seconds(proxy)
    time.sleep(0.5)
    assert cpu_seconds(proxy) - before < 0.2, "it waits; it does not spin"
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, limits)
    for s in idle:
        s.close()
    for up in ups:
        up.default = reply(b"well")
    end = time.monotonic() + 10
    while proxy.ask().body != b"well":
        assert time.monotonic() < end
        time.sleep(0.05)
    calm(proxy)
