"""test_idempotency.py - a request with an Idempotency-Key runs once, whoever repeats it, and however: in memory, with several workers, and in a
real Redis, with two instances.
"""
import collections
import hashlib
import itertools
import random
import shutil
import signal
import threading
import time

import pytest

from client import request, until
from ports import free_port
from proxy import sanitized
from test_admin import metrics, scrape
from test_redis import Redis, redis  # noqa: F401 (a fixture)
from upstream import chunks, head, reply

needs_redis = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")
keys = (f"key-{n}" for n in itertools.count())


def once(delay=0.0, status=201, size=1000):
    """Answers with the number of the request: who gets the same was answered with the same."""
    numbers = itertools.count(1)

    def behave(call, q):
        body = call.body(q)
        n = next(numbers)
        time.sleep(delay)
        text = (f"number {n} of {hashlib.sha256(body or b'').hexdigest()} ".encode() * (size // 77 + 1))
        call.send(head(status, f"Content-Length: {len(text)}", f"X-Number: {n}", reason="Made") + text)
    return behave


def before(rig, behave, idempotency=None, timeout="30s", **more):
    up = rig.upstream(behave)
    return up, rig.before(up, route={"name": "pay", "idempotency": idempotency or {}, "timeout": timeout}, upstream={"retry": "off"}, **more)


def with_store(rig, redis, up, **idempotency):
    """An instance whose keys are in this Redis."""
    proxy = rig.outrigger(redis={"main": {"url": f"redis://127.0.0.1:{redis.port}", "timeout": "2s" if sanitized() else "500ms"}},
                          upstreams={"app": {"endpoints": [up.url], "retry": "off"}},
                          routes=[{"name": "pay", "path": "/", "upstream": "app", "timeout": "30s",
                                   "idempotency": {"store": "main", **idempotency}}])
    until(lambda: connected(proxy), 8)
    return proxy


def connected(proxy):
    return scrape(proxy)['outrigger_store_up{store="main"}'] == 1


def counts(proxy):
    return {r: metrics(proxy)[f'outrigger_idempotency_total{{route="pay",result="{r}"}}']
            for r in ("first", "replayed", "waited", "conflict", "mismatch")}


def pay(proxy, key, *fields, body=b"amount=7", target="/", method="POST", **more):
    return proxy.ask(method, target, f"Idempotency-Key: {key}", *fields, body=body, **more)


def is_replay(r):
    return r.fields.get("idempotency-replayed") == "true"


def at_once(proxies, key, count, body=b"amount=7"):
    """So many clients with the same key at the same time; their replies."""
    clients = [p.client() for p in itertools.islice(itertools.cycle(proxies), count)]
    for c in clients:
        c.send(request("POST", "/", f"Idempotency-Key: {key}", body=body))
    replies = [c.read() for c in clients]
    for c in clients:
        c.close()
    return replies


# ── in memory ──

def test_first_and_again(rig):
    up, proxy = before(rig, once())
    first, again = pay(proxy, '"k 1"'), pay(proxy, '"k 1"')
    assert first.status == again.status == 201 and first.body == again.body and again.fields.get("x-number") == "1"
    assert not is_replay(first) and is_replay(again)
    assert again.fields.get("x-request-id") != first.fields.get("x-request-id")
    assert len(up.requests) == 1 and up.requests[0].body == b"amount=7" and up.requests[0].fields.get("idempotency-key") == '"k 1"'
    assert pay(proxy, "k2").body != first.body
    lines = proxy.access_log(3)
    assert sorted(x["served_by"] for x in lines) == ["cache", "upstream", "upstream"]         # each worker writes its own in order
    assert counts(proxy) == {"first": 2, "replayed": 1, "waited": 0, "conflict": 0, "mismatch": 0}


@pytest.mark.parametrize("workers", [1, 2])
def test_many_at_once_are_one(rig, workers):
    up, proxy = before(rig, once(delay=.5, size=50000), workers=workers)
    for key in ("a", "b", "c"):
        replies = at_once([proxy], key, 40)
        assert {r.status for r in replies} == {201} and len({r.body for r in replies}) == 1
        assert sum(not is_replay(r) for r in replies) == 1
    assert len(up.requests) == 3
    got = counts(proxy)
    assert got["first"] == 3 and got["replayed"] + got["waited"] == 117


@pytest.mark.parametrize("workers", [1, 2])
def test_in_flight_conflict(rig, workers):
    up, proxy = before(rig, once(delay=1), {"in_flight": "conflict"}, workers=workers)
    replies = at_once([proxy], "a", 20)
    assert sorted(r.status for r in replies) == [201] + [409] * 19 and len(up.requests) == 1
    refused = next(r for r in replies if r.status == 409)
    assert refused.json()["reason"] == "idempotency_conflict" and refused.fields.get("retry-after") == "1"
    assert is_replay(pay(proxy, "a"))


def test_mismatch_and_missing(rig):
    up, proxy = before(rig, once(), {"required": True})
    assert pay(proxy, "a").status == 201
    for other in (dict(body=b"amount=8"), dict(target="/b"), dict(method="PATCH"), dict(body=b"")):
        r = pay(proxy, "a", **other)
        assert r.status == 422 and r.json()["reason"] == "idempotency_mismatch"
    assert pay(proxy, "a", "Authorization: Bearer x", body=b"amount=8").status == 201        # somebody else's key
    r = proxy.ask("POST", "/", body=b"x")
    assert r.status == 400 and r.json()["reason"] == "idempotency_missing"
    assert pay(proxy, '"a').status == 400 and proxy.ask("GET", "/").status == 201
    assert proxy.access_log(1, status=422)[0]["reason"] == "idempotency_mismatch"
    assert len(up.requests) == 3 and counts(proxy)["mismatch"] == 4


def test_bodies_pass_whole(rig):
    up, proxy = before(rig, once())
    for size in (0, 1, 65535, 65536, 65537, 300000, 3000000):
        body = bytes((i * 7 + size) % 251 for i in range(997)) * (size // 997 + 1)
        body = body[:size]
        for framed in (dict(body=body), dict(body=None, chunks=[body[i:i + 50000] for i in range(0, size, 50000)])):
            key = next(keys)
            with proxy.client() as c:
                c.send(request("POST", "/", f"Idempotency-Key: {key}", **framed))
                assert c.read().status == 201
                assert up.requests[-1].body == body
                c.send(request("POST", "/", f"Idempotency-Key: {key}", **framed))
                r = c.read()
                assert r.status == 201 and is_replay(r), size
    assert len(up.requests) == 14


def test_expect_continue(rig):
    up, proxy = before(rig, once())
    for replayed in (False, True):
        with proxy.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: e\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            assert b"100 Continue" in c.sock.recv(4096)
            c.send(b"hello")
            r = c.read()
            assert r.status == 201 and is_replay(r) == replayed
    assert len(up.requests) == 1 and not up.requests[0].fields.get("expect")


def test_trailers_and_chunks_again(rig):
    up, proxy = before(rig, chunks([b"a" * 1000, b"b" * 5000], "X-A: 1", trailers=["X-Sum: 7"]))
    first, again = pay(proxy, "t"), pay(proxy, "t")
    assert first.body == again.body and is_replay(again) and again.trailers.get("x-sum") == first.trailers.get("x-sum") == "7"
    assert len(up.requests) == 1


@pytest.mark.parametrize("status,kept", [(200, True), (303, True), (404, True), (422, True), (408, False), (409, False), (425, False), (429, False),
                                         (500, False), (503, False)])
def test_what_is_kept(rig, status, kept):
    up, proxy = before(rig, once(status=status))
    first, again = pay(proxy, "a"), pay(proxy, "a")
    assert first.status == again.status == status
    assert is_replay(again) == kept and len(up.requests) == (1 if kept else 2)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_client_leaves_and_comes_back(rig, workers):
    up, proxy = before(rig, once(delay=1), workers=workers)
    for n in range(6):
        with proxy.client() as c:
            c.send(request("POST", "/", f"Idempotency-Key: gone-{n}", body=b"x"))
            until(lambda: len(up.requests) == n + 1, 5)
    assert proxy.access_log(6, status=499)
    for n in range(6):
        r = pay(proxy, f"gone-{n}", body=b"x")
        assert r.status == 201 and is_replay(r)
    assert len(up.requests) == 6


def test_half_an_upload_is_no_request(rig):
    up, proxy = before(rig, once(), {"fingerprint": "0B"})
    with proxy.client() as c:
        c.send(b"POST / HTTP/1.1\r\nHost: h\r\nIdempotency-Key: half\r\nContent-Length: 100000\r\n\r\n" + b"x" * 50000)
        time.sleep(.3)
    until(lambda: scrape(proxy)['outrigger_idempotency_keys{route="pay"}'] == 0)
    r = pay(proxy, "half")
    assert r.status == 201 and not is_replay(r)
    up.errors.clear()                                        # half a request is one


def test_out_of_time_runs_again(rig):
    up, proxy = before(rig, once(), timeout="500ms")
    up.script.append(once(delay=1.5))
    began = time.monotonic()
    replies = at_once([proxy], "slow", 1)
    assert replies[0].status == 504 and time.monotonic() - began < (10 if sanitized() else 1.4)
    r = pay(proxy, "slow")
    assert r.status == 201 and not is_replay(r) and len(up.requests) == 2


def test_too_long_an_answer(rig):
    up, proxy = before(rig, once(size=300000), {"max_answer": "100KiB"})
    first, again = pay(proxy, "long"), pay(proxy, "long")
    assert first.status == 201 and len(first.body) >= 300000
    assert again.status == 409 and "could not be kept" in again.json()["detail"] and len(up.requests) == 1


def test_memory_is_bounded(rig):
    up, proxy = before(rig, once(size=10000), {"max_size": "200KiB", "max_answer": "64KiB"})
    for n in range(60):
        assert pay(proxy, f"b-{n}").status == 201
    m = metrics(proxy)
    assert m['outrigger_idempotency_bytes{route="pay"}'] <= 200 * 1024 and m['outrigger_idempotency_forgotten_total{route="pay"}'] > 30
    assert is_replay(pay(proxy, "b-59")) and not is_replay(pay(proxy, "b-0"))
    assert b'"idempotency":{"keys":' in proxy.admin("GET", "/status.json").body


def test_drain_waits_for_what_runs_on(rig):
    """SIGTERM while a request runs on whose client has left: it is ended in peace."""
    up, proxy = before(rig, once(delay=1))
    with proxy.client() as c:
        c.send(request("POST", "/", "Idempotency-Key: d", body=b"x"))
        until(lambda: len(up.requests) == 1, 5)
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0 and time.monotonic() - began > .5


def test_quit_does_not(rig):
    up, proxy = before(rig, once(delay=3))
    clients = [proxy.client() for _ in range(4)]
    for i, c in enumerate(clients):
        c.send(request("POST", "/", f"Idempotency-Key: q-{i // 2}", body=b"x"))
    until(lambda: len(up.requests) == 2, 5)
    clients[0].close()
    time.sleep(.2)
    proxy.stop(signal.SIGQUIT)
    for c in clients[1:]:
        c.close()


def test_a_reload_keeps_what_is_kept(rig):
    up, proxy = before(rig, once(delay=.5))
    assert pay(proxy, "r").status == 201
    threads = [threading.Thread(target=lambda: at_once([proxy], "s", 5)) for _ in range(2)]
    for t in threads:
        t.start()
    proxy.file.write_text(proxy.text.replace("30s", "29s"))
    proxy.signal(signal.SIGHUP)
    for t in threads:
        t.join()
    until(lambda: any("reload" in e["event"] for e in proxy.events()), 5)
    assert is_replay(pay(proxy, "r")) and is_replay(pay(proxy, "s")) and len(up.requests) == 2


def test_a_canary(rig):
    """Once, whichever version it goes to; the log names the one that was asked."""
    v1, v2 = rig.upstream(once()), rig.upstream(once())
    proxy = rig.outrigger(upstreams={"v1": {"endpoints": [v1.url]}, "v2": {"endpoints": [v2.url]}},
                          routes=[{"name": "pay", "path": "/", "upstream": {"v1": "90%", "v2": "10%"}, "split": {"override_header": "x-canary"},
                                   "idempotency": {}}])
    assert [pay(proxy, "a", "x-canary: v2").status, pay(proxy, "b", "x-canary: v1").status] == [201, 201]
    assert is_replay(pay(proxy, "a", "x-canary: v2")) and len(v1.requests) == len(v2.requests) == 1
    lines = proxy.access_log(3)
    assert [x.get("upstream") for x in lines[:2]] == ["v2", "v1"] and lines[0]["endpoint"] == v2.name and lines[0]["attempts"] == 1


def storm(proxies, seconds, seed, keys=30):
    """Clients that repeat, leave in the midst, and come back, on a few keys; per key all answers that came."""
    answers, lock, end = {}, threading.Lock(), time.monotonic() + seconds

    def client(number):
        rand = random.Random(seed * 100 + number)
        while time.monotonic() < end:
            key = f"storm-{seed}-{rand.randrange(keys)}"
            body = key.encode() * rand.choice((1, 1, 3000))
            with rand.choice(proxies).client() as c:
                c.send(request("POST", "/", f"Idempotency-Key: {key}-{len(body)}", body=body))
                if rand.random() < .3:
                    time.sleep(rand.random() * .05)
                    continue
                r = c.read()
                with lock:
                    answers.setdefault(f"{key}-{len(body)}", []).append((r.status, r.body if r.status == 201 else b""))
    threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return answers


def check_storm(up, answers):
    """Nobody's request ran twice, and everybody got the answer of the one that ran."""
    assert len(answers) > 20
    for key, got in answers.items():
        assert {status for status, _ in got} == {201} and len(set(got)) == 1, key
    ran = collections.Counter(q.fields.get("idempotency-key") for q in up.requests)
    assert max(ran.values()) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_storm(rig, workers):
    up, proxy = before(rig, once(delay=.05, size=3000), workers=workers)
    for seed in range(2):
        check_storm(up, storm([proxy], 2, seed))


# ── in Redis ──

@needs_redis
@pytest.mark.parametrize("workers", [1, 2])
def test_two_instances_are_one(rig, redis, workers):  # noqa: F811
    up = rig.upstream(once(delay=.5, size=5000))
    one, two = with_store(rig, redis, up), with_store(rig, redis, up)
    for key in ("a", "b"):
        replies = at_once([one, two], key, 20)
        assert {r.status for r in replies} == {201} and len({r.body for r in replies}) == 1
        assert sum(not is_replay(r) for r in replies) == 1
    assert len(up.requests) == 2
    again = pay(two, "a")
    assert is_replay(again) and again.body == replies[0].body.replace(b"number 2", b"number 1")
    assert pay(one, "a", body=b"amount=8").status == 422
    assert int(redis.ask("DBSIZE").strip(b":\r\n")) >= 2
    sum_of = {k: counts(one)[k] + counts(two)[k] for k in counts(one)}
    assert sum_of["first"] == 2 and sum_of["mismatch"] == 1 and sum_of["replayed"] + sum_of["waited"] == 39


@needs_redis
def test_storm_over_two_instances(rig, redis):  # noqa: F811
    up = rig.upstream(once(delay=.05, size=3000))
    one, two = with_store(rig, redis, up), with_store(rig, redis, up)
    check_storm(up, storm([one, two], 4, 7))


@needs_redis
def test_large_answers_in_redis(rig, redis):  # noqa: F811
    up = rig.upstream(once(size=1000000))
    one, two = with_store(rig, redis, up), with_store(rig, redis, up)
    first = pay(one, "large")
    again = pay(two, "large")
    assert first.status == again.status == 201 and first.body == again.body and is_replay(again) and len(up.requests) == 1


@needs_redis
def test_failures_give_the_claim_back(rig, redis):  # noqa: F811
    up = rig.upstream(once())
    up.script += [reply(b"no", 503), reply(b"no", 429)]
    proxy = with_store(rig, redis, up)
    assert [pay(proxy, "f").status for _ in range(4)] == [503, 429, 201, 201] and len(up.requests) == 3


@needs_redis
def test_the_first_instance_dies(rig, redis):  # noqa: F811
    """Nobody renews its claim: when the lease is over, a repetition runs on another instance."""
    up = rig.upstream(once())
    up.script.append(once(delay=20))
    one, two = with_store(rig, redis, up, lease="2s"), with_store(rig, redis, up, lease="2s")
    c = one.client()
    c.send(request("POST", "/", "Idempotency-Key: dies", body=b"amount=7"))
    until(lambda: len(up.requests) == 1, 5)
    assert int(redis.ask("PTTL", *[k for k in redis_keys(redis)]).strip(b":\r\n")) <= 2000
    one.kill()
    rig.proxies.remove(one)
    c.close()
    began = time.monotonic()
    r = pay(two, "dies")
    took = time.monotonic() - began
    assert r.status == 201 and not is_replay(r) and len(up.requests) == 2 and (sanitized() or .5 < took < 5)


def redis_keys(r):
    lines = r.ask("KEYS", "outrigger:idempotency:*").split(b"\r\n")
    return [x.decode() for x in lines if x.startswith(b"outrigger")]


@needs_redis
def test_a_long_run_keeps_its_claim(rig, redis):  # noqa: F811
    up = rig.upstream(once(delay=4))
    one, two = with_store(rig, redis, up, lease="1s"), with_store(rig, redis, up, lease="1s")
    replies = at_once([one, two], "long", 4)
    assert {r.status for r in replies} == {201} and len({r.body for r in replies}) == 1 and len(up.requests) == 1


@needs_redis
def test_the_client_leaves_and_asks_the_other(rig, redis):  # noqa: F811
    up = rig.upstream(once(delay=1))
    one, two = with_store(rig, redis, up), with_store(rig, redis, up)
    with one.client() as c:
        c.send(request("POST", "/", "Idempotency-Key: l", body=b"amount=7"))
        until(lambda: len(up.requests) == 1, 5)
    r = pay(two, "l")
    assert r.status == 201 and is_replay(r) and len(up.requests) == 1


@needs_redis
def test_redis_is_gone(rig, redis):  # noqa: F811
    up = rig.upstream(once())
    deny, allow = with_store(rig, redis, up), with_store(rig, redis, up, on_store_error="allow")
    assert pay(deny, "a").status == 201
    redis.kill()
    until(lambda: not connected(deny) and not connected(allow), 10)
    r = pay(deny, "a")
    assert r.status == 503 and r.json()["reason"] == "store_unavailable" and r.fields.get("retry-after")
    assert pay(allow, "a").status == 201 and len(up.requests) == 2
    assert metrics(deny)['outrigger_idempotency_store_errors_total{route="pay"}'] == 1
    assert deny.ask("POST", "/", body=b"without a key").status == 201
    redis.start()
    until(lambda: connected(deny), 15)
    assert pay(deny, "a").status == 201


@needs_redis
def test_redis_hangs_while_a_request_runs(rig, redis):  # noqa: F811
    """The client gets its answer all the same; it is put there when Redis answers again."""
    up = rig.upstream(once(delay=.5))
    proxy = with_store(rig, redis, up)
    with proxy.client() as c:
        c.send(request("POST", "/", "Idempotency-Key: h", body=b"amount=7"))
        until(lambda: len(up.requests) == 1, 5)
        redis.process.send_signal(signal.SIGSTOP)
        assert c.read().status == 201
    time.sleep(1)
    redis.process.send_signal(signal.SIGCONT)
    until(lambda: connected(proxy), 15)
    r = pay(proxy, "h")
    while r.status == 503:
        time.sleep(.2)
        r = pay(proxy, "h")
    assert r.status == 201 and is_replay(r) and len(up.requests) == 1


@needs_redis
def test_quit_with_redis(rig, redis):  # noqa: F811
    up = rig.upstream(once(delay=3))
    proxy = with_store(rig, redis, up)
    clients = [proxy.client() for _ in range(4)]
    for i, c in enumerate(clients):
        c.send(request("POST", "/", f"Idempotency-Key: q-{i // 2}", body=b"x"))
    until(lambda: len(up.requests) == 2, 5)
    clients[0].close()
    time.sleep(.2)
    proxy.stop(signal.SIGQUIT)
    for c in clients[1:]:
        c.close()


def test_an_unknown_store_is_refused(rig):
    up = rig.upstream()
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [up.url]}}, routes=[{"path": "/", "upstream": "app", "idempotency": {"store": "mian"}}],
                          redis={"main": {"url": f"redis://127.0.0.1:{free_port()}"}}, wait=False)
    assert proxy.wait() == 78 and "mian" in proxy.err
    rig.proxies.remove(proxy)
