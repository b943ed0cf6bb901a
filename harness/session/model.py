"""The session: all runs and verdicts of one validation, as ``session.json``.

Workers write shares; the controller merges them. The report, the exit status and the sign-off are views of the merged
session and hold nothing of their own.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, TypeAlias

import msgspec
from msgspec import Meta

from harness.language.message import Message, SaidError, say
from harness.record import limits
from harness.record.comparison import Comparison
from harness.record.convert import ShapeError, from_json, other_names, read_only, to_json
from harness.record.values import read_bytes, require_memory
from harness.record.whole import undone, visible_json, write_whole
from harness.targets.resolve import kind_of
from harness.targets.target import Target
from harness.verdict import Conclusion, Outcome, Verdict, merge

FORMAT = "phase3-session/2"
OPTIONAL = frozenset(
    {
        *("cases", "doubts", "interrupted", "missing", "occasion", "options", "part", "patch", "questions"),
        *("many", "reason", "red_with_run_end", "scenario", "seal"),
    }
)
"""Fields that older sessions do not have."""

Key = Annotated[
    str,
    Meta(
        pattern=r"^(?!\.{1,2}$)[^/\\]+$", description="The key of a run, which is also the name of its record's folder."
    ),
]


_OF_A_SESSION = ("session.json", "integrity.json")
_OF_A_RECORD = ("request.json", "seal.json")
"""The files by which commands find out whether a folder is a session or a record."""


class SessionError(SaidError):
    """Raised when a folder or file holds no readable session, or sessions can't be put together."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run: its case and role, the folder of its record (relative to the session), and how it ended."""

    key: Key
    case: str
    role: str
    retention: str
    target: Annotated[str, Meta(description="The label of the run's target.")]
    dataset: str
    dataset_kind: str
    record: Annotated[str, Meta(min_length=1, description="The record's folder, relative to the session's.")]
    state: Annotated[str, Meta(description="done, crashed, timed out, killed, or not sealed.")]
    seconds: Annotated[float, Meta(ge=0)]
    mode: Annotated[str, Meta(description="classic, sds or grid.")]
    workers: Annotated[int, Meta(ge=1)]
    seal: Annotated[str, Meta(description="SHA-256 of the record's seal.json; empty for a record without one.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun(Comparison[Key]):
    """The keys of a run and of the runs it was compared with, and the verdicts on it.

    ``expected_red`` names the checks that must be red when the run is a control, ``allowed_red`` those that may be red
    too; ``expected_red`` is ``null`` for other runs. ``red_with_run_end`` names the red checks of a control that its run with
    ``run_end`` explains: a defect that the target has in every version, and not the bug that the control is for. ``questions``
    names the checks that the case is for; it is empty for a case that is for all checks. ``outcome`` follows from the verdicts.
    """

    case: str
    role: str
    verdicts: tuple[Verdict, ...]
    expected_red: tuple[str, ...] | None = None
    allowed_red: tuple[str, ...] = ()
    red_with_run_end: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    outcome: Conclusion = field(init=False)

    def __post_init__(self) -> None:
        _conclude(self, self._merged())

    def with_keys(self, keys: Comparison[Key]) -> JudgedRun:
        """Return the verdicts with other keys of the runs."""
        return replace(
            self,
            run=keys.run,
            pair=keys.pair,
            baseline=keys.baseline,
            equals=keys.equals,
            timed=keys.timed,
            sizes=keys.sizes,
        )

    def _merged(self) -> Outcome:
        """Merge the gating verdicts. A control passes when exactly the checks named for it are red.

        A check that may be red on a control may be unknown there too: a run that left its mode lacks the evidence of that
        mode's checks. A check that is red with ``run_end`` too does not show the bug; at least one other must.
        """
        gating = [v for v in self.verdicts if v.gates]
        if self.expected_red is None:
            return merge(v.outcome for v in gating)
        red = {v.check for v in gating if v.outcome is Outcome.FAIL}
        if red - set(self.expected_red) - set(self.allowed_red) - set(self.red_with_run_end):
            return Outcome.FAIL
        if any(v.outcome is Outcome.UNKNOWN and v.check not in self.allowed_red for v in gating):
            return Outcome.UNKNOWN
        if not red >= set(self.expected_red):
            return Outcome.FAIL
        return Outcome.PASS if self.shows_the_bug or not self.expected_red else Outcome.UNKNOWN

    @property
    def shows_the_bug(self) -> tuple[str, ...]:
        """The checks that are red on a control as expected, and that its run with ``run_end`` does not explain."""
        red = {v.check for v in self.verdicts if v.gates and v.outcome is Outcome.FAIL}
        return tuple(name for name in self.expected_red or () if name in red and name not in self.red_with_run_end)


@dataclass(frozen=True, slots=True)
class TestEntry:
    """One test of a scenario, with the first line of its docstring as title.

    ``run`` is the key of the run that it judged, in ``role``, and ``check`` the check whose verdict it asserts. They are
    ``null`` for a test that ended before it judged a run; ``check`` also for a test that asserts all verdicts of a run,
    or none. A test that calls the release of a control has a role and no run. ``part`` names the part of the verdict that it
    asserts; it is ``null`` for the whole verdict. ``scenario`` and ``occasion`` are those of the test's marker; they are empty
    for a test without one.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a test class

    nodeid: Annotated[str, Meta(min_length=1)]
    title: str
    outcome: Outcome
    message: str
    case: str | None
    check: str | None = None
    run: Key | None = None
    role: str | None = None
    part: str | None = None
    scenario: str = ""
    occasion: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the user's checklist, in its own words, with the tests that judge it and their merged outcome.

    ``harness.session.rows`` works out the outcome, its reason, and the scope: the cases on which the line was
    evaluated, and the synthetic cases that are missing for a pass. Like the outcome of a session they are written for
    readers of the file, and worked out again when the file is read.
    """

    id: str
    section: str
    text: str
    tests: Annotated[tuple[str, ...], Meta(description="The tests that judge the line, without parameters.")]
    outcome: Outcome
    reason: Annotated[Message | None, Meta(description="What the outcome rests on.")] = None
    cases: Annotated[tuple[str, ...], Meta(description="The cases on which the line was evaluated.")] = ()
    missing: Annotated[
        tuple[str, ...], Meta(description="The synthetic cases on which a test of the line did not run.")
    ] = ()


@dataclass(frozen=True, slots=True)
class RealSet:
    """A set of observed frames: judged in this session, or absent, with the command that downloads it."""

    name: str
    judged: bool
    command: str


@dataclass(frozen=True, slots=True)
class Session:
    """All runs and verdicts of one ``pytest -m phase3``, as ``session.json`` holds them.

    ``options`` are those that decide on the runs, as they were resolved. ``patch`` holds the rows of the guard rails, each
    named by its line of the checklist. ``interrupted`` is ``None`` unless the session ended before its tests; those that
    never ran are "not evaluated", and the session does not pass. ``outcome`` follows from the tests: it is written for
    readers of the file, and computed again when the file is read.
    """

    created: Annotated[
        str,
        Meta(
            pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}",
            description="When the session ended, in ISO 8601 with a time zone.",
        ),
    ]
    target: Annotated[str, Meta(description="The label of the target under validation.")]
    target_kind: Annotated[str, Meta(description="Kind of target, such as reference or zemosaic.")]
    identity: Annotated[Mapping[str, Any], Meta(description="Commit, changed files and versions of the target.")]
    command: Annotated[str, Meta(description="The command that made the session.")]
    environment: Annotated[
        Mapping[str, str], Meta(description="Versions of the harness, of Python and of libraries, and the platform.")
    ]
    runs: tuple[RunEntry, ...] = ()
    judged: tuple[JudgedRun, ...] = ()
    tests: tuple[TestEntry, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    real_sets: tuple[RealSet, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    patch: tuple[Verdict, ...] = ()
    interrupted: Annotated[
        Message | None,
        Meta(description="Why the session ended before all its tests had run; null for one that reached its end."),
    ] = None
    doubts: Annotated[
        tuple[Message, ...],
        Meta(description="Why it is not known that the session is as its runs left it; such a session does not pass."),
    ] = ()
    outcome: Conclusion = field(init=False)

    def __post_init__(self) -> None:
        skipped = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)
        found = [t.outcome for t in self.tests if t.outcome not in skipped]
        # A session without an evaluated test concluded nothing: unknown. An interrupted one may have missed a failure.
        _conclude(self, merge([*found, *((Outcome.UNKNOWN,) if self.interrupted or self.doubts else ())]))
        read_only(self)

    @property
    def kind(self) -> Target:
        """The kind of the target under validation."""
        return kind_of(self.target_kind)

    @property
    def self_test(self) -> bool:
        """Whether the session judged the embedded reference, which says nothing about ZeMosaic."""
        return self.kind.embedded

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only, in a stable order."""
        ordered = replace(
            self,
            runs=tuple(sorted(self.runs, key=lambda r: r.key)),
            judged=tuple(sorted(self.judged, key=lambda j: (j.case, j.role, j.run))),
            tests=tuple(sorted(self.tests, key=lambda t: t.nodeid)),
        )
        return {"format": FORMAT, "outcome": self.outcome.value, **to_json(ordered)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Session:
        """Rebuild a session. Raises ``ShapeError`` when a part is missing, unknown or of another type."""
        parts = {name: part for name, part in data.items() if name != "format"}
        session = from_json(parts, cls)
        for difference in other_names(session, parts, OPTIONAL):
            raise difference
        return session


def _conclude(owner: JudgedRun | Session, outcome: Outcome) -> None:
    """Set the outcome that follows from the other fields, in place of the one that a file states."""
    if getattr(owner, "outcome", None) is Outcome.NOT_EVALUATED:
        raise ValueError(f"expected a conclusion, found {Outcome.NOT_EVALUATED.value!r}")
    object.__setattr__(owner, "outcome", outcome)


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a session that one worker made."""

    runs: tuple[RunEntry, ...] = ()
    judged: tuple[JudgedRun, ...] = ()
    tests: tuple[TestEntry, ...] = ()
    real_sets: tuple[RealSet, ...] = ()
    patch: tuple[Verdict, ...] = ()


def require_one_kind(folder: Path) -> None:
    """Refuse a folder that is both a session and a record: a command would read one half, and leave the other unseen.

    Raises
    ------
    SessionError
        With the names of the files of both.

    """
    session, record = ([n for n in names if os.path.lexists(folder / n)] for names in (_OF_A_SESSION, _OF_A_RECORD))
    if session and record:
        raise SessionError(
            say(
                "expected a session or a record in {folder}, found files of both ({names}): move the files that do not belong "
                "there to another folder",
                folder=str(folder),
                names=", ".join((*session, *record)),
            )
        )


def read_session(folder: Path) -> Session:
    """Read ``session.json``; errors are those of `read_hashed`."""
    return read_hashed(folder)[0]


def read_hashed(folder: Path) -> tuple[Session, str]:
    """Read ``session.json`` once and return the session and the SHA-256 of the file.

    The file may come from anywhere, so every part is checked.

    Raises
    ------
    SessionError
        When the file is missing or of another format, a part of it is wrong (which part, and why), or the folder is a record too.

    """
    require_one_kind(folder)
    path = folder / "session.json"
    try:
        content = require_memory(read_bytes(path, limits.JSON_BYTES), what=path.name)
        data = msgspec.json.decode(content)
    except (FileNotFoundError, NotADirectoryError):
        raise SessionError(
            say("expected a session.json in {folder}, found no such file: name a session's folder", folder=str(folder))
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise SessionError(
            say(
                "expected JSON in {path}, found something else ({error}): run it again",
                path=str(path),
                error=str(error),
            )
        ) from error
    found = data.get("format") if isinstance(data, dict) else None
    if found != FORMAT:
        raise SessionError(
            say(
                "expected a session of format {expected} in {path}, found {found}: read it with the harness that wrote it, or "
                "run the validation again",
                expected=repr(FORMAT),
                path=str(path),
                found=repr(found),
            )
        )
    try:
        session = _in_present_words(_with_rows(_with_judged_sets(_with_scenarios(Session.from_json(data)))))
        return session, hashlib.sha256(content).hexdigest()
    except ShapeError as error:
        raise SessionError(
            say(
                "expected {path} as the schema of {format} says, found at {place}: {problem}; it was changed since it was "
                "written, or another version wrote it: run the validation again",
                path=str(path),
                format=FORMAT,
                place=error.place,
                problem=error.problem,
            )
        ) from error


def _with_scenarios(session: Session) -> Session:
    """Give each test of an older session, which holds no scenarios, the scenario of its case.

    Without a scenario, no case would be required of its tests, and a line could pass on a part of the cases.
    """
    if any(test.scenario for test in session.tests):
        return session
    from fixtures import catalogue  # noqa: PLC0415 -- for older sessions only, and slow to load

    cases = {case.name: case for case in (*catalogue.CASES, catalogue.QUICK_CASE, catalogue.user_case(""))}

    def marked(test: TestEntry) -> TestEntry:
        case = cases.get(test.case or "")
        if case is None:
            return test
        return replace(test, scenario=case.scenario, occasion=next(iter(case.occasions), ""))

    return replace(session, tests=tuple(map(marked, session.tests)))


def _with_judged_sets(session: Session) -> Session:
    """Correct the real sets of an older session, which may say of a set with runs that it was not judged."""
    run = {entry.dataset for entry in session.runs if entry.dataset_kind == "real"}
    return replace(session, real_sets=tuple(replace(s, judged=s.judged or s.name in run) for s in session.real_sets))


def _in_present_words(session: Session) -> Session:
    """Say in the present words what the sentences of an older session say."""
    from harness.session.older_words import in_present_words  # noqa: PLC0415 -- few commands read a session

    judged = (replace(run, verdicts=tuple(map(in_present_words, run.verdicts))) for run in session.judged)
    return replace(session, judged=tuple(judged))


def _with_rows(session: Session) -> Session:
    """Work out the rows of a session again: those in the file may be claims, or of an older checklist."""
    if not session.requirements:
        return session
    from harness.session.rows import with_rows  # noqa: PLC0415 -- that module builds on this one

    return with_rows(session)


def require_same_target(first: tuple[Path, Session], other: tuple[Path, Session]) -> None:
    """Refuse sessions whose targets have the same name and differ, such as a work tree that was changed between them.

    The versions of libraries may differ between platforms, and are not compared.
    """
    identities = [
        {name: value for name, value in session.identity.items() if name != "versions"} for _, session in (first, other)
    ]
    if (first[1].target_kind, identities[0]) != (other[1].target_kind, identities[1]):
        raise SessionError(
            say(
                "expected sessions of one target, found {one} in {folder} and {two} in {other}, which have the same name and "
                "are not the same: merge those of one",
                folder=str(first[0]),
                other=str(other[0]),
                one=str(identities[0]),
                two=str(identities[1]),
            )
        )


Read: TypeAlias = Callable[[Path], tuple[Session, str]]
"""Reads a session, with the SHA-256 of its file."""


def write_session(session: Session, folder: Path) -> Path:
    """Write ``session.json``, note it in the manifest of a session that has one, and return its path."""
    from harness.session.integrity import note  # noqa: PLC0415 -- that module builds on this one

    path = folder / "session.json"
    with undone([path]):  # without its entry in the manifest, it would look like a change of the session
        write_whole(path, visible_json(session.to_json()))
        note(folder, (path.name,))
    return path


def with_shares(session: Session, shares: Iterable[Share]) -> Session:
    """Add the shares of the workers. A run or a judged run that several workers report (they share runs) counts once."""
    runs = {r.key: r for r in session.runs}
    judged = {(j.case, j.role, j.run): j for j in session.judged}
    tests = {t.nodeid: t for t in session.tests}
    sets = {s.name: s for s in session.real_sets}
    patch = {row.check: row for row in session.patch}
    for share in shares:
        runs |= {r.key: r for r in share.runs}
        judged |= {(j.case, j.role, j.run): j for j in share.judged}
        tests |= {t.nodeid: t for t in share.tests}
        sets |= {s.name: s for s in share.real_sets if s.judged or s.name not in sets}
        patch |= {row.check: row for row in share.patch}
    return replace(
        session,
        runs=tuple(runs.values()),
        judged=tuple(judged.values()),
        tests=tuple(tests.values()),
        real_sets=tuple(sets[name] for name in sorted(sets)),
        patch=tuple(patch[line] for line in sorted(patch)),
    )
