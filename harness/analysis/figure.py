"""Define the figures of a verdict: which numbers of the evidence a report shows, and how several runs are joined.

Each check and each row of the guard rails declares its figures; reports only format them. Evidence is read from a file that may
have been edited: a value that is missing, not a number or not finite gives no figure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from harness.language.message import Message
from harness.record.values import is_finite

Evidence = Mapping[str, Any]
Numbers = tuple[float, ...]
Take = Callable[[Evidence], Numbers | None]


class Unit(Enum):
    """The meaning of a figure's numbers, with their order in brackets."""

    COUNT = auto()
    """A count, or another number without a unit (n)."""
    SHARE = auto()
    """A part of a whole (part, all)."""
    RATIO = auto()
    """The ratio of two quantities (ratio)."""
    INTERVAL = auto()
    """A ratio with its 95 % interval (ratio, low, high, pairs of runs)."""
    PERCENT = auto()
    """A percentage (percent)."""
    SKY = auto()
    """Regions of the sky (count, pixels, square arcminutes)."""
    AREA = auto()
    """Regions of the sky without a count of pixels (count, square arcminutes)."""
    NEW = auto()
    """Occurrences that are new, and those that other runs have too (new, same)."""
    EQUAL = auto()
    """Outputs compared (equal bit by bit, equal within rounding, all)."""
    FILES = auto()
    """Files in a patch (added, changed)."""
    CHANGE = auto()
    """A count without and with the patch (before, after)."""


def added(runs: Sequence[Numbers]) -> Numbers:
    """Add the numbers of several runs, position by position."""
    return tuple(map(sum, zip(*runs, strict=True)))


def largest(runs: Sequence[Numbers]) -> Numbers:
    """Return the largest number of several runs, position by position."""
    return tuple(map(max, zip(*runs, strict=True)))


def widest(runs: Sequence[Numbers]) -> Numbers:
    """Return the interval of the run with the highest upper end. Ends of different runs are not mixed: they are no interval."""
    return max(runs, key=lambda numbers: numbers[2])


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a verdict: what it measures, and its unit.

    Parameters
    ----------
    take
        Reads the numbers from the evidence of one run; ``None`` if the evidence does not have them.
    join
        Joins the numbers of several runs.
    more_is_better
        Whether a larger first number is better. Otherwise a smaller one is, as for holes and losses.
    short
        One or two words for a line of figures, such as "holes"; ``None`` for the label.

    """

    label: Message
    unit: Unit
    take: Take
    join: Callable[[Sequence[Numbers]], Numbers] = added
    short: Message | None = None
    more_is_better: bool = False


def significant(value: float) -> float:
    """Round a number to six significant digits for the evidence."""
    return float(f"{value:.6g}")


def number_in(evidence: Evidence, name: str) -> float | None:
    """Return a number of the evidence; ``None`` if it is missing, not a number or not finite."""
    value = evidence.get(name)
    return value if is_finite(value) else None


def size_in(evidence: Evidence, name: str) -> int | None:
    """Return the length of a list or mapping of the evidence; ``None`` if it is missing."""
    value = evidence.get(name)
    return len(value) if isinstance(value, list | tuple | Mapping) else None


def rows_in(evidence: Evidence, name: str) -> list[Evidence] | None:
    """Return a list of mappings of the evidence; ``None`` if it is missing or has other elements."""
    value = evidence.get(name)
    if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
        return None
    return list(value)


def total(entries: Iterable[Evidence], name: str) -> float | None:
    """Return the sum of a number over rows; ``None`` if a row does not have it."""
    found = every(*(number_in(entry, name) for entry in entries))
    return None if found is None else sum(found)


def every(*found: float | None) -> Numbers | None:
    """Return the numbers; ``None`` if one of them is missing."""
    return None if None in found else tuple(n for n in found if n is not None)


def numbers(*names: str) -> Take:
    """Return a function that reads numbers of the evidence by name."""
    return lambda evidence: every(*(number_in(evidence, name) for name in names))


def sizes(*names: str) -> Take:
    """Return a function that reads lengths of lists of the evidence by name."""
    return lambda evidence: every(*(size_in(evidence, name) for name in names))
