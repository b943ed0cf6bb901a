"""Time the search for holes, as a ratio to one ``np.max`` over the coverage map.

``python benchmarks/bench_holes.py --mpx 4 36`` times the whole step, from a float32 coverage map and the mask of required sky to
the components on the sky. It is compared with a floor and with labelling the whole canvas. All methods alternate in one process;
figures are medians, and only their ratios are meaningful. Memory is numpy's peak beyond the inputs.
"""

from __future__ import annotations

import argparse
import statistics
import time
import tracemalloc

import numpy as np
from skimage.measure import label, regionprops_table

from harness.analysis.regions import components

WCS = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 10.0, "CRVAL2": 41.0, "CD1_1": -1e-4, "CD2_2": 1e-4}


def scene(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a coverage map with 17 holes, and the mask of required sky: all but a border."""
    rng = np.random.default_rng(0)
    coverage = rng.integers(1, 5, (side, side)).astype(np.float32)
    required = np.zeros((side, side), dtype=bool)
    border = side // 20
    required[border:-border, border:-border] = True
    size = side // 60
    for top, left in rng.integers(side // 3, 2 * side // 3, (17, 2)):
        coverage[top : top + size, left : left + size] = 0
    return coverage, required


def main() -> None:
    """Time the methods, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mpx", type=float, nargs="+", default=[4.0, 36.0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for mpx in options.mpx:
        coverage, required = scene(round((mpx * 1e6) ** 0.5))
        methods = {
            "np.max over the map (floor)": lambda c=coverage: np.max(c),
            "the mask of missing pixels alone": lambda c=coverage, p=required: p & ~(c > 0),
            "holes.components, on the box": lambda c=coverage, p=required: components(p & ~(c > 0), WCS),
            "holes.components, eroded by 8": lambda c=coverage, p=required: components(p & ~(c > 0), WCS, 1, 8),
            "scikit-image, on the whole canvas": lambda c=coverage, p=required: regionprops_table(
                label(p & ~(c > 0)), properties=("area", "bbox", "centroid")
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in methods}
        for _ in range(options.rounds):
            for name, method in methods.items():
                start = time.perf_counter()
                method()
                seconds[name].append(time.perf_counter() - start)
        floor = statistics.median(seconds["np.max over the map (floor)"])
        print(f"{mpx:g} Mpx, {options.rounds} rounds, floor {floor * 1e3:.1f} ms")
        for name, method in methods.items():
            tracemalloc.start()
            method()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            print(f"  {name:<36} {statistics.median(seconds[name]) / floor:7.1f} x  {peak / 2**20:7.0f} MiB")


if __name__ == "__main__":
    main()
