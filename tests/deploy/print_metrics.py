"""print_metrics.py - writes the table of metrics in docs/operations.md anew, from the /metrics of an outrigger with every policy on.

Run by `make reference`; test_documents.py says when it is stale.
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "operations.md"
BLOCK = re.compile(r"(<!-- metrics:[^\n]*-->\n)(.*?)(<!-- end -->\n)", re.S)
OPEN = {"route", "upstream", "listener", "endpoint", "limit", "store", "code", "method", "jwks", "le", "instance",       # values that differ from place to place
        "version", "revision", "llhttp", "openssl", "libuv"}


def table(text):
    """Markdown of a /metrics page: name, type, labels with the values of closed lists, meaning."""
    rows, labels, helps, types = [], {}, {}, {}
    for line in text.splitlines():
        m = re.match(r"# (HELP|TYPE) (\S+) (.*)", line)
        if m:
            (helps if m[1] == "HELP" else types)[m[2]] = m[3]
            continue
        m = re.match(r"([a-z_]+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? \S+", line)
        name = next(n for n in (re.match(r"[a-z_]+", line)[0], m[1]) if n in types)
        for label, value in re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2] or ""):
            if label != "le":
                labels.setdefault(name, {}).setdefault(label, set()).add(value)
    for name, kind in types.items():
        shown = ", ".join(f"`{k}`" + (f" ({', '.join(sorted(v))})" if k not in OPEN and len(v) < 12 and k != "reason" else "")
                          for k, v in labels.get(name, {}).items())
        rows.append(f"| `{name}` | {kind} | {shown} | {helps[name]} |")
    return "| metric | type | labels | meaning |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def main():
    import pytest

    class Writer:
        @staticmethod
        def pytest_collection_modifyitems(items):
            items[:] = [i for i in items if i.name == "test_the_table_of_metrics"]
    import os
    os.environ["OUTRIGGER_UPDATE"] = "1"
    sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", str(HERE / "test_documents.py")], plugins=[Writer]))


if __name__ == "__main__":
    main()
