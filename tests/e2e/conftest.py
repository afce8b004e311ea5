"""conftest.py - fixtures: outriggers and upstreams that are ended, and questioned, after each test or file."""
import pytest

from proxy import WORKERS, Outrigger
from upstream import Upstream


class Rig:
    """Starts what a test asks for; at the end each one is stopped and checked."""

    def __init__(self, tmp):
        self.tmp, self.proxies, self.upstreams = tmp, [], []

    def upstream(self, default=None, address=None):
        self.upstreams.append(Upstream(address, default))
        return self.upstreams[-1]

    def outrigger(self, conf=None, wait=True, words=(), env=None, **more):
        """conf: a dict as in the file; more: further top-level keys."""
        self.proxies.append(Outrigger(self.tmp, {**(conf or {}), **more}, words, wait, env))
        return self.proxies[-1]

    def before(self, up, route=None, upstream=None, **more):
        """An outrigger with one route, "/", to this upstream (or these); route and upstream: further keys of either."""
        ups = up if isinstance(up, (list, tuple)) else [up]
        return self.outrigger(upstreams={"app": {"endpoints": [u.url for u in ups], **(upstream or {})}},
                              routes=[{"path": "/", "upstream": "app", **(route or {})}], **more)

    def close(self):
        try:
            for p in self.proxies:
                p.stop()
            for u in self.upstreams:
                u.check()
        finally:
            for p in self.proxies:
                p.kill()
            for u in self.upstreams:
                u.stop()


@pytest.fixture
def rig(tmp_path):
    r = Rig(tmp_path)
    yield r
    r.close()


@pytest.fixture(scope="module")
def shared_rig(tmp_path_factory):
    """For tests of one file that only look, and so share a process: each must leave it as it was."""
    r = Rig(tmp_path_factory.mktemp("rig"))
    yield r
    r.close()


def pytest_configure(config):
    config.addinivalue_line("markers", "one_worker: what is tested has no meaning with several workers")


def pytest_collection_modifyitems(items):
    if WORKERS > 1:
        for item in items:
            if item.get_closest_marker("one_worker"):
                item.add_marker(pytest.mark.skip(reason="several workers"))
