"""Test the check that stars have the right positions and fluxes."""

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
    """Return a record with changed stars. ``change`` gets the stars and their columns on the first frame."""
    stars = record.products.stars.copy()
    x = (10.0 - stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2
    made = change(stars, x)
    return replace(record, products=replace(record.products, stars=made, channels=micro.in_channels(made)))


def dimmed(by, where=lambda x: x > 170):
    """Return a change that multiplies the flux of stars, by default of those in the last panel."""
    return lambda stars, x: np.column_stack([stars[:, :2], np.where(where(x), by, 1.0) * stars[:, 2]])


def shifted(pixels, where=lambda x: x > 170):
    """Return a change that moves stars in declination, by default those in the last panel."""
    return lambda stars, x: np.column_stack(
        [stars[:, 0], stars[:, 1] + np.where(where(x), pixels * micro.SCALE, 0.0), stars[:, 2]]
    )


def test_a_mosaic_that_lies_elsewhere_is_compared_by_the_pairs_stars():
    """If run and pair are both misplaced on the sky, their stars are compared with each other."""
    runs = micro.runs(micro.counted())
    elsewhere = runs.pair.products.stars + np.array([0.0, 1.0, 0.0])
    truth = Truth(elsewhere, 0.0, (1.0, 1.0, 1.0), "synthetic", ())
    runs = replace(runs, run=replace(runs.run, truth=truth), pair=replace(runs.pair, truth=truth))
    assert verdict(runs).outcome is Outcome.PASS
    assert verdict(replace(runs, run=altered(runs.run, dimmed(0.5)))).outcome is Outcome.FAIL


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_the_same_stars_pass(mode):
    """Equal stars pass in every panel and in every mode."""
    found = verdict(micro.runs(micro.of_mode(mode)))
    assert found.outcome is Outcome.PASS
    assert {p["flux"] for p in found.evidence["panels"]} == {1.0}
    assert {p["offset"] for p in found.evidence["panels"]} == {0.0}


def test_a_star_is_found_near_its_place_or_not_at_all():
    """A star with no match within the search radius is not found."""
    products = micro.counted().record().products
    at = sky(products.stars[:1], ALL, products)
    assert look(products, at).found.all()
    assert not look(replace(products, stars=products.stars[-1:]), at).found.any()


def test_one_scale_for_the_whole_mosaic_is_no_finding():
    """A mosaic in another unit passes: the common scale is removed."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=altered(runs.run, dimmed(0.5, lambda x: x > -1e9))))
    assert (found.outcome, found.evidence["scale"]) == (Outcome.PASS, 0.5)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (dimmed(0.7), "stars have 70 % of their flux with run_end"),
        (dimmed(1.4), "stars have 140 % of their flux with run_end"),
        (shifted(3.0), "stars are displaced by 3 pixels from their positions with run_end"),
        (lambda stars, x: stars[x < 170], "Lost: 20; the others have another flux or lie elsewhere"),
        (dimmed(0.6, lambda x: x > 225), "Lost: 0; the others have another flux or lie elsewhere"),
    ],
)
def test_a_panel_that_differs_fails_and_is_named(change, what):
    """A panel with stars too faint, too bright, displaced, lost, or partly wrong fails, and the cause names the panel."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=altered(runs.run, change)))
    assert found.outcome is Outcome.FAIL
    assert "Panels: 2." in found.sentence.render()
    assert what in micro.prose(found)


@pytest.mark.parametrize(
    ("stars", "changed", "outcome"),
    [
        (12, 3, Outcome.FAIL),  # a quarter; the limit is 0.15
        (12, 2, Outcome.FAIL),
        (20, 3, Outcome.PASS),  # 0.15
        (20, 4, Outcome.FAIL),
        (6, 1, Outcome.PASS),  # a single star never fails
    ],
)
def test_a_few_changed_stars_of_a_panel_fail(stars, changed, outcome):
    """Stars with another flux fail if they are more than the limit's share of the panel's stars, and at least two."""

    def kept(catalogue, x):
        last = np.flatnonzero(x > 170)
        return np.delete(catalogue, last[stars:], axis=0)

    def fainter(catalogue, x):
        last = np.flatnonzero(x > 170)[:changed]
        return np.column_stack(
            [catalogue[:, :2], catalogue[:, 2] * np.where(np.isin(np.arange(len(x)), last), 0.5, 1.0)]
        )

    runs = micro.runs(micro.counted())
    pair = altered(runs.pair, kept)
    run = altered(altered(runs.run, kept), fainter)
    found = verdict(replace(runs, run=run, pair=pair))
    panel = found.evidence["panels"][2]
    assert (panel["stars"], panel["changed"], found.outcome) == (stars, changed, outcome)


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        (dimmed(0.96), Outcome.PASS),  # the limit is 0.05
        (dimmed(0.92), Outcome.FAIL),
        (shifted(0.25), Outcome.PASS),  # the limit is 0.3 pixels
        (shifted(0.5), Outcome.FAIL),
    ],
)
def test_each_limit_of_a_panels_medians_is_noticed(change, outcome):
    """A panel's flux and position a little within the limits pass, a little beyond they fail."""
    runs = micro.runs(micro.counted())
    assert verdict(replace(runs, run=altered(runs.run, change))).outcome is outcome


def test_doubled_stars_fail():
    """Second images of stars, which neither the pair nor the truth has, fail."""
    runs = micro.runs(micro.counted())

    def doubled(stars, x):
        second = stars[x > 200] + [0.0, 9 * micro.SCALE, 0.0]
        return np.concatenate([stars, second])

    found = verdict(replace(runs, run=altered(runs.run, doubled)))
    assert found.outcome is Outcome.FAIL
    assert "doubled or displaced" in found.sentence.render()


def test_what_the_pair_has_too_is_no_fault_of_the_run():
    """A panel that is as faint with run_end passes; the accuracy check reports it."""
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
    """Two stars of the truth in one aperture are both left out."""
    runs = micro.runs(micro.counted())
    stars = micro.stars_of(ALL)
    beside = np.column_stack([stars[:, 0], stars[:, 1] + 6 * micro.SCALE, stars[:, 2]])
    truth = Truth(np.concatenate([stars, beside]), 100.0, (1.0, 1.0, 1.0))
    assert verdict(replace(runs, run=replace(runs.run, truth=truth))).outcome is Outcome.UNKNOWN


def test_missing_evidence_is_unknown():
    """Without a pair, a mosaic or enough stars the answer is unknown; run_end without a pair is not applicable."""
    runs = micro.runs(micro.counted())
    assert verdict(Comparison(runs.run)).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN
    assert verdict(replace(runs, run=altered(runs.run, lambda stars, _: stars[:0]))).outcome is Outcome.FAIL
    bare = altered(runs.pair, lambda stars, _: stars[:3])
    assert (
        verdict(replace(runs, run=altered(runs.run, lambda stars, _: stars[:3]), pair=bare)).outcome is Outcome.UNKNOWN
    )
    assert verdict(Comparison(runs.pair)).outcome is Outcome.NOT_APPLICABLE


def test_a_shared_cache_is_required():
    """If no tiles shared a cache, sound stars do not test retention: unknown."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


def test_phase_3_must_be_reached():
    """A run that did not reach Phase 3 is unknown."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
