"""Test what is read from a run's own messages and trace about its products, and about what it took over."""

import pytest

from harness.analysis.made import named, read, saved_mosaics, taken_over, written
from tests import micro

REUSED = "Resume master tiles: reused {} from manifest, rebuilding {}."


def test_a_run_that_reports_nothing_took_nothing_over():
    """Refused and saved checkpoints are no parts that were taken over."""
    run = micro.counted()
    for text in ("Resume refused: manifest missing", "Resume phase5 checkpoint saved.", "Resume skipped (mode=off)."):
        run.event(text)
    assert not taken_over(run.record().history)
    assert named(taken_over(run.record().history)) == ()


@pytest.mark.parametrize(
    ("events", "sentences"),
    [
        ([REUSED.format("1/4", 3)], ["Tile 3 was taken over from an earlier run."]),
        ([REUSED.format("2/5", 3)], ["Tiles 3, 4 were taken over from an earlier run (2 of 5)."]),
        ([REUSED.format("9/9", 0)], ["Master tiles taken over from an earlier run: 9 of 9."]),
        (
            ["Resume accepted: Phase 1 skipped (resume), entries=6"],
            ["Caches of frames taken over from an earlier run: 6."],
        ),
        (
            ["Resume phase1 partial reuse: 4/6 reused, 2 to rebuild"],
            ["Caches of frames taken over from an earlier run: 4."],
        ),
        (
            ["Resume phase5 checkpoint: reused final assembly (shape=(10, 10, 3))."],
            ["The pixels of the mosaic were taken over from an earlier run."],
        ),
    ],
)
def test_parts_taken_over_are_named(events, sentences):
    """Each message of the target about a part of an earlier run becomes a sentence; tiles are named if they are known."""
    run = micro.counted()
    for text in events:
        run.event(text)
    taken = taken_over(run.record().history)
    assert taken
    assert [message.render() for message in named(taken)] == sentences


def test_a_mode_that_begins_with_finished_tiles_took_them_over():
    """ZeMosaic can begin with master tiles that the user gives; it made none of them."""
    run = micro.counted().event("run_info_existing_master_tiles_mode", num_tiles=7)
    assert taken_over(run.record().history).tiles == 7


def test_the_saved_mosaic_is_known_from_the_runs_messages():
    """The last mosaic that the run reported comes first; paths of any system are cut to their last part."""
    run = micro.counted()
    run.event("run_success_mosaic_saved", filename="zemosaic_MT3_R6.fits")
    run.event("run_success_mosaic_saved", filename=r"C:\out\zemosaic_MT3_R6_mine.fits")
    assert saved_mosaics(run.events) == ("zemosaic_MT3_R6_mine.fits", "zemosaic_MT3_R6.fits")
    assert saved_mosaics(micro.grid().events) == ("mosaic_grid.fits",)
    assert saved_mosaics(micro.counted().events) == ()


def test_the_trace_shows_which_files_a_run_wrote_and_opened():
    """Opening for reading writes nothing; a rename writes its new name; without traced opens nothing is known of them."""
    run = micro.Micro()
    run.operation("open", "outputs/a.fits", "attempt", mode="r").operation(
        "open", "outputs/b.fits", "attempt", mode="w"
    )
    run.operation("rename", "outputs/tmp", to="outputs/c.fits").operation(
        "rename", "outputs/x", "failed", to="outputs/y"
    )
    history = run.record().history
    ours = written(history) - {micro.cache_of(n) for n in run.frames}
    assert ours == {"outputs/b.fits", "outputs/c.fits"}
    assert read(history) == {"outputs/a.fits", "outputs/b.fits"}
    run.capabilities = run.capabilities - {"opens"}
    assert read(run.record().history) is None
