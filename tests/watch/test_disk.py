"""Test the disk sampler on a file system in memory."""

import os
from pathlib import Path

import pytest

from harness.record.values import BeyondError
from harness.watch import disk
from harness.watch.disk import CACHE, OUTPUTS, DiskSampler, Usage, usage

RECORD = Path("/record")


@pytest.fixture
def outputs(fs):
    """Return a record's outputs on a fake volume of 10,000 bytes."""
    fs.add_mount_point("/record", total_size=10_000)
    fs.create_dir(RECORD / CACHE)
    return RECORD / OUTPUTS


@pytest.fixture
def at(monkeypatch):
    """Return a function that sets the time, in seconds."""

    def set_to(seconds):
        monkeypatch.setattr(disk.time, "monotonic_ns", lambda: int(seconds * 1e9))

    set_to(5.0)
    return set_to


def test_the_cache_is_part_of_the_whole(fs, outputs):
    """Every file counts once in the total; files of the cache folder, at any depth, count there too."""
    fs.create_file(outputs / "mosaic.fits", st_size=500)
    fs.create_file(outputs / "tiles" / "deep" / "a.fits", st_size=30)
    fs.create_file(RECORD / CACHE / "preprocessed_a_0.npy", st_size=100)
    fs.create_file(RECORD / CACHE / "inner" / "preprocessed_b_1.npy", st_size=20)
    assert usage(outputs, RECORD / CACHE) == (Usage(650, 4), Usage(120, 2))


@pytest.mark.usefixtures("fs")
def test_a_folder_that_is_not_there_is_empty():
    """A folder that does not exist counts as empty."""
    assert usage(Path("/nowhere"), Path("/nowhere/cache")) == (Usage(0, 0), Usage(0, 0))


def test_links_are_not_followed(fs, outputs):
    """A link to a large file or folder does not count."""
    fs.create_file("/elsewhere/large", st_size=5000)
    fs.create_symlink(outputs / "file", "/elsewhere/large")
    fs.create_symlink(outputs / "folder", "/elsewhere")
    assert usage(outputs, RECORD / CACHE) == (Usage(), Usage())


def test_what_vanishes_while_looking_is_not_counted(fs, outputs, monkeypatch):
    """A file that is removed between listing and reading its size is left out, without an error."""
    fs.create_file(outputs / "a", st_size=5)
    fs.create_file(outputs / "b", st_size=7)
    really = os.scandir

    class Listing:
        def __init__(self, path):
            self._entries = really(path)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._entries.close()

        def __iter__(self):
            for entry in self._entries:
                if entry.name == "a":
                    (outputs / "a").unlink()
                yield entry

    monkeypatch.setattr(disk.os, "scandir", Listing)
    assert usage(outputs, RECORD / CACHE)[0] == Usage(7, 1)


@pytest.mark.usefixtures("outputs", "at")
def test_a_sample_has_the_free_bytes_of_the_volume(fs):
    """Each line has its folder relative to the record, bytes, files and the free bytes of the volume."""
    fs.set_disk_usage(10_000, "/record")
    fs.create_file(RECORD / CACHE / "preprocessed_a_0.npy", st_size=4000)
    assert DiskSampler(RECORD).sample(last=False) == [
        {"t": 5_000_000_000, "folder": "outputs", "size": 4000, "files": 1, "free": 6000},
        {"t": 5_000_000_000, "folder": "outputs/.zemosaic_img_cache", "size": 4000, "files": 1, "free": 6000},
    ]


def test_only_what_changed_is_written(fs, outputs, at):
    """An unchanged folder gets no line within a second; a changed one gets it at once."""
    sampler = DiskSampler(RECORD)
    sampler.sample(last=False)
    at(5.3)
    assert sampler.sample(last=False) == []
    fs.create_file(outputs / "mosaic.fits", st_size=10)
    assert [line["folder"] for line in sampler.sample(last=False)] == [OUTPUTS]
    at(6.1)
    assert [line["folder"] for line in sampler.sample(last=False)] == [CACHE]


@pytest.mark.usefixtures("outputs", "at")
def test_the_last_look_writes_everything():
    """The last sample has a line for each folder, changed or not."""
    sampler = DiskSampler(RECORD)
    sampler.sample(last=False)
    assert [line["folder"] for line in sampler.sample(last=True)] == [OUTPUTS, CACHE]


@pytest.mark.usefixtures("outputs", "at")
def test_a_volume_that_does_not_answer(monkeypatch):
    """Free bytes that can't be read are -1."""

    def refuse(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(disk.shutil, "disk_usage", refuse)
    assert {line["free"] for line in DiskSampler(RECORD).sample(last=True)} == {-1}


# All that is in a record


def told(record):
    """Return what a sampler tells of a record: its bytes, and its files and folders."""
    seen = []
    DiskSampler(record, spent=lambda *what: seen.append(what)).sample(last=False)
    return seen[-1][:2]


def test_every_file_of_a_record_counts_for_the_limit(tmp_path):
    """Wherever a target writes: outputs, working folders, its input, the record itself."""
    for number, place in enumerate(
        ("outputs/m", "work/tmp/t", "work/input/i", "work/w", "r", "events-1.jsonl", "a/b/c")
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_bytes(bytes(10**number))
    assert told(tmp_path) == (1_111_111, 13)
    assert disk.taken(tmp_path) == 1_111_111
    assert {line["folder"]: line["size"] for line in DiskSampler(tmp_path).sample(last=True)} == {
        OUTPUTS: 1,
        CACHE: 0,
        "work": 10,
    }


def test_what_the_harness_writes_is_not_the_targets(tmp_path, monkeypatch):
    """Its own files count only if they are larger than it makes them: a target may write in them."""
    (tmp_path / "console.log").write_bytes(bytes(70))
    (tmp_path / "disk.jsonl").write_bytes(bytes(30))
    assert told(tmp_path)[0] == 0
    monkeypatch.setattr(disk, "OWN_BYTES", 90)
    assert told(tmp_path)[0] == 10


@pytest.mark.skipif(os.name == "nt", reason="a folder's list has no number of names there")
def test_a_file_with_two_names_counts_once_for_the_limit(tmp_path):
    """A second name takes no room. The samples count both, as before."""
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a").write_bytes(bytes(10))
    (tmp_path / "outputs" / "b").hardlink_to(tmp_path / "outputs" / "a")
    assert told(tmp_path)[0] == 10
    assert usage(tmp_path / "outputs", tmp_path / CACHE)[0] == Usage(20, 2)


def test_a_walk_ends_at_the_limit(tmp_path, monkeypatch):
    """Too many files are told, and end the watch: the bytes are not known any more."""
    for number in range(5):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(disk, "MOST", 5)
    assert told(tmp_path) == (0, 5)
    (tmp_path / "6").mkdir()
    with pytest.raises(BeyondError, match="expected at most 5 files and folders below "):
        usage(tmp_path, tmp_path)
    assert disk.taken(tmp_path) == 0
    seen = []
    with pytest.raises(BeyondError):
        DiskSampler(tmp_path, spent=lambda *what: seen.append(what)).sample(last=False)
    assert seen[0][1] == 6
