"""test_retry.py - behaviour §8 and §11: what is tried again and what never is, counted at the upstream; balancing and ejection."""
import collections
import threading
import time

import pytest

from client import request
from upstream import hang, hangup, head, raw, reply, reset

QUICK = {"backoff": {"base": "1ms", "max": "1ms"}, "min_retries_per_second": 1000}
DEAD = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


@pytest.fixture(scope="module")
def proxy(shared_rig, up):
    more = {"max_retries": 3, "retry_on": ["connect_failure", "reset", "timeout", "5xx", "429", "404"], **QUICK}
    return shared_rig.outrigger(
        upstreams={"app": {"endpoints": [up.url], "outlier_detection": {"consecutive_errors": 0}}}, defaults={"retry": QUICK},
        routes=[{"path": "/", "upstream": "app"}, {"path": "/off", "upstream": "app", "retry": "off"},
                {"path": "/more", "upstream": "app", "retry": more, "per_try_timeout": "150ms", "timeout": "3s"},
                {"path": "/small", "upstream": "app", "retry": {"buffer": "1KiB", **QUICK}}])


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.script.clear()
    up.default = reply()


# ── what is tried again ──

@pytest.mark.parametrize("failure", [reply(b"", 503), hangup, reset, raw(b"nonsense\r\n\r\n", close=True)])
def test_safe_failures_are_repaired(proxy, up, failure):
    up.script = [failure]
    r = proxy.ask()
    assert r.status == 200 and len(up.requests) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_idempotent_methods(proxy, up, method):
    up.script = [reply(b"", 503)]
    assert proxy.ask(method).status == 200 and len(up.requests) == 2


@pytest.mark.parametrize("method", ["POST", "PATCH", "FROB"])
@pytest.mark.parametrize("failure", [reply(b"", 503), hangup])
def test_other_methods_are_sent_once(proxy, up, method, failure):
    up.script = [failure]
    assert proxy.ask(method, "/", body=b"x").status in (502, 503) and len(up.requests) == 1


def test_idempotency_key_permits_it(proxy, up):
    up.script = [reply(b"", 503)]
    assert proxy.ask("POST", "/", "Idempotency-Key: abc", body=b"once").status == 200
    assert [q.body for q in up.requests] == [b"once", b"once"]


def test_connect_failure_permits_any_method(rig):
    """The first endpoint refuses; nothing was sent, so even a POST goes to the second."""
    up = rig.upstream()
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [DEAD, up.url], "balance": "round_robin", "outlier_detection": {"consecutive_errors": 0}}},
                          routes=[{"path": "/", "upstream": "app", "retry": QUICK}])
    for _ in range(6):
        assert proxy.ask("POST", "/", body=b"x").status == 200
    assert len(up.requests) == 6


def test_body_is_sent_again_to_the_letter(proxy, up):
    body = bytes(range(256)) * 200
    up.script = [reply(b"", 503)]
    assert proxy.ask("PUT", "/", body=body).status == 200
    assert [q.body for q in up.requests] == [body, body]
    up.forget()
    up.script = [reply(b"", 503)]
    assert proxy.ask("PUT", "/", chunks=[body, b"end"], trailers=["X-T: 1"]).status == 200
    assert [(q.body, q.trailers) for q in up.requests] == [(body + b"end", [("X-T", "1")])] * 2


def test_body_over_the_buffer_is_not_sent_again(proxy, up):
    up.script = [reply(b"", 503)]
    assert proxy.ask("PUT", "/small", body=b"x" * 2000).status == 503 and len(up.requests) == 1
    up.script = [reply(b"", 503)]
    assert proxy.ask("PUT", "/small", body=b"x" * 1000).status == 200


def test_body_still_coming_during_the_second_try(proxy, up):
    """The first try fails after half of the body: the second gets the half that was kept, and then the rest."""
    up.script = [hangup]
    with proxy.client() as c:
        c.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 8\r\n\r\nhalf")
        up.wait_for(2)
        c.send(b"rest")
        assert c.read().status == 200
    assert up.last.body == b"halfrest"


def test_retries_end(proxy, up):
    up.default = reply(b"no", 503)
    r = proxy.ask()
    assert r.status == 503 and r.body == b"no" and len(up.requests) == 2, "the last real answer is the client's"
    up.forget()
    assert proxy.ask("GET", "/more").status == 503 and len(up.requests) == 4
    assert [q.fields.get("x-outrigger-attempt") for q in up.requests] == [None, "2", "3", "4"]


def test_retry_off(proxy, up):
    up.default = reply(b"", 503)
    assert proxy.ask("GET", "/off").status == 503 and len(up.requests) == 1


@pytest.mark.parametrize("status,again", [(500, True), (501, False), (502, True), (504, True), (505, False), (429, True), (404, True), (400, False)])
def test_listed_statuses(proxy, up, status, again):
    up.script = [reply(b"", status)]
    assert proxy.ask("GET", "/more").status == (200 if again else status)
    assert len(up.requests) == (2 if again else 1)


@pytest.mark.parametrize("status", [500, 502, 504, 429])
def test_unlisted_statuses(proxy, up, status):
    up.script = [reply(b"", status)]
    assert proxy.ask().status == status and len(up.requests) == 1


def test_per_try_timeout(proxy, up):
    up.script = [hang]
    began = time.monotonic()
    assert proxy.ask("GET", "/more").status == 200
    assert 0.14 < time.monotonic() - began < 2 and len(up.requests) == 2


def test_retry_after_is_honoured(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"retry": QUICK})
    up.script = [reply(b"", 503, "Retry-After: 1")]
    began = time.monotonic()
    assert proxy.ask().status == 200 and time.monotonic() - began > 0.95
    up.script = [reply(b"", 503, "Retry-After: 30")]
    up.forget()
    r = proxy.ask()
    assert r.status == 503 and r.fields.get("retry-after") == "30" and len(up.requests) == 1


def test_nothing_after_the_first_byte(proxy, up):
    up.script = [lambda call, q: (call.send(head(200, "Content-Length: 10") + b"x"), call.close())]
    with proxy.client() as c:
        c.send(request())
        c.reply_head()
        assert c.rest() == b"x"
    assert len(up.requests) == 1


def test_no_multiplying_behind_a_proxy_that_retries(rig):
    up = rig.upstream(reply(b"", 503))
    proxy = rig.before(up, route={"retry": QUICK}, trusted_proxies=["127.0.0.1"])
    assert proxy.ask("GET", "/", "X-Outrigger-Attempt: 2").status == 503 and len(up.requests) == 1
    assert proxy.ask("GET", "/").status == 503 and len(up.requests) == 3


def test_budget(rig):
    """60 failing requests at once: retries are at most a share of them plus the floor of a few seconds."""
    up = rig.upstream(reply(b"", 503))
    proxy = rig.before(up, route={"retry": {"backoff": {"base": "0ms", "max": "0ms"}, "budget": "10%", "min_retries_per_second": 1}})
    with proxy.client() as c:
        for _ in range(60):
            assert c.ask().status == 503
    assert 60 + 1 <= len(up.requests) <= 60 + 6 + 12 and len(up.requests) < 90


def test_log_tells_what_was_tried(proxy, up):
    up.script = [reply(b"", 503)]
    proxy.ask("GET", "/", "X-Request-ID: tried-twice")
    line = proxy.access_log(1, request_id="tried-twice")[0]
    assert line["attempts"] == 2 and line["status"] == 200 and line["tried"][0]["endpoint"] == up.name
    assert line["tried"][0]["status"] == 503 and line["tried"][0]["ms"] >= 0


# ── the race of kept-alive connections ──

def dies_when_asked_again(call, q):
    """Answers the first request of a connection; closes when the second comes, unread as far as HTTP goes."""
    if getattr(call, "asked", False):
        call.close()
    call.asked = True
    reply()(call, q)


@pytest.mark.one_worker
def test_stale_connection_is_repaired_invisibly(rig):
    up = rig.upstream(dies_when_asked_again)
    proxy = rig.before(up, route={"retry": "off"})
    for _ in range(10):
        assert proxy.ask().status == 200
    assert len(up.connections) == 10 and all(q.fields.get("x-outrigger-attempt") in (None, "2") for q in up.requests)


@pytest.mark.one_worker
def test_post_on_a_stale_connection_is_sent_at_most_once(rig):
    up = rig.upstream(dies_when_asked_again)
    proxy = rig.before(up)
    assert proxy.ask().status == 200
    r = proxy.ask("POST", "/pay", body=b"money")
    assert r.status == 502 and r.json()["reason"] == "upstream_reset"
    assert len([q for q in up.requests if q.target == "/pay"]) == 1


@pytest.mark.one_worker
def test_idle_connection_closed_by_upstream_is_not_used(rig):
    def once(call, q):
        reply()(call, q)
        call.close()
    up = rig.upstream(once)
    proxy = rig.before(up, route={"retry": "off"})
    for _ in range(10):
        assert proxy.ask("POST", "/", body=b"x").status == 200
        time.sleep(0.01)
    assert len(up.requests) == 10


@pytest.mark.one_worker
def test_bytes_on_an_idle_connection_are_nobodys(rig):
    def talks(call, q):
        reply()(call, q)
        time.sleep(0.02)
        call.send(head(200, "Content-Length: 4") + b"evil")
    up = rig.upstream(talks)
    proxy = rig.before(up, route={"retry": "off"})
    for _ in range(8):
        assert proxy.ask("POST", "/", body=b"x").body == b"hello"
        time.sleep(0.04)


def test_two_races_in_one_request_are_not_free(rig):
    """The free repair comes once; from there on it is an ordinary failure."""
    up = rig.upstream(dies_when_asked_again)
    proxy = rig.before(up, route={"retry": "off"})
    clients = [proxy.client() for _ in range(3)]
    gate = threading.Barrier(3)
    up.default = lambda call, q: (gate.wait(5), reply()(call, q))
    for c in clients:
        c.send(request())
    assert [c.read().status for c in clients] == [200] * 3
    up.default = hangup
    up.forget()
    assert proxy.ask().status == 502 and len(up.requests) <= 2
    for c in clients:
        c.close()


# ── balancing ──

def shares(proxy, ups, n=60):
    with proxy.client() as c:
        for _ in range(n):
            assert c.ask().status == 200
    return [len(u.requests) for u in ups]


def test_round_robin(rig):
    ups = [rig.upstream() for _ in range(3)]
    proxy = rig.before(ups, upstream={"balance": "round_robin"}, workers=1)
    assert shares(proxy, ups) == [20, 20, 20]


def test_weights(rig):
    ups = [rig.upstream() for _ in range(2)]
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [{"url": ups[0].url, "weight": 3}, ups[1].url], "balance": "round_robin"}},
                          routes=[{"path": "/", "upstream": "app"}], workers=1)
    assert shares(proxy, ups) == [45, 15]


@pytest.mark.parametrize("how", ["least_requests", "random"])
def test_everybody_gets_something(rig, how):
    ups = [rig.upstream() for _ in range(3)]
    got = shares(rig.before(ups, upstream={"balance": how}), ups, 90)
    assert sum(got) == 90 and min(got) >= 10, got


def test_least_requests_avoids_the_busy_one(rig):
    slow, fast = rig.upstream(reply(delay=0.5)), rig.upstream()
    proxy = rig.before([slow, fast])
    clients = [proxy.client() for _ in range(16)]
    for _ in range(6):
        for c in clients:
            c.send(request())
        time.sleep(0.01)
    done = collections.Counter()
    for c in clients:
        for _ in range(6):
            done[c.read().status] += 1
        c.close()
    assert done == {200: 96} and len(fast.requests) > len(slow.requests)


def test_retry_prefers_another_endpoint(rig):
    bad, good = rig.upstream(reply(b"", 503)), rig.upstream()
    proxy = rig.before([bad, good], upstream={"outlier_detection": {"consecutive_errors": 0}}, route={"retry": QUICK})
    for _ in range(30):
        assert proxy.ask().status == 200
    assert len(good.requests) == 30


# ── ejection ──

def test_ejection_and_return(rig):
    bad, good = rig.upstream(hangup), rig.upstream()
    proxy = rig.before([bad, good], upstream={"balance": "round_robin", "outlier_detection": {"consecutive_errors": 3, "eject_for": "700ms"}},
                       route={"retry": "off"}, workers=1)
    statuses = [proxy.ask().status for _ in range(20)]
    assert statuses.count(502) == 3 == len(bad.requests), "ejected after three errors in a row, and then left alone"
    end = time.monotonic() + 0.5
    while "endpoint_ejected" not in proxy.err:                # another thread writes it
        assert time.monotonic() < end
    assert bad.name in proxy.err
    bad.default = reply()
    time.sleep(0.8)
    bad.forget()
    assert [proxy.ask().status for _ in range(10)] == [200] * 10 and len(bad.requests) >= 4


def test_a_500_is_no_ejection_and_a_success_forgives(rig):
    odd, good = rig.upstream(reply(b"", 500)), rig.upstream()
    proxy = rig.before([odd, good], upstream={"balance": "round_robin", "outlier_detection": {"consecutive_errors": 2, "eject_for": "5s"}},
                       route={"retry": "off"}, workers=1)
    assert [proxy.ask().status for _ in range(10)].count(500) == 5
    odd.script = [hangup, reply()] * 4
    assert [proxy.ask("POST", "/", body=b"x").status for _ in range(16)].count(502) == 4
    assert "endpoint_ejected" not in proxy.err


def test_the_only_endpoint_is_never_ejected(rig):
    up = rig.upstream(hangup)
    proxy = rig.before(up, upstream={"outlier_detection": {"consecutive_errors": 1, "eject_for": "5s"}}, route={"retry": "off"})
    for _ in range(5):
        assert proxy.ask().status == 502
    assert len(up.requests) == 5
    up.default = reply()
    assert proxy.ask().status == 200


def test_at_most_half_are_ejected_and_never_the_last(rig):
    ups = [rig.upstream(hangup) for _ in range(4)]
    proxy = rig.before(ups, upstream={"balance": "round_robin", "outlier_detection": {"consecutive_errors": 1, "eject_for": "5s", "max_ejected": "50%"}},
                       route={"retry": "off"}, workers=1)
    for _ in range(20):
        assert proxy.ask().status == 502
    assert proxy.err.count("endpoint_ejected") == 2
    assert sum(len(u.requests) for u in ups) == 20


def test_connect_failures_eject_too(rig):
    good = rig.upstream()
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [DEAD, good.url], "balance": "round_robin", "outlier_detection": {"consecutive_errors": 2, "eject_for": "5s"}}},
                          routes=[{"path": "/", "upstream": "app", "retry": "off"}], workers=1)
    assert [proxy.ask().status for _ in range(12)].count(502) == 2


# ── pools ──

@pytest.mark.one_worker
def test_pool_max_connections(rig):
    gate = threading.Event()
    up = rig.upstream(lambda call, q: (gate.wait(5), reply()(call, q)))
    proxy = rig.before(up, upstream={"pool": {"max_connections": 2}})
    clients = [proxy.client() for _ in range(6)]
    for c in clients:
        c.send(request())
    up.wait_for(2)
    time.sleep(0.1)
    assert len(up.requests) == 2
    gate.set()
    assert [c.read().status for c in clients] == [200] * 6
    assert len(up.connections) == 2
    for c in clients:
        c.close()


@pytest.mark.one_worker
def test_pool_max_requests_and_idle_timeout(rig):
    up = rig.upstream()
    proxy = rig.before(up, upstream={"pool": {"max_requests": 3, "idle_timeout": "200ms"}})
    for _ in range(6):
        assert proxy.ask().status == 200
    assert [q.connection for q in up.requests] == [0, 0, 0, 1, 1, 1]
    proxy.ask()
    end = time.monotonic() + 3
    while up.alive and time.monotonic() < end:
        time.sleep(0.01)
    assert not up.alive


def test_who_waits_for_a_connection_has_a_deadline(rig):
    up = rig.upstream(hang)
    proxy = rig.before(up, upstream={"pool": {"max_connections": 1}}, route={"timeout": "300ms", "retry": "off"}, workers=1)
    with proxy.client() as a, proxy.client() as b:
        a.send(request())
        up.wait_for(1)
        b.send(request())
        assert a.read().status == b.read().status == 504


@pytest.mark.parametrize("trusts,tries", [(True, 3), (False, 4)])
def test_outriggers_in_a_row_do_not_multiply(rig, trusts, tries):
    """The inner one does not try again what the outer one already tries again, if it may believe it."""
    up = rig.upstream(reply(b"", 503))
    inner = rig.before(up, trusted_proxies=["127.0.0.1"] if trusts else [])
    outer = rig.outrigger(routes=[{"path": "/", "upstream": f"http://127.0.0.1:{inner.port}"}])
    assert outer.ask().status == 503
    assert len(up.requests) == tries
