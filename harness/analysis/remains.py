"""Find the bytes of caches that are on disk under other names, and the bytes that the trace does not explain.

A cache that is renamed, copied or linked is not freed when its name disappears. Three sources show it: the trace (renames, links,
files opened for writing, removals with sizes), the samples of the disk, and the list of the files that are left.

What can't be seen: a copy that is made and removed between two samples by another program or by code in C, a copy of another size
outside the cache folder, and a removed file that a process still holds open.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from harness.analysis import lifetimes
from harness.analysis.lifetimes import CACHE, NEVER, OUTPUTS
from harness.analysis.phase3 import name_of, phase_3_end, phase_3_start, writes
from harness.record.history import History
from harness.record.reader import Record

ELSEWHERE = "work"
"""The folder in the samples of the disk that stands for the run's working folders: temporary files, home, working directory."""

_PASSING = "_zemosaic_io_probe_"


@dataclass(frozen=True, slots=True)
class Remainder:
    """A file that has the bytes of a cache under another name: its path and bytes, when it appeared, and when it was removed.

    ``since`` is ``None`` if it is not known when the file appeared.
    """

    path: str
    size: int
    since: int | None
    until: int

    def there(self, t: int) -> bool | None:
        """Return whether the file was on disk at a time; ``None`` if it is not known when it appeared."""
        if self.until <= t:
            return False
        return None if self.since is None else self.since <= t


def remainders(run: Record) -> tuple[Remainder, ...]:
    """Return the files that have the bytes of caches under other names, in order of path."""
    history = run.history
    caches = lifetimes.cache_names(history)
    sizes = {change.bytes for change in lifetimes.changes(history) if change.name in caches and change.bytes > 0}
    renamed, known = _renamed(history, caches), caches | _known(run)
    since = _appeared(history)
    gone: dict[str, tuple[int, int]] = {}
    for op in history.operations:
        if op.op == "remove" and op.state == "done" and op.size:
            gone[op.path] = (op.t, op.size)
    left = {file.path: file.size for file in run.left or () if file.kind not in ("mask", "tile", "mosaic", "probe")}
    found = []
    for path in sorted({*gone, *left, *renamed}):
        name = name_of(path)
        size = left.get(path) or (gone[path][1] if path in gone else renamed.get(path, (0, 0))[1])
        alike = size in sizes or any(cache in name for cache in caches)
        if path in renamed or (name not in known and not name.startswith(_PASSING) and alike):
            until = NEVER if path in left else gone[path][0] if path in gone else _until(history, path)
            found.append(Remainder(path, size, renamed[path][0] if path in renamed else since.get(path), until))
    return tuple(found)


def unexplained(run: Record) -> int | None:
    """Return the bytes in the cache folder after Phase 3 that the trace does not explain; ``None`` without a sample of that time.

    These are the bytes that every sample between the end of Phase 3 and the clean-up has beyond those of the files that the trace
    saw written. A negative number means that files are gone without a trace.
    """
    window = _after_phase_3(run.history)
    if window is None:
        return None
    samples = [s for s in run.history.disk if s.folder == CACHE and window[0] <= s.t < window[1]]
    if not samples:
        return None
    traced = lifetimes.bytes_below(run.history, CACHE).at(np.array([s.t for s in samples], dtype=np.int64))
    return min(int(s.size - known) for s, known in zip(samples, traced, strict=True))


def gained_elsewhere(run: Record) -> int | None:
    """Return how much the working folders grew in Phase 3, in bytes; ``None`` if they were not sampled before or after it."""
    start, window = phase_3_start(run.history), _after_phase_3(run.history)
    samples = [s for s in run.history.disk if s.folder == ELSEWHERE]
    before = [s.size for s in samples if start is not None and s.t <= start]
    after = [s.size for s in samples if window is not None and window[0] <= s.t < window[1]]
    return min(after) - before[-1] if before and after else None


def _after_phase_3(history: History) -> tuple[int, int] | None:
    """Return the time from the end of Phase 3 to the clean-up at the end of the run."""
    end = phase_3_end(history)
    if end is None:
        return None
    starts = [e.t for e in history.named("run_info_phase7_cleanup_starting")]
    starts += [e.t for e in history.named("PHASE_UPDATE") if e.text.strip() == "7"]
    starts += [op.t for op in history.operations if op.op == "rmtree" and op.t >= end]
    return end, min(starts, default=NEVER)


def _renamed(history: History, caches: Collection[str]) -> Mapping[str, tuple[int, int]]:
    """Return the paths to which caches were renamed, each with the time and the size."""
    found: dict[str, tuple[int, int]] = {}
    for change in lifetimes.changes(history):
        if change.name in caches and change.bytes > 0 and name_of(change.path) != change.name:
            found[change.path] = (change.t, change.bytes)
    return found


def _until(history: History, path: str) -> int:
    """Return when the trace saw a renamed cache disappear from its path."""
    return max((c.t for c in lifetimes.changes(history) if c.path == path and c.bytes < 0), default=NEVER)


def _known(run: Record) -> frozenset[str]:
    """Return the names of files that the trace saw written as a whole, and of the tiles."""
    history = run.history
    done = [op for op in history.operations if op.state == "done"]
    saved = {name_of(op.path) for op in done if op.op == "save"}
    return frozenset(saved | {name_of(tile.path) for tile in history.tiles if tile.path})


def _appeared(history: History) -> Mapping[str, int]:
    """Return when each path was first written or linked to."""
    found: dict[str, int] = {}
    for op in history.operations:
        if op.op == "link" and op.to is not None:
            found.setdefault(op.to, op.t)
        elif writes(op) and (op.to or op.path).startswith(f"{OUTPUTS}/"):
            found.setdefault(op.to or op.path, op.t)
    return found
