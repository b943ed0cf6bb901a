"""Find the processes of a target, and end all of them.

A process may leave its parent's group, ignore SIGTERM, or outlive the process that started it. So processes are found in
three ways at once: the descendants of the guard (``harness.watch.guard``), which adopts orphans on Linux; every process
with the run's mark in its environment; and, where sessions exist, the members of the target's session. If the guard is
killed, its parent adopts the orphans (``harness.watch.keeping``).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Sequence

import psutil

MARK = "PHASE3_RUN"
"""The environment variable whose value marks the processes of one run."""

KILL_SECONDS = 10.0
"""How long to wait for killed processes: only uninterruptible I/O takes longer."""

STOPS = hasattr(signal, "SIGSTOP")
"""Whether the system stops a process at once. Windows would stop its threads one by one; there the job object ends all."""


def living(
    keeper: psutil.Process | None, mark: str, session: int | None = None, known: Iterable[psutil.Process] = ()
) -> list[psutil.Process]:
    """Return the living processes of a run without its keeper and without zombies.

    All descendants of the keeper belong to the run; it is ``None`` if it has ended. ``mark`` is the value of ``PHASE3_RUN`` in
    the environment of the run's processes. ``session`` is the process id of the target, which leads its session. ``known`` are
    processes that are known to belong to the run; their descendants do too.
    """
    found = set() if keeper is None else set(descendants(keeper))
    for process in known:
        found |= {process, *descendants(process)}
    own = {os.getpid()} if keeper is None else {keeper.pid, os.getpid()}
    for process in psutil.process_iter():
        if process.pid not in own and (_in_session(process.pid, session) or _marked(process, mark)):
            found.add(process)
    return [process for process in found if process.pid not in own and is_alive(process)]


def descendants(keeper: psutil.Process) -> list[psutil.Process]:
    """Return all descendants of a process; an empty list if it has ended."""
    try:
        return keeper.children(recursive=True)
    except psutil.Error:
        return []


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process still runs. A zombie has ended, and so has a process whose id is in use again."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def end(find: Callable[[], Sequence[psutil.Process]], grace: float) -> tuple[int, ...]:
    """End every process that ``find`` returns: terminate, wait ``grace`` seconds, then kill until ``find`` returns no more.

    ``find`` is called anew each time, because a process may start another one while it is being ended. Where that happens, all
    are stopped before they are killed: a stopped process starts no other. Returns the ids of
    processes that could not be ended, because the system refused.
    """
    first = find()
    for process in first:
        _signal(process.terminate)
    _until_gone(first, grace)
    deadline = time.monotonic() + KILL_SECONDS
    known: set[psutil.Process] = set(first)
    while (left := find()) and time.monotonic() < deadline:
        new = set(left) - known
        known |= new
        if new and STOPS:
            for process in left:
                _signal(process.suspend)
                _signal_group(process, "SIGSTOP")
            continue  # until no new one is found
        for process in left:
            _signal(process.kill)
            _signal_group(process, "SIGKILL")
        _until_gone(left, 1.0)
    return tuple(sorted(process.pid for process in left))


def _until_gone(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Wait until no process lives. Zombies count as ended; ``psutil.wait_procs`` would wait for their parents."""
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _signal(send: Callable[[], None]) -> None:
    """Terminate or kill a process. Errors are ignored: `end` finds and reports every process that still lives."""
    with contextlib.suppress(psutil.Error):
        send()


def _signal_group(process: psutil.Process, name: str) -> None:
    """Send a signal to a process's group, where groups exist: the system finds all members at once, also new ones.

    The groups of a run are its own, because the guard starts the target in a session of its own.
    """
    if not STOPS or not isinstance(process, psutil.Process):
        return
    with contextlib.suppress(OSError):
        group = os.getpgid(process.pid)
        if group not in (os.getpgrp(), os.getpgid(os.getppid())):
            os.killpg(group, getattr(signal, name))


def _in_session(pid: int, session: int | None) -> bool:
    # POSIX only. Windows has no sessions; there the job object keeps the tree together.
    if session is None or not hasattr(os, "getsid"):
        return False
    try:
        return os.getsid(pid) == session
    except OSError:
        return False


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get(MARK) == mark
    except (psutil.Error, OSError):
        return False
