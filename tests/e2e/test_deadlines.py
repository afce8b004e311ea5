"""test_deadlines.py - behaviour §7: one budget of time, told onward, believed from friends only."""
import time

import pytest

from client import request
from upstream import hang, reply


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


ROUTES = [{"path": "/", "timeout": "10s"}, {"path": "/short", "timeout": "250ms"}, {"path": "/never", "timeout": "0s"},
          {"path": "/try", "timeout": "3s", "per_try_timeout": "200ms", "retry": "off"},
          {"path": "/quiet", "deadline": {"emit": ""}}, {"path": "/grpc", "deadline": {"emit": "grpc-timeout"}},
          {"path": "/max", "timeout": "0s", "deadline": {"max": "300ms"}}, {"path": "/deaf", "deadline": {"accept": []}}]


@pytest.fixture(scope="module")
def friend(shared_rig, up):
    return shared_rig.outrigger(routes=[{**r, "upstream": up.url} for r in ROUTES], trusted_proxies=["127.0.0.1"])


@pytest.fixture(scope="module")
def stranger(shared_rig, up):
    return shared_rig.outrigger(routes=[{**r, "upstream": up.url} for r in ROUTES])


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.script.clear()
    up.default = reply()


def told(up, name="x-request-timeout-ms"):
    return int(up.last.fields.get(name))


def took(proxy, status, reason, *args, **more):
    began = time.monotonic()
    r = proxy.ask(*args, **more)
    assert r.status == status and r.json()["reason"] == reason, r
    return time.monotonic() - began


def test_timeout(friend, up):
    up.default = hang
    assert 0.2 < took(friend, 504, "deadline_exceeded", "GET", "/short") < 2
    end = time.monotonic() + 3
    while up.alive and time.monotonic() < end:
        time.sleep(0.01)
    assert not up.alive, "the call goes on for nobody"


def test_timeout_of_a_post_is_not_retried(friend, up):
    up.default = hang
    assert took(friend, 504, "deadline_exceeded", "POST", "/short", body=b"x") < 2
    assert len(up.requests) == 1


def test_connection_goes_on_after_a_timeout(friend, up):
    up.default = hang
    with friend.client() as c:
        assert c.ask("GET", "/short").status == 504
        up.default = reply()
        assert c.ask().body == b"hello"


@pytest.mark.parametrize("field,value,least,most", [("X-Request-Timeout-Ms", "700", 500, 700), ("grpc-timeout", "900m", 700, 900),
                                                    ("x-envoy-expected-rq-timeout-ms", "800", 600, 800), ("grpc-timeout", "2S", 1800, 2000)])
def test_friends_deadline_is_believed_and_told_on(friend, up, field, value, least, most):
    assert friend.ask("GET", "/", f"{field}: {value}").status == 200
    assert least <= told(up) <= most
    assert len([n for n, _ in up.last.fields if n.lower() in ("x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms")]) == 1


def test_the_smallest_wins(friend, up):
    friend.ask("GET", "/", "X-Request-Timeout-Ms: 60000")
    assert 9000 < told(up) <= 10000
    friend.ask("GET", "/", "X-Request-Timeout-Ms: 5000", "Grpc-Timeout: 2S")
    assert 1500 < told(up) <= 2000


def test_deadline_max(friend, up):
    friend.ask("GET", "/max", "X-Request-Timeout-Ms: 60000")
    assert told(up) <= 300


def test_strangers_deadline_is_not_believed(stranger, up):
    stranger.ask("GET", "/", "X-Request-Timeout-Ms: 1", "Grpc-Timeout: 1m")
    assert 9000 < told(up) <= 10000


@pytest.mark.parametrize("value", ["", "soon", "-5", "1.5", "10s", "0x10", "99999999999999999999999"])
def test_malformed_is_ignored(friend, up, value):
    assert friend.ask("GET", "/", f"X-Request-Timeout-Ms: {value}").status == 200
    assert 9000 < told(up) <= 10000


def test_less_than_5_ms_does_not_touch_the_upstream(friend, up):
    for value in "0", "1", "4":
        r = friend.ask("GET", "/", f"X-Request-Timeout-Ms: {value}")
        assert r.status == 504 and r.json()["reason"] == "deadline_unreachable"
    assert not up.requests


def test_friends_deadline_ends_it(friend, up):
    up.default = hang
    assert 0.15 < took(friend, 504, "deadline_exceeded", "GET", "/", "X-Request-Timeout-Ms: 200") < 2


def test_accept_may_be_empty(friend, up):
    assert friend.ask("GET", "/deaf", "X-Request-Timeout-Ms: 1").status == 200


def test_no_timeout_tells_nothing(friend, up):
    friend.ask("GET", "/never")
    assert "x-request-timeout-ms" not in up.last.fields


def test_emit(friend, up):
    friend.ask("GET", "/quiet")
    assert "x-request-timeout-ms" not in up.last.fields
    friend.ask("GET", "/grpc")
    assert up.last.fields.get("grpc-timeout").endswith("m") and "x-request-timeout-ms" not in up.last.fields


def test_per_try_timeout(friend, up):
    up.default = hang
    assert 0.15 < took(friend, 504, "upstream_timeout", "GET", "/try") < 2
    assert told(up) <= 200


def test_second_try_has_less_time(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"timeout": "2s", "retry": {"backoff": {"base": "1ms"}}})
    up.script = [reply(b"", 503, delay=0.3)]
    assert proxy.ask().status == 200
    first, second = [int(q.fields.get("x-request-timeout-ms")) for q in up.requests]
    assert first > 1900 and second < first - 290


def test_no_retry_without_time(rig):
    up = rig.upstream(reply(b"last words", 503, delay=0.2))
    proxy = rig.before(up, route={"timeout": "300ms", "retry": {"backoff": {"base": "500ms", "max": "500ms"}, "retry_on": ["503"]}})
    r = proxy.ask()
    assert r.status in (503, 504)
    if r.status == 503:
        assert r.body == b"last words"


def test_the_budget_counts_from_the_first_byte(rig):
    """A head that takes its time is paid from the same budget."""
    up = rig.upstream()
    proxy = rig.before(up, route={"timeout": "2s"})
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\n")
        time.sleep(0.5)
        c.send(b"Host: h\r\n\r\n")
        assert c.read().status == 200
    assert told(up) <= 1510


def test_a_body_that_comes_late_is_in_the_budget_too(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"timeout": "400ms"})
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc")
        r = c.read()
        assert r.status == 504 and r.json()["reason"] == "deadline_exceeded"


def test_local_timeouts_do_not_break_a_client_that_has_pipelined(friend, up):
    up.on["/short"] = hang
    with friend.client() as c:
        c.send(request("GET", "/short") + request("GET", "/"))
        assert [c.read().status for _ in range(2)] == [504, 200]
    del up.on["/short"]
