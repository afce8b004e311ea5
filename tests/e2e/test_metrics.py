"""test_metrics.py - interface §8: the page in both formats, packed or not; what promtool and an own strict reader of OpenMetrics say of it; its cost."""
import gzip
import http.client
import re
import shutil
import subprocess
import time

import pytest

from client import until
from proxy import sanitized, server_of
from test_admin import metrics
from upstream import hangup, reply

OPEN = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
LABELS = r'(?:\{((?:[a-z_]+="(?:[^"\\]|\\[\\"n])*",?)*)\})?'
SAMPLE = re.compile(r'([a-z_]+)' + LABELS + r' ([0-9.]+)(?: # \{trace_id="([0-9a-f]{32})"\} ([0-9.]+) ([0-9]+\.[0-9]{3}))?')


def scrape(proxy, *fields):
    r = proxy.admin("GET", "/metrics", *fields)
    assert r.status == 200
    return r


def openmetrics(proxy):
    """[(family, name, labels, value, example)], by the rules of OpenMetrics 1.0 that this page can break."""
    r = scrape(proxy, OPEN)
    assert r.fields.get("content-type") == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    text = r.body.decode()
    assert text.endswith("\n# EOF\n") and text.count("# EOF") == 1
    found, seen, family, kind = [], set(), None, None
    for line in text.splitlines()[:-1]:
        head = re.fullmatch(r"# (HELP|TYPE) ([a-z_]+) (.+)", line)
        if head and head[1] == "HELP":
            family, kind = head[2], None
            assert family not in seen, line
            seen.add(family)
            continue
        if head:
            assert head[2] == family and head[3] in ("counter", "gauge", "histogram"), line
            kind = head[3]
            assert not family.endswith(("_total", "_bucket", "_count", "_sum")), line
            continue
        m = SAMPLE.fullmatch(line)
        assert m and kind, line
        suffix = m[1][len(family):]
        assert m[1].startswith(family) and suffix in {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_sum", "_count"]}[kind], line
        labels = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
        assert m[4] is None or suffix == "_bucket", line
        if suffix == "_bucket":
            assert labels["le"] == "+Inf" or str(float(labels["le"])) == labels["le"], line      # canonical
        found.append((family, m[1], labels, float(m[3]), (m[4], float(m[5]), float(m[6])) if m[4] else None))
    return found


@pytest.fixture(scope="module")
def lived(shared_rig):
    """A proxy that has every feature on, and has seen a bit of everything."""
    up, bad = shared_rig.upstream(reply(b"x" * 300)), shared_rig.upstream(default=hangup)
    proxy = shared_rig.outrigger(
        upstreams={"app": {"endpoints": [up.url], "circuit_breaker": {}, "concurrency": {"limit": 10, "queue": 5}, "health_check": {"path": "/"}},
                   "bad": {"endpoints": [bad.url]}},
        routes=[{"path": "/", "upstream": "app", "rate_limit": "1000/s", "coalesce": {}, "name": "front"}, {"path": "/bad", "upstream": "bad"},
                {"path": "/own", "respond": {"status": 204}}])
    for target in "/", "/", "/bad", "/own", "/nothing":
        proxy.ask("GET", target, f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01")
    proxy.ask("WEIRD", "/", f"traceparent: 00-{TRACE}-00f067aa0ba902b7-01")
    proxy.access_log(6)
    until(lambda: metrics(proxy)['outrigger_http_requests_total{route="front",method="GET",code="200"}'] >= 2)
    return proxy


def test_promtool_finds_nothing(lived):
    """Package prometheus; `make packages-test` installs it."""
    tool = shutil.which("promtool")
    assert tool, "promtool is not there: make packages-test"
    done = subprocess.run([tool, "check", "metrics"], input=scrape(lived).body, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr.strip() and not done.stdout.strip(), (done.stdout + done.stderr).decode()


def test_openmetrics(lived):
    now = openmetrics(lived)
    by_name = {name for _, name, *_ in now}
    plain = metrics(lived)
    assert by_name == {re.match("[a-z_]+", k)[0] for k in plain}          # the same numbers in both
    assert sum(v for _, n, labels, v, _ in now if n == "outrigger_http_requests_total" and labels["route"] == "front") == 3 + 1
    for route in "front", "/own":                                          # cumulative, and the last one is the count
        buckets = [v for _, n, labels, v, _ in now if n == "outrigger_http_request_duration_seconds_bucket" and labels["route"] == route
                   and labels["class"] == "2xx"]
        count = [v for _, n, labels, v, _ in now if n == "outrigger_http_request_duration_seconds_count" and labels["route"] == route
                 and labels["class"] == "2xx"]
        assert buckets == sorted(buckets) and buckets[-1] == count[0] > 0


def test_examples_name_a_trace(lived):
    now = openmetrics(lived)
    examples = [(labels, example) for _, n, labels, _, example in now if example]
    assert all(labels.keys() == {"route", "class", "le"} for labels, _ in examples)
    mine = [(labels, example) for labels, example in examples if labels["route"] == "front" and labels["class"] == "2xx"]
    assert TRACE in {example[0] for _, example in mine}
    for labels, (_, seconds, when) in examples:
        assert seconds <= float(labels["le"].replace("+Inf", "inf")) and abs(when - time.time()) < 60
    assert "trace_id" not in scrape(lived).body.decode()                   # the older format has no place for them


@pytest.mark.parametrize("accept,opened", [
    (None, False), ("*/*", False), ("text/plain", False), ("application/openmetrics-text", True), ("application/openmetrics-text;q=0", False),
    ("text/plain;q=0.5, application/openmetrics-text;q=0.4", False), ("text/plain;q=0.4,application/openmetrics-text; version=1.0.0; q=0.5", True)])
def test_which_format(lived, accept, opened):
    r = scrape(lived, *([f"Accept: {accept}"] if accept else []))
    assert r.fields.get("content-type").startswith("application/openmetrics-text" if opened else "text/plain; version=0.0.4") is True
    assert r.body.endswith(b"# EOF\n") is opened


@pytest.mark.parametrize("takes,packed", [
    ("gzip", True), ("gzip, deflate", True), ("br;q=1.0, GZIP;q=0.8", True), ("deflate", False), ("gzip;q=0", False), ("identity", False)])
def test_gzip(lived, takes, packed):
    r = scrape(lived, f"Accept-Encoding: {takes}")
    assert (r.fields.get("content-encoding") == "gzip") is packed and "accept-encoding" in r.fields.get("vary")
    text = gzip.decompress(r.body) if packed else r.body
    assert text.startswith(b"# HELP outrigger_build_info") and text.endswith(b"\n")
    assert not packed or len(r.body) < len(text) / 5
    r = lived.admin("HEAD", "/metrics", f"Accept-Encoding: {takes}")
    assert (r.status, r.body, r.fields.get("content-encoding") == "gzip") == (200, b"", packed)
    assert lived.admin("GET", "/livez", "Accept-Encoding: gzip").fields.get("content-encoding") is None


def test_own_buckets_and_no_endpoints(rig):
    proxy = rig.before(rig.upstream(), metrics={"per_endpoint": False, "buckets": ["5ms", "1s", "1m"]})
    proxy.ask()
    now = metrics(proxy)
    ends = {re.search('le="([^"]*)"', k)[1] for k in now if "_bucket{" in k}
    assert ends == {"0.005", "1", "60", "+Inf"} and not any("endpoint=" in k for k in now)


def test_two_hundred_routes(rig):
    """Numbers to look at (-s): until the page is there, on a connection that stands; and how long the control thread computed for it: its own
    account, so that a busy machine does not matter, with a bound that only a mistake by an order of magnitude would meet."""
    up = rig.upstream(reply(b"x" * 300))
    upstreams = {f"app-{i}": {"endpoints": [up.url], "circuit_breaker": {}, "concurrency": {"limit": 100, "queue": 50}} for i in range(20)}
    policies = {"rate_limit": "1000/s", "idempotency": {}, "cache": {}, "coalesce": {}, "hedge": {"after": "1s"}}
    routes = [{"path": f"/service-{i}/api", "name": f"service-{i}-api", "upstream": f"app-{i % 20}", **policies} for i in range(200)]
    proxy = rig.outrigger(upstreams=upstreams, routes=routes)
    with proxy.client() as c:
        for i in range(200):
            for n in range(3):
                assert c.ask("GET", f"/service-{i}/api/{n}").status == 200
    for what, fields in {"text": {}, "OpenMetrics": {"Accept": OPEN[8:]}, "packed": {"Accept-Encoding": "gzip"}}.items():
        size, waited, worked = scrapes(proxy, 5 if sanitized() else 100, fields)
        print(f"200 routes, {what}: {size / 1e6:.2f} MB, {waited * 1e3:.2f} ms, {worked * 1e3:.2f} ms of them computing")
        assert sanitized() or worked < 0.05


def scrapes(proxy, count, fields):
    """Size of the last one; medians of the seconds until it was there, and of those in which it was made."""
    pid = server_of(proxy.process.pid) or proxy.process.pid
    waited, worked = [], []
    c = http.client.HTTPConnection("127.0.0.1", proxy.admin_port)
    for _ in range(count):
        began, before = time.perf_counter(), computed(pid)
        c.request("GET", "/metrics", headers={"Accept-Encoding": "identity", **fields})
        size = len(c.getresponse().read())
        waited.append(time.perf_counter() - began)
        worked.append(computed(pid) - before)
    c.close()
    return size, sorted(waited)[count // 2], sorted(worked)[count // 2]


def computed(pid):
    """Of its main thread, which is the control thread."""
    with open(f"/proc/{pid}/schedstat") as f:
        return int(f.read().split()[0]) / 1e9
