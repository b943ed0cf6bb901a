"""Draw the milliseconds in which a cache was removed too early: the tiles, the removals, and the tile that missed the cache.

Positions are in percent of the width. All times count from the start of Phase 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness.analysis.removals import Removal
from harness.language.catalogue import Language
from harness.record.history import History, Tile
from reports.html.charts import Clock, Tick, outcome_word

MAX_ROWS = 6
_ROOM = 0.35
"""The room before and after the decisive moments, as a part of their span."""
_LEAST = 4_000_000
"""The smallest span that is drawn, in nanoseconds."""
_TICKS = 5


@dataclass(frozen=True, slots=True)
class TileRow:
    """A tile that was made in these milliseconds. ``role`` is ``victim``, ``last`` (collected before the removal) or empty."""

    label: str
    left: float
    width: float
    state: str
    role: str


@dataclass(frozen=True, slots=True)
class Zoom:
    """The drawing: rows of tiles, the positions of removals, and that of the decisive one, from which an arrow leads down.

    ``victim`` is the place of the victim among the rows, ``None`` if it was not drawn; ``reach`` is where the arrow ends.
    """

    rows: tuple[TileRow, ...]
    removals: tuple[float, ...]
    decisive: float
    victim: int | None
    reach: float
    ticks: tuple[Tick, ...]


def zoom(
    history: History,
    start: int,
    removal: Removal,
    others: tuple[Removal, ...],
    *,
    last: int | None,
    victim: int | None,
    lang: Language,
) -> Zoom:
    """Draw the time around a removal. ``start`` is that of Phase 3; ``others`` are the removals of other caches."""
    tiles = {tile.tile: tile for tile in history.tiles}
    axis = _axis(
        removal, tiles.get(last) if last is not None else None, tiles.get(victim) if victim is not None else None
    )
    near = [t for t in history.tiles if t.started is not None and t.started <= axis.end and _end(t, axis) >= axis.start]
    near.sort(key=lambda t: (t.tile != last, t.tile != victim, abs((t.started or 0) - removal.t)))
    drawn = sorted(near[:MAX_ROWS], key=lambda t: (t.tile == victim, t.started))
    rows = tuple(_row(tile, axis, last, victim, lang) for tile in drawn)
    place = next((n for n, tile in enumerate(drawn) if tile.tile == victim), None)
    decisive = axis.percent(removal.t)
    reach = decisive if place is None else max(decisive, rows[place].left)
    inner = sorted({axis.percent(r.t) for r in others if axis.start <= r.t <= axis.end})
    return Zoom(rows, tuple(inner), decisive, place, min(reach, 99.0), _ticks(axis, start, lang))


def _axis(removal: Removal, last: Tile | None, victim: Tile | None) -> Clock:
    """Return the span from the last collected tile's end to the victim's start or end, with some room at both ends."""
    moments = [removal.t]
    if last is not None and last.ended is not None:
        moments.append(last.ended)
    if victim is not None:
        after = [t for t in (victim.submitted, victim.started, victim.ended) if t is not None and t > removal.t]
        moments += after[:1]
    first, final = min(moments), max(moments)
    room = max(int((final - first) * _ROOM), (_LEAST - (final - first)) // 2, 0)
    return Clock(first - room, final + room)


def _row(tile: Tile, axis: Clock, last: int | None, victim: int | None, lang: Language) -> TileRow:
    left, right = axis.percent(tile.started or axis.start), axis.percent(_end(tile, axis))
    state = "open" if tile.ended is None else "made" if tile.made else "failed"
    label = lang.say("tile {tile}: {outcome}", tile=tile.tile, outcome=outcome_word(tile, lang))
    role = "victim" if tile.tile == victim else "last" if tile.tile == last else ""
    if role == "victim":
        label = lang.say(
            "tile {tile}, which needs the cache: {outcome}", tile=tile.tile, outcome=outcome_word(tile, lang)
        )
    return TileRow(label, left, max(round(right - left, 3), 0.4), state, role)


def _end(tile: Tile, axis: Clock) -> int:
    return tile.ended if tile.ended is not None else axis.end


def _ticks(axis: Clock, start: int, lang: Language) -> tuple[Tick, ...]:
    """Return round times inside the span, counted from the start of Phase 3."""
    low, high = ((t - start) / 1e9 for t in (axis.start, axis.end))
    rough = (high - low) / _TICKS
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(s * scale for s in (1, 2, 5, 10) if s * scale >= rough * (1 - 1e-9))
    first = math.ceil(low / step)
    found = [n * step for n in range(first, math.floor(high / step) + 1)]
    return tuple(
        Tick(round(100 * (at - low) / (high - low), 3), lang.say("{seconds} s", seconds=f"{at:.3f}")) for at in found
    )
