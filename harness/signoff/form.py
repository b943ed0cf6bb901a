"""Read the file that the form on a session's page makes: decisions on its lines, not signed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from harness.language.message import say
from harness.signoff.statement import (
    LONGEST_NAME,
    MOST,
    Comment,
    Decision,
    RefusedError,
    Sha256,
    SignoffError,
    read_bounded,
    strict,
)

FORM_FORMAT = "phase3-signoff-form/1"
MAX_FORM = 1_000_000


@dataclass(frozen=True, slots=True)
class FormRow:
    """The decision on one line of the Definition of Done."""

    id: Annotated[str, Meta(min_length=1, max_length=20, description="The line's id, such as 4.2.")]
    decision: Decision
    comment: Comment = ""


@dataclass(frozen=True, slots=True)
class Form:
    """The decisions of a form, and the digest of the session whose page it is on."""

    session_sha256: Sha256
    by: Annotated[str, Meta(max_length=LONGEST_NAME, description="Who decides; may be empty.")]
    rows: Annotated[tuple[FormRow, ...], Meta(max_length=MOST, description="Lines without a decision are left out.")]


def read_form(path: Path, session_sha256: str) -> Form:
    """Read a form for the session whose ``session.json`` has a digest.

    Raises
    ------
    SignoffError
        When it is no such form: which part is wrong, and why.
    RefusedError
        When it is of another session, or the session was changed since its page was written.
    OSError
        When it can't be read.

    """
    content = read_bounded(path, MAX_FORM)
    try:
        data = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise SignoffError(
            say("expected JSON in {path}, found something else ({error})", path=str(path), error=str(error))
        ) from error
    found = data.pop("form", None) if isinstance(data, dict) else None
    if found != FORM_FORMAT:
        raise SignoffError(
            say(
                "expected a form {expected} in {path}, found {found}: download it with the form on the session's page",
                expected=repr(FORM_FORMAT),
                path=str(path),
                found=repr(found)[:LONGEST_NAME],
            )
        )
    form = strict(data, Form, str(path), frozenset({"comment"}))
    if form.session_sha256 != session_sha256:
        raise RefusedError(
            say(
                "The form {path} is of another session, or the session was changed since its page was written: fill in the form "
                "on the session's own page",
                path=str(path),
            )
        )
    return form
