"""test_service.py - (slow) the package's service under a real systemd, which has been booted in a fresh root: ready, reload, watchdog, crash, stop."""
import subprocess
import time

import pytest

import roots
from test_package import package

pytestmark = roots.slow
CONF = "etc/outrigger/outrigger.yaml"
RESPOND = "listen: 127.0.0.1:8080\nroutes: [{path: /, respond: {body: \"%s\"}}]\n"


@pytest.fixture(scope="module")
def system():
    root = roots.fresh("booted")
    (root / "outrigger.deb").write_bytes(package().read_bytes())
    roots.inside(root, "apt-get update -q && apt-get install -q -y --no-install-recommends systemd curl /outrigger.deb")
    quick = root / "etc/systemd/system/outrigger.service.d"
    quick.mkdir(parents=True)
    (quick / "quick.conf").write_text("[Service]\nWatchdogSec=2s\nRestartSec=100ms\n")
    s = roots.Booted(root)
    s.root = root
    yield s
    s.close()


@pytest.fixture(autouse=True)
def fresh_service(system):
    (system.root / CONF).write_text(RESPOND % "one")
    yield
    system.run("systemctl", "stop", "outrigger")
    system.run("systemctl", "reset-failed", "outrigger")


def start(system):
    done = system.run("systemctl", "start", "outrigger")
    assert done.returncode == 0, done.stderr + system.run("systemctl", "status", "outrigger").stdout
    return system.show("outrigger", "MainPID")["MainPID"]


def ask(system):
    return system.run("curl", "-s", "-m", "5", "http://127.0.0.1:8080/").stdout


def until(true, patience=15):
    end = time.monotonic() + patience
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_it_is_neither_enabled_nor_started_by_installing_it(system):
    assert system.run("systemctl", "is-enabled", "outrigger").stdout.strip() == "disabled"
    assert system.show("outrigger", "ActiveState")["ActiveState"] == "inactive"


def test_started_means_serving(system):
    """Type=notify: `systemctl start` returns when requests are answered; under a user that exists only now, with nothing that is not needed."""
    pid = start(system)
    assert ask(system) == "one"
    assert system.show("outrigger", "ActiveState", "StatusText") == {"ActiveState": "active", "StatusText": "Serving on 127.0.0.1:8080"}
    status = dict(line.split(":\t", 1) for line in system.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":\t" in line)
    assert int(status["Uid"].split()[0]) >= 61184 and int(status["CapEff"], 16) == 0 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"


def test_reload(system):
    pid = start(system)
    (system.root / CONF).write_text(RESPOND % "two")
    assert system.run("systemctl", "reload", "outrigger").returncode == 0
    until(lambda: ask(system) == "two")
    (system.root / CONF).write_text("listen: 127.0.0.1:8080\nroutes: [{path: /, respond: {bod: x}}]\n")
    assert system.run("systemctl", "reload", "outrigger").returncode != 0          # `outrigger check` says no, before anything is asked to reload
    assert ask(system) == "two" and system.show("outrigger", "MainPID", "ActiveState") == {"MainPID": pid, "ActiveState": "active"}


def server_of(system, supervisor):
    return system.run("cat", f"/proc/{supervisor}/task/{supervisor}/children").stdout.split()[0]


def test_a_server_that_crashes_is_replaced_without_systemd(system):
    pid = start(system)
    before = server_of(system, pid)
    system.run("sh", "-c", f"kill -SEGV {before}")
    until(lambda: ask(system) == "one" and server_of(system, pid) != before)
    assert system.show("outrigger", "MainPID", "NRestarts", "ActiveState") == {"MainPID": pid, "NRestarts": "0", "ActiveState": "active"}


def test_a_supervisor_that_crashes_is_replaced_by_systemd(system):
    before = start(system)
    system.run("sh", "-c", f"kill -SEGV {before}")
    until(lambda: ask(system) == "one" and system.show("outrigger", "MainPID")["MainPID"] not in ("0", before))
    assert system.show("outrigger", "NRestarts")["NRestarts"] == "1"


def test_a_process_that_stands_is_replaced(system):
    before = start(system)
    time.sleep(3)                         # longer than WatchdogSec: the beats come
    assert system.show("outrigger", "MainPID")["MainPID"] == before
    system.run("sh", "-c", f"kill -STOP {before}")
    until(lambda: ask(system) == "one" and system.show("outrigger", "MainPID")["MainPID"] not in ("0", before))


def test_a_refused_configuration_is_not_tried_again(system):
    (system.root / CONF).write_text("nonsense: 1\n")
    assert system.run("systemctl", "start", "outrigger").returncode != 0
    time.sleep(1)
    shown = system.show("outrigger", "ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}


def test_stop_drains(system):
    """`systemctl stop` waits for what is in flight, for longer than TimeoutStopSec, because outrigger asks for the time."""
    (system.root / CONF).write_text("listen: 127.0.0.1:8080\nroutes: [{path: /, upstream: 'http://127.0.0.1:1', timeout: 30s,\n"
                                    "  fault: {delay: 13s, abort: 418, share: 100%}}]\n")
    start(system)
    client = subprocess.Popen(["nsenter", f"--target={system.pid}", "--net", "curl", "-s", "http://127.0.0.1:8080/"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    began = time.monotonic()
    assert system.run("systemctl", "stop", "outrigger").returncode == 0
    assert 11 < time.monotonic() - began < 20
    assert "fault_injected" in client.communicate(timeout=5)[0]
    assert system.show("outrigger", "Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}
