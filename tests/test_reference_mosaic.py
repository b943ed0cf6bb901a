"""The truth of observed frames: stars of a mosaic made straight from them, beside what the frames were drawn from."""

import json
from dataclasses import replace

import numpy as np
import pytest

from fixtures import reference_mosaic
from fixtures.datasets import Dataset, DatasetError, SyntheticSpec, build, grid
from fixtures.frames import Camera
from fixtures.reference_mosaic import truth_of, with_truth
from fixtures.sky import Sky
from harness.checks.stars import look, sky
from tests import micro

MONO = Camera(shape=(200, 260))
COLOUR = replace(MONO, bayer="GRBG", filters=(0.8, 1.0, 0.6), mirrored=True)
DENSE = Sky(83.5, 22.0, density=900.0, faintest=8000.0)


def frames_of(camera, folder):
    """Return drawn frames as if they had been observed, and what they were drawn from."""
    spec = SyntheticSpec("observed", 4, DENSE, camera, grid(camera, 2, 1, 3, overlap=0.3, seed=4))
    built = build(spec, folder / "observed")
    return Dataset(built.facts, built.folder), built.truth


@pytest.mark.parametrize("camera", [MONO, COLOUR], ids=["mono", "Bayer"])
def test_its_stars_are_those_of_the_sky(camera, tmp_path):
    """Nearly every star that stands alone is found, within a third of a pixel, on one scale of flux in both panels."""
    dataset, drawn = frames_of(camera, tmp_path)
    found = truth_of(dataset)
    assert (found.origin, found.sky, found.clouded) == ("frames", 0.0, ())
    middle = dataset.facts.frames[0]
    covered = np.ones(middle.shape, bool)
    grid_of = micro.products_of([micro.frame(0)])
    products = replace(grid_of, wcs=middle.wcs, covered=covered, depth=covered.astype("f4"), stars=found.stars)
    at = sky(drawn.stars, dataset.facts.frames, products)
    seen = look(products, at)
    known = seen.lies & at.alone
    assert known.sum() > 8
    assert (known & seen.found).sum() >= 0.9 * known.sum()
    both = known & seen.found
    assert np.median(np.hypot(seen.x - at.x, seen.y - at.y)[both]) < 0.35
    ratio = seen.flux[both] / at.stars[both, 2]
    assert 0.4 < np.median(ratio) < 1.0
    assert np.median(np.abs(ratio / np.median(ratio) - 1)) < 0.06


def test_it_is_made_once_and_again_when_frames_change(tmp_path, monkeypatch):
    """The stars are kept beside the datasets; other frames, another way of making it or a torn file make it anew."""
    dataset, _ = frames_of(MONO, tmp_path)
    first = with_truth(dataset, tmp_path / "kept")
    (kept,) = (tmp_path / "kept").glob("*.truth.json")
    made = []
    monkeypatch.setattr(reference_mosaic, "truth_of", lambda d: made.append(d) or first.truth)
    again = with_truth(dataset, tmp_path / "kept")
    assert (again.truth.stars.tolist(), made) == (first.truth.stars.tolist(), [])
    other = replace(dataset, facts=replace(dataset.facts, sha256="0" * 64))
    with_truth(other, tmp_path / "kept")
    assert json.loads(kept.read_text(encoding="utf-8"))["made_from"]["frames"] == "0" * 64
    kept.write_text("{", encoding="utf-8")
    with_truth(other, tmp_path / "kept")
    assert len(made) == 2


def test_a_lock_that_somebody_holds_is_told(tmp_path, monkeypatch):
    """Nobody waits for ever for another who makes it."""
    from filelock import FileLock

    dataset, _ = frames_of(MONO, tmp_path)
    monkeypatch.setattr(reference_mosaic, "LOCK_SECONDS", 0.05)
    (tmp_path / "kept").mkdir()
    lock = tmp_path / "kept" / ".observed.truth.lock"
    with FileLock(lock), pytest.raises(DatasetError, match=r"\.observed\.truth\.lock within 0\.05 s"):
        with_truth(dataset, tmp_path / "kept")
