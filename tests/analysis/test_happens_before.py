"""Test the order of removals after the ends of tiles."""

from dataclasses import replace

from harness.analysis.happens_before import complete_before, order_of, unordered_threads
from harness.analysis.removals import removals
from harness.record.history import OrderStep
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


def with_orders(run, *orders):
    """Return a history with these hand-overs, and its removals; each order is (time, thread, kind, facts)."""
    history = run.record(products=None).history
    history = replace(history, orders=tuple(OrderStep(t, 1, thread, how, **facts) for t, thread, how, facts in orders))
    return history, removals(history, map(micro.cache_of, run.frames))


def two_removals():
    """Return a run with a removal by each of two threads after tile 0, and the times before each removal."""
    run = micro.Micro(micro.PRIVATE).begin()
    run.submit(0, micro.names(0)).work(0, thread="Ph3_0")
    first = run.tick()
    run.remove("p0_0.fits", thread="cleaner")
    second = run.tick()
    run.remove("p0_1.fits", thread="other")
    return run, first, second


def test_a_thread_that_waited_knows_what_it_learned():
    """A hand-over that the probe recorded brings the tiles and the removals of the other thread, beside what was known."""
    run, first, second = two_removals()
    history, taken = with_orders(
        run,
        (first - 1, "cleaner", "join", {"tiles": (0,)}),
        (first, "cleaner", "removal", {"mark": 7}),
        (second - 1, "other", "queue", {"tiles": (0,)}),
        (second, "other", "wait", {"tiles": (2,), "marks": (7,)}),
    )
    one, other = order_of(history, taken)
    assert (one.tiles, one.marks, one.mark) == (frozenset({0}), frozenset({7}), 7)
    assert (other.tiles, other.marks, other.mark) == (frozenset({0, 2}), frozenset({7}), None)
    assert unordered_threads(taken, (one, other)) is None


def test_threads_that_did_not_wait_are_named():
    """Of two threads that remove in turn, the second must have learned of the first one's removal; the clock is not enough."""
    run, first, second = two_removals()
    history, taken = with_orders(
        run, (first, "cleaner", "removal", {"mark": 7}), (second, "other", "wait", {"marks": (6,)})
    )
    assert unordered_threads(taken, order_of(history, taken)) == tuple(taken)
    history, taken = with_orders(run)  # a removal without a mark orders nothing
    assert unordered_threads(taken, order_of(history, taken)) == tuple(taken)


def test_a_new_thread_of_an_old_name_knows_only_what_started_it():
    """A thread that starts forgets what an earlier thread of its name and number knew, and that one's mark."""
    run, first, _ = two_removals()
    history, taken = with_orders(
        run,
        (first - 3, "cleaner", "wait", {"tiles": (0,), "marks": (3,)}),
        (first - 2, "cleaner", "removal", {"mark": 4}),
        (first - 1, "cleaner", "start", {"tiles": (1,)}),
        (first, "other", "start", {"tiles": (2,)}),  # the first of its name
    )
    one, other = order_of(history, taken)
    assert (one.tiles, one.marks, one.mark) == (frozenset({1}), frozenset(), None)
    assert other.tiles == frozenset({2})


def test_what_was_never_ended_or_submitted_brings_nothing():
    """A collection without its end and a start without its submission, in a torn record, order nothing and are no error."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.names(0)).work(0, thread="Ph3_0")
    run.submit(1, micro.names(1)).start(1, thread="Ph3_1").remove("p0_0.fits", thread="Ph3_1")
    history = run.record(products=None).history
    lone = [s for s in history.steps if s.state not in ("submitted", "ended")]
    history = replace(history, steps=tuple(lone))
    assert complete_before(history, removals(history, map(micro.cache_of, run.frames))) == (frozenset(),)
