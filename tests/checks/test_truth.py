"""The check that stars are where and as bright as they should be."""

from dataclasses import replace

import numpy as np
import pytest

from harness.analysis.stars import look, sky
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.truth import Truth
from harness.verdict import Outcome
from tests import micro

ALL = [micro.frame(p) for p in range(3)]


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["truth"])[0]


def altered(record, change):
    """Return a record whose stars were changed; ``change`` is given them with their column on the first frame."""
    stars = record.products.stars.copy()
    x = (10.0 - stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2
    return replace(record, products=replace(record.products, stars=change(stars, x)))


def dimmed(by, where=lambda x: x > 170):
    """Return a change that leaves stars a part of their flux, those of the last panel unless told otherwise."""
    return lambda stars, x: np.column_stack([stars[:, :2], np.where(where(x), by, 1.0) * stars[:, 2]])


def shifted(pixels, where=lambda x: x > 170):
    """Return a change that moves stars along the declination."""
    return lambda stars, x: np.column_stack(
        [stars[:, 0], stars[:, 1] + np.where(where(x), pixels * micro.SCALE, 0.0), stars[:, 2]]
    )


def test_a_mosaic_that_lies_elsewhere_is_compared_by_the_pairs_stars():
    """A target that places its mosaic wrongly with run_end too still shows whether a panel's stars are what the pair's are."""
    runs = micro.runs(micro.counted())
    elsewhere = runs.pair.products.stars + np.array([0.0, 1.0, 0.0])
    truth = Truth(elsewhere, 0.0, (1.0, 1.0, 1.0), "synthetic", ())
    runs = replace(runs, run=replace(runs.run, truth=truth), pair=replace(runs.pair, truth=truth))
    assert verdict(runs).outcome is Outcome.PASS
    assert verdict(replace(runs, run=altered(runs.run, dimmed(0.5)))).outcome is Outcome.FAIL


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_the_same_stars_pass(mode):
    """In every panel, in every mode."""
    found = verdict(micro.runs(micro.of_mode(mode)))
    assert found.outcome is Outcome.PASS
    assert {p["flux"] for p in found.evidence["panels"]} == {1.0}
    assert {p["offset"] for p in found.evidence["panels"]} == {0.0}


def test_a_star_is_found_near_its_place_or_not_at_all():
    """The nearest star is none of its images when it lies further away than any shift that still makes one image."""
    products = micro.counted().record().products
    at = sky(products.stars[:1], ALL, products)
    assert look(products, at).found.all()
    assert not look(replace(products, stars=products.stars[-1:]), at).found.any()


def test_one_scale_for_the_whole_mosaic_is_no_finding():
    """A mosaic saved in another unit has the same stars: the scale is anchored on all that both show."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=altered(runs.run, dimmed(0.5, lambda x: x > -1e9))))
    assert (found.outcome, found.evidence["scale"]) == (Outcome.PASS, 0.5)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (dimmed(0.7), "stars have 0.7 of their flux with run_end"),
        (dimmed(1.4), "stars have 1.4 of their flux with run_end"),
        (shifted(3.0), "stars lie 3 pixels from where run_end shows them"),
        (lambda stars, x: stars[x < 170], "are lost"),
        (dimmed(0.6, lambda x: x > 225), "in all are lost, of another flux or elsewhere"),
    ],
)
def test_a_panel_that_differs_fails_and_is_named(change, what):
    """Too faint, too bright, displaced, gone, or wrong in a part: the panel and what is wrong with it."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=altered(runs.run, change)))
    assert found.outcome is Outcome.FAIL
    assert "Panels: 2." in found.sentence.render()
    assert what in micro.prose(found)


def test_doubled_stars_fail():
    """Second images of stars, which neither the pair nor the truth has, are counted."""
    runs = micro.runs(micro.counted())

    def doubled(stars, x):
        second = stars[x > 200] + [0.0, 9 * micro.SCALE, 0.0]
        return np.concatenate([stars, second])

    found = verdict(replace(runs, run=altered(runs.run, doubled)))
    assert found.outcome is Outcome.FAIL
    assert "doubled or displaced" in found.sentence.render()


def test_what_the_pair_has_too_is_no_fault_of_the_run():
    """A panel that is as faint with run_end, beside the truth, is the target's own: the accuracy check tells of it."""
    runs = micro.runs(micro.counted())
    truth = Truth(micro.stars_of(ALL), 100.0, (1.0, 1.0, 1.0))
    both = replace(
        runs,
        run=replace(altered(runs.run, dimmed(0.838)), truth=truth),
        pair=replace(altered(runs.pair, dimmed(0.838)), truth=truth),
    )
    found = verdict(both)
    assert (found.outcome, found.evidence["catalogue"]) == (Outcome.PASS, "synthetic")
    assert verdict(replace(both, run=replace(runs.run, truth=truth))).outcome is Outcome.FAIL


def test_blended_stars_are_left_out():
    """Two stars in one aperture say nothing: the truth knows of both, and neither counts."""
    runs = micro.runs(micro.counted())
    stars = micro.stars_of(ALL)
    beside = np.column_stack([stars[:, 0], stars[:, 1] + 6 * micro.SCALE, stars[:, 2]])
    truth = Truth(np.concatenate([stars, beside]), 100.0, (1.0, 1.0, 1.0))
    assert verdict(replace(runs, run=replace(runs.run, truth=truth))).outcome is Outcome.UNKNOWN


def test_missing_evidence_is_unknown():
    """No pair, no mosaic, too few stars; run_end itself has nobody to be compared with."""
    runs = micro.runs(micro.counted())
    assert verdict(Comparison(runs.run)).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=altered(runs.run, lambda stars, _: stars[:0]))).outcome is Outcome.FAIL
    bare = altered(runs.pair, lambda stars, _: stars[:3])
    assert (
        verdict(replace(runs, run=altered(runs.run, lambda stars, _: stars[:3]), pair=bare)).outcome is Outcome.UNKNOWN
    )
    assert verdict(Comparison(runs.pair)).outcome is Outcome.NOT_APPLICABLE


def test_no_shared_cache_puts_nothing_to_the_test():
    """The stars of a run in which no tile shared a cache say nothing of retention."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


def test_phase_3_must_be_reached():
    """A run that never came to it shows nothing of its retention."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
