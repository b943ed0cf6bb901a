"""Show the progress of runs from their growing records, which works under output capture and with xdist workers.

The controller only sees what its workers write below the session's folder. Every record there without a seal is a living run.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.language.message import Message, Translate, say, visible
from harness.record.request import Request
from harness.session.durations import Durations
from harness.session.roles import role_name
from harness.session.run_matrix import PlannedRun
from harness.watch.disk import CACHE

DEPTH = 3
"""The maximum depth of a record below the session's folder."""

LONGEST_REASON = 200
"""Characters of the reason of a crash in a run's line."""

SHORT = 120
"""Seconds from which on a time is shown in minutes."""

QUIET = 25.0
"""Seconds without a line after which the state is shown again, so that nobody takes a silent session for a hanging one."""

CHUNK = 4_000_000
"""Bytes of one file that are read at a time; otherwise a reader that starts late would stall."""


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
            with path.open("rb") as stream:
                stream.seek(offset)
                data = stream.read(CHUNK)
        except OSError:
            return
        end = data.rfind(b"\n") + 1
        if end == 0 and len(data) == CHUNK:
            end = CHUNK  # longer than any line of a record: skip it
        self._offsets[path] = offset + end
        for line in data[:end].splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry


class ProgressMonitor:
    """A thread that shows the progress of the runs whose records lie below ``session``, which need not exist yet.

    ``show`` shows one line; each run gets a line when its state changes. ``interval`` is in seconds, between two looks. After
    ``quiet`` seconds without a line, each living run is shown again, or that runs are being prepared or judged.
    """

    def __init__(
        self,
        session: Path,
        show: Callable[[str], object],
        *,
        interval: float = 2.0,
        quiet: float = QUIET,
        translate: Translate = str,
    ) -> None:
        self._reader = ProgressReader(session)
        self._interval = interval
        self._quiet = quiet
        self._translate = translate
        self._line = show
        self._shown: dict[str, Progress] = {}
        self._begun = self._last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="progress", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Show the last state and end the thread."""
        self._stop.set()
        self._thread.join()

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
            # A run that was sealed when first seen belongs to an earlier session, and needs no line.
            known = state.state == "running" or state.record in self._shown
            if known and self._shown.get(state.record) != state:
                self._shown[state.record] = state
                self._tell(line(state, self._translate))
        if time.monotonic() - self._last < self._quiet:
            return
        living = [state for state in states if state.state == "running"]
        for state in living:
            self._tell(line(state, self._translate))
        if not living:
            self._tell(_between_runs(len(states), time.monotonic() - self._begun).render(self._translate))

    def _tell(self, text: str) -> None:
        self._last = time.monotonic()
        self._line(text)


def _between_runs(count: int, seconds: float) -> Message:
    return say(
        "No run lives: frames are being prepared, or runs judged. Runs so far: {count}, {seconds} s.",
        count=count,
        seconds=round(seconds),
    )


@contextmanager
def progress_of(folder: Path, show: Callable[[str], object], translate: Translate = str) -> Iterator[None]:
    """Show the progress of the runs below a folder while the block lasts."""
    monitor = ProgressMonitor(folder, show, translate=translate)
    monitor.start()
    try:
        yield
    finally:
        monitor.stop()


def line(state: Progress, translate: Translate = str, *, now: int | None = None) -> str:
    """Return the line of a run: target, case, role, phase, tile, cache and time.

    ``now`` is the monotonic time in nanoseconds, by default the present.
    """
    seconds = round(state.elapsed(time.monotonic_ns() if now is None else now))
    role = role_name(state.role).render(translate)
    parts = [say("{label}:", label=f"{state.target} · {state.case} · {role}").render(translate)]
    if state.state != "running":
        parts.append(say("{state} after {seconds} s", state=translate(state.state), seconds=seconds).render(translate))
        if state.reason:
            parts.append(f"· {visible(state.reason)[:LONGEST_REASON]}")
        return " ".join(parts)
    if state.phase:
        parts.append(say("phase {phase},", phase=state.phase).render(translate))
    elif state.stage:
        parts.append(f"{state.stage},")
    if state.tiles is not None and state.tile is not None:
        parts.append(say("tile {tile} of {tiles},", tile=state.tile, tiles=state.tiles).render(translate))
    parts.append(say("caches {size} MB,", size=round(state.cache / 1e6)).render(translate))
    parts.append(say("{seconds} s", seconds=seconds).render(translate))
    return " ".join(parts)


def expected_table(
    runs: Sequence[PlannedRun],
    durations: Durations,
    *,
    profile: str = "fast",
    pilot: float | None = None,
    translate: Translate = str,
) -> str:
    """Return a table of the runs to come, with the expected time of each and the sum.

    ``pilot`` is the time of the pilot run in seconds per frame. ``?`` marks an unknown time, ``~`` one that was estimated from
    the pilot run, or else from another target of the same kind.
    """
    expected = [_expected(run, durations, profile, pilot) for run in runs]
    names = (say("run"), say("target"), say("case"), say("role"), say("dataset"), say("retention"), say("expected"))
    head = [name.render(translate) for name in names]
    rows = [head]
    for number, (run, (seconds, exact)) in enumerate(zip(runs, expected, strict=True), 1):
        shown = "?" if seconds is None else f"{'' if exact else '~'}{seconds:.0f} s"
        role = role_name(run.role).render(translate)
        rows.append([str(number), run.target, run.case, role, run.dataset, run.retention, shown])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "".join(f"{line}\n" for line in (*table, _total([seconds for seconds, _ in expected]).render(translate)))


def _expected(run: PlannedRun, durations: Durations, profile: str, pilot: float | None) -> tuple[float | None, bool]:
    """Return the expected seconds of a run, and whether they are those of the same run in earlier sessions."""
    seconds, exact = durations.expected(run.target, run.case, run.dataset, profile)
    if not exact and pilot is not None and run.frames:
        return pilot * run.frames, False
    return seconds, exact


def _total(expected: Sequence[float | None]) -> Message:
    known = [seconds for seconds in expected if seconds is not None]
    count, total, unknown = len(expected), round(sum(known)), len(expected) - len(known)
    if not known:
        return say("Runs: {count}; their duration is not known yet.", count=count)
    if unknown:
        return say(
            "Runs: {count}, about {seconds} s if run one after the other; of unknown duration: {unknown}.",
            count=count,
            seconds=total,
            unknown=unknown,
        )
    if total < SHORT:
        return say("{count} runs, about {seconds} s if run one after the other.", count=count, seconds=total)
    return say("{count} runs, about {minutes} min if run one after the other.", count=count, minutes=round(total / 60))


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
        request = Request.from_json(json.loads((folder / "request.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError):
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
        if tile.isdecimal() and tiles.isdecimal():
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
        data = json.loads(path.read_text(encoding="utf-8"))
        ended = replace(state, state=str(data["state"]), seconds=float(data["seconds"]))
        return replace(ended, reason=str(data["reason"])) if ended.state == "crashed" else ended
    except (OSError, ValueError, TypeError, KeyError):
        return replace(state, state="sealed")
