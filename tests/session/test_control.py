"""Test that a defect of every version is told from the bug that a control is for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.language.message import say
from harness.plugin.fixtures import UnknownVerdictError
from harness.record.comparison import Comparison
from harness.session.control import red_with_run_end
from harness.session.model import JudgedRun
from harness.verdict import Outcome, Verdict
from scenarios import conftest as scenarios
from tests import micro

EXPECTED = ("cache", "depth", "holes", "logs", "parity", "tiles", "warnings")
PANEL = np.s_[:, :60]  # the first panel, which no other tile covers there


def empty(record, where=PANEL):
    """Return a record whose mosaic does not cover a part of the sky that a tile must cover."""
    covered = record.products.covered.copy()
    covered[where] = False
    return replace(record, products=replace(record.products, covered=covered))


def concluded(run, pair, expected=EXPECTED):
    """Return the judged run of a control, as a session judges it."""
    verdicts = judge(Comparison(run, pair))
    explained = red_with_run_end(verdicts, expected, pair)
    return JudgedRun(
        "c", "p", case="chain", role="control", verdicts=verdicts, expected_red=expected, red_with_run_end=explained
    )


def control():
    """Return the runs of a version with the bug: with per_tile and with run_end."""
    runs = micro.runs(micro.naive(order=(1, 0, 2)))
    return runs.run, runs.pair


def test_a_control_that_shows_its_bug_passes():
    """Without further defects the control is red as expected, and run_end explains nothing."""
    found = concluded(*control())
    assert (found.outcome, found.red_with_run_end) == (Outcome.PASS, ())
    assert set(found.shows_the_bug) == set(EXPECTED)


@pytest.mark.parametrize("where", [PANEL, np.s_[:40, :]], ids=["an empty panel", "a canvas too narrow"])
def test_an_empty_panel_or_a_narrow_canvas_of_every_version_is_the_targets_own(where):
    """The control lacks sky with both retentions. It still shows the bug: a lost tile, and sky that run_end covers."""
    run, pair = control()
    assert {
        v.check for v in judge(Comparison(empty(pair, where))) if v.outcome is Outcome.FAIL and v.axis == "patch"
    } == {"holes"}
    found = concluded(empty(run, where), empty(pair, where))
    assert found.outcome is Outcome.PASS
    assert "holes" in found.shows_the_bug


def test_a_further_check_that_is_red_with_run_end_too_is_the_targets_own():
    """A check that must not be red on the control is no fault of it if it is red with run_end too; without that it is."""
    run, pair = control()
    expected = tuple(name for name in EXPECTED if name != "tiles")
    assert concluded(run, pair, expected).outcome is Outcome.FAIL
    lacking = micro.naive(order=(1, 0, 2), retention="run_end").record()
    other = replace(pair, history=lacking.history, left=lacking.left)
    found = concluded(run, other, expected)
    assert "tiles" in found.red_with_run_end
    assert found.outcome is not Outcome.FAIL


def test_a_control_that_is_as_red_with_run_end_shows_nothing():
    """If the run with run_end explains every expected check, the harness has not shown that it sees the bug: unknown."""
    run, pair = control()
    lacking = micro.naive(order=(1, 0, 2), retention="run_end").record()
    same = replace(pair, history=lacking.history, left=lacking.left, products=run.products)
    found = concluded(run, same, ("warnings", "tiles", "depth"))
    assert found.red_with_run_end
    assert found.shows_the_bug == ()
    assert replace(found, allowed_red=EXPECTED).outcome is Outcome.UNKNOWN


def test_a_control_that_is_not_red_stays_a_failure():
    """A control without its bug fails, also if it has a defect of every version."""
    runs = micro.runs(micro.counted())
    assert concluded(runs.run, runs.pair).outcome is Outcome.FAIL
    assert concluded(empty(runs.run), empty(runs.pair)).outcome is Outcome.FAIL


def test_without_run_end_nothing_is_explained():
    """A case without a pair, such as a run under a fault, explains nothing."""
    run, _ = control()
    assert red_with_run_end(judge(Comparison(run)), EXPECTED, None) == ()


# The fixtures of the scenarios


def verdict(check, outcome, **evidence):
    """Return a verdict of a check."""
    return Verdict(check, Outcome(outcome), say("x"), evidence)


def judged(*verdicts, role="baseline"):
    """Return a judged run with these verdicts."""
    return JudgedRun("k", case="chain", role=role, verdicts=verdicts)


def campaign(*verdicts, pair=None):
    """Return a stand-in for the session's campaign, with the verdicts on the subject and the record of its pair."""
    return SimpleNamespace(
        judged=lambda *_: judged(*verdicts, role="subject"),
        run=lambda *_: pair,
        settings=SimpleNamespace(lang="en"),
    )


def newly_red(subject, baseline):
    """Return the names of the checks in which the subject is worse than the baseline."""
    return [v.check for v in scenarios.newly_red.__wrapped__(campaign(*subject), None)(judged(*baseline))]


def test_a_check_that_fails_on_both_and_is_worse_on_the_subject_is_newly_red():
    """Outcomes alone would hide it: six lost frames in place of two are worse, two are not."""
    two, six = (verdict("depth", "fail", lost={"caches": n}, frames_submitted=9) for n in (2, 6))
    assert newly_red([six], [two]) == ["depth"]
    assert newly_red([two], [two]) == newly_red([two], [six]) == []
    assert newly_red([two], [verdict("depth", "pass")]) == ["depth"]


def test_a_finding_that_run_end_has_too_is_not_newly_red():
    """A finding of quality gates only if it is new; the baseline may pass because it lost the stars of the panel."""
    old = replace(verdict("accuracy", "fail", findings=[{"name": "x", "size": 0.2}]), axis="quality")
    before = [replace(verdict("accuracy", "pass"), axis="quality")]
    assert newly_red([replace(old, standing="pre-existing")], before) == []
    assert newly_red([replace(old, standing="new")], before) == ["accuracy"]


def test_what_only_the_baseline_fails_or_does_not_conclude_is_no_fault_of_the_subject():
    """The subject is green where the baseline is red or unknown. A baseline that concluded nothing makes the test unknown."""
    assert newly_red([verdict("holes", "pass")], [verdict("holes", "fail")]) == []
    assert newly_red([verdict("holes", "pass")], [verdict("holes", "unknown"), verdict("depth", "pass")]) == []
    with pytest.raises(UnknownVerdictError, match="The run of the baseline concluded nothing"):
        newly_red([verdict("holes", "pass")], [verdict("holes", "unknown")])


def test_a_defect_of_run_end_counts_against_a_control_only_if_the_subject_lacks_it():
    """The version with the bug loses a tile with run_end too. If the version under test does so as well, it is no bug."""
    lacking = micro.naive(order=(1, 0, 2), retention="run_end").record()
    pair = judged(*judge(Comparison(lacking)), role="control-pair")
    shown = JudgedRun("c", "p", case="chain", role="control", verdicts=(), expected_red=EXPECTED)
    ask = scenarios.not_of_every_version.__wrapped__
    assert ask(campaign(pair=lacking), None)(pair, shown) == []
    assert {v.check for v in ask(campaign(pair=micro.run_end()), None)(pair, shown)} >= {"tiles", "warnings"}


def test_an_empty_panel_of_the_controls_run_end_is_not_asked_of_the_subject():
    """A hole with run_end does not hide the bug, because the control is compared with run_end."""
    pair = empty(micro.run_end())
    found = judged(*judge(Comparison(pair)), role="control-pair")
    assert found.outcome is Outcome.FAIL
    shown = JudgedRun("c", "p", case="chain", role="control", verdicts=(), expected_red=EXPECTED)
    assert scenarios.not_of_every_version.__wrapped__(campaign(pair=micro.run_end()), None)(found, shown) == []


def test_a_control_whose_run_end_concluded_nothing_is_unknown():
    """Without a verdict on the control's run with run_end it is not shown that only retention makes it fail."""
    unsealed = micro.counted(retention="run_end").record(state=None)
    found = judged(*judge(Comparison(unsealed)), role="control-pair")
    shown = JudgedRun("c", "p", case="chain", role="control", verdicts=(), expected_red=EXPECTED)
    with pytest.raises(UnknownVerdictError, match="has no seal"):
        scenarios.not_of_every_version.__wrapped__(campaign(pair=micro.run_end()), None)(found, shown)
