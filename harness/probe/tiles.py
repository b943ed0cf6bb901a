"""Record the steps of master tiles: submitted, started, ended, and collected by the thread that submitted them."""

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


Describe = Callable[[Callable[..., Any], "tuple[Any, ...]", "dict[str, Any]"], Asked]
Conclude = Callable[[Any], Made]


class Tiles:
    """Record the steps of tiles, and make tiles wait as the schedule says.

    The *maker* is the function that makes a tile. ``describe`` reads its arguments, ``conclude`` its result.
    """

    def __init__(self, recorder: Recorder, holds: Holds, describe: Describe, conclude: Conclude) -> None:
        self._recorder = recorder
        self._holds = holds
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
        if key == "mastertile_info_reference_set":
            self._from_events["reference"][tile] = fields.get("ref_filename")
        elif key.startswith("mastertile_error_"):
            self._from_events["error"][tile] = key

    def forget(self) -> None:
        """Forget what events said of tiles: the next run in this process numbers its tiles from 0 again."""
        for facts in self._from_events.values():
            facts.clear()

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
        return Tile(asked.tile, frozenset(asked.frames), asked)

    def _submitted(self, tile: Tile, workers: Optional[int]) -> None:
        tile.submitter = threading.get_ident()
        tile.owner = threading.current_thread()
        tile.workers = workers
        self._holds.submitted(tile)
        self._step("submitted", tile, retry_of=self._retry_of(tile))

    def _run(self, tile: Optional[Tile], original: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if tile is None:
            return original(*args, **kwargs)
        self._holds.enter(tile)
        self._from_events["reference"].pop(tile.id, None)
        self._from_events["error"].pop(tile.id, None)
        self._step("started", tile, retry_of=self._retry_of(tile))
        try:
            result = original(*args, **kwargs)
        except BaseException as error:
            exceptions.note(self._recorder, error, "tile", tile.id)
            self._end(tile, Made("raised", None, f"{type(error).__name__}: {error}", None))
            raise
        try:
            made = self._conclude(result)
        except Exception as error:  # noqa: BLE001 -- the target must not see the probe's own fault
            self._recorder.problem(f"a tile's result could not be read ({error!r})")
            made = Made(None, None, "the probe could not read the result", None)
        self._end(tile, made)
        return result

    def _end(self, tile: Tile, made: Made) -> None:
        error = made.error or (self._from_events["error"].get(tile.id) if made.outcome != "made" else None)
        reference = made.reference or self._from_events["reference"].get(tile.id)
        self._recorder.trace(
            "tile",
            state="ended",
            tile=tile.id,
            outcome=made.outcome,
            path=made.path,
            error=error,
            reference=reference,
        )
        self._holds.ended(tile, error or "" if made.outcome == "raised" else "")

    def _collected(self, tile: Tile) -> None:
        if tile.collected or tile.submitter != threading.get_ident():
            return
        tile.collected = True
        self._recorder.trace("tile", state="collected", tile=tile.id)
        self._holds.collected(tile)

    def _retry_of(self, tile: Tile) -> Optional[int]:
        known: Optional[int] = self._from_events["retry_of"].get(tile.id)
        return tile.asked.retry_of if known is None else known

    def _step(self, state: str, tile: Tile, **more: Any) -> None:
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
                return submit(self_, fn, *args, **kwargs)
            self._submitted(tile, getattr(self_, "_max_workers", None))
            future = submit(self_, self._run, tile, original, args, kwargs)
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
                    return original(self_, timeout)
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

        Future.result = recorded(Future.result)  # type: ignore[method-assign]
        Future.exception = recorded(Future.exception)  # type: ignore[method-assign]

    def _install_waiting(self) -> None:
        wait, as_completed = _base.wait, _base.as_completed

        @functools.wraps(wait)
        def recorded_wait(fs: Any, timeout: Optional[float] = None, return_when: str = _base.ALL_COMPLETED) -> Any:
            with self._holds.waiting(untimed=timeout is None):
                return wait(fs, timeout, return_when)

        @functools.wraps(as_completed)
        def recorded_as_completed(fs: Any, timeout: Optional[float] = None) -> Iterator[Any]:
            done = as_completed(fs, timeout)
            while True:
                with self._holds.waiting(untimed=timeout is None):
                    try:
                        future = next(done)
                    except StopIteration:
                        return
                yield future

        for module in (futures_module, _base):
            module.wait = recorded_wait  # type: ignore[attr-defined]
            module.as_completed = recorded_as_completed  # type: ignore[attr-defined]
