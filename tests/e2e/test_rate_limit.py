"""test_rate_limit.py - rate limits in the real binary."""
import time

import pytest

from proxy import run
from test_admin import metrics


def test_a_rate_over_seconds(rig):
    proxy = rig.before(rig.upstream(), route={"rate_limit": {"rate": "100/s", "burst": 10}})
    passed = refused = 0
    begun = time.monotonic()
    with proxy.client() as c:
        while time.monotonic() < begun + 3:
            r = c.ask("GET", "/")
            if r.status == 200:
                passed += 1
            else:
                refused += 1
                assert (r.status, r.json()["reason"]) == (429, "rate_limited") and int(r.fields.get("retry-after")) >= 1
    took = time.monotonic() - begun
    assert refused and .93 * 100 * took <= passed <= 1.05 * 100 * took + 10
    m = metrics(proxy)
    assert m['outrigger_rate_limit_decisions_total{route="/",limit="limit",decision="allowed"}'] == passed
    assert m['outrigger_rate_limit_decisions_total{route="/",limit="limit",decision="limited"}'] == refused
    assert "let through" in run("status", "--admin", f"127.0.0.1:{proxy.admin_port}").stdout


def test_retry_after_is_true(rig):
    proxy = rig.before(rig.upstream(), route={"rate_limit": "1/s"})
    assert proxy.ask().status == 200
    r = proxy.ask()
    assert r.status == 429 and r.fields.get("ratelimit") == '"limit";r=0;t=1'
    time.sleep(int(r.fields.get("retry-after")))
    assert proxy.ask().status == 200


def test_limits_are_exact_with_several_workers(rig):
    """Many connections, which several workers accept: one allowance."""
    proxy = rig.before(rig.upstream(), route={"rate_limit": {"rate": "5/h", "key": "route"}})
    assert sorted(proxy.ask().status for _ in range(40)) == [200] * 5 + [429] * 35


@pytest.mark.parametrize("text", ["rate: 100", "rate: 0/s", "burst: 1", "rate: 1/s, key: user", "rate: 1/s, key: 'jwt:sub'", "rate: 1/s, store: main",
                                  "rate: 1/s, algorithm: leaky"])
def test_settings_that_are_refused(tmp_path, text):
    file = tmp_path / "o.yaml"
    file.write_text("listen: 127.0.0.1:1\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:2\n    rate_limit: {%s}\n" % text)
    r = run("check", "-c", str(file))
    assert r.returncode == 78 and f"{file.name}:5:" in r.stderr
