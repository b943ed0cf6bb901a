"""Schedules that make a rare order of events certain: pure functions of a plan."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from harness.record.request import Hold

# Hopeless holds end at once, so this only bounds slow tiles; it is less than the time limit that a run has by default.
LONGEST_HOLD = 240.0


def lender_first(plan: Sequence[Sequence[str]] | None, seconds: float = LONGEST_HOLD) -> tuple[Hold, ...]:
    """Return the hold that starves one tile, if deletion is naive: a tile that shares its frames is released first.

    The victim is the planned tile of which another one, earlier in the plan, has the largest part of the frames; of
    equals the last one, and of those that share with it the nearest before it. With a chain plan this is the last tile:
    the one before it has all of its frames, so a deletion that counts no references leaves it none.

    Targets that submit tiles in the order of the plan can always meet the hold, with any number of workers: the awaited
    tile comes before the victim, so it is made or being made when the victim starts, and the first tile is never held.
    ZeMosaic's default settings order tiles from the centre outwards instead, and let others wait up to a minute for the
    first one, the anchor: a victim that happens to be the anchor costs that minute, and with one worker such a hold can't
    be met. The probe then says so at once, and the run concludes nothing. Either way it is bounded by ``seconds``.

    Parameters
    ----------
    plan
        The frame names of each planned tile, or ``None`` where the target makes its own groups.
    seconds
        When to give up, in seconds.

    Returns
    -------
    tuple[Hold, ...]
        One hold, or none when no two tiles share a frame.

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
