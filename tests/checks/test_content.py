"""The check that covered sky is really sky."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.base import Case
from harness.checks.judge import judge
from harness.verdict import Outcome
from tests import micro


def verdict(case):
    """Return the verdict of this check alone."""
    return judge(case, ["content"])[0]


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
    found = verdict(micro.case(micro.of_mode(mode)))
    assert found.outcome is Outcome.PASS
    assert all(p["found"] == p["expected"] for p in found.evidence["panels"])
    assert found.evidence["constant_pixels"] == 0


def test_filling_is_no_sky():
    """A rim of a constant that is counted as covered fails; a few such pixels do not."""
    case = micro.case(micro.counted())
    found = verdict(replace(case, run=filled(case.run, np.s_[10:30, 20:60])))
    assert found.outcome is Outcome.FAIL
    assert "in pixels: 800" in found.sentence.render()
    assert verdict(replace(case, run=filled(case.run, np.s_[10:18, 20:28]))).outcome is Outcome.PASS


def test_what_the_pair_has_too_is_not_the_patchs():
    """A constant area is compared at its place on the sky, whatever the canvas; one elsewhere is new."""
    case = micro.case(micro.counted())
    area = np.s_[10:30, 20:60]
    both = replace(case, run=filled(case.run, area), pair=filled(case.pair, area))
    assert verdict(both).outcome is Outcome.PASS
    shifted = replace(
        case.pair.products, wcs={**case.pair.products.wcs, "CRPIX1": case.pair.products.wcs["CRPIX1"] - 5}
    )
    moved = filled(replace(case.pair, products=shifted), np.s_[10:30, 15:55])
    assert verdict(replace(both, pair=moved)).outcome is Outcome.PASS
    assert verdict(replace(both, pair=filled(case.pair, np.s_[10:30, 120:160]))).outcome is Outcome.FAIL


def test_run_end_is_judged_by_itself():
    """A pair has nobody beside it: filling shows all the same."""
    pair = micro.case(micro.counted()).pair
    assert verdict(Case(pair)).outcome is Outcome.PASS
    assert verdict(Case(filled(pair, np.s_[10:30, 20:60]))).outcome is Outcome.FAIL


def test_a_panel_without_its_stars_fails():
    """All is covered, and half a panel's brighter stars are gone: the panel is named with its count."""
    case = micro.case(micro.counted())
    found = verdict(replace(case, run=without(case.run, lambda order: order < 20)))
    assert found.outcome is Outcome.FAIL
    assert "in panel 0" in found.sentence.render()


def test_stars_under_a_hole_are_not_missed():
    """What is not covered is the hole's matter."""
    case = micro.case(micro.counted())
    run = without(case.run, lambda order: order < 12)
    covered = run.products.covered.copy()
    covered[:, :80] = False
    assert (
        verdict(replace(case, run=replace(run, products=replace(run.products, covered=covered)))).outcome
        is Outcome.PASS
    )


def test_missing_evidence_is_unknown():
    """No mosaic, no pair, a record that was measured by an earlier version, too few stars."""
    case = micro.case(micro.counted())
    assert verdict(replace(case, run=replace(case.run, products=None))).outcome is Outcome.UNKNOWN
    assert "No pair" in micro.prose(verdict(Case(case.run)))
    old = replace(case.run, products=replace(case.run.products, constant=None))
    assert verdict(replace(case, run=old)).outcome is Outcome.UNKNOWN
    bare = replace(case.pair, products=replace(case.pair.products, stars=case.pair.products.stars[:3]))
    assert verdict(replace(case, pair=bare)).outcome is Outcome.UNKNOWN


def test_no_shared_cache_puts_nothing_to_the_test():
    """Sound sky of a run in which no tile shared a cache says nothing of retention."""
    found = verdict(micro.case(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


def test_phase_3_must_be_reached():
    """A run that never came to it shows nothing of its retention."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(micro.case(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
