"""Test the estimate of how long the runs of a session take, and how much is left."""

import pytest

from harness.session.durations import Durations
from harness.session.outlook import Expected, Outlook, in_words, outlook
from harness.session.progress import Progress
from harness.session.run_matrix import PlannedRun
from tests.requests_ import a_request

SECOND = 10**9


def coming(*runs):
    """Return planned runs, each given by its target and its dataset."""
    return [PlannedRun("chain", "subject", "per_tile", target, dataset) for target, dataset in runs]


def planned(*seconds, workers=1):
    """Return the outlook of runs of one target with these expected seconds, each of a case of its own."""
    runs = [PlannedRun(f"case {n}", "subject", "per_tile", "t", "d") for n in range(len(seconds))]
    return Outlook([Expected(run, s) for run, s in zip(runs, seconds, strict=True)], workers)


def state(case, *, ended=None, since=None):
    """Return the state of a run: ended after some seconds, or living since a time."""
    if ended is not None:
        return Progress(f"r/{case}", "t", "subject", f"case {case}", state="done", seconds=ended)
    return Progress(f"r/{case}", "t", "subject", f"case {case}", since=since * SECOND)


def test_the_table_of_runs_to_come(tmp_path):
    """Each run has a line with the expected time: known, estimated, or a dash."""
    durations = Durations(tmp_path / "durations.json")
    durations.add(a_request(), 8.4)
    runs = coming(("reference", "small"), ("reference (naive)", "small"), ("reference", "large"))
    found = outlook(runs, durations)
    assert found.table().splitlines() == [
        "run  target             case   role                dataset  retention  expected",
        "1    reference          chain  version under test  small    per_tile   8 s",
        "2    reference (naive)  chain  version under test  small    per_tile   ~8 s",
        "3    reference          chain  version under test  large    per_tile   –",
    ]
    assert found.total().render() == "Runs: 3, about 17 s if run one after the other; of unknown duration: 1."


@pytest.mark.parametrize(
    ("dataset", "told"),
    [
        ("large", "Runs: 2; their duration is not known yet."),
        ("small", "2 runs, about 17 s if run one after the other."),
    ],
)
def test_the_sum_of_all_or_of_none(tmp_path, dataset, told):
    """The sum is left out if every time is unknown, and mentions no unknown times if all are known."""
    durations = Durations(tmp_path / "durations.json")
    durations.add(a_request(), 8.4)
    assert outlook(coming(*[("reference", dataset)] * 2), durations).total().render() == told


def test_a_time_that_is_not_known_is_estimated_from_the_pilot(tmp_path):
    """Seconds per frame of the pilot run give the time of each other run; the sum names the whole in minutes."""
    runs = [PlannedRun("chain", "subject", "per_tile", "zemosaic a", "chain3x2", 36) for _ in range(61)]
    found = outlook(runs, Durations(tmp_path / "none.json"), pilot=0.65)
    assert "~23 s" in found.table()
    assert found.total().render() == "61 runs, about 24 min if run one after the other."


def test_what_is_left_shrinks_with_each_run():
    """Ended runs count no more, and of a living run only its rest does."""
    session = planned(10.0, 20.0, 30.0)
    assert session.left([], 0) == 60
    assert session.left([state(0, ended=12.0)], 0) == 50
    assert session.left([state(0, ended=12.0), state(1, since=5)], 10 * SECOND) == 45


def test_a_run_that_takes_longer_than_expected_leaves_no_negative_time():
    """A living run past its expected time has no rest, and takes none from the others."""
    assert planned(10.0, 20.0).left([state(0, since=0)], 100 * SECOND) == 20
    assert planned(10.0).left([state(0, since=0)], 100 * SECOND) == 0


def test_a_run_of_unknown_duration_counts_with_the_mean_of_those_that_ended():
    """Until a run has ended, nothing is said of the time left."""
    session = planned(None, None, 10.0)
    assert session.left([], 0) is None
    assert session.left([state(0, ended=8.0)], 0) == 18


def test_two_workers_need_half_the_time():
    """The time left is that of the session, not the sum of the runs."""
    assert planned(10.0, 20.0, workers=2).left([], 0) == 15


def test_runs_beyond_the_plan_count_too():
    """The pilot of the large run is not planned: the number of all runs must not be below that of those made."""
    session = planned(10.0, 20.0)
    assert session.count([]) == 2
    assert session.count([state(0, ended=1.0), state(7, ended=1.0)]) == 3


def test_times_are_written_in_seconds_or_minutes():
    """Two minutes and more are minutes."""
    assert [in_words(s).render() for s in (0.4, 119.0, 120.0, 3599.0)] == ["0 s", "119 s", "2 min", "60 min"]
