"""The store of durations, shared between sessions."""

import threading
from dataclasses import replace

import pytest

from harness.record.request import TargetFacts
from harness.session.durations import KEPT, Durations
from tests.requests_ import a_request

OLD = a_request(target=TargetFacts("zemosaic", "zemosaic b59a65f", "", "python"))
NEW = a_request(target=TargetFacts("zemosaic", "zemosaic 271f109", "", "python"))


@pytest.fixture
def durations(tmp_path):
    """Return an empty store in a folder that does not exist yet."""
    return Durations(tmp_path / ".phase3" / "durations.json")


def expected(durations, request):
    """Return the expected duration of a request."""
    return durations.expected(request.target.label, request.case, request.dataset.name, request.profile)


def test_nothing_is_known_at_first(durations):
    """Without an earlier run there is no estimate."""
    assert expected(durations, OLD) == (None, False)


def test_the_median_of_past_runs_is_expected(durations):
    """One slow run does not change the estimate."""
    for seconds in (8.0, 90.0, 9.0):
        durations.add(OLD, seconds)
    assert expected(durations, OLD) == (9.0, True)


def test_only_recent_runs_count(durations):
    """Old durations are dropped."""
    for seconds in (100.0, *[8.0] * KEPT):
        durations.add(OLD, seconds)
    assert expected(durations, OLD) == (8.0, True)


def test_another_commit_of_the_same_kind_is_a_guess(durations):
    """A new commit gets the duration of another commit as its estimate, marked as a guess."""
    durations.add(OLD, 8.0)
    assert expected(durations, NEW) == (8.0, False)


@pytest.mark.parametrize(
    "other",
    [
        replace(OLD, profile="default"),
        replace(OLD, case="natural"),
        replace(OLD, dataset=replace(OLD.dataset, name="other")),
        a_request(target=TargetFacts("reference", "reference", "", "python")),
    ],
)
def test_other_work_is_not_compared(durations, other):
    """Another profile, case, dataset or kind of target gives no estimate."""
    durations.add(OLD, 8.0)
    assert expected(durations, other) == (None, False)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": "phase3-durations/9", "seconds": {}}', "{", '{"format": 1}']
)
def test_a_file_that_cannot_be_read_counts_as_empty(durations, text):
    """The next runs replace a broken or newer store."""
    durations._path.parent.mkdir()
    durations._path.write_text(text)
    assert expected(durations, OLD) == (None, False)
    durations.add(OLD, 8.0)
    assert expected(durations, OLD) == (8.0, True)


def test_writers_do_not_lose_each_others_times(durations):
    """Workers that finish at the same time all store their durations."""
    requests = [replace(OLD, case=f"case {n}") for n in range(8)]
    threads = [threading.Thread(target=durations.add, args=(request, 5.0)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [expected(durations, request) for request in requests] == [(5.0, True)] * 8
