#!/usr/bin/env python3
"""Keeps the shape of the tree: who may include whom, how long things may be, which calls are banned.

Exceptions are named in exceptions.txt, one per line with its reason; an exception that is no longer needed is an error too,
so the list only shrinks. Run from the top of the tree; exits 1 with one line per finding.
"""
import pathlib
import re
import sys

LAYERS = {"app": {"app", "edge", "policy", "core", "http", "conf", "base"}, "edge": {"edge", "core", "http", "conf", "base"},
          "policy": {"policy", "core", "http", "conf", "base"}, "core": {"core", "http", "conf", "base"},
          "http": {"http", "base"}, "conf": {"conf", "base"}, "base": {"base"}}
LIBRARIES = {  # header pattern -> files or folders that may include it
    r"uv\.h": ["src/edge/", "src/app/", "include/edge/", "include/app/"], r"curl/.*": ["src/edge/fetch.c"], r"ares.*": ["src/edge/dns.c"],
    r"yaml\.h": ["src/conf/yaml.c"], r"llhttp\.h": ["src/http/h1_read.c"], r"pcre2\.h": ["src/core/route_index.c"],
    r"openssl/.*": ["src/base/digest.c", "src/edge/tls.c", "src/edge/jose.c", "src/app/"], r"hiredis/.*": ["src/edge/redis.c"], r"cjose/.*": ["src/edge/jose.c"],
    r"jansson\.h": ["src/policy/jwt.c", "src/edge/jose.c", "src/core/flag_read.c"], r"sys/epoll\.h": ["src/edge/"], r"isa-l/": ["src/app/gzip.c"],
}
BANNED = ["strcpy", "strcat", "sprintf", "vsprintf", "strtol", "strtoul", "strtoll", "strtoull", "strtod", "atoi", "atol", "atof", "sscanf", "strtok",
          "gets", "alloca", "rand", "srand", "localtime", "gmtime", "asctime", "ctime"]
LIMITS = {"file": 600, "header": 200, "function": 80, "parameters": 7, "line": 150}


def code_of(text):
    """The text with comments and string contents blanked, line structure kept."""
    def blank(m):
        return re.sub(r"[^\n]", " ", m.group(0)) if m.group(0)[0] == "/" else m.group(0)[0] + " " * (len(m.group(0)) - 2) + m.group(0)[-1]
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", blank, text, flags=re.S)


def check_includes(path, text, found):
    parts = path.parts
    layer = parts[1] if len(parts) > 2 and parts[0] in ("src", "include") else None
    for number, line in enumerate(text.splitlines(), 1):
        m = re.match(r'\s*#include\s+[<"]([^>"]+)[>"]', line)
        if not m:
            continue
        name = m.group(1)
        top = name.split("/")[0]
        if layer and "/" in name and top in LAYERS and top not in LAYERS[layer]:
            found.append((f"{path}:{number}", f"layer:{path}", f"{layer} may not include {name}"))
        for pattern, where in LIBRARIES.items():
            if layer and re.fullmatch(pattern, name) and not any(str(path).startswith(w) for w in where):
                found.append((f"{path}:{number}", f"library:{path}", f"{name} is for {', '.join(where)} only"))


def check_functions(path, code, found):
    name = start = None
    for number, line in enumerate(code.splitlines(), 1):
        if path.parts[0] == "tests":          # tables of cases are as long as there are cases
            break
        if re.match(r"^\{", line):
            start = number
        elif re.match(r"^\}", line) and start:
            if number - start - 1 > LIMITS["function"]:
                found.append((f"{path}:{start}", f"function:{path}:{name}", f"{name}() has {number - start - 1} lines, at most {LIMITS['function']}"))
            start = None
        else:
            m = re.match(r"^[A-Za-z_].*?\b(\w+)\s*\(", line)
            if m and not line.rstrip().endswith(";"):
                name = m.group(1)
    for m in re.finditer(r"^[a-z][\w \*]*?\b(\w+)\(([^;{}]*)\)\s*\n\{", code, flags=re.M):
        depth, count = 0, 1 if m.group(2).strip() else 0
        for c in m.group(2):
            depth += c == "("
            depth -= c == ")"
            count += c == "," and depth == 0
        if count > LIMITS["parameters"]:
            found.append((str(path), f"parameters:{path}:{m.group(1)}", f"{m.group(1)}() has {count} parameters"))


def check_file(path, found):
    text = path.read_text()
    code = code_of(text)
    lines = text.splitlines()
    limit = LIMITS["header"] if path.suffix == ".h" and path.parts[0] == "include" else LIMITS["file"]
    if len(lines) > limit:
        found.append((str(path), f"file:{path}", f"{len(lines)} lines, at most {limit}"))
    if not text.lstrip().startswith("/*"):
        found.append((str(path), f"opening:{path}", "does not open with what it is for"))
    for number, line in enumerate(lines, 1):
        if path.parts[0] != "tests" and len(line.expandtabs(8)) > LIMITS["line"]:
            found.append((f"{path}:{number}", f"line:{path}", f"line of {len(line.expandtabs(8))} columns"))
        if line.rstrip() != line:
            found.append((f"{path}:{number}", f"blank:{path}", "blanks at the end of the line"))
    check_includes(path, text, found)
    if path.parts[0] != "tests":
        for number, line in enumerate(code.splitlines(), 1):
            for m in re.finditer(r"(?<![\w.>])(" + "|".join(BANNED) + r")\s*\(", line):
                found.append((f"{path}:{number}", f"banned:{path}", f"{m.group(1)}() is banned"))
    check_functions(path, code, found)


def main():
    found = []
    files = [p for top in ("src", "include", "tests") for p in sorted(pathlib.Path(top).rglob("*.[ch]"))]
    for path in files:
        check_file(path, found)
    exceptions, used = {}, set()
    for line in pathlib.Path("tests/lint/exceptions.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            key, _, reason = line.partition(" ")
            exceptions[key] = reason.strip()
            if not reason.strip():
                print(f"tests/lint/exceptions.txt: {key} has no reason")
                sys.exit(1)
    bad = 0
    for where, key, what in found:
        if key in exceptions:
            used.add(key)
            continue
        print(f"{where}: {what}")
        bad += 1
    for key in sorted(set(exceptions) - used):
        print(f"tests/lint/exceptions.txt: {key} is not needed any more: take it out")
        bad += 1
    print(f"lint: {len(files)} files, {bad} findings, {len(used)} exceptions")
    sys.exit(1 if bad else 0)


main()
