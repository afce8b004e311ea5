"""dockerfile.py - reads a Dockerfile, and carries its steps out in fresh Debian roots."""
import fnmatch
import json
import pathlib
import re
import shutil

import roots


def instructions(path):
    """[(word, rest)], comments out, continued lines joined."""
    text = re.sub(r"\\\n", " ", "\n".join(x for x in path.read_text().splitlines() if not x.lstrip().startswith("#")))
    return [tuple(line.split(None, 1)) for line in text.splitlines() if line.strip()]


class Ignored:
    """.dockerignore as far as it is used here: a name at the top, or **/ and a name anywhere."""

    def __init__(self, path):
        self.patterns = [x for x in path.read_text().splitlines() if x and not x.startswith("#")]

    def __call__(self, top):
        def these(folder, names):
            relative = pathlib.Path(folder).relative_to(top)
            return [n for n in names for p in self.patterns
                    if (fnmatch.fnmatch(n, p[3:]) if p.startswith("**/") else str(relative / n) == p)]
        return these


class Image:
    def __init__(self, path, context, ignored):
        self.context, self.ignored, self.stages = context, ignored, {}
        self.env, self.settings = {}, {}
        for word, rest in instructions(path):
            step = getattr(self, "on_" + word.lower(), None)
            if step:
                step(rest)
            else:
                self.settings[word] = rest

    # FROM image [AS name]
    def on_from(self, rest):
        image, _, name = re.fullmatch(r"(\S+)(\s+AS\s+(\S+))?", rest, re.I).groups()
        assert image == "debian:12-slim", image
        self.name = name or "last"
        self.root, self.cwd, self.env, self.settings = roots.fresh(f"image-{self.name}"), "/", {}, {}
        self.stages[self.name] = self.root

    def on_run(self, rest):
        roots.inside(self.root, rest, self.env, self.cwd)

    def on_workdir(self, rest):
        self.cwd = rest
        (self.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)

    def on_arg(self, rest):
        name, _, value = rest.partition("=")
        self.env[name] = value

    def on_env(self, rest):
        self.env.update(x.split("=", 1) for x in rest.split())

    def on_copy(self, rest):
        m = re.fullmatch(r"(--from=(\S+)\s+)?(\S+)\s+(\S+)", rest)
        top, name = self.stages[m[2]] if m[2] else self.context, m[3].lstrip("/")
        source, = top.glob(name) if "*" in name else [top / name]
        to = self.root / (pathlib.PurePosixPath(self.cwd) / m[4]).as_posix().lstrip("/")
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True, ignore=self.ignored(source) if not m[2] else None)
        else:
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, to)

    def words(self, name):
        """ENTRYPOINT, CMD: the exec form."""
        return json.loads(self.settings[name])

