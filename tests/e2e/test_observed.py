"""test_observed.py - interface §3, §7 and §8: the access log, the probes and pages of the admin listener, who may see them, and the numbers."""
import json
import os
import re
import signal
import time

import pytest

from client import Client, request, until
from load import Load
from proxy import run
from upstream import hang, head, reply, tunnel

DEAD = "http://127.0.0.1:1"


# ── access log ──

def test_fields_of_a_line(rig):
    up = rig.upstream(reply(b"x" * 100, 201, delay=0.05))
    proxy = rig.before(up, route={"name": "front"})
    proxy.ask("POST", "/a%20b?token=secret", "X-Request-ID: one", "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
              "Authorization: Bearer secret", "Cookie: secret=1", host="shop.example:81", body=b"y" * 50)
    line = proxy.access_log(1)[0]
    for k, v in {"level": "info", "event": "request", "request_id": "one", "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "client": "127.0.0.1",
                 "method": "POST", "host": "shop.example:81", "path": "/a%20b", "protocol": "HTTP/1.1", "route": "front", "upstream": "app",
                 "endpoint": up.name, "status": 201, "served_by": "upstream", "attempts": 1, "bytes_in": 50}.items():
        assert line[k] == v, k
    assert "reason" not in line and "tried" not in line and "secret" not in json.dumps(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    assert re.fullmatch("[0-9a-f]{16}", line["span_id"]) and up.last.fields.get("traceparent").split("-")[2] != line["span_id"]      # that is its child
    assert 49 < line["ttfb_ms"] <= line["duration_ms"] < 1000 and line["bytes_out"] >= 100
    assert 0 <= line["overhead_ms"] < 50 and line["queue_ms"] >= 0 and line["connect_ms"] > 0


def test_one_line_per_request_whatever_happens(rig):
    up = rig.upstream()
    up.on["/hang"], up.on["/cut"] = hang, lambda call, q: (call.send(head(200, "Content-Length: 9") + b"x"), call.close())
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url]}}, routes=[{"path": "/", "upstream": "app", "timeout": "200ms"}, {"path": "/dead", "upstream": DEAD}],
                          admin={"listen": "127.0.0.1:{ADMIN}"})
    with proxy.client() as c:
        for target in "/", "/hang", "/dead", "*":
            c.ask("GET", target)
    with proxy.client() as c:
        c.send(b"nonsense\r\n\r\n")
        c.read()
    with proxy.client() as c:
        c.send(request("GET", "/cut"))
        c.rest()
    with proxy.client() as c:
        c.send(request("GET", "/hang"))
        up.wait_for(4)
    lines = proxy.access_log(7)
    time.sleep(0.1)
    lines = proxy.access_log(7)
    assert len(lines) == 7
    assert sorted((x["status"], x.get("reason", "")) for x in lines) == sorted([          # two workers write in either order
        (200, ""), (504, "deadline_exceeded"), (502, "connection_refused"), (400, "request_invalid"), (400, "request_invalid"),
        (200, "response_truncated"), (499, "client_closed")])


def test_nothing_forges_a_line(rig):
    proxy = rig.before(rig.upstream())
    proxy.ask("GET", '/"},{"a":"\\', "X-Request-ID: fine", host="h.example")
    line = proxy.access_log(1, request_id="fine")[0]
    assert line["path"] == '/"},{"a":"\\'


def test_tunnel_is_logged_at_its_end(rig):
    proxy = rig.before(rig.upstream(tunnel()))
    with proxy.client() as c:
        c.send(request("GET", "/", "Upgrade: websocket", "Connection: upgrade"))
        assert c.reply_head().status == 101
        c.send(b"abc")
        c.exactly(3)
        c.end()
        c.rest()
    line = proxy.access_log(1)[0]
    assert line["status"] == 101 and line["bytes_in"] == 3 and line["bytes_out"] >= 6 and "reason" not in line


def test_text_form(rig):
    up = rig.upstream()
    proxy = rig.before(up, access_log={"to": "stdout", "format": "text"})
    up.script = [reply(b"", 503)]
    proxy.ask("GET", "/orders/42", host="shop.example")
    end = time.monotonic() + 3
    while "\n" not in proxy.out_file.read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    line = proxy.out_file.read_text().strip()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} GET 200 [\d.]+m?s shop\.example/orders/42 → app " + re.escape(up.name) + r" \(2nd try; " + re.escape(up.name) + r" 503\)", line), line


def test_to_a_file_that_is_rotated(rig, tmp_path):
    proxy = rig.before(rig.upstream(), access_log={"to": str(tmp_path / "access.log"), "format": "json"})

    def lines(name, count):
        end = time.monotonic() + 3
        while not (tmp_path / name).exists() or (tmp_path / name).read_text().count("\n") < count:
            assert time.monotonic() < end, name
            time.sleep(0.01)
        return (tmp_path / name).read_text().splitlines()
    proxy.ask("GET", "/1")
    lines("access.log", 1)
    os.rename(tmp_path / "access.log", tmp_path / "access.log.1")
    proxy.signal(signal.SIGUSR1)
    end = time.monotonic() + 3
    while not (tmp_path / "access.log").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    proxy.ask("GET", "/2")
    assert [json.loads(x)["path"] for x in lines("access.log", 1)] == ["/2"] and len(lines("access.log.1", 1)) == 1


def test_off_sample_and_skip(rig):
    up = rig.upstream()
    off = rig.before(up, access_log={"to": "off"})
    off.ask()
    some = rig.before(up, access_log={"to": "stdout", "format": "json", "sample": "30%"})
    with some.client() as c:
        for _ in range(200):
            c.ask()
    skip = rig.before(up, access_log={"to": "stdout", "format": "json", "skip_paths": ["/healthz"]})
    skip.ask("GET", "/healthz")
    up.default = reply(b"", 500)
    skip.ask("GET", "/healthz")
    skip.ask("GET", "/x")
    assert [x["status"] for x in skip.access_log(2)] == [500, 500]
    assert off.out_file.read_text() == "" and 20 < len(some.access_log(20)) < 110


def test_all_lines_are_out_at_the_end(rig):
    up = rig.upstream()
    proxy = rig.before(up, workers=2)
    load = Load(("127.0.0.1", proxy.port), 8)
    load.wait_for(1000)
    load.stop()
    proxy.signal(signal.SIGTERM)
    proxy.wait()
    assert len(proxy.access_log(1000)) == len(load.outcomes)


# ── probes ──

def test_probes(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    for path in "/livez", "/healthz", "/readyz", "/startupz":
        assert proxy.probe(path).status == 200
        assert proxy.admin("HEAD", path).body == b""
        assert proxy.admin("POST", path, body=b"").status == 405
    r = proxy.probe("/readyz?verbose")
    text = r.body.decode()
    assert "[+] config" in text and "[+] listeners" in text and "[+] upstream app   1 of 1 endpoints healthy (required)" in text and text.endswith("ready\n")
    assert not proxy.out_file.read_text(), "the admin listener's own requests are not in the access log"


def test_not_ready_by_health_checks_and_back(rig):
    up, spare = rig.upstream(), rig.upstream()
    check = {"path": "/healthz", "interval": "100ms", "jitter": "0%", "timeout": "500ms", "healthy_after": 1, "unhealthy_after": 2}
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url], "health_check": check}, "spare": {"endpoints": [spare.url], "health_check": check, "required": False}},
                          routes=[{"path": "/", "upstream": "app"}])

    def until(ready):
        end = time.monotonic() + 5
        while proxy.probe("/readyz").status != (200 if ready else 503):
            assert time.monotonic() < end, proxy.probe("/readyz?verbose").body.decode()
            time.sleep(0.02)
    until(True)
    spare.on["/healthz"] = reply(b"", 500)
    time.sleep(0.4)
    assert proxy.probe("/readyz").status == 200, "an upstream that is not required says nothing about us"
    up.on["/healthz"] = reply(b"", 500)
    until(False)
    text = proxy.probe("/readyz?verbose").body.decode()
    assert "[-] upstream app   0 of 1 endpoints healthy (required)" in text and "[ ] upstream spare" in text and text.endswith("not ready\n")
    assert proxy.probe("/livez").status == proxy.probe("/startupz").status == 200
    assert proxy.ask().status == 200, "fewer than half healthy: all are used (panic)"
    up.on["/healthz"] = reply()
    until(True)
    assert run("healthcheck", "--admin", f"127.0.0.1:{proxy.admin_port}").returncode == 0
    assert "endpoint" in proxy.err and up.name in proxy.err


def test_unhealthy_endpoint_gets_no_requests(rig):
    good, also, bad = rig.upstream(), rig.upstream(), rig.upstream()
    bad.on["/healthz"] = reply(b"", 500)
    proxy = rig.before([good, also, bad], workers=1, upstream={"balance": "round_robin", "health_check": {
        "path": "/healthz", "interval": "100ms", "timeout": "500ms", "unhealthy_after": 1, "healthy_after": 1}})
    end = time.monotonic() + 5
    while "3 endpoints healthy" not in proxy.probe("/readyz?verbose").body.decode() or "2 of 3" not in proxy.probe("/readyz?verbose").body.decode():
        assert time.monotonic() < end
        time.sleep(0.02)
    bad.forget()
    assert all(proxy.ask().status == 200 for _ in range(10))
    assert all(q.target == "/healthz" for q in bad.requests)


# ── changes ──

def test_drain_and_undrain(rig):
    proxy = rig.before(rig.upstream())
    address = f"127.0.0.1:{proxy.admin_port}"
    assert proxy.admin("GET", "/drain").status == 405 and proxy.probe("/readyz").status == 200
    assert proxy.admin("POST", "/drain", body=b"").status == 200
    assert proxy.probe("/readyz").status == 503 and proxy.probe("/livez").status == 200
    with proxy.client() as c:
        r = c.ask()
        assert r.status == 200 and r.fields.get("connection") == "close" and c.ended()
    assert run("healthcheck", "--admin", address).returncode == 0 and run("healthcheck", "--ready", "--admin", address).returncode == 1
    assert run("undrain", "--admin", address).returncode == 0
    assert proxy.probe("/readyz").status == 200
    until(lambda: proxy.ask().fields.get("connection") != "close")       # the data threads hear of it a moment later
    with proxy.client() as c:
        c.ask()
        assert c.silent(0.05)
    assert run("drain", "--admin", address).returncode == 0 and proxy.probe("/readyz").status == 503


def test_quit(rig):
    proxy = rig.before(rig.upstream())
    assert run("quit", "--admin", f"127.0.0.1:{proxy.admin_port}").returncode == 0
    assert proxy.wait() == 0


def test_no_outrigger_to_talk_to():
    for command in "status", "drain", "healthcheck":
        done = run(command, "--admin", "127.0.0.1:1")
        assert done.returncode != 0 and "127.0.0.1:1" in done.stderr


def test_log_level_is_changed(rig):
    proxy = rig.before(rig.upstream())
    assert proxy.admin("POST", "/log?level=debug", body=b"").status == 200
    assert proxy.admin("POST", "/log?level=loud", body=b"").status == 400


# ── who may see what ──

def test_names_that_were_rebound_and_foreign_pages(rig):
    proxy = rig.before(rig.upstream())
    with Client(("127.0.0.1", proxy.admin_port)) as c:
        assert c.ask("GET", "/status.json", host="evil.example").status == 403
        assert c.ask("GET", "/metrics", host="evil.example").status == 200, "public"
        for host in "localhost", "127.0.0.1", f"localhost:{proxy.admin_port}", "[::1]":
            assert c.ask("GET", "/status.json", host=host).status == 200
        assert c.ask("POST", "/drain", "Origin: http://evil.example", host="127.0.0.1", body=b"").status == 403
        assert c.ask("POST", "/drain", "Origin: null", host="127.0.0.1", body=b"").status == 403
        assert c.ask("GET", "/nowhere", host="127.0.0.1").status == 404
    assert proxy.probe("/readyz").status == 200


@pytest.mark.skipif(not os.path.exists("/sys/class/net/eth0"), reason="no address but loopback's")
def test_strangers_and_tokens(rig, tmp_path):
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))
        own = s.getsockname()[0]
    if own.startswith("127."):
        pytest.skip("no address but loopback's")
    (tmp_path / "token").write_text("s3cret\n")
    proxy = rig.before(rig.upstream(), admin={"listen": "0.0.0.0:{ADMIN}", "token_file": str(tmp_path / "token")})
    with Client((own, proxy.admin_port)) as c:
        assert c.ask("GET", "/readyz", host=own).status == 200
        assert c.ask("GET", "/metrics", host=own).status == 200
        for fields in [], ["Authorization: Bearer wrong"], ["Authorization: Bearer s3cre"], ["Authorization: Bearer s3crett"], ["Authorization: Basic s3cret"], ["Authorization: Bearer"]:
            assert c.ask("GET", "/status.json", *fields, host=own).status == 403
            assert c.ask("POST", "/drain", *fields, host=own, body=b"").status == 403
        assert c.ask("GET", "/status.json", "Authorization: Bearer s3cret", host=own).status == 200


def test_admin_on_a_unix_socket(rig, tmp_path):
    path = tmp_path / "admin.sock"
    proxy = rig.before(rig.upstream(), wait=False, admin={"listen": f"unix:{path}"})
    end = time.monotonic() + 10
    while run("healthcheck", "--ready", "--admin", f"unix:{path}").returncode != 0:
        assert time.monotonic() < end
    done = run("status", "--admin", f"unix:{path}")
    assert done.returncode == 0 and "app" in done.stdout
    proxy.stop()
    assert not path.exists()


# ── pages and numbers ──

def test_status(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"name": "front"})
    for _ in range(3):
        proxy.ask()
    proxy.ask("GET", "*")
    d = proxy.probe("/status.json").json()
    assert d["life"] == "serving" and d["ready"] is True and d["listeners"][0]["accepted"] == 4
    assert "front" in json.dumps(d["routes"]) and up.name in json.dumps(d["upstreams"])
    for path in "/routes", "/upstreams", "/config":
        r = proxy.probe(path)
        assert r.status == 200 and r.fields.get("content-type") == "application/json"
        r.json()
    text = proxy.probe("/").body.decode()
    assert "front" in text and up.name in text
    done = run("status", "--json", "--admin", f"127.0.0.1:{proxy.admin_port}")
    assert done.returncode == 0 and json.loads(done.stdout)["life"] == "serving"


SERIES = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.eE+]+|\+Inf|NaN)')


def metrics(proxy, patience=.3):
    """As scrape(), when what was answered is also counted: that happens behind the last byte, on another thread."""
    end, calm = time.monotonic() + patience, 0
    while True:
        found = scrape(proxy)
        calm = 0 if any(v for (name, _), v in found.items() if name == "outrigger_http_requests_in_flight") else calm + 1
        if calm == 2 or time.monotonic() > end:
            return found
        time.sleep(.005)


def scrape(proxy):
    """{(name, frozenset of labels): value}, read strictly."""
    found, typed, helped = {}, {}, set()
    text = proxy.probe("/metrics").body.decode()
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ")[2])
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in typed, f"{name} twice"
            typed[name] = kind
        else:
            m = SERIES.fullmatch(line)
            assert m, line
            key = (m[1], frozenset(re.findall(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"', m[2] or "")))
            assert key not in found, f"{key} twice"
            base = re.sub(r"_(bucket|sum|count)$", "", m[1])
            assert m[1] in typed or typed.get(base) == "histogram", line
            found[key] = float(m[3])
    assert helped >= set(typed)
    return found


def value(found, name, **labels):
    hits = [v for (n, ls), v in found.items() if n == name and set(labels.items()) <= ls]
    return sum(hits) if hits else None


def test_metrics(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"name": "front"})
    first = metrics(proxy)
    assert value(first, "outrigger_build_info") == 1 and value(first, "outrigger_ready") == 1 and value(first, "outrigger_draining") == 0
    for name in "outrigger_retries_total", "outrigger_proxy_responses_total", "outrigger_timeouts_total", "outrigger_upstream_errors_total":
        assert value(first, name) == 0, f"{name} is there from the beginning, with 0"
    with proxy.client() as c:
        for _ in range(5):
            assert c.ask().status == 200
        up.script = [reply(b"", 503)]
        c.ask()
        assert proxy.ask("GET", "*").status == 400
        c.ask("FROB", "/")
        until(lambda: value(scrape(proxy), "outrigger_http_requests_total", method="OTHER", code="200") == 1)   # counted behind its last byte
        now = metrics(proxy)
        assert value(now, "outrigger_http_requests_total", route="front", method="GET", code="200") == 6
        assert value(now, "outrigger_http_requests_total", method="OTHER", code="200") == 1
        assert value(now, "outrigger_proxy_responses_total", reason="request_invalid") == 1
        assert value(now, "outrigger_retries_total", result="recovered") == 1
        assert value(now, "outrigger_http_request_duration_seconds_count", route="front") == 7
        assert value(now, "outrigger_http_request_duration_seconds_bucket", route="front", le="+Inf") == 7
        assert value(now, "outrigger_upstream_requests_total", upstream="app", code="503") == 1
        assert value(now, "outrigger_http_requests_in_flight") == 0
        assert value(now, "outrigger_connections") == 1
        assert value(now, "outrigger_upstream_connections_opened_total") >= 1 and value(now, "outrigger_upstream_connections_reused_total") >= 5


def test_metrics_while_something_runs(rig):
    up = rig.upstream(hang)
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        now = scrape(proxy)
        assert value(now, "outrigger_http_requests_in_flight") == 1
        assert value(now, "outrigger_upstream_connections", state="active") == 1
    proxy.access_log(1, status=499)
    assert value(metrics(proxy), "outrigger_http_requests_in_flight") == 0


def test_no_label_comes_from_a_client(rig):
    proxy = rig.before(rig.upstream())
    proxy.ask("EVILMETHOD", "/evilpath", "X: evilfield", host="evilhost")
    assert "evil" not in proxy.probe("/metrics").body.decode().lower()


def test_metrics_under_load_add_up(rig):
    up = rig.upstream()
    proxy = rig.before(up, workers=2)
    load = Load(("127.0.0.1", proxy.port), 8)
    for _ in range(5):
        scrape(proxy)
        time.sleep(0.05)
    load.wait_for(500)
    load.stop()
    until(lambda: value(scrape(proxy), "outrigger_http_requests_total") == len(load.outcomes))
