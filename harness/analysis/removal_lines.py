"""Find the log lines that are written once for each removed cache, whatever their words.

A line belongs to a removal by the name in it and its time, or by its place: lines of one form between most removals grow in
number with them. A line before the removal of a cache and in the making of a tile may name the frame for another reason.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from harness.analysis.causes import cache_names
from harness.analysis.lifetimes import NEVER
from harness.analysis.phase3 import name_of
from harness.analysis.removals import Removal
from harness.analysis.retention_lines import is_echo, is_of_memory, is_releasing, of_caching
from harness.record.history import Event, History

_BEGINNING = re.compile(r"(?<!\w)[^\s]")
_NUMBERED = re.compile(r"\S*\d\S*")
_SHORTEST = 4
_LETTER = re.compile(r"[^\W\d_]")
_SUFFIX = re.compile(r"\.[A-Za-z]\w{0,4}(?:\.[gb]z2?)?$")


class Names:
    """The names of caches and of their frames, found in texts in linear time: with or without suffix, also with spaces."""

    def __init__(self, history: History, caches: Iterable[str]) -> None:
        self.files: dict[str, frozenset[str]] = {}
        self.frames: dict[str, frozenset[str]] = {}
        wanted = frozenset(caches)
        for cache in wanted:
            self._add(self.files, cache, cache)
        for tile in history.tiles:
            for frame, path in zip(tile.frames, tile.caches, strict=False):
                if path and name_of(path) in wanted:
                    self._add(self.frames, name_of(frame), name_of(path))
        self.lengths = sorted({len(name) for name in (*self.files, *self.frames)}, reverse=True)

    @staticmethod
    def _add(found: dict[str, frozenset[str]], name: str, cache: str) -> None:
        stem = _SUFFIX.sub("", name)
        # A short name without its suffix, such as "12", is any number or word.
        plain = len(stem) >= _SHORTEST and _LETTER.search(stem) and any(c.isdigit() for c in stem)
        for one in {name, stem} if plain else {name}:
            found[one] = found.get(one, frozenset()) | {cache}

    def in_text(self, text: str) -> tuple[frozenset[str], frozenset[str], str]:
        """Return the caches that a text names by their files, those that it names by their frames, and the text without both."""
        files: frozenset[str] = frozenset()
        frames: frozenset[str] = frozenset()
        rest, done = [], 0
        for match in _BEGINNING.finditer(text):
            start = match.start()
            if start < done:
                continue
            for length in self.lengths:
                name = text[start : start + length]
                if len(name) == length and not _goes_on(text, start + length):
                    files |= self.files.get(name, frozenset())
                    frames |= self.frames.get(name, frozenset())
                    if name in self.files or name in self.frames:
                        rest += [text[done:start], "#"]
                        done = start + length
                        break
        return files, frames, "".join([*rest, text[done:]])


def _goes_on(text: str, end: int) -> bool:
    """Return whether a name is only the beginning of a longer one."""
    after = text[end : end + 1]
    return after.isalnum() or after in ("_", "-")


class PerFile:
    """The log lines of Phase 3 that are written for each of the removed caches.

    Parameters
    ----------
    said
        The log records of Phase 3 at INFO or above.
    removed
        The removals that were done.
    """

    def __init__(self, history: History, said: Sequence[Event], removed: Sequence[Removal]) -> None:
        self.history = history
        self.said = said
        self.removed = sorted(removed, key=lambda r: r.t)
        self.gone = frozenset(r.name for r in removed)
        self.names = Names(history, self.gone)

    @cached_property
    def lines(self) -> list[Event]:
        """The lines that name most of the removed caches or their frames, and those of one form between most removals."""
        found = {id(e) for e in (*self._named(), *self._between())}
        return [e for e in self.said if id(e) in found]

    def _named(self) -> list[Event]:
        lines, named = [], set()
        for e in self.said:
            if is_echo(e):
                continue
            files, frames, _ = self.names.in_text(e.text)
            # A frame may be named for any reason, a cache file that does not exist any more for one.
            if is_of_memory(e) or not (is_releasing(e) or of_caching(e)):
                frames = frozenset()
            about = {cache for cache in files | frames if self._is_after(e, cache)}
            if about:
                lines.append(e)
                named |= about
        return lines if 2 * len(named) >= len(self.gone) > 0 else []

    def _is_after(self, e: Event, cache: str) -> bool:
        """Return whether all users of a cache had ended, or the thread of the line removed it and began no other user since."""
        if e.t >= self._free.get(cache, NEVER):
            return True
        removal = self._last.get((cache, e.pid, e.thread))
        starts = self._starts.get((cache, e.pid, e.thread), [])
        return removal is not None and removal <= e.t and bisect(starts, removal) == bisect(starts, e.t)

    @cached_property
    def _free(self) -> Mapping[str, int]:
        """The time from which no tile needs a cache."""
        free: dict[str, int] = {}
        for tile in self.history.tiles:
            for cache in cache_names(tile):
                free[cache] = max(free.get(cache, 0), NEVER if tile.ended is None else tile.ended)
        return free

    @cached_property
    def _last(self) -> Mapping[tuple[str, int, str], int]:
        return {(r.name, r.pid, r.thread): r.t for r in self.removed}

    @cached_property
    def _starts(self) -> Mapping[tuple[str, int, str], list[int]]:
        found: dict[tuple[str, int, str], list[int]] = defaultdict(list)
        for step in self.history.steps:
            if step.state == "started":
                for cache in step.caches:
                    found[name_of(cache), step.pid, step.thread].append(step.t)
        return found

    def _between(self) -> list[Event]:
        """Return the lines of one form that stand between most removals by their thread, more of them than releases.

        A line for each release of a tile stands between two removals only where a release ends.
        """
        removed: dict[tuple[int, str], list[int]] = defaultdict(list)
        for r in self.removed:
            removed[r.pid, r.thread].append(r.t)
        releases = {thread: self._releases(thread, times) for thread, times in removed.items()}
        gaps: dict[str, set[tuple[tuple[int, str], int]]] = defaultdict(set)
        forms: dict[str, list[Event]] = defaultdict(list)
        for e in self.said:
            times = removed.get((e.pid, e.thread))
            if times and not is_of_memory(e):
                form = _NUMBERED.sub("#", self.names.in_text(e.text)[2])
                gaps[form].add(((e.pid, e.thread), bisect(times, e.t)))
                forms[form].append(e)
        found: list[Event] = []
        for form, places in gaps.items():
            after = sum(gap > 0 for _, gap in places)
            before = sum(gap < len(removed[thread]) for thread, gap in places)
            each = max(after, before)
            if each > sum(releases.values()) and 2 * each >= len(self.removed):
                found += forms[form]
        return found

    def _releases(self, thread: tuple[int, str], times: Sequence[int]) -> int:
        """Return how many times a thread began to remove caches after the end of a tile; all removals if no end is known."""
        ends = [s for s in self.history.steps if s.state in ("ended", "collected")]
        own = sorted(s.t for s in ends if (s.pid, s.thread) == thread) or sorted(s.t for s in ends)
        return len({bisect(own, t) for t in times}) if own else len(times)
