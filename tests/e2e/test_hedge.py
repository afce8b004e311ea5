"""test_hedge.py - a second request when the first one is slow, in the real binary."""
import threading
import time

import pytest

from client import until
from proxy import run, sanitized
from test_admin import metrics, scrape
from upstream import chunks, head, reply

BODY = b"0123456789" * 20000


def two(rig, slow, fast, route=None, **more):
    """Two endpoints in turn, the first one slow; but it has seen its request when the second one gets it."""
    a, b = rig.upstream(slow), rig.upstream(fast)
    return a, b, rig.before([a, b], route={"hedge": {"after": "250ms", "max_extra": "100%"}, **(route or {})},
                            upstream={"balance": "round_robin", "retry": "off", **more}, workers=1)


def hedges(proxy):
    m = metrics(proxy)
    return {r: m[f'outrigger_hedges_total{{route="/",result="{r}"}}'] for r in ("won", "lost", "cancelled", "suppressed")}


def test_the_second_wins_and_the_first_is_called_off(rig):
    a, b, proxy = two(rig, reply(b"slow", delay=5), reply(BODY, 200, "X-From: b"))
    began = time.monotonic()
    r = proxy.ask("GET", "/x")
    assert r.status == 200 and r.body == BODY and r.fields.get("x-from") == "b"
    assert .2 < time.monotonic() - began < 4
    assert a.last.fields.get("x-outrigger-attempt") is None and b.last.fields.get("x-outrigger-attempt") == "2"
    assert a.last.fields.get("x-request-id") == b.last.fields.get("x-request-id")
    assert a.last.fields.get("traceparent") != b.last.fields.get("traceparent")
    line = proxy.access_log(1)[0]
    assert line["attempts"] == 2 and line["endpoint"] == b.name
    assert line["tried"][0]["endpoint"] == a.name and line["tried"][0]["cancelled"] is True
    assert hedges(proxy) == {"won": 1, "lost": 0, "cancelled": 0, "suppressed": 0}
    until(lambda: in_flight(proxy) == 0, 3)


def in_flight(proxy):
    return sum(e["in_flight"] for u in proxy.admin("GET", "/upstreams").json() for e in u["endpoints"])


def test_the_first_wins_and_the_second_is_called_off(rig):
    a, b, proxy = two(rig, reply(b"first", delay=.8), reply(b"second", delay=5))
    assert proxy.ask("GET", "/x").body == b"first"
    line = proxy.access_log(1)[0]
    assert line["attempts"] == 2 and line["endpoint"] == a.name and line["tried"][0]["endpoint"] == b.name
    assert hedges(proxy)["lost"] == 1
    until(lambda: in_flight(proxy) == 0, 3)


def test_the_percentile_is_learnt(rig):
    a, b = rig.upstream(reply(delay=.01)), rig.upstream(reply(delay=.01))
    proxy = rig.before([a, b], route={"hedge": {"after": "p95", "max_extra": "10%"}}, upstream={"retry": "off", "balance": "round_robin"}, workers=1)
    with proxy.client() as c:
        for _ in range(120):
            assert c.ask().status == 200
    after = metrics(proxy)['outrigger_hedge_after_seconds{route="/"}']
    assert .009 < after < (1 if sanitized() else .1)
    a.default = b.default = reply(b"late", delay=2)
    began = time.monotonic()
    a.script.append(reply(b"late", delay=4))
    b.script.append(reply(b"late", delay=4))
    assert proxy.ask().status == 200
    assert time.monotonic() - began >= 2       # both were slow: it is a second try, not a miracle
    assert hedges(proxy)["won"] + hedges(proxy)["lost"] >= 1


def test_a_large_body_to_a_slow_reader(rig):
    big = BODY * 20
    a, b, proxy = two(rig, reply(b"slow", delay=8), reply(big))
    before = proxy.rss()
    with proxy.client() as c:
        c.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(.9)
        assert sanitized() or proxy.rss() - before < 3 << 20
        r = c.read()
        assert r.status == 200 and r.body == big
    assert hedges(proxy)["won"] == 1


def test_trailers_and_chunks_come_through(rig):
    a, b, proxy = two(rig, reply(b"slow", delay=5), chunks([b"one", b"two" * 1000], "Trailer: x-sum", trailers=["x-sum: 42"], pause=.02))
    r = proxy.ask("GET", "/x")
    assert r.body == b"one" + b"two" * 1000 and ("x-sum", "42") in r.trailers


def test_a_body_that_is_whole_is_sent_twice(rig):
    a, b, proxy = two(rig, reply(b"slow", delay=5), reply(b"ok"))
    r = proxy.ask("PUT", "/x", body=b"p" * 30000)
    assert r.status == 200 and a.last.body == b.last.body == b"p" * 30000


def test_a_post_is_not(rig):
    a, b, proxy = two(rig, reply(b"slow", delay=.6), reply(b"ok"))
    assert proxy.ask("POST", "/x", body=b"p").body == b"slow"
    assert not b.requests


def test_the_second_one_breaks_off(rig):
    def torn(call, q):
        call.send(head(200, "Content-Length: 1000") + b"x" * 100)
        time.sleep(.1)
        call.reset()
    a, b, proxy = two(rig, reply(b"slow", delay=5), torn)
    with proxy.client() as c:
        c.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        with pytest.raises(Exception):
            c.read()
    assert proxy.access_log(1)[0]["reason"] == "response_truncated"


def test_clients_come_and_leave_at_random(rig):
    a, b, proxy = two(rig, reply(BODY, delay=.09), reply(BODY, delay=.02), route={"hedge": {"after": "20ms", "max_extra": "100%"}},
                      concurrency={"limit": 64}, circuit_breaker={})
    stop, bad = time.monotonic() + 3, []

    def coming_and_going(n):
        while time.monotonic() < stop:
            try:
                with proxy.client() as c:
                    c.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
                    if n % 3 == 0:
                        time.sleep(.01 + .013 * (n % 11))         # not at once: the queue in front of the upstream is finite
                    else:
                        r = c.read()
                        if r.status != 200 or r.body != BODY:
                            bad.append((r.status, r.body[:300]))
            except Exception as e:
                bad.append(repr(e))
    threads = [threading.Thread(target=coming_and_going, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:5]
    until(lambda: scrape(proxy)['outrigger_concurrency_in_use{upstream="app"}'] == 0, 5)
    h = hedges(proxy)
    assert h["won"] + h["lost"] > 5, h


def test_told_to_stop_while_both_are_on_their_way(rig):
    a, b, proxy = two(rig, reply(b"slow", delay=5), reply(BODY, delay=.5))
    with proxy.client() as c:
        c.send(b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        b.wait_for(1)
        proxy.signal(15)
        r = c.read()
        assert r.status == 200 and r.body == BODY
    assert proxy.wait() == 0


def test_wrong_settings_are_explained(rig, tmp_path):
    for text, words in (("{after: p0}", "'p0' is not a percentile"), ("{after: 95}", "write 95s (seconds) or 95ms"), ("{max_extra: 2}", "write 2%")):
        file = tmp_path / "wrong.yaml"
        file.write_text(f"listen: 127.0.0.1:1\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n    hedge: {text}\n")
        done = run("check", "-c", file)
        assert done.returncode == 78 and words in done.stderr + done.stdout
