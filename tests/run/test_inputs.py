"""Frames and plans that no run can start with."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from harness.record.request import DatasetFacts, FrameFacts
from harness.run import inputs
from harness.run.inputs import InputError, check_inputs, require_inputs, room_needed
from tests.requests_ import WCS


@pytest.fixture
def folder(tmp_path):
    """Return a folder with three good frames."""
    for number in range(3):
        put(tmp_path / f"f{number}.fits", np.full((8, 10), number, dtype=np.uint16))
    return tmp_path


def put(path, data):
    """Write a FITS file."""
    fits.PrimaryHDU(data).writeto(path, overwrite=True)


def facts_of(folder, **changes):
    """Return the dataset facts of the frames in a folder."""
    frames = tuple(
        FrameFacts(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), (8, 10), WCS)
        for path in sorted(folder.glob("*.fits"))
    )
    return replace(DatasetFacts("night", "user", "0" * 64, frames), **changes)


def with_frame(facts, index, **changes):
    """Return the facts with one frame changed."""
    frames = list(facts.frames)
    frames[index] = replace(frames[index], **changes)
    return replace(facts, frames=tuple(frames))


def the_problem(*args, **kwargs):
    """Return the only problem, in English."""
    (message,) = check_inputs(*args, **kwargs)
    return message.render()


def test_good_frames_have_no_problems(folder):
    """Good frames, with a plan that names them, have no problems."""
    assert check_inputs(folder, facts_of(folder), [["f0.fits", "f1.fits"], ["f1.fits", "f2.fits"]], room=folder) == ()


def test_no_frames(tmp_path):
    """A dataset without frames is refused before any other problem."""
    assert the_problem(tmp_path, facts_of(tmp_path), None).startswith("Expected frames in the dataset night")


def test_require_raises_every_problem(folder):
    """All problems are raised together, so that the user can correct them together."""
    facts = with_frame(facts_of(folder), 1, wcs={})
    with pytest.raises(InputError) as caught:
        require_inputs(folder, facts, [["absent.fits"]])
    assert len(caught.value.messages) == 2
    assert "absent.fits" in str(caught.value)
    assert "Expected a celestial WCS in f1.fits" in str(caught.value)


def test_good_inputs_raise_nothing(folder):
    """Good inputs raise no error."""
    assert require_inputs(folder, facts_of(folder), None) is None


def test_a_plan_that_names_an_absent_frame(folder):
    """The frame and its tile are named."""
    assert the_problem(folder, facts_of(folder), [["f0.fits"], ["f1.fits", "f9.fits"]]) == (
        "Expected the plan to name frames of night, found f9.fits for tile 1, which is not there: "
        "correct the plan or add the frame."
    )


def test_a_plan_without_tiles(folder):
    """An empty plan differs from no plan, and is refused."""
    assert "an empty one" in the_problem(folder, facts_of(folder), [])


def test_a_tile_without_frames(folder):
    """An empty tile is named."""
    assert the_problem(folder, facts_of(folder), [["f0.fits"], []]).startswith("Expected frames for tile 1")


@pytest.mark.parametrize("twin", ["f0.fits", "F0.FITS"])
def test_duplicate_names(folder, twin):
    """Names that differ only in case are refused: on some systems they are one file."""
    facts = with_frame(facts_of(folder), 1, name=twin)
    (folder / twin).write_bytes((folder / "f0.fits").read_bytes())
    assert f"found f0.fits and {twin}" in the_problem(folder, facts, None)


@pytest.mark.parametrize("name", ["../f0.fits", "a/b.fits", "a\\b.fits", "..", ""])
def test_names_that_leave_the_folder(folder, name):
    """A frame's name is a plain file name."""
    messages = check_inputs(folder, with_frame(facts_of(folder), 0, name=name), None, contents=False)
    assert messages[0].render().startswith("Expected a plain file name")


def test_mixed_shapes(folder):
    """Frames of another shape are counted and named."""
    facts = with_frame(facts_of(folder), 2, shape=(9, 10))
    assert "found 1 that are not 8 x 10 (f2.fits)" in the_problem(folder, facts, None)


def test_an_absent_frame(folder):
    """A frame of the dataset that is missing in the folder is named."""
    facts = facts_of(folder)
    (folder / "f1.fits").unlink()
    assert the_problem(folder, facts, None).startswith("Expected the frame f1.fits in ")


@pytest.mark.parametrize(
    "wcs",
    [
        {},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"},
        {**WCS, "CTYPE1": "LINEAR", "CTYPE2": "LINEAR"},
        {**WCS, "CTYPE2": "GLAT-TAN"},
        {**WCS, "CD1_1": 0.0},
        {**WCS, "CD1_1": float("nan")},
    ],
)
def test_no_celestial_wcs(folder, wcs):
    """A frame without a celestial WCS is refused, because the target would move it away."""
    facts = with_frame(facts_of(folder), 0, wcs=wcs)
    assert the_problem(folder, facts, None).startswith("Expected a celestial WCS in f0.fits")


def test_a_truncated_frame(folder):
    """A file shorter than its header requires is named with both lengths."""
    path = folder / "f1.fits"
    path.write_bytes(path.read_bytes()[:2900])
    assert the_problem(folder, facts_of(folder), None) == (
        "Expected 3040 bytes in f1.fits, found 2900: the file is cut off; copy it again or leave it out."
    )


def test_a_frame_without_its_padding(folder):
    """A file that lacks only the padding after its pixels is complete."""
    path = folder / "f1.fits"
    path.write_bytes(path.read_bytes()[:3040])
    assert check_inputs(folder, facts_of(folder), None) == ()


def test_a_frame_cut_off_in_its_header(folder):
    """A file that ends within its header is unreadable."""
    (folder / "f1.fits").write_bytes((folder / "f1.fits").read_bytes()[:300])
    assert the_problem(folder, facts_of(folder), None).startswith("Expected a FITS file in f1.fits")


@pytest.mark.parametrize("data", [b"", b"not FITS at all" * 500])
def test_a_file_that_is_no_fits(folder, data):
    """A file of another format, or an empty one, is unreadable."""
    (folder / "f1.fits").write_bytes(data)
    assert the_problem(folder, facts_of(folder), None).startswith("Expected a FITS file in f1.fits")


def test_a_frame_of_nan_only(folder):
    """A frame of NaN only is refused."""
    put(folder / "f1.fits", np.full((8, 10), np.nan, dtype=np.float32))
    assert the_problem(folder, facts_of(folder), None) == (
        "Expected numbers in f1.fits, found only NaN: leave the frame out."
    )


def test_a_frame_with_one_number(folder):
    """One finite value in the last row is enough."""
    data = np.full((8, 10), np.nan, dtype=np.float32)
    data[7, 9] = 1.0
    put(folder / "f1.fits", data)
    assert check_inputs(folder, facts_of(folder), None) == ()


def test_a_file_without_an_image(folder):
    """A file with only a table is not a frame."""
    table = fits.BinTableHDU.from_columns([fits.Column("x", "J", array=np.arange(3))])
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(folder / "f1.fits", overwrite=True)
    assert (
        the_problem(folder, facts_of(folder), None)
        == "Expected an image in f1.fits, found no image HDU: leave the file out."
    )


def test_an_image_in_an_extension(folder):
    """The image may be in an extension, and compressed images are read too."""
    hdus = fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(np.ones((8, 10), dtype=np.float32))])
    hdus.writeto(folder / "f1.fits", overwrite=True)
    put(folder / "f2.fits", np.ones((8, 10), dtype=np.float32))
    assert check_inputs(folder, facts_of(folder), None) == ()


def test_contents_are_looked_at_on_request_only(folder):
    """Without ``contents`` no frame is opened."""
    (folder / "f1.fits").write_bytes(b"not FITS")
    assert check_inputs(folder, facts_of(folder), None, contents=False) == ()


def test_nothing_is_changed(folder):
    """The checks leave every file unchanged."""
    before = {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    check_inputs(folder, facts_of(folder), [["x"]], room=folder)
    assert {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()} == before


def test_room_is_estimated_from_pixels_and_files(fs):
    """Copies, caches, masks, tiles and mosaic are counted for each frame."""
    fs.create_file("/frames/a.fits", st_size=1000)
    facts = DatasetFacts("night", "user", "0" * 64, (FrameFacts("a.fits", "0", (10, 20), WCS),))
    assert room_needed(Path("/frames"), facts) == 1000 + 200 * 27


@pytest.mark.parametrize(("free", "problems"), [(7_000_000, 0), (5_000_000, 1)])
def test_too_little_room(fs, free, problems):
    """A volume without room is refused before the run; the record's folder need not exist yet."""
    fs.add_mount_point("/frames", total_size=100_000_000)
    fs.add_mount_point("/sessions", total_size=free)
    fs.create_file("/frames/a.fits", st_size=600_000)
    facts = DatasetFacts("night", "user", "0" * 64, (FrameFacts("a.fits", "0", (400, 500), WCS),))
    found = check_inputs(Path("/frames"), facts, None, room=Path("/sessions/new/record"), contents=False)
    assert len(found) == problems
    assert all("Expected 6 MB free" in m.render() and "found 5 MB" in m.render() for m in found)


def test_a_volume_that_does_not_answer(folder, monkeypatch):
    """Where the free space is unknown, no problem is reported."""

    def refuse(_path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(inputs.shutil, "disk_usage", refuse)
    assert check_inputs(folder, facts_of(folder), None, room=folder) == ()
