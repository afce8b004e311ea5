"""test_slow_clients.py - behaviour §5: whoever is slow, silent or many costs little and is told why."""
import socket
import statistics
import time

from client import Client, request
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


def test_slowloris_delays_nobody(rig):
    up = rig.upstream()
    proxy = rig.before(up)

    def median():
        took = []
        with proxy.client() as c:
            for _ in range(60):
                began = time.monotonic()
                assert c.ask().status == 200
                took.append(time.monotonic() - began)
        return statistics.median(took)
    alone = median()
    slow = []
    for i in range(300):
        s = socket.create_connection(("127.0.0.1", proxy.port))
        s.sendall(b"GET / HTTP/1.1\r\nHost: h\r\nX-%d: " % i)
        slow.append(s)
    assert median() < alone + 0.005
    for s in slow:
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
