"""Time the drawing of frames' outlines against other rasterisers, and count the wrong pixels of each.

``python benchmarks/bench_footprint.py --frames 100 1000`` draws dithered, rotated frames on one grid. A pixel near the edge of
the union is wrong where it differs from ``shapely``'s answer for its centre. All methods alternate in one process; figures are
medians, and only their ratios are meaningful. Rasterisers that are not installed are left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import statistics
import time

import numpy as np
import shapely
from astropy.io import fits
from astropy.wcs import WCS
from PIL import Image, ImageDraw

from harness.analysis.footprint import outlines, pixel_of, raster
from harness.record.request import FrameFacts

SCALE = 6.6e-4


def cards(ra: float, dec: float, crpix: tuple[float, float], turn: float = 0.0) -> dict[str, str | float]:
    """Return TAN cards, rotated by degrees."""
    c, s = SCALE * math.cos(math.radians(turn)), SCALE * math.sin(math.radians(turn))
    made: dict[str, str | float] = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": ra, "CRVAL2": dec}
    return made | {"CRPIX1": crpix[0], "CRPIX2": crpix[1], "CD1_1": -c, "CD1_2": s, "CD2_1": s, "CD2_2": c}


def scene(number: int, side: int) -> tuple[list[FrameFacts], dict[str, str | float]]:
    """Return frames of 1080 by 1920 that fill most of a grid, and the grid's cards."""
    rng = np.random.default_rng(0)
    grid = cards(20.0, 50.0, (side / 2, side / 2))
    reach = 0.4 * side * SCALE
    frames = []
    for x, y, turn in zip(*rng.uniform(-reach, reach, (2, number)), rng.normal(0, 5, number), strict=True):
        wcs = cards(20.0 + x / math.cos(math.radians(50)), 50.0 + y, (960.5, 540.5), turn)
        frames.append(FrameFacts("f.fits", "", (1080, 1920), wcs))
    return frames, grid


def by_pil(polygons: list[np.ndarray], side: int) -> np.ndarray:
    """Draw polygons."""
    image = Image.new("1", (side, side))
    draw = ImageDraw.Draw(image)
    for polygon in polygons:
        draw.polygon([(float(x), float(y)) for x, y in polygon], fill=1)
    return np.asarray(image)


def by_rasterio(polygons: list[np.ndarray], side: int) -> np.ndarray:
    """Unite the polygons with shapely, then draw the union with rasterio."""
    from rasterio.features import rasterize
    from rasterio.transform import Affine

    union = shapely.union_all(shapely.polygons(np.stack(polygons)))
    return rasterize([union], (side, side), transform=Affine.translation(-0.5, -0.5)).astype(bool)


def near_the_edge(polygons: list[np.ndarray], side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x and y of pixels within three pixels of the union's edge, and whether their centres are inside."""
    rng = np.random.default_rng(1)
    union = shapely.union_all(shapely.polygons(np.stack(polygons)))
    at = shapely.line_interpolate_point(union.boundary, rng.random(200_000), normalized=True)
    x, y = np.round(shapely.get_coordinates(at) + rng.uniform(-3, 3, (200_000, 2))).astype(int).T
    on_grid = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    x, y = x[on_grid], y[on_grid]
    shapely.prepare(union)
    return x, y, shapely.contains_xy(union, x, y)


def main() -> None:
    """Time the methods, compare the results, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--side", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for number in options.frames:
        frames, grid = scene(number, options.side)
        edges = outlines(frames)
        polygons = [np.column_stack(pixel_of(grid, *edge.T)) for edge in edges]
        methods = {
            "corners: footprint.outlines": lambda f=frames: outlines(f),
            "corners: WCS(header) a frame": lambda f=frames[:100]: [
                WCS(fits.Header(list(x.wcs.items()))).calc_footprint(axes=(1920, 1080)) for x in f
            ],
            "raster: footprint.raster": lambda e=edges, g=grid: raster(e, g, (options.side, options.side)),
            "raster: PIL polygons": lambda p=polygons: by_pil(p, options.side),
        }
        if importlib.util.find_spec("rasterio"):
            methods["raster: shapely and rasterio"] = lambda p=polygons: by_rasterio(p, options.side)
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        results = {}
        for _ in range(options.rounds):
            for name, method in methods.items():
                start = time.perf_counter()
                results[name] = method()
                seconds[name].append(time.perf_counter() - start)
        x, y, exact = near_the_edge(polygons, options.side)
        print(f"{number} frames on {options.side}² pixels, {options.rounds} rounds")
        for name in methods:
            wrong = ""
            if name.startswith("raster"):
                wrong = f"{np.count_nonzero(results[name][y, x] != exact)} wrong of {exact.size} pixels near the edge"
            median = statistics.median(seconds[name]) * (max(number / 100, 1) if "a frame" in name else 1)
            print(f"  {name:<34} {median * 1e3:9.1f} ms  {wrong}")


if __name__ == "__main__":
    main()
