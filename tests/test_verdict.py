"""Verdicts: their order, what they merge to, and their exit status."""

import itertools

import pytest

from harness.language.message import say
from harness.record.convert import from_json, to_json
from harness.verdict import Outcome, Verdict, exit_status, merge, worst_first

F, U, P, N = Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS, Outcome.NOT_APPLICABLE


@pytest.mark.parametrize(
    ("outcomes", "merged"),
    [([P, P], P), ([P, U], U), ([U, F], F), ([P, F], F), ([N, P], P), ([N, N], N), ([], U), ([F, U, P, N], F)],
)
def test_the_worst_wins(outcomes, merged):
    """Fail outranks unknown, unknown outranks pass, and nothing at all is unknown."""
    assert all(merge(order) is merged for order in itertools.permutations(outcomes))


def test_exit_status():
    """Every outcome has the status that the documentation promises; where nothing was applicable, nothing was judged."""
    assert {o: exit_status(o) for o in Outcome} == {P: 0, N: 3, F: 1, U: 3, Outcome.NOT_EVALUATED: 3}


@pytest.mark.parametrize(("outcome", "gates"), [(P, False), (U, False), (F, True)])
def test_a_time_that_is_unknown_counts_for_its_own_row_only(outcome, gates):
    """A verdict on time gates the run only when it fails."""
    assert Verdict("cost", outcome, say("x"), axis="time").gates is gates


def test_a_check_always_concludes():
    """A verdict cannot be *not evaluated*: that is the outcome of a test that did not run."""
    with pytest.raises(ValueError, match="'holes', found 'not evaluated'"):
        Verdict("holes", Outcome.NOT_EVALUATED, say("x"))


def test_worst_first():
    """Sorting puts failures first, then unknowns, by name within each."""
    found = sorted((Verdict(n, o, say("x")) for n, o in [("b", P), ("d", F), ("c", U), ("a", F)]), key=worst_first)
    assert [v.check for v in found] == ["a", "d", "c", "b"]


def test_json_round_trip():
    """A verdict survives JSON with its cause and evidence."""
    verdict = Verdict("holes", F, say("{n} holes", n=1), {"components": [1]}, (say("because"),), "quality")
    assert from_json(to_json(verdict), Verdict) == verdict


def test_an_unknown_axis_is_refused():
    """A verdict on an axis that does not exist would gate nothing: it is refused."""
    data = to_json(Verdict("holes", P, say("x"))) | {"axis": "none"}
    with pytest.raises(ValueError, match="axis: expected one of 'patch', 'quality', 'time', found 'none'"):
        from_json(data, Verdict)
