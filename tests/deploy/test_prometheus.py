"""test_prometheus.py - the alerts fire when they should and name only what is there; /metrics is what promtool calls clean."""
import re
import subprocess

import yaml

from tools import PROMTOOL, ROOT, tool
from queries import unknown

ALERTS = ROOT / "conf" / "prometheus" / "alerts.yaml"


def rules():
    return [r for g in yaml.safe_load(ALERTS.read_text())["groups"] for r in g["rules"]]


def test_rules_are_rules():
    assert f"{len(rules())} rules found" in tool(PROMTOOL, "check", "rules", ALERTS)


def test_alerts_fire_and_do_not():
    tool(PROMTOOL, "test", "rules", ALERTS.with_name("alerts_test.yaml"))


def test_every_alert_is_tested_both_ways():
    """Each one is expected once to fire and once not to."""
    fires, silent = set(), set()
    for test in yaml.safe_load(ALERTS.with_name("alerts_test.yaml").read_text())["tests"]:
        for case in test["alert_rule_test"]:
            (fires if case.get("exp_alerts") else silent).add(case["alertname"])
    names = {r["alert"] for r in rules()}
    assert fires == names and silent == names, (names - fires, names - silent)


def test_alerts_name_what_is_there(series):
    wrong = {r["alert"]: w for r in rules() if (w := unknown(r["expr"], series))}
    assert not wrong


def test_alerts_say_what_to_do():
    for r in rules():
        assert r["labels"]["severity"] in ("page", "ticket")
        assert set(r["annotations"]) == {"summary", "description"}
        by = set(re.findall(r"\$labels\.(\w+)", str(r["annotations"])))
        summed = re.search(r"\bby \(([^)]*)\)", r["expr"])
        if summed:
            assert by <= {x.strip() for x in summed[1].split(",")}, r["alert"]


def test_metrics_are_clean(everything):
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=everything.probe("/metrics").body, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_an_unknown_name_would_be_found(series):
    """The test above can fail."""
    for expr in ("outrigger_nonsense_total", 'outrigger_http_requests_total{rout="x"}', 'outrigger_proxy_responses_total{reason="bored"}',
                 "sum by (color) (outrigger_ready)", "1"):
        assert unknown(expr, series), expr
