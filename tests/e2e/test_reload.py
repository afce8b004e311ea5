"""test_reload.py - another configuration while it runs: all of it or nothing, and nobody notices but those who look."""
import signal
import threading
import time

import yaml

from client import until
from proxy import BIN, run, sanitized
from test_admin import metrics, scrape
from upstream import reply


SANITIZED = sanitized()                                           # their memory tells nothing about ours


def rewrite(proxy, change):
    c = yaml.safe_load(proxy.file.read_text())
    change(c)
    new = proxy.file.with_suffix(".new")
    new.write_text(yaml.safe_dump(c, sort_keys=False))
    new.rename(proxy.file)


def reloads(proxy):
    return proxy.admin("GET", "/status.json").json()["config"]["reloads"]


def reload(proxy):
    before = reloads(proxy)
    r = proxy.admin("POST", "/reload")
    assert r.status == 200, r.body
    until(lambda: reloads(proxy) == before + 1, 8)
    return r.body.decode()


def test_what_changed_is_in_force_and_told(rig):
    one, two = rig.upstream(reply(b"one")), rig.upstream(reply(b"two"))
    proxy = rig.before(one)
    assert proxy.ask().body == b"one"

    def change(c):
        c["upstreams"]["other"] = {"endpoints": [two.url]}
        c["routes"] = [{"path": "/new", "upstream": "other"}, {"path": "/", "upstream": "app", "timeout": "3s"}]
    rewrite(proxy, change)
    assert proxy.ask("GET", "/new").body == b"one"                # not before it is told
    changes = reload(proxy)
    assert "+route /new" in changes and "~route /" in changes and "+upstream other" in changes and "upstream app" not in changes
    assert proxy.ask("GET", "/new").body == b"two"
    assert proxy.ask("GET", "/").body == b"one"
    rewrite(proxy, lambda c: c.update(routes=[{"path": "/", "upstream": "other"}]))
    assert "-route /new" in reload(proxy)
    assert proxy.ask("GET", "/").body == b"two"
    assert [r["name"] for r in proxy.admin("GET", "/routes").json()][0] == "/"
    m = metrics(proxy)
    assert m["outrigger_config_last_reload_successful"] == 1 and m['outrigger_config_reloads_total{result="ok"}'] == 2


def test_by_signal_and_by_command(rig):
    proxy = rig.before(rig.upstream())
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="7s"))
    proxy.signal(signal.SIGHUP)
    until(lambda: reloads(proxy) == 1, 5)
    assert "7s" in proxy.admin("GET", "/config.yaml").body.decode()
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="8s"))
    done = run("reload", "--admin", f"127.0.0.1:{proxy.admin_port}")
    assert done.returncode == 0 and "~route /" in done.stdout
    until(lambda: reloads(proxy) == 2, 5)


def test_a_file_that_is_refused_changes_nothing(rig):
    proxy = rig.before(rig.upstream())
    good = proxy.file.read_text()
    rewrite(proxy, lambda c: c["routes"][0].update(time_out="7s"))
    r = proxy.admin("POST", "/reload")
    assert r.status == 422 and b"unknown key 'time_out'" in r.body and b"did you mean 'timeout'" in r.body
    assert proxy.ask().status == 200
    done = run("reload", "--admin", f"127.0.0.1:{proxy.admin_port}")
    assert done.returncode == 1 and "time_out" in done.stderr
    assert metrics(proxy)["outrigger_config_last_reload_successful"] == 0
    assert "time_out" in proxy.admin("GET", "/status.json").json()["config"]["reload_error"]
    assert "refused" in proxy.probe("/readyz?verbose").body.decode() and proxy.probe("/readyz").status == 200
    assert '"event":"reload_refused"' in proxy.err
    proxy.file.write_text(good)
    reload(proxy)
    assert metrics(proxy)["outrigger_config_last_reload_successful"] == 1
    assert "refused" not in proxy.probe("/readyz?verbose").body.decode()


def test_what_is_read_at_start_only(rig):
    proxy = rig.before(rig.upstream())
    rewrite(proxy, lambda c: c.update(workers=7))
    r = proxy.admin("POST", "/reload")
    assert r.status == 422 and b"'workers' is read at start only" in r.body
    assert proxy.ask().status == 200


def test_policies_counters_and_requests_survive(rig):
    """An open breaker stays open, a bucket charged, counters grow on, and a request that runs ends under the rules it began with."""
    up = rig.upstream(reply(status=503))
    slow = rig.upstream(reply(b"slow", delay=1.5))
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url], "retry": "off", "circuit_breaker": {"open_for": "60s"}},
                                     "slow": {"endpoints": [slow.url]}},
                          routes=[{"path": "/slow", "upstream": "slow", "timeout": "5s"},
                                  {"path": "/limited", "upstream": "slow", "rate_limit": {"rate": "1/h", "key": "route"}},
                                  {"path": "/", "upstream": "app"}])
    for _ in range(6):
        proxy.ask()
    assert proxy.ask().json()["reason"] == "circuit_open"
    assert proxy.ask("GET", "/limited").status == 200
    until(lambda: scrape(proxy).get('outrigger_http_requests_total{route="/",method="GET",code="503"}') == 7, 3)
    c = proxy.client()
    c.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n")
    until(lambda: len(slow.requests) == 2, 5)

    def change(conf):
        conf["routes"][0]["timeout"] = "100ms"
        conf["routes"].insert(0, {"path": "/more", "respond": {"status": 204}})
    rewrite(proxy, change)
    reload(proxy)
    assert proxy.ask("GET", "/more").status == 204
    assert c.read().body == b"slow"                               # it began with five seconds
    c.close()
    assert proxy.ask().json()["reason"] == "circuit_open"
    assert proxy.ask("GET", "/limited").status == 429
    assert proxy.ask("GET", "/slow").status == 504
    until(lambda: scrape(proxy)['outrigger_http_requests_total{route="/",method="GET",code="503"}'] == 8, 3)
    assert len(up.requests) == 5


def test_twenty_reloads_under_load(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    stop, bad, count = threading.Event(), [], [0]

    def load():
        try:
            with proxy.client() as c:
                while not stop.is_set():
                    r = c.ask("GET", "/x")
                    count[0] += 1
                    if r.status != 200:
                        bad.append(r.status)
        except Exception as e:
            bad.append(repr(e))
    threads = [threading.Thread(target=load) for _ in range(64)]
    for t in threads:
        t.start()
    time.sleep(.3)
    baseline = None
    for i in range(20):
        rewrite(proxy, lambda c: c.update(routes=[{"path": f"/{i}-{k}", "upstream": "app"} for k in range(i % 5)] + [{"path": "/", "upstream": "app"}]))
        reload(proxy)
        if i == 5:
            baseline = proxy.rss()
    stop.set()
    for t in threads:
        t.join()
    assert not bad, bad[:5]
    assert count[0] > 500
    if not SANITIZED:                                             # their memory tells nothing about ours
        assert proxy.rss() < baseline + (2 << 20)
    names = {r["name"] for r in proxy.admin("GET", "/routes").json()}
    assert names == {"/19-0", "/19-1", "/19-2", "/19-3", "/", "none"}


def test_watch_a_file_and_a_folder_that_is_swapped(rig):
    proxy = rig.before(rig.upstream(), words=("--watch",))
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="7s"))
    until(lambda: reloads(proxy) == 1, 8)
    proxy.file.write_text(proxy.file.read_text())                 # the same bytes: nothing happens
    time.sleep(1)
    assert reloads(proxy) == 1
    # as kubelet does it: the file is a link into a folder that is replaced by renaming another link
    first, second = proxy.tmp / "..1", proxy.tmp / "..2"
    first.mkdir(), second.mkdir()
    (first / "o.yaml").write_text(proxy.file.read_text())
    (second / "o.yaml").write_text(proxy.file.read_text().replace("7s", "9s"))
    (proxy.tmp / "..data").symlink_to(first)
    proxy.file.unlink()
    proxy.file.symlink_to("..data/o.yaml")
    time.sleep(1)
    (proxy.tmp / "..next").symlink_to(second)
    (proxy.tmp / "..next").rename(proxy.tmp / "..data")
    until(lambda: reloads(proxy) == 2, 8)
    assert "9s" in proxy.admin("GET", "/config.yaml").body.decode()
    proxy.file.unlink()
    proxy.file.write_text("listen: [")
    until(lambda: "reload_error" in proxy.admin("GET", "/status.json").json()["config"], 8)
    assert proxy.ask().status == 200


def test_nothing_to_read_again():
    assert run("run", "--listen", "127.0.0.1:1", "--to", "http://127.0.0.1:2", "--watch").returncode == 64
