"""Record the exceptions that end a tile, a thread, work in a pool or the run: type, message, and the last line of the source."""

from __future__ import annotations

import os
import threading
import time
import traceback
import weakref
from typing import Any, Optional

from . import imports
from .faults import TileFaultError
from .places import inside
from .recorder import Recorder

LONGEST_MESSAGE = 500
MOST_FRAMES = 8

_NOTED = "_phase3_noted"
_UNREAD = "_phase3_unread"


def watch(recorder: Recorder, source: str) -> None:
    """Name the folder of the target's source, record exceptions that end threads, and write the capability ``exceptions``.

    Call this before the target is imported. Without this line in the trace, a run that ends with an exception may have ended
    in the probe.
    """
    recorder.source = os.path.realpath(source)
    original = threading.excepthook

    def hook(arguments: Any, /) -> Any:
        if arguments.exc_value is not None:
            note(recorder, arguments.exc_value, "thread")
        return original(arguments)

    threading.excepthook = hook
    recorder.capability("exceptions")


def note(recorder: Recorder, error: BaseException, where: str, tile: Optional[int] = None) -> None:
    """Record an exception that ended a ``tile``, a ``thread`` or the ``run``, once for each of these.

    An interrupt by the user, a regular end through ``SystemExit`` and a tile's failure that the request asks for are left out.
    """
    try:
        if _is_asked_for(error, where) or getattr(error, _NOTED, False) == where:
            return
        recorder.trace("exception", where=where, tile=tile, **described(recorder, error))
        setattr(error, _NOTED, where)
    except Exception as problem:  # noqa: BLE001 -- the target must not see the probe's own fault
        recorder.problem(f"an exception of the target was lost ({problem!r})")


def unread(recorder: Recorder, future: Any, error: BaseException) -> None:
    """Record the exception of work in a pool when its future is gone, or the process ends, and nobody has read it until then.

    Only the description is kept: the exception holds the work's arrays.
    """
    try:
        if isinstance(error, TileFaultError) or _is_asked_for(error, "work") or getattr(error, _NOTED, False):
            return
        found = described(recorder, error)
        if found["file"] is None:
            return
        where = {"t": time.monotonic_ns(), "thread": threading.current_thread().name, "tid": threading.get_ident()}
        about = {**where, "where": "work", "tile": None, **found}
        setattr(future, _UNREAD, weakref.finalize(future, recorder.trace, "exception", **about))
    except Exception as problem:  # noqa: BLE001 -- the target must not see the probe's own fault
        recorder.problem(f"an exception in a pool was lost ({problem!r})")


def read(future: Any) -> None:
    """Note that the exception of a future was read: what becomes of it is the reader's."""
    pending = getattr(future, _UNREAD, None)
    if pending is not None:
        pending.detach()


def described(recorder: Recorder, error: BaseException) -> "dict[str, Any]":
    """Return type and message of an exception, its place in the target's source, and the calls that led there.

    ``file`` is relative to the target's folder; ``None`` if no frame of the exception is inside it. ``missing`` is the module
    that an import did not find, if it is not one of the target's own. ``known`` and ``like`` say what the target's folder tells
    of it.
    """
    frames = _frames(recorder.source, error)
    file, line = (frames[-1][0], frames[-1][1]) if frames else (None, None)
    if isinstance(error, SyntaxError) and error.filename:
        own = inside(recorder.source, error.filename)
        file, line = (own, error.lineno) if own else (file, line)
    missing = imports.missing(recorder.source, error)
    return {
        "type": type(error).__name__,
        "message": _message(recorder, error),
        "file": file,
        "line": line,
        "stack": [f"{name}:{number} {function}" for name, number, function in frames[-MOST_FRAMES:]],
        "missing": missing,
        "known": None if missing is None else imports.known(recorder.source, missing, file),
        "like": None if missing is None else imports.like(recorder.source, missing),
        "errno": error.errno if isinstance(error, OSError) and isinstance(error.errno, int) else None,
    }


def _is_asked_for(error: BaseException, where: str) -> bool:
    if isinstance(error, TileFaultError):
        return where == "tile"
    return isinstance(error, (KeyboardInterrupt, GeneratorExit)) or (
        isinstance(error, SystemExit) and error.code in (None, 0)
    )


def _message(recorder: Recorder, error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as problem:  # noqa: BLE001 -- a class of the target may fail to describe itself
        text = f"(no message: {type(problem).__name__})"
    return text.replace(os.path.join(recorder.folder, ""), "")[:LONGEST_MESSAGE]


def _frames(source: str, error: BaseException) -> "list[tuple[str, int, str]]":
    found = []
    for frame, line in traceback.walk_tb(error.__traceback__):
        name = inside(source, frame.f_code.co_filename)
        if name is not None:
            found.append((name, line, frame.f_code.co_name))
    return found
