"""roots.py - fresh Debian 12 roots, and hosts of one: what a container engine does, by hand, with debootstrap, namespaces and chroot. As root.

A base root is bootstrapped once into build/roots and copied for each use. A Host is a network namespace with nothing but loopback in it, so
that the ports of the deploy files can be used as they stand.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from tools import ROOT, tool

FOLDER = ROOT / "build" / "roots"
slow = [pytest.mark.slow, pytest.mark.skipif(os.getuid() != 0, reason="needs root")]


def sh(script, timeout=900, **more):
    done = subprocess.run(["sh", "-euc", script], capture_output=True, text=True, timeout=timeout, **more)
    assert done.returncode == 0, f"{script}\nexit {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


def mirror():
    """Where this machine's own packages come from; None: debootstrap's default."""
    for line in tool("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)").splitlines():
        uri, release = line.rsplit(" ", 1)
        if release in ("bookworm", "stable"):
            return uri
    return None


def base():
    """A bootstrapped root that nobody changes."""
    root = FOLDER / "bookworm"
    if not root.exists():
        half = FOLDER / "bookworm.half"
        shutil.rmtree(half, ignore_errors=True)
        FOLDER.mkdir(parents=True, exist_ok=True)
        tool("debootstrap", "--variant=minbase", "bookworm", half, *filter(None, [mirror()]), timeout=1200)
        half.rename(root)
    return root


def fresh(name):
    root = FOLDER / name
    shutil.rmtree(root, ignore_errors=True)
    sh(f"cp -a --reflink=auto {base()} {root}")
    return root


def inside(root, script, env=None, cwd="/", timeout=900):
    """A shell script in a root, as RUN has it."""
    words = " ".join(f"{k}={quoted(v)}" for k, v in {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                                                      "DEBIAN_FRONTEND": "noninteractive", **(env or {})}.items())
    there = f"mount -t proc proc {root}/proc; exec chroot {root} env -i {words} sh -euc {quoted(f'cd {cwd}; {script}')}"
    return sh(f"unshare --mount --propagation private sh -euc {quoted(there)}", timeout=timeout)


def quoted(text):
    return "'" + str(text).replace("'", "'\\''") + "'"


class Host:
    """A network of its own. Processes are started in it, in a root that cannot be written to, as nobody in particular."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep 3600"], stdout=subprocess.PIPE, text=True)
        assert self.holder.stdout.readline() == "up\n"
        self.processes = []

    def enter(self, words):
        return ["nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *map(str, words)]

    def start(self, words, log=None):
        out = open(log, "wb") if log else subprocess.DEVNULL
        self.processes.append(subprocess.Popen(self.enter(words), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT))
        return self.processes[-1]

    def run(self, words, timeout=30):
        return subprocess.run(self.enter(words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)

    def get(self, url, *more):
        return self.run(["curl", "-s", "-m", "5", *more, url]).stdout

    def close(self):
        for p in [*self.processes, self.holder]:
            if p.poll() is None:
                p.kill()
            p.wait()


def contained(root, user, env, words):
    """The words of a container: read-only root, /tmp not writable either, no capability, no new privileges, a numeric user."""
    inner = " ".join(quoted(w) for w in ["setpriv", f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
                                         "--inh-caps=-all", "env", "-i", *(f"{k}={v}" for k, v in env.items()), *words])
    mounts = f"mount --bind {root} {root}; mount -o remount,ro,bind {root}; mount -t proc proc {root}/proc; exec chroot {root} {inner}"
    return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", mounts]


def end(process, number=signal.SIGTERM, patience=20):
    process.send_signal(number)
    return process.wait(patience)


def files_of(root):
    return {str(p.relative_to(root)) for p in pathlib.Path(root).rglob("*") if p.is_file() or p.is_symlink()}


BOOT = """
mount --bind {root} {root}
mount -t proc proc {root}/proc
for d in run tmp dev; do mount -t tmpfs tmpfs {root}/$d; done
mount -t sysfs -o ro sysfs {root}/sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
	mount -t cgroup2 cgroup {root}/sys/fs/cgroup
else
	mount -t tmpfs tmpfs {root}/sys/fs/cgroup
	mkdir {root}/sys/fs/cgroup/systemd
	mount -t cgroup -o none,name=systemd cgroup {root}/sys/fs/cgroup/systemd
fi
for n in 'null 1 3' 'zero 1 5' 'full 1 7' 'random 1 8' 'urandom 1 9' 'tty 5 0'; do
	set -- $n
	mknod -m 666 {root}/dev/$1 c $2 $3
done
touch {root}/dev/console
mkdir {root}/dev/pts {root}/dev/shm {root}/dev/mqueue {root}/run/before
mount -t devpts -o newinstance,ptmxmode=0666 devpts {root}/dev/pts
mount -t tmpfs tmpfs {root}/dev/shm
mount -t mqueue mqueue {root}/dev/mqueue
ln -s pts/ptmx {root}/dev/ptmx
ln -s /proc/self/fd {root}/dev/fd
ip link set lo up
cd {root}
pivot_root . run/before
umount -l /run/before
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=basic.target --log-target=null --show-status=0
"""


class Booted:
    """systemd as the first process of a root, in namespaces of its own: processes, files, network, cgroups. Nothing but basic.target."""

    def __init__(self, root):
        for folder in ("sysinit", "multi-user", "sockets", "timers", "local-fs"):        # nothing that is about a real machine
            for link in root.glob(f"*/systemd/system/{folder}.target.wants/*"):
                link.unlink()
        words = ["unshare", "--fork", "--pid", "--mount", "--net", "--uts", "--ipc", "--cgroup", "--propagation", "private", "--kill-child"]
        if subprocess.run([*words, "true"], capture_output=True).returncode != 0:
            pytest.skip("this machine gives no namespaces")
        self.shell = subprocess.Popen([*words, "sh", "-euc", BOOT.format(root=root)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        end = time.monotonic() + 20
        while True:
            children = pathlib.Path(f"/proc/{self.shell.pid}/task/{self.shell.pid}/children").read_text().split()
            self.pid = children[0] if children else None
            if self.pid and self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"):
                return
            if self.shell.poll() is not None or time.monotonic() > end:
                said = self.shell.stdout.read().decode() if self.shell.poll() is not None else "it does not come up"
                self.close()
                raise AssertionError(f"systemd: {said}")
            time.sleep(0.2)

    def run(self, *words, timeout=60):
        return subprocess.run(["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "--uts", "--ipc", "--root", "env", "-i",
                               "PATH=/usr/sbin:/usr/bin:/sbin:/bin", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, cwd="/")

    def show(self, unit, *names):
        out = self.run("systemctl", "show", unit, *(f"--property={n}" for n in names)).stdout
        return dict(line.split("=", 1) for line in out.splitlines())

    def close(self):
        self.shell.kill()                 # --kill-child: and with it everything in the namespace of processes
        self.shell.wait()
