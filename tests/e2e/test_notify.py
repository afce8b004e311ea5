"""test_notify.py - what the service manager hears (systemd's sd_notify protocol): ready, reloading, stopping, and that the loops turn."""
import os
import signal
import socket
import time

import pytest

from client import request
from test_reload import reload, rewrite
from upstream import reply


class Manager:
    """A service manager's ear: datagrams on a unix socket, as dicts."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.settimeout(10)

    def hear(self):
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def hear_but(self, key):
        """The next message that is not about this."""
        while True:
            heard = self.hear()
            if key not in heard:
                return heard

    def quiet(self, seconds):
        self.socket.settimeout(seconds)
        try:
            return self.socket.recv(4096) and False
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(10)


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = f"{tmp_path}/notify" if request.param == "path" else f"@outrigger-test-{os.getpid()}"
    m = Manager(name.replace("@", "\0"))
    m.name = name
    yield m
    m.socket.close()


def test_from_ready_to_stopping(rig, manager):
    up = rig.upstream(default=reply(b"late", delay=0.3))
    proxy = rig.before(up, env={"NOTIFY_SOCKET": manager.name}, shutdown={"delay": "100ms", "timeout": "20s"})
    assert manager.hear() == {"READY": "1", "STATUS": f"Serving on 127.0.0.1:{proxy.port}"}
    with proxy.client() as c:
        c.send(request())
        up.wait_for(1)
        proxy.signal(signal.SIGTERM)
        heard = manager.hear()
        assert heard.pop("EXTEND_TIMEOUT_USEC") == str(25_100_000)        # delay, timeout, and a little to end in
        assert heard == {"STOPPING": "1", "STATUS": "Draining"}
        assert c.read().body == b"late"
    assert proxy.wait() == 0 and manager.quiet(0.1)


def test_reloads(rig, manager):
    proxy = rig.before(rig.upstream(), env={"NOTIFY_SOCKET": manager.name})
    assert manager.hear()["READY"] == "1"
    rewrite(proxy, lambda c: c["routes"][0].update(timeout="7s"))
    before = time.clock_gettime(time.CLOCK_MONOTONIC)
    reload(proxy)
    heard = manager.hear()
    assert heard["RELOADING"] == "1" and before - 2 <= int(heard["MONOTONIC_USEC"]) / 1e6 <= time.clock_gettime(time.CLOCK_MONOTONIC)
    assert manager.hear()["STATUS"].startswith("Serving on")
    rewrite(proxy, lambda c: c["routes"][0].update(timeout=7))
    assert proxy.admin("POST", "/reload").status == 422
    assert manager.hear()["RELOADING"] == "1"
    heard = manager.hear()
    assert heard["READY"] == "1" and heard["STATUS"].startswith("What is on disk was refused; serving on")
    proxy.signal(signal.SIGHUP)                                           # and by signal
    assert manager.hear()["RELOADING"] == "1" and manager.hear()["READY"] == "1"


def test_watchdog(rig, manager):
    proxy = rig.before(rig.upstream(), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "300000"})
    assert manager.hear()["READY"] == "1"
    beats = []
    for _ in range(4):
        assert manager.hear() == {"WATCHDOG": "1"}
        beats.append(time.monotonic())
    assert beats[-1] - beats[0] < 3 * 0.3                                 # three within the time that one is wanted in
    proxy.signal(signal.SIGSTOP)                                          # a process that stands says nothing
    manager.quiet(0.2)
    assert manager.quiet(0.5)
    proxy.signal(signal.SIGCONT)
    assert manager.hear() == {"WATCHDOG": "1"}


def test_a_watchdog_that_is_for_somebody_else(rig, manager):
    rig.before(rig.upstream(), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    assert manager.hear()["READY"] == "1" and manager.quiet(0.5)


@pytest.mark.parametrize("name", ["/no/such/socket", "relative", "/" + "x" * 200, "@"])
def test_nobody_listens(rig, name):
    proxy = rig.before(rig.upstream(), env={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "100000"})
    assert proxy.ask().status == 200
    assert "notify_failed" in proxy.err


def test_the_manager_goes_away(rig, manager, tmp_path):
    proxy = rig.before(rig.upstream(), env={"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "100000"})
    manager.hear()
    manager.socket.close()
    time.sleep(0.3)
    assert proxy.ask().status == 200
