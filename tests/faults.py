"""Let one operation on files fail, as a full or broken disk does, and tell what a folder holds."""

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

NAMES = {
    errno.ENOSPC: "no room on",
    errno.EROFS: "is read-only",
    errno.EIO: "reports an error of its own",
    errno.EDQUOT: "quota",
    errno.EMFILE: "too many open files",
    errno.ENAMETOOLONG: "the name too long",
}
"""What the message says for each error."""

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Faults:
    """Count operations that write (open, write, flush, rename, copy, make a folder), and let one of them fail."""

    def __init__(self, number, error):
        self.number = number
        self.error = error
        self.count = 0

    @property
    def met(self):
        """Whether the fault occurred."""
        return 0 < self.number <= self.count

    def wrapped(self, real, *, writes=lambda *_: True):
        """Return a function that fails when its turn comes."""

        def call(*args, **kwargs):
            if writes(*args):
                self.count += 1
                if self.count == self.number:
                    name = args[0] if isinstance(args[0], str | bytes | os.PathLike) else None
                    raise OSError(self.error, os.strerror(self.error), name)
            return real(*args, **kwargs)

        return call


@contextmanager
def failing(number, error=errno.ENOSPC):
    """Let the operation of this number fail within the block."""
    faults = Faults(number, error)
    places = [(os, name) for name in ("write", "fsync", "replace", "mkdir", "open")] + [(shutil, "copyfile")]
    before = [(place, name, getattr(place, name)) for place, name in places]
    for place, name, real in before:
        if name == "open":
            setattr(place, name, faults.wrapped(real, writes=lambda _path, flags=0, *_: bool(flags & _WRITING)))
        elif name == "mkdir":  # a folder that exists is no error for those who allow it
            setattr(place, name, faults.wrapped(real, writes=lambda path, *_: not Path(path).is_dir()))
        else:
            setattr(place, name, faults.wrapped(real))
    try:
        yield faults
    finally:
        for place, name, real in before:
            setattr(place, name, real)


def contents(folder):
    """Return the digest of every file below a folder, by path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
