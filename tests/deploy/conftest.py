"""conftest.py - what the tests of the deploy files share: the rig of the end-to-end tests, tools that must be there, and one outrigger with
every policy on whose metrics are looked at.

OUTRIGGER_BIN as for tests/e2e. Tests marked slow build things in fresh Debian roots; `make deploy-check` runs them, as root.
"""
import importlib.util
import pathlib
import re
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(pathlib.Path(__file__).parent)]
spec = importlib.util.spec_from_file_location("e2e_conftest", ROOT / "tests" / "e2e" / "conftest.py")
e2e = importlib.util.module_from_spec(spec)
spec.loader.exec_module(e2e)
rig, shared_rig = e2e.rig, e2e.shared_rig

EVERYTHING = {
    "redis": {"main": {"url": "redis://127.0.0.1:1"}},
    "tracing": {"otlp": "http://127.0.0.1:1"},
    "flags": {"from": "file:/nowhere/flags.json"},
    "upstreams": {"app": {"endpoints": ["{UP}"], "health_check": {"path": "/"}, "circuit_breaker": {}, "concurrency": 10,
                          "outlier_detection": {"consecutive_errors": 5}},
                  "dead": {"endpoints": ["http://127.0.0.1:1"], "required": False}},
    "routes": [{"name": "limited", "path": "/limited", "upstream": "app", "rate_limit": "1/h"},
               {"name": "together", "path": "/together", "upstream": "app", "rate_limit": {"rate": "1/h", "store": "main"}},
               {"name": "split", "path": "/split", "upstream": {"app": "90%", "dead": "10%"}, "guard": {}},
               {"name": "quick", "path": "/quick", "upstream": "app", "hedge": {}},
               {"name": "once", "path": "/once", "upstream": "app", "idempotency": {}},
               {"name": "known", "path": "/known", "upstream": "app", "auth": {"jwt": {"jwks": "file:/nowhere/keys.json", "audience": "app"}}},
               {"name": "kept", "path": "/kept", "upstream": "app", "cache": {}},
               {"name": "shared", "path": "/shared", "upstream": "app", "coalesce": {}, "hedge": {}},
               {"name": "dead", "path": "/dead", "upstream": "dead", "retry": "off"},
               {"name": "saved", "path": "/saved", "upstream": "dead", "retry": "off", "fallback": {"body": "x"}},
               {"name": "app", "path": "/", "upstream": "app"}],
}


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: needs root and minutes")


@pytest.fixture(scope="session")
def everything(tmp_path_factory):
    """An outrigger with all policies, after a few requests of each kind."""
    r = e2e.Rig(tmp_path_factory.mktemp("everything"))
    up = r.upstream()
    conf = {**EVERYTHING, "upstreams": {**EVERYTHING["upstreams"], "app": {**EVERYTHING["upstreams"]["app"], "endpoints": [up.url]}}}
    proxy = r.outrigger(conf)
    for path in ("/", "/limited", "/limited", "/together", "/split", "/once", "/known", "/kept", "/shared", "/dead", "/saved"):
        proxy.ask("GET", path)
    yield proxy
    r.close()


@pytest.fixture(scope="session")
def series(everything):
    """{metric: {label: {values}}} of /metrics; histograms by their _bucket, _sum and _count. `up` and `instance` are Prometheus' own."""
    found = {"up": {"job": set(), "instance": set()}}
    for line in everything.probe("/metrics").body.decode().splitlines():
        m = re.match(r"([a-z_]+)(?:\{(.*)\})? ", line)
        if m and not line.startswith("#"):
            labels = found.setdefault(m[1], {"instance": set()})
            for name, value in re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2] or ""):
                labels.setdefault(name, set()).add(value)
    return found
