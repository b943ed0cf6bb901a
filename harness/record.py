"""The record of a run: its files, and the typed history in them. Reading only.

``docs/protocol.md`` specifies the files. A record stays readable after a crash: a torn last line is dropped and named,
a missing part is ``None`` or empty, and checks that need it conclude ``unknown``. Only a record that is not one at all,
or of a newer format, raises ``RecordError``; nothing else is raised, whatever the bytes of its files are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.message import SaidError, say
from harness.request import Request

SEAL_FORMAT = "phase3-seal/1"
EVENTS_FORMAT = "phase3-events/1"
TRACE_FORMAT = "phase3-trace/1"
PRODUCTS_FORMAT = "phase3-products/1"
TRUTH_FORMAT = "phase3-truth/2"

BLOCK = 32
"""Side of the blocks by which images are measured, in pixels."""

T = TypeVar("T")

# What reading data that are not as specified may raise: text that is no JSON or nested without end, numbers without end, parts
# that are missing or of another type.
_UNREADABLE = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError)
# What the probe says on standard error of each piece of evidence that it could not write.
_TOLD_LOSS = b"phase3 probe: "

Source = Literal["callback", "log", "stage"]
SOURCES: tuple[Source, ...] = ("callback", "log", "stage")
EndState = Literal["done", "crashed", "timed out", "killed"]
END_STATES: tuple[EndState, ...] = ("done", "crashed", "timed out", "killed")
SPARE = ("outputs",)
"""The folders that a copy of a record may be made without: what was made is measured before the seal, and checks read no more."""
Origin = Literal["synthetic", "frames"]
ORIGINS: tuple[Origin, ...] = ("synthetic", "frames")


class RecordError(SaidError):
    """A folder that is not a readable record: what was expected, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """One progress event or log record.

    ``t`` is in monotonic nanoseconds. ``thread`` is a name and ``tid`` the thread's number, ``None`` where none was written.
    ``key`` is the event key, or the unformatted template of a log record; ``text`` is what follows ``KEY:`` in keys such as
    ``MASTER_TILE_COUNT_UPDATE:1/4``, or the formatted log line.
    """

    t: int
    pid: int
    thread: str
    source: Source
    key: str
    level: str
    text: str
    fields: Mapping[str, Any]
    tid: int | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One file operation: ``open``, ``save``, ``remove``, ``rename``, ``rmtree`` or ``mmap``.

    ``state`` is ``attempt`` (seen before it happens), ``done`` or ``failed``. Paths inside the record are relative to it,
    with forward slashes; others are as the target gave them. ``size`` is in bytes, where it is known.
    """

    t: int
    pid: int
    thread: str
    op: str
    state: str
    path: str
    to: str | None
    size: int | None
    errno: int | None
    mode: str | None
    tid: int | None = None


@dataclass(frozen=True, slots=True)
class TileStep:
    """One step of one master tile: ``submitted``, ``started``, ``ended`` or ``collected``.

    ``collected`` is when the thread that submitted the tile took its future's result: what that thread does later is
    ordered after the tile. ``frames`` and ``caches`` are parallel and in the order submitted. ``reference`` is the frame
    on whose grid the tile was made. ``retry_of`` is the tile whose retry group this is.
    """

    t: int
    pid: int
    thread: str
    state: str
    tile: int
    frames: tuple[str, ...]
    caches: tuple[str, ...]
    reference: str | None
    outcome: str | None
    path: str | None
    error: str | None
    retry_of: int | None
    tid: int | None = None


@dataclass(frozen=True, slots=True)
class HoldStep:
    """What became of a hold: ``waiting``, ``met`` or ``unmet`` (with the reason)."""

    t: int
    state: str
    group: int
    until_released: int
    reason: str


@dataclass(frozen=True, slots=True)
class Tile:
    """One master tile over its life, from its steps. Times in monotonic nanoseconds, ``None`` if not seen."""

    tile: int
    frames: tuple[str, ...]
    caches: tuple[str, ...]
    submitted: int | None
    started: int | None
    ended: int | None
    collected: int | None
    collected_by: str | None
    thread: str | None
    outcome: str | None
    reference: str | None
    path: str | None
    error: str | None
    retry_of: int | None

    @property
    def made(self) -> bool:
        """Whether the tile's maker returned a tile."""
        return self.outcome == "made"


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
    """The target's process tree at one time: resident bytes, CPU seconds, threads, open files (-1 where not to be had)."""

    t: int
    processes: int
    rss: int
    cpu: float
    threads: int
    open_files: int


@dataclass(frozen=True, slots=True)
class LeftFile:
    """A file that the target left behind: path relative to the record, size in bytes, kind (``cache``, ``tile``, ...)."""

    path: str
    size: int
    kind: str


@dataclass(frozen=True, slots=True)
class TileProduct:
    """A master tile on disk after the run: its identity and counts from the header.

    ``frames`` is ZMT_NRAW, ``aligned`` is ZMT_NALGN, ``reference`` is ZMT_REF; ``None`` where the header has no such card.
    """

    path: str
    tile: int
    frames: int | None
    aligned: int | None
    reference: str | None


@dataclass(frozen=True)
class Plane:
    """One image as it was written: its digest, and statistics by blocks of ``BLOCK`` by ``BLOCK`` pixels, without its pixels.

    Parameters
    ----------
    name
        The HDU's name; ``PRIMARY`` where the first has none.
    file
        Path of its file, relative to the record.
    shape, bitpix
        Its axes as numpy orders them, and its type as FITS names it.
    sha256
        SHA-256 of its data as the file holds them: equal data have equal digests.
    count, sum, low, high
        By block, shape (channels, rows, columns): how many values are finite, their sum, the least and the largest (NaN where
        none is).

    """

    name: str
    file: str
    shape: tuple[int, ...]
    bitpix: int
    sha256: str
    count: NDArray[np.uint16] = field(repr=False)
    sum: NDArray[np.float64] = field(repr=False)
    low: NDArray[np.floating[Any]] = field(repr=False)
    high: NDArray[np.floating[Any]] = field(repr=False)


@dataclass(frozen=True)
class Products:
    """What the run made, measured: no pixels.

    Parameters
    ----------
    mosaic
        Path of the mosaic, relative to the record; ``None`` if there is none.
    wcs
        WCS cards of the *decimated* mask's grid.
    step
        Decimation in pixels: one mask element stands for ``step`` by ``step`` mosaic pixels.
    covered
        Boolean, shape (rows, columns): coverage > 0 and alpha > 0 and finite.
    depth
        Float32, same shape: the coverage map, in the target's own unit.
    stars
        Float64, shape (n, 3): right ascension and declination in degrees, flux in the mosaic's unit.
    tiles
        The master tiles that were kept.
    thumbnail
        Path of a PNG of the mosaic, relative to the record, or ``None``.
    constant
        Boolean, shape as ``covered``: covered elements whose pixels lie in runs of equal values, as filling leaves them; ``None``
        where it was not measured.
    planes
        The images of the mosaic's file and of its coverage map's, in their order; empty where they were not measured.

    """

    mosaic: str | None
    wcs: Mapping[str, str | int | float]
    step: int
    covered: NDArray[np.bool_]
    depth: NDArray[np.float32]
    stars: NDArray[np.float64]
    tiles: tuple[TileProduct, ...]
    thumbnail: str | None
    constant: NDArray[np.bool_] | None = None
    planes: tuple[Plane, ...] = ()


@dataclass(frozen=True, slots=True)
class Truth:
    """What a dataset shows, as far as that is known without the target.

    Parameters
    ----------
    stars
        Shape ``(n, 3)``, float64, brightest first: right ascension and declination (degrees, ICRS), flux (ADU per
        exposure, without colour filters). Stars of the whole field, also such as no frame covers.
    sky
        Level of the empty sky, in ADU per pixel and exposure, without colour filters; a frame adds a gradient to it.
    filters
        What the red, green and blue filters let pass; ones for a camera without filters.
    origin
        ``synthetic``: the stars that the frames were drawn from. ``frames``: stars that were found in a mosaic made straight from
        observed frames, with their fluxes there; what is too faint for that is not among them.
    clouded
        Names of the frames that show no stars.

    """

    stars: NDArray[np.float64]
    sky: float
    filters: tuple[float, float, float]
    origin: Origin = "synthetic"
    clouded: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {
            "format": TRUTH_FORMAT,
            "origin": self.origin,
            "sky": self.sky,
            "filters": list(self.filters),
            "clouded": list(self.clouded),
            "stars": self.stars.tolist(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Truth:
        """Rebuild a truth. Raises ``ValueError``, ``TypeError`` or ``KeyError`` when the data is not one."""
        if data["format"] != TRUTH_FORMAT:
            raise ValueError(f"expected a truth of format {TRUTH_FORMAT!r}, found {data['format']!r}")
        red, green, blue = (float(share) for share in data["filters"])
        return cls(
            stars=np.array(data["stars"], dtype=np.float64).reshape(-1, 3),
            sky=float(data["sky"]),
            filters=(red, green, blue),
            origin=_one_of(data["origin"], ORIGINS),
            clouded=tuple(str(name) for name in data["clouded"]),
        )


@dataclass(frozen=True, slots=True)
class Seal:
    """How the run ended and the SHA-256 of every file of the record at that time.

    ``without`` names the folders that a copy of the record was made without; the digests of their files stay.
    """

    state: EndState
    exit_code: int | None
    reason: str
    seconds: float
    files: Mapping[str, str]
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class History:
    """Everything that was observed, in order of time.

    ``torn`` names the lines that can't be read. ``lost`` is how much evidence the probe says that it could not write.
    ``settings`` are the effective settings of the target, flat; empty where they were not recorded.
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

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The master tiles, by id, each put together from its steps."""
        by_id: dict[int, list[TileStep]] = {}
        for step in self.steps:
            by_id.setdefault(step.tile, []).append(step)
        return tuple(_tile(tile, steps) for tile, steps in sorted(by_id.items()))

    def named(self, *keys: str) -> tuple[Event, ...]:
        """Return the callback events with one of these keys, in order of time."""
        return tuple(e for e in self.events if e.key in keys and e.source == "callback")

    def logged(self, start: str) -> tuple[Event, ...]:
        """Return the log records whose line starts with this text."""
        return tuple(e for e in self.events if e.source == "log" and e.text.startswith(start))


@dataclass(frozen=True)
class Record:
    """One run: request, history, products, left-overs and seal, each ``None`` where the run did not get that far.

    ``truth`` is what the dataset shows, ``None`` where nobody knows.
    """

    folder: Path
    request: Request
    history: History
    products: Products | None
    left: tuple[LeftFile, ...] | None
    seal: Seal | None
    damage: tuple[str, ...]
    truth: Truth | None = None

    @property
    def usable(self) -> bool:
        """Whether the run was sealed as done and nothing was changed since."""
        return self.seal is not None and self.seal.state == "done" and not self.damage


def read_record(folder: Path) -> Record:
    """Read a record, sealed or not.

    Raises
    ------
    RecordError
        When there is no request, a file has a format of another version, or what was measured can't be read.

    """
    try:
        return _read_record(folder)
    except RecordError:
        raise
    except (*_UNREADABLE, OSError) as error:
        raise RecordError(
            say(
                "expected a record in {folder}, found one that can't be read ({error}): record the run again",
                folder=str(folder),
                error=repr(error),
            )
        ) from error


def read_request(folder: Path) -> Request:
    """Read what a run was asked to do, and nothing else of its record.

    Raises
    ------
    RecordError
        When there is no request, or none that can be read.

    """
    path = folder / "request.json"
    try:
        return Request.from_json(_read_json(path))
    except FileNotFoundError:
        raise RecordError(
            say(
                "expected a record with a request.json, found none in {folder}: name a run's folder", folder=str(folder)
            )
        ) from None
    except _UNREADABLE as error:
        raise RecordError(
            say(
                "expected a request in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _read_record(folder: Path) -> Record:
    request = read_request(folder)
    seal = _read_seal(folder)
    damage = tuple(_damage(folder, seal)) if seal else ()
    history = _read_history(folder)
    torn: list[str] = []
    left = _read_left(folder, torn)
    return Record(
        folder=folder,
        request=request,
        history=replace(history, torn=(*history.torn, *torn)),
        products=read_products(folder),
        left=left,
        seal=seal,
        damage=damage,
        truth=_read_truth(folder),
    )


def damage_of(folder: Path) -> tuple[str, ...]:
    """Name what is not as it was when a record was sealed; nothing for one that was not.

    Raises
    ------
    RecordError
        When the seal can't be read.

    """
    seal = _read_seal(folder)
    return tuple(_damage(folder, seal)) if seal else ()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def inside(folder: Path, name: str) -> Path:
    """Return ``folder / name``; raise ``RecordError`` when a name from a record would leave its folder."""
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name.partition("/")[0]:
        raise RecordError(
            say(
                "expected a path inside the record, found {name}: the record was changed, record the run again",
                name=repr(name),
            )
        )
    return folder / pure


def _read_json(path: Path) -> Mapping[str, Any]:
    data = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise TypeError(f"expected a JSON object in {path.name}, found {type(data).__name__}")
    return data


def _read_seal(folder: Path) -> Seal | None:
    path = folder / "seal.json"
    if not path.exists():
        return None
    try:
        data = _read_json(path)
        _check_format(path, data, SEAL_FORMAT)
        state = _one_of(data["state"], END_STATES)
        code = data["exit_code"]
        files = {str(k): str(v) for k, v in dict(data["files"]).items()}
        return Seal(
            state,
            None if code is None else int(code),
            str(data["reason"]),
            float(data["seconds"]),
            MappingProxyType(files),
            tuple(_one_of(name, SPARE) for name in data.get("without", ())),
        )
    except RecordError:
        raise
    except _UNREADABLE as error:
        raise RecordError(
            say(
                "expected a seal in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _read_truth(folder: Path) -> Truth | None:
    path = folder / "truth.json"
    if not path.exists():
        return None
    try:
        return Truth.from_json(_read_json(path))
    except _UNREADABLE as error:
        raise RecordError(
            say(
                "expected a truth in {path}, found one that can't be read ({error}): record the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _damage(folder: Path, seal: Seal) -> Iterator[str]:
    """Name every file that is not as it was when the record was sealed."""
    for name, digest in sorted(seal.files.items()):
        path = inside(folder, name)
        if not path.is_file():
            if name.partition("/")[0] not in seal.without:
                yield f"{name}: missing"
        elif sha256_of(path) != digest:
            yield f"{name}: changed since the record was sealed"
    for path in sorted(folder.glob("*.json*")):
        if path.name != "seal.json" and path.name not in seal.files:
            yield f"{path.name}: added since the record was sealed"


def _check_format(path: Path, data: Mapping[str, Any], expected: str) -> None:
    found = data.get("format")
    if found != expected:
        raise RecordError(
            say(
                "expected format {expected} in {path}, found {found}: read it with the harness that wrote it",
                expected=repr(expected),
                path=str(path),
                found=repr(found),
            )
        )


def _read_lines(path: Path, torn: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON objects of a file with the numbers of their lines. A line that can't be read is named in ``torn``."""
    with path.open(encoding="utf-8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            try:
                data = json.loads(line)
            except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested without end
                torn.append(f"{path.name}, line {number}")
                continue
            if isinstance(data, dict):
                yield number, data
            else:
                torn.append(f"{path.name}, line {number}")


@dataclass
class _Reading:
    """What has been read so far of a history's files."""

    torn: list[str]
    events: list[Event]
    operations: list[Operation]
    steps: list[TileStep]
    holds: list[HoldStep]
    faults: list[Mapping[str, Any]]
    capabilities: set[str]
    settings: dict[str, Any]
    lost: int = 0

    def take(self, path: Path, expected: str, entry: Callable[[int, Mapping[str, Any]], None]) -> None:
        """Read one file: its header, then each entry. An entry that can't be read is named and left out."""
        pid = 0
        for number, data in _read_lines(path, self.torn):
            try:
                if number == 1:
                    _check_format(path, data, expected)
                    pid = int(data["pid"])
                    self.capabilities.update(str(name) for name in data.get("capabilities", ()))
                else:
                    entry(pid, data)
            except RecordError:
                raise
            except _UNREADABLE:
                self.torn.append(f"{path.name}, line {number}")

    def event(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of an events file."""
        self.events.append(_event(pid, data))

    def trace(self, pid: int, data: Mapping[str, Any]) -> None:
        """Take a line of a trace file."""
        match data["op"]:
            case "tile":
                self.steps.append(_step(pid, data))
            case "hold":
                self.holds.append(_hold(data))
            case "fault":
                self.faults.append(MappingProxyType(dict(data)))
            case "capability":
                self.capabilities.add(str(data["name"]))
            case "lost":
                self.lost += max(1, int(data["n"]))
            case "config":
                self.settings.update(dict(data["settings"]))
            case _:
                self.operations.append(_operation(pid, data))


def _read_history(folder: Path) -> History:
    reading = _Reading([], [], [], [], [], [], set(), {})
    for path in sorted(folder.glob("events-*.jsonl")):
        reading.take(path, EVENTS_FORMAT, reading.event)
    for path in sorted(folder.glob("trace-*.jsonl")):
        reading.take(path, TRACE_FORMAT, reading.trace)
    disk = _samples(folder / "disk.jsonl", reading.torn, _disk_sample)
    processes = _samples(folder / "process.jsonl", reading.torn, _process_sample)
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
        lost=max(reading.lost, _told_on_console(folder / "console.log")),
        settings=MappingProxyType(reading.settings),
    )


def _told_on_console(path: Path) -> int:
    """Count what the probe said that it lost: of a disk that stayed full, nothing else tells."""
    if not path.is_file():
        return 0
    with path.open("rb") as stream:
        return sum(_TOLD_LOSS in line for line in stream)


def _hold(data: Mapping[str, Any]) -> HoldStep:
    return HoldStep(
        t=int(data["t"]),
        state=str(data["state"]),
        group=int(data["group"]),
        until_released=int(data["until_released"]),
        reason=str(data.get("reason", "")),
    )


def _samples(path: Path, torn: list[str], make: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    if not path.exists():
        return ()
    found: list[T] = []
    for number, data in _read_lines(path, torn):
        try:
            found.append(make(data))
        except _UNREADABLE:
            torn.append(f"{path.name}, line {number}")
    return tuple(found)


def _event(pid: int, data: Mapping[str, Any]) -> Event:
    fields = data.get("fields") or {}
    return Event(
        t=int(data["t"]),
        pid=pid,
        thread=str(data["thread"]),
        source=_one_of(data["source"], SOURCES),
        key=str(data["key"]),
        level=str(data.get("level", "")),
        text=str(data.get("text", "")),
        fields=MappingProxyType(dict(fields)),
        tid=_int(data.get("tid")),
    )


def _operation(pid: int, data: Mapping[str, Any]) -> Operation:
    size, errno, to, mode = (data.get(name) for name in ("size", "errno", "to", "mode"))
    return Operation(
        t=int(data["t"]),
        pid=pid,
        thread=str(data["thread"]),
        op=str(data["op"]),
        state=str(data["state"]),
        path=str(data["path"]),
        to=None if to is None else str(to),
        size=None if size is None else int(size),
        errno=None if errno is None else int(errno),
        mode=None if mode is None else str(mode),
        tid=_int(data.get("tid")),
    )


def _step(pid: int, data: Mapping[str, Any]) -> TileStep:
    def text(name: str) -> str | None:
        value = data.get(name)
        return None if value is None else str(value)

    retry_of = data.get("retry_of")
    return TileStep(
        t=int(data["t"]),
        pid=pid,
        thread=str(data["thread"]),
        state=str(data["state"]),
        tile=int(data["tile"]),
        frames=tuple(str(name) for name in data.get("frames", ())),
        caches=tuple(str(name) for name in data.get("caches", ())),
        reference=text("reference"),
        outcome=text("outcome"),
        path=text("path"),
        error=text("error"),
        retry_of=None if retry_of is None else int(retry_of),
        tid=_int(data.get("tid")),
    )


def _tile(tile: int, steps: list[TileStep]) -> Tile:
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
    )


def _disk_sample(data: Mapping[str, Any]) -> DiskSample:
    return DiskSample(int(data["t"]), str(data["folder"]), int(data["size"]), int(data["files"]), int(data["free"]))


def _process_sample(data: Mapping[str, Any]) -> ProcessSample:
    names = ("t", "processes", "rss", "threads", "open_files")
    t, processes, rss, threads, open_files = (int(data[name]) for name in names)
    return ProcessSample(t, processes, rss, float(data["cpu"]), threads, open_files)


def _read_left(folder: Path, torn: list[str] | None = None) -> tuple[LeftFile, ...] | None:
    """Return what was left; ``None`` where that is not known in full. Lines that can't be read are added to ``torn``."""
    path = folder / "left.jsonl"
    if not path.exists():
        return None
    unread: list[str] = []
    found = _samples(path, unread, lambda d: LeftFile(str(d["path"]), int(d["size"]), str(d["kind"])))
    if torn is not None:
        torn.extend(unread)
    return None if unread else found


def read_products(folder: Path) -> Products | None:
    """Read what was measured after a run; ``None`` when nothing was. Raises ``RecordError`` when it can't be read."""
    path = folder / "products.json"
    if not path.exists():
        return None
    try:
        data = _read_json(path)
        _check_format(path, data, PRODUCTS_FORMAT)
        # Opened here, for numpy leaves a file open whose archive it can't read.
        with (folder / "products.npz").open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            depth = np.asarray(arrays["depth"], dtype=np.float32)
            stars = np.asarray(arrays["stars"], dtype=np.float64).reshape(-1, 3)
            covered = _unpacked(np.asarray(arrays["covered"], dtype=np.uint8), depth, data["shape"])
            flat = np.asarray(arrays["constant"], dtype=np.uint8) if "constant" in arrays else None
            constant = None if flat is None else _unpacked(flat, depth, data["shape"])
            planes = tuple(_plane(i, plane, arrays) for i, plane in enumerate(data.get("planes", ())))
        tiles = tuple(
            TileProduct(str(t["path"]), int(t["tile"]), _int(t["frames"]), _int(t["aligned"]), _str(t["reference"]))
            for t in data["tiles"]
        )
        return Products(
            mosaic=_str(data["mosaic"]),
            wcs=MappingProxyType(dict(data["wcs"])),
            step=int(data["step"]),
            covered=covered,
            depth=depth,
            stars=stars,
            tiles=tiles,
            thumbnail=_str(data["thumbnail"]),
            constant=constant,
            planes=planes,
        )
    except RecordError:
        raise
    except Exception as error:  # a damaged archive raises errors of a dozen libraries, memory among them
        raise RecordError(
            say(
                "expected measured products in {path}, found some that can't be read ({error}): measure the run again",
                path=str(path),
                error=str(error),
            )
        ) from error


def _plane(index: int, data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Plane:
    count = np.asarray(arrays[f"plane{index}_count"], dtype=np.uint16)
    total = np.asarray(arrays[f"plane{index}_sum"], dtype=np.float64)
    low, high = (np.asarray(arrays[f"plane{index}_{name}"]) for name in ("low", "high"))
    if count.ndim != 3 or any(a.shape != count.shape or a.dtype.kind != "f" for a in (total, low, high)):
        raise ValueError(f"statistics of {data['name']} with shapes {count.shape}, {total.shape}, {low.shape}")
    shape = tuple(int(n) for n in data["shape"])
    return Plane(
        str(data["name"]), str(data["file"]), shape, int(data["bitpix"]), str(data["sha256"]), count, total, low, high
    )


def _unpacked(bits: NDArray[np.uint8], depth: NDArray[np.float32], shape: Any) -> NDArray[np.bool_]:
    """Return the mask in packed bits. Missing bits would be read as zeros, as holes: so their number must be right."""
    if depth.ndim != 2 or list(depth.shape) != shape or bits.shape != (-(-depth.size // 8),):
        raise ValueError(f"masks of {depth.shape} elements and {bits.size} bytes, expected a shape of {shape}")
    return np.unpackbits(bits, count=depth.size).reshape(depth.shape).astype(np.bool_)


def _int(value: Any) -> int | None:
    return None if value is None else int(value)


def _str(value: Any) -> str | None:
    return None if value is None else str(value)


def _one_of(value: Any, known: tuple[T, ...]) -> T:
    if value not in known:
        raise ValueError(f"expected one of {known}, found {value!r}")
    return known[known.index(value)]
