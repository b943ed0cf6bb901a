"""Collect what the tests of the sessions show for each line: the runs and verdicts that they judged, with their baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.analysis.figure import Evidence
from harness.session.definition_of_done import Done, Part, tests_of
from harness.session.model import JudgedRun, RunEntry, TestEntry
from harness.verdict import Outcome, Verdict
from reports.badges import role_rank

RunKey = tuple[str, str, str]


class Proof(NamedTuple):
    """What one test concluded in one session, with the run and the verdict that it judged (``None`` where it judged none)."""

    part: Part
    test: TestEntry
    judged: JudgedRun | None
    verdict: Verdict | None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The session, and the judged run in its role; the session alone for a test that judged no run."""
        judged = self.judged
        return (self.part.sha256, judged.case, judged.role, judged.run) if judged else (self.part.sha256, "", "", "")


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run that the document refers to by a short name, judged in one or more roles."""

    id: str
    part: Part
    judged: tuple[JudgedRun, ...]
    entry: RunEntry | None

    @property
    def subject(self) -> JudgedRun | None:
        """The run as the one under validation; ``None`` when it only had other roles."""
        return next((judged for judged in self.judged if judged.role == "subject"), None)


def proofs_of(tests: Iterable[str], done: Done) -> Iterator[Proof]:
    """Yield what each test concluded in each session of the subject."""
    for test in tests:
        for part in done.own:
            for entry in tests_of(test, part):
                judged = next(
                    (j for j in part.session.judged if (j.case, j.run, j.role) == (entry.case, entry.run, entry.role)),
                    None,
                )
                verdicts = part.session.patch if judged is None else judged.verdicts
                yield Proof(part, entry, judged, next((v for v in verdicts if v.check == entry.check), None))


def run_key(part: Part, judged: JudgedRun) -> RunKey:
    """Return what tells a run of a session from every other run of all sessions, whatever its role."""
    return part.sha256, judged.case, judged.run


def named_runs(proofs: Iterable[Proof], parts: Sequence[Part]) -> Mapping[RunKey, NamedRun]:
    """Give each judged run that proofs rest on a number, case by case, the subject's first."""
    found: dict[RunKey, dict[str, Proof]] = {}
    for proof in proofs:
        if proof.judged is not None:
            found.setdefault(run_key(proof.part, proof.judged), {})[proof.judged.role] = proof
    named: dict[RunKey, NamedRun] = {}
    place = {part.sha256: n for n, part in enumerate(parts)}
    ordered = sorted(found.items(), key=lambda i: (i[0][1], min(map(role_rank, i[1])), place[i[0][0]], i[0]))
    for n, (key, roles) in enumerate(ordered, 1):
        part = next(iter(roles.values())).part
        judged = tuple(roles[r].judged for r in sorted(roles, key=role_rank))
        entry = next((r for r in part.session.runs if r.key == key[2]), None)
        named[key] = NamedRun(f"R{n}", part, tuple(j for j in judged if j is not None), entry)
    return named


def baseline_of(proof: Proof) -> tuple[str, Evidence] | None:
    """Return the target of a judged run's baseline, and the evidence of the same check there."""
    judged = proof.judged
    if judged is None or judged.baseline is None or proof.verdict is None:
        return None
    session = proof.part.session
    run = next((r for r in session.runs if r.key == judged.baseline), None)
    same = (j for j in session.judged if (j.case, j.run) == (judged.case, judged.baseline))
    found = next((v for j in same for v in j.verdicts if v.check == proof.verdict.check), None)
    return (run.target, found.evidence) if run is not None and found is not None else None


def newly_red(proof: Proof) -> int | None:
    """Return how many checks the subject fails that its baseline passes; ``None`` where the session has no such subject."""
    baseline = proof.judged
    subjects = [j for j in proof.part.session.judged if j.role == "subject" and j.case == proof.test.case]
    if baseline is None or len(subjects) != 1:
        return None
    sound = {v.check for v in baseline.verdicts if v.outcome is Outcome.PASS}
    return sum(v.outcome is Outcome.FAIL and v.check in sound for v in subjects[0].verdicts)
