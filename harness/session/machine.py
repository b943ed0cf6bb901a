"""Share the machine between the workers of a session: timed runs get it for themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, ReadWriteLock


class Machine:
    """The lock that a run holds while it lives: shared, or exclusive where its time is compared.

    ``folder`` holds the lock files; all workers of a session name the same folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._exclusive = False

    @contextmanager
    def held(self, *, exclusive: bool) -> Iterator[None]:
        """Hold the machine. Within exclusive access this process may ask for exclusive access again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = ReadWriteLock(self._folder / "machine.db")
        # A run that waits for exclusive access holds the turn lock. Otherwise a steady stream of shared runs could starve it.
        turn = FileLock(self._folder / "machine.turn")
        if not exclusive:
            with turn:
                pass
            with lock.read_lock():
                yield
        elif self._exclusive:  # another worker may hold the turn by now: waiting for it would never end
            yield
        else:
            with turn:
                lock.acquire_write()
            self._exclusive = True
            try:
                yield
            finally:
                self._exclusive = False
                lock.release()
