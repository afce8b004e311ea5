"""test_commands.py - interface §1 and §2: configurations that are refused, commands, exit codes, and what is said."""
import json
import pathlib
import re
import signal
import socket
import subprocess
import time

import pytest
import yaml

from client import Client
from ports import free_port
from proxy import BIN, ROOT, environment, run

GOOD = "listen: 127.0.0.1:8080\nroutes:\n  - path: /\n    upstream: http://127.0.0.1:3000\n"
EXAMPLES = sorted(pathlib.Path(ROOT, "conf", "examples").glob("*.yaml")) + [pathlib.Path(ROOT, "conf", "outrigger.yaml")]


def check(tmp_path, text, *words, **env):
    (tmp_path / "o.yaml").write_text(text)
    return run("check", "-c", tmp_path / "o.yaml", *words, **env)


# ── mistakes ──

@pytest.mark.parametrize("text,where,words", [
    (GOOD + "    time_out: 10s\n", (5, 5), ["unknown key 'time_out'", "did you mean 'timeout'?"]),
    (GOOD + "    timeout: 10\n", (5, 14), ["needs a unit", "write 10s (seconds) or 10ms (milliseconds)"]),
    (GOOD + "    timeout: 1s\n    timeout: 2s\n", (6, 5), ["duplicate key 'timeout'", "first on line 5"]),
    (GOOD.replace("http://127.0.0.1:3000", "orders"), (4, 15), ["orders"]),
    (GOOD + "    timeout: 1s\n    per_try_timeout: 2s\n", (6, None), ["per_try_timeout", "longer"]),
    (GOOD + "\tx: 1\n", (5, None), ["tab"]),
    (GOOD + "    retry: {max_retries: 99}\n", (5, None), ["max_retries", "10"]),
    (GOOD.replace("127.0.0.1:8080", "127.0.0.1"), (1, 9), ["127.0.0.1:8080"]),
    (GOOD + "    fault: {share: 20}\n", (5, None), ["20%"]),
    (GOOD.replace("  - path: /", "  - path: \"${NOT_SET_ANYWHERE}\""), (3, None), ["NOT_SET_ANYWHERE"]),
    (GOOD + "trusted_proxies: [10.0.0.300]\n", (5, None), ["10.0.0.300"]),
    ("listen: [127.0.0.1:8080\n", (None, None), []),
    ("[]\n", (None, None), []), ("", (None, None), []), ("routes: []\n", (None, None), ["listen"])])
def test_mistakes(tmp_path, text, where, words):
    done = check(tmp_path, text)
    assert done.returncode == 78, done
    line, column = where
    if line:
        assert re.search(rf"o\.yaml:{line}:{column or '[0-9]+'}: error: ", done.stderr), done.stderr
        assert re.search(r"^ +\| +\^", done.stderr, re.M), done.stderr
    for w in words:
        assert w in done.stderr, done.stderr
    assert re.search(r"\d+ errors?", done.stderr)


def test_all_mistakes_in_one_run(tmp_path):
    done = check(tmp_path, GOOD + "    time_out: 1s\n    timeout: 1\nbad: 1\nworkers: zero\nshutdown: {delay: -1s}\n")
    assert done.returncode == 78 and done.stderr.count(": error: ") >= 5 and re.search(r"[5-9] errors", done.stderr)


def test_mistakes_as_json(tmp_path):
    done = check(tmp_path, GOOD + "    time_out: 10s\n", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 78 and "time_out" in json.dumps(found)


def test_run_refuses_too(tmp_path):
    (tmp_path / "o.yaml").write_text(GOOD + "    time_out: 10s\n")
    done = run("run", "-c", tmp_path / "o.yaml")
    assert done.returncode == 78 and "did you mean 'timeout'?" in done.stderr


def test_missing_file():
    for command in "run", "check", "config":
        done = run(command, "-c", "/nowhere/outrigger.yaml")
        assert done.returncode == 78 and "/nowhere/outrigger.yaml" in done.stderr and "No such file" in done.stderr


def test_a_route_that_never_matches_is_a_warning(tmp_path):
    done = check(tmp_path, GOOD + "  - path: /\n    upstream: http://127.0.0.1:3001\n")
    assert done.returncode == 0 and "warning" in done.stderr


def test_alias_bomb_is_refused(tmp_path):
    bomb = "x-0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(f"x-{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9))
    began = time.monotonic()
    done = check(tmp_path, bomb + GOOD)
    assert done.returncode in (0, 78) and time.monotonic() - began < 5
    done = check(tmp_path, bomb + GOOD.replace("127.0.0.1:8080", "*a8"))
    assert done.returncode == 78


# ── check, config, schema, explain ──

def test_check_good(tmp_path):
    done = check(tmp_path, GOOD)
    assert done.returncode == 0 and "ok" in done.stdout and not done.stderr
    assert run("-t", "-c", tmp_path / "o.yaml").returncode == 0


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_examples_are_good(path):
    done = run("check", "-c", path)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr


def test_standard_input():
    assert run("check", "-c", "-", stdin=GOOD).returncode == 0
    assert run("check", "-c", "-", stdin="x").returncode == 78


def test_config_tells_origins(tmp_path):
    (tmp_path / "o.yaml").write_text(GOOD + "    timeout: 3s\ndefaults: {idle_timeout: 7s}\n")
    done = run("config", "-c", tmp_path / "o.yaml", "--origin", "--set", "workers=2")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert any(re.search(r"timeout: 3s\s+# route line 5", x) for x in lines), done.stdout
    assert any(re.search(r"idle_timeout: 7s\s+# defaults line 6", x) for x in lines)
    assert any(re.search(r"workers: 2\s+# .*--set", x) for x in lines)
    assert any(re.search(r"max_connections: 10000\s+# default", x) for x in lines)


def test_printed_config_is_the_same_config(tmp_path):
    (tmp_path / "o.yaml").write_text(GOOD + "    timeout: 3s\n")
    first = run("config", "-c", tmp_path / "o.yaml").stdout
    assert yaml.safe_load(first)
    (tmp_path / "p.yaml").write_text(first)
    assert run("config", "-c", tmp_path / "p.yaml").stdout.replace("p.yaml", "o.yaml") == first


def test_environment_is_expanded(tmp_path):
    text = GOOD.replace("http://127.0.0.1:3000", "${APP_URL:-http://127.0.0.1:1111}")
    assert "127.0.0.1:1111" in run("config", "-c", "-", stdin=text).stdout
    assert "127.0.0.1:2222" in run("config", "-c", "-", stdin=text, APP_URL="http://127.0.0.1:2222").stdout
    done = run("check", "-c", "-", stdin=GOOD.replace("http://127.0.0.1:3000", "${APP_URL:?say where the app is}"))
    assert done.returncode == 78 and "say where the app is" in done.stderr


def matches(schema, value, root=None):
    """Enough of JSON Schema (draft-07) to judge our own: type, enum, pattern, properties, items, anyOf and the like. Returns complaints."""
    root = root or schema
    if schema is True or schema == {}:
        return []
    if schema is False:
        return ["never"]
    if "$ref" in schema:
        at = root
        for part in schema["$ref"].lstrip("#/").split("/"):
            at = at[part]
        return matches(at, value, root)
    wrong = []
    for key in "anyOf", "oneOf":
        if key in schema and all(matches(s, value, root) for s in schema[key]):
            wrong.append(f"{key}: {value!r}")
    for s in schema.get("allOf", []):
        wrong += matches(s, value, root)
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types

    def fits(t):
        if t in ("integer", "number"):
            return isinstance(value, (int, float) if t == "number" else int) and not isinstance(value, bool)
        return isinstance(value, kinds[t])
    if types and not any(fits(t) for t in types):
        wrong.append(f"{value!r} is no {types}")
    if "enum" in schema and value not in schema["enum"]:
        wrong.append(f"{value!r} not in {schema['enum']}")
    if isinstance(value, str) and "pattern" in schema and not re.search(schema["pattern"], value):
        wrong.append(f"{value!r} does not match {schema['pattern']}")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for k, v in value.items():
            if k in known:
                wrong += matches(known[k], v, root)
                continue
            by_pattern = [s for p, s in schema.get("patternProperties", {}).items() if re.search(p, k)]
            for s in by_pattern or [schema.get("additionalProperties", True)]:
                wrong += [f"{k}: {w}" for w in matches(s, v, root)]
        wrong += [f"{k} is missing" for k in schema.get("required", []) if k not in value]
    if isinstance(value, list) and "items" in schema:
        for v in value:
            wrong += matches(schema["items"], v, root)
    return wrong


def test_schema():
    done = run("schema")
    schema = json.loads(done.stdout)
    assert done.returncode == 0 and "draft-07" in schema["$schema"]
    for path in EXAMPLES:
        assert matches(schema, yaml.safe_load(path.read_text())) == [], path
    assert matches(schema, yaml.safe_load(GOOD + "    time_out: 10s\n")) != []
    assert matches(schema, yaml.safe_load(GOOD + "    timeout: 10\n")) != []


def test_printed_files_are_up_to_date():
    assert run("schema").stdout == pathlib.Path(ROOT, "conf", "outrigger.schema.json").read_text()
    for what, path in ("configuration", "docs/configuration.md"), ("errors", "docs/errors.md"), ("example", "conf/outrigger.yaml"):
        assert run("reference", what).stdout == pathlib.Path(ROOT, path).read_text(), path


def test_explain(tmp_path):
    (tmp_path / "o.yaml").write_text(GOOD + "    methods: [GET]\n    timeout: 3s\n  - name: search\n    host: shop.example\n    path: /search\n    upstream: http://127.0.0.1:3001\n")
    done = run("explain", "-c", tmp_path / "o.yaml", "GET", "http://shop.example/a/../search/x?q")
    assert done.returncode == 0 and "search" in done.stdout and "127.0.0.1:3001" in done.stdout
    done = run("explain", "-c", tmp_path / "o.yaml", "GET", "/other")
    assert done.returncode == 0 and re.search(r"timeout: 3s.*route line 6", done.stdout)
    done = run("explain", "-c", tmp_path / "o.yaml", "POST", "/other")
    assert done.returncode == 1 and "405" in done.stdout
    assert run("explain", "-c", tmp_path / "o.yaml", "GET").returncode == 64


# ── words and options ──

def test_wrong_usage():
    for words in ["--nonsense"], ["frobnicate"], ["run", "-c"], ["run", "--log-level", "loud", "-c", "-"], ["explain"], ["--set", "nonsense", "check", "-c", "-"]:
        done = run(*words, stdin=GOOD)
        assert done.returncode in (64, 78), (words, done)
        assert done.stderr
    assert run("--nonsense").returncode == 64


def test_help_and_version():
    done = run("--help")
    assert done.returncode == 0 and "Exit codes" in done.stdout and "Signals" in done.stdout
    for word in "circuit_open", "upstream_reset", "retry.budget", "timeout", "run", "check":
        done = run("help", word)
        assert done.returncode == 0 and len(done.stdout) > 40, word
    assert run("help", "nonsense").returncode != 0
    done = run("--version")
    assert done.returncode == 0 and re.match(r"outrigger \d+\.\d+\.\d+", done.stdout)


def serve(words, address, wait=True):
    p = subprocess.Popen([BIN, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
    end = time.monotonic() + 10
    while wait:
        try:
            Client(address).close()
            break
        except OSError:
            assert p.poll() is None and time.monotonic() < end, p.stderr.read()
            time.sleep(0.01)
    return p


def finish(p, code=0):
    p.send_signal(signal.SIGTERM)
    out, err = p.communicate(timeout=20)
    assert p.returncode == code and "Sanitizer" not in err and "runtime error" not in err, err
    return out, err


@pytest.mark.parametrize("colon", [False, True])
def test_without_a_file(rig, colon):
    up, port = rig.upstream(), free_port()
    p = serve(["--listen", f":{port}" if colon else f"127.0.0.1:{port}", "--to", up.url, "--set", "admin.listen=off", "--set", "defaults.timeout=3s"], ("127.0.0.1", port))
    with Client(("127.0.0.1", port)) as c:
        assert c.ask().body == b"hello"
        assert int(up.last.fields.get("x-request-timeout-ms")) <= 3000
    out, err = finish(p)
    assert '"status":200' in out or " 200 " in out


def test_set_overrides_the_file(rig):
    up = rig.upstream()
    proxy = rig.before(up, words=["--set", "defaults.timeout=2s", "--set", "errors.detail=full"])
    proxy.ask()
    assert int(up.last.fields.get("x-request-timeout-ms")) <= 2000


def test_set_is_checked_like_the_file():
    done = run("check", "-c", "-", "--set", "defaults.time_out=1s", stdin=GOOD)
    assert done.returncode == 78 and "time_out" in done.stderr and "--set" in done.stderr
    done = run("check", "-c", "-", "--set", "defaults.timeout=1", stdin=GOOD)
    assert done.returncode == 78 and "unit" in done.stderr


def test_log_level_and_format(rig):
    up = rig.upstream()
    quiet = rig.before(up, log={"level": "error"})
    assert quiet.ask().status == 200 and quiet.err == ""
    loud = rig.before(up, log={"format": "text"}, words=["--log-level", "debug"])
    assert loud.ask().status == 200 and "{" not in loud.err.splitlines()[0] and "listening" in loud.err
    json_ = rig.before(up)
    assert all(json.loads(x)["level"] for x in json_.err.splitlines())


@pytest.mark.parametrize("workers", [1, 2])
def test_port_of_another_outrigger(rig, workers):
    """Also when both have several sockets that share their address: the second must not take half of the clients."""
    up = rig.upstream()
    proxy = rig.before(up, workers=workers)
    done = run("--listen", f"127.0.0.1:{proxy.port}", "--to", up.url, "--set", "admin.listen=off", "--set", f"workers={workers}")
    assert done.returncode == 69 and "in use" in done.stderr and str(proxy.port) in done.stderr
    assert proxy.ask().status == 200


def test_admin_port_in_use(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    done = run("--listen", f"127.0.0.1:{free_port()}", "--to", up.url, "--set", f"admin.listen=127.0.0.1:{proxy.admin_port}")
    assert done.returncode == 69 and str(proxy.admin_port) in done.stderr


def test_unix_socket_of_another_process_is_left_alone(rig, tmp_path):
    up = rig.upstream()
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "busy.sock"))
        s.listen()
        done = run("--listen", f"unix:{tmp_path}/busy.sock", "--to", up.url, "--set", "admin.listen=off")
        assert done.returncode == 69 and "in use" in done.stderr and (tmp_path / "busy.sock").exists()


def test_a_file_that_is_no_socket_is_left_alone(rig, tmp_path):
    (tmp_path / "data").write_text("precious")
    done = run("--listen", f"unix:{tmp_path}/data", "--to", "http://127.0.0.1:1", "--set", "admin.listen=off")
    assert done.returncode == 69 and (tmp_path / "data").read_text() == "precious"


def test_v4_and_v6_side_by_side(rig):
    up = rig.upstream()
    proxy = rig.before(up, listen=["0.0.0.0:{PORT}", "[::]:{PORT}"])
    for host in "127.0.0.1", "::1":
        with Client((host, proxy.port)) as c:
            assert c.ask().body == b"hello"


def test_closed_standard_streams(rig):
    """A service manager may leave 0, 1 and 2 closed: no socket may end up as standard error."""
    up, port = rig.upstream(), free_port()
    p = subprocess.Popen(["/bin/sh", "-c", f'exec "$0" --listen 127.0.0.1:{port} --to {up.url} --set admin.listen=off <&- >&- 2>&-', BIN], env=environment())
    end = time.monotonic() + 10
    while True:
        try:
            with Client(("127.0.0.1", port)) as c:
                for _ in range(3):
                    r = c.ask("GET", "/", "X-Request-ID: spied")
                    assert r.body == b"hello"
                c.silent(0.1)
                assert not c.ahead
            break
        except OSError:
            assert p.poll() is None and time.monotonic() < end
            time.sleep(0.02)
    assert b"spied" not in b"".join(bytes(x.raw) for x in up.connections).replace(b"x-request-id: spied", b"")
    p.send_signal(signal.SIGTERM)
    assert p.wait(20) == 0
