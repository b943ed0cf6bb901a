"""Examine an ordinary run from its output folder and, where there is one, ZeMosaic's log, as a bug report brings them.

Events are read from the log, tiles from the headers of the kept ones, holes from the mosaic. Everything else stays *unknown*.
The folder is not changed.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.analysis.made import SAVED, Origin, TakenOver, named, saved_mosaics, taken_over
from harness.analysis.modes import SDS_DONE, SDS_ON
from harness.analysis.phase3 import FAILED, INVALID, MISSING, NONE_MADE, STARVED, name_of, number, phase_3_start
from harness.checks.judge import judge
from harness.field.folder_link import link, unlink
from harness.language.message import Message, SaidError, say
from harness.probe.events import split
from harness.record.comparison import Comparison
from harness.record.history import Event, History, TileStep
from harness.record.leftovers import PASSING, LeftFile, count_left, kind_of
from harness.record.products import Products, TileProduct, read_products
from harness.record.reader import Record
from harness.record.request import RETENTIONS, DatasetFacts, Mode, Request, Retention, TargetFacts
from harness.record.seal import EndState, Seal
from harness.record.truth import Truth
from harness.targets.zemosaic import ZeMosaic
from harness.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from fixtures.datasets import Dataset

LOG = "zemosaic_worker.log"
LARGEST = 64 * 2**20
"""How many bytes of a log are read, at its end."""
_LINES = 1000  # of one log record; no traceback has more

# 2026-11-25 00:20:56,614 - ZeMosaicWorker - INFO - zemosaic_worker._log_and_callback:8258 - message
_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d{3}) - ([\w.]+) - ([A-Z]+) - ([\w.<>]+):\d+ - (.*)", re.DOTALL
)
# A message of the progress callback, with any encoding of the accent.
_PROGRESS = re.compile(r"\[CL.{1,4}_POUR_GUI: (.*?)\](?: \(Args: (\{.*\})\))?", re.DOTALL)
_ARGUMENT = re.compile(
    r"'(\w+)': (?:np\.\w+\()?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?\d+(?:\.\d*)?(?:e[-+]?\d+)?)|(True|False))"
)
_CALLBACK = "_log_and_callback"
_LEVELS = MappingProxyType({"WARNING": "WARN"})
# The second is the patch's own line: newer versions keep a log in the output folder that begins after the first line.
_RETENTION = re.compile(r"Cache retention mode: (\w+)")
_COUNTED = re.compile(r"(per_tile) cache retention uses refcount")
_WORKERS = re.compile(r"WORKERS_PHASE3: \D*(\d+)")
_MADE_OF = re.compile(r"zemosaic_MT(\d+)_R(\d+)")
_BEGUN, _DONE = "run_info_processing_started", "run_success_processing_completed"
_MOSAIC = re.compile(r"zemosaic_MT\d+_R\d+|mosaic_grid")
_TILE = re.compile(r"master_tile_(\d{1,9})\.fits")
_ZONE = 15 * 60.0
_FARTHEST = 26 * 3600.0  # the largest difference of two time zones
_CLOCKS = 60.0  # seconds by which the mosaic's time may differ from the log's
_GRAIN = 5.0  # seconds; some file systems keep times to two seconds
_FATAL = re.compile(r"run_error_(?!phase3_thread_exception)|PROCESS_ERROR")
_CRASHED = "Worker process crashed"


@dataclass(frozen=True, slots=True)
class Autopsy:
    """The result of an examination: the known facts as a record in memory, findings in words, and verdicts.

    ``verdicts`` are those of the checks, and ``left`` on the caches in the folder. ``wanted`` is what the user can give to answer
    the open questions.
    """

    record: Record
    notes: tuple[Message, ...]
    verdicts: tuple[Verdict, ...]
    wanted: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """The last run in a log.

    ``gaps`` name the missing parts of that run; ``notes`` are further findings on the log.
    """

    events: tuple[Event, ...]
    retention: Retention | None = None
    workers: int | None = None
    gaps: tuple[str, ...] = ()
    notes: tuple[Message, ...] = ()

    def named(self, *keys: str) -> list[Event]:
        """Return the progress events of these keys."""
        return [e for e in self.events if e.source == "callback" and e.key in keys]

    @property
    def saved(self) -> str | None:
        """The name of the mosaic that the run saved."""
        return next(iter(saved_mosaics(self.events)), None)


def examine(folder: Path, log: Path | None = None, frames: Path | None = None) -> Autopsy:
    """Examine the output folder of a run; it is only read.

    ``log`` is ZeMosaic's log of that run; by default the log that newer versions keep in the output folder. ``frames`` is the
    folder of that run's frames, which define the required sky of the tiles.

    Raises
    ------
    SaidError
        When there is no such folder, log, or folder of frames.

    """
    if not folder.is_dir():
        raise SaidError(
            say(
                "Expected the output folder of a run, found no folder at {folder}: name that folder.",
                folder=str(folder),
            )
        )
    if log is None and (folder / LOG).is_file():
        log = folder / LOG
    found = read_log(log) if log is not None else None
    dataset, left_out = _dataset(folder, frames)
    record, problems = _record(folder, found, dataset.facts, dataset.truth)
    strange = found is not None and found.saved is not None and not _is_there(folder, found.saved)
    if strange and found is not None:
        # The events of a foreign log happened, but they are not evidence that nothing else happened in the folder's run.
        gap = f"events-log: the log is of a run that saved {found.saved}, which is not in the folder"
        record = replace(record, history=replace(record.history, torn=(*record.history.torn, gap)))
    verdicts = [_plainly(v, record, found) for v in judge(Comparison(record))]
    verdicts.append(_left(record, found, strange=strange))
    notes = (
        *_notes_of_folder(record),
        *problems,
        *left_out,
        *_notes_of_log(found, taken_over(record.history), strange=strange),
    )
    return Autopsy(record, notes, tuple(verdicts), tuple(_wanted(verdicts, log, frames)))


# The log


def read_log(path: Path) -> Log:
    """Read the last run from a log in ZeMosaic's format; the log may be incomplete.

    Raises
    ------
    SaidError
        When there is no such file.

    """
    if not path.is_file():
        raise SaidError(say("Expected ZeMosaic's log, found no file {path}: name the log.", path=str(path)))
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - LARGEST))
        text = _text(stream.read())
    lines, strange = _lines(text)
    name = re.sub(r"[^\w.-]+", "-", path.name)
    if not lines:
        note = say(
            "No line of {path} is in the format of ZeMosaic's log; send zemosaic_worker.log itself.", path=path.name
        )
        return Log((), gaps=(f"{name}: no line of it can be read",), notes=(note,))
    begins = [n for n, event in enumerate(lines) if event.key == _BEGUN]
    events = tuple(lines[_beginning(lines, begins) :])
    several = say("The log contains {count} runs; the last one is examined.", count=len(begins))
    retention = _found(_RETENTION, events) or _found(_COUNTED, events)
    workers = _found(_WORKERS, events)
    return Log(
        events=events,
        retention=next((r for r in RETENTIONS if r == retention), None),
        workers=int(workers) if workers else None,
        gaps=tuple(f"{name}: {gap}" for gap in _gaps(events, cut=not begins, strange=strange)),
        notes=(several,) if len(begins) > 1 else (),
    )


def _text(data: bytes) -> str:
    """Decode a log in the encodings that copying it may cause: UTF-8, UTF-16, or Windows' Western code page."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[:4096].count(0) > len(data[:4096]) // 4:
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _lines(text: str) -> tuple[list[Event], int]:
    """Return the records of a log, and the number of unreadable lines, which may have been further records.

    A line that continues a record, such as a traceback's, is part of it. A complete message of the callback has no such lines.
    """
    found: list[list[str]] = []
    strange = 0
    for line in text.splitlines():
        if _LINE.match(line):
            found.append([line])
        elif found and "\0" not in line and len(found[-1]) < _LINES and not _is_whole_message(found[-1]):
            found[-1].append(line)
        elif found:
            strange += bool(line.strip())
    return [event for record in found if (event := _event("\n".join(record))) is not None], strange


def _is_whole_message(record: Sequence[str]) -> bool:
    if not record[-1].endswith(("]", "})")):
        return False
    line = _LINE.fullmatch("\n".join(record))
    return line is not None and _PROGRESS.fullmatch(line[5]) is not None


def _event(text: str) -> Event | None:
    line = _LINE.fullmatch(text)
    if line is None:
        return None
    when, logger, level, place, message = line.groups()
    try:
        time = datetime.fromisoformat(when.replace(",", "."))
    except ValueError:
        return None
    t = int((time - datetime(1970, 1, 1)).total_seconds() * 1000) * 1_000_000  # noqa: DTZ001 -- a log names no zone
    progress = _PROGRESS.fullmatch(message)
    if progress is None and not place.endswith(f".{_CALLBACK}"):
        return Event(t, 0, "log", "log", message, level, message, MappingProxyType({"logger": logger}))
    key, rest = split(progress[1] if progress else message)
    fields = MappingProxyType(dict(_arguments(progress[2] or "") if progress else ()))
    return Event(t, 0, "log", "callback", key, _LEVELS.get(level, level), rest, fields)


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that are texts, numbers or booleans, parsed from their Python form; nothing is evaluated."""
    for name, single, double, figure, truth in _ARGUMENT.findall(text):
        if figure:
            yield name, float(figure) if set(figure) & set(".e") else int(figure)
        elif truth:
            yield name, truth == "True"
        else:
            yield name, re.sub(r"\\(.)", r"\1", single or double)


def _beginning(lines: Sequence[Event], begins: Sequence[int]) -> int:
    """Return the index of the last run's first record: the line on its retention comes a little before its first event."""
    if not begins:
        return 0
    after = begins[-2] + 1 if len(begins) > 1 else 0
    before = [n for n in range(after, begins[-1]) if _RETENTION.match(lines[n].text)]
    return before[-1] if before else begins[-1]


def _gaps(events: Sequence[Event], *, cut: bool, strange: int) -> Iterator[str]:
    if cut:
        yield "it begins in the middle of the run"
    if not any(event.level == "INFO" for event in events):
        yield "its level is above INFO"
    if strange:
        yield f"{strange} lines of it can't be read"


def _found(pattern: re.Pattern[str], events: Iterable[Event]) -> str | None:
    texts = (f"{e.key}:{e.text}" if e.source == "callback" else e.text for e in events)
    return next((match[1] for text in texts if (match := pattern.search(text))), None)


# The record


def _record(folder: Path, log: Log | None, dataset: DatasetFacts, truth: Truth | None) -> tuple[Record, list[Message]]:
    known = log or Log(())
    request = Request(
        case="autopsy",
        role="subject",
        target=TargetFacts(ZeMosaic.name, "zemosaic (an ordinary run)", "", ""),
        dataset=dataset,
        plan=None,
        # If it is unknown, the retention whose checks ask for more evidence.
        retention=known.retention or "per_tile",
        workers=known.workers or 1,
        mode=_mode(folder, known),
        profile="default",
    )
    history = History(
        events=known.events,
        operations=(),
        steps=(),
        holds=(),
        faults=(),
        disk=(),
        processes=(),
        capabilities=_sources(known),
        torn=tuple(f"events-{gap}" for gap in known.gaps),
    )
    origin = _origin(folder.resolve(), log, taken_over(history))
    products, left, problems = _measured(folder, request, origin)
    state, reason = _end(log)
    record = Record(
        folder=folder,
        request=request,
        history=replace(history, steps=tuple(_steps(products.tiles if products is not None else ()))),
        products=products,
        left=left,
        seal=Seal(state, None, reason, 0.0, MappingProxyType({})),
        damage=(),
        truth=truth,
    )
    return record, problems


def _sources(log: Log) -> frozenset[str]:
    """Return the sources that a log replaces. A log without a line on retention can't show missing lines on retention."""
    if not any(event.source == "callback" for event in log.events):
        return frozenset()
    return frozenset({"callback", "log"} if log.retention is not None and not log.gaps else {"callback"})


def _end(log: Log | None) -> tuple[EndState, str]:
    if log is None:
        return "killed", "no log tells how the run ended"
    if log.named(_DONE):
        return "done", ""
    fatal = [e for e in log.events if e.source == "callback" and _FATAL.match(e.key)]
    fatal = fatal or [e for e in log.events if e.source == "log" and e.text.startswith(_CRASHED)]
    if fatal:
        return "crashed", f"the log says {fatal[-1].text or fatal[-1].key}"[:300]
    last = log.events[-1] if log.events else None
    what = "nothing" if last is None else (last.text or last.key).splitlines()[0]
    return "killed", f"the log does not come to the end of the run; it ends with: {what}"[:300]


def _mode(folder: Path, log: Log) -> Mode:
    """Return the mode by the log's events; the files of the folder, which may be of earlier runs, are asked without any only."""
    keys = {e.key for e in log.events if e.source == "callback"}
    if any(key.startswith("[GRID]") for key in keys):
        return "grid"
    if keys & {SDS_ON, SDS_DONE}:
        return "sds"
    saved = log.saved
    if saved is None and keys:
        return "classic"
    if saved is None:
        mosaics = [path for path in folder.glob("*.fits") if _MOSAIC.match(path.name)]
        saved = max(mosaics, key=lambda path: path.stat().st_mtime).name if mosaics else ""
    if saved.startswith("mosaic_grid"):
        return "grid"
    return "sds" if saved.startswith("zemosaic_MT0_R") else "classic"


def _is_there(folder: Path, saved: str) -> bool:
    """Return whether a folder holds the mosaic of this name; where there are two, each has a suffix."""
    stem = Path(saved).stem
    stems = {path.stem for path in folder.glob("*.fits")}
    return any(name == stem or name.startswith(f"{stem}_") for name in stems if not name.endswith("_coverage"))


def _origin(folder: Path, log: Log | None, taken: TakenOver) -> Origin:
    """Return which files of the folder are of the logged run: by its messages, then by the times of the files.

    A log has times of another clock: local, and perhaps of another machine. The clocks are compared at the mosaic, which was
    written just before the log reports it. If they don't agree there, as after the files were copied, times say nothing.
    """
    saved = saved_mosaics(log.events) if log is not None else ()
    start = _start(folder, log, saved)
    if start is None:
        return Origin(saved=saved)
    older = {path for path in folder.rglob("*") if path.is_file() and path.stat().st_mtime < start}
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


def _start(folder: Path, log: Log | None, saved: Sequence[str]) -> float | None:
    """Return the time before which files of the folder are older than the logged run, by the clock of the files."""
    if log is None or not log.named(_BEGUN):
        return None
    told = next((e.t / 1e9 for e in reversed(log.events) if e.source == "callback" and e.key == SAVED), None)
    path = next((path for name in saved if (path := folder / name).is_file()), None)
    if told is None or path is None:
        return None
    shift = path.stat().st_mtime - told
    zone = round(shift / _ZONE) * _ZONE  # zones differ by quarters of an hour
    if abs(zone) > _FARTHEST or abs(shift - zone) > _CLOCKS:
        return None
    return log.named(_BEGUN)[0].t / 1e9 + shift - _GRAIN


def _dataset(folder: Path, frames: Path | None) -> tuple[Dataset, tuple[Message, ...]]:
    """Return the frames with their truth, and what was left out of their folder; without ``frames``, a dataset without any."""
    from fixtures.datasets import Dataset  # noqa: PLC0415 -- astropy is slow
    from fixtures.reference_mosaic import with_truth  # noqa: PLC0415 -- astropy is slow
    from fixtures.user_frames import frames_of  # noqa: PLC0415 -- astropy is slow

    if frames is None:
        return Dataset(DatasetFacts(folder.resolve().name, "user", hashlib.sha256(b"").hexdigest(), ()), folder), ()
    found = with_truth(frames_of(frames))
    if not found.left_out:
        return found, ()
    names = ", ".join(found.left_out[:3])
    note = say("Mosaics and tiles of ZeMosaic among the frames are no frames: {names}.", names=names)
    return found, (note,)


def _measured(
    folder: Path, request: Request, origin: Origin
) -> tuple[Products | None, tuple[LeftFile, ...], list[Message]]:
    """Measure the products in the folder, through a link in a temporary folder."""
    from harness.run.measure import MeasureError, measure  # noqa: PLC0415 -- heavy

    with tempfile.TemporaryDirectory(prefix="phase3-") as name:
        place = Path(name)
        if not link(place / "outputs", folder.resolve()):
            raise SaidError(
                say(
                    "Expected to read {folder} through a symbolic link, found that the system refuses "
                    "symbolic links: allow them.",
                    folder=str(folder),
                )
            )
        try:
            found = count_left(place)
            left = tuple(file for file in found if file.path not in origin.older or file.path in origin.taken)
            notes = list(_notes_of_earlier_runs(found, origin))
            try:
                measure(place, request, origin)
            except MeasureError as error:
                return None, left, [*notes, say("The mosaic could not be measured: {error}", error=str(error))]
            products = read_products(place)
            return products, left, [*notes, *_notes_of_other_mosaics(found, products, origin)]
        finally:
            unlink(place / "outputs")


def _notes_of_earlier_runs(files: Iterable[LeftFile], origin: Origin) -> Iterator[Message]:
    """Name the files of earlier runs, which are not judged."""
    older = [file for file in files if file.path in origin.older - origin.taken and file.kind != "other"]
    if older:
        yield say(
            "Files of an earlier run, which are not judged: {count}, such as {names}.",
            count=len(older),
            names=", ".join(name_of(file.path) for file in older[:3]),
        )


def _notes_of_other_mosaics(files: Iterable[LeftFile], products: Products | None, origin: Origin) -> Iterator[Message]:
    """Name the mosaics of other runs that are as new as the examined one, or whose time says nothing."""
    if products is None or products.mosaic is None:
        return
    ours = _MOSAIC.match(name_of(products.mosaic))
    base = ours[0] if ours else name_of(products.mosaic)
    others = sorted(
        name
        for file in files
        if file.path not in origin.older
        and file.kind == "mosaic"
        and (other := _MOSAIC.match(name := name_of(file.path)))
        and other[0] != base
    )
    if others:
        yield say("Mosaics of other runs, which are not judged: {names}.", names=", ".join(others[:5]))


def _steps(tiles: Iterable[TileProduct]) -> Iterator[TileStep]:
    """Yield the end of each kept tile: its file proves that it was made, and names its reference frame."""
    for tile in tiles:
        yield TileStep(0, 0, "log", "ended", tile.tile, (), (), tile.reference, "made", tile.path, None, None)


# Verdicts and findings


def _plainly(verdict: Verdict, record: Record, log: Log | None) -> Verdict:
    """Name the missing log as the reason of an unknown verdict; the checks would blame a run that was cut short."""
    if verdict.outcome is not Outcome.UNKNOWN or (log is not None and not log.gaps):
        return verdict
    if log is None:
        sentence = say("Without a log the events of the run are unknown.")
    elif phase_3_start(record.history) is None:
        sentence = say("The log is incomplete and does not show the start of Phase 3.")
    else:
        return verdict
    return Verdict(verdict.check, Outcome.UNKNOWN, sentence, verdict.evidence, axis=verdict.axis)


def _left(record: Record, log: Log | None, *, strange: bool) -> Verdict:
    """Judge the caches in the folder: a run that ended well removes them, unless its retention is ``keep``."""
    caches = [file for file in record.left or () if file.kind == "cache"]
    size = sum(file.size for file in caches)
    evidence = {"caches": len(caches), "bytes": size, "files": [file.path for file in caches[:20]]}
    verdict = partial(Verdict, "left", evidence=evidence)
    done = record.seal is not None and record.seal.state == "done"
    # Without a mosaic's name nothing connects the log with the folder.
    if log is None or strange or log.saved is None or log.retention is None or not done:
        sentence = say(
            "Caches left: {count}. Only the complete log of the run that left them can tell whether they "
            "should be there.",
            count=len(caches),
        )
        return verdict(Outcome.UNKNOWN, sentence)
    if log.retention == "keep":
        return verdict(Outcome.NOT_APPLICABLE, say("The retention of the run is keep: its caches stay."))
    if caches:
        sentence = say(
            "The run finished successfully with {retention}. Caches left: {count} ({mib} MiB).",
            retention=log.retention,
            count=len(caches),
            mib=round(size / 2**20, 1),
        )
        return verdict(Outcome.FAIL, sentence)
    return verdict(Outcome.PASS, say("The run finished successfully and left no cache."))


def _notes_of_folder(record: Record) -> Iterator[Message]:
    products = record.products
    kinds = Counter(file.kind for file in record.left or ())
    yield say(
        "The folder contains {caches} caches, {masks} hot-pixel masks, {tiles} master tiles.",
        caches=kinds["cache"],
        masks=kinds["mask"],
        tiles=kinds["tile"],
    )
    if products is None or products.mosaic is None:
        yield say("There is no mosaic in the folder.")
        return
    name = products.mosaic.rpartition("/")[2]
    covered = float(products.covered.mean()) if products.covered.size else 0.0
    yield say("The mosaic is {name}; {share} % of it is covered.", name=name, share=round(100 * covered, 1))
    if made := _MADE_OF.match(name):
        yield say(
            "According to its file name, it was made from {tiles} master tiles and {frames} frames.",
            tiles=made[1],
            frames=made[2],
        )
    short = [t for t in products.tiles if t.frames is not None and t.aligned is not None and t.aligned < t.frames]
    for tile in short[:10]:
        yield say(
            "Tile {tile} was made from {aligned} of its {frames} frames.",
            tile=tile.tile,
            aligned=tile.aligned or 0,
            frames=tile.frames or 0,
        )


def _notes_of_log(log: Log | None, taken: TakenOver, *, strange: bool) -> Iterator[Message]:
    if log is None:
        return
    yield from log.notes
    if log.events:
        yield say(
            "The log: {count} records of the run, retention {retention}, Phase 3 workers {workers}.",
            count=len(log.events),
            retention=log.retention or "?",
            workers=log.workers or "?",
        )
        begun = {number(e, "tile_id") for e in log.named("mastertile_info_creation_started_from_cache")} - {None}
        yield say(
            "The log states: {groups} groups, {begun} tiles begun, {made} made.",
            groups=_stated(log, "run_info_phase2_finished", "num_groups"),
            begun=len(begun),
            made=_stated(log, "run_info_phase3_finished_from_cache", "num_master_tiles"),
        )
    yield from named(taken)
    for gap in log.gaps:
        yield say("The log is incomplete: {gap}.", gap=gap)
    if strange:
        yield say("The log is from a run that saved {name}, which is not in the folder.", name=log.saved or "?")
    keys = (MISSING, INVALID, STARVED, FAILED, NONE_MADE)
    counts = Counter(event.key for event in log.named(*keys))
    for key in keys:
        if counts[key]:
            yield say("{key}: {count}", key=key, count=counts[key])


def _stated(log: Log, key: str, field: str) -> int | str:
    """Return the last number that an event stated; "?" without one."""
    stated = [value for event in log.named(key) if (value := number(event, field)) is not None]
    return stated[-1] if stated else "?"


def _wanted(verdicts: Iterable[Verdict], log: Path | None, frames: Path | None) -> Iterator[Message]:
    """Yield what would answer the open questions, the cheapest first."""
    if all(verdict.outcome is not Outcome.UNKNOWN for verdict in verdicts):
        return
    if log is None:
        yield say("Give the log too: zemosaic_worker.log in ZeMosaic's configuration, working or output folder.")
    if frames is None:
        yield say("Name the frames with --frames: they define the sky that the kept tiles must cover.")
    yield say("Caches, tiles and their order are seen only in a run with the probe: phase3 record -- COMMAND.")
