"""Test that a figure that looks worse with the patch, and is not, says why."""

import pytest

from harness.analysis.figure import Figure, Unit, numbers
from harness.language.catalogue import Language
from harness.language.message import say
from harness.session.decision import DecisionRow, Decisive, Scope
from harness.session.model import Requirement
from harness.verdict import Outcome, Verdict
from reports.worse import explained
from tests.report_pages import a_run, a_session

EN = Language("en")
STARS = Figure(say("stars"), Unit.COUNT, numbers("stars"))


def told(before, after, pair, *, failing=False, unit=Unit.COUNT):
    """Return what is said of a figure with these values before and with the patch, and with run_end."""
    figure = Figure(STARS.label, unit, STARS.take)
    pass_, tiles = Outcome.PASS, {"num_master_tiles": 12, "tiles_total": 15}
    judged = (
        a_run("a", "subject", (Verdict("truth", pass_, say("x"), {"stars": after}),), pair="a-pair"),
        a_run("a", "pair", (Verdict("truth", pass_, say("x"), {"stars": pair}),)),
        a_run("a", "baseline", (Verdict("tiles", Outcome.FAIL, say("x"), tiles),)),
    )
    line = Requirement("A.7", "…", "…", (), pass_, cases=("a",))
    failed = ((judged[0].verdicts[0], judged[0]),) if failing else ()
    row = DecisionRow(line, (Decisive("truth", figure, (after,), (before,)),), Scope(1, 0, 0, 0), failed)
    return explained(row, a_session(judged=judged), EN)


def test_more_of_a_count_that_run_end_has_too_is_explained():
    """18 after 15 looks worse; the run with run_end has 18 too, and the version before lost tiles."""
    assert told(15, 18, 18) == "stars 15 → 18: the same with run_end. The version before lost 3 of 15 tiles."


@pytest.mark.parametrize(("before", "after", "pair"), [(18, 15, 15), (15, 15, 15), (15, 18, 15)])
def test_what_is_not_worse_or_has_no_such_reason_is_not_explained(before, after, pair):
    """A better or an equal figure needs no reason; one that run_end does not have has none."""
    assert told(before, after, pair) == ""


def test_a_failure_is_not_explained_away():
    """A line that fails gets no excuse."""
    assert told(15, 18, 18, failing=True) == ""


@pytest.mark.parametrize(("more_is_better", "better", "worse"), [(True, 5, 4), (False, 4, 5)])
def test_a_part_of_a_whole_has_a_direction(more_is_better, better, worse):
    """More made tiles are better, more lost frames are worse: only what looks worse is explained."""
    figure = Figure(say("parts"), Unit.SHARE, numbers("part", "all"), more_is_better=more_is_better)
    for before, after, said in ((better, worse, True), (worse, better, False)):
        verdict = Verdict("truth", Outcome.PASS, say("x"), {"part": after, "all": 6})
        judged = (a_run("a", "subject", (verdict,), pair="a-pair"), a_run("a", "pair", (verdict,)))
        line = Requirement("A.7", "…", "…", (), Outcome.PASS, cases=("a",))
        row = DecisionRow(line, (Decisive("truth", figure, (after, 6), (before, 6)),), Scope(1, 0, 0, 0), ())
        assert bool(explained(row, a_session(judged=judged), EN)) is said
