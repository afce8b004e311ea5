"""queries.py - looks into PromQL without a parser: which metrics an expression names, and with which labels it selects."""
import re

METRIC = re.compile(r"\b((?:outrigger|process)_[a-z_]+|up)\b(?:\s*\{([^}]*)\})?")
BY = re.compile(r"\b(?:by|on|ignoring|without|group_left|group_right)\s*\(([^)]*)\)")


def strings_out(expr):
    return re.sub(r'"[^"]*"', '""', expr)


def unknown(expr, series):
    """What an expression names that /metrics does not have: metrics, labels in selectors, literal values of closed lists, labels that are summed by."""
    wrong, here = [], set()
    for name, selector in METRIC.findall(expr):
        if name not in series:
            wrong.append(f"no metric {name}")
            continue
        here |= set(series[name]) | ({"le"} if name.endswith("_bucket") else set())
        for label, how, value in re.findall(r'([a-z_]+)\s*(=~|!=|!~|=)\s*"([^"]*)"', selector):
            if label not in series[name]:
                wrong.append(f"{name} has no label {label}")
            elif label in CLOSED and how in ("=", "=~"):
                wrong += [f"{name}: {label} is never {v}" for v in value.split("|") if v not in series[name][label] and not v.endswith("..")]
    if not METRIC.search(expr):
        wrong.append("names no metric")
    for labels in BY.findall(strings_out(expr)):
        wrong += [f"no label {x.strip()} here" for x in labels.split(",") if x.strip() and x.strip() not in here]
    return wrong


CLOSED = {"reason", "state", "result", "to", "cause", "decision", "kind", "role"}     # labels whose values are all there from the start
