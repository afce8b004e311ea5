"""matrix.py - the fault matrix: what the upstream does x what the clients do x how Redis is; and for each cell what the clients got, how often the
upstream was asked, and whether everything that was taken is back.

Each cell is an outrigger of its own with a breaker, a limit with a line, retries, a rate limit in Redis, and a route that shares requests. It is asked
twice while all is well (baseline), then the fault begins and the clients come; when they are through, what is left over is looked at; then the
fault ends, and the time until it answers again is taken.

    matrix.py            the whole of it, as docs/fault-matrix.md
    matrix.py FAULT ...  only these faults
"""
import asyncio
import collections
import concurrent.futures
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

from ports import PORTS, free_port
from proxy import Outrigger, sanitized

FAULTS = {
    "refuses": "nothing listens at its address",
    "hangs before the head": "takes the request, and never answers",
    "hangs in the body": "sends a head and a tenth of the body, and then nothing",
    "slow drip": "sends its body byte by byte, 20 ms apart",
    "resets": "resets the connection once it has the request",
    "500 storm": "answers 500 to everything",
    "429 storm": "answers 429 with `Retry-After: 1` to everything",
    "flaps": "is well for 100 ms, resets everything for 100 ms, and so on",
}
CLIENTS = {"patient": "wait for their answers, ten at a time", "leaving": "all come at once, and hang up after 5 to 100 ms", "crowd": "all come at once"}
REDIS = {"up": "as it should be", "down": "nothing listens at its address", "black hole": "accepts connections, and says nothing (SIGSTOP)"}

SLOW = sanitized()
CROWD = 200 if SLOW else 1000
PATIENCE = 30 if SLOW else 8              # seconds; no client waits so long
TIMEOUT, OPEN_FOR, LIMIT, LINE = .8, .3, 20, 30
BURST, RATE = CROWD * 2 // 5, 100          # of one route
BODY = b"x" * 1000
CHUNK = 32 << 10                          # what each worker reads into; it keeps one
LEFT = 16 << 20                           # bytes that a process may have grown by


# ── the upstream ──

def answer(c, status=b"200 OK", body=BODY, *fields):
    c.write(b"HTTP/1.1 " + status + b"\r\n" + b"".join(f + b"\r\n" for f in fields) + b"Content-Length: %d\r\n\r\n" % len(body) + body)


async def hang(up, c):
    await asyncio.sleep(PATIENCE * 2)


async def hang_in_body(up, c):
    c.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + BODY[:100])
    await asyncio.sleep(PATIENCE * 2)


async def drip(up, c):
    c.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    for _ in range(10):
        c.write(b"x")
        await asyncio.sleep(.02)


async def reset(up, c):
    c.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.abort()


async def flap(up, c):
    if int((time.monotonic() - up.since) * 10) % 2:
        await reset(up, c)
    else:
        answer(c)


async def fail(up, c):
    answer(c, b"500 Broken")


async def limit(up, c):
    answer(c, b"429 Enough", b"", b"Retry-After: 1")


async def be_well(up, c):
    answer(c)


BEHAVIOURS = {None: be_well, "hangs before the head": hang, "hangs in the body": hang_in_body, "slow drip": drip, "resets": reset, "flaps": flap,
              "500 storm": fail, "429 storm": limit}


class Connection(asyncio.Protocol):
    def __init__(self, up):
        self.up, self.ahead, self.work = up, b"", None

    def connection_made(self, transport):
        self.transport = transport
        self.up.alive.add(self)

    def data_received(self, data):
        self.ahead += data
        self.next()

    def next(self):
        if not self.work and b"\r\n\r\n" in self.ahead:
            self.ahead = self.ahead.partition(b"\r\n\r\n")[2]
            self.up.requests += 1
            self.work = asyncio.ensure_future(self.serve())

    async def serve(self):
        await BEHAVIOURS[self.up.fault](self.up, self.transport)
        self.work = None
        self.next()

    def connection_lost(self, error):
        self.up.alive.discard(self)
        if self.work:
            self.work.cancel()


class Upstream:
    """One app that can be made ill. Counts the requests that it gets."""

    def __init__(self):
        self.port, self.fault, self.requests, self.since, self.server, self.alive = free_port(), None, 0, 0, None, set()

    async def listen(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", self.port, backlog=2048)

    async def stop(self):
        self.server.close()
        for c in list(self.alive):
            c.transport.abort()
        await asyncio.sleep(0)

    async def begin(self, fault):
        self.fault, self.requests, self.since = fault, 0, time.monotonic()
        if fault == "refuses":
            await self.stop()

    async def end(self):
        if self.fault == "refuses":
            await self.listen()
        self.fault = None


# ── clients ──

def outcome(data):
    """What a client has got, in a few words: status and, when the answer is outrigger's own, the reason."""
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 "):
        return "nothing"
    fields = {k.lower(): v.strip() for k, _, v in (line.partition(b":") for line in head.split(b"\r\n")[1:])}
    reason = fields.get(b"proxy-status", b"").partition(b'details="')[2].rstrip(b'"').decode()
    whole = len(body) == int(fields.get(b"content-length", len(body)))
    return " ".join(filter(None, [head[9:12].decode(), reason, "" if whole else "cut"]))


async def ask(port, path, leave=None):
    """One request on a connection of its own; `leave`: seconds until the client has had enough."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return "refused"
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        return outcome(await asyncio.wait_for(reader.read(-1), leave or PATIENCE))
    except asyncio.TimeoutError:
        return "left" if leave else "no answer"
    except OSError:
        return "nothing"
    finally:
        writer.transport.abort()


def paths(n):
    """Half of them are equal; those come first."""
    return ["/shared/x"] * (n // 2) + [f"/own/{i}" for i in range(n - n // 2)]


async def patient(port):
    async def one(p):
        return [await ask(port, p) for _ in range(4)]
    return [x for got in await asyncio.gather(*(one(p) for p in paths(10))) for x in got]


async def leaving(port):
    return await asyncio.gather(*(ask(port, p, .005 + i % 20 * .005) for i, p in enumerate(paths(CROWD // 5))))


async def crowd(port):
    return await asyncio.gather(*(ask(port, p) for p in paths(CROWD)))


CROWDS = {"patient": patient, "leaving": leaving, "crowd": crowd}


# ── one cell ──

def configuration(upstream, redis, cell):
    return {
        "redis": {"main": {"url": f"redis://127.0.0.1:{redis}/{cell}", "timeout": "200ms" if SLOW else "20ms"}},
        "defaults": {
            "timeout": f"{TIMEOUT}s", "idle_timeout": "300ms",
            "retry": {"max_retries": 1, "retry_on": ["connect_failure", "reset", 503], "backoff": {"base": "5ms", "max": "20ms"},
                      "min_retries_per_second": 1},
            "rate_limit": {"rate": f"{RATE}/s", "burst": BURST, "key": "route", "store": "main", "name": f"cell{cell}"},
        },
        "upstreams": {"app": {
            "endpoints": [f"http://127.0.0.1:{upstream}"], "pool": {"idle_timeout": "100ms"},
            "circuit_breaker": {"consecutive_failures": 5, "open_for": f"{OPEN_FOR}s", "max_open_for": f"{OPEN_FOR * 2}s", "half_open_requests": 2,
                                "probe_timeout": "500ms"},
            "concurrency": {"limit": LIMIT, "queue": LINE, "queue_timeout": "200ms"},
        }},
        "routes": [{"path": "/own", "upstream": "app"}, {"path": "/shared", "upstream": "app", "coalesce": {"max_waiters": 2000}}],
    }


def left_over(proxy, base):
    """What is still held, by name; empty: nothing."""
    s = json.loads(proxy.probe("/status.json").body)
    app = s["upstreams"][0]
    now = {"requests in flight": sum(w["requests_in_flight"] for w in s["workers"]), "permits": app["concurrency"]["in_use"],
           "in line": app["concurrency"]["queue_length"], "streams": app["concurrency"]["streams"], "probes": app["circuit_breaker"]["probes"],
           "flights": sum(r.get("coalesce", {}).get("flights", 0) for r in s["routes"]),
           "at the endpoint": app["endpoints"][0]["in_flight"], "upstream connections": app["endpoints"][0]["connections"],
           "client connections": s["listeners"][0]["connections"]}
    if app["circuit_breaker"]["state"] == "half_open":
        now["probes"] = 0                 # how many have gone well; the permits tell of those on their way
    grown = {"timers": sum(w["timers"] for w in s["workers"]), "descriptors": proxy.fds(),
             "buffer bytes": sum(max(0, w["buffer_bytes"] - CHUNK) for w in s["workers"])}
    now.update({k: v - base.get(k, v) for k, v in grown.items()})
    if not base:
        return {**grown, **{k: v for k, v in now.items() if v > 0}}
    return {k: v for k, v in now.items() if v > 0}


async def until_nothing_is_left(proxy, base, patience):
    end = time.monotonic() + patience
    while True:
        left = left_over(proxy, base)
        if not left or time.monotonic() > end:
            return left
        await asyncio.sleep(.05)


async def play(proxy, up, fault, clients):
    await up.listen()
    proxy.ready()
    well = [await ask(proxy.port, p) for p in paths(2)]
    await asyncio.sleep(.2)               # idle connections to the upstream are closed by then
    base = {k: v for k, v in left_over(proxy, {}).items() if k in ("timers", "buffer bytes", "descriptors")}
    rss = proxy.rss()
    tries = json.loads(proxy.probe("/status.json").body)["upstreams"][0]["tries"]
    await up.begin(fault)
    began = time.monotonic()
    got = await CROWDS[clients](proxy.port)
    took = time.monotonic() - began
    left = await until_nothing_is_left(proxy, base, TIMEOUT + 2 * OPEN_FOR + PATIENCE / 4)
    tried = json.loads(proxy.probe("/status.json").body)["upstreams"][0]["tries"] - tries
    asked, grown = up.requests if fault != "refuses" else tried, proxy.rss() - rss
    await up.end()
    ended = time.monotonic()
    while await ask(proxy.port, "/own/again") != "200" and time.monotonic() < ended + PATIENCE:
        await asyncio.sleep(.02)
    again = time.monotonic() - ended
    await up.stop()
    return {"well": well, "got": dict(collections.Counter(got)), "asked": asked, "left": left, "grown": grown, "took": took, "again": again}


def cell(number, fault, clients, redis, port):
    PORTS.seed(os.urandom(8))             # a forked process would draw the same ones as its siblings
    with tempfile.TemporaryDirectory() as tmp:
        up = Upstream()
        proxy = Outrigger(tmp, configuration(up.port, port, number), wait=False)
        try:
            result = asyncio.run(play(proxy, up, fault, clients))
            proxy.stop()
        finally:
            proxy.kill()
    return {"fault": fault, "clients": clients, "redis": redis, **result}


# ── all of them ──

class Redis:
    """The three of them: one that works, one that is not there, one that was stopped."""

    def __init__(self):
        self.tmp = tempfile.mkdtemp()
        self.ports = {name: free_port() for name in REDIS}
        self.processes = [self.start("up"), self.start("black hole")]
        self.processes[1].send_signal(signal.SIGSTOP)

    def start(self, name):
        process = subprocess.Popen(["redis-server", "--port", str(self.ports[name]), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                    "--dir", self.tmp, "--databases", "100"], stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                socket.create_connection(("127.0.0.1", self.ports[name]), 1).close()
                return process
            except OSError:
                time.sleep(.02)
        raise AssertionError("redis-server does not start")

    def stop(self):
        for p in self.processes:
            p.kill()
            p.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)


def all_cells(faults=tuple(FAULTS)):
    return [(f, c, r) for f in FAULTS if f in faults for c in CLIENTS for r in REDIS]


def sample():
    """One cell of each fault, such that each way of the clients and each state of Redis comes several times."""
    return [(f, list(CLIENTS)[i % 3], list(REDIS)[i // 3 % 3]) for i, f in enumerate(FAULTS)]


def play_all(cells, at_a_time=4):
    redis = Redis()
    try:
        with concurrent.futures.ProcessPoolExecutor(at_a_time) as pool:
            return list(pool.map(cell, range(len(cells)), *zip(*cells), [redis.ports[r] for _, _, r in cells]))
    finally:
        redis.stop()


# ── the page ──

def about(n):
    return str(n) if n < 20 else f"~{round(n, -1)}"


def answers(got):
    return ", ".join(f"{about(n)} × {what}" for what, n in sorted(got.items(), key=lambda x: (-x[1], x[0])))


def page(results):
    out = ["# The fault matrix", "",
           "What happens when the upstream, the clients and Redis misbehave, all at once. Printed by `make fault-matrix`; `make test` asserts in each cell that every client",
           "gets an answer in time, that the upstream is not asked more often than its limits allow, and that afterwards nothing is left over. Numbers from 20 on are",
           "rounded: they differ from run to run.", "",
           f"Each cell is an outrigger of its own: `concurrency: {{limit: {LIMIT}, queue: {LINE}, queue_timeout: 200ms}}`, a breaker (5 failures in a row, open for {OPEN_FOR} s,",
           f"2 probes), one retry within a budget, `timeout: {TIMEOUT}s`, `idle_timeout: 300ms`, `rate_limit: {{rate: {RATE}/s, burst: {BURST}, key: route, store: main}}` for each of the two",
           "routes. Half of the requests are for a route with `coalesce`, and equal.", "",
           f"Clients: 40 patient ones {CLIENTS['patient']}; {CROWD // 5} leaving ones {CLIENTS['leaving']}; a crowd of {CROWD} that {CLIENTS['crowd']}.",
           "`left`: the client hung up; `cut`: the connection was cut in the midst of the body, so that the client can tell. A status without a reason is the upstream's.",
           "`asked`: requests that the upstream got (connections tried, where it refuses them), and how many that is for each client's request.",
           "`well again`: from the end of the fault to the first 200. Left over (permits, places in line, flights, requests, timers, descriptors, buffers): nothing, everywhere.", ""]
    for fault in FAULTS:
        rows = [r for r in results if r["fault"] == fault]
        if not rows:
            continue
        out += [f"## {fault[0].upper() + fault[1:]}", "", f"The upstream: {FAULTS[fault]}.", "", "| clients | Redis | what they got | asked | well again |",
                "|---|---|---|---|---|"]
        for r in rows:
            n = sum(r["got"].values())
            left = "" if not r["left"] else f" **left over: {r['left']}**"
            out.append(f"| {r['clients']} | {r['redis']} | {answers(r['got'])}{left} | {about(r['asked'])} ({r['asked'] / n:.2f}) | {r['again']:.1f} s |")
        out.append("")
    return "\n".join(out)


if __name__ == "__main__":
    print(page(play_all(all_cells(tuple(sys.argv[1:]) or tuple(FAULTS)))))
