"""Record the steps of master tiles: submitted, started, ended, and collected by the thread that submitted them.

A maker may call itself, to make a tile of many frames from parts. Such a call is a *part* of the tile in whose making it
happens, whatever number it is given: its steps name that tile in ``part_of``.
"""

from __future__ import annotations

import concurrent.futures as futures_module
import functools
import threading
from concurrent.futures import Future, ThreadPoolExecutor, _base
from types import ModuleType
from typing import Any, Callable, Iterator, NamedTuple, Optional

from . import exceptions
from .files import rebind
from .holds import Holds, Tile
from .order import Order
from .recorder import Recorder

_MARK = "_phase3_tile"


class Asked(NamedTuple):
    """The arguments of one call of the maker: the tile's id, its frames and their caches in order, and the tile it retries."""

    tile: int
    frames: list[str]
    caches: list[str]
    retry_of: Optional[int]


class Made(NamedTuple):
    """The result of one call: ``made`` or ``failed``, the tile's path, the error, and the frame that defines its grid.

    The outcome is ``None`` if it could not be read: the probe's own fault must not count as a failed tile.
    """

    outcome: Optional[str]
    path: Optional[str]
    error: Optional[str]
    reference: Optional[str]


class _Call(NamedTuple):
    """One call of the maker, and what events said of it."""

    tile: Tile
    said: dict[str, Any]


Describe = Callable[[Callable[..., Any], "tuple[Any, ...]", "dict[str, Any]"], Asked]
Conclude = Callable[[Any], Made]


class Tiles:
    """Record the steps of tiles, and make tiles wait as the schedule says.

    The *maker* is the function that makes a tile. ``describe`` reads its arguments, ``conclude`` its result.
    """

    def __init__(
        self, recorder: Recorder, holds: Holds, describe: Describe, conclude: Conclude, order: Optional[Order] = None
    ) -> None:
        self._recorder = recorder
        self._holds = holds
        self._order = Order(recorder) if order is None else order
        # The calls of the maker that this thread is in, the innermost last.
        self._calls = threading.local()
        self._describe = describe
        self._conclude = conclude
        # Each recording maker, and the original that it replaces.
        self._makers: list[tuple[Any, Callable[..., Any]]] = []
        self._from_events: dict[str, dict[int, Any]] = {"retry_of": {}, "reference": {}, "error": {}}

    def heard(self, key: str, fields: dict[str, Any]) -> None:
        """Take from an event what the maker does not return: the origin of a retry, the reference frame, the failure."""
        if key == "run_info_phase3_retry_submitted":
            origin, new = fields.get("origin_tile"), fields.get("new_tile")
            if isinstance(new, int) and isinstance(origin, int) and new != origin:
                self._from_events["retry_of"][new] = origin
        tile = fields.get("tile_id")
        if not isinstance(tile, int):
            return
        # A part may have the number of another tile, which is made at the same time in another thread.
        mine = next((call.said for call in reversed(self._within()) if call.tile.id == tile), None)
        if key == "mastertile_info_reference_set":
            self._say(mine, "reference", tile, fields.get("ref_filename"))
        elif key.startswith("mastertile_error_"):
            self._say(mine, "error", tile, key)

    def _say(self, mine: Optional[dict[str, Any]], what: str, tile: int, value: Any) -> None:
        if mine is not None:
            mine[what] = value
        else:
            self._from_events[what][tile] = value

    def _within(self) -> list[_Call]:
        if not hasattr(self._calls, "now"):
            self._calls.now = []
        now: list[_Call] = self._calls.now
        return now

    def forget(self) -> None:
        """Forget what events said of tiles: the next run in this process numbers its tiles from 0 again."""
        for facts in self._from_events.values():
            facts.clear()
        self._order.forget()

    def wrap(self, module: ModuleType, name: str) -> None:
        """Replace ``module.name``, and every global bound to it, by a recording maker, and write the capability ``tiles``."""
        original = getattr(module, name)

        @functools.wraps(original)
        def maker(*args: Any, **kwargs: Any) -> Any:
            return self._run(self._asked(original, args, kwargs), original, args, kwargs)

        self._makers.append((maker, original))
        rebind(name, original, maker)
        self._recorder.capability("tiles")

    def _asked(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Optional[Tile]:
        try:
            asked = self._describe(original, args, kwargs)
        except Exception as error:  # noqa: BLE001 -- the target must not see the probe's own fault
            self._recorder.problem(f"a tile's arguments could not be read ({error!r})")
            return None
        tile = Tile(asked.tile, frozenset(asked.frames), asked)
        within = self._within()
        if within:
            outer = within[0].tile
            tile.part_of = outer.id if outer.part_of is None else outer.part_of
        return tile

    def _submitted(self, tile: Tile, workers: Optional[int]) -> None:
        tile.submitter = threading.get_ident()
        tile.owner = threading.current_thread()
        tile.workers = workers
        if tile.part_of is None:  # a part stands for no group of the plan
            self._holds.submitted(tile)
        self._step("submitted", tile, retry_of=self._retry_of(tile))

    def _run(self, tile: Optional[Tile], original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if tile is None:
            return original(*args, **kwargs)
        if tile.part_of is None:
            self._holds.enter(tile)
            self._from_events["reference"].pop(tile.id, None)
            self._from_events["error"].pop(tile.id, None)
        call = _Call(tile, {})
        self._within().append(call)
        self._step("started", tile, retry_of=self._retry_of(tile))
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            if tile.part_of is None:  # the exception of a part is noted where it ends the whole tile
                exceptions.note(self._recorder, error, "tile", tile.id)
            self._end(call, Made("raised", None, f"{type(error).__name__}: {error}", None))
            raise
        try:
            made = self._conclude(result)
        except Exception as error:  # noqa: BLE001 -- the target must not see the probe's own fault
            self._recorder.problem(f"a tile's result could not be read ({error!r})")
            made = Made(None, None, "the probe could not read the result", None)
        self._end(call, made)
        return result

    def _end(self, call: _Call, made: Made) -> None:
        self._within().pop()
        tile = call.tile
        heard = {what: known.get(tile.id) for what, known in self._from_events.items()} if tile.part_of is None else {}
        error = made.error or ((call.said.get("error") or heard.get("error")) if made.outcome != "made" else None)
        reference = made.reference or call.said.get("reference") or heard.get("reference")
        more = {} if tile.part_of is None else {"part_of": tile.part_of}
        self._recorder.trace(
            "tile",
            state="ended",
            tile=tile.id,
            outcome=made.outcome,
            path=made.path,
            error=error,
            reference=reference,
            **more,
        )
        if tile.part_of is None:
            self._holds.ended(tile, error or "" if made.outcome == "raised" else "")
            self._order.ended(tile.id)

    def _collected(self, tile: Tile) -> None:
        if tile.collected or tile.submitter != threading.get_ident():
            return
        tile.collected = True
        more = {} if tile.part_of is None else {"part_of": tile.part_of}
        self._recorder.trace("tile", state="collected", tile=tile.id, **more)
        if tile.part_of is None:
            self._holds.collected(tile)

    def _retry_of(self, tile: Tile) -> Optional[int]:
        if tile.part_of is not None:
            return None
        known: Optional[int] = self._from_events["retry_of"].get(tile.id)
        return tile.asked.retry_of if known is None else known

    def _step(self, state: str, tile: Tile, **more: Any) -> None:
        if tile.part_of is not None:
            more["part_of"] = tile.part_of
        self._recorder.trace(
            "tile", state=state, tile=tile.id, frames=tile.asked.frames, caches=tile.asked.caches, **more
        )

    def install_futures(self) -> None:
        """Wrap ``submit`` of thread pools and the waits for futures, and write the capability ``futures``.

        Call this before the target imports them: names that it has bound already would not be recorded.
        """
        self._install_pool()
        self._install_future()
        self._install_waiting()
        self._recorder.capability("futures")

    def _install_pool(self) -> None:
        submit: Any = ThreadPoolExecutor.submit
        shutdown: Any = ThreadPoolExecutor.shutdown

        @functools.wraps(submit)
        def recorded_submit(self_: Any, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            original = next((original for maker, original in self._makers if maker is fn), None)
            tile = self._asked(original, args, kwargs) if original is not None else None
            if tile is None or original is None:
                return submit(self_, self._order.carried(fn), *args, **kwargs)
            self._submitted(tile, getattr(self_, "_max_workers", None))
            future = submit(self_, self._order.carried(self._run), tile, original, args, kwargs)
            setattr(future, _MARK, tile)
            return future

        @functools.wraps(shutdown)
        def recorded_shutdown(self_: Any, *args: Any, **kwargs: Any) -> Any:
            with self._holds.waiting(untimed=True):
                return shutdown(self_, *args, **kwargs)

        ThreadPoolExecutor.submit = recorded_submit  # type: ignore[method-assign]
        ThreadPoolExecutor.shutdown = recorded_shutdown  # type: ignore[method-assign, assignment]

    def _install_future(self) -> None:
        def recorded(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def taken(self_: Any, timeout: Optional[float] = None) -> Any:
                tile = getattr(self_, _MARK, None)
                if tile is None:
                    try:
                        return original(self_, timeout)
                    finally:
                        if self_.done():  # this thread takes over what the work's thread knows
                            exceptions.read(self_)
                try:
                    if self_.done():
                        self._holds.came_back(but_for=tile)
                        return original(self_, timeout)
                    with self._holds.waiting(untimed=timeout is None):
                        return original(self_, timeout)
                finally:
                    if self_.done():
                        self._collected(tile)

            return taken

        set_exception = Future.set_exception

        @functools.wraps(set_exception)
        def failed(self_: Any, exception: Any) -> None:
            if exception is not None:
                exceptions.unread(self._recorder, self_, exception)
            set_exception(self_, exception)

        Future.set_exception = failed  # type: ignore[method-assign,assignment]
        Future.result = recorded(Future.result)  # type: ignore[method-assign]
        Future.exception = recorded(Future.exception)  # type: ignore[method-assign]

    def _install_waiting(self) -> None:
        wait, as_completed = _base.wait, _base.as_completed

        @functools.wraps(wait)
        def recorded_wait(fs: Any, timeout: Optional[float] = None, return_when: str = _base.ALL_COMPLETED) -> Any:
            with self._holds.waiting(untimed=timeout is None):
                found = wait(fs, timeout, return_when)
            for future in found.done:
                self._order.finished(future, "wait")
            return found

        @functools.wraps(as_completed)
        def recorded_as_completed(fs: Any, timeout: Optional[float] = None) -> Iterator[Any]:
            done = as_completed(fs, timeout)
            while True:
                with self._holds.waiting(untimed=timeout is None):
                    try:
                        future = next(done)
                    except StopIteration:
                        return
                self._order.finished(future, "wait")
                yield future

        for module in (futures_module, _base):
            module.wait = recorded_wait  # type: ignore[attr-defined]
            module.as_completed = recorded_as_completed  # type: ignore[attr-defined]
