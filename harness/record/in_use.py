"""Mark the folder of a session or of records as in use while a process works in it. No other process resumes or removes it then.

The mark is a lock, which the system releases when its process ends, however it ends. Its file lies next to the folder, because
Windows removes no folder with an open file in it. Each process of a session has a lock of its own: a worker may outlive its
controller for a while.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from harness.language.message import SaidError, say

PATIENCE = 1.0
"""Seconds to wait for a lock, which ``in_use`` may hold for a moment."""


class InUseError(SaidError):
    """Raised when another process works in a folder. The message names the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            say(
                "expected no process at work in {folder}, found one that is still running: wait until it ends, or stop it",
                folder=str(folder),
            )
        )


class Hold:
    """The mark of one process on a folder, until it is released or the process ends.

    ``process`` names the process among those that work in the folder; the name has no dot. With ``alone`` no other process may
    work there.

    Raises
    ------
    InUseError
        When another process holds the folder under this name, or with ``alone`` under any name.
    OSError
        When the lock can't be written.

    """

    def __init__(self, folder: Path, process: str, *, alone: bool = False) -> None:
        self._path = folder.with_name(f"{folder.name}.{process}.lock")
        self._lock = FileLock(self._path)
        try:
            self._lock.acquire(timeout=PATIENCE)
        except Timeout:
            raise InUseError(folder) from None
        if alone and any(is_held(path) for path in locks_of(folder) if path != self._path):
            self.release()
            raise InUseError(folder)

    def release(self) -> None:
        """Take the mark off, and remove its file."""
        self._lock.release()
        with contextlib.suppress(OSError):  # on Windows, while another process asks whether it is held
            self._path.unlink()


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Mark a folder, which need not exist yet, as in use by this process. Raises ``InUseError`` when another works in it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    hold = Hold(folder, "main", alone=True)
    try:
        yield
    finally:
        hold.release()


def in_use(folder: Path) -> bool:
    """Return whether a process works in a folder."""
    return any(map(is_held, locks_of(folder)))


def locks_of(folder: Path) -> tuple[Path, ...]:
    """Return the lock files of a folder, also those that a killed process left."""
    if not folder.parent.is_dir():
        return ()
    return tuple(path for path in sorted(folder.parent.glob("*.lock")) if path.name.rsplit(".", 2)[0] == folder.name)


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock file."""
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    lock.release()
    return False
