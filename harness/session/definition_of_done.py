"""The Definition of Done of one target, from the sessions in which it was under validation, taken together.

Sessions are not merged into one (``harness.session.merge`` does that for shards of a session): they may have other settings,
other cases and other times. What every test concluded in each of them counts: fail outranks unknown, and unknown outranks pass.
Together they must have asked each test about each synthetic case: these need no set, so that one is missing is a choice, and
half of the proof.

One profile decides: that of the first session. With settings in which a target does not repeat itself, red may be the scatter
of equal runs; such sessions are shown with all that fails in them, and neither carry nor break a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fixtures import catalogue
from harness.analysis.figure import Figure
from harness.checks.judge import ALL
from harness.language.message import say
from harness.patch.guard_rails import ROWS
from harness.record.seal import SEAL
from harness.record.values import inside
from harness.session.checklist import DEFINITION_OF_DONE, evaluate, read_lines, scenario_of
from harness.session.model import Requirement, Session, SessionError, TestEntry, read_hashed
from harness.targets.resolve import kind_of
from harness.verdict import Outcome, merge

SHORTEST_COMMIT = 7
"""Fewer characters of a commit than these name too many."""


@dataclass(frozen=True, slots=True)
class Part:
    """One session as it was read: its folder, and the hash of its ``session.json``."""

    folder: Path
    session: Session
    sha256: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the sessions of a subject say together.

    Parameters
    ----------
    subject
        How the target is called whose Definition of Done it is.
    own
        The sessions in which it was under validation, with one profile.
    others
        Sessions of other targets, and of the same with another profile: they decide nothing, and show what was tried where.
    lines
        The checklist of today, line by line, with what all tests of ``own`` concluded.

    """

    subject: str
    own: tuple[Part, ...]
    others: tuple[Part, ...]
    lines: tuple[Requirement, ...]

    @property
    def aside(self) -> tuple[Part, ...]:
        """The sessions of the subject that decide nothing, for their profile is another."""
        return tuple(part for part in self.others if part.session.target == self.subject)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All sessions, the subject's first."""
        return (*self.own, *self.others)

    def unasked(self, test: str) -> tuple[str, ...]:
        """Return the synthetic cases of a test of the checklist about which no session of the subject asked it."""
        return _unasked(test, self.own)

    @property
    def outcome(self) -> Outcome:
        """The lines of the Definition of Done together; one that was not evaluated is not fulfilled, and not known to fail."""
        rows = [line.outcome for line in self.lines if line.section == DEFINITION_OF_DONE]
        return merge(row if row in (Outcome.PASS, Outcome.FAIL) else Outcome.UNKNOWN for row in rows)


def read(folders: Iterable[Path]) -> tuple[Part, ...]:
    """Read sessions; one that is given twice counts once.

    Raises
    ------
    SessionError
        When one can't be read, or two hold the same run, as a merged session and one that it was made of do: its figures would
        count twice.

    """
    found = (Part(folder, *read_hashed(folder)) for folder in folders)
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
    """Yield the key of each run, and what tells it from every other: the hashes of its files. A run without a seal has none."""
    for run in part.session.runs:
        try:
            # A copy's seal may say that outputs were left out; the hashes are those of the run all the same.
            files = json.loads((inside(part.folder, run.record) / SEAL).read_text(encoding="utf-8"))["files"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if files:
            yield run.key, json.dumps(files, sort_keys=True)


def together(sessions: Iterable[Part], subject: str = "") -> Done:
    """Take together the sessions of one subject.

    Parameters
    ----------
    sessions
        The sessions, each once.
    subject
        How the target is called, or its commit; the first session's target when left out.

    Raises
    ------
    SessionError
        When no session is of the subject, or two have a target of the same name that is not the same.

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
        _require_same(first, part)
    own = tuple(part for part in of_subject if _profile(part) == _profile(first))
    tests = [test for part in own for test in part.session.tests]
    lines = evaluate(read_lines(), tests, self_test=first.session.self_test)
    return Done(
        subject=first.session.target,
        own=own,
        others=tuple(part for part in parts if part not in own),
        lines=tuple(_whole(_without_question(line, tests), own) for line in lines),
    )


def tests_of(name: str, part: Part) -> tuple[TestEntry, ...]:
    """Return what a session holds of a test of the checklist: an entry for each case, or one."""
    return tuple(test for test in part.session.tests if test.nodeid.partition("[")[0] == name)


def _profile(part: Part) -> str:
    """Return the profile that a session was made with; the fast one for those that don't say."""
    return part.session.options.get("profile") or "fast"


def _is(session: Session, subject: str) -> bool:
    commit = str(session.identity.get("commit") or "")
    # A work tree that differs from its commit is not that commit: only its own name means it.
    clean = not session.identity.get("dirty")
    named = clean and len(subject) >= SHORTEST_COMMIT and commit.startswith(subject)
    return not subject or subject == session.target or named


def _require_same(one: Part, other: Part) -> None:
    """Refuse sessions whose targets have the same name and are not the same: a work tree that was changed between them."""
    mine, theirs = (
        {name: value for name, value in part.session.identity.items() if name != "versions"} for part in (one, other)
    )
    if (one.session.target_kind, mine) != (other.session.target_kind, theirs):
        raise SessionError(
            say(
                "expected sessions of one target, found {one} in {folder} and {two} in {other}, which have the same name and "
                "are not the same: merge those of one",
                folder=str(one.folder),
                other=str(other.folder),
                one=str(mine),
                two=str(theirs),
            )
        )


def _whole(line: Requirement, own: Sequence[Part]) -> Requirement:
    """Take the pass from a line of which a test was not asked about all its synthetic cases."""
    if line.outcome is Outcome.PASS and any(_unasked(test, own) for test in line.tests):
        return replace(line, outcome=Outcome.NOT_EVALUATED)
    return line


def _unasked(test: str, own: Sequence[Part]) -> tuple[str, ...]:
    asked = {entry.case for part in own for entry in tests_of(test, part) if entry.outcome is not Outcome.NOT_EVALUATED}
    kind, scenario = kind_of(own[0].session.target_kind), scenario_of(test)
    return tuple(
        case.name
        for case in catalogue.CASES
        if case.scenario == scenario and case.kind == "synthetic" and case.suits(kind) and case.name not in asked
    )


def _without_question(line: Requirement, tests: Sequence[TestEntry]) -> Requirement:
    """Tell a line whose tests had no question to ask, everywhere, from one that nobody evaluated."""
    asked = [[t.outcome for t in tests if t.nodeid.partition("[")[0] == name] for name in line.tests]
    none = line.section != DEFINITION_OF_DONE and line.outcome is Outcome.NOT_EVALUATED
    if none and asked and all(found and set(found) == {Outcome.NOT_APPLICABLE} for found in asked):
        return replace(line, outcome=Outcome.NOT_APPLICABLE)
    return line


def figures_of(check: str, part: str | None = None) -> tuple[Figure, ...]:
    """Return the figures of a check, of a part of it, or of a row of the guard rails; none for an unknown name."""
    if check in ROWS:
        return ROWS[check].figures
    known = ALL.get(check)
    if known is None:
        return ()
    return known.figures if part is None else known.parts.get(part, ())
