"""test_streams.py - upgrades and server-sent events (behaviour §14, §6): bytes both ways, half-closes, idle timeouts, refusals."""
import hashlib
import signal
import socket
import threading
import time

import pytest

from client import PATIENCE, request, until
from upstream import head, raw, reply, tunnel
from wire import Closed

ASK = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")


@pytest.fixture(scope="module")
def up(shared_rig):
    return shared_rig.upstream()


@pytest.fixture(scope="module")
def proxy(shared_rig, up):
    return shared_rig.before(up, route={"timeout": "600ms", "idle_timeout": "800ms"})


@pytest.fixture(autouse=True)
def fresh(up):
    up.forget()
    up.default = tunnel()


def switch(c, *more):
    c.send(request("GET", "/ws", *ASK, *more))
    r = c.reply_head()
    assert r.status == 101 and r.fields.get("upgrade") == "websocket" and r.fields.get("connection").lower() == "upgrade"
    assert "content-length" not in r.fields and "transfer-encoding" not in r.fields
    return r


# ── upgrades ──

def test_what_the_upstream_sees(proxy, up):
    with proxy.client() as c:
        switch(c)
        f = up.last.fields
        assert f.get("upgrade") == "websocket" and "upgrade" in f.get("connection").lower() and f.get("sec-websocket-key")


def test_lives_longer_than_the_timeout(proxy):
    with proxy.client() as c:
        switch(c)
        for i in range(10):
            c.send(b"m%d" % i)
            assert c.exactly(2) == b"M%d" % i
            time.sleep(0.08)


def test_idle_timeout_cuts(proxy, up):
    with proxy.client() as c:
        switch(c, "X-Request-ID: idle")
        began = time.monotonic()
        try:
            assert c.rest() in (b"", b"BYE")
        except ConnectionResetError:
            pass
        assert 0.3 < time.monotonic() - began < 3
    until(lambda: not up.alive)


def test_bytes_one_way_keep_it_alive(proxy, up):
    """Silence in one direction is fine while the other one speaks."""
    def ticker(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade"))
        for _ in range(12):
            time.sleep(0.1)
            call.send(b".")
        call.close()
    up.default = ticker
    with proxy.client() as c:
        switch(c)
        assert c.rest() == b"." * 12


def test_client_ends_first(proxy):
    """Again and again: the kernel may tell of the client's end twice."""
    for _ in range(100):
        with proxy.client() as c:
            switch(c)
            c.send(b"last words")
            c.end()
            assert c.rest() == b"LAST WORDSBYE"


def test_upstream_ends_first(proxy, up):
    """The upstream has said all; what the client still sends arrives all the same."""
    got = []

    def leaves(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade") + b"bye")
        call.sock.shutdown(1)
        got.append(call.rest())
        call.close()
    up.default = leaves
    with proxy.client() as c:
        switch(c)
        assert c.rest() == b"bye"
        c.send(b"still here")
        c.end()
        until(lambda: got)
    assert got == [b"still here"]


def half_closed(behind):
    """Switches, says all it has at once, and then does something else."""
    def behave(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade") + b"bye")
        call.sock.shutdown(socket.SHUT_WR)
        behind(call)
        call.close()
    return behave


def test_client_ends_first_and_reads_late(proxy, up):
    data = b"x" * 8000000

    def generous(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade"))
        assert call.rest() == b"more"
        call.send(data)
        call.close()
    up.default = generous
    with proxy.client() as c:
        switch(c)
        c.send(b"more")
        c.end()
        time.sleep(0.3)
        assert c.rest() == data


def test_upstream_ends_first_and_reads_late(proxy, up):
    """The client has gone, and the last bytes of it are still with the proxy."""
    got, data = [], b"x" * 8000000

    def late(call):
        time.sleep(0.3)
        got.append(call.rest())
    up.default = half_closed(late)
    with proxy.client() as c:
        switch(c)
        assert c.rest() == b"bye"
        c.send(data)
        c.end()
    until(lambda: got)
    assert len(got[0]) == len(data) and got[0] == data


def test_a_drain_waits_for_the_last_bytes(rig):
    got, data, gate = [], b"x" * 8000000, threading.Event()
    up = rig.upstream(half_closed(lambda call: (gate.wait(PATIENCE), got.append(call.rest()))))
    proxy = rig.before(up)
    with proxy.client() as c:
        switch(c)
        assert c.rest() == b"bye"
        threading.Timer(0.8, gate.set).start()
        c.send(data)
        c.end()
        proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    until(lambda: got)
    assert len(got[0]) == len(data) and got[0] == data


def test_upstream_ends_first_and_never_reads(rig, tmp_path):
    """The tunnel is over, and what is left of it is not kept for ever. A Unix socket holds little, and always the same: the rest stays here."""
    over = threading.Event()
    up = rig.upstream(half_closed(lambda call: over.wait(PATIENCE)), address=f"{tmp_path}/app.sock")
    proxy = rig.before(up, upstream={"pool": {"idle_timeout": "500ms"}})
    with proxy.client() as c:
        switch(c)
        assert c.rest() == b"bye"
        c.send(b"x" * 300000)
        c.end()
        assert proxy.upstream_connections() == 1
        proxy.access_log(1, status=101, bytes_in=300000)
    until(lambda: proxy.upstream_connections() == 0, patience=5)
    over.set()


def test_megabytes_both_ways(proxy, up):
    data = bytes(range(256)) * 4096 * 8

    def both(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade"))
        sender = threading.Thread(target=call.send, args=(data,))
        sender.start()
        got = call.exactly(len(data))
        sender.join()
        call.send(hashlib.sha256(got).digest())
        call.close()
    up.default = both
    with proxy.client() as c:
        switch(c)
        sender = threading.Thread(target=c.send, args=(data,))
        sender.start()
        assert c.exactly(len(data)) == data
        assert c.exactly(32) == hashlib.sha256(data).digest()
        sender.join()


def test_client_resets(proxy, up):
    c = proxy.client()
    switch(c)
    c.reset()
    until(lambda: not up.alive)


def test_upstream_resets(proxy, up):
    up.default = lambda call, q: (call.send(head(101, "Upgrade: websocket", "Connection: upgrade") + b"x"), time.sleep(0.05), call.reset())
    with proxy.client() as c:
        switch(c)
        try:
            assert c.rest() in (b"", b"x")
        except ConnectionResetError:
            pass


def test_slow_reader_of_a_tunnel_stops_the_sender(rig):
    sent = [0]

    def flood(call, q):
        call.sock.settimeout(10)
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade"))
        for _ in range(4000):
            call.send(b"x" * 65536)
            sent[0] += 65536
    up = rig.upstream(flood)
    proxy = rig.before(up)
    before = proxy.rss()
    with proxy.client(receive_buffer=4096) as c:
        switch(c)
        last = -1
        while sent[0] != last:
            last = sent[0]
            time.sleep(0.3)
        assert sent[0] < 64 << 20 and proxy.rss() - before < 24 << 20


def test_refused_upgrade(proxy, up):
    """An ordinary answer instead of a 101: the connection goes on as before."""
    up.default = reply(b"no", 426, "Upgrade: other")
    with proxy.client() as c:
        c.send(request("GET", "/ws", *ASK))
        r = c.read()
        assert r.status == 426 and r.body == b"no"
        up.default = reply()
        assert c.ask().body == b"hello"


@pytest.mark.parametrize("version,method,fields,more", [
    ("1.1", "POST", ASK, {"body": b"x"}), ("1.0", "GET", ASK, {}), ("1.1", "GET", ["Upgrade: websocket"], {}),
    ("1.1", "GET", ["Upgrade: h2c", "Connection: Upgrade"], {}), ("1.1", "GET", ["Connection: Upgrade"], {}),
    ("1.1", "GET", ["Upgrade: websocket, h2c", "Connection: Upgrade"], {})])
def test_what_is_no_upgrade_is_a_plain_request(proxy, up, version, method, fields, more):
    up.default = reply()
    assert proxy.ask(method, "/ws", *fields, version=version, **more).body == b"hello"
    assert "upgrade" not in up.last.fields and "upgrade" not in up.last.fields.get("connection", "").lower()


@pytest.mark.parametrize("answer", [["Upgrade: h2c", "Connection: upgrade"], ["Connection: upgrade"], ["Upgrade: websocket"],
                                    ["Upgrade: websocket", "Upgrade: websocket", "Connection: upgrade"]])
def test_wrong_101(proxy, up, answer):
    up.default = raw(head(101, *answer) + b"evil")
    with proxy.client() as c:
        c.send(request("GET", "/ws", *ASK))
        r = c.read()
        assert r.status == 502 and r.json()["reason"] == "upgrade_failed"


def test_101_nobody_asked_for(proxy, up):
    up.default = tunnel()
    with proxy.client() as c:
        r = c.ask()
        assert r.status == 502 and r.json()["reason"] == "upgrade_failed"
        up.default = reply()
        assert c.ask().body == b"hello"


# ── drains ──

CLOSE = b"\x88\x02\x03\xe9"                                     # 1001: going away


def test_tunnels_are_cut_at_the_end_of_a_drain(rig):
    """It is in the middle of a frame of 16 KiB all the time: no place for a word."""
    up = rig.upstream(tunnel(greet=b"\x82\x7e\x40\x00"))
    proxy = rig.before(up, shutdown={"timeout": "400ms"})
    with proxy.client() as c:
        switch(c)
        assert c.exactly(4) == b"\x82\x7e\x40\x00"
        proxy.signal(signal.SIGTERM)
        time.sleep(0.1)
        c.send(b"still")
        assert c.exactly(5) == b"STILL"
        assert proxy.wait() == 0


def test_a_websocket_is_told_at_a_drain(rig):
    up = rig.upstream(tunnel())
    proxy = rig.before(up, shutdown={"timeout": "20s"})
    with proxy.client() as c:
        switch(c)
        c.send(b"\x81\x05hello")
        assert c.exactly(7) == b"\x81\x05HELLO"
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        assert c.exactly(4) == CLOSE
        c.send(b"\x88\x02\x03\xe9")                               # its answer; the upstream's to that is not for it any more
        c.end()
        assert c.ended()
        assert proxy.wait() == 0 and time.monotonic() - began < 5
    proxy.access_log(1, status=101)


def test_a_websocket_is_told_between_two_frames(rig):
    gate = threading.Event()

    def slow(call, q):
        call.send(head(101, "Upgrade: websocket", "Connection: upgrade", reason="Switching Protocols") + b"\x82\x7e\x01\x00" + b"a" * 100)
        gate.wait(10)
        call.send(b"a" * 156 + b"\x81\x01b\x82")
        try:
            while True:
                call.more()
        except Closed:
            call.close()
    proxy = rig.before(rig.upstream(slow), shutdown={"timeout": "20s"})
    with proxy.client() as c:
        switch(c)
        c.exactly(104)
        proxy.signal(signal.SIGTERM)
        time.sleep(1.2)
        gate.set()
        assert c.exactly(156) == b"a" * 156
        assert c.exactly(4) == CLOSE
        c.end()
        assert c.ended()
        assert proxy.wait() == 0


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_events_end_between_two_of_them_at_a_drain(rig, end):
    gates, gone = [threading.Event(), threading.Event()], threading.Event()

    def events(call, q):
        call.send(head(200, "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        text = [f"data: 0{end}{end}data: 1{end}", f"more: 1{end}{end}data: 2{end}{end}", "data: 3"]
        call.send(b"%x\r\n%s\r\n" % (len(text[0]), text[0].encode()))
        gates[0].wait(10)
        call.send(b"%x\r\n%s\r\n" % (len(text[1]), text[1].encode()))
        try:
            while True:
                call.more()
        except (Closed, OSError):
            gone.set()
    proxy = rig.before(rig.upstream(events), shutdown={"timeout": "20s"})
    with proxy.client() as c:
        c.send(request("GET", "/", "Accept: text/event-stream"))
        r = c.reply_head()
        while b"data: 1" not in c.ahead:
            c.more()
        proxy.signal(signal.SIGTERM)
        time.sleep(1.2)
        gates[0].set()
        c.reply_body(r, "GET")
        assert r.body.decode() == f"data: 0{end}{end}data: 1{end}more: 1{end}{end}"
        assert c.ended()
        assert gone.wait(5) and proxy.wait() == 0
    assert not proxy.access_log(1, status=200)[0].get("reason")


def test_quiet_events_end_at_a_drain(rig):
    def events(call, q):
        call.send(head(200, "Content-Type: text/event-stream") + b"data: 0\n\n")       # without a length: until it closes
        try:
            while True:
                call.more()
        except (Closed, OSError):
            call.close()
    proxy = rig.before(rig.upstream(events), shutdown={"timeout": "20s"})
    clients = [proxy.client() for _ in range(8)]
    for c in clients:
        c.send(request("GET", "/", "Accept: text/event-stream"))
        c.reply_head()
        while b"data: 0" not in c.ahead:
            c.more()
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    for c in clients:
        while b"0\r\n\r\n" not in c.ahead:
            c.more()
        c.close()
    assert proxy.wait() == 0 and time.monotonic() - began < 5


# ── server-sent events, long downloads ──

def test_events_are_flushed_at_once(proxy, up):
    gates = [threading.Event() for _ in range(3)]

    def events(call, q):
        call.send(head(200, "Content-Type: text/event-stream", "Transfer-Encoding: chunked"))
        for i, gate in enumerate(gates):
            call.send(b"9\r\ndata: %d\n\n\r\n" % i)
            gate.wait(5)
        call.send(b"0\r\n\r\n")
    up.default = events
    with proxy.client() as c:
        c.send(request("GET", "/", "Accept: text/event-stream"))
        r = c.reply_head()
        assert r.fields.get("content-type") == "text/event-stream" and r.fields.get("transfer-encoding") == "chunked"
        for i, gate in enumerate(gates):
            while b"data: %d" % i not in c.ahead:
                c.more()
            gate.set()
        while b"0\r\n\r\n" not in c.ahead:
            c.more()


def test_a_head_without_body_yet_is_flushed(proxy, up):
    gate = threading.Event()
    up.default = lambda call, q: (call.send(head(200, "Content-Length: 2")), gate.wait(5), call.send(b"ok"))
    with proxy.client() as c:
        c.send(request())
        assert c.reply_head().status == 200
        gate.set()
        assert c.exactly(2) == b"ok"


def test_a_stream_outlives_the_timeout(proxy, up):
    """timeout ends with the head; idle_timeout rules from there on."""
    def slowly(call, q):
        call.send(head(200, "Content-Length: 10"))
        for _ in range(10):
            time.sleep(0.1)
            call.send(b"x")
    up.default = slowly
    assert proxy.ask().body == b"x" * 10


def test_a_silent_stream_is_cut(proxy, up):
    up.default = lambda call, q: (call.send(head(200, "Content-Length: 10") + b"abc"), call.rest())
    with proxy.client() as c:
        c.send(request("GET", "/", "X-Request-ID: silent-stream"))
        c.reply_head()
        began = time.monotonic()
        try:
            assert c.rest() == b"abc"
        except (Closed, ConnectionResetError):
            pass
        assert 0.3 < time.monotonic() - began < 3
    assert proxy.access_log(1, request_id="silent-stream")[0]["reason"] == "upstream_timeout"
