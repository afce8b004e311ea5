"""tools.py - the tree, and tools that must be there."""
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMTOOL = ROOT / "build" / "tools" / "promtool"


def tool(*words, timeout=120, **more):
    """A tool's run to its end; it must succeed."""
    assert shutil.which(str(words[0])) or pathlib.Path(words[0]).exists(), f"{words[0]} is missing: make packages-ship build/tools/promtool"
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, timeout=timeout, **more)
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr
