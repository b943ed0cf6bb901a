"""When caches are deleted: reference counting, its log lines, and the naive defect."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyfakefs.helpers import set_uid

from fixtures.pipeline import defects
from fixtures.pipeline.retention import DeleteNothing, ReferenceCounted, policy

LOGGER = "Phase3Reference"


def caches(folder: Path, count: int) -> list[Path]:
    """Write files that stand for caches."""
    found = [folder / f"preprocessed_{i}.npy" for i in range(count)]
    for path in found:
        path.write_bytes(b"x" * 1024)
    return found


def lines(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what was logged at a level."""
    return [r.getMessage() for r in caplog.records if r.levelno == level and r.name == LOGGER]


def test_a_cache_goes_with_the_last_tile_that_needs_it(tmp_path: Path) -> None:
    """A shared cache outlives its first user, and is deleted when the second is released."""
    own, shared, other = caches(tmp_path, 3)
    counted = ReferenceCounted()
    counted.register(0, [own, shared])
    counted.register(1, [shared, other])
    counted.start()
    counted.release(0, made=True)
    assert [p.exists() for p in (own, shared, other)] == [False, True, True]
    counted.release(1, made=False)
    assert not any(p.exists() for p in (own, shared, other))
    assert (counted.removed, counted.remaining) == (3, 0)


def test_a_tile_counts_once_for_a_cache_that_it_names_twice(tmp_path: Path) -> None:
    """Duplicates in a group, also under another spelling of the path, are one reference."""
    (cache,) = caches(tmp_path, 1)
    counted = ReferenceCounted()
    counted.register(0, [cache, cache, tmp_path / "sub" / ".." / cache.name])
    assert counted.remaining == 1
    counted.release(0, made=True)
    assert not cache.exists()


@pytest.mark.parametrize(("counted", "there"), [(ReferenceCounted, True), (defects.RetryNotRegistered, False)])
def test_a_retry_that_is_not_counted_loses_its_caches(
    counted: type[ReferenceCounted], tmp_path: Path, *, there: bool
) -> None:
    """With the defect a retry's caches go with its origin; a planned tile's do not."""
    own, shared = caches(tmp_path, 2)
    policy = counted()
    policy.register(0, [own, shared])
    policy.register(1, [shared])
    policy.start()
    policy.register(2, [own])
    policy.release(0, made=True)
    assert (own.exists(), shared.exists()) == (there, True)
    policy.release(2, made=True)
    policy.release(1, made=True)
    assert not own.exists()
    assert not shared.exists()


def test_a_retry_keeps_what_its_origin_needed(tmp_path: Path) -> None:
    """A retry that is registered before its origin is released finds its caches."""
    first, second = caches(tmp_path, 2)
    counted = ReferenceCounted()
    counted.register(0, [first, second])
    counted.start()
    counted.register(1, [second])
    counted.release(0, made=True)
    assert (first.exists(), second.exists()) == (False, True)
    counted.release(1, made=True)
    assert not second.exists()


def test_counts_never_become_negative(tmp_path: Path) -> None:
    """Releasing twice, or what was never registered, changes nothing."""
    (cache,) = caches(tmp_path, 1)
    counted = ReferenceCounted()
    counted.register(0, [cache])
    counted.register(1, [cache])
    counted.release(0, made=True)
    counted.release(0, made=True)
    counted.release(7, made=True)
    assert cache.exists()
    assert counted.remaining == 1


def test_remaining_counts_caches(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The last line tells of caches that some tile is still counted for, each once, however many tiles that are."""
    caplog.set_level(logging.INFO, LOGGER)
    own, shared = caches(tmp_path, 2)
    counted = ReferenceCounted()
    counted.register(0, [own, shared])
    for tile in (1, 2):
        counted.register(tile, [shared])
    assert counted.remaining == 2
    counted.release(0, made=True)
    assert counted.remaining == 1
    counted.finish()
    assert lines(caplog, logging.INFO)[-1].endswith("removed 1 files; remaining 1 (if any).")


def test_bookkeeping_grows_with_inputs_alone(tmp_path: Path) -> None:
    """Every input costs the same few operations, however many tiles there are; duplicates are inputs, not references."""
    per_input = []
    for tiles in (4, 40):
        counted = ReferenceCounted()
        files = [tmp_path / f"preprocessed_{i}.npy" for i in range(10 * tiles + 10)]
        for tile in range(tiles):
            counted.register(tile, [*files[10 * tile : 10 * tile + 20], files[10 * tile]])
        for tile in range(tiles):
            counted.release(tile, made=True)
        told = counted.bookkeeping
        assert (told.tiles, told.inputs, told.registrations) == (tiles, 21 * tiles, 20 * tiles)
        assert told.unlinks == len(files)
        assert told.lookups < told.operations
        assert told.seconds > 0
        per_input.append(told.operations / told.inputs)
    assert per_input == pytest.approx([5.5, 5.5], abs=0.3)


def test_an_id_is_registered_once(tmp_path: Path) -> None:
    """A second group under the same id would lose references, so it is refused."""
    counted = ReferenceCounted()
    counted.register(0, caches(tmp_path, 1))
    with pytest.raises(ValueError, match="tile 0 registered already"):
        counted.register(0, [])


def test_the_log_lines_are_those_of_the_patch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Start, sharing (once) and end are INFO with true numbers; each removal is DEBUG; nothing is a warning."""
    caplog.set_level(logging.DEBUG, LOGGER)
    own, shared, more = caches(tmp_path, 3)
    counted = ReferenceCounted()
    counted.register(0, [own, shared, more])
    counted.register(1, [shared, more])
    counted.start()
    counted.release(0, made=True)
    counted.release(1, made=True)
    counted.finish()
    assert lines(caplog, logging.INFO) == [
        "Phase3: shared cache detected across master tiles; refcount guard active.",
        "Phase3: per_tile cache retention uses refcount; safe deletion enabled (3 unique cache files tracked).",
        "Phase3: refcount cleanup complete; removed 3 files; remaining 0 (if any).",
    ]
    debug = lines(caplog, logging.DEBUG)
    assert sum(line.startswith("Removed per-tile cache file: ") for line in debug) == 3
    assert "Per-tile cache cleanup for tile 1: removed 2 file(s), freed 0.002 MiB" in debug
    assert not lines(caplog, logging.WARNING)


def test_nothing_that_is_logged_is_filtered_out() -> None:
    """An observer sees every line without having to set a level."""
    assert logging.getLogger(LOGGER).isEnabledFor(logging.DEBUG)


def test_a_cache_that_is_gone_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A cache that somebody else deleted is noted at DEBUG, and does not count as removed."""
    caplog.set_level(logging.DEBUG, LOGGER)
    gone, here = caches(tmp_path, 2)
    gone.unlink()
    counted = ReferenceCounted()
    counted.register(0, [gone, here])
    counted.release(0, made=True)
    assert counted.removed == 1
    assert f"Per-tile cache already removed or missing: {gone}" in lines(caplog, logging.DEBUG)


def test_a_refused_removal_does_not_stop_the_others(fs, caplog: pytest.LogCaptureFixture) -> None:
    """A cache in a folder that may not be written stays, with a DEBUG line; the next one is deleted."""
    caplog.set_level(logging.DEBUG, LOGGER)
    locked, free = Path("/caches/locked/a.npy"), Path("/caches/free/b.npy")
    fs.create_file(locked, contents="x")
    fs.create_file(free, contents="x")
    fs.is_windows_fs = False
    fs.chmod(str(locked.parent), 0o555)
    fs.chmod(str(free.parent), 0o777)
    set_uid(1000)
    try:
        counted = ReferenceCounted()
        counted.register(0, [locked, free])
        counted.release(0, made=True)
    finally:
        set_uid(0)
    assert (locked.exists(), free.exists()) == (True, False)
    assert any(
        line.startswith(f"Failed to remove per-tile cache file {locked}: ") for line in lines(caplog, logging.DEBUG)
    )
    assert counted.removed == 1


def test_keep_and_run_end_delete_nothing(tmp_path: Path) -> None:
    """Only per_tile deletes while Phase 3 lasts."""
    for retention in ("keep", "run_end"):
        chosen = policy(retention)  # type: ignore[arg-type]
        assert isinstance(chosen, DeleteNothing)
        (cache,) = caches(tmp_path, 1)
        chosen.register(0, [cache])
        chosen.start()
        chosen.release(0, made=True)
        chosen.finish()
        assert cache.exists()


@given(
    groups=st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_whatever_the_groups_and_the_order_nothing_needed_is_deleted_and_nothing_is_left(groups, order) -> None:
    """For any groups, duplicates included, and any order of completion: safe at each step, and complete at the end."""
    files = {Path(f"/nowhere/{i}.npy") for group in groups for i in group}

    class Remembering(ReferenceCounted):
        @staticmethod
        def _remove(path: Path) -> int | None:
            assert path in files, "deleted twice"
            files.remove(path)
            return 1

    counted = Remembering()
    needed = {tile: {Path(f"/nowhere/{i}.npy") for i in group} for tile, group in enumerate(groups)}
    for tile, paths in needed.items():
        counted.register(tile, paths)
    for tile in order.sample(sorted(needed), len(needed)):
        counted.release(tile, made=order.random() < 0.5)
        del needed[tile]
        assert set().union(*needed.values()) <= files
    assert not files
    assert counted.remaining == 0


def test_the_naive_defect_deletes_what_others_need(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A made tile deletes all its caches; a failed one none; and the lines of the patch are absent."""
    caplog.set_level(logging.DEBUG, LOGGER)
    own, shared, other = caches(tmp_path, 3)
    naive = defects.NaiveDeletion()
    naive.register(0, [own, shared])
    naive.register(1, [shared, other])
    naive.start()
    naive.release(0, made=True)
    assert [p.exists() for p in (own, shared, other)] == [False, False, True]
    naive.release(1, made=False)
    naive.finish()
    assert other.exists()
    assert not caplog.records


def test_the_naive_defect_warns_of_a_refused_removal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
) -> None:
    """Before the patch a failed removal was a WARNING; the tile's other caches are deleted all the same."""
    refused, free = caches(tmp_path, 2)
    unlink = Path.unlink

    def refusing(path: Path, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 -- the signature of Path.unlink
        if path == refused:
            raise PermissionError("in use")
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", refusing)
    naive = defects.NaiveDeletion()
    naive.register(0, [refused, free])
    naive.release(0, made=True)
    assert (refused.exists(), free.exists()) == (True, False)
    assert len(lines(caplog, logging.WARNING)) == 1
