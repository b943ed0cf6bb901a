"""Count every operation that writes in a folder, by its kind, and let one of them fail as a full or broken disk does.

The operations are those of `open`, `io.open` (which `Path.open` calls) and `os`, which `shutil` and `pathlib` call in turn. What
an open file writes counts when it reaches the system.
"""

import builtins
import errno
import io
import os
import stat
import tempfile
from collections import Counter
from contextlib import contextmanager, suppress

ROOM = (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT)
KINDS = {
    "open": (*ROOM, errno.EMFILE, errno.ENAMETOOLONG),
    "write": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "copy": (errno.ENOSPC,),  # after another error, shutil copies by the operations of an open file
    "flush": (errno.ENOSPC, errno.EIO, errno.EDQUOT),
    "truncate": (errno.ENOSPC, errno.EIO),
    "replace": ROOM,
    "rename": ROOM,
    "link": ROOM,
    "symlink": ROOM,
    "mkdir": ROOM,
    "unlink": (errno.EROFS, errno.EACCES, errno.EIO),
    "rmdir": (errno.EROFS, errno.EACCES, errno.EIO),
    "rights": (errno.EROFS, errno.EPERM),
    "times": (errno.EROFS, errno.EPERM),
}
"""The kinds of operations, and the errors with which a system refuses each."""

_FUNCTIONS = {
    "write": "write",
    "pwrite": "write",
    "writev": "write",
    "sendfile": "copy",
    "fsync": "flush",
    "fdatasync": "flush",
    "ftruncate": "truncate",
    "truncate": "truncate",
    "replace": "replace",
    "rename": "rename",
    "link": "link",
    "symlink": "symlink",
    "mkdir": "mkdir",
    "unlink": "unlink",
    "remove": "unlink",
    "rmdir": "rmdir",
    "chmod": "rights",
    "fchmod": "rights",
    "utime": "times",
}
"""The functions of `os`, beside `os.open`, with their kinds."""
_TO_SECOND = ("link", "symlink", "replace", "rename")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_MODES = frozenset("wax+")
_SETS = ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids")


class Operations:
    """The operations so far, by kind. The one with ``number`` of ``kind`` fails with ``error``."""

    def __init__(self, kind="", number=0, error=errno.ENOSPC):
        assert kind in ("", *KINDS), kind
        self.kind, self.number, self.error = kind, number, error
        self.counts = Counter()
        self.met = False
        self.failed = ""
        self._places = tuple(os.path.realpath(place) for place in {tempfile.gettempdir()})

    def turn(self, kind, path):
        """Count an operation, and fail if it is the one that has to."""
        self.counts[kind] += 1
        if not self.met and (kind, self.counts[kind]) == (self.kind, self.number):
            self.met = True
            self.failed = f"{kind} {path}"
            raise OSError(self.error, os.strerror(self.error), path if isinstance(path, str | bytes) else None)

    def counted(self, path, dir_fd=None):
        """Return the place of a file that an operation is for; empty for a pipe, a terminal, or a file elsewhere."""
        with suppress(OSError, TypeError, ValueError):
            if isinstance(path, int):
                if not stat.S_ISREG(os.fstat(path).st_mode):
                    return ""
                return self._below(_of_descriptor(path))
            name = os.fsdecode(path)
            if dir_fd is not None and not os.path.isabs(name):
                name = os.path.join(_of_descriptor(dir_fd), name)
            return self._below(os.path.join(os.path.realpath(os.path.dirname(name) or "."), os.path.basename(name)))
        return ""

    def _below(self, name):
        return name if name.startswith(self._places) or not os.path.isabs(name) else ""


def _of_descriptor(descriptor):
    """Return the name of an open file or folder; where the system does not tell it, a name that counts."""
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return f"file {descriptor}"


class _Raw(io.FileIO):
    """An open file, whose writes are counted."""

    def __init__(self, operations, place, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._operations, self._place = operations, place

    def write(self, data):
        self._operations.turn("write", self._place)
        return super().write(data)

    def truncate(self, size=None):
        self._operations.turn("truncate", self._place)
        return super().truncate(size)


def _opener(operations, real):
    def call(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):  # noqa: FBT002, PLR0917
        place = operations.counted(file) if _MODES & set(mode) else ""
        if not place:
            return real(file, mode, buffering, encoding, errors, newline, closefd, opener)
        if opener is None and not isinstance(file, int):  # otherwise `os.open` counts
            operations.turn("open", place)
        raw = _Raw(operations, place, file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = (io.BufferedRandom if "+" in mode else io.BufferedWriter)(raw, size)
        if "b" in mode:
            return buffer
        text = io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)
        text.mode = mode
        return text

    return call


def _opening(operations, real):
    def call(path, flags, mode=0o777, *, dir_fd=None):
        if flags & _WRITING and (place := operations.counted(path, dir_fd)):
            operations.turn("open", place)
        return real(path, flags, mode, dir_fd=dir_fd)

    return call


def _wrapped(operations, real, kind):
    def call(*args, **kwargs):
        second = kind in _TO_SECOND and len(args) > 1
        path = args[1 if second else 0] if args else next(iter(kwargs.values()))
        at = kwargs.get("dst_dir_fd" if second else "dir_fd", kwargs.get("dir_fd"))
        place = operations.counted(path, at)
        if place and _changes(kind, path, at):
            operations.turn(kind, place)
        return real(*args, **kwargs)

    return call


def _changes(kind, path, dir_fd):
    """Return whether an operation changes something: not the making of a folder that exists, or the end of what is gone."""
    if kind not in ("mkdir", "unlink", "rmdir"):
        return True
    try:
        os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return kind == "mkdir"
    return kind != "mkdir"


@contextmanager
def striking(kind="", number=0, error=errno.ENOSPC):
    """Count the operations within the block, and let the one with this number of its kind fail."""
    operations = Operations(kind, number, error)
    before = [(place, "open", place.open) for place in (builtins, io, os)]
    before += [(os, name, getattr(os, name)) for name in _FUNCTIONS if hasattr(os, name)]
    new = [
        (_opening if place is os else _opener)(operations, real)
        if name == "open"
        else _wrapped(operations, real, _FUNCTIONS[name])
        for place, name, real in before
    ]
    known = [
        (getattr(os, name), real, other) for name in _SETS for (_, _, real), other in zip(before, new, strict=True)
    ]
    for supported, real, other in known:
        if real in supported:
            supported.add(other)
    for (place, name, _), other in zip(before, new, strict=True):
        setattr(place, name, other)
    try:
        yield operations
    finally:
        for place, name, real in before:
            setattr(place, name, real)
        for supported, _, other in known:
            supported.discard(other)
