"""Show the progress of runs from their growing records, which works under output capture and with xdist workers.

The controller only sees what its workers write below the session's folder. Every record there without a seal is a living run.
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

from harness.language.message import Translate, say, visible
from harness.record.reader import read_request
from harness.record.values import UNREADABLE, RecordError, open_regular, read_json
from harness.session.outlook import Outlook, in_words
from harness.session.roles import role_in_short, role_name
from harness.session.screen import Screen, fitting
from harness.watch.disk import CACHE

DEPTH = 3
"""The maximum depth of a record below the session's folder."""

LONGEST_REASON = 200
"""Characters of the reason of a crash in a run's line."""

QUIET = 240.0
"""Seconds without a line after which one says what happens: services that run jobs (CI) stop a job that is silent for long."""

CHUNK = 4_000_000
"""Bytes of one file that are read at a time; otherwise a reader that starts late would stall."""

_LONGEST_COUNT = 20
"""Characters of a count of tiles; a longer one is damaged."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one run, according to its record.

    ``phase`` is the target's own (``PHASE_UPDATE``), ``stage`` its stage progress. ``tile`` of ``tiles`` counts finished
    tiles. ``cache`` is in bytes. ``since`` is the monotonic time of the first entry in nanoseconds. ``state`` is ``running``
    or the end state, and ``seconds`` the duration of an ended run; ``reason`` is why it crashed.
    """

    record: str
    target: str
    role: str
    case: str
    phase: str = ""
    stage: str = ""
    tile: int | None = None
    tiles: int | None = None
    cache: int = 0
    since: int | None = None
    state: str = "running"
    seconds: float | None = None
    reason: str = ""

    def elapsed(self, now: int) -> float:
        """Return seconds from the start to the end, or to the monotonic time ``now`` in nanoseconds."""
        if self.seconds is not None:
            return self.seconds
        return 0.0 if self.since is None else max(0.0, (now - self.since) / 1e9)


class ProgressReader:
    """A reader of all records below a session's folder that reads only new lines."""

    def __init__(self, session: Path) -> None:
        self._session = session
        self._states: dict[Path, Progress] = {}
        self._offsets: dict[Path, int] = {}
        self._closed: set[Path] = set()

    def look(self) -> tuple[Progress, ...]:
        """Return the state of every run so far, in order of its record's path."""
        for folder in _records(self._session, DEPTH):
            if folder in self._closed:
                continue
            state = self._states.get(folder) or _opened(self._session, folder)
            if state is None:
                continue
            for path in (*sorted(folder.glob("events-*.jsonl")), folder / "disk.jsonl"):
                for data in self._added(path):
                    state = _advanced(state, data)
            state = _ended(state, folder)
            if state.state != "running":
                self._closed.add(folder)
            self._states[folder] = state
        return tuple(self._states[folder] for folder in sorted(self._states))

    def _added(self, path: Path) -> Iterator[Mapping[str, Any]]:
        """Yield the new complete lines of a file; an incomplete line is left for the next look."""
        offset = self._offsets.get(path, 0)
        try:
            with open_regular(path, sys.maxsize) as stream:
                stream.seek(offset)
                data = stream.read(CHUNK)
        except (OSError, RecordError):
            return
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == CHUNK:
            end = CHUNK  # longer than any line of a record: skip it
        self._offsets[path] = offset + end
        for line in data[:end].splitlines():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(entry, dict):
                yield entry


class ProgressMonitor:
    """A thread that shows the progress of the runs whose records lie below ``session``, which need not exist yet.

    A run gets a line when it ends; on a terminal only if it did not reach its end. There the living line shows the run of the
    moment. Elsewhere, after ``quiet`` seconds without a line, one says what happens. ``interval`` is in seconds, between two
    looks. ``outlook``, once it is known, gives the number of runs and the time left.
    """

    def __init__(
        self,
        session: Path,
        screen: Screen,
        *,
        interval: float = 1.0,
        quiet: float = QUIET,
        translate: Translate = str,
    ) -> None:
        self._reader = ProgressReader(session)
        self._interval = interval
        self._quiet = quiet
        self._translate = translate
        self.screen = screen
        self.outlook: Outlook | None = None
        self._ended: set[str] = set()
        self._begun = self._last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def start(self) -> None:
        """Start the thread. Runs that have ended before need no line: they belong to an earlier start of the session."""
        self._ended = {state.record for state in self._reader.look() if state.state != "running"}
        self._thread.start()

    def stop(self) -> None:
        """Show the last state, remove the living line and end the thread."""
        self._stop.set()
        self._thread.join()
        with suppress(OSError, ValueError):  # the stream was closed
            self.screen.clear()

    def _follow(self) -> None:
        try:
            while not self._stop.wait(self._interval):
                self._show()
            self._show()
        except (OSError, ValueError):
            return  # the stream was closed

    def _show(self) -> None:
        states = self._reader.look()
        for state in states:
            if state.state == "running" or state.record in self._ended:
                continue
            self._ended.add(state.record)
            if state.state != "done" or not self.screen.live:
                self._say(f"{self._place(states, len(self._ended))}{line(state, self._translate)}")
        if self.screen.live:
            self.screen.show(self._now(states))
        elif time.monotonic() - self._last >= self._quiet:
            self._say(self._now(states))

    def _say(self, text: str) -> None:
        self._last = time.monotonic()
        self.screen.say(text)

    def _place(self, states: Sequence[Progress], number: int) -> str:
        """Return the number of a run among all; empty before these are known."""
        return f"[{number}/{max(number, self._count(states))}] " if self.outlook is not None else ""

    def _count(self, states: Sequence[Progress]) -> int:
        """Return the number of all runs; 0 before it is known."""
        return 0 if self.outlook is None else self.outlook.count(states)

    def _now(self, states: Sequence[Progress]) -> str:
        """Return what happens now: the run of the moment, or that none lives, and the time so far and left."""
        now = time.monotonic_ns()
        living = [state for state in states if state.state == "running"]
        ended = len(states) - len(living)
        times = [in_words(time.monotonic() - self._begun).render(self._translate)]
        left = self.outlook.left(states, now) if self.outlook is not None else None
        # After the last run tests still judge, and call the release alone: how long that takes is not known.
        if left is not None and (living or ended < self._count(states)):
            remaining = in_words(left).render(self._translate)
            times.append(say("about {time} left", time=remaining).render(self._translate))
        if not living:
            what = say("preparing frames, or judging runs").render(self._translate)
            return f"{self._place(states, ended)}{what} · {', '.join(times)}"
        more = f" (+{len(living) - 1})" if len(living) > 1 else ""
        head = f"{self._place(states, ended + 1)}{visible(living[-1].case)}{more}"
        return fitting(
            [" · ".join((head, *parts, ", ".join(times))) for parts in _choices(living[-1], self._translate)],
            self.screen.columns if self.screen.live else 10_000,
        )


@contextmanager
def progress_of(folder: Path, stream: TextIO, translate: Translate = str) -> Iterator[None]:
    """Show the progress of the runs below a folder on a stream while the block lasts."""
    monitor = ProgressMonitor(folder, Screen(stream), translate=translate)
    monitor.start()
    try:
        yield
    finally:
        monitor.stop()


def line(state: Progress, translate: Translate = str, *, now: int | None = None) -> str:
    """Return the line of a run: target, case, role, retention, and how and when it ended, or what it does.

    ``now`` is the monotonic time in nanoseconds, by default the present.
    """
    seconds = round(state.elapsed(time.monotonic_ns() if now is None else now))
    role = role_name(state.role).render(translate)
    label = visible(f"{state.target} · {state.case} · {role}")
    parts = [say("{label}:", label=label).render(translate)]
    if state.state != "running":
        parts.append(say("{state} after {seconds} s", state=translate(state.state), seconds=seconds).render(translate))
        if state.reason:
            parts.append(f"· {visible(state.reason)[:LONGEST_REASON]}")
        return " ".join(parts)
    return " ".join(
        (*parts, ", ".join((*_doing(state, translate), say("{seconds} s", seconds=seconds).render(translate))))
    )


def _choices(state: Progress, translate: Translate) -> Iterator[tuple[str, ...]]:
    """Yield the parts of the living line, from all of them to the most needed ones: which run, which tile, the caches."""
    role = role_name(state.role).render(translate)
    doing = _doing(state, translate)
    yield visible(state.target), role, *doing
    yield role, *doing
    short = role_in_short(state.role).render(translate)
    yield short, *doing
    yield short, *doing[-2:]
    yield doing[-2:]


def _doing(state: Progress, translate: Translate) -> tuple[str, ...]:
    """Return the phase or stage, the tile and the size of the caches, as far as they are known."""
    parts = []
    if state.phase:
        parts.append(say("phase {phase}", phase=state.phase).render(translate))
    elif state.stage:
        parts.append(visible(state.stage))
    if state.tiles is not None and state.tile is not None:
        parts.append(say("tile {tile} of {tiles}", tile=state.tile, tiles=state.tiles).render(translate))
    parts.append(say("caches {size} MB", size=round(state.cache / 1e6)).render(translate))
    return tuple(parts)


def _records(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the folders with a request; a record's own subfolders are skipped."""
    if (folder / "request.json").is_file():
        yield folder
    elif depth:
        try:
            inner = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
        except OSError:
            return
        for path in inner:
            yield from _records(path, depth - 1)


def _opened(session: Path, folder: Path) -> Progress | None:
    try:
        request = read_request(folder)
    except (OSError, RecordError):
        return None  # incomplete, or not a record
    return Progress(folder.relative_to(session).as_posix(), request.target.label, request.role, request.case)


def _advanced(state: Progress, data: Mapping[str, Any]) -> Progress:
    """Return the state after one line of events or disk samples."""
    t = data.get("t")
    if isinstance(t, int) and (state.since is None or t < state.since):
        state = replace(state, since=t)
    size, key, text = data.get("size"), data.get("key"), str(data.get("text", ""))
    if data.get("folder") == CACHE and isinstance(size, int):
        return replace(state, cache=size)
    if key == "PHASE_UPDATE":
        return replace(state, phase=text[:20])
    if key == "MASTER_TILE_COUNT_UPDATE":
        tile, _, tiles = text.partition("/")
        if tile.isdecimal() and tiles.isdecimal() and len(text) < _LONGEST_COUNT:
            return replace(state, tile=int(tile), tiles=int(tiles))
    if data.get("source") == "stage" and isinstance(key, str):
        return replace(state, stage=f"{key} {text}"[:60])
    return state


def _ended(state: Progress, folder: Path) -> Progress:
    """Return the state with the end of a sealed run; a run without a seal is still running."""
    path = folder / "seal.json"
    if not path.exists():
        return state
    try:
        data = read_json(path)
        seconds = float(data["seconds"])
        ended = replace(state, state=str(data["state"]), seconds=seconds if math.isfinite(seconds) else 0.0)
        return replace(ended, reason=str(data["reason"])) if ended.state == "crashed" else ended
    except (OSError, *UNREADABLE):
        return replace(state, state="sealed")
