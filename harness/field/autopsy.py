"""Examine an ordinary run from its output folder and, where there is one, ZeMosaic's log, as a bug report brings them.

Events are read from the log, tiles from the headers of the kept ones, holes from the mosaic. Everything else stays *unknown*.
A line that is not in a log shows nothing: a check passes only if the files of the run confirm it (`_earned`). The folder is not
changed.
"""

from __future__ import annotations

import hashlib
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.analysis.made import Origin, TakenOver, named, saved_mosaics, taken_over
from harness.analysis.modes import SDS_DONE, SDS_ON
from harness.analysis.phase3 import FAILED, INVALID, MISSING, NONE_MADE, STARVED, number, phase_3_start
from harness.checks.base import WHOLE
from harness.checks.judge import ALL, judge
from harness.checks.logs import NO_OCCASION
from harness.field.answer import Facts, answer, wanted_of
from harness.field.folder_link import link, unlink
from harness.field.log_lines import records_of, text_of
from harness.field.origin import MOSAIC, notes_of_earlier_runs, notes_of_other_mosaics, origin_of
from harness.field.tile_frames import is_whole, short_tiles
from harness.field.whole_log import BEGUN, DONE, begun_tiles, gaps, level
from harness.language.message import Message, SaidError, counted, say
from harness.record.comparison import Comparison
from harness.record.history import Event, History, TileStep
from harness.record.leftovers import LeftFile, count_left
from harness.record.products import Products, TileProduct, read_products
from harness.record.reader import Record
from harness.record.request import RETENTIONS, DatasetFacts, Mode, Request, Retention, TargetFacts
from harness.record.seal import EndState, Seal
from harness.record.truth import Truth
from harness.record.values import open_regular
from harness.targets.zemosaic import ZeMosaic
from harness.verdict import Outcome, Verdict

if TYPE_CHECKING:
    from fixtures.datasets import Dataset

LOG = "zemosaic_worker.log"
LARGEST = 64 * 2**20
"""How many bytes of a log are read, at its end."""

# The second is the patch's own line: newer versions keep a log in the output folder that begins after the first line.
_RETENTION = re.compile(r"Cache retention mode: (\w+)")
_COUNTED = re.compile(r"(per_tile) cache retention uses refcount")
_WORKERS = re.compile(r"WORKERS_PHASE3: \D*(\d+)")
_MADE_OF = re.compile(r"zemosaic_MT(\d+)_R(\d+)")
_OTHER_MODE = re.compile(r"\[GRID\]|sds_")
_FATAL = re.compile(r"run_error_(?!phase3_thread_exception)|PROCESS_ERROR")
_CRASHED = "Worker process crashed"


@dataclass(frozen=True, slots=True)
class Autopsy:
    """The result of an examination: the known facts as a record in memory, findings in words, and verdicts.

    ``answer`` says whether the log shows the hole bug. ``verdicts`` are those of the checks, and ``left`` on the caches in the
    folder. ``wanted`` is what to ask the reporter of the run for.
    """

    answer: Message
    record: Record
    notes: tuple[Message, ...]
    verdicts: tuple[Verdict, ...]
    wanted: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Log:
    """The last run in a log.

    ``gaps`` are sentences on the missing parts of that run; ``notes`` are further findings on the log.
    """

    events: tuple[Event, ...]
    retention: Retention | None = None
    workers: int | None = None
    gaps: tuple[Message, ...] = ()
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
    verdicts = [_earned(_plainly(v, record, found), record) for v in judge(Comparison(record))]
    verdicts.append(_left(record, found, strange=strange))
    notes = (
        *_notes_of_folder(record),
        *problems,
        *left_out,
        *_notes_of_log(found, taken_over(record.history), strange=strange),
    )
    facts = Facts(record, found.gaps if found else None, found.retention if found else None, tuple(verdicts))
    wanted = tuple(wanted_of(facts, frames=frames is not None))
    return Autopsy(answer(facts), record, notes, tuple(verdicts), wanted)


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
    with open_regular(path, sys.maxsize, links=True) as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - LARGEST))
        text = text_of(stream.read(LARGEST))
    lines, strange = records_of(text)
    if not lines:
        note = say(
            "No line of {path} is in the format of ZeMosaic's log; send zemosaic_worker.log itself.", path=path.name
        )
        return Log((), gaps=(say("No line of the log can be read."),), notes=(note,))
    begins = [n for n, event in enumerate(lines) if event.key == BEGUN]
    events = tuple(lines[_beginning(lines, begins) :])
    several = say("The log contains {count} runs; the last one is examined.", count=len(begins))
    retention = _found(_RETENTION, events) or _found(_COUNTED, events)
    workers = _found(_WORKERS, events)
    return Log(
        events=events,
        retention=next((r for r in RETENTIONS if r == retention), None),
        workers=int(workers) if workers else None,
        gaps=tuple(_gaps(events, cut=not begins, strange=strange)),
        notes=(several,) if len(begins) > 1 else (),
    )


def _beginning(lines: Sequence[Event], begins: Sequence[int]) -> int:
    """Return the index of the last run's first record: the line on its retention comes a little before its first event."""
    if not begins:
        return 0
    after = begins[-2] + 1 if len(begins) > 1 else 0
    before = [n for n in range(after, begins[-1]) if _RETENTION.match(lines[n].text)]
    return before[-1] if before else begins[-1]


def _gaps(events: Sequence[Event], *, cut: bool, strange: int) -> Iterator[Message]:
    if cut:
        yield say("The log begins in the middle of the run.")
    if level(events) == "WARNING":
        yield say("The level of the log is above INFO.")
    if strange:
        yield say("Lines of the log that can't be read: {count}.", count=strange)
    if not cut and level(events) != "WARNING":
        yield from gaps(events, classic=not any(_OTHER_MODE.match(event.key) for event in events))
    if not any(event.source == "callback" and event.key == DONE for event in events):
        yield say("The log does not come to the end of the run.")


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
        torn=tuple(f"events-log: {gap.render()}" for gap in known.gaps),
    )
    origin = origin_of(folder.resolve(), known.events, taken_over(history))
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
    if log.named(DONE):
        return "done", ""
    fatal = [e for e in log.events if e.source == "callback" and _FATAL.match(e.key)]
    fatal = fatal or [e for e in log.events if e.source == "log" and e.text.startswith(_CRASHED)]
    if fatal:
        return "crashed", f"the log says {fatal[-1].text or fatal[-1].key}"[:300]
    last = log.events[-1] if log.events else None
    what = "nothing" if last is None else next(iter((last.text or last.key).splitlines()), "a line without text")
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
        mosaics = [path for path in folder.glob("*.fits") if MOSAIC.match(path.name)]
        saved = max(mosaics, key=lambda path: path.stat().st_mtime).name if mosaics else ""
    if saved.startswith("mosaic_grid"):
        return "grid"
    return "sds" if saved.startswith("zemosaic_MT0_R") else "classic"


def _is_there(folder: Path, saved: str) -> bool:
    """Return whether a folder holds the mosaic of this name; where there are two, each has a suffix."""
    stem = Path(saved).stem
    stems = {path.stem for path in folder.glob("*.fits")}
    return any(name == stem or name.startswith(f"{stem}_") for name in stems if not name.endswith("_coverage"))


def _dataset(folder: Path, frames: Path | None) -> tuple[Dataset, tuple[Message, ...]]:
    """Return the frames with their truth, and what was left out of their folder; without ``frames``, a dataset without any."""
    from fixtures.datasets import Dataset  # noqa: PLC0415 -- astropy is slow
    from fixtures.reference_mosaic import with_truth  # noqa: PLC0415 -- astropy is slow
    from fixtures.user_frames import frames_of, unread_note  # noqa: PLC0415 -- astropy is slow

    if frames is None:
        return Dataset(DatasetFacts(folder.resolve().name, "user", hashlib.sha256(b"").hexdigest(), ()), folder), ()
    found = with_truth(frames_of(frames))
    unread = unread_note(found)
    notes = () if unread is None else (unread,)
    if not found.left_out:
        return found, notes
    names = ", ".join(found.left_out[:3])
    note = say("Mosaics and tiles of ZeMosaic among the frames are no frames: {names}.", names=names)
    return found, (*notes, note)


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
            found = count_left(place, folder)
            left = tuple(file for file in found if file.path not in origin.older or file.path in origin.taken)
            notes = list(notes_of_earlier_runs(found, origin))
            try:
                measure(place, request, origin)
            except (MeasureError, OSError) as error:
                return None, left, [*notes, say("The mosaic could not be measured: {error}", error=str(error))]
            products = read_products(place)
            return products, left, [*notes, *notes_of_other_mosaics(found, products, origin)]
        finally:
            unlink(place / "outputs")


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
    elif verdict.evidence.get("premise") == WHOLE.name:
        sentence = log.gaps[0]
    else:
        return verdict
    return replace(verdict, sentence=sentence)


def _earned(verdict: Verdict, record: Record) -> Verdict:
    """Turn a verdict into *unknown* where it rests on lines that are absent from the log, and no file of the run confirms it."""
    problem: Message | None = None
    if verdict.outcome is not Outcome.PASS:
        if verdict.check == "logs" and _misses_a_line(verdict):
            problem = say("The log has no line about reference counting. It may have been taken out of the log.")
    elif verdict.check in ("holes", "warnings"):
        problem = _unconfirmed(record, whole=verdict.check == "warnings")
    elif _reads_events(verdict.check):
        problem = say("A log alone can't show that nothing else happened: record a run with phase3 record.")
    return verdict if problem is None else replace(verdict, outcome=Outcome.UNKNOWN, sentence=problem)


def _misses_a_line(verdict: Verdict) -> bool:
    """Return whether the log contract fails because a line is absent, and for no line that is there."""
    clauses = verdict.evidence.get("clauses", {})
    failed = {name for name, clause in clauses.items() if clause["outcome"] == Outcome.FAIL}
    return failed == {"start_line"} and clauses.get("start_place", {}).get("outcome") == NO_OCCASION


def _reads_events(check: str) -> bool:
    """Return whether a check needs a source of the probe; the others measure the products."""
    asked = (*chain.from_iterable(ALL[check].premises.values()), *ALL[check].for_pass)
    return any(premise.name.startswith("source ") for premise in asked)


def _unconfirmed(record: Record, *, whole: bool) -> Message | None:
    """Return why the kept tiles do not confirm that every tile was made; with ``whole``, of each of its frames."""
    kept = {tile.tile: tile for tile in (record.products.tiles if record.products is not None else ())}
    begun = begun_tiles(record.history.events)
    for tile, frames in sorted(begun.items()):
        if tile not in kept:
            return say(
                "Tile {tile} was begun and is not among the kept tiles, so no file shows what became of it.", tile=tile
            )
        if whole and not is_whole(kept[tile], frames):
            aligned, everything = kept[tile].aligned, kept[tile].frames
            return say(
                "No file confirms that tile {tile} has all its frames (log: {frames}; header: {aligned} of {all}).",
                tile=tile,
                frames="?" if frames is None else frames,
                aligned="?" if aligned is None else aligned,
                all="?" if everything is None else everything,
            )
    return None if begun else say("The log shows no tile, so no file confirms what it says.")


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
        "In the folder: caches {caches}, hot-pixel masks {masks}, master tiles {tiles}.",
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
            "According to its file name, it was made from these numbers: master tiles {tiles}, frames {frames}.",
            tiles=made[1],
            frames=made[2],
        )
    yield from islice(short_tiles(record, products), 10)


def _notes_of_log(log: Log | None, taken: TakenOver, *, strange: bool) -> Iterator[Message]:
    if log is None:
        return
    yield from log.notes
    if log.events:
        yield counted(
            "The log: {count} record of the run, retention {retention}, Phase 3 workers {workers}.",
            "The log: {count} records of the run, retention {retention}, Phase 3 workers {workers}.",
            count=len(log.events),
            retention=log.retention or "?",
            workers=log.workers or "?",
        )
        begun = {number(e, "tile_id") for e in log.named("mastertile_info_creation_started_from_cache")} - {None}
        yield say(
            "The log states: groups {groups}, tiles begun {begun}, tiles made {made}.",
            groups=_stated(log, "run_info_phase2_finished", "num_groups"),
            begun=len(begun),
            made=_stated(log, "run_info_phase3_finished_from_cache", "num_master_tiles"),
        )
    yield from named(taken)
    yield from log.gaps
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
