"""test_manual.py - the manual page and the completions are those of this binary, and the shells make of them what they should."""
import json
import re
import subprocess

import pytest

from tools import ROOT, tool
from proxy import run

FILES = {"man": "docs/outrigger.8", "completions-bash": "conf/completions/outrigger.bash", "completions-zsh": "conf/completions/_outrigger",
         "completions-fish": "conf/completions/outrigger.fish", "errors": "docs/errors.md", "configuration": "docs/configuration.md",
         "example": "conf/outrigger.yaml"}
PAGE = ROOT / "docs" / "outrigger.8"


def usage():
    return run("--help").stdout


def commands():
    return [c for c in re.findall(r"^  outrigger ([a-z]+)", usage(), re.M)]


def options():
    return re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", usage().split("\nOptions\n")[1].split("\nExit")[0])


@pytest.mark.parametrize("page", FILES)
def test_printed_files_are_up_to_date(page):
    """`make reference` writes them anew."""
    assert run("reference", page).stdout == (ROOT / FILES[page]).read_text()


def test_all_pages_are_listed_and_kept():
    assert dict(re.findall(r"^    ([a-z-]+) +((?:docs|conf)/[^ :\n]+)", run("help", "reference").stdout, re.M)) == FILES


def test_the_page_is_well_formed():
    assert tool("mandoc", "-Tlint", PAGE) == ""
    assert tool("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", PAGE).count("warning") == 0


def test_the_page_has_everything():
    text = re.sub(".\b", "", subprocess.run(["man", "-l", str(PAGE)], capture_output=True, text=True, env={"MANWIDTH": "200", "PATH": "/usr/bin:/bin"}).stdout)
    assert len(commands()) >= 16 and len(options()) >= 17
    for command in commands():
        assert re.search(rf"^ +{command}( |$)", text, re.M), command
    for option in options():
        assert re.search(rf"(^|[ ,]){option}\b", text), option
    for code in ("0", "1", "64", "69", "70", "78"):
        assert re.search(rf"^ +{code} +\w", text, re.M), code
    for signal in ("TERM", "INT", "HUP", "USR1", "QUIT"):
        assert signal in text


# ── completions ──

def bash(*words):
    script = f"source {ROOT / FILES['completions-bash']}; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _outrigger; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-eu", "-c", script, "bash", *words], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_bash(tmp_path):
    assert bash("outrigger", "") == commands()
    assert bash("outrigger", "he") == ["healthcheck", "help"]
    assert bash("outrigger", "check", "--lo") == ["--log-level"] and bash("outrigger", "run", "--log-level", "w") == ["warn"]
    assert "circuit_open" in bash("outrigger", "help", "circ") and bash("outrigger", "reference", "m") == ["man"]
    assert bash("outrigger", "-c", "x.yaml", "expl") == ["explain"]
    (tmp_path / "a.yaml").write_text("")
    assert bash("outrigger", "check", "-c", f"{tmp_path}/") == [f"{tmp_path}/a.yaml"]
    assert bash("outrigger", "--admin", "") == []
    assert set(options()) == set(bash("outrigger", "run", "-"))


def fish(line):
    script = f"source {ROOT / FILES['completions-fish']}; complete -C {json.dumps(line)}"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, "")
    return dict((x.split("\t") + [""])[:2] for x in done.stdout.splitlines())


def test_fish():
    assert set(fish("outrigger ")) == set(commands())
    assert set(fish("outrigger he")) == {"healthcheck", "help"}
    assert "circuit_open" in fish("outrigger help circ") and set(fish("outrigger reference m")) == {"man"}
    assert set(fish("outrigger run --log-level ")) == {"error", "warn", "info", "debug"}
    assert set(o for o in options() if o.startswith("--")) <= set(fish("outrigger run --"))


ZSH = """
_arguments() { print -r -l -- "$@" }
_describe() { print -r -l -- "${(@P)2}" }
_values() { shift; print -r -l -- "$@" }
source %s
""" % (ROOT / FILES["completions-zsh"])


def zsh(script):
    done = subprocess.run(["zsh", "-f", "-c", ZSH.replace("source", "words=(outrigger help); source") + script], capture_output=True, text=True, timeout=20)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout.splitlines()


def test_zsh():
    """With the completion system's functions replaced by ones that tell what they were given."""
    told = zsh("")
    given = {re.match(r"\*(--?[a-zA-Z-]+)\[", x)[1] for x in told if x.startswith("*-")}
    assert given == set(options())
    assert "1: :_outrigger_commands" in told
    assert [x.split(":")[0] for x in zsh("_outrigger_commands")[len(told):]] == commands()
    assert {"circuit_open", "run"} <= set(zsh("_outrigger_operands"))
