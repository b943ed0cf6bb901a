"""Test what reports read from the evidence of a judged run, also from a file that was edited."""

import pytest

from harness.checks.cost import Measured
from harness.language.message import say
from harness.patch.guard_rails import Removing
from harness.session import evidence
from harness.session.model import JudgedRun
from harness.verdict import Outcome, Verdict
from tests.done_sessions import a_session

SQUARE = [[1.0, 1.0], [1.0, 2.0], [2.0, 2.0]]


def judged(check, found):
    """Return a run with one verdict."""
    verdict = Verdict(check, Outcome.PASS, say("No tile was submitted."), found)
    return JudgedRun(case="chain", run="a", role="subject", verdicts=(verdict,))


@pytest.mark.parametrize(
    ("check", "found", "expected"),
    [
        ("fallback", {"same": [{"name": "gpu_fallback_cpu"}]}, True),
        ("fallback", {"same": [{"name": "neutral_gains"}, {}]}, False),
        ("fallback", {"new": [{"name": "gpu_fallback_cpu"}]}, False),
        ("fallback", {"same": "gpu_fallback"}, False),
        ("cost", {"same": [{"name": "gpu_fallback_cpu"}]}, False),
    ],
)
def test_a_missing_gpu_is_a_fallback_that_other_runs_have(check, found, expected):
    """Only a fallback of the check of fallbacks counts, and only one that is not new."""
    assert evidence.reports_no_gpu(judged(check, found)) is expected


def test_measurements_of_the_cost_check_have_their_limits():
    """The ratio comes with the timed pairs, the exponent without; a value that is missing or not finite gives nothing."""
    ends = {"ratio": 1.02, "ratio_low": 0.97, "ratio_high": 1.08, "ratio_limit": 1.1}
    found = {**ends, "phase_3_seconds": [{"ratio": 1.0}, {"ratio": "many"}, 7]}
    assert evidence.phase_3_ratio(judged("cost", found)) == Measured(1.02, 0.97, 1.08, 1.1, (1.0,))
    assert evidence.phase_3_ratio(judged("cost", ends)) == Measured(1.02, 0.97, 1.08, 1.1, ())
    assert evidence.phase_3_ratio(judged("cost", {**ends, "ratio_low": float("nan")})) is None
    assert evidence.bookkeeping_exponent(judged("cost", found)) is None
    growth = {name.replace("ratio", "exponent"): value for name, value in ends.items()}
    assert evidence.bookkeeping_exponent(judged("cost", growth)) == Measured(1.02, 0.97, 1.08, 1.1, ())


def test_places_of_removal_are_read_from_the_review():
    """File, line and function of each removal, with the count that guards it; malformed rows give none."""
    place = {"file": "w.py", "releases": [{"line": 7, "function": "f", "counts": "refs"}, {"line": "x"}, {}]}
    session = a_session(patch=(Verdict("1.2", Outcome.PASS, say("x"), {"before": "?", "after": [place, {}]}),))
    assert evidence.places_of_removal(session, "after") == (Removing("w.py", 7, "f", "refs"),)
    assert evidence.places_of_removal(session, "before") == ()
    assert evidence.places_of_removal(a_session(patch=()), "after") == ()


def test_malformed_outlines_are_left_out():
    """An outline is a list of at least three finite places on the sky."""
    bad = {"2": [[1.0, 2.0]], "3": "x", "4": [[float("nan"), 1.0]] * 3, "5": [1.0, 2.0, 3.0], "6": [[1.0], [1.0, 2.0]]}
    outlines = evidence.hole_outlines(judged("holes", {"outlines": {"1": SQUARE, **bad}}))
    assert {number: edge.tolist() for number, edge in outlines.items()} == {"1": SQUARE}
    assert evidence.hole_outlines(judged("holes", {"outlines": [SQUARE]})) == {}


def test_what_is_drawn_is_not_listed():
    """The curves of the disk check and the outlines of the check of holes are left out of the evidence to read."""
    (holes,) = judged("holes", {"outlines": {"1": SQUARE}, "series": 1}).verdicts
    (disk,) = judged("disk", {"series": {"seconds": [0.0]}, "left_at_end": 0}).verdicts
    (release,) = judged("release", {"outlines": 1}).verdicts
    assert [evidence.to_read(verdict) for verdict in (holes, disk, release)] == [
        {"series": 1},
        {"left_at_end": 0},
        {"outlines": 1},
    ]
