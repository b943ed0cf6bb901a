"""Test the check that tiles stay intact until they are read."""

from dataclasses import replace

import pytest

from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.leftovers import LeftFile
from harness.record.tile import TileStep
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
    """A run passes if all tiles and the mosaic are there at the end."""
    found = verdict(micro.runs(micro.counted()))
    assert found.outcome is Outcome.PASS
    assert (found.evidence["tiles_made"], found.evidence["mosaic"]) == (3, True)


def test_a_tile_removed_before_phase_5_fails():
    """A tile that is removed before Phase 5 fails the run, with the thread and the time."""
    found = verdict(micro.runs(meddled(("remove", TILE, {}))))
    assert found.outcome is Outcome.FAIL
    assert "The main thread removed master_tile_001.fits" in micro.prose(found)
    assert "after tile 2 had ended" in micro.prose(found)


def test_a_rename_and_the_removal_of_the_folder_are_removals():
    """Renaming a tile and removing its folder are removals too."""
    assert verdict(micro.runs(meddled(("rename", TILE, {"to": "outputs/x.fits"})))).outcome is Outcome.FAIL
    assert verdict(micro.runs(meddled(("rmtree", micro.TILES, {})))).outcome is Outcome.FAIL


def test_cleaning_up_after_the_last_reader_is_right():
    """Tiles may be removed in Phase 7, after Phase 5 has read them."""
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
    """Replacing a tile by a new file fails the run, unless the target does it with run_end too."""
    run = meddled(operation)
    found = verdict(micro.runs(run))
    assert found.outcome is Outcome.FAIL
    assert "wrote master_tile_001.fits of tile 1 again" in micro.prose(found)
    same = meddled(operation, retention="run_end").record()
    assert verdict(micro.runs(run, pair=same)).outcome is Outcome.PASS


def test_without_a_pair_nobody_knows_whether_a_tile_is_always_written_twice():
    """An overwritten tile is unknown without a pair, because the target may always write it twice."""
    run = meddled(("save", TILE, {}))
    found = verdict(micro.runs(run, pair=None))
    assert found.outcome is Outcome.UNKNOWN
    assert "There is no run with run_end to compare with." in micro.prose(found)


def test_whether_opens_were_recorded_is_said():
    """A pass mentions that no file was opened in the trace; without the source the check is unknown."""
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
    """The settings that the target reports decide whether tiles had to be kept, not the requested ones."""
    mosaic = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    run = micro.counted(config={}).record(left=mosaic)
    for kept, outcome in ((False, Outcome.FAIL), (True, Outcome.UNKNOWN)):
        history = replace(run.history, settings={"cleanup_temp_artifacts": kept})
        assert verdict(micro.runs(replace(run, history=history))).outcome is outcome


def test_opening_for_update_is_no_overwriting():
    """Opening a tile for update does not replace it."""
    run = meddled(("open", TILE, {"mode": "rb+", "state": "attempt"}))
    assert verdict(micro.runs(run)).outcome is Outcome.PASS


def test_two_tiles_in_one_file_fail():
    """Two tiles with the same file fail the run: one replaced the other."""
    run = micro.counted()
    run.steps = [replace(s, path=TILE) if s.path else s for s in run.steps]
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL


def test_a_kept_tile_that_is_gone_fails_else_nobody_knows():
    """A tile that had to be kept and is gone fails the run; if it may be removed, the check is unknown."""
    mosaic = (LeftFile("outputs/zemosaic_MT3_R6.fits", 1, "mosaic"),)
    assert verdict(micro.runs(micro.counted(), left=mosaic)).outcome is Outcome.FAIL
    assert verdict(micro.runs(micro.counted(config={}), left=mosaic)).outcome is Outcome.UNKNOWN


def test_tiles_that_a_later_phase_refuses_are_measured_against_the_pair():
    """Tiles that Phase 4 or 5 leaves out fail the run only if there are more than in the pair."""
    key = "run_warn_phase5_invalid_tile_skipped_for_assembly"
    run = micro.counted().event(key, filename="master_tile_001.fits")
    assert verdict(micro.runs(run)).outcome is Outcome.FAIL
    assert verdict(micro.runs(run, pair=None)).outcome is Outcome.UNKNOWN
    same = micro.counted(retention="run_end").event(key, filename="master_tile_001.fits").record()
    assert verdict(micro.runs(run, pair=same)).outcome is Outcome.PASS


def test_a_run_that_ends_well_without_a_mosaic_fails():
    """A finished run without a mosaic fails; a crashed one is unknown."""
    run = micro.counted()
    tiles = tuple(f for f in run.record().left if f.kind == "tile")
    found = verdict(micro.runs(run, products=None, left=tiles))
    assert found.outcome is Outcome.FAIL
    assert "without a mosaic" in found.sentence.render()
    assert verdict(micro.runs(run, products=None, left=tiles, state="crashed")).outcome is Outcome.UNKNOWN


def test_missing_evidence_is_unknown():
    """Without the trace of removals, or without the count of files left, the check is unknown."""
    run = micro.counted()
    assert verdict(micro.runs(run, products=None, left=None)).outcome is Outcome.UNKNOWN
    run.capabilities = micro.SOURCES - {"removals"}
    assert verdict(micro.runs(run)).evidence["premise"] == "source removals"


def chunked(when="later", **request):
    """Return a run whose tile 2 is made from a chunk, number 1, that replaces the file of tile 1.

    It does so ``later`` than the end of tile 1, or before that, ``first`` or ``last`` of the two writers.
    """
    run = micro.Micro(micro.PRIVATE, **request).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).start(2)

    def chunk(state, **facts):
        run.steps.append(TileStep(run.tick(), 1, "Ph3_0", state, 1, micro.PRIVATE[2], (), part_of=2, **facts))

    def write(thread):
        run.operation("open", TILE, "attempt", thread, mode="wb")

    run.start(1, "Ph3_1")
    chunk("started")
    if when == "first":
        write("Ph3_0")
    write("Ph3_1")
    if when == "later":
        run.end(1, thread="Ph3_1").collect(1)
    if when != "first":
        write("Ph3_0")
    chunk("ended", outcome="made", path=TILE)
    if when != "later":
        run.end(1, thread="Ph3_1").collect(1)
    return run.end(2).collect(2).finish()


def test_a_finished_tile_that_a_chunk_of_another_overwrites_is_lost():
    """A chunk that writes to the file of a finished tile loses that tile, also if it happens with run_end: both are red."""
    found = verdict(micro.runs(chunked(), pair=chunked(retention="run_end").record()))
    assert found.outcome is Outcome.FAIL
    assert "Tiles overwritten before their last reader had finished: 1 of 3" in found.sentence.render()
    assert found.evidence["overwritten_in_pair"] == 1
    assert "The worker thread Ph3_0 wrote master_tile_001.fits of tile 1 again" in micro.prose(found)
    assert "while it was making tile 2" in micro.prose(found)
    assert verdict(Comparison(chunked(retention="run_end").record())).outcome is Outcome.FAIL


def test_a_tile_that_a_chunk_overwrites_before_its_end_is_lost():
    """A tile's file is final when its own maker wrote it, also if the tile ends only after the chunk has overwritten it."""
    found = verdict(micro.runs(chunked("last")))
    assert (found.outcome, [row["tile"] for row in found.evidence["overwritten"]]) == (Outcome.FAIL, [1])


def test_a_file_that_its_own_tile_writes_last_is_not_lost_to_a_chunk():
    """If the tile's own maker writes the file after the chunk, before the tile ends, the tile is whole."""
    found = verdict(micro.runs(chunked("first")))
    assert (found.outcome, found.evidence["overwritten"]) == (Outcome.PASS, [])
