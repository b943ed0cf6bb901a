"""Test that left-over files are counted and cleared."""

import os

import pytest

from harness.record import safe
from harness.record.leftovers import LeftFile, clear, count_left, kind_of, read_left, remove_tree, write_left
from harness.record.reader import read_record
from tests.record.small_record import BROKEN, add


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
def user(tmp_path):
    """Return a folder of the user with a file of 7 bytes."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "frame.fits").write_bytes(bytes(7))
    return folder


@pytest.fixture
def empty(tmp_path):
    """Return a record whose output folder is empty."""
    record = tmp_path / "record"
    (record / "outputs").mkdir(parents=True)
    return record


@pytest.fixture
def record(empty, user):
    """Return a record with a cache, a mask, a tile and a link to a user's file."""
    cache = empty / "outputs" / ".zemosaic_img_cache"
    cache.mkdir()
    (cache / "preprocessed_a_0.npy").write_bytes(bytes(100))
    (cache / "hp_mask_a_0.npy").write_bytes(bytes(25))
    (empty / "outputs" / "master_tile_000.fits").write_bytes(bytes(300))
    (empty / "outputs" / "linked.fits").symlink_to(user / "frame.fits")
    (empty / "outputs" / "folder").symlink_to(user)
    return empty


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


def test_caches_and_masks_are_cleared(record, user):
    """Caches and masks are removed. Products, and a user's file behind a link, are kept. The empty cache folder is named."""
    assert clear(record, count_left(record)) == ()
    assert [file.path for file in count_left(record)] == [
        "outputs/.zemosaic_img_cache",
        "outputs/folder",
        "outputs/linked.fits",
        "outputs/master_tile_000.fits",
    ]
    assert (user / "frame.fits").exists()


def test_a_cache_that_is_a_link_is_cleared_as_a_link(record, user):
    """If a cache is a link to a user's file, only the link is removed."""
    (record / "outputs" / "preprocessed_b_1.npy").symlink_to(user / "frame.fits")
    clear(record, count_left(record))
    assert not (record / "outputs" / "preprocessed_b_1.npy").is_symlink()
    assert (user / "frame.fits").stat().st_size == 7


def test_a_cache_folder_that_became_a_link_is_not_entered(record, user):
    """Between the count and the removal a target replaces the cache folder by a link: the user's file of that name stays."""
    counted = count_left(record)
    (user / "preprocessed_a_0.npy").write_bytes(b"of the user")
    (record / "outputs" / ".zemosaic_img_cache").rename(record / "outputs" / "aside")
    (record / "outputs" / ".zemosaic_img_cache").symlink_to(user)
    problems = clear(record, counted)
    assert len(problems) == 2
    assert (user / "preprocessed_a_0.npy").read_bytes() == b"of the user"


def test_a_refused_removal_is_returned(record, monkeypatch):
    """A cache that the system does not remove is returned with the reason; the others are removed."""
    really = os.unlink

    def unlink(path, **kwargs):
        if str(path).rpartition("/")[2].startswith("hp_mask"):
            raise PermissionError(13, "Permission denied")
        really(path, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink)
    assert clear(record, count_left(record)) == ("outputs/.zemosaic_img_cache/hp_mask_a_0.npy: Permission denied",)
    assert [file.kind for file in count_left(record)] == ["mask", "other", "other", "tile"]


def test_a_file_that_vanishes_is_not_counted(empty, monkeypatch):
    """A file that vanishes before its size is read is left out."""
    (empty / "outputs" / ".zemosaic_img_cache").mkdir()
    (empty / "outputs" / "gone").write_bytes(b"x")
    really = safe.Folder.about
    monkeypatch.setattr(safe.Folder, "about", lambda self, name: None if name == "gone" else really(self, name))
    assert [file.kind for file in count_left(empty)] == ["folder"]


def test_a_cache_in_a_working_folder_is_counted(record):
    """A cache that was moved to the run's temporary folder is listed there."""
    (record / "work" / "tmp").mkdir(parents=True)
    (record / "work" / "tmp" / "preprocessed_a_0.npy").write_bytes(bytes(9))
    assert ("work/tmp/preprocessed_a_0.npy", 9, "cache") in [(f.path, f.size, f.kind) for f in count_left(record)]


def test_an_empty_record_has_nothing_left(empty):
    """An empty output folder gives no left-over files."""
    assert count_left(empty) == ()


def test_a_cache_already_gone_is_no_problem(empty):
    """Clearing a file that no longer exists succeeds."""
    assert clear(empty, [LeftFile("outputs/preprocessed_a_0.npy", 1, "cache")]) == ()


def test_a_tree_is_removed_not_what_its_links_point_to(empty, user):
    """Removing a folder removes the links in it and keeps their targets. A folder that does not exist is no error."""
    (empty / "work" / "tmp").mkdir(parents=True)
    (empty / "work" / "tmp" / "a").write_bytes(b"x")
    (empty / "work" / "tmp" / "user").symlink_to(user)
    remove_tree(empty / "work")
    remove_tree(empty / "work")
    assert not (empty / "work").exists()
    assert (user / "frame.fits").exists()


def test_a_tree_is_removed_at_the_second_attempt(empty, monkeypatch):
    """A file held for a moment, or made read-only, is removed at the second attempt."""
    (empty / "work" / "tmp").mkdir(parents=True)
    (empty / "work" / "tmp" / "a").write_bytes(b"x")
    (empty / "work" / "tmp" / "a").chmod(0o400)
    really, attempts = os.unlink, []

    def unlink(path, **kwargs):
        attempts.append(path)
        if len(attempts) == 1:
            raise OSError(16, "in use")
        really(path, **kwargs)

    monkeypatch.setattr(os, "unlink", unlink)
    remove_tree(empty / "work")
    assert len(attempts) == 2
    assert not (empty / "work").exists()


@pytest.mark.parametrize("text", [*BROKEN, '{"path": "outputs/a.npy", "kind": "cache"}'])
def test_a_torn_list_of_what_is_left_is_not_known(folder, text):
    """An unreadable line may hide a cache: the list counts as unknown, and the line is named."""
    add(folder / "left.jsonl", text)
    record = read_record(folder)
    assert record.left is None
    assert record.history.torn == ("left.jsonl, line 2",)
