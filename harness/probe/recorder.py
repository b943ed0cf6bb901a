"""Append observations to the record: one file a process, one write call a line."""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import re
import sys
import threading
import time
from collections import deque
from typing import Any, Mapping

LONGEST_TEXT = 8192

_SECRET = re.compile(r"(?i)api_?key|token|passw|secret")


class Recorder:
    """Write the events and the trace of this process.

    Files are opened at the first line, and anew after a fork, so that no two processes append to the same file. There is no
    lock: a line is a single write on a descriptor in append mode. So recording is safe from any thread, from a finaliser
    or signal handler that interrupts another line, and in a child forked at any moment.

    Evidence that could not be read or written is counted. The count is written to the trace as soon as a line can be
    written again, at the latest when the process ends.

    ``source`` is the folder of the target's source, once it is known: exceptions are located in it.
    """

    source = ""

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)
        self._open: dict[tuple[str, int], int] = {}
        # The files whose last line was cut short.
        self._torn: set[str] = set()
        # A deque, whose append and popleft are atomic: so two threads can't report the same loss.
        self._lost: deque[str] = deque()
        self._tells_at_exit = False

    @property
    def folder(self) -> str:
        """The folder of the record."""
        return self._folder

    def event(self, source: str, key: str, text: str, level: str, fields: dict[str, Any]) -> None:
        """Append a progress event (``callback``, ``stage``) or a log record (``log``)."""
        self._append(
            "events",
            {
                "t": time.monotonic_ns(),
                "thread": threading.current_thread().name,
                "tid": threading.get_ident(),
                "source": source,
                "key": key[:LONGEST_TEXT],
                "level": level,
                "text": text[:LONGEST_TEXT],
                "fields": fields,
            },
        )

    def trace(self, op: str, **fields: Any) -> None:
        """Append a file operation, a step of a tile, a hold or a capability."""
        self._append("trace", _traced(op, fields))

    def capability(self, name: str) -> None:
        """Append that a source of evidence is installed."""
        self.trace("capability", name=name)

    def config(self, settings: dict[str, Any]) -> None:
        """Append the effective settings of the target, flat: see `plain_settings`."""
        self.trace("config", settings=settings)

    def problem(self, what: str) -> None:
        """Report a lost piece of evidence: on standard error now, and in the trace as soon as it can be written."""
        self._lost.append(what)
        if not self._tells_at_exit:
            self._tells_at_exit = True
            atexit.register(self.tell_losses)
        # Standard error may be closed, full or None. The trace gets the loss anyway.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"phase3 probe: {what}\n")

    def tell_losses(self) -> None:
        """Append the losses since the last call, if any. If that fails, they are kept for the next call."""
        taken = []
        while True:
            try:
                taken.append(self._lost.popleft())
            except IndexError:
                break
        if not taken:
            return
        try:
            whole = self._write("trace", _traced("lost", {"n": len(taken), "what": taken[0][:LONGEST_TEXT]}))
        except OSError:
            whole = False
        if not whole:
            self._lost.extend(taken)

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        try:
            whole = self._write(kind, data)
        except OSError as error:
            self.problem(f"a line of {kind} was lost ({error})")
            return
        if not whole:
            self.problem(f"a line of {kind} was cut short")
        elif self._lost:
            self.tell_losses()

    def _write(self, kind: str, data: dict[str, Any]) -> bool:
        """Write one line; return whether all of it was written."""
        line = json.dumps(data, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
        fd = self._descriptor(kind)
        # A full disk cuts a line short. The next one starts on a new line; otherwise both would be unreadable.
        if kind in self._torn:
            line = b"\n" + line
        whole = os.write(fd, line) == len(line)
        (self._torn.discard if whole else self._torn.add)(kind)
        return whole

    def _descriptor(self, kind: str) -> int:
        pid = os.getpid()
        fd = self._open.get((kind, pid))
        if fd is not None:
            return fd
        path = os.path.join(self._folder, f"{kind}-{pid}.jsonl")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        header = {
            "format": f"phase3-{kind}/1",
            "pid": pid,
            "t": time.monotonic_ns(),
            "wall": time.time(),
            "python": ".".join(str(part) for part in sys.version_info[:3]),
            "platform": sys.platform,
            "capabilities": [],
        }
        try:
            fd = os.open(path, flags | os.O_EXCL, 0o644)
            if not _all_written(fd, json.dumps(header).encode() + b"\n"):
                os.close(fd)
                os.unlink(path)  # a file without its header can't be read: the next line creates the file again
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except FileExistsError:
            fd = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o644)  # never through a link
        known = self._open.setdefault((kind, pid), fd)
        if known != fd:
            os.close(fd)
        return known


def plain(value: Any) -> Any:
    """Convert to a value of JSON: numbers, strings, booleans and lists of these are kept, anything else becomes text."""
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value[:100]]
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "ndim", None) == 0:
        return plain(item())
    return str(value)[:LONGEST_TEXT]


def plain_settings(settings: Mapping[Any, Any], record: str) -> dict[str, Any]:
    """Return the settings to be recorded: plain values and flat lists, without paths into the record and without secrets."""
    folders = (record, os.path.realpath(record))
    found = {}
    for name, value in settings.items():
        if _SECRET.search(str(name)) or not isinstance(value, (bool, int, float, str, list, tuple, type(None))):
            continue
        if isinstance(value, (list, tuple)) and not all(isinstance(item, (bool, int, float, str)) for item in value):
            continue
        if not any(folder in str(value) for folder in folders):
            found[str(name)] = plain(value)
    return found


def _all_written(fd: int, data: bytes) -> bool:
    try:
        return os.write(fd, data) == len(data)
    except OSError:
        return False


def _traced(op: str, fields: dict[str, Any]) -> dict[str, Any]:
    about = {"t": time.monotonic_ns(), "thread": threading.current_thread().name, "tid": threading.get_ident()}
    return {**about, "op": op, **fields}
