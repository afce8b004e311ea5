"""proxy.py - outrigger as a process: a configuration on disk, free ports, readiness, logs; and at the end the questions that every
test asks: did it leave with 0, is there no sanitizer's report, nothing left over?

OUTRIGGER_BIN      the binary (default: build/$VARIANT/outrigger, VARIANT release)
OUTRIGGER_WORKERS  puts `workers: N` into every configuration that does not say otherwise
"""
import json
import os
import pathlib
import re
import signal as signals
import subprocess
import time

import yaml

from client import PATIENCE, Client
from ports import free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = str(pathlib.Path(os.environ.get("OUTRIGGER_BIN") or ROOT / "build" / os.environ.get("VARIANT", "release") / "outrigger").absolute())
WORKERS = int(os.environ.get("OUTRIGGER_WORKERS", "0"))
BAD = re.compile(r"Sanitizer|runtime error:|must\(|must failed|assertion", re.I)


def sanitized():
    """Is the binary built with a sanitizer? Then bounds on time mean nothing."""
    text = pathlib.Path(BIN).read_bytes()
    return b"__asan_init" in text or b"__tsan_init" in text


def server_of(pid):
    """The server under this supervisor; None: there is none, or no supervisor."""
    children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else None


def environment(**more):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OUTRIGGER_", "NOTIFY_", "OTEL_"))}
    env.setdefault("ASAN_OPTIONS", "abort_on_error=0:detect_stack_use_after_return=0")
    env.setdefault("TSAN_OPTIONS", "halt_on_error=0:exitcode=66")
    env.update(more)
    return env


def run(*words, stdin=None, timeout=30, **env):
    """A command to its end."""
    done = subprocess.run([BIN, *map(str, words)], input=stdin, capture_output=True, text=True, timeout=timeout, env=environment(**env))
    assert not BAD.search(done.stderr), done.stderr
    return done



class Outrigger:
    """Outrigger(tmp, {...}): routes or upstreams as in the file; the rest is filled in for a quick test."""

    def __init__(self, tmp, conf, words=(), wait=True, env=None):
        self.tmp, self.conf, self.words, self.env = pathlib.Path(tmp), dict(conf), words, env or {}
        self.process = None
        for _ in range(3):
            self.ports()
            try:
                if self.start(wait):
                    return
            except BaseException:
                self.kill()
                raise
        raise AssertionError(f"cannot listen:\n{self.err}")

    def ports(self):
        self.port, self.admin_port = free_port(), free_port()
        c = {"listen": f"127.0.0.1:{self.port}", "admin": {"listen": f"127.0.0.1:{self.admin_port}"},
             "access_log": {"to": "stdout", "format": "json", "skip_paths": []},
             "overload": {"loop_lag": "0s"}, **self.conf}      # how busy the machine is that runs the tests, is not what they are about
        if WORKERS:
            c.setdefault("workers", WORKERS)
        text = yaml.safe_dump(c, sort_keys=False, default_flow_style=False)
        self.text = text.replace("{PORT}", str(self.port)).replace("{TMP}", str(self.tmp)).replace("{ADMIN}", str(self.admin_port))
        self.file = self.tmp / f"outrigger-{self.port}.yaml"
        self.file.write_text(self.text)

    def start(self, wait):
        self.out_file, self.err_file = self.tmp / f"out-{self.port}", self.tmp / f"err-{self.port}"
        with open(self.out_file, "wb") as out, open(self.err_file, "wb") as err:
            self.process = subprocess.Popen([BIN, "run", "-c", str(self.file), *self.words], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=err, env=environment(**self.env), cwd=self.tmp)
        return not wait or self.ready()

    def ready(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            code = self.process.poll()
            if code == 69:
                return False
            assert code is None, f"exit {code}:\n{self.text}\n{self.err}"
            try:
                if self.probe("/startupz").status == 200:
                    return True
            except OSError:
                pass
            time.sleep(0.01)
        raise AssertionError(f"not started after {PATIENCE} s:\n{self.err}")

    # ── talking to it ──

    def client(self, **more):
        return Client(("127.0.0.1", self.port), **more)

    def ask(self, method="GET", target="/", *fields, **more):
        """One request on a connection of its own."""
        with self.client() as c:
            return c.ask(method, target, *fields, **more)

    def admin(self, method="GET", target="/", *fields, **more):
        with Client(("127.0.0.1", self.admin_port)) as c:
            return c.ask(method, target, *fields, host=f"127.0.0.1:{self.admin_port}", **more)

    def probe(self, path):
        return self.admin("GET", path)

    # ── looking at it ──

    @property
    def err(self):
        return self.err_file.read_text(errors="replace")

    def access_log(self, count=1, patience=3, **want):
        """The access log's lines (dicts) that match; waits until there are so many."""
        end = time.monotonic() + patience
        while True:
            lines = [json.loads(x) for x in self.out_file.read_text().splitlines() if x.startswith("{")]
            found = [x for x in lines if all(x.get(k) == v for k, v in want.items())]
            if len(found) >= count:
                return found
            assert time.monotonic() < end, f"{len(found)} of {count} lines {want}: {lines[-5:]}"
            time.sleep(0.02)

    @property
    def workers(self):
        return self.conf.get("workers", WORKERS or 1)

    def events(self):
        """What it has said about itself: dicts of its JSON lines."""
        return [json.loads(x) for x in self.err.splitlines() if x.startswith("{")]

    @property
    def pid(self):
        """Of the process that serves: the supervisor's child, or the only one."""
        return server_of(self.process.pid) or self.process.pid

    def upstream_connections(self):
        return sum(e["connections"] for u in self.probe("/upstreams").json() for e in u["endpoints"])

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def rss(self):
        with open(f"/proc/{self.pid}/statm") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    # ── the end ──

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE * 2):
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"still running {patience} s later:\n{self.err}") from None

    def stop(self, number=signals.SIGQUIT):
        """Ends it, if the test has not, and asks the questions."""
        if self.process.poll() is None:
            self.signal(number)
        code = self.wait()
        err = self.err
        assert not BAD.search(err), err
        assert code == 0, f"exit {code}:\n{err}"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
