"""Work out the Definition of Done of one target from all sessions that validated it.

Sessions are not merged into one, as ``harness.session.merge`` does for shards of a session: their settings, cases and times may
differ. The outcome of each test in each session counts: fail outranks unknown, and unknown outranks pass. Together the sessions
must have run each test on each of its synthetic cases (``harness.session.rows``).

Only sessions with the profile of the first session decide. With another profile a target may not repeat its outputs, so that a
failure may be the scatter of equal runs. Such sessions are shown with their failures, and decide on no line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.language.message import say
from harness.record.seal import SEAL
from harness.record.values import UNREADABLE, inside, read_json
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import (
    Read,
    Requirement,
    Session,
    SessionError,
    TestEntry,
    read_hashed,
    require_same_target,
)
from harness.session.rows import cases_not_run, rows
from harness.verdict import Outcome, merge

SHORTEST_COMMIT = 7
"""A shorter prefix of a commit may be that of several commits."""


@dataclass(frozen=True, slots=True)
class Part:
    """One session that was read, with its folder and the hash of its ``session.json``."""

    folder: Path
    session: Session
    sha256: str


@dataclass(frozen=True, slots=True)
class Done:
    """The sessions of a subject (a target's name), and the outcome of each line of the checklist over all of them.

    ``own`` are the sessions that validated it with the deciding profile. ``others`` are sessions of other targets, and of the
    same target with another profile: they decide nothing, but tables show them. ``lines`` are those of the current checklist,
    with their outcomes over all tests of ``own``.
    """

    subject: str
    own: tuple[Part, ...]
    others: tuple[Part, ...]
    lines: tuple[Requirement, ...]

    @property
    def other_profiles(self) -> tuple[Part, ...]:
        """The sessions of the subject that decide nothing because of their profile."""
        return tuple(part for part in self.others if part.session.target == self.subject)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All sessions, the subject's first."""
        return (*self.own, *self.others)

    def cases_not_run(self, test: str) -> tuple[str, ...]:
        """Return the synthetic cases on which no session of the subject ran a test."""
        return cases_not_run(test, [part.session for part in self.own])

    @property
    def beyond(self) -> tuple[str, ...]:
        """The tests that answer no line of the checklist, by their ids without parameters."""
        answering = {test for line in self.lines for test in line.tests}
        run = {test.nodeid.partition("[")[0] for part in self.own for test in part.session.tests}
        return tuple(sorted(run - answering))

    @property
    def outcome(self) -> Outcome:
        """The merged outcome of the lines of the Definition of Done. A line that was not evaluated counts as unknown."""
        rows = [line.outcome for line in self.lines if line.section == DEFINITION_OF_DONE]
        return merge(row if row in (Outcome.PASS, Outcome.FAIL) else Outcome.UNKNOWN for row in rows)


def read(folders: Iterable[Path], read_one: Read = read_hashed) -> tuple[Part, ...]:
    """Read sessions with ``read_one``; a session that is given twice counts once.

    Raises
    ------
    SessionError
        When a session can't be read, or two sessions hold the same run, such as a merged session and one of its parts: the
        figures of the run would count twice.

    """
    found = (Part(folder, *read_one(folder)) for folder in folders)
    parts = tuple({part.sha256: part for part in found}.values())
    seen: dict[str, Part] = {}
    for part in parts:
        for key, mark in _marks(part):
            other = seen.setdefault(mark, part)
            if other is not part:
                raise SessionError(
                    say(
                        "expected each run in one session, found {run} in {one} and in {other}: name the merged session or those "
                        "that it was made of",
                        run=key,
                        one=str(other.folder),
                        other=str(part.folder),
                    )
                )
    return parts


def _marks(part: Part) -> Iterator[tuple[str, str]]:
    """Yield the key of each sealed run with the hashes of its files, which identify the run."""
    for run in part.session.runs:
        try:
            # A copy without outputs has another seal, but the same hashes.
            files = read_json(inside(part.folder, run.record) / SEAL)["files"]
        except (OSError, *UNREADABLE):
            continue
        if files:
            yield run.key, json.dumps(files, sort_keys=True)


def together(sessions: Iterable[Part], subject: str = "") -> Done:
    """Work out the lines of the checklist from the sessions of one subject, each given once.

    ``subject`` is the name of the target, or its commit; by default the target of the first session.

    Raises
    ------
    SessionError
        When no session has the subject as its target, or the targets of two sessions have the same name and differ.

    """
    parts = tuple(sessions)
    first = next((part for part in parts if _is(part.session, subject)), None)
    if first is None:
        raise SessionError(
            say(
                "expected a session of {subject}, found sessions of {targets}: name one of these, or its session",
                subject=subject,
                targets=", ".join(dict.fromkeys(part.session.target for part in parts)) or "-",
            )
        )
    of_subject = [part for part in parts if part.session.target == first.session.target]
    for part in of_subject:
        require_same_target((first.folder, first.session), (part.folder, part.session))
    own = tuple(part for part in of_subject if _profile(part) == _profile(first))
    return Done(
        subject=first.session.target,
        own=own,
        others=tuple(part for part in parts if part not in own),
        lines=rows([part.session for part in own]),
    )


def tests_of(name: str, part: Part) -> tuple[TestEntry, ...]:
    """Return a session's entries of a test, one for each case."""
    return tuple(test for test in part.session.tests if test.nodeid.partition("[")[0] == name)


def _profile(part: Part) -> str:
    """Return the profile of a session; older sessions do not hold it, and were made with the fast one."""
    return part.session.options.get("profile") or "fast"


def _is(session: Session, subject: str) -> bool:
    commit = str(session.identity.get("commit") or "")
    # A work tree with changes is not its commit, so only its name selects it.
    clean = not session.identity.get("dirty")
    named = clean and len(subject) >= SHORTEST_COMMIT and commit.startswith(subject)
    return subject in ("", session.target) or named
