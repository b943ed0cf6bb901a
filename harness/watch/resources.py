"""Limit the memory, disk and processes of a target, by looking at what the samplers see: this works on every system.

Limits of the system would break good runs or not hold. One of address space counts what is never used, one of processes counts
all those of the user, and one of the size of a file ends a program with a signal that names no limit.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from harness.record.request import RunLimits
from harness.record.values import size_of
from harness.watch import tree
from harness.watch.disk import ELSEWHERE, OUTPUTS

MEMORY_SHARE = 0.8
"""The share of the machine's memory that a target may use, if its request states no limit."""

RESERVE_BYTES = 1_000_000_000
"""Bytes of the volume that stay free for the rest of the record; a tenth of the free bytes at the start, if that is less."""

PROCESSES = 1_000
"""Processes that a target may have at once, if its request states no limit. ZeMosaic has a few for each core."""

LONGEST_WAIT = 2.0
"""Seconds between two looks at the processes, also where a look takes long: a target may start thousands meanwhile."""

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

    Samplers report from their threads; the runner asks.
    """

    def __init__(self, limits: Allowed, record: Path, guard: int) -> None:
        self._limits = limits
        self._record = record
        self._guard = guard
        self._sizes: dict[str, int] = {}
        self.reason = ""

    def take(self, line: Mapping[str, Any]) -> None:
        """Compare a sample with the limits."""
        if "folder" in line:
            if line["folder"] in (OUTPUTS, ELSEWHERE):
                self._sizes[line["folder"]] = int(line["size"])
            self._compare("the bytes of its files", sum(self._sizes.values()), self._limits.disk, size_of)
        elif "processes" in line:
            self._compare("the number of its processes", int(line["processes"]), self._limits.processes, str)
            if int(line["rss"]) > self._limits.memory:
                # The sum counts a page that processes share in each of them. The exact number takes longer to get.
                self._compare("its memory", own_memory(self._guard), self._limits.memory, size_of)

    def look(self) -> str:
        """Return the reason to end the run, with a look at the free bytes of the volume, which is cheap."""
        if not self.reason:
            try:
                free = shutil.disk_usage(self._record).free
            except OSError:
                return ""
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
