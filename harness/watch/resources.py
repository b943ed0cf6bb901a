"""Limit the memory, disk and processes of a target, by looking at what the samplers see: this works on every system.

Limits of the system would break good runs or not hold. One of address space counts what is never used, one of processes counts
all those of the user, and one of the size of a file ends a program with a signal that names no limit.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.record.limits import ENTRIES
from harness.record.request import RunLimits
from harness.record.values import size_of
from harness.watch import tree

MEMORY_SHARE = 0.8
"""The share of the machine's memory that a target may use, if its request states no limit."""

RESERVE_BYTES = 1_000_000_000
"""Bytes of the volume that stay free for the rest of the record; a tenth of the free bytes at the start, if that is less."""

PROCESSES = 1_000
"""Processes that a target may have at once, if its request states no limit. ZeMosaic has a few for each core."""

LONGEST_WAIT = 2.0
"""Seconds between two looks at the processes, also where a look takes long: a target may start thousands meanwhile."""

LONGEST_DISK_WAIT = 10.0
"""Seconds between two looks at the files of a record, also where a look takes long: about 1 s for as many as are allowed."""

HURRY_SECONDS = 1.0
"""Seconds between two looks at the files while the free bytes say that the limit may be reached."""

_CGROUP = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a target may use: bytes of memory, bytes of its folders, processes; and the bytes that stay free on the volume."""

    memory: int
    disk: int
    processes: int
    reserve: int


def allowed(limits: RunLimits, record: Path) -> Allowed:
    """Return what a target may use: what its request states, and otherwise what this machine has."""
    try:
        free = shutil.disk_usage(record).free
    except OSError:
        free = 1 << 62
    reserve = min(RESERVE_BYTES, free // 10)
    return Allowed(
        limits.memory or int(MEMORY_SHARE * _machine_memory()),
        limits.disk or max(free - reserve, 1),
        limits.processes or PROCESSES,
        reserve,
    )


def _machine_memory() -> int:
    """Return the bytes of memory of the machine, or of the container that this process runs in."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(_CGROUP.read_text(encoding="ascii")))
    except (OSError, ValueError):  # no such container, or one without a limit ("max")
        return total


class Overrun:
    """Watch whether a run uses more than it may. ``reason`` is one sentence, or empty while it is within its limits.

    Samplers report from their threads; the runner asks. ``before`` are the bytes that the record had before the start, which are
    not the target's. ``hurry`` asks for a look at the files at once.
    """

    def __init__(self, limits: Allowed, record: Path, guard: int, before: int = 0) -> None:
        self._limits = limits
        self._record = record
        self._guard = guard
        self._before = before
        self._seen = (0, 0)
        self._hurried = -math.inf
        self.hurry: Callable[[], None] = lambda: None
        self.reason = ""

    def take(self, line: Mapping[str, Any]) -> None:
        """Compare a sample with the limits."""
        if "processes" in line:
            self._compare("the number of its processes", int(line["processes"]), self._limits.processes, str)
            if int(line["rss"]) > self._limits.memory:
                # The sum counts a page that processes share in each of them. The exact number takes longer to get.
                self._compare("its memory", own_memory(self._guard), self._limits.memory, size_of)

    def spent(self, size: int, entries: int, free: int) -> None:
        """Compare a look at the record with the limits: bytes of files, files and folders, and the free bytes of the volume."""
        self._seen = (size - self._before, free)
        self._compare("the number of its files and folders", entries, ENTRIES, "{:,}".format)
        self._compare("the bytes of its files", size - self._before, self._limits.disk, size_of)

    def look(self) -> str:
        """Return the reason to end the run, with a look at the free bytes of the volume, which is cheap.

        A look at the files may take long, so there are few. Where the volume has lost as many bytes since the last one as the
        target has left, the next one is at once.
        """
        if not self.reason:
            try:
                free = shutil.disk_usage(self._record if self._record.exists() else self._record.parent).free
            except OSError:
                return ""
            size, before = self._seen
            now = time.monotonic()
            if before - free > self._limits.disk - size and now - self._hurried >= HURRY_SECONDS:
                self._hurried = now
                self.hurry()
            if free < self._limits.reserve:
                self.reason = (
                    f"Ended by the harness: the volume of the record had {size_of(free)} free, less than the "
                    f"{size_of(self._limits.reserve)} for the rest of the record: make room, or record elsewhere."
                )
        return self.reason

    def _compare(self, what: str, found: int, most: int, shown: Any) -> None:
        if found > most and not self.reason:
            self.reason = (
                f"Ended by the harness: {what} reached {shown(found)} of {shown(most)} allowed: see what it does, or state a "
                "larger limit in the request."
            )


def own_memory(guard: int) -> int:
    """Return the bytes of memory of a tree of processes, with pages that they share counted once where the system says so."""
    try:
        processes: Iterable[psutil.Process] = tree.descendants(psutil.Process(guard))
    except psutil.Error:
        return 0
    total = 0
    for process in processes:
        try:
            memory = process.memory_full_info()
            total += int(getattr(memory, "pss", 0) or memory.uss)
        except (psutil.Error, OSError):
            continue
    return total
