"""Find which tiles are certainly complete before each removal: the happens-before order (Lamport 1978).

An operation is ordered after a tile if a chain of these steps leads from the tile's end to the operation: steps of one thread
are in order; a tile's start comes after its submission; the collection of a future's result comes after the tile's end. Where
threads hand over work or wait for each other in another way, the probe records what a thread learns by it. A removal that is
later only by the clock is not ordered: in another run it could come first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from harness.analysis.phase3 import Thread, thread_of
from harness.analysis.removals import Removal
from harness.record.history import History

# The order of steps with the same time, on a coarse clock: a cause before its effects.
_RANK = {"ended": 0, "collected": 1, "learned": 1, "removal": 2, "submitted": 3, "started": 4}


@dataclass(frozen=True, slots=True)
class Before:
    """The tiles whose end, and the marks of other removals whose end, is ordered before a removal; and its own mark, if any."""

    tiles: frozenset[int]
    marks: frozenset[int] = frozenset()
    mark: int | None = None


def complete_before(history: History, removals: Sequence[Removal]) -> tuple[frozenset[int], ...]:
    """Return, for each removal, the tiles whose end is ordered before it."""
    return tuple(before.tiles for before in order_of(history, removals))


def order_of(history: History, removals: Sequence[Removal]) -> tuple[Before, ...]:
    """Return, for each removal, what is ordered before it.

    Each thread has a set of tiles that are ended for certain. It passes the set on when it submits or ends a tile, and
    receives one when it starts a tile or collects its result, and where the probe recorded that it learned of tiles.
    """
    points: list[tuple[int, int, int, Thread, str, int]] = [
        (step.t, _RANK[step.state], n, thread_of(step), step.state, step.tile)
        for n, step in enumerate(history.own_steps)
        if step.state in _RANK
    ]
    points += [(order.t, _RANK["learned"], n, thread_of(order), "learned", n) for n, order in enumerate(history.orders)]
    points += [(removal.t, _RANK["removal"], n, removal.by, "removal", n) for n, removal in enumerate(removals)]
    knows: dict[Thread, _Known] = {}
    passed_on: dict[tuple[str, int], _Known] = {}
    marks: dict[Thread, int] = {}
    found: dict[int, Before] = {}
    for _, _, _, thread, what, number in sorted(points, key=lambda p: p[:3]):
        known = knows.get(thread, _NOTHING)
        if what == "removal":
            found[number] = Before(*known, marks.get(thread))
        elif what == "ended":
            known = _joined(known, (frozenset({number}), frozenset()))
            passed_on["ended", number] = known
        elif what == "submitted":
            passed_on["submitted", number] = known
        elif what == "learned":
            order = history.orders[number]
            if order.how == "start":  # another thread of this name and number may have ended before
                known = _NOTHING
                marks.pop(thread, None)
            known = _joined(known, (frozenset(order.tiles), frozenset(order.marks)))
            if order.mark is not None:
                marks[thread] = order.mark
                known = _joined(known, (frozenset(), frozenset({order.mark})))
        else:
            known = _joined(known, passed_on.get(("ended" if what == "collected" else "submitted", number), _NOTHING))
        knows[thread] = known
    return tuple(found[n] for n in range(len(removals)))


def unordered_threads(removals: Sequence[Removal], before: Sequence[Before]) -> tuple[Removal, Removal] | None:
    """Return two removals in turn by two threads of which the second did not wait for the first; ``None`` if all did."""
    both = sorted(zip(removals, before, strict=True), key=lambda pair: pair[0].t)
    for (first, earlier), (second, later) in pairwise(both):
        if first.by != second.by and (earlier.mark is None or earlier.mark not in later.marks):
            return first, second
    return None


_Known = tuple[frozenset[int], frozenset[int]]
_NOTHING: _Known = (frozenset(), frozenset())


def _joined(one: _Known, other: _Known) -> _Known:
    # Most hand-overs bring nothing new: then no set is copied.
    return one if other[0] <= one[0] and other[1] <= one[1] else (one[0] | other[0], one[1] | other[1])
