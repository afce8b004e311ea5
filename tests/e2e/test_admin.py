"""test_admin.py - the admin listener: probes, metrics, JSON, status, what POST changes, and the commands that ask it."""
import json
import re
import shutil
import subprocess
import time

import pytest

from client import Client, request, until
from proxy import run
from upstream import hang, hangup, reply


def metrics(proxy, patience=.3):
    """As scrape(), when what was answered is also counted: that happens behind the last byte, on another thread."""
    end, calm = time.monotonic() + patience, 0
    while True:
        found = scrape(proxy)
        calm = 0 if any(v for k, v in found.items() if k.startswith("outrigger_http_requests_in_flight")) else calm + 1
        if calm == 2 or time.monotonic() > end:
            return found
        time.sleep(.005)


def scrape(proxy):
    """{'name{labels}': value}; every line must be one that Prometheus reads, under its family's head, and no series twice."""
    r = proxy.probe("/metrics")
    assert r.status == 200 and r.fields.get("content-type").startswith("text/plain; version=0.0.4")
    found, family = {}, None
    for line in r.body.decode().splitlines():
        head = re.fullmatch(r"# (HELP|TYPE) ([a-z_]+) (.+)", line)
        if head:
            family = head[2]
            continue
        m = re.fullmatch(r"([a-z_]+)(\{[a-z_]+=\"[^\"]*\"(?:,[a-z_]+=\"[^\"]*\")*\})? ([0-9.]+)", line)
        assert m and m[1] in (family, family + "_bucket", family + "_sum", family + "_count"), line
        key = m[1] + (m[2] or "")
        assert key not in found, line
        found[key] = float(m[3])
    return found


# ── probes ──

def test_probes(rig):
    proxy = rig.before(rig.upstream())
    for path in ("/livez", "/healthz", "/readyz", "/startupz"):
        r = proxy.probe(path)
        assert (r.status, r.fields.get("cache-control")) == (200, "no-store")
        r = proxy.admin("HEAD", path)
        assert (r.status, r.body) == (200, b"")


def test_readyz_verbose(rig):
    up = rig.upstream()
    proxy = rig.outrigger(wait=False, upstreams={
        "app": {"endpoints": [up.url]},
        "ghost": {"endpoints": ["http://no-such-host.invalid:1"], "required": False},
    }, routes=[{"path": "/", "upstream": "app"}, {"path": "/g", "upstream": "ghost"}])
    proxy.ready()
    r = proxy.probe("/readyz?verbose")
    lines = r.body.decode().splitlines()
    assert r.status == 200
    assert re.fullmatch(r"\[\+\] config       \S+\.yaml loaded \d+s ago \(sha256 [0-9a-f]{8}\)", lines[0])
    assert lines[1:] == [f"[+] listeners    127.0.0.1:{proxy.port}", "[+] upstream app   1 of 1 endpoints healthy (required)",
                         "[ ] upstream ghost   0 of 1 endpoints healthy (not required)", "ready"]


def test_required_upstream_without_healthy_endpoint(rig):
    up = rig.upstream()
    proxy = rig.before(up, upstream={"health_check": {"path": "/up", "interval": "50ms", "timeout": "1s", "unhealthy_after": 1, "healthy_after": 1}})
    up.on["/up"] = reply(b"", 503)
    until(lambda: proxy.probe("/readyz").status == 503)
    assert b"[-] upstream app   0 of 1 endpoints healthy (required)" in proxy.probe("/readyz?verbose").body
    assert proxy.probe("/livez").status == 200
    endpoint = proxy.probe("/upstreams").json()[0]["endpoints"][0]
    assert (endpoint["state"], endpoint["last_error"]) == ("unhealthy", "status 503")
    assert metrics(proxy)['outrigger_upstream_endpoints{upstream="app",state="unhealthy"}'] == 1
    up.on["/up"] = reply(b"")
    until(lambda: proxy.probe("/readyz").status == 200)
    assert metrics(proxy)['outrigger_health_checks_total{upstream="app",result="failed"}'] >= 1


def test_drain_and_undrain(rig):
    proxy = rig.before(rig.upstream())
    assert proxy.admin("POST", "/drain").status == 200
    assert proxy.probe("/readyz").status == 503
    assert b"[-] life         asked to drain" in proxy.probe("/readyz?verbose").body
    assert proxy.probe("/livez").status == 200
    until(lambda: proxy.ask().fields.get("connection") == "close")
    assert metrics(proxy)["outrigger_draining"] == 1
    assert proxy.admin("POST", "/undrain").status == 200
    assert proxy.probe("/readyz").status == 200
    until(lambda: all("connection" not in proxy.ask().fields for _ in range(8)))      # every worker has heard of it
    with proxy.client() as c:
        assert c.ask().body == c.ask().body == b"hello"


def test_quit(rig):
    proxy = rig.before(rig.upstream())
    assert proxy.admin("POST", "/quit").status == 200
    assert proxy.wait() == 0


# ── methods and access ──

@pytest.fixture(scope="module")
def plain(shared_rig):
    return shared_rig.before(shared_rig.upstream())


@pytest.mark.parametrize("path", ["/drain", "/undrain", "/quit", "/log"])
def test_changes_are_not_for_get(plain, path):
    r = plain.admin("GET", path)
    assert (r.status, r.fields.get("allow")) == (405, "POST")
    assert plain.probe("/readyz").status == 200


def test_pages_are_for_get(plain):
    r = plain.admin("POST", "/routes", body=b"x" * 100000)
    assert (r.status, r.fields.get("allow")) == (405, "GET, HEAD")


def test_a_posted_body_is_read(plain):
    with Client(("127.0.0.1", plain.admin_port)) as c:
        for _ in range(2):
            assert c.ask("POST", "/undrain", host="127.0.0.1", body=b"x" * 300000).status == 200


def test_no_such_page(plain):
    assert plain.probe("/nope").status == 404


def test_names_that_could_be_rebound(plain):
    with Client(("127.0.0.1", plain.admin_port)) as c:
        assert c.ask("GET", "/routes", host="evil.example").status == 403
        assert c.ask("GET", "/livez", host="evil.example").status == 200
        assert c.ask("GET", "/routes", host="localhost").status == 200


def test_foreign_pages_change_nothing(plain):
    own = f"http://127.0.0.1:{plain.admin_port}"
    assert plain.admin("POST", "/drain", "Origin: http://evil.example").status == 403
    assert plain.admin("POST", "/drain", "Origin: null").status == 403
    assert plain.probe("/readyz").status == 200
    assert plain.admin("POST", "/undrain", f"Origin: {own}").status == 200


def test_log_level(plain):
    assert plain.admin("POST", "/log?level=debug").body == b"The log level is debug.\n"
    assert plain.admin("POST", "/log?level=loud").status == 400
    assert plain.admin("POST", "/log?level=info").status == 200


def test_unix_socket(rig):
    proxy = rig.outrigger(wait=False, admin={"listen": "unix:{TMP}/admin.sock"}, routes=[{"path": "/", "respond": {"status": 200}}])
    path = str(proxy.tmp / "admin.sock")
    until(lambda: run("healthcheck", "--admin", f"unix:{path}").returncode == 0)
    with Client(path) as c:
        assert c.ask("GET", "/routes", host="anything.example").status == 403
        assert c.ask("GET", "/routes", host="localhost").status == 200


# ── what is told ──

def test_metrics_count(rig):
    up = rig.upstream()
    up.on["/no"] = reply(b"no", 404)
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url]}},
                          routes=[{"name": "all", "path": "/", "methods": ["GET", "POST", "PURGE"], "upstream": "app"}])
    before = metrics(proxy)
    assert before['outrigger_proxy_responses_total{route="all",reason="connection_refused"}'] == 0
    assert before['outrigger_retries_total{route="all",upstream="app",result="recovered"}'] == 0
    for _ in range(3):
        assert proxy.ask("POST", "/", body=b"12345").body == b"hello"
    assert proxy.ask("GET", "/no").status == 404
    assert proxy.ask("PURGE", "/").status == 200
    assert proxy.ask("DELETE", "/").status == 405
    proxy.access_log(6)
    after = metrics(proxy)
    assert after['outrigger_http_requests_total{route="all",method="POST",code="200"}'] == 3
    assert after['outrigger_http_requests_total{route="all",method="OTHER",code="200"}'] == 1
    assert after['outrigger_http_requests_total{route="none",method="DELETE",code="405"}'] == 1
    assert after['outrigger_proxy_responses_total{route="none",reason="method_not_allowed"}'] == 1
    assert after['outrigger_http_request_duration_seconds_count{route="all",class="2xx"}'] == 4
    assert after['outrigger_http_request_duration_seconds_bucket{route="all",class="4xx",le="+Inf"}'] == 1
    assert after['outrigger_http_overhead_seconds_count{route="all"}'] == 5
    assert after['outrigger_http_request_body_bytes_total{route="all"}'] == 15
    assert after['outrigger_http_response_body_bytes_total{route="all"}'] == 4 * 5 + 2
    assert after['outrigger_upstream_requests_total{upstream="app",code="200"}'] == 4
    assert after['outrigger_upstream_request_duration_seconds_count{upstream="app"}'] == 5
    assert after['outrigger_upstream_connections_opened_total{upstream="app"}'] + after['outrigger_upstream_connections_reused_total{upstream="app"}'] == 5
    assert after['outrigger_http_requests_in_flight{route="all"}'] == 0
    assert after[f'outrigger_connections_accepted_total{{listener="127.0.0.1:{proxy.port}"}}'] == 6
    assert after["process_resident_memory_bytes"] > 1e6 and after["process_open_fds"] > 5


def test_metrics_of_failures(rig):
    good, bad = rig.upstream(), rig.upstream(default=hangup)
    proxy = rig.outrigger(upstreams={"two": {"endpoints": [good.url, bad.url], "balance": "round_robin"}, "bad": {"endpoints": [bad.url]},
                                     "slow": {"endpoints": [good.url]}},
                          routes=[{"name": "two", "path": "/two", "upstream": "two"}, {"name": "bad", "path": "/bad", "upstream": "bad"},
                                  {"name": "slow", "path": "/slow", "upstream": "slow", "timeout": "100ms"}])
    good.on["/slow"] = hang
    for _ in range(8):                    # several workers: each begins its round somewhere
        assert proxy.ask("GET", "/two").status == 200
    assert proxy.ask("GET", "/bad").status == 502
    assert proxy.ask("GET", "/slow").status == 504
    proxy.access_log(10)
    m = metrics(proxy)
    assert m['outrigger_upstream_errors_total{upstream="two",reason="upstream_reset"}'] == m['outrigger_retries_total{route="two",upstream="two",result="recovered"}'] >= 1
    assert m['outrigger_upstream_errors_total{upstream="bad",reason="upstream_reset"}'] == 2
    assert m['outrigger_retries_total{route="bad",upstream="bad",result="failed"}'] == 1
    assert m['outrigger_proxy_responses_total{route="bad",reason="upstream_reset"}'] == 1
    assert m['outrigger_upstream_errors_total{upstream="slow",reason="deadline_exceeded"}'] == 1
    assert m['outrigger_timeouts_total{route="slow",kind="total"}'] == 1


def test_in_flight(rig):
    up = rig.upstream(default=hang)
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        m = scrape(proxy)
        assert m['outrigger_http_requests_in_flight{route="/"}'] == 1
        assert m['outrigger_upstream_connections{upstream="app",state="active"}'] == 1
        assert m[f'outrigger_connections{{listener="127.0.0.1:{proxy.port}",protocol="http1"}}'] == 1
        assert proxy.probe("/status.json").json()["routes"][0]["in_flight"] == 1
    until(lambda: scrape(proxy)['outrigger_http_requests_in_flight{route="/"}'] == 0)
    assert metrics(proxy)['outrigger_http_requests_total{route="/",method="GET",code="499"}'] == 1


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool (package prometheus) is not here")
def test_promtool_finds_nothing(plain):
    plain.ask()
    done = subprocess.run(["promtool", "check", "metrics"], input=plain.probe("/metrics").body, capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_long_pages(rig):
    """Longer than any window and buffer on the way, to a reader that takes its time."""
    routes = [{"name": f"r{i}", "path": f"/r{i}", "respond": {"status": 200}} for i in range(300)]
    proxy = rig.outrigger(routes=routes)
    with Client(("127.0.0.1", proxy.admin_port), receive_buffer=16384) as c:
        c.send(request("GET", "/metrics", host="127.0.0.1"))
        time.sleep(0.3)
        assert proxy.probe("/livez").status == 200
        r = c.read()
    assert len(r.body) > 1 << 20 and r.body.endswith(b"\n")
    assert len(proxy.probe("/routes").json()) == 301
    assert len(proxy.probe("/config").json()["routes"]) == 300


def test_status_json(plain):
    plain.ask()
    until(lambda: plain.probe("/status.json").json()["routes"][0]["requests"])
    s = plain.probe("/status.json").json()
    assert (s["life"], s["ready"], s["asked_to_drain"]) == ("serving", True, False)
    assert re.fullmatch("[0-9a-f]{64}", s["config"]["sha256"])
    assert s["listeners"][0]["address"] == f"127.0.0.1:{plain.port}"
    assert s["routes"][0]["by_class"]["2xx"] >= 1 and s["routes"][0]["p99_ms"] > 0
    assert s["upstreams"][0]["endpoints"][0]["addresses"] == [s["upstreams"][0]["endpoints"][0]["endpoint"]]
    assert all(w["turns"] > 0 for w in s["workers"])


def test_status_fits_in_80_columns(rig):
    up = rig.upstream()
    proxy = rig.outrigger(upstreams={"an-upstream-with-quite-a-long-name": {"endpoints": [up.url]}},
                          routes=[{"name": "a-route-with-quite-a-long-name", "path": "/", "upstream": "an-upstream-with-quite-a-long-name"}])
    proxy.ask()
    proxy.access_log(1)
    done = run("status", "--admin", f"127.0.0.1:{proxy.admin_port}")
    assert done.returncode == 0 and done.stdout == proxy.probe("/").body.decode().replace("up 0s", re.search(r"up \d+s", done.stdout)[0])
    rows = done.stdout.splitlines()
    assert max(map(len, rows)) <= 80
    assert re.fullmatch(r"a-route-with-quite-a-lo… +1 +100% +\S+ms +\S+ms +\S+ms +0 +0", rows[5])
    assert re.fullmatch(rf"  ● {up.name:26} healthy +0 +\d +1 +0", rows[9])


# ── commands ──

def test_commands(rig):
    proxy = rig.before(rig.upstream())
    at = ("--admin", f"127.0.0.1:{proxy.admin_port}")
    assert json.loads(run("status", "--json", *at).stdout)["life"] == "serving"
    assert run("healthcheck", *at).returncode == run("healthcheck", "--ready", *at).returncode == 0
    assert run("drain", *at).returncode == 0
    assert run("healthcheck", *at).returncode == 0
    assert run("healthcheck", "--ready", *at).returncode == 1
    assert run("undrain", *at).returncode == 0
    assert run("healthcheck", "--ready", *at).returncode == 0
    assert run("quit", *at).returncode == 0
    assert proxy.wait() == 0
    assert run("healthcheck", *at).returncode == 1
    done = run("status", *at)
    assert done.returncode == 69 and "Connection refused" in done.stderr


def test_commands_do_not_wait_for_ever(rig):
    up = rig.upstream(default=hang)
    begin = time.monotonic()
    assert run("healthcheck", "--admin", up.name).returncode == 1
    assert time.monotonic() - begin < 5
