"""test_package.py - the Debian package: lintian has nothing to say; (slow) it installs, runs and goes away in a fresh Debian root."""
import os
import re
import subprocess
import time

import pytest

import roots
from tools import ROOT, tool


def package():
    found = sorted((ROOT / "build").glob("outrigger_*.deb"))
    assert len(found) == 1, f"make deb: {found}"
    return found[0]


def test_lintian_has_nothing_to_say():
    assert tool("lintian", "--allow-root", "--fail-on", "error,warning", package()) == ""


def test_what_is_in_it():
    names = {x.split()[-1] for x in tool("dpkg-deb", "-c", package()).splitlines()}
    for name in ("usr/bin/outrigger", "etc/outrigger/outrigger.yaml", "lib/systemd/system/outrigger.service", "usr/share/man/man8/outrigger.8.gz",
                 "usr/share/bash-completion/completions/outrigger", "usr/share/zsh/vendor-completions/_outrigger",
                 "usr/share/fish/vendor_completions.d/outrigger.fish", "usr/share/outrigger/prometheus/alerts.yaml", "usr/share/doc/outrigger/operations.md"):
        assert f"./{name}" in names, name
    members = subprocess.run(f"dpkg-deb --ctrl-tarfile {package()} | tar -t", shell=True, capture_output=True, text=True).stdout.split()
    assert set(members) == {"./", "./control", "./conffiles", "./md5sums"}          # no maintainer scripts


def test_the_same_sources_make_the_same_package(tmp_path):
    version = tool("dpkg-deb", "-f", package(), "Version").strip()
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        subprocess.run([ROOT / "conf" / "debian" / "build.sh", version, tmp_path / name], check=True, capture_output=True, cwd=ROOT,
                       env={"PATH": os.environ["PATH"], "SOURCE_DATE_EPOCH": "1700000000"})
        made.append(next((tmp_path / name).glob("*.deb")).read_bytes())
        time.sleep(1.1)
    assert made[0] == made[1]


def test_what_it_needs():
    depends = tool("dpkg-deb", "-f", package(), "Depends")
    for name in ("libc6", "libcurl4", "libssl3", "libuv1", "libyaml-0-2", "libc-ares2", "libpcre2-8-0"):
        assert re.search(rf"(^|, ){name}( \(|,|$)", depends), name


@pytest.fixture(scope="module")
def root():
    r = roots.fresh("package")
    (r / "outrigger.deb").write_bytes(package().read_bytes())
    roots.inside(r, "apt-get update -q && apt-get install -q -y --no-install-recommends /outrigger.deb")
    return r


class TestInstalled:
    pytestmark = roots.slow

    def test_it_runs_as_the_unit_says(self, root, tmp_path):
        unit = (root / "lib/systemd/system/outrigger.service").read_text()
        words = re.search(r"^ExecStart=(.*)$", unit, re.M)[1].split()
        host = roots.Host()
        try:
            process = host.start(roots.contained(root, (61234, 61234), {"PATH": "/usr/bin:/bin"}, words), tmp_path / "log")
            end = time.monotonic() + 15
            while '"reason":"connection_refused"' not in (body := host.get("http://127.0.0.1:8080/")):
                assert time.monotonic() < end, (body, (tmp_path / "log").read_text())
                time.sleep(0.2)
            assert host.run(roots.contained(root, (61234, 61234), {"PATH": "/usr/bin:/bin"}, ["outrigger", "status"])).returncode == 0
            assert roots.end(process) == 0
        finally:
            host.close()

    def test_the_commands_of_the_first_hour(self, root):
        assert ": ok," in roots.inside(root, "outrigger check")
        assert "circuit_open (503" in roots.inside(root, "outrigger help circuit_open")
        for path in sorted((root / "usr/share/outrigger/examples").glob("*.yaml")):
            assert ": ok," in roots.inside(root, f"outrigger check -c /{path.relative_to(root)}")

    def test_an_upgrade_keeps_what_was_edited(self, root):
        conf = root / "etc/outrigger/outrigger.yaml"
        conf.write_text(conf.read_text() + "# edited\n")
        roots.inside(root, "dpkg -i --force-confdef /outrigger.deb")
        assert conf.read_text().endswith("# edited\n")

    def test_it_goes_away(self, root):
        roots.inside(root, "dpkg --purge outrigger")
        left = [f for f in roots.files_of(root) if "outrigger" in f and f != "outrigger.deb" and not f.startswith("var/log")]
        assert left == []
