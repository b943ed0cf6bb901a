"""Find where a target failed by itself: exceptions that ended a tile, Phase 3 or the run, and ends of its process.

An exception that the target catches and survives by design does not count: it ends nothing. What an injected fault, a missing
library, a full disk, the harness or a user ended is listed as such, and is not the target's. A module that an import did not
find is a missing library if the target's requirements or other files name it, or if the baseline lacks it too. Else the import
is wrong.
"""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from harness.analysis.injected_faults import ended_tiles
from harness.analysis.phase3 import RAISED, failures, number, phase_3_end, phase_3_start
from harness.record.history import Event, History, Raised, Tile
from harness.record.reader import Record

Where = Literal["tile", "phase 3", "run", "thread", "work", "signal", "status"]
Blame = Literal["target", "library", "import", "disk", "outside", "harness"]

ERROR = "PROCESS_ERROR"
SOURCE = "exceptions"
"""The capability of the probe that records exceptions."""
_FAULT = "TileFaultError"
_FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
# Signals that another program sends, such as a system that runs out of memory. They do not show an error of the target.
_FROM_OUTSIDE = frozenset({"SIGKILL", "SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT", "SIGXCPU"})
_INTERRUPTED = frozenset({"KeyboardInterrupt", "InterruptedError", "SystemExit", "CancelledError"})
# Windows ends a program that breaks with such a status or a higher one.
_WINDOWS_CRASH = 0xC0000000


@dataclass(frozen=True, slots=True)
class OwnFailure:
    """One failure: what it ended, its exception, its place in the target's source, and who is to blame.

    A ``where`` of ``work`` is work in a pool whose exception nothing read, so that the target does not notice it. ``signal`` and
    ``status`` stand for the end of the process, and ``what`` is the signal's name or the status. ``place`` is
    ``FILE:LINE``, empty if it is not known. ``injected`` is whether the harness made a tile fail, and the target did not survive
    that. ``missing`` is the module that an import did not find, and ``like`` one with almost its name. A ``blame`` of ``import``
    says that the module may be a library or misspelt.
    """

    t: int
    where: Where
    what: str
    place: str = ""
    tile: int | None = None
    thread: str = ""
    stack: tuple[str, ...] = ()
    blame: Blame = "target"
    injected: bool = False
    missing: str = ""
    like: str = ""


def own_failures(record: Record, baseline: Record | None = None) -> tuple[OwnFailure, ...]:
    """Return the failures of a run that end a tile, Phase 3, a thread or the run, in order of time, whoever is to blame.

    A ``baseline`` on the same interpreter shows whether a missing module is a library of the target.
    """
    history = record.history
    found = [*_of_tiles(history), *_of_threads(history), *_of_run(record)]
    if not any(failure.where in ("run", "phase 3") for failure in found):
        found += _of_process(record)
    found = [_compared(failure, record, baseline) if failure.missing else failure for failure in found]
    return tuple(sorted(found, key=lambda failure: failure.t))


def of_target(record: Record, baseline: Record | None = None) -> tuple[OwnFailure, ...]:
    """Return the failures of a run for which the target is to blame."""
    return tuple(failure for failure in own_failures(record, baseline) if failure.blame == "target")


def _compared(failure: OwnFailure, record: Record, baseline: Record | None) -> OwnFailure:
    """Say by the baseline who is to blame for a missing module, where the record leaves it open."""
    if baseline is None or baseline.request.target.python != record.request.target.python:
        return failure
    if any(raised.missing == failure.missing for raised in baseline.history.exceptions):
        return replace(failure, blame="library")
    ran = baseline.usable and SOURCE in baseline.history.capabilities
    return replace(failure, blame="target") if ran and failure.blame == "import" else failure


def _of_tiles(history: History) -> Iterator[OwnFailure]:
    """Yield the failures of tiles: as the probe recorded them, else as the target or the trace reports them."""
    asked = ended_tiles(history)
    why = failures(history)
    tiles = {tile.tile: tile for tile in history.tiles}
    seen: set[int] = set()
    for raised in history.exceptions:
        if raised.where != "tile" or raised.tile is None or _survived(raised, tiles):
            continue
        seen.add(raised.tile)
        yield _failure(raised, "tile")
    for event in history.named(RAISED):
        stack = number(event, "stack_num")
        tile = None if stack is None else stack - 1
        if (tile is not None and tile in seen) or (tile in asked and why.get(tile or 0) == "fault"):
            continue
        if tile is not None:
            seen.add(tile)
        # A tile that was made, and whose result then raised an exception, was lost by the thread that collects it.
        made = tile is not None and tile in tiles and tiles[tile].made
        yield _reported(history, event, "phase 3" if made else "tile", tile)
    for one in tiles.values():
        # Where exceptions are recorded, such a tile is among them, or it is one that a fault ended.
        unknown = SOURCE not in history.capabilities and one.tile not in seen
        if unknown and one.outcome == "raised" and why.get(one.tile) != "fault":
            yield OwnFailure(one.ended or 0, "tile", one.error or "Exception", "", one.tile, one.thread or "")


def _survived(raised: Raised, tiles: dict[int, Tile]) -> bool:
    """Return whether the tile was made all the same, or a tile around it, in the same thread, was."""
    own = tiles.get(raised.tile or 0)
    if own is not None and own.made:
        return True
    return any(
        tile.made and tile.thread == raised.thread and (tile.started or raised.t) < raised.t < (tile.ended or raised.t)
        for tile in tiles.values()
    )


def _of_threads(history: History) -> Iterator[OwnFailure]:
    """Yield the exceptions that ended other threads, or work in a pool unread, if they come from the target's own source."""
    for raised in history.exceptions:
        if raised.where in ("thread", "work") and raised.file is not None:
            yield _failure(raised, "thread" if raised.where == "thread" else "work")


def _of_run(record: Record) -> Iterator[OwnFailure]:
    history = record.history
    cut = record.seal is not None and record.seal.state in ("timed out", "killed")
    start, end = phase_3_start(history), phase_3_end(history)

    def where(t: int) -> Where:
        return "phase 3" if start is not None and start <= t and (end is None or t < end) else "run"

    ended = [raised for raised in history.exceptions if raised.where == "run"]
    # An exception is recorded once by the run and once more where it leaves the process: the first says when.
    for raised in ended[:1]:
        if cut and raised.type in _INTERRUPTED:
            return  # this is how a program ends its run in good order when the harness or the user asks it to end
        yield _failure(raised, where(raised.t))
    if not ended:
        for event in history.named(ERROR)[:1]:
            yield _reported(history, event, where(event.t), None)


def _of_process(record: Record) -> Iterator[OwnFailure]:
    """Yield the end of a process that crashed without an exception."""
    seal, history = record.seal, record.history
    if seal is None or seal.state != "crashed" or not seal.exit_code:
        return
    code = seal.exit_code
    last = max((event.t for event in history.events), default=0)
    begun = SOURCE in history.capabilities or record.request.target.kind == "command"
    if code < 0:
        name = _signal(-code)
        blame: Blame = "outside" if name in _FROM_OUTSIDE else "target" if begun else "harness"
        yield OwnFailure(last, "signal", name, blame=blame)
    else:
        what = f"{code:#010x}" if code >= _WINDOWS_CRASH else str(code)
        yield OwnFailure(last, "status", what, blame="target" if begun else "harness")


def _signal(code: int) -> str:
    try:
        return signal.Signals(code).name
    except ValueError:
        return f"signal {code}"


def _failure(raised: Raised, where: Where) -> OwnFailure:
    what = f"{raised.type}: {raised.message}" if raised.message else raised.type
    injected = raised.type == _FAULT
    blame: Blame = "target"
    if raised.missing is not None:
        blame = "library" if raised.known else "target" if raised.known is False or raised.like else "import"
    elif raised.errno in _FULL:
        blame = "disk"
    elif raised.file is None and where != "tile" and not injected:
        blame = "harness"  # no frame of the target: the exception is the probe's own
    place = "" if raised.file is None else f"{raised.file}:{raised.line}"
    missing, like = raised.missing or "", raised.like or ""
    return OwnFailure(
        raised.t, where, what, place, raised.tile, raised.thread, raised.stack, blame, injected, missing, like
    )


def _reported(history: History, event: Event, where: Where, tile: int | None) -> OwnFailure:
    """Return the failure that an event reports, with type and place from the log record of the same exception."""
    said = str(event.fields.get("error") or "Exception")
    logged = [e for e in history.events if e.source == "log" and str(e.fields.get("exception", "")).endswith(said)]
    near = min(logged, key=lambda e: abs(e.t - event.t), default=None)
    found = OwnFailure(event.t, where, said, "", tile, event.thread)
    if near is None:
        return found
    return replace(found, what=str(near.fields["exception"]), place=str(near.fields.get("at", "")))
