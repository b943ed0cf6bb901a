"""Happens-before: which tiles are known to be complete at a point of a thread, whatever the clock says.

An operation is ordered after a tile when a chain of these leads from the tile's end to it: what one thread does, it does in
order; a tile's start comes after its submission; taking a future's result comes after the tile's end (Lamport 1978). A removal
that came later only by the clock came later by luck.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.phase3 import Thread, thread_of
from harness.analysis.removals import Removal
from harness.record.history import History

# At the same tick of a coarse clock an end comes before what it allows.
_RANK = {"ended": 0, "collected": 1, "removal": 2, "submitted": 3, "started": 4}


def complete_before(history: History, removals: Sequence[Removal]) -> tuple[frozenset[int], ...]:
    """Return, for each removal, the tiles whose end is ordered before it.

    Knowledge travels with the threads: each thread knows a set of ended tiles, hands it on when it submits a tile or ends
    one, and learns by starting one or by collecting its result. Sets are the bits of one integer.
    """
    points: list[tuple[int, int, int, Thread, str, int]] = []
    for n, step in enumerate(history.steps):
        if step.state in _RANK:
            points.append((step.t, _RANK[step.state], n, thread_of(step), step.state, step.tile))
    for n, removal in enumerate(removals):
        points.append((removal.t, _RANK["removal"], n, removal.by, "removal", n))
    bits: dict[int, int] = {}
    knows: dict[Thread, int] = {}
    told: dict[tuple[str, int], int] = {}
    found: dict[int, int] = {}
    for _, _, _, thread, what, tile in sorted(points, key=lambda p: p[:3]):
        known = knows.get(thread, 0)
        if what == "removal":
            found[tile] = known
        elif what == "ended":
            known |= bits.setdefault(tile, 1 << len(bits))
            told["ended", tile] = known
        elif what == "submitted":
            told["submitted", tile] = known
        else:
            known |= told.get(("ended" if what == "collected" else "submitted", tile), 0)
        knows[thread] = known
    return tuple(_tiles(found[n], bits) for n in range(len(removals)))


def _tiles(known: int, bits: Mapping[int, int]) -> frozenset[int]:
    return frozenset(tile for tile, bit in bits.items() if known & bit)
