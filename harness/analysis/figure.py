"""The figures of a verdict: which numbers of its evidence a report shows, and how those of several runs are joined.

Each check and each row of the guard rails declares its figures; reports only write them out. Evidence is read from a file that
anybody may have edited: a value that is missing, not a number or not finite gives no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from harness.language.message import Message

Evidence = Mapping[str, Any]
Numbers = tuple[float, ...]
Take = Callable[[Evidence], Numbers | None]


class Unit(Enum):
    """What the numbers of a figure are; in brackets the numbers, in their order."""

    COUNT = auto()
    """A count, or another bare number (n)."""
    SHARE = auto()
    """A part of a whole (part, all)."""
    RATIO = auto()
    """How many times something is another thing (ratio)."""
    INTERVAL = auto()
    """A ratio with its 95 % interval (ratio, low, high, pairs of runs)."""
    PERCENT = auto()
    """A percentage (percent)."""
    SKY = auto()
    """Regions of the sky (count, pixels, square arcminutes)."""
    AREA = auto()
    """Regions of the sky of which no pixels are counted (count, square arcminutes)."""
    NEW = auto()
    """What is new, and what other runs have too (new, same)."""
    EQUAL = auto()
    """Outputs that are equal (bit by bit, but for rounding, all)."""
    FILES = auto()
    """Files of a patch (added, changed)."""
    CHANGE = auto()
    """A count without and with the patch (before, after)."""


def added(runs: Sequence[Numbers]) -> Numbers:
    """Add the numbers of several runs up, place by place."""
    return tuple(map(sum, zip(*runs, strict=True)))


def largest(runs: Sequence[Numbers]) -> Numbers:
    """Return the largest number of several runs, place by place."""
    return tuple(map(max, zip(*runs, strict=True)))


def widest(runs: Sequence[Numbers]) -> Numbers:
    """Return the interval of the run with the highest upper end, unmixed: limits of two runs make no interval."""
    return max(runs, key=lambda numbers: numbers[2])


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a verdict.

    Parameters
    ----------
    label
        What the figure counts or measures.
    unit
        What the numbers are.
    take
        Reads the numbers from the evidence of one run; ``None`` where the evidence lacks them.
    join
        Joins the numbers of several runs into those of one figure.

    """

    label: Message
    unit: Unit
    take: Take
    join: Callable[[Sequence[Numbers]], Numbers] = added


def number_in(evidence: Evidence, name: str) -> float | None:
    """Return a finite number of the evidence."""
    value = evidence.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def size_in(evidence: Evidence, name: str) -> int | None:
    """Return the length of a list or mapping of the evidence."""
    value = evidence.get(name)
    return len(value) if isinstance(value, list | tuple | Mapping) else None


def rows_in(evidence: Evidence, name: str) -> list[Evidence] | None:
    """Return a list of mappings of the evidence."""
    value = evidence.get(name)
    if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
        return None
    return list(value)


def total(entries: Iterable[Evidence], name: str) -> float | None:
    """Return the sum of a number over rows; ``None`` when one of them lacks it."""
    found = every(*(number_in(entry, name) for entry in entries))
    return None if found is None else sum(found)


def every(*found: float | None) -> Numbers | None:
    """Return the numbers; ``None`` when one of them is missing."""
    return None if None in found else tuple(n for n in found if n is not None)


def numbers(*names: str) -> Take:
    """Return a function that reads numbers of the evidence by name."""
    return lambda evidence: every(*(number_in(evidence, name) for name in names))


def sizes(*names: str) -> Take:
    """Return a function that reads the lengths of lists of the evidence by name."""
    return lambda evidence: every(*(size_in(evidence, name) for name in names))
