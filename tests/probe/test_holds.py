"""Test the schedule: which tile waits for which, when a hold is met, and when it can't be met."""

import json
import threading
import time

import pytest

from harness.probe.holds import IDLE_POLLS, OVER, Hold, Holds, Tile
from harness.probe.recorder import Recorder

PLAN = (("a", "b"), ("b",))


def tile(number, *frames, workers=2, submitter=None):
    """Return a tile that this thread submitted."""
    made = Tile(number, frozenset(frames), None)
    made.workers = workers
    made.submitter = threading.get_ident() if submitter is None else submitter
    return made


class Stage:
    """A schedule, and the lines that it wrote."""

    def __init__(self, folder, *holds, plan=PLAN):
        self.folder = folder
        self.holds = Holds(holds, plan, Recorder(str(folder)))

    def submit(self, *tiles):
        """Submit tiles to the pool."""
        for one in tiles:
            self.holds.submitted(one)

    def start(self, one):
        """Enter a tile in a new thread."""
        thread = threading.Thread(target=self.holds.enter, args=(one,))
        thread.start()
        return thread

    @property
    def steps(self):
        """State and reason of the recorded lines on holds."""
        found = [json.loads(x) for p in self.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
        return [(x["state"], x["reason"]) for x in found if x["op"] == "hold"]


@pytest.fixture
def stage(tmp_path):
    """Let group 1 wait for group 0."""
    return Stage(tmp_path, Hold(1, 0, 20.0))


def joined(thread):
    """Return whether a thread has ended."""
    thread.join(20.0)
    return not thread.is_alive()


def test_held_tile_starts_when_the_other_was_released(stage):
    """The held tile goes on only when the submitting thread has collected the other tile and returned to waiting."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    thread = stage.start(victim)
    for step in (stage.holds.ended, stage.holds.collected):
        step(lender)
        assert victim.state != "running"
    stage.holds.came_back(but_for=lender)
    assert victim.state != "running"
    stage.holds.came_back()
    assert joined(thread)
    assert victim.state == "running"
    assert [state for state, _ in stage.steps] in (["waiting", "met"], ["met"])


def held(stage):
    """Return the awaited tile, which runs, and the thread of the tile that waits for it."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    return lender, victim, stage.start(victim)


def test_a_hold_for_a_tile_that_raised_ends_at_once(stage):
    """The held tile goes on as soon as the awaited tile raised an exception, and the reason names it."""
    lender, victim, thread = held(stage)
    stage.holds.ended(lender, "KeyError: 'x'")
    assert joined(thread)
    assert victim.state == "running"
    assert stage.steps[-1] == ("unmet", "tile 0, for which it waits, raised KeyError: 'x'")


def test_a_hold_for_a_tile_that_a_fault_made_fail_waits_on(stage):
    """An injected failure is part of the run: the target releases the tile as usual, and the hold is met."""
    lender, victim, thread = held(stage)
    stage.holds.ended(lender, "TileFaultError: asked for")
    thread.join(1.5)
    assert victim.state == "held"
    stage.holds.collected(lender)
    stage.holds.came_back()
    assert joined(thread)
    assert stage.steps[-1] == ("met", "")


@pytest.mark.parametrize("key", sorted(OVER))
def test_a_hold_ends_when_phase_3_is_over(stage, key):
    """After these events no tile is collected any more. Other events end nothing."""
    _, victim, thread = held(stage)
    stage.holds.heard("MASTER_TILE_COUNT_UPDATE", {})
    assert victim.state != "running"
    while victim.state != "held":
        time.sleep(0.01)
    stage.holds.heard(key, {})
    assert joined(thread)
    assert stage.steps[-1] == ("unmet", "Phase 3 ended before: tile 0 is running")


def test_a_hold_ends_with_the_run(stage):
    """A thread that waits would delay the end of the process until its time limit."""
    _, victim, thread = held(stage)
    while victim.state != "held":
        time.sleep(0.01)
    stage.holds.finish()
    assert joined(thread)
    assert stage.steps[-1] == ("unmet", "the run ended before: tile 0 is running")


def test_a_hold_ends_when_the_submitting_thread_is_gone(stage):
    """A thread that ended collects no tile."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    victim.owner = threading.Thread(target=lambda: None)
    victim.owner.start()
    victim.owner.join()
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    assert joined(stage.start(victim))
    assert stage.steps[-1] == ("unmet", "the thread that submits tiles has ended: tile 0 is running")


def test_another_thread_that_waits_releases_nothing(stage):
    """The waiting of another thread does not release a tile; only the thread that collected it can."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    stage.holds.ended(lender)
    stage.holds.collected(lender)
    other = threading.Thread(target=stage.holds.came_back)
    other.start()
    other.join()
    assert lender.state == "collected"


def test_already_released_is_met_without_waiting(stage):
    """A hold whose condition is met already does not wait."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    stage.holds.ended(lender)
    stage.holds.collected(lender)
    stage.holds.came_back()
    stage.holds.enter(victim)
    assert stage.steps == [("met", "")]


def test_single_worker_held_is_unmet_at_once(stage):
    """A hold is unmet at once if the only worker is held for a tile that needs it."""
    lender, victim = tile(0, "a", "b", workers=1), tile(1, "b", workers=1)
    stage.submit(victim, lender)
    stage.holds.enter(victim)
    assert victim.state == "running"
    assert [state for state, _ in stage.steps] == ["waiting", "unmet"]
    assert stage.steps[-1][1] == "no worker is free to make the awaited tile: tile 0 is submitted"


def test_tile_never_submitted_is_unmet_when_the_submitter_waits(stage):
    """A hold is unmet when the submitting thread waits without a time limit before it submitted the awaited tile."""
    victim = tile(1, "b")
    stage.submit(victim)
    thread = stage.start(victim)
    with stage.holds.waiting(untimed=True):
        assert joined(thread)
    assert stage.steps[-1] == (
        "unmet",
        "nothing runs that could submit the awaited tile: no tile with just the frames of group 0 was submitted",
    )


def test_polling_submitter_is_given_some_polls(stage):
    """A polling target gets a number of polls without news before a hold is unmet."""
    victim = tile(1, "b")
    stage.submit(victim)
    thread = stage.start(victim)
    for _ in range(IDLE_POLLS):
        with stage.holds.waiting(untimed=False):
            pass
    assert victim.state in {"submitted", "held"}
    with stage.holds.waiting(untimed=False):
        assert joined(thread)
    assert stage.steps[-1][0] == "unmet"


def test_late_submission_meets_the_hold(stage):
    """The awaited tile may be submitted after the held one, if a worker is free for it."""
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(victim)
    thread = stage.start(victim)
    stage.submit(lender)
    stage.holds.enter(lender)
    stage.holds.ended(lender)
    stage.holds.collected(lender)
    stage.holds.came_back()
    assert joined(thread)
    assert stage.steps[-1][0] == "met"


def test_two_holds_that_await_each_other_end(tmp_path):
    """Of two holds that wait for each other, one is unmet with its reason; the other may still be met."""
    stage = Stage(tmp_path, Hold(1, 0, 20.0), Hold(0, 1, 20.0))
    first, second = tile(0, "a", "b"), tile(1, "b")
    stage.submit(first, second)
    threads = [stage.start(first), stage.start(second)]
    for _ in range(2):
        for one in (first, second):
            if one.state == "running":
                stage.holds.ended(one)
                stage.holds.collected(one)
                stage.holds.came_back()
        stage.holds.came_back()
        for thread in threads:
            thread.join(0.5)
    assert all(joined(thread) for thread in threads)
    assert "unmet" in [state for state, _ in stage.steps]


def test_time_limit_ends_a_hold(tmp_path):
    """A hold is unmet after its time limit, with the state of the awaited tile."""
    stage = Stage(tmp_path, Hold(1, 0, 0.05))
    lender, victim = tile(0, "a", "b"), tile(1, "b")
    stage.submit(lender, victim)
    stage.holds.enter(lender)
    stage.holds.enter(victim)
    assert stage.steps[-1] == ("unmet", "not released within 0.05 s: tile 0 is running")


def test_hold_of_a_tile_that_never_came_is_unmet_at_the_end(stage):
    """If the target does not follow the plan, the hold is unmet with the reason."""
    stage.submit(tile(0, "a"))
    stage.holds.finish()
    stage.holds.finish()
    assert stage.steps == [("unmet", "no tile with just the frames of group 1 was started")]


def test_retry_group_with_the_same_frames_is_not_the_planned_tile(stage):
    """A later tile with the same frames does not replace the planned one."""
    lender, retry = tile(0, "a", "b"), tile(7, "a", "b")
    stage.submit(lender, retry)
    victim = tile(1, "b")
    stage.submit(victim)
    stage.holds.enter(lender)
    stage.holds.ended(lender)
    stage.holds.collected(lender)
    stage.holds.came_back()
    stage.holds.enter(victim)
    assert stage.steps[-1][0] == "met"


def test_without_holds_nothing_waits_or_is_written(tmp_path):
    """Without holds no tile waits and no line is written."""
    stage = Stage(tmp_path)
    one = tile(0, "a")
    stage.submit(one)
    stage.holds.enter(one)
    stage.holds.ended(one)
    with stage.holds.waiting(untimed=True):
        stage.holds.came_back()
    stage.holds.finish()
    assert list(tmp_path.iterdir()) == []
