"""Appends what is observed to the record: one file a process, one write call a line."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import Any

LONGEST_TEXT = 8192


class Recorder:
    """Writes the events and the trace of this process.

    Files are opened at the first line, again after a fork, so that no two processes append to the same one. There is no
    lock: a line is a single write on a descriptor in append mode, which makes recording safe from any thread, from a
    finaliser or a signal handler that interrupts another line, and in a child forked at any moment.

    Parameters
    ----------
    folder
        The record.

    """

    def __init__(self, folder: str) -> None:
        self._folder = os.path.abspath(folder)
        self._open: dict[tuple[str, int], int] = {}
        self._torn = False

    def event(self, source: str, key: str, text: str, level: str, fields: dict[str, Any]) -> None:
        """Append a progress event (``callback``, ``stage``) or a log record (``log``)."""
        self._append(
            "events",
            {
                "t": time.monotonic_ns(),
                "thread": threading.current_thread().name,
                "source": source,
                "key": key[:LONGEST_TEXT],
                "level": level,
                "text": text[:LONGEST_TEXT],
                "fields": fields,
            },
        )

    def trace(self, op: str, **fields: Any) -> None:
        """Append a file operation, a step of a tile, a hold or a capability."""
        self._append("trace", {"t": time.monotonic_ns(), "thread": threading.current_thread().name, "op": op, **fields})

    def capability(self, name: str) -> None:
        """Say that a source is in place."""
        self.trace("capability", name=name)

    def problem(self, what: str) -> None:
        """Say on the target's standard error that the probe itself failed: evidence may be missing from here on."""
        sys.stderr.write(f"phase3 probe: {what}\n")

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        try:
            line = json.dumps(data, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace") + b"\n"
            fd = self._descriptor(kind)
            # A full disk cuts a line short. The next one then starts on a line of its own, so that only one is lost.
            torn, self._torn = self._torn, False
            line = b"\n" + line if torn else line
            if os.write(fd, line) != len(line):
                self._torn = True
        except OSError as error:
            self.problem(f"a line of {kind} was lost ({error})")

    def _descriptor(self, kind: str) -> int:
        pid = os.getpid()
        fd = self._open.get((kind, pid))
        if fd is not None:
            return fd
        path = os.path.join(self._folder, f"{kind}-{pid}.jsonl")
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        header = (
            json.dumps(
                {
                    "format": f"phase3-{kind}/1",
                    "pid": pid,
                    "t": time.monotonic_ns(),
                    "wall": time.time(),
                    "python": ".".join(str(part) for part in sys.version_info[:3]),
                    "platform": sys.platform,
                    "capabilities": [],
                }
            ).encode()
            + b"\n"
        )
        try:
            fd = os.open(path, flags | os.O_EXCL, 0o644)
            os.write(fd, header)
        except FileExistsError:
            fd = os.open(path, flags, 0o644)
        known = self._open.setdefault((kind, pid), fd)
        if known != fd:
            os.close(fd)
        return known


def plain(value: Any) -> Any:
    """Return a value that JSON has: numbers, strings, booleans and lists of these; anything else as text."""
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
