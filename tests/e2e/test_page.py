"""test_page.py - the live page: what it streams, and the page itself in Chromium (playwright-core and axe-core come from npm)."""
import json
import os
import select
import shutil
import subprocess
import time

import pytest

from client import Client, request
from proxy import BIN, environment, run

MODULES = os.path.abspath("build/npm")


def proxy_of(rig, **more):
    app = rig.upstream()
    return rig.outrigger(upstreams={"app": {"endpoints": [app.url], "circuit_breaker": {}},
                                    "dead": {"endpoints": ["http://127.0.0.1:1"], "circuit_breaker": {"consecutive_failures": 2}, "retry": "off"}}, routes=[
        {"name": "dead", "path": "/dead", "upstream": "dead"},
        {"name": "fault", "path": "/fault", "upstream": "app", "fault": {"abort": 503, "share": "100%"}},
        {"name": "plain", "path": "/ok", "upstream": "app"},
    ], **more)


def follow(proxy, target):
    c = Client(("127.0.0.1", proxy.admin_port))
    c.send(request("GET", target, host="localhost", version="1.0"))
    return c, c.reply_head()


def events_until(c, enough, patience=8):
    """What has come once it is enough, in whole lines: a request of HTTP/1.0, so that no chunk's size stands between."""
    seen, end = b"", time.monotonic() + patience
    while not enough(seen[:seen.rfind(b"\n") + 1]):
        assert time.monotonic() < end, seen[-2000:]
        seen += c.sock.recv(65536)
    return seen[:seen.rfind(b"\n") + 1]


def test_frames_and_rows(rig):
    proxy = proxy_of(rig)
    c, head = follow(proxy, "/events?requests=own")
    assert head.status == 200 and head.fields.get("content-type") == "text/event-stream"
    assert proxy.ask("GET", "/fault").status == 503
    assert proxy.ask("GET", "/ok").status == 200
    seen = events_until(c, lambda s: b'data: {"time_ms"' in s and s.count(b"event: frame") >= 3)
    c.close()
    rows = [json.loads(line[6:]) for line in seen.split(b"\n") if line.startswith(b'data: {"time_ms"')]
    assert [(r["route"], r["reason"], r["status"]) for r in rows] == [("fault", "fault_injected", 503)]


def test_rows_as_lines(rig):
    proxy = proxy_of(rig)
    c, head = follow(proxy, "/requests?follow&route=plain")
    assert head.fields.get("content-type").startswith("text/plain")
    proxy.ask("GET", "/fault")
    proxy.ask("GET", "/ok?secret")
    seen = events_until(c, lambda s: b"/ok" in s)
    c.close()
    assert b"fault" not in seen and b"secret" not in seen and b" 200 " in seen


def test_tap_and_top(rig):
    proxy = proxy_of(rig)
    words = [BIN, "tap", "--admin", f"127.0.0.1:{proxy.admin_port}", "--status", "5xx"]
    tap = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment())
    try:
        end = time.monotonic() + 8
        while not select.select([tap.stdout], [], [], .2)[0]:
            assert time.monotonic() < end
            proxy.ask("GET", "/ok")
            proxy.ask("GET", "/fault")
        line = tap.stdout.readline()
        assert b" 503 " in line and b"fault_injected" in line
    finally:
        tap.kill()
        tap.wait()
    top = subprocess.Popen([BIN, "top", "--admin", f"127.0.0.1:{proxy.admin_port}"], stdout=subprocess.PIPE, env=environment())
    try:
        assert top.stdout.readline().startswith(b"outrigger ")
    finally:
        top.kill()
        top.wait()
    for words in (["--slow", "1"], ["--slow", "fast"]):
        assert run("tap", *words).returncode == 64
    assert run("tap", "--admin", "127.0.0.1:1").returncode == 69


def test_at_most_eight_watch_and_all_come_back(rig):
    proxy = proxy_of(rig)
    watchers = [follow(proxy, "/events") for _ in range(8)]
    assert all(head.status == 200 for _, head in watchers)
    assert proxy.admin("GET", "/events").status == 503
    for c, _ in watchers:
        c.close()
    end = time.monotonic() + 5
    while True:
        c, head = follow(proxy, "/events")
        c.close()
        if head.status == 200:
            break
        assert time.monotonic() < end
        time.sleep(.05)


def test_a_reader_that_does_not_read_stops_nobody(rig):
    proxy = proxy_of(rig)
    c, _ = follow(proxy, "/requests?follow")
    end = time.monotonic() + 3
    with proxy.client() as busy:
        while time.monotonic() < end:
            assert busy.ask("GET", "/ok").status == 200
    assert proxy.probe("/livez").status == 200
    c.close()


def test_the_last_requests_by_filter(rig):
    proxy = proxy_of(rig)
    proxy.ask("GET", "/fault?token=1")
    proxy.ask("GET", "/nowhere")
    time.sleep(.05)
    proxy.ask("GET", "/ok")
    rows = json.loads(proxy.admin("GET", "/requests").body)
    assert sorted(r["reason"] for r in rows) == ["fault_injected", "route_not_found"] and "token" not in json.dumps(rows)
    assert [r["route"] for r in json.loads(proxy.admin("GET", "/requests?status=5xx").body)] == ["fault"]
    assert [r["route"] for r in json.loads(proxy.admin("GET", "/requests?status=404").body)] == ["none"]
    assert json.loads(proxy.admin("GET", "/requests?slow=100000").body) == []


def test_text_for_who_does_not_ask_for_html(rig):
    proxy = proxy_of(rig)
    assert proxy.admin("GET", "/").body.startswith(b"outrigger ")
    page = proxy.admin("GET", "/", "Accept: text/html,*/*")
    assert page.body.startswith(b"<!doctype html>") and "default-src 'self'" in page.fields.get("content-security-policy")
    assert b"http" not in page.body.replace(b"http://www.w3.org/2000/svg", b"")      # nothing from elsewhere
    for path in ("/live.js", "/live.css", "/uplot.js", "/uplot.css"):
        assert proxy.admin("GET", path).status == 200
    assert "circuit_open" in json.loads(proxy.admin("GET", "/reasons").body)
    assert b"listen:" in proxy.admin("GET", "/config.yaml").body


def test_switched_off(rig):
    proxy = proxy_of(rig, admin={"listen": "127.0.0.1:{ADMIN}", "page": False})
    assert proxy.admin("GET", "/", "Accept: text/html").body.startswith(b"outrigger ")
    assert proxy.admin("GET", "/live.js").status == 404


@pytest.mark.skipif(not shutil.which("chromium") or not os.path.isdir(MODULES + "/node_modules/playwright-core"),
                    reason="needs chromium, and playwright-core and axe-core from npm (make page-modules)")
def test_in_a_browser(rig, tmp_path):
    proxy = proxy_of(rig)
    done = subprocess.run(["node", "tests/e2e/page.mjs", f"http://localhost:{proxy.admin_port}", f"http://localhost:{proxy.port}", MODULES,
                           str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 4
