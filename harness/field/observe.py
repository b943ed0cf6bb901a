"""Record a user's own command with the probe in it: in the user's environment, with their settings, frames and output folder.

Nothing is isolated, copied or changed. The probe (`harness.probe.foreign`) writes the events. Afterwards
`harness.field.reconstruct` makes the rest of each record.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.field.folder_link import link
from harness.field.probe_notes import Facts, read_facts
from harness.field.reconstruct import Run, finished
from harness.language.message import Message, SaidError, say
from harness.probe.setup import CHILDREN
from harness.record import leftovers, limits, safe
from harness.record.reader import Record
from harness.record.seal import WORK, EndState
from harness.record.values import UNREADABLE, RecordError, lines_of
from harness.record.whole import RESERVE_BYTES, NotWrittenError, Reserve
from harness.run import finish
from harness.run.finish import End
from harness.watch.guard import Ended, Guard, NotStartedError

SETTLE_SECONDS = 1.0
"""How long the processes of a mosaic have for their last lines after its end, while the command goes on."""

RESERVE = "reserve"
"""Kept in the folder of the records while the command runs, so that they can be sealed if the disk fills up."""

Echo = Callable[[bytes], None]

_SUCCEEDED = "run_success_processing_completed"


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
    with contextlib.ExitStack() as stack:
        _reserve(folder)
        held = stack.enter_context(safe.hold(folder))
        os.close(safe.create(folder, finish.CONSOLE))
        return _recorded(argv, env, held, seconds, echo, inputs, stack)


def _recorded(  # noqa: PLR0917 -- those of `record_command`, with what is held open
    argv: Sequence[str],
    env: Mapping[str, str],
    held: safe.Held,
    seconds: float,
    echo: Echo,
    inputs: dict[Path, Path] | None,
    stack: contextlib.ExitStack,
) -> tuple[Record, ...]:
    """Run a command and return its records; ``stack`` keeps their folders open."""
    folder = held.path
    started, limit = time.monotonic(), time.time() + seconds
    guard = Guard(
        argv, env, Path.cwd(), console=folder / finish.CONSOLE, seconds=seconds, grace=finish.GRACE_SECONDS, whole=True
    )
    runs: list[Run] = []
    ended, cut = None, None
    try:
        guard.start()
        ended = _observe(guard, held, runs, echo, limit, stack)
    except KeyboardInterrupt:
        cut = _Cut(
            "killed",
            time.time(),
            "Expected the mosaic to end by itself, found the command stopped by the user: run it again.",
        )
        ended = guard.end()
    except NotStartedError as error:
        leftovers.remove_tree(folder)
        raise SaidError(say("The command could not be started: {error}", error=str(error))) from error
    finally:
        guard.close()
    held.bring_back()
    runs += _begun(held, runs, None, stack)
    full = shutil.disk_usage(folder).free < RESERVE_BYTES
    safe.remove(folder, RESERVE)
    if not runs:
        raise _nothing(folder, ended, stopped=cut is not None)
    for path in folder.glob("imported-*"):
        safe.remove(folder, path.name)
    if inputs is not None:
        inputs.update((run.folder, Path(run.facts.input)) for run in runs)
    cut = cut or _cut_by_the_harness(ended, limit, seconds, full=full)
    spent = time.monotonic() - started
    for run in runs:
        run.console = None if ended is None else ended.console
    return _all_finished(runs, lambda run: _end_of(run, ended, spent, cut))


def _all_finished(runs: Sequence[Run], end_of: Callable[[Run], End]) -> tuple[Record, ...]:
    """Seal each record that is not sealed yet, and return the records; also where one of them can't be sealed or read."""
    problems: list[Message] = []
    for run in runs:
        if run.record is not None:
            continue
        try:
            run.record = finished(run, end_of(run))
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
        with contextlib.suppress(OSError):
            leftovers.remove_tree(folder)
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
    if ended is not None and ended.cause in ("lost", "asked", "stopped"):
        reason = (
            "Expected the mosaic to end by itself, found the harness's guard process ended from outside: run it again."
        )
        return _Cut("killed", 0.0, reason)
    if full:
        reason = "Expected room for the record, found the disk of its folder full: free some, and run it again."
        return _Cut("killed", 0.0, reason)
    return None


def _observe(  # noqa: PLR0917 -- what is observed, and what with
    guard: Guard, held: safe.Held, runs: list[Run], echo: Echo, limit: float, stack: contextlib.ExitStack
) -> Ended:
    """Watch a command to its end, echo its output, and seal each mosaic's record soon after the mosaic's end.

    A mosaic that ends after ``limit``, a wall-clock time, was perhaps ended by the limit: it is sealed when that is known.
    """
    shown, folder = 0, held.path
    while (ended := guard.wait(0.2)) is None:
        shown += _echo(folder, shown, echo)
        # A failure here must not end the user's program: all is tried again after the command, and reported then.
        with contextlib.suppress(Exception):
            runs += _begun(held, runs, guard.guard_pid, stack)
        for run in runs:
            end = None if run.tried else run.end
            if end is not None and end.wall < limit and time.time() > end.wall + SETTLE_SECONDS:
                run.tried = True
                run.console = guard.console()
                with contextlib.suppress(Exception):
                    run.record = finished(run, _end_of(run, None, 0.0, None))
    _echo(folder, shown, echo)
    return ended


def _echo(folder: Path, start: int, echo: Echo) -> int:
    """Echo the output from a position on; return its length in bytes."""
    data = b""
    with contextlib.suppress(OSError), safe.reading_own(folder, finish.CONSOLE) as stream:
        stream.seek(start)
        data = stream.read(limits.TEXT_BYTES)
    if data:
        echo(data)
    return len(data)


def _begun(folder_held: safe.Held, known: Sequence[Run], guard: int | None, stack: contextlib.ExitStack) -> list[Run]:
    """Return the mosaics begun since the last call, with watches on each unless the command has ended.

    The folder of each is held open from here on. A link in the place of a record is none.
    """
    found: list[Run] = []
    if not folder_held.is_there():
        return found
    folder = folder_held.path
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
        try:
            held = stack.enter_context(safe.hold(record, follow=False))
        except OSError:
            continue
        run = Run(record, facts, bool(facts.output) and link(record / "outputs", Path(facts.output)), held)
        found.append(run)
        if guard is not None:
            outputs = Path(facts.output) if run.linked else None
            with contextlib.suppress(OSError):  # the samples are missing then, and the record says so
                run.watches.extend(finish.watch(record, guard, outputs))
    return found


def _nothing(folder: Path, ended: Ended | None, *, stopped: bool) -> NothingRecordedError:
    """Return the error that says why nothing was recorded, and remove the folder."""
    imported = any(folder.glob("imported-*"))
    leftovers.remove_tree(folder)
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


def _end_of(run: Run, ended: Ended | None, spent: float, cut: _Cut | None) -> End:
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
        with contextlib.suppress(OSError, RecordError):  # beyond the limits, as the seal says
            for line in lines_of(path):
                with contextlib.suppress(AttributeError, *UNREADABLE):
                    if _SUCCEEDED.encode() in line and json.loads(line).get("key") == _SUCCEEDED:
                        return True
    return False
