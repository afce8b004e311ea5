"""test_access_log.py - a line for each request, its facts, where it goes; and that nobody waits for its reader."""
import json
import os
import pty
import re
import signal
import subprocess
import threading
import time

from client import request, until
from load import Load
from proxy import BIN, WORKERS, environment, sanitized
from test_admin import metrics, scrape
from test_reload import reload, rewrite
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
    assert f"access_log: {proxy.tmp}/no/such/folder/log: No such file or directory" in proxy.err
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
    want = len(load.outcomes) + 1                          # each request has its line, or is counted as one without
    until(lambda: scrape(proxy)[dropped] + proxy.out_file.read_text().count("\n") >= want)      # those of another worker may come later
    time.sleep(0.1)
    assert scrape(proxy)[dropped] + proxy.out_file.read_text().count("\n") == want
    proxy.stop()
    assert reader.wait(5) == 0


def test_a_reader_that_keeps_up_gets_its_lines(rig):
    """A pipe holds 64 KiB: it has to be filled again as soon as it was read, not once per tick of a clock."""
    proxy = rig.outrigger(routes=[{"path": "/", "respond": {"status": 200}}])
    proxy.stop()
    reader = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=open(proxy.out_file, "wb"))
    proxy.process = subprocess.Popen([BIN, "run", "-c", str(proxy.file)], stdout=reader.stdin, stderr=open(proxy.err_file, "wb"), env=environment())
    reader.stdin.close()
    assert proxy.ready()
    load = Load(("127.0.0.1", proxy.port), 2, target="/" + "x" * 6000)
    time.sleep(2)
    load.stop()
    lines, dropped = len(load.outcomes), metrics(proxy)['outrigger_log_lines_dropped_total{log="access"}']
    print(f"{lines} lines of 6 KB, {dropped:.0f} dropped")
    assert dropped < lines / 10
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


# ── changed by a reload ──

CLF = re.compile(r'127\.0\.0\.1 - - \[[^]]+\] "GET (/[^ ]*) HTTP/1\.1" 200 \d+ "-" "-"')
DROPPED = 'outrigger_log_lines_dropped_total{log="access"}'


def change(proxy, **settings):
    rewrite(proxy, lambda c: c["access_log"].update(settings))
    return reload(proxy)


def lines_of(file):
    """Those that are whole."""
    text = file.read_text()
    return text[:text.rfind("\n") + 1].splitlines()


def opened(proxy):
    folder, names = f"/proc/{proxy.pid}/fd", []
    for n in os.listdir(folder):
        try:
            names.append(os.readlink(f"{folder}/{n}"))
        except FileNotFoundError:              # closed meanwhile
            pass
    return names


def test_what_is_logged_can_be_changed(rig):
    up = rig.upstream()
    up.on["/sick"] = reply(b"", 500)
    proxy = rig.before(up)

    def logged(*paths):
        """What the log says of these, asked one after the other, with one behind them that it always mentions."""
        before = len(proxy.out_file.read_text().splitlines())
        for path in paths:
            proxy.ask("GET", path)
        time.sleep(0.15)
        return proxy.out_file.read_text().splitlines()[before:]

    def paths(lines):
        return sorted(json.loads(x)["path"] for x in lines)
    assert paths(logged("/a", "/quiet", "/sick")) == ["/a", "/quiet", "/sick"]
    assert change(proxy, skip_paths=["/quiet"]) == "~access_log\n"
    assert paths(logged("/a", "/quiet", "/sick")) == ["/a", "/sick"]
    change(proxy, sample="0%")
    assert paths(logged("/a", "/quiet", "/sick")) == ["/sick"]
    change(proxy, always={"status": "off"})
    assert logged("/a", "/quiet", "/sick") == []
    change(proxy, sample="100%", format="clf")
    assert [CLF.fullmatch(x)[1] for x in logged("/a", "/quiet")] == ["/a"]
    change(proxy, format="text", skip_paths=[])
    assert sorted(x.split()[4] for x in logged("/a", "/quiet")) == ["h.example/a", "h.example/quiet"]
    assert reload(proxy) == "no listener, route or upstream is different\n"
    assert metrics(proxy)[DROPPED] == 0


def test_the_log_moves_under_load(rig):
    """From file to file to standard output and back, each place with a form of its own: each request has one line, of the form of its place."""
    proxy = rig.before(rig.upstream(), access_log={"to": "{TMP}/a", "format": "json"})
    a, b, rotated = proxy.tmp / "a", proxy.tmp / "b", proxy.tmp / "b.1"
    loads = []

    def under_load(*moves):
        load = Load(("127.0.0.1", proxy.port), 4, target="/x")
        loads.append(load)
        load.wait_for(50)
        for to, form in moves:
            change(proxy, to=str(to), format=form)
            load.wait_for(len(load.outcomes) + 50)
        return load
    under_load((b, "clf"), (a, "json"), (b, "clf"), ("stdout", "otel")).stop()
    change(proxy, to="off")
    assert proxy.ask().status == 200           # and has no line
    change(proxy, to="stdout")
    under_load((b, "clf"))
    b.rename(rotated)                          # it is still opened again
    proxy.signal(signal.SIGUSR1)
    until(b.exists)
    loads[1].wait_for(len(loads[1].outcomes) + 50)
    loads[1].stop()
    requests = sum(len(x.outcomes) for x in loads)
    assert not loads[0].failed + loads[1].failed and requests >= 400
    until(lambda: sum(len(lines_of(f)) for f in (a, b, rotated, proxy.out_file)) >= requests)
    time.sleep(0.1)
    ids = [json.loads(x)["request_id"] for x in lines_of(a)]
    ids += [otel_record(json.loads(x))[2]["outrigger.request_id"] for x in lines_of(proxy.out_file)]
    assert len(ids) == len(set(ids)) and all(CLF.fullmatch(x) for f in (b, rotated) for x in lines_of(f))
    assert min(len(lines_of(f)) for f in (a, b, rotated, proxy.out_file)) >= 40
    assert len(ids) + len(lines_of(b)) + len(lines_of(rotated)) == requests
    assert metrics(proxy)[DROPPED] == 0
    until(lambda: str(a) not in opened(proxy) and str(rotated) not in opened(proxy))
    assert opened(proxy).count(str(b)) == 1


def test_settings_change_under_load(rig):
    """The form alternates while clients are served, then all is sampled away: no line is torn, none is missing, none comes late."""
    proxy = rig.before(rig.upstream())
    load = Load(("127.0.0.1", proxy.port), 4, target="/x")
    load.wait_for(50)
    for i in range(8):
        change(proxy, format=("clf", "json")[i % 2], skip_paths=[f"/{n}" for n in range(i)])
        load.wait_for(len(load.outcomes) + 20)
    before = len(load.outcomes)
    change(proxy, sample="0%", always={"slower_than": "0s"})
    behind = len(load.outcomes) + 4            # one of each client may have ended that it has not read yet
    load.wait_for(behind + 100)
    load.stop()
    assert not load.failed
    time.sleep(0.1)
    lines = lines_of(proxy.out_file)
    assert all(CLF.fullmatch(x) or json.loads(x)["path"] == "/x" for x in lines)
    assert {x[0] for x in lines} == {"{", "1"}
    assert before <= len(lines) <= behind and metrics(proxy)[DROPPED] == 0


def test_off_and_on_again(rig):
    proxy = rig.before(rig.upstream(), access_log={"to": "off"})
    proxy.ask("GET", "/unheard")
    assert metrics(proxy)[DROPPED] == 0
    assert change(proxy, to="stdout", format="json") == "~access_log\n"
    proxy.ask("GET", "/heard")
    assert [x["path"] for x in proxy.access_log(1)] == ["/heard"]
    change(proxy, to="off")
    proxy.ask("GET", "/unheard")
    proxy.signal(signal.SIGUSR1)               # nothing to open
    change(proxy, to="stderr")
    proxy.ask("GET", "/on-stderr")
    until(lambda: '"/on-stderr"' in proxy.err)
    assert [x["path"] for x in proxy.access_log(1)] == ["/heard"] and "/unheard" not in proxy.err


def test_a_successor_goes_on_with_the_file_of_the_reload(rig):
    proxy = rig.before(rig.upstream(), access_log={"to": "{TMP}/a", "format": "json"})
    change(proxy, to=f"{proxy.tmp}/b")
    before = proxy.pid
    os.kill(before, signal.SIGKILL)
    until(lambda: proxy.pid not in (before, proxy.process.pid))
    proxy.ask("GET", "/behind")
    until(lambda: "/behind" in (proxy.tmp / "b").read_text())
    assert (proxy.tmp / "a").read_text() == ""


def test_a_file_that_cannot_be_opened_is_refused_as_a_whole(rig):
    folder = rig.tmp / "logs"
    folder.mkdir()
    (folder / "closed").mkdir(mode=0o500)
    proxy = rig.before(rig.upstream(), access_log={"to": str(folder / "a"), "format": "json"})
    sandbox = proxy.probe("/status.json").json()["sandbox"]
    cases = [(folder / "no/such/log", "No such file or directory"), (folder / "closed", "Is a directory")]
    if os.geteuid() or sandbox["capabilities"] != "as started":
        cases.append((folder / "closed/log", "Permission denied"))
    if sandbox["landlock"]:                    # elsewhere than where the start's file is
        cases += [(rig.tmp / "b", "Permission denied (in the sandbox it can write only in the folder of the file that 'to' named at the start)")]
    good = proxy.file.read_text()
    for n, (file, why) in enumerate(cases, 1):
        rewrite(proxy, lambda c: c["access_log"].update(to=str(file), format="clf", sample="0%") or c["routes"][0].update(timeout="7s"))
        r = proxy.admin("POST", "/reload")
        assert r.status == 422 and r.body.decode().startswith(f"access_log: {file}: {why}"), r.body
        until(lambda: sum(e["event"] == "reload_refused" and e["error"].startswith(f"access_log: {file}: {why}") for e in proxy.events()) == 1)
        assert proxy.ask("GET", f"/{n}").status == 200
        until(lambda: len(lines_of(folder / "a")) == n)
        assert json.loads(lines_of(folder / "a")[-1])["path"] == f"/{n}"
        assert "7s" not in proxy.admin("GET", "/config.yaml").body.decode()
    assert not (rig.tmp / "b").exists() and metrics(proxy)["outrigger_config_last_reload_successful"] == 0
    proxy.file.write_text(good)
    reload(proxy)
    change(proxy, to=str(folder / "b"))
    until(lambda: str(folder / "a") not in opened(proxy))
    proxy.ask("GET", "/there")
    until(lambda: len(lines_of(folder / "b")) == 1)


def test_a_reader_that_stopped_is_left_behind(rig):
    """Nobody reads the pipe, and the log moves to a file: new lines are there at once, and what the pipe did not take is counted."""
    proxy = rig.before(rig.upstream(), access_log={"to": "{TMP}/start", "format": "json"})
    file = proxy.tmp / "file"
    proxy.stop()
    ours, theirs = os.pipe()
    proxy.process = subprocess.Popen([BIN, "run", "-c", str(proxy.file)], stdout=theirs, stderr=open(proxy.err_file, "wb"), env=environment())
    os.close(theirs)
    assert proxy.ready()
    change(proxy, to="stdout")
    with proxy.client() as c:
        for _ in range(700):
            assert c.ask("GET", "/" + "x" * 2000).status == 200
        until(lambda: scrape(proxy)[DROPPED] > 0)
        before = metrics(proxy)[DROPPED]
        began = time.monotonic()
        change(proxy, to=str(file))
        assert c.ask("GET", "/there").status == 200
        until(lambda: len(lines_of(file)) == 1)
        assert time.monotonic() - began < 0.9 or sanitized()
        until(lambda: scrape(proxy)[DROPPED] > before)
    os.set_blocking(ours, False)
    took = os.read(ours, 1 << 20)
    while True:
        try:
            took += os.read(ours, 1 << 20)
        except BlockingIOError:
            break
    assert took.count(b"\n") + metrics(proxy)[DROPPED] == 700
    assert all(json.loads(x)["status"] == 200 for x in took.splitlines()[:took.count(b"\n")])
    proxy.stop()
    os.close(ours)
