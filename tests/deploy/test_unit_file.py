"""test_unit_file.py - the systemd unit: good, hardened, and not so much that outrigger could not do its work under it."""
import configparser
import os
import re
import shutil
import signal
import subprocess

import pytest

from tools import ROOT, tool
from proxy import BIN, sanitized

UNIT = ROOT / "conf" / "systemd" / "outrigger.service"


class Keys(dict):
    """Keys that may stand several times: all values, in order."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and key in self:
            self[key].extend(value)
            return
        super().__setitem__(key, value)


def section(name):
    parser = configparser.RawConfigParser(dict_type=Keys, strict=False, delimiters="=", comment_prefixes="#", interpolation=None)
    parser.optionxform = str
    parser.read(UNIT)
    return {k: v.split("\n") for k, v in parser.items(name)}


def test_systemd_understands_it(tmp_path):
    """ExecStart must exist for `verify`, so the unit is checked with the binary of this test; man pages are not installed here."""
    text = UNIT.read_text().replace("/usr/bin/outrigger", BIN)
    (tmp_path / "outrigger.service").write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.M))
    assert tool("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", tmp_path / "outrigger.service") == ""


def test_exposure():
    """At most 2.0 of 10."""
    out = tool("systemd-analyze", "security", "--offline=true", "--no-pager", UNIT)
    assert float(re.search(r"Overall exposure level for \S+: ([0-9.]+)", out)[1]) <= 2.0
    tool("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", UNIT)


def test_what_it_says():
    service = section("Service")
    assert service["Type"] == ["notify"] and service["RestartPreventExitStatus"] == ["64 78"]
    assert service["DynamicUser"] == ["yes"] and "User" not in service
    assert service["ExecReload"][0].startswith("/usr/bin/outrigger check ") and service["ExecReload"][1] == "/bin/sh -c 'kill -HUP $MAINPID'"    # no procps needed
    assert {w.split("-c ")[1] for w in service["ExecStart"] + service["ExecReload"][:1]} == {"/etc/outrigger/outrigger.yaml"}


def allowed_syscalls(words):
    """What a SystemCallFilter= amounts to, as systemd itself spells its groups out; systemd always allows what its @default has."""
    def expand(word):
        if not word.startswith("@"):
            return {word}
        lines = tool("systemd-analyze", "syscall-filter", word).splitlines()[1:]
        names = [x.strip() for x in lines if x.strip() and not x.strip().startswith("#")]
        return set().union(*(expand(n) for n in names))
    allowed = expand("@default")
    for line in words:
        if line.startswith("~"):
            for w in line[1:].split():
                allowed -= expand(w)
        else:
            for w in line.split():
                allowed |= expand(w)
    return allowed


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_it_needs_no_system_call_that_is_filtered(tmp_path, rig):
    """A whole life under strace: start, requests, a reload, drain."""
    if sanitized():
        pytest.skip("a sanitizer has system calls of its own")
    up = rig.upstream()
    proxy = rig.before(up, workers=2, upstream={"health_check": {"path": "/", "interval": "100ms"}}, wait=False)
    (tmp_path / "apart").mkdir()           # what is written into the watched folder would be seen, traced, written ...
    trace = tmp_path / "apart" / "trace"
    proxy.ready()
    proxy.stop()
    with open(proxy.out_file, "wb") as out, open(proxy.err_file, "wb") as err:
        proxy.process = subprocess.Popen(["strace", "-f", "-qq", "-o", str(trace), BIN, "run", "--watch", "-c", str(proxy.file)], stdout=out, stderr=err)
    try:
        proxy.ready()
        for path in ("/", "/x"):
            assert proxy.ask("GET", path).status == 200
        assert proxy.ask("POST", "/", body=b"x" * 300000).status == 200
        assert proxy.admin("GET", "/metrics").status == 200 and proxy.admin("POST", "/reload").status == 200
        child = int(subprocess.run(["pgrep", "-P", str(proxy.process.pid)], capture_output=True, text=True).stdout.split()[0])
        os.kill(child, signal.SIGTERM)
        assert proxy.process.wait(20) == 0
    finally:
        proxy.kill()
    used = set(re.findall(r"^\d+ +(?:<\.\.\. )?([a-z_0-9]+)(?:\(| resumed)", trace.read_text(), flags=re.M))
    assert {"epoll_wait", "sendto", "recvfrom"} & used and len(used) > 30
    denied = used - allowed_syscalls(section("Service")["SystemCallFilter"])
    assert denied <= TOLERATED, denied - TOLERATED


TOLERATED = {"arch_prctl"}     # of the C library, before main; systemd installs the filter with it allowed
