"""Test what every check does around its question: modes, seals, crashes, and runs that broke off."""

from dataclasses import replace
from types import MappingProxyType

import pytest

from harness.checks.base import Check, Premise
from harness.checks.judge import ALL, judge
from harness.checks.premises import standard
from harness.checks.thresholds import read_thresholds
from harness.language.message import say
from harness.record.request import Hold
from harness.verdict import Outcome, Verdict
from tests import micro

LIMITS = read_thresholds()


def passes(_runs, _limits):
    """Answer with a pass for any runs."""
    return Verdict("any", Outcome.PASS, say("Fine."), {"seen": 1})


def a_check(judge=passes, **changes):
    """Return a check for the classic mode."""
    return Check(**({"name": "any", "question": say("Well?"), "judge": judge, "premises": {"classic": ()}} | changes))


def test_a_mode_without_the_question_is_not_applicable():
    """A check is not applicable in a mode for which it has no premises."""
    found = a_check(premises={"sds": ()})(micro.runs(micro.counted()), LIMITS)
    assert found.outcome is Outcome.NOT_APPLICABLE
    assert "classic" in found.sentence.render()


@pytest.mark.parametrize(
    ("changes", "words"), [({"state": None}, "has no seal"), ({"damage": ["x: missing"]}, "x: missing")]
)
def test_an_unsealed_or_damaged_record_is_unknown(changes, words):
    """A record that may have been changed gives no conclusion."""
    found = a_check()(micro.runs(micro.counted(), **changes), LIMITS)
    assert found.outcome is Outcome.UNKNOWN
    assert words in found.sentence.render()


def test_a_damaged_pair_is_unknown_too():
    """The records that a run is compared with must be undamaged too."""
    runs = micro.runs(micro.counted())
    assert runs.pair is not None
    found = a_check()(replace(runs, pair=replace(runs.pair, damage=("y: missing",))), LIMITS)
    assert found.outcome is Outcome.UNKNOWN
    assert "y: missing" in found.sentence.render()


def test_an_unmet_premise_is_named():
    """The verdict names the premise that is not met."""
    premise = Premise("shared", lambda _: say("No cache was shared."))
    found = a_check(premises={"classic": (premise,)})(micro.runs(micro.counted()), LIMITS)
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "shared")


def test_a_check_that_crashes_has_concluded_nothing():
    """A check that crashes gives unknown, with the error."""

    def crash(_runs, _limits):
        raise ZeroDivisionError("by nothing")

    found = a_check(crash)(micro.runs(micro.counted()), LIMITS)
    assert found.outcome is Outcome.UNKNOWN
    assert "ZeroDivisionError: by nothing" in found.sentence.render()


def test_a_premise_that_crashes_has_concluded_nothing_either():
    """A premise that crashes gives unknown too, both before judging and before a pass."""

    def crash(_runs):
        raise KeyError("nothing")

    for changes in ({"premises": {"classic": (Premise("p", crash),)}}, {"for_pass": (Premise("p", crash),)}):
        found = a_check(**changes)(micro.runs(micro.counted()), LIMITS)
        assert found.outcome is Outcome.UNKNOWN
        assert "KeyError: 'nothing'" in found.sentence.render()


def test_lost_evidence_is_no_pass_and_hides_no_failure():
    """A record with lost lines can fail a run but not pass it: a lost line may have shown a failure."""
    for run, outcome in ((micro.counted(), Outcome.UNKNOWN), (micro.naive(), Outcome.FAIL)):
        record = run.record()
        lossy = replace(record, history=replace(record.history, lost=3))
        (found,) = judge(micro.runs(lossy), ["warnings"])
        assert found.outcome is outcome
    lossy = replace(micro.counted().record(), history=replace(micro.counted().record().history, lost=3))
    found = a_check()(micro.runs(lossy), LIMITS)
    assert (found.evidence["premise"], found.evidence["seen"]) == ("whole", 1)
    assert "3 of the probe's lines could not be written" in found.sentence.render()


def test_a_pair_must_be_whole_and_differ_in_retention_only():
    """A pair with any difference but the retention is refused, and the difference is named; equal mappings are no difference."""
    runs = micro.runs(micro.counted(config={"a": [1]}))
    assert runs.pair is not None
    same = replace(runs.pair.request, config=MappingProxyType({"a": (1,)}), role="control-pair")
    assert standard(replace(runs, pair=replace(runs.pair, request=same)))[0] is not None
    changes = {
        "workers": 7,
        "profile": "default",
        "config": {"a": 2},
        "seed": 1,
        "schedule": (Hold(1, 0),),
        "faults": ({"what": "unlink"},),
        "plan": None,
    }
    other = {
        "target.kind": {"kind": "zemosaic"},
        "target.label": {"label": "older"},
        "target.identity": {"identity": {"commit": "older"}},
        "target.command": {"command": ("x",)},
    }
    requests = {name: replace(same, **{name: value}) for name, value in changes.items()}
    requests |= {name: replace(same, target=replace(same.target, **value)) for name, value in other.items()}
    for name, request in requests.items():
        pair, why_not = standard(replace(runs, pair=replace(runs.pair, request=request)))
        assert pair is None
        assert why_not.render() == f"The run with run_end can't be compared; it differs in: {name}."
    torn = replace(runs.pair, history=replace(runs.pair.history, torn=("trace-1.jsonl, line 3",)))
    assert standard(replace(runs, pair=torn))[0] is None


@pytest.mark.parametrize("state", ["crashed", "timed out", "killed"])
def test_a_run_that_broke_off_can_not_pass(state):
    """A pass of a run that did not reach its end becomes unknown and keeps its evidence."""
    found = a_check()(micro.runs(micro.counted(), state=state), LIMITS)
    assert found.outcome is Outcome.UNKNOWN
    assert state in found.sentence.render()
    assert found.evidence["seen"] == 1


def test_a_run_that_broke_off_is_told_before_what_it_did_not_come_to():
    """The reason that a run broke off is shown instead of a premise that it therefore did not meet."""
    run = micro.Micro(schedule=(Hold(2, 1),))
    for found in judge(micro.runs(run, state="crashed")):
        assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "whole")
        assert "crashed: as the test says" in found.sentence.render()


def test_what_a_run_that_broke_off_shows_stands():
    """Missing caches fail a run even if it broke off."""
    (found,) = judge(micro.runs(micro.naive(), state="crashed"), ["warnings"])
    assert found.outcome is Outcome.FAIL


def test_an_unknown_name_of_a_check_is_refused():
    """A misspelt check is an error that lists the known names."""
    with pytest.raises(ValueError, match="warnings, tiles, holes"):
        judge(micro.runs(micro.counted()), ["hole"])


def test_every_check_asks_a_question_under_its_own_name():
    """Each check has a unique name, and its verdict carries that name."""
    assert all(check.name == name and check.question.render().endswith("?") for name, check in ALL.items())
    assert [v.check for v in judge(micro.runs(micro.counted()))] == list(ALL)
