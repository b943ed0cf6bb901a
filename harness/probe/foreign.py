"""Record a user's own run of ZeMosaic, in the user's environment, with the user's settings, folders and processors.

The sources are installed when ZeMosaic's worker is imported. They write nothing until a mosaic begins. Each mosaic gets its own
record, ``record-N``. The facts from which the harness writes the request afterwards are in the record's ``work`` folder:
``run.json``, ``notes.jsonl`` and, after the mosaic, ``end.json``.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import json
import os
import sys
import threading
import time
from types import ModuleType
from typing import Any, Callable, Iterator, Mapping, Optional

from . import exceptions
from .events import Events, install_log, split
from .files import install, install_saves
from .frames import data_digest, solved
from .holds import Holds, Tile
from .order import Order
from .paths import Paths
from .recorder import Recorder, plain_settings
from .tiles import Asked, Tiles
from .zemosaic import conclude, describe, makes_tiles

DEEPEST = 64
"""Folders in each other that are looked through before a run."""

ENTRY, PROCESS = "run_hierarchical_mosaic", "run_hierarchical_mosaic_process"
_NEEDED = ("input_folder", "output_folder", "progress_callback")

# The names of settings by the names of arguments without ``_config``, where the two differ.
_NAMES = {
    "astap_exe_path": "astap_executable_path",
    "astap_data_dir_param": "astap_data_directory_path",
    "astap_search_radius": "astap_default_search_radius",
    "astap_downsample": "astap_default_downsample",
    "astap_sensitivity": "astap_default_sensitivity",
    "stack_norm_method": "stacking_normalize_method",
    "stack_weight_method": "stacking_weighting_method",
    "stack_reject_algo": "stacking_rejection_algorithm",
    "stack_final_combine": "stacking_final_combine_method",
    "stack_kappa_low": "stacking_kappa_low",
    "stack_kappa_high": "stacking_kappa_high",
    "cluster_threshold": "cluster_panel_threshold",
}

_watcher: Optional[Watcher] = None


def surround(spec: Any, folder: str) -> None:
    """Wrap a module's loader: install the sources before the module runs, and wrap its functions afterwards."""
    loader: Any = getattr(spec, "loader", None)
    original = getattr(loader, "exec_module", None)
    if original is None:
        return

    def exec_module(module: ModuleType) -> None:
        with _reporting("ZeMosaic is not observed"):
            _the_watcher(folder)
        original(module)
        with _reporting("ZeMosaic is not observed"):
            _the_watcher(folder).attach(module)

    loader.exec_module = exec_module


def _the_watcher(folder: str) -> Watcher:
    global _watcher  # noqa: PLW0603 -- an audit hook can't be removed, so a process must install only one
    if _watcher is None:
        _watcher = Watcher(folder)
    return _watcher


@contextlib.contextmanager
def _reporting(what: str) -> Iterator[None]:
    """Write an exception of the probe to standard error, instead of raising it in the observed program."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 -- the program must run as it would without the probe
        _report(what, repr(error))


def _report(what: str, why: str) -> None:
    with contextlib.suppress(OSError, ValueError, AttributeError):  # standard error may be closed, full or None
        sys.stderr.write(f"phase3 probe: {what} ({why})\n")


class _Switched(Recorder):
    """Write only while a mosaic is made, each mosaic into its own record."""

    def __init__(self) -> None:
        super().__init__(os.curdir)
        self._on = False
        self._sources: list[str] = []

    def capability(self, name: str) -> None:
        """Remember that a source is installed: `begin` writes it to each record."""
        self._sources.append(name)

    def begin(self, folder: str) -> None:
        """Start to write, into this record."""
        self._folder = folder
        self._open, self._torn = {}, set()
        self._lost.clear()
        self._on = True
        for name in self._sources:
            super().capability(name)

    def end(self) -> None:
        """Stop writing."""
        self.tell_losses()
        self._on = False

    def tell_losses(self) -> None:
        """Append the losses, if there is a record to append them to."""
        if self._on:
            super().tell_losses()

    def _append(self, kind: str, data: dict[str, Any]) -> None:
        if self._on:
            super()._append(kind, data)


class _NoHolds(Holds):
    """An empty schedule that notes how many workers a pool has."""

    def __init__(self, recorder: Recorder, note: Callable[..., None]) -> None:
        super().__init__([], (), recorder)
        self._note = note

    def submitted(self, tile: Tile) -> None:
        """Note the number of workers of the pool to which a tile was submitted."""
        if tile.workers is not None:
            self._note(workers=tile.workers)


class Watcher:
    """Hold the sources of this process, and the record that they write to while a mosaic is made, in a folder of records."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._work = ""
        self._noted: set[str] = set()
        self._busy = threading.Lock()
        self._in_process = False
        self.recorder, self.paths = _Switched(), Paths(os.curdir)
        self.paths.move(None)
        order = Order(self.recorder)
        order.install()
        install(self.recorder, self.paths)
        install_log(self.recorder)
        self.events = Events(self.recorder)
        self.tiles = Tiles(
            self.recorder, _NoHolds(self.recorder, self._note), self._described(), conclude(self.paths), order
        )
        self.tiles.install_futures()
        self.events.listeners.append(self.tiles.heard)
        with contextlib.suppress(ImportError):
            install_saves(importlib.import_module("numpy"), self.recorder, self.paths)

    def attach(self, worker: ModuleType) -> None:
        """Wrap a worker's functions.

        ``imported-PID`` is written in any case. From it and a missing record the harness concludes that this version
        lacks the functions and can't be recorded.
        """
        with open(os.path.join(self._folder, f"imported-{os.getpid()}"), "w", encoding="utf-8") as stream:
            stream.write(str(getattr(worker, "__file__", "")))
        entry, process = getattr(worker, ENTRY, None), getattr(worker, PROCESS, None)
        if not callable(entry) or not set(_NEEDED) <= set(inspect.signature(entry).parameters):
            return
        exceptions.watch(self.recorder, os.path.dirname(os.path.abspath(str(getattr(worker, "__file__", "")))))
        if makes_tiles(worker):
            self.tiles.wrap(worker, "create_master_tile")
        setattr(worker, ENTRY, self._entry(worker, entry))
        if callable(process):
            setattr(worker, PROCESS, self._process(process))
        self.recorder.capability("callback")

    def _entry(self, worker: ModuleType, original: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(original)

        # The process's entry point reads the signature of this function; wraps() keeps it.
        @functools.wraps(original)
        def entry(*args: Any, **kwargs: Any) -> Any:
            try:
                bound = signature.bind(*args, **kwargs)
            except TypeError:
                return original(*args, **kwargs)  # raises the same error, with the original's name
            if not self._begin(worker, bound.arguments):
                return original(*args, **kwargs)
            bound.arguments["progress_callback"] = self.events.tee(bound.arguments.get("progress_callback"))
            with contextlib.nullcontext() if self._in_process else self._ending():
                try:
                    return original(*bound.args, **bound.kwargs)
                except BaseException as error:
                    exceptions.note(self.recorder, error, "run")  # the process's entry point catches it
                    raise

        return entry

    def _process(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def process(progress_queue: Any, *args: Any, **kwargs: Any) -> Any:
            self._in_process = True
            with self._ending():
                return original(_Tee(progress_queue, self.events), *args, **kwargs)

        return process

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """End the record after a function of the worker, with the exception that it raised."""
        error = ""
        try:
            yield
        except BaseException as raised:
            error = f"{type(raised).__name__}: {raised}"
            raise
        finally:
            self._in_process = False
            self._end(error)

    def _begin(self, worker: ModuleType, arguments: Mapping[str, Any]) -> bool:
        """Begin a record; return whether that succeeded."""
        if not self._busy.acquire(blocking=False):
            _report("a mosaic is not recorded", "another one is being made in this process")
            return False
        try:
            outputs = os.path.abspath(os.fsdecode(arguments["output_folder"]))
            record = _new_record(self._folder)
            self._work = os.path.join(record, "work")
            self._noted.clear()
            run = {
                "input": os.path.abspath(os.fsdecode(arguments["input_folder"])),
                "output": outputs,
                "before": _files(outputs),
                "inputs": _inputs(os.path.abspath(os.fsdecode(arguments["input_folder"])), outputs),
                "selected": [
                    os.path.abspath(str(item["path"]))
                    for item in arguments.get("filtered_header_items") or ()
                    if item.get("path")
                ],
                "worker": os.path.abspath(str(getattr(worker, "__file__", ""))),
                "python": sys.executable,
                "wall": time.time(),
            }
            settings = _settings(arguments, outputs)
            self._write("run.json", run)
            self.paths.move(outputs)
            self.recorder.begin(record)
            self.recorder.config(settings)
            os.environ.update(PHASE3_RECORD=record, PHASE3_OUTPUTS=outputs)
        except Exception as error:  # noqa: BLE001 -- the mosaic must be made even if it is not recorded
            self._busy.release()
            _report("a mosaic is not recorded", repr(error))
            return False
        return True

    def _end(self, error: str) -> None:
        """End the record, if one is being written."""
        if not self._busy.locked():
            return
        with _reporting("the end of a mosaic is not recorded"):
            self.recorder.end()
            self.paths.move(None)
            self.tiles.forget()
            for name in ("PHASE3_RECORD", "PHASE3_OUTPUTS"):
                os.environ.pop(name, None)
            self._write("end.json", {"error": error, "wall": time.time()})
        self._busy.release()

    def _write(self, name: str, data: dict[str, Any]) -> None:
        """Write a file and rename it into place, so that the harness never reads half of it."""
        path = os.path.join(self._work, name)
        with open(f"{path}.part", "w", encoding="utf-8") as stream:
            json.dump(data, stream)
        os.rename(f"{path}.part", path)

    def _described(self) -> Callable[..., Asked]:
        read = describe(self.paths)

        def asked(maker: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
            group = next(iter(inspect.signature(maker).bind(*args, **kwargs).arguments.values())) or ()
            for entry in group:
                self._note(frame=os.path.abspath(str(entry.get("path_raw", ""))))
            return read(maker, args, kwargs)

        return asked

    def _note(self, **what: Any) -> None:
        """Append a line to ``notes.jsonl``, unless it is there already. One write call, so that threads can't mix lines."""
        line = json.dumps(what)
        if line in self._noted or not self._busy.locked():
            return
        self._noted.add(line)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        descriptor = os.open(os.path.join(self._work, "notes.jsonl"), flags, 0o644)
        try:
            os.write(descriptor, line.encode() + b"\n")
        finally:
            os.close(descriptor)


class _Tee:
    """Wrap the queue that the graphical interface reads, and record the two messages that the callback does not get."""

    def __init__(self, queue: Any, events: Events) -> None:
        self._queue = queue
        self._events = events

    def put(self, item: Any, *args: Any, **kwargs: Any) -> Any:
        """Record ``PROCESS_DONE`` and ``PROCESS_ERROR``, and pass every message on."""
        if isinstance(item, tuple) and item and split(str(item[0]))[0].startswith("PROCESS_"):
            self._events.queued(item)
        return self._queue.put(item, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queue, name)


def _new_record(folder: str) -> str:
    """Make the next record's folder. ``mkdir`` fails if it exists, so that two processes can't get the same one."""
    number = 1
    while True:
        record = os.path.join(folder, f"record-{number}")
        try:
            os.mkdir(record)
        except FileExistsError:
            number += 1
        else:
            os.mkdir(os.path.join(record, "work"))
            return record


def _walk(folder: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk through a folder of the user to a depth of ``DEEPEST``. Older Pythons call themselves for each level of it."""
    for parent, folders, names in os.walk(folder):
        if parent.count(os.sep) - folder.count(os.sep) >= DEEPEST:
            folders.clear()
        yield parent, folders, names


def _files(folder: str) -> list[tuple[str, int, int]]:
    """Return the files in the output folder before the run: path, bytes, time of the last change."""
    found = []
    for parent, _, names in _walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                about = os.lstat(path)
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                found.append((relative, about.st_size, about.st_mtime_ns))
    return found


def _inputs(folder: str, outputs: str) -> list[tuple[str, int, int, int, Optional[bool], Optional[str]]]:
    """Return the files in the input folder before the run: path, bytes, times of the last write and change, WCS, data.

    The data are hashed of frames without a WCS only. The target will solve these, which takes far longer than the hash.
    """
    found = []
    for parent, folders, names in _walk(folder):
        folders[:] = [name for name in folders if os.path.join(parent, name) != outputs]
        for name in names:
            path = os.path.join(parent, name)
            with contextlib.suppress(OSError):
                about = os.stat(path)
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                known = solved(path)
                data = data_digest(path) if known is False else None
                found.append((relative, about.st_size, about.st_mtime_ns, about.st_ctime_ns, known, data))
    return found


def _settings(arguments: Mapping[str, Any], outputs: str) -> dict[str, Any]:
    """Return the effective settings: the stored ones, overridden by the arguments under the settings' names. No paths."""
    settings: dict[str, Any] = {}
    stored = sys.modules.get("zemosaic_config")
    with contextlib.suppress(Exception):
        settings.update((stored or importlib.import_module("zemosaic_config")).load_config())  # type: ignore[union-attr, unused-ignore]
    for name, value in arguments.items():
        plain = name.removesuffix("_config")
        if plain == "parsed_winsor_limits":
            settings["stacking_winsor_limits"] = ",".join(map(str, value))
        else:
            settings[_NAMES.get(plain, plain)] = value
    for name in (*_NEEDED, "filter_invoked", "filter_overrides", "filtered_header_items", "input_dir", "output_dir"):
        settings.pop(name, None)
    return {name: value for name, value in plain_settings(settings, outputs).items() if not _is_place(value)}


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and (os.path.isabs(value) or value.startswith("~"))
