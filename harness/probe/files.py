"""File operations below the output folder: what was attempted (audit hook) and what came of it (wrappers)."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
from typing import Any, Callable, Optional

from .paths import Paths
from .recorder import Recorder

UNSEEN = threading.local()
"""``now`` is true while a thread does what is none of the target's doing."""


def install(recorder: Recorder, paths: Paths) -> None:
    """Put the audit hook and the wrappers in place, and announce them. A hook can't be removed again."""
    sys.addaudithook(_hook(recorder, paths))
    recorder.capability("opens")
    replace(os, "unlink", _Removal(os.unlink, recorder, paths))
    replace(os, "remove", _Removal(os.remove, recorder, paths))
    replace(os, "rename", _Renaming(os.rename, recorder, paths))
    replace(os, "replace", _Renaming(os.replace, recorder, paths))
    shutil.rmtree = _rmtree(shutil.rmtree, recorder, paths)  # type: ignore[assignment]
    recorder.capability("removals")


def install_saves(numpy: Any, recorder: Recorder, paths: Paths) -> None:
    """Wrap ``numpy.save``, and announce it."""
    numpy.save = _save(numpy.save, recorder, paths)
    recorder.capability("saves")


def _hook(recorder: Recorder, paths: Paths) -> Callable[[str, Any], None]:
    attempts = _Attempts(recorder, paths)
    handlers: dict[str, Callable[[Any], None]] = {
        "open": attempts.opened,
        "os.remove": attempts.removed,
        "os.rename": attempts.renamed,
        "shutil.rmtree": attempts.tree_removed,
        "mmap.__new__": attempts.mapped,
    }

    def hook(event: str, args: Any) -> None:
        handler = handlers.get(event)
        if handler is None:
            return
        try:
            handler(args)
        except OSError:
            pass  # the file went away in between: the operation itself will say so
        except Exception as error:  # noqa: BLE001 -- raised here, it would stop the target's own operation
            recorder.problem(f"the audit hook failed on {event} ({error!r})")

    return hook


class _Attempts:
    """What the audit events tell, before the operation happens."""

    def __init__(self, recorder: Recorder, paths: Paths) -> None:
        self._recorder = recorder
        self._paths = paths
        self._last = threading.local()

    def opened(self, args: Any) -> None:
        """``path, mode, flags``: no mode where ``os.open`` was called."""
        name = self._paths.inside(args[0])
        self._last.path = args[0] if name is not None else None
        if name is not None:
            self._recorder.trace("open", state="attempt", path=name, mode=args[1] or _mode(args[2]))

    def removed(self, args: Any) -> None:
        """``path, dir_fd``: rmtree gives names relative to an open directory."""
        name = self._paths.inside_at(args[0], args[1])
        if name is not None and not getattr(UNSEEN, "now", False):
            self._recorder.trace("remove", state="attempt", path=name)

    def renamed(self, args: Any) -> None:
        """``src, dst, src_dir_fd, dst_dir_fd``."""
        name, to = self._paths.inside_at(args[0], args[2]), self._paths.inside_at(args[1], args[3])
        if name is not None or to is not None:
            self._recorder.trace("rename", state="attempt", path=name or _text(args[0]), to=to or _text(args[1]))

    def tree_removed(self, args: Any) -> None:
        """``path``, and a directory descriptor in later versions."""
        name = self._paths.inside(args[0])
        if name is not None:
            self._recorder.trace("rmtree", state="attempt", path=name)

    def mapped(self, args: Any) -> None:
        """``descriptor, ...``: its file was opened just before, by this thread, as ``numpy.memmap`` does."""
        path = getattr(self._last, "path", None)
        if path is not None and os.path.samestat(os.fstat(args[0]), os.stat(path)):
            self._recorder.trace("mmap", state="attempt", path=self._paths.inside(path))


class Observed:
    """Stands in for a function of ``os``.

    An object with ``__call__`` and not a function: kept as a class attribute (as ``pathlib`` did before Python 3.11) a
    function would turn into a method, which the original, being built in, does not.
    """

    def __init__(self, original: Callable[..., Any], recorder: Recorder, paths: Paths) -> None:
        functools.update_wrapper(self, original)  # type: ignore[arg-type]
        # After it: of an original that is such an object itself it takes over all that it holds.
        self._original = original
        self._recorder = recorder
        self._paths = paths
        self.__module__ = "os"

    def __reduce__(self) -> str:
        """Pickle by name, as the original: a child process finds what stands in that place there."""
        return str(self._original.__name__)


class _Removal(Observed):
    def __call__(self, path: Any, *, dir_fd: Optional[int] = None) -> None:
        name = self._paths.inside_at(path, -1 if dir_fd is None else dir_fd)
        if name is None:
            self._original(path, dir_fd=dir_fd)
            return
        size = _size(path, dir_fd)
        try:
            self._original(path, dir_fd=dir_fd)
        except OSError as error:
            self._recorder.trace("remove", state="failed", path=name, errno=error.errno)
            raise
        self._recorder.trace("remove", state="done", path=name, size=size)


class _Renaming(Observed):
    def __call__(
        self, src: Any, dst: Any, *, src_dir_fd: Optional[int] = None, dst_dir_fd: Optional[int] = None
    ) -> None:
        name = self._paths.inside_at(src, -1 if src_dir_fd is None else src_dir_fd)
        to = self._paths.inside_at(dst, -1 if dst_dir_fd is None else dst_dir_fd)
        if name is None and to is None:
            self._original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        names = {"path": name or _text(src), "to": to or _text(dst)}
        size = _size(src, src_dir_fd)
        try:
            self._original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        except OSError as error:
            self._recorder.trace("rename", state="failed", errno=error.errno, **names)
            raise
        self._recorder.trace("rename", state="done", size=size, **names)


def replace(module: Any, name: str, wrapper: Observed) -> None:
    """Put what stands in for a function of ``os`` in its place, and wherever else it is looked up."""
    original = getattr(module, name)
    setattr(module, name, wrapper)
    # What the function can do is asked by looking it up in these sets (shutil.rmtree and tempfile do).
    for capability in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if original in capability:
            capability.add(wrapper)  # type: ignore[arg-type]
    # pathlib before Python 3.11 keeps the functions of os in a class of its own.
    accessor = getattr(sys.modules.get("pathlib"), "_NormalAccessor", None)
    if accessor is not None and getattr(accessor, name, None) is original:
        setattr(accessor, name, wrapper)


def _rmtree(original: Callable[..., Any], recorder: Recorder, paths: Paths) -> Callable[..., Any]:
    @functools.wraps(original)
    def rmtree(path: Any, *args: Any, **kwargs: Any) -> Any:
        name = paths.inside(path)
        if name is None:
            return original(path, *args, **kwargs)
        try:
            return original(path, *args, **kwargs)
        finally:
            recorder.trace("rmtree", state="failed" if os.path.lexists(path) else "done", path=name)

    return rmtree


def _save(original: Callable[..., Any], recorder: Recorder, paths: Paths) -> Callable[..., Any]:
    @functools.wraps(original)
    def save(file: Any, *args: Any, **kwargs: Any) -> Any:
        path = getattr(file, "name", None) if hasattr(file, "write") else file
        name = paths.inside(path)
        if name is None:
            return original(file, *args, **kwargs)
        if not hasattr(file, "write") and not name.endswith(".npy"):
            name, path = f"{name}.npy", f"{_text(path)}.npy"
        try:
            result = original(file, *args, **kwargs)
        except BaseException as error:
            recorder.trace("save", state="failed", path=name, size=_size(path), errno=getattr(error, "errno", None))
            raise
        # An open file may still hold the end of it in its buffer.
        size = file.tell() if hasattr(file, "write") and hasattr(file, "tell") else _size(path)
        recorder.trace("save", state="done", path=name, size=size)
        return result

    return save


def _size(path: Any, dir_fd: Optional[int] = None) -> Optional[int]:
    try:
        return os.lstat(path, dir_fd=dir_fd).st_size
    except (OSError, TypeError, ValueError):
        return None


def _mode(flags: Any) -> str:
    """Name the flags of ``os.open`` as ``open`` would."""
    if not isinstance(flags, int):
        return ""
    access = flags & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)
    if access == os.O_RDONLY:
        return "r"
    kind = "a" if flags & os.O_APPEND else "x" if flags & os.O_EXCL else "w" if flags & os.O_TRUNC else "r+"
    return kind if access == os.O_WRONLY or kind == "r+" else f"{kind}+"


def _text(path: Any) -> str:
    try:
        return os.fsdecode(path)
    except TypeError:
        return str(path)
