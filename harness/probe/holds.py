"""Enforce a schedule: hold a planned group's tile at its start until another group's tile is released.

*Released* means: the thread that submitted the awaited tile took its result and has since returned to waiting. Whatever
that thread does when it collects a tile (deleting caches, submitting retries) is then over. No delay is guessed.

A hold that can't be met ends ``unmet`` at once with the reason: every worker is held, the awaited tile raised an exception,
Phase 3 or the run ended, or the thread that submits tiles is gone. In any other case its time limit ends it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Iterator, Optional, Sequence

from .recorder import Recorder

# A target that submits only a few tiles ahead polls with a time limit. After this many polls in a row without a new or
# finished tile, no further tile is expected.
IDLE_POLLS = 5
# Seconds between two looks at the submitting thread: the end of a thread notifies nobody.
LOOK = 0.5
# The events after which no tile is collected any more.
OVER = frozenset(
    {
        "run_info_phase3_finished_from_cache",
        "run_info_phase4_started",
        "run_error_phase3_no_master_tiles_created",
        "PROCESS_ERROR",
        "PROCESS_DONE",
    }
)


class Tile:
    """One submitted tile. ``state`` goes from submitted through held, running, ended and collected to released.

    ``part_of`` is the tile within whose making the maker was called; ``None`` for a tile of its own.
    """

    def __init__(self, tile: int, frames: frozenset[str], asked: Any) -> None:
        self.id = tile
        self.frames = frames
        self.asked = asked
        self.part_of: Optional[int] = None
        self.submitter: Optional[int] = None
        self.owner: Optional[threading.Thread] = None
        self.workers: Optional[int] = None
        self.collected = False
        self.raised = ""
        self.state = "submitted"


class Hold:
    """One hold of the request, and whether it is settled: met or unmet."""

    def __init__(self, group: int, until_released: int, seconds: float) -> None:
        self.group = group
        self.until_released = until_released
        self.seconds = seconds
        self.settled = False


class Holds:
    """Make tiles wait as a schedule says, and record the outcome of each hold.

    ``plan`` has the groups of frame names. Holds refer to them by index.
    """

    def __init__(self, holds: Sequence[Hold], plan: Sequence[Sequence[str]], recorder: Recorder) -> None:
        self._holds = list(holds)
        self._plan = [frozenset(group) for group in plan]
        self._recorder = recorder
        self._changed = threading.Condition(threading.RLock())
        self._tiles: list[Tile] = []
        self._by_group: dict[int, Tile] = {}
        # How each submitting thread waits: without a time limit, or with one and this many polls without news.
        self._untimed: set[int] = set()
        self._idle: dict[int, int] = {}

    def submitted(self, tile: Tile) -> None:
        """Note that a tile was submitted. It stands for the planned group of just its frames, unless an earlier tile does."""
        if not self._holds:
            return
        with self._changed:
            self._tiles.append(tile)
            self._idle.pop(threading.get_ident(), None)
            for index, group in enumerate(self._plan):
                if group == tile.frames and index not in self._by_group:
                    self._by_group[index] = tile
                    break
            self._changed.notify_all()

    def enter(self, tile: Tile) -> None:
        """Wait, in the worker's thread, until every hold of this tile's group is met or can't be met any more."""
        if not self._holds:
            return
        with self._changed:
            for hold in self._holds:
                if not hold.settled and self._by_group.get(hold.group) is tile:
                    self._hold(hold, tile)
            tile.state = "running"
            self._changed.notify_all()

    def ended(self, tile: Tile, raised: str = "") -> None:
        """Note that the maker of a tile returned, or which exception it raised."""
        # A failure that the request asks for is no reason to end a hold: the target goes on with the tile as usual.
        if not raised.startswith("TileFaultError"):
            tile.raised = raised
        self._now(tile, "ended")

    def collected(self, tile: Tile) -> None:
        """Note that the submitting thread took a tile's result. The thread may still work on it."""
        self._now(tile, "collected")

    def came_back(self, but_for: Optional[Tile] = None) -> None:
        """Note that this thread has finished with every tile that it collected, except ``but_for``, which it asks for again."""
        if not self._holds:
            return
        with self._changed:
            for tile in self._tiles:
                if tile.state == "collected" and tile.submitter == threading.get_ident() and tile is not but_for:
                    tile.state = "released"
            self._changed.notify_all()

    @contextlib.contextmanager
    def waiting(self, *, untimed: bool) -> Iterator[None]:
        """Note that this thread is waiting again, without (``untimed``) or with a time limit."""
        if not self._holds:
            yield
            return
        me = threading.get_ident()
        with self._changed:
            self.came_back()
            self._idle[me] = self._idle.get(me, 0) + 1
            if untimed:
                self._untimed.add(me)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._untimed.discard(me)

    def heard(self, key: str, _: "dict[str, Any]") -> None:
        """End the holds that wait when an event says that Phase 3 is over."""
        if self._holds and key in OVER:
            with self._changed:
                for hold in self._holds:
                    if not hold.settled and self._is_held(hold):
                        self._settle(hold, "unmet", f"Phase 3 ended before: {self._state(hold)}")
                self._changed.notify_all()

    def finish(self) -> None:
        """End each hold that is not settled: the run is over, and threads that wait would delay its end."""
        with self._changed:
            for hold in self._holds:
                if not hold.settled:
                    never = f"no tile with just the frames of group {hold.group} was started"
                    reason = f"the run ended before: {self._state(hold)}" if self._is_held(hold) else never
                    self._settle(hold, "unmet", reason)
            self._changed.notify_all()

    def _now(self, tile: Tile, state: str) -> None:
        if not self._holds:
            return
        with self._changed:
            tile.state = state
            if tile.submitter is not None:
                self._idle.pop(tile.submitter, None)
            self._changed.notify_all()

    def _hold(self, hold: Hold, tile: Tile) -> None:
        deadline = time.monotonic() + hold.seconds
        tile.state = "held"
        self._changed.notify_all()
        if not self._released(hold):
            self._write(hold, "waiting", "")
        while not hold.settled and not self._released(hold):
            reason = self._failed(hold, tile) or self._hopeless(hold, tile)
            left = deadline - time.monotonic()
            if not reason and left <= 0:
                reason = f"not released within {hold.seconds:g} s: {self._state(hold)}"
            if reason:
                self._settle(hold, "unmet", reason)
                return
            self._changed.wait(min(left, LOOK))
        if not hold.settled:
            self._settle(hold, "met", "")

    def _is_held(self, hold: Hold) -> bool:
        tile = self._by_group.get(hold.group)
        return tile is not None and tile.state == "held"

    def _released(self, hold: Hold) -> bool:
        awaited = self._by_group.get(hold.until_released)
        return awaited is not None and awaited.state == "released"

    def _failed(self, hold: Hold, tile: Tile) -> str:
        """Return which failure keeps the awaited tile from being released; the empty string without any."""
        awaited = self._by_group.get(hold.until_released)
        if awaited is not None and awaited.raised:
            return f"tile {awaited.id}, for which it waits, raised {awaited.raised[:200]}"
        if tile.owner is not None and not tile.owner.is_alive():
            return f"the thread that submits tiles has ended: {self._state(hold)}"
        return ""

    def _hopeless(self, hold: Hold, tile: Tile) -> str:
        """Return why the awaited tile can't be released any more; the empty string while it still may be."""
        states = [other.state for other in self._tiles]
        if "running" in states or "ended" in states or "collected" in states:
            return ""
        free = tile.workers is None or states.count("held") < tile.workers
        if free and "submitted" in states:
            return ""
        if not free:
            return f"no worker is free to make the awaited tile: {self._state(hold)}"
        if hold.until_released in self._by_group:
            return f"nothing runs that could release the awaited tile: {self._state(hold)}"
        submitter = tile.submitter
        if submitter is None or submitter in self._untimed or self._idle.get(submitter, 0) > IDLE_POLLS:
            return f"nothing runs that could submit the awaited tile: {self._state(hold)}"
        return ""

    def _state(self, hold: Hold) -> str:
        awaited = self._by_group.get(hold.until_released)
        if awaited is None:
            return f"no tile with just the frames of group {hold.until_released} was submitted"
        return f"tile {awaited.id} is {awaited.state}"

    def _settle(self, hold: Hold, state: str, reason: str) -> None:
        hold.settled = True
        self._write(hold, state, reason)

    def _write(self, hold: Hold, state: str, reason: str) -> None:
        group, awaited = self._by_group.get(hold.group), self._by_group.get(hold.until_released)
        self._recorder.trace(
            "hold",
            state=state,
            group=hold.group,
            until_released=hold.until_released,
            reason=reason,
            tile=None if group is None else group.id,
            awaited=None if awaited is None else awaited.id,
        )
