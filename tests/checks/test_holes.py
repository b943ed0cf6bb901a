"""Test the check that all required sky is covered."""

from dataclasses import replace

import numpy as np
import pytest
import shapely

from harness.analysis.footprint import pixel_of
from harness.checks.judge import judge
from harness.checks.thresholds import Threshold, Thresholds
from harness.record.comparison import Comparison
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro

ALL = [micro.frame(p) for p in range(3)]


def verdict(runs, **limits):
    """Return the verdict of this check alone, with these limits in place of the project's."""
    from harness.checks.thresholds import read_thresholds

    known = dict(read_thresholds().limits)
    known |= {f"holes.{name}": Threshold(value, "px", "test", "test") for name, value in limits.items()}
    return judge(runs, ["holes"], Thresholds(known))[0]


def with_gaps(*gaps, frames=ALL, **products):
    """Return the products of a run with these gaps in its mosaic."""
    return micro.products_of(frames, gaps=gaps, **products)


def test_a_covered_sky_passes():
    """A run passes if it covers the sky of its pair and of its tiles."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert found.evidence["differential"] is True
    assert found.evidence["covered_pixels"] == found.evidence["covered_pixels_in_pair"]
    assert found.evidence["references_known_from"] == {"the run": 3}


def test_a_lost_edge_tile_is_a_hole_beyond_the_shrunk_canvas():
    """A lost tile at the edge makes the mosaic smaller; the hole outside of it is found and explained."""
    run = micro.naive(order=(1, 0, 2))
    runs = micro.runs(run)
    assert runs.run.products.covered.shape < runs.pair.products.covered.shape
    found = verdict(runs)
    assert found.outcome is Outcome.FAIL
    assert [link.render() for link in found.cause] == [
        "Hole 1 (23.04 arcmin² at 9.7747° +40.9998°) is in tile 2, whose reference frame is p2_0.fits.",
        "Tile 2 was not made: it lacked the caches of 2 of its 2 frames, among them preprocessed_p2_0.npy of p2_0.fits.",
        "The main thread removed preprocessed_p2_0.npy 0.170 s after the start of Phase 3.",
        "It did so after tile 1 had ended, at 0.100 s.",
        "Tile 2, which needed it, had been submitted and started only 160\N{NO-BREAK SPACE}ms later.",
    ]
    hole = found.evidence["holes"][0]
    assert (hole["kind"], hole["pixels"], hole["tiles"]) == ("differential", 80 * 80, [2])
    ra = [point[0] for point in found.evidence["outlines"]["1"]]
    assert min(ra) < hole["ra"] < max(ra)


def test_a_lost_first_tile_moves_the_canvas():
    """A lost first tile shifts the grid of the mosaic; the hole is still placed rightly on the sky."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.remove(*micro.PRIVATE[0]).work(0).work(1).work(2).finish()
    hole = verdict(micro.runs(run)).evidence["holes"][0]
    assert (hole["tiles"], hole["pixels"]) == ([0], 80 * 80)
    assert hole["ra"] > 10.0


def test_the_pixels_of_two_grids_need_not_agree():
    """A shifted and rotated grid differs along every edge and shows no hole."""
    cards = dict(with_gaps().wcs)
    cards["CRPIX1"] += 20.5
    cards["CRPIX2"] += 100.25
    angle = np.radians(20.0)
    matrix = micro.SCALE * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for (i, j), value in np.ndenumerate(matrix):
        cards[f"CD{i + 1}_{j + 1}"] = float(value)
    covered = micro.raster(micro.outlines(ALL), cards, (300, 300))
    turned = replace(with_gaps(), wcs=cards, covered=covered, constant=np.zeros_like(covered))
    found = verdict(micro.runs(micro.counted(), products=turned))
    assert found.outcome is Outcome.PASS, micro.prose(found)
    assert found.evidence["covered_pixels_in_pair"] == 80 * 260
    assert 0 < found.evidence["lost_pixels_before_tolerance"] < 700
    row, column = (int(i) for i in np.argwhere(covered).mean(axis=0))
    covered[row - 15 : row + 15, column - 20 : column + 20] = False
    assert verdict(micro.runs(micro.counted(), products=turned)).outcome is Outcome.FAIL


def test_two_small_holes_are_two():
    """Two holes have their own places, sizes and tiles."""
    gaps = [np.s_[20:40, 20:40], np.s_[40:56, 200:216]]
    found = verdict(micro.runs(micro.counted(), products=with_gaps(*gaps)))
    assert found.outcome is Outcome.FAIL
    assert [(h["number"], h["pixels"], h["tiles"]) for h in found.evidence["holes"]] == [(1, 400, [0]), (2, 256, [2])]
    assert "so caches are not the cause" in micro.prose(found)


def test_trimmed_edges_are_told_and_not_gated():
    """A strip along an edge that dithers and crops may leave is no hole, nor is sky outside the required area."""
    strip = with_gaps(np.s_[:14, :])
    found = verdict(micro.runs(micro.counted(), products=strip))
    assert found.outcome is Outcome.PASS
    assert found.evidence["lost_pixels_before_tolerance"] == 10 * 260
    run = micro.counted()
    dithered = micro.frame(0, 1, dither=-30.0)
    frames = tuple(dithered if f.name == dithered.name else f for f in run.request.dataset.frames)
    run.request = replace(run.request, dataset=replace(run.request.dataset, frames=frames))
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.PASS
    assert found.evidence["trimmed_pixels"] == 30 * 80


def test_decimated_masks_keep_the_limits_in_mosaic_pixels():
    """In a decimated mask areas and tolerances still count mosaic pixels."""

    def decimated(products, step=4):
        cards = dict(products.wcs)
        for axis in (1, 2):
            cards[f"CRPIX{axis}"] = (cards[f"CRPIX{axis}"] - 0.5) / step + 0.5
        for name in ("CD1_1", "CD2_2"):
            cards[name] *= step
        rows, columns = (n // step * step for n in products.covered.shape)
        blocks = products.covered[:rows, :columns].reshape(rows // step, step, columns // step, step)
        covered = blocks.any(axis=(1, 3))
        return replace(products, wcs=cards, step=step, covered=covered, constant=np.zeros_like(covered))

    pair = micro.run_end()
    pair = replace(pair, products=decimated(pair.products))
    hole = decimated(with_gaps(np.s_[20:60, 100:140]))
    found = verdict(micro.runs(micro.counted(), pair=pair, products=hole))
    assert (found.outcome, found.evidence["holes"][0]["pixels"]) == (Outcome.FAIL, 1600)
    for area, outcome in ((1600, Outcome.FAIL), (1601, Outcome.PASS)):
        assert verdict(micro.runs(micro.counted(), pair=pair, products=hole), area=area).outcome is outcome
    strip = decimated(with_gaps(np.s_[:12, :]))
    assert verdict(micro.runs(micro.counted(), pair=pair, products=strip)).outcome is Outcome.PASS


def test_the_crop_margin_is_not_required_sky():
    """The crop margin of a tile in the settings is not required sky."""
    run = micro.counted(retention="run_end", config={"master_tile_crop_percent": 20.0})
    rim = with_gaps(np.s_[:20, :], np.s_[68:, :])
    assert verdict(micro.runs(run, products=rim)).outcome is Outcome.PASS
    uncut = micro.counted(retention="run_end", config={"apply_master_tile_crop": False})
    found = verdict(micro.runs(uncut, products=with_gaps(np.s_[:30, :])))
    assert found.outcome is Outcome.FAIL
    assert "of required sky" in found.sentence.render()
    default = micro.counted(retention="run_end", config={})
    assert verdict(micro.runs(default, products=with_gaps(np.s_[:30, :]))).outcome is Outcome.FAIL


def test_the_crop_in_effect_counts_before_the_one_asked_for():
    """The crop that the target reports is used, not the requested one."""
    run = micro.counted(retention="run_end", config={}).record(products=with_gaps(np.s_[:30, :]))
    for crop, outcome in ((20.0, Outcome.PASS), (1.0, Outcome.FAIL)):
        history = replace(run.history, settings={"apply_master_tile_crop": True, "master_tile_crop_percent": crop})
        assert verdict(micro.runs(replace(run, history=history))).outcome is outcome


def test_required_sky_that_the_pair_lacks_too_is_only_reported():
    """Required sky that run_end does not cover either is mentioned and is no failure."""
    gap = np.s_[20:60, 100:140]
    pair = replace(micro.run_end(), products=with_gaps(gap))
    found = verdict(micro.runs(micro.counted(), pair=pair, products=with_gaps(gap)))
    assert found.outcome is Outcome.PASS
    assert found.evidence["holes"][0]["in_pair"] is True
    assert "run_end lacks the same 5.76 arcmin² of required sky" in found.sentence.render()


def test_a_hole_of_which_half_was_found_beside_the_pair_is_told_once():
    """The run lacks sky of which the pair lacks one half. The other half is the hole; the whole is not listed again."""
    pair = replace(micro.run_end(), products=with_gaps(np.s_[20:60, 120:140]))
    found = verdict(micro.runs(micro.counted(), pair=pair, products=with_gaps(np.s_[20:60, 100:140])))
    assert [(h["kind"], h["pixels"]) for h in found.evidence["holes"]] == [("differential", 40 * 20)]


@pytest.mark.parametrize(("columns", "outcome"), [(20, Outcome.FAIL), (19, Outcome.PASS)])
def test_a_twentieth_of_a_tile_is_the_smallest_hole_without_a_pair(columns, outcome):
    """Of tiles of 8,000 pixels a gap of 400 is a hole, and a smaller one is not."""
    run = broken((slice(30, 50), slice(30, 30 + columns)))
    found = verdict(Comparison(run), promise_edge=3)
    assert found.outcome is outcome
    assert [h["pixels"] for h in found.evidence["holes"]] == [400] * (outcome is Outcome.FAIL)


@pytest.mark.parametrize("first", [14, 64])
def test_of_the_tiles_of_a_hole_the_one_that_was_not_made_is_explained(first):
    """A hole in two tiles is explained by the one without caches, whether its part of the hole is the larger or the smaller."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.remove(*micro.PRIVATE[1]).work(0).work(1).work(2).finish()
    found = verdict(micro.runs(run, products=with_gaps(np.s_[:, first:164])))
    assert found.evidence["holes"][0]["tiles"] == ([0, 1] if first == 14 else [1, 0])
    assert "is in tile 1, whose reference frame is p1_0.fits" in found.cause[0].render()
    assert found.cause[1].render().startswith("Tile 1 was not made: it lacked the caches of 2 of its 2 frames")


def with_shape(shape):
    """Return the outline of a hole as points (x, y) of the mosaic; ``shape`` tells from x and y which pixels are in it."""
    products = with_gaps()
    row, column = np.indices(products.covered.shape)
    gap = shape(column - 150, row - 44)
    found = verdict(micro.runs(micro.counted(), products=with_gaps(gap)))
    return gap, np.column_stack(pixel_of(products.wcs, *np.transpose(found.evidence["outlines"]["1"])))


def test_the_outline_of_a_hole_follows_its_edge():
    """The outline of a round hole is nowhere a pixel away from the edges of its pixels."""
    gap, outline = with_shape(lambda x, y: x**2 + y**2 < 21**2)
    pixels = shapely.union_all([shapely.box(x - 0.5, y - 0.5, x + 0.5, y + 0.5) for y, x in np.argwhere(gap)])
    assert shapely.hausdorff_distance(shapely.Polygon(outline).exterior, pixels.exterior, densify=0.1) < 1


def test_the_outline_of_a_ragged_hole_is_short():
    """The outline of a hole with many corners is drawn more coarsely, so that a record stays small."""
    _, outline = with_shape(lambda x, y: (abs(y) < 30) & (abs(x) < 50 + 4 * (y // 13 % 2) + 3 * (y % 2)))
    assert 4 < len(outline) <= 60


def test_without_a_pair_what_was_uncovered_before_the_patch_is_no_new_hole():
    """Without a pair, required sky that the baseline does not cover either is mentioned and is no failure."""
    gap = (slice(20, 60), slice(20, 60))
    run = broken(gap)
    assert verdict(Comparison(run)).outcome is Outcome.FAIL
    found = verdict(Comparison(run, baseline=replace(run, request=replace(run.request, role="baseline-pair"))))
    assert found.outcome is Outcome.PASS
    assert "The baseline lacks the same 5.76 arcmin² of required sky" in found.sentence.render()
    assert found.evidence["holes"][0]["in_baseline"] is True
    sound = replace(run, products=micro.run_end().products)
    assert verdict(Comparison(run, baseline=sound)).outcome is Outcome.FAIL


def broken(gap):
    """Return a run with run_end whose mosaic has a gap in required sky."""
    record = micro.run_end()
    covered = record.products.covered.copy()
    covered[gap] = False
    return replace(record, products=replace(record.products, covered=covered))


def test_a_tile_that_failed_for_its_own_cause_has_no_required_sky():
    """A tile that the quality gate rejected has no required sky."""
    run = micro.Micro(micro.PRIVATE, retention="run_end").begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).work(1).start(2).event("mt_quality_gate_result", tile_id=2, status="REJECT").end(2, "failed").collect(2)
    assert verdict(micro.runs(run.finish())).outcome is Outcome.PASS


def test_the_pair_knows_the_reference_that_a_lost_tile_never_had():
    """The reference frame of a tile that never started is taken from the pair, or else from the order of the group."""
    run = micro.naive(order=(1, 0, 2))
    run.steps = [replace(s, reference=None) if s.tile == 2 else s for s in run.steps]
    assert verdict(micro.runs(run)).evidence["references_known_from"] == {"the pair": 2, "the run": 1}
    alone = verdict(micro.runs(run, pair=None))
    assert alone.evidence["references_known_from"] == {"the order of the group": 2, "the run": 1}
    assert (alone.outcome, alone.evidence["holes"][0]["kind"]) == (Outcome.FAIL, "absolute")


def test_a_starved_tile_may_have_taken_another_reference():
    """The reference frame of a tile that lacked caches is taken from the pair: it may have used a frame of its neighbour."""
    run = micro.Micro().begin()
    for tile, group in enumerate(micro.CHAIN):
        run.submit(tile, group)
    run.work(0).remove(*micro.CHAIN[0]).work(1).work(2).remove(*micro.CHAIN[2]).finish()
    run.steps = [replace(s, reference="p2_0.fits") if s.tile == 1 and s.reference else s for s in run.steps]
    found = verdict(micro.runs(run, products=with_gaps(np.s_[:, 104:164])))
    assert found.evidence["holes"][0]["tiles"] == [1]
    assert "in tile 1, whose reference frame is p1_0.fits" in micro.prose(found)
    assert "Tile 1 was made without 2 of its 4 frames" in micro.prose(found)


def test_without_a_pair_a_covered_sky_is_unknown():
    """Covered sky is unknown without a pair; the required sky of the tiles is judged anyway."""
    found = verdict(micro.runs(micro.counted(), pair=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "There is no run with run_end to compare with." in micro.prose(found)
    assert found.evidence["promised_pixels"] > 0


@pytest.mark.parametrize("change", ["crashed", "per_tile", "other plan", "other frames"])
def test_a_pair_that_is_no_measure_is_no_pair(change):
    """A pair must have finished with run_end on the same frames and plan."""
    pair = micro.run_end()
    if change == "crashed":
        pair = replace(pair, seal=replace(pair.seal, state="crashed"))
    if change == "per_tile":
        pair = replace(pair, request=replace(pair.request, retention="per_tile"))
    if change == "other plan":
        pair = replace(pair, request=replace(pair.request, plan=None))
    if change == "other frames":
        pair = replace(pair, request=replace(pair.request, dataset=replace(pair.request.dataset, sha256="e" * 64)))
    assert verdict(micro.runs(micro.counted(), pair=pair)).outcome is Outcome.UNKNOWN


def nothing_left():
    """Return a run that lost all its tiles."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.remove(*run.frames)
    for tile in range(3):
        run.work(tile)
    return run.event("run_error_phase3_no_master_tiles_created")


def test_no_mosaic_where_the_pair_has_one_is_one_large_hole():
    """A run without a mosaic lacks the whole sky of the pair, also if the target crashed."""
    for state in ("done", "crashed"):
        found = verdict(micro.runs(nothing_left(), state=state))
        assert found.outcome is Outcome.FAIL
        assert "The run made no mosaic; run_end covers 74.88 arcmin²." in found.sentence.render()
        assert found.evidence["holes"][0]["tiles"] == [0, 1, 2]


def test_no_mosaic_without_a_measure_is_unknown():
    """No mosaic is unknown without a pair, after a time limit, and if the mosaic was not measured."""
    assert verdict(micro.runs(nothing_left(), pair=None)).outcome is Outcome.UNKNOWN
    assert verdict(micro.runs(nothing_left(), state="timed out")).outcome is Outcome.UNKNOWN
    left = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    unmeasured = verdict(micro.runs(micro.counted(), products=None, left=left))
    assert (unmeasured.outcome, "not measured" in unmeasured.sentence.render()) == (Outcome.UNKNOWN, True)


def test_a_grid_that_is_nowhere_is_unknown():
    """WCS cards without a place on the sky, or far from the other mosaic, make the check unknown."""
    nowhere = replace(with_gaps(), wcs={"CTYPE1": "LINEAR"})
    assert verdict(micro.runs(micro.counted(), products=nowhere)).outcome is Outcome.UNKNOWN
    far = dict(with_gaps().wcs) | {"CRVAL1": 60.0}
    found = verdict(micro.runs(micro.counted(), products=replace(with_gaps(), wcs=far)))
    assert found.outcome is Outcome.UNKNOWN
    assert "neighbouring sky" in found.sentence.render()


def test_the_star_less_reference_leaves_no_hole():
    """A starved retry that loses all stars of a panel leaves no hole: the frame without stars covers the sky."""

    def natural(retention, starved):
        run = micro.Micro(None, panels=1, frames=3, retention=retention)
        run.frames = {
            f.name: f for f in (micro.frame(0, 0), micro.frame(0, 1, dither=5.0), micro.frame(0, 2, dither=-4.0))
        }
        run.request = replace(run.request, dataset=replace(run.request.dataset, frames=tuple(run.frames.values())))
        run.begin().submit(0, tuple(run.frames)).start(0).end(0, aligned=1).collect(0)
        if starved:
            run.remove(*run.frames)
        run.submit(1, tuple(run.frames)[1:], retry_of=0).work(1)
        return run.finish()

    pair = natural("run_end", starved=False).record()
    runs = micro.runs(natural("per_tile", starved=True), pair=pair)
    names = ("warnings", "tiles", "holes", "depth", "cache", "products")
    outcomes = {v.check: v.outcome for v in judge(runs, names)}
    assert outcomes == {
        "warnings": Outcome.FAIL,
        "tiles": Outcome.FAIL,
        "holes": Outcome.PASS,
        "depth": Outcome.FAIL,
        "cache": Outcome.FAIL,
        "products": Outcome.PASS,
    }


def in_grid_mode(*gaps, before=(), state="done"):
    """Return a run of grid mode and its pair with these gaps, and a baseline with the gaps ``before``."""
    runs = micro.runs(micro.grid(), baseline=micro.grid(role="baseline").record())
    run, pair = (replace(record, products=with_gaps(*gaps)) for record in (runs.run, runs.pair))
    baseline = replace(runs.baseline, products=with_gaps(*before), seal=replace(runs.baseline.seal, state=state))
    return replace(runs, run=run, pair=pair, baseline=baseline)


EAST, WEST = np.s_[20:70, 20:60], np.s_[20:70, 60:150]


def test_sky_that_grid_mode_covered_before_the_patch_is_to_be_covered():
    """In grid mode the run must cover the sky that the baseline covers, because the pair has the same gaps."""
    found = verdict(in_grid_mode(EAST))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render().endswith("the baseline covers this sky.")
    (hole,) = found.evidence["holes"]
    assert (hole["pixels"], hole["in_pair"], hole["in_baseline"]) == (50 * 40, True, False)
    assert verdict(in_grid_mode()).outcome is Outcome.PASS


def test_a_new_hole_beside_an_old_one_is_new():
    """A new hole next to a hole of the baseline is found as new."""
    found = verdict(in_grid_mode(EAST, WEST, before=[WEST]))
    assert (found.outcome, [h["in_baseline"] for h in found.evidence["holes"]]) == (Outcome.FAIL, [False, True])
    assert verdict(in_grid_mode(EAST, WEST, before=[EAST, WEST])).outcome is Outcome.PASS
    assert verdict(in_grid_mode(WEST, before=[EAST, WEST])).outcome is Outcome.PASS


def test_sky_that_pair_and_baseline_cover_is_one_hole():
    """A gap that neither the pair nor the baseline has is reported once."""
    runs = in_grid_mode(EAST)
    found = verdict(replace(runs, pair=replace(runs.pair, products=with_gaps())))
    assert [h["kind"] for h in found.evidence["holes"]] == ["differential"]


def test_a_baseline_that_came_to_no_end_covers_nothing():
    """A baseline that did not reach its end is not compared."""
    assert verdict(in_grid_mode(EAST, state="crashed")).outcome is Outcome.PASS


def test_a_border_without_data_need_not_be_covered():
    """Sky on the NaN border of a tile's reference frame is not required; without the border it is a hole."""
    gap = with_gaps(np.s_[:, :44])
    micro_run = micro.counted(retention="run_end")
    assert verdict(Comparison(micro_run.record(products=gap))).outcome is Outcome.FAIL
    bordered = replace(micro.frame(0), hull=((39.5, -0.5), (99.5, -0.5), (99.5, 79.5), (39.5, 79.5)))
    frames = tuple(bordered if f.name == bordered.name else f for f in micro_run.request.dataset.frames)
    micro_run.request = replace(micro_run.request, dataset=replace(micro_run.request.dataset, frames=frames))
    assert verdict(Comparison(micro_run.record(products=gap))).outcome is Outcome.PASS


def test_a_frame_without_data_promises_no_sky():
    """A tile whose reference frame is blank has no required sky, and the other tiles keep theirs."""
    micro_run = micro.counted(retention="run_end")
    blank = replace(micro.frame(0), hull=())
    frames = tuple(blank if f.name == blank.name else f for f in micro_run.request.dataset.frames)
    micro_run.request = replace(micro_run.request, dataset=replace(micro_run.request.dataset, frames=frames))
    seen = micro.products_of(ALL[1:], wcs_of=ALL)
    assert verdict(Comparison(micro_run.record(products=seen))).outcome is Outcome.PASS
    lost = micro.products_of(ALL[:2], wcs_of=ALL)
    assert verdict(Comparison(micro_run.record(products=lost))).evidence["holes"][0]["tiles"] == [2]


def filled_with_a_constant(area, *, plateau=False, **products):
    """Return products with a covered area that is constant: as bright as the sky or, with ``plateau``, as the brightest star."""
    made = with_gaps(**products)
    constant = np.zeros_like(made.covered)
    constant[area] = True
    rows, columns = made.covered.shape
    pixels = np.where(made.covered, np.random.default_rng(3).normal(100, 2, (rows, columns)), np.nan)
    pixels[50:53, 200:203] = 40_000.0  # a star
    pixels[area] = 38_000.0 if plateau else 100.0
    image = micro.plane_of("RGB", micro.MOSAIC, np.stack([pixels] * 3))
    return replace(made, constant=constant, planes=(image, *made.planes[1:]))


FILLED = np.s_[20:70, 30:95]


def test_sky_that_is_covered_but_filled_with_a_constant_is_a_hole():
    """Sky that the coverage map holds and that shows a constant is a hole beside run_end, and its tile is named."""
    found = verdict(micro.runs(micro.counted(), products=filled_with_a_constant(FILLED)))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["holes"][0]["kind"] == "differential"
    assert found.evidence["filled_pixels"] == 50 * 65
    assert "Hole 1 counts as covered, but shows a constant instead of sky." in micro.prose(found)
    assert "is in tile 0" in micro.prose(found)
    assert "instead of sky" not in micro.prose(verdict(micro.runs(micro.naive(order=(1, 0, 2)))))


def test_sky_filled_with_a_constant_by_both_retentions_is_a_hole_of_the_target():
    """If run_end fills the same sky, retention made no hole; the run with run_end itself has a hole in its required sky."""
    products = filled_with_a_constant(FILLED)
    pair = replace(micro.run_end(), products=products)
    found = verdict(micro.runs(micro.counted(), pair=pair, products=products))
    assert (found.outcome, found.evidence["holes"][0]["in_pair"]) == (Outcome.PASS, True)
    assert "Retention made no hole" in found.sentence.render()
    alone = verdict(Comparison(pair))
    assert (alone.outcome, len(alone.evidence["holes"])) == (Outcome.FAIL, 1)


def test_a_saturated_area_is_no_hole():
    """A constant as bright as the brightest pixels of the mosaic is the flat top of a bright object, and is sky."""
    found = verdict(micro.runs(micro.counted(), products=filled_with_a_constant(np.s_[25:45, 40:60], plateau=True)))
    assert (found.outcome, found.evidence["filled_pixels"]) == (Outcome.PASS, 0)
    found = verdict(micro.runs(micro.counted(), products=filled_with_a_constant(np.s_[25:45, 40:60])))
    assert (found.outcome, found.evidence["filled_pixels"]) == (Outcome.FAIL, 400)


def test_a_constant_where_a_frame_has_no_data_is_no_hole():
    """Sky on the border of a frame without data (NaN or 0) may be constant."""
    run = micro.counted(retention="run_end")
    bordered = replace(micro.frame(0), hull=((-0.5, -0.5), (24.5, -0.5), (24.5, 79.5), (-0.5, 79.5)))
    frames = tuple(bordered if f.name == bordered.name else f for f in run.request.dataset.frames)
    products = filled_with_a_constant(FILLED)
    assert verdict(Comparison(replace(run.record(), products=products))).outcome is Outcome.FAIL
    run.request = replace(run.request, dataset=replace(run.request.dataset, frames=frames))
    found = verdict(Comparison(replace(run.record(), products=products)))
    assert (found.outcome, found.evidence["filled_pixels"]) == (Outcome.PASS, 0)
