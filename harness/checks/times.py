"""Measure the times of Phase 3 in pairs of runs: CPU time, which other programs hardly change, and wall time, which they do.

CPU time is that of the target's processes. It is sampled some times a second and read between two samples, so it is measured only
if Phase 3 is long beside the distance of the samples around its ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.analysis.phase3 import phase_3_end, phase_3_start
from harness.record.reader import Record

CONFIDENCE = 0.95
FEWEST_PAIRS = 3
LONGEST_GAP = 0.25
"""The longest distance between two samples, as a fraction of Phase 3, with which its CPU time is read between samples."""

ONLY_SHOWN = frozenset({"reference"})
"""Kinds of targets whose wall time is shown and never judged: their runs are short, and show that the harness works."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate, the ends of its 95 % interval, and the number of points it was made from."""

    value: float
    low: float
    high: float
    points: int


def wall_seconds(record: Record) -> float | None:
    """Return the duration of Phase 3; ``None`` if its start or end was not recorded."""
    start, end = phase_3_start(record.history), phase_3_end(record.history)
    return None if start is None or end is None or end <= start else (end - start) / 1e9


def cpu_seconds(record: Record) -> float | None:
    """Return the CPU time of the target's processes in Phase 3; ``None`` if the samples are too few."""
    start, end = phase_3_start(record.history), phase_3_end(record.history)
    samples = record.history.processes
    if start is None or end is None or end <= start:
        return None
    times = np.array([sample.t for sample in samples], dtype=np.float64)
    used = np.array([sample.cpu for sample in samples], dtype=np.float64)
    for moment in (start, end):
        after = int(np.searchsorted(times, moment))
        if after in (0, len(times)) or times[after] - times[after - 1] > LONGEST_GAP * (end - start):
            return None
    first, last = np.interp([start, end], times, used).tolist()
    return last - first if last > first else None


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Interval | None:
    """Return the geometric mean of the ratios of times with the interval of Student's t; ``None`` for fewer than three."""
    if len(pairs) < FEWEST_PAIRS:
        return None
    logs = np.log([run / pair for run, pair in pairs])
    mean = float(logs.mean())
    reach = student(len(pairs) - 1) * float(logs.std(ddof=1)) / math.sqrt(len(pairs))
    return Interval(math.exp(mean), math.exp(mean - reach), math.exp(mean + reach), len(pairs))


def student(freedom: int) -> float:
    """Return the quantile of Student's t for the ends of an interval."""
    from scipy import stats  # noqa: PLC0415 -- takes half a second, and most sessions time nothing

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))
