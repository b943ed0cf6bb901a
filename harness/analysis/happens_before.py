"""Find which tiles are certainly complete before each removal: the happens-before order (Lamport 1978).

An operation is ordered after a tile if a chain of these steps leads from the tile's end to the operation: steps of one thread
are in order; a tile's start comes after its submission; the collection of a future's result comes after the tile's end. A
removal that is later only by the clock is not ordered: in another run it could come first.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.phase3 import Thread, thread_of
from harness.analysis.removals import Removal
from harness.record.history import History

# The order of steps with the same time, on a coarse clock: a cause before its effects.
_RANK = {"ended": 0, "collected": 1, "removal": 2, "submitted": 3, "started": 4}


def complete_before(history: History, removals: Sequence[Removal]) -> tuple[frozenset[int], ...]:
    """Return, for each removal, the tiles whose end is ordered before it.

    Each thread has a set of tiles that are ended for certain. It passes the set on when it submits or ends a tile, and
    receives one when it starts a tile or collects its result. Sets are the bits of an integer.
    """
    points = [
        (step.t, _RANK[step.state], n, thread_of(step), step.state, step.tile)
        for n, step in enumerate(history.steps)
        if step.state in _RANK
    ]
    points += [(removal.t, _RANK["removal"], n, removal.by, "removal", n) for n, removal in enumerate(removals)]
    bits: dict[int, int] = {}
    knows: dict[Thread, int] = {}
    passed_on: dict[tuple[str, int], int] = {}
    found: dict[int, int] = {}
    for _, _, _, thread, what, tile in sorted(points, key=lambda p: p[:3]):
        known = knows.get(thread, 0)
        if what == "removal":
            found[tile] = known
        elif what == "ended":
            known |= bits.setdefault(tile, 1 << len(bits))
            passed_on["ended", tile] = known
        elif what == "submitted":
            passed_on["submitted", tile] = known
        else:
            known |= passed_on.get(("ended" if what == "collected" else "submitted", tile), 0)
        knows[thread] = known
    return tuple(frozenset(t for t, bit in bits.items() if found[n] & bit) for n in range(len(removals)))
