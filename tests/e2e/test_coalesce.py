"""test_coalesce.py - one request to the upstream for many equal ones, in the real binary."""
import threading
import time

import pytest

from client import until
from proxy import BIN
from test_admin import metrics, scrape
from upstream import reply

MANY = 200 if any(v in BIN for v in ("/debug/", "/tsan/", "/cov/")) else 1000
BODY = b"0123456789" * 5000


def open_many(proxy, count, target="/x", *fields):
    clients = [proxy.client() for _ in range(count)]
    extra = "".join(f + "\r\n" for f in fields)
    for c in clients:
        c.send(f"GET {target} HTTP/1.1\r\nHost: h\r\n{extra}\r\n".encode())
    return clients


def is_empty(proxy):
    return scrape(proxy)['outrigger_coalesce_flights{route="/"}'] == 0


def before(rig, behave, **more):
    up = rig.upstream(behave)
    return up, rig.before(up, route={"coalesce": {"max_waiters": 2000, "wait_timeout": "20s", **more}, "timeout": "30s"}, upstream={"retry": "off"})


def test_a_thousand_at_a_time_are_one(rig):
    up, proxy = before(rig, reply(BODY, delay=1.5 if MANY == 1000 else 3))
    clients = open_many(proxy, MANY)
    for c in clients:
        r = c.read()
        assert r.status == 200 and r.body == BODY
        c.close()
    assert len(up.requests) == 1
    m = metrics(proxy)
    assert m['outrigger_coalesced_requests_total{route="/",role="leader",result="shared"}'] == 1
    assert m['outrigger_coalesced_requests_total{route="/",role="follower",result="shared"}'] == MANY - 1
    until(lambda: is_empty(proxy), 5)


def test_the_leaders_client_is_killed(rig):
    up, proxy = before(rig, reply(BODY, delay=2))
    leader = open_many(proxy, 1)[0]
    until(lambda: len(up.requests) == 1, 5)
    clients = open_many(proxy, 50)
    until(lambda: scrape(proxy)['outrigger_http_requests_in_flight{route="/"}'] == 51, 5)       # all have joined: it is not alone when it goes
    leader.close()
    for c in clients:
        assert c.read().body == BODY
        c.close()
    assert len(up.requests) == 1
    until(lambda: is_empty(proxy), 5)


def test_a_private_answer_is_never_shared(rig):
    made = []

    def personal(call, q):
        with call.up.lock:
            made.append(1)
            n = len(made)
        reply(b"for number %d" % n, 200, f"Set-Cookie: n={n}", delay=.3)(call, q)
    up, proxy = before(rig, personal)
    clients = open_many(proxy, 20)
    bodies = [c.read().body for c in clients]
    for c in clients:
        c.close()
    assert len(set(bodies)) == 20 and len(up.requests) == 20
    until(lambda: is_empty(proxy), 5)


def test_cookies_and_credentials_go_alone(rig):
    up, proxy = before(rig, reply(delay=.3))
    for c in open_many(proxy, 3, "/x", "Cookie: a=b") + open_many(proxy, 3, "/x", "Authorization: Bearer x"):
        assert c.read().status == 200
        c.close()
    assert len(up.requests) == 6


def test_everybody_leaves_and_comes_at_random(rig):
    up, proxy = before(rig, reply(b"x" * 300000, delay=.02), buffer="64KiB")
    stop = time.monotonic() + 4
    bad = []

    def coming_and_going(n):
        while time.monotonic() < stop:
            try:
                c = open_many(proxy, 1, f"/{n % 3}")[0]
                if n % 4 == 0:
                    time.sleep(.01 * (n % 7))
                else:
                    r = c.read()
                    if r.status != 200 or len(r.body) != 300000:
                        bad.append(r.status)
                c.close()
            except Exception as e:
                bad.append(repr(e))
    threads = [threading.Thread(target=coming_and_going, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:5]
    until(lambda: is_empty(proxy), 5)


LANGUAGES = ("de", "en", "fr")


def in_language(call, q, *fields, **more):
    text = ",".join(f"{n}={q.fields.get(n)}" for n in ("x-lang", "x-size") if q.fields.get(n))
    reply(text.encode() * 1000, 200, *fields, **more)(call, q)


@pytest.mark.parametrize("workers", [1, 2])
def test_one_request_for_each_variant(rig, workers):
    """Vary: the first round waits for one head; then it is known, and nobody waits for another one's."""
    go = threading.Event()

    def behave(call, q):
        go.wait(20)
        if len(up.requests) > 1:              # who waits on another worker hears of the first head a moment later
            time.sleep(.3)
        in_language(call, q, "Vary: X-Lang")
    up = rig.upstream(behave)
    proxy = rig.before(up, route={"coalesce": {"wait_timeout": "20s"}, "timeout": "30s"}, upstream={"retry": "off"}, workers=workers)

    def crowd(n):
        return [(language, open_many(proxy, 1, "/x", f"X-Lang: {language}")[0]) for i in range(n) for language in [LANGUAGES[i % 3]]]

    def read(clients):
        for language, c in clients:
            r = c.read()
            assert r.status == 200 and r.body == f"x-lang={language}".encode() * 1000
            c.close()

    clients = crowd(60)
    until(lambda: scrape(proxy)['outrigger_http_requests_in_flight{route="/"}'] == 60, 10)
    until(lambda: len(up.requests) == 1)
    go.set()
    read(clients)
    assert sorted(q.fields.get("x-lang") for q in up.requests) == list(LANGUAGES)
    m = metrics(proxy)
    assert m['outrigger_coalesced_requests_total{route="/",role="leader",result="shared"}'] == 3
    assert m['outrigger_coalesced_requests_total{route="/",role="follower",result="shared"}'] == 57

    go.clear()
    clients = crowd(30)
    until(lambda: scrape(proxy)['outrigger_http_requests_in_flight{route="/"}'] == 30, 10)
    until(lambda: len(up.requests) == 6)
    go.set()
    read(clients)
    assert len(up.requests) == 6
    until(lambda: is_empty(proxy), 5)


@pytest.mark.parametrize("workers", [1, 2])
def test_variants_come_and_go_at_random(rig, workers):
    """What answers vary with changes all the time. Nobody ever gets another one's variant, nobody is forgotten."""
    turns = ["Vary: X-Lang", "Vary: X-Size, X-Lang", "Vary: x-lang,x-size,accept", "Vary: *"]

    def behave(call, q):
        in_language(call, q, turns[len(up.requests) % 4], delay=.02)
    up = rig.upstream(behave)
    proxy = rig.before(up, route={"coalesce": {"buffer": "64KiB"}}, upstream={"retry": "off"}, workers=workers)
    stop, bad, served = time.monotonic() + 4, [], []

    def coming_and_going(n):
        i = n
        while time.monotonic() < stop:
            i += 5
            # the size is a matter of the language, or else an answer that varies with the language only would be wrong
            fields = [f"X-Lang: {LANGUAGES[i % 3]}", f"X-Size: {i % 3}"]
            try:
                c = open_many(proxy, 1, f"/{n % 2}", *fields)[0]
                if n % 4 == 0:
                    time.sleep(.005 + .01 * (i % 7))
                else:
                    r = c.read()
                    served.append(r.fields.get("cache-status"))
                    if r.status != 200 or r.body != f"x-lang={LANGUAGES[i % 3]},x-size={i % 3}".encode() * 1000:
                        bad.append((r.status, fields, r.body[:99]))
                c.close()
            except Exception as e:
                bad.append(repr(e))
    threads = [threading.Thread(target=coming_and_going, args=(n,)) for n in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[:5]
    assert len(served) > 50 and any("collapsed" in s for s in served if s)
    until(lambda: is_empty(proxy), 5)
