"""Draw the mosaics of two versions as the page of a session does: one grid, one stretch, directions, a scale, numbered holes.

The pictures of the records are used: their mosaics are not read again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.record.reader import Record
from reports.html.planes import Outline
from reports.html.skymap import Map, read_photograph
from reports.html.together import Shot, Stretched, together

SIDE = 640
"""The longest side of a picture, in pixels."""

Edges = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The mosaics before the patch and with it, ``None`` where not drawn, and how they were brought to one brightness."""

    before: Map | None
    after: Map | None
    stretched: Stretched


NOTHING = Pair(None, None, "own")


def side_by_side(before: Shot | None, after: Shot | None) -> Pair:
    """Draw two mosaics, or the one that there is. Mosaics that can't be placed on one grid are not drawn."""
    first, second = before or after, after or before
    if first is None or second is None:
        return NOTHING
    drawn = together(first, second, None, SIDE)
    if drawn is None:
        return NOTHING
    return Pair(None if before is None else drawn.first, None if after is None else drawn.second, drawn.stretched)


def shot_of(record: Record | None, holes: Edges) -> Shot | None:
    """Return the mosaic of a record with the outlines of its holes; ``None`` without a picture that can be read."""
    if record is None or record.products is None or record.products.thumbnail is None:
        return None
    taken = read_photograph(record.folder, record.products.thumbnail)
    outlines = [Outline(number, edge) for number, edge in holes.items()]
    return None if taken is None else Shot(record.products, taken, outlines)
