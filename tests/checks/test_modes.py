"""Test the checks in the modes without Phase 3: SDS coadds batches, grid mode assembles sky tiles."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro

GAP = (slice(20, 50), slice(20, 60))  # of a mosaic: larger than every tolerance


def verdict(check, runs):
    """Return the verdict of one check."""
    return judge(runs, [check])[0]


def without(run, *keys):
    """Take the events of these keys, or starts of texts, out of a run."""
    run.events = [e for e in run.events if not e.key.startswith(keys)]
    return run


@pytest.mark.parametrize(
    ("check", "mode"),
    [(c, "sds") for c in ("warnings", "tiles", "holes", "depth", "cache")]
    + [(c, "grid") for c in ("warnings", "tiles", "holes", "products")],
)
def test_a_good_run_passes_and_a_deaf_or_broken_one_does_not(check, mode):
    """A good run passes in each mode. Without events, without the end of the mode, or cut short, it is unknown."""
    good = verdict(check, micro.runs(micro.of_mode(mode)))
    assert good.outcome is Outcome.PASS, micro.prose(good)
    end = {"sds": "sds_global_finalize_done", "grid": "[GRID] Grid/Survey mode completed"}[mode]
    unended = verdict(check, micro.runs(without(micro.of_mode(mode), end)))
    assert unended.outcome is Outcome.UNKNOWN
    assert unended.evidence["premise"] == "the phases of the mode reached"
    assert verdict(check, micro.runs(micro.of_mode(mode), state="timed out")).outcome is Outcome.UNKNOWN
    if check != "holes":
        deaf = micro.of_mode(mode)
        deaf.capabilities = micro.SOURCES - {"callback", "removals"}
        assert verdict(check, micro.runs(deaf)).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("mode", ["sds", "grid"])
def test_warnings_of_a_way_back_to_master_tiles_count(mode):
    """An event of a lost cache fails these modes too: the target fell back to master tiles."""
    run = micro.of_mode(mode).event(micro.MISSING, filename="p0_0.fits", tile_id=0)
    assert verdict("warnings", micro.runs(run)).outcome is Outcome.FAIL


# Batches


def test_a_last_batch_dropped_with_every_retention_fails_beside_the_baseline():
    """The pair drops the frames too, so only the baseline shows the loss. Without a baseline it is unknown."""
    pair = micro.sds((3,), retention="run_end").record()
    runs = replace(micro.runs(micro.sds((3,))), pair=pair)
    assert verdict("depth", runs).outcome is Outcome.UNKNOWN
    found = verdict("depth", replace(runs, baseline=micro.sds().record()))
    assert found.outcome is Outcome.FAIL
    assert found.sentence.render() == "Frames read but not coadded: 3 of 6."


def test_a_coverage_map_that_lacks_a_frame_fails_although_the_batches_report_all():
    """The sum of the coverage map counts frames: a sixth less than in the pair is one of six frames."""
    runs = micro.runs(micro.sds())
    assert verdict("depth", runs).outcome is Outcome.PASS
    products = runs.run.products
    thin = replace(runs.run, products=replace(products, depth=products.depth * 5 / 6))
    found = verdict("depth", replace(runs, run=thin))
    assert found.outcome is Outcome.FAIL
    assert "the coverage map holds 83.3 % of the frames" in found.sentence.render()


def test_a_batch_that_was_not_coadded_fails():
    """A batch fails if it reports a failure, or if a finished run does not report it."""
    lost = verdict("tiles", micro.runs(micro.sds(lost=[1])))
    assert lost.outcome is Outcome.FAIL
    assert lost.sentence.render() == "Batches coadded: 1 of 2."
    assert verdict("tiles", micro.runs(without(micro.sds(), "[SDS] Batch 2/2"))).outcome is Outcome.FAIL
    cut = micro.runs(without(micro.sds(), "[SDS] Batch 2/2"), state="timed out")
    assert verdict("tiles", cut).outcome is Outcome.UNKNOWN


def test_batches_that_nobody_counted_are_unknown():
    """Without the number of batches built, or with more batches than built, the check is unknown."""
    assert verdict("tiles", micro.runs(without(micro.sds(), "sds_info_batches", "[SDS]"))).outcome is Outcome.UNKNOWN
    none = without(micro.sds(), "sds_info_batches", "[SDS]").event("sds_info_batches_built", count=0, total_entries=0)
    assert verdict("tiles", micro.runs(none)).outcome is Outcome.UNKNOWN
    more = micro.sds().event("[SDS] Batch 3/2 | success=True", images=1, success=True)
    assert verdict("tiles", micro.runs(more)).outcome is Outcome.UNKNOWN


def test_a_text_alone_tells_of_a_failed_batch():
    """A failed batch is found by its text if the field is missing."""
    run = micro.sds()
    run.events = [
        replace(e, key=e.key.replace("success=True", "success=False"), fields={"images": 3})
        if e.key.startswith("[SDS] Batch 2/2")
        else e
        for e in run.events
    ]
    assert verdict("tiles", micro.runs(run)).outcome is Outcome.FAIL


def test_frames_that_reach_no_batch_fail():
    """A frame that was read but not coadded fails the run, unless it is lost in the other runs too."""
    assert verdict("depth", micro.runs(micro.sds((3, 2)))).outcome is Outcome.FAIL
    assert verdict("depth", micro.runs(micro.sds((3, 2)), pair=None)).outcome is Outcome.FAIL
    same = micro.sds((3, 2), retention="run_end").record()
    runs = micro.runs(micro.sds((3, 2)))
    alike = replace(runs, pair=replace(runs.pair, history=same.history))
    assert verdict("depth", alike).outcome is Outcome.UNKNOWN
    noted = verdict("depth", replace(alike, baseline=replace(runs.run, history=runs.run.history)))
    assert noted.outcome is Outcome.PASS
    assert "Not read or not coadded: 1 of 6." in noted.sentence.render()


def test_the_coadds_own_number_of_frames_counts():
    """A batch of three frames of which the coadd used two lost one."""
    run = micro.sds()
    first = next(i for i, e in enumerate(run.events) if e.key == "p4_global_coadd_finished")
    run.events[first] = replace(run.events[first], fields={"images": 2})
    assert verdict("depth", micro.runs(run)).outcome is Outcome.FAIL


def test_a_frame_that_only_this_run_did_not_read_fails():
    """A frame that only this run did not read fails the run."""
    run = micro.sds((3, 2))
    run.events = [
        replace(e, fields={"num_valid_raws": 5}) if e.key == "run_info_phase1_finished_cache" else e for e in run.events
    ]
    assert verdict("depth", micro.runs(run)).outcome is Outcome.FAIL
    assert verdict("depth", micro.runs(run, pair=None)).outcome is Outcome.PASS
    assert verdict("depth", micro.runs(without(micro.sds(), "run_info_phase1"))).outcome is Outcome.UNKNOWN


# Caches of SDS


def test_a_cache_of_sds_that_goes_before_the_coadd_fails():
    """A cache that is removed before the end of the coadd fails the run."""
    run = micro.sds()
    at = next(i for i, e in enumerate(run.events) if e.key == "p4_global_coadd_started")
    early = micro.Micro(None).remove("p0_0.fits").operations
    run.operations = [*(replace(op, t=run.events[at].t) for op in early), *run.operations]
    found = verdict("cache", micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert found.evidence["removed_before_the_end_of_the_coadd"] == ["preprocessed_p0_0.npy"]


def test_removals_without_an_end_of_the_coadd_are_unknown():
    """A record without the end of the coadd does not show that its caches were removed after it."""
    found = verdict("cache", micro.runs(without(micro.sds(), "p4_global_coadd_finished")))
    assert found.outcome is Outcome.UNKNOWN
    assert found.sentence.render() == "Caches were removed, but the record lacks the end of the coadd."


def test_caches_of_sds_that_are_left_fail():
    """With run_end and per_tile no cache may be left; with keep all caches must be left."""
    left = (LeftFile(micro.cache_of("p0_0.fits"), 1, "cache"), LeftFile("outputs/m.fits", 1, "mosaic"))
    for retention in ("run_end", "per_tile"):
        run = micro.sds(retention=retention)
        found = verdict("cache", micro.runs(run, left=left))
        assert (found.outcome, found.evidence["left"]) == (Outcome.FAIL, 1)
        found = verdict("cache", micro.runs(run, left=None))
        assert (found.outcome, found.evidence["left"]) == (Outcome.UNKNOWN, None)
    assert verdict("cache", micro.runs(micro.sds(retention="keep"))).outcome is Outcome.PASS
    assert verdict("cache", micro.runs(micro.sds(retention="keep").remove("p0_0.fits"))).outcome is Outcome.FAIL
    gone = micro.runs(micro.sds(retention="keep"), left=left)
    assert verdict("cache", gone).outcome is Outcome.UNKNOWN


def test_a_cache_of_sds_that_is_removed_twice_fails():
    """A cache that is removed twice fails the run."""
    run = micro.sds(retention="run_end").remove("p0_0.fits").remove("p0_0.fits")
    assert verdict("cache", micro.runs(run)).outcome is Outcome.FAIL


def test_caches_that_nobody_saw_written_are_unknown():
    """Without a traced writing of caches the check is unknown."""
    run = micro.sds()
    run.operations = []
    assert verdict("cache", micro.runs(run)).outcome is Outcome.UNKNOWN


# Sky tiles


def against(run, *others):
    """Replace the histories of the pair and of the baseline."""
    runs = micro.runs(run)
    pair = replace(runs.pair, history=others[0].record().history)
    return replace(runs, pair=pair, baseline=others[1].record() if others[1:] else None)


def test_a_sky_tile_that_failed_fails():
    """A sky tile with an error fails the run, also without a run to compare with."""
    run = micro.grid((1, 2), failed=(3,))
    found = verdict("tiles", micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "Sky tile 3 failed: no memory" in micro.prose(found)
    assert verdict("tiles", micro.runs(run, pair=None)).outcome is Outcome.FAIL


def test_a_sky_tile_without_a_word_is_missed():
    """A sky tile without an event fails if the pair or the baseline made it."""
    assert verdict("tiles", against(micro.grid((1, 2)), micro.grid())).outcome is Outcome.FAIL
    assert verdict("tiles", against(micro.grid((1, 2)), micro.grid((1, 2)), micro.grid())).outcome is Outcome.FAIL
    assert verdict("tiles", against(micro.grid((1, 2)), micro.grid((1, 2)), micro.grid((1, 2)))).outcome is Outcome.PASS


def test_a_run_that_went_another_way_is_no_measure_of_sky_tiles():
    """A baseline that did not go through grid mode is not compared."""
    astray = replace(micro.counted().record(), request=micro.grid().request)
    runs = replace(micro.runs(micro.grid((1, 2), empty=(3,)), pair=None), baseline=astray)
    assert verdict("tiles", runs).outcome is Outcome.UNKNOWN


def test_a_sky_tile_without_usable_pixels_is_compared():
    """A sky tile without usable pixels is excused if it is empty in every run; without another run it is unknown."""
    run = micro.grid((1, 2), empty=(3,))
    assert verdict("tiles", micro.runs(run)).outcome is Outcome.FAIL
    assert verdict("tiles", micro.runs(run, pair=None)).outcome is Outcome.UNKNOWN
    same = verdict("tiles", against(run, micro.grid((1, 2), empty=(3,))))
    assert same.outcome is Outcome.PASS
    assert "without usable pixels in every run: 3" in same.sentence.render()


def test_a_canvas_that_was_cut_otherwise_is_no_measure_of_its_tiles():
    """A run that cuts the canvas into another number of sky tiles is not compared."""

    def cut(saved, tiles):
        return micro.grid(saved).event(
            f"[GRID] [GRID] DEBUG: grid definition ready with {tiles} tile(s) (rejected=0, est=1)"
        )

    run, before = cut((1,), 1), micro.grid(role="baseline")
    twin = cut((1,), 1).record()
    assert verdict("tiles", micro.runs(run, pair=twin, baseline=before.record())).outcome is Outcome.FAIL
    assert verdict("tiles", micro.runs(run, pair=twin, baseline=cut((1, 2, 3), 3).record())).outcome is Outcome.PASS
    assert (
        verdict("tiles", micro.runs(cut((1,), 3), pair=None, baseline=cut((1, 2, 3), 3).record())).outcome
        is Outcome.FAIL
    )


def test_what_fails_in_every_run_makes_the_question_void():
    """A sky tile that fails in every run makes the check not applicable."""
    broken = micro.grid((1, 2), failed=(3,))
    assert verdict("tiles", against(broken, broken)).outcome is Outcome.NOT_APPLICABLE


def test_a_sky_tile_that_did_not_reach_the_mosaic_fails():
    """A sky tile that was made but is not in the mosaic fails the run."""
    assert verdict("tiles", micro.runs(micro.grid(kept=2))).outcome is Outcome.FAIL
    run = micro.grid()
    run.events = [
        replace(e, key=e.key.replace("attempted=3, io_fail=0, kept=3", "attempted=2, io_fail=0, kept=2"))
        for e in run.events
    ]
    assert verdict("tiles", micro.runs(run)).outcome is Outcome.FAIL
    assert verdict("tiles", against(micro.grid(kept=2), micro.grid(kept=2))).outcome is Outcome.NOT_APPLICABLE


def test_an_assembly_without_a_summary_is_unknown():
    """Without the summary of the assembly the check is unknown."""
    run = without(micro.grid(), "[GRID] Assembly summary")
    assert verdict("tiles", micro.runs(run)).outcome is Outcome.UNKNOWN


SKY_TILE = "outputs/tiles/tile_0002.fits"


@pytest.mark.parametrize(
    ("op", "path", "facts"),
    [
        ("remove", SKY_TILE, {}),
        ("rename", SKY_TILE, {"to": "outputs/x.fits"}),
        ("rmtree", "outputs/tiles", {}),
        ("open", SKY_TILE, {"state": "attempt", "mode": "wb"}),
    ],
)
def test_a_sky_tile_that_is_removed_or_overwritten_before_the_mosaic_fails(op, path, facts):
    """A sky tile may be removed or overwritten only after the mosaic was assembled."""
    run = micro.grid()
    run.operation(op, path, **facts)
    assert verdict("products", micro.runs(run)).outcome is Outcome.PASS
    at = next(e.t for e in run.events if "Assembly summary" in e.key)
    run.operations[-1] = replace(run.operations[-1], t=at)
    assert verdict("products", micro.runs(run)).outcome is Outcome.FAIL


# Sky that must be covered


def with_gap(run):
    """Return a run's record with a gap in its mosaic."""
    products = micro.products_of(list(run.frames.values()), gaps=[GAP])
    return run.record(products=replace(products, mosaic=run.mosaic))


@pytest.mark.parametrize("mode", ["sds", "grid"])
def test_a_gap_that_the_pair_has_not_fails(mode):
    """A gap that the pair does not have is a hole in every mode; without a pair it is a hole in required sky."""
    runs = micro.runs(with_gap(micro.of_mode(mode)))
    found = verdict("holes", runs)
    assert found.outcome is Outcome.FAIL
    assert "run_end covers this sky" in found.sentence.render()
    alone = verdict("holes", replace(runs, pair=None))
    assert alone.outcome is Outcome.FAIL
    assert "is in sky that frames cover" in micro.prose(alone)


def test_sds_requires_the_sky_that_enough_frames_cover():
    """Sky that fewer frames cover than the setting requires is no hole in SDS."""
    frames = [micro.frame(0, k) for k in range(5)] + [micro.frame(1, 0)]
    dataset = replace(micro.sds().request.dataset, frames=tuple(frames))
    dense = micro.products_of(frames[:5], wcs_of=frames)
    for keep, outcome in ((0.4, Outcome.PASS), (0.1, Outcome.FAIL)):
        run = micro.sds(retention="run_end", config={"sds_min_coverage_keep": keep})
        run.request = replace(run.request, dataset=dataset)
        found = verdict("holes", micro.runs(run, products=replace(dense, mosaic=run.mosaic)))
        assert found.outcome is outcome, (keep, micro.prose(found))


def test_grid_mode_requires_the_sky_of_each_frame():
    """In grid mode sky that a single frame covers is required."""
    frames = [micro.frame(0, k) for k in range(5)] + [micro.frame(1, 0)]
    run = micro.grid(retention="run_end")
    run.request = replace(run.request, dataset=replace(run.request.dataset, frames=tuple(frames)))
    lost = replace(micro.products_of(frames[:5], wcs_of=frames), mosaic=run.mosaic)
    assert verdict("holes", micro.runs(run, products=lost)).outcome is Outcome.FAIL
    whole = replace(micro.products_of(frames), mosaic=run.mosaic)
    assert verdict("holes", micro.runs(run, products=whole)).outcome is Outcome.PASS
