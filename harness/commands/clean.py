"""``phase3 clean``: list old sessions and records with their sizes, and remove them if asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.commands.console import Commands, Text, line, root, tell
from harness.language.message import Translate, counted, say
from harness.record import limits
from harness.record.safe import is_file, is_folder
from harness.record.values import read_text

KEPT = 5

# Each kind of folder below the folder of sessions, with what is in it. A folder without any of these is the user's.
_KINDS = {
    "sessions": ("session.json", "shares"),
    "records": ("record-*",),
    "cases": ("*/request.json", "*/seal.json"),
}


@dataclass(frozen=True, slots=True)
class Old:
    """A folder that can be removed: its path, bytes, and the time of its last change in seconds since the epoch."""

    path: Path
    size: int
    changed: float


def register(commands: Commands, text: Text) -> None:
    """Add ``clean``."""
    clean = commands.add_parser(
        "clean", help=text(say("list old sessions and records with their sizes, and remove them with --yes"))
    )
    clean.add_argument(
        "--keep", type=int, default=KEPT, metavar="N", help=text(say("keep the newest N of each kind (default: 5)"))
    )
    clean.add_argument("--yes", action="store_true", help=text(say("remove the listed folders")))
    clean.set_defaults(command=_clean)


def _clean(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language

    place = root()
    found = [entry for kind in _KINDS for entry in old(place, kind, max(options.keep, 0))]
    if options.yes:
        found = [entry for entry in found if _remove(entry.path)]
    if not found:
        tell(say("Nothing to remove in {folder}.", folder=str(place)), translate)
        return 0
    written = language(options.lang)
    for entry in found:
        line(f"{written.size(entry.size):>10}  {entry.path}")
    total = written.size(sum(entry.size for entry in found))
    if options.yes:
        removed = counted(
            "Removed {count} folder, {size}.", "Removed {count} folders, {size}.", count=len(found), size=total
        )
        tell(removed, translate)
    else:
        tell(
            counted(
                "{count} folder, {size}. Remove it with: phase3 clean --yes",
                "{count} folders, {size}. Remove them with: phase3 clean --yes",
                count=len(found),
                size=total,
            ),
            translate,
        )
    return 0


def _remove(folder: Path) -> bool:
    """Remove a folder, and the lock files that killed processes left of it; return whether no process works in it."""
    from harness.record.in_use import InUseError, held, locks_of
    from harness.record.leftovers import remove_tree

    try:
        with held(folder):  # nothing is resumed in a folder that is being removed
            remove_tree(folder)
    except InUseError:
        return False  # a session was resumed since the list was made
    for path in locks_of(folder):
        path.unlink(missing_ok=True)
    return True


def old(place: Path, kind: str, keep: int) -> Iterator[Old]:
    """Yield the folders of a kind below ``place`` but the newest ``keep``, the oldest first.

    Other folders, links, the session that ``latest`` names, and those in which a process works are never among them.
    """
    from harness.record.in_use import in_use

    folder = place / kind
    if not folder.is_dir():
        return
    there = [path for path in folder.iterdir() if is_folder(path.lstat())]
    known = [path for path in there if any(any(path.glob(name)) for name in _KINDS[kind]) and not in_use(path)]
    ordered = sorted((_measured(path) for path in known), key=lambda entry: entry.changed)
    latest = _latest(place)
    for entry in ordered[: max(len(ordered) - keep, 0)]:
        if entry.path.name != latest:
            yield entry


def _latest(place: Path) -> str:
    """Return the name of the newest session, which reports are read from; empty without one."""
    try:
        return Path(read_text(place / "latest", limits.SMALL_BYTES).strip()).name
    except (OSError, ValueError):
        return ""


def _measured(path: Path) -> Old:
    """Add up a folder, without links. Folders may be thousands deep, and files may vanish or be unreadable meanwhile."""
    size, changed = 0, path.lstat().st_mtime
    pending = [os.fspath(path)]
    while pending:
        try:
            entries = os.scandir(pending.pop())
        except OSError:
            continue
        with entries:
            for entry in entries:
                with suppress(OSError):
                    state = entry.stat(follow_symlinks=False)
                    changed = max(changed, state.st_mtime)
                    if is_folder(state):
                        pending.append(entry.path)
                    elif is_file(state):
                        size += state.st_size
    return Old(path, size, changed)
