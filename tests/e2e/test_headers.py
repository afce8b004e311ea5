"""test_headers.py - interface §4, row by row: what is added, replaced, kept and removed on the way there and on the way back."""
import re

import pytest

from client import request
from ports import free_port
from upstream import head, raw, reply


UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
TRACE = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-0([01])")
GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


@pytest.fixture(scope="module")
def stranger(shared_rig, up):
    """An outrigger that trusts nobody."""
    return shared_rig.before(up)


@pytest.fixture(scope="module")
def friend(shared_rig, up):
    """An outrigger that trusts its peer, 127.0.0.1."""
    return shared_rig.before(up, trusted_proxies=["10.0.0.0/8", "127.0.0.0/8"])


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.script.clear()
    up.default = reply()


def seen(proxy, up, *fields, **more):
    """The fields that the upstream gets for these."""
    assert proxy.ask("GET", "/", *fields, **more).status == 200
    return up.last.fields


# ── X-Request-ID ──

def test_request_id_is_made_sent_and_returned(stranger, up):
    ids = set()
    with stranger.client() as c:
        for _ in range(3):
            r = c.ask()
            assert UUID7.fullmatch(r.fields.get("x-request-id"))
            assert r.fields.get("x-request-id") == up.last.fields.get("x-request-id")
            ids.add(r.fields.get("x-request-id"))
    assert len(ids) == 3


@pytest.mark.parametrize("given", ["a", "A-b_c.9", "x" * 128])
def test_request_id_is_kept(stranger, up, given):
    r = stranger.ask("GET", "/", f"X-Request-ID: {given}")
    assert r.fields.get("x-request-id") == given == up.last.fields.get("x-request-id")


@pytest.mark.parametrize("given", ["", "x" * 129, "a b", "a;b", "<script>", "a\"b", "\xe4"])
def test_malformed_request_id_is_replaced(stranger, up, given):
    r = stranger.ask("GET", "/", f"X-Request-ID: {given}")
    assert UUID7.fullmatch(r.fields.get("x-request-id")) and up.last.fields.get("x-request-id") == r.fields.get("x-request-id")


def test_request_id_of_the_upstream_does_not_win(stranger, up):
    up.default = reply(b"x", 200, "X-Request-ID: mine")
    assert stranger.ask("GET", "/", "X-Request-ID: his").fields.get("x-request-id") == "his"


def test_request_id_on_our_own_answers(stranger):
    assert stranger.ask("GET", "*", "X-Request-ID: his").fields.get("x-request-id") is not None
    r = stranger.ask("GET", "/", "X-Request-ID: his", *["Via: 1.1 outrigger"] * 11)
    assert r.status == 502 and r.fields.get("x-request-id") == "his"


# ── tracing ──

def test_traceparent_begins_a_trace(stranger, up):
    m = TRACE.fullmatch(seen(stranger, up).get("traceparent"))
    assert m and m[1] != "0" * 32 and m[2] != "0" * 16


def test_traceparent_is_continued(stranger, up):
    f = seen(stranger, up, f"traceparent: {GIVEN}", "tracestate: a=1", "tracestate: b=2")
    m = TRACE.fullmatch(f.get("traceparent"))
    assert m[1] == "4bf92f3577b34da6a3ce929d0e0e4736" and m[2] != "00f067aa0ba902b7" and m[3] == "1"
    assert f.all("tracestate") == ["a=1", "b=2"]


@pytest.mark.parametrize("bad", ["", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
                                 GIVEN.upper(), GIVEN + "-x", GIVEN[:-1], "ff" + GIVEN[2:]])
def test_bad_traceparent_is_replaced(stranger, up, bad):
    f = seen(stranger, up, f"traceparent: {bad}", "tracestate: a=1")
    m = TRACE.fullmatch(f.get("traceparent"))
    assert m and m[1] != "4bf92f3577b34da6a3ce929d0e0e4736" and "tracestate" not in f


def test_two_traceparents_are_none(stranger, up):
    assert TRACE.fullmatch(seen(stranger, up, f"traceparent: {GIVEN}", f"traceparent: {GIVEN}").get("traceparent"))[1] not in GIVEN


def test_each_try_is_a_span(stranger, up):
    up.script = [reply(b"", 503)]
    assert stranger.ask("GET", "/", f"traceparent: {GIVEN}").status == 200
    first, second = [TRACE.fullmatch(q.fields.get("traceparent")) for q in up.requests]
    assert first[1] == second[1] and first[2] != second[2]


# ── X-Forwarded-* ──

def test_forwarded_fields_are_set(stranger, up):
    f = seen(stranger, up, host="shop.example:81")
    assert f.get("x-forwarded-for") == "127.0.0.1" and f.get("x-forwarded-proto") == "http"
    assert f.get("x-forwarded-host") == "shop.example:81" and f.get("x-forwarded-port") == str(stranger.port)


CLAIMS = ["X-Forwarded-For: 1.2.3.4", "X-Forwarded-For: 5.6.7.8", "X-Forwarded-Proto: https", "X-Forwarded-Host: real.example",
          "X-Forwarded-Port: 443", "Forwarded: for=1.2.3.4"]


def test_forwarded_fields_of_strangers_are_replaced(stranger, up):
    f = seen(stranger, up, *CLAIMS)
    assert (f.get("x-forwarded-for"), f.get("x-forwarded-proto"), f.get("x-forwarded-host"), f.get("x-forwarded-port")) == \
        ("127.0.0.1", "http", "h.example", str(stranger.port))
    assert "forwarded" not in f


def test_forwarded_fields_of_friends_are_appended_to(friend, up):
    f = seen(friend, up, *CLAIMS)
    assert f.get("x-forwarded-for") == "1.2.3.4, 5.6.7.8, 127.0.0.1"
    assert f.get("x-forwarded-proto").split(", ")[0] == "https" and f.get("x-forwarded-host").split(", ")[0] == "real.example"
    assert f.get("x-forwarded-port").split(", ")[0] == "443" and f.get("forwarded") == "for=1.2.3.4"


def test_forwarded_fields_of_friends_who_say_nothing(friend, up):
    f = seen(friend, up)
    assert f.get("x-forwarded-for") == "127.0.0.1" and f.get("x-forwarded-proto") == "http"


# ── Via, Server, Proxy-Status ──

def test_via(stranger, up):
    ours = seen(stranger, up).get("via")
    assert re.fullmatch(r"1\.1 outrigger \([0-9a-f]{8}\)", ours)
    assert seen(stranger, up, "Via: 1.0 fred, 1.1 p.example (Apache)").all("via") == ["1.0 fred, 1.1 p.example (Apache)", ours]
    assert seen(stranger, up, version="1.0").get("via") == ours.replace("1.1", "1.0")


def test_no_via_on_replies(stranger, up):
    assert "via" not in stranger.ask().fields
    up.default = reply(b"", 200, "Via: 1.1 cache")
    assert stranger.ask().fields.get("via") == "1.1 cache"


def test_loop_is_detected(rig):
    proxy = rig.outrigger(routes=[{"path": "/", "upstream": "http://127.0.0.1:{PORT}"}])
    r = proxy.ask()
    assert r.status == 502 and r.json()["reason"] == "loop_detected"
    assert r.fields.get("proxy-status") == 'outrigger; error=proxy_loop_detected; details="loop_detected"'
    assert sorted(x.get("reason", "") for x in proxy.access_log(2)) == ["", "loop_detected"]


def test_outriggers_in_a_row_are_no_loop(rig, up):
    inner = rig.before(up)
    outer = rig.outrigger(routes=[{"path": "/", "upstream": f"http://127.0.0.1:{inner.port}"}])
    outermost = rig.outrigger(routes=[{"path": "/", "upstream": f"http://127.0.0.1:{outer.port}"}])
    up.default = reply(b"at last")
    assert outermost.ask().body == b"at last"
    via = up.last.fields.all("via")
    assert len(via) == 3 and len(set(via)) == 3 and all(v.startswith("1.1 outrigger (") for v in via)


def test_a_loop_of_two_is_detected(rig):
    port = free_port()
    first = rig.outrigger(routes=[{"path": "/", "upstream": f"http://127.0.0.1:{port}"}])
    rig.outrigger(listen=f"127.0.0.1:{port}", routes=[{"path": "/", "upstream": f"http://127.0.0.1:{first.port}"}])
    r = first.ask()
    assert r.status == 502 and r.json()["reason"] == "loop_detected"


def test_a_chain_too_long_is_a_loop(stranger, up):
    ten = [f"Via: 1.1 outrigger ({i:08x})" for i in range(10)]
    assert stranger.ask("GET", "/", *ten).status == 200
    assert stranger.ask("GET", "/", *ten, "Via: 1.1 outrigger").json()["reason"] == "loop_detected"


def test_server_is_the_upstreams(stranger, up):
    up.default = reply(b"", 200, "Server: nginx", "Date: Tue, 15 Nov 1994 08:12:31 GMT")
    r = stranger.ask()
    assert r.fields.get("server") == "nginx" and r.fields.get("date") == "Tue, 15 Nov 1994 08:12:31 GMT" and "proxy-status" not in r.fields
    up.default = reply()
    assert "server" not in stranger.ask().fields
    assert stranger.ask("GET", "*").fields.get("server") == "outrigger"


# ── hop by hop ──

def test_hop_by_hop_is_removed_upstream(stranger, up):
    f = seen(stranger, up, "Connection: keep-alive, X-Private, close", "Keep-Alive: timeout=5", "X-Private: 1", "x-private: 2",
             "Proxy-Connection: keep-alive", "TE: gzip", "Upgrade: h2c", "HTTP2-Settings: AAA", "Proxy-Authorization: Basic eA==", "X-Public: 1")
    for name in "keep-alive", "x-private", "proxy-connection", "te", "upgrade", "http2-settings":
        assert name not in f, name
    assert f.get("connection", "keep-alive").lower() == "keep-alive" and f.get("x-public") == "1"


def test_connection_cannot_remove_what_is_ours(stranger, up):
    f = seen(stranger, up, "Connection: X-Forwarded-For, Host, Via, X-Request-ID, traceparent, Content-Length")
    for name in "x-forwarded-for", "host", "via", "x-request-id", "traceparent":
        assert name in f, name


def test_te_trailers_is_kept(stranger, up):
    f = seen(stranger, up, "TE: trailers, deflate;q=0.5", "Connection: TE")
    assert f.get("te") == "trailers" and "te" in f.get("connection").lower()


def test_hop_by_hop_is_removed_downstream(stranger, up):
    up.default = reply(b"x", 200, "Connection: X-Secret, keep-alive", "X-Secret: 1", "Keep-Alive: timeout=5", "Proxy-Connection: x",
                       "Upgrade: h2", "X-Public: 1")
    f = stranger.ask().fields
    for name in "x-secret", "keep-alive", "proxy-connection", "upgrade":
        assert name not in f, name
    assert f.get("x-public") == "1"


def test_end_to_end_fields_pass_as_they_are(stranger, up):
    fields = ["Cookie: a=b; c=d", "X-Two: 1", "X-Two: 2", "Accept: */*", "Authorization: Bearer x", "Odd!#$%&'*+-.^_`|~: \xe4", "X-Empty:"]
    f = seen(stranger, up, *fields)
    assert [x for x in f if x[0] in ("Cookie", "X-Two", "Accept", "Authorization", "X-Empty") or x[0].startswith("Odd")] == \
        [tuple(x.partition(":")[::2])[:1] + (x.partition(":")[2].strip(" "),) for x in fields]
    up.default = reply(b"x", 200, "Set-Cookie: a=1", "Set-Cookie: b=2", "X-Odd: \xe4", "ETag: W/\"x\"")
    r = stranger.ask().fields
    assert r.all("set-cookie") == ["a=1", "b=2"] and r.get("x-odd") == "\xe4" and r.get("etag") == 'W/"x"'


# ── X-Outrigger-Attempt and deadlines ──

def test_attempt_is_told_on_retries_only(stranger, up):
    up.script = [reply(b"", 503)]
    assert stranger.ask().status == 200
    assert [q.fields.get("x-outrigger-attempt") for q in up.requests] == [None, "2"]


def test_attempt_of_strangers_is_dropped_and_of_friends_kept(stranger, friend, up):
    assert "x-outrigger-attempt" not in seen(stranger, up, "X-Outrigger-Attempt: 2")
    assert seen(friend, up, "X-Outrigger-Attempt: 2").get("x-outrigger-attempt") == "2"


def test_deadline_is_emitted(stranger, up):
    assert 14000 < int(seen(stranger, up).get("x-request-timeout-ms")) <= 15000
    assert 14000 < int(seen(stranger, up, "X-Request-Timeout-Ms: 7").get("x-request-timeout-ms")) <= 15000
    assert "grpc-timeout" not in up.last.fields


def test_deadline_of_a_grpc_call(stranger, up):
    f = seen(stranger, up, "Content-Type: application/grpc")
    assert re.fullmatch(r"1[45][0-9]{3}m", f.get("grpc-timeout"))


# ── what the operator wants ──

def test_operators_edits(rig):
    up = rig.upstream(reply(b"x", 200, "X-Powered-By: php", "Cache-Control: public", "X-Kept: 1"))
    proxy = rig.before(up, route={"request_headers": {"set": {"x-team": "search", "host": "other.example"}, "remove": ["x-debug", "cookie"]},
                                  "response_headers": {"set": {"cache-control": "no-store", "x-new": "y"}, "remove": ["x-powered-by"]}})
    r = proxy.ask("GET", "/", "X-Debug: 1", "X-Team: mine", "Cookie: a", "X-Kept: 1")
    f = up.last.fields
    assert f.get("x-team") == "search" and "x-debug" not in f and "cookie" not in f and f.get("x-kept") == "1" and f.get("host") == "other.example"
    assert r.fields.get("cache-control") == "no-store" and r.fields.get("x-new") == "y" and "x-powered-by" not in r.fields


@pytest.mark.parametrize("how", ["keep", "endpoint", "fixed.example"])
def test_host_header(rig, how):
    up = rig.upstream()
    proxy = rig.before(up, upstream={"host_header": how})
    proxy.ask(host="shop.example")
    assert up.last.fields.get("host") == {"keep": "shop.example", "endpoint": up.name}.get(how, how)
    assert up.last.fields.get("x-forwarded-host") == "shop.example"


@pytest.mark.parametrize("path,prefix,asked,wanted", [
    ("/api", "/", "/api/users?x=1", "/users?x=1"), ("/api", "/", "/api", "/"), ("/api", "/v2", "/api/users", "/v2/users"),
    ("/api/", "/v2/", "/api/users", "/v2/users"), ("/", "/base", "/x", "/base/x"), ("/api", "/v2", "/a/../api/x", "/v2/x"),
    ("/api", "/v2", "/api?q", "/v2?q"), ("=/exact", "/other", "/exact?a=b", "/other?a=b"), ("/api", "/v2", "/api/%2Fx%20", "/v2/%2Fx%20")])
def test_rewrite(rig, path, prefix, asked, wanted):
    up = rig.upstream()
    proxy = rig.outrigger(routes=[{"path": path, "upstream": up.url, "rewrite": {"prefix": prefix}}])
    assert proxy.ask("GET", asked).status == 200
    assert up.last.target == wanted


def test_a_peer_on_a_unix_socket_has_no_address(rig, tmp_path):
    from client import Client
    up = rig.upstream()
    rig.before(up, listen=[f"unix:{tmp_path}/front.sock", "127.0.0.1:{PORT}"])
    with Client(f"{tmp_path}/front.sock") as c:
        c.send(request("GET", "/", "X-Forwarded-For: 1.2.3.4"))
        assert c.read().status == 200
    assert "1.2.3.4" not in str(up.last.fields)


def test_informational_heads_are_cleaned_too(stranger, up):
    up.default = raw(head(103, "Link: </a>", "Connection: X-Secret", "X-Secret: 1", "Keep-Alive: 5") + head(200, "Content-Length: 0"))
    with stranger.client() as c:
        r = c.ask()
        f = r.informational[0].fields
        assert f.get("link") == "</a>" and "x-secret" not in f and "keep-alive" not in f
