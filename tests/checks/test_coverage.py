"""Test the finding that compares the values of the coverage map with the frames and with the baseline."""

from dataclasses import replace

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.request import TargetFacts
from harness.verdict import Outcome
from tests import micro

BEFORE = TargetFacts("reference", "before", "", "python")


def verdict(run, **runs):
    """Return the verdict of this check alone."""
    return judge(Comparison(run, **runs), ["coverage"])[0]


def times(record, factor):
    """Return a record whose coverage map is multiplied."""
    return replace(record, products=replace(record.products, depth=record.products.depth * np.float32(factor)))


def earlier(record):
    """Return the same run of another version."""
    return replace(record, request=replace(record.request, target=BEFORE))


def counting(record):
    """Return a record whose coverage map has the number of tiles or frames, as a target writes it."""
    from harness.analysis.footprint import outlines, per_outline

    frames = {frame.name: frame for frame in record.request.dataset.frames}
    names = [tile.reference for tile in record.history.tiles] if record.request.mode == "classic" else list(frames)
    products = record.products
    depth = np.zeros(products.covered.shape, np.float32)
    for _, box, part in per_outline(outlines([frames[n] for n in names]), products.wcs, depth.shape):
        depth[box] += part
    return replace(record, products=replace(products, depth=np.where(products.covered, depth, 0)))


@pytest.mark.parametrize("mode", ["classic", "sds"])
def test_a_map_that_counts_tiles_or_frames_passes(mode):
    """The map has the number of tiles, in SDS of frames, at each place."""
    found = verdict(counting(micro.of_mode(mode).record()))
    assert (found.outcome, found.axis, found.evidence["ratio_to_frames"]) == (Outcome.PASS, "quality", 1.0)
    assert found.evidence["findings"] == []


@pytest.mark.parametrize("mode", ["classic", "sds"])
def test_a_doubled_map_is_a_finding_without_any_other_run(mode):
    """A map of twice the tiles or frames that reach a place is wrong, whatever other runs have."""
    found = verdict(times(counting(micro.of_mode(mode).record()), 2))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["findings"] == [{"name": "counts", "size": 1.0, "noise": 0.0}]
    assert "The coverage map is 2 times the number of tiles or frames that reach a place." in micro.prose(found)


@pytest.mark.parametrize(("factor", "found"), [(2.0, True), (0.5, True), (1.4, False), (0.7, False)])
@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_another_scale_than_the_baseline_is_new(mode, factor, found):
    """The whole map is twice or half that of the baseline: a new finding in every mode; less than 1.5 times is none."""
    run = counting(micro.of_mode(mode).record()) if mode != "grid" else micro.of_mode(mode).record()
    judged = verdict(times(run, factor), baseline=earlier(run))
    assert ("scale" in [f["name"] for f in judged.evidence["findings"]]) is found
    assert judged.outcome is (Outcome.FAIL if found else Outcome.PASS)
    assert judged.standing == ("new" if found else "")
    assert judged.evidence["ratio_to_baseline"] == pytest.approx([factor, factor], abs=1e-3)


def test_the_coverage_that_a_baseline_lost_is_no_other_scale():
    """A baseline without a tile lacks coverage in a part of the sky only."""
    run = counting(micro.counted().record())
    lost = run.products.depth.copy()
    lost[:, :120] /= 2
    before = earlier(replace(run, products=replace(run.products, depth=lost)))
    assert verdict(run, baseline=before).outcome is Outcome.PASS


def test_a_doubled_map_that_the_baseline_has_too_is_pre_existing():
    """A version before the patch that doubles its map has the finding in the same size: it does not gate."""
    run = times(counting(micro.counted().record()), 2)
    found = verdict(run, baseline=earlier(run))
    assert (found.outcome, found.standing, found.gates) == (Outcome.FAIL, "pre-existing", False)


def test_maps_on_other_grids_are_compared_on_the_sky():
    """The mosaic of a baseline that begins 5 pixels further is compared place by place on the sky."""
    run = counting(micro.counted().record())
    cards = {**run.products.wcs, "CRPIX1": run.products.wcs["CRPIX1"] - 5}
    products = replace(
        run.products, wcs=cards, covered=run.products.covered[:, 5:], depth=2 * run.products.depth[:, 5:]
    )
    found = verdict(run, baseline=earlier(replace(run, products=products)))
    assert found.evidence["ratio_to_baseline"] == pytest.approx([0.5, 0.5], abs=1e-3)


def test_nothing_to_compare_with_is_not_applicable():
    """In grid mode without a baseline there is nothing to compare the map with."""
    assert verdict(micro.of_mode("grid").record()).outcome is Outcome.NOT_APPLICABLE


def test_missing_evidence_is_unknown():
    """Without a mosaic, or if Phase 3 was not reached, the answer is unknown."""
    run = micro.counted().record()
    assert verdict(replace(run, products=None)).outcome is Outcome.UNKNOWN
    found = verdict(micro.Micro().event("run_info_phase2_started").record())
    assert (found.outcome, found.evidence["premise"]) == (Outcome.UNKNOWN, "Phase 3 reached")
