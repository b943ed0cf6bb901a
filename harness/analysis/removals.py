"""Combine attempts and outcomes of the trace into removals: which file, when, by which thread. List the caches left on disk."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from harness.analysis.injected_faults import refusals, taken_caches
from harness.analysis.lifetimes import CACHE
from harness.analysis.phase3 import Thread, name_of, phase_3_end, thread_of
from harness.analysis.remains import remainders
from harness.record.history import History, Operation
from harness.record.leftovers import LeftFile
from harness.record.reader import Record

How = Literal["remove", "rename", "rmtree"]
Outcome = Literal["done", "failed", "unsettled"]


@dataclass(frozen=True, slots=True)
class Removal:
    """The removal of one file, done or failed.

    ``t`` is the time of the attempt, in monotonic nanoseconds. ``outcome`` is ``unsettled`` if only the attempt was recorded.
    ``stack`` has the innermost calls in the target's source, the last one last; empty if they were not recorded.
    """

    t: int
    pid: int
    thread: str
    name: str
    how: How
    outcome: Outcome
    errno: int | None
    tid: int | None = None
    stack: tuple[str, ...] = ()

    @property
    def by(self) -> Thread:
        """The thread that removed the file."""
        return self.pid, self.thread, self.tid


def removals(history: History, paths: Iterable[str]) -> tuple[Removal, ...]:
    """Return every removal of these files: removed, renamed, or removed with their folder.

    An attempt and its outcome are one removal, at the time of the attempt. The removal of a folder counts once for each file
    that was still in it. The deletion of a file by an injected fault does not count as a removal.
    """
    taken = sorted((t, name) for name, t in taken_caches(history).items())
    seen = _Seen({name_of(path): tuple(path.replace("\\", "/").split("/")[:-1]) for path in paths})
    for op in history.operations:
        while taken and taken[0][0] <= op.t:
            seen.gone.add(taken.pop(0)[1])
        if op.op == "rmtree":
            seen.folder(op)
        elif op.op == "remove":
            seen.file(op, "remove")
        elif op.op == "rename":
            seen.renamed(op)
        elif op.op == "save" and op.state == "done":
            seen.gone.discard(name_of(op.path))
    seen.close()
    return tuple(sorted(seen.found, key=lambda r: r.t))


def left_caches(run: Record) -> tuple[str, ...] | None:
    """Return the caches that a run left on disk, also under other names, without those whose last removal a fault refused."""
    if run.left is None:
        return None
    kept = refused_to_the_end(run.history)
    there = {file.path for file in run.left}
    aside = {name_of(file.path) for file in remainders(run) if file.path in there}
    return tuple(sorted({name_of(file.path) for file in run.left if file.kind == "cache"} - kept | aside))


def left_in_folder(run: Record) -> tuple[LeftFile, ...]:
    """Return the other files that a run left in its cache folder, such as hot-pixel masks.

    Empty if a fault refused a removal to the end: it may have stopped the removal of the whole folder.
    """
    if refused_to_the_end(run.history):
        return ()
    return tuple(f for f in run.left or () if f.path.startswith(f"{CACHE}/") and f.kind != "cache")


def refused_to_the_end(history: History) -> frozenset[str]:
    """Return the files whose removal a fault refused after Phase 3. Before its end, the target can still try again."""
    end = phase_3_end(history)
    return frozenset(name for name, t in refusals(history).items() if end is not None and t >= end)


@dataclass
class _Seen:
    """Collect removals while the operations are read. ``folders`` has, for each wanted file name, the folders above it."""

    folders: dict[str, tuple[str, ...]]
    found: list[Removal] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    below: dict[str, list[str]] = field(default_factory=dict)
    begun: dict[tuple[Thread, How, str], Operation] = field(default_factory=dict)
    trees: dict[Thread, Operation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Indexed by folder. A target may rename each cache, and a search through all caches each time would be quadratic.
        for name, above in self.folders.items():
            for folder in set(above):
                self.below.setdefault(folder, []).append(name)

    def file(self, op: Operation, how: How) -> None:
        """Handle one step of the removal of one file."""
        name = name_of(op.path)
        if name not in self.folders:
            return
        if thread_of(op) in self.trees:
            # Part of the removal of a folder. Files without an outcome of their own are settled when the folder is.
            if op.state == "done":
                self._add(op, name, "rmtree", "done", op.t)
        elif op.state == "attempt":
            self.begun[thread_of(op), how, name] = op
        else:
            first = self.begun.pop((thread_of(op), how, name), op)
            self._add(op, name, how, "done" if op.state == "done" else "failed", first.t)

    def folder(self, op: Operation) -> None:
        """Handle one step of the removal of a folder."""
        if op.state == "attempt":
            self.trees[thread_of(op)] = op
        else:
            first = self.trees.pop(thread_of(op), op)
            self._add_folder(op, "rmtree", "done" if op.state == "done" else "unsettled", first.t)

    def renamed(self, op: Operation) -> None:
        """Handle a rename of a file or a folder. A file that gets a wanted name exists again."""
        if op.state == "done":
            if op.to is not None:
                self.gone.discard(name_of(op.to))
            self._add_folder(op, "rename", "done", op.t)
        self.file(op, "rename")

    def close(self) -> None:
        """Add the attempts without an outcome, as ``unsettled``."""
        for (_, how, name), op in self.begun.items():
            self._add(op, name, how, "unsettled", op.t)
        for op in self.trees.values():
            self._add_folder(op, "rmtree", "unsettled", op.t)

    def _add(self, op: Operation, name: str, how: How, outcome: Outcome, t: int) -> None:
        self.found.append(Removal(t, op.pid, op.thread, name, how, outcome, op.errno, op.tid, op.stack))
        if outcome == "done":
            self.gone.add(name)

    def _add_folder(self, op: Operation, how: How, outcome: Outcome, t: int) -> None:
        for name in self.below.get(name_of(op.path), ()):
            if name not in self.gone:
                self._add(op, name, how, outcome, t)
