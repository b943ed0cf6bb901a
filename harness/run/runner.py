"""Make one run: prepare the record's folder, start the target, watch it, end all its processes, measure, seal.

The user's files stay unchanged: frames are copied, never linked, because a target may move or rewrite its inputs. A run whose
inputs are unfit leaves no record; any other run leaves a sealed record, however it ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, Self

from harness.language.message import say
from harness.record import leftovers, limits, rewritten, safe, tampering
from harness.record.reader import Record, read_record
from harness.record.request import Request
from harness.record.seal import WORK
from harness.record.truth import Truth
from harness.record.values import UNREADABLE, RecordError, lines_of, open_regular, read_json
from harness.record.whole import NotWrittenError, Reserve, write_whole
from harness.run import finish
from harness.run.input_files import Given, Hashing, compared
from harness.run.inputs import InputError, require_inputs
from harness.run.stack_plan import NAME as STACK_PLAN
from harness.run.stack_plan import stack_plan
from harness.targets.start import prepare
from harness.watch import disk
from harness.watch.guard import Ended, Guard, NotStartedError
from harness.watch.resources import Overrun, allowed
from harness.watch.sampling import Watch

FOLDERS = ("input", "home", "tmp", "cwd")


@dataclass(frozen=True, slots=True)
class _End(finish.End):
    """How a run of the harness ended.

    ``stopped`` is the exception that ended it early; it is raised again after the sealing. ``printed`` quotes the last lines
    of a target that ended well.
    """

    stopped: BaseException | None = None
    printed: str = ""


def make_run(
    request: Request,
    folder: Path,
    frames: Path,
    *,
    truth: Truth | None = None,
    table: str | None = None,
    on_start: Callable[[int], None] | None = None,
    grace: float = finish.GRACE_SECONDS,
) -> Record:
    """Run a target once and return its sealed record.

    ``request.seconds`` limits the time from the target's start to its end. ``folder`` is new, or empty. ``frames`` is the folder
    of the frames that ``request.dataset`` names; it is only read. ``truth`` is their ground truth, where it is known, and is
    copied into the record. ``table`` is the text of ``stack_plan.csv`` for the grid mode; by default the file in the frames'
    folder. ``on_start`` gets the target's process id after its start. Processes have ``grace`` seconds for a regular end before
    they are killed.

    Returns
    -------
    Record
        Its seal holds the end of the run: ``done``, ``crashed`` (also where the target could not be started), ``timed out``
        or ``killed``. ``reason`` names everything unexpected.

    Raises
    ------
    InputError
        When the frames, the plan or the folder are unfit for a run. No record is left.
    KeyboardInterrupt
        On Ctrl-C, or SIGTERM in the main thread, after all processes have ended and the record is sealed as ``killed``.
    RecordError
        When the target wrote an unreadable record. It is sealed.
    OSError
        When the record can't be sealed, or the target moved it to a place from which it can't be brought back. Then it is sealed
        where it is.

    """
    require_inputs(frames, request.dataset, request.plan, room=folder, contents=False)
    new = not folder.exists()
    if not new and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            say(
                "Expected a new or empty folder for the record, found {folder} in use: name another.",
                folder=str(folder),
            )
        )
    with _Signals() as signals, contextlib.ExitStack() as stack:
        try:
            with signals.open():
                given = _prepare(folder, request, frames, truth, table)
                held = stack.enter_context(safe.hold(folder))
                before = tampering.given(folder)
                os.close(safe.create(folder, finish.CONSOLE))
            end = _run(request, folder, signals, on_start, grace)
        except BaseException:
            _unmake(folder, new=new)  # nothing was started, so there is nothing to record
            raise
        end, moved = _put_right(held, before, end)
        beyond: tuple[str, ...] = ()
        if moved is None:
            beyond = finish.beyond_limits(folder)
            end = finish.with_own_failure(folder, end)
            if not beyond:
                end, beyond = _compare(folder, given, end)
            end = end.because(*_tidy(folder))
            if end.stopped is None and not beyond:
                end = _measure(request, folder, end, signals)
            if end.state == "done":
                end = end.because(*_lacking(folder, end.printed))
            end, moved = _put_right(held, before, end)
        finish.seal_end(folder, end, beyond)
        if end.stopped is not None:
            raise end.stopped
        if moved is not None:
            raise moved
    return read_record(folder)


# Before


def _prepare(
    folder: Path, request: Request, frames: Path, truth: Truth | None, given: str | None
) -> Mapping[str, Given]:
    """Make the record's folder, with copies of the frames, their ground truth and, for the grid mode, their table.

    Returns the files of the input folder, by name.
    """
    files: dict[str, Given] = {}
    table = stack_plan(frames, request.dataset, given) if request.mode == "grid" else None
    try:
        for name in FOLDERS:
            (folder / WORK / name).mkdir(parents=True)
        (folder / "outputs").mkdir()
        request.write(folder / "request.json")
        if truth is not None:
            write_whole(folder / "truth.json", json.dumps(truth.to_json()) + "\n")
        for frame in request.dataset.frames:
            copy = folder / WORK / "input" / frame.name
            _copy(frames / frame.name, copy, frame.sha256)
            # `require_inputs` refuses a frame without a celestial WCS.
            files[frame.name] = Given(frame.sha256, copy.stat().st_size, solved=True)
        if table is not None:
            copies = folder / WORK / "input"
            text = os.fsencode(table(str(copies.resolve())))  # names of frames may have bytes that are no UTF-8
            (copies / STACK_PLAN).write_bytes(text)
            files[STACK_PLAN] = Given(hashlib.sha256(text).hexdigest(), len(text))
            write_whole(folder / STACK_PLAN, table(""))
        Reserve(folder / WORK / "reserve").keep()
    except OSError as error:
        message = say(
            "Expected to write a record in {folder}, found: {error}. Name a folder that can be written and has room.",
            folder=str(folder),
            error=(error.strerror if isinstance(error, NotWrittenError) else "") or str(error),
        )
        raise InputError(message) from error
    return files


def _copy(source: Path, target: Path, sha256: str) -> None:
    """Copy a frame and check its SHA-256 against the request."""
    digest = hashlib.sha256()
    with open_regular(source, limits.HASHED_BYTES, links=True) as reader, target.open("xb") as writer:
        while data := reader.read(1 << 20):
            digest.update(data)
            writer.write(data)
    if digest.hexdigest() != sha256:
        raise InputError(
            say(
                "Expected the frame {name} with SHA-256 {expected}, found {found}: the file was changed since the dataset "
                "was read; read it again or restore the file.",
                name=source.name,
                expected=f"{sha256[:12]}...",
                found=f"{digest.hexdigest()[:12]}...",
            )
        )


def _unmake(folder: Path, *, new: bool) -> None:
    with contextlib.suppress(OSError):
        leftovers.remove_tree(folder / WORK)
        leftovers.remove_tree(folder / "outputs")
        for name in ("request.json", "truth.json", STACK_PLAN, finish.CONSOLE):
            safe.remove(folder, name)
        if new:
            folder.rmdir()


# While the target lives


def _run(
    request: Request, folder: Path, signals: _Signals, on_start: Callable[[int], None] | None, grace: float
) -> _End:
    """Start the target, watch it until it ends or reaches a limit, and leave no process."""
    started = time.monotonic()
    try:
        start = prepare(folder, request)
        guard = Guard(
            start.argv, start.env, start.cwd, console=folder / finish.CONSOLE, seconds=request.seconds, grace=grace
        )
    except (OSError, ValueError) as error:
        return _End("crashed", None, 0.0, (f"The target could not be started: {error}",))
    watches: list[Watch] = []
    stopped: BaseException | None = None
    too_much = ""
    try:
        before = disk.taken(folder)  # the copies of the frames, which are not the target's
        pid = guard.start()
        started = time.monotonic()
        with signals.open():
            overrun = Overrun(allowed(request.limits, folder), folder, guard.guard_pid, before)
            watches.extend(finish.watch(folder, guard.guard_pid, overrun=overrun))
            if on_start is not None:
                on_start(pid)
            while (ended := guard.wait(0.2)) is None:
                signals.insist()
                if too_much := overrun.look():
                    ended = guard.end()
                    break
        seconds = time.monotonic() - started
    except NotStartedError as error:
        return _End("crashed", None, 0.0, (f"The target could not be started: {error}",))
    except BaseException as error:  # noqa: BLE001 -- the processes must end first; it is raised again after the sealing
        stopped = error
        ended = guard.end()
        seconds = time.monotonic() - started
    finally:
        guard.close()
        problems = finish.stop(watches)
    if ended.console is not None:
        rewritten.wrote(folder, finish.CONSOLE, ended.console)
    return _judge_end(ended, stopped, seconds, request.seconds, too_much).because(*problems)


def _judge_end(ended: Ended, stopped: BaseException | None, seconds: float, limit: float, too_much: str = "") -> _End:
    """Return the end of a run, with the reasons why it is not a normal one."""
    printed = _last_lines(ended.printed)
    if stopped is not None:
        what = "by the user" if isinstance(stopped, KeyboardInterrupt) else f"by {type(stopped).__name__}: {stopped}"
        reason = f"Expected the target to end by itself, found the run stopped {what}: run it again."
        end = _End("killed", None, seconds, (reason,), stopped=stopped)
    elif too_much and ended.cause != "ended":
        end = _End("killed", None, seconds, (too_much,))
    elif ended.cause == "timed out":
        reason = (
            f"Expected the target to end within {limit:g} s, found it still running, so its processes were ended; "
            f"{printed}: allow it more time, or see in the events where it hangs."
        )
        end = _End("timed out", None, seconds, (reason,))
    elif ended.cause == "stopped":
        reason = (
            f"Expected the target to leave its guard process alone, found that process stopped after {seconds:.1f} s, so all "
            "processes of the target were ended: a target that stops its parent process can't be validated."
        )
        end = _End("killed", None, seconds, (reason,))
    elif ended.cause != "ended":
        reason = "Expected the target to end by itself, found its guard process ended from outside: run it again."
        end = _End("killed", None, seconds, (reason,))
    elif ended.code == 0:
        end = _End("done", 0, seconds, printed=printed)
    else:
        reason = f"Expected exit status 0, found {_named(ended.code)}; {printed}: read console.log and the last events."
        end = _End("crashed", ended.code, seconds, (reason,))
    return end.because(
        f"{ended.strays} processes outlived the target and were ended." if ended.strays else "",
        f"The processes {', '.join(map(str, ended.left))} could not be ended: end them by hand." if ended.left else "",
        f"{ended.dropped} bytes of output were left out of console.log." if ended.dropped else "",
        "" if ended.console is not None else finish.NOT_COMPARED,
    )


def _named(code: int | None) -> str:
    if code is None or code >= 0:
        return str(code)
    try:
        return f"an end by {signal.Signals(-code).name}"
    except ValueError:
        return f"an end by signal {-code}"


def _last_lines(printed: str, count: int = 3) -> str:
    """Return the last printed lines as one printable line."""
    readable = ("".join(c if c.isprintable() else "\ufffd" for c in line).strip() for line in printed.splitlines())
    last = [line[:200] for line in readable if line][-count:]
    return f"it printed last: {' | '.join(last)}" if last else "it printed nothing"


# After the end


def _put_right(held: safe.Held, before: tampering.Given, end: _End) -> tuple[_End, OSError | None]:
    """Remove what the target put in the place of the harness's files; return the error if the record can't be brought back."""
    try:
        found = tampering.put_right(held, before)
    except OSError as error:
        return replace(end, tampered=(*end.tampered, str(error))), error
    return replace(end, tampered=(*end.tampered, *found)), None


def _compare(folder: Path, given: Mapping[str, Given], end: _End) -> tuple[_End, tuple[str, ...]]:
    """List what became of the input files; return the limits that they are beyond, in which case nothing is listed."""
    hashing = Hashing(file.size for file in given.values())
    files = compared(folder, given, hashing)
    if hashing.beyond:
        return end, tuple(hashing.beyond)
    return end.because(finish.list_inputs(folder, files)), ()


def _tidy(folder: Path) -> Iterator[str]:
    """List what the target left, and remove caches and working files, which makes room for the rest of the record."""
    counted = leftovers.count_left(folder)
    kept = list(leftovers.clear(folder, counted))
    try:
        leftovers.remove_tree(folder / WORK)
    except (OSError, RecursionError) as error:  # folders a thousand deep, which Python's library can't remove
        kept.append(f"{WORK}: {error}")
    yield finish.list_left(folder, counted)
    if kept:
        yield f"Expected to remove caches and working files, found: {'; '.join(kept[:3])}."


def _measure(request: Request, folder: Path, end: _End, signals: _Signals) -> _End:
    """Measure the products; where the user interrupts that, the run counts as killed."""
    try:
        with signals.open():
            return end.because(finish.measure_products(folder, request))
    except KeyboardInterrupt as stopped:
        finish.discard_products(folder)
        reason = "Expected the products to be measured, found the run stopped by the user: run it again."
        return replace(end, state="killed", stopped=stopped).because(reason)


def _lacking(folder: Path, printed: str) -> Iterator[str]:
    """Yield a reason for each part that the record of a run with status 0 should have and lacks."""
    if not any(_has_entries(path) for path in folder.glob("events-*.jsonl")):
        yield (
            f"Expected progress events, found no events-*.jsonl with entries although it ended with status 0; {printed}: "
            "check that the target speaks the protocol (docs/protocol.md)."
        )
    products = folder / "products.json"
    if products.exists() and _mosaic(products) is None:
        yield "Expected a mosaic in outputs, found no file although it ended with status 0: read the last events."


def _has_entries(path: Path) -> bool:
    try:
        return len(list(islice(lines_of(path), 2))) > 1
    except RecordError:
        return True  # beyond the limits, as the seal says


def _mosaic(products: Path) -> Any:
    try:
        return read_json(products).get("mosaic")
    except (OSError, *UNREADABLE):
        return None


class _Signals:
    """Let Ctrl-C and SIGTERM interrupt a run only within `open`, so that no record stays half sealed.

    Elsewhere a signal waits for the next `open`, or for the end. Outside the main thread Python delivers no signals, and
    this class does nothing.
    """

    def __init__(self) -> None:
        self._open = False
        self._pending = False
        self._raised = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        if self._pending and kind is None:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Let signals interrupt the block; a signal that came earlier interrupts it at once."""
        self._open = True
        try:
            if self._pending:
                self._pending = False
                raise KeyboardInterrupt
            yield
        finally:
            self._open = False

    def insist(self) -> None:
        """Interrupt again: Python only prints an exception that is raised in a finaliser or a callback."""
        if self._raised:
            raise KeyboardInterrupt

    def _take(self, _number: int, _frame: FrameType | None) -> None:
        if self._open:
            self._raised = True
            raise KeyboardInterrupt
        self._pending = True
