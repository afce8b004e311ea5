"""test_mirror.py - copies of requests in the real binary: they cost the client nothing, and nobody hears of their answers."""
import time

from client import until
from test_admin import metrics, scrape
from upstream import hang, hangup, reply


def results(proxy):
    found = {k.split('result="')[1][:-2]: v for k, v in metrics(proxy).items() if k.startswith("outrigger_mirrored_requests_total{")}
    return {k: v for k, v in found.items() if v}


def in_flight(proxy):
    return scrape(proxy)['outrigger_mirror_in_flight{route="/"}']


def mirrored(rig, shadow, behave=None, **mirror):
    up, copy = rig.upstream(behave), rig.upstream(shadow)
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url]}, "shadow": {"endpoints": [copy.url]}},
                          routes=[{"path": "/", "upstream": "app", "mirror": {"upstream": "shadow", **mirror}}])
    return up, copy, proxy


def test_a_copy_is_the_request(rig):
    up, copy, proxy = mirrored(rig, reply(b"nobody sees this", 500), methods=["GET", "POST"])
    r = proxy.ask("GET", "/a?b=c", "X-Mine: 1", host="shop.example")
    assert (r.status, r.body) == (200, b"hello")
    r = proxy.ask("POST", "/p", "X-Outrigger-Mirror: forged", body=b"x" * 50000)
    assert r.status == 200
    until(lambda: len(copy.requests) == 2)
    until(lambda: results(proxy) == {"answered": 2})
    by_target = {q.target: q for q in copy.requests}
    q = by_target["/a?b=c"]
    assert (q.method, q.fields.get("host"), q.fields.get("x-mine"), q.fields.get("x-outrigger-mirror")) == ("GET", "shop.example", "1", "1")
    q = by_target["/p"]
    assert q.body == b"x" * 50000 and q.fields.get("content-length") == "50000" and q.fields.get("x-outrigger-mirror") == "1"
    assert all(not q.fields.get("x-outrigger-mirror") for q in up.requests if q.target != "/p")
    assert len(proxy.access_log(2)) == 2
    until(lambda: scrape(proxy)['outrigger_upstream_requests_total{upstream="shadow",code="500"}'] == 2)
    until(lambda: in_flight(proxy) == 0)
    asked = [v for k, v in metrics(proxy).items() if k.startswith("outrigger_http_requests_total{route=\"/\"")]
    assert sum(asked) == 2 and len(proxy.access_log(2)) == 2      # the client's only


def test_chunked_bodies_and_large_ones(rig):
    up, copy, proxy = mirrored(rig, reply(), methods=["POST"], buffer="16KiB")
    with proxy.client() as c:
        c.send(b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        time.sleep(.05)
        c.send(b"6\r\n world\r\n0\r\n\r\n")
        assert c.read().status == 200
    until(lambda: len(copy.requests) == 1)
    assert copy.requests[0].body == b"hello world" and copy.requests[0].fields.get("content-length") == "11"
    assert proxy.ask("POST", "/big", body=b"x" * 3000000).status == 200
    assert [len(q.body) for q in up.requests] == [11, 3000000]
    until(lambda: results(proxy) == {"answered": 1, "too_large": 1})
    assert len(copy.requests) == 1


def test_a_mirror_that_hangs_delays_nobody(rig):
    _, copy, proxy = mirrored(rig, hang, max_in_flight=3, timeout="1s")
    slowest = 0
    for _ in range(20):
        begun = time.monotonic()
        assert proxy.ask().status == 200
        slowest = max(slowest, time.monotonic() - begun)
    assert slowest < .5
    assert len(copy.requests) <= 3
    until(lambda: results(proxy) == {"timeout": 3, "too_many": 17}, 5)
    assert in_flight(proxy) == 0


def test_a_mirror_that_is_down_fails_nobody(rig):
    _, copy, proxy = mirrored(rig, hangup)
    for _ in range(5):
        assert proxy.ask().status == 200
    until(lambda: results(proxy) == {"failed": 5})
    copy.stop()
    for _ in range(5):
        assert proxy.ask().status == 200
    until(lambda: results(proxy) == {"failed": 10})
    assert all(v["status"] == 200 and v["attempts"] == 1 for v in proxy.access_log(10))


def test_a_drain_does_not_wait_for_copies_for_ever(rig):
    _, copy, proxy = mirrored(rig, hang, timeout="2s")
    assert proxy.ask().status == 200
    until(lambda: len(copy.requests) == 1)
    begun = time.monotonic()
    proxy.signal(15)
    assert proxy.wait() == 0
    assert time.monotonic() - begun < 4


def test_to_a_url(rig):
    up, copy = rig.upstream(), rig.upstream()
    proxy = rig.outrigger(routes=[{"path": "/", "upstream": up.url, "mirror": copy.url}])
    assert proxy.ask().status == 200
    until(lambda: len(copy.requests) == 1)
