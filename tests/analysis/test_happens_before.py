"""Test the order of removals after the ends of tiles."""

from harness.analysis.happens_before import complete_before
from harness.analysis.removals import removals
from tests import micro


def before_each_removal(run):
    """Return, for each removal of a history, the tiles whose end is certainly before it."""
    history = run.record(products=None).history
    return [sorted(tiles) for tiles in complete_before(history, removals(history, map(micro.cache_of, run.frames)))]


def test_a_start_learns_what_its_submission_knew():
    """A worker that starts a tile knows the tiles that were collected before the tile was submitted, and no others."""
    run = micro.Micro(micro.PRIVATE).begin()
    run.submit(0, micro.names(0)).submit(1, micro.names(1))
    run.work(0, thread="Ph3_0").start(1, thread="Ph3_1").remove("p0_0.fits", thread="Ph3_1")
    run.submit(2, micro.names(2)).start(2, thread="Ph3_2").remove("p0_1.fits", thread="Ph3_2")
    assert before_each_removal(run) == [[], [0]]


def test_a_submission_that_no_start_follows_orders_nothing():
    """A worker that was only idle while the main thread collected a tile knows nothing of it."""
    run = micro.Micro(micro.PRIVATE).begin()
    run.submit(0, micro.names(0)).work(0, thread="Ph3_0").submit(1, micro.names(1))
    run.remove("p0_0.fits", thread="Ph3_1")
    assert before_each_removal(run) == [[]]
