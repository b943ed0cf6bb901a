"""Test the bytes on disk, the lower bound, and the difference, as computed from the trace."""

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from harness.analysis import lifetimes
from harness.analysis.phase3 import phase_3_end, phase_3_start
from harness.record.history import Operation
from harness.record.leftovers import LeftFile
from tests import micro

CACHE = "outputs/.zemosaic_img_cache/preprocessed_{}.npy"
SECOND = 10**9


def op(t, op, path, state="done", *, to=None, size=None, mode=None):
    """Return an operation on a file."""
    return Operation(t, 1, "MainThread", op, state, path, to, size, None, mode)


def history(*operations):
    """Return a history of these operations only."""
    return replace(micro.Micro().record(products=None, left=()).history, operations=operations)


def test_a_renamed_cache_keeps_its_bytes():
    """Only a removal, a truncation or an overwriting frees bytes; a rename, also of the folder or out of it, keeps them."""
    a, b, c = (CACHE.format(n) for n in "abc")
    folder = "outputs/.zemosaic_img_cache"
    saved = [op(n, "save", path, size=10) for n, path in enumerate((a, b, c), 1)]
    held = history(
        *saved,
        op(4, "rename", a, to=f"{a}.old"),
        op(5, "rename", b, to="/elsewhere/b"),
        op(6, "rename", folder, to="outputs/old", size=4096),
    )
    found = lifetimes.lives(held)
    assert lifetimes.live_bytes(held).at(np.array([7])).tolist() == [30.0]
    assert found.freed.tolist() == [lifetimes.NEVER] * 3
    assert found.names == tuple(sorted(path.rpartition("/")[2] for path in (a, b, c)))
    moved = f"outputs/old/{a.rpartition('/')[2]}.old"
    freed = history(
        *held.operations,
        op(7, "remove", moved),
        op(8, "remove", "/elsewhere/b"),
        op(9, "truncate", f"outputs/old/{c.rpartition('/')[2]}", state="attempt", size=0),
        op(10, "rmtree", "outputs/old"),
    )
    assert lifetimes.lives(freed).freed.tolist() == [7, 8, 9]


def test_an_overwritten_cache_has_the_bytes_of_the_new_file():
    """A cache over which another file is moved has lost its own bytes."""
    a, b = (CACHE.format(n) for n in "ab")
    seen = history(
        op(1, "save", a, size=10), op(2, "save", b, size=20), op(3, "rename", "outputs/x.fits", to=a, size=5)
    )
    assert lifetimes.live_bytes(seen).at(np.array([2, 3])).tolist() == [30.0, 25.0]


def span(record):
    """Return when Phase 3 began and ended."""
    return phase_3_start(record.history), phase_3_end(record.history)


def test_live_bytes_follow_the_trace():
    """Saves add bytes, removals subtract them, renames move them, and removing a folder subtracts every file below it."""
    a, b, c = (CACHE.format(n) for n in "abc")
    seen = history(
        op(1, "save", a + ".part", size=10),
        op(2, "rename", a + ".part", to=a),
        op(3, "save", b, size=20),
        op(4, "save", b, size=25),
        op(5, "remove", a, state="attempt"),
        op(6, "remove", a),
        op(7, "save", c, size=5, state="failed"),
        op(8, "save", "outputs/tile.fits", size=1000),
        op(9, "rmtree", "outputs/.zemosaic_img_cache"),
    )
    steps = lifetimes.live_bytes(seen)
    assert steps.times.tolist() == [2, 3, 4, 6, 9]
    assert steps.values.tolist() == [10, 30, 35, 25, 0]
    assert steps.peak == 35


def test_a_file_counts_as_a_cache_once_it_is_in_place():
    """A file that is written under a temporary name and then renamed is a cache under its final name only."""
    part = "outputs/x/preprocessed_a.part.npy"
    seen = history(op(1, "save", part, size=3), op(2, "rename", part, to=CACHE.format("a")))
    assert lifetimes.cache_names(seen) == {"preprocessed_a.npy"}


def test_masks_are_never_mixed_with_caches():
    """Hot-pixel masks in the same folder are not counted as caches."""
    mask = "outputs/.zemosaic_img_cache/hp_mask_a_0f.npy"
    seen = history(op(1, "save", CACHE.format("a"), size=30), op(2, "save", mask, size=7))
    assert lifetimes.live_bytes(seen).peak == 30
    assert lifetimes.live_bytes(seen, lifetimes.mask_names(seen)).values.tolist() == [7]


def test_areas_are_exact():
    """The area between two times is exact, and steps outside them have no effect."""
    steps = lifetimes.Steps(np.array([2, 4, 8]) * SECOND, np.array([10.0, 30.0, 0.0]))
    assert steps.area(0, 10 * SECOND) == 2 * 10 + 4 * 30
    assert steps.area(3 * SECOND, 5 * SECOND) == 10 + 30
    assert steps.area(5 * SECOND, 5 * SECOND) == 0
    assert lifetimes.Steps(np.zeros(0, np.int64), np.zeros(0)).area(0, SECOND) == 0


def test_a_cache_must_live_until_its_last_user_has_ended():
    """Retries are users. A cache without a user need not exist; one whose user never ended must exist to the end."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE[:2]):
        run.submit(tile, group)
    run.work(0).submit(2, micro.names(0)[:1], retry_of=0).work(2).start(1)
    record = run.record()
    found = lifetimes.lives(record.history)
    ended = {tile.tile: tile.ended for tile in record.history.tiles}
    by_name = {n: (int(t), int(u)) for n, t, u in zip(found.names, found.needed, found.last_user, strict=True)}
    assert by_name["preprocessed_p0_0.npy"] == (ended[2], 2)
    assert by_name["preprocessed_p0_1.npy"] == (ended[0], 0)
    assert by_name["preprocessed_p1_0.npy"] == (lifetimes.NEVER, 1)
    assert by_name["preprocessed_p2_0.npy"][1] == -1
    bound = lifetimes.lower_bound(found)
    assert bound.values.tolist()[-2:] == [3 * micro.SIZE, 2 * micro.SIZE]
    assert bound.peak == 4 * micro.SIZE


def test_a_refused_removal_is_known():
    """A removal that failed after the last use is marked; one that failed before it is not."""
    run = micro.Micro(micro.PRIVATE).begin().submit(0, micro.PRIVATE[0])
    run.remove(*micro.names(0)[:1], code=micro.EACCES).work(0).remove(*micro.names(0)[1:], code=micro.EACCES)
    found = lifetimes.lives(run.finish().record().history)
    assert [n for n, refused in zip(found.names, found.refused, strict=True) if refused] == ["preprocessed_p0_1.npy"]


def test_outliving_is_counted_in_tiles():
    """The delay of a removal is the number of tiles collected between last use and removal, at any clock."""
    run = micro.Micro(micro.PRIVATE).begin()
    for tile, group in enumerate(micro.PRIVATE):
        run.submit(tile, group)
    run.work(0).remove("p0_0.fits").work(1).work(2).remove("p0_1.fits", "p1_0.fits").finish()
    history = run.record().history
    found = lifetimes.lives(history)
    counted = dict(zip(found.names, lifetimes.outlived(found, history).tolist(), strict=True))
    assert (counted["preprocessed_p0_0.npy"], counted["preprocessed_p0_1.npy"]) == (0, 2)
    assert counted["preprocessed_p1_0.npy"] == 1


def test_the_total_counts_tiles_and_mosaics():
    """Tiles count from their end and mosaics from their saving, with their final sizes."""
    run = micro.counted(micro.PRIVATE)
    left = [LeftFile(f"{micro.TILES}/master_tile_{n:03d}.fits", 10, "tile") for n in range(3)]
    record = run.record(left=[*left, LeftFile("outputs/zemosaic_MT3_R6.fits", 500, "mosaic")])
    total = lifetimes.traced_total(record)
    assert total.peak == 6 * micro.SIZE + 10
    assert total.values[-1] == 530
    assert lifetimes.traced_total(replace(record, left=tuple(left[:2]))) is None
    assert lifetimes.traced_total(replace(record, left=None)) is None


def test_a_look_that_meets_a_speed_probe_is_left_out():
    """A sample during a disk speed test is left out: its file exists for milliseconds, so meeting it is chance."""
    probe = "outputs/_zemosaic_io_probe_1.bin"
    run = micro.Micro().look(100).operation("open", probe, "attempt", mode="wb").look(900)
    run.operation("remove", probe).look(200)
    assert lifetimes.sampled_peak(run.record(products=None).history) == 200
    assert lifetimes.sampled_peak(micro.Micro().record(products=None).history) is None


def test_series_are_small_and_keep_their_ends():
    """A line has at most the given number of points; the first and the last are the two times."""
    times = np.arange(1, 5001, dtype=np.int64) * SECOND
    line = lifetimes.Steps(times, times / SECOND)
    seconds, (values,) = lifetimes.decimated(0, 6000 * SECOND, (line,), 200)
    assert len(seconds) == len(values) == 200
    assert (seconds[0], values[0], seconds[-1], values[-1]) == (0.0, 0, 6000.0, 5000)


PLANS = st.lists(
    st.lists(st.sampled_from([n for p in range(3) for n in micro.names(p)]), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


def played(plan, order, policy):
    """Return the record of a run of a plan in an order, whose policy removes caches when its name says."""
    run = micro.Micro(plan).begin()
    for tile, group in enumerate(plan):
        run.submit(tile, group)
    uses = {n: sum(n in group for group in plan) for n in run.frames}
    freed = []
    for tile in order:
        run.start(tile).end(tile)
        for n in set(plan[tile]):
            uses[n] -= 1
        due = [n for n in set(plan[tile]) - set(freed) if not uses[n] or policy == "naive"]
        if policy == "at once":  # at the time of the tile's end: no policy can be faster
            run.operations += [op(run.t, "remove", micro.cache_of(n)) for n in due]
        run.collect(tile)
        if policy in ("counted", "naive"):
            run.remove(*due)
        freed += due
    return (run.remove(*freed) if policy == "late" else run).finish().record()


@given(plan=PLANS, data=st.data(), policy=st.sampled_from(["at once", "counted", "late", "never", "naive"]))
@settings(max_examples=60, deadline=None)
def test_no_safe_retention_holds_less_than_the_bound(plan, data, policy):
    """For any plan and order, held = bound + excess - missing. Safe policies miss nothing; removal at once has no excess."""
    record = played(tuple(map(tuple, plan)), data.draw(st.permutations(range(len(plan)))), policy)
    found = lifetimes.lives(record.history)
    areas = lifetimes.areas(found, found.used, *span(record))
    unused = lifetimes.areas(found, ~found.used, *span(record))
    held = lifetimes.live_bytes(record.history).area(*span(record)) - unused.held
    assert held == pytest.approx(areas.held)
    assert areas.held == pytest.approx(areas.bound + areas.excess - areas.missing)
    assert lifetimes.lower_bound(found).area(*span(record)) == pytest.approx(areas.bound)
    assert policy == "naive" or areas.missing == 0
    assert policy == "naive" or held >= areas.bound * (1 - 1e-12)
    assert policy != "at once" or areas.excess == 0
    assert policy != "never" or areas.held == areas.full
