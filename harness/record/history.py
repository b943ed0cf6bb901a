"""Read what was observed of a run into types: events, file operations, steps of tiles, samples."""

from __future__ import annotations

import bisect
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from harness.record.tile import Tile, TileStep, own_steps, tiles_of
from harness.record.values import (
    UNREADABLE,
    RecordError,
    built,
    check_format,
    one_of,
    read_lines,
    read_samples,
)

__all__ = [
    "SOURCES",
    "DiskSample",
    "Event",
    "History",
    "HoldStep",
    "Operation",
    "OrderStep",
    "ProcessSample",
    "Source",
    "Tile",
    "TileStep",
    "read_history",
]

EVENTS_FORMAT = "phase3-events/1"
TRACE_FORMAT = "phase3-trace/1"
# The start of the probe's lines on standard error. It writes one for each piece of evidence that it lost.
_LOSS_LINE = b"phase3 probe: "
Source = Literal["callback", "log", "stage"]
SOURCES: tuple[Source, ...] = ("callback", "log", "stage")


@dataclass(frozen=True, slots=True)
class Event:
    """One progress event or log record.

    ``t`` is in monotonic nanoseconds. ``thread`` is a name; ``tid`` is the thread's number, ``None`` if not recorded.
    ``key`` is the event key, or the unformatted template of a log record. ``text`` is the part after ``KEY:`` in events such
    as ``MASTER_TILE_COUNT_UPDATE:1/4``, or the formatted log line.
    """

    t: int
    pid: int
    thread: str
    source: Source
    key: str
    level: str = ""
    text: str = ""
    fields: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    tid: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One file operation: ``open``, ``save``, ``remove``, ``rename``, ``rmtree`` or ``mmap``.

    ``state`` is ``attempt`` (recorded before the operation), ``done`` or ``failed``. Paths inside the record are relative to
    it, with forward slashes; others are as the target gave them. ``size`` is in bytes, ``None`` if not known. ``stack`` has the
    innermost calls in the target's source that led to a removal, the last one last.
    """

    t: int
    pid: int
    thread: str
    op: str
    state: str
    path: str
    to: str | None = None
    size: int | None = None
    errno: int | None = None
    mode: str | None = None
    tid: int | None = None
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderStep:
    """One thread learns that tiles have ended, and that removals were made, because it waited or was handed work.

    ``how`` is the kind of hand-over: ``start``, ``join``, ``submit``, ``done``, ``wait``, ``callback``, ``event`` or ``queue``.
    ``tiles`` and ``marks`` are what is new to the thread. With ``how`` ``removal``, the thread is about to remove caches, and
    ``mark`` stands for these removals.
    """

    t: int
    pid: int
    thread: str
    how: str
    tiles: tuple[int, ...] = ()
    marks: tuple[int, ...] = ()
    mark: int | None = None
    tid: int | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """One exception of the target that ended a tile, a thread or the run.

    ``where`` is ``tile``, ``thread``, ``work`` (in a pool, its result unread) or ``run``. ``file`` and ``line`` are the last
    place of the exception in the target's own source, relative to its folder; ``None`` if no frame is there. ``stack`` has the
    calls in the target's source that led there. ``missing`` is a module that an import did not find and that is not the target's
    own. ``known`` is whether it is one of the target's libraries: its requirements name it, or another of its files imports it;
    ``None`` where that is not known. ``like`` is a module with almost this name.
    """

    t: int
    pid: int
    thread: str
    where: str
    type: str
    message: str = ""
    file: str | None = None
    line: int | None = None
    tile: int | None = None
    stack: tuple[str, ...] = ()
    missing: str | None = None
    errno: int | None = None
    tid: int | None = None
    known: bool | None = None
    like: str | None = None


@dataclass(frozen=True, slots=True)
class HoldStep:
    """One state of a hold: ``waiting``, ``met`` or ``unmet``, the last with its reason."""

    t: int
    state: str
    group: int
    until_released: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class DiskSample:
    """Bytes and files in one folder of the run at one time, and the volume's free bytes."""

    t: int
    folder: str
    size: int
    files: int
    free: int


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """The target's process tree at one time: resident bytes, CPU seconds, threads, open files (-1 if not known)."""

    t: int
    processes: int
    rss: int
    cpu: float
    threads: int
    open_files: int


@dataclass(frozen=True)
class History:
    """Everything that was observed in a run, in order of time.

    ``torn`` names the lines that can't be read. ``lost`` counts the pieces of evidence that the probe reported as lost.
    ``settings`` are the effective settings of the target, by name; empty if they were not recorded.
    """

    events: tuple[Event, ...]
    operations: tuple[Operation, ...]
    steps: tuple[TileStep, ...]
    holds: tuple[HoldStep, ...]
    faults: tuple[Mapping[str, Any], ...]
    disk: tuple[DiskSample, ...]
    processes: tuple[ProcessSample, ...]
    capabilities: frozenset[str]
    torn: tuple[str, ...]
    lost: int = 0
    settings: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    exceptions: tuple[Raised, ...] = ()
    orders: tuple[OrderStep, ...] = ()

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The master tiles in the order of their ids, each combined from its steps, with its parts."""
        return tiles_of(sorted(self.steps, key=lambda step: step.t))

    @cached_property
    def own_steps(self) -> tuple[TileStep, ...]:
        """The steps of master tiles, without those of their parts: the end of a part is not the end of a tile."""
        return own_steps(sorted(self.steps, key=lambda step: step.t))

    def making(self, pid: int, thread: str, tid: int | None, t: int) -> Tile | None:
        """Return the tile that a thread was making at a time, in itself or in one of its parts; ``None`` if it made none."""
        spans = self._makers.get((pid, thread, tid), ())
        place = bisect.bisect_right(spans, t, key=lambda span: span[0]) - 1
        # A few calls of one thread may overlap in a damaged trace, so that the last one to start need not be the one.
        near = reversed(spans[: place + 1])
        return next((tile for start, end, tile in near if start <= t <= end), None)

    @cached_property
    def _makers(self) -> Mapping[tuple[int, str, int | None], list[tuple[int, int, Tile]]]:
        found: dict[tuple[int, str, int | None], list[tuple[int, int, Tile]]] = {}
        for tile in self.tiles:
            for call in (tile, *tile.parts):  # a part may run in a thread of its own
                if call.pid is None or call.thread is None or call.started is None or call.ended is None:
                    continue
                spans = found.setdefault((call.pid, call.thread, call.tid), [])
                spans.append((call.started, call.ended, tile))
        return {thread: sorted(spans, key=lambda span: span[:2]) for thread, spans in found.items()}

    def named(self, *keys: str) -> tuple[Event, ...]:
        """Return the callback events with one of these keys, in order of time."""
        return tuple(e for e in self.events if e.key in keys and e.source == "callback")

    def logged(self, start: str) -> tuple[Event, ...]:
        """Return the log records whose formatted line starts with this text."""
        return tuple(e for e in self.events if e.source == "log" and e.text.startswith(start))


@dataclass
class _Reading:
    """Collect the entries of a history's files while they are read."""

    torn: list[str]
    events: list[Event]
    operations: list[Operation]
    steps: list[TileStep]
    holds: list[HoldStep]
    faults: list[Mapping[str, Any]]
    capabilities: set[str]
    settings: dict[str, Any]
    exceptions: list[Raised]
    lost: int = 0
    orders: list[OrderStep] = field(default_factory=list)

    def take(self, path: Path, expected: str, entry: Callable[[int, Mapping[str, Any]], None]) -> None:
        """Read one file: its header, then each entry. An entry that can't be read is left out and named in ``torn``."""
        pid = 0
        for number, data in read_lines(path, self.torn):
            try:
                if number == 1:
                    check_format(path, data, expected)
                    pid = int(data["pid"])
                    self.capabilities.update(str(name) for name in data.get("capabilities", ()))
                else:
                    entry(pid, data)
            except RecordError:
                raise
            except UNREADABLE:
                self.torn.append(f"{path.name}, line {number}")

    def event(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of an events file."""
        self.events.append(built(Event, data, pid=pid, source=one_of(data["source"], SOURCES)))

    def trace(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of a trace file."""
        match data["op"]:
            case "tile":
                self.steps.append(built(TileStep, data, pid=pid))
            case "order":
                self.orders.append(built(OrderStep, data, pid=pid))
            case "hold":
                self.holds.append(built(HoldStep, data))
            case "fault":
                self.faults.append(MappingProxyType(dict(data)))
            case "capability":
                self.capabilities.add(str(data["name"]))
            case "lost":
                self.lost += max(1, int(data["n"]))
            case "exception":
                self.exceptions.append(built(Raised, data, pid=pid))
            case "config":
                self.settings.update(dict(data["settings"]))
            case _:
                self.operations.append(built(Operation, data, pid=pid))


def read_events(folder: Path) -> tuple[Event, ...]:
    """Read only the events of a record, in order of time, without the lines that can't be read."""
    return tuple(sorted(_with_events(folder).events, key=lambda e: e.t))


def _with_events(folder: Path) -> _Reading:
    reading = _Reading([], [], [], [], [], [], set(), {}, [])
    for path in sorted(folder.glob("events-*.jsonl")):
        reading.take(path, EVENTS_FORMAT, reading.event)
    return reading


def read_history(folder: Path) -> History:
    """Read the events, traces and samples of a record. Lines that can't be read are named in ``torn``."""
    reading = _with_events(folder)
    for path in sorted(folder.glob("trace-*.jsonl")):
        reading.take(path, TRACE_FORMAT, reading.trace)
    disk = read_samples(folder / "disk.jsonl", reading.torn, DiskSample)
    processes = read_samples(folder / "process.jsonl", reading.torn, ProcessSample)
    return History(
        events=tuple(sorted(reading.events, key=lambda e: e.t)),
        operations=tuple(sorted(reading.operations, key=lambda o: o.t)),
        steps=tuple(sorted(reading.steps, key=lambda s: s.t)),
        holds=tuple(sorted(reading.holds, key=lambda h: h.t)),
        faults=tuple(reading.faults),
        disk=disk,
        processes=processes,
        capabilities=frozenset(reading.capabilities),
        torn=tuple(reading.torn),
        lost=max(reading.lost, _losses_on_console(folder / "console.log")),
        settings=MappingProxyType(reading.settings),
        exceptions=tuple(sorted(reading.exceptions, key=lambda e: e.t)),
        orders=tuple(sorted(reading.orders, key=lambda o: o.t)),
    )


def read_exceptions(folder: Path) -> tuple[Raised, ...]:
    """Read the exceptions in the traces of a record, in order of time, without the other lines; torn lines are left out."""
    found = []
    for path in sorted(folder.glob("trace-*.jsonl")):
        with path.open("rb") as stream:
            for line in stream:
                if b'"exception"' not in line:
                    continue
                with contextlib.suppress(*UNREADABLE):
                    data = json.loads(line)
                    if data["op"] == "exception":
                        found.append(built(Raised, data, pid=0))
    return tuple(sorted(found, key=lambda raised: raised.t))


def _losses_on_console(path: Path) -> int:
    """Count the losses that the probe reported on standard error: if the disk stayed full, the trace does not have them."""
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        return sum(_LOSS_LINE in line for line in stream)
