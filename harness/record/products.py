"""Read and write the measured products of a run: masks, depth, stars and block statistics, without pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.language.message import say
from harness.record import limits
from harness.record.arrays import open_arrays
from harness.record.convert import to_json
from harness.record.values import (
    BeyondError,
    RecordError,
    check_format,
    int_or_none,
    read_json,
    require_memory,
    size_of,
    text_or_none,
    too_large,
)
from harness.record.whole import json_text, write_whole

PRODUCTS_FORMAT = "phase3-products/1"
BLOCK = 32
"""Side of the blocks by which images are measured, in pixels."""
_WRITTEN = ("mosaic", "wcs", "step", "tiles", "thumbnail", "stretch")
SOFTENING = 0.1
"""The thumbnail's stretch is asinh(x / a) / asinh(1 / a) with this a; x is 0 at the lower limit and 1 at the upper."""


@dataclass(frozen=True, slots=True)
class TileProduct:
    """A master tile on disk after the run, with the counts in its header.

    ``frames`` is ZMT_NRAW, ``aligned`` is ZMT_NALGN, ``reference`` is ZMT_REF; ``None`` if the header lacks the card. ``earlier``
    says that the run took the tile over from an earlier run; ``settings`` are the settings that its header states, by name.
    """

    path: str
    tile: int
    frames: int | None
    aligned: int | None
    reference: str | None
    earlier: bool = False
    settings: Mapping[str, str | int | float | bool] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Plane:
    """One image of a file, relative to the record: its digest, and statistics of blocks of ``BLOCK`` by ``BLOCK`` pixels.

    ``name`` is the HDU's, or ``PRIMARY``. ``shape`` has the axes as numpy orders them, ``bitpix`` the type as FITS names it.
    ``sha256`` is that of the data as they are in the file. ``count``, ``sum``, ``low`` and ``high`` have shape (channels, rows,
    columns): the number of finite values of each block, their sum, and the smallest and largest (NaN without a finite value).
    """

    name: str
    file: str
    shape: tuple[int, ...]
    bitpix: int
    sha256: str
    count: NDArray[np.uint16] = field(repr=False)
    sum: NDArray[np.float64] = field(repr=False)
    low: NDArray[np.floating[Any]] = field(repr=False)
    high: NDArray[np.floating[Any]] = field(repr=False)


@dataclass(frozen=True)
class Products:
    """The measured products of a run. Paths are relative to the record.

    Parameters
    ----------
    mosaic
        The mosaic; ``None`` if the run made no mosaic.
    wcs
        WCS cards of the *decimated* mask's grid.
    step
        Decimation in pixels: one mask element stands for ``step`` by ``step`` mosaic pixels.
    covered
        Boolean, shape (rows, columns): coverage > 0 and alpha > 0 and finite.
    depth
        Same shape: the coverage map, in the target's own unit.
    stars
        Shape (n, 3): right ascension and declination in degrees, flux in the mosaic's unit.
    constant
        Shape as ``covered``: covered elements whose pixels lie in runs of equal values, as in filled areas; ``None`` if it was
        not measured.
    planes
        The images in the mosaic's file, then those in its coverage map's file; empty if they were not measured.
    channels
        Shape (n, channels): the flux of each star in each channel of the mosaic; ``None`` if it was not measured.
    stretch
        For red, green and blue of the thumbnail: the fluxes that are black and white; empty if they were not recorded.

    """

    mosaic: str | None
    wcs: Mapping[str, str | int | float]
    step: int
    covered: NDArray[np.bool_]
    depth: NDArray[np.float32]
    stars: NDArray[np.float64]
    tiles: tuple[TileProduct, ...]
    thumbnail: str | None
    constant: NDArray[np.bool_] | None = None
    planes: tuple[Plane, ...] = ()
    channels: NDArray[np.float64] | None = None
    stretch: tuple[tuple[float, float], ...] = ()


def read_products(folder: Path) -> Products | None:
    """Read the products of a run; ``None`` if they were not measured. Raises ``RecordError`` if they can't be read."""
    path = folder / "products.json"
    if not os.path.lexists(path):
        return None
    try:
        data = read_json(path)
        check_format(path, data, PRODUCTS_FORMAT)
        with open_arrays(folder / "products.npz") as arrays:
            depth = np.asarray(arrays["depth"], dtype=np.float32)
            stars = np.asarray(arrays["stars"], dtype=np.float64).reshape(-1, 3)
            covered = _unpacked(arrays["covered"], depth, data["shape"])
            constant = _unpacked(arrays["constant"], depth, data["shape"]) if "constant" in arrays else None
            channels = _channels(arrays["channels"], len(stars)) if "channels" in arrays else None
            planes = tuple(_plane(i, plane, arrays) for i, plane in enumerate(data.get("planes", ())))
        tiles = tuple(
            TileProduct(
                str(t["path"]),
                int(t["tile"]),
                int_or_none(t["frames"]),
                int_or_none(t["aligned"]),
                text_or_none(t["reference"]),
                t.get("earlier", False) is True,
                MappingProxyType({str(k): v for k, v in dict(t.get("settings", {})).items() if _is_plain(v)}),
            )
            for t in data["tiles"]
        )
        return Products(
            mosaic=text_or_none(data["mosaic"]),
            wcs=MappingProxyType(dict(data["wcs"])),
            step=int(data["step"]),
            covered=covered,
            depth=depth,
            stars=stars,
            tiles=tiles,
            thumbnail=text_or_none(data["thumbnail"]),
            constant=constant,
            planes=planes,
            channels=channels,
            stretch=tuple((float(low), float(high)) for low, high in data.get("stretch", ())),
        )
    except RecordError:
        raise
    except Exception as error:  # a damaged archive raises errors of many libraries, MemoryError among them
        raise RecordError(
            say(
                "expected measured products in {path}, found some that can't be read ({error}): measure the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _plane(index: int, data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Plane:
    count = np.asarray(arrays[f"plane{index}_count"], dtype=np.uint16)
    total = np.asarray(arrays[f"plane{index}_sum"], dtype=np.float64)
    low, high = (np.asarray(arrays[f"plane{index}_{name}"]) for name in ("low", "high"))
    if count.ndim != 3 or any(a.shape != count.shape or a.dtype.kind != "f" for a in (total, low, high)):
        raise ValueError(f"statistics of {data['name']} with shapes {count.shape}, {total.shape}, {low.shape}")
    shape = tuple(int(n) for n in data["shape"])
    return Plane(
        str(data["name"]), str(data["file"]), shape, int(data["bitpix"]), str(data["sha256"]), count, total, low, high
    )


def _channels(values: NDArray[Any], stars: int) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 2 or len(found) != stars:
        raise ValueError(f"fluxes by channel of shape {found.shape} for {stars} stars")
    return found


def _unpacked(packed: NDArray[Any], depth: NDArray[np.float32], shape: Any) -> NDArray[np.bool_]:
    """Unpack a mask from bits. Raises ``ValueError`` if their number is wrong: missing bits would be read as holes."""
    bits = np.asarray(packed, dtype=np.uint8)
    if depth.ndim != 2 or list(depth.shape) != shape or bits.shape != (-(-depth.size // 8),):
        raise ValueError(f"masks of {depth.shape} elements and {bits.size} bytes, expected a shape of {shape}")
    return np.unpackbits(bits, count=depth.size).reshape(depth.shape).astype(np.bool_)


def write_products(folder: Path, products: Products) -> None:
    """Write ``products.npz``, then ``products.json``, without which a reader sees no products.

    Raises ``BeyondError`` for more than a reader of records takes.
    """
    arrays: dict[str, NDArray[Any]] = {
        "covered": np.packbits(products.covered),
        "depth": products.depth,
        "stars": products.stars,
    }
    if products.constant is not None:
        arrays["constant"] = np.packbits(products.constant)
    if products.channels is not None:
        arrays["channels"] = products.channels
    for i, plane in enumerate(products.planes):
        arrays |= {f"plane{i}_{name}": getattr(plane, name) for name in ("count", "sum", "low", "high")}
    data = {
        "format": PRODUCTS_FORMAT,
        "shape": products.covered.shape,
        **{name: to_json(getattr(products, name)) for name in _WRITTEN},
        "planes": [
            {name: getattr(plane, name) for name in ("name", "file", "shape", "bitpix", "sha256")}
            for plane in products.planes
        ],
    }
    text = json_text(data, allow_nan=True)
    _require_readable(len(arrays), sum(array.nbytes for array in arrays.values()), text)
    write_whole(folder / "products.npz", lambda stream: np.savez_compressed(stream, allow_pickle=False, **arrays))
    write_whole(folder / "products.json", text)


def _require_readable(count: int, size: int, text: str) -> None:
    """Refuse products that `read_products` would refuse."""
    if count > limits.ARRAYS or size > limits.ARCHIVE_BYTES:
        raise BeyondError(
            say(
                "expected products of at most {most} arrays and {room}, found {count} and {size}: fewer or smaller images",
                most=limits.ARRAYS,
                room=size_of(limits.ARCHIVE_BYTES),
                count=count,
                size=size_of(size),
            )
        )
    if len(text) > limits.JSON_BYTES:
        raise too_large(Path("products.json"), len(text), limits.JSON_BYTES)
    require_memory(text.encode("utf-8", "surrogatepass"), limits.JSON_MEMORY, "products.json")
