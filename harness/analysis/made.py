"""Tell what a run made itself, and what it took over from an earlier run in the same output folder.

The run's own events and file operations are asked first. An output folder may hold anything: products of earlier runs, of other
settings, of another mode.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from harness.analysis.phase3 import name_of, number, writes
from harness.language.message import Message, say
from harness.record.history import Event, History

SAVED = "run_success_mosaic_saved"
_BEGUN = "mastertile_info_creation_started_from_cache"
_GRID_SAVED = re.compile(r"(?:\[GRID\]\s*)*Final mosaic saved to (.+)", re.DOTALL)
# The messages of ZeMosaic's setting ``resume``, and of its mode that begins with finished tiles.
_ALL_FRAMES = re.compile(r"Resume accepted: Phase 1 skipped \(resume\), entries=(\d{1,9})")
_SOME_FRAMES = re.compile(r"Resume phase1 partial reuse: (\d{1,9})/(\d{1,9}) reused")
_TILES = re.compile(r"Resume master tiles: reused (\d{1,9})/(\d{1,9}) from manifest")
_MOSAIC = re.compile(r"Resume phase5 checkpoint: reused final assembly")
_FINISHED_TILES = "run_info_existing_master_tiles_mode"


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What a run took over from an earlier one: numbers of preprocessed frames and of master tiles, and the mosaic.

    ``tile_ids`` are the tiles that were taken over, where the events or the trace show which; ``tiles_of`` is the number of all.
    """

    frames: int = 0
    tiles: int = 0
    tiles_of: int = 0
    tile_ids: tuple[int, ...] = ()
    mosaic: bool = False

    def __bool__(self) -> bool:
        return bool(self.frames or self.tiles or self.mosaic)

    @property
    def products(self) -> bool:
        """Whether the mosaic consists of parts that this run did not make."""
        return bool(self.tiles or self.mosaic)


@dataclass(frozen=True, slots=True)
class Origin:
    """Which files of an output folder are of the run.

    ``saved`` are the file names that the run reported as its mosaic, the last one first. ``older`` are the files of earlier runs,
    relative to the record; of these, ``taken`` are those that the run took over.
    """

    saved: tuple[str, ...] = ()
    older: frozenset[str] = frozenset()
    taken: frozenset[str] = frozenset()


def taken_over(history: History) -> TakenOver:
    """Read from the events what a run took over from an earlier one. It is false if the events report nothing."""
    frames = tiles = of = 0
    mosaic = False
    for event in history.events:
        if event.source != "callback":
            continue
        if event.key == _FINISHED_TILES:
            tiles = of = number(event, "num_tiles") or 1
        elif not event.key.startswith("Resume"):
            continue
        text = f"{event.key}: {event.text}" if event.text else event.key
        if match := _ALL_FRAMES.match(text) or _SOME_FRAMES.match(text):
            frames = int(match[1])
        elif match := _TILES.match(text):
            tiles, of = int(match[1]), int(match[2])
        elif _MOSAIC.match(text):
            mosaic = True
    return TakenOver(frames, tiles, of, _ids(history, tiles, of), mosaic)


def _ids(history: History, tiles: int, of: int) -> tuple[int, ...]:
    """Return the first tiles that were neither begun nor submitted, if their number is that of the tiles taken over."""
    begun = {n for event in history.named(_BEGUN) if (n := number(event, "tile_id")) is not None}
    begun |= {step.tile for step in history.steps if step.state in {"submitted", "started"}}
    left = tuple(n for n in range(min(of, 100_000)) if n not in begun)
    return left if len(left) == tiles else ()


def named(taken: TakenOver) -> tuple[Message, ...]:
    """Name what a run took over, one sentence for each kind."""
    found = []
    if len(taken.tile_ids) == 1:
        found.append(say("Tile {tile} was taken over from an earlier run.", tile=taken.tile_ids[0]))
    elif taken.tile_ids:
        ids = ", ".join(map(str, taken.tile_ids[:20])) + (" …" if len(taken.tile_ids) > 20 else "")
        found.append(
            say(
                "Tiles {tiles} were taken over from an earlier run ({count} of {total}).",
                tiles=ids,
                count=taken.tiles,
                total=taken.tiles_of,
            )
        )
    elif taken.tiles:
        found.append(
            say(
                "Master tiles taken over from an earlier run: {count} of {total}.",
                count=taken.tiles,
                total=taken.tiles_of,
            )
        )
    if taken.frames:
        found.append(say("Caches of frames taken over from an earlier run: {count}.", count=taken.frames))
    if taken.mosaic:
        found.append(say("The pixels of the mosaic were taken over from an earlier run."))
    return tuple(found)


def saved_mosaics(events: Iterable[Event]) -> tuple[str, ...]:
    """Return the file names of the mosaics that a run reported as saved, the last one first."""
    found = []
    for event in events:
        if event.source != "callback":
            continue
        if event.key == SAVED and isinstance(event.fields.get("filename"), str):
            found.append(name_of(str(event.fields["filename"])))
        elif match := _GRID_SAVED.fullmatch(f"{event.key}: {event.text}" if event.text else event.key):
            found.append(name_of(match[1].strip()))
    return tuple(dict.fromkeys(reversed(found)))


def written(history: History) -> frozenset[str]:
    """Return the paths that the trace shows as written by the run."""
    return frozenset((op.to or op.path) if op.op == "rename" else op.path for op in history.operations if writes(op))


def read(history: History) -> frozenset[str] | None:
    """Return the paths that the trace shows as opened; ``None`` if the opening of files was not traced."""
    if "opens" not in history.capabilities:
        return None
    return frozenset(op.path for op in history.operations if op.op == "open")
