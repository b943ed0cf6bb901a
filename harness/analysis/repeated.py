"""Count the distinct frames of a tile. ZeMosaic repeats the frames of a group of fewer than five until it has five images.

Headers and events then count images. Of the frames only a least number is known: a frame is lost only if all its images are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from harness.analysis.phase3 import tile_of
from harness.record.history import History

_REPEATED = re.compile(r"\[Batch\] Duplicating frames: original=(\d{1,6}) \S+ final=\d+(?: for tile (\d{1,9}))?")


def repeated(history: History) -> Mapping[int, int]:
    """Return the tiles whose frames were repeated, each with its number of distinct frames."""
    found = {}
    for event in history.events:
        said = _REPEATED.match(event.key) if event.source == "callback" else _REPEATED.match(event.text)
        if said is not None:
            tile = tile_of(history, event) if event.source == "callback" else int(said[2]) if said[2] else None
            if tile is not None:
                found[tile] = int(said[1])
    return found


def least_frames(frames: int, images: int, aligned: int) -> int:
    """Return how many of the distinct frames are at least among the aligned images of a tile, which repeats them in turn."""
    if not 0 < frames <= images:
        return 0
    copies, more = divmod(images, frames)  # ``more`` frames are there once more
    many = min(frames, -(-max(0, aligned) // (copies + 1)))
    return many if many <= more else min(frames, more + -(-(aligned - more * (copies + 1)) // copies))
