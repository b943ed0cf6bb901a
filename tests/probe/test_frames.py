"""Test that the probe reads frames without waiting and without an end in sight."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from harness.probe import frames
from harness.probe.frames import data_digest, opened, solved
from harness.record import limits
from tests.bounded import bounded


@pytest.fixture
def frame(tmp_path):
    """Return a frame without a WCS."""
    path = tmp_path / "a.fits"
    fits.PrimaryHDU(np.zeros((8, 10), np.uint16)).writeto(path)
    return path


def _read(path):
    return solved(path), data_digest(path)


def test_a_link_to_a_frame_is_read(frame, tmp_path):
    """Users link frames into a folder."""
    link = tmp_path / "b.fits"
    try:
        link.symlink_to(frame)
    except OSError:
        pytest.skip("links need a right here")
    assert _read(str(link)) == (False, data_digest(str(frame)))
    assert data_digest(str(frame)) is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "endless device", "folder"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    """Opening a pipe would wait for a writer for good, and a device has no end."""
    path = tmp_path / "a.fits"
    if kind == "folder":
        path.mkdir()
    elif kind == "endless device":
        path.symlink_to("/dev/zero")
    else:
        place = path if kind == "pipe" else tmp_path / "pipe"
        os.mkfifo(place)
        if place != path:
            path.symlink_to(place)
    assert bounded(_read, str(path)).value == (None, None)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(frame, monkeypatch):
    """The file is looked at again after it was opened."""
    really = os.stat

    def stat_then_replace(path, *args, **kwargs):
        about = really(path, *args, **kwargs)
        Path(path).unlink()
        os.mkfifo(path)
        return about

    with monkeypatch.context() as patch:
        patch.setattr(frames.os, "stat", stat_then_replace)
        with pytest.raises(frames.NotRegularError):
            opened(str(frame))


def test_a_file_that_is_too_large_is_not_read(frame, monkeypatch):
    """The probe has the harness's limit for a file that is hashed."""
    assert frames.MOST_BYTES == limits.HASHED_BYTES
    monkeypatch.setattr(frames, "MOST_BYTES", frame.stat().st_size - 1)
    assert data_digest(str(frame)) is None
    monkeypatch.setattr(frames, "MOST_BYTES", frame.stat().st_size)
    assert data_digest(str(frame)) is not None
