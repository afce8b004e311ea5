"""Reads tests/raw/*.txt (the format is told at the top of requests.txt).

    for case in load("tests/raw/requests.txt"):
        case.name, case.outcome, case.status, case.facts, case.bytes

Run as a program it writes the seeds of the fuzzers:  raw_cases.py tests/raw tests/fuzz/corpus
"""
import re
import sys
from pathlib import Path
from typing import NamedTuple

ESCAPES = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"s": b" "}
PIECE = re.compile(rb"\{(\d+)\*([^}]*)\}|\\x([0-9a-fA-F]{2})|\\(.)|(.)", re.DOTALL)


class Case(NamedTuple):
    name: str
    outcome: str        # "ok" or the fault's word
    status: str         # what a client sees through the whole proxy; "-" when that says nothing
    facts: dict         # str to bytes
    bytes: bytes


def unescape(text: bytes) -> bytes:
    out = bytearray()
    for times, repeated, code, escaped, plain in PIECE.findall(text):
        if times:
            out += unescape(repeated) * int(times)
        elif code:
            out.append(int(code, 16))
        else:
            out += ESCAPES.get(escaped, escaped) if escaped else plain
    return bytes(out)


def load(path) -> list:
    cases = []
    for line in Path(path).read_bytes().split(b"\n"):
        line = line.strip(b" \t")
        if line.startswith(b"== "):
            name, outcome, status, facts = ([part.strip() for part in line[3:].split(b"|", 3)] + [b""] * 3)[:4]
            known = dict(fact.split(b"=", 1) for fact in facts.split())
            cases.append(Case(name.decode(), outcome.decode(), status.decode() or "-",
                              {key.decode(): unescape(value) for key, value in known.items()}, b""))
        elif line and not line.startswith(b"#") and cases:
            cases[-1] = cases[-1]._replace(bytes=cases[-1].bytes + unescape(line))
    return cases


def write_seeds(raw: Path, corpus: Path) -> None:
    """All that pass, every fourth of the others; the first byte says how fuzz_h1_*.c shall cut and, for replies, what was asked."""
    for kind, name in (("h1_request", "requests.txt"), ("h1_reply", "replies.txt")):
        folder = corpus / kind
        folder.mkdir(parents=True, exist_ok=True)
        for number, case in enumerate(load(raw / name)):
            if not 0 < len(case.bytes) <= 400 or (case.outcome not in ("ok", "early_close") and number % 4):
                continue
            how = 5
            if kind == "h1_reply":
                how = 0x28 | (case.facts.get("asked") == b"HEAD") | (2 if "upgrade" in case.facts else 0) | (0 if number % 7 else 4)
            (folder / case.name).write_bytes(bytes([how]) + case.bytes)


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]), Path(sys.argv[2]))
