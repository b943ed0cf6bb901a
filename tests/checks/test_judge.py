"""Test all checks together: outcomes by history and mode, names, crashes and damage."""

import json
from dataclasses import replace
from types import MappingProxyType

import pytest

from harness.checks.base import Check
from harness.checks.judge import ALL, judge
from harness.checks.thresholds import read_thresholds
from harness.language.message import say
from harness.record.comparison import Comparison
from harness.record.convert import from_json, to_json
from harness.verdict import Outcome, Verdict
from tests import micro


def outcomes(runs):
    """Return the outcome of each check."""
    return {v.check: v.outcome for v in judge(runs)}


def test_the_chain_is_red_and_green_as_the_design_says():
    """Naive deletion that the target does not report fails exactly eight checks; counted references and run_end fail no check.

    Checks that compare with run_end are not applicable to run_end, and without a truth nothing is compared with the sky.
    """
    red = {"warnings", "tiles", "depth", "cache", "holes", "trimmed", "logs", "parity"}
    assert {n for n, o in outcomes(micro.runs(micro.naive(order=(1, 0, 2)))).items() if o is Outcome.FAIL} == red
    for good in (micro.counted(), micro.counted(retention="run_end"), micro.counted(micro.ONE_SHARED)):
        found = outcomes(micro.runs(good))
        not_asked = {"accuracy"} if good.request.retention == "per_tile" else {"accuracy", "cost", "parity", "truth"}
        assert {outcome for name, outcome in found.items() if name not in not_asked} == {Outcome.PASS}
        assert {found[name] for name in not_asked - {"accuracy"}} <= {Outcome.NOT_APPLICABLE}
        assert found["accuracy"] is Outcome.UNKNOWN  # these histories have no truth


def test_verdicts_are_built_of_json():
    """A verdict that is written to a file and read again is unchanged."""
    for verdict in judge(micro.runs(micro.naive(), baseline=micro.naive().record())):
        text = json.dumps(to_json(verdict), allow_nan=False)
        assert to_json(from_json(json.loads(text), Verdict)) == json.loads(text)


def test_checks_are_chosen_by_name():
    """Checks are run in the given order; unknown names are an error."""
    assert [v.check for v in judge(micro.runs(micro.counted()), ["depth", "tiles"])] == ["depth", "tiles"]
    with pytest.raises(ValueError, match=r"found colour, taste"):
        judge(micro.runs(micro.counted()), ["colour", "tiles", "taste"])


def test_judging_twice_gives_the_same():
    """Checks are pure: judging the same runs twice gives the same verdicts."""
    runs = micro.runs(micro.naive())
    assert to_json(judge(runs)) == to_json(judge(runs))


@pytest.mark.parametrize(
    ("mode", "absent"),
    [
        ("sds", {"logs", "products"}),
        ("grid", {"logs", "depth", "cache"}),
    ],
)
def test_each_mode_has_its_own_questions(mode, absent):
    """SDS has no Phase 3 and grid mode no cache, so the checks of these are not applicable there."""
    found = outcomes(micro.runs(micro.of_mode(mode)))
    asked = {"warnings", "tiles", "holes", "depth", "cache", "products", "fallback", "logs"}
    assert {name for name in asked if found[name] is Outcome.NOT_APPLICABLE} == absent
    assert {found[name] for name in asked - absent} == {Outcome.PASS}


def test_an_unsealed_or_damaged_record_is_unknown():
    """No check concludes anything if the run or a record to compare with is not sealed or is damaged."""
    good = micro.runs(micro.counted())
    for runs in (
        micro.runs(micro.counted(), state=None),
        micro.runs(micro.counted(), damage=["trace-1.jsonl: changed since the record was sealed"]),
        replace(good, pair=replace(good.pair, seal=None)),
        replace(good, baseline=replace(good.run, damage=("events-1.jsonl: missing",))),
    ):
        assert set(outcomes(runs).values()) == {Outcome.UNKNOWN}


def test_a_check_that_crashes_has_concluded_nothing():
    """A check that crashes gives unknown, with the error."""

    def crash(_runs, _limits):
        raise ZeroDivisionError("a bug")

    check = Check("broken", say("Does it work?"), crash, MappingProxyType({"classic": ()}))
    found = check(micro.runs(micro.counted()), read_thresholds())
    assert found.outcome is Outcome.UNKNOWN
    assert "ZeroDivisionError: a bug" in found.sentence.render()


def test_every_check_has_a_question():
    """Each check has a unique name and a question that ends with a question mark."""
    assert all(check.question.render().endswith("?") and check.name == name for name, check in ALL.items())


def test_an_empty_history_passes_nothing():
    """A record without observations passes no check."""
    run = micro.Micro().record(products=None, left=(), inputs=None)
    empty = replace(run, history=replace(run.history, capabilities=frozenset()))
    assert set(outcomes(Comparison(empty)).values()) == {Outcome.UNKNOWN}
