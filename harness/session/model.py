"""The session: everything that one validation run made and concluded, as ``session.json``.

Workers write shares; the controller merges them. The report, the exit status and the sign-off are views of the merged
session and hold nothing of their own.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from harness.language.message import SaidError, say
from harness.record.comparison import Comparison
from harness.targets.resolve import kind_of
from harness.targets.target import Target
from harness.verdict import Outcome, Verdict, merge

FORMAT = "phase3-session/2"


class SessionError(SaidError):
    """A folder or file that holds no session that can be read: what was expected, what was found, what to do."""


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One run: which case and role, where its record lies (relative to the session), and how it ended."""

    key: str
    case: str
    role: str
    retention: str
    target: str
    dataset: str
    dataset_kind: str
    record: str
    state: str
    seconds: float
    mode: str
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedRun(Comparison[str]):
    """The keys of a run and of the runs it was compared with, and the verdicts on it.

    ``expected_red`` names the checks that must be red when the run is a control, ``allowed_red`` those that may be red
    too; ``expected_red`` is ``None`` for other runs. ``questions`` names the checks that the case is for; it is empty for
    a case that is for all checks.
    """

    case: str
    role: str
    verdicts: tuple[Verdict, ...]
    expected_red: tuple[str, ...] | None = None
    allowed_red: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """What the gating verdicts merge to; a control passes when the checks named for it are red, and others if allowed.

        What may be red on a control may be unknown on it too: a run that left its mode lacks what that mode's checks rest on.
        """
        gating = [v for v in self.verdicts if v.gates]
        if self.expected_red is None:
            return merge(v.outcome for v in gating)
        red = {v.check for v in gating if v.outcome is Outcome.FAIL}
        if red - set(self.expected_red) - set(self.allowed_red):
            return Outcome.FAIL
        if any(v.outcome is Outcome.UNKNOWN and v.check not in self.allowed_red for v in gating):
            return Outcome.UNKNOWN
        return Outcome.PASS if red >= set(self.expected_red) else Outcome.FAIL


@dataclass(frozen=True, slots=True)
class TestEntry:
    """One test of a scenario: its docstring is what the reviewer reads.

    ``run`` is the key of the run that it judged, in ``role``, and ``check`` the check whose verdict it asserts; they are
    ``None`` for a test that did not come to it, ``check`` also for one that asserts all verdicts or none. ``part`` names the
    part of the verdict that it asserts, ``None`` for the whole. ``scenario`` and ``occasion`` are those of the test's marker;
    they are empty for a test without one. Sessions written before these were kept have none of the three.
    """

    __test__: ClassVar[bool] = False  # pytest would take the name for a test class

    nodeid: str
    title: str
    outcome: Outcome
    message: str
    case: str | None
    check: str | None = None
    run: str | None = None
    role: str | None = None
    part: str | None = None
    scenario: str = ""
    occasion: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the user's checklist, in its own words, with the tests that judge it and what they concluded."""

    id: str
    section: str
    text: str
    tests: tuple[str, ...]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RealSet:
    """A set of observed frames: judged in this session, or absent with the command that gets it."""

    name: str
    judged: bool
    command: str


@dataclass(frozen=True, slots=True)
class Session:
    """Everything that one validation run made and concluded.

    ``options`` are those that decide on the runs, as they were resolved, and ``patch`` holds the rows of the guard rails.
    Sessions of before these were kept have neither.
    """

    created: str
    target: str
    target_kind: str
    identity: Mapping[str, Any]
    command: str
    environment: Mapping[str, str]
    runs: tuple[RunEntry, ...] = ()
    judged: tuple[JudgedRun, ...] = ()
    tests: tuple[TestEntry, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    real_sets: tuple[RealSet, ...] = ()
    options: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    patch: tuple[Verdict, ...] = ()

    @property
    def kind(self) -> Target:
        """The kind of the target under validation."""
        return kind_of(self.target_kind)

    @property
    def self_test(self) -> bool:
        """Whether the session judged the embedded reference, which says nothing about ZeMosaic."""
        return self.kind.embedded

    @property
    def outcome(self) -> Outcome:
        """What the tests merge to. A session whose every test was skipped concluded nothing."""
        skipped = (Outcome.NOT_APPLICABLE, Outcome.NOT_EVALUATED)
        return merge(t.outcome for t in self.tests if t.outcome not in skipped)

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only, in a stable order."""
        return {
            "format": FORMAT,
            "created": self.created,
            "outcome": str(self.outcome),
            "target": self.target,
            "target_kind": self.target_kind,
            "identity": dict(self.identity),
            "command": self.command,
            "environment": dict(self.environment),
            "runs": [asdict(r) for r in sorted(self.runs, key=lambda r: r.key)],
            "judged": [judged_to_json(j) for j in sorted(self.judged, key=lambda j: (j.case, j.role, j.run))],
            "tests": [asdict(t) for t in sorted(self.tests, key=lambda t: t.nodeid)],
            "requirements": [asdict(r) for r in self.requirements],
            "real_sets": [asdict(s) for s in self.real_sets],
            "options": dict(self.options),
            "patch": [row.to_json() for row in self.patch],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Session:
        """Rebuild a session from data that are as the schema says."""
        return cls(
            created=str(data["created"]),
            target=str(data["target"]),
            target_kind=str(data["target_kind"]),
            identity=MappingProxyType(dict(data["identity"])),
            command=str(data["command"]),
            environment=MappingProxyType({str(k): str(v) for k, v in dict(data["environment"]).items()}),
            runs=tuple(RunEntry(**r) for r in data["runs"]),
            judged=tuple(_judged(j) for j in data["judged"]),
            tests=tuple(_test(t) for t in data["tests"]),
            requirements=tuple(
                Requirement(**{**r, "tests": tuple(r["tests"]), "outcome": Outcome(r["outcome"])})
                for r in data["requirements"]
            ),
            real_sets=tuple(RealSet(**s) for s in data["real_sets"]),
            options=MappingProxyType({str(k): str(v) for k, v in data.get("options", {}).items()}),
            patch=tuple(Verdict.from_json(row) for row in data.get("patch", ())),
        )


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker contributes to a session."""

    runs: tuple[RunEntry, ...] = ()
    judged: tuple[JudgedRun, ...] = ()
    tests: tuple[TestEntry, ...] = field(default=())
    real_sets: tuple[RealSet, ...] = ()
    patch: tuple[Verdict, ...] = ()


def read_session(folder: Path) -> Session:
    """Read ``session.json``; errors are those of `read_hashed`."""
    return read_hashed(folder)[0]


def read_hashed(folder: Path) -> tuple[Session, str]:
    """Read ``session.json`` once, compare it with the schema, and return the session and the SHA-256 of the file.

    Raises
    ------
    SessionError
        When there is none, it is of another format, or a part of it is not as the schema says: which one, and why.

    """
    from harness.session.schema import differences  # noqa: PLC0415 -- workers write shares and read no session

    path = folder / "session.json"
    try:
        content = path.read_bytes()
        data = json.loads(content.decode("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise SessionError(
            say("expected a session.json in {folder}, found none: name a session's folder", folder=str(folder))
        ) from None
    except (ValueError, RecursionError) as error:
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
    different = next(differences(data), None)
    if different is not None:
        raise SessionError(
            say(
                "expected {path} as the schema of {format} says, found at {place}: {problem}; it was changed since it was "
                "written, or another version wrote it: run the validation again",
                path=str(path),
                format=FORMAT,
                place=different.place,
                problem=different.problem,
            )
        )
    return Session.from_json(data), hashlib.sha256(content).hexdigest()


def write_session(session: Session, folder: Path) -> Path:
    """Write ``session.json`` and return its path."""
    path = folder / "session.json"
    text = json.dumps(finite(session.to_json()), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(f"{text}\n", encoding="utf-8")
    return path


def finite(value: Any) -> Any:
    """Name numbers that are not finite: JSON has none, and readers other than Python's refuse them."""
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def normal_form(session: Session) -> dict[str, Any]:
    """Return what two sessions on the same inputs have in common, whoever made the runs and when.

    Times, durations, the command, the environment and the orders of runs are left out, and so is the evidence, which holds
    them; what every check concluded on every run, and every test, line and real set, stay.
    """
    return {
        "outcome": str(session.outcome),
        "target": [session.target, session.target_kind, dict(session.identity)],
        "runs": sorted([r.key, r.case, r.retention, r.target, r.dataset, r.state] for r in session.runs),
        "judged": {
            f"{j.case}/{j.role}": [j.run, j.pair, j.baseline, {v.check: str(v.outcome) for v in j.verdicts}]
            for j in sorted(session.judged, key=lambda j: (j.case, j.role))
        },
        "tests": {t.nodeid: [t.title, t.outcome] for t in sorted(session.tests, key=lambda t: t.nodeid)},
        "requirements": {r.id: r.outcome for r in session.requirements},
        "real_sets": {s.name: s.judged for s in session.real_sets},
    }


def with_shares(session: Session, shares: Iterable[Share]) -> Session:
    """Add what the workers made. A run or a judgement that several workers report (they share runs) counts once."""
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


def share_to_json(share: Share) -> dict[str, Any]:
    """Return built-in types only."""
    return {
        "runs": [asdict(r) for r in share.runs],
        "judged": [judged_to_json(j) for j in share.judged],
        "tests": [asdict(t) for t in share.tests],
        "real_sets": [asdict(s) for s in share.real_sets],
        "patch": [row.to_json() for row in share.patch],
    }


def share_from_json(data: Mapping[str, Any]) -> Share:
    """Rebuild a worker's share."""
    return Share(
        runs=tuple(RunEntry(**r) for r in data["runs"]),
        judged=tuple(_judged(j) for j in data["judged"]),
        tests=tuple(_test(t) for t in data["tests"]),
        real_sets=tuple(RealSet(**s) for s in data["real_sets"]),
        patch=tuple(Verdict.from_json(row) for row in data["patch"]),
    )


def judged_to_json(judged: JudgedRun) -> dict[str, Any]:
    """Return built-in types only."""
    return {
        "case": judged.case,
        "run": judged.run,
        "role": judged.role,
        "pair": judged.pair,
        "baseline": judged.baseline,
        "expected_red": None if judged.expected_red is None else list(judged.expected_red),
        "allowed_red": list(judged.allowed_red),
        "equals": list(judged.equals),
        "timed": [list(pair) for pair in judged.timed],
        "sizes": list(judged.sizes),
        "questions": list(judged.questions),
        "outcome": str(judged.outcome),
        "verdicts": [v.to_json() for v in judged.verdicts],
    }


def _test(data: Mapping[str, Any]) -> TestEntry:
    return TestEntry(**{**data, "outcome": Outcome(data["outcome"])})


def _judged(data: Mapping[str, Any]) -> JudgedRun:
    red = data["expected_red"]
    return JudgedRun(
        case=str(data["case"]),
        run=str(data["run"]),
        role=str(data["role"]),
        pair=data["pair"],
        baseline=data["baseline"],
        verdicts=tuple(Verdict.from_json(v) for v in data["verdicts"]),
        expected_red=None if red is None else tuple(str(name) for name in red),
        allowed_red=tuple(str(name) for name in data["allowed_red"]),
        equals=tuple(str(key) for key in data["equals"]),
        timed=tuple((str(run), str(pair)) for run, pair in data["timed"]),
        sizes=tuple(str(key) for key in data["sizes"]),
        questions=tuple(str(name) for name in data.get("questions", ())),  # a session of before has none
    )
