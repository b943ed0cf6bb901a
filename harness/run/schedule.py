"""Compute schedules that make a rare order of events certain, from the plan alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from harness.record.request import Hold

# A hold that can't be met ends at once, so this limit only concerns slow tiles. It is below the default time limit of a run.
LONGEST_HOLD = 240.0


def lender_first(plan: Sequence[Sequence[str]] | None, seconds: float = LONGEST_HOLD) -> tuple[Hold, ...]:
    """Return the hold that makes naive deletion lose a tile: the victim waits until a tile with its frames is released.

    The victim is the planned tile that shares the largest part of its frames with one earlier tile, the lender. Among equals it
    is the last such tile, with the nearest lender. In a chain plan this is the last tile: the tile before it has all its frames,
    so a deletion that counts no references leaves the victim no cache.

    A target that submits tiles in plan order can always meet the hold, with any number of workers: the lender comes first, so it
    is made or in progress when the victim starts, and the first tile is never held. ZeMosaic's default settings submit tiles
    from the centre outwards, and other tiles wait up to a minute for the first one, the anchor. A victim that is the anchor costs
    that minute, and with one worker its hold can't be met. The probe reports that at once, and the run concludes nothing. In
    every case the hold ends after ``seconds``.

    There is no hold when no two tiles share a frame, or the target makes its own groups (``plan`` is ``None``).
    """
    groups = [frozenset(group) for group in plan or ()]
    shares = [
        (len(groups[lender] & groups[victim]) / len(groups[victim]), victim, lender)
        for lender, victim in combinations(range(len(groups)), 2)
        if groups[lender] & groups[victim]
    ]
    if not shares:
        return ()
    _, victim, lender = max(shares)
    return (Hold(group=victim, until_released=lender, seconds=seconds),)
