"""test_image.py - the Dockerfile: what it says, and (slow) what comes out when its steps are carried out in fresh Debian roots."""
import json
import re
import time

import pytest

import dockerfile
import roots
from tools import ROOT

DOCKERFILE = ROOT / "docker" / "Dockerfile"
APP = """
import http.server
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "3")
        self.end_headers()
        self.wfile.write(b"app")
http.server.ThreadingHTTPServer(("127.0.0.1", 3000), App).serve_forever()
"""


def test_what_it_says():
    steps = dockerfile.instructions(DOCKERFILE)
    assert [r.split()[0] for w, r in steps if w == "FROM"] == ["debian:12-slim"] * 2
    last = dict(steps)                                            # the last of each word is the last stage's
    assert last["USER"] == "65532:65532" and last["STOPSIGNAL"] == "SIGTERM"
    assert last["HEALTHCHECK"].endswith('CMD ["outrigger", "healthcheck"]')
    assert json.loads(last["ENTRYPOINT"]) == ["outrigger"]


def test_what_the_build_does_not_get(tmp_path):
    ignored = dockerfile.Ignored(DOCKERFILE.with_name("Dockerfile.dockerignore"))(tmp_path)
    assert set(ignored(tmp_path, [".git", "build", "src", "Makefile", "__pycache__"])) == {".git", "build", "__pycache__"}
    assert ignored(tmp_path / "tests", ["build", "__pycache__", "e2e"]) == ["__pycache__"]


@pytest.fixture(scope="module")
def image():
    return dockerfile.Image(DOCKERFILE, ROOT, dockerfile.Ignored(DOCKERFILE.with_name("Dockerfile.dockerignore")))


@pytest.fixture
def host():
    h = roots.Host()
    yield h
    h.close()


def start(host, image, log, **env):
    user = image.settings["USER"].split(":")
    return host.start(roots.contained(image.root, user, {"PATH": "/usr/bin:/bin", **image.env, **env}, image.words("ENTRYPOINT") + image.words("CMD")), log)


def healthy(host, image):
    """HEALTHCHECK's own words, in the container."""
    words = json.loads(re.search(r"CMD (\[.*\])", image.settings["HEALTHCHECK"])[1])
    return host.run(roots.contained(image.root, image.settings["USER"].split(":"), {"PATH": "/usr/bin:/bin"}, words)).returncode


class TestBuilt:
    pytestmark = roots.slow

    def test_only_what_is_needed_is_in_it(self, image):
        there = roots.files_of(image.root)
        assert "usr/bin/outrigger" in there and "etc/outrigger/outrigger.yaml" in there
        assert not {"usr/bin/gcc", "usr/bin/make"} & there and not any(f.startswith(("src/", "var/lib/apt/lists/deb")) for f in there)
        assert "not found" not in roots.inside(image.root, "ldd /usr/bin/outrigger")
        assert "outrigger" in roots.inside(image.root, "outrigger --version")

    def test_it_runs_as_nobody_on_a_read_only_root(self, image, host, tmp_path):
        assert healthy(host, image) == 1                          # nobody there
        host.start(["python3", "-c", APP])
        process = start(host, image, tmp_path / "log")
        end = time.monotonic() + 15
        while healthy(host, image) != 0:
            assert time.monotonic() < end and process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.2)
        while host.get("http://127.0.0.1:8080/") != "app":
            assert time.monotonic() < end
            time.sleep(0.2)
        status = open(f"/proc/{process.pid}/status").read()
        assert re.search(r"^Uid:\s65532\s65532\s65532\s65532$", status, re.M) and re.search(r"^CapEff:\s0+$", status, re.M)
        assert re.search(r"^NoNewPrivs:\s1$", status, re.M)
        assert "outrigger_ready 1" in host.get("http://127.0.0.1:9901/metrics")
        assert roots.end(process) == 0                            # STOPSIGNAL
        assert "Read-only" not in (tmp_path / "log").read_text()

    def test_what_is_mounted_is_watched(self, image, host, tmp_path):
        """CMD has --watch: a file that changes is taken into use."""
        conf = image.root / "etc/outrigger/outrigger.yaml"
        before = conf.read_text()
        process = start(host, image, tmp_path / "log")
        end = time.monotonic() + 15
        while healthy(host, image) != 0:
            assert time.monotonic() < end
            time.sleep(0.2)
        try:
            assert host.get("http://127.0.0.1:8080/", "-o", "/dev/null", "-w", "%{http_code}") == "502"
            conf.write_text(before.replace("    upstream: app\n    timeout: 10s\n", "    respond: { body: changed }\n"))
            while host.get("http://127.0.0.1:8080/") != "changed":
                assert time.monotonic() < end + 15, (tmp_path / "log").read_text()
                time.sleep(0.2)
            assert roots.end(process) == 0
        finally:
            conf.write_text(before)
