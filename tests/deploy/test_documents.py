"""test_documents.py - what the documents say about metrics, log fields, events, reasons, tests and files is what there is."""
import json
import os
import re

import yaml

from proxy import run
from print_metrics import BLOCK, PAGE, table
from tools import ROOT

BLOCKS = "client|admin|concurrency|coalesce|retry|circuit_breaker|rate_limit|shutdown|pool|errors|deadline|cache|access_log|outlier_detection|auth|shed|log"
OPERATIONS = PAGE.read_text()
THREATS = (ROOT / "docs" / "threat-model.md").read_text()


def section(title, text=OPERATIONS):
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.S | re.M)[1]


def words_in_tables(text):
    """What stands in backquotes in the first column."""
    return {w for row in re.findall(r"^\| ([^|]*) \|", text, re.M) for w in re.findall(r"`([a-z_]+)`", row)}


def test_the_table_of_metrics(everything):
    """`make reference` writes it anew."""
    want = table(everything.probe("/metrics").body.decode())
    if os.environ.get("OUTRIGGER_UPDATE"):
        PAGE.write_text(BLOCK.sub(lambda m: m[1] + want + m[3], OPERATIONS))
        return
    have = BLOCK.search(OPERATIONS)[2]
    names = lambda t: set(re.findall(r"^\| `([a-z_]+)` .*", t, re.M))
    assert names(have) == names(want)
    assert have.splitlines() == want.splitlines()


def test_metrics_that_are_named_exist(series):
    families = set(series) | {re.sub(r"_(bucket|sum|count)$", "", n) for n in series}
    for page in sorted((ROOT / "docs").glob("*.md")):
        named = set(re.findall(r"`(outrigger_[a-z_]+)(?:\{[^`]*\})?`", page.read_text()))
        assert named <= families, (page.name, named - families)


def test_every_log_field_is_explained():
    written = set(re.findall(r'\\"([a-z_]+)\\":', (ROOT / "src/app/access_line.c").read_text()))
    assert {"tried", "would_refuse", "endpoint"} <= written
    assert words_in_tables(section("Access log")) == written - {"ms", "cancelled"}       # those of `tried`


EVENT_AT = {"log_begin": 2, "log_event": 1, "tell": 2, "tell_count": 1, "tell_change": 1}      # which argument is the event


def arguments(text, at):
    """The arguments of the call whose parenthesis opens at `at`."""
    depth, quoted, parts = 0, False, [""]
    for c in text[at:]:
        quoted ^= c == '"'
        depth += (c == "(") - (c == ")") if not quoted else 0
        if depth == 0:
            return parts
        if c == "," and depth == 1 and not quoted:
            parts.append("")
        else:
            parts[-1] += c
    return parts


def events():
    """Every event that some log line of the sources has."""
    found = set()
    for path in sorted((ROOT / "src").rglob("*.c")):
        text = path.read_text()
        for m in re.finditer(r"\b(log_begin|log_event|tell|tell_count|tell_change)\(", text):
            given = arguments(text, m.end() - 1)
            if len(given) > EVENT_AT[m[1]]:
                found |= set(re.findall(r'"([a-z_]+)"', given[EVENT_AT[m[1]]]))
    return found


def test_every_event_is_explained():
    explained = words_in_tables(section("Its own log"))
    assert len(explained) > 15
    assert events() <= explained, events() - explained
    sources = "".join(p.read_text() for p in (ROOT / "src").rglob("*.c"))
    assert all(f'"{e}"' in sources for e in explained), [e for e in explained if f'"{e}"' not in sources]


def reasons():
    return set(re.findall(r"^\| `([a-z_]+)` ", run("reference", "errors").stdout, re.M))


def test_every_reason_has_its_line_in_the_runbook():
    assert words_in_tables(section("Runbook by reason")) == reasons()


def test_keys_that_are_named_exist():
    """`client.header_timeout` and the like, in all documents that are about running it."""
    for name in ("operations.md", "kubernetes.md", "threat-model.md"):
        text = (ROOT / "docs" / name).read_text()
        for key in set(re.findall(rf"`((?:{BLOCKS})\.[a-z_.]+)`", text)):
            assert run("help", key).returncode == 0, (name, key)


def test_what_is_read_at_the_start_only():
    source = (ROOT / "src/app/reload.c").read_text()
    fixed = set(re.findall(r'return "([a-z_.]+)', re.search(r"needs_a_restart\(.*?^}", source, re.S | re.M)[0]))
    told = re.search(r"Read at the start only: (.*?)\. A reload", section("Reload"), re.S)[1]
    assert set(re.findall(r"`([a-z_.]+)`", told)) == fixed and len(fixed) > 4


def test_commands_that_are_named_exist():
    commands = set(re.findall(r"^  outrigger ([a-z]+)", run("--help").stdout, re.M))
    for name in ("operations.md", "kubernetes.md", "threat-model.md"):
        for command in re.findall(r"`outrigger ([a-z]+)", (ROOT / "docs" / name).read_text()):
            assert command in commands, (name, command)


def test_links_lead_somewhere():
    for page in sorted((ROOT / "docs").glob("*.md")) + [ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), (page.name, target)
        anchors = {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)", page.read_text(), re.M)}
        for anchor in re.findall(r"\]\(#([^)]+)\)", page.read_text()):
            assert anchor in anchors, (page.name, anchor)


def test_files_that_are_named_exist():
    for name in ("operations.md", "kubernetes.md", "threat-model.md"):
        for path in re.findall(r"`((?:conf|docker|docs|tests|src)/[A-Za-z0-9_./-]+)`", (ROOT / "docs" / name).read_text()):
            assert (ROOT / path.split("::")[0]).exists(), (name, path)


def test_the_tests_that_the_threat_model_names_exist():
    """`file::name` in its tables: a test function, a scenario, a C test."""
    cited = re.findall(r"`(tests/[\w./-]+)::(\w+)`", THREATS)
    assert len(cited) >= 25
    for path, name in cited:
        text = (ROOT / path).read_text()
        assert re.search(rf"\bdef {name}\(|\b{name}\(void \*\*", text), (path, name)
    for row in re.findall(r"^\| .*\|$", section("Attacks and answers", THREATS), re.M)[2:]:
        if not re.match(r"\| (attack|---)", row):
            assert "`tests/" in row, row


def test_the_manifests_in_the_text_are_the_ones_in_the_tree():
    """YAML in kubernetes.md is a part of docker/k8s, word for word."""
    tree = [yaml.safe_load(t) for p in (ROOT / "docker" / "k8s").glob("*.yaml") for t in [p.read_text()]]

    def parts(thing):
        yield thing
        for v in thing.values() if isinstance(thing, dict) else thing if isinstance(thing, list) else []:
            yield from parts(v)
    everything = [p for t in tree for p in parts(t)]
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "kubernetes.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        want = yaml.safe_load(block)
        assert any(isinstance(p, dict) and want.items() <= p.items() for p in everything if isinstance(p, dict)), json.dumps(want)
