"""test_flags.py - feature flags: where they come from, what a request sees of them, and that nothing bad ever takes the good ones away."""
import json
import re
import signal
import threading

import pytest
import yaml

from client import until
from proxy import run
from test_admin import metrics
from test_reload import reload, rewrite
from upstream import head, reply

INTERVAL = {"interval": "1s"}


class Flags:
    """A file that is replaced whole, as an editor or a ConfigMap does."""

    def __init__(self, rig, flags):
        self.path = rig.tmp / "flags.json"
        self.place = f"file:{self.path}"
        self.text(json.dumps({"flags": flags}))

    def text(self, text):
        new = self.path.with_suffix(".new")
        new.write_text(text)
        new.rename(self.path)

    def set(self, flags):
        self.text(json.dumps({"flags": flags}))


class Place:
    """The same from a server that knows ETags."""

    def __init__(self, rig, flags):
        self.up = rig.upstream(self.answer)
        self.set(flags)
        self.status, self.given = 200, []

    @property
    def place(self):
        return f"{self.up.url}/flags.json"

    def text(self, text):
        self.body, self.tag = text.encode(), f'"{hash(text) & 0xffff}"'

    def set(self, flags):
        self.text(json.dumps({"flags": flags}))

    def answer(self, call, q):
        call.body(q)
        same = q.fields.get("if-none-match") == self.tag
        status = self.status if self.status != 200 else 304 if same else 200
        self.given.append(status)
        body = self.body if status == 200 else b""
        call.send(head(status, f"ETag: {self.tag}", *([] if status == 304 else [f"Content-Length: {len(body)}"])) + body)


def asks(proxy, *fields, path="/"):
    return proxy.ask("GET", path, *fields).body.decode()


def in_flags(proxy):
    return proxy.admin("GET", "/flags").json()


def two_ways(rig, source, flag="new", **more):
    """Behind the flag stands `new`, without it `old`."""
    rig.new, rig.old = rig.upstream(reply("new")), rig.upstream(reply("old"))
    return rig.outrigger(flags={"from": source.place, **INTERVAL, **more}, upstreams={"new": {"endpoints": [rig.new.url]}, "old": {"endpoints": [rig.old.url]}},
                         routes=[{"path": "/", "name": "new", "upstream": "new", "flag": flag}, {"path": "/", "name": "old", "upstream": "old"}])


# ── where they come from ──

@pytest.mark.parametrize("kind", [Flags, Place])
def test_a_flag_switches_a_route(rig, kind):
    source = kind(rig, {"new": True})
    proxy = two_ways(rig, source)
    assert asks(proxy) == "new"                                    # from the first request on
    source.set({"new": False})
    until(lambda: asks(proxy) == "old", 8)
    source.set({"new": {"enabled": True, "owner": "team search"}, "other": True})
    until(lambda: asks(proxy) == "new", 8)
    seen = in_flags(proxy)
    assert seen["from"] == source.place and seen["loaded"] and seen["flags"] == 2 and seen["changed"] == 3 and seen["error"] == ""
    assert seen["document"]["flags"]["new"] == {"enabled": True, "owner": "team search"}           # what is not known is kept as it is
    changes = [e["changes"] for e in proxy.events() if e["event"] == "flags"]
    assert changes == ["+new", "~new", "~new, +other"] or changes == ["+new", "~new", "+other, ~new"]
    assert proxy.admin("GET", "/status.json").json()["flags"]["flags"] == 2
    assert re.search(r"^flags       2 from flags.json, \d+s old$", proxy.admin("GET", "/").body.decode(), re.M)
    assert 0 <= metrics(proxy)["outrigger_flags_age_seconds"] < 5


def test_an_unchanged_url_costs_a_304(rig):
    source = Place(rig, {"new": True})
    proxy = two_ways(rig, source)
    until(lambda: source.given.count(304) >= 2, 8)
    assert source.given.count(200) == 1 and in_flags(proxy)["unchanged"] >= 2 and in_flags(proxy)["changed"] == 1
    assert len([e for e in proxy.events() if e["event"] == "flags"]) == 1
    source.set({"new": False})
    until(lambda: asks(proxy) == "old", 8)
    assert source.given.count(200) == 2


BAD = ["", "{", "[]", "{}", '{"flags": []}', '{"flags": {"new": 1}}', '{"flags": {"new": "on"}}', '{"flags": {"new": {"enabled": "yes"}}}',
       '{"flags": {"new": {"share": 10}}}', '{"flags": {"new": {"share": "101%"}}}', '{"flags": {"new": {"share": "10"}}}', '{"flags": {"new": {"key": "jwt:sub"}}}',
       '{"flags": {"new": {"variants": {"a": "50%", "b": "40%"}}}}', '{"flags": {"new": {"variants": {"a b": "100%"}}}}', '{"flags": {"new": true, "new": false}}']


@pytest.mark.parametrize("kind", [Flags, Place])
def test_a_bad_document_changes_nothing(rig, kind):
    source = kind(rig, {"new": True})
    proxy = two_ways(rig, source)
    for bad in BAD if kind is Flags else BAD[1:4]:
        before = in_flags(proxy)["failed"]
        source.text(bad)
        until(lambda: in_flags(proxy)["failed"] > before, 10)
        assert asks(proxy) == "new", bad
        assert in_flags(proxy)["error"] and in_flags(proxy)["document"] == {"flags": {"new": True}}, bad
    told = [e for e in proxy.events() if e["event"] == "flags_failed"]
    assert told and all(e["level"] == "warn" and e["error"] for e in told)
    source.set({"new": False})
    until(lambda: asks(proxy) == "old", 10)
    assert in_flags(proxy)["error"] == ""


def test_a_place_that_is_gone_changes_nothing(rig):
    source = Place(rig, {"new": True})
    proxy = two_ways(rig, source)
    source.status = 500
    until(lambda: in_flags(proxy)["failed"] >= 2, 10)
    assert asks(proxy) == "new" and in_flags(proxy)["error"] == "status 500"
    assert metrics(proxy)["outrigger_flags_age_seconds"] > 0.5
    assert len([e for e in proxy.events() if e["event"] == "flags_failed"]) == 1      # told once
    source.status = 200
    until(lambda: in_flags(proxy)["error"] == "", 10)
    assert metrics(proxy)["outrigger_flags_age_seconds"] < 5


def test_a_file_that_comes_later(rig):
    """Until then all flags are off, and nobody waits for it."""
    source = Flags(rig, {})
    source.path.unlink()
    proxy = two_ways(rig, source)
    assert asks(proxy) == "old" and not in_flags(proxy)["loaded"] and "No such file" in in_flags(proxy)["error"]
    assert not [e for e in proxy.events() if e["event"] == "flag_unknown"]
    source.set({"new": True})
    until(lambda: asks(proxy) == "new", 8)
    source.path.unlink()
    until(lambda: "No such file" in in_flags(proxy)["error"], 8)
    assert asks(proxy) == "new"


def test_a_name_that_nobody_gives_is_told(rig):
    source = Flags(rig, {"other": True})
    proxy = two_ways(rig, source, flag="new=blue")
    assert asks(proxy) == "old"
    assert [(e["flag"], e["variant"]) for e in proxy.events() if e["event"] == "flag_unknown"] == [("new", "blue")]


# ── who is in ──

def test_shares_grow_and_stay(rig):
    source = Flags(rig, {"new": {"share": "0%", "key": "header:x-user"}})
    proxy = two_ways(rig, source)
    users = [f"user-{i}" for i in range(200)]

    def who():
        with proxy.client() as c:
            return {u for u in users if c.ask("GET", "/", f"x-user: {u}").body == b"new"}
    assert who() == set()
    before = set()
    for share in 10, 50, 100:
        source.set({"new": {"share": f"{share}%", "key": "header:x-user"}})
        until(lambda: in_flags(proxy)["document"]["flags"]["new"]["share"] == f"{share}%", 8)
        now = who()
        assert before <= now and abs(len(now) - 2 * share) <= 25, (share, len(now))
        assert now == who()
        before = now
    assert len(before) == 200
    source.set({"new": {"share": "99.9%", "key": "header:x-user"}})
    until(lambda: asks(proxy) == "old", 8)                        # without the key: in at 100% only


def test_shares_by_cookie_and_address(rig):
    proxy = two_ways(rig, Flags(rig, {"new": {"share": "50%", "key": "cookie:who"}}))
    ways = [asks(proxy, f"Cookie: a=1; who=u{i}; z=2") for i in range(40)]
    assert {"new", "old"} == set(ways)
    assert asks(proxy, "Cookie: who=u7") == ways[7] == asks(proxy, "Cookie: b=2; who=u7")


def test_variants(rig):
    source = Flags(rig, {"colour": {"key": "header:x-user", "variants": {"blue": "50%", "green": "50%"}}})
    up = {c: rig.upstream(reply(c)) for c in ("blue", "green", "none")}
    proxy = rig.outrigger(flags={"from": source.place, "forward": ["colour", "off", "plain", "unknown"]},
                          upstreams={c: {"endpoints": [u.url]} for c, u in up.items()},
                          routes=[{"path": "/", "name": c, "upstream": c, "flag": f"colour={c}"} for c in ("blue", "green")] + [{"path": "/", "upstream": "none"}])
    ways = {u: asks(proxy, f"x-user: {u}") for u in map(str, range(60))}
    assert set(ways.values()) == {"blue", "green"} and 12 < list(ways.values()).count("blue") < 48
    source.set({"colour": {"share": "50%", "key": "header:x-user", "variants": {"blue": "50%", "green": "50%"}}, "off": False, "plain": True})
    until(lambda: "none" in {asks(proxy, f"x-user: {u}") for u in ways}, 8)
    again = {u: asks(proxy, f"x-user: {u}") for u in ways}
    assert set(again.values()) == {"blue", "green", "none"}                       # the variants are not what decides who is in
    assert all(w in (ways[u], "none") for u, w in again.items())
    user = next(u for u, w in again.items() if w == "blue")
    asks(proxy, f"x-user: {user}", "X-Flags: admin=yes", "Connection: x-flags, close")
    assert up["blue"].last.fields.get("x-flags") == "colour=blue, plain"          # ours, whatever the client said


def test_without_forward_x_flags_is_the_clients(rig):
    proxy = two_ways(rig, Flags(rig, {"new": True}))
    asks(proxy, "x-flags: mine")
    assert rig.new.last.fields.get("x-flags") == "mine"


# ── what they switch ──

def test_a_flag_switches_a_dry_run(rig):
    source = Flags(rig, {"lenient": True})
    up = rig.upstream()
    proxy = rig.before(up, route={"rate_limit": {"rate": "1/h", "key": "route", "dry_run": "flag:lenient"}}, flags={"from": source.place})
    assert [proxy.ask().status for _ in range(5)] == [200] * 5
    assert metrics(proxy)['outrigger_dry_run_refusals_total{route="/",reason="rate_limited"}'] == 4
    source.set({"lenient": False})
    until(lambda: proxy.ask().status == 429, 8)
    source.set({"lenient": {"share": "100%"}})
    until(lambda: proxy.ask().status == 200, 8)


def test_a_reload_takes_other_flags(rig):
    one, two = Flags(rig, {"new": True}), rig.tmp / "other.json"
    two.write_text('{"flags": {"new": false}}')
    proxy = two_ways(rig, one)
    assert asks(proxy) == "new"
    rewrite(proxy, lambda c: c["flags"].update({"from": f"file:{two}"}))
    reload(proxy)
    until(lambda: asks(proxy) == "old", 8)
    assert in_flags(proxy)["from"] == f"file:{two}"

    def without(c):
        del c["flags"], c["routes"][0]["flag"]
        c["routes"][0]["headers"] = {"x-new": "1"}
    rewrite(proxy, without)
    reload(proxy)
    assert in_flags(proxy) == {"from": None} and "outrigger_flags_age_seconds" not in metrics(proxy)


def test_changes_under_load(rig):
    """Two workers look while the flags change; every request gets one of the two answers, and the upstream is told what was decided."""
    source = Flags(rig, {"new": True})
    proxy = two_ways(rig, source, forward=["new"])
    proxy.stop(signal.SIGTERM)
    proxy = rig.outrigger(proxy.conf, workers=2)
    wrong, over = [], threading.Event()

    def load():
        while not over.is_set():
            with proxy.client() as c:
                for _ in range(20):
                    r = c.ask()
                    if r.status != 200 or r.body not in (b"new", b"old"):
                        wrong.append(r.status)
    threads = [threading.Thread(target=load) for _ in range(4)]
    for t in threads:
        t.start()
    for n in range(6):
        source.set({"new": n % 2 == 0, **{f"more-{i}": True for i in range(n * 20)}})
        until(lambda: in_flags(proxy)["flags"] == 1 + n * 20, 10)
    over.set()
    for t in threads:
        t.join()
    assert not wrong
    assert all(r.fields.get("x-flags") == "new" for r in rig.new.requests)
    assert all(r.fields.get("x-flags") is None for r in rig.old.requests)


# ── the configuration ──

def conf(tmp_path, flags, route, **more):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"listen": ":0", **({"flags": flags} if flags else {}), **more,
                                    "routes": [{"path": "/", "upstream": "http://127.0.0.1:1", **route}, {"path": "/", "name": "rest", "upstream": "http://127.0.0.1:1"}]}))
    return run("check", "-c", path)


def test_what_check_says(tmp_path):
    place = {"from": f"file:{tmp_path}/flags.json"}
    assert "a flag is asked for, and there are none" in conf(tmp_path, None, {"flag": "x"}).stderr
    assert "is not the name of a flag" in conf(tmp_path, place, {"flag": "x y"}).stderr
    assert "is not the name of a flag" in conf(tmp_path, place, {"flag": "x="}).stderr
    assert "is no place for flags" in conf(tmp_path, {"from": "/etc/flags.json"}, {}).stderr
    assert "'dry_run' must be true, false or flag:NAME" in conf(tmp_path, place, {"shed": {"dry_run": "maybe"}}).stderr
    fine = conf(tmp_path, place, {"flag": "x=blue", "shed": {"dry_run": "flag:calm"}})
    assert fine.returncode == 0 and "warning" not in fine.stderr, fine.stderr     # a route behind a flag does not take everything
    (tmp_path / "flags.json").write_text('{"flags": {"x": {"variants": {"green": "100%"}}, "calm": true}}')
    told = conf(tmp_path, place, {"flag": "x=blue", "shed": {"dry_run": "flag:calm"}})
    assert told.returncode == 0 and "flag 'x=blue'" in told.stderr and "calm" not in told.stderr
    (tmp_path / "flags.json").write_text("{")
    told = conf(tmp_path, place, {"flag": "x=blue"})
    assert told.returncode == 0 and "not JSON" in told.stderr


def test_explain_says_that_flags_are_off(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump({"listen": ":0", "flags": {"from": f"file:{tmp_path}/flags.json"},
                                    "routes": [{"path": "/", "name": "new", "upstream": "http://127.0.0.1:1", "flag": "x"}, {"path": "/", "name": "old", "upstream": "http://127.0.0.1:1"}]}))
    told = run("explain", "-c", path, "GET", "/").stdout
    assert told.startswith("# flags count as off here") and "old" in told and "name: new" not in told
