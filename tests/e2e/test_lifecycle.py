"""test_lifecycle.py - starting, draining, stopping, and an upstream that comes and goes under load."""
import signal
import socket
import time

import pytest

from client import Client, request
from load import Load
from proxy import run
from upstream import Upstream, reply


@pytest.mark.parametrize("listen", ["127.0.0.1:{PORT}", "unix:{TMP}/front.sock"])
@pytest.mark.parametrize("again", range(4))
def test_term_under_load_loses_nothing(rig, listen, again):
    """What could be lost is who comes just as a listener is closed, and who speaks just as an idle connection is: neither happens each time."""
    up = rig.upstream(default=reply(b"hello", delay=0.005))
    proxy = rig.before(up, listen=listen)
    load = Load(f"{proxy.tmp}/front.sock" if listen.startswith("unix:") else ("127.0.0.1", proxy.port), 64)
    load.wait_for(300)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0
    load.stop()
    assert load.statuses() == {200: len(load.outcomes)}
    assert not load.failed, load.failed[:5]


def test_term_waits_for_a_slow_answer(rig):
    up = rig.upstream(default=reply(b"late", delay=0.5))
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        proxy.signal(signal.SIGTERM)
        r = c.read()
        assert r.body == b"late" and r.fields.get("connection") == "close"
    assert proxy.wait() == 0


def test_second_term_is_at_once(rig):
    up = rig.upstream(default=reply(b"late", delay=3))
    proxy = rig.before(up)
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        proxy.signal(signal.SIGTERM)
        time.sleep(0.1)
        began = time.monotonic()
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0 and time.monotonic() - began < 2


def test_drain_timeout_cuts(rig):
    up = rig.upstream(default=reply(b"late", delay=5))
    proxy = rig.before(up, shutdown={"timeout": "200ms"})
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait() == 0
    assert "drain_timeout" in proxy.err


def test_shutdown_delay_keeps_serving_but_is_not_ready(rig):
    up = rig.upstream()
    proxy = rig.before(up, shutdown={"delay": "600ms"})
    proxy.signal(signal.SIGTERM)
    time.sleep(0.15)
    assert proxy.probe("/readyz").status == 503
    assert proxy.probe("/livez").status == 200
    assert proxy.ask().body == b"hello"
    assert proxy.wait() == 0


def test_idle_connections_do_not_hold_up_the_end(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    clients = [proxy.client() for _ in range(20)]
    for c in clients:
        assert c.ask().body == b"hello"
    began = time.monotonic()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait() == 0 and time.monotonic() - began < 4
    for c in clients:
        assert c.ended()
        c.close()


def test_port_in_use(rig, tmp_path):
    up = rig.upstream()
    proxy = rig.before(up)
    done = run("--listen", f"127.0.0.1:{proxy.port}", "--to", up.url, "--set", "admin.listen=off")
    assert done.returncode == 69 and "in use" in done.stderr and str(proxy.port) in done.stderr


def test_upstream_killed_and_restarted_under_load(rig):
    up = rig.upstream(default=reply(b"hello", delay=0.002))
    proxy = rig.before(up, route={"timeout": "2s"})
    for _ in range(3):
        proxy.ask()
    time.sleep(0.2)
    fds = proxy.fds()
    load = Load(("127.0.0.1", proxy.port), 16)
    load.wait_for(200)
    up.stop()
    time.sleep(0.3)
    again = Upstream(up.address, reply(b"hello", delay=0.002))
    try:
        back = time.monotonic() - load.began
        load.wait_for(len(load.outcomes) + 100)
        time.sleep(0.9)
        load.stop()
        assert not load.failed, load.failed[:5]
        assert set(load.statuses()) <= {200, 502}
        for status, _, r in load.outcomes:
            if status == 502:
                assert r.json()["reason"] in ("connection_refused", "upstream_reset")
        late = [o for o in load.outcomes if o[1] > back + 0.5]
        assert late and all(o[0] == 200 for o in late), {o[0] for o in late}
        end = time.monotonic() + 3
        while proxy.fds() > fds + 17 and time.monotonic() < end:
            time.sleep(0.05)
        assert proxy.fds() <= fds + 17       # idle connections in the pool, at most one per client
    finally:
        again.stop()


@pytest.mark.parametrize("workers", [1, 2])
def test_many_connections_one_after_another(rig, workers):
    up = rig.upstream()
    proxy = rig.before(up, workers=workers)
    time.sleep(0.1)
    fds = proxy.fds()
    for _ in range(200):
        assert proxy.ask().body == b"hello"
    time.sleep(0.1)
    assert proxy.fds() <= fds + 2 * workers


def test_unix_socket_left_over_is_replaced(rig, tmp_path):
    path = tmp_path / "front.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    up = rig.upstream()
    rig.before(up, listen=f"unix:{path}")
    with Client(str(path)) as c:
        assert c.ask().body == b"hello"
