"""test_circuit_breaker.py - the breaker in the real binary: amplification, recovery, what an operator sees and says."""
import json
import threading
import time

import pytest

from client import until
from proxy import run
from test_admin import metrics, scrape
from upstream import hangup, reply

CONF = {"retry": "off", "circuit_breaker": {"open_for": "1s"}}


def flood(proxy, seconds, per_second, results):
    """[(second, status, reason, ms)] of requests at a rate, over one connection."""
    begun = time.monotonic()
    with proxy.client() as c:
        for i in range(int(seconds * per_second)):
            ahead = begun + i / per_second - time.monotonic()
            if ahead > 0:
                time.sleep(ahead)
            at = time.monotonic()
            r = c.ask("GET", "/x")
            reason = r.json()["reason"] if r.fields.get("content-type") == "application/problem+json" else ""
            results.append((at - begun, r.status, reason, 1000 * (time.monotonic() - at), r.fields.get("retry-after")))


def test_hard_down(rig):
    """500 requests a second at an upstream that is down, then comes back."""
    up = rig.upstream(reply(status=503))
    proxy = rig.before(up, upstream={"retry": "off", "circuit_breaker": {"open_for": "1s", "max_open_for": "1s"}})
    results = []
    t = threading.Thread(target=flood, args=(proxy, 6, 500, results))
    t.start()
    time.sleep(3)
    seen_while_down = len(up.requests)
    up.default = reply()
    t.join()
    refused = [r for r in results if r[2] == "circuit_open"]
    first = next(i for i, r in enumerate(results) if r[2] == "circuit_open")
    assert first <= 6                                         # opens within six requests
    periods = 3 / 0.75 + 1
    assert seen_while_down <= 5 + 3 * periods                 # then at most half_open_requests each period
    assert all(int(r[4]) >= 1 for r in refused)
    recovered = next(r[0] for r in results if r[1] == 200)
    assert recovered < 3 + 1.25 + 1                           # open_for, its jitter, and a second
    assert all(r[1] == 200 for r in results if r[0] > recovered + .2)
    waits = sorted(r[3] for r in refused)
    print("p99 of an open answer:", waits[int(len(waits) * .99)], "ms")


def test_recovery_is_noticed_soon(rig):
    up = rig.upstream(reply(status=503))
    proxy = rig.before(up, upstream=CONF)
    for _ in range(5):
        proxy.ask()
    assert proxy.ask().status == 503
    up.default = reply()
    begun = time.monotonic()
    until(lambda: proxy.ask().status == 200, 5)
    assert time.monotonic() - begun < 2                       # open_for and a second


def test_retry_after_is_true(rig):
    up = rig.upstream(reply(status=503))
    proxy = rig.before(up, upstream={"retry": "off", "circuit_breaker": {"open_for": "2s"}})
    for _ in range(5):
        proxy.ask()
    r = proxy.ask()
    assert (r.status, r.json()["reason"]) == (503, "circuit_open")
    up.default = reply()
    time.sleep(int(r.fields.get("retry-after")))
    assert proxy.ask().status == 200


def state_of(proxy):
    return proxy.admin("GET", "/upstreams").json()[0]["circuit_breaker"]


def test_it_is_seen(rig):
    up = rig.upstream(hangup)
    proxy = rig.before(up, upstream=CONF)
    assert state_of(proxy)["state"] == "closed"
    assert metrics(proxy)['outrigger_circuit_breaker_state{upstream="app",state="closed"}'] == 1
    for _ in range(6):
        proxy.ask()
    s = state_of(proxy)
    assert s["state"] == "open" and 0 < s["next_try_s"] <= 1.25 and s["refused"] >= 1
    m = metrics(proxy)
    assert m['outrigger_circuit_breaker_state{upstream="app",state="open"}'] == 1
    assert sum(v for k, v in m.items() if k.startswith("outrigger_circuit_breaker_state{")) == 1
    assert m['outrigger_circuit_breaker_transitions_total{upstream="app",to="open",cause="consecutive"}'] == 1
    assert m['outrigger_circuit_breaker_calls_total{upstream="app",result="failed"}'] == 5
    assert "circuit breaker        open, next try in" in run("status", "--admin", f"127.0.0.1:{proxy.admin_port}").stdout
    until(lambda: scrape(proxy)['outrigger_circuit_breaker_state{upstream="app",state="half_open"}'] == 1, 3)      # without traffic
    until(lambda: proxy.err.count('"event":"circuit_breaker"') == 2, 3)
    lines = [json.loads(line) for line in proxy.err.splitlines() if '"circuit_breaker"' in line]
    assert [(line["from"], line["to"], line["cause"]) for line in lines] == [("closed", "open", "consecutive"), ("open", "half_open", "open_for_over")]
    assert lines[0]["consecutive"] == 5


def test_an_operators_word(rig):
    up = rig.upstream()
    proxy = rig.before(up, upstream=CONF)
    path = "/upstreams/app/circuit_breaker?state="
    assert proxy.admin("POST", path + "forced_open").status == 200
    r = proxy.ask()
    assert (r.status, r.json()["reason"]) == (503, "circuit_open") and "operator" in r.json()["detail"]
    assert proxy.admin("POST", path + "auto").status == 200
    assert proxy.ask().status == 200
    up.default = reply(status=503)
    assert proxy.admin("POST", path + "closed").status == 200
    assert all("reason" not in proxy.ask().body.decode() for _ in range(20))
    assert state_of(proxy)["state"] == "disabled"
    assert proxy.admin("GET", path + "auto").status == 405
    assert proxy.admin("POST", path + "ajar").status == 400
    assert proxy.admin("POST", "/upstreams/nobody/circuit_breaker?state=auto").status == 404


def test_dry_run(rig):
    up = rig.upstream(reply(status=503))
    proxy = rig.before(up, upstream={"retry": "off", "circuit_breaker": {"dry_run": True}})
    for _ in range(8):
        assert "circuit_open" not in proxy.ask().body.decode()
    assert len(up.requests) == 8
    assert metrics(proxy)['outrigger_dry_run_refusals_total{route="/",reason="circuit_open"}'] == 3
    assert len(proxy.access_log(3, would_refuse="circuit_open")) == 3


@pytest.mark.parametrize("text", ["open_for: 2m", "failures: [sometimes]", "half_open_requests: 0", "window: 10", "failure_rate: 0%", "opne_for: 1s"])
def test_settings_that_are_refused(tmp_path, text):
    file = tmp_path / "o.yaml"
    file.write_text("listen: 127.0.0.1:1\nupstreams:\n  a:\n    endpoints: http://127.0.0.1:2\n    circuit_breaker: {%s}\nroutes: [{path: /, upstream: a}]\n" % text)
    r = run("check", "-c", str(file))
    assert r.returncode == 78 and f"{file.name}:5:" in r.stderr
