"""test_routes.py - which route takes a request, and what routes do without an upstream: respond, fault, fallback."""
import time

import pytest

from client import request
from upstream import hang, hangup, reply

ROUTES = [
    {"name": "root", "path": "/"}, {"name": "api", "path": "/api"}, {"name": "apiv1", "path": "/api/v1"}, {"name": "exact", "path": "=/api/v1/me"},
    {"name": "regex", "path": "~^/re/[0-9]+$"}, {"name": "slash", "path": "/dir/"},
    {"name": "get", "path": "/m", "methods": ["GET"]}, {"name": "post", "path": "/m", "methods": ["POST"]},
    {"name": "beta", "path": "/h", "headers": {"x-beta": "1"}}, {"name": "stable", "path": "/h"},
    {"name": "shop", "host": "shop.example", "path": "/"}, {"name": "shopapi", "host": ["shop.example"], "path": "/api"},
    {"name": "wild", "host": "*.shop.example", "path": "/"}, {"name": "deep", "host": "a.b.shop.example", "path": "/"},
    {"name": "first", "path": "/same", "headers": {"x-a": "1"}}, {"name": "second", "path": "/same", "headers": {"x-b": "1"}}]


@pytest.fixture(scope="module")
def proxy(shared_rig):
    return shared_rig.outrigger(routes=[{**r, "respond": {"body": r["name"]}} for r in ROUTES])


@pytest.mark.parametrize("target,host,fields,name", [
    ("/", "x", [], "root"), ("/apix", "x", [], "root"), ("/api", "x", [], "api"), ("/api/", "x", [], "api"), ("/api/v2", "x", [], "api"),
    ("/api?x=/api/v1", "x", [], "api"), ("/api/v1", "x", [], "apiv1"), ("/api/v1/me", "x", [], "exact"), ("/api/v1/me/too", "x", [], "apiv1"),
    ("/API", "x", [], "root"), ("/a%70i/v1", "x", [], "apiv1"), ("/x/../api/./v1", "x", [], "apiv1"),
    ("/api%2Fv1", "x", [], "root"), ("/api%5Cv1", "x", [], "root"), ("/%00api", "x", [], "root"), ("/api\\v1", "x", [], "root"),
    ("/api/%2e%2e/dir/x", "x", [], "slash"), ("//api", "x", [], "root"), ("/re/12", "x", [], "regex"), ("/re/1x", "x", [], "root"),
    ("/dir/x", "x", [], "slash"), ("/h", "x", ["X-Beta: 1"], "beta"), ("/h", "x", ["X-Beta: 2"], "stable"), ("/h", "x", [], "stable"),
    ("/", "shop.example", [], "shop"), ("/", "SHOP.example:8080", [], "shop"), ("/api/v1", "shop.example", [], "shopapi"),
    ("/", "www.shop.example", [], "wild"), ("/", "a.b.shop.example", [], "deep"), ("/", "c.b.shop.example", [], "wild"),
    ("/", "notshop.example", [], "root"), ("/", "shop.example.evil", [], "root"),
    ("/same", "x", ["X-A: 1", "X-B: 1"], "first"), ("/same", "x", ["X-B: 1"], "second")])
def test_match(proxy, target, host, fields, name):
    r = proxy.ask("GET", target, *fields, host=host)
    assert (r.status, r.body.decode()) == (200, name)


def test_methods(proxy):
    assert proxy.ask("GET", "/m").body == b"get" and proxy.ask("POST", "/m", body=b"").body == b"post"
    assert proxy.ask("DELETE", "/m").body == b"root", "a less specific route without methods takes the others"


def test_above_the_root_is_nowhere(proxy):
    assert proxy.ask("GET", "/../../api").status == 400


def test_no_route(rig):
    proxy = rig.outrigger(routes=[{"path": "/only", "respond": {}}])
    assert proxy.ask("GET", "/other").json()["reason"] == "route_not_found"
    assert proxy.ask("OPTIONS", "*").status == 404


def test_upstream_beside_routes(rig):
    a, b = rig.upstream(reply(b"a")), rig.upstream(reply(b"b"))
    proxy = rig.outrigger(upstreams={"a": {"endpoints": [a.url]}}, routes=[{"path": "/a", "upstream": "a"}, {"path": "/b", "upstream": b.url}])
    assert proxy.ask("GET", "/a").body == b"a" and proxy.ask("GET", "/b").body == b"b"


# ── respond ──

def test_respond(rig):
    proxy = rig.outrigger(routes=[{"path": "/", "respond": {"status": 503, "content_type": "text/html", "body": "<p>down"},
                                   "response_headers": {"set": {"retry-after": "9"}}}, {"path": "/plain", "respond": {}}])
    r = proxy.ask("POST", "/", body=b"x" * 100000)
    assert r.status == 503 and r.body == b"<p>down", "it does not wait for what nobody reads"
    with proxy.client() as c:
        r = c.ask("GET", "/")
        assert (r.status, r.body, r.fields.get("content-type"), r.fields.get("retry-after")) == (503, b"<p>down", "text/html", "9")
        assert "proxy-status" not in r.fields and r.fields.get("server") == "outrigger" and r.fields.get("x-request-id")
        r = c.ask("HEAD")
        assert r.body == b"" and r.fields.get("content-length") == "7"
        assert c.ask("GET", "/plain").status == 200
    assert proxy.access_log(1, path="/plain")[0]["served_by"] == "proxy"


def test_respond_without_a_body_of_its_own(rig):
    proxy = rig.outrigger(routes=[{"path": "/", "respond": {"status": 204}}])
    with proxy.client() as c:
        assert c.ask().status == 204 and c.ask().status == 204


# ── fault ──

def test_fault_delay_and_abort(rig):
    up = rig.upstream()
    proxy = rig.outrigger(routes=[{"path": "/slow", "upstream": up.url, "fault": {"delay": "200ms", "share": "100%"}},
                                  {"path": "/both", "upstream": up.url, "fault": {"delay": "200ms", "abort": 504, "share": "100%"}},
                                  {"path": "/none", "upstream": up.url, "fault": {"abort": 500, "share": "0%"}},
                                  {"path": "/half", "upstream": up.url, "fault": {"abort": 500, "share": "50%"}},
                                  {"path": "/late", "upstream": up.url, "timeout": "100ms", "fault": {"delay": "3s", "share": "100%"}}])
    began = time.monotonic()
    assert proxy.ask("GET", "/slow").body == b"hello" and time.monotonic() - began > 0.19
    up.forget()
    assert proxy.ask("GET", "/both").json()["reason"] == "fault_injected" and not up.requests
    assert proxy.ask("GET", "/none").status == 200
    with proxy.client() as c:
        statuses = [c.ask("GET", "/half").status for _ in range(100)]
    assert 20 < statuses.count(500) < 80 and set(statuses) == {200, 500}
    began = time.monotonic()
    assert proxy.ask("GET", "/late").json()["reason"] == "deadline_exceeded" and time.monotonic() - began < 2


def test_client_leaves_during_a_delay(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"fault": {"delay": "300ms", "share": "100%"}})
    with proxy.client() as c:
        c.send(request())
        time.sleep(0.05)
    assert proxy.access_log(1, status=499)[0]["reason"] == "client_closed"
    time.sleep(0.4)
    assert not up.requests


# ── fallback ──

def test_fallback(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"timeout": "1s", "retry": "off", "fallback": {"status": 200, "content_type": "application/json", "body": '{"hits":[]}'}})
    with proxy.client() as c:
        for behave in reply(b"", 500), reply(b"long" * 50000, 503), hangup, hang:
            up.default = behave
            r = c.ask()
            assert (r.status, r.body, r.fields.get("content-type")) == (200, b'{"hits":[]}', "application/json"), behave
        for status in 200, 404, 429:
            up.default = reply(b"own", status)
            assert c.ask().status == status
        up.default = reply(b"", 500)
        assert c.ask("HEAD").body == b""
    lines = proxy.access_log(8)
    assert [x["served_by"] for x in lines[:4]] == ["fallback"] * 4
    assert [x.get("reason") for x in lines[:4]] == [None, None, "upstream_reset", "deadline_exceeded"]


def test_fallback_comes_after_retries(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"fallback": {"body": "sorry"}})
    up.script = [reply(b"", 503)]
    assert proxy.ask().body == b"hello"
    up.default = reply(b"", 503)
    assert proxy.ask().body == b"sorry" and len(up.requests) == 4


def test_body_limit_of_a_route(rig):
    up = rig.upstream()
    proxy = rig.outrigger(client={"max_request_body": "1KiB"}, routes=[{"path": "/", "upstream": up.url},
                                                                      {"path": "/big", "upstream": up.url, "max_request_body": "1MiB"}])
    assert proxy.ask("POST", "/big", body=b"x" * 1000000).status == 200
    assert proxy.ask("POST", "/", body=b"x" * 2000).status == 413
