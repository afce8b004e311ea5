"""test_usage.py - the command line to the letter: places of mistakes, exit codes, help for every word, sockets that must not be there."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from client import Client
from ports import free_port
from proxy import BIN, ROOT, environment, run

GOOD = "listen: 127.0.0.1:8080\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n"
FIVE = """\
listen: 127.0.0.1:8080
upstreams:
  orders:
    endpoints: [http://127.0.0.1:3000]
    connect_timeout: 1
routes:
  - path: /
    upstream: order
    time_out: 10s
  - path: /b
    upstream: orders
    retry: {max_retries: 99}
    retry: off
"""
PLACES = [(5, 22, "'connect_timeout' needs a unit", "write 1s (seconds) or 1ms (milliseconds)"), (8, 15, "unknown upstream 'order'", "did you mean 'orders'?"),
          (9, 5, "unknown key 'time_out' in routes[0]", "did you mean 'timeout'?"), (12, 26, "'max_retries' is out of range: 99", "allowed are 0 to 10"),
          (13, 5, "duplicate key 'retry'", "first on line 12")]


# ── five different mistakes, one run ──

def test_five_mistakes_each_at_its_place(tmp_path):
    path = tmp_path / "five.yaml"
    path.write_text(FIVE)
    for words in ["check"], ["-t"], ["run"], ["config"]:
        done = run(*words, "-c", path)
        assert done.returncode == 78 and done.stdout == ""
        lines = done.stderr.splitlines()
        assert lines[-1] == "5 errors, 0 warnings" and len(lines) == 16
        for i, (line, column, message, hint) in enumerate(PLACES):
            what, source, caret = lines[3 * i:3 * i + 3]
            assert what == f"{path}:{line}:{column}: error: {message}"
            assert source == f"{line:5} | {FIVE.splitlines()[line - 1]}"
            assert caret.index("^") == column + 7 and caret.endswith(f" {hint}"), "the caret stands under what is meant"


def test_five_mistakes_as_json(tmp_path):
    path = tmp_path / "five.yaml"
    path.write_text(FIVE)
    done = run("check", "-c", path, "--json")
    assert done.returncode == 78 and done.stderr == "" and done.stdout.endswith("]\n")
    assert json.loads(done.stdout) == [{"file": str(path), "line": line, "column": column, "severity": "error", "message": message, "hint": hint}
                                       for line, column, message, hint in PLACES]


def test_nothing_wrong_as_json():
    done = run("check", "-c", "-", "--json", stdin=GOOD)
    assert done.returncode == 0 and json.loads(done.stdout) == []
    done = run("check", "-c", "-", "--json", stdin=GOOD + "  - path: /\n    upstream: http://127.0.0.1:3001\n")
    assert done.returncode == 0 and [x["severity"] for x in json.loads(done.stdout)] == ["warning"]


def test_a_file_that_cannot_be_read(tmp_path):
    done = run("check", "-c", tmp_path)
    assert done.returncode == 78 and str(tmp_path) in done.stderr
    done = run("check", "-c", tmp_path / "none.yaml", "--json")
    assert done.returncode == 78 and json.loads(done.stdout)[0]["file"].endswith("none.yaml")


def test_fields_that_are_not_the_operators():
    done = run("check", "-c", "-", stdin=GOOD + "    request_headers: {set: {x-a: b, Transfer-Encoding: chunked}}\n    response_headers: {set: {connection: close}}\n")
    assert done.returncode == 78 and "-:5:37: error: 'Transfer-Encoding' cannot be set" in done.stderr and "-:6:30: error: 'connection' cannot be set" in done.stderr


def test_dollars(rig):
    """$$ is a dollar, a lone one too; what config prints means the same when it is read again."""
    proxy = rig.outrigger(routes=[{"path": "/", "respond": {"body": "$$HOME costs $5 ${PRICE:-x} $${y}"}}])
    assert proxy.ask().body == b"$HOME costs $5 x ${y}"
    first = run("config", "-c", proxy.file).stdout
    assert run("config", "-c", "-", stdin=first).stdout == first


# ── wrong usage ──

@pytest.mark.parametrize("words", [
    "--nonsense", "-x", "frobnicate", "check extra", "config a", "schema x", "help a b", "reference errors x", "reference nonsense", "help nonsense", "run x",
    "explain", "explain GET", "explain GET / x", "explain GET nowhere", "-c", "check -c", "--set", "--listen", "--to", "--admin", "--log-level", "status extra", "drain now",
    "--listen=:0 --to=http://127.0.0.1:1 --set=admin.listen=off --log-level=loud"])
def test_wrong_usage_is_64(words):
    done = run(*words.split())
    assert done.returncode == 64, done
    assert done.stderr.startswith("outrigger: ") and done.stdout == ""


def test_a_file_without_its_option(tmp_path):
    file = tmp_path / "o.yaml"
    file.write_text("routes: []\n")
    done = run("check", file)
    assert done.returncode == 64 and f"did you mean -c {file}" in done.stderr
    assert "did you mean" not in run("check", tmp_path / "nothing.yaml").stderr


def test_no_words_at_all():
    done = run()
    assert done.returncode == 64 and "Usage" in done.stdout + done.stderr


def test_set_needs_a_key_and_a_value():
    for word in "nonsense", "=1", "workers=", "x.y.z=1", "routes.9.timeout=1s", "routes.x=1":
        done = run("check", "-c", "-", "--set", word, stdin=GOOD)
        assert done.returncode == 78 and "--set:1:" in done.stderr, (word, done)
    done = run("config", "-c", "-", "--set", "routes.0.timeout=4s", "--set", "workers=3", "--set", "workers=2", stdin=GOOD)
    assert done.returncode == 0 and "timeout: 4s" in done.stdout and "workers: 2" in done.stdout, "the last one wins"


# ── help ──

def reasons():
    return re.findall(r"^\| `(\w+)` \| (\d+)", pathlib.Path(ROOT, "docs", "errors.md").read_text(), re.M)


def test_help_for_every_reason():
    assert len(reasons()) > 20
    for word, status in reasons():
        done = run("help", word)
        assert done.returncode == 0 and done.stdout.startswith(f"{word} ({status} "), word


def keys(schema, at, path=()):
    for name, inner in at.get("properties", {}).items():
        yield (*path, name)
        for kind in [inner, *inner.get("anyOf", [])]:
            kind = schema["definitions"][kind["$ref"].rsplit("/", 1)[1]] if "$ref" in kind else kind
            for k in [kind, *kind.get("anyOf", [])]:
                for one in (k, k.get("items", {}), k.get("additionalProperties", {})):
                    if isinstance(one, dict):
                        yield from keys(schema, one, (*path, name))


def test_help_for_every_key():
    schema = json.loads(run("schema").stdout)
    words = {".".join(k) for k in keys(schema, schema)}
    assert {"client.body.idle_timeout", "routes.retry.backoff.base", "upstreams.pool.max_requests", "listen", "defaults.timeout"} <= words
    assert len(words) > 80
    for word in sorted(words):
        done = run("help", word)
        assert done.returncode == 0 and done.stdout.strip(), word


def test_help_for_every_command():
    commands = re.findall(r"^  outrigger (\w+)", run("--help").stdout, re.M)
    assert {"run", "check", "explain", "config", "schema", "status", "help"} <= set(commands)
    for c in commands:
        assert run("help", c).stdout.startswith(f"outrigger {c}")
    assert run("-h").stdout == run("help").stdout == run("check", "--help").stdout


def test_version_tells_the_libraries():
    for words in ["-V"], ["--version"], ["version"]:
        done = run(*words)
        assert done.returncode == 0 and all(x in done.stdout for x in ("llhttp ", "libuv ", "libcurl ", "c-ares ", "openssl ", "libyaml ", "pcre2 "))


# ── explain ──

def test_explain_tells_origins_of_all_levels(tmp_path):
    text = ("listen: :8080\ndefaults:\n  timeout: 7s\n  idle_timeout: 8s\nupstreams:\n  app:\n    endpoints: [http://127.0.0.1:1]\n    timeout: 6s\n    retry: {max_retries: 2}\n"
            "routes:\n  - name: main\n    path: /\n    upstream: app\n    timeout: 5s\n")
    done = run("explain", "-c", "-", "--set", "defaults.retry.budget=10%", "GET", "/", stdin=text)
    assert done.returncode == 0, done
    for words in (r"timeout: 5s\s+# route line 14", r"idle_timeout: 8s\s+# defaults line 4", r"max_retries: 2\s+# upstream line 9", r"budget: 10%\s+# --set",
                  r"per_try_timeout: 0s\s+# default$"):
        assert re.search(words, done.stdout, re.M), (words, done.stdout)


@pytest.mark.parametrize("method,url,words", [
    ("GET", "http://shop.example:8080/a/b?x=y", "name: shop"), ("GET", "http://other/a", "name: other"), ("GET", "/a", "name: other"), ("PUT", "/a", "405 method_not_allowed (allowed: GET, POST)"),
    ("GET", "/none", "404 route_not_found"), ("GET", "/../../a", "400 request_invalid"), ("GET", "/%61/../b/..%2f", "404 route_not_found"), ("GET", "http://shop.example", "404")])
def test_explain_says_what_would_happen(method, url, words):
    text = ("listen: :8080\nroutes:\n  - {name: shop, host: shop.example, path: /a, respond: {}}\n  - {name: other, path: /a, methods: [GET], respond: {}}\n"
            "  - {name: post, path: /a, methods: [POST], respond: {}}\n")
    done = run("explain", "-c", "-", method, url, stdin=text)
    assert words in done.stdout and done.returncode == (0 if "name" in words else 1), done.stdout


def test_allow_lists_the_methods_of_all_that_match(rig):
    proxy = rig.outrigger(routes=[{"name": "get", "path": "/m", "methods": ["GET", "HEAD"], "respond": {}}, {"name": "post", "path": "/m", "methods": ["POST", "GET"], "respond": {}},
                                  {"name": "host", "path": "/m", "host": "x.example", "methods": ["DELETE"], "respond": {}}])
    r = proxy.ask("PUT", "/m")
    assert r.status == 405 and r.json()["reason"] == "method_not_allowed"
    assert sorted(x.strip() for x in r.fields.get("allow").split(",")) == ["GET", "HEAD", "POST"]
    r = proxy.ask("PUT", "/m/x?y", host="x.example")
    assert "DELETE" in r.fields.get("allow")
    assert proxy.ask("PUT", "/other").status == 404


# ── sockets ──

def listening(pid):
    """Ports on which this process listens."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    found = set()
    for table in "tcp", "tcp6":
        for line in pathlib.Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                found.add(int(words[1].rsplit(":", 1)[1], 16))
    return found


def wait_for(port, process):
    end = time.monotonic() + 10
    while True:
        try:
            return Client(("127.0.0.1", port)).close()
        except OSError:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.01)


def test_admin_off_listens_nowhere(rig):
    up, port = rig.upstream(), free_port()
    text = f"listen: 127.0.0.1:{port}\nadmin: {{listen: off}}\nroutes: [{{path: /, upstream: '{up.url}'}}]\n"
    p = subprocess.Popen([BIN, "run", "-c", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(), cwd=rig.tmp)
    p.stdin.write(text)
    p.stdin.close()
    wait_for(port, p)
    with Client(("127.0.0.1", port)) as c:
        assert c.ask().body == b"hello"
    assert listening(p.pid) == {port} and not (rig.tmp / "off").exists()
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 0 and "anitizer" not in p.stderr.read()
    p.stderr.close()


def test_admin_on_listens_where_it_says(rig):
    proxy = rig.before(rig.upstream())
    assert listening(proxy.process.pid) == {proxy.port, proxy.admin_port}
