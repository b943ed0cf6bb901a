"""Decide which files of an output folder are of the run that a log describes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness.analysis.made import SAVED, Origin, TakenOver, saved_mosaics
from harness.analysis.phase3 import name_of
from harness.field.whole_log import BEGUN
from harness.language.message import Message, say
from harness.record.extent import files_below
from harness.record.history import Event
from harness.record.leftovers import PASSING, LeftFile, kind_of
from harness.record.products import Products

MOSAIC = re.compile(r"zemosaic_MT\d+_R\d+|mosaic_grid")
_TILE = re.compile(r"master_tile_(\d{1,9})\.fits")
_ZONE = 15 * 60.0
_FARTHEST = 26 * 3600.0  # the largest difference of two time zones
_CLOCKS = 60.0  # seconds by which the mosaic's time may differ from the log's
_GRAIN = 5.0  # seconds; some file systems keep times to two seconds


def origin_of(folder: Path, events: Sequence[Event], taken: TakenOver) -> Origin:
    """Return which files of the folder are of the logged run: by its messages, then by the times of the files.

    A log has times of another clock: local, and perhaps of another machine. The clocks are compared at the mosaic, which was
    written just before the log reports it. If they don't agree there, as after the files were copied, times say nothing.
    """
    saved = saved_mosaics(events)
    start = _start(folder, events, saved)
    if start is None:
        return Origin(saved=saved)
    older = {path for path in files_below(folder) if path.is_file() and path.stat().st_mtime < start}
    names = {path: f"outputs/{path.relative_to(folder).as_posix()}" for path in older}
    used = frozenset(name for path, name in names.items() if _is_taken(path, taken))
    return Origin(saved, frozenset(names.values()), used)


def _is_taken(path: Path, taken: TakenOver) -> bool:
    if kind_of(path.name) in PASSING:
        return taken.frames > 0
    if not taken.tiles:
        return False
    found = _TILE.fullmatch(path.name)
    return found is not None and (not taken.tile_ids or int(found[1]) in taken.tile_ids)


def _start(folder: Path, events: Sequence[Event], saved: Sequence[str]) -> float | None:
    """Return the time before which files of the folder are older than the logged run, by the clock of the files."""
    begun = next((e.t / 1e9 for e in events if e.source == "callback" and e.key == BEGUN), None)
    told = next((e.t / 1e9 for e in reversed(events) if e.source == "callback" and e.key == SAVED), None)
    path = next((path for name in saved if (path := folder / name).is_file()), None)
    if begun is None or told is None or path is None:
        return None
    shift = path.stat().st_mtime - told
    zone = round(shift / _ZONE) * _ZONE  # zones differ by quarters of an hour
    if abs(zone) > _FARTHEST or abs(shift - zone) > _CLOCKS:
        return None
    return begun + shift - _GRAIN


def notes_of_earlier_runs(files: Iterable[LeftFile], origin: Origin) -> Iterator[Message]:
    """Name the files of earlier runs, which are not judged."""
    older = [file for file in files if file.path in origin.older - origin.taken and file.kind != "other"]
    if older:
        yield say(
            "Files of an earlier run, which are not judged: {count}, such as {names}.",
            count=len(older),
            names=", ".join(name_of(file.path) for file in older[:3]),
        )


def notes_of_other_mosaics(files: Iterable[LeftFile], products: Products | None, origin: Origin) -> Iterator[Message]:
    """Name the mosaics of other runs that are as new as the examined one, or whose time says nothing."""
    if products is None or products.mosaic is None:
        return
    ours = MOSAIC.match(name_of(products.mosaic))
    base = ours[0] if ours else name_of(products.mosaic)
    others = sorted(
        name
        for file in files
        if file.path not in origin.older
        and file.kind == "mosaic"
        and (other := MOSAIC.match(name := name_of(file.path)))
        and other[0] != base
    )
    if others:
        yield say("Mosaics of other runs, which are not judged: {names}.", names=", ".join(others[:5]))
