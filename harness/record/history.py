"""Read what was observed of a run into types: events, file operations, steps of tiles, samples."""

from __future__ import annotations

import bisect
import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

from harness.record import limits
from harness.record.tile import Tile, TileStep, own_steps, tiles_of
from harness.record.values import (
    MOST_TORN,
    UNREADABLE,
    BeyondError,
    RecordError,
    built,
    check_format,
    count_lines,
    held_by,
    lines_of,
    memory_beyond,
    memory_of,
    one_of,
    open_regular,
    read_lines,
    read_samples,
    spend,
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
# Texts that seldom occur twice.
_OWN = frozenset({"text", "message"})
# The fields whose texts are shared by many entries.
_SHARED: tuple[str, ...] = (
    "thread",
    "source",
    "key",
    "level",
    "op",
    "state",
    "path",
    "to",
    "mode",
    "how",
    "where",
    "type",
    "file",
    "missing",
    "like",
)
_SHARED_OF_LOG = (*_SHARED, "fields")
Source = Literal["callback", "log", "stage"]
SOURCES: tuple[Source, ...] = ("callback", "log", "stage")


_E = TypeVar("_E", "Event", "Operation", "TileStep", "HoldStep", "Raised", "OrderStep")


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
    ``settings`` are the effective settings of the target, by name; empty if they were not recorded. ``beyond`` says which limit
    of the harness the events and traces are beyond; then none of them were read.
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
    beyond: str = ""

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
    memory: int = 0
    _pool: dict[str, str] = field(default_factory=dict)
    _loggers: dict[str, Mapping[str, Any]] = field(default_factory=dict)

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
                    self._share(data)
                    entry(pid, data)
            except RecordError:
                raise
            except UNREADABLE:
                if len(self.torn) < MOST_TORN:
                    self.torn.append(f"{path.name}, line {number}")
            if self.memory > limits.LINES_MEMORY:
                raise BeyondError(memory_beyond("events-*.jsonl + trace-*.jsonl", limits.LINES_MEMORY))

    def event(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of an events file."""
        given: dict[str, Any] = {"pid": pid, "source": one_of(data["source"], SOURCES)}
        without = _SHARED
        about = data.get("fields")
        if isinstance(about, dict) and len(about) == 1 and isinstance(logger := about.get("logger"), str):
            given["fields"] = self._loggers.setdefault(logger, MappingProxyType(about))
            without = _SHARED_OF_LOG
        self._keep(self.events, built(Event, data, **given), without)

    def _share(self, data: dict[str, Any]) -> None:
        """Replace texts that occur often, such as names of threads and paths, by one object each."""
        for name, value in data.items():
            if type(value) is str and name not in _OWN:
                known = self._pool.get(value)
                if known is None:
                    self._pool[value] = value
                    self.memory += 128 + sys.getsizeof(value)
                else:
                    data[name] = known

    def _keep(self, entries: list[_E], entry: _E, without: tuple[str, ...] = _SHARED) -> None:
        entries.append(entry)
        self.memory += held_by(entry, without)

    def trace(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of a trace file."""
        match data["op"]:
            case "tile":
                self._keep(self.steps, built(TileStep, data, pid=pid))
            case "order":
                self._keep(self.orders, built(OrderStep, data, pid=pid))
            case "hold":
                self._keep(self.holds, built(HoldStep, data))
            case "fault":
                self.faults.append(MappingProxyType(dict(data)))
                self.memory += memory_of(json.dumps(data).encode())
            case "capability":
                self.capabilities.add(str(data["name"]))
            case "lost":
                self.lost += max(1, int(data["n"]))
            case "exception":
                self._keep(self.exceptions, built(Raised, data, pid=pid))
            case "config":
                self.settings.update(dict(data["settings"]))
                self.memory += memory_of(json.dumps(data).encode())
            case _:
                self._keep(self.operations, built(Operation, data, pid=pid))


def read_events(folder: Path) -> tuple[Event, ...]:
    """Read only the events of a record, in order of time, without the lines that can't be read; none beyond the limits."""
    try:
        return tuple(sorted(_with_events(folder).events, key=lambda e: e.t))
    except BeyondError:
        return ()


def beyond(folder: Path) -> str:
    """Return a sentence if the files of events and traces are beyond the limits of the harness, else the empty string.

    Their number of lines and bytes is looked at, not the memory that they take.
    """
    try:
        count_lines([*_files(folder, "events"), *_files(folder, "trace")])
    except (RecordError, OSError) as error:
        return str(error)
    return ""


def _files(folder: Path, kind: str) -> list[Path]:
    return sorted(folder.glob(f"{kind}-*.jsonl"))


def _with_events(folder: Path) -> _Reading:
    reading = _Reading([], [], [], [], [], [], set(), {}, [])
    count_lines(_files(folder, "events"))
    for path in _files(folder, "events"):
        reading.take(path, EVENTS_FORMAT, reading.event)
    return reading


def _with_traces(folder: Path) -> _Reading:
    count_lines([*_files(folder, "events"), *_files(folder, "trace")])
    reading = _with_events(folder)
    for path in _files(folder, "trace"):
        reading.take(path, TRACE_FORMAT, reading.trace)
    return reading


def read_history(folder: Path) -> History:
    """Read the events, traces and samples of a record. Lines that can't be read are named in ``torn``.

    Events and traces beyond the limits of ``harness/record/limits.py`` are not read, and ``beyond`` says why.
    """
    said = ""
    try:
        with _without_collector():
            reading = _with_traces(folder)
        spend(reading.memory, "events-*.jsonl + trace-*.jsonl")
    except BeyondError as error:
        reading, said = _Reading([], [], [], [], [], [], set(), {}, []), str(error)
    lost = max(reading.lost, _losses_on_console(folder / "console.log", reading.torn))
    disk = read_samples(folder / "disk.jsonl", reading.torn, DiskSample)
    processes = read_samples(folder / "process.jsonl", reading.torn, ProcessSample)
    return History(
        events=_by_time(reading.events),
        operations=_by_time(reading.operations),
        steps=_by_time(reading.steps),
        holds=_by_time(reading.holds),
        faults=tuple(reading.faults),
        disk=disk,
        processes=processes,
        capabilities=frozenset(reading.capabilities),
        torn=tuple(reading.torn),
        lost=lost,
        settings=MappingProxyType(reading.settings),
        exceptions=_by_time(reading.exceptions),
        orders=_by_time(reading.orders),
        beyond=said,
    )


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Hold the search for cycles while entries are read: it would look at all of them again and again, and they have none."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()


def _by_time(entries: list[_E]) -> tuple[_E, ...]:
    """Return entries in order of time. The list is emptied: it would be a second copy while the others are made."""
    entries.sort(key=lambda entry: entry.t)
    ordered = tuple(entries)
    entries.clear()
    return ordered


def read_exceptions(folder: Path) -> tuple[Raised, ...]:
    """Read the exceptions in the traces of a record, in order of time, without the other lines; torn lines are left out.

    Of a record beyond the limits those before the limit are returned.
    """
    found: list[Raised] = []
    memory = 0
    with contextlib.suppress(RecordError):
        count_lines(_files(folder, "trace"))
        for path in _files(folder, "trace"):
            for line in lines_of(path):
                if b'"exception"' not in line:
                    continue
                with contextlib.suppress(*UNREADABLE):
                    data = json.loads(line)
                    if data["op"] == "exception":
                        found.append(built(Raised, data, pid=0))
                        memory += held_by(found[-1])
                if memory > limits.SAMPLES_MEMORY:
                    break
    return tuple(sorted(found, key=lambda raised: raised.t))


def _losses_on_console(path: Path, torn: list[str]) -> int:
    """Count the losses that the probe reported on standard error: if the disk stayed full, the trace does not have them."""
    if not os.path.lexists(path):
        return 0
    try:
        with open_regular(path, limits.TEXT_BYTES) as stream:
            # A line may be of any length: only the start of each is looked at, in parts.
            return sum(_LOSS_LINE in line for line in iter(lambda: stream.readline(limits.LINE_BYTES), b""))
    except RecordError as error:
        torn.append(f"events-: {error}")
        return 0
