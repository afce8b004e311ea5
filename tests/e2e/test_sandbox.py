"""test_sandbox.py - what the server has given up, seen from outside; and that it still does all that it should."""
import os
import pathlib
import signal

import pytest

from ports import free_port
from proxy import run, sanitized
from test_supervisor import until

ROOT = os.geteuid() == 0
SECCOMP = not sanitized()                     # a sanitizer makes calls of its own: no filter there


def status_of(pid):
    return dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)


def threads_of(pid):
    return [status_of(f"{pid}/task/{t}") for t in os.listdir(f"/proc/{pid}/task")]


def test_every_thread_is_in_it(rig):
    proxy = rig.before(rig.upstream(), workers=2)
    assert proxy.ask().body == b"hello"
    said = proxy.probe("/status.json").json()["sandbox"]
    assert said["on"] and said["no_new_privs"] and said["seccomp"] == ("on" if SECCOMP else "off: an instrumented build")
    own = [t for t in threads_of(proxy.pid) if not t["Name"].startswith("tsan")]
    assert len(own) >= 3 or not SECCOMP
    for t in threads_of(proxy.pid) if SECCOMP else own[:1]:
        assert t["NoNewPrivs"] == "1" and t["Seccomp"] == ("2" if SECCOMP else "0"), t
        want = 1 << 2 if said["capabilities"] == "dac_read_search" else 0
        assert int(t["CapEff"], 16) == int(t["CapPrm"], 16) == want and int(t["CapInh"], 16) == 0
        assert not ROOT or int(t["CapBnd"], 16) == 0
    assert said["landlock"] == 0 or said["capabilities"] == ("dac_read_search" if ROOT else "none")


def test_off(rig):
    proxy = rig.before(rig.upstream(), sandbox="off")
    said = proxy.probe("/status.json").json()["sandbox"]
    assert not said["on"] and said["landlock"] == 0 and said["seccomp"].startswith("off")
    now = status_of(proxy.pid)
    assert now["Seccomp"] == "0" and now["NoNewPrivs"] == "0"
    assert now["CapEff"] == status_of(proxy.process.pid)["CapEff"]


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
@pytest.mark.parametrize("sandbox", ["on", "off"])
def test_another_user(rig, sandbox):
    """It is nobody, for good; the port below 1024 was opened before; the log goes on; a reload works where nobody may read."""
    import pwd
    nobody = pwd.getpwnam("nobody")
    folder = pathlib.Path("/tmp") / f"outrigger-{free_port()}"        # pytest's own folders are closed to others
    folder.mkdir(mode=0o755)
    try:
        proxy = rig.before(rig.upstream(), user="nobody", sandbox=sandbox, workers=2)
        proxy.stop()
        proxy.file = folder / "o.yaml"
        proxy.file.write_text(proxy.text)
        proxy.start(True)
        assert proxy.ask().body == b"hello"
        for t in threads_of(proxy.pid):
            assert {int(x) for x in t["Uid"].split()} == {nobody.pw_uid} and {int(x) for x in t["Gid"].split()} == {nobody.pw_gid}, t
            assert int(t["CapEff"], 16) == 0 and t["Groups"].split() in ([], [str(nobody.pw_gid)])
        assert status_of(proxy.process.pid)["Uid"].split()[0] == "0"          # the supervisor
        assert proxy.probe("/status.json").json()["sandbox"]["user"] == "nobody"
        assert proxy.admin("POST", "/reload").status == 200
        assert "process_open_fds 0\n" not in proxy.probe("/metrics").body.decode()
        server = proxy.pid
        os.kill(server, signal.SIGKILL)
        until(lambda: proxy.pid not in (server, proxy.process.pid))
        assert proxy.ask().body == b"hello"
        server = proxy.pid
        proxy.process.kill()                                  # the parent's death is a condition of the child's life, also as another user
        proxy.process.wait()
        until(lambda: not pathlib.Path(f"/proc/{server}").exists())
    finally:
        for f in folder.iterdir():
            f.unlink()
        folder.rmdir()
    import subprocess
    proxy.process = subprocess.Popen(["true"])
    proxy.process.wait()


@pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
def test_no_such_user():
    done = run("--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:1", "--set", "admin.listen=off", "--set", "user=no-such-one")
    assert done.returncode == 78 and "there is no such user" in done.stderr and done.stderr.count("server_started") == 1


@pytest.mark.skipif(not ROOT, reason="others may not read it anyway")
def test_a_reload_reads_what_the_start_could_read(rig):
    """Root without its privileges: a configuration of another user, closed to all others, is still read; nothing else is."""
    proxy = rig.before(rig.upstream())
    if not proxy.probe("/status.json").json()["sandbox"]["landlock"]:
        pytest.skip("no Landlock: nothing is kept")
    os.chown(proxy.file, 65534, 65534)
    proxy.file.chmod(0o600)
    assert proxy.admin("POST", "/reload").status == 200
    until(lambda: "reloaded" in proxy.err)
