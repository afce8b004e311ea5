"""test_errors.py - interface §5 and §6: each of our own answers has the right status, reason, form and fields."""
import re
import socket

import pytest

from client import request
from proxy import run
from upstream import hang, hangup, head, raw, reply, reset

DEAD = "http://127.0.0.1:1"              # nobody listens there


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


@pytest.fixture(scope="module")
def proxy(shared_rig, up):
    return shared_rig.outrigger(
        upstreams={"app": {"endpoints": [up.url]}, "dead": {"endpoints": [DEAD], "connect_timeout": "300ms"}},
        defaults={"timeout": "250ms", "retry": "off"}, client={"max_request_body": "10KiB"},
        routes=[{"path": "/app", "upstream": "app"}, {"path": "/dead", "upstream": "dead"}, {"path": "/get", "upstream": "app", "methods": ["GET", "HEAD"]},
                {"path": "/get", "upstream": "app", "methods": ["PUT"]},
                {"path": "/abort", "upstream": "app", "fault": {"abort": 418, "share": "100%"}}])


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.default = reply()


def is_problem(r, status, reason, token, **more):
    body = r.json()
    assert r.status == status == body["status"] and body["reason"] == reason, r
    assert r.fields.get("content-type") == "application/problem+json" and r.fields.get("cache-control") == "no-store"
    assert r.fields.get("proxy-status") == f'outrigger; error={token}; details="{reason}"' and r.fields.get("server") == "outrigger"
    assert body["type"] == f"urn:outrigger:reason:{reason}" and body["title"] and body["detail"]
    assert body["request_id"] == r.fields.get("x-request-id")
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", r.fields.get("date"))
    for k, v in more.items():
        assert body[k] == v
    return body


# ── each reason that this version can give ──

def test_route_not_found(proxy):
    is_problem(proxy.ask("GET", "/nowhere"), 404, "route_not_found", "destination_not_found")


def test_method_not_allowed(proxy):
    r = proxy.ask("DELETE", "/get")
    is_problem(r, 405, "method_not_allowed", "http_request_denied")
    assert {m.strip() for m in r.fields.get("allow").split(",")} == {"GET", "HEAD", "PUT"}


def test_request_invalid(proxy):
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: h\r\nBad Name: x\r\n\r\n")
        r = c.read()
        is_problem(r, 400, "request_invalid", "http_request_error")
        assert r.fields.get("connection") == "close" and c.ended()


def test_body_too_large(proxy, up):
    with proxy.client() as c:
        c.send(b"POST /app HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n")
        is_problem(c.read(), 413, "request_body_too_large", "http_request_error")
    assert not up.requests


def test_connection_refused(proxy):
    is_problem(proxy.ask("GET", "/dead"), 502, "connection_refused", "connection_refused")


@pytest.mark.parametrize("how", [hangup, reset])
def test_upstream_reset(proxy, up, how):
    up.default = how
    is_problem(proxy.ask("GET", "/app"), 502, "upstream_reset", "connection_terminated")


def test_upstream_protocol_error(proxy, up):
    up.default = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
    is_problem(proxy.ask("GET", "/app"), 502, "upstream_protocol_error", "http_protocol_error")


def test_response_header_too_large(proxy, up):
    up.default = raw(head(200, "X: " + "y" * 70000, "Content-Length: 0"))
    is_problem(proxy.ask("GET", "/app"), 502, "response_header_too_large", "http_response_header_section_size")


def test_upgrade_failed(proxy, up):
    up.default = raw(head(101, "Upgrade: websocket", "Connection: upgrade"))
    is_problem(proxy.ask("GET", "/app"), 502, "upgrade_failed", "http_upgrade_failed")


def test_deadline_exceeded(proxy, up):
    up.default = hang
    is_problem(proxy.ask("GET", "/app"), 504, "deadline_exceeded", "http_response_timeout")


def test_fault_injected(proxy, up):
    is_problem(proxy.ask("GET", "/abort"), 418, "fault_injected", "proxy_internal_response")
    assert not up.requests


def test_dns_error(rig):
    proxy = rig.outrigger(routes=[{"path": "/", "upstream": "http://no-such-name.invalid:80", "retry": "off"}])
    r = proxy.ask()
    reason = r.json()["reason"]
    assert reason in ("dns_error", "dns_timeout")
    is_problem(r, 503 if reason == "dns_error" else 504, reason, reason)
    if r.status == 503:
        assert int(r.fields.get("retry-after")) >= 1 and r.json()["retry_after"] == int(r.fields.get("retry-after"))


def test_connection_timeout(rig):
    """A listener whose queue is full answers no SYN."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(0)
        fill = []
        for _ in range(4):
            f = socket.socket()
            f.setblocking(False)
            f.connect_ex(s.getsockname())
            fill.append(f)
        proxy = rig.outrigger(upstreams={"app": {"endpoints": [f"http://127.0.0.1:{s.getsockname()[1]}"], "connect_timeout": "200ms"}},
                              routes=[{"path": "/", "upstream": "app", "retry": "off"}])
        is_problem(proxy.ask(), 504, "connection_timeout", "connection_timeout")
        for f in fill:
            f.close()


def test_response_truncated_is_logged(proxy, up):
    up.default = lambda call, q: (call.send(head(200, "Content-Length: 10") + b"half"), call.close())
    with proxy.client() as c:
        c.send(request("GET", "/app", "X-Request-ID: cut-short"))
        c.reply_head()
        assert c.rest() == b"half"
    line = proxy.access_log(1, request_id="cut-short")[0]
    assert line["status"] == 200 and line["reason"] == "response_truncated"


def test_every_reason_of_these_has_help(proxy):
    for reason in "route_not_found", "upstream_reset", "deadline_exceeded":
        done = run("help", reason)
        assert done.returncode == 0 and len(done.stdout) > 100


# ── forms ──

def test_html(proxy):
    r = proxy.ask("GET", "/nowhere", "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "X-Request-ID: abc")
    assert r.status == 404 and r.fields.get("content-type") == "text/html; charset=utf-8"
    text = r.body.decode()
    assert text.startswith("<!doctype html>") and "route_not_found" in text and "abc" in text and "http://" not in text


@pytest.mark.parametrize("accept", [[], ["Accept: */*"], ["Accept: application/json"], ["Accept: application/problem+json"], ["Accept: image/png"]])
def test_json_otherwise(proxy, accept):
    is_problem(proxy.ask("GET", "/nowhere", *accept), 404, "route_not_found", "destination_not_found")


def test_no_body_on_head(proxy):
    with proxy.client() as c:
        r = c.ask("HEAD", "/nowhere")
        assert r.status == 404 and r.body == b"" and int(r.fields.get("content-length")) > 0
        assert c.ask("GET", "/app").body == b"hello"


@pytest.mark.parametrize("form,type_", [("json", "application/problem+json"), ("html", "text/html; charset=utf-8")])
def test_form_is_configured(rig, form, type_):
    proxy = rig.outrigger(routes=[{"path": "/x", "upstream": DEAD}], errors={"format": form})
    for accept in "text/html", "application/json":
        assert proxy.ask("GET", "/", f"Accept: {accept}").fields.get("content-type") == type_


def test_minimal_detail_names_nothing(proxy):
    body = proxy.ask("GET", "/dead").body.decode()
    assert "127.0.0.1" not in body and '"upstream"' not in body and '"route"' not in body


def test_full_detail(rig):
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [DEAD]}}, errors={"detail": "full"},
                          routes=[{"name": "front", "path": "/", "upstream": "app", "retry": {"backoff": {"base": "1ms"}}}])
    is_problem(proxy.ask(), 502, "connection_refused", "connection_refused", route="front", upstream="app", endpoint="127.0.0.1:1", attempts=2)


def test_connection_goes_on_after_an_error(proxy, up):
    with proxy.client() as c:
        assert c.ask("GET", "/nowhere").status == 404
        assert c.ask("POST", "/dead", body=b"abc").status == 502
        assert c.ask("POST", "/get", body=b"x" * 5000).status == 405
        up.default = hangup
        assert c.ask("POST", "/app", chunks=[b"abc"]).status == 502
        up.default = reply()
        assert c.ask("GET", "/app").body == b"hello"


def test_answers_of_the_upstream_are_not_touched(proxy, up):
    up.default = reply(b"its own page", 503, "Retry-After: 7", "Content-Type: text/plain")
    r = proxy.ask("GET", "/app")
    assert (r.status, r.body, r.fields.get("retry-after")) == (503, b"its own page", "7") and "proxy-status" not in r.fields


def test_own_answer_to_http10(proxy):
    with proxy.client() as c:
        r = c.ask("GET", "/nowhere", version="1.0")
        assert r.status == 404 and r.fields.get("content-length") and c.ended()


def test_nothing_of_the_request_gets_into_the_page(proxy):
    r = proxy.ask("GET", "/<script>alert(1)</script>", "Accept: text/html", host="evil.example")
    assert b"<script" not in r.body and b"evil" not in r.body
