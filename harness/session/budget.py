"""Choose the subset of the large run that fits the budget, before its start, from a small pilot run.

The estimate errs on the safe side: it scales the start of a run too, which takes the same time for every size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from harness.language.message import Message, SaidError, Value, say

if TYPE_CHECKING:  # the options import this module, and every collection of tests imports the options
    from harness.record.reader import Record

_UNITS: Mapping[str, tuple[str, float]] = {
    "s": ("seconds", 1.0),
    "min": ("seconds", 60.0),
    "h": ("seconds", 3600.0),
    "mb": ("bytes", 1e6),
    "mib": ("bytes", 2.0**20),
    "gb": ("bytes", 1e9),
    "gib": ("bytes", 2.0**30),
    "tb": ("bytes", 1e12),
    "tib": ("bytes", 2.0**40),
}
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.IGNORECASE)
# Disk space left free in addition to the estimate.
_RESERVE_BYTES = 2.0**30


class BudgetError(SaidError):
    """Raised when the text of a budget is malformed."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of all runs together: seconds, and bytes on disk at once."""

    seconds: float
    bytes: float

    def __str__(self) -> str:
        """Return the text that gives these limits."""
        return f"{self.seconds:.12g}s,{self.bytes / 2**30:.12g}GiB"


@dataclass(frozen=True, slots=True)
class Pilot:
    """The cost of a small run: seconds, peak bytes (with the copies of the frames), bytes that its record keeps."""

    frames: int
    inputs: int
    seconds: float
    peak: float
    kept: float


@dataclass(frozen=True, slots=True)
class Size:
    """A subset of the large run: frames, master tiles, inputs (frames summed over the tiles), and number of runs."""

    name: str
    frames: int
    tiles: int
    inputs: int
    runs: int

    @classmethod
    def of(cls, name: str, panels: Sequence[int], runs: int, borrowed: int) -> Self:
        """Return the size of a plan in which each tile also takes ``borrowed`` frames of the next panel."""
        count = Counter(panels)
        own = [count[panel] for panel in sorted(count)]
        return cls(name, sum(own), len(own), sum(own) + sum(min(borrowed, lent) for lent in own[1:]), runs)


@dataclass(frozen=True, slots=True)
class Choice:
    """The chosen subset (``None`` where no subset fits), and the reason in a sentence with figures."""

    name: str | None
    why: Message


def parse(text: str) -> Budget:
    """Read a budget such as ``20min,10GiB``: one time (s, min, h) and one size (MB, MiB, GB, GiB, TB, TiB).

    Raises
    ------
    BudgetError
        When the text has another form.

    """
    found: dict[str, float] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part)
        what, scale = _UNITS.get(match[2].lower(), ("", 0.0)) if match else ("", 0.0)
        if match is None or not what or what in found or float(match[1]) <= 0:
            raise _no_budget(text)
        found[what] = float(match[1]) * scale
    if set(found) != {"seconds", "bytes"}:
        raise _no_budget(text)
    return Budget(found["seconds"], found["bytes"])


def _no_budget(text: str) -> BudgetError:
    return BudgetError(
        say("expected --phase3-budget to be a time and a size, such as 20min,10GiB, found {found}", found=repr(text))
    )


def measured(record: Record) -> Pilot | None:
    """Return the cost of a run; ``None`` when it did not reach its end or was not watched."""
    tiles = [tile for tile in record.history.tiles if tile.submitted is not None]
    outputs = [sample.size for sample in record.history.disk if sample.folder == "outputs"]
    if not record.usable or record.seal is None or record.left is None or not outputs or not tiles:
        return None
    frames = record.request.dataset.frames
    # The record holds a copy of each frame during the run, at 16 bits per pixel.
    copies = sum(2 * rows * columns for rows, columns in (frame.shape for frame in frames))
    kept = sum(file.size for file in record.left if file.kind not in ("cache", "mask"))
    inputs = sum(len(tile.frames) for tile in tiles)
    return Pilot(len(frames), inputs, record.seal.seconds, float(max(outputs) + copies), float(kept))


def choose(
    sizes: Sequence[Size], pilot: Pilot | None, budget: Budget, *, free: float, usual: Budget | None = None
) -> Choice:
    """Choose the largest subset whose runs fit the budget and the free disk.

    ``sizes`` are the subsets, smallest first. ``pilot`` is the cost of a small run of the same target; ``None`` when it did not
    reach its end: then the smallest subset shows why. ``free`` are the free bytes on the disk of the session. ``usual`` is the
    default budget: it chooses among the subsets, and does not refuse the smallest, which a complete session needs.
    """
    if pilot is None:
        return Choice(sizes[0].name, say("The pilot run did not reach its end: see the record of chain-quick."))
    room = min(budget.bytes, free - _RESERVE_BYTES)
    for size in reversed(sizes):
        seconds, needed = _estimate(size, pilot)
        if seconds <= budget.seconds and needed <= room:
            why = say(
                "{name} ({frames} frames, {tiles} tiles, {runs} runs) is expected to take {minutes} min and {gib} GiB.",
                **_figures(size, pilot),
            )
            return Choice(size.name, why)
    _, needed = _estimate(sizes[0], pilot)
    if budget == usual and needed <= free - _RESERVE_BYTES:
        why = say(
            "{name} ({frames} frames, {tiles} tiles, {runs} runs), the smallest subset, is expected to take {minutes} min and"
            " {gib} GiB, more than the default budget.",
            **_figures(sizes[0], pilot),
        )
        return Choice(sizes[0].name, why)
    why = say(
        "Expected room for the smallest subset of the large run, {name} ({frames} frames, {tiles} tiles), "
        "whose {runs} runs take about {minutes} min and {gib} GiB; found a budget of {time} min and {size} "
        "GiB, and {free} GiB free, of which 1 GiB must stay free: raise --phase3-budget, free disk space, "
        "or name another disk with --phase3-dir.",
        time=_shown(budget.seconds / 60),
        size=_shown(budget.bytes / 2**30),
        free=_shown(free / 2**30),
        **_figures(sizes[0], pilot),
    )
    return Choice(None, why)


def _shown(value: float) -> Value:
    """Return minutes or GiB as people read them: with one decimal, from 100 on as a whole number."""
    return f"{value:.0f}" if value >= 100 else round(value, 1)


def _figures(size: Size, pilot: Pilot) -> dict[str, Value]:
    seconds, needed = _estimate(size, pilot)
    return {
        "name": size.name,
        "frames": size.frames,
        "tiles": size.tiles,
        "runs": size.runs,
        "minutes": _shown(seconds / 60),
        "gib": _shown(needed / 2**30),
    }


def _estimate(size: Size, pilot: Pilot) -> tuple[float, float]:
    """Return the seconds of all runs, and the peak bytes during the last run, with the records of the others."""
    more = size.frames / pilot.frames
    seconds = size.runs * pilot.seconds * max(more, size.inputs / pilot.inputs)
    return seconds, (size.runs - 1) * pilot.kept * more + pilot.peak * more
