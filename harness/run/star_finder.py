"""Find the brightest stars of an image that is read in strips of rows, and measure their fluxes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import numpy as np
from astropy.utils.exceptions import AstropyWarning
from numpy.typing import NDArray
from photutils.aperture import CircularAperture, aperture_photometry
from photutils.background import Background2D, BkgZoomInterpolator
from photutils.detection import DAOStarFinder

STARS = 2000
"""How many of the brightest stars are kept."""

_STRIP_PIXELS = 1 << 20
# Stars are looked for in larger parts, because the background is measured in each by itself. An image of more than the first
# number of pixels is searched in strips of the second, and these in parts of a width, which bounds the memory of the search.
_WHOLE_PIXELS, _STAR_PIXELS = 1 << 22, 1 << 21
_WIDEST = 8192
# The kernel has the width of a star in small telescopes' pixels. The aperture holds most of a star's light and is the same
# in every run; otherwise fluxes would not compare between runs.
_FWHM = 3.0
_SIGMAS = 5.0
_APERTURE = 5.0
_MESH = 64
_RING = (8, 13)  # inner and outer radius of the ring that gives the level around a star, in pixels
_OVERLAP = 64  # rows that two strips share, so that each star lies whole in one of them

TINY = float(np.finfo(np.float32).tiny)
"""The smallest positive number of an image, against a division by zero."""

Pixels = tuple[NDArray[np.float32], NDArray[np.bool_]]
"""Pixels (channels, rows, columns), and whether each is covered (rows, columns)."""


def strips(rows: int, columns: int, multiple: int, pixels: int = _STRIP_PIXELS) -> Iterator[tuple[int, int]]:
    """Yield start and stop row of each strip; heights are multiples of ``multiple``, except the last one's."""
    height = max(1, pixels // max(columns, 1) // multiple) * multiple
    for start in range(0, rows if columns else 0, height):
        yield start, min(start + height, rows)


def brightest_stars(pixels_of: Callable[[int, int], Pixels], rows: int, columns: int) -> NDArray[np.float64]:
    """Return x, y, flux, and the flux in each channel of the brightest stars of an image, the brightest first.

    ``pixels_of`` returns the rows from a first to a last one: pixels (channels, rows, columns), and whether each is covered.

    DAOFIND (Stetson 1987) runs on the mean of the channels, minus a background from sigma-clipped meshes, in units of the
    local noise. The flux is the sum in a circular aperture. Stars whose aperture is not fully covered are left out. The flux in a
    channel is the sum in the same aperture above the median of a ring.
    """
    found = []
    most = _WHOLE_PIXELS if rows * columns <= _WHOLE_PIXELS else _STAR_PIXELS
    for start, stop in strips(rows, columns, 1, most):
        top = max(start - _OVERLAP, 0)
        pixels, covered = pixels_of(top, min(stop + _OVERLAP, rows))
        # Where a channel is missing, the mean would jump to the other channels' level: a false edge.
        covered = covered & np.isfinite(pixels).all(axis=0)
        for left in range(0, columns, _WIDEST):
            first, right = max(left - _OVERLAP, 0), min(left + _WIDEST, columns)
            part = np.s_[first : min(right + _OVERLAP, columns)]
            stars = _stars_of(pixels[:, :, part], covered[:, part])
            stars[:, 0] += first
            stars[:, 1] += top
            own = (stars[:, 1] >= start - 0.5) & (stars[:, 1] < stop - 0.5)
            found.append(stars[own & (stars[:, 0] >= left - 0.5) & (stars[:, 0] < right - 0.5)])
    stars = np.concatenate(found)
    return stars[np.lexsort((stars[:, 0], stars[:, 1], -stars[:, 2]))[:STARS]]


def _stars_of(pixels: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return x, y, flux, and the flux in each channel of the stars in a part of an image."""
    luminance = np.where(covered, pixels, 0).mean(axis=0, dtype=np.float64)
    stars = detected(luminance, covered)
    return np.column_stack([stars, *(_fluxes(channel, covered, stars) for channel in pixels)])


def _fluxes(
    channel: NDArray[np.float32], covered: NDArray[np.bool_], stars: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the flux of each star in one channel, above the median of the covered pixels in a ring around it."""
    if not len(stars):
        return np.empty(0)
    dy, dx = np.mgrid[-_RING[1] : _RING[1] + 1, -_RING[1] : _RING[1] + 1]
    ring = (np.hypot(dx, dy) >= _RING[0]) & (np.hypot(dx, dy) <= _RING[1])
    y, x = (np.rint(stars[:, n, None]).astype(np.int64) + d[ring] for n, d in ((1, dy), (0, dx)))
    rows, columns = covered.shape
    inside = (x >= 0) & (x < columns) & (y >= 0) & (y < rows)
    y, x = np.clip(y, 0, rows - 1), np.clip(x, 0, columns - 1)
    around = np.where(inside & covered[y, x], channel[y, x], np.nan)
    around[np.isnan(around).all(axis=1)] = 0  # a star that nothing covered surrounds
    level = np.nanmedian(around, axis=1)
    aperture = CircularAperture(stars[:, :2], _APERTURE)
    sums = aperture_photometry(np.where(covered, channel, 0).astype(np.float64), aperture)["aperture_sum"]
    return np.asarray(sums - level.astype(np.float64) * aperture.area)


def detected(luminance: NDArray[np.float64], covered: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return x and y (pixels) and flux (the image's unit) of the stars in an image."""
    no_stars = np.empty((0, 3))
    if not covered.any():
        return no_stars
    missing = ~covered
    mesh = tuple(min(_MESH, n) for n in luminance.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            smooth = BkgZoomInterpolator(order=1)  # a third-order spline takes longer than everything else
            background = Background2D(
                luminance, mesh, coverage_mask=missing, exclude_percentile=90, interpolator=smooth
            )
        except ValueError:  # no mesh has enough covered pixels for a background
            return no_stars
        signal = np.where(covered, luminance - background.background, 0)
        noise = background.background_rms
        # A mosaic without noise still has stars; the floor avoids a division by zero.
        floor = max(float(np.median(noise[covered])) * 1e-3, TINY)
        finder = DAOStarFinder(_SIGMAS, _FWHM)
        table = finder(np.where(covered, signal / np.maximum(noise, floor), 0), mask=missing)
    if table is None:
        return no_stars
    positions = np.column_stack([table["x_centroid"], table["y_centroid"]]).astype(np.float64)
    aperture = CircularAperture(positions, _APERTURE)
    sums = aperture_photometry(signal, aperture)["aperture_sum"]
    lit = aperture_photometry(covered.astype(np.float64), aperture)["aperture_sum"]
    whole = (np.asarray(sums) > 0) & (np.asarray(lit) > aperture.area * (1 - 1e-9))
    found: NDArray[np.float64] = np.column_stack([positions, sums])[whole]
    return found
