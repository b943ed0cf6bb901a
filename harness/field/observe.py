"""Record a user's own command with the probe in it: in the user's environment, with their settings, frames and output folder.

Nothing is isolated, copied or changed. The probe (`harness.probe.foreign`) writes the events. Afterwards the request is
reconstructed from the record, and frames are hashed and products measured in the user's folders.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.analysis.made import Origin, read, saved_mosaics, taken_over, written
from harness.field.case_file import Plan, listed, submitted
from harness.field.folder_link import link, unlink
from harness.language.message import SaidError, say
from harness.probe.setup import CHILDREN
from harness.record import leftovers
from harness.record.history import TRACE_FORMAT, History, read_history
from harness.record.products import read_products
from harness.record.reader import Record, read_record
from harness.record.request import RETENTIONS, DatasetFacts, FrameFacts, Mode, Request, Retention, TargetFacts
from harness.record.seal import WORK, EndState
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
RESERVE_BYTES = 1_000_000
"""Reserved in the folder of the records while the command runs, so that they can be sealed if the disk fills up."""

Echo = Callable[[bytes], None]

_SUCCEEDED = "run_success_processing_completed"
_RAISED = "PROCESS_ERROR"


class NothingRecordedError(SaidError):
    """A command without a mosaic. ``imported`` says whether ZeMosaic's worker was imported at all."""

    imported = False


@dataclass(frozen=True, slots=True)
class _Cut:
    """An end of the command that the harness or the user caused: the state for the seal, its wall-clock time, and the reason."""

    state: EndState
    wall: float
    reason: str


@dataclass(slots=True)
class _Run:
    """A mosaic that is being recorded: its facts, its watches, and its record after the sealing (or an attempt at it)."""

    folder: Path
    facts: Mapping[str, Any]
    linked: bool
    watches: list[Watch] = field(default_factory=list)
    record: Record | None = None
    tried: bool = False

    @property
    def end(self) -> Mapping[str, Any] | None:
        """What the probe wrote after the entry point returned or raised; ``None`` before."""
        path = self.folder / WORK / "end.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


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
        inputs.update((run.folder, Path(run.facts["input"])) for run in runs)
    cut = cut or _cut_by_the_harness(ended, limit, seconds, full=full)
    spent = time.monotonic() - started
    return tuple(run.record or _finished(run, _end_of(run, ended, spent, cut)) for run in runs)


def _reserve(folder: Path) -> None:
    """Write the reserve, which is removed before the records are sealed; a full disk is an error before the start."""
    try:
        (folder / RESERVE).write_bytes(bytes(RESERVE_BYTES))
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SaidError(
            say(
                "Expected room for the records in {folder}, found: {error}. Free some, or name another folder with --dir.",
                folder=str(folder),
                error=str(error),
            )
        ) from error


def _cut_by_the_harness(ended: Ended | None, limit: float, seconds: float, *, full: bool) -> _Cut | None:
    """Return the end that the harness caused: its time limit, the loss of its guard process, or its full disk."""
    if ended is not None and ended.cause == "timed out":
        reason = (
            f"Expected the mosaic to end within {seconds:g} s, found it running: allow it more time with --seconds."
        )
        return _Cut("timed out", limit, reason)
    if ended is not None and ended.cause in ("lost", "asked", "stopped"):
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
        runs += _begun(folder, runs, guard.guard_pid)
        for run in runs:
            end = None if run.tried else run.end
            if end is not None and end["wall"] < limit and time.time() > end["wall"] + SETTLE_SECONDS:
                run.tried = True
                # A failure here must not end the user's program: the sealing is repeated after the command, and reports it then.
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
        facts = json.loads(path.read_text(encoding="utf-8"))
        run = _Run(record, facts, link(record / "outputs", Path(facts["output"])))
        if guard is not None:
            run.watches.extend(finish.watch(record, guard))
        found.append(run)
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
    """Reconstruct the request of a record, list what the run left, measure its products, seal the record."""
    reasons = finish.stop(run.watches)
    shutil.copyfile(run.folder.parent / finish.CONSOLE, run.folder / finish.CONSOLE)
    notes = _notes(run.folder / WORK / "notes.jsonl")
    places = [*_inputs(run.facts), *(Path(note["frame"]) for note in notes if "frame" in note)]
    frames, said = _frames(run.facts, places)
    reasons += said
    request = _request(run, notes, frames)
    request.write(run.folder / "request.json")
    seen = read_record(run.folder)
    request = replace(request, plan=_plan(seen, request), mode=_mode(seen, run.facts))
    request.write(run.folder / "request.json")
    reasons += _ambiguous(run.folder, places)
    reasons += _tabled(run, request)
    before = noted(run.facts.get("inputs"))
    if before is not None:
        files = observed(Path(run.facts["input"]), Path(run.facts["output"]), before)
        reasons.append(finish.list_inputs(run.folder, files))
    if run.linked:
        if not (run.folder / "outputs").exists():  # an earlier attempt removed it
            link(run.folder / "outputs", Path(run.facts["output"]))
        try:
            reasons += _measured(run, request)
            reasons.append(_known_sky(run, request, places))
        finally:
            unlink(run.folder / "outputs")
    else:
        reasons.append("The output folder could not be looked at from the record, so nothing of it was measured.")
    finish.seal_end(run.folder, finish.with_own_failure(run.folder, _as_reported(seen, end)).because(*reasons))
    with contextlib.suppress(OSError):  # not part of the record
        leftovers.remove_tree(run.folder / WORK)
    return read_record(run.folder)


def _notes(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # an incomplete last line of a killed process
            found.append(json.loads(line))
    return found


def _end_of(run: _Run, ended: Ended | None, spent: float, cut: _Cut | None) -> End:
    """Return the end of a mosaic: ``done`` if its entry point returned, whatever it achieved, before the command was cut short.

    After a cut the entry point may return too, or raise, because a program that is asked to end cancels its mosaic. Only a mosaic
    that reports its success was not cut.
    """
    end = run.end
    if cut is not None and not (end is not None and (end["wall"] < cut.wall or _succeeded(run.folder))):
        return End(cut.state, None, spent, (cut.reason,))
    if end is not None:
        seconds = max(float(end["wall"]) - float(run.facts["wall"]), 0.0)
        if not end["error"]:
            return End("done", 0, seconds)
        return End("crashed", None, seconds, (f"Expected the entry point to return, found it raised {end['error']}.",))
    found = "nothing" if ended is None else f"status {ended.code}"
    reason = f"Expected the entry point to return, found the command over before it did ({found})."
    return End("crashed", None if ended is None else ended.code, spent, (reason,))


def _succeeded(record: Path) -> bool:
    """Return whether the mosaic of a record, which is not sealed yet, reported its success."""
    for path in record.glob("events-*.jsonl"):
        with path.open(encoding="utf-8", errors="replace") as stream:
            for line in stream:
                with contextlib.suppress(ValueError, AttributeError):
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


def _inputs(facts: Mapping[str, Any]) -> list[Path]:
    """Return the frames of the run: the selected ones, else all below its input folder, as the target searches it."""
    from fixtures.frame_facts import is_frame_name  # noqa: PLC0415 -- astropy is slow

    selected = [Path(name) for name in facts["selected"]]
    if selected:
        return selected
    found = []
    for parent, folders, names in os.walk(facts["input"]):
        folders[:] = sorted(n for n in folders if n != _UNALIGNED and Path(parent, n) != Path(facts["output"]))
        found += [Path(parent, n) for n in sorted(names) if is_frame_name(n)]
    return found


def _frames(facts: Mapping[str, Any], places: Sequence[Path]) -> tuple[tuple[FrameFacts, ...], list[str]]:
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
            if path.stat().st_mtime > facts["wall"]:
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
    workers = max((int(note["workers"]) for note in notes if "workers" in note), default=1)
    name = Path(run.facts["input"]).name
    return Request(
        case=f"recorded-{name}",
        role="subject",
        target=_target(Path(run.facts["worker"]), str(run.facts["python"])),
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
                with contextlib.suppress(ValueError, AttributeError):
                    data = json.loads(line)
                    if data.get("op") == "config":
                        return dict(data["settings"])
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


def _mode(record: Record, facts: Mapping[str, Any]) -> Mode:
    keys = [event.key for event in record.history.events]
    # The table may have been written later, so the run's own events are asked first.
    if any(key.startswith("[GRID]") for key in keys):
        return "grid"
    if "PHASE_UPDATE" not in keys and (Path(facts["input"]) / STACK_PLAN).is_file():
        return "grid"
    if record.history.settings.get("sds_mode_default") and any(key.startswith("sds_") for key in keys):
        return "sds"
    return "classic"


def _tabled(run: _Run, request: Request) -> list[str]:
    """Copy the table of a grid run with frame names only, which a case file needs; return the reason where that fails."""
    source = Path(run.facts["input"])
    if request.mode != "grid" or not (source / STACK_PLAN).is_file():
        return []
    try:
        table = stack_plan(source, request.dataset)("")
    except InputError as error:
        return [f"The plan of the grid can't be kept: {error}"]
    (run.folder / STACK_PLAN).write_text(table, encoding="utf-8")
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
    (record / f"trace-{pid}.jsonl").write_text(text, encoding="utf-8")
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
    output = Path(run.facts["output"])
    ours = written(history)
    before = {name: (size, changed) for name, size, changed in run.facts["before"]}
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
    dataset = Dataset(request.dataset, Path(run.facts["input"]))
    truth = with_truth(dataset, places={path.name: path for path in places}).truth
    if truth is None:
        return ""
    (run.folder / "truth.json").write_text(json.dumps(truth.to_json()) + "\n", encoding="utf-8")
    return f"Expected a mosaic of the frames by their WCS, found: {truth.problem}." if truth.problem else ""


def _left_out(record: Path, files: Sequence[leftovers.LeftFile], older: set[str]) -> str:
    """Return a sentence that names mosaics and tiles of earlier runs, which are not judged; empty without any."""
    names = [file.path.removeprefix("outputs/") for file in files if file.path in older and file.kind in _PRODUCTS]
    if not names:
        return ""
    products = record / "products.json"
    made = products.exists() and json.loads(products.read_text(encoding="utf-8"))["mosaic"]
    if not made and any(file.path in older and file.kind == "mosaic" for file in files):
        return f"Expected a mosaic of this run, found only an earlier one: {listed(names, 3)}."
    return f"Products of earlier runs in the output folder were left out: {listed(names, 3)}."
