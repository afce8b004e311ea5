"""test_shed.py - the real binary with more to carry than it can: a line that stands, descriptors that run out, a loop that lags.

What is overloaded here is really overloaded: the upstream is slow and the line in front of it long, or the process may not open more files. Only
the limits of `overload` are low.
"""
import resource
import signal
import threading
import time

import pytest
from client import Client, until
from test_admin import metrics, scrape
from upstream import reply
from wire import Closed

TRUSTED = {"trusted_proxies": ["127.0.0.1"]}
CLASSES = ("critical", "default", "sheddable")


def events(proxy, name):
    return [x for x in proxy.events() if x["event"] == name]


def pressure(proxy):
    for _ in range(100):
        r = proxy.admin("GET", "/status.json")
        if r.status == 200:
            return r.json()["pressure"]
        time.sleep(.02)                       # no descriptor for it: the connection before is still being closed
    raise AssertionError("the admin listener has no descriptor")


class Crowd:
    """Clients that ask again and again, each on its own connection and with its own priority."""

    def __init__(self, proxy, **counts):
        self.proxy, self.over, self.got, self.lock = proxy, False, [], threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(c,)) for c, n in counts.items() for _ in range(n)]
        for t in self.threads:
            t.start()

    def run(self, priority):
        while not self.over:
            with self.proxy.client() as c:
                self.on(c, priority)

    def on(self, c, priority):
        r = None
        while not self.over and not (r and r.fields.get("connection") == "close"):
            r = c.ask("GET", "/", f"x-priority: {priority}")
            reason = r.json()["reason"] if r.status != 200 else ""
            with self.lock:
                self.got.append((time.monotonic(), priority, r.status, reason, r.fields.get("retry-after")))
            if r.status != 200:
                time.sleep(.02)

    def since(self, moment):
        """Of each class since then: how many were served, how many turned away as overloaded."""
        with self.lock:
            got = [x for x in self.got if x[0] >= moment]
        return {c: (sum(1 for x in got if x[1] == c and x[2] == 200), sum(1 for x in got if x[1] == c and x[3] == "overloaded")) for c in CLASSES}

    def stop(self):
        self.over = True
        for t in self.threads:
            t.join(10)


def standing_line(rig, queue_delay="40ms", **more):
    """One at a time, 30 ms each: whoever comes waits in line."""
    up = rig.upstream(reply(delay=.03))
    return rig.before(up, {"priority": {"header": "x-priority"}, "retry": "off", **more},
                      {"concurrency": {"limit": 1, "queue": 100, "queue_timeout": "10s", "discipline": "fifo"}},
                      overload={"queue_delay": queue_delay, "loop_lag": "0s"}, **TRUSTED)


def test_sheddable_first_then_default_critical_last(rig):
    proxy = standing_line(rig)
    assert not pressure(proxy)["under_pressure"]
    # five critical clients alone make a line of four: some 120 ms, thrice the limit
    crowd = Crowd(proxy, critical=5, sheddable=3)
    until(lambda: pressure(proxy)["under_pressure"], 5)
    time.sleep(1)
    begun = time.monotonic()
    time.sleep(1.5)
    seen = crowd.since(begun)
    assert seen["sheddable"][1] > 10 and seen["sheddable"][1] > seen["sheddable"][0], seen
    assert seen["critical"][0] > 10 and seen["critical"][1] == 0, seen
    # for these there is next to nothing left: they would wait for seconds, and are turned away too; but that they wait is no reason to
    # turn away critical ones, who are served before them
    more = Crowd(proxy, default=12)
    until(lambda: more.since(begun)["default"][1] > 10, 10)
    seen = crowd.since(begun)
    assert seen["critical"][1] == 0, seen
    state = pressure(proxy)
    assert state["cause"] == "queue_delay" and state["shedding"] == "default" and state["queue_delay_ms"] > 200
    crowd.stop()
    more.stop()
    until(lambda: not pressure(proxy)["under_pressure"], 10)
    assert proxy.ask("GET", "/", "x-priority: sheddable").status == 200
    waits = {x[4] for x in crowd.got + more.got if x[3] == "overloaded"}
    assert waits == {"1", "2", "3"}
    # one line per change, not per request
    told = events(proxy, "pressure")
    assert told and told[0]["cause"] == "queue_delay" and told[0]["upstream"] == "app" and float(told[0]["ratio"]) >= 1
    assert len(told) + len(events(proxy, "pressure_over")) < 20
    assert len(events(proxy, "pressure_over")) >= 1


def test_another_upstream_is_not_touched(rig):
    slow, quick = rig.upstream(reply(delay=.05)), rig.upstream(reply())
    proxy = rig.outrigger(
        upstreams={"slow": {"endpoints": [slow.url], "concurrency": {"limit": 1, "queue": 100, "queue_timeout": "10s", "discipline": "fifo"}},
                   "quick": {"endpoints": [quick.url]}},
        routes=[{"path": "/quick", "upstream": "quick", "priority": "sheddable"}, {"path": "/", "upstream": "slow"}],
        overload={"queue_delay": "5ms", "loop_lag": "0s"})
    crowd = Crowd(proxy, default=6)
    until(lambda: pressure(proxy)["shedding"] in ("default", "critical"), 5)
    assert all(proxy.ask("GET", "/quick").status == 200 for _ in range(20))
    crowd.stop()


def test_what_is_seen(rig):
    proxy = standing_line(rig, "5ms")
    m = metrics(proxy)
    assert m['outrigger_pressure_ratio{cause="queue_delay"}'] == 0 and m['outrigger_shed_share_ratio{class="sheddable"}'] == 0
    assert 0 < m['outrigger_pressure_ratio{cause="descriptors"}'] < 1
    assert "pressure " not in proxy.admin("GET", "/").body.decode()
    crowd = Crowd(proxy, critical=5)
    until(lambda: pressure(proxy)["shedding"] in ("default", "critical"), 5)
    m = scrape(proxy)
    assert m['outrigger_pressure_ratio{cause="queue_delay"}'] > 1 and m['outrigger_shed_share_ratio{class="sheddable"}'] == 1
    assert "pressure    queue_delay at " in proxy.admin("GET", "/").body.decode()
    assert proxy.ask("GET", "/", "x-priority: sheddable").json()["reason"] == "overloaded"
    until(lambda: scrape(proxy)['outrigger_proxy_responses_total{route="/",reason="overloaded"}'] >= 1)
    assert proxy.admin("GET", "/upstreams").json()[0]["queue_delay_ms"] > 5
    # probes and the admin listener are not asked for their priority
    assert proxy.probe("/livez").status == 200 and proxy.probe("/readyz").status == 200
    crowd.stop()


def test_dry_run_and_off(rig):
    up = rig.upstream(reply(delay=.03))
    line = {"concurrency": {"limit": 1, "queue": 100, "queue_timeout": "10s", "discipline": "fifo"}}
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url], **line}},
                          routes=[{"path": "/dry", "upstream": "app", "shed": {"dry_run": True}, "priority": "sheddable"},
                                  {"path": "/healthz", "upstream": "app", "shed": "off", "priority": "sheddable"},
                                  {"path": "/", "upstream": "app", "priority": "critical"}],
                          overload={"queue_delay": "5ms", "loop_lag": "0s"})
    crowd = Crowd(proxy, critical=4)
    until(lambda: pressure(proxy)["shedding"] in ("default", "critical"), 5)
    assert proxy.ask("GET", "/dry").status == 200 and proxy.ask("GET", "/healthz").status == 200
    until(lambda: scrape(proxy)['outrigger_dry_run_refusals_total{route="/dry",reason="overloaded"}'] == 1)
    assert metrics(proxy)['outrigger_proxy_responses_total{route="/dry",reason="overloaded"}'] == 0
    crowd.stop()


def test_who_drains_sheds_nobody(rig):
    proxy = standing_line(rig, "5ms")
    crowd = Crowd(proxy, critical=5)
    until(lambda: pressure(proxy)["under_pressure"], 5)
    assert proxy.admin("POST", "/drain").status == 200
    until(lambda: not pressure(proxy)["under_pressure"], 2)
    assert proxy.ask("GET", "/", "x-priority: sheddable").status == 200
    crowd.over = True
    proxy.admin("POST", "/undrain")
    crowd.stop()


def test_other_limits_by_a_reload(rig):
    proxy = standing_line(rig, "5ms")
    crowd = Crowd(proxy, critical=5)
    until(lambda: pressure(proxy)["under_pressure"], 5)
    proxy.file.write_text(proxy.text.replace("queue_delay: 5ms", "queue_delay: 1h"))
    assert proxy.admin("POST", "/reload").status == 200
    until(lambda: not pressure(proxy)["under_pressure"], 5)
    crowd.stop()


def descriptors(proxy, limit):
    """It may have so many."""
    _, hard = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (limit, hard))


def test_descriptors(rig):
    up = rig.upstream(reply())
    proxy = rig.before(up, {"priority": "sheddable"}, client={"keepalive_timeout": "20s"}, overload={"loop_lag": "0s"})
    idle = proxy.client()
    assert idle.ask().status == 200
    assert not pressure(proxy)["under_pressure"]
    descriptors(proxy, proxy.fds() + 3)
    held = [Client(("127.0.0.1", proxy.port)) for _ in range(2)]
    until(lambda: pressure(proxy)["cause"] == "descriptors" and pressure(proxy)["under_pressure"], 5)
    seen = [idle.ask() for _ in range(20)]
    assert {"overloaded"} == {x.json()["reason"] for x in seen if x.status == 503}
    # an idle client goes after a tenth of its time (2 s, and up to one more so that not all go at once), not after 20
    begun = time.monotonic()
    with pytest.raises(Closed):
        idle.read()
    assert 1 < time.monotonic() - begun < 6
    for c in held:
        c.close()
    descriptors(proxy, 512)
    until(lambda: not pressure(proxy)["under_pressure"], 5)
    assert proxy.ask().status == 200


def test_a_loop_that_lags(rig):
    up = rig.upstream(reply())
    proxy = rig.before(up, {"priority": {"header": "x-priority"}}, overload={"loop_lag": "1us"}, **TRUSTED)
    assert proxy.ask().status == 200
    crowd = Crowd(proxy, sheddable=4)              # no thread is woken within a microsecond
    until(lambda: pressure(proxy)["cause"] == "loop_lag" and pressure(proxy)["under_pressure"], 5)
    until(lambda: crowd.since(0)["sheddable"][1] > 0, 5)
    until(lambda: max(w["lag_ms"] for w in proxy.admin("GET", "/status.json").json()["workers"]) > 0, 5)
    crowd.stop()


def test_a_pause_is_no_overload(rig):
    """The machine was asleep, or the container frozen: what has waited is served. With the presets."""
    proxy = rig.before(rig.upstream(reply()), {"priority": {"header": "x-priority"}}, overload={}, **TRUSTED)
    crowd = Crowd(proxy, default=6, critical=2)
    time.sleep(.3)
    for _ in range(2):
        proxy.signal(signal.SIGSTOP)
        time.sleep(1)
        proxy.signal(signal.SIGCONT)
        time.sleep(1)
    crowd.stop()
    seen = crowd.since(0)
    # on a machine that is busy with other things the lag may go on a little behind the pause
    assert seen["default"][0] > 100 and seen["critical"][1] == 0 and seen["default"][1] <= seen["default"][0] // 100, seen


def test_under_pressure_nothing_is_retried(rig):
    up = rig.upstream(reply(status=503))
    proxy = rig.before(up, {"shed": "off", "retry": {"max_retries": 1, "retry_on": [503], "budget": "100%"}}, overload={"loop_lag": "0s"},
                       workers=1)              # so that there is a kept connection: there will be no descriptor for another
    assert proxy.ask().status == 503
    assert len(up.requests) == 2
    before = proxy.fds()
    descriptors(proxy, before + 1)
    until(lambda: pressure(proxy)["under_pressure"], 5)
    until(lambda: proxy.fds() <= before, 5)   # the one that is left is for us
    up.requests.clear()
    with proxy.client() as c:
        assert [c.ask("GET", "/").status for _ in range(3)] == [503] * 3
    assert len(up.requests) == 3
    descriptors(proxy, 512)


def test_at_rest_there_is_no_pressure(rig):
    """With the presets, and some work. How quickly this machine wakes a thread is its own business, but nobody is turned away for that."""
    proxy = rig.before(rig.upstream(reply()), overload={})
    for _ in range(50):
        assert proxy.ask().status == 200
    assert not [x for x in proxy.events() if x["event"] == "pressure" and x["cause"] != "loop_lag"]
