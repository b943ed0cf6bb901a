"""Test which of two failed verdicts of one check is worse: by its figures, beyond the smallest change that counts."""

from dataclasses import replace

import pytest

from harness.checks.severity import worse
from harness.checks.thresholds import read_thresholds
from harness.language.message import say
from harness.verdict import Outcome, Verdict
from tests import micro

LIMITS = read_thresholds()


def failed(check, **evidence):
    """Return a failed verdict of a check."""
    return Verdict(check, Outcome.FAIL, say("x"), evidence)


def hole(area, *, in_pair=False):
    """Return a hole in the evidence, with its area in square arc minutes."""
    return {"in_pair": in_pair, "pixels": 100, "square_arcmin": area}


def holes(*listed):
    """Return the evidence on these holes."""
    return {"holes": list(listed), "holes_in_all": len(listed)}


def events(missing, starved, failures):
    """Return the evidence on the three events of a lost cache."""
    return {"counts": {micro.MISSING: missing, micro.STARVED: starved, micro.FAILED: failures}}


def parity(*most):
    """Return the evidence on a run beside which these largest differences of images were found."""
    return {"compared": [{"with": "a", "images": [{"most": one}]} for one in most]}


@pytest.mark.parametrize(
    ("check", "before", "after", "expected"),
    [
        # Of a count of what is right, the part that is missing is compared.
        ("tiles", {"num_master_tiles": 2, "tiles_total": 3}, {"num_master_tiles": 1, "tiles_total": 3}, True),
        ("tiles", {"num_master_tiles": 1, "tiles_total": 3}, {"num_master_tiles": 2, "tiles_total": 3}, False),
        ("tiles", {"num_master_tiles": 2, "tiles_total": 3}, {"num_master_tiles": 5, "tiles_total": 6}, False),
        # Of a count of what is wrong, the count.
        (
            "depth",
            {"lost": {"caches": 2}, "frames_submitted": 9},
            {"lost": {"caches": 3}, "frames_submitted": 30},
            True,
        ),
        ("disk", {"left_at_end": 100}, {"left_at_end": 103}, False),  # the smallest change that counts is 3 %
        ("disk", {"left_at_end": 100}, {"left_at_end": 104}, True),
        ("disk", {"total_peak_ratio": 1.1}, {"total_peak_ratio": 1.2}, True),
        ("disk", {"total_peak_ratio": 1.2}, {"total_peak_ratio": 1.1}, False),
        # More events of one kind are worse, also if there are fewer in all.
        ("warnings", events(2, 2, 2), events(3, 0, 0), True),
        ("warnings", events(2, 2, 2), events(2, 0, 0), False),
        # Of an interval the lower end: what noise does not explain.
        (
            "cost",
            {"ratio": 1.4, "ratio_low": 1.2, "ratio_high": 1.6, "timed_pairs": 4},
            {"ratio": 1.9, "ratio_low": 1.2, "ratio_high": 2.8, "timed_pairs": 4},
            False,
        ),
        (
            "cost",
            {"ratio": 1.4, "ratio_low": 1.2, "ratio_high": 1.6, "timed_pairs": 4},
            {"ratio": 1.4, "ratio_low": 1.3, "ratio_high": 1.5, "timed_pairs": 4},
            True,
        ),
        # Of holes the area, of the run's own and of those that it shares with its pair.
        ("holes", holes(hole(5.0)), holes(hole(2.0), hole(2.0)), False),
        ("holes", holes(hole(5.0)), holes(hole(2.0), hole(4.0)), True),
        ("holes", holes(hole(1.0), hole(5.0, in_pair=True)), holes(hole(1.0), hole(7.0, in_pair=True)), True),
        # Of fallbacks the new kinds, and not how often those occur that other runs have too.
        ("fallback", {"new": [{}], "same": [{"count": 1}]}, {"new": [{}, {}], "same": []}, True),
        ("fallback", {"new": [{}], "same": [{"count": 1}]}, {"new": [{}], "same": [{"count": 90}]}, False),
        # Of outputs the largest difference of an image, beside any run.
        ("parity", parity(7.0), parity(7.2), False),
        ("parity", parity(7.0, 9.0), parity(8.0, 2.0), False),
        ("parity", parity(7.0), parity(1.0, 7.3), True),
        ("parity", parity(), parity(7.0), True),
        ("parity", parity(7.0), parity("much", None), False),
        ("parity", {}, {}, False),
    ],
)
def test_a_verdict_is_worse_by_its_own_figures(check, before, after, expected):
    """Each check states what its numbers mean, so a larger count of made tiles is better and one of lost frames is worse."""
    assert worse(failed(check, **after), failed(check, **before), LIMITS) is expected


def test_a_figure_that_the_other_run_lacks_is_not_compared():
    """Evidence of an older record may lack a figure. The others are compared."""
    assert not worse(failed("disk", left_at_end=9), failed("disk", total_peak_ratio=1.0), LIMITS)
    both = failed("disk", left_at_end=9, total_peak_ratio=1.2)
    assert worse(both, failed("disk", total_peak_ratio=1.0), LIMITS)
    assert not worse(failed("disk", total_peak_ratio=1.0), both, LIMITS)


def test_verdicts_of_different_checks_are_not_compared():
    """Nothing is worse than a verdict of another check, or of a check that this version does not have."""
    assert not worse(failed("disk", left_at_end=9), failed("cache", left=1), LIMITS)
    assert not worse(failed("gone", left=9), failed("gone", left=1), LIMITS)


def test_a_finding_of_quality_is_worse_if_one_of_its_findings_is_new():
    """Findings are compared by name and size, not by their number."""
    old, other, larger = (
        replace(failed("accuracy", findings=[{"name": name, "size": size, "noise": 0.0}]), axis="quality")
        for name, size in (("panel 0: flux", 0.2), ("panel 1: flux", 0.2), ("panel 0: flux", 0.3))
    )
    assert not worse(old, old, LIMITS)
    assert worse(other, old, LIMITS)
    assert worse(larger, old, LIMITS)
    assert not worse(old, larger, LIMITS)
