"""The check that covered sky is really sky."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.verdict import Outcome
from tests import micro


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["content"])[0]


def filled(record, *areas):
    """Return a record with constant areas in its mosaic."""
    constant = record.products.constant.copy()
    for area in areas:
        constant[area] = True
    return replace(record, products=replace(record.products, constant=constant))


def without(record, lost):
    """Return a record that shows all stars but those for which ``lost`` of their column on the sky is true."""
    stars = record.products.stars
    return replace(record, products=replace(record.products, stars=stars[~lost(np.argsort(np.argsort(-stars[:, 0])))]))


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_sky_with_its_stars_passes(mode):
    """Nothing is constant, and every panel shows the stars that run_end shows."""
    found = verdict(micro.runs(micro.of_mode(mode)))
    assert found.outcome is Outcome.PASS
    assert all(p["found"] == p["expected"] for p in found.evidence["panels"])
    assert found.evidence["constant_pixels"] == 0


def test_filling_is_no_sky():
    """A rim of a constant that is counted as covered fails; a few such pixels do not."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=filled(runs.run, np.s_[10:30, 20:60])))
    assert found.outcome is Outcome.FAIL
    assert "in pixels: 800" in found.sentence.render()
    assert verdict(replace(runs, run=filled(runs.run, np.s_[10:18, 20:28]))).outcome is Outcome.PASS


def test_what_the_pair_has_too_is_not_the_patchs():
    """A constant area is compared at its place on the sky, whatever the canvas; one elsewhere is new."""
    runs = micro.runs(micro.counted())
    area = np.s_[10:30, 20:60]
    both = replace(runs, run=filled(runs.run, area), pair=filled(runs.pair, area))
    assert verdict(both).outcome is Outcome.PASS
    shifted = replace(
        runs.pair.products, wcs={**runs.pair.products.wcs, "CRPIX1": runs.pair.products.wcs["CRPIX1"] - 5}
    )
    moved = filled(replace(runs.pair, products=shifted), np.s_[10:30, 15:55])
    assert verdict(replace(both, pair=moved)).outcome is Outcome.PASS
    assert verdict(replace(both, pair=filled(runs.pair, np.s_[10:30, 120:160]))).outcome is Outcome.FAIL


def test_run_end_is_judged_by_itself():
    """A pair has nobody beside it: filling shows all the same."""
    pair = micro.runs(micro.counted()).pair
    assert verdict(Comparison(pair)).outcome is Outcome.PASS
    assert verdict(Comparison(filled(pair, np.s_[10:30, 20:60]))).outcome is Outcome.FAIL


def test_a_panel_without_its_stars_fails():
    """All is covered, and half a panel's brighter stars are gone: the panel is named with its count."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=without(runs.run, lambda order: order < 20)))
    assert found.outcome is Outcome.FAIL
    assert "in panel 0" in found.sentence.render()


def test_stars_under_a_hole_are_not_missed():
    """What is not covered is the hole's matter."""
    runs = micro.runs(micro.counted())
    run = without(runs.run, lambda order: order < 12)
    covered = run.products.covered.copy()
    covered[:, :80] = False
    assert (
        verdict(replace(runs, run=replace(run, products=replace(run.products, covered=covered)))).outcome
        is Outcome.PASS
    )


def test_missing_evidence_is_unknown():
    """No mosaic, no pair, a record that was measured by an earlier version, too few stars."""
    runs = micro.runs(micro.counted())
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN
    assert "There is no run with run_end" in micro.prose(verdict(Comparison(runs.run)))
    old = replace(runs.run, products=replace(runs.run.products, constant=None))
    assert verdict(replace(runs, run=old)).outcome is Outcome.UNKNOWN
    bare = replace(runs.pair, products=replace(runs.pair.products, stars=runs.pair.products.stars[:3]))
    assert verdict(replace(runs, pair=bare)).outcome is Outcome.UNKNOWN


def test_no_shared_cache_puts_nothing_to_the_test():
    """Sound sky of a run in which no tile shared a cache says nothing of retention."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


def test_phase_3_must_be_reached():
    """A run that never came to it shows nothing of its retention."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
