"""Combine the recorded steps of tiles into tiles, with the parts that a tile of many frames is made from.

A maker may call itself: first for each chunk of a tile's frames, then to merge the results. Each such call is a *part* of the
tile in whose making it happens, and has a number of its own, which another tile may have too. What a part makes is an
intermediate: where a later part, or a retry, takes it as a frame, the frames that it was made from are meant.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class TileStep:
    """One step of one master tile: ``submitted``, ``started``, ``ended`` or ``collected``.

    ``collected`` means that the thread that submitted the tile took its future's result. What that thread does later is
    ordered after the tile. ``frames`` and ``caches`` are parallel, in the order submitted. ``reference`` is the frame
    that defines the tile's grid. ``retry_of`` is the tile whose failed frames this tile retries. ``part_of`` is the tile in
    whose making this call of the maker happened: then ``tile`` may be the number of another tile, or the same number.
    """

    t: int
    pid: int
    thread: str
    state: str
    tile: int
    frames: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()
    reference: str | None = None
    outcome: str | None = None
    path: str | None = None
    error: str | None = None
    retry_of: int | None = None
    tid: int | None = None
    part_of: int | None = None


@dataclass(frozen=True, slots=True)
class Tile:
    """One master tile with the times of its steps, in monotonic nanoseconds; ``None`` for a step that was not recorded.

    ``frames`` are frames of the dataset: for a retry of intermediates, those that they were made from, each with the cache of its
    intermediate. ``parts`` are the calls of the maker within the making of the tile, in the order of their starts.
    """

    tile: int
    frames: tuple[str, ...]
    caches: tuple[str, ...]
    submitted: int | None = None
    started: int | None = None
    ended: int | None = None
    collected: int | None = None
    collected_by: str | None = None
    thread: str | None = None
    outcome: str | None = None
    reference: str | None = None
    path: str | None = None
    error: str | None = None
    retry_of: int | None = None
    pid: int | None = None
    tid: int | None = None
    parts: tuple[Tile, ...] = ()
    taken: tuple[str, ...] = ()

    @property
    def made(self) -> bool:
        """Whether the tile's maker returned a tile."""
        return self.outcome == "made"

    @property
    def merged(self) -> tuple[Tile, ...]:
        """The parts of which the last merge was made; empty for a tile that was made directly from its frames."""
        outputs = _outputs(self.parts)
        for part in reversed(self.parts):
            if part.made and _name(part.path) == _name(self.path):
                return tuple(outputs[name] for name in part.taken if name in outputs) or (part,)
        return ()

    @property
    def merge(self) -> Tile | None:
        """The part that made the file of the tile; ``None`` for a tile that was made directly from its frames."""
        made = (part for part in reversed(self.parts) if part.made and _name(part.path) == _name(self.path))
        return next(made, None)


@dataclass
class _Call:
    """One call of the maker: its steps, the call within which it happened, and the tile that it is a part of, if any."""

    steps: list[TileStep]
    part_of: int | None = None
    end: int | None = None
    within: _Call | None = field(default=None, repr=False)

    @property
    def tile(self) -> int:
        """The number that the maker was given."""
        return self.steps[0].tile


def tiles_of(steps: Sequence[TileStep]) -> tuple[Tile, ...]:
    """Return the tiles in the order of their numbers, from steps in order of time."""
    by_id: dict[int, list[TileStep]] = {}
    parts: dict[int, list[_Call]] = {}
    for call in _nested(steps):
        if call.part_of is not None:
            parts.setdefault(call.part_of, []).append(call)
    for step in own_steps(steps):
        by_id.setdefault(step.tile, []).append(step)
    tiles: dict[int, Tile] = {}
    for tile, own in sorted(by_id.items()):
        whole = _tile(tile, own)
        tiles[tile] = replace(whole, parts=_parts(parts.get(tile, ()), whole.caches))
    return tuple(_resolved(tile, tiles) for tile in tiles.values())


def own_steps(steps: Sequence[TileStep]) -> tuple[TileStep, ...]:
    """Return the steps of tiles, without those of their parts."""
    of_parts = {id(step) for call in _nested(steps) for step in call.steps}
    return tuple(step for step in steps if step.part_of is None and id(step) not in of_parts)


def _nested(steps: Sequence[TileStep]) -> list[_Call]:
    """Return the calls that are parts. Records made before ``part_of`` show it too: a part starts and ends within a call."""
    open_: dict[tuple[int, str, int | None], list[_Call]] = {}
    submitted: dict[tuple[int, int], _Call] = {}
    calls: list[_Call] = []
    for n, step in enumerate(steps):
        stack = open_.setdefault((step.pid, step.thread, step.tid), [])
        if step.state == "submitted" and step.part_of is not None:
            calls.append(_Call([step], step.part_of))
            submitted[step.part_of, step.tile] = calls[-1]
        elif step.state == "started":
            call = None if step.part_of is None else submitted.pop((step.part_of, step.tile), None)
            if call is None:
                call = _Call([], step.part_of)
                calls.append(call)
            call.steps.append(step)
            call.within = stack[-1] if stack else None
            stack.append(call)
        elif step.state == "ended":
            place = next((k for k in reversed(range(len(stack))) if stack[k].tile == step.tile), None)
            if place is not None:
                stack[place].steps.append(step)
                stack[place].end = n
                del stack[place:]
    for call in calls:
        outer = call.within
        while outer is not None and outer.end is None:
            outer = outer.within
        if call.part_of is None and outer is not None:
            call.part_of = outer.tile if outer.part_of is None else outer.part_of
    return [call for call in calls if call.part_of is not None]


def _parts(calls: Iterable[_Call], own: Collection[str]) -> tuple[Tile, ...]:
    """Return parts with the frames of the dataset that each was made from; ``own`` are the caches of these frames."""
    made: list[Tile] = []
    for call in calls:
        part = _tile(call.tile, call.steps)
        made.append(_expanded(part, _outputs(made), own))
    return tuple(made)


def _outputs(parts: Iterable[Tile]) -> dict[str, Tile]:
    """Return the parts that were made, by the names of their files."""
    return {_name(part.path): part for part in parts if part.made and part.path}


def _expanded(tile: Tile, outputs: dict[str, Tile], own: Collection[str] = ()) -> Tile:
    """Replace each intermediate among the frames of a tile by the frames that it was made from.

    ``own`` are caches of frames of the dataset: such a frame is no intermediate, whatever its name.
    """
    frames: list[str] = []
    caches: list[str] = []
    for name, cache in _pairs(tile):
        source = outputs.get(name) if cache not in own else None
        frames += (name,) if source is None else source.frames
        caches += (cache,) * (1 if source is None else len(source.frames))
    reference = outputs.get(tile.reference or "")
    return replace(
        tile,
        frames=tuple(frames),
        caches=tuple(caches) if tile.caches else (),
        reference=tile.reference if reference is None else reference.reference,
        taken=tile.taken or tile.frames,
    )


def _pairs(tile: Tile) -> Iterator[tuple[str, str]]:
    yield from zip(tile.frames, tile.caches or ("",) * len(tile.frames), strict=False)


def _resolved(tile: Tile, tiles: dict[int, Tile]) -> Tile:
    """Replace intermediates among the frames of a retry, and the intermediate that defines the grid of a tile of parts."""
    merge = tile.merge
    if tile.parts and (tile.reference is None or tile.reference in _outputs(tile.parts)):
        tile = replace(tile, reference=merge.reference if merge is not None else None)
    elif merge is not None and merge.reference is not None:
        tile = replace(tile, reference=merge.reference)
    origin = tiles.get(tile.retry_of) if tile.retry_of is not None else None
    if origin is None or not origin.parts or not any(map(is_intermediate, tile.caches)):
        return replace(tile, taken=tile.frames)
    outputs = _outputs(part for part in origin.parts if part is not origin.merge)
    parts = tuple(_expanded(part, outputs, origin.caches) for part in tile.parts)
    return replace(_expanded(tile, outputs, origin.caches), parts=parts)


def is_intermediate(path: str) -> bool:
    """Return whether a file is an intermediate of one tile, in a folder of its own: no other tile has it."""
    folder = path.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]
    return folder.startswith(".") and "internal_tile" in folder


def _name(path: str | None) -> str:
    return (path or "").replace("\\", "/").rpartition("/")[2]


def _tile(tile: int, steps: Sequence[TileStep]) -> Tile:
    def first(state: str) -> TileStep | None:
        return next((s for s in steps if s.state == state), None)

    submitted, started, ended, collected = (first(s) for s in ("submitted", "started", "ended", "collected"))
    known = next((s for s in steps if s.frames), steps[0])
    return Tile(
        tile=tile,
        frames=known.frames,
        caches=known.caches,
        submitted=submitted.t if submitted else None,
        started=started.t if started else None,
        ended=ended.t if ended else None,
        collected=collected.t if collected else None,
        collected_by=collected.thread if collected else None,
        thread=started.thread if started else None,
        outcome=ended.outcome if ended else None,
        reference=next((s.reference for s in steps if s.reference), None),
        path=ended.path if ended else None,
        error=ended.error if ended else None,
        retry_of=next((s.retry_of for s in steps if s.retry_of is not None), None),
        pid=started.pid if started else None,
        tid=started.tid if started else None,
    )
