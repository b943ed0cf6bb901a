"""Find what a target did to the files and folders of its record that are not its own, and put it right.

A record belongs to the harness. The target writes in ``outputs`` and ``work``, and its lines of events and traces. Where
anything else was replaced, or written before the harness wrote it, the record shows what the target wants to be seen. It is
sealed with the names of these places, and no verdict on it passes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from harness.record import rewritten, safe
from harness.record.seal import SEAL, WORK
from harness.record.written import Digest

OUTPUTS = "outputs"
WORKING = ("input", "home", "tmp", "cwd", "target")
"""The folders in ``work``."""
_OF_THE_TARGET = ("events-*.jsonl", "trace-*.jsonl")
_BEFORE_THE_START = ("request.json", "truth.json", "stack_plan.csv")
_OF_A_SESSION = ("session.json", "integrity.json")
"""With one of these a record could be taken for a session."""
_OF_THE_HARNESS = (
    *_BEFORE_THE_START,
    *_OF_A_SESSION,
    *("console.log", "disk.jsonl", "process.jsonl"),
    *("inputs.jsonl", "left.jsonl", "products.json", "products.npz", "thumbnail.png", SEAL),
)
_MOST = 30
UNKNOWN = "a name that a record does not have"
"""What is said of a file or folder that is left as it is: the target may have moved one of the user's into the record."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a record had before its target started: the content of each file that the target must not change."""

    files: Mapping[str, bytes]


def given(folder: Path) -> Given:
    """Read the files that a record has before its target starts. Raises ``OSError`` when one can't be read."""
    files = {}
    for name in _BEFORE_THE_START:
        with contextlib.suppress(FileNotFoundError), safe.reading(folder, name) as stream:
            files[name] = stream.read()
            rewritten.wrote(folder, name, Digest(files[name]).now())
    return Given(files)


def put_right(held: safe.Held, before: Given | None = None, *, linked: bool = False) -> tuple[str, ...]:
    """Remove what took the place of a record's files and folders, and return a sentence part for each: its name and what it was.

    Nothing is followed, so the user's files behind a link stay. The files of ``before`` are written again if they were changed.
    With ``linked`` the harness itself made ``outputs`` a link, in a user's own run.

    Raises
    ------
    safe.NotOursError
        When the record itself was moved away, and can't be moved back.

    """
    what = held.bring_back()
    found = [f"the record itself: {what} in its place"] if what else []
    found += _folders(held, linked=linked)
    found += _files(held, {} if before is None else before.files)
    more = len(found) - _MOST
    return (*found[:_MOST], f"{more} more") if more > 0 else tuple(found)


def _folders(held: safe.Held, *, linked: bool) -> Iterator[str]:
    """Replace what took the place of a folder by a new folder."""
    about = held.top.about(OUTPUTS)
    if not linked:
        yield from _folder(held.top, OUTPUTS, OUTPUTS)
    elif about is not None and not safe.is_link(about):
        yield f"{OUTPUTS}: {safe.kind(about)} in the place of the link to the output folder"
        yield from _removed(held.top, OUTPUTS, OUTPUTS)
    yield from _folder(held.top, WORK, WORK)
    with contextlib.suppress(OSError), held.top.enter(WORK) as work:
        for name in WORKING:
            yield from _folder(work, name, f"{WORK}/{name}")


def _folder(above: safe.Folder, name: str, shown: str) -> Iterator[str]:
    about = above.about(name)
    if about is not None and not safe.is_folder(about):
        yield f"{shown}: {safe.kind(about)} in the place of the folder"
        yield from _removed(above, name, shown)
        with contextlib.suppress(OSError):
            above.mkdir(name)


def _files(held: safe.Held, before: Mapping[str, bytes]) -> Iterator[str]:
    """Remove files that the harness did not write, and write those of before the start again."""
    top = held.top
    names = {*top.names(), *_OF_THE_HARNESS}  # of more names than a record may have, not all are read
    for name in sorted(names | set(held.known) | set(before)):
        if name in (OUTPUTS, WORK):
            continue
        problem = _problem(held, name, before)
        if problem:
            yield f"{name}: {problem}"
            if problem == UNKNOWN:
                continue  # the target may have moved a file of the user here
            yield from _removed(top, name, name)
            if name in before:
                with contextlib.suppress(OSError):
                    safe.write(held.path, name, before[name])


def _problem(held: safe.Held, name: str, before: Mapping[str, bytes]) -> str:
    """Return what is wrong with an entry of a record; empty for what may be there."""
    about = held.top.about(name)
    ours = name in held.known or name in before
    if about is None:
        return "removed" if ours else ""
    if not ours and not _has_a_meaning(name):
        return UNKNOWN if safe.is_folder(about) or safe.kind(about) == "a file" else safe.kind(about)
    if not safe.is_file(about) or about.st_nlink != 1:
        return f"{safe.kind(about)} in the place of the file"
    if held.known.get(name, safe.identity(about)) != safe.identity(about):
        return "another file in the place of the harness's"
    if name in before and _content(held.path, name, len(before[name])) != before[name]:
        return "changed"
    return "" if ours or name.removesuffix(".part") not in _OF_THE_HARNESS else "written by the target"


def _has_a_meaning(name: str) -> bool:
    return name.removesuffix(".part") in _OF_THE_HARNESS or any(fnmatchcase(name, known) for known in _OF_THE_TARGET)


def _content(folder: Path, name: str, length: int) -> bytes | None:
    try:
        with safe.reading(folder, name) as stream:
            return stream.read(length + 1)
    except OSError:
        return None


def _removed(above: safe.Folder, name: str, shown: str) -> Iterator[str]:
    try:
        above.remove(name)
    except OSError as error:
        yield f"{shown}: it could not be removed ({error.strerror or error})"


def reason(found: Iterable[str]) -> str:
    """Return the sentence for the seal; empty if nothing was found."""
    names = "; ".join(found)
    return (
        f"Expected a record that only the harness wrote, found that the target replaced parts of it: {names}."
        if names
        else ""
    )
