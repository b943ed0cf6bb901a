"""Sample the process tree of a run: the sums of memory, CPU time, threads and open files."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import psutil

from harness.watch import tree

UNKNOWN = -1

SHARE = 0.005
"""The share of one core that sampling may take. To find a tree, every process of the machine is read."""


class ProcessSampler:
    """Sample all descendants of the guard: the target and every process that it started.

    ``rss`` is a sum, so pages that processes share count in each. ``cpu`` includes what ended processes had used when last
    seen, so it never falls. ``open_files`` counts descriptors (handles on Windows), which is far cheaper than listing files.
    It is -1 if the number of any process can't be read.
    """

    def __init__(self, guard: int) -> None:
        self._cpu: dict[psutil.Process, float] = {}
        self._guard: psutil.Process | None
        try:
            self._guard = psutil.Process(guard)
        except psutil.Error:
            self._guard = None

    def sample(self, *, last: bool) -> list[Mapping[str, Any]]:  # noqa: ARG002 -- every sample is written
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
    """Count descriptors or handles; 0 for a process that has just ended."""
    count = getattr(process, "num_fds", None) or getattr(process, "num_handles", None)
    if count is None:
        return UNKNOWN
    try:
        return int(count())
    except psutil.NoSuchProcess:
        return 0
    except (psutil.AccessDenied, OSError):
        return UNKNOWN
