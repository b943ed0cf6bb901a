"""Watch the guard of a run from the harness, and find the processes of a run whose guard is gone.

A target has the rights of the harness: it may stop or kill its guard. On Linux the harness then adopts the orphans, as the guard
does while it lives. Elsewhere the harness remembers the descendants of the guard that it has seen.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time

import psutil

REMEMBER_SECONDS = 1.0
"""How often the harness notes the descendants of a guard. To find them, every process of the machine is read."""

LOOKS = 200
"""How often processes are looked for that are there and in no list of processes."""

_guards: set[int] = set()
_lock = threading.Lock()


class Orphans:
    """The processes of one run that the harness knows without its guard."""

    def __init__(self) -> None:
        self._began = time.time()
        self._seen: set[psutil.Process] = set()
        self._next = 0.0
        self._guard = 0
        if sys.platform == "linux":
            adopt_orphans(on=True)

    def own(self, guard: int) -> None:
        """Note the guard's process, which is the harness's own child and no orphan."""
        self._guard = guard
        with _lock:
            _guards.add(guard)

    def remember(self, guard: int) -> None:
        """Note the descendants of the guard, at most every ``REMEMBER_SECONDS``."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REMEMBER_SECONDS
        keeper = process_of(guard)
        if keeper is not None:
            with contextlib.suppress(psutil.Error):
                self._seen |= set(keeper.children(recursive=True))
        self._seen = {process for process in self._seen if process.is_running()}

    def found(self) -> set[psutil.Process]:
        """Return the processes that were seen, and those that the harness adopted."""
        return self._seen | self._adopted()

    def _adopted(self) -> set[psutil.Process]:
        """Return the children of the harness that came from a guard: they lead or are in a session of their own."""
        if sys.platform != "linux":
            return set()
        with _lock:
            guards = set(_guards)
        session, found = os.getsid(0), set()
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process().children():
                with contextlib.suppress(psutil.Error, OSError):
                    # Whole seconds: the start of a process is known to hundredths only.
                    later = child.create_time() >= self._began - 1.0
                    if later and child.pid not in guards and os.getsid(child.pid) != session:
                        found.add(child)
        return found

    def reap(self) -> None:
        """Let the system forget the adopted processes that have ended."""
        for child in self._adopted():
            with contextlib.suppress(psutil.Error, OSError):
                if child.status() == psutil.STATUS_ZOMBIE:
                    os.waitpid(child.pid, os.WNOHANG)

    def close(self) -> None:
        """Adopt no more orphans, unless another run has a guard."""
        with _lock:
            _guards.discard(self._guard)
            if not _guards:
                adopt_orphans(on=False)


def childless(target: int) -> bool:
    """Return whether this process, which adopts orphans, has no child left; reap those that have ended, except the target.

    A list of processes is no proof: one that starts another and ends, again and again, may be missing from every list. Where
    orphans are not adopted the list has to do, and this returns true.
    """
    if sys.platform != "linux":
        return True
    try:
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if ended.si_pid == target:
                return False  # the thread that waits for it collects its status soon
            os.waitpid(ended.si_pid, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


def process_of(pid: int) -> psutil.Process | None:
    """Return a process; ``None`` if it has ended."""
    try:
        return psutil.Process(pid)
    except psutil.Error:
        return None


def is_stopped(pid: int) -> bool:
    """Return whether a process was stopped, as by SIGSTOP. Windows has no such state."""
    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def kill(pid: int) -> None:
    """Kill a process, if it still runs."""
    with contextlib.suppress(psutil.Error):
        psutil.Process(pid).kill()


def adopt_orphans(*, on: bool) -> None:
    """Make this process the parent of its descendants whose own parent ends. Linux only."""
    set_child_subreaper = 36
    _prctl(set_child_subreaper, int(on))


def hide() -> None:
    """Keep other processes from this one's pipes and memory, as far as the system does. Linux only, and not for root."""
    set_dumpable = 4
    _prctl(set_dumpable, 0)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 -- Linux only

        with contextlib.suppress(OSError, AttributeError):  # a C library without prctl
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
