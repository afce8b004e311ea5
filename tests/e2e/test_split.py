"""test_split.py - canaries in the real binary: who gets which version, what guard and operator do, what is seen of it."""
import json
import threading
import time

import pytest

from client import until
from proxy import run
from test_admin import metrics, scrape
from test_reload import reload, rewrite
from upstream import reply


def canary(rig, shares=(90, 10), v1=None, v2=None, upstream=None, **route):
    """(v1, v2, proxy): a route "/" named shop, split by x-user."""
    ups = [rig.upstream(v1 or reply(b"v1")), rig.upstream(v2 or reply(b"v2"))]
    more = {"v2": upstream or {}}
    names = [f"v{i + 1}" for i in range(2)]
    proxy = rig.outrigger(
        upstreams={n: {"endpoints": [u.url], "retry": "off", **more.get(n, {})} for n, u in zip(names, ups)},
        routes=[{"name": "shop", "path": "/", "upstream": {n: f"{s}%" for n, s in zip(names, shares)},
                 "split": {"key": "header:x-user", "override_header": "x-canary"}, **route}])
    return (*ups, proxy)


def who(proxy, user):
    return proxy.ask("GET", "/", f"X-User: {user}").body.decode()


def users_of(proxy, version, count, start=0):
    found = []
    for n in range(start, start + 2000):
        if len(found) == count:
            return found
        if who(proxy, f"u{n}") == version:
            found.append(f"u{n}")
    raise AssertionError(f"{len(found)} of {count} users of {version}")


def test_shares_and_stickiness(rig):
    up1, up2, proxy = canary(rig, (80, 20))
    with proxy.client() as c:
        first = {u: c.ask("GET", "/", f"X-User: {u}").body for u in (f"u{n}" for n in range(500))}
        again = {u: c.ask("GET", "/", f"X-User: {u}").body for u in first}
    assert first == again
    got = sum(1 for v in first.values() if v == b"v2")
    assert 70 <= got <= 130                                   # 100 are its share
    assert len(up2.requests) == 2 * got and len(up1.requests) == 2 * (500 - got)
    until(lambda: scrape(proxy)['outrigger_split_requests_total{route="shop",upstream="v2"}'] == 2 * got)
    m = metrics(proxy)
    assert m['outrigger_split_requests_total{route="shop",upstream="v1"}'] == 2 * (500 - got)
    assert m['outrigger_upstream_requests_total{upstream="v2",code="200"}'] == 2 * got
    assert m['outrigger_http_requests_total{route="shop",method="GET",code="200"}'] == 1000


def test_a_share_that_grows_keeps_its_users(rig):
    _, _, proxy = canary(rig, (95, 5))
    all_users = [f"u{n}" for n in range(200)]
    before = {u for u in all_users if who(proxy, u) == "v2"}
    rewrite(proxy, lambda c: c["routes"][0].update(upstream={"v1": "80%", "v2": "20%"}))
    assert "~route shop" in reload(proxy)
    after = {u for u in all_users if who(proxy, u) == "v2"}
    assert before and before < after
    rewrite(proxy, lambda c: c["routes"][0].update(upstream={"v2": "100%"}))
    reload(proxy)
    assert all(who(proxy, u) == "v2" for u in all_users[:20])


def test_the_log_names_the_upstream_really_used(rig):
    _, up2, proxy = canary(rig)
    assert proxy.ask("GET", "/a", "X-Canary: v2").body == b"v2"
    assert proxy.ask("GET", "/b", "X-Canary: v1").body == b"v1"
    (a,), (b,) = proxy.access_log(1, path="/a"), proxy.access_log(1, path="/b")
    assert (a["upstream"], a["endpoint"], a["route"]) == ("v2", up2.name, "shop")
    assert b["upstream"] == "v1"


def test_a_canary_that_is_down_costs_nobody_anything(rig):
    _, up2, proxy = canary(rig, upstream={"circuit_breaker": {"consecutive_failures": 1, "open_for": "30s"}})
    user = users_of(proxy, "v2", 1)[0]
    up2.stop()
    assert proxy.ask("GET", "/", f"X-User: {user}").status in (200, 502)         # the first one finds out
    r = proxy.ask("POST", "/", f"X-User: {user}", body=b"x" * 20000)
    assert (r.status, r.body) == (200, b"v1")
    r = proxy.ask("GET", "/", f"X-User: {user}", "X-Canary: v2")
    assert r.status == 503 and r.json()["reason"] == "circuit_open"
    until(lambda: scrape(proxy)['outrigger_split_diverted_total{route="shop",upstream="v2",cause="unavailable"}'] >= 1)


def split_of(proxy):
    state = proxy.admin("GET", "/routes").json()[0]["split"]["versions"]
    return {v["upstream"]: v for v in state}


GUARD = {"compare": "v1", "window": "1m", "min_requests": 10, "max_error_delta": "10%", "action": "rollback"}


def test_guard_takes_the_share_back(rig):
    _, up2, proxy = canary(rig, (50, 50), guard=GUARD)
    mine, stable = users_of(proxy, "v2", 3), users_of(proxy, "v1", 3)
    for _ in range(12):
        who(proxy, stable[0])
    up2.default = reply(b"broken", 500)
    answers = []
    for n in range(40):
        answers.append(proxy.ask("GET", "/", f"X-User: {mine[n % 3]}").status)
    assert answers[0] == 500 and answers[-1] == 200
    first_good = answers.index(200)
    assert all(a == 200 for a in answers[first_good:])        # latched
    until(lambda: '"event":"guard"' in proxy.err)
    (line,) = [json.loads(x) for x in proxy.err.splitlines() if '"event":"guard"' in x]
    assert (line["route"], line["upstream"], line["compare"], line["cause"], line["action"]) == ("shop", "v2", "v1", "errors", "rollback")
    assert line["requests"] >= 10 and line["errors"] >= 2 and line["compare_requests"] >= 10 and line["compare_errors"] == 0
    s = split_of(proxy)
    assert s["v2"]["taken_back"] is True and s["v2"]["cause"] == "errors" and s["v2"]["then"]["errors"] == line["errors"]
    assert s["v1"]["taken_back"] is False
    assert metrics(proxy)['outrigger_split_taken_back{route="shop",upstream="v2"}'] == 1
    assert "taken back: errors" in run("status", "--admin", f"127.0.0.1:{proxy.admin_port}").stdout
    up2.default = reply(b"v2")
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="7s"))
    reload(proxy)
    assert who(proxy, mine[0]) == "v1"                        # kept over a reload
    assert proxy.ask("GET", "/", "X-Canary: v2").body == b"v2"
    assert proxy.admin("GET", "/routes/shop/split?state=reset").status == 405
    assert proxy.admin("POST", "/routes/shop/split?state=reset").status == 200
    assert who(proxy, mine[0]) == "v2"
    assert metrics(proxy)['outrigger_split_taken_back{route="shop",upstream="v2"}'] == 0


def test_an_operators_word(rig):
    _, _, proxy = canary(rig, (50, 50))
    user = users_of(proxy, "v2", 1)[0]
    assert proxy.admin("POST", "/routes/shop/split?state=rollback").status == 200
    assert who(proxy, user) == "v1"
    assert proxy.admin("POST", "/routes/shop/split?state=sideways").status == 400
    assert proxy.admin("POST", "/routes/nothing/split?state=reset").status == 404
    assert proxy.admin("POST", "/routes/shop/split?state=reset").status == 200
    assert who(proxy, user) == "v2"


def test_versions_of_a_crowd_are_not_mixed(rig):
    """coalesce: equal requests share an answer only with those of their own version."""
    up1, up2, proxy = canary(rig, (50, 50), v1=reply(b"v1", delay=.3), v2=reply(b"v2", delay=.3), coalesce={})
    clients = []
    for n in range(20):
        c = proxy.client()
        c.send(f"GET /x HTTP/1.1\r\nHost: h\r\nX-Canary: v{n % 2 + 1}\r\n\r\n".encode())
        clients.append((f"v{n % 2 + 1}".encode(), c))
    for version, c in clients:
        assert c.read().body == version
        c.close()
    assert len(up1.requests) == 1 and len(up2.requests) == 1


def test_everything_changes_under_load(rig):
    """Shares, an operator's word, a breaker that opens, a mirror: nobody sees a failure, and all is counted once."""
    up1, up2, proxy = canary(rig, (70, 30), upstream={"circuit_breaker": {"consecutive_failures": 2, "open_for": "100ms", "half_open_requests": 1},
                                                      "retry": {"max_retries": 3, "retry_on": ["503"], "backoff": {"base": "0ms"}, "budget": "100%"}},
                             mirror={"upstream": "v1", "methods": ["GET"], "share": "20%"})
    stop, asked, bad = time.monotonic() + 4, [], []

    def ask(n):
        count = 0
        try:
            with proxy.client() as c:
                while time.monotonic() < stop:
                    r = c.ask("GET", f"/{n}", f"X-User: u{(n * 7919 + count) % 300}")
                    count += 1
                    if r.status != 200:
                        bad.append((r.status, r.body))
        except Exception as e:
            bad.append(repr(e))
        asked.append(count)
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for t in threads:
        t.start()
    turn = 0
    while time.monotonic() < stop - .8:
        turn += 1
        if turn % 3 == 0:
            share = 10 * (turn % 7) + 10
            rewrite(proxy, lambda c, share=share: c["routes"][0].update(upstream={"v1": f"{100 - share}%", "v2": f"{share}%"}))
            reload(proxy)
        elif turn % 3 == 1:
            up2.default = reply(b"", 503) if turn % 2 else reply(b"v2")
        else:
            proxy.admin("POST", f"/routes/shop/split?state={'rollback' if turn % 2 else 'reset'}")
        time.sleep(.1)
    for t in threads:
        t.join()
    assert {b for b in bad if b != (503, b"")} == set(), bad[:3]                  # a canary's own 503 is its answer
    assert min(asked) > 10
    until(lambda: sum(v for k, v in scrape(proxy).items() if k.startswith("outrigger_split_requests_total{")) == sum(asked))
    until(lambda: scrape(proxy)['outrigger_mirror_in_flight{route="shop"}'] == 0)
    m = metrics(proxy)
    assert m['outrigger_http_requests_in_flight{route="shop"}'] == 0
    assert m['outrigger_mirrored_requests_total{route="shop",result="answered"}'] > 0


FILE = "listen: 127.0.0.1:1\nupstreams:\n  v1: {endpoints: http://127.0.0.1:2}\n  v2: {endpoints: http://127.0.0.1:3}\nroutes:\n  - path: /\n    %s\n"


@pytest.mark.parametrize("text,place,words", [
    ("upstream: {v1: 95%, v2: 4%}", "7:5", "make 99%, not 100%"),
    ("upstream: {v1: 95%, v3: 5%}", "7:25", "unknown upstream 'v3'"),
    ("upstream: {v1: 95, v2: 5%}", "7:20", "needs a unit"),
    ("upstream: v1\n    split: {key: client_ip}", "8:5", "needs several upstreams"),
    ("upstream: v1\n    guard: {}", "8:5", "needs several upstreams"),
    ("upstream: {v1: 95%, v2: 5%}\n    guard: {compare: v3}", "8:22", "is none of this route's upstreams"),
    ("upstream: {v1: 95%, v2: 5%}\n    guard: {max_p95_ratio: 0.5}", "8:28", "must be a number from 1 to 1000"),
    ("upstream: {v1: 95%, v2: 5%}\n    split: {key: route}", "8:18", "same way"),
    ("upstream: v1\n    mirror: shadow", "8:13", "unknown upstream 'shadow'"),
    ("upstream: v1\n    mirror: {share: 5%}", "8:5", "'mirror' needs 'upstream'"),
])
def test_settings_that_are_refused(tmp_path, text, place, words):
    file = tmp_path / "o.yaml"
    file.write_text(FILE % text)
    r = run("check", "-c", str(file))
    assert r.returncode == 78 and f"{file.name}:{place}:" in r.stderr and words in r.stderr, r.stderr
