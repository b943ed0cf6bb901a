"""Write, remove and change rights inside a record only, whatever a target put in the place of its files and folders.

A target runs as the same user and knows its record. It may replace anything in it by a link to the user's files. So no name is
followed here: each folder on the way is opened on its own and must be a folder, a file is written as a new part and then
renamed, and rights change only on a folder, or on a file that has one name.

On POSIX folders are open by descriptor (`BY_DESCRIPTOR`), so nothing that is replaced between two steps matters. `hold` opens
a record before its target starts: the folder stays the same one, also when it is renamed and a link takes its name. Windows
has no descriptors of folders. There each folder on the way is compared with what it was before every step, and links and
junctions are refused; a target that lives on can still win the moment between comparison and step.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import IO, Any, Self

from harness.record import limits
from harness.record.written import Written

BY_DESCRIPTOR = (
    hasattr(os, "O_NOFOLLOW")
    and hasattr(os, "O_DIRECTORY")
    and {os.open, os.stat, os.unlink, os.mkdir, os.rmdir, os.rename} <= os.supports_dir_fd
    and os.scandir in os.supports_fd
)
ASIDE = ".replaced"
"""The end of the name that a folder gets which a target put in the place of its record."""

_ASIDE = re.compile(rf".+\.[0-9a-f]{{8}}{re.escape(ASIDE)}", re.DOTALL)

_QUIET = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.EISDIR)  # of a link, and of a pipe or a folder to be written
_ATTEMPTS = 3
BATCH = 10_000  # names of one folder that are kept at once while it is removed
_NAMES_ANOTHER = (
    0x20000000  # in the reparse tags of Windows: links and junctions have it, files of a cloud folder have not
)


class NotOursError(OSError):
    """Raised where a link, a pipe or a file of several names is in the place of a file or folder of the record."""


def is_aside(name: str) -> bool:
    """Return whether a folder has exactly the name that `Held.bring_back` gives: no record is read from it."""
    return _ASIDE.fullmatch(name) is not None


def is_link(about: os.stat_result) -> bool:
    """Return whether an entry is a symbolic link or, on Windows, a junction or another name for something else."""
    return stat.S_ISLNK(about.st_mode) or bool(getattr(about, "st_reparse_tag", 0) & _NAMES_ANOTHER)


def is_folder(about: os.stat_result) -> bool:
    """Return whether an entry is a folder, and no link to one."""
    return stat.S_ISDIR(about.st_mode) and not is_link(about)


def is_file(about: os.stat_result) -> bool:
    """Return whether an entry is a regular file, and no link to one."""
    return stat.S_ISREG(about.st_mode) and not is_link(about)


def kind(about: os.stat_result) -> str:
    """Return what an entry is, in words."""
    if is_link(about):
        return "a symbolic link" if stat.S_ISLNK(about.st_mode) else "a junction"
    if is_file(about):
        return "a file" if about.st_nlink == 1 else "a hard link"
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(about.st_mode), "a device")


def identity(about: os.stat_result) -> tuple[int, int]:
    """Return the device and the number of a file or folder, which no other one has as long as it exists."""
    return about.st_dev, about.st_ino


class Folder:
    """An open folder. Each method takes a single name in it, and follows no link of that name.

    ``above`` is the open folder that has it under ``name``; without, ``name`` is a path, and ``follow`` allows it to be a link.
    Raises ``NotOursError`` when there is something else than a folder, and ``OSError`` when it can't be opened.
    """

    def __init__(self, name: str, above: Folder | None = None, *, follow: bool = False) -> None:
        self.path: str = name if above is None else os.path.join(above.path, name)
        self._above = above
        self._file: int | None = None
        where, at = (name, {}) if above is None else above._at(name)  # noqa: SLF001 -- the same class
        about = os.stat(where, follow_symlinks=follow, **at)
        if not is_folder(about):
            raise NotOursError(f"{self.path} is {kind(about)} instead of a folder")
        self.identity = identity(about)
        if BY_DESCRIPTOR:
            flags = os.O_RDONLY | os.O_DIRECTORY | _QUIET | (0 if follow else os.O_NOFOLLOW)
            self._file = os.open(where, flags, **at)
            self.identity = identity(os.fstat(self._file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _at(self, name: str) -> tuple[str, dict[str, int]]:
        """Return the arguments that name an entry of this folder for a function of ``os``."""
        if name in ("", ".", "..") or "/" in name or (os.name == "nt" and set(name) & set("\\:")):
            raise NotOursError(f"{name!r} is no name of something in {self.path}")
        if self._file is not None:
            return name, {"dir_fd": self._file}
        self._require_same()
        return os.path.join(self.path, name), {}

    def _require_same(self) -> None:
        """Compare this folder, and those on the way to it, with what they were. Needed where there is no descriptor."""
        if self._above is not None:
            self._above._require_same()  # noqa: SLF001 -- the same class
        about = os.stat(self.path, follow_symlinks=self._above is None)
        if not is_folder(about) or identity(about) != self.identity:
            raise NotOursError(f"{self.path} is {kind(about)} that took the place of a folder")

    def names(self, most: int | None = None) -> list[str]:
        """Return the names of ``most`` entries, in order; by default of one more than the limit of a record."""
        most = limits.ENTRIES + 1 if most is None else most
        if self._file is None:
            self._require_same()
        with os.scandir(self.path if self._file is None else self._file) as found:
            return sorted(entry.name for entry in islice(found, most))

    def about(self, name: str) -> os.stat_result | None:
        """Return the facts on an entry; ``None`` if there is none."""
        where, at = self._at(name)
        try:
            return os.stat(where, follow_symlinks=False, **at)
        except FileNotFoundError:
            return None

    def open(self, name: str, flags: int) -> int:
        """Open a regular file, and return its descriptor. One that is to be written has one name only, or is new."""
        where, at = self._at(name)
        if not BY_DESCRIPTOR and not flags & os.O_EXCL:
            before = self.about(name)
            if before is not None and not is_file(before):
                raise NotOursError(f"{self.path}: {name} is {kind(before)} instead of a file")
        try:
            file = os.open(where, flags | _QUIET | getattr(os, "O_NOFOLLOW", 0), 0o644, **at)
        except OSError as error:
            if error.errno not in _NO_FILE:
                raise
            raise NotOursError(f"{self.path}: {name} is no file ({error.strerror})") from error
        about = os.fstat(file)
        writes = bool(flags & (os.O_WRONLY | os.O_RDWR))
        if not is_file(about) or (writes and about.st_nlink != 1):
            os.close(file)
            raise NotOursError(f"{self.path}: {name} is {kind(about)} instead of a file")
        return file

    def unlink(self, name: str) -> None:
        """Remove a file, a link or a pipe. Raises ``FileNotFoundError`` if there is none."""
        where, at = self._at(name)
        try:
            os.unlink(where, **at)
        except PermissionError:
            about = self.about(name)
            if os.name != "nt" or about is None:
                raise
            if is_link(about) and stat.S_ISDIR(about.st_mode):
                os.rmdir(where)  # a junction
                return
            self.unlock(name)  # Windows removes no read-only file
            os.unlink(where)

    def rmdir(self, name: str) -> None:
        """Remove an empty folder."""
        where, at = self._at(name)
        os.rmdir(where, **at)

    def mkdir(self, name: str) -> None:
        """Make a folder."""
        where, at = self._at(name)
        os.mkdir(where, **at)

    def link(self, name: str, to: str) -> None:
        """Make a symbolic link to a folder. Raises ``FileExistsError`` if the name is taken."""
        where, at = self._at(name)
        os.symlink(to, where, target_is_directory=True, **at)

    def rename(self, name: str, other: Folder, new: str) -> None:
        """Give an entry another name, perhaps in another folder; a file of that name is replaced, a link is not followed."""
        here, at = self._at(name)
        there, other_at = other._at(new)
        if at:
            os.replace(here, there, src_dir_fd=at["dir_fd"], dst_dir_fd=other_at["dir_fd"])
        else:
            os.replace(here, there)

    def unlock(self, name: str) -> None:
        """Give the owner all rights on a folder, or the right to read and write on a file with one name. Others are refused."""
        where, at = self._at(name)
        if BY_DESCRIPTOR and hasattr(os, "O_PATH"):  # Linux: the check and the change are of the same file
            file = os.open(where, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, **at)
            try:
                os.chmod(f"/proc/self/fd/{file}", self._rights(name, os.fstat(file)))
            finally:
                os.close(file)
            return
        rights = self._rights(name, os.stat(where, follow_symlinks=False, **at))
        if os.chmod in os.supports_follow_symlinks:  # macOS
            os.chmod(where, rights, follow_symlinks=False, **at)
        elif not at:
            os.chmod(where, rights)

    def _rights(self, name: str, about: os.stat_result) -> int:
        if is_folder(about):
            return stat.S_IRWXU
        if is_file(about) and about.st_nlink == 1:
            return stat.S_IRUSR | stat.S_IWUSR
        raise NotOursError(f"{self.path}: {name} is {kind(about)}, and its rights stay as they are")

    def enter(self, name: str) -> Folder:
        """Open a folder in this one, if need be after giving the owner all rights on it."""
        try:
            return Folder(name, self)
        except PermissionError:
            self.unlock(name)
            return Folder(name, self)

    def remove(self, name: str) -> None:
        """Remove an entry of any kind: a folder with all that is in it, a link as a link. Nothing happens if there is none."""
        about = self.about(name)
        if about is None:
            return
        if is_folder(about):
            self._remove_folder(name)
            return
        with contextlib.suppress(FileNotFoundError):
            self.unlink(name)

    def _remove_folder(self, name: str) -> None:
        """Remove a folder. Inner folders are moved up before, so that a thousand folders in each other need two descriptors."""
        self.open_up(name)
        with self.enter(name) as top:
            for entry in top.emptying():
                about = top.about(entry)
                if about is None or not is_folder(about):
                    top.remove(entry)
                    continue
                top.open_up(entry)
                with top.enter(entry) as inner:
                    inner.empty_into(top)
                top.rmdir(entry)
        self.rmdir(name)

    def emptying(self) -> Iterator[str]:
        """Yield the name of each entry, which must be gone then. They are read in batches: a target may leave millions."""
        names: list[str] = []
        while names != (names := self.names(BATCH)):  # the same ones again, or no more
            yield from names

    def empty_into(self, top: Folder) -> None:
        """Remove the files of this folder, and move its folders into another, with new names."""
        for name in self.emptying():
            about = self.about(name)
            if about is None or not is_folder(about):
                self.remove(name)
                continue
            self.open_up(name)  # a folder without the right to write can't be moved
            new = secrets.token_hex(16)
            try:
                self.rename(name, top, new)
            except OSError:  # as some file systems of containers: without moving
                self._remove_folder(name)

    def open_up(self, name: str) -> None:
        """Give the owner all rights on a folder that lacks some: otherwise its content can't be removed."""
        about = self.about(name)
        if about is not None and stat.S_IMODE(about.st_mode) & stat.S_IRWXU != stat.S_IRWXU:
            self.unlock(name)


@dataclass(slots=True)
class Held:
    """A record that is held open.

    ``linked`` says that its path was a link of the user's. ``known`` has the identity of each file that the harness made in it.
    ``kept`` has a descriptor of each of them: the number of a file that is removed could otherwise be given to the next one.
    ``written`` has the content of each file whose writer reported it: the seal compares it with what it finds.
    """

    path: Path
    above: Folder
    top: Folder
    linked: bool = False
    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    kept: list[int] = field(default_factory=list)
    written: dict[str, Written] = field(default_factory=dict)

    def know(self, name: str, place: Folder, made: os.stat_result) -> None:
        """Note the identity of a file that the harness made in a folder, and see that no other one gets it."""
        self.known[name] = identity(made)
        if BY_DESCRIPTOR:  # Windows gives no number twice, and can't remove a file that is open
            with contextlib.suppress(OSError):  # replaced already
                self.kept.append(place.open(name, os.O_RDONLY))

    def forget(self, name: str) -> None:
        """Forget a file that the harness itself removed: that it is missing is no work of the target."""
        self.known.pop(name, None)
        self.written.pop(name, None)

    def close(self) -> None:
        """Close the files that were kept open."""
        while self.kept:
            os.close(self.kept.pop())

    def is_there(self) -> bool:
        """Return whether the record's path still leads to it."""
        try:
            return identity(os.stat(self.path, follow_symlinks=self.linked)) == self.top.identity
        except OSError:
            return False

    def bring_back(self) -> str:
        """Give a record back the name that it lost during its run; return what was in its place, empty if nothing was wrong.

        A link in its place is removed; a folder is put aside and kept, because it may be the user's.

        Raises
        ------
        NotOursError
            When the record is no longer in its folder, or that folder itself was replaced.

        """
        if self.is_there():
            return ""
        name = self.path.name
        found = self.above.about(name)
        what = "nothing" if found is None else kind(found)
        abouts = ((entry, self.above.about(entry)) for entry in self.above.names())
        now = next((e for e, about in abouts if about is not None and identity(about) == self.top.identity), None)
        if now != name:
            if found is not None and is_folder(found):
                self.above.rename(name, self.above, f"{name}.{secrets.token_hex(4)}{ASIDE}")
            elif found is not None:
                self.above.remove(name)
            if now is not None:
                self.above.rename(now, self.above, name)
        if not self.is_there():
            raise NotOursError(f"the target moved its record away from {self.path}, where there was {what} at its end")
        return what


_HELD: dict[str, Held] = {}


def held(folder: Path) -> Held | None:
    """Return the record that is held open under a path; ``None`` if it is not (`hold`)."""
    return _HELD.get(str(folder.absolute()))


@contextlib.contextmanager
def hold(folder: Path, *, follow: bool = True) -> Iterator[Held]:
    """Keep a record open until the block ends. The functions below then mean this folder, whatever its path leads to.

    ``follow`` allows the path to be a link of the user's; a folder that a running target made may be none. Raises ``OSError``
    when it can't be opened.
    """
    path = folder.absolute()
    with Folder(str(path.parent), follow=True) as above, Folder(str(path), follow=follow) as top:
        record = Held(path, above, top, path.is_symlink())
        before = _HELD.get(str(path))
        _HELD[str(path)] = record
        try:
            yield record
        finally:
            record.close()
            if before is None:
                del _HELD[str(path)]
            else:
                _HELD[str(path)] = before


def is_there(folder: Path) -> bool:
    """Return whether the path of a record that is held open still leads to it; true for one that is not held."""
    held = _HELD.get(str(folder.absolute()))
    return held is None or held.is_there()


@contextlib.contextmanager
def opened(folder: Path, name: str = "", *, follow: bool = False) -> Iterator[Folder]:
    """Open a folder below a record by its name with ``/``; by default the record itself. ``follow`` allows it to be a link."""
    record = held(folder)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(Folder(str(folder.absolute()), follow=follow)) if record is None else record.top
        for part in filter(None, name.split("/")):
            place = stack.enter_context(place.enter(part))
        yield place


def create(folder: Path, name: str) -> int:
    """Make a new file in a record; return its descriptor, which appends and reads. Raises ``FileExistsError`` if there is one."""
    with opened(folder) as top:
        file = top.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND)
        if (record := held(folder)) is not None:
            record.know(name, top, os.fstat(file))
    return file


def write(folder: Path, name: str, data: bytes | str, *, durable: bool = False) -> None:
    """Write a file of a record in one step. What had its name is replaced, and not followed."""
    with writing(folder, name, durable=durable) as stream:
        stream.write(data.encode() if isinstance(data, str) else data)


@contextlib.contextmanager
def writing(folder: Path, name: str, *, durable: bool = False) -> Iterator[IO[bytes]]:
    """Write a file of a record as a part, which gets the file's name when the block ends, with ``durable`` on the disk.

    If the block or the system fails, the part is removed, and what had the name before stays.
    """
    part = f"{name}.part"
    try:
        with os.fdopen(new(folder, part), "wb") as stream:
            yield stream
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        settle(folder, part, name)
    except BaseException:
        with contextlib.suppress(OSError):
            remove(folder, part)
        raise


def new(folder: Path, name: str, *, follow: bool = False) -> int:
    """Make a new file in a record to be written, and return its descriptor.

    What has its name is removed: a part of an earlier attempt, or what a target put there. ``follow`` allows ``folder`` to be a
    link of the user's, and keeps a folder of that name, unless ``folder`` is held open: it may be the user's too.
    """
    with opened(folder, follow=follow) as top:
        _spare(folder, top, name, follow=follow)
        for _ in range(_ATTEMPTS - 1):
            try:
                return top.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except FileExistsError:
                top.remove(name)
        return top.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL)


def settle(folder: Path, part: str, name: str, *, follow: bool = False) -> None:
    """Give a part that was written the name of its file. What had the name is replaced, and not followed.

    With ``follow`` a folder of that name is an error, as in `new`.
    """
    with opened(folder, follow=follow) as top:
        _spare(folder, top, name, follow=follow)
        about = top.about(name)
        if about is not None and not is_file(about):
            top.remove(name)  # a folder could not be replaced
        made = top.about(part)
        if made is None or not is_file(made) or made.st_nlink != 1:
            raise NotOursError(f"{folder}: {part} was replaced while it was written")
        top.rename(part, top, name)
        if (record := held(folder)) is not None:
            record.know(name, top, made)


def _spare(folder: Path, top: Folder, name: str, *, follow: bool) -> None:
    """Raise ``IsADirectoryError`` for a folder that may be the user's."""
    if follow and str(folder.absolute()) not in _HELD:
        about = top.about(name)
        if about is not None and is_folder(about):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(folder / name))


@contextlib.contextmanager
def reading(folder: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a regular file below a record by its name with ``/``, through no link."""
    inner, _, last = name.rpartition("/")
    with opened(folder, inner) as place, os.fdopen(place.open(last, os.O_RDONLY), "rb") as stream:
        yield stream


@contextlib.contextmanager
def reading_own(folder: Path, name: str) -> Iterator[io.BufferedReader]:
    """Open a file that the harness made in a folder that it holds. Raises ``NotOursError`` for another file of that name."""
    with reading(folder, name) as stream:
        record = held(folder)
        if record is None or record.known.get(name) != identity(os.fstat(stream.fileno())):
            raise NotOursError(f"{folder}: {name} is another file than the harness's")
        yield stream


def sha256(folder: Path, name: str, most: int = limits.HASHED_BYTES, until: float = math.inf) -> str:
    """Return the SHA-256 of a regular file below a record, if need be after making it readable.

    Raises ``OSError`` when it is no file, can't be read, has more than ``most`` bytes, or isn't read by ``until`` (monotonic).
    """
    try:
        return _digest(folder, name, most, until)
    except PermissionError:
        inner, _, last = name.rpartition("/")
        with opened(folder, inner) as place:
            # A target may remove the read permission of its product. The harness owns the record and may restore it.
            place.unlock(last)
        return _digest(folder, name, most, until)


def _digest(folder: Path, name: str, most: int, until: float) -> str:
    digest, done = hashlib.sha256(), 0
    with reading(folder, name) as stream:
        size = os.fstat(stream.fileno()).st_size
        while size <= most and (data := stream.read(1 << 20)):
            if time.monotonic() > until:
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT), str(folder / name))
            digest.update(data)
            done += len(data)
            size = max(size, done)  # it may grow
    if size > most:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(folder / name))
    return digest.hexdigest()


def remove(folder: Path, name: str, *, follow: bool = False) -> None:
    """Remove a file or folder below a record by its name with ``/``; a link is removed as a link. It need not be there.

    ``follow`` allows ``folder`` itself to be a link, as one of the user's that leads to all sessions.
    """
    inner, _, last = name.rpartition("/")
    try:
        with opened(folder, inner, follow=follow) as place:
            try:
                place.remove(last)
            except PermissionError:
                _let_write(folder, inner)
                place.remove(last)
    except FileNotFoundError:
        return
    if (record := held(folder)) is not None:
        record.forget(name)


def _let_write(folder: Path, inner: str) -> None:
    """Give the owner all rights on a folder below a record whose entries can't be removed."""
    if inner:
        above, _, last = inner.rpartition("/")
        with opened(folder, above) as place:
            place.unlock(last)


def is_plain(folder: Path, path: Path) -> bool:
    """Return whether a path below a folder leads to a regular file through no link. For reading: it may change afterwards."""
    inner: Any = folder
    try:
        for part in path.relative_to(folder).parts:
            inner = inner / part
            about = inner.lstat()
            if is_link(about):
                return False
    except (OSError, ValueError):
        return False
    return is_file(about)
