"""test_whole.py - nobody misbehaves; sizes, splits, pauses, slow readers and the order in which the two sides end are drawn. Then not one byte
may be lost and not one request fail: the other half of test_chaos.py.

OUTRIGGER_CHAOS_SECONDS  how long (default 3)    OUTRIGGER_CHAOS_SEED  to begin with (default: drawn, and told when the test fails)
"""
import os
import random
import re
import threading
import time

import pytest

from client import Client, request, until
from test_chaos import SECONDS, SEED, bytes_of, calm, sockets
from upstream import head
from wire import Closed

SIZES = [0, 1, 2, 1000, 16_384, 65_536, 70_000, 300_000, 3_000_000]
AT_ONCE = 8


class Manner:
    """How one side of a conversation goes about it: every draw comes from one seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.size = self.random.choice(SIZES)
        self.data = bytes_of(f"m{seed}", self.size)
        self.piece = self.random.choice([self.size, self.size, 65_536, 7000] + [1, 3] * (self.size < 3000))
        self.late = self.random.choice([0, 0, 0, 0.001, 0.02, 0.15])       # before it reads at all
        self.slow = self.random.choice([0, 0, 0, 0.0005])                  # after each read
        self.waits = self.random.random() < 0.3                            # hears the other one out before it speaks

    def pause(self):
        if self.random.random() < 0.2:
            time.sleep(self.random.choice([0, 0.001, 0.005]))

    def say(self, stream, wrap=bytes, upto=None):
        for i in range(0, self.size, max(self.piece, 1)):
            stream.send(wrap(self.data[:upto][i:i + self.piece]))
            if i < 200 * self.piece:
                self.pause()

    def hear(self, stream):
        time.sleep(self.late)
        got = [stream.ahead]
        while part := stream.sock.recv(65_536):
            got.append(part)
            if self.slow and len(got) < 200:
                time.sleep(self.slow)
        return b"".join(got)

    def talk(self, stream, other):
        """Both directions of a tunnel, each to its end: what was heard."""
        heard = []
        if self.waits and not other.waits:
            heard.append(self.hear(stream))
        else:
            reader = threading.Thread(target=lambda: heard.append(self.hear(stream)))
            reader.start()
        self.say(stream)
        stream.sock.shutdown(1)
        until(lambda: heard, patience=30)
        return heard[0]


def manners(number):
    return Manner(number * 2), Manner(number * 2 + 1)


def work(one):
    """AT_ONCE threads, until the time is over; what went wrong."""
    wrong, done, end = [], [], time.monotonic() + SECONDS

    def run(i):
        number = SEED * 100_000 + i
        while time.monotonic() < end and not wrong:
            try:
                error = one(number)
            except (Closed, OSError, AssertionError) as e:
                error = repr(e)
            if error:
                wrong.append(f"seed {SEED}, number {number}: {error}")
            done.append(number)
            number += AT_ONCE
    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(AT_ONCE)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(SECONDS + 60)
        assert not t.is_alive(), f"seed {SEED}: somebody waits for ever"
    assert not wrong, wrong[:3]
    assert len(done) > 10 * SECONDS
    return done


def number_of(q):
    return int(re.match(r"/(\d+)", q.target).group(1))


@pytest.fixture(params=["tcp", "unix"])
def address(request, tmp_path):
    return None if request.param == "tcp" else str(tmp_path / "app.sock")


def test_tunnels(rig, address):
    heard = {}

    def behave(call, q):
        mine, other = manners(number_of(q))[::-1]
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade", reason="Switching Protocols"))
        heard[number_of(q)] = mine.talk(call, other) == other.data
        call.close()
    up = rig.upstream(behave, address=address)
    proxy = rig.before(up, access_log={"to": "off"})
    before = sockets(proxy)

    def one(number):
        mine, other = manners(number)
        with proxy.client() as c:
            c.send(request("GET", f"/{number}", "Upgrade: websocket", "Connection: Upgrade"))
            if (r := c.reply_head()).status != 101:
                return f"{r.status}"
            got = mine.talk(c, other)
        if got != other.data:
            return f"the client has {len(got)} bytes of {other.size}"
        until(lambda: number in heard)
        return None if heard.pop(number) else "the upstream has not all"
    work(one)
    calm(proxy)
    until(lambda: sockets(proxy) <= before)


def test_requests(rig, address):
    """Bodies both ways at the same time, framed in every way there is."""
    heard = {}

    def behave(call, q):
        mine, other = manners(number_of(q))[::-1]
        framing = mine.random.choice(["length", "chunked", "end"])

        def listen():
            time.sleep(mine.late)
            heard[number_of(q)] = call.body(q) == other.data
        reader = threading.Thread(target=listen)
        reader.start()
        if mine.waits or (framing == "length" and not mine.size):
            reader.join()
        more = {"length": f"Content-Length: {mine.size}", "chunked": "Transfer-Encoding: chunked", "end": "Connection: close"}[framing]
        call.send(head(200, more))
        if framing == "chunked":
            mine.say(call, chunk)
        else:
            mine.say(call, upto=mine.size - 1)
        reader.join()                         # who has answered whole wants no more of the question
        call.send({"length": mine.data[-1:], "chunked": b"0\r\n\r\n", "end": mine.data[-1:]}[framing])
        if framing == "end":
            call.close()
    up = rig.upstream(behave, address=address)
    proxy = rig.before(up, access_log={"to": "off"}, upstream={"pool": {"idle_timeout": "20s"}})

    def one(number):
        mine, other = manners(number)
        chunked, failed = mine.random.random() < 0.5, []
        with proxy.client() as c:
            more = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {mine.size}"
            c.send(request("PUT", f"/{number}", more))

            def tell():
                try:
                    mine.say(c, chunk if chunked else bytes)
                    if chunked:
                        c.send(b"0\r\n\r\n")
                except OSError as e:
                    failed.append(e)
            speaker = threading.Thread(target=tell)
            speaker.start()
            time.sleep(mine.late)
            r = c.read("PUT")
            speaker.join()
        if failed or r.status != 200:
            return f"{failed} {r.status} {r.fields} {r.body[:200]}"
        if r.body != other.data:
            return f"the client has {len(r.body)} bytes of {other.size}"
        until(lambda: number in heard)
        return None if heard.pop(number) else "the upstream has not all"
    work(one)
    calm(proxy)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)
