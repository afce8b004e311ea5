"""test_grafana.py - every query of the dashboard parses and names metrics and labels that /metrics has; no panel lies on another."""
import json
import re

import yaml

from tools import PROMTOOL, ROOT, tool
from queries import METRIC, unknown

BOARD = json.loads((ROOT / "conf" / "grafana" / "outrigger.json").read_text())
PANELS = [p for p in BOARD["panels"] if p["type"] != "row"]


def queries():
    for p in PANELS:
        for t in p["targets"]:
            yield p["title"], t["expr"], t["legendFormat"]
    for a in BOARD["annotations"]["list"]:
        yield a["name"], a["expr"], ""


def test_queries_name_what_is_there(series):
    wrong = {title: w for title, expr, _ in queries() if (w := unknown(expr, series))}
    assert not wrong


def test_queries_parse(tmp_path):
    rules = [{"record": f"q:{i}", "expr": expr.replace("$__rate_interval", "5m")} for i, (_, expr, _) in enumerate(queries())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in tool(PROMTOOL, "check", "rules", path)


def test_legends_name_labels_of_the_result(series):
    for title, expr, legend in queries():
        summed = re.search(r"\bby \(([^)]*)\)", expr)
        if summed:
            there = {x.strip() for x in summed[1].split(",")}
        elif re.search(r"\b(sum|count|histogram_quantile)\(", expr):
            there = set()
        else:
            there = set().union(*(series[name] for name, _ in METRIC.findall(expr)))
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= there, (title, legend)


def test_variables_ask_what_is_there(series):
    names = {v["name"] for v in BOARD["templating"]["list"]}
    for v in BOARD["templating"]["list"]:
        if v["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", v["query"]["query"]).groups()
            assert label in series[metric]
    for _, expr, _ in queries():
        assert set(re.findall(r"\$(?!__)(\w+)", expr)) <= names


def test_panels_are_apart():
    assert len({p["id"] for p in BOARD["panels"]}) == len(BOARD["panels"])
    taken = set()
    for p in BOARD["panels"]:
        g = p["gridPos"]
        cells = {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        assert not cells & taken and g["x"] + g["w"] <= 24, p["title"]
        taken |= cells


def test_every_policy_is_shown():
    text = " ".join(expr for _, expr, _ in queries())
    for word in ("circuit_breaker_state", "retry_budget", "concurrency_in_use", "queue_length", "rate_limit_decisions", "coalesced_requests", "fallbacks",
                 "dry_run_refusals", "timeouts", "outlier_ejections", "health_checks", "loop_lag", "config_last_reload"):
        assert word in text
