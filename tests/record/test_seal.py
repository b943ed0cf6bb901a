"""Test that a seal covers the whole record, is written in one step, and shows later changes."""

import os

import pytest

from harness.record.reader import read_record
from harness.record.seal import digests, seal
from harness.record.values import RecordError
from tests.record.small_record import HEADER, lines
from tests.requests_ import a_request


@pytest.fixture
def unsealed(tmp_path):
    """Return a record that is not sealed yet."""
    a_request().write(tmp_path / "request.json")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.fits").write_bytes(b"tile")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "scratch").write_bytes(b"scratch")
    return tmp_path


def test_a_seal_is_read_back(unsealed):
    """End state, exit code, reason and time are read back, and no damage is found."""
    seal(unsealed, "crashed", -6, "why", 1.23456)
    record = read_record(unsealed)
    assert (record.seal.state, record.seal.exit_code, record.seal.reason, record.seal.seconds) == (
        "crashed",
        -6,
        "why",
        1.235,
    )
    assert record.damage == ()


def test_working_files_are_not_sealed(unsealed):
    """Every file of the record is sealed, except the working folder and the seal."""
    seal(unsealed, "done", 0, "", 1.0)
    assert list(digests(unsealed)) == ["outputs/a.fits", "request.json"]


def test_sealed_anew(unsealed):
    """A record from which files were removed on purpose can be sealed again."""
    seal(unsealed, "done", 0, "", 1.0)
    (unsealed / "outputs" / "a.fits").unlink()
    assert read_record(unsealed).damage
    seal(unsealed, "done", 0, "", 1.0)
    assert not read_record(unsealed).damage


def test_a_seal_that_cannot_be_written_leaves_none(unsealed, monkeypatch):
    """A full disk leaves the record unsealed, without part of a seal."""

    def full(_file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="found no room on"):
        seal(unsealed, "done", 0, "", 1.0)
    assert [path.name for path in unsealed.glob("seal*")] == []
    assert read_record(unsealed).seal is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes and such file names exist on POSIX only")
def test_what_is_no_regular_file_is_left_out(unsealed):
    """A pipe is not opened, a link is not followed, and a name that a record can't have is left out."""
    os.mkfifo(unsealed / "outputs" / "pipe")
    (unsealed / "outputs" / "link").symlink_to("/etc/hostname")
    (unsealed / "outputs" / "back\\slash").write_bytes(b"x")
    seal(unsealed, "done", 0, "", 1.0)
    assert list(read_record(unsealed).seal.files) == ["outputs/a.fits", "request.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="file names of any bytes exist on POSIX only")
def test_a_name_of_any_bytes_is_sealed(unsealed):
    """A file whose name is not valid UTF-8 is sealed and checked like any other."""
    name = os.fsdecode(b"caf\xe9.fits")
    try:
        (unsealed / "outputs" / name).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system requires names in valid UTF-8")
    seal(unsealed, "done", 0, "", 1.0)
    assert not read_record(unsealed).damage
    (unsealed / "outputs" / name).write_bytes(b"y")
    assert len(read_record(unsealed).damage) == 1


def test_an_unreadable_product_is_sealed(unsealed, monkeypatch):
    """A product without read permission is made readable and sealed."""
    really, refused = os.open, []

    def refuse_once(path, flags, *args, **kwargs):
        if str(path).endswith("a.fits") and flags & os.O_ACCMODE == os.O_RDONLY and not refused:
            refused.append(path)
            raise PermissionError(13, "Permission denied")
        return really(path, flags, *args, **kwargs)

    (unsealed / "outputs" / "a.fits").chmod(0o200)
    monkeypatch.setattr(os, "open", refuse_once)
    assert "outputs/a.fits" in digests(unsealed)
    assert refused
    assert (unsealed / "outputs" / "a.fits").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["events-7.jsonl", "request.json", "left.jsonl"])
def test_a_change_after_the_seal_is_named(folder, name):
    """A file that was changed after the seal is named, and the record is not usable."""
    with (folder / name).open("a") as stream:
        stream.write("\n")
    record = read_record(folder)
    assert not record.usable
    assert record.damage == (f"{name}: changed since the record was sealed",)


def test_a_file_that_went_or_came_after_the_seal_is_named(folder):
    """A file that was removed or added after the seal is named."""
    (folder / "disk.jsonl").unlink()
    lines(folder / "events-8.jsonl", {"format": "phase3-events/1"} | HEADER)
    assert read_record(folder).damage == (
        "disk.jsonl: missing",
        "events-8.jsonl: added since the record was sealed",
    )


@pytest.mark.parametrize("text", ["{", '{"format": "phase3-seal/1"}', '{"format": "phase3-seal/1", "state": "fine"}'])
def test_a_broken_seal(folder, text):
    """An unreadable seal is an error of the record."""
    (folder / "seal.json").write_text(text)
    with pytest.raises(RecordError, match="expected"):
        read_record(folder)
