"""Test the check that covered sky shows real sky."""

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
    """Return a record without the stars for which ``lost`` is true of their rank from east to west."""
    stars = record.products.stars
    return replace(record, products=replace(record.products, stars=stars[~lost(np.argsort(np.argsort(-stars[:, 0])))]))


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_sky_with_its_stars_passes(mode):
    """A run without constant areas that shows the stars of run_end in every panel passes."""
    found = verdict(micro.runs(micro.of_mode(mode)))
    assert found.outcome is Outcome.PASS
    assert all(p["found"] == p["expected"] for p in found.evidence["panels"])
    assert found.evidence["constant_pixels"] == 0


def test_the_brighter_half_of_a_panels_stars_is_asked_for():
    """Of 20, 16 and 20 stars the brighter half is expected; the faintest of this half counts, and the next one does not."""
    runs = micro.runs(micro.counted())
    assert [p["expected"] for p in verdict(runs).evidence["panels"]] == [10, 8, 10]
    stars = runs.run.products.stars
    first = np.flatnonzero(stars[:, 0] > stars[:, 0].max() - 80 * micro.SCALE / np.cos(np.radians(41)))
    by_flux = first[np.argsort(-stars[first, 2])]
    missing = []
    for star in by_flux:
        products = replace(runs.run.products, stars=np.delete(stars, star, axis=0))
        (panel, *_) = verdict(replace(runs, run=replace(runs.run, products=products))).evidence["panels"]
        missing.append(panel["expected"] - panel["found"])
    assert missing == [1] * 10 + [0] * (len(by_flux) - 10)


def test_filled_sky_fails():
    """A large constant area that counts as covered fails; a small one does not."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=filled(runs.run, np.s_[10:30, 20:60])))
    assert found.outcome is Outcome.FAIL
    assert "800 pixels of covered sky" in found.sentence.render()
    assert verdict(replace(runs, run=filled(runs.run, np.s_[10:18, 20:28]))).outcome is Outcome.PASS
    found = verdict(replace(runs, run=filled(runs.run, np.s_[10:20, 20:35])))  # the limit is 100 pixels
    assert (found.outcome, found.evidence["constant_pixels"]) == (Outcome.FAIL, 150)


def test_a_decimated_pairs_constant_area_is_given_in_pixels():
    """The constant area of the pair is stated in mosaic pixels, also if its mask has one element for four of them."""
    runs = micro.runs(micro.counted())
    pair = filled(runs.pair, np.s_[10:30, 20:60])
    found = verdict(replace(runs, pair=replace(pair, products=replace(pair.products, step=2))))
    assert found.evidence["constant_pixels_in_pair"] == 800 * 4


def test_what_the_pair_has_too_is_not_the_patchs():
    """A constant area that the pair has at the same sky position passes, also on another canvas; one elsewhere fails."""
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
    wider = {
        name: np.pad(getattr(runs.pair.products, name), ((0, 0), (0, 7))) for name in ("covered", "depth", "constant")
    }
    wider = filled(replace(runs.pair, products=replace(runs.pair.products, **wider)), area)
    assert verdict(replace(both, pair=wider)).outcome is Outcome.PASS, "the same grid, with more columns"


def test_run_end_is_judged_without_a_pair():
    """A run with run_end fails for filled sky without a pair to compare with."""
    pair = micro.runs(micro.counted()).pair
    assert verdict(Comparison(pair)).outcome is Outcome.PASS
    assert verdict(Comparison(filled(pair, np.s_[10:30, 20:60]))).outcome is Outcome.FAIL


def test_a_panel_without_its_stars_fails():
    """A covered panel without half of its brighter stars fails, and the sentence names the panel."""
    runs = micro.runs(micro.counted())
    found = verdict(replace(runs, run=without(runs.run, lambda order: order < 20)))
    assert found.outcome is Outcome.FAIL
    assert "Panel 0: brighter stars of run_end that are found in the covered sky: only" in found.sentence.render()


def test_stars_under_a_hole_are_not_missed():
    """Stars outside the covered sky are not expected; the holes check judges that."""
    runs = micro.runs(micro.counted())
    run = without(runs.run, lambda order: order < 12)
    covered = run.products.covered.copy()
    covered[:, :80] = False
    assert (
        verdict(replace(runs, run=replace(run, products=replace(run.products, covered=covered)))).outcome
        is Outcome.PASS
    )


def test_missing_evidence_is_unknown():
    """Without a mosaic, a pair, a measured constant area or enough stars the answer is unknown."""
    runs = micro.runs(micro.counted())
    assert verdict(replace(runs, run=replace(runs.run, products=None))).outcome is Outcome.UNKNOWN
    assert "There is no run with run_end" in micro.prose(verdict(Comparison(runs.run)))
    old = replace(runs.run, products=replace(runs.run.products, constant=None))
    assert verdict(replace(runs, run=old)).outcome is Outcome.UNKNOWN
    bare = replace(runs.pair, products=replace(runs.pair.products, stars=runs.pair.products.stars[:3]))
    assert verdict(replace(runs, pair=bare)).outcome is Outcome.UNKNOWN


def test_a_shared_cache_is_required():
    """If no tiles shared a cache, sound sky does not test retention: unknown."""
    found = verdict(micro.runs(micro.counted(micro.PRIVATE)))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "a cache was shared")


def test_phase_3_must_be_reached():
    """A run that did not reach Phase 3 is unknown."""
    run = micro.Micro().event("run_info_phase2_started")
    found = verdict(micro.runs(run))
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")


def test_a_constant_where_a_frame_has_no_data_is_the_inputs():
    """Covered sky on a frame's border without data may be constant; the same area is red if the frame has data there."""
    pair = micro.runs(micro.counted()).pair
    run = filled(pair, np.s_[10:30, 20:60])
    assert verdict(Comparison(run)).outcome is Outcome.FAIL
    bordered = replace(micro.frame(0), hull=((59.5, -0.5), (99.5, -0.5), (99.5, 79.5), (59.5, 79.5)))
    frames = tuple(bordered if f.name == bordered.name else f for f in run.request.dataset.frames)
    request = replace(run.request, dataset=replace(run.request.dataset, frames=frames))
    assert verdict(Comparison(replace(run, request=request))).outcome is Outcome.PASS


def test_a_panel_without_stars_in_run_and_pair_is_named():
    """A pass does not say that the stars of a panel are found if neither run shows them."""
    runs = micro.runs(micro.counted())

    def without(record):
        stars = record.products.stars
        x = (10.0 - stars[:, 0]) * np.cos(np.radians(41.0)) / micro.SCALE + micro.COLUMNS / 2
        return replace(record, products=replace(record.products, stars=stars[x > 95]))

    runs = replace(runs, run=without(runs.run), pair=without(runs.pair))
    (found,) = judge(runs, ["content"])
    assert found.evidence["panels_not_compared"] == [0]
    assert "except in the panels 0, where run_end has too few stars to compare" in found.sentence.render()
    (found,) = judge(runs, ["truth"])
    assert "too few stars in common: 0" in found.sentence.render()
