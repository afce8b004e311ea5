"""test_slow_clients.py - behaviour §5: whoever is slow, silent or many costs little and is told why."""
import resource
import socket
import statistics
import threading
import time

import pytest

from client import Client, request
from proxy import sanitized
from upstream import echo, reply


def quick(rig, up, **limits):
    client = {"first_byte_timeout": "300ms", "header_timeout": "300ms", "keepalive_timeout": "300ms",
              "body": {"idle_timeout": "300ms", "min_rate": "0B/s", "grace": "1s"}, **limits}
    return rig.before(up, client=client)


def test_silent_connection_is_closed_silently(rig):
    proxy = quick(rig, rig.upstream())
    with proxy.client() as c:
        began = time.monotonic()
        assert c.ended(2) and 0.2 < time.monotonic() - began < 1.5


def test_slow_head_is_absolute(rig):
    up = rig.upstream()
    proxy = quick(rig, up)
    with proxy.client() as c:
        began = time.monotonic()
        c.send(b"GET / HTTP/1.1\r\nHost: h\r\n")
        for i in range(20):
            time.sleep(0.03)
            try:
                c.send(b"X-%d: y\r\n" % i)
            except OSError:
                break
        r = c.read()
        assert r.status == 408 and r.json()["reason"] == "request_timeout"
        assert time.monotonic() - began < 1.5
        assert c.ended()
    assert not up.requests


def test_keep_alive_timeout(rig):
    proxy = quick(rig, rig.upstream())
    with proxy.client() as c:
        assert c.ask().body == b"hello"
        assert c.ended(2)


def test_silent_body(rig):
    proxy = quick(rig, rig.upstream(default=echo))
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nabc")
        assert c.read("POST").status == 408
        assert c.ended()


def test_min_rate(rig):
    proxy = quick(rig, rig.upstream(default=echo), body={"idle_timeout": "5s", "min_rate": "10KB/s", "grace": "1s"})
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        c.sock.settimeout(0.1)
        end = time.monotonic() + 9
        got = b""
        while time.monotonic() < end and not got:
            try:
                c.send(b"x" * 10)
                got = c.sock.recv(100)
            except TimeoutError:
                pass
            except OSError:
                break
        assert got.startswith(b"HTTP/1.1 408"), got


def test_max_connections(rig):
    proxy = quick(rig, rig.upstream(), max_connections=3, keepalive_timeout="5s")
    clients = [proxy.client() for _ in range(3)]
    for c in clients:
        assert c.ask().status == 200
    with proxy.client() as c:
        r = c.read()
        assert r.status == 503 and "max_connections" in r.fields.get("proxy-status")
    clients.pop().close()
    time.sleep(0.1)
    assert proxy.ask().status == 200
    for c in clients:
        c.close()


def test_max_connections_per_ip(rig):
    proxy = quick(rig, rig.upstream(), max_connections_per_ip=2, keepalive_timeout="5s")
    with proxy.client() as a, proxy.client() as b:
        assert a.ask().status == b.ask().status == 200
        with proxy.client() as c:
            assert c.read().status == 503
        with proxy.client(source="127.0.0.2") as c:
            assert c.ask().status == 200
    time.sleep(0.1)
    assert proxy.ask().status == 200


def test_reader_that_does_not_read(rig):
    up = rig.upstream(default=reply(b"z" * 30_000_000))
    proxy = quick(rig, up, write_idle_timeout="400ms")
    with proxy.client(receive_buffer=4096) as c:
        c.send(request())
        time.sleep(1.5)
        got = 0
        try:
            while True:
                part = c.sock.recv(1 << 20)
                if not part:
                    break
                got += len(part)
        except ConnectionResetError:
            pass
        assert got < 30_000_000
    assert proxy.rss() < 300_000_000


def test_slow_reader_stops_the_sender(rig):
    up = rig.upstream(default=reply(b"z" * 100_000_000))
    proxy = quick(rig, up, write_idle_timeout="10s")
    before = proxy.rss()
    with proxy.client(receive_buffer=4096) as c:
        c.send(request())
        time.sleep(0.8)
        assert proxy.rss() - before < 8_000_000
        assert up.connections[-1].sock.fileno() >= 0


def test_max_requests_and_age(rig):
    proxy = quick(rig, rig.upstream(), max_requests_per_connection=2)
    with proxy.client() as c:
        assert c.ask().fields.get("connection") != "close"
        assert c.ask().fields.get("connection") == "close"
        assert c.ended()


def median_ms(proxy, count=200):
    took = []
    with proxy.client() as c:
        for _ in range(count):
            began = time.monotonic()
            assert c.ask().status == 200
            took.append(time.monotonic() - began)
    return statistics.median(took) * 1000


class Slowloris:
    """n connections that send a byte of their heads, one after the other, for ever."""

    def __init__(self, port, n):
        self.sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
        for s in self.sockets:
            s.setblocking(False)
            s.send(b"GET / HTTP/1.1\r\nHost: h\r\nX-Slow: ")
        self.over, self.dead = threading.Event(), 0
        self.thread = threading.Thread(target=self.drip, daemon=True)
        self.thread.start()

    def drip(self):
        while not self.over.is_set():
            for i in range(0, len(self.sockets), 10):
                for s in self.sockets[i:i + 10]:
                    try:
                        s.send(b"x")
                    except OSError:
                        self.dead += 1
                if self.over.wait(0.01):       # 1000 bytes a second, over all of them
                    return

    def stop(self):
        self.over.set()
        self.thread.join()
        for s in self.sockets:
            s.close()


def test_slowloris_delays_nobody(rig):
    """1,000 clients that drip delay a normal one by less than 5 ms at the median."""
    proxy = rig.before(rig.upstream(), client={"header_timeout": "60s"})
    alone = median_ms(proxy)
    slow = Slowloris(proxy.port, 1000)
    try:
        beside = median_ms(proxy)
        assert slow.dead == 0, "they were all there"
        assert proxy.access_log(200), "and the normal one was served"
    finally:
        slow.stop()
    if not sanitized():
        assert beside < alone + 5, f"{alone:.2f} ms alone, {beside:.2f} ms beside them"


def test_slowloris_is_shown_the_door(rig):
    """header_timeout is absolute, however many there are; their connections are given back."""
    proxy = rig.before(rig.upstream(), client={"header_timeout": "1s"})
    before = proxy.fds()
    slow = Slowloris(proxy.port, 300)
    try:
        end = time.monotonic() + 20
        while proxy.fds() > before + 5:
            assert time.monotonic() < end, f"{proxy.fds()} descriptors"
            time.sleep(0.05)
        assert proxy.ask().status == 200
    finally:
        slow.stop()


def test_ten_thousand_idle_clients(rig):
    """Each asked once and stays; the next one does not notice, and each of them can ask again."""
    if sanitized():
        pytest.skip("a test of the release build")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 10500:
        pytest.skip("too few descriptors")
    proxy = rig.before(rig.upstream(), client={"max_connections": 20000, "keepalive_timeout": "10m"}, access_log={"to": "off"}, workers=1)
    alone, before = median_ms(proxy), proxy.rss()
    head, sockets = request(), []
    try:
        for _ in range(10000):
            s = socket.create_connection(("127.0.0.1", proxy.port))
            s.sendall(head)
            sockets.append(s)
            if len(sockets) % 100 == 0:        # at most as many at a time as Python's upstream can serve
                for x in sockets[-100:]:
                    assert x.recv(4096).startswith(b"HTTP/1.1 200")
        grown = (proxy.rss() - before) / len(sockets)
        beside = median_ms(proxy)
        for s in sockets[::997]:
            s.sendall(head)
            assert s.recv(4096).startswith(b"HTTP/1.1 200")
        assert grown < 8192, f"{grown:.0f} bytes for each idle client"
        assert beside < alone + 5, f"{alone:.2f} ms alone, {beside:.2f} ms beside them"
    finally:
        for s in sockets:
            s.close()


def test_head_target_and_body_limits(rig):
    proxy = quick(rig, rig.upstream(), max_header_size="4KiB", max_target_size="1KiB", max_headers=20, max_request_body="1KiB")
    assert proxy.ask("GET", "/", "X: " + "y" * 5000).status == 431
    assert proxy.ask("GET", "/" + "y" * 2000).status == 414
    assert proxy.ask("GET", "/", *[f"X-{i}: y" for i in range(30)]).status == 431
    assert proxy.ask("POST", "/", body=b"x" * 1024).status == 200
    assert proxy.ask("POST", "/", body=b"x" * 1025).status == 413
    with Client(("127.0.0.1", proxy.port)) as c:
        assert c.ask("POST", "/", chunks=[b"x" * 1000, b"y" * 1000]).status == 413
