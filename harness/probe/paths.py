"""Tells the paths that matter, those below the target's output folder, from all others, and names them in the record."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional


class Paths:
    """Names paths below ``RECORD/outputs`` relative to the record, with forward slashes.

    Both spellings are known: the folder as it was given to the target, and with links resolved, which a target may do.

    Parameters
    ----------
    record
        The record's folder.
    outputs
        The target's output folder, where it is another one than ``RECORD/outputs``; its paths are named as if it were that.

    """

    def __init__(self, record: str, outputs: Optional[str] = None) -> None:
        self._starts: tuple[str, ...] = ()
        self.move(outputs or os.path.join(os.path.abspath(record), "outputs"))

    def move(self, outputs: Optional[str]) -> None:
        """Look below another output folder from here on, or below none."""
        spellings = dict.fromkeys((os.path.abspath(outputs), os.path.realpath(outputs))) if outputs else ()
        self._starts = tuple(os.path.normcase(name.rstrip("/\\")) for name in spellings)

    def inside(self, path: Any) -> Optional[str]:
        """Return the path's name in the record; ``None`` for one elsewhere, a descriptor, or anything else."""
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
    """Return the path of an open directory, where the system tells it (Linux, macOS)."""
    try:
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(descriptor, 50, bytes(1024)).rstrip(b"\0"))  # 50 is F_GETPATH
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except (OSError, AttributeError):
        return None
