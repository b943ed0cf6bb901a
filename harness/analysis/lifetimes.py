"""Compute from the trace how many bytes of caches are on disk at each time, and how many must be.

A cache must exist from its write until its last user, retries included, has ended. The sum over all caches is the **lower
bound** of any safe retention: a retention that holds less has deleted a cache that was still needed, and what it holds
beyond the bound is its excess. Apart from sorting, the cost is linear in the length of the trace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from harness.analysis.injected_faults import removals_by_faults, taken_caches
from harness.analysis.phase3 import name_of, writes
from harness.record.history import History, Operation, Tile
from harness.record.reader import Record
from harness.record.tile import is_intermediate

OUTPUTS = "outputs"
CACHE = f"{OUTPUTS}/.zemosaic_img_cache"
# The time of an event that was not recorded: the removal of a cache, the end of a user.
NEVER = int(np.iinfo(np.int64).max)
_SHORT_LIVED = "_zemosaic_io_probe_"

Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Steps:
    """A quantity that changes in steps: times in monotonic nanoseconds, never decreasing, and the value after each."""

    times: Times
    values: NDArray[np.float64]

    @property
    def peak(self) -> int:
        """The largest value; 0 without any steps."""
        return int(self.values.max(initial=0))

    def at(self, t: Times) -> NDArray[np.float64]:
        """Return the values at these times; 0 before the first step."""
        return np.append(0.0, self.values)[np.searchsorted(self.times, t, "right")]

    def area(self, start: int, end: int) -> float:
        """Return the area below the steps between two times, in units of the value times seconds."""
        inner = self.times[(self.times > start) & (self.times < end)]
        edges = np.concatenate([[start], inner, [max(start, end)]]).astype(np.int64)
        return float(np.sum(self.at(edges[:-1]) * np.diff(edges))) / 1e9


@dataclass(frozen=True, slots=True)
class Lives:
    """The lifetimes of a run's caches: arrays with one element for each cache whose write was recorded, in order of name.

    Parameters
    ----------
    size
        Bytes, the largest size that the file had.
    written, freed
        When the file was first there, and when it was last removed: `NEVER` if it was not.
    needed
        When the last of its users, retries included, had ended: `NEVER` if the end of one was not recorded; the time of its
        write if no tile uses it.
    collected
        When the results of all users were collected; the end of a user whose collection was not recorded.
    last_user
        Number of the user that ended last; -1 if no tile uses the cache.
    refused
        Whether a removal after the last use failed.
    taken
        Whether an injected fault deleted it. Its removal then says nothing about the retention.

    """

    names: tuple[str, ...]
    size: NDArray[np.int64]
    written: Times
    freed: Times
    needed: Times
    collected: Times
    last_user: NDArray[np.int64]
    refused: NDArray[np.bool_]
    taken: NDArray[np.bool_]

    @property
    def used(self) -> NDArray[np.bool_]:
        """Mark the caches that a tile uses."""
        return self.last_user >= 0

    @property
    def early(self) -> NDArray[np.bool_]:
        """Mark the caches that were removed before their last use had ended."""
        return self.used & (self.freed < self.needed) & ~self.taken


@dataclass(frozen=True, slots=True)
class Areas:
    """Areas of chosen caches within a time span, in byte-seconds.

    ``full`` is the area if nothing were removed, ``held`` the actual area, ``bound`` the necessary area. ``excess`` was held
    after its last use; ``missing`` was needed and not held. ``held`` equals ``bound + excess - missing``.
    """

    full: float
    held: float
    bound: float
    excess: float
    missing: float


def cache_names(history: History) -> frozenset[str]:
    """Return the file names of the caches: those that tiles name, and those written under the name of a cache.

    Intermediates of one tile, which a retry may name, are no caches. A file that gets the name of a cache when it is complete
    counts under that name only.
    """
    named = {name_of(path) for tile in history.tiles for path in tile.caches if not is_intermediate(path)}
    done = [o for o in history.operations if o.state == "done"]
    written = {name_of(o.to or o.path) for o in done if o.op in {"save", "rename"}}
    written -= {name_of(o.path) for o in done if o.op == "rename" and is_cache_name(name_of(o.to or ""))}
    return frozenset(named | {name for name in written if is_cache_name(name)})


def is_cache_name(name: str) -> bool:
    """Return whether a file has the name of a cache."""
    return name.startswith("preprocessed_") and name.endswith(".npy")


def mask_names(history: History) -> frozenset[str]:
    """Return the file names of the hot-pixel masks, which are in the cache folder but are not caches."""
    written = {name_of(o.path) for o in history.operations if o.op == "save" and o.state == "done"}
    return frozenset(name for name in written if name.startswith("hp_mask_") and name.endswith(".npy"))


def live_bytes(history: History, names: Collection[str] | None = None) -> Steps:
    """Return from the trace how many bytes of these files (by default the caches) were on disk over time.

    A save sets a file's size, a removal drops it, a rename keeps it, and the removal of a folder drops every file below it.
    """
    wanted = cache_names(history) if names is None else names
    return _steps([(change.t, change.bytes) for change in changes(history) if change.name in wanted])


def bytes_below(history: History, folder: str) -> Steps:
    """Return from the trace how many bytes of files that it saw written are below a folder over time."""
    start = folder.rstrip("/") + "/"
    return _steps([(change.t, change.bytes) for change in changes(history) if change.path.startswith(start)])


def lives(history: History) -> Lives:
    """Return the lifetimes of the caches whose write was recorded."""
    caches, taken = cache_names(history), taken_caches(history)
    now: dict[str, int] = {}
    largest: dict[str, int] = {}
    written: dict[str, int] = {}
    freed: dict[str, int] = {}
    for change in changes(history):
        name = change.name
        if name not in caches:
            continue
        now[name] = now.get(name, 0) + change.bytes
        if now[name] > 0:
            written.setdefault(name, change.t)
            largest[name] = max(largest.get(name, 0), now[name])
            freed.pop(name, None)
        elif change.bytes:
            freed[name] = change.t
        else:  # the removal of an empty file, whose bytes are gone already
            freed.setdefault(name, change.t)
    names = tuple(sorted(written))
    ends = _last_uses(history.tiles)
    unused = {name: (written[name], written[name], -1) for name in names if name not in ends}
    needed = np.array([(ends.get(name) or unused[name]) for name in names], dtype=np.int64).reshape(-1, 3)
    failed: dict[str, int] = {}
    for op in history.operations:
        if op.op in ("remove", "rename") and op.state == "failed":
            failed[name_of(op.path)] = op.t
    refused = [failed.get(name, -1) >= end for name, end in zip(names, needed[:, 0].tolist(), strict=True)]
    return Lives(
        names=names,
        size=np.array([largest[name] for name in names], dtype=np.int64),
        written=np.array([written[name] for name in names], dtype=np.int64),
        freed=np.array([freed.get(name, NEVER) for name in names], dtype=np.int64),
        needed=np.maximum(needed[:, 0], [written[name] for name in names]),
        collected=needed[:, 1],
        last_user=needed[:, 2],
        refused=np.array(refused, dtype=np.bool_),
        taken=np.array([name in taken for name in names], dtype=np.bool_),
    )


def lower_bound(found: Lives) -> Steps:
    """Return the bytes that any safe retention must hold at each time."""
    mine = found.used
    ended = mine & (found.needed != NEVER)
    gained = np.column_stack([found.written[mine], found.size[mine]])
    return _steps(np.concatenate([gained, np.column_stack([found.needed[ended], -found.size[ended]])]))


def areas(found: Lives, chosen: NDArray[np.bool_], start: int, end: int) -> Areas:
    """Return the areas of the chosen caches between two times."""
    size, written = found.size[chosen], found.written[chosen]
    freed, needed = found.freed[chosen], found.needed[chosen]

    def area(since: Times, until: Times) -> float:
        spans = np.clip(until, start, end) - np.clip(since, start, end)
        return float(np.sum(size * np.maximum(spans, 0).astype(np.float64))) / 1e9

    never = np.full_like(written, NEVER)
    return Areas(
        full=area(written, never),
        held=area(written, freed),
        bound=area(written, needed),
        excess=area(needed, freed),
        missing=area(freed, needed),
    )


def outlived(found: Lives, history: History) -> NDArray[np.int64]:
    """Return, for each cache, how many tiles were collected between its last user's collection and its removal.

    This measure of delay does not depend on the clock or on the load of the machine. It is 0 for a cache never removed.
    """
    collected = np.array(sorted(t.collected for t in history.tiles if t.collected is not None), dtype=np.int64)
    between = np.searchsorted(collected, found.freed, "left") - np.searchsorted(collected, found.collected, "right")
    counted: NDArray[np.int64] = np.where(found.used & (found.freed != NEVER), np.maximum(between, 0), 0)
    return counted


def traced_total(record: Record) -> Steps | None:
    """Return the bytes of caches, masks, tiles and mosaics over time, from the trace and the sizes of the left-over files.

    A tile counts from its end. Mosaics and all other left-over files count from the event that says that they are saved.
    ``None`` if the left-over files or the size of a tile are not known. Temporary files are in the sampler's data only.
    """
    if record.left is None:
        return None
    history = record.history
    seen = [change for change in changes(history) if not change.name.startswith(_SHORT_LIVED)]
    gained = [(change.t, change.bytes) for change in seen]
    traced = {change.name for change in seen if change.bytes} | {
        name_of(change.path) for change in seen if change.bytes
    }
    tiles = {name_of(tile.path): tile for tile in history.tiles if tile.made and tile.path is not None}
    left = [file for file in record.left if file.path.startswith(f"{OUTPUTS}/")]
    sizes = {name_of(file.path): file.size for file in left if name_of(file.path) not in traced}
    if not set(tiles) <= set(sizes) | traced:
        return None
    gained += [(tile.ended, sizes[name]) for name, tile in tiles.items() if name in sizes and tile.ended is not None]
    saved = history.named("run_success_mosaic_saved")
    if saved:
        gained.append((saved[0].t, sum(size for name, size in sizes.items() if name not in tiles)))
    return _steps(gained)


def sampled_peak(history: History) -> int | None:
    """Return the largest sampled size of the output folder in bytes; ``None`` without samples.

    Samples while a file of a disk speed test was there are left out, because it is chance whether a sample includes one.
    """
    began = {name_of(op.path): op.t for op in history.operations if op.op == "open" and writes(op)}
    spans = [
        (began.get(name_of(op.path), op.t), op.t)
        for op in history.operations
        if op.op == "remove" and op.state == "done" and name_of(op.path).startswith(_SHORT_LIVED)
    ]
    seen = [s for s in history.disk if s.folder == OUTPUTS and not any(a <= s.t <= b for a, b in spans)]
    return max((s.size for s in seen), default=None)


def decimated(start: int, end: int, lines: Collection[Steps], points: int) -> tuple[list[float], list[list[int]]]:
    """Return at most ``points`` points of several lines: seconds since the start, and the values of each line there.

    If the lines have more steps, every n-th step is taken.
    """
    times = np.unique(np.concatenate([[start, end], *(line.times for line in lines)]).astype(np.int64))
    times = times[(times >= start) & (times <= end)]
    if times.size > points:
        times = times[np.unique(np.linspace(0, times.size - 1, points).round().astype(np.int64))]
    seconds = [round(float(t) / 1e9, 3) for t in times - start]
    return seconds, [[int(value) for value in line.at(times)] for line in lines]


def _last_uses(tiles: Collection[Tile]) -> dict[str, tuple[int, int, int]]:
    """Return for each cache when its last user ended, when all results were collected, and which tile ended last."""
    found: dict[str, tuple[int, int, int]] = {}
    for tile in tiles:
        end = tile.ended if tile.ended is not None else tile.collected
        until = NEVER if end is None else end
        taken = until if tile.collected is None else tile.collected
        for path in tile.caches:
            name = name_of(path)
            known = found.get(name, (-1, -1, -1))
            last = tile.tile if until >= known[0] else known[2]
            found[name] = (max(until, known[0]), max(taken, known[1]), last)
    return found


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a file's size, in bytes, at the path that the file has then.

    ``name`` is the file's name. A cache that is renamed keeps its first name: its bytes stay on disk.
    """

    t: int
    name: str
    path: str
    bytes: int


def changes(history: History) -> Iterator[Change]:
    """Yield each change of a file's size. Only a removal, a truncation and an overwriting free bytes; a rename moves them."""
    files = _Files(cache_names(history))
    for o in sorted((*history.operations, *removals_by_faults(history)), key=lambda op: op.t):
        if o.op in ("open", "truncate"):
            if o.path in files.sizes and (o.op == "truncate" or "w" in (o.mode or "")):
                yield from files.cut(o)
        elif o.state != "done":
            continue
        elif o.op == "save" and o.size is not None:
            yield from files.saved(o)
        elif o.op == "remove":
            yield from files.dropped(o.t, o.path)
        elif o.op == "rename" and o.to is not None:
            yield from files.renamed(o, o.to)
        elif o.op == "rmtree":
            for path in files.below(o.path):
                yield from files.dropped(o.t, path)


@dataclass
class _Files:
    """The files that the trace knows: size and name by path. ``caches`` are the names that survive a rename."""

    caches: Collection[str]
    sizes: dict[str, int] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def below(self, folder: str) -> list[str]:
        """Return the paths below a folder."""
        start = folder.rstrip("/") + "/"
        return [path for path in self.sizes if path.startswith(start)]

    def saved(self, o: Operation) -> Iterator[Change]:
        """Take a file that was written as a whole."""
        size = o.size or 0
        name = self.names.setdefault(o.path, name_of(o.path))
        yield Change(o.t, name, o.path, size - self.sizes.get(o.path, 0))
        self.sizes[o.path] = size

    def cut(self, o: Operation) -> Iterator[Change]:
        """Take a file that was opened for writing anew, or truncated to a size."""
        size = min(self.sizes[o.path], o.size or 0)
        yield Change(o.t, self.names[o.path], o.path, size - self.sizes[o.path])
        self.sizes[o.path] = size

    def dropped(self, t: int, path: str) -> Iterator[Change]:
        """Take a file that was removed."""
        yield Change(t, self.names.pop(path, name_of(path)), path, -self.sizes.pop(path, 0))

    def renamed(self, o: Operation, to: str) -> Iterator[Change]:
        """Take a file, or every file of a folder, to another path. A file that was there is gone."""
        inner = [] if o.path in self.sizes else self.below(o.path)
        for path in inner:
            yield from self._moved(o.t, path, to.rstrip("/") + path[len(o.path.rstrip("/")) :], self.sizes[path])
        if not inner:
            yield from self._moved(o.t, o.path, to, self.sizes.get(o.path, o.size))

    def _moved(self, t: int, path: str, to: str, size: int | None) -> Iterator[Change]:
        known = path in self.sizes
        name = self.names.get(path, name_of(path))
        if known:
            yield from self.dropped(t, path)
        if size is None:
            return
        if to in self.sizes:
            yield from self.dropped(t, to)
        self.names[to] = name if name in self.caches else name_of(to)
        self.sizes[to] = size
        yield Change(t, self.names[to], to, size)


def _steps(changes: Sequence[tuple[int, int]] | NDArray[np.int64]) -> Steps:
    """Add up changes (time, gain) in order of time. Those at the same time form one step; one without a change is dropped."""
    times, gained = np.array(changes, dtype=np.int64).reshape(-1, 2).T
    order = np.argsort(times, kind="stable")
    times, values = times[order], np.cumsum(gained[order])
    last = np.diff(times, append=NEVER) != 0
    times, values = times[last], values[last]
    changed = np.diff(values, prepend=0) != 0
    return Steps(times[changed], values[changed].astype(np.float64))
