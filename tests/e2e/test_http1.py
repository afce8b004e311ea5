"""test_http1.py - framing to the letter: connections, pipelining, bodies both ways, early answers, ends, and back-pressure."""
import hashlib
import socket
import threading
import time

import pytest

from client import Client, chunked, request
from upstream import chunks, echo, hang, head, raw, reply


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


@pytest.fixture(scope="module")
def proxy(shared_rig, up):
    return shared_rig.before(up)


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.on.clear()
    up.script.clear()
    up.default = reply()


# ── connections ──

def test_one_request(proxy, up):
    r = proxy.ask("GET", "/a?b=c")
    assert (r.status, r.body, r.minor) == (200, b"hello", 1)
    assert [(q.method, q.target, q.minor) for q in up.requests] == [("GET", "/a?b=c", 1)]
    assert up.last.body == b"" and "transfer-encoding" not in up.last.fields and "content-length" not in up.last.fields


def test_connection_close_is_honoured(proxy):
    with proxy.client() as c:
        r = c.ask("GET", "/", "Connection: close")
        assert r.fields.get("connection") == "close" and c.ended()


def test_connection_close_in_a_list(proxy):
    with proxy.client() as c:
        c.ask("GET", "/", "Connection: foo, Close")
        assert c.ended()


def test_http10_without_host(proxy, up):
    with proxy.client() as c:
        assert c.ask("GET", "/", host=None, version="1.0").status == 200
    assert len(up.last.fields.all("host")) == 1


def test_empty_lines_before_a_request_line(proxy):
    with proxy.client() as c:
        c.send(b"\r\n" + request())
        assert c.read().status == 200


def test_head_in_single_bytes(proxy, up):
    with proxy.client() as c:
        c.drip(request("POST", "/", chunks=[b"ab", b"c"]))
        assert c.read().status == 200
    assert up.last.body == b"abc"


# ── pipelining ──

def test_pipelined_in_order(proxy, up):
    up.default = lambda call, q: (time.sleep(0.01 if q.target == "/0" else 0), reply(q.target)(call, q))
    with proxy.client() as c:
        c.send(b"".join(request("GET", f"/{i}") for i in range(30)))
        assert [c.read().body for _ in range(30)] == [b"/%d" % i for i in range(30)]
    assert [q.target for q in up.requests] == [f"/{i}" for i in range(30)]


def test_pipelined_bodies(proxy, up):
    up.default = echo
    with proxy.client() as c:
        c.send(request("POST", "/", body=b"one") + request("PUT", "/", chunks=[b"two"]) + request() + request("POST", "/", body=b"four"))
        assert [c.read().body for _ in range(4)] == [b"one", b"two", b"", b"four"]


def test_pipelined_close_ends_it(proxy, up):
    with proxy.client() as c:
        c.send(request("GET", "/1", "Connection: close") + request("GET", "/2"))
        assert c.read().status == 200 and c.ended()
    assert [q.target for q in up.requests] == ["/1"]


def test_pipelining_reads_ahead_only_so_much(proxy, up):
    """While the first answer is out, the proxy takes in a bounded part of what follows, and then stops reading."""
    gate = threading.Event()
    up.on["/first"] = lambda call, q: (gate.wait(10), reply()(call, q))
    with proxy.client() as c:
        c.send(request("GET", "/first"))
        c.sock.settimeout(0.3)
        target = f"/{time.monotonic_ns()}"    # the test before may have left requests under way
        sent, block = 0, request("GET", target, "X-Fill: " + "f" * 900)
        stuck = block * 16
        try:
            while sent < 64 << 20:
                sent += c.sock.send(stuck)
        except (socket.timeout, TimeoutError):
            pass
        assert sent < 32 << 20, "nothing holds this client back"
        assert not [q for q in up.requests if q.target == target]
        gate.set()
        c.sock.settimeout(10)
        for _ in range(40):
            assert c.read().status == 200


# ── framing ──

def test_chunked_request(proxy, up):
    up.default = echo
    r = proxy.ask("POST", "/chunked-request", chunks=[b"a" * 10, b"b" * 70000])
    q = [q for q in up.requests if q.target == "/chunked-request"][-1]        # another test's late request may be the last
    assert r.body == b"a" * 10 + b"b" * 70000 == q.body
    assert q.fields.get("transfer-encoding") == "chunked"


def test_chunk_extensions_are_dropped(proxy, up):
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nxyz\r\n0;e\r\n\r\n")
        assert c.read().status == 200
    assert up.last.body == b"xyz"             # the strict reader would have refused an extension


def test_chunked_reply(proxy, up):
    up.default = chunks([b"a" * 9, b"b" * 100000])
    r = proxy.ask()
    assert r.fields.get("transfer-encoding") == "chunked" and r.body == b"a" * 9 + b"b" * 100000


def test_chunked_reply_to_http10(proxy, up):
    up.default = chunks([b"abc", b"def"])
    with proxy.client() as c:
        r = c.ask("GET", "/", "Connection: keep-alive", version="1.0")
        assert r.until_close and r.body == b"abcdef"


def test_reply_until_close_becomes_chunked(proxy, up):
    up.default = raw(b"HTTP/1.1 200 OK\r\n\r\nuntil the end", close=True)
    with proxy.client() as c:
        r = c.ask()
        assert r.body == b"until the end" and r.fields.get("transfer-encoding") == "chunked"
        assert c.ask().body == b"until the end"


def test_http10_reply(proxy, up):
    up.default = raw(b"HTTP/1.0 200 Fine\r\nContent-Length: 3\r\n\r\nabc", close=True)
    with proxy.client() as c:
        for _ in range(2):
            r = c.ask()
            assert (r.minor, r.status, r.reason, r.body) == (1, 200, "Fine", b"abc")


@pytest.mark.parametrize("fields", [["Content-Length: 5"], ["Transfer-Encoding: chunked"], []])
def test_head(proxy, up, fields):
    up.default = lambda call, q: call.send(head(200, *fields))
    with proxy.client() as c:
        r = c.ask("HEAD")
        assert r.status == 200 and r.body == b""
        if fields == ["Content-Length: 5"]:
            assert r.fields.get("content-length") == "5"
        up.default = reply()
        assert c.ask().body == b"hello"


@pytest.mark.parametrize("status", [204, 304])
def test_statuses_without_body(proxy, up, status):
    up.default = raw(head(status, "ETag: x"))
    with proxy.client() as c:
        r = c.ask()
        assert r.status == status and r.fields.get("etag") == "x"
        up.default = reply()
        assert c.ask().body == b"hello"


def test_304_keeps_its_length(proxy, up):
    up.default = raw(head(304, "Content-Length: 123"))
    with proxy.client() as c:
        assert c.ask().status == 304
        up.default = reply()
        assert c.ask().body == b"hello"


def test_empty_bodies(proxy, up):
    up.default = echo
    with proxy.client() as c:
        assert c.ask("POST", "/", body=b"").body == b""
        assert up.last.fields.get("content-length") == "0"
        assert c.ask("POST", "/", chunks=[]).body == b""
        assert up.last.fields.get("transfer-encoding") == "chunked"


def test_get_with_body(proxy, up):
    assert proxy.ask("GET", "/", body=b"query").status == 200
    assert up.last.body == b"query"


def test_unknown_method_and_phrase(proxy, up):
    up.default = raw(head(299, "Content-Length: 0", reason="Very Odd Indeed"))
    r = proxy.ask("PROPFIND", "/x")
    assert (r.status, r.reason, up.last.method) == (299, "Very Odd Indeed", "PROPFIND")


# ── targets ──

@pytest.mark.parametrize("target", ["/a%2Fb//c/%7Eu?x=%00", "/a/./b/../c", "//x", "/;a=b,c", "/?"])
def test_target_is_forwarded_as_received(proxy, up, target):
    assert proxy.ask("GET", target).status == 200
    assert up.last.target == target


def test_absolute_form(proxy, up):
    assert proxy.ask("GET", "http://shop.example:81/a?b", host="shop.example:81").status == 200
    assert up.last.target == "/a?b" and up.last.fields.get("host") == "shop.example:81"


def test_absolute_form_wins_over_host(proxy, up):
    assert proxy.ask("GET", "http://real.example/a", host="other.example").status == 200
    assert up.last.fields.get("host") == "real.example"


def test_star_is_for_options_only(proxy, up):
    assert proxy.ask("GET", "*").status == 400 and not up.requests


def test_connect_is_refused(proxy, up):
    with proxy.client() as c:
        c.send(b"CONNECT h.example:443 HTTP/1.1\r\nHost: h.example:443\r\n\r\n")
        assert c.read().status == 400 and c.ended()
    assert not up.requests


# ── informational ──


def test_expect_refused_by_upstream(proxy, up):
    """A final answer instead of 100: the client need not send the body at all."""
    up.default = lambda call, q: (call.send(head(417, "Content-Length: 0")), call.close())
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert c.read().status == 417 and c.ended()


def test_no_informational_to_http10(proxy, up):
    up.default = lambda call, q: (call.send(head(103, "Link: x", reason="Early Hints")), reply()(call, q))
    with proxy.client() as c:
        assert c.ask("GET", "/", version="1.0").informational == []


# ── early answers ──

def test_answer_before_the_body_ends(proxy, up):
    """Forwarded at once; the upstream connection is not used again, and neither is the client's."""
    up.on["/early"] = lambda call, q: (call.send(head(200, "Content-Length: 5") + b"early"), call.rest(), call.close())
    with proxy.client() as c:
        c.send(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nabc")
        r = c.read()
        assert r.body == b"early" and r.fields.get("connection") == "close"
        assert c.ended()
    number = up.last.connection
    assert proxy.ask().status == 200 and up.last.connection != number


def test_early_refusal_with_close_while_sending(proxy, up):
    """The upstream answers 413 and closes in the middle of a large body: its answer reaches the client."""
    def refuse(call, q):
        call.send(head(413, "Content-Length: 3", "Connection: close") + b"big")
        call.sock.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        call.close()
    up.default = refuse
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n")
        try:
            c.send(b"x" * 3000000)
        except OSError:
            pass
        r = c.read()
        assert r.status == 413 and r.body == b"big"


# ── large bodies ──

@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_large_request_body(rig, framing):
    up = rig.upstream(lambda call, q: reply(hashlib.sha256(call.body(q)).hexdigest())(call, q))
    proxy = rig.before(up, client={"max_request_body": "64MiB"})
    data = bytes(range(256)) * 4096 * 12
    with proxy.client() as c:
        if framing == "length":
            c.send(request("POST", "/", body=data))
        else:
            c.send(request("POST", "/", chunks=[data[i:i + 50000] for i in range(0, len(data), 50000)]))
        assert c.read().body.decode() == hashlib.sha256(data).hexdigest()
        assert c.ask("POST", "/", body=b"again").body.decode() == hashlib.sha256(b"again").hexdigest()


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_large_reply_body(proxy, up, framing):
    data = bytes(range(256)) * 4096 * 12
    up.default = {"length": reply(data), "chunked": chunks([data[i:i + 100000] for i in range(0, len(data), 100000)]),
                  "close": raw(head(200) + data, close=True)}[framing]
    with proxy.client() as c:
        assert hashlib.sha256(c.ask().body).digest() == hashlib.sha256(data).digest()
        up.default = reply()
        assert c.ask().body == b"hello"


def test_both_ways_at_once(proxy, up):
    """The upstream answers while it still reads: bytes flow both ways at the same time."""
    def mirror(call, q):
        call.send(head(200, "Transfer-Encoding: chunked"))
        left = int(q.fields.get("content-length"))
        while left:
            if not call.ahead:
                call.more()
            data, call.ahead = call.ahead, b""
            left -= len(data)
            call.send(b"%x\r\n%s\r\n" % (len(data), data))
        q.over = True
        call.send(chunked([]))
    up.default = mirror
    data = bytes(range(256)) * 4096 * 4
    with proxy.client() as c:
        sender = threading.Thread(target=c.send, args=(request("POST", "/", body=data),))
        sender.start()
        assert c.read().body == data
        sender.join()


def test_reader_that_stops_stops_the_sender(rig):
    """A slow reader: the upstream's send is held back, and what the proxy keeps is bounded."""
    sent = [0]

    def flood(call, q):
        call.sock.settimeout(20)
        call.send(head(200, "Content-Length: %d" % (256 << 20)))
        for _ in range(256 * 16):
            call.send(b"x" * 65536)
            sent[0] += 65536
    up = rig.upstream(flood)
    proxy = rig.before(up)
    before = proxy.rss()
    with proxy.client(receive_buffer=4096) as c:
        c.send(request())
        c.reply_head()
        last, end = -1, time.monotonic() + 5
        while sent[0] != last and time.monotonic() < end:
            last = sent[0]
            time.sleep(0.3)
        assert 0 < last == sent[0] < 64 << 20, "nothing holds the upstream back"
        assert proxy.rss() - before < 24 << 20
        c.exactly(8 << 20)
        time.sleep(0.1)
        assert sent[0] > last, "it does not go on"


def test_upstream_that_stops_reading_stops_the_client(rig):
    gate = threading.Event()
    up = rig.upstream(lambda call, q: (gate.wait(20), reply()(call, q)))
    proxy = rig.before(up, client={"max_request_body": "1GiB"}, defaults={"timeout": "30s"})
    before, sent = proxy.rss(), 0
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (200 << 20))
        c.sock.settimeout(0.5)
        try:
            while sent < 200 << 20:
                sent += c.sock.send(b"y" * 65536)
        except (socket.timeout, TimeoutError):
            pass
        assert sent < 64 << 20 and proxy.rss() - before < 24 << 20
        gate.set()
        c.sock.settimeout(20)
        while sent < 200 << 20:
            sent += c.sock.send(b"y" * min(65536, (200 << 20) - sent))
        assert c.read().status == 200
    assert len(up.last.body) == 200 << 20


# ── sockets ──


def test_ipv6_listener_and_upstream(rig):
    up = rig.upstream(address=("::1", 0))
    proxy = rig.before(up, listen="[::1]:{PORT}")
    with Client(("::1", proxy.port)) as c:
        assert c.ask().body == b"hello"
    assert up.last.fields.get("x-forwarded-for") == "::1"


def test_wildcard_listener_takes_both(rig):
    up = rig.upstream()
    proxy = rig.before(up, listen=":{PORT}")
    for host in "127.0.0.1", "::1":
        with Client((host, proxy.port)) as c:
            assert c.ask().body == b"hello"
        assert up.last.fields.get("x-forwarded-for") == host


def test_several_listeners(rig):
    up = rig.upstream()
    proxy = rig.before(up, listen=[{"address": "127.0.0.1:{PORT}"}, {"address": "127.0.0.2:{PORT}"}])
    for host in "127.0.0.1", "127.0.0.2":
        with Client((host, proxy.port)) as c:
            assert c.ask().body == b"hello"


def test_two_workers(rig):
    up = rig.upstream()
    proxy = rig.before(up, workers=2)
    clients = [proxy.client() for _ in range(20)]
    for _ in range(5):
        for c in clients:
            assert c.ask().body == b"hello"
    for c in clients:
        c.close()


# ── ends ──

def test_client_leaves_while_waiting(rig):
    up = rig.upstream(hang)
    proxy = rig.before(up)
    c = proxy.client()
    c.send(request())
    up.wait_for(1)
    assert up.alive
    c.reset()
    end = time.monotonic() + 5
    while up.alive and time.monotonic() < end:
        time.sleep(0.01)
    assert not up.alive, "the upstream's call goes on for nobody"


def test_client_leaves_in_the_middle_of_its_body(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf")
        up.wait_for(1)
    end = time.monotonic() + 5
    while up.alive and time.monotonic() < end:
        time.sleep(0.01)
    assert not up.alive and not up.last.over


def test_upstream_breaks_off_the_body(proxy, up):
    """The client can tell: its connection is cut before the promised length."""
    up.default = lambda call, q: (call.send(head(200, "Content-Length: 100") + b"half"), call.close())
    with proxy.client() as c:
        c.send(request())
        r = c.reply_head()
        assert r.status == 200 and c.rest() == b"half"


def test_upstream_breaks_off_chunks(proxy, up):
    up.default = lambda call, q: (call.send(head(200, "Transfer-Encoding: chunked") + b"4\r\nhalf\r\n"), call.close())
    with proxy.client() as c:
        c.send(request())
        c.reply_head()
        assert not c.rest().endswith(b"0\r\n\r\n"), "a cut body must not look complete"
