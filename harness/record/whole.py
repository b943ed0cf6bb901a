"""Write a file whole or not at all, and say why where that fails.

Everything that the harness writes for later is written here: to a part in the same folder, which is flushed to the disk and then
takes the place of the file. If that fails (full disk, read-only volume, quota), the part is removed and an older file stays as it
was. Lines that are appended while a run is observed are not written here. In a record that is held open (`safe.hold`) no name is
followed, whatever a target put there.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from harness.language.message import Message, SaidError, say
from harness.record import rewritten, safe
from harness.record.written import Digest, Written, read_back

Content = bytes | str | Callable[[IO[bytes]], object]
"""What a file holds: bytes, text (written as UTF-8), or a function that writes to a stream."""

RESERVE_BYTES = 1_000_000
"""The size of a reserve: a file that is removed to make room when a result has to be written to a full disk."""

_LONE = re.compile("[\ud800-\udfff]")
_PART = ".part"
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # these mean writing; others may come from reading
_MB = 1e6


class NotWrittenError(SaidError, OSError):
    """Raised when a file could not be written; the message names the file and the cause.

    ``again`` is the command that writes it again, if another one than the user's.
    """

    def __init__(self, path: Path, error: OSError, again: Sequence[str] = ()) -> None:
        super().__init__(cause_of(path, error))
        self.path = path
        self.errno = error.errno
        self.strerror = error.strerror
        self.again = tuple(again)

    def __str__(self) -> str:
        return "\n".join(message.render() for message in self.messages)


def cause_of(path: Path, error: OSError) -> Message:
    """Say that a file could not be written, and why, in words that tell what to do."""
    # A copy or a library may have failed at another file than the one asked for.
    facts = {"path": str(path), "place": str(_place(path))}
    match error.errno:
        case errno.ENOSPC:
            free, total = _room(path)
            said = say(
                "Expected to write {path}, found no room on {place}: {free} of {total} MB are free. Free some.",
                **facts,
                free=free,
                total=total,
            )
        case errno.EDQUOT:
            said = say("Expected to write {path}, found your quota on {place} used up. Free some.", **facts)
        case errno.EROFS:
            said = say(
                "Expected to write {path}, found that {place} is read-only. Name another folder, or mount it to be written.",
                **facts,
            )
        case errno.EIO:
            said = say(
                "Expected to write {path}, found that the disk of {place} reports an error of its own. Check the disk.",
                **facts,
            )
        case errno.EMFILE | errno.ENFILE:
            said = say(
                "Expected to write {path}, found too many open files in this process. Raise the limit (ulimit -n).",
                **facts,
            )
        case errno.EFBIG:
            said = say(
                "Expected to write {path}, found it larger than a file may be here. Raise the limit (ulimit -f).",
                **facts,
            )
        case errno.ENAMETOOLONG:
            said = say("Expected to write {path}, found the name too long. Name a shorter one.", **facts)
        case errno.EACCES | errno.EPERM:
            said = say(
                "Expected to write {path}, found that you may not write in {place}. Name another folder.", **facts
            )
        case _:
            found = error.strerror or str(error) or type(error).__name__
            said = say("Expected to write {path}, found: {error}.", error=found, path=str(path))
    return said


def as_said(error: Exception) -> Exception:
    """Return an error of the system that says that something could not be written as `NotWrittenError`; any other as it is."""
    if isinstance(error, NotWrittenError) or not isinstance(error, OSError) or error.errno not in _WRITING:
        return error
    return NotWrittenError(Path(os.fsdecode(error.filename2 or error.filename or "")), error)


def said_of(path: Path, error: OSError | SaidError) -> tuple[Message, ...]:
    """Return the sentences of an error; of one of the system, the sentence on why ``path`` could not be written."""
    return error.messages if isinstance(error, SaidError) else (cause_of(path, error),)


def write_whole(path: Path, content: Content, *, new: bool = False) -> None:
    """Write a file in one step: a reader sees the old one or the new one, whole.

    A link in the place of the file is replaced, not followed: the folder may be a stranger's. With ``new`` a file that exists is
    an error.

    Raises
    ------
    NotWrittenError
        When the file can't be written. An older file is unchanged, and no part is left.
    FileExistsError
        With ``new``, when there is such a file.

    """
    if new and os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    write_together({path: content})


def write_together(files: Mapping[Path, Content]) -> None:
    """Write several files that belong together: all parts first, so that a full disk changes none of the files.

    Raises ``NotWrittenError`` as `write_whole` does.
    """
    parts = {path: path.with_name(f"{path.name}{_PART}") for path in files}
    path = next(iter(files), Path())
    written: dict[Path, Written | None] = {}
    try:
        for path, content in files.items():
            written[path] = _write_part(parts[path], content)
        for path in files:
            safe.settle(path.parent, parts[path].name, path.name, follow=True)
            if (made := written[path]) is not None:
                rewritten.wrote(path.parent, path.name, made)
    except OSError as error:
        raise NotWrittenError(path, error) from error
    finally:
        _remove(parts.values())  # those that took their places are gone


@contextlib.contextmanager
def undone(paths: Iterable[Path]) -> Iterator[None]:
    """Put files back as they were if the block raises: several files that have to fit together, written in several steps.

    Each older file is kept by a second name until then, which needs no room.
    """
    kept = {path: _kept(path) for path in paths}
    try:
        yield
    except BaseException:
        for path, old in kept.items():
            with contextlib.suppress(OSError):
                _put_back(path, old)
        raise
    finally:
        _remove(_old(path) for path in kept)


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.old{_PART}")


def _kept(path: Path) -> Path | bytes | None:
    """Keep a file by a second name; where the system refuses that, return its content; ``None`` if there is no file."""
    if not path.is_file() or path.is_symlink():
        return None
    with contextlib.suppress(OSError):
        _old(path).unlink(missing_ok=True)
        os.link(path, _old(path))
        return _old(path)
    return path.read_bytes()


def _put_back(path: Path, old: Path | bytes | None) -> None:
    if old is None:
        path.unlink(missing_ok=True)
    elif isinstance(old, Path):
        old.replace(path)
    elif not path.is_file() or path.read_bytes() != old:
        write_whole(path, old)


def write_named(path: Path, content: Content) -> None:
    """Write a file that the user named: a link is followed, and a device or a pipe (``/dev/stdout``) is written directly.

    Raises ``NotWrittenError`` as `write_whole` does.
    """
    write_all_named({path: content})


def write_all_named(files: Mapping[Path, Content]) -> None:
    """Write several files that the user named, as `write_named` does, and as `write_together` those that are files."""
    whole: dict[Path, Content] = {}
    for path, content in files.items():
        try:
            special = path.exists() and not stat.S_ISREG(path.stat().st_mode) and not path.is_dir()
            place = path.resolve()
        except (OSError, RuntimeError):  # a loop of links: the error comes with the writing
            special, place = False, path
        if not special:
            whole[place] = content
            continue
        try:
            with path.open("wb") as stream:
                if callable(content):
                    content(stream)
                else:
                    stream.write(encoded(content) if isinstance(content, str) else content)
        except OSError as error:
            raise NotWrittenError(path, error) from error
    write_together(whole)


def json_text(data: Any, **options: Any) -> str:
    """Return a value as JSON with a newline at its end. `write_whole` escapes what UTF-8 can't hold, such as parts of a pair."""
    return json.dumps(data, **{"indent": 1, "ensure_ascii": False, "allow_nan": False, **options}) + "\n"


def visible_json(data: Any) -> str:
    r"""Return a value as `json_text` does, with each lone surrogate as visible text (``\\udcff``).

    Strict readers of JSON refuse a lone surrogate, so that the whole file could not be read for one byte of a name.
    """
    return _LONE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", json_text(data))


def encoded(text: str) -> bytes:
    r"""Return text as UTF-8. A lone surrogate, such as a byte of a file name, becomes ``\udcXX``, as JSON escapes it."""
    return text.encode("utf-8", "backslashreplace")


class Reserve:
    """A file that keeps room on a disk until a result has to be written."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self) -> None:
        """Write the reserve. Raises ``NotWrittenError`` when there is no room."""
        write_whole(self._path, bytes(RESERVE_BYTES))

    def free(self) -> None:
        """Remove the reserve."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _write_part(part: Path, content: Content) -> Written | None:
    """Write a part; return its content for a record that is held, where a target could rewrite it before the seal."""
    descriptor = safe.new(part.parent, part.name, follow=True)
    held = safe.held(part.parent) is not None
    try:
        if callable(content):
            with io.BufferedRandom(_Sink(descriptor)) as stream:
                content(cast("IO[bytes]", stream))
            # A function may write in any order: its file is read again, at once.
            written = read_back(descriptor).now() if held else None
        else:
            whole = encoded(content) if isinstance(content, str) else content
            data = memoryview(whole)
            while data:
                data = data[os.write(descriptor, data) :]
            written = Digest(whole).now() if held else None
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return written


def _remove(parts: Iterable[Path]) -> None:
    for part in parts:
        with contextlib.suppress(OSError), safe.opened(part.parent, follow=True) as folder:
            folder.unlink(part.name)


class _Sink(io.RawIOBase):
    """An open file whose every write is one call of `os.write`, so that tests can let any of them fail. Its owner closes it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def fileno(self) -> int:
        return self._descriptor

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def write(self, data: Any) -> int:
        return os.write(self._descriptor, data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def truncate(self, size: int | None = None) -> int:
        size = self.tell() if size is None else size
        os.ftruncate(self._descriptor, size)
        return size


def _place(path: Path) -> Path:
    """Return the nearest folder that exists above a file."""
    return next((parent for parent in path.absolute().parents if os.path.isdir(parent)), path)  # noqa: PTH112 -- never raises


def _room(path: Path) -> tuple[str, str]:
    """Return the free and the whole size of a volume, in MB."""
    try:
        usage = shutil.disk_usage(_place(path))
    except OSError:
        return "?", "?"
    return f"{usage.free / _MB:.0f}", f"{usage.total / _MB:.0f}"
