"""Draw small synthetic skies for the tests of the reference pipeline, independently of ``fixtures``.

Stars are Gaussians, so that an aperture contains all their flux. Every frame has its exact WCS.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SCALE = 2.0 / 3600.0  # degrees per pixel
CENTRE = (150.0, 30.0)
SHAPE = (110, 150)
SIGMA = 1.4  # pixels


@dataclass(frozen=True)
class Exposure:
    """Describe one frame: the offset of its centre from that of the field (pixels), and its properties."""

    name: str
    east: float = 0.0
    north: float = 0.0
    angle: float = 0.0
    mirrored: bool = False
    shape: tuple[int, int] = SHAPE
    level: float = 500.0
    noise: float = 3.0
    clouded: bool = False
    bayer: str = ""
    filters: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dtype: str = "float32"
    bad: tuple[tuple[int, int, float], ...] = ()
    cards: dict[str, Any] = field(default_factory=dict)


def wcs_of(exposure: Exposure) -> WCS:
    """Return the exact WCS of a frame."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [
        CENTRE[0] + exposure.east * SCALE / np.cos(np.radians(CENTRE[1])),
        CENTRE[1] + exposure.north * SCALE,
    ]
    wcs.wcs.crpix = [(exposure.shape[1] + 1) / 2, (exposure.shape[0] + 1) / 2]
    c, s = np.cos(np.radians(exposure.angle)), np.sin(np.radians(exposure.angle))
    sign = 1.0 if exposure.mirrored else -1.0
    wcs.wcs.cd = SCALE * np.array([[sign * c, s], [-sign * s, c]])
    wcs.wcs.set()
    return wcs


def stars(count: int = 60, seed: int = 1, reach: float = 260.0) -> np.ndarray:
    """Return ``count`` separated stars in a square of ``reach`` pixels: right ascension, declination (degrees), flux."""
    rng = np.random.default_rng(seed)
    found: list[np.ndarray] = []
    while len(found) < count:
        new = rng.uniform(-reach / 2, reach / 2, 2)
        if all(np.hypot(*(new - old)) > 17 for old in found):
            found.append(new)
    place = np.array(found) * SCALE
    flux = rng.uniform(6_000, 30_000, count)
    return np.column_stack([CENTRE[0] + place[:, 0] / np.cos(np.radians(CENTRE[1])), CENTRE[1] + place[:, 1], flux])


def picture(exposure: Exposure, sky: np.ndarray, seed: int) -> np.ndarray:
    """Return a frame's pixels, float64."""
    rng = np.random.default_rng(seed)
    image = np.zeros(exposure.shape)
    if not exposure.clouded and len(sky):
        x, y = wcs_of(exposure).wcs_world2pix(sky[:, 0], sky[:, 1], 0)
        rows, columns = np.mgrid[: exposure.shape[0], : exposure.shape[1]]
        for xi, yi, flux in zip(x, y, sky[:, 2], strict=True):
            if -10 < xi < exposure.shape[1] + 10 and -10 < yi < exposure.shape[0] + 10:
                part = np.s_[max(0, int(yi) - 9) : int(yi) + 11, max(0, int(xi) - 9) : int(xi) + 11]
                distance = (rows[part] - yi) ** 2 + (columns[part] - xi) ** 2
                image[part] += flux / (2 * np.pi * SIGMA**2) * np.exp(-distance / (2 * SIGMA**2))
    image += exposure.level
    if exposure.bayer:
        gains = dict(zip("RGB", exposure.filters, strict=True))
        for i, colour in enumerate(exposure.bayer):
            image[i // 2 :: 2, i % 2 :: 2] *= gains[colour]
    image += rng.normal(0.0, exposure.noise, exposure.shape) if exposure.noise else 0.0
    for row, column, value in exposure.bad:
        image[row, column] = value
    return image


def write(folder: Path, exposure: Exposure, sky: np.ndarray, seed: int = 0) -> Path:
    """Write a frame as FITS and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    header = wcs_of(exposure).to_header()
    if exposure.bayer:
        header["BAYERPAT"] = exposure.bayer
    header.update(exposure.cards)
    image = picture(exposure, sky, seed)
    pixels = (
        np.clip(np.rint(image), 0, 65535).astype("uint16")
        if exposure.dtype == "uint16"
        else image.astype(exposure.dtype)
    )
    path = folder / exposure.name
    fits.writeto(path, pixels, header)
    return path


def panels(columns: int = 2, rows: int = 1, each: int = 4, overlap: float = 0.3, **common: Any) -> list[Exposure]:
    """Return dithered, slowly rotating exposures of panels named ``p<panel>_<number>.fits``."""
    rng = np.random.default_rng(5)
    found = []
    for panel in range(columns * rows):
        row, column = divmod(panel, columns)
        for number in range(each):
            exposure = Exposure(
                name=f"p{panel}_{number}.fits",
                east=(column - (columns - 1) / 2) * SHAPE[1] * (1 - overlap) + rng.uniform(-3, 3),
                north=(row - (rows - 1) / 2) * SHAPE[0] * (1 - overlap) + rng.uniform(-3, 3),
                angle=0.2 * number,
            )
            found.append(replace(exposure, **common))
    return found


def write_all(folder: Path, exposures: list[Exposure], sky: np.ndarray) -> tuple[str, ...]:
    """Write frames, each with different noise, and return their names."""
    return tuple(write(folder, exposure, sky, seed).name for seed, exposure in enumerate(exposures))


def measure(image: np.ndarray, wcs: WCS, sky: np.ndarray, radius: float = 6.0) -> np.ndarray:
    """Return the flux ratio and the distance (pixels) to the truth of every star that is entirely on the image."""
    found = []
    x, y = wcs.all_world2pix(sky[:, 0], sky[:, 1], 0)
    reach = 9
    for xi, yi, flux in zip(x, y, sky[:, 2], strict=True):
        column, row = round(float(xi)), round(float(yi))
        if not (reach <= row < image.shape[0] - reach and reach <= column < image.shape[1] - reach):
            continue
        cut = image[row - reach : row + reach + 1, column - reach : column + reach + 1].astype(float)
        if not np.isfinite(cut).all():
            continue
        dy, dx = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        dy, dx = dy + row - yi, dx + column - xi
        distance = np.hypot(dx, dy)
        light = cut - np.median(cut[distance > 7.5])
        weight = light * np.exp(-(distance**2) / (2 * SIGMA**2))
        shift = 2 * np.array([(weight * dx).sum(), (weight * dy).sum()]) / weight.sum()
        found.append((light[distance <= radius].sum() / flux, np.hypot(*shift)))
    return np.array(found)


def assert_like_the_truth(mosaic: Path, sky: np.ndarray) -> None:
    """Assert that stars agree with the truth: medians within 2 % of flux and 0.1 px, each within 5 % and 0.3 px."""
    image, header = fits.getdata(mosaic, header=True)
    found = measure(image[0], WCS(header, naxis=2), sky)
    assert len(found) > 25
    assert abs(np.median(found[:, 0]) - 1) <= 0.02
    assert np.median(found[:, 1]) < 0.1
    assert np.abs(found[:, 0] - 1).max() < 0.05
    assert found[:, 1].max() < 0.3


class Events:
    """Keep the events of a run, as its progress callback."""

    def __init__(self) -> None:
        self.all: list[tuple[str, float | None, str | int, dict[str, object]]] = []

    def __call__(self, key: str, progress: float | None = None, level: str | int = "INFO", /, **fields: object) -> None:
        """Append an event."""
        self.all.append((key, progress, level, fields))

    def named(self, key: str) -> list[dict[str, object]]:
        """Return the fields of every event of that name."""
        return [fields for found, _, _, fields in self.all if found == key]

    @property
    def keys(self) -> list[str]:
        """Names of the events, without the progress of stages, in order."""
        return [key for key, _, level, _ in self.all if isinstance(level, str)]
