"""The seal: complete, last, and in one step."""

import os

import pytest

from harness.record import seal as sealing
from harness.record.reader import read_record
from harness.record.seal import digests, seal
from tests.requests_ import a_request


@pytest.fixture
def folder(tmp_path):
    """Return a record that is not sealed yet."""
    a_request().write(tmp_path / "request.json")
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "a.fits").write_bytes(b"tile")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "scratch").write_bytes(b"scratch")
    return tmp_path


def test_a_seal_is_read_back(folder):
    """End state, code, reason and time come back, and nothing is damaged."""
    seal(folder, "crashed", -6, "why", 1.23456)
    record = read_record(folder)
    assert (record.seal.state, record.seal.exit_code, record.seal.reason, record.seal.seconds) == (
        "crashed",
        -6,
        "why",
        1.235,
    )
    assert record.damage == ()


def test_working_files_are_not_sealed(folder):
    """Everything of the record is sealed but the working folder and the seal."""
    seal(folder, "done", 0, "", 1.0)
    assert list(digests(folder)) == ["outputs/a.fits", "request.json"]


def test_sealed_anew(folder):
    """A record that was made smaller on purpose can be sealed again."""
    seal(folder, "done", 0, "", 1.0)
    (folder / "outputs" / "a.fits").unlink()
    assert read_record(folder).damage
    seal(folder, "done", 0, "", 1.0)
    assert not read_record(folder).damage


def test_a_seal_that_cannot_be_written_leaves_none(folder, monkeypatch):
    """A full disk leaves the record unsealed, and no half of a seal."""

    class Os:
        def __getattr__(self, name):
            return getattr(os, name)

        def fsync(self, _file):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sealing, "os", Os())
    with pytest.raises(OSError, match="No space left"):
        seal(folder, "done", 0, "", 1.0)
    assert [path.name for path in folder.glob("seal*")] == []
    assert read_record(folder).seal is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with a name, and such file names, are POSIX's")
def test_what_is_no_regular_file_is_left_out(folder):
    """A pipe is not opened, a link not followed, and a name that no record can hold is left out."""
    os.mkfifo(folder / "outputs" / "pipe")
    (folder / "outputs" / "link").symlink_to("/etc/hostname")
    (folder / "outputs" / "back\\slash").write_bytes(b"x")
    seal(folder, "done", 0, "", 1.0)
    assert list(read_record(folder).seal.files) == ["outputs/a.fits", "request.json"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="file names of any bytes are POSIX's")
def test_a_name_of_any_bytes_is_sealed(folder):
    """A file whose name is no valid text is sealed and checked like any other."""
    name = os.fsdecode(b"caf\xe9.fits")
    try:
        (folder / "outputs" / name).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system wants names to be valid text")
    seal(folder, "done", 0, "", 1.0)
    assert not read_record(folder).damage
    (folder / "outputs" / name).write_bytes(b"y")
    assert len(read_record(folder).damage) == 1


def test_an_unreadable_product_is_sealed(folder, monkeypatch):
    """A product that its maker made unreadable is made readable and sealed."""
    really, refused = sealing.sha256_of, []

    def refuse_once(path):
        if path.name == "a.fits" and not refused:
            refused.append(path)
            raise PermissionError(13, "Permission denied")
        return really(path)

    monkeypatch.setattr(sealing, "sha256_of", refuse_once)
    assert "outputs/a.fits" in digests(folder)
    assert refused
