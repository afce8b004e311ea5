"""test_tracing.py - spans as a collector gets them (interface §1 tracing, design of OTLP/HTTP JSON): who is whose child, which requests are kept,
what a collector that is slow, gone or angry costs."""
import re
import signal
import time

import pytest

from collector import CLIENT, SERVER, Collector
from client import request, until
from load import Load
from test_admin import scrape
from upstream import hang, hangup, reply

CALLER = "00f067aa0ba902b7"
DEAD = "http://127.0.0.1:1"


@pytest.fixture
def collector():
    c = Collector()
    yield c
    c.stop()
    c.check()


def trace(n):
    return f"{n:032x}"


def parent(n, sampled=True, caller=CALLER):
    return f"traceparent: 00-{trace(n)}-{caller}-{'01' if sampled else '00'}"


def traced(rig, collector, up, sample="0%", route=None, **more):
    return rig.before(up, route={"name": "shop", **(route or {})}, tracing={"otlp": collector.url, "sample": sample, "service": "till"}, **more)


def exports(proxy, result):
    return scrape(proxy)[f'outrigger_otlp_exports_total{{signal="traces",result="{result}"}}']


def dropped(proxy):
    return sum(v for k, v in scrape(proxy).items() if k.startswith("outrigger_otlp_dropped_requests_total"))


# ── shapes ──

def test_a_request_and_its_try(rig, collector):
    up = rig.upstream(reply(b"x" * 100, 201, delay=0.05))
    proxy = traced(rig, collector, up)
    began = time.time()
    proxy.ask("POST", "/orders/42?token=secret", parent(1), "X-Request-ID: one", "User-Agent: me", host="shop.example:81", body=b"12345")
    span = collector.wait_for(1)[0]
    line = proxy.access_log(1)[0]
    assert collector.posts[0][0] == "/v1/traces"
    assert {k: span.resource.get(k) for k in ("service.name",)} == {"service.name": "till"} and span.resource["service.version"]
    assert re.fullmatch("[0-9a-f]{8}", span.resource["service.instance.id"])
    assert (span.trace, span.parent, span.id, span.name, span.failed) == (trace(1), CALLER, line["span_id"], "POST shop", False)
    want = {"http.request.method": "POST", "url.scheme": "http", "url.path": "/orders/42", "http.route": "/", "server.address": "shop.example",
            "server.port": 81, "client.address": "127.0.0.1", "user_agent.original": "me", "network.protocol.version": "1.1",
            "http.request.body.size": 5, "http.response.body.size": 100, "http.response.status_code": 201, "outrigger.request_id": "one",
            "outrigger.route": "shop", "outrigger.upstream": "app", "outrigger.served_by": "upstream", "outrigger.attempts": 1}
    assert {k: span.of.get(k) for k in want} == want and "error.type" not in span.of
    assert "secret" not in str(span.of) and not span.events and not span.links
    assert began - 0.05 < span.start < span.end < began + 5 and 0.05 <= span.end - span.start < 2
    (one,) = collector.children(span)
    host, port = up.name.split(":")
    want = {"http.request.method": "POST", "server.address": host, "server.port": int(port), "url.full": f"{up.url}/orders/42",
            "http.response.status_code": 201, "outrigger.upstream": "app"}
    assert (one.kind, one.name, one.failed) == (CLIENT, "POST", False) and {k: one.of.get(k) for k in want} == want
    assert one.of["outrigger.connect_ms"] > 0 and 50 <= one.of["outrigger.ttfb_ms"] < 2000 and "http.request.resend_count" not in one.of
    assert span.start - 1e-4 <= one.start <= one.end <= span.end + 1e-3
    assert up.last.fields.get("traceparent") == f"00-{trace(1)}-{one.id}-01"       # the app's spans hang under the try


def test_each_try_has_its_span(rig, collector):
    """Refused, then 503, then 200: three children in order, and the app is told the one it belongs to."""
    up = rig.upstream(reply(b"ok"))
    up.script = [hangup, reply(b"", 503)]
    proxy = traced(rig, collector, up, route={"retry": {"max_retries": 3}})
    assert proxy.ask("GET", "/", parent(2)).status == 200
    span = collector.wait_for(1)[0]
    tries = collector.children(span)
    assert [(t.of.get("error.type"), t.of.get("http.response.status_code"), t.of.get("http.request.resend_count"), t.failed) for t in tries] == [
        ("upstream_reset", None, None, True), ("503", 503, 1, True), (None, 200, 2, False)]
    assert [q.fields.get("traceparent") for q in up.requests] == [f"00-{trace(2)}-{t.id}-01" for t in tries]
    assert all(a.end <= b.start + 1e-4 for a, b in zip(tries, tries[1:])) and tries[0].message == "upstream_reset"
    assert span.of["outrigger.attempts"] == 3 and not span.failed and span.events["outrigger.backed_off"]["outrigger.waited_ms"] > 0
    assert len({span.id, *(t.id for t in tries)}) == 4


def test_a_trace_begun_here(rig, collector):
    up = rig.upstream()
    proxy = traced(rig, collector, up, sample="100%")
    proxy.ask("GET", "/")
    span = collector.wait_for(1)[0]
    assert span.parent is None and collector.children(span)[0].parent == span.id
    assert up.last.fields.get("traceparent").split("-")[1:] == [span.trace, collector.children(span)[0].id, "01"]


def test_url_of_the_collector_may_have_its_path(rig, collector):
    proxy = rig.before(rig.upstream(), tracing={"otlp": collector.url + "/some/v1/traces", "sample": "100%"})
    proxy.ask()
    assert collector.wait_for(1)[0].resource["service.name"] == "outrigger" and collector.posts[0][0] == "/some/v1/traces"


def test_collector_from_the_environment(rig, collector):
    proxy = rig.outrigger(routes=[{"path": "/", "respond": {"status": 200}}], tracing={"sample": "100%"},
                          env={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url + "/", "OTEL_SERVICE_NAME": "from the environment"})
    proxy.ask()
    span = collector.wait_for(1)[0]
    assert span.resource["service.name"] == "from the environment" and span.of["outrigger.attempts"] == 0 and not collector.children(span)


# ── which ones ──

def test_the_callers_decision_is_kept(rig, collector):
    up = rig.upstream()
    proxy = traced(rig, collector, up, sample="100%")
    proxy.ask("GET", "/no", parent(3, sampled=False))
    proxy.ask("GET", "/yes", parent(4, sampled=True))
    collector.wait_for(1, url__path="/yes")
    assert up.requests[0].fields.get("traceparent").endswith("-00")
    time.sleep(1.2)
    assert {s.trace for s in collector.spans} == {trace(4)}


def test_the_share_that_is_sampled(rig, collector):
    up = rig.upstream()
    proxy = traced(rig, collector, up, sample="20%")
    with proxy.client() as c:
        for _ in range(400):
            c.ask()
    said = sum(1 for q in up.requests if q.fields.get("traceparent").endswith("-01"))
    assert 40 < said < 130
    assert len(collector.wait_for(said)) == said


@pytest.mark.parametrize("what,status,reason,message", [
    ("refused", 502, "connection_refused", "connection_refused"), ("failed", 500, None, None), ("late", 504, "deadline_exceeded", "deadline_exceeded"),
    ("cut", 200, "response_truncated", "response_truncated")])
def test_errors_are_always_kept(rig, collector, what, status, reason, message):
    def cut(call, q):
        call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        time.sleep(0.1)
        call.close()
    up = rig.upstream(default={"failed": reply(b"", 500), "late": hang, "cut": cut}.get(what))
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [DEAD if what == "refused" else up.url]}}, tracing={"otlp": collector.url, "sample": "0%"},
                          routes=[{"path": "/", "upstream": "app", "timeout": "150ms", "retry": {"max_retries": 0}}])
    with proxy.client() as c:
        c.send(request("GET", "/", parent(5, sampled=False)))
        if what == "cut":
            c.rest()
        else:
            assert c.read().status == status
    span = collector.wait_for(1)[0]
    assert (span.trace, span.parent, span.of["http.response.status_code"], span.failed, span.message) == (trace(5), CALLER, status, True, message)
    assert span.of["error.type"] == (reason or str(status))
    (one,) = collector.children(span)
    assert one.failed and one.of["error.type"] == (reason or str(status))


def test_what_is_no_error(rig, collector):
    up = rig.upstream(reply(b"", 404))
    proxy = traced(rig, collector, up)
    for target in "/", "*":
        proxy.ask("GET", target)
    with proxy.client() as c:
        up.on["/gone"] = hang
        c.send(request("GET", "/gone"))
        up.wait_for(2)
    proxy.access_log(1, status=499)
    proxy.ask("GET", "/last", parent(6))
    collector.wait_for(1, url__path="/last")
    assert {s.trace for s in collector.spans} == {trace(6)} and not collector.wait_for(1)[0].failed


def test_off_costs_nothing(rig, collector):
    proxy = rig.before(rig.upstream())
    proxy.ask("GET", "/", parent(7))
    assert exports(proxy, "ok") == 0 and dropped(proxy) == 0


# ── what happened inside ──

def test_a_wait_in_line(rig, collector):
    up = rig.upstream(reply(b"ok", delay=0.3))
    proxy = traced(rig, collector, up, upstream={"concurrency": {"limit": 1, "queue": 5, "queue_timeout": "5s"}}, sample="100%")
    with proxy.client() as a, proxy.client() as b:
        a.send(request("GET", "/first"))
        up.wait_for(1)
        b.send(request("GET", "/second"))
        assert (a.read().status, b.read().status) == (200, 200)
    waited = collector.wait_for(1, url__path="/second")[0]
    assert 100 < waited.events["outrigger.queued"]["outrigger.waited_ms"] < 2000
    assert collector.children(waited)[0].start - waited.start > 0.1
    assert "outrigger.queued" not in collector.wait_for(1, url__path="/first")[0].events


def test_a_breaker_that_refuses(rig, collector):
    up = rig.upstream(default=reply(b"", 500))
    proxy = traced(rig, collector, up, route={"retry": {"max_retries": 0}},
                   upstream={"circuit_breaker": {"consecutive_failures": 2, "open_for": "1m"}})
    for _ in range(3):
        proxy.ask("GET", "/")
    span = collector.wait_for(1, error__type="circuit_open")[0]
    assert span.events["outrigger.refused"] == {"outrigger.reason": "circuit_open"} and not collector.children(span)
    assert (span.failed, span.of["http.response.status_code"], span.of["outrigger.served_by"]) == (True, 503, "proxy")


def test_a_hedge(rig, collector):
    """Two tries side by side: both are children of the request, with the ids that their endpoints were told."""
    slow, quick = rig.upstream(reply(b"slow", delay=0.6)), rig.upstream(reply(b"quick"))
    proxy = rig.before([slow, quick], route={"name": "shop", "hedge": {"after": "100ms", "max_extra": "100%"}},
                       tracing={"otlp": collector.url, "sample": "0%"}, upstream={"balance": "round_robin"})
    n = 100
    while True:                                            # one of the first two goes to the slow endpoint
        assert proxy.ask("GET", "/", parent(n)).body == b"quick" and n < 108
        if slow.requests:
            break
        n += 1
    span = next(s for s in collector.wait_for(n - 99) if s.trace == trace(n))
    first, second = collector.children(span)
    for one, up in (first, slow), (second, quick):
        assert up.last.fields.get("traceparent") == f"00-{trace(n)}-{one.id}-01"
        assert f"{one.of['server.address']}:{one.of['server.port']}" == up.name
    assert first.of["outrigger.result"] == "called_off" and not first.failed and "http.response.status_code" not in first.of
    assert second.of["http.response.status_code"] == 200 and second.start - first.start > 0.09 and second.start < first.end
    assert span.of["outrigger.attempts"] == 2 and not span.failed


def test_a_dry_run(rig, collector):
    proxy = traced(rig, collector, rig.upstream(), route={"rate_limit": {"rate": "1/h", "burst": 1, "dry_run": True}}, sample="100%")
    proxy.ask("GET", "/one")
    proxy.ask("GET", "/two")
    span = collector.wait_for(1, url__path="/two")[0]
    assert span.events["outrigger.would_refuse"] == {"outrigger.reason": "rate_limited"} and not span.failed


def test_a_shared_request(rig, collector):
    """One call for three: it is the leader's child, and the others link to it, each in its own trace."""
    up = rig.upstream(reply(b"shared", delay=0.4))
    proxy = traced(rig, collector, up, route={"coalesce": {}})
    clients = [proxy.client() for _ in range(3)]
    for n, c in enumerate(clients):
        c.send(request("GET", "/same", parent(10 + n)))
        if n == 0:
            up.wait_for(1)
    assert [c.read().body for c in clients] == [b"shared"] * 3
    for c in clients:
        c.close()
    spans = {s.trace: s for s in collector.wait_for(3)}
    leader, others = spans[trace(10)], [spans[trace(11)], spans[trace(12)]]
    (call,) = collector.children(leader)
    assert up.last.fields.get("traceparent") == f"00-{trace(10)}-{call.id}-01" and len(up.requests) == 1
    assert call.of["http.response.status_code"] == 200 and call.end - call.start >= 0.4 and call.of["outrigger.ttfb_ms"] >= 400
    for s in others:
        assert s.links == [(trace(10), call.id)] and "outrigger.coalesced" in s.events and s.of["outrigger.served_by"] == "coalesced"
        assert not collector.children(s)
    assert not leader.links and leader.of["outrigger.served_by"] == "upstream"


# ── the way there ──

def test_a_collector_that_comes_later(rig):
    port = Collector()
    port.stop()
    proxy = rig.before(rig.upstream(), tracing={"otlp": port.url, "sample": "100%"})
    for _ in range(5):
        assert proxy.ask().status == 200
    until(lambda: exports(proxy, "retried") >= 1)
    collector = Collector(port.port)
    try:
        assert len(collector.wait_for(5, patience=12)) == 5
        until(lambda: "otlp_export_recovered" in proxy.err)
        assert proxy.err.count("otlp_export_failed") == 1 and exports(proxy, "ok") >= 1 and dropped(proxy) == 0
        collector.check()
    finally:
        collector.stop()


def test_answers_that_pass_and_answers_that_do_not(rig, collector):
    proxy = traced(rig, collector, rig.upstream(), sample="100%")
    collector.answers = [503, None]
    proxy.ask("GET", "/kept")
    collector.wait_for(1, patience=12, url__path="/kept")
    assert [answer for _, answer, _ in collector.posts] == [503, None, 200] and exports(proxy, "retried") == 2
    collector.answers = [400]
    proxy.ask("GET", "/refused")
    until(lambda: exports(proxy, "failed") == 1)
    proxy.ask("GET", "/next")
    collector.wait_for(1, url__path="/next")
    assert dropped(proxy) == 1 and not [s for s in collector.spans if s.of.get("url.path") == "/refused"]


def test_many_come_in_batches(rig, collector):
    proxy = traced(rig, collector, rig.upstream(), sample="100%", workers=2)
    load = Load(("127.0.0.1", proxy.port), 8)
    load.wait_for(3000, 60)
    load.stop()
    until(lambda: len(collector.wait_for(1)) + dropped(proxy) == len(load.outcomes), 20)
    assert exports(proxy, "ok") == len(collector.posts) and max(size for _, _, size in collector.posts) < 2_000_000
    assert all(len(collector.children(s)) == 1 for s in collector.wait_for(1)[:200])


def test_a_collector_that_hangs_costs_spans_only(rig, collector):
    """It takes the bytes and never answers: rings fill, spans are dropped and counted, requests go on."""
    gate = rig.upstream(default=hang)
    proxy = rig.before(rig.upstream(), tracing={"otlp": gate.url, "sample": "100%"})
    load = Load(("127.0.0.1", proxy.port), 4)
    until(lambda: dropped(proxy) > 100, 30)
    load.stop()
    assert not load.failed and load.statuses() == {200: len(load.outcomes)}
    assert proxy.rss() < 200e6


def test_the_last_spans_are_sent_before_the_end(rig, collector):
    proxy = traced(rig, collector, rig.upstream(), sample="100%")
    for i in range(5):
        proxy.ask("GET", f"/{i}")
    proxy.stop(signal.SIGTERM)
    assert {s.of["url.path"] for s in collector.wait_for(5, patience=1)} == {f"/{i}" for i in range(5)}


def test_reload_turns_it_on_and_off(rig, collector):
    proxy = rig.before(rig.upstream())
    proxy.ask("GET", "/before", parent(20))

    def reload(tail):
        proxy.file.write_text(proxy.text + tail)
        assert proxy.admin("POST", "/reload").status == 200
        time.sleep(0.2)
    reload(f"tracing: {{otlp: '{collector.url}', sample: 0%, service: now}}\n")
    proxy.ask("GET", "/on", parent(21))
    assert collector.wait_for(1)[0].resource["service.name"] == "now"
    reload("")
    proxy.ask("GET", "/off", parent(22))
    time.sleep(1.3)
    assert {s.trace for s in collector.spans if s.kind == SERVER} == {trace(21)}
