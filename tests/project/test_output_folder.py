"""Tests of the script that shows the effect of the output folder on a run: how it arranges frames, and what it counts."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from fixtures.datasets import SyntheticSpec, build, grid, truth_of
from fixtures.frames import Camera, Pointing, scene, wcs_cards
from fixtures.sky import Sky

SCRIPT = Path(__file__).parents[2] / "docs" / "cases" / "output_folder.py"
CAMERA = Camera(shape=(240, 320))
SKY = Sky(ra=83.5, dec=22.0, density=600.0, faintest=2500.0, nebula=0.0)
SPEC = SyntheticSpec("two", 5, SKY, CAMERA, grid(CAMERA, 2, 1, 1, overlap=0.2, seed=5))


@pytest.fixture(scope="module")
def script():
    """Yield the script as a module; its dataclasses need it in ``sys.modules``."""
    spec = importlib.util.spec_from_file_location("output_folder", SCRIPT)
    module = sys.modules["output_folder"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules["output_folder"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Return two panels of one frame."""
    return build(SPEC, tmp_path_factory.mktemp("output_folder") / "two")


def names(folder):
    """Return the frames in a folder and its subfolders."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.fits"))


def test_frames_of_two_nights_have_the_same_names(script, dataset, tmp_path):
    """With folders, each panel has its own folder and equal file names. The number of panels can be limited."""
    script.lay_out(script.FolderCase("two", 2, folders=True), dataset.folder, tmp_path / "apart")
    script.lay_out(script.FolderCase("two", 1, folders=False), dataset.folder, tmp_path / "flat")
    assert names(tmp_path / "apart") == ["night0_lights/light_000.fits", "night1_lights/light_000.fits"]
    assert names(tmp_path / "flat") == ["Light p0_000.fits"]


@pytest.mark.parametrize("clouded", [False, True])
def test_stars_are_counted_where_they_should_be(script, dataset, tmp_path, clouded):
    """In an image of the sky all stars of each panel are found, in a clouded image none."""
    wide = Camera(shape=(300, 640))
    pointing = Pointing(0, 0, 0.0, 0.0, clouded=clouded)
    image = scene(SKY, wide, pointing, truth_of(SPEC).stars, ())
    image = image + np.random.default_rng(1).normal(0.0, 10.0, image.shape)
    header = fits.Header(list(wcs_cards(SKY, wide, pointing).items()))
    fits.PrimaryHDU(np.stack([image] * 3), header).writeto(tmp_path / "mosaic.fits")
    found = [tuple(map(int, text.split("/"))) for text in script.stars_by_panel(tmp_path / "mosaic.fits", dataset, 2)]
    assert [of for _, of in found] == [of for _, of in found if of > 10]
    assert [seen for seen, _ in found] == ([0, 0] if clouded else [of for _, of in found])
