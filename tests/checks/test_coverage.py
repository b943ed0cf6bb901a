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


def found_names(found):
    """Return the names of the findings."""
    return [finding["name"] for finding in found.evidence["findings"]]


def counting(record, *, made_only=False):
    """Return a record whose coverage map has the number of tiles or frames, as a target writes it."""
    from harness.analysis.footprint import outlines, per_outline

    frames = {frame.name: frame for frame in record.request.dataset.frames}
    names = list(frames)
    if record.request.mode == "classic":
        names = [tile.reference for tile in record.history.tiles if tile.made or not made_only]
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
    panels = [f"panel {p}: {what}" for p in range(3) for what in ("counts", "miscounted sky")]
    assert sorted(found_names(found)) == sorted(["counts", *panels])
    assert found.evidence["findings"][0] == {"name": "counts", "size": 1.0, "noise": 0.0, "value": 2.0}
    (cause,) = (link.render() for link in found.cause)
    assert cause == "The coverage map is 2 times the number of tiles or frames that reach a place."


@pytest.mark.parametrize("factor", [0.5, 0.01])
@pytest.mark.parametrize("mode", ["classic", "sds"])
def test_a_map_far_below_the_number_of_tiles_is_a_finding(mode, factor):
    """A map of a half or a hundredth of the tiles or frames is as wrong as a doubled one."""
    found = verdict(times(counting(micro.of_mode(mode).record()), factor))
    assert (found.outcome, found.evidence["ratio_to_frames"]) == (Outcome.FAIL, factor)
    assert f"The coverage map is {factor} times the number of tiles or frames" in micro.prose(found)


def in_panel(record, factor, columns=slice(0, 88)):
    """Return a record whose coverage map is multiplied in some columns, by default in the first of three panels."""
    depth = record.products.depth.copy()
    depth[:, columns] *= factor
    return replace(record, products=replace(record.products, depth=depth))


@pytest.mark.parametrize("factor", [2.0, 0.5])
@pytest.mark.parametrize("mode", ["classic", "sds"])
def test_a_map_that_is_wrong_in_one_panel_of_three_is_a_finding_with_its_area(mode, factor):
    """A doubled or halved panel is named with its area, although the median of the whole map is right."""
    run = counting(micro.of_mode(mode).record())
    found = verdict(in_panel(run, factor), baseline=earlier(run))
    assert (found.outcome, found.standing, found.evidence["ratio_to_frames"]) == (Outcome.FAIL, "new", 1.0)
    assert found_names(found) == ["panel 0: counts", "panel 0: miscounted sky"]
    (area,) = found.evidence["areas"]
    # The map begins 4 pixels before the panel, whose 90 columns are nearest to its centre.
    unit = micro.SCALE**2 * 3600
    assert (area["panel"], area["factor"]) == (0, factor)
    assert area["arcmin2"] == pytest.approx(84 * 80 * unit, rel=0.02)
    assert area["percent"] == pytest.approx(100 * 84 / 90, abs=2)
    assert f"Panel 0: on {area['arcmin2']:.4g} arcmin² the coverage map is {factor:.4g} times" in micro.prose(found)
    assert verdict(in_panel(run, factor)).outcome is Outcome.FAIL


def test_a_map_that_is_wrong_in_another_panel_or_direction_is_new():
    """The baseline doubles the first panel. The same is pre-existing; the last panel, a half, or a larger area is new."""
    run = counting(micro.counted().record())
    before = earlier(in_panel(run, 2.0, slice(0, 60)))
    assert verdict(in_panel(run, 2.0, slice(0, 60)), baseline=before).standing == "pre-existing"
    for other in (in_panel(run, 2.0, slice(180, 268)), in_panel(run, 0.5, slice(0, 60)), in_panel(run, 2.0)):
        assert verdict(other, baseline=before).standing == "new"


def test_a_narrow_strip_of_high_counts_is_no_finding():
    """Tiles that are larger than their reference frame raise the counts along its edges."""
    run = counting(micro.counted().record())
    assert verdict(in_panel(run, 2.0, slice(100, 120))).outcome is Outcome.PASS


def test_a_tile_that_was_not_made_is_not_counted():
    """A run lost a tile: the map counts the others, and is right."""
    run = micro.naive().record()
    made = [tile.made for tile in run.history.tiles]
    assert not all(made)
    lost = counting(run, made_only=True)
    found = verdict(lost)
    assert (found.outcome, found.evidence["ratio_to_frames"], found.evidence["areas"]) == (Outcome.PASS, 1.0, [])


def test_a_panel_of_grid_mode_with_another_scale_than_the_baseline_is_new():
    """Nine of ten places of a panel have twice the coverage of the baseline, from the same sky tiles."""
    run = micro.of_mode("grid").record()
    found = verdict(in_panel(run, 2.0), baseline=earlier(run))
    assert (found.standing, found_names(found)) == ("new", ["panel 0: scale"])
    assert "Panel 0: the coverage map is 2 times that of the baseline." in micro.prose(found)
    other_tiles = earlier(micro.grid(saved=(1, 2)).record())
    assert verdict(in_panel(run, 2.0), baseline=other_tiles).outcome is Outcome.PASS


def without_map(record):
    """Return a record of a run that wrote no coverage map."""
    return replace(record, products=replace(record.products, depth=np.full_like(record.products.depth, np.nan)))


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_run_without_a_coverage_map_is_unknown(mode):
    """Without a map nothing can be compared; a baseline without a map shows nothing either."""
    run = micro.of_mode(mode).record()
    for others in ({}, {"baseline": earlier(without_map(run))}):
        found = verdict(without_map(run), **others)
        assert (found.outcome, found.gates) == (Outcome.UNKNOWN, False)
        assert found.sentence.render() == "The run wrote no coverage map."


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_release_that_stops_writing_the_map_has_a_new_finding(mode):
    """The baseline wrote a map, and the run did not; a map that only the run with run_end wrote is a finding too."""
    run = micro.of_mode(mode).record()
    found = verdict(without_map(run), baseline=earlier(run))
    assert (found.outcome, found.standing, found_names(found)) == (Outcome.FAIL, "new", ["no map"])
    assert "The baseline wrote one." in micro.prose(found)
    pair = micro.of_mode(mode, retention="run_end", role="pair").record()
    found = verdict(without_map(run), pair=pair)
    assert found.outcome is Outcome.FAIL
    assert "The run with run_end wrote one." in micro.prose(found)


def test_tiles_of_an_earlier_run_leave_the_counts_unknown():
    """The trace does not show tiles that were taken over or that another process made, so the map can't be compared with it."""
    run = counting(micro.counted().record())
    steps = tuple(step for step in run.history.steps if step.tile)
    found = verdict(replace(run, history=replace(run.history, steps=steps)))
    assert (found.outcome, found.evidence["ratio_to_frames"]) == (Outcome.UNKNOWN, None)
    assert "The number of tiles or frames at each place is not known" in micro.prose(found)


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
