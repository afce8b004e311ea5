"""test_install.py - make install puts everything below PREFIX, with paths that say so; make uninstall takes it all away."""
import os
import re
import subprocess

from tools import ROOT


def make(*words):
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    done = subprocess.run(["make", "-C", ROOT, *words], capture_output=True, text=True, timeout=300, env=env)
    assert done.returncode == 0, done.stdout + done.stderr


def files(top):
    return {str(p.relative_to(top)) for p in top.rglob("*") if p.is_file()}


def test_install_and_uninstall(tmp_path):
    make("install", f"DESTDIR={tmp_path}", "PREFIX=/opt/it")
    there = files(tmp_path)
    assert all(f.startswith("opt/it/") for f in there)
    for name in ("bin/outrigger", "share/man/man8/outrigger.8", "share/bash-completion/completions/outrigger", "share/zsh/site-functions/_outrigger",
                 "share/fish/vendor_completions.d/outrigger.fish", "lib/systemd/system/outrigger.service", "share/outrigger/outrigger.schema.json",
                 "share/outrigger/examples/minimal.yaml", "share/outrigger/prometheus/alerts.yaml", "share/outrigger/grafana/outrigger.json",
                 "share/doc/outrigger/operations.md"):
        assert f"opt/it/{name}" in there, name
    for name in there - {"opt/it/bin/outrigger"}:
        if not name.startswith("opt/it/share/doc/"):
            assert not re.search(r"/usr/(share/outrigger|bin/outrigger)", (tmp_path / name).read_text()), name
    assert subprocess.run([tmp_path / "opt/it/bin/outrigger", "--version"], capture_output=True).returncode == 0
    make("uninstall", f"DESTDIR={tmp_path}", "PREFIX=/opt/it")
    assert files(tmp_path) == set()
