"""Synthetic datasets are built once, whole, the same each time, and show their truth."""

from __future__ import annotations

import itertools
import json
import threading
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from filelock import FileLock

from fixtures import bad, datasets, plans
from fixtures.datasets import SYNTHETIC, DatasetError, SyntheticSpec, Truth, build, grid, load
from fixtures.facts import FrameError, read_header
from fixtures.frames import Camera
from fixtures.sky import Sky
from harness.record import sha256_of

CAMERA = Camera(shape=(60, 80), hot_pixels=2)
SMALL = SyntheticSpec("small", 1, Sky(83.5, 22.0, density=2000.0), CAMERA, grid(CAMERA, 2, 1, 2, overlap=0.2, seed=1))


def content(folder):
    """Return the hash of every file in a folder."""
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_built_twice_it_is_the_same_bytes(tmp_path):
    """Two builds in two places are byte-identical, truth and index included."""
    first = build(SMALL, tmp_path / "one" / "small")
    second = build(SMALL, tmp_path / "deux é" / "small")
    assert content(first.folder) == content(second.folder)
    assert first.facts == second.facts
    assert len(first.facts.frames) == 4


def test_lock_that_somebody_holds_is_told(tmp_path, monkeypatch):
    """Nobody waits for ever for another who builds: the error names the lock."""
    monkeypatch.setattr(datasets, "LOCK_SECONDS", 0.05)
    with FileLock(tmp_path / ".small.lock"), pytest.raises(DatasetError, match=r"\.small\.lock within 0\.05 s"):
        build(SMALL, tmp_path / "small")


def test_facts_are_those_of_the_files(tmp_path):
    """Names, hashes, shapes, panels and WCS cards are what the files hold."""
    built = build(SMALL, tmp_path / "small")
    assert [f.name for f in built.facts.frames] == sorted(p.name for p in SMALL.pointings)
    for facts in built.facts.frames:
        assert facts.sha256 == sha256_of(built.folder / facts.name)
        header = fits.getheader(built.folder / facts.name)
        assert facts.shape == (60, 80)
        assert facts.panel == header["PANEL"] == int(facts.name[7])
        assert facts.wcs["CRVAL1"] == header["CRVAL1"]
        assert set(facts.wcs) >= {"CTYPE1", "CTYPE2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2"}


def test_a_whole_dataset_is_reused(tmp_path):
    """A folder that holds this dataset is read, not written again."""
    first = build(SMALL, tmp_path / "small")
    times = {p.name: p.stat().st_mtime_ns for p in first.folder.iterdir()}
    again = build(SMALL, tmp_path / "small")
    assert {p.name: p.stat().st_mtime_ns for p in again.folder.iterdir()} == times
    assert again.facts == first.facts


@pytest.mark.parametrize("damage", ["change", "remove", "add"])
def test_a_damaged_dataset_is_refused_and_built_again(tmp_path, damage):
    """A frame that was changed or removed, or a file that was added, is an error to read, and cured by building."""
    built = build(SMALL, tmp_path / "small")
    before = content(built.folder)
    victim = built.folder / built.facts.frames[0].name
    if damage == "change":
        victim.write_bytes(victim.read_bytes()[:-1] + b"\1")
    elif damage == "remove":
        victim.unlink()
    else:
        (built.folder / "zz.fits").write_bytes(b"SIMPLE")
    with pytest.raises(DatasetError, match="expected"):
        load(built.folder)
    assert content(build(SMALL, tmp_path / "small").folder) == before
    assert sorted(p.name for p in tmp_path.iterdir()) in (["small"], [".small.lock", "small"])


def test_another_specification_takes_the_place_of_the_old(tmp_path):
    """A folder built from another specification of the same name is replaced."""
    build(SMALL, tmp_path / "small")
    other = build(replace(SMALL, seed=2), tmp_path / "small")
    assert other.facts.sha256 != build(SMALL, tmp_path / "elsewhere").facts.sha256
    assert other.facts == load(tmp_path / "small").facts


def test_a_folder_of_somebody_elses_is_left_alone(tmp_path):
    """A folder that holds anything else is refused and stays as it is; an empty one is used."""
    mine = tmp_path / "mine"
    mine.mkdir()
    build(SMALL, mine)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "holiday.fits").write_text("precious")
    with pytest.raises(DatasetError, match="name another folder"):
        build(SMALL, theirs)
    assert content(theirs).keys() == {"holiday.fits"}
    with pytest.raises(DatasetError, match="build it first"):
        load(theirs)


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    """When drawing fails half-way, neither a folder of that name nor a temporary one stays."""
    calls = []

    def fail(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, "write_frame", fail)
    with pytest.raises(OSError, match="No space left"):
        build(SMALL, tmp_path / "small")
    assert [p.name for p in tmp_path.iterdir() if p.suffix != ".lock"] == []


def test_several_may_ask_at_once(tmp_path):
    """Threads that ask at the same time get the same dataset, drawn once."""
    found = []
    askers = [threading.Thread(target=lambda: found.append(build(SMALL, tmp_path / "small"))) for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert len(found) == 4
    assert all(dataset.facts == found[0].facts for dataset in found)


def test_the_truth_is_in_the_frames(tmp_path):
    """Aperture fluxes of isolated bright stars, at the places of the truth, are the truth's within noise."""
    spec = replace(
        SMALL, camera=Camera(hot_pixels=0), name="bright", pointings=grid(Camera(), 1, 1, 3, overlap=0, seed=3)
    )
    spec = replace(spec, sky=Sky(83.5, 22.0, density=300.0, faintest=20_000.0, brightest=60_000.0))
    built = build(spec, tmp_path / "bright")
    assert built.truth is not None
    ratios = []
    for facts in built.facts.frames:
        image = fits.getdata(built.folder / facts.name).astype(float)
        x, y = WCS(fits.Header(list(facts.wcs.items()))).wcs_world2pix(built.truth.stars[:, :2], 0).T
        rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
        for k in np.flatnonzero((x > 20) & (x < 300) & (y > 20) & (y < 220)):
            distance = np.hypot(columns - x[k], rows - y[k])
            if np.partition(np.hypot(x - x[k], y - y[k]), 1)[1] < 40:
                continue
            sky = np.median(image[(distance > 17) & (distance < 22)])
            ratios.append((image[distance < 14] - sky).sum() / built.truth.stars[k, 2])
    assert len(ratios) > 20
    assert np.median(ratios) == pytest.approx(1.0, abs=0.01)


def test_the_truth_names_the_frames_without_stars():
    """Which frames clouds hide is known; nothing else tells it from the headers."""
    assert datasets.truth_of(SYNTHETIC["natural"]).clouded == ("light_p3_000.fits",)
    assert datasets.truth_of(SYNTHETIC["grid2x2"]).clouded == ()


def test_truth_survives_its_file():
    """A truth read back from JSON is equal to the last bit; another format is refused."""
    truth = Truth(np.array([[1.1, 2.2, 1e5 / 3]]), 300.0, (0.8, 1.0, 0.6), clouded=("light_p0_000.fits",))
    again = Truth.from_json(json.loads(json.dumps(truth.to_json())))
    assert (again.stars == truth.stars).all()
    assert (again.sky, again.filters, again.origin) == (300.0, (0.8, 1.0, 0.6), "synthetic")
    assert again.clouded == ("light_p0_000.fits",)
    with pytest.raises(ValueError, match="expected a truth of format"):
        Truth.from_json({**truth.to_json(), "format": "phase3-truth/0"})


def test_panels_overlap_as_asked_and_neighbours_follow_each_other():
    """Panels step by what the overlap leaves, numbered so that each is beside the next; dithers stay small."""
    camera = Camera()
    pointings = grid(camera, 3, 2, 4, overlap=0.25, seed=9)
    width, height = 320 * camera.scale, 240 * camera.scale
    centres = [np.mean([(p.east, p.north) for p in pointings if p.panel == panel], axis=0) for panel in range(6)]
    for one, other in itertools.pairwise(centres):
        step = np.abs(other - one) / (0.75 * width, 0.75 * height)
        assert sorted(step) == pytest.approx([0.0, 1.0], abs=0.05)
    for p in pointings:
        assert np.abs(np.array([p.east, p.north]) - centres[p.panel]).max() < 9 * camera.scale
    assert len({p.angle for p in pointings}) == 4


def test_the_named_datasets_are_what_scenarios_need():
    """Panels, frames, shapes, sensors and clouds of the named datasets; a seed and a name of its own each."""
    found = {
        name: (len({p.panel for p in s.pointings}), len(s.pointings), s.camera.shape) for name, s in SYNTHETIC.items()
    }
    assert found == {
        "grid2x2": (4, 32, (240, 320)),
        "chain3x2": (6, 36, (240, 320)),
        "chain3x1": (3, 18, (240, 320)),
        "natural": (4, 32, (240, 320)),
        "bayer2x1": (2, 16, (384, 288)),
        "gui": (1, 26, (240, 320)),
        "stress": (40, 200, (96, 128)),
        "stress-12": (12, 96, (240, 320)),
        "stress-20": (20, 160, (240, 320)),
        "stress-40": (40, 200, (240, 320)),
    }
    clouded = [p for p in SYNTHETIC["natural"].pointings if p.clouded]
    panel = sorted(p.name for p in SYNTHETIC["natural"].pointings if p.panel == clouded[0].panel)
    assert [p.name for p in clouded] == panel[:1]
    seestar = SYNTHETIC["bayer2x1"].camera
    assert (seestar.bayer, seestar.mirrored, "Seestar" in seestar.instrument) == ("GRBG", True, True)
    assert len({s.seed for s in SYNTHETIC.values()}) == len(SYNTHETIC)
    assert all(name == s.name for name, s in SYNTHETIC.items())


def test_the_sky_positions_of_natural_give_its_panels(tmp_path):
    """The panels of a dataset lie so far apart that clustering its frames on the sky finds them again."""
    spec = SYNTHETIC["natural"]
    first = tuple(p for p in spec.pointings if p.number < 2)
    facts = build(replace(spec, pointings=first), tmp_path / "natural").facts
    pairs = set(zip(plans.cluster(facts.frames), (f.panel for f in facts.frames), strict=True))
    assert len(pairs) == len({found for found, _ in pairs}) == len({panel for _, panel in pairs}) == 4


@pytest.mark.parametrize(
    ("name", "spoilt", "count"), [("truncated", None, 8), ("truncated", 2, 2), ("no_wcs", None, 8), ("no_wcs", 1, 1)]
)
def test_bad_frames_are_spoilt_as_said(tmp_path, name, spoilt, count):
    """As many frames as asked for are truncated, or without WCS; the others stay good."""
    built = bad.build(name, tmp_path / name, spoilt)
    assert len(built.facts.frames) == 8
    if name == "no_wcs":
        assert sum(not f.wcs for f in built.facts.frames) == count
        return
    torn = []
    for facts in built.facts.frames:
        try:
            read_header(built.folder / facts.name)
        except FrameError as error:
            assert "truncated" in str(error)  # noqa: PT017 -- which frames are torn is what is asked
            torn.append(facts.name)
    assert torn == [f.name for f in built.facts.frames][:count]


def test_bad_pixels_and_shapes(tmp_path):
    """NaN-only frames hold no number but keep their WCS; mixed shapes alternate between two."""
    blank = bad.build("nan_only", tmp_path / "nan")
    assert all(np.isnan(fits.getdata(blank.folder / f.name)).all() and f.wcs for f in blank.facts.frames)
    mixed = bad.build("mixed_shapes", tmp_path / "mixed")
    assert [f.shape for f in mixed.facts.frames] == [(90, 120), (120, 160)] * 4


def test_an_empty_folder_is_a_dataset_without_frames(tmp_path):
    """The empty set has a folder and no frames; a folder that is there is not written into."""
    empty = bad.build("empty", tmp_path / "empty")
    assert empty.facts.frames == ()
    assert list(empty.folder.iterdir()) == []
    with pytest.raises(FileExistsError, match="name another"):
        bad.build("empty", tmp_path / "empty")
