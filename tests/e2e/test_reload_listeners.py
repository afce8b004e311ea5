"""test_reload_listeners.py - listeners that come and go while it runs: nobody on another one notices, and whoever is on one that goes is served to the end."""
import os
import signal
import socket

import pytest

from client import Client, request, until
from load import Load
from ports import free_port
from test_admin import scrape
from test_reload import reload, rewrite
from test_supervisor import crash
from upstream import reply


def listen(proxy, *addresses):
    rewrite(proxy, lambda c: c.update(listen=list(addresses)))


def refused(address):
    try:
        Client(address).close()
    except OSError:                                               # nobody there, or no such file
        return True
    return False


def accepted(proxy, address):
    return scrape(proxy).get(f'outrigger_connections_accepted_total{{listener="{address}"}}')


@pytest.mark.parametrize("supervisor", ["on", "off"])
def test_one_comes_and_one_goes(rig, supervisor):
    proxy = rig.before(rig.upstream(), supervisor=supervisor)
    old, new = f"127.0.0.1:{proxy.port}", f"127.0.0.1:{free_port()}"
    at = ("127.0.0.1", int(new.split(":")[1]))
    assert refused(at)
    listen(proxy, old, new)
    assert f"+listener {new}" in reload(proxy)
    with Client(at) as c:
        assert c.ask().status == 200
    assert proxy.ask().status == 200
    assert accepted(proxy, new) == 1 and accepted(proxy, old) == 1
    assert [e["event"] for e in proxy.events()].count("listening") == 2
    listen(proxy, new)
    assert f"-listener {old}" in reload(proxy)
    until(lambda: refused(("127.0.0.1", proxy.port)), 3)
    assert accepted(proxy, old) is None
    with Client(at) as c:
        assert c.ask().status == 200
    assert accepted(proxy, new) == 2
    assert [x["address"] for x in proxy.admin("GET", "/status.json").json()["listeners"]] == [new]
    assert new in proxy.probe("/readyz?verbose").body.decode()
    proxy.stop(signal.SIGTERM)
    assert refused(at)


def test_who_is_on_one_that_goes_is_served_to_the_end(rig):
    up = rig.upstream()
    proxy = rig.before(up)
    other = f"127.0.0.1:{free_port()}"
    idle, busy, late = proxy.client(), proxy.client(), proxy.client()
    assert idle.ask().status == 200 and late.ask().status == 200
    up.script = [reply(b"slow", delay=1)]
    busy.send(request())
    up.wait_for(3)
    listen(proxy, other)
    reload(proxy)
    r = busy.read()
    assert r.body == b"slow" and r.fields.get("connection") == "close"
    assert busy.ended()
    assert idle.ended()                                          # within a second or so, each at another moment
    assert late.ended()
    assert not [e for e in proxy.access_log(3) if e["status"] != 200]
    for c in (idle, busy, late):
        c.close()
    with Client(("127.0.0.1", int(other.split(":")[1]))) as c:
        assert c.ask().status == 200


def test_a_socket_file_comes_and_goes(rig):
    proxy = rig.before(rig.upstream())
    path = str(proxy.tmp / "o.sock")
    tcp = f"127.0.0.1:{proxy.port}"
    listen(proxy, tcp, f"unix:{path}")
    reload(proxy)
    for _ in range(8):                                            # all threads listen to it
        with Client(path) as c:
            assert c.ask().status == 200
    listen(proxy, tcp)
    reload(proxy)
    assert not os.path.exists(path) and refused(path)
    assert proxy.ask().status == 200


def test_an_address_that_cannot_be_had_changes_nothing(rig):
    proxy = rig.before(rig.upstream())
    old, good = f"127.0.0.1:{proxy.port}", f"127.0.0.1:{free_port()}"
    with socket.create_server(("127.0.0.1", 0)) as somebody:
        taken = f"127.0.0.1:{somebody.getsockname()[1]}"
        rewrite(proxy, lambda c: c.update(listen=[good, old, taken], routes=[{"path": "/", "respond": {"status": 204}}]))
        r = proxy.admin("POST", "/reload")
        assert r.status == 422 and r.body.decode() == f"listen: {taken}: the address is in use by another process\n"
        until(lambda: refused(("127.0.0.1", int(good.split(":")[1]))), 3)   # the one that could be had was given back
        assert proxy.ask().status == 200
        assert f"listen: {taken}" in proxy.admin("GET", "/status.json").json()["config"]["reload_error"]
    reload(proxy)
    assert proxy.ask().status == 204


@pytest.mark.parametrize("workers", [1, 2])
def test_an_address_that_has_just_gone_can_come_back_at_once(rig, workers):
    """Its old listener still has its last look then."""
    proxy = rig.before(rig.upstream(), workers=workers)
    old, other = f"127.0.0.1:{proxy.port}", ("127.0.0.1", free_port())
    for _ in range(10):
        listen(proxy, old, f"127.0.0.1:{other[1]}")
        reload(proxy)
        with Client(other) as c:
            assert c.ask().status == 200
        listen(proxy, old)
        reload(proxy)


def test_a_listener_that_wants_the_place_of_one_that_goes(rig):
    proxy = rig.before(rig.upstream())
    listen(proxy, f"0.0.0.0:{proxy.port}")
    r = proxy.admin("POST", "/reload")
    assert r.status == 422 and b"first reload without either" in r.body
    assert proxy.ask().status == 200


def test_nobody_on_another_listener_notices(rig):
    proxy = rig.before(rig.upstream(), upstream={"pool": {"idle_timeout": "300ms"}})
    old = f"127.0.0.1:{proxy.port}"
    ports = [free_port() for _ in range(3)]
    assert proxy.ask().status == 200
    until(lambda: not proxy.upstream_connections())
    before = proxy.fds()
    load = Load(("127.0.0.1", proxy.port), 64)
    load.wait_for(200)
    for i in range(10):
        listen(proxy, old, *[f"127.0.0.1:{p}" for p in ports[:i % 4]])
        reload(proxy)
        for p in ports[:i % 4]:
            with Client(("127.0.0.1", p)) as c:
                assert c.ask().status == 200
    listen(proxy, old)
    reload(proxy)
    load.stop()
    assert set(load.statuses()) == {200} and not load.failed and not load.refused
    until(lambda: not proxy.upstream_connections())
    until(lambda: proxy.fds() <= before)
    until(lambda: all(refused(("127.0.0.1", p)) for p in ports), 3)


def test_the_successor_has_them_too(rig):
    proxy = rig.before(rig.upstream())
    old, new = f"127.0.0.1:{proxy.port}", f"127.0.0.1:{free_port()}"
    at = ("127.0.0.1", int(new.split(":")[1]))
    listen(proxy, new)
    reload(proxy)
    crash(proxy, signal.SIGKILL)
    with Client(at) as c:                                         # it waited in the backlog
        assert c.ask().status == 200
    assert refused(("127.0.0.1", proxy.port))
    listen(proxy, old, new)                                       # and it can be asked for more
    reload(proxy)
    assert proxy.ask().status == 200


def test_term_in_the_middle_of_a_reload(rig):
    for _ in range(5):
        proxy = rig.before(rig.upstream())
        new = f"127.0.0.1:{free_port()}"
        with proxy.client() as c:
            assert c.ask().status == 200
            listen(proxy, new)
            assert proxy.admin("POST", "/reload").status == 200
            proxy.signal(signal.SIGTERM)
            assert c.ended()
        assert proxy.wait() == 0
        assert refused(("127.0.0.1", int(new.split(":")[1]))) and refused(("127.0.0.1", proxy.port))
