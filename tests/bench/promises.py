#!/usr/bin/env python3
"""promises.py - what the policies promise, measured on the real binary over loopback: `make promises` prints it, and writes docs/promises.md.

An app and clients in this process (asyncio; open loop: requests are sent at their time, whether the ones before were answered or not), outrigger and
redis-server as processes of their own. Rates and ratios, not absolute times, wherever the machine would decide otherwise.
"""
import asyncio
import json
import os
import pathlib
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = os.environ.get("OUTRIGGER_BIN") or str(ROOT / "build" / "release" / "outrigger")


def free_port():
    while True:
        port = random.randrange(10000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


class App(asyncio.Protocol):
    """The upstream: answers after `delay`, or resets every connection while it is down."""
    def __init__(self, shared):
        self.shared, self.buffer = shared, b""

    def connection_made(self, transport):
        self.transport = transport
        if self.shared["down"]:
            self.shared["seen"].append(time.monotonic())
            transport.abort()

    def data_received(self, data):
        self.buffer += data
        while b"\r\n\r\n" in self.buffer:
            self.buffer = self.buffer.split(b"\r\n\r\n", 1)[1]
            s = self.shared
            s["seen"].append(time.monotonic())
            if s["down"]:
                self.transport.abort()
                return
            s["in_flight"] += 1
            s["most"] = max(s["most"], s["in_flight"])
            asyncio.get_running_loop().call_later(s["delay"], self.answer)

    def answer(self):
        self.shared["in_flight"] -= 1
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Client:
    """A keep-alive connection; one request at a time."""
    def __init__(self, port):
        self.port, self.reader = port, None

    async def ask(self, target="/"):
        for again in (True, False):
            try:
                if not self.reader:
                    self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
                began = time.perf_counter()
                self.writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                head = await self.reader.readuntil(b"\r\n\r\n")
                break
            except (ConnectionError, asyncio.IncompleteReadError):
                self.reader = None
                if not again:
                    return 0, 0, {}
        lines = head.decode().split("\r\n")
        fields = {k.lower(): v for k, v in (x.split(": ", 1) for x in lines[1:] if ": " in x)}
        await self.reader.readexactly(int(fields.get("content-length", 0)))
        return int(lines[0].split()[1]), time.perf_counter() - began, fields


class Load:
    """`rate` requests a second at equal distances for `seconds`, over as many connections as it takes."""
    def __init__(self, port, rate, seconds, most=400):
        self.port, self.rate, self.seconds = port, rate, seconds
        self.idle, self.results, self.made, self.most, self.lost = [], [], 0, most, 0

    async def one(self):
        if not self.idle and self.made == self.most:
            self.lost += 1
            return
        if self.idle:
            c = self.idle.pop()
        else:
            c = Client(self.port)
            self.made += 1
        at = time.monotonic()
        status, took, fields = await c.ask()
        self.results.append((at, status, took, fields))
        self.idle.append(c)

    async def run(self):
        began, tasks = time.monotonic(), []
        for n in range(int(self.rate * self.seconds)):
            await asyncio.sleep(max(0, began + n / self.rate - time.monotonic()))
            tasks.append(asyncio.create_task(self.one()))
        await asyncio.gather(*tasks)
        return self.results


class Outrigger:
    def __init__(self, **conf):
        self.port, self.admin = free_port(), free_port()
        self.dir = tempfile.TemporaryDirectory()
        self.log = open(os.path.join(self.dir.name, "log"), "wb")
        file = os.path.join(self.dir.name, "o.yaml")
        with open(file, "w") as f:
            json.dump({"listen": f"127.0.0.1:{self.port}", "admin": {"listen": f"127.0.0.1:{self.admin}"}, "access_log": {"to": "stdout", "format": "json"},
                       **conf}, f)
        self.process = subprocess.Popen([BIN, "run", "-c", file], stdout=self.log, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(.02)
        raise SystemExit("outrigger does not start")

    def lines(self):
        self.log.flush()
        return [json.loads(x) for x in open(self.log.name) if x.startswith("{")]

    def stop(self):
        self.process.terminate()
        self.process.wait()


def p99(values):
    return sorted(values)[int(len(values) * .99)] if values else float("nan")


async def app_of(delay=0.0):
    shared = {"down": False, "seen": [], "in_flight": 0, "most": 0, "delay": delay}
    port = free_port()
    server = await asyncio.get_running_loop().create_server(lambda: App(shared), "127.0.0.1", port, backlog=1024)
    return shared, port, server


def row(what, promise, seen, holds):
    rows.append((what, promise, seen, holds))
    print(f"{'ok  ' if holds else 'NOT '} {what}: {seen}  (promised: {promise})", flush=True)


rows = []


async def breaker():
    shared, port, server = await app_of()
    o = Outrigger(upstreams={"app": {"endpoints": [f"http://127.0.0.1:{port}"], "retry": "off", "circuit_breaker": {"open_for": "2s"}}},
                  routes=[{"path": "/", "upstream": "app"}])
    shared["down"] = True
    load = Load(o.port, 500, 9)
    task = asyncio.create_task(load.run())
    await asyncio.sleep(5)
    shared["down"], back = False, time.monotonic()
    results = await task
    first_open = next(i for i, r in enumerate(results) if r[1] == 503)
    opened = [x for x in results if x[1] == 503]
    row("breaker: an upstream that is hard down, 500 requests/s", "opens within 6 requests", f"{first_open} requests failed before it opened", first_open <= 6)
    during = [t for t in shared["seen"] if t < back]
    periods = 1 + 5 / 2 / .75
    row("... while it is open", "at most half_open_requests (3) probes each period", f"{len(during) - first_open} requests reached it in 5 s", len(during) - first_open <= 3 * periods)
    row("... the refusals", "under 2 ms at p99, with Retry-After", f"p99 {p99([x[2] for x in opened]) * 1e3:.2f} ms", p99([x[2] for x in opened]) < .002
        and all(int(x[3]["retry-after"]) >= 1 for x in opened))
    good = next((r[0] for r in results if r[1] == 200 and r[0] > back), None)
    row("... the upstream is back", "noticed within open_for + 1 s", f"after {good - back:.2f} s", good - back <= 4 * 1.25 + 1 if good else False)
    o.stop()
    server.close()


async def limit(workers):
    shared, port, server = await app_of(.02)
    o = Outrigger(workers=workers, upstreams={"app": {"endpoints": [f"http://127.0.0.1:{port}"], "retry": "off", "concurrency": {"limit": 10, "queue": 20}}},
                  routes=[{"path": "/", "upstream": "app"}])
    # what the app itself can do, ten at a time, in this process and at this moment
    clients = [Client(port) for _ in range(10)]
    async def own(c, until):
        n = 0
        while time.monotonic() < until:
            n += (await c.ask())[0] == 200
        return n
    began = time.monotonic()
    alone = sum(await asyncio.gather(*[own(c, began + 4) for c in clients])) / (time.monotonic() - began)
    shared["most"] = 0
    load = Load(o.port, alone * 2, 8, most=200)
    results = await load.run()
    took = max(r[0] for r in results) - results[0][0]
    goodput = sum(r[1] == 200 for r in results) / took
    row(f"concurrency {{limit: 10, queue: 20}}, twice the capacity from 200 clients, workers: {workers}", "never more than 10 at the app",
        f"at most {shared['most']} at a time", shared["most"] <= 10)
    row("... goodput", "at least 95 % of what the app can do alone", f"{goodput / alone * 100:.0f} % ({goodput:.0f} of {alone:.0f}/s)", goodput >= .95 * alone)
    o.stop()
    server.close()


async def shared_rate():
    shared, port, server = await app_of()
    with tempfile.TemporaryDirectory() as folder:
        redis_port = free_port()
        start = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        redis = subprocess.Popen(start, stdout=subprocess.DEVNULL)
        await asyncio.sleep(.5)
        both = [Outrigger(redis={"main": {"url": f"redis://127.0.0.1:{redis_port}"}}, upstreams={"app": {"endpoints": [f"http://127.0.0.1:{port}"]}},
                          routes=[{"path": "/", "upstream": "app", "rate_limit": {"rate": "100/s", "burst": 10, "key": "route", "store": "main"}}]) for _ in range(2)]
        await asyncio.sleep(6)                        # until each has counted the other
        loads = [Load(o.port, 200, 10) for o in both]
        results = sum(await asyncio.gather(*[x.run() for x in loads]), [])
        took = max(r[0] for r in results) - min(r[0] for r in results)
        rate = (sum(r[1] == 200 for r in results) - 10) / took      # the burst comes once
        row("rate 100/s, two outriggers, one Redis, 400 requests/s", "100/s ± 5 % in total", f"{rate:.1f}/s", abs(rate - 100) <= 5)
        loads = [Load(o.port, 200, 12) for o in both]
        tasks = [asyncio.create_task(x.run()) for x in loads]
        await asyncio.sleep(3)
        killed = time.monotonic()
        redis.kill()
        redis.wait()
        await asyncio.sleep(4)
        redis = subprocess.Popen(start, stdout=subprocess.DEVNULL)
        back = time.monotonic()
        results = sum([await t for t in tasks], [])
        statuses = {r[1] for r in results}
        alone = [r for r in results if killed + .5 < r[0] < back]
        rate = sum(r[1] == 200 for r in alone) / (back - killed - .5)
        row("... Redis is killed under load", "no 5xx, the limit goes on", f"statuses {sorted(statuses)}, {rate:.1f}/s meanwhile", statuses <= {200, 429} and abs(rate - 100) <= 10)
        row("... decisions without Redis", "under 1 ms", f"p99 of the whole request {p99([r[2] for r in alone]) * 1e3:.2f} ms, and of the wait for a decision "
            f"{p99([x['queue_ms'] for o in both for x in o.lines()[-1200:-900]]):.3f} ms", p99([x['queue_ms'] for o in both for x in o.lines()[-1200:-900]]) < 1)
        def again(o):
            with socket.create_connection(("127.0.0.1", o.admin)) as s:
                s.sendall(b"GET /metrics HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                text = b""
                while (piece := s.recv(65536)):
                    text += piece
            return b'outrigger_rate_limit_degraded{route="/",limit="limit"} 0' in text
        row("... Redis is back", "shared again within 5 s", "both say so" if all(again(o) for o in both) else "still alone", all(again(o) for o in both))
        for o in both:
            o.stop()
        redis.kill()
        redis.wait()
    server.close()


async def crowd(workers):
    shared, port, server = await app_of(.2)
    o = Outrigger(workers=workers, upstreams={"app": {"endpoints": [f"http://127.0.0.1:{port}"]}}, client={"max_connections": 4000},
                  routes=[{"path": "/", "upstream": "app", "coalesce": {"max_waiters": 2000}}])
    clients = [Client(o.port) for _ in range(1000)]
    for c in clients:
        c.reader, c.writer = await asyncio.open_connection("127.0.0.1", o.port)
    shared["seen"].clear()
    got = await asyncio.gather(*[c.ask("/same") for c in clients])
    row(f"coalesce: 1,000 simultaneous GETs of one key, workers: {workers}", "exactly 1 request to the upstream",
        f"{len(shared['seen'])}, and {sum(g[0] == 200 for g in got)} whole answers", len(shared["seen"]) == 1 and all(g[0] == 200 for g in got))
    o.stop()
    server.close()


async def main():
    await breaker()
    for workers in (1, 2):
        await limit(workers)
    for workers in (1, 2):
        await crowd(workers)
    await shared_rate()
    if len(sys.argv) > 1:
        with open(sys.argv[1], "w") as f:
            f.write("# What the policies promise, measured\n\n`make promises` wrote this, on two cores shared by outrigger, the app, the clients and Redis. "
                    "The app answers from the same process that makes the load (tests/bench/promises.py).\n\n| | promised | seen | |\n|---|---|---|---|\n")
            for what, promise, seen, holds in rows:
                f.write(f"| {what} | {promise} | {seen} | {'holds' if holds else '**does not hold**'} |\n")
    raise SystemExit(0 if all(r[3] for r in rows) else 1)


signal.signal(signal.SIGINT, signal.default_int_handler)
asyncio.run(main())
