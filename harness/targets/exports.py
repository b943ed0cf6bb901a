"""Keep copies of targets, shared between sessions. A copy is written whole or not at all, and is never run in place.

The file ``KEY.json`` next to a copy ``KEY/`` holds the SHA-256 of every file in the copy, and its own digest. Before each use the
two are compared. A copy that a crash, a cleaner or an editor has changed is made again. Each run gets its own copy, because a
target may write files next to its source.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from harness.language.message import say
from harness.record import limits
from harness.record.digested import read_digested, write_digested
from harness.record.extent import files_below
from harness.record.values import RecordError, open_regular, sha256_of
from harness.targets import git
from harness.targets.errors import TargetError

FORMAT = "phase3-export/2"
LOCK_SECONDS = 600.0
_DRAFT = "draft-"

Files = Iterable[tuple[str, bytes | None]]


class Export(NamedTuple):
    """A complete copy, and the paths of the original that were left out of it."""

    root: Path
    left_out: tuple[str, ...]


def keep(files: Callable[[], Files], exports: Path, key: str, what: str, finish: Callable[[Path], None]) -> Export:
    """Return the copy ``exports/key``; make it first if it is missing or was changed. Only one process at a time does so.

    Parameters
    ----------
    files
        Gives the path and content of each file, ``None`` as the content of a file to leave out. Called only to make the copy.
    key
        The name of the copy. Different contents must have different keys.
    what
        The name of the original, for error messages.
    finish
        Called with the folder once every file is written, before the folder counts as a copy. It may add files, and raises if
        the files are not a target.

    Raises ``TargetError`` when a path would leave the folder, two paths are one file on some system, or the lock stays held.

    """
    exports.mkdir(parents=True, exist_ok=True)
    with _locked(exports):
        # The lock is held, so these drafts belong to no live process: a process that was killed left them.
        for left in exports.glob(f"{_DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)
        root = exports / key
        manifest = _manifest(root)
        if manifest is None or not _is_whole(root, manifest):
            manifest = _make(files(), root, what, finish)
        return Export(root, tuple(manifest["left_out"]))


def copy(root: Path, to: Path) -> None:
    """Copy an export to a new folder and compare every file with its hash.

    Raises ``TargetError`` when the export is missing, or differs from the target that was resolved, and ``OSError`` when the copy
    can't be written.
    """
    if not root.is_dir():
        raise TargetError(
            say(
                "expected the copy of the target in {folder}, found no such folder: start the session again to make a new copy",
                folder=str(root),
            )
        )
    with _locked(root.parent):
        manifest = _manifest(root)
        if manifest is None:
            raise TargetError(
                say(
                    "expected the hashes of {folder} in {file}, found no valid file: start the session again to make a new copy",
                    folder=str(root),
                    file=str(_beside(root)),
                )
            )
        for name, expected in manifest["files"].items():
            inside = git.safe(name)
            if inside is None or _copied(root / inside, to / inside) != expected:
                raise TargetError(
                    say(
                        "expected {name} in {folder} as it was copied, found it changed: start the session again to make "
                        "a new copy",
                        name=name,
                        folder=str(root),
                    )
                )


def _copied(path: Path, to: Path) -> str:
    """Copy a regular file, and return the SHA-256 of what was copied; empty for anything else. Errors are those of writing."""
    digest = hashlib.sha256()
    try:
        stream = open_regular(path, limits.HASHED_BYTES)
    except (OSError, RecordError):
        return ""
    to.parent.mkdir(parents=True, exist_ok=True)
    with stream, to.open("wb") as copied:
        while data := stream.read(1 << 20):
            digest.update(data)
            copied.write(data)
    return digest.hexdigest()


def _make(files: Files, root: Path, what: str, finish: Callable[[Path], None]) -> dict[str, Any]:
    draft = Path(tempfile.mkdtemp(prefix=_DRAFT, dir=root.parent))
    try:
        left_out = _fill(files, draft / "new", what)
        finish(draft / "new")
        manifest = {"format": FORMAT, "files": _hashes(draft / "new"), "left_out": left_out}
        _beside(root).unlink(missing_ok=True)
        if root.exists():
            root.rename(draft / "old")  # Windows can't rename onto an existing folder
        (draft / "new").rename(root)
        write_digested(_beside(root), manifest)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _fill(files: Files, folder: Path, what: str) -> list[str]:
    """Write files below a folder; return the names of the files that are left out."""
    left_out: list[str] = []
    spelt: dict[str, str] = {}
    folder.mkdir()
    for name, content in files:
        if content is None:
            left_out.append(name)
            continue
        inside = git.safe(name)
        if inside is None:
            raise TargetError(
                say(
                    "expected paths that stay inside the folder and can be written here in {what}, found {name}: "
                    "name another commit",
                    what=what,
                    name=repr(name),
                )
            )
        # Windows and macOS keep one file for both names, and chance decides which one. So the whole copy is refused.
        folded = unicodedata.normalize("NFC", inside.as_posix()).casefold()
        if folded in spelt:
            raise TargetError(
                say(
                    "expected paths in {what} that differ on every system, found {one} and {other}: name another commit",
                    what=what,
                    one=repr(spelt[folded]),
                    other=repr(name),
                )
            )
        spelt[folded] = name
        _write(folder / inside, content)
    return sorted(left_out)


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _hashes(root: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, by path."""
    return {path.relative_to(root).as_posix(): sha256_of(path) for path in sorted(files_below(root))}


def _is_whole(root: Path, manifest: dict[str, Any]) -> bool:
    """Return whether a copy has the files of its manifest, and nothing else: a pipe in it would make its reader wait."""
    try:
        return bool(_hashes(root) == manifest["files"])
    except (OSError, RecordError):
        return False


def _manifest(root: Path) -> dict[str, Any] | None:
    """Return the hashes of a copy; ``None`` if their file is missing, was changed, or has another format."""
    try:
        manifest = read_digested(_beside(root))
    except (OSError, RecordError):
        return None
    whole = (
        manifest.get("format") == FORMAT
        and isinstance(manifest.get("files"), dict)
        and isinstance(manifest.get("left_out"), list)
        and root.is_dir()
    )
    return manifest if whole else None


def _beside(root: Path) -> Path:
    return root.with_name(f"{root.name}.json")


@contextlib.contextmanager
def _locked(exports: Path) -> Iterator[None]:
    lock = exports / ".lock"
    try:
        with FileLock(lock, timeout=LOCK_SECONDS):
            yield
    except Timeout as error:
        raise TargetError(
            say(
                "expected the lock {file} within {seconds} s, found it held: end the process that holds it",
                file=str(lock),
                seconds=LOCK_SECONDS,
            )
        ) from error
