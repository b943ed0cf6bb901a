"""The sign-off: who decided what about a session, and the digests of everything that the decision rests on.

It is an in-toto Statement v1, written as ``signoff.json`` beside ``session.json``. ``docs/sign-off.md`` describes the predicate.
A sign-off may come from anywhere: the reader is strict, and reads at most `MAX_BYTES`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from harness.language.message import Message, SaidError, say
from harness.language.system import Code
from harness.record.convert import ShapeError, from_json, other_names, read_only, to_json
from harness.record.values import open_regular
from harness.verdict import Outcome

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:zemosaic-phase3-validation:signoff:1"
SIGNOFF = "signoff.json"
SIGNATURE = "signoff.json.sig"
MAX_BYTES = 4_000_000
"""Bytes of a sign-off that are read; a real one has some ten thousand."""

LONGEST_NAME = 200
LONGEST_COMMENT = 4000
LONGEST_TEXT = 4000
MOST = 10_000
"""Subjects of a sign-off, or rows, or limits of a row, that are read."""

OPTIONAL = frozenset({"part"})
"""Fields that older sign-offs do not have."""

T = TypeVar("T")
Decision = Literal["accept", "reject", "reserve"]
Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$", description="SHA-256 in hexadecimal.")]
Name = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, pattern=r"\S")]
Comment = Annotated[str, Meta(max_length=LONGEST_COMMENT)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]


class SignoffError(SaidError):
    """Raised when a sign-off can't be read or made."""


class RefusedError(SaidError):
    """Raised when a session must not be signed, or a sign-off does not hold."""


@dataclass(frozen=True, slots=True)
class Digests:
    """The digests of a subject, by algorithm, as in-toto writes them."""

    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Subject:
    """A file of the session's folder, by its path there, with its digest."""

    name: Annotated[str, Meta(min_length=1, max_length=1000, description="Path relative to the session's folder.")]
    digest: Digests


@dataclass(frozen=True, slots=True)
class RunPart:
    """How many of the cases or tests of a line were run; the line was not evaluated as a whole."""

    run: Annotated[int, Meta(ge=0)]
    all: Annotated[int, Meta(ge=0)]
    of: Literal["cases", "tests"]


@dataclass(frozen=True, slots=True)
class SeenRow:
    """A line of the Definition of Done, with the words that the reviewer was shown about it."""

    id: Annotated[str, Meta(min_length=1, max_length=20)]
    text: Text
    outcome: Outcome
    figure: Annotated[Text, Meta(description="The figure that decides the line, as it was shown.")] = ""
    scope: Annotated[Text, Meta(description="The cases that the figure is from, as they were shown.")] = ""
    limits: Annotated[tuple[Text, ...], Meta(max_length=MOST, description="What the outcome does not cover.")] = ()
    part: Annotated[
        RunPart | None,
        Meta(description="How much of a line was run that was not evaluated as a whole; null for other lines."),
    ] = None


@dataclass(frozen=True, slots=True)
class RowDecision(SeenRow):
    """The decision on a line. An accepted line that did not pass has a comment, which is the reason."""

    decision: Decision = "reserve"
    comment: Comment = ""


@dataclass(frozen=True, slots=True)
class SignedSession:
    """The facts that tell a session from others. Its ``session.json`` is bound by its digest."""

    target: str
    created: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """Who decided what, and when.

    ``key`` is the fingerprint of the key that signs the sign-off, ``null`` for an unsigned one. ``shown`` has the SHA-256 of the
    part that shows the sign-off on each page; the digest of a page is that of the page without this part. ``decision`` follows
    from the rows: it is written for readers of the file, and worked out again when the file is read.
    """

    by: Name
    at: Annotated[
        str,
        Meta(
            pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$", description="UTC, as RFC 3339; the signer's own clock."
        ),
    ]
    key: Annotated[str | None, Meta(description="Fingerprint of the key that signs; null for an unsigned sign-off.")]
    language: Annotated[Code, Meta(description="The language of the figures, scopes and limits.")]
    harness: Annotated[str, Meta(max_length=LONGEST_NAME, description="The version of the harness that wrote this.")]
    session: SignedSession
    rows: Annotated[tuple[RowDecision, ...], Meta(min_length=1, max_length=MOST)]
    shown: Annotated[
        Mapping[str, Sha256],
        Meta(description="SHA-256 of the part of each page that shows this sign-off."),
    ] = field(default_factory=lambda: MappingProxyType({}))
    decision: Decision = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "decision", decided(self.rows))
        read_only(self)


@dataclass(frozen=True, slots=True)
class Statement:
    """A sign-off: what it is about, and what it says."""

    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=MOST)]
    predicate: Predicate

    def digest(self, name: str) -> str | None:
        """Return the digest that the sign-off has for a file; ``None`` if it does not bind the file."""
        return next((s.digest.sha256 for s in self.subject if s.name == name), None)

    def to_bytes(self) -> bytes:
        """Return the content of ``signoff.json``. These bytes are what is signed."""
        parts = to_json(self)
        data = {
            "_type": STATEMENT_TYPE,
            "subject": parts["subject"],
            "predicateType": PREDICATE_TYPE,
            "predicate": parts["predicate"],
        }
        return (json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def decided(rows: Iterable[RowDecision]) -> Decision:
    """Return the decision on the whole: a rejected line rejects it, and a reserve about a line is one about the whole."""
    found = {row.decision for row in rows}
    if "reject" in found:
        return "reject"
    return "reserve" if "reserve" in found else "accept"


def needs_reason(outcome: Outcome, decision: Decision) -> bool:
    """Return whether a decision needs a comment: each does, except to accept a line that passed."""
    return decision != "accept" or outcome is not Outcome.PASS


def read_statement(content: bytes, where: str) -> Statement:
    """Read the content of a ``signoff.json``; ``where`` names the file in messages.

    Raises
    ------
    SignoffError
        When it is not a sign-off: which part is wrong, and why.

    """
    try:
        data = msgspec.json.decode(content)
    except (ValueError, RecursionError) as error:
        raise SignoffError(
            say("expected JSON in {path}, found something else ({error})", path=where, error=str(error))
        ) from error
    for name, expected in (("_type", STATEMENT_TYPE), ("predicateType", PREDICATE_TYPE)):
        found = data.get(name) if isinstance(data, dict) else None
        if found != expected:
            raise SignoffError(
                say(
                    "expected a sign-off with {name} {expected} in {path}, found {found}: name the signoff.json beside a "
                    "session.json",
                    name=name,
                    expected=expected,
                    path=where,
                    found=repr(found)[:LONGEST_NAME],
                )
            )
    parts = {name: part for name, part in data.items() if name not in ("_type", "predicateType")}
    statement = strict(parts, Statement, where, OPTIONAL)
    names = [subject.name for subject in statement.subject]
    rows = [row.id for row in statement.predicate.rows]
    for place, known in (("$.subject", names), ("$.predicate.rows", rows)):
        if len(set(known)) < len(known):
            raise _wrong(where, ShapeError(place, "a name is there twice"))
    for row in statement.predicate.rows:
        if needs_reason(row.outcome, row.decision) and not row.comment.strip():
            raise _wrong(where, ShapeError("$.predicate.rows", f"the row {row.id} needs a comment"))
    return statement


def strict(data: Any, kind: type[T], where: str, optional: frozenset[str]) -> T:
    """Build an object of a class from JSON data. Raises ``SignoffError`` with the place of a part that is wrong or unknown."""
    try:
        value = from_json(data, kind)
        for difference in other_names(value, data, optional):
            raise difference
    except ShapeError as error:
        raise _wrong(where, error) from error
    return value


def _wrong(where: str, error: ShapeError) -> SignoffError:
    return SignoffError(
        say(
            "expected {path} as its schema says, found at {place}: {problem}; it was changed, or another version wrote it",
            path=where,
            place=error.place,
            problem=error.problem,
        )
    )


def read_bounded(path: Path, limit: int = MAX_BYTES) -> bytes:
    """Return the content of a file. Raises ``SignoffError`` if it has more bytes than ``limit``, and ``OSError``."""
    with open_regular(path, sys.maxsize, links=True) as stream:
        content = stream.read(limit + 1)
    if len(content) > limit:
        raise SignoffError(say("expected at most {limit} bytes in {path}, found more", limit=limit, path=str(path)))
    return content


def decision_word(decision: Decision) -> Message:
    """Return the word for a decision."""
    words = {"accept": say("accepted"), "reject": say("rejected"), "reserve": say("accepted with reserve")}
    return words[decision]
