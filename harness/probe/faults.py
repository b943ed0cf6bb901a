"""Inject the faults that a request asks for: a refused removal, a lost cache, a failed tile.

Each acts where the real fault would. The injection lies beneath the recording wrappers, so a refused removal is recorded as the
failure that the target sees. A cache deleted by a fault is not a removal by the target: the trace has the fault only.
"""

from __future__ import annotations

import errno
import fnmatch
import functools
import os
import threading
from types import ModuleType
from typing import Any, Callable, Mapping, Optional, Sequence

from .files import UNSEEN, Observed, rebind, replace
from .paths import Paths
from .recorder import Recorder

REFUSE_UNLINK, DELETE_CACHE, FAIL_TILE = "refuse unlink", "delete cache", "fail tile"
KNOWN = (REFUSE_UNLINK, DELETE_CACHE, FAIL_TILE)

_unlink = os.unlink  # the original: this module is imported before os.unlink is wrapped


class TileFaultError(RuntimeError):
    """Raised in place of a tile's maker when the request asks for its failure."""


class Faults:
    """Inject the faults that the request of one run has, and record for each whether it struck.

    ``record`` is the record's folder. Cache paths are relative to it.
    """

    def __init__(self, asked: Sequence[Mapping[str, Any]], recorder: Recorder, paths: Paths, record: str) -> None:
        self._asked = list(asked)
        self._left = [int(fault.get("times", 1)) for fault in self._asked]
        self._struck: set[int] = set()
        self._recorder = recorder
        self._paths = paths
        self._record = record
        self._lock = threading.Lock()

    def install(self) -> None:
        """Wrap the removal functions of ``os``. Call this before they are wrapped for recording."""
        if any(fault.get("what") == REFUSE_UNLINK for fault in self._asked):
            for name in ("unlink", "remove"):
                replace(os, name, _Refusing(getattr(os, name), self._recorder, self._paths, self))

    def wrap(self, module: ModuleType, name: str, read: Callable[..., Any]) -> None:
        """Replace ``module.name``, which makes a tile, by a function that injects faults. Call this before it is recorded.

        ``read`` returns the tile's number and its caches from the arguments of the maker.
        """
        if not any(fault.get("what") in (DELETE_CACHE, FAIL_TILE) for fault in self._asked):
            return
        original = getattr(module, name)
        calls = threading.local()

        @functools.wraps(original)
        def maker(*args: Any, **kwargs: Any) -> Any:
            # A part of a tile may have the number of another tile.
            if getattr(calls, "within", False):
                return original(*args, **kwargs)
            asked = read(original, args, kwargs)
            self._take_caches(asked.tile, asked.caches)
            if self._strikes(FAIL_TILE, f"tile {asked.tile}", lambda fault: fault.get("tile") == asked.tile):
                raise TileFaultError(f"the request asks for a failure of tile {asked.tile}")
            calls.within = True
            try:
                return original(*args, **kwargs)
            finally:
                calls.within = False

        rebind(name, original, maker)

    def refusal(self, path: str) -> Optional[int]:
        """Return the error number with which the removal of a file must fail, or ``None`` if the file may be removed."""
        name = path.rpartition("/")[2]
        fault = self._strikes(REFUSE_UNLINK, path, lambda f: fnmatch.fnmatchcase(name, str(f.get("name", "*"))))
        return None if fault is None else int(getattr(errno, str(fault.get("errno", "EACCES")), errno.EACCES))

    def finish(self) -> None:
        """Record each fault that did not strike, with the reason."""
        for index, fault in enumerate(self._asked):
            if index not in self._struck:
                reason = "the run never came to it" if fault.get("what") in KNOWN else "this probe knows no such fault"
                self._recorder.trace("fault", state="unmet", fault=dict(fault), reason=reason)

    def _take_caches(self, tile: int, caches: Sequence[str]) -> None:
        """Delete the tile's cache that a fault names by its place. Only existing files below ``outputs`` are deleted."""
        for place, cache in enumerate(caches):
            path = os.path.join(self._record, cache)
            if not cache.startswith("outputs/") or not os.path.isfile(path):
                continue
            places = (place, place - len(caches))

            def meets(fault: Mapping[str, Any], places: tuple[int, int] = places) -> bool:
                return fault.get("tile") == tile and fault.get("place", 0) in places

            if self._strikes(DELETE_CACHE, cache, meets):
                UNSEEN.now = True
                try:
                    _unlink(path)
                finally:
                    UNSEEN.now = False

    def _strikes(
        self, what: str, where: str, meets: Callable[[Mapping[str, Any]], bool]
    ) -> Optional[Mapping[str, Any]]:
        """Return the first fault of a kind that applies here and has strikes left, and record that it struck."""
        with self._lock:
            for index, fault in enumerate(self._asked):
                if fault.get("what") == what and self._left[index] > 0 and meets(fault):
                    self._left[index] -= 1
                    self._struck.add(index)
                    self._recorder.trace("fault", state="struck", fault=dict(fault), reason=where)
                    return fault
        return None


class _Refusing(Observed):
    def __init__(self, original: Callable[..., Any], recorder: Recorder, paths: Paths, faults: Faults) -> None:
        super().__init__(original, recorder, paths)
        self._faults = faults

    def __call__(self, path: Any, *, dir_fd: Optional[int] = None) -> None:
        name = self._paths.inside_at(path, -1 if dir_fd is None else dir_fd)
        code = None if name is None else self._faults.refusal(name)
        if code is not None:
            self._recorder.trace("remove", state="attempt", path=name)
            raise OSError(code, os.strerror(code), os.fspath(path))  # the system's errors have the path as text too
        self._original(path, dir_fd=dir_fd)
