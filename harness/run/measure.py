"""Measure the products of a run, so that its record can be judged without pixels.

Writes ``products.json``, ``products.npz`` and ``thumbnail.png`` (``docs/protocol.md``): coverage, depth, stars with positions and
fluxes, constant areas, the digest and block statistics of each image, and the headers of the kept tiles. Files are read in strips
of rows, so memory is bounded by a strip, the decimated masks and the block statistics, not by the mosaic.
"""

from __future__ import annotations

import hashlib
import math
import re
import struct
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from astropy.visualization import AsinhStretch, AsymmetricPercentileInterval
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from harness.analysis.footprint import sky_of
from harness.analysis.headers import UNPARSABLE, value_of
from harness.analysis.made import Origin
from harness.analysis.wcs import Cards, FootprintError, wcs_cards, wcs_of
from harness.record import limits, safe
from harness.record.extent import files_below
from harness.record.fits_file import require_fits
from harness.record.products import BLOCK, SOFTENING, Plane, Products, TileProduct, write_products
from harness.record.request import Request
from harness.record.values import RecordError, open_regular
from harness.record.whole import write_whole
from harness.run.star_finder import TINY, Pixels, brightest_stars, strips

MASK_PIXELS = 25_000_000
"""Masks are decimated until they have no more elements than this."""

RUN = 7
"""Successive equal pixels of a row or column, in every channel, that count as constant; noise makes no such sequence."""

_ROUNDING = 8 * float(np.finfo(np.float32).eps)  # relative; interpolation and shifts change a constant by this much
_THUMBNAIL = 900  # pixels, the longer side

_BASE = re.compile(r"(zemosaic_MT\d+_R\d+|mosaic_grid)(_[\w-]+)?")
_TILES = ("master_tile_*.fits", "sds_tile_*.fits", "tiles/tile_*.fits")
# The settings that the header of a master tile states.
_SETTINGS = {
    "ZMT_NORM": "stacking_normalize_method",
    "ZMT_WGHT": "stacking_weighting_method",
    "ZMT_REJ": "stacking_rejection_algorithm",
    "ZMT_KAPLO": "stacking_kappa_low",
    "ZMT_KAPHI": "stacking_kappa_high",
    "ZMT_COMB": "stacking_final_combine_method",
    "ZMT_RADW": "apply_radial_weight",
}
_ALL = Origin()
_SAME_RUN = 60.0  # seconds between two mosaics of one run, which are written one after the other
_BROKEN = (OSError, EOFError, MemoryError, RecursionError, struct.error, zlib.error, *UNPARSABLE)


_T = TypeVar("_T", bound=np.generic)
_F = TypeVar("_F", np.float32, np.float64)


class MeasureError(ValueError):
    """Raised when the mosaic or the coverage of a run can't be measured."""


def measure(folder: Path, request: Request, origin: Origin = _ALL) -> None:
    """Measure the products in ``folder/outputs`` and write the results to ``folder``.

    The mosaic is the file that the run reported as saved. If it reported none, it is the newest file with the name of a mosaic of
    the request's mode, and of two products of one run the data product (``_science``); previews and display products are
    ignored. Files of earlier runs are never measured, except tiles that the run took over.
    A pixel is covered when its coverage is positive, its alpha (where the file has an ``ALPHA``) is positive, and a channel
    is finite. Without a coverage map the depth is NaN; without alpha as well, an all-zero pixel is not covered. A mosaic of more
    than ``MASK_PIXELS`` is decimated: an element is covered only if *all* its pixels are, and its depth is their minimum, so
    no hole is hidden.

    The products of a run without a mosaic are empty masks and the tiles that it left.

    Raises
    ------
    MeasureError
        When the mosaic or its coverage is not a readable FITS file, or their shapes differ.
    OSError
        When the products can't be written.

    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # numpy's warnings on odd pixels
            _measure(folder, request, origin)
    except (MeasureError, OSError):
        raise
    except _BROKEN as error:
        raise MeasureError(
            f"expected products that can be measured in outputs, found {type(error).__name__}: {error}: run it again"
        ) from error


def _measure(folder: Path, request: Request, origin: Origin) -> None:
    until = _deadline()
    mosaic, coverage = _find(folder / "outputs", request, origin)
    if mosaic is None:
        no_mask = np.zeros((0, 0), np.bool_)
        products = Products(None, {}, 1, no_mask, np.zeros((0, 0), np.float32), np.zeros((0, 3)), (), None, no_mask)
    else:
        with _open(mosaic, coverage, until) as source:
            products = _measured(source, folder)
    write_products(folder, replace(products, tiles=tuple(_tiles(folder, origin, until))))


def _deadline() -> float:
    return time.monotonic() + limits.MEASURE_SECONDS


def _require_time(until: float, path: Path) -> None:
    if time.monotonic() > until:
        raise MeasureError(
            f"expected to measure the products within {limits.MEASURE_SECONDS:g} s, found it takes longer (at {path.name}): "
            "run it again"
        )


def decimated_cards(cards: Cards, step: int) -> Cards:
    """Return the WCS cards of a grid whose pixels are blocks of ``step`` by ``step`` pixels, the first at the first corner."""
    if step == 1 or not cards:
        return dict(cards)
    made = {**cards}
    for axis in (1, 2):
        made[f"CRPIX{axis}"] = (float(cards.get(f"CRPIX{axis}", 0.0)) - 0.5) / step + 0.5
    # A header may state its scale twice. Each statement is changed, so that the reader's choice between them does not matter.
    scales = [name for name in cards if re.fullmatch(r"CD[12]_[12]|CD00[12]00[12]", name)]
    turns = [name for name in cards if re.fullmatch(r"PC[12]_[12]|PC00[12]00[12]", name)]
    if turns or (not scales and "PV1_1" in cards and "CROTA2" not in cards):
        # PC is scaled, not CDELT: wcslib applies the polynomials of TPV between the two.
        diagonal = [n for n in ("PC1_1", "PC2_2") if n not in cards and f"PC00{n[2]}00{n[2]}" not in cards]
        made |= {name: float(step) for name in diagonal}
        scales += turns
    else:
        made |= {name: cards.get(name, 1.0) for name in ("CDELT1", "CDELT2")}
        scales += ["CDELT1", "CDELT2"]
    for name in scales:
        made[name] = float(made[name]) * step
    for name in cards:  # distortion polynomials map pixels to pixels
        if powers := re.fullmatch(r"(?:A|B|AP|BP)_(\d+)_(\d+)", name):
            made[name] = float(cards[name]) * float(step) ** (int(powers[1]) + int(powers[2]) - 1)
    return made


class _Plane:
    """One image of a FITS file, read in rows through ``section``: scaled, and never whole."""

    def __init__(self, path: Path, hdu: Any, until: float) -> None:
        shape = tuple(int(n) for n in hdu.shape)
        if len(shape) == 2:
            self.channels_last, self.shape = False, shape
        elif len(shape) == 3 and shape[0] <= 4:
            self.channels_last, self.shape = False, shape[1:]
        elif len(shape) == 3 and shape[2] <= 4:
            self.channels_last, self.shape = True, shape[:2]
        else:
            raise MeasureError(
                f"expected an image of one to four channels in {path.name}, found shape {shape}: run it again"
            )
        # Looked at in the header before. This is what the library understood.
        if math.prod(self.shape) > limits.PIXELS or max(self.shape) > limits.SIDE:
            raise MeasureError(
                f"expected an image within the limits of the harness in {path.name}, found {shape} pixels: run it again"
            )
        size = math.prod(shape) * abs(int(hdu.header["BITPIX"])) // 8
        if not isinstance(hdu, fits.CompImageHDU) and size > path.stat().st_size:
            raise MeasureError(
                f"expected {size} bytes of pixels in {path.name}, found a file of {path.stat().st_size}: run it again"
            )
        self.path, self.hdu, self.flat = path, hdu, len(shape) == 2
        self._until = until

    def rows(self, start: int, stop: int, dtype: type[_F] = np.float32) -> NDArray[_F]:  # type: ignore[assignment]
        """Return rows as native float32 or float64, shape (channels, rows, columns)."""
        _require_time(self._until, self.path)
        rows = slice(start, stop)
        section = self.hdu.section
        try:
            values = (
                section[rows, :][None]
                if self.flat
                else section[rows, :, :]
                if self.channels_last
                else section[:, rows, :]
            )
        except Exception as error:  # its decoders raise a class of their own, which astropy does not export
            raise _unreadable(self.path, error) from error
        if self.channels_last:
            values = np.moveaxis(values, -1, 0)
        return np.ascontiguousarray(values, dtype=dtype)


@dataclass(frozen=True)
class _Source:
    """An open mosaic with its coverage."""

    image: _Plane
    alpha: _Plane | None
    coverage: _Plane | None
    wcs: Cards
    planes: tuple[tuple[str, _Plane], ...]

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.image.shape
        return rows, columns

    def pixels(self, start: int, stop: int) -> Pixels:
        """Return some rows: pixels (channels, rows, columns), and whether each is covered."""
        pixels, covered, _ = self.strip(start, stop)
        return pixels, covered

    def strip(self, start: int, stop: int) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.float32]]:
        """Return some rows: pixels (channels, rows, columns), whether each is covered, and its depth."""
        pixels = self.image.rows(start, stop)
        covered: NDArray[np.bool_] = np.asarray(np.isfinite(pixels).any(axis=0))
        depth: NDArray[np.float32] = np.full(covered.shape, np.nan, dtype=np.float32)
        if self.alpha is not None:
            covered &= self.alpha.rows(start, stop)[0] > 0
        if self.coverage is not None:
            depth = np.asarray(np.nan_to_num(self.coverage.rows(start, stop)[0], nan=0.0))
            covered &= np.asarray(depth > 0)
        elif self.alpha is None:
            covered &= (pixels != 0).any(axis=0)
        return pixels, covered, depth


def _find(outputs: Path, request: Request, origin: Origin) -> tuple[Path | None, Path | None]:
    """Return the data product among the mosaics of the run, and its coverage map."""
    files = {
        path.name: path
        for path in sorted(outputs.glob("*.fits"))
        if _is_there(outputs, path) and f"outputs/{path.name}" not in origin.older
    }
    data_suffix = data_suffix_of(request.config)
    mosaic = next((files[name] for name in origin.saved if name in files), None)
    if mosaic is None:
        mosaic = _newest(files.values(), data_suffix, grid=request.mode == "grid")
    if mosaic is None:
        return None, None
    named = _BASE.fullmatch(mosaic.stem)
    stems = (mosaic.stem, mosaic.stem.removesuffix(data_suffix), named[1] if named else mosaic.stem)
    return mosaic, next((files[name] for stem in stems if (name := f"{stem}_coverage.fits") in files), None)


def _is_there(outputs: Path, path: Path) -> bool:
    """Return whether a product is a file. In a record a link is none: it shows a file that the run did not make.

    A hard link may show one, too. In a user's own folder, to which the record has a link, links are the user's.
    """
    return path.is_file() and (outputs.is_symlink() or (safe.is_plain(outputs, path) and path.lstat().st_nlink == 1))


def _has_links(path: Path) -> bool:
    """Return whether a file may be a link: it is in a user's own folder, to which the record has a link."""
    return any(place.name == "outputs" and place.is_symlink() for place in path.parents)


def data_suffix_of(config: Mapping[str, Any]) -> str:
    """Return the suffix of the data product, cleaned as ZeMosaic cleans its setting ``scientific_fits_suffix``."""
    asked = str(config.get("scientific_fits_suffix") or "").strip() or "_science"
    asked = asked if asked.startswith("_") else f"_{asked}"
    return "".join(letter for letter in asked if letter.isalnum() or letter in "_-") or "_science"


def _newest(files: Iterable[Path], data_suffix: str, *, grid: bool) -> Path | None:
    """Return the newest mosaic by its file's time, of the requested mode if there is one."""
    candidates = []
    for path in files:
        named = _BASE.fullmatch(path.stem)
        if named is None or (named[2] or "").endswith("_coverage"):
            continue
        base, suffix = named.groups()
        is_data = suffix == data_suffix or (suffix is not None and value_of(_header(path), "ZMROLE") == "SCI")
        if suffix is None or is_data:
            candidates.append(((base == "mosaic_grid") == grid, path.stat().st_mtime, is_data, path))
    if not candidates:
        return None
    meant = max(candidate[0] for candidate in candidates)
    last = max(when for fits_mode, when, *_ in candidates if fits_mode == meant)
    # The two products of one run have nearly one time. An older one is of an earlier run.
    near = [c for c in candidates if c[0] == meant and c[1] >= last - _SAME_RUN]
    return max(near, key=lambda c: (c[2], c[1], c[3].stem))[3]


@contextmanager
def _open(mosaic: Path, coverage: Path | None, until: float) -> Iterator[_Source]:
    """Open a mosaic and its coverage. Warnings about odd but readable FITS are suppressed."""
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore", AstropyWarning)
        images = _images(mosaic, stack, until)
        alpha = next((plane for name, plane in images if name == "ALPHA"), None)
        image = next((plane for name, plane in images if name not in {"ALPHA", "WEIGHT"}), None)
        if image is None:
            raise MeasureError(f"expected an image in {mosaic.name}, found no image HDU: run it again")
        depth, maps = None, []
        if coverage is not None:
            maps = _images(coverage, stack, until)
            if not maps:
                raise MeasureError(f"expected an image in {coverage.name}, found no image HDU: run it again")
            depth = maps[0][1]
        for other in (alpha, depth):
            if other is not None and other.shape != image.shape:
                raise MeasureError(
                    f"expected {other.path.name} to have the mosaic's shape {image.shape}, found {other.shape}: run it again"
                )
        yield _Source(image, alpha, depth, _celestial(mosaic, image.hdu.header), (*images, *maps))


@contextmanager
def open_images(path: Path) -> Iterator[list[tuple[str, _Plane]]]:
    """Open the images of a FITS file, with their names, to read their values by rows.

    Raises ``MeasureError`` when it is not a FITS file that can be read, or an image has another number of channels.
    """
    with warnings.catch_warnings(), ExitStack() as stack:
        warnings.simplefilter("ignore", AstropyWarning)
        yield _images(path, stack, _deadline())


def _images(path: Path, stack: ExitStack, until: float) -> list[tuple[str, _Plane]]:
    """Open a FITS file and return its images with their names."""
    try:
        links = _has_links(path)
        require_fits(path, links=links)
        # A stream, because astropy leaves a file open that it can't read.
        stream = stack.enter_context(open_regular(path, limits.HASHED_BYTES, links=links))
        hdus = stack.enter_context(fits.open(stream, memmap=False, lazy_load_hdus=False))
        return [
            (str(hdu.name).upper(), _Plane(path, hdu, until)) for hdu in hdus if hdu.is_image and len(hdu.shape) >= 2
        ]
    except MeasureError:
        raise
    except RecordError as error:
        raise MeasureError(f"{error}; run it again") from error
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> MeasureError:
    return MeasureError(
        f"expected a FITS file that can be read in {path.name}, found {type(error).__name__}: {error}: run it again"
    )


def _celestial(path: Path, header: fits.Header) -> Cards:
    """Return the checked celestial WCS cards of a mosaic; without them masks could not be compared on the sky."""
    cards = wcs_cards(header)
    try:
        wcs_of(cards)
    except FootprintError as error:
        raise MeasureError(
            f"expected a celestial WCS in {path.name}, found header cards that don't place it ({error}): run it again"
        ) from error
    return cards


def _measured(source: _Source, folder: Path) -> Products:
    """Return the products of a mosaic, without the kept tiles, and write its thumbnail."""
    rows, columns = source.shape
    step = _step(rows, columns)
    # A multiple of the step, so that strips of whole blocks of both are not high.
    reduction = math.ceil(max(rows, columns, 1) / _THUMBNAIL / step) * step
    masks, depths, flat, small = [], [], [], []
    for start, stop in strips(rows, columns, math.lcm(step, reduction)):
        above, below = min(RUN - 1, start), min(RUN - 1, rows - stop)
        wide = source.strip(start - above, stop + below)
        inner = slice(above, above + stop - start)
        pixels, covered, depth = wide[0][:, inner], wide[1][inner], wide[2][inner]
        flat.append(blocks(_constant(wide[0], wide[1])[inner], step, np.logical_and, fill=True))
        masks.append(blocks(covered, step, np.logical_and, fill=True))
        depths.append(blocks(depth, step, np.minimum, fill=np.inf))
        small.append(_shrunk(pixels, covered, reduction))
    if not masks:
        raise MeasureError(
            f"expected a mosaic with pixels in {source.image.path.name}, found shape {source.shape}: run it again"
        )
    # One after the other: the masks of a large mosaic are in memory twice while they are joined.
    joined_depth = _joined(depths)
    joined_mask, joined_flat = _joined(masks), _joined(flat)
    x, y, flux, *by_channel = brightest_stars(source.pixels, rows, columns).T
    picture, stretch = _picture(np.concatenate(small, axis=1))
    products = Products(
        mosaic=source.image.path.relative_to(folder).as_posix(),
        wcs=decimated_cards(source.wcs, step),
        step=step,
        covered=joined_mask,
        depth=joined_depth,
        stars=np.column_stack([*sky_of(source.wcs, x, y), flux]),
        tiles=(),
        thumbnail="thumbnail.png",
        constant=joined_flat,
        planes=tuple(_plane(name, plane, folder) for name, plane in source.planes),
        channels=np.column_stack(by_channel),
        stretch=stretch,
    )
    write_whole(folder / "thumbnail.png", lambda stream: Image.fromarray(picture, "RGBA").save(stream, format="PNG"))
    return products


def _joined(strips_of: list[NDArray[_T]]) -> NDArray[_T]:
    """Join strips of rows, and empty their list."""
    whole = np.concatenate(strips_of)
    strips_of.clear()
    return whole


def _step(rows: int, columns: int) -> int:
    """Return the smallest decimation with at most ``MASK_PIXELS`` elements."""
    step = max(1, math.floor(math.sqrt(rows * columns / MASK_PIXELS)))
    while math.ceil(rows / step) * math.ceil(columns / step) > MASK_PIXELS:
        step += 1
    return step


def blocks(values: NDArray[_T], step: int, reduce: np.ufunc, *, fill: float) -> NDArray[_T]:
    """Reduce each block of ``step`` by ``step`` elements to one; blocks at the far edges may be smaller."""
    if step == 1:
        return values
    rows, columns = values.shape
    padded = np.pad(values, ((0, -rows % step), (0, -columns % step)), constant_values=fill)
    blocks = padded.reshape(padded.shape[0] // step, step, padded.shape[1] // step, step)
    return np.asarray(reduce.reduce(blocks, axis=(1, 3)), dtype=values.dtype)


def _constant(pixels: NDArray[np.float32], covered: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels within ``RUN`` successive covered pixels of a row or column that are equal in every channel.

    Filling with a value and repeating an edge make such sequences. Values are equal within rounding, because interpolation
    returns a constant with errors in its last bits. A channel that is not finite is ignored.
    """
    found = np.zeros_like(covered)
    for axis in (0, 1):
        if covered.shape[axis] < RUN:
            continue
        equal = ndimage.minimum_filter1d(covered.view(np.uint8), RUN, axis, mode="constant", cval=0) > 0
        for channel in np.where(np.isfinite(pixels), pixels, 0):
            low = ndimage.minimum_filter1d(channel, RUN, axis)
            high = ndimage.maximum_filter1d(channel, RUN, axis)
            equal &= high - low <= _ROUNDING * np.maximum(np.abs(low), np.abs(high))
        found |= ndimage.maximum_filter1d(equal.view(np.uint8), RUN, axis, mode="constant", cval=0) > 0
    return found


def _plane(name: str, plane: _Plane, folder: Path) -> Plane:
    """Measure one image as written: the digest of its data, and statistics of its blocks."""
    parts = [block_statistics(plane.rows(start, stop, np.float64)) for start, stop in strips(*plane.shape, BLOCK)]
    count, total, low, high = (np.concatenate(each, axis=1) for each in zip(*parts, strict=True))
    bitpix = int(plane.hdu.header["BITPIX"])
    exact = np.float32 if bitpix in (8, 16, -32) else np.float64  # of low and high, which are values of the image
    return Plane(
        name=name,
        file=plane.path.relative_to(folder).as_posix(),
        shape=tuple(int(n) for n in plane.hdu.shape),
        bitpix=bitpix,
        sha256=_digest(plane),
        count=count,
        sum=total,
        low=low.astype(exact),
        high=high.astype(exact),
    )


def block_statistics(values: NDArray[np.float64]) -> tuple[NDArray[Any], ...]:
    """Return count, sum, smallest and largest of the finite values in each block of an image (channels, rows, columns)."""
    finite = np.isfinite(values)
    numbers = np.where(finite, values, np.nan)

    def each(channels: NDArray[_T], reduce: np.ufunc, fill: float) -> NDArray[_T]:
        return np.stack([blocks(channel, BLOCK, reduce, fill=fill) for channel in channels])

    return (
        each(finite.astype(np.uint16), np.add, 0),
        each(np.where(finite, values, 0), np.add, 0),
        each(numbers, np.fmin, np.nan),
        each(numbers, np.fmax, np.nan),
    )


def _digest(plane: _Plane) -> str:
    """Return the SHA-256 of an image's data as stored; of its values where they are stored compressed."""
    digest = hashlib.sha256()
    if isinstance(plane.hdu, fits.CompImageHDU):
        for start, stop in strips(*plane.shape, 1):
            digest.update(plane.rows(start, stop, np.float64).tobytes())
        return digest.hexdigest()
    size = math.prod(plane.hdu.shape) * abs(int(plane.hdu.header["BITPIX"])) // 8
    with open_regular(plane.path, limits.HASHED_BYTES, links=_has_links(plane.path)) as stream:
        stream.seek(plane.hdu.fileinfo()["datLoc"])
        while size and (data := stream.read(min(size, 1 << 20))):
            digest.update(data)
            size -= len(data)
    return digest.hexdigest()


def _shrunk(pixels: NDArray[np.float32], covered: NDArray[np.bool_], step: int) -> NDArray[np.float32]:
    """Return the mean of each block's covered pixels, shape (channels, rows, columns); NaN for a block without any."""
    count = blocks(covered.astype(np.float32), step, np.add, fill=0)
    sums = [blocks(np.where(covered & np.isfinite(channel), channel, 0), step, np.add, fill=0) for channel in pixels]
    means: NDArray[np.float32] = np.divide(
        sums, count, out=np.full((len(sums), *count.shape), np.nan, np.float32), where=count > 0
    )
    return means


def _picture(means: NDArray[np.float32]) -> tuple[NDArray[np.uint8], tuple[tuple[float, float], ...]]:
    """Return the thumbnail, RGBA with the mosaic's row 0 first, and the flux that is black and white in each channel.

    Channels are stretched separately; uncovered pixels are transparent.
    """
    limits = []
    covered = np.isfinite(means).all(axis=0)
    channels = means[[0, 1, 2]] if len(means) >= 3 else means[[0, 0, 0]]
    picture = np.zeros((*covered.shape, 4), dtype=np.uint8)
    if covered.any():
        for i, channel in enumerate(channels):
            low, high = map(float, AsymmetricPercentileInterval(1, 99.7).get_limits(channel[covered]))
            limits.append((low, high))
            scaled = np.clip((channel[covered] - low) / max(high - low, TINY), 0, 1)
            picture[covered, i] = np.round(255 * AsinhStretch(SOFTENING)(scaled))
        picture[covered, 3] = 255
    return picture, tuple(limits)


def _tiles(folder: Path, origin: Origin, until: float) -> Iterator[TileProduct]:
    """Yield the headers' facts on each kept tile; of a tile with an unreadable header the counts are unknown."""
    outputs = folder / "outputs"
    there = (path for path in files_below(outputs) if any(map(path.match, _TILES)))
    paths = sorted(path for path in there if _is_there(outputs, path))
    if len(paths) > limits.TILES:
        raise MeasureError(f"expected at most {limits.TILES:,} tiles in outputs, found {len(paths):,}: run it again")
    left = limits.TILE_HEADERS_BYTES
    for path in paths:
        _require_time(until, path)
        left -= _bytes_of_header(path)
        if left < 0:
            raise MeasureError(
                f"expected at most {limits.TILE_HEADERS_BYTES / limits.MB:g} MB in the headers of the tiles, found more: "
                "run it again"
            )
        name = path.relative_to(folder).as_posix()
        if name in origin.older - origin.taken:
            continue
        header = _header(path)
        number = _whole(value_of(header, "ZMT_ID"))
        if number is None and (named := re.search(r"(\d+)$", path.stem)):
            number = int(named[1])
        if number is not None:
            reference = value_of(header, "ZMT_REF")
            yield TileProduct(
                name,
                number,
                _whole(value_of(header, "ZMT_NRAW")),
                _whole(value_of(header, "ZMT_NALGN")),
                reference if isinstance(reference, str) and reference and _is_plain(reference) else None,
                name in origin.taken,
                {name: value for card, name in _SETTINGS.items() if _is_plain(value := value_of(header, card))},
            )


def _bytes_of_header(path: Path) -> int:
    try:
        return require_fits(path, first=True, links=_has_links(path))
    except _BROKEN:
        return 0  # it is not read


def _header(path: Path) -> fits.Header:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            links = _has_links(path)
            require_fits(path, first=True, links=links)
            with open_regular(path, limits.HASHED_BYTES, links=links) as stream:
                return fits.getheader(stream, 0)
        except _BROKEN:
            return fits.Header()


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float) and len(str(value)) <= limits.CARD_TEXT


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
