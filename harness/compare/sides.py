"""Find what ``phase3 compare`` compares: a session, one run of a session, or a record of its own."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.language.message import say
from harness.record.values import RecordError, inside
from harness.session.integrity import require_known
from harness.session.model import Read, RunEntry, Session, SessionError, read_hashed, require_one_kind

SEPARATOR = "::"
"""Between a session's folder and the key of one of its runs."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    ``folder`` is that of the session, or of the record if it belongs to no session. ``session`` and ``sha256`` (of
    ``session.json``) are ``None`` and empty for such a record. ``run`` is the key of the run that was named; it is ``None`` for a
    whole session and for a record without one.
    """

    name: str
    folder: Path
    session: Session | None = None
    sha256: str = ""
    run: str | None = None

    @property
    def whole(self) -> bool:
        """Whether a whole session was named."""
        return self.session is not None and self.run is None

    def entry(self, key: str) -> RunEntry | None:
        """Return the run of the session with this key."""
        runs = self.session.runs if self.session is not None else ()
        return next((run for run in runs if run.key == key), None)

    def record_of(self, key: str | None) -> Path:
        """Return the folder of a run's record. Raises ``RecordError`` for a path outside the session: its text is not trusted."""
        entry = self.entry(key) if key is not None else None
        return self.folder if entry is None else record_in(self.folder, entry)


def record_in(folder: Path, entry: RunEntry) -> Path:
    """Return the folder of a run's record in its session. Raises ``RecordError`` for a path that leads out of the session."""
    place = inside(folder, entry.record)
    if not place.resolve().is_relative_to(folder.resolve()):
        raise RecordError(
            say(
                "expected the record {record} inside the session {folder}, found a link that leads out of it: copy the "
                "record into the session",
                record=entry.record,
                folder=str(folder),
            )
        )
    return place


def read_side(given: str, read: Read = read_hashed) -> Side:
    """Read what an argument names: a session's folder, ``SESSION::KEY``, or a record's folder. ``read`` reads a session.

    A record's folder inside a session stands for the run of that session.

    Raises
    ------
    SessionError
        When it is none of these, or the session can't be read or has no such run.

    """
    folder = _home(given)
    before, separator, key = given.rpartition(SEPARATOR)
    if separator and before and not folder.exists():
        return _run_of(given, _home(before), key, read)
    require_one_kind(folder)
    if (folder / "session.json").is_file():
        return Side(given, folder, *read(folder))
    if not (folder / "request.json").is_file():
        raise SessionError(
            say(
                "expected a session, a run (SESSION::KEY) or a record in {given}, found no session.json and no request.json "
                "there: name one of these",
                given=given,
            )
        )
    place = os.path.realpath(folder)
    for parent in dict.fromkeys((*folder.absolute().parents[:2], *Path(place).parents[:2])):
        if (parent / "session.json").is_file():
            session, sha256 = read(parent)
            for entry in session.runs:
                if os.path.realpath(inside(parent, entry.record)) == place:
                    return Side(given, parent, session, sha256, entry.key)
    if (doubt := require_known(folder)) is not None:
        raise SessionError(doubt)  # no run of the session beside it, so nothing says more about it
    return Side(given, folder)


def _home(text: str) -> Path:
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)


def _run_of(given: str, folder: Path, key: str, read: Read) -> Side:
    session, sha256 = read(folder)
    if all(run.key != key for run in session.runs):
        raise SessionError(
            say(
                "expected a run of the session {folder}, found none with the key {key}: choose one of {known}",
                folder=str(folder),
                key=key,
                known=", ".join(sorted(run.key for run in session.runs)[:20]) or "–",
            )
        )
    return Side(given, folder, session, sha256, key)


def regular_files(record: Path, names: Iterable[str]) -> bool:
    """Return whether all these files of a record are regular files inside it: a link may lead anywhere."""
    root = record.resolve()
    for name in names:
        path = inside(record, name)
        try:
            if not stat.S_ISREG(path.lstat().st_mode) or not path.resolve().is_relative_to(root):
                return False
        except OSError:
            return False
    return True
