"""Tell how the sign-off beside a session stands: signed, unsigned or void. Reports show it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from harness.language.message import Message, say
from harness.signoff.signing import NoProgramError, check
from harness.signoff.ssh_signature import MAX_SIGNATURE
from harness.signoff.statement import (
    SIGNATURE,
    SIGNOFF,
    Decision,
    RowDecision,
    SignoffError,
    Statement,
    read_bounded,
    read_statement,
)
from harness.signoff.verify import changes

State = Literal["signed", "unsigned", "void"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a sign-off stands.

    ``signed`` says that ``key`` signed these bytes, and not whose key it is: ``phase3 verify`` asks the allowed signers that.
    ``checked`` is false where ``ssh-keygen`` was missing: then there is a signature file, which was not checked. ``statement`` is
    ``None`` for a sign-off that can't be read. ``changes`` says why it is void.
    """

    state: State
    statement: Statement | None
    key: str | None = None
    changes: tuple[Message, ...] = ()
    checked: bool = True

    @property
    def by(self) -> str:
        """Who made the sign-off, by their own word; empty for one that can't be read."""
        return self.statement.predicate.by if self.statement else ""

    @property
    def at(self) -> str:
        """When, as RFC 3339 in UTC, by the signer's clock."""
        return self.statement.predicate.at if self.statement else ""

    @property
    def decision(self) -> Decision | None:
        """The decision on the whole; ``None`` for a sign-off that can't be read or is void: it decides nothing."""
        return None if self.statement is None or self.state == "void" else self.statement.predicate.decision

    @property
    def rows(self) -> tuple[RowDecision, ...]:
        """The decisions line by line, as they were made; also those of a void sign-off."""
        return self.statement.predicate.rows if self.statement else ()


def beside(folder: Path, *, pages: bool = True) -> Standing | None:
    """Return how the sign-off in a session's folder stands; ``None`` if there is none.

    ``pages`` is false for a page that is written again: it can't be compared with itself. Whatever is in the files, no error is
    raised.
    """
    path = folder / SIGNOFF
    if not path.exists():
        return None
    try:
        content = read_bounded(path)
        statement = read_statement(content, str(path))
    except SignoffError as error:
        return Standing("void", None, changes=error.messages)
    except OSError as error:
        return Standing("void", None, changes=(say("{name}: can't be read ({error})", name=SIGNOFF, error=str(error)),))
    changed = changes(folder, statement, pages=pages)
    signed = _signed(folder, content, statement)
    if changed or signed.state == "void":
        return Standing("void", statement, signed.key, (*changed, *signed.changes), signed.checked)
    return signed


def _signed(folder: Path, content: bytes, statement: Statement) -> Standing:
    """Tell whether the sign-off was signed, without asking by whom."""
    named = statement.predicate.key
    path = folder / SIGNATURE
    if not path.exists():
        if named is None:
            return Standing("unsigned", statement)
        lost = say("{name}: missing, though the sign-off names the key {key}", name=SIGNATURE, key=named)
        return Standing("void", statement, named, (lost,))
    try:
        found = check(content, read_bounded(path, MAX_SIGNATURE), named)
    except NoProgramError:
        return Standing("signed", statement, named, checked=False)
    except (SignoffError, OSError) as error:
        problem = say("{name}: can't be read ({error})", name=SIGNATURE, error=str(error))
        return Standing("void", statement, named, (problem,))
    if found.state == "bad":
        return Standing("void", statement, found.key or named, (found.reason,))
    return Standing("signed", statement, found.key)
