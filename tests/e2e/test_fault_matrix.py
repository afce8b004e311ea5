"""test_fault_matrix.py - what must hold in each cell of the fault matrix (matrix.py): all of them in a release build, a sample of them with sanitizers."""
import shutil

import pytest

import matrix

pytestmark = pytest.mark.skipif(not shutil.which("redis-server"), reason="no redis-server")

CELLS = matrix.sample() if matrix.SLOW else matrix.all_cells()
REFUSALS = {"429 rate_limited", "503 circuit_open", "503 concurrency_limited", "503 queue_timeout", "503 overloaded", "504 deadline_unreachable",
            "504 deadline_exceeded"}
ANSWERS = {                               # what else a client may get; that is, never a 500 of ours, nor nothing at all
    "refuses": {"502 connection_refused", "502 upstream_reset"}, "hangs before the head": set(), "hangs in the body": {"200 cut"},
    "slow drip": {"200", "200 cut"}, "resets": {"502 upstream_reset"}, "500 storm": {"500"}, "429 storm": {"429"}, "flaps": {"200", "502 upstream_reset"},
}
SLACK = 10 if matrix.SLOW else 1.5        # seconds


@pytest.fixture(scope="module")
def played():
    return {(r["fault"], r["clients"], r["redis"]): r for r in matrix.play_all(CELLS, at_a_time=2 if matrix.SLOW else 4)}


@pytest.fixture(params=CELLS, ids=", ".join)
def cell(request, played):
    return played[request.param]


def test_cell(cell):
    clients = sum(cell["got"].values())
    assert cell["well"] == ["200", "200"]
    # everybody is told something, and in time; how Redis is makes no difference to what it can be
    assert set(cell["got"]) <= REFUSALS | ANSWERS[cell["fault"]] | ({"left"} if cell["clients"] == "leaving" else set())
    assert cell["took"] < (4 if cell["clients"] == "patient" else 1) * (matrix.TIMEOUT + .3) + SLACK
    # the upstream is spared: retries are within their budget, and a crowd comes in at the pace of the limit, if at all
    assert cell["asked"] <= 1.2 * clients + 12
    if cell["clients"] == "crowd":
        assert cell["asked"] <= 4 * matrix.LIMIT + 2 * matrix.LINE
        limited = cell["got"].get("429 rate_limited", 0)
        assert clients - limited <= 2 * (matrix.BURST + matrix.RATE * cell["took"]) + 20
    if cell["fault"] in ("refuses", "resets", "500 storm") and cell["clients"] == "patient":
        assert cell["asked"] <= 25        # the breaker opens after five, and ten were on their way
    # nothing that was taken is kept, and it is well again as soon as the breaker has asked
    assert cell["left"] == {}
    assert matrix.SLOW or cell["grown"] < matrix.LEFT
    assert cell["again"] < 2 * matrix.OPEN_FOR + SLACK
