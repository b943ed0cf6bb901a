"""Put a sign-off together, sign it, and write it beside its session."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from harness.language.message import say, visible
from harness.language.system import Code
from harness.record.values import read_bytes
from harness.record.whole import undone, write_together
from harness.session.integrity import note
from harness.session.model import Session
from harness.signoff.page_part import BEGIN, with_part
from harness.signoff.signing import sign
from harness.signoff.statement import (
    SIGNATURE,
    SIGNOFF,
    Decision,
    Predicate,
    RefusedError,
    RowDecision,
    SeenRow,
    SignedSession,
    SignoffError,
    Statement,
    needs_reason,
    read_statement,
)
from harness.signoff.subjects import PAGES, SESSION, subjects_of

Decisions = Mapping[str, tuple[Decision, str]]
"""The decision and the comment on each line, by the line's id."""

Parts = Callable[[Statement], Mapping[str, bytes]]
"""Makes the part of each page that shows a sign-off."""


def refuse_self_test(session: Session) -> None:
    """Raise ``RefusedError`` for a session of the embedded reference, which says nothing about ZeMosaic."""
    if session.self_test:
        raise RefusedError(
            say(
                "A session of the embedded reference says nothing about ZeMosaic, and can't be signed: run the validation with "
                "--phase3-target=zemosaic:PATH@COMMIT, and sign that session"
            )
        )


def decide(seen: Sequence[SeenRow], decisions: Decisions) -> tuple[RowDecision, ...]:
    """Return the decision on each line.

    Raises
    ------
    RefusedError
        When there is no line to decide on.
    SignoffError
        When a line has no decision, a decision is on no line, or one needs a comment and has none.

    """
    if not seen:
        raise RefusedError(say("The session has no line of the Definition of Done, so there is nothing to decide"))
    known = [row.id for row in seen]
    strange = [name for name in decisions if name not in known]
    if strange:
        raise SignoffError(
            say("expected a line among {known}, found {names}", known=", ".join(known), names=", ".join(strange))
        )
    without = [name for name in known if name not in decisions]
    if without:
        raise SignoffError(
            say(
                "expected a decision on each line, found none on {names}: add --row {first} with --accept, --reject or "
                "--reserve, or answer on a terminal",
                names=", ".join(without),
                first=without[0],
            )
        )
    rows = tuple(_decided(row, *decisions[row.id]) for row in seen)
    bare = [row.id for row in rows if needs_reason(row.outcome, row.decision) and not row.comment]
    if bare:
        raise SignoffError(
            say(
                "expected a reason for the decision on {names}, found none: only a line that passed is accepted without one; "
                'give the reason after --accept, --reject or --reserve, as in --accept "the reason"',
                names=", ".join(bare),
            )
        )
    return rows


def compose(
    folder: Path,
    session: Session,
    session_sha256: str,
    rows: tuple[RowDecision, ...],
    by: str,
    *,
    key: str | None,
    language: Code,
    parts: Parts,
    now: datetime | None = None,
) -> tuple[Statement, Mapping[str, bytes]]:
    """Return a sign-off that is not signed yet, and each page with the part that shows it.

    ``session_sha256`` is the digest of the session that the reviewer was shown.

    Raises
    ------
    RefusedError
        When the session must not be signed.
    SignoffError
        When a text is too long or empty.

    """
    refuse_self_test(session)
    subjects = subjects_of(folder, session)
    at = f"{now or datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    predicate = Predicate(
        by=visible(by.strip()),
        at=at,
        key=key,
        language=language,
        harness=version("zemosaic-phase3-validation"),
        session=SignedSession(session.target, session.created, session.outcome),
        rows=rows,
    )
    statement = Statement(subjects, predicate)
    if statement.digest(SESSION) != session_sha256:
        raise RefusedError(say("The session was changed while it was being signed: sign again"))
    shown = parts(statement)
    before = {name: read_bytes(folder / name) for name in PAGES}
    pages = {name: with_part(content, shown[name]) for name, content in before.items() if BEGIN in content}
    digests = {name: hashlib.sha256(shown[name]).hexdigest() for name in pages}
    statement = replace(statement, predicate=replace(predicate, shown=MappingProxyType(digests)))
    read_statement(statement.to_bytes(), SIGNOFF)  # nothing is written that the reader would refuse
    return statement, pages


def write(folder: Path, statement: Statement, pages: Mapping[str, bytes], key: Path | None) -> tuple[Path, ...]:
    """Sign a sign-off, write it with its signature, then show it on the pages, and in the summaries; return the paths.

    All are written, or none. The pages come last: a page without its part is what was signed too.

    Raises
    ------
    harness.signoff.signing.NoProgramError
        When there is a key, and no ``ssh-keygen``.
    SignoffError
        When nothing could be signed. Then nothing is written.
    NotWrittenError
        When the files can't be written. Older ones stay.

    """
    content = statement.to_bytes()
    signature = None if key is None else sign(content, key, statement.predicate.key or "")
    files = {SIGNOFF: content, **({} if signature is None else {SIGNATURE: signature}), **pages}
    # Without its entry in the manifest, the sign-off would look like a change of the session.
    with undone(folder / name for name in dict.fromkeys((*files, SIGNATURE))):
        write_together({folder / name: data for name, data in files.items()})
        if signature is None:
            (folder / SIGNATURE).unlink(missing_ok=True)  # of an earlier sign-off
        note(folder, (SIGNATURE, *files))
    return tuple(folder / name for name in files)


def _decided(row: SeenRow, decision: Decision, comment: str) -> RowDecision:
    seen = {field.name: getattr(row, field.name) for field in fields(row)}
    return RowDecision(**seen, decision=decision, comment=visible(comment.strip()))
