"""The check that what was made stays made."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.record.leftovers import LeftFile
from harness.verdict import Outcome
from tests import micro

TILE = f"{micro.TILES}/master_tile_001.fits"


def verdict(runs):
    """Return the verdict of this check alone."""
    return judge(runs, ["products"])[0]


def meddled(*operations, **request):
    """Return a run in which these operations happen after all tiles were made and before Phase 4."""
    run = micro.Micro(micro.PRIVATE, **request).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    for tile in range(3):
        run.work(tile)
    for op, path, facts in operations:
        run.operation(op, path, **facts)
    return run.finish()


def test_tiles_that_stay_pass():
    """All made tiles are there at the end, and so is the mosaic."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert (found.evidence["tiles_made"], found.evidence["mosaic"]) == (3, True)


def test_a_tile_removed_before_phase_5_fails():
    """The removal is told with its thread and time."""
    found = verdict(micro.runs(meddled(("remove", TILE, {}))))
    assert found.outcome is Outcome.FAIL
    assert "MainThread removed master_tile_001.fits" in micro.prose(found)
    assert "after tile 2 had ended" in micro.prose(found)


def test_a_rename_and_the_removal_of_the_folder_are_removals():
    """A reader finds the tile in neither case."""
    assert verdict(micro.runs(meddled(("rename", TILE, {"to": "outputs/x.fits"})))).outcome is Outcome.FAIL
    assert verdict(micro.runs(meddled(("rmtree", micro.TILES, {})))).outcome is Outcome.FAIL


def test_cleaning_up_after_the_last_reader_is_right():
    """Tiles that were to be cleaned away go in Phase 7, once Phase 5 has read them."""
    run = micro.counted(config={"cleanup_temp_artifacts": True}).operation("rmtree", micro.TILES)
    left = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    assert verdict(micro.runs(run, left=left)).outcome is Outcome.PASS


@pytest.mark.parametrize(
    "operation",
    [
        ("open", TILE, {"mode": "wb+", "state": "attempt"}),
        ("rename", f"{TILE}.tmp", {"to": TILE}),
        ("save", TILE, {}),
    ],
)
def test_a_tile_that_is_overwritten_fails_unless_the_pair_does_the_same(operation):
    """A new file in the place of a tile is a loss, except where the target always rewrites that tile."""
    run = meddled(operation)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "wrote master_tile_001.fits of tile 1 again" in micro.prose(found)
    same = meddled(operation, retention="run_end").record()
    assert verdict(micro.runs(run, pair=same)).outcome is Outcome.PASS


def test_without_a_pair_nobody_knows_whether_a_tile_is_always_written_twice():
    """A target that rewrites a tile in any case is no fault of the retention; why there is no measure is said."""
    run = meddled(("save", TILE, {}))
    found = verdict(micro.runs(run, pair=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "There is no run with run_end to compare with." in micro.prose(found)


def test_whether_opens_were_recorded_is_said():
    """Overwriting by opening is seen by opens alone: without the source no pass, without any in the record a word of it."""
    bare = verdict(micro.runs(micro.counted()))
    assert (bare.outcome, bare.evidence["opens_in_record"]) == (Outcome.PASS, 0)
    assert "Overwriting by open() would not show" in bare.sentence.render()
    told = verdict(micro.runs(meddled(("open", TILE, {"mode": "rb", "state": "attempt"}))))
    assert told.evidence["opens_in_record"] == 1
    assert "Overwriting" not in told.sentence.render()
    run = micro.counted()
    run.capabilities = micro.SOURCES - {"opens"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source opens"


def test_the_settings_in_effect_count_before_those_asked_for():
    """What the target says that it ran with decides whether tiles were to be kept."""
    mosaic = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    run = micro.counted(config={}).record(left=mosaic)
    for kept, outcome in ((False, Outcome.FAIL), (True, Outcome.UNKNOWN)):
        history = replace(run.history, settings={"cleanup_temp_artifacts": kept})
        assert verdict(micro.runs(replace(run, history=history))).outcome is outcome


def test_opening_for_update_is_no_overwriting():
    """A target that corrects its tiles in place changes the same file."""
    run = meddled(("open", TILE, {"mode": "rb+", "state": "attempt"}))
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_two_tiles_in_one_file_fail():
    """A retry that takes the name of another tile replaces it."""
    run = micro.counted()
    run.steps = [replace(s, path=TILE) if s.path else s for s in run.steps]
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL


def test_a_kept_tile_that_is_gone_fails_else_nobody_knows():
    """Tiles that were to be kept must be there; where they may be cleaned away unseen, the trace has a gap."""
    mosaic = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    assert verdict(micro.runs(micro.counted(), left=mosaic)).outcome is Outcome.FAIL
    assert verdict(micro.runs(micro.counted(config={}), left=mosaic)).outcome is Outcome.UNKNOWN


def test_tiles_that_a_later_phase_refuses_are_measured_against_the_pair():
    """A tile that Phase 4 or 5 leaves out is lost after it was counted; only more than in the pair is new."""
    key = "run_warn_phase5_invalid_tile_skipped_for_assembly"
    run = micro.counted().event(key, filename="master_tile_001.fits")
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL
    assert verdict(micro.runs(run, pair=None)).outcome is Outcome.UNKNOWN
    same = micro.counted(retention="run_end").event(key, filename="master_tile_001.fits").record()
    assert verdict(micro.runs(run, pair=same)).outcome is Outcome.PASS


def test_a_run_that_ends_well_without_a_mosaic_fails():
    """There is no exception and no error; a run that crashed may have had a reason of its own."""
    run = micro.counted()
    tiles = tuple(f for f in run.record().left if f.kind == "tile")
    found = verdict(micro.runs(run, products=None, left=tiles))
    assert found.outcome is Outcome.FAIL
    assert "without a mosaic" in found.sentence.render()
    assert verdict(micro.runs(run, products=None, left=tiles, state="crashed")).outcome is Outcome.UNKNOWN


def test_missing_evidence_is_unknown():
    """Without the trace of removals, or a count of what is left, there is no pass."""
    run = micro.counted()
    assert verdict(micro.runs(run, products=None, left=None)).outcome is Outcome.UNKNOWN
    run.capabilities = micro.SOURCES - {"removals"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source removals"
