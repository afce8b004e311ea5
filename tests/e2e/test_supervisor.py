"""test_supervisor.py - the server process dies, hangs or leaves, and its supervisor does what it should (behaviour §12)."""
import ctypes
import os
import pathlib
import re
import signal
import subprocess
import time
import uuid

import pytest

from client import Client, request, until
from load import Load
from proxy import BIN, environment, run, sanitized, server_of
from upstream import reply
from wire import Closed

ROUNDS = int(os.environ.get("OUTRIGGER_ROUNDS", "5"))
DIES_QUIETLY = {k: f"{os.environ.get(k) or v}:handle_segv=0" for k, v in
                (("ASAN_OPTIONS", "abort_on_error=0:detect_stack_use_after_return=0"), ("TSAN_OPTIONS", "halt_on_error=0:exitcode=66"))}


def said(proxy, event):
    return [x for x in proxy.events() if x["event"] == event]


def crash(proxy, number=signal.SIGSEGV):
    """Kills the server; returns the seconds until its successor answers."""
    pid = proxy.pid
    began = time.monotonic()
    os.kill(pid, number)
    with Client(("127.0.0.1", proxy.admin_port)) as c:        # it waits in the backlog
        try:
            c.ask("GET", "/livez", host=f"127.0.0.1:{proxy.admin_port}")
        except Closed:                        # ... or was let in by the one that dies
            until(lambda: answers(proxy))
    took = time.monotonic() - began
    assert proxy.pid != pid
    return took


def answers(proxy):
    try:
        return proxy.probe("/livez").status == 200
    except (OSError, Closed):
        return False


def is_refused(proxy):
    try:
        proxy.client().close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):     # reset: it was in the backlog as the listener went
        return True


class Named(Load):
    """Every request has an id of its own; `lost`: those that got no answer."""

    def __init__(self, address, n):
        self.lost = []
        super().__init__(address, n)

    def on(self, c):
        while not self.over:
            name = uuid.uuid4().hex
            try:
                c.send(request("GET", "/", f"X-Request-ID: {name}"))
                r = c.read()
            except (Closed, OSError) as e:
                with self.lock:
                    self.lost.append((name, repr(e)))
                return
            with self.lock:
                self.outcomes.append((r.status, time.monotonic() - self.began, r))


@pytest.mark.parametrize("workers", [1, 2])
def test_segv_under_load(rig, workers):
    up = rig.upstream(default=reply(b"hello", delay=0.005))
    proxy = rig.before(up, workers=workers, trusted_proxies=["127.0.0.1"], env=DIES_QUIETLY)
    load = Named(("127.0.0.1", proxy.port), 64)
    load.wait_for(200)
    took = []
    for _ in range(ROUNDS if workers == 1 else 2):
        took.append(crash(proxy))
        load.wait_for(len(load.outcomes) + 200)
        time.sleep(1.1)                       # servers that do not live for a second are something else: see the crash loop
    load.stop()
    assert load.refused == 0, "the port was closed for a moment"
    assert set(load.statuses()) == {200}
    named = {x["request_id"] for x in said(proxy, "request_lost")}
    lost = {name for name, _ in load.lost}
    assert lost and len(lost) <= 64 * len(took)
    assert not lost - named, "a client has lost its request, and the log does not name it"
    assert all(x["route"] == "/" for x in said(proxy, "request_lost"))
    died = said(proxy, "server_died")
    assert [x["cause"] for x in died] == ["crash"] * len(took) and {x["signal"] for x in died} == {"SEGV"}
    assert all(32 <= x["connections"] <= 64 and x["connections_kept"] < x["connections"] for x in died)
    print("ready again after", [f"{1000 * t:.0f} ms" for t in took], "lost", len(lost), "of them named", len(named & lost))
    assert sanitized() or sorted(took)[len(took) // 2] < 0.1, took
    assert f'outrigger_restarts_total{{cause="crash"}} {len(took)}' in proxy.probe("/metrics").body.decode()


def at_thread(proxy, number=signal.SIGSEGV):
    """The fault comes on a data thread, as those do that are not sent by anybody."""
    tgkill, bit = 234, [1 << (n - 1) for n in (signal.SIGTERM, number)]
    for status in pathlib.Path(f"/proc/{proxy.pid}/task").glob("*/status"):
        blocked = int(re.search(r"SigBlk:\s*(\w+)", status.read_text()).group(1), 16)
        if blocked & bit[0] and not blocked & bit[1]:         # data threads are deaf to everything but faults
            assert ctypes.CDLL(None).syscall(ctypes.c_long(tgkill), proxy.pid, int(status.parent.name), int(number)) == 0
            return
    raise AssertionError("no data thread is there")


def all_stand_still(pid):
    return all(re.search(r"State:\s*(\w)", p.read_text()).group(1) == "T" for p in pathlib.Path(f"/proc/{pid}/task").glob("*/status"))


x86_64 = pytest.mark.skipif(os.uname().machine != "x86_64", reason="tgkill has another number")


@x86_64
@pytest.mark.parametrize("kill", [crash, at_thread])
@pytest.mark.parametrize("workers", [1, 3])
def test_connections_at_rest_outlive_the_server(rig, workers, kill):
    up = rig.upstream()
    up.on["/slow"] = reply(b"late", delay=4)
    proxy = rig.before(up, workers=workers, env=DIES_QUIETLY)
    idle, fresh, busy, partial = [proxy.client() for _ in range(150)], proxy.client(), proxy.client(), proxy.client()
    for c in idle:
        assert c.ask().body == b"hello"
    busy.send(request("GET", "/slow"))
    partial.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
    up.wait_for(151)
    time.sleep(0.2)                           # the half request has been read
    kill(proxy)
    died = until(lambda: said(proxy, "server_died"))[0]
    assert (died["connections"], died["connections_kept"]) == (153, 151)
    for _ in range(2):
        for c in idle:
            assert c.ask().body == b"hello"
    assert fresh.ask().body == b"hello"
    assert [x["route"] for x in said(proxy, "request_lost")] == ["/"]
    for c in busy, partial:
        with pytest.raises((Closed, OSError)):
            c.read()
    open_now = [x for x in proxy.probe("/metrics").body.decode().splitlines() if x.startswith("outrigger_connections{")]
    assert [float(x.split()[-1]) for x in open_now] == [151], open_now
    for c in idle + [fresh, busy, partial]:
        c.close()


@x86_64
@pytest.mark.skipif("tsan" in BIN, reason="ThreadSanitizer puts signals off, and the request is read before")
def test_a_request_that_was_not_read_yet_is_answered_by_the_successor(rig):
    proxy = rig.before(rig.upstream(), workers=1, env=DIES_QUIETLY)
    with proxy.client() as first, proxy.client() as second:
        assert first.ask().body == b"hello"
        time.sleep(0.2)                       # the turn in which it was answered is over
        pid = proxy.pid
        os.kill(pid, signal.SIGSTOP)
        until(lambda: all_stand_still(pid))
        first.send(request())
        second.send(request())
        at_thread(proxy)
        os.kill(pid, signal.SIGCONT)
        assert first.read().body == b"hello"
        assert second.read().body == b"hello"
    assert not said(proxy, "request_lost")


def test_the_backlog_is_served_by_the_successor(rig):
    """Connections that come while there is no server at all wait, and are answered."""
    proxy = rig.before(rig.upstream(), env=DIES_QUIETLY)
    for _ in range(2):                        # one after another: the second is replaced after 0.1 s
        crash(proxy)
    os.kill(proxy.pid, signal.SIGSEGV)
    until(lambda: server_of(proxy.process.pid) is None)
    clients = [proxy.client() for _ in range(50)]
    for c in clients:
        c.send(request())
    for c in clients:
        assert c.read().body == b"hello"
        c.close()


def test_crash_loop_backs_off(rig):
    proxy = rig.before(rig.upstream(), env=DIES_QUIETLY)
    until(lambda: proxy.pid != proxy.process.pid)
    began = time.monotonic()
    for _ in range(5):
        os.kill(until(lambda: server_of(proxy.process.pid)), signal.SIGSEGV)
        until(lambda: server_of(proxy.process.pid) is None or len(said(proxy, "server_died")) == _ + 1)
    died = until(lambda: len(said(proxy, "server_died")) == 5 and said(proxy, "server_died"))
    assert [x["replaced_in_ms"] for x in died] == [0, 100, 200, 400, 800]
    until(lambda: answers(proxy))
    assert time.monotonic() - began > 1.5
    assert proxy.ask().body == b"hello"


def test_term_during_back_off(rig):
    proxy = rig.before(rig.upstream(), env=DIES_QUIETLY)
    for n in range(5):
        os.kill(until(lambda: server_of(proxy.process.pid)), signal.SIGSEGV)
        until(lambda: len(said(proxy, "server_died")) == n + 1)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait(0.7) == 0


def test_watchdog(rig):
    """A server that stands still is replaced, with what it had in flight named."""
    up = rig.upstream()
    up.on["/slow"] = reply(b"late", delay=4)
    proxy = rig.before(up, watchdog="2s")
    with proxy.client() as c:
        c.send(request("GET", "/slow"))
        up.wait_for(1)
        pid = proxy.pid
        began = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        until(lambda: server_of(proxy.process.pid) not in (None, pid))
        assert 1.5 < time.monotonic() - began < 6
    until(lambda: answers(proxy))
    assert proxy.ask().body == b"hello"
    assert said(proxy, "watchdog") and [x["cause"] for x in said(proxy, "server_died")] == ["watchdog"]
    assert len(said(proxy, "request_lost")) == 1


def test_a_supervisor_that_was_stopped_itself_blames_nobody(rig):
    proxy = rig.before(rig.upstream(), watchdog="2s")
    pid = proxy.pid
    os.kill(proxy.process.pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(3)
    os.kill(proxy.process.pid, signal.SIGCONT)
    time.sleep(0.7)
    os.kill(pid, signal.SIGCONT)
    time.sleep(1)
    assert proxy.pid == pid and proxy.ask().body == b"hello"


@pytest.mark.parametrize("number, cause", [(signal.SIGABRT, "abort"), (signal.SIGKILL, "killed"), (signal.SIGBUS, "crash")])
def test_causes(rig, number, cause):
    env = {k: v + ":handle_sigbus=0" for k, v in DIES_QUIETLY.items()}
    proxy = rig.before(rig.upstream(), env=env)
    crash(proxy, number)
    assert [x["cause"] for x in said(proxy, "server_died")] == [cause]
    assert f"replaced    1 server since the supervisor started: {cause} 1\n" in proxy.admin("GET", "/").body.decode()
    assert proxy.ask().body == b"hello"


def breaker(proxy):
    (u,) = [u for u in proxy.probe("/status.json").json()["upstreams"] if u["name"] == "app"]
    return u["circuit_breaker"]["state"]


def test_what_a_successor_knows(rig):
    """An open breaker stays open, a forced one forced; the configuration is the one in force, not the one on disk at the start, nor a broken one."""
    up = rig.upstream()
    up.on["/bad"] = reply(b"", status=500)
    proxy = rig.before(up, upstream={"retry": "off", "circuit_breaker": {"open_for": "60s"}}, route={"name": "first"}, env=DIES_QUIETLY)
    for _ in range(5):
        proxy.ask("GET", "/bad")
    assert breaker(proxy) == "open"
    time.sleep(0.4)
    crash(proxy)
    assert breaker(proxy) == "open"
    assert proxy.ask().json()["reason"] == "circuit_open"

    proxy.admin("POST", "/upstreams/app/circuit_breaker?state=forced_open")
    proxy.file.write_text(proxy.text.replace("name: first", "name: second"))
    assert proxy.admin("POST", "/reload").status == 200
    until(lambda: said(proxy, "reloaded"))
    proxy.admin("POST", "/drain")
    proxy.file.write_text("routes: nonsense\n")
    crash(proxy)
    assert breaker(proxy) == "forced_open"
    assert proxy.probe("/readyz").status == 503
    assert [r["name"] for r in proxy.probe("/routes").json()][0] == "second"


def test_buckets_stay_charged(rig):
    up = rig.upstream()
    proxy = rig.before(up, route={"rate_limit": [{"rate": "5/h", "key": "header:x-who"}, {"rate": "100/h", "algorithm": "sliding_window", "key": "route"}]},
                       env=DIES_QUIETLY)

    def left(who):
        r = proxy.ask("GET", "/", f"X-Who: {who}")
        return r.status, r.fields.get("ratelimit")
    for _ in range(5):
        assert left("a")[0] == 200
    assert left("a")[0] == 429 and left("b")[0] == 200
    crash(proxy)                              # no pause: what was charged is there at once
    assert left("a")[0] == 429
    assert [left("b")[0] for _ in range(5)] == [200] * 4 + [429]
    crash(proxy)
    assert left("a")[0] == 429 and left("b")[0] == 429 and left("c")[0] == 200
    keys = [x for x in proxy.probe("/metrics").body.decode().splitlines() if x.startswith("outrigger_rate_limit_keys") and "limit2" not in x]
    assert float(keys[0].split()[-1]) == 3, keys


def test_both_processes_get_the_signal(rig):
    """As from a terminal, or a service manager that tells the whole group: still one orderly drain, not two TERMs."""
    up = rig.upstream(default=reply(b"late", delay=0.5))
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        server = proxy.pid
        proxy.signal(signal.SIGINT)
        os.kill(server, signal.SIGINT)
        assert c.read().body == b"late"
    assert proxy.wait() == 0


def test_term_at_the_server_ends_both(rig):
    proxy = rig.before(rig.upstream())
    os.kill(proxy.pid, signal.SIGTERM)
    assert proxy.wait() == 0


def test_draining_refuses_new_connections(rig):
    """The supervisor holds the sockets, but nobody is kept waiting in them by a server that leaves."""
    up = rig.upstream(default=reply(b"late", delay=1))
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        proxy.signal(signal.SIGTERM)
        time.sleep(0.2)
        assert is_refused(proxy)
        assert c.read().body == b"late"
    assert proxy.wait() == 0


def test_the_server_dies_with_its_supervisor(rig):
    proxy = rig.before(rig.upstream())
    proxy.process.kill()
    proxy.process.wait()
    until(lambda: is_refused(proxy))
    proxy.process = subprocess.Popen(["true"])        # for the questions at the end: this one left with 0
    proxy.process.wait()


def test_off(rig):
    proxy = rig.before(rig.upstream(), supervisor="off")
    assert server_of(proxy.process.pid) is None
    metrics = proxy.probe("/metrics").body.decode()
    assert "outrigger_supervised 0" in metrics and 'outrigger_restarts_total{cause="crash"} 0' in metrics
    assert proxy.probe("/status.json").json()["supervisor"] == {"supervised": False}


def test_start_errors_are_not_tried_again(rig, tmp_path):
    """78, 69: once, at once."""
    (tmp_path / "bad.yaml").write_text("listen: nowhere\n")
    assert run("run", "-c", tmp_path / "bad.yaml").returncode == 78
    proxy = rig.before(rig.upstream(), workers=2)
    done = run("--listen", f"127.0.0.1:{proxy.port}", "--to", "http://127.0.0.1:1", "--set", "admin.listen=off")
    assert done.returncode == 69 and "server_started" not in done.stderr
    done = run("--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:1", "--set", "admin.listen=off", "--set", "access_log.to=/no/such/folder/log")
    assert done.returncode == 69 and done.stderr.count("server_started") == 1


def test_unix_sockets_are_taken_away_at_the_end_only(rig):
    proxy = rig.before(rig.upstream(), listen="unix:{TMP}/s", env=DIES_QUIETLY)
    path = proxy.tmp / "s"
    crash(proxy)
    with Client(str(path)) as c:
        assert c.ask().body == b"hello"
    proxy.stop()
    assert not path.exists()


def unshares():
    return subprocess.run(["unshare", "--pid", "--fork", "--mount-proc", "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not unshares(), reason="may not make a pid namespace")
def test_as_process_1(rig):
    """In a container: TERM works though process 1 has no default actions, orphans are reaped, a crash is survived."""
    up = rig.upstream()
    proxy = rig.before(up)
    proxy.stop()
    with open(proxy.out_file, "wb") as out, open(proxy.err_file, "wb") as err:
        proxy.process = subprocess.Popen(["unshare", "--pid", "--fork", "--mount-proc", BIN, "run", "-c", str(proxy.file)], stdin=subprocess.DEVNULL, stdout=out,
                                         stderr=err, env=environment(**DIES_QUIETLY))
    assert proxy.ready()
    one = server_of(proxy.process.pid)        # as we see it
    server = server_of(one)
    orphan = ["nsenter", f"--target={one}", "--pid", "--mount", "sh", "-c", "(sleep 0.2; exit 3) & exit 0"]
    assert subprocess.run(orphan).returncode == 0
    os.kill(server, signal.SIGSEGV)
    until(lambda: server_of(one) not in (None, server))
    until(lambda: answers(proxy))
    time.sleep(0.5)
    children = pathlib.Path(f"/proc/{one}/task/{one}/children").read_text().split()
    assert len(children) == 1, "a zombie is left"
    assert proxy.ask().body == b"hello"
    os.kill(one, signal.SIGTERM)
    assert proxy.wait() == 0
