"""Reconstruct the record of a user's own mosaic after its end, and seal it.

The request is made from what the probe noted, frames are hashed, and products are measured in the user's folders. Whatever
can't be read becomes a reason in the seal: a finished run is sealed in any case.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
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
from harness.field.probe_notes import Facts, Finish, read_end, read_notes
from harness.record import leftovers, limits, rewritten, safe, tampering
from harness.record.extent import walk
from harness.record.history import TRACE_FORMAT, History, read_history
from harness.record.products import read_products
from harness.record.reader import Record, read_record
from harness.record.request import RETENTIONS, DatasetFacts, FrameFacts, Mode, Request, Retention, TargetFacts
from harness.record.seal import WORK
from harness.record.values import UNREADABLE, RecordError, lines_of, read_json
from harness.record.whole import write_whole
from harness.record.written import Written
from harness.run import finish
from harness.run.finish import End
from harness.run.input_files import noted, observed
from harness.run.inputs import InputError
from harness.run.stack_plan import NAME as STACK_PLAN
from harness.run.stack_plan import stack_plan
from harness.watch.sampling import Watch

MOST_WORKERS = 100_000
"""A larger number of workers is a damaged note."""

_PRODUCTS = ("mosaic", "tile")
_UNALIGNED = "unaligned_by_zemosaic"  # frames that an earlier run put aside

_RAISED = "PROCESS_ERROR"
T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """A mosaic that is being recorded: its facts, its watches, and its record after the sealing (or an attempt at it).

    ``console`` is what the command printed until the sealing, as the guard wrote it; ``None`` if that is not known.
    """

    folder: Path
    facts: Facts
    linked: bool
    held: safe.Held
    watches: list[Watch] = field(default_factory=list)
    record: Record | None = None
    tried: bool = False
    console: Written | None = None

    @property
    def end(self) -> Finish | None:
        """What the probe wrote after the entry point returned or raised; ``None`` before, or if it can't be read."""
        path = self.folder / WORK / "end.json"
        try:
            return read_end(path) if path.exists() else None
        except (RecordError, OSError):
            return None


def finished(run: Run, end: End) -> Record:
    """Reconstruct the request of a record, list what the run left, measure its products, seal the record, and read it.

    Only the sealing must not fail: whatever else does becomes a reason in the seal, and so does an interruption.
    """
    reasons = finish.stop(run.watches)
    end = _put_right(run, end)
    try:
        end, said = _described(run, end)
        reasons += said
    except Exception as error:  # noqa: BLE001 -- a finished run may be the user's work of hours; nothing of it may be lost
        reasons.append(f"The record could not be completed: {type(error).__name__}: {error}.")
    finally:
        if run.linked:
            with contextlib.suppress(OSError):
                unlink(run.folder / "outputs")
        end = _put_right(run, end.because(*reasons))
        if not (run.folder / "request.json").exists():
            _bare(run).write(run.folder / "request.json")
        finish.seal_end(run.folder, end, finish.beyond_limits(run.folder))
    with contextlib.suppress(OSError):  # not part of the record
        leftovers.remove_tree(run.folder / WORK)
    return read_record(run.folder)


def _put_right(run: Run, end: End) -> End:
    """Remove what took the place of the harness's files in a record. One that can't be brought back is sealed where it is."""
    try:
        found = tampering.put_right(run.held, linked=run.linked)
    except OSError as error:
        finish.seal_end(run.folder, replace(end, tampered=(*end.tampered, str(error))))
        raise
    return replace(end, tampered=(*end.tampered, *found))


def _copy_output(run: Run) -> str:
    """Copy the output of the command into a record; return the reason where it can't be compared with what was printed.

    The seal compares the copy with what the guard wrote: the command may have written in the file.
    """
    record, content = run.folder, run.console
    with safe.reading_own(record.parent, finish.CONSOLE) as source:
        if content is None:
            write_whole(record / finish.CONSOLE, lambda target: shutil.copyfileobj(source, target))
            return finish.NOT_COMPARED
        write_whole(record / finish.CONSOLE, source.read(min(content.size, limits.TEXT_BYTES)))
    rewritten.wrote(record, finish.CONSOLE, content)
    return ""


def _described(run: Run, end: End) -> tuple[End, list[str]]:
    """Write everything but the seal; return the end as the record shows it, and reasons for what is missing."""
    reasons: list[str] = []

    def tried(what: str, work: Callable[[], T], otherwise: T) -> T:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 -- files of any kind are read here; each part is useful without the others
            reasons.append(f"{what} could not be read or written: {type(error).__name__}: {error}.")
            return otherwise

    reasons.append(tried("The output of the command", lambda: _copy_output(run), ""))
    notes: list[Mapping[str, Any]] = tried(
        "The notes of the probe", lambda: read_notes(run.folder / WORK / "notes.jsonl"), []
    )
    places: list[Path] = tried("The names of the frames", lambda: _places(run.facts, notes), [])
    nothing: tuple[tuple[FrameFacts, ...], list[str]] = ((), [])
    frames, said = tried("The frames", lambda: _frames(run.facts, places), nothing)
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
        unlink(run.folder / "outputs")  # the target may have made another link of it
        link(run.folder / "outputs", Path(run.facts.output))
        reasons += tried("The products", lambda: _measured(run, request), [])
        reasons.append(tried("The known sky", lambda: _known_sky(run, request, places), ""))
    else:
        reasons.append("The output folder could not be looked at from the record, so nothing of it was measured.")
    if seen is not None:
        end = tried("The exceptions", lambda: _as_reported(seen, end), end)
    return tried("The exceptions", lambda: finish.with_own_failure(run.folder, end), end), reasons


def _bare(run: Run) -> Request:
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


def _compared(run: Run, reasons: list[str]) -> None:
    """Write what became of the input files."""
    before = noted(run.facts.inputs)
    if before is not None:
        files = observed(Path(run.facts.input), Path(run.facts.output), before)
        reasons.append(finish.list_inputs(run.folder, files))


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
    for parent, folders, names in walk(Path(facts.input), limits.ENTRIES):
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


def _request(run: Run, notes: Sequence[Mapping[str, Any]], frames: tuple[FrameFacts, ...]) -> Request:
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
        with contextlib.suppress(RecordError):  # beyond the limits, as the seal says
            for line in lines_of(path):
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


def _tabled(run: Run, request: Request) -> list[str]:
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


def _measured(run: Run, request: Request) -> list[str]:
    """Measure and list what the run left; files of earlier runs are neither, except what the run took over from them."""
    history = read_history(run.folder)
    files = leftovers.count_left(run.folder, Path(run.facts.output))
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


def _of_earlier_runs(run: Run, history: History, paths: Sequence[str]) -> set[str]:
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


def _known_sky(run: Run, request: Request, places: Sequence[Path]) -> str:
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
