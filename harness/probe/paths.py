"""Recognise the paths below the target's output folder, and give their names in the record."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional


class Paths:
    """Name paths below ``RECORD/outputs`` relative to the record, with forward slashes.

    Paths match in both spellings: below the folder as the target got it, and below the folder with links resolved. The paths of
    another output folder, ``outputs``, are named as if it were ``RECORD/outputs``.
    """

    def __init__(self, record: str, outputs: Optional[str] = None) -> None:
        self._starts: tuple[str, ...] = ()
        self.move(outputs or os.path.join(os.path.abspath(record), "outputs"))

    def move(self, outputs: Optional[str]) -> None:
        """Change the output folder; with ``None`` no path matches any more."""
        spellings = dict.fromkeys((os.path.abspath(outputs), os.path.realpath(outputs))) if outputs else ()
        self._starts = tuple(os.path.normcase(name.rstrip("/\\")) for name in spellings)

    def inside(self, path: Any) -> Optional[str]:
        """Return the path's name in the record; ``None`` for a path elsewhere, a descriptor, or another type."""
        if isinstance(path, int) or path is None or not self._starts:
            return None
        try:
            text = os.fsdecode(path)
        except TypeError:
            return None
        text = text.removeprefix("\\\\?\\")
        if not os.path.isabs(text) or ".." in text:
            text = os.path.abspath(text)
        folded = os.path.normcase(text)
        for start in self._starts:
            if folded.startswith(start) and (len(folded) == len(start) or folded[len(start)] in "/\\"):
                rest = text[len(start) :].replace(os.sep, "/")
                while "//" in rest:
                    rest = rest.replace("//", "/")
                return "outputs" + rest.rstrip("/")
        return None

    def inside_at(self, path: Any, folder: int) -> Optional[str]:
        """Return the name of a path given relative to an open directory (-1: the working directory)."""
        if folder == -1 or path is None:
            return self.inside(path)
        try:
            if os.path.isabs(path):
                return self.inside(path)
            parent = directory_of(folder)
            return None if parent is None else self.inside(os.path.join(parent, os.fsdecode(path)))
        except (TypeError, OSError):
            return None


def directory_of(descriptor: int) -> Optional[str]:
    """Return the path of an open directory on Linux and macOS; ``None`` elsewhere."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(descriptor, 50, bytes(1024)).rstrip(b"\0"))  # 50 is F_GETPATH
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except (OSError, AttributeError):
        return None
