"""test_basics.py - HTTP/1 through the proxy, as a well-behaved client and a well-behaved upstream see it."""
import socket

import pytest

from client import Client, request
from upstream import chunks, echo, head, hang, raw, reply, tunnel


@pytest.fixture(scope="module")
def pair(shared_rig):
    up = shared_rig.upstream()
    up.on.update({"/echo": echo, "/chunks": chunks([b"one", b"two", b"three"], trailers=["x-sum: 3"]), "/empty": reply(b"", 204),
                  "/not-modified": reply(b"", 304, "ETag: \"a\""), "/close": raw(head(200) + b"until close", close=True),
                  "/early": lambda call, q: (call.send(head(413, "Content-Length: 2", reason="No") + b"no"), call.close())})
    return up, shared_rig.before(up, route={"timeout": "5s"})


def test_keep_alive_both_sides(pair):
    up, proxy = pair
    up.forget()
    with proxy.client() as c:
        for _ in range(5):
            assert c.ask().body == b"hello"
    assert len({q.connection for q in up.requests}) == 1


def test_http_1_0_is_closed_unless_asked(pair):
    _, proxy = pair
    with proxy.client() as c:
        assert c.ask(version="1.0").body == b"hello"
        assert c.ended()
    with proxy.client() as c:
        for _ in range(2):
            assert c.ask("GET", "/", "Connection: keep-alive", version="1.0").body == b"hello"


def test_pipelining_in_order(pair):
    up, proxy = pair
    up.on["/1"], up.on["/2"], up.on["/3"] = reply(b"first", delay=0.05), reply(b"second"), reply(b"third")
    with proxy.client() as c:
        c.send(request("GET", "/1") + request("POST", "/2", body=b"x" * 3000) + request("GET", "/3"))
        assert [c.read().body for _ in range(3)] == [b"first", b"second", b"third"]


def test_many_pipelined(pair):
    _, proxy = pair
    with proxy.client() as c:
        c.send(request() * 200)
        assert all(c.read().status == 200 for _ in range(200))


def test_chunked_both_ways_with_trailers(pair):
    up, proxy = pair
    with proxy.client() as c:
        r = c.ask("POST", "/echo", "Trailer: x-t", chunks=[b"a" * 10, b"b" * 5000, b"c"], trailers=["x-t: 1"])
        assert r.body == b"a" * 10 + b"b" * 5000 + b"c"
        assert ("x-t", "1") in r.trailers
        r = c.ask("GET", "/chunks")
        assert r.body == b"onetwothree" and ("x-sum", "3") in r.trailers


def test_content_length_stays_content_length(pair):
    up, proxy = pair
    with proxy.client() as c:
        r = c.ask("PUT", "/echo", body=b"z" * 100)
        assert r.body == b"z" * 100 and r.fields.get("content-length") == "100"
        assert up.last.fields.get("content-length") == "100" and up.last.fields.get("transfer-encoding") is None


def test_head_and_bodyless(pair):
    _, proxy = pair
    with proxy.client() as c:
        r = c.ask("HEAD")
        assert r.fields.get("content-length") == "5" and r.body == b""
        assert c.ask("GET", "/empty").status == 204
        assert c.ask("GET", "/not-modified").status == 304
        assert c.ask().body == b"hello"


def test_until_close_becomes_chunked(pair):
    _, proxy = pair
    with proxy.client() as c:
        r = c.ask("GET", "/close")
        assert r.body == b"until close" and r.fields.get("transfer-encoding") == "chunked"
        assert c.ask().body == b"hello"
    with proxy.client() as c:
        assert c.ask("GET", "/close", version="1.0").body == b"until close"


def test_expect_continue(pair):
    up, proxy = pair

    def careful(call, q):
        assert q.fields.get("expect") == "100-continue"
        call.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        call.body(q)
        call.send(head(200, f"Content-Length: {len(q.body)}") + q.body)
    up.on["/careful"] = careful
    with proxy.client() as c:
        c.send(b"POST /careful HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert c.reply_head().status == 100
        c.send(b"body")
        assert c.read().body == b"body"


def test_early_hints(pair):
    up, proxy = pair
    up.on["/hints"] = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + head(200, "Content-Length: 2") + b"ok")
    with proxy.client() as c:
        r = c.ask("GET", "/hints")
        assert r.body == b"ok" and [i.status for i in r.informational] == [103]
        assert r.informational[0].fields.get("link") == "</a>"


def test_early_answer_to_an_unfinished_request(pair):
    _, proxy = pair
    with proxy.client() as c:
        c.send(b"POST /early HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        r = c.read("POST")
        assert r.status == 413 and r.body == b"no"
        assert c.ended()


def test_absolute_form(pair):
    up, proxy = pair
    with proxy.client() as c:
        c.send(b"GET http://other.example/a?b HTTP/1.1\r\nHost: h.example\r\n\r\n")
        assert c.read().status == 200
    assert up.last.target == "/a?b" and up.last.fields.get("host") == "other.example"


def test_options_star(pair):
    up, proxy = pair
    with proxy.client() as c:
        assert c.ask("OPTIONS", "*").status in (200, 404)


def test_tunnel(pair):
    up, proxy = pair
    up.on["/ws"] = tunnel(greet=b"HELLO")
    with proxy.client() as c:
        c.send(b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
        r = c.reply_head()
        assert r.status == 101 and r.fields.get("upgrade") == "websocket"
        c.send(b"more")
        got = c.ahead
        while b"MORE" not in got:
            got += c.sock.recv(100)
        assert got == b"HELLOEARLYMORE"
        c.end()
        rest = b""
        while True:
            part = c.sock.recv(100)
            if not part:
                break
            rest += part
        assert rest == b"BYE"


def test_unix_sockets_both_sides(rig, tmp_path):
    up = rig.upstream(address=str(tmp_path / "app.sock"))
    proxy = rig.before(up, listen=[f"unix:{tmp_path}/front.sock"])
    with Client(f"{tmp_path}/front.sock") as c:
        assert c.ask().body == b"hello"
    proxy.stop()
    assert not (tmp_path / "front.sock").exists()


def test_ipv6(rig):
    up = rig.upstream(address=("::1", 0))
    proxy = rig.before(up, listen="[::1]:{PORT}")
    with Client(("::1", proxy.port)) as c:
        assert c.ask().body == b"hello"


def test_localhost_has_several_addresses(rig):
    up = rig.upstream()
    proxy = rig.outrigger(routes=[{"path": "/", "upstream": f"http://localhost:{up.address[1]}"}])
    assert proxy.ask().body == b"hello"


def test_name_that_does_not_resolve(rig):
    up = rig.upstream()
    lost = {"endpoints": ["http://no-such-host.invalid:80"], "required": False}
    proxy = rig.outrigger(upstreams={"lost": lost}, routes=[{"path": "/", "upstream": up.url}, {"path": "/lost", "upstream": "lost"}])
    r = proxy.ask("GET", "/lost")
    assert r.status in (503, 504) and r.json()["reason"] in ("dns_error", "dns_timeout")
    assert proxy.ask().body == b"hello"


def test_connection_refused(rig):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        proxy = rig.outrigger(routes=[{"path": "/", "upstream": f"http://127.0.0.1:{s.getsockname()[1]}"}])
        r = proxy.ask()
    assert r.status == 502 and r.json()["reason"] == "connection_refused"
    assert "connection_refused" in r.fields.get("proxy-status")


def test_client_that_leaves_cancels_the_call(rig):
    up = rig.upstream(default=hang)
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
    up.default = reply()
    assert proxy.ask().body == b"hello"
    assert proxy.access_log(1, status=499)[0]["reason"] == "client_closed"


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 16384, 65535, 65536, 65537, 131072, 262144, 1048575, 1048576, 5000000])
def test_bodies_of_all_sizes_both_ways(pair, size):
    _, proxy = pair
    body = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    body = body[:size]
    with proxy.client() as c:
        for _ in range(2):
            assert c.ask("PUT", "/echo", body=body).body == body
        assert c.ask("PUT", "/echo", chunks=[body[i:i + 30000] for i in range(0, len(body), 30000)]).body == body
