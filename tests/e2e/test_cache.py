"""test_cache.py - answers that are kept: over real sockets and between workers."""
import threading
import time

import pytest

from client import until
from test_admin import metrics, scrape


def page(fields=(), body=b"hello"):
    """An app whose answer tells how often it was asked."""
    def answer(call, q):
        head = [b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *[f.encode() for f in fields]]
        call.send(b"\r\n".join(head) + b"\r\n\r\n" + body)
    return answer


def proxy_of(rig, app, cache, **more):
    return rig.outrigger(upstreams={"app": {"endpoints": [app.url], **more.pop("upstream", {})}},
                         routes=[{"name": "all", "path": "/", "upstream": "app", "cache": cache, **more}])


def test_kept_between_clients_and_workers(rig):
    app = rig.upstream(page(["Cache-Control: max-age=60", 'ETag: "1"']))
    proxy = proxy_of(rig, app, {})
    first = proxy.ask("GET", "/a")
    until(lambda: scrape(proxy)['outrigger_cache_entries{route="all"}'] == 1, 3)
    for _ in range(20):
        r = proxy.ask("GET", "/a")
        assert r.status == 200 and r.body == b"hello" and r.fields.get("cache-status").startswith("outrigger; hit; ttl=")
        assert int(r.fields.get("age")) <= 5
    assert first.fields.get("cache-status") == "outrigger; fwd=miss; stored" and len(app.requests) == 1
    assert proxy.ask("GET", "/a", 'If-None-Match: "1"').status == 304
    assert proxy.ask("HEAD", "/a").fields.get("content-length") == "5"
    assert len(app.requests) == 1
    m = metrics(proxy)
    assert m['outrigger_cache_requests_total{route="all",result="hit"}'] == 22 and m['outrigger_cache_requests_total{route="all",result="miss"}'] == 1
    assert proxy.access_log(22, served_by="cache")[0]["attempts"] == 0


def test_stale_while_the_app_is_down(rig):
    app = rig.upstream(page(["Cache-Control: max-age=1, stale-if-error=60"]))
    proxy = proxy_of(rig, app, {}, upstream={"circuit_breaker": {"consecutive_failures": 2, "open_for": "30s"}, "retry": "off"})
    assert proxy.ask("GET", "/a").status == 200
    until(lambda: scrape(proxy)['outrigger_cache_entries{route="all"}'] == 1, 3)
    app.stop()
    time.sleep(1.3)
    for _ in range(5):
        r = proxy.ask("GET", "/a")
        assert r.status == 200 and r.body == b"hello" and "detail=stale-if-error" in r.fields.get("cache-status")
    assert proxy.ask("GET", "/b").status in (502, 503)
    reasons = {x["reason"] for x in proxy.access_log(5, served_by="stale")}
    assert reasons == {"connection_refused", "circuit_open"}


def test_revalidated_once_by_a_crowd(rig):
    app = rig.upstream(page(["Cache-Control: max-age=1, stale-while-revalidate=60", 'ETag: "v"']))
    proxy = proxy_of(rig, app, {})
    assert proxy.ask("GET", "/a").status == 200
    until(lambda: scrape(proxy)['outrigger_cache_entries{route="all"}'] == 1, 3)
    time.sleep(1.2)
    app.on["/a"] = lambda call, q: (time.sleep(.3), call.send(b'HTTP/1.1 304 Not Modified\r\nETag: "v"\r\nCache-Control: max-age=60\r\n\r\n'))
    got = []
    threads = [threading.Thread(target=lambda: got.append(proxy.ask("GET", "/a"))) for _ in range(20)]
    began = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(r.status == 200 and r.body == b"hello" for r in got) and time.monotonic() - began < 3
    app.wait_for(2)
    assert len(app.requests) == 2 and app.requests[1].fields.get("if-none-match") == '"v"'
    until(lambda: proxy.ask("GET", "/a").fields.get("cache-status").startswith("outrigger; hit; ttl=5"), 3)
    assert len(app.requests) == 2


def test_bounded(rig):
    app = rig.upstream(page(["Cache-Control: max-age=600"], b"x" * 8000))
    proxy = proxy_of(rig, app, {"max_size": "128KiB"})
    with proxy.client() as c:
        for i in range(60):
            assert c.ask("GET", f"/{i}").status == 200
    until(lambda: scrape(proxy)['outrigger_cache_evictions_total{route="all"}'] > 40, 3)
    m = metrics(proxy)
    assert m['outrigger_cache_bytes{route="all"}'] <= 128 * 1024 and m['outrigger_cache_entries{route="all"}'] >= 8
    assert proxy.ask("GET", "/59").fields.get("cache-status").startswith("outrigger; hit")
    assert proxy.ask("GET", "/0").fields.get("cache-status") == "outrigger; fwd=miss; stored"


def test_stopped_while_it_revalidates(rig):
    """What nobody waits for does not hold up the end."""
    app = rig.upstream(page(["Cache-Control: max-age=0, stale-while-revalidate=60"]))
    proxy = proxy_of(rig, app, {})
    proxy.ask("GET", "/a")
    until(lambda: scrape(proxy)['outrigger_cache_entries{route="all"}'] == 1, 3)
    app.on["/a"] = lambda call, q: time.sleep(5)
    assert "hit" in proxy.ask("GET", "/a").fields.get("cache-status")
    app.wait_for(2)
    proxy.stop()


def test_coalesced_says_so(rig):
    app = rig.upstream(lambda call, q: (time.sleep(.3), call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")))
    proxy = rig.outrigger(upstreams={"app": {"endpoints": [app.url]}}, routes=[{"path": "/", "upstream": "app", "coalesce": {}}])
    got = []
    threads = [threading.Thread(target=lambda: got.append(proxy.ask("GET", "/a").fields.get("cache-status"))) for _ in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(got) == ["outrigger; fwd=miss"] + ["outrigger; fwd=miss; collapsed"] * 4
