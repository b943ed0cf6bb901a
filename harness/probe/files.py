"""Record file operations below the output folder: each attempt (audit hook) and each outcome (wrappers)."""

from __future__ import annotations

import functools
import os
import shutil
import sys
import threading
from typing import Any, Callable, Optional

from .paths import Paths
from .places import calls
from .recorder import Recorder

UNSEEN = threading.local()
"""``now`` is true while the probe itself removes a file in this thread: the target did not do that."""


def install(recorder: Recorder, paths: Paths) -> None:
    """Install the audit hook and the wrappers, and write their capabilities. An audit hook can't be removed again."""
    sys.addaudithook(_hook(recorder, paths))
    recorder.capability("opens")
    replace(os, "unlink", _Removal(os.unlink, recorder, paths))
    replace(os, "remove", _Removal(os.remove, recorder, paths))
    replace(os, "rename", _Renaming(os.rename, recorder, paths))
    replace(os, "replace", _Renaming(os.replace, recorder, paths))
    shutil.rmtree = _rmtree(shutil.rmtree, recorder, paths)  # type: ignore[assignment]
    recorder.capability("removals")


def install_saves(numpy: Any, recorder: Recorder, paths: Paths) -> None:
    """Wrap ``numpy.save``, and write the capability ``saves``."""
    numpy.save = _save(numpy.save, recorder, paths)
    recorder.capability("saves")


def _hook(recorder: Recorder, paths: Paths) -> Callable[[str, Any], None]:
    attempts = _Attempts(recorder, paths)
    handlers: dict[str, Callable[[Any], None]] = {
        "open": attempts.opened,
        "os.remove": attempts.removed,
        "os.rename": attempts.renamed,
        "os.link": attempts.linked,
        "os.truncate": attempts.truncated,
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
            pass  # the file vanished meanwhile: the operation itself will fail and be recorded
        except Exception as error:  # noqa: BLE001 -- raised here, it would stop the target's own operation
            recorder.problem(f"the audit hook failed on {event} ({error!r})")

    return hook


class _Attempts:
    """Record the audit events, which come before the operation happens."""

    def __init__(self, recorder: Recorder, paths: Paths) -> None:
        self._recorder = recorder
        self._paths = paths
        self._last = threading.local()

    def opened(self, args: Any) -> None:
        """Record an open (``path, mode, flags``). ``os.open`` gives no mode; it is derived from the flags."""
        name = self._paths.inside(args[0])
        self._last.path = args[0] if name is not None else None
        if name is not None:
            self._recorder.trace("open", state="attempt", path=name, mode=args[1] or _mode(args[2]))

    def removed(self, args: Any) -> None:
        """Record a removal (``path, dir_fd``). rmtree gives names relative to an open directory."""
        name = self._paths.inside_at(args[0], args[1])
        if name is not None and not getattr(UNSEEN, "now", False):
            self._recorder.trace("remove", state="attempt", path=name)

    def renamed(self, args: Any) -> None:
        """Record a rename (``src, dst, src_dir_fd, dst_dir_fd``)."""
        name, to = self._paths.inside_at(args[0], args[2]), self._paths.inside_at(args[1], args[3])
        if name is not None or to is not None:
            self._recorder.trace("rename", state="attempt", path=name or _text(args[0]), to=to or _text(args[1]))

    def linked(self, args: Any) -> None:
        """Record a hard link (``src, dst, src_dir_fd, dst_dir_fd``): the bytes stay when one of the names is removed."""
        name, to = self._paths.inside_at(args[0], args[2]), self._paths.inside_at(args[1], args[3])
        if name is not None or to is not None:
            self._recorder.trace("link", state="attempt", path=name or _text(args[0]), to=to or _text(args[1]))

    def truncated(self, args: Any) -> None:
        """Record a truncation (``path, length``) of a file given by its name."""
        name = self._paths.inside(args[0])
        if name is not None:
            self._recorder.trace("truncate", state="attempt", path=name, size=args[1])

    def tree_removed(self, args: Any) -> None:
        """Record an rmtree (``path``; later versions of Python add a directory descriptor)."""
        name = self._paths.inside(args[0])
        if name is not None:
            self._recorder.trace("rmtree", state="attempt", path=name)

    def mapped(self, args: Any) -> None:
        """Record an mmap (``descriptor, ...``) of the file that this thread opened last, as ``numpy.memmap`` does."""
        path = getattr(self._last, "path", None)
        if path is not None and os.path.samestat(os.fstat(args[0]), os.stat(path)):
            self._recorder.trace("mmap", state="attempt", path=self._paths.inside(path))


_MOVED_OUT: set[str] = set()
"""The absolute paths of files that were moved out of the output folder. Their removal is recorded under these paths."""


class Observed:
    """Replace a function of ``os`` by an object that can be called.

    A plain function would not do: ``pathlib`` before Python 3.11 keeps it as a class attribute, where a Python function
    becomes a method. The original is built in and does not.
    """

    def __init__(self, original: Callable[..., Any], recorder: Recorder, paths: Paths) -> None:
        functools.update_wrapper(self, original)  # type: ignore[arg-type]
        # After update_wrapper, which copies the attributes of an original that is itself an Observed.
        self._original = original
        self._recorder = recorder
        self._paths = paths
        self.__module__ = "os"

    def __reduce__(self) -> str:
        """Pickle by name, like the original. A child process looks the name up in its own ``os``."""
        return str(self._original.__name__)


class _Removal(Observed):
    def __call__(self, path: Any, *, dir_fd: Optional[int] = None) -> None:
        name = self._paths.inside_at(path, -1 if dir_fd is None else dir_fd)
        if name is None and _MOVED_OUT and not isinstance(path, int) and os.path.abspath(_text(path)) in _MOVED_OUT:
            name = os.path.abspath(_text(path))
        if name is None:
            self._original(path, dir_fd=dir_fd)
            return
        size = _size(path, dir_fd)
        try:
            self._original(path, dir_fd=dir_fd)
        except OSError as error:
            self._recorder.trace("remove", state="failed", path=name, errno=error.errno)
            raise
        self._recorder.trace("remove", state="done", path=name, size=size, stack=calls(self._recorder.source))


class _Renaming(Observed):
    def __call__(
        self, src: Any, dst: Any, *, src_dir_fd: Optional[int] = None, dst_dir_fd: Optional[int] = None
    ) -> None:
        name = self._paths.inside_at(src, -1 if src_dir_fd is None else src_dir_fd)
        to = self._paths.inside_at(dst, -1 if dst_dir_fd is None else dst_dir_fd)
        if name is None and to is None:
            self._original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
            return
        names = {"path": name or os.path.abspath(_text(src)), "to": to or os.path.abspath(_text(dst))}
        size = _size(src, src_dir_fd)
        try:
            self._original(src, dst, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)
        except OSError as error:
            self._recorder.trace("rename", state="failed", errno=error.errno, **names)
            raise
        if to is None:
            _MOVED_OUT.add(names["to"])
        self._recorder.trace("rename", state="done", size=size, **names)


def replace(module: Any, name: str, wrapper: Observed) -> None:
    """Replace a function of ``os`` by its wrapper, also where other modules keep or look up the function."""
    original = getattr(module, name)
    setattr(module, name, wrapper)
    # shutil.rmtree and tempfile look the function up in these sets to learn what it supports.
    for capability in (os.supports_dir_fd, os.supports_fd, os.supports_follow_symlinks, os.supports_effective_ids):
        if original in capability:
            capability.add(wrapper)  # type: ignore[arg-type]
    # pathlib before Python 3.11 keeps the functions of os in a class of its own.
    accessor = getattr(sys.modules.get("pathlib"), "_NormalAccessor", None)
    if accessor is not None and getattr(accessor, name, None) is original:
        setattr(accessor, name, wrapper)


def rebind(name: str, original: Any, wrapper: Any) -> None:
    """Replace a function in every module that has it under this name."""
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get(name) is original:
            setattr(module, name, wrapper)


def _rmtree(original: Callable[..., Any], recorder: Recorder, paths: Paths) -> Callable[..., Any]:
    @functools.wraps(original)
    def rmtree(path: Any, *args: Any, **kwargs: Any) -> Any:
        name = paths.inside(path)
        if name is None:
            return original(path, *args, **kwargs)
        try:
            return original(path, *args, **kwargs)
        finally:
            state = "failed" if os.path.lexists(path) else "done"
            recorder.trace("rmtree", state=state, path=name, stack=calls(recorder.source))

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
        # The end of the data may still be in the buffer of an open file, so its size on disk is too small.
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
    """Return the mode of ``open`` that fits the flags of ``os.open``."""
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
