"""Compare a session's folder with a sign-off, and name each file that differs.

Nothing is written or started here. A sign-off holds only if nothing differs: the session, both pages, every sealed record, and
each file that a seal names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from harness.language.message import Message, say
from harness.record.values import read_bytes
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.integrity import said
from harness.session.model import Requirement, Session, SessionError, read_session
from harness.signoff.page_part import part_of
from harness.signoff.signed_later import before_signed
from harness.signoff.ssh_signature import MAX_SIGNATURE, read_signature
from harness.signoff.statement import SIGNATURE, RowDecision, SignedSession, SignoffError, Statement, read_bounded
from harness.signoff.subjects import MAX_FILE, PAGES, SESSION, changes_in_record, digest_of, seals_of, within


def changes(folder: Path, statement: Statement, *, pages: bool = True) -> tuple[Message, ...]:
    """Return what differs from the sign-off, one message for each file; empty if nothing does.

    ``pages`` says whether pages are compared too. A page that is about to be written again can't judge itself.
    """
    session = _session(folder)
    if isinstance(session, Session) and statement.digest(SESSION) != _digest(folder, SESSION):
        other = _of_another(session, statement.predicate.session)
        if other is not None:
            return (other,)
    found = [session] if isinstance(session, Message) else []
    found += [m for s in statement.subject if pages or s.name not in PAGES for m in _subject(folder, s.name, statement)]
    if isinstance(session, Session):
        found += _not_bound(folder, session, statement)
        found += _rows(session, statement)
    return tuple(found)


def read_differently(folder: Path, statement: Statement) -> tuple[tuple[RowDecision, Requirement, Session], ...]:
    """Return the lines of which this harness reads another outcome than was signed: the line then, the line now, the session."""
    session = _session(folder)
    if not isinstance(session, Session) or statement.digest(SESSION) != _digest(folder, SESSION):
        return ()  # other outcomes of a changed or another session say nothing about the harness
    now = {row.id: row for row in session.requirements}
    rows = statement.predicate.rows
    return tuple((r, now[r.id], session) for r in rows if r.id in now and now[r.id].outcome is not r.outcome)


def _session(folder: Path) -> Session | Message:
    try:
        read_bounded(folder / SESSION, MAX_FILE)
        return read_session(folder)
    except (SessionError, SignoffError) as error:
        return error.messages[0]
    except FileNotFoundError:
        return say("There is no session.json in {folder}: keep the sign-off beside it", folder=str(folder))
    except OSError as error:
        return say("{name}: can't be read ({error})", name=SESSION, error=str(error))


def _of_another(session: Session, signed: SignedSession) -> Message | None:
    """Say that the sign-off belongs to another session; ``None`` if it is the same session, which was changed."""
    if (session.target, session.created) == (signed.target, signed.created):
        return None
    return say(
        "The sign-off is of another session: it is of {target}, made {created}; this one is of {own}, made {when}",
        target=signed.target,
        created=signed.created,
        own=session.target,
        when=session.created,
    )


def _digest(folder: Path, name: str) -> str | None:
    try:
        return digest_of(folder, name)
    except (SignoffError, OSError):
        return None


def _subject(folder: Path, name: str, statement: Statement) -> Iterator[Message]:
    """Yield what differs from one subject; for a record, each of its files that differs."""
    try:
        path = within(folder, name)
    except SignoffError as error:
        yield error.messages[0]
        return
    if not path.is_file():
        yield said(name, "missing")
        return
    if _digest(folder, name) != statement.digest(name):
        yield said(name, "changed")
    elif name in PAGES:
        yield from _part(path, name, statement)
    if name not in (SESSION, *PAGES):
        yield from changes_in_record(folder, name)


def _part(path: Path, name: str, statement: Statement) -> Iterator[Message]:
    """Yield a message if the page shows another sign-off than this one, or a key that did not sign it."""
    part, shown = part_of(read_bytes(path)), statement.predicate.shown.get(name)
    if not part or hashlib.sha256(part).hexdigest() == shown:
        return
    key = _later_key(path.parent, statement)
    if key is None or hashlib.sha256(before_signed(part, key, PAGES[name])).hexdigest() != shown:
        yield say("{name}: the sign-off that it shows was changed", name=name)


def _later_key(folder: Path, statement: Statement) -> str | None:
    """Return the key of a signature that was added to an unsigned sign-off. Whether the signature holds is another question."""
    if statement.predicate.key is not None or not (folder / SIGNATURE).is_file():
        return None
    try:
        read = read_signature(read_bounded(folder / SIGNATURE, MAX_SIGNATURE))
    except (SignoffError, OSError):
        return None
    return None if read is None else read.fingerprint


def _not_bound(folder: Path, session: Session, statement: Statement) -> Iterator[Message]:
    """Yield each file that a sign-off of the session must bind, and this one does not."""
    try:
        needed = (SESSION, *PAGES, *seals_of(folder, session))
    except SignoffError as error:
        yield error.messages[0]
        return
    for name in needed:
        if statement.digest(name) is None:
            yield say("{name}: not in the sign-off", name=name)
    for subject in statement.subject:
        if subject.name not in needed and within_or_none(folder, subject.name):
            yield say("{name}: in the sign-off, and no part of the session", name=subject.name)


def _rows(session: Session, statement: Statement) -> Iterator[Message]:
    """Yield each line of the Definition of Done without a decision."""
    known = {row.id for row in statement.predicate.rows}
    for row in session.requirements:
        if row.section == DEFINITION_OF_DONE and row.id not in known:
            yield say("Line {id} has no decision in the sign-off", id=row.id)


def within_or_none(folder: Path, name: str) -> Path | None:
    """Return the path of a subject that is there; ``None`` for another."""
    try:
        path = within(folder, name)
    except SignoffError:
        return None
    return path if path.is_file() else None
