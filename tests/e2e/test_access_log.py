"""test_access_log.py - a line for each request, its facts, where it goes; and that nobody waits for its reader."""
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time

from client import request
from load import Load
from proxy import BIN, WORKERS, environment
from test_admin import metrics, scrape, until
from upstream import hang, hangup, reply

TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ")


def test_facts_of_a_plain_request(rig):
    up = rig.upstream(default=reply(b"x" * 1834, delay=0.02))
    proxy = rig.before(up, route={"name": "shop"})
    r = proxy.ask("POST", "/orders/42?token=secret", "X-Request-ID: id-1", host="shop.example.com", body=b"12345")
    line = proxy.access_log(1)[0]
    assert TIME.fullmatch(line["time"])
    assert {k: line[k] for k in ("level", "event", "request_id", "client", "method", "host", "path", "protocol", "route", "upstream", "endpoint",
                                 "status", "served_by", "attempts", "bytes_in", "bytes_out")} == {
        "level": "info", "event": "request", "request_id": "id-1", "client": "127.0.0.1", "method": "POST", "host": "shop.example.com",
        "path": "/orders/42", "protocol": "HTTP/1.1", "route": "shop", "upstream": "app", "endpoint": up.name, "status": 200,
        "served_by": "upstream", "attempts": 1, "bytes_in": 5, "bytes_out": 1834}
    assert r.fields.get("x-request-id") == "id-1"
    assert "reason" not in line and "tried" not in line and "secret" not in json.dumps(line)
    assert re.fullmatch("[0-9a-f]{32}", line["trace_id"]) and re.fullmatch("[0-9a-f]{16}", line["span_id"])
    sent = up.last.fields.get("traceparent").split("-")
    assert sent[1] == line["trace_id"]
    assert 20 <= line["ttfb_ms"] <= line["duration_ms"] and line["queue_ms"] == 0
    assert 0 < line["overhead_ms"] < 20 and line["connect_ms"] > 0


def test_tries_that_did_not_make_it(rig):
    bad, busy = rig.upstream(default=hangup), rig.upstream(default=reply(b"", 503))
    proxy = rig.outrigger(upstreams={"bad": {"endpoints": [bad.url]}, "busy": {"endpoints": [busy.url]}},
                          routes=[{"path": "/bad", "upstream": "bad"}, {"path": "/busy", "upstream": "busy"}])
    assert proxy.ask("GET", "/bad").status == 502
    line = proxy.access_log(1, path="/bad")[0]
    assert (line["status"], line["reason"], line["served_by"], line["attempts"]) == (502, "upstream_reset", "proxy", 2)
    assert [(t["endpoint"], t["reason"]) for t in line["tried"]] == [(bad.name, "upstream_reset")] and line["tried"][0]["ms"] >= 0
    assert proxy.ask("GET", "/busy").status == 503
    line = proxy.access_log(1, path="/busy")[0]
    assert [(t["endpoint"], t["status"]) for t in line["tried"]] == [(busy.name, 503)]
    assert "reason" not in line and line["served_by"] == "upstream"


def test_requests_that_never_reached_a_route(rig):
    proxy = rig.outrigger(routes=[{"path": "/here", "respond": {"status": 200, "body": "ok"}}])
    proxy.ask("GET", "/nowhere")
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
        assert c.read().status == 400
    assert proxy.ask("GET", "/here").body == b"ok"
    line = proxy.access_log(1, status=404)[0]
    assert (line["route"], line["reason"], line["attempts"]) == ("none", "route_not_found", 0) and "upstream" not in line
    line = proxy.access_log(1, status=400)[0]
    assert (line["route"], line["reason"]) == ("none", "request_invalid")
    line = proxy.access_log(1, status=200)[0]
    assert (line["served_by"], line["bytes_out"]) == ("proxy", 2) and "reason" not in line


def test_client_that_left(rig):
    up = rig.upstream(default=hang)
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
    line = proxy.access_log(1)[0]
    assert (line["status"], line["reason"]) == (499, "client_closed") and "ttfb_ms" not in line


def test_what_peers_send_is_escaped(rig):
    proxy = rig.before(rig.upstream())
    proxy.ask("GET", "/a\"b\\c{}", host="h.example")
    assert proxy.access_log(1)[0]["path"] == "/a\"b\\c{}"


def test_skipped_paths_only_when_they_succeed(rig):
    up = rig.upstream()
    up.on["/sick"] = reply(b"", 500)
    proxy = rig.before(up, access_log={"to": "stdout", "format": "json", "skip_paths": ["/quiet", "/sick"]})
    for path in ("/quiet", "/sick", "/loud"):
        proxy.ask("GET", path)
    assert {x["path"] for x in proxy.access_log(2)} == {"/sick", "/loud"}


def test_sample(rig):
    proxy = rig.before(rig.upstream(), access_log={"to": "stdout", "format": "json", "sample": "20%"})
    with proxy.client() as c:
        for _ in range(500):
            c.ask()
    time.sleep(0.2)
    assert 50 < len(proxy.access_log(1)) < 170


def test_always_beats_the_sample(rig):
    up = rig.upstream()
    up.on["/sick"], up.on["/slow"], up.on["/missing"] = reply(b"", 500), reply(b"", delay=0.25), reply(b"", 404)
    up.on["/busy"] = reply(b"", 503)
    proxy = rig.before(up, access_log={"to": "stdout", "format": "json", "sample": "0%", "always": {"slower_than": "200ms"}})
    for path in ("/fine", "/missing", "/sick", "/slow", "/busy", "/fine"):
        proxy.ask("GET", path)
    until(lambda: len(proxy.access_log(1)) == 3)
    assert sorted((x["path"], x["status"], x["attempts"]) for x in proxy.access_log(3)) == [("/busy", 503, 2), ("/sick", 500, 1), ("/slow", 200, 1)]


def test_always_is_what_one_makes_of_it(rig):
    up = rig.upstream()
    up.script = [reply(b"", 503)]
    up.on["/sick"], up.on["/missing"] = reply(b"", 500), reply(b"", 404)
    proxy = rig.before(up, access_log={"to": "stdout", "format": "json", "sample": "0%", "always": {"status": 404, "slower_than": "0s"}})
    for path in ("/retried", "/sick", "/missing", "/fine"):
        proxy.ask("GET", path)
    proxy.access_log(2)
    time.sleep(0.1)
    assert sorted((x["path"], x["attempts"]) for x in proxy.access_log(2)) == [("/missing", 1), ("/retried", 2)]


def test_combined_log_format(rig):
    proxy = rig.before(rig.upstream(default=reply(b"x" * 1834)), access_log={"to": "stdout", "format": "clf"})
    proxy.ask("GET", "/orders/42?token=secret", "Referer: https://shop.example/?secret", 'User-Agent: curl/7.88 "x"')
    proxy.ask("HEAD", "/")
    until(lambda: proxy.out_file.read_text().count("\n") == 2)
    first, second = sorted(proxy.out_file.read_text().splitlines(), key=lambda x: "HEAD" in x)
    assert re.fullmatch(r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/20\d\d:\d\d:\d\d:\d\d \+0000\] "GET /orders/42 HTTP/1\.1" 200 1834 '
                        r'"https://shop\.example/" "curl/7\.88 \\"x\\""', first), first
    assert second.endswith('"HEAD / HTTP/1.1" 200 0 "-" "-"'), second


def otel_record(line):
    resource = line["resourceLogs"][0]
    record = resource["scopeLogs"][0]["logRecords"][0]

    def plain(attributes):
        out = {}
        for a in attributes:
            kind, value = next(iter(a["value"].items()))
            out[a["key"]] = int(value) if kind == "intValue" else value
        assert len(out) == len(attributes)
        return out
    return plain(resource["resource"]["attributes"]), record, plain(record["attributes"])


def test_opentelemetry_format(rig):
    up = rig.upstream(reply(b"ok", delay=0.05))
    up.script = [reply(b"", 503)]
    proxy = rig.before(up, route={"name": "shop"}, access_log={"to": "stdout", "format": "otel"})
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    proxy.ask("GET", "/a?secret", f"traceparent: 00-{trace}-00f067aa0ba902b7-01", "X-Request-ID: one", "User-Agent: me", host="shop.example:81")
    until(lambda: proxy.out_file.read_text().endswith("\n"))
    resource, record, a = otel_record(json.loads(proxy.out_file.read_text()))
    assert resource["service.name"] == "outrigger" and abs(int(record["timeUnixNano"]) / 1e9 - time.time()) < 10
    assert (record["traceId"], record["flags"], record["severityText"]) == (trace, 1, "INFO") and re.fullmatch("[0-9a-f]{16}", record["spanId"])
    want = {"http.request.method": "GET", "url.scheme": "http", "url.path": "/a", "server.address": "shop.example", "server.port": 81,
            "client.address": "127.0.0.1", "user_agent.original": "me", "network.protocol.version": "1.1", "http.request.body.size": 0,
            "http.response.status_code": 200, "http.response.body.size": 2, "http.request.resend_count": 1, "outrigger.request_id": "one",
            "outrigger.route": "shop", "outrigger.upstream": "app", "outrigger.endpoint": up.name, "outrigger.served_by": "upstream"}
    assert {k: a.get(k) for k in want} == want
    assert 50 <= a["outrigger.ttfb_ms"] <= a["outrigger.duration_ms"] and "error.type" not in a and "secret" not in json.dumps(record)
    for _ in range(2):
        proxy.ask("PURGE", "*")
    until(lambda: proxy.out_file.read_text().count("\n") == 3)
    _, _, a = otel_record(json.loads(proxy.out_file.read_text().splitlines()[2]))
    assert (a["http.request.method"], a["http.request.method_original"], a["error.type"]) == ("_OTHER", "PURGE", "request_invalid")


def test_text_on_a_terminal(rig):
    up, (ours, theirs) = rig.upstream(), pty.openpty()
    proxy = rig.before(up, access_log={"to": "stdout", "format": "auto"})
    proxy.stop()
    proxy.process = subprocess.Popen([BIN, "run", "-c", str(proxy.file)], stdout=theirs, stderr=open(proxy.err_file, "wb"), env=environment())
    os.close(theirs)
    assert proxy.ready()
    assert proxy.ask("GET", "/x?y=1", host="shop.example").status == 200
    line = os.read(ours, 4096).decode()
    assert re.fullmatch(rf"\d\d:\d\d:\d\d\.\d\d\d GET 200 \d+(\.\d)?ms shop\.example/x → app {up.name}\r\n", line), line
    proxy.stop()
    os.close(ours)


def test_reopened_by_usr1(rig):
    proxy = rig.before(rig.upstream(), access_log={"to": "{TMP}/access.log", "format": "json"})
    log, old = proxy.tmp / "access.log", proxy.tmp / "access.log.1"
    proxy.ask("GET", "/before")
    until(lambda: "/before" in log.read_text())
    log.rename(old)
    proxy.ask("GET", "/meanwhile")
    until(lambda: "/meanwhile" in old.read_text())
    proxy.signal(signal.SIGUSR1)
    until(log.exists)
    proxy.ask("GET", "/after")
    until(lambda: "/after" in log.read_text())
    assert "/after" not in old.read_text()
    assert oct(log.stat().st_mode & 0o777) == "0o640"


def test_a_file_that_cannot_be_opened(rig):
    proxy = rig.outrigger(wait=False, access_log={"to": "{TMP}/no/such/folder/log"}, routes=[{"path": "/", "respond": {"status": 200}}])
    assert proxy.process.wait(5) == 69
    assert "access_log: No such file or directory" in proxy.err
    proxy.process = subprocess.Popen(["true"])        # for the questions at the end: this one left with 0
    proxy.process.wait()


def test_a_reader_that_stopped_costs_lines_only(rig):
    """Nobody reads the pipe; requests go on. Then somebody does: what comes out is whole lines."""
    up = rig.upstream()
    proxy = rig.before(up)
    proxy.stop()
    proxy.process = subprocess.Popen([BIN, "run", "-c", str(proxy.file)], stdout=subprocess.PIPE, stderr=open(proxy.err_file, "wb"),
                                     env=environment())
    assert proxy.ready()
    long = "/" + "x" * 2000
    with proxy.client() as c:
        for _ in range(1500):
            assert c.ask("GET", long).status == 200
    assert metrics(proxy)['outrigger_log_lines_dropped_total{log="access"}'] > 0
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(proxy.process.stdout))
    reader.start()
    until(lambda: len(lines) > 100)
    assert proxy.ask("GET", "/again").status == 200
    until(lambda: any(b'"/again"' in x for x in lines))
    proxy.stop()
    reader.join(5)
    proxy.process.stdout.close()
    assert {json.loads(x)["path"] for x in lines} == {long, "/again"}


def p99(seconds):
    return sorted(seconds)[len(seconds) * 99 // 100]


class Timed(Load):
    """Each client notes how long each of its requests took."""

    def on(self, c):
        while not self.over:
            began = time.monotonic()
            c.send(self.request)
            status = c.read(self.method).status
            with self.lock:
                self.outcomes.append((status, began, time.monotonic() - began))


def test_a_reader_that_stops_under_load_is_not_felt(rig):
    """stdout goes to a process that is stopped for seconds and goes on again: no request fails or waits, lines are dropped and counted."""
    proxy = rig.before(rig.upstream())
    proxy.stop()
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=open(proxy.out_file, "wb"))
    proxy.process = subprocess.Popen([BIN, "run", "-c", str(proxy.file)], stdout=reader.stdin, stderr=open(proxy.err_file, "wb"), env=environment())
    reader.stdin.close()
    assert proxy.ready()
    load = Timed(("127.0.0.1", proxy.port), 4, target="/" + "x" * 2000)
    load.wait_for(300)
    stopped = time.monotonic()
    reader.send_signal(signal.SIGSTOP)
    dropped = 'outrigger_log_lines_dropped_total{log="access"}'
    try:
        time.sleep(4)
        until(lambda: scrape(proxy)[dropped] > 0, 20)
        time.sleep(0.5)
    finally:
        reader.send_signal(signal.SIGCONT)
    went_on = time.monotonic()
    time.sleep(0.5)
    load.stop()
    assert not load.failed and load.statuses() == {200: len(load.outcomes)}
    before = p99([took for _, began, took in load.outcomes if began < stopped])
    while_it_stood = p99([took for _, began, took in load.outcomes if stopped <= began < went_on])
    print(f"p99: {before * 1e3:.1f} ms, {while_it_stood * 1e3:.1f} ms while the reader stood, {metrics(proxy)[dropped]:.0f} lines dropped")
    assert while_it_stood < 5 * before + 0.05
    proxy.ask("GET", "/again")
    until(lambda: '"/again"' in proxy.out_file.read_text())
    lines = metrics(proxy)[dropped] + proxy.out_file.read_text().count("\n")
    assert lines == len(load.outcomes) + 1                 # each request has its line, or is counted as one without
    proxy.stop()
    assert reader.wait(5) == 0


def test_a_full_disk_costs_lines_and_is_told_once(rig):
    proxy = rig.before(rig.upstream(), access_log={"to": "/dev/full", "format": "json"})
    with proxy.client() as c:
        for _ in range(100):
            assert c.ask().status == 200
        for _ in range(600 * max(WORKERS, 1)):
            assert c.ask("GET", "/" + "x" * 2000).status == 200
    assert metrics(proxy)['outrigger_log_lines_dropped_total{log="access"}'] > 0
    until(lambda: "access_log_write_failed" in proxy.err)
    time.sleep(0.2)
    assert proxy.err.count("access_log_write_failed") == 1


def test_the_last_lines_are_not_lost(rig):
    proxy = rig.before(rig.upstream())
    for i in range(20):
        proxy.ask("GET", f"/{i}")
    proxy.stop()
    assert {x["path"] for x in proxy.access_log(20)} == {f"/{i}" for i in range(20)}
