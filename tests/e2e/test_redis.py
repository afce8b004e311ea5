"""test_redis.py - limits that several instances share, with a real redis-server: exact together, alone when it is gone, together again."""
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from client import request, until
from ports import free_port
from proxy import run, sanitized
from test_admin import scrape
from test_reload import reload, rewrite

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")


class Redis:
    def __init__(self, tmp, *more, port=None):
        self.port, self.tmp, self.more = port or free_port(), tmp, more
        self.start()

    def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                                         "--dir", str(self.tmp), *self.more], stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(.02)
        raise AssertionError("redis-server does not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def ask(self, *words):
        with socket.create_connection(("127.0.0.1", self.port), 5) as s:
            s.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (x.encode() for x in words)))
            return s.recv(65536)


@pytest.fixture
def redis(tmp_path):
    r = Redis(tmp_path)
    yield r
    r.process.send_signal(signal.SIGCONT)
    r.kill()


def limited(rig, port, app, limit, timeout="200ms", **more):
    return rig.outrigger(redis={"main": {"url": f"redis://127.0.0.1:{port}/3", "timeout": timeout}},
                         upstreams={"app": {"endpoints": [app.url]}},
                         routes=[{"name": "api", "path": "/", "upstream": "app", "rate_limit": limit}], **more)


def up(proxy):
    return scrape(proxy)['outrigger_store_up{store="main"}'] == 1


def degraded(proxy):
    return scrape(proxy)['outrigger_rate_limit_degraded{route="api",limit="limit"}'] == 1


def instances(proxy):
    return scrape(proxy)['outrigger_store_instances{store="main"}']


def statuses(proxy, n):
    with proxy.client() as c:
        return [c.ask("GET", "/").status for _ in range(n)]


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window"])
def test_two_instances_share_one_limit(rig, redis, algorithm):
    app = rig.upstream()
    limit = {"rate": "20/m", "key": "route", "store": "main", "algorithm": algorithm}
    one, two = limited(rig, redis.port, app, limit), limited(rig, redis.port, app, limit)
    until(lambda: up(one) and up(two), 8)
    got = statuses(one, 13) + statuses(two, 13)
    assert got.count(200) in (20, 21) and got.count(429) == 26 - got.count(200)
    last = one.ask("GET", "/")
    assert last.status == 429 and int(last.fields.get("retry-after")) >= 1
    assert last.fields.get("ratelimit").startswith('"limit";r=0;t=') and last.fields.get("ratelimit-policy") == '"limit";q=20;w=60'
    assert one.access_log(1, status=429)[0]["reason"] == "rate_limited"
    keys = redis.ask("KEYS", "*")
    assert b"outrigger:instances" in keys or redis.ask("EXISTS", "outrigger:instances")


def test_keys_are_apart_and_forgotten(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, {"rate": "2/s", "burst": 1, "key": "header:x-user", "store": "main"})
    until(lambda: up(proxy), 8)
    assert [proxy.ask("GET", "/", f"x-user: {u}").status for u in ("ann", "bob", "ann")] == [200, 200, 429]
    time.sleep(1.2)
    with socket.create_connection(("127.0.0.1", redis.port)) as s:
        s.sendall(b"SELECT 3\r\nKEYS outrigger:rate*\r\n")
        time.sleep(.2)
        assert b"*0\r\n" in s.recv(65536)                    # their time is over


def test_all_or_none_across_store_and_memory(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, [{"rate": "2/h", "key": "header:x-user", "store": "main", "name": "each"},
                                            {"rate": "3/h", "key": "route", "store": "main", "name": "all"},
                                            {"rate": "100/h", "key": "route", "name": "here"}])
    until(lambda: up(proxy), 8)
    assert [proxy.ask("GET", "/", "x-user: ann").status for _ in range(5)] == [200, 200, 429, 429, 429]
    assert [proxy.ask("GET", "/", "x-user: bob").status for _ in range(2)] == [200, 429]      # refused by ann's and bob's: only three in all
    state = proxy.admin("GET", "/status.json").json()
    assert state


def test_killed_and_back(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, {"rate": "100/s", "key": "route", "store": "main"}, timeout="50ms")
    until(lambda: up(proxy), 8)
    got, stop = [], threading.Event()

    def load():
        with proxy.client() as c:
            while not stop.is_set():
                got.append(c.ask("GET", "/").status)
                time.sleep(.002)

    threads = [threading.Thread(target=load) for _ in range(3)]
    for t in threads:
        t.start()
    try:
        time.sleep(.5)
        redis.kill()
        until(lambda: degraded(proxy), 8)
        time.sleep(.5)
        redis.start()
        began = time.monotonic()
        until(lambda: not degraded(proxy), 12)
        assert time.monotonic() - began < (12 if sanitized() else 5.5)
    finally:
        stop.set()
        for t in threads:
            t.join()
    assert set(got) <= {200, 429} and 200 in got
    events = [line["event"] for line in proxy.events()]
    assert events.count("rate_limit_degraded") == 1 and events.count("rate_limit_shared") == 1
    assert "store_down" in events and "store_up" in events


def test_alone_it_is_exact_and_quick(rig, tmp_path):
    app = rig.upstream()
    proxy = limited(rig, free_port(), app, {"rate": "10/m", "key": "route", "store": "main"})        # nobody listens there
    began = time.monotonic()
    got = statuses(proxy, 30)
    assert got.count(200) == 10 and got.count(429) == 20
    if not sanitized():
        assert time.monotonic() - began < 1
    assert degraded(proxy)
    assert "not connected" in run("status", "--admin", f"127.0.0.1:{proxy.admin_port}").stdout


def test_a_black_hole_is_paid_for_three_times(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, {"rate": "1000/s", "key": "route", "store": "main"}, timeout="100ms")
    until(lambda: up(proxy), 8)
    redis.process.send_signal(signal.SIGSTOP)
    times = []
    for _ in range(30):
        began = time.monotonic()
        assert proxy.ask("GET", "/").status == 200
        times.append(time.monotonic() - began)
    assert sum(t > .08 for t in times) <= 3 * max(1, proxy.workers)
    assert degraded(proxy)
    redis.process.send_signal(signal.SIGCONT)

    def shared_again():
        proxy.ask("GET", "/")
        return not degraded(proxy)
    until(shared_again, 12)


def test_two_alone_take_half_each(rig, redis):
    app = rig.upstream()
    limit = {"rate": "20/m", "key": "route", "store": "main"}
    one, two = limited(rig, redis.port, app, limit), limited(rig, redis.port, app, limit)
    until(lambda: up(one) and up(two) and instances(one) == 2 and instances(two) == 2, 12)
    redis.kill()
    until(lambda: not up(one) and not up(two), 8)
    assert statuses(one, 20).count(200) == 10 and statuses(two, 20).count(200) == 10


def test_scripts_flushed_and_a_refusing_server(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, {"rate": "5/h", "key": "route", "store": "main"})
    until(lambda: up(proxy), 8)
    assert statuses(proxy, 2) == [200, 200]
    redis.ask("SCRIPT", "FLUSH")
    assert statuses(proxy, 4) == [200, 200, 200, 429]             # loaded again, nothing forgotten
    assert not degraded(proxy)


def test_password(rig, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("open sesame\n")
    redis = Redis(tmp_path, "--requirepass", "open sesame")
    try:
        app = rig.upstream()
        proxy = rig.outrigger(redis={"main": {"url": f"redis://default@127.0.0.1:{redis.port}", "password_file": str(secret), "timeout": "200ms"}},
                              upstreams={"app": {"endpoints": [app.url]}},
                              routes=[{"name": "api", "path": "/", "upstream": "app", "rate_limit": {"rate": "5/h", "key": "route", "store": "main"}}])
        until(lambda: up(proxy), 8)
        assert "sesame" not in proxy.admin("GET", "/config.yaml").body.decode()
        without = limited(rig, redis.port, app, {"rate": "5/h", "key": "route", "store": "main"})
        assert without.ask("GET", "/").status == 200
        until(lambda: any(e["event"] == "store_down" and "NOAUTH" in e.get("detail", "") for e in without.events()), 8)
    finally:
        redis.kill()


def test_reload_keeps_the_connection(rig, redis):
    app = rig.upstream()
    proxy = limited(rig, redis.port, app, {"rate": "5/h", "key": "route", "store": "main"})
    until(lambda: up(proxy), 8)
    before = redis.ask("INFO", "stats").split(b"total_connections_received:")[1].split(b"\r")[0]
    assert statuses(proxy, 3) == [200] * 3
    proxy.file.write_text(proxy.file.read_text().replace("5/h", "4/h"))
    assert proxy.admin("POST", "/reload").status == 200
    until(lambda: "4/h" in proxy.admin("GET", "/config.yaml").body.decode(), 8)
    assert statuses(proxy, 3).count(200) in (0, 1)
    after = redis.ask("INFO", "stats").split(b"total_connections_received:")[1].split(b"\r")[0]
    assert int(after) - int(before) == 1                          # the one that asks


def test_a_limit_goes_while_a_request_is_at_it(rig, redis):
    """What it was charged with in memory is given back when the store does not answer, also when a reload has taken that limit away meanwhile."""
    limits = [{"rate": "5/h", "key": "route", "store": "main", "on_store_error": "deny"}, {"rate": "7/h", "key": "route"}]
    proxy = limited(rig, redis.port, rig.upstream(), limits, timeout="1s", supervisor="off")
    until(lambda: up(proxy), 8)
    assert statuses(proxy, 2) == [200] * 2
    redis.process.send_signal(signal.SIGSTOP)
    with proxy.client() as c:
        c.send(request())
        until(lambda: scrape(proxy)['outrigger_http_requests_in_flight{route="api"}'] == 1)
        rewrite(proxy, lambda conf: conf["routes"][0].update(rate_limit=limits[:1]))
        reload(proxy)
        assert c.read().status == 429


@pytest.mark.parametrize("redis_conf, limit, words", [
    ({"main": {"url": "http://x"}}, {"rate": "1/s", "store": "main"}, "is not the URL of a Redis"),
    ({"main": {"url": "rediss://x"}}, {"rate": "1/s", "store": "main"}, "TLS to Redis"),
    ({"main": {"url": "redis://u:p@x"}}, {"rate": "1/s", "store": "main"}, "password_file"),
    ({"main": {"url": "redis://x/one"}}, {"rate": "1/s", "store": "main"}, "number of a database"),
    ({"main": {}}, {"rate": "1/s", "store": "main"}, "url"),
    ({"main": {"url": "redis://x"}}, {"rate": "1/s", "store": "mian"}, "did you mean 'main'?"),
    ({"a b": {"url": "redis://x"}}, {"rate": "1/s", "store": "memory"}, "cannot be a name"),
])
def test_refused(tmp_path, redis_conf, limit, words):
    import yaml
    file = tmp_path / "o.yaml"
    file.write_text(yaml.safe_dump({"listen": ":0", "redis": redis_conf, "routes": [{"path": "/", "upstream": "http://127.0.0.1:1", "rate_limit": limit}]}))
    done = run("check", "-c", file)
    assert done.returncode == 78 and words in done.stderr + done.stdout, done.stderr + done.stdout
