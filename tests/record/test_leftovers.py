"""Test that left-over files are counted and cleared, on a file system in memory."""

from pathlib import Path

import pytest

from harness.record import leftovers
from harness.record.leftovers import LeftFile, clear, count_left, kind_of, read_left, remove_tree, write_left
from harness.record.reader import read_record
from tests.record.small_record import BROKEN, add

RECORD = Path("/record")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        (".zemosaic_img_cache/preprocessed_a_0.npy", "cache"),
        (".zemosaic_img_cache/hp_mask_a_12.npy", "mask"),
        ("_zemosaic_io_probe_1.bin", "probe"),
        ("zemosaic_temp_master_tiles/master_tile_003.fits", "tile"),
        ("tiles/tile_0001.fits", "tile"),
        ("sds_tiles_1/a.fits", "tile"),
        ("zemosaic_MT4_R48.fits", "mosaic"),
        ("zemosaic_MT4_R48_coverage.fits", "mosaic"),
        ("mosaic_grid.fits", "mosaic"),
        ("elsewhere/zemosaic_MT4_R48.fits", "other"),
        ("zemosaic_MT4_R48_preview.png", "other"),
        ("preprocessed_a_0.npy.tmp", "other"),
    ],
)
def test_kinds(path, kind):
    """The kind of a file follows from the name that ZeMosaic gives it."""
    assert kind_of(path) == kind


@pytest.fixture
def record(fs):
    """Return a record with a cache, a mask, a tile and a link to a user's file."""
    fs.create_file("/user/frame.fits", st_size=7)
    fs.create_file(RECORD / "outputs" / ".zemosaic_img_cache" / "preprocessed_a_0.npy", st_size=100)
    fs.create_file(RECORD / "outputs" / ".zemosaic_img_cache" / "hp_mask_a_0.npy", st_size=25)
    fs.create_file(RECORD / "outputs" / "master_tile_000.fits", st_size=300)
    fs.create_symlink(RECORD / "outputs" / "linked.fits", "/user/frame.fits")
    fs.create_symlink(RECORD / "outputs" / "folder", "/user")
    return RECORD


def test_every_file_is_counted(record):
    """All files are counted with path, size and kind. A link counts as a file, and its target is not counted."""
    counted = count_left(record)
    assert [(file.path, file.kind) for file in counted] == [
        ("outputs/.zemosaic_img_cache/hp_mask_a_0.npy", "mask"),
        ("outputs/.zemosaic_img_cache/preprocessed_a_0.npy", "cache"),
        ("outputs/folder", "other"),
        ("outputs/linked.fits", "other"),
        ("outputs/master_tile_000.fits", "tile"),
    ]
    assert [file.size for file in counted if file.kind in ("cache", "mask", "tile")] == [25, 100, 300]


def test_counts_come_back_from_the_record(record):
    """The written counts are read back unchanged."""
    counted = count_left(record)
    write_left(record, counted)
    assert read_left(record, []) == counted


def test_caches_and_masks_are_cleared(record):
    """Caches and masks are removed. Products, and a user's file behind a link, are kept. The empty cache folder is named."""
    assert clear(record, count_left(record)) == ()
    assert [file.path for file in count_left(record)] == [
        "outputs/.zemosaic_img_cache",
        "outputs/folder",
        "outputs/linked.fits",
        "outputs/master_tile_000.fits",
    ]
    assert Path("/user/frame.fits").exists()


def test_a_cache_that_is_a_link_is_cleared_as_a_link(fs, record):
    """If a cache is a link to a user's file, only the link is removed."""
    fs.create_symlink(record / "outputs" / "preprocessed_b_1.npy", "/user/frame.fits")
    clear(record, count_left(record))
    assert not (record / "outputs" / "preprocessed_b_1.npy").is_symlink()
    assert Path("/user/frame.fits").stat().st_size == 7


def test_a_refused_removal_is_returned(record, monkeypatch):
    """A cache that the system does not remove is returned with the reason; the others are removed."""
    paths = type(record)  # pyfakefs puts a class of its own in place of Path
    really = paths.unlink

    def unlink(path, *, missing_ok=False):
        if path.name.startswith("hp_mask"):
            raise PermissionError(13, "Permission denied")
        really(path, missing_ok=missing_ok)

    monkeypatch.setattr(paths, "unlink", unlink)
    assert clear(record, count_left(record)) == ("outputs/.zemosaic_img_cache/hp_mask_a_0.npy: Permission denied",)
    assert [file.kind for file in count_left(record)] == ["mask", "other", "other", "tile"]


def test_a_file_that_vanishes_is_not_counted(record, monkeypatch):
    """A file that vanishes before its size is read is left out."""
    monkeypatch.setattr(leftovers, "_files", lambda folder: iter([folder / "gone"]))
    assert [file.kind for file in count_left(record)] == ["folder"]


def test_a_cache_in_a_working_folder_is_counted(fs, record):
    """A cache that was moved to the run's temporary folder is listed there."""
    fs.create_file(record / "work" / "tmp" / "preprocessed_a_0.npy", contents=b"x" * 9)
    assert ("work/tmp/preprocessed_a_0.npy", 9, "cache") in [(f.path, f.size, f.kind) for f in count_left(record)]


def test_an_empty_record_has_nothing_left(fs):
    """An empty output folder gives no left-over files."""
    fs.create_dir(RECORD / "outputs")
    assert count_left(RECORD) == ()


def test_a_cache_already_gone_is_no_problem(fs):
    """Clearing a file that no longer exists succeeds."""
    fs.create_dir(RECORD / "outputs")
    assert clear(RECORD, [LeftFile("outputs/preprocessed_a_0.npy", 1, "cache")]) == ()


def test_a_tree_is_removed_not_what_its_links_point_to(fs):
    """Removing a folder removes the links in it and keeps their targets. A folder that does not exist is no error."""
    fs.create_file("/user/frame.fits")
    fs.create_file("/record/work/tmp/a")
    fs.create_symlink("/record/work/tmp/user", "/user")
    remove_tree(RECORD / "work")
    remove_tree(RECORD / "work")
    assert not (RECORD / "work").exists()
    assert Path("/user/frame.fits").exists()


def test_a_tree_is_removed_at_the_second_attempt(fs, monkeypatch):
    """A file held for a moment, or made read-only, is removed at the second attempt."""
    fs.create_file("/record/work/tmp/a")
    really, attempts = leftovers.shutil.rmtree, []

    def rmtree(folder):
        attempts.append(folder)
        if len(attempts) == 1:
            raise PermissionError(13, "in use")
        really(folder)

    monkeypatch.setattr(leftovers.shutil, "rmtree", rmtree)
    (RECORD / "work" / "tmp" / "a").chmod(0o400)
    remove_tree(RECORD / "work")
    assert len(attempts) == 2
    assert not (RECORD / "work").exists()


@pytest.mark.parametrize("text", [*BROKEN, '{"path": "outputs/a.npy", "kind": "cache"}'])
def test_a_torn_list_of_what_is_left_is_not_known(folder, text):
    """An unreadable line may hide a cache: the list counts as unknown, and the line is named."""
    add(folder / "left.jsonl", text)
    record = read_record(folder)
    assert record.left is None
    assert record.history.torn == ("left.jsonl, line 2",)
