"""Find what a sign-off binds in a session's folder: the session, its pages, and every sealed record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from harness.language.message import Message, say
from harness.language.system import Code
from harness.record.seal import SEAL
from harness.record.values import RecordError, inside
from harness.session import integrity
from harness.session.model import Session
from harness.signoff.page_part import without_part
from harness.signoff.statement import Digests, RefusedError, SignoffError, Subject, read_bounded

SESSION = "session.json"
PAGES: Mapping[str, Code] = MappingProxyType({"report.html": "en", "report.fr.html": "fr"})
"""The pages by their names, with their languages."""

MAX_FILE = 256_000_000
"""Bytes of a session, a page or a seal that are read."""


def subjects_of(folder: Path, session: Session) -> tuple[Subject, ...]:
    """Return the subjects of a sign-off of a session, in a stable order.

    Raises
    ------
    RefusedError
        When a page is missing, or a record was changed since it was sealed.

    """
    missing = [name for name in PAGES if not (folder / name).is_file()]
    if missing:
        raise RefusedError(
            say(
                "expected the pages of the session in {folder}, found no {names}: write them with phase3 report, read them, "
                "and sign then",
                folder=str(folder),
                names=", ".join(missing),
            )
        )
    changed = [message for name in seals_of(folder, session) for message in changes_in_record(folder, name)]
    if changed:
        raise RefusedError(
            say("The session must not be signed: a record was changed since it was sealed. Run the validation again."),
            *changed,
        )
    names = (SESSION, *PAGES, *seals_of(folder, session))
    return tuple(Subject(name, Digests(digest_of(folder, name))) for name in names)


def seals_of(folder: Path, session: Session) -> tuple[str, ...]:
    """Return the names of the seals of a session's records, in the order of their names; a run without a seal has none."""
    names = {f"{run.record.rstrip('/')}/{SEAL}" for run in session.runs}
    return tuple(sorted(name for name in names if within(folder, name).is_file()))


def digest_of(folder: Path, name: str) -> str:
    """Return the SHA-256 of a subject; that of a page is without the part that shows the sign-off.

    Raises ``SignoffError`` when the file is too large or outside the folder, and ``OSError`` when it can't be read.
    """
    content = read_bounded(within(folder, name), MAX_FILE)
    return hashlib.sha256(without_part(content) if name in PAGES else content).hexdigest()


def within(folder: Path, name: str) -> Path:
    """Return the path of a subject. Raises ``SignoffError`` for a name or a link that leads out of the session's folder."""
    try:
        path = inside(folder, name)
        if path.resolve().is_relative_to(folder.resolve()):
            return path
    except (RecordError, OSError, ValueError, RuntimeError):  # RuntimeError: a loop of links
        pass
    raise SignoffError(
        say(
            "expected a file in the session's folder, found {name}, which leads out of it: the sign-off or the session was "
            "changed",
            name=repr(name),
        )
    )


def changes_in_record(folder: Path, name: str) -> Iterator[Message]:
    """Yield a message for each file of a record that differs from the seal with this name."""
    record = within(folder, name).parent
    try:
        read_bounded(record / SEAL, MAX_FILE)
    except (SignoffError, OSError) as error:
        yield say("{name}: can't be read ({error})", name=name, error=str(error))
        return
    yield from (message for _, message in integrity.changes_in_record(record, name.removesuffix(f"/{SEAL}")))
