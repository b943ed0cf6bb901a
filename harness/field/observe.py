"""Record a user's own command with the probe in it: in the user's environment, with their settings, frames and output folder.

Nothing is isolated, copied or changed. The probe (`harness.probe.foreign`) writes the events. Afterwards the request is
reconstructed from the record, and frames are hashed and products measured in the user's folders.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from harness.analysis.made import Origin, read, saved_mosaics, taken_over, written
from harness.field.case_file import Plan, listed, submitted
from harness.field.folder_link import link, unlink
from harness.language.message import Message, SaidError, say
from harness.probe.setup import CHILDREN
from harness.record import leftovers
from harness.record.convert import from_json
from harness.record.history import TRACE_FORMAT, History, read_history
from harness.record.products import read_products
from harness.record.reader import Record, read_record
from harness.record.request import RETENTIONS, DatasetFacts, FrameFacts, Mode, Request, Retention, TargetFacts
from harness.record.seal import WORK, EndState
from harness.record.values import UNREADABLE, RecordError, read_json, read_lines
from harness.record.whole import RESERVE_BYTES, NotWrittenError, Reserve, write_whole
from harness.run import finish
from harness.run.finish import End
from harness.run.input_files import noted, observed
from harness.run.inputs import InputError
from harness.run.stack_plan import NAME as STACK_PLAN
from harness.run.stack_plan import stack_plan
from harness.watch.guard import Ended, Guard, NotStartedError
from harness.watch.sampling import Watch

_PRODUCTS = ("mosaic", "tile")
_UNALIGNED = "unaligned_by_zemosaic"  # frames that an earlier run put aside

SETTLE_SECONDS = 1.0
"""How long the processes of a mosaic have for their last lines after its end, while the command goes on."""

RESERVE = "reserve"
"""Kept in the folder of the records while the command runs, so that they can be sealed if the disk fills up."""

MOST_WORKERS = 100_000
"""A larger number of workers is a damaged note."""

Echo = Callable[[bytes], None]
T = TypeVar("T")

_SUCCEEDED = "run_success_processing_completed"
_RAISED = "PROCESS_ERROR"


class NothingRecordedError(SaidError):
    """A command without a mosaic. ``imported`` says whether ZeMosaic's worker was imported at all."""

    imported = False


class PartlyRecordedError(SaidError):
    """Raised when some records of a command could not be sealed or read. ``records`` has the others."""

    def __init__(self, records: tuple[Record, ...], *messages: Message) -> None:
        super().__init__(*messages)
        self.records = records


@dataclass(frozen=True, slots=True)
class _Cut:
    """An end of the command that the harness or the user caused: the state for the seal, its wall-clock time, and the reason."""

    state: EndState
    wall: float
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the probe noted when a mosaic began (``work/run.json``): folders, worker, and the files that were there before."""

    input: str
    output: str
    worker: str
    python: str
    wall: float
    selected: tuple[str, ...] = ()
    before: tuple[tuple[str, int, int], ...] = ()
    inputs: Any = None


@dataclass(frozen=True, slots=True)
class Finish:
    """What the probe wrote when the entry point returned or raised (``work/end.json``): the time, and the exception."""

    wall: float
    error: str | None = None


def read_facts(path: Path) -> Facts:
    """Read ``run.json``. Raises ``RecordError`` when it can't be read: it lies in a folder of the user's program."""
    return _read(path, Facts)


def read_end(path: Path) -> Finish:
    """Read ``end.json``. Raises ``RecordError`` as `read_facts` does."""
    return _read(path, Finish)


def _read(path: Path, kind: type[T]) -> T:
    try:
        found = from_json(read_json(path), kind)
        for name in ("input", "output", "worker", "python"):
            if "\0" in getattr(found, name, ""):
                raise ValueError(f"a null character in {name}")
        if not math.isfinite(getattr(found, "wall", 0.0)):
            raise ValueError("a time that is no number")
    except (OSError, *UNREADABLE) as error:
        raise RecordError(
            say("expected what the probe noted in {path}, found: {error}", path=str(path), error=str(error))
        ) from error
    return found


@dataclass(slots=True)
class _Run:
    """A mosaic that is being recorded: its facts, its watches, and its record after the sealing (or an attempt at it)."""

    folder: Path
    facts: Facts
    linked: bool
    watches: list[Watch] = field(default_factory=list)
    record: Record | None = None
    tried: bool = False

    @property
    def end(self) -> Finish | None:
        """What the probe wrote after the entry point returned or raised; ``None`` before, or if it can't be read."""
        path = self.folder / WORK / "end.json"
        try:
            return read_end(path) if path.exists() else None
        except (RecordError, OSError):
            return None


def record_command(
    argv: Sequence[str], folder: Path, seconds: float, echo: Echo, inputs: dict[Path, Path] | None = None
) -> tuple[Record, ...]:
    """Run a command in its own environment, and return a sealed record of each mosaic that it makes.

    ``argv`` is never passed to a shell. ``folder`` is a new folder for the records. ``seconds`` is the time limit of the whole
    command, and ``echo`` receives its output as it comes. ``inputs`` receives the folder of frames of each record's folder: a
    record has no paths of the user.

    Raises
    ------
    NothingRecordedError
        When no mosaic was begun. The folder is removed.
    SaidError
        When the command can't be started, or the folder exists already.

    """
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise SaidError(
            say("Expected a new folder for the records, found {folder} in use: name another.", folder=str(folder))
        ) from None
    env = {**os.environ, "PHASE3_FOREIGN": str(folder)}
    before = env.get("PYTHONPATH")
    env["PYTHONPATH"] = CHILDREN + (os.pathsep + before if before else "")
    _reserve(folder)
    started, limit = time.monotonic(), time.time() + seconds
    guard = Guard(
        argv, env, Path.cwd(), console=folder / finish.CONSOLE, seconds=seconds, grace=finish.GRACE_SECONDS, whole=True
    )
    runs: list[_Run] = []
    ended, cut = None, None
    try:
        guard.start()
        ended = _observe(guard, folder, runs, echo, limit)
    except KeyboardInterrupt:
        cut = _Cut(
            "killed",
            time.time(),
            "Expected the mosaic to end by itself, found the command stopped by the user: run it again.",
        )
        ended = guard.end()
    except NotStartedError as error:
        shutil.rmtree(folder)
        raise SaidError(say("The command could not be started: {error}", error=str(error))) from error
    finally:
        guard.close()
    runs += _begun(folder, runs, None)
    full = shutil.disk_usage(folder).free < RESERVE_BYTES
    (folder / RESERVE).unlink(missing_ok=True)
    if not runs:
        raise _nothing(folder, ended, stopped=cut is not None)
    for path in folder.glob("imported-*"):
        path.unlink()
    if inputs is not None:
        inputs.update((run.folder, Path(run.facts.input)) for run in runs)
    cut = cut or _cut_by_the_harness(ended, limit, seconds, full=full)
    spent = time.monotonic() - started
    return _all_finished(runs, lambda run: _end_of(run, ended, spent, cut))


def _all_finished(runs: Sequence[_Run], end_of: Callable[[_Run], End]) -> tuple[Record, ...]:
    """Seal each record that is not sealed yet, and return the records; also where one of them can't be sealed or read."""
    problems: list[Message] = []
    for run in runs:
        if run.record is not None:
            continue
        try:
            run.record = _finished(run, end_of(run))
        except Exception as error:  # noqa: BLE001 -- whatever a user's run left; the others must be sealed too
            problems += getattr(error, "messages", ()) or (
                say(
                    "Expected a record in {folder}, found {kind}: {error}. Its files are kept; judge it with: {command}",
                    folder=str(run.folder),
                    kind=type(error).__name__,
                    error=str(error),
                    command=f"phase3 judge {run.folder}",
                ),
            )
    records = tuple(run.record for run in runs if run.record is not None)
    if problems and not records:
        raise SaidError(*problems)
    if problems:
        raise PartlyRecordedError(records, *problems)
    return records


def _reserve(folder: Path) -> None:
    """Write the reserve, which is removed before the records are sealed; a full disk is an error before the start."""
    try:
        Reserve(folder / RESERVE).keep()
    except NotWrittenError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SaidError(
            say(
                "Expected room for the records in {folder}, found: {error}. Free some, or name another folder with --dir.",
                folder=str(folder),
                error=error.strerror or str(error),
            )
        ) from error


def _cut_by_the_harness(ended: Ended | None, limit: float, seconds: float, *, full: bool) -> _Cut | None:
    """Return the end that the harness caused: its time limit, the loss of its guard process, or its full disk."""
    if ended is not None and ended.cause == "timed out":
        reason = (
            f"Expected the mosaic to end within {seconds:g} s, found it running: allow it more time with --seconds."
        )
        return _Cut("timed out", limit, reason)
    if ended is not None and ended.cause in ("lost", "asked"):
        reason = (
            "Expected the mosaic to end by itself, found the harness's guard process ended from outside: run it again."
        )
        return _Cut("killed", 0.0, reason)
    if full:
        reason = "Expected room for the record, found the disk of its folder full: free some, and run it again."
        return _Cut("killed", 0.0, reason)
    return None


def _observe(guard: Guard, folder: Path, runs: list[_Run], echo: Echo, limit: float) -> Ended:
    """Watch a command to its end, echo its output, and seal each mosaic's record soon after the mosaic's end.

    A mosaic that ends after ``limit``, a wall-clock time, was perhaps ended by the limit: it is sealed when that is known.
    """
    shown = 0
    while (ended := guard.wait(0.2)) is None:
        shown += _echo(folder / finish.CONSOLE, shown, echo)
        # A failure here must not end the user's program: all is tried again after the command, and reported then.
        with contextlib.suppress(Exception):
            runs += _begun(folder, runs, guard.guard_pid)
        for run in runs:
            end = None if run.tried else run.end
            if end is not None and end.wall < limit and time.time() > end.wall + SETTLE_SECONDS:
                run.tried = True
                with contextlib.suppress(Exception):
                    run.record = _finished(run, _end_of(run, None, 0.0, None))
    _echo(folder / finish.CONSOLE, shown, echo)
    return ended


def _echo(console: Path, start: int, echo: Echo) -> int:
    """Echo the output from a position on; return its length in bytes."""
    data = b""
    with contextlib.suppress(FileNotFoundError), console.open("rb") as stream:
        stream.seek(start)
        data = stream.read()
    if data:
        echo(data)
    return len(data)


def _begun(folder: Path, known: Sequence[_Run], guard: int | None) -> list[_Run]:
    """Return the mosaics begun since the last call, with watches on each unless the command has ended."""
    found = []
    for path in sorted(folder.glob(f"record-*/{WORK}/run.json"), key=lambda path: path.stat().st_mtime_ns):
        record = path.parents[1]
        if any(run.folder == record for run in known):
            continue
        try:
            facts = read_facts(path)
        except RecordError:
            if guard is not None:
                continue  # asked again after the command
            facts = Facts("", "", "", "", 0.0)
        run = _Run(record, facts, bool(facts.output) and link(record / "outputs", Path(facts.output)))
        found.append(run)
        if guard is not None:
            with contextlib.suppress(OSError):  # the samples are missing then, and the record says so
                run.watches.extend(finish.watch(record, guard))
    return found


def _nothing(folder: Path, ended: Ended | None, *, stopped: bool) -> NothingRecordedError:
    """Return the error that says why nothing was recorded, and remove the folder."""
    imported = any(folder.glob("imported-*"))
    shutil.rmtree(folder)
    how = "stopped by the user" if stopped or ended is None else f"{ended.cause}, status {ended.code}"
    if imported:
        problem = say(
            "Expected a mosaic, but ZeMosaic was started without beginning one (the command: {how}): start one in its "
            "window, or read its output.",
            how=how,
        )
    else:
        problem = say(
            "Expected a command that runs ZeMosaic, found no Python process that imports zemosaic_worker "
            "(the command: {how}): give the command that starts it from source, such as python "
            "run_zemosaic.py, without -I, -E or -S; a packaged program can't be observed.",
            how=how,
        )
    error = NothingRecordedError(problem)
    error.imported = imported
    return error


# After the end


def _finished(run: _Run, end: End) -> Record:
    """Reconstruct the request of a record, list what the run left, measure its products, seal the record, and read it.

    Only the sealing must not fail: whatever else does becomes a reason in the seal, and so does an interruption.
    """
    reasons = finish.stop(run.watches)
    try:
        end, said = _described(run, end)
        reasons += said
    except Exception as error:  # noqa: BLE001 -- a finished run may be the user's work of hours; nothing of it may be lost
        reasons.append(f"The record could not be completed: {type(error).__name__}: {error}.")
    finally:
        if run.linked:
            with contextlib.suppress(OSError):
                unlink(run.folder / "outputs")
        if not (run.folder / "request.json").exists():
            _bare(run).write(run.folder / "request.json")
        finish.seal_end(run.folder, end.because(*reasons))
    with contextlib.suppress(OSError):  # not part of the record
        leftovers.remove_tree(run.folder / WORK)
    return read_record(run.folder)


def _described(run: _Run, end: End) -> tuple[End, list[str]]:
    """Write everything but the seal; return the end as the record shows it, and reasons for what is missing."""
    reasons: list[str] = []

    def tried(what: str, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 -- files of any kind are read here; each part is useful without the others
            reasons.append(f"{what} could not be read or written: {type(error).__name__}: {error}.")
            return otherwise

    tried("The output", lambda: shutil.copyfile(run.folder.parent / finish.CONSOLE, run.folder / finish.CONSOLE), None)
    notes = tried("The notes of the probe", lambda: read_notes(run.folder / WORK / "notes.jsonl"), [])
    places = tried("The names of the frames", lambda: _places(run.facts, notes), [])
    frames, said = tried("The frames", lambda: _frames(run.facts, places), ((), []))
    reasons += said
    request = tried("The settings", lambda: _request(run, notes, frames), _bare(run))
    request.write(run.folder / "request.json")
    seen = tried("The record", lambda: read_record(run.folder), None)
    if seen is not None:
        request = replace(request, plan=_plan(seen, request), mode=_mode(seen, run.facts))
        request.write(run.folder / "request.json")
    reasons += tried("The names of the frames", lambda: _ambiguous(run.folder, places), [])
    reasons += tried("The plan of the grid", lambda: _tabled(run, request), [])
    tried("The list of the input files", lambda: _compared(run, reasons), None)
    if run.linked:
        if not (run.folder / "outputs").exists():  # an earlier attempt removed it
            link(run.folder / "outputs", Path(run.facts.output))
        reasons += tried("The products", lambda: _measured(run, request), [])
        reasons.append(tried("The known sky", lambda: _known_sky(run, request, places), ""))
    else:
        reasons.append("The output folder could not be looked at from the record, so nothing of it was measured.")
    if seen is not None:
        end = tried("The exceptions", lambda: _as_reported(seen, end), end)
    return tried("The exceptions", lambda: finish.with_own_failure(run.folder, end), end), reasons


def _bare(run: _Run) -> Request:
    """Return the request of a run of which nothing is known but that it was made."""
    name = Path(run.facts.input).name
    return Request(
        case=f"recorded-{name}",
        role="subject",
        target=TargetFacts("zemosaic", "zemosaic", "", run.facts.python),
        dataset=DatasetFacts(name, "user", hashlib.sha256(b"").hexdigest(), ()),
        plan=None,
        retention="run_end",
        workers=1,
        profile="default",
        seconds=3600.0,
    )


def _places(facts: Facts, notes: Sequence[Mapping[str, Any]]) -> list[Path]:
    noted_frames = (note["frame"] for note in notes if isinstance(note.get("frame"), str))
    return [*_inputs(facts), *(Path(name) for name in noted_frames if "\0" not in name)]


def _compared(run: _Run, reasons: list[str]) -> None:
    """Write what became of the input files."""
    before = noted(run.facts.inputs)
    if before is not None:
        files = observed(Path(run.facts.input), Path(run.facts.output), before)
        reasons.append(finish.list_inputs(run.folder, files))


def read_notes(path: Path) -> list[Mapping[str, Any]]:
    """Read the objects of ``notes.jsonl``; lines that can't be read, such as the last one of a killed process, are left out."""
    return [data for _, data in read_lines(path, [])] if path.exists() else []


def _end_of(run: _Run, ended: Ended | None, spent: float, cut: _Cut | None) -> End:
    """Return the end of a mosaic: ``done`` if its entry point returned, whatever it achieved, before the command was cut short.

    After a cut the entry point may return too, or raise, because a program that is asked to end cancels its mosaic. Only a mosaic
    that reports its success was not cut.
    """
    end = run.end
    if cut is not None and not (end is not None and (end.wall < cut.wall or _succeeded(run.folder))):
        return End(cut.state, None, spent, (cut.reason,))
    if end is not None:
        seconds = max(float(end.wall) - float(run.facts.wall), 0.0)
        if not end.error:
            return End("done", 0, seconds)
        return End("crashed", None, seconds, (f"Expected the entry point to return, found it raised {end.error}.",))
    found = "nothing" if ended is None else f"status {ended.code}"
    reason = f"Expected the entry point to return, found the command over before it did ({found})."
    return End("crashed", None if ended is None else ended.code, spent, (reason,))


def _succeeded(record: Path) -> bool:
    """Return whether the mosaic of a record, which is not sealed yet, reported its success."""
    for path in record.glob("events-*.jsonl"):
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with contextlib.suppress(AttributeError, *UNREADABLE):
                    if _SUCCEEDED in line and json.loads(line).get("key") == _SUCCEEDED:
                        return True
    return False


def _as_reported(seen: Record, end: End) -> End:
    """Return the end as the target reports it: its process function catches an exception, reports it and returns."""
    raised = seen.history.named(_RAISED)
    if end.state != "done" or not raised:
        return end
    what = (raised[-1].text or str(dict(raised[-1].fields)) or "no reason given").strip()[:300]
    return replace(end, state="crashed", code=None).because(
        f"Expected the mosaic to be made, found that it raised: {what}"
    )


def _inputs(facts: Facts) -> list[Path]:
    """Return the frames of the run: the selected ones, else all below its input folder, as the target searches it."""
    from fixtures.frame_facts import is_frame_name  # noqa: PLC0415 -- astropy is slow

    selected = [Path(name) for name in facts.selected]
    if selected:
        return selected
    found = []
    for parent, folders, names in os.walk(facts.input):
        folders[:] = sorted(n for n in folders if n != _UNALIGNED and Path(parent, n) != Path(facts.output))
        found += [Path(parent, n) for n in sorted(names) if is_frame_name(n)]
    return found


def _frames(facts: Facts, places: Sequence[Path]) -> tuple[tuple[FrameFacts, ...], list[str]]:
    """Read the frames in place; return their facts, and reasons for unreadable and changed ones."""
    from fixtures.frame_facts import FrameError, frame_facts, is_product, read_header  # noqa: PLC0415 -- astropy is slow

    paths = {path.name: path for path in places}
    found, gone, changed, products = [], [], [], []
    for name, path in sorted(paths.items()):
        try:
            header = read_header(path)
            if is_product(name, header):
                products.append(name)
                continue
            found.append(frame_facts(path, header))
            if path.stat().st_mtime > facts.wall:
                changed.append(name)
        except (FrameError, OSError):
            gone.append(name)
    said = []
    if gone:
        said.append(
            f"Expected {len(paths)} frames to be read after the run, found {len(gone)} that can't be: {listed(gone, 3)}."
        )
    if products:
        said.append(f"Mosaics and tiles of ZeMosaic among the frames were left out: {listed(products, 3)}.")
    if changed:
        said.append(
            f"{len(changed)} frames were changed during the run and are known as they were after it: {listed(changed, 3)}."
        )
    return tuple(found), said


def _request(run: _Run, notes: Sequence[Mapping[str, Any]], frames: tuple[FrameFacts, ...]) -> Request:
    from fixtures.frame_facts import dataset_facts  # noqa: PLC0415 -- astropy is slow

    settings = _settings(run.folder)
    retention: Retention = next((r for r in RETENTIONS if r == settings.get("cache_retention")), "run_end")
    told = (note.get("workers") for note in notes)
    workers = max((n for n in told if isinstance(n, int) and 0 < n < MOST_WORKERS), default=1)
    name = Path(run.facts.input).name
    return Request(
        case=f"recorded-{name}",
        role="subject",
        target=_target(Path(run.facts.worker), run.facts.python),
        dataset=_with_panels(dataset_facts(name, "user", frames)),
        plan=None,
        retention=retention,
        workers=workers,
        profile="default",
        config=MappingProxyType(settings),
        seconds=3600.0,
    )


def _with_panels(facts: DatasetFacts) -> DatasetFacts:
    from fixtures.plans import cluster  # noqa: PLC0415 -- numpy is slow to load, and needed after the end only

    try:
        panels = cluster(facts.frames)
    except Exception:  # noqa: BLE001 -- an unsolved frame has no position on the sky, and no panel
        return facts
    return replace(facts, frames=tuple(replace(f, panel=p) for f, p in zip(facts.frames, panels, strict=True)))


def _settings(record: Path) -> dict[str, Any]:
    """Return the effective settings, which the probe wrote first."""
    for path in record.glob("trace-*.jsonl"):
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with contextlib.suppress(AttributeError, *UNREADABLE):
                    data = json.loads(line)
                    if data.get("op") == "config":
                        return {str(name): value for name, value in dict(data["settings"]).items()}
    return {}


def _target(worker: Path, python: str) -> TargetFacts:
    """Identify the source that ran; unknown parts are left out, because any folder's run is recorded."""
    from harness.targets import zemosaic  # noqa: PLC0415 -- needed after the end only
    from harness.targets.errors import TargetError  # noqa: PLC0415 -- needed after the end only
    from harness.targets.interpreter import versions  # noqa: PLC0415 -- needed after the end only

    identity: dict[str, Any] = {}
    label = f"zemosaic {worker.parent.name}"
    with contextlib.suppress(TargetError, OSError):
        identity, label = zemosaic.identify(worker.parent)
    with contextlib.suppress(TargetError, OSError):
        identity["versions"] = versions(python)
    return TargetFacts(zemosaic.ZeMosaic.name, label, str(worker.parent), python, MappingProxyType(identity))


def _plan(record: Record, request: Request) -> Plan | None:
    """Return the groups as submitted; ``None`` where they name unknown frames."""
    groups = submitted(record)
    known = {frame.name for frame in request.dataset.frames}
    return groups if groups and all(name in known for group in groups for name in group) else None


def _mode(record: Record, facts: Facts) -> Mode:
    keys = [event.key for event in record.history.events]
    # The table may have been written later, so the run's own events are asked first.
    if any(key.startswith("[GRID]") for key in keys):
        return "grid"
    if "PHASE_UPDATE" not in keys and (Path(facts.input) / STACK_PLAN).is_file():
        return "grid"
    if record.history.settings.get("sds_mode_default") and any(key.startswith("sds_") for key in keys):
        return "sds"
    return "classic"


def _tabled(run: _Run, request: Request) -> list[str]:
    """Copy the table of a grid run with frame names only, which a case file needs; return the reason where that fails."""
    source = Path(run.facts.input)
    if request.mode != "grid" or not (source / STACK_PLAN).is_file():
        return []
    try:
        table = stack_plan(source, request.dataset)("")
    except InputError as error:
        return [f"The plan of the grid can't be kept: {error}"]
    write_whole(run.folder / STACK_PLAN, table)
    return []


def _ambiguous(record: Path, paths: Sequence[Path]) -> list[str]:
    """Record frames of one name in several folders as lost evidence: the trace knows frames by name only."""
    places: dict[str, set[Path]] = {}
    for path in paths:
        places.setdefault(path.name, set()).add(path)
    twice = sorted(name for name, found in places.items() if len(found) > 1)
    if not twice:
        return []
    now, pid = time.monotonic_ns(), os.getpid()
    header = {"format": TRACE_FORMAT, "pid": pid, "t": now, "capabilities": []}
    what = f"frames of one name in several folders: {listed(twice, 3)}"
    lost = {"t": now, "thread": "harness", "op": "lost", "n": len(twice), "what": what}
    text = "".join(f"{json.dumps(line)}\n" for line in (header, lost))
    write_whole(record / f"trace-{pid}.jsonl", text)
    return [f"Expected frames of different names, found {what}: rename them."]


def _measured(run: _Run, request: Request) -> list[str]:
    """Measure and list what the run left; files of earlier runs are neither, except what the run took over from them."""
    history = read_history(run.folder)
    files = leftovers.count_left(run.folder)
    older = _of_earlier_runs(run, history, [file.path for file in files])
    taken, opened = taken_over(history), read(history)
    used = {file.path: file.kind for file in files if file.path in older and (opened is None or file.path in opened)}
    # A cache that the run took over is its own to remove: left behind, it counts.
    caches = {path for path, kind in used.items() if taken.frames and kind in ("cache", "mask")}
    tiles = {path for path, kind in used.items() if taken.tiles and kind == "tile"}
    origin = Origin(saved_mosaics(history.events), frozenset(older), frozenset(tiles))
    own = [file for file in files if file.path not in older or file.path in caches]
    problem = finish.list_left(run.folder, own)
    failed = finish.measure_products(run.folder, request, origin)
    return [problem, failed, _left_out(run.folder, files, older - tiles)]


def _of_earlier_runs(run: _Run, history: History, paths: Sequence[str]) -> set[str]:
    """Return the files that lay in the output folder before the run, where they are or moved, and that it did not write.

    The trace is asked first. Size and time of change are compared where it does not show that the run wrote a file.
    """
    output = Path(run.facts.output)
    ours = written(history)
    before = {name: (size, changed) for name, size, changed in run.facts.before}
    moved = {(Path(name).name, *about) for name, about in before.items()}
    found = set()
    for path in paths:
        name = path.removeprefix("outputs/")
        try:
            now = (output / name).lstat()
        except OSError:
            found.add(path)
            continue
        about = (now.st_size, now.st_mtime_ns)
        if name in before:
            if path not in ours and before[name] == about:
                found.add(path)
        elif (Path(name).name, *about) in moved:
            found.add(path)
    return found


def _known_sky(run: _Run, request: Request, places: Sequence[Path]) -> str:
    """Write the truth of the frames into the record of a run that has a mosaic; return the reason where they have none."""
    from fixtures.datasets import Dataset  # noqa: PLC0415 -- astropy is slow
    from fixtures.reference_mosaic import with_truth  # noqa: PLC0415 -- astropy is slow

    products = read_products(run.folder)
    if products is None or products.mosaic is None or not request.dataset.frames:
        return ""
    dataset = Dataset(request.dataset, Path(run.facts.input))
    truth = with_truth(dataset, places={path.name: path for path in places}).truth
    if truth is None:
        return ""
    write_whole(run.folder / "truth.json", json.dumps(truth.to_json()) + "\n")
    return f"Expected a mosaic of the frames by their WCS, found: {truth.problem}." if truth.problem else ""


def _left_out(record: Path, files: Sequence[leftovers.LeftFile], older: set[str]) -> str:
    """Return a sentence that names mosaics and tiles of earlier runs, which are not judged; empty without any."""
    names = [file.path.removeprefix("outputs/") for file in files if file.path in older and file.kind in _PRODUCTS]
    if not names:
        return ""
    products = record / "products.json"
    made = products.exists() and read_json(products).get("mosaic")
    if not made and any(file.path in older and file.kind == "mosaic" for file in files):
        return f"Expected a mosaic of this run, found only an earlier one: {listed(names, 3)}."
    return f"Products of earlier runs in the output folder were left out: {listed(names, 3)}."
