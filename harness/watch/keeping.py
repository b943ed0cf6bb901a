"""Watch the guard of a run from the harness, and find the processes of a run whose guard is gone.

A target has the rights of the harness: it may stop or kill its guard. On Linux the guard has a parent of its own, the keeper,
which does nothing but adopt: all that descends from it belongs to the run, also a process that gave up its parent, its session
and its environment. If the target kills the keeper too, the harness adopts the orphans. The children that the harness had while
guard or keeper lived are no part of the run. Elsewhere the harness remembers the descendants of the guard that it has seen.

Limit: if both were killed, a program that the harness's process starts at the same time, in a session of its own, is taken for
one of the run's.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from harness.watch import tree

REMEMBER_SECONDS = 1.0
"""How often the harness notes the descendants of a guard. To find them, every process of the machine is read."""

LOOKS = 200
"""How often processes are looked for that are there and in no list of processes."""

_runs: dict[Orphans, psutil.Process | None] = {}
_lock = threading.Lock()


class Orphans:
    """The processes of one run that the harness knows without its guard.

    The harness has children that are no part of the run: other recordings, and whatever the program does in which it runs. They
    are noted, and never returned.
    """

    def __init__(self) -> None:
        self._began = time.time()
        self._seen: set[psutil.Process] = set()
        self._adopted: set[psutil.Process] = set()
        self._others: dict[int, psutil.Process] = {}
        self._next = 0.0
        self._keeper: psutil.Process | None = None
        if sys.platform == "linux":
            adopt_orphans(on=True)

    def own(self, keeper: psutil.Process | None) -> None:
        """Note the process that the harness itself started, which is no orphan: the keeper, or the guard where there is none."""
        self._keeper = keeper
        with _lock:
            _runs[self] = keeper

    def remember(self, guard: psutil.Process | None) -> None:
        """Note the children of the harness that are no part of the run, and the descendants of the guard.

        The latter at most every ``REMEMBER_SECONDS``.
        """
        self._note_others(guard)
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + REMEMBER_SECONDS
        if guard is not None:
            self._seen |= set(tree.descendants(guard))
        self._seen = {process for process in self._seen if process.is_running()}

    def _note_others(self, guard: psutil.Process | None) -> None:
        """Note the children of the harness, while guard or keeper live: until then they adopt the orphans of the run."""
        found = {child.pid: child for child in _children(self._others)}
        # Asked last: they lived when the children were looked at.
        if any(process is not None and tree.is_alive(process) for process in (guard, self._keeper)):
            if guard is not None:
                found.pop(guard.pid, None)  # its parent is the harness if the keeper was killed
            self._others = found

    def found(self, *, alone: bool) -> set[psutil.Process]:
        """Return the processes that were seen and those below the keeper; ``alone`` says that guard and keeper were killed."""
        kept = [] if self._keeper is None else tree.descendants(self._keeper)
        if alone:
            self._adopted |= self._new()
        return self._seen.union(kept, self._adopted)

    def _new(self) -> set[psutil.Process]:
        """Return the children that the harness got since guard and keeper are gone: they are in sessions of their own."""
        if sys.platform != "linux":
            return set()
        with _lock:
            keepers = set(_runs.values())
        session, found = os.getsid(0), set()
        for child in _children(self._others):
            with contextlib.suppress(psutil.Error, OSError):
                # Whole seconds: the start of a process is known to hundredths only.
                later = child.create_time() >= self._began - 1.0
                other = child in keepers or self._others.get(child.pid) == child
                if later and not other and os.getsid(child.pid) != session:
                    found.add(child)
        return found

    def reap(self, guard: psutil.Process | None) -> None:
        """Let the system forget the adopted processes that have ended, and the guard; nothing that another part waits for."""
        if sys.platform == "win32":
            return
        for child in {guard, *self._adopted} - {None, self._keeper}:
            with contextlib.suppress(psutil.Error, OSError):
                if child is not None and child.status() == psutil.STATUS_ZOMBIE and child.ppid() == os.getpid():
                    os.waitpid(child.pid, os.WNOHANG)

    def close(self) -> None:
        """Adopt no more orphans, unless another run has a guard."""
        with _lock:
            _runs.pop(self, None)
            if not _runs:
                adopt_orphans(on=False)


def keep() -> None:
    """Put a keeper above this process, which then goes on as its child. Linux only.

    The keeper adopts what this process leaves when it is killed, and ends when nothing is left. It keeps no file open: the
    harness sees from the end of a pipe that this process has ended.
    """
    if sys.platform != "linux":
        return
    adopt_orphans(on=True)
    hide()
    if os.fork() == 0:
        return
    os.closerange(0, 3)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            os._exit(0)
        except BaseException:  # noqa: BLE001, S112 -- an interrupt by the target
            continue


def _children(known: Mapping[int, psutil.Process]) -> list[psutil.Process]:
    """Return the children of this process. On Linux its own lists are read: for others every process of the machine is."""
    try:
        lists = [path.read_text() for path in Path("/proc/self/task").glob("*/children")]
    except OSError:  # a thread that has just ended
        lists = []
    if not lists:
        with contextlib.suppress(psutil.Error):
            return psutil.Process().children()
        return []
    found = []
    for pid in map(int, " ".join(lists).split()):
        process = known.get(pid)
        if process is None or not process.is_running():  # its number may be another's now
            process = process_of(pid)
        if process is not None:
            found.append(process)
    return found


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


def is_stopped(process: psutil.Process | None) -> bool:
    """Return whether a process was stopped: by SIGSTOP or a debugger on POSIX, by the suspension of all its threads on Windows.

    This only reads the state, as `psutil` names it, and sends no signal. The states of Windows were not tried.
    """
    try:
        return process is not None and process.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def resume(process: psutil.Process | None) -> None:
    """Let a process go on that was stopped."""
    if process is not None:
        with contextlib.suppress(psutil.Error):
            process.resume()


def kill(process: psutil.Process | None) -> None:
    """Kill a process, if it still runs. Another process that has its number by now is not killed."""
    if process is not None:
        with contextlib.suppress(psutil.Error):
            process.kill()


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
