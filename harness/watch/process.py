"""The process tree of a run: memory, CPU, threads and open files, summed over it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psutil

from harness.watch import tree

UNKNOWN = -1

SHARE = 0.005
"""The share of one core that looking may take. Finding a tree means looking at every process of the machine."""


class ProcessSampler:
    """Looks at all descendants of the guard, which are the target and whatever it started.

    ``rss`` is summed, so pages that processes share count in each. ``cpu`` keeps what ended processes had used when they
    were last seen, so it never falls. ``open_files`` counts descriptors (handles on Windows), which costs far less than
    listing files, and is -1 where any process refuses to tell.
    """

    def __init__(self, guard: int) -> None:
        self._cpu: dict[psutil.Process, float] = {}
        self._guard: psutil.Process | None
        try:
            self._guard = psutil.Process(guard)
        except psutil.Error:
            self._guard = None

    def sample(self, *, last: bool) -> list[Mapping[str, Any]]:  # noqa: ARG002 -- every look is written
        """Return one line for the whole tree."""
        processes = rss = threads = open_files = 0
        for process in tree.descendants(self._guard) if self._guard else ():
            try:
                with process.oneshot():
                    if process.status() == psutil.STATUS_ZOMBIE:
                        continue
                    times = process.cpu_times()
                    self._cpu[process] = times.user + times.system
                    memory, count = process.memory_info().rss, process.num_threads()
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                processes += 1
                open_files = UNKNOWN
                continue
            processes, rss, threads = processes + 1, rss + memory, threads + count
            opened = _open_files(process)
            open_files = UNKNOWN if UNKNOWN in (opened, open_files) else open_files + opened
        return [
            {
                "t": time.monotonic_ns(),
                "processes": processes,
                "rss": rss,
                "cpu": round(sum(self._cpu.values()), 3),
                "threads": threads,
                "open_files": open_files,
            }
        ]


def _open_files(process: psutil.Process) -> int:
    """Count descriptors or handles; a process that has just ended has none."""
    count = getattr(process, "num_fds", None) or getattr(process, "num_handles", None)
    if count is None:
        return UNKNOWN
    try:
        return int(count())
    except psutil.NoSuchProcess:
        return 0
    except (psutil.AccessDenied, OSError):
        return UNKNOWN
