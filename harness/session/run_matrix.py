"""Say which runs a case needs, in which order, for which role and under which name. No run is made here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from fixtures.catalogue import PLAIN, CaseSpec, Variant
from fixtures.frame_facts import dataset_facts
from harness.record.request import DatasetFacts, Request, Retention, Role

Subject = Literal["subject", "baseline", "control"]
SUBJECTS: tuple[Subject, ...] = ("subject", "control", "baseline")
_PAIR: dict[Subject, Role] = {"subject": "pair", "baseline": "baseline-pair", "control": "control-pair"}

RUNS = "Runs Été"
"""The folder of a session's runs. Capitals, a space and an accent: a target that treats such paths wrongly then shows it."""

RunKind = tuple[Retention, Variant]
"""Retention and variant: what distinguishes the runs of one target in one case."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to come, as the table before the start shows it; ``frames`` is 0 where their number is not known."""

    case: str
    role: Role
    retention: Retention
    target: str
    dataset: str
    frames: int = 0


def role_of(subject: Subject, retention: Retention) -> Role:
    """Return the role of a run: the version itself with ``per_tile``, its pair with any other retention."""
    return subject if retention == "per_tile" else _PAIR[subject]


def runs_to_judge(case: CaseSpec, subject: Subject, retention: Retention = "per_tile") -> tuple[RunKind, ...]:
    """Return the runs of one target that judging one of them takes, in the order in which they are made.

    Timed runs alternate between ``per_tile`` and ``run_end``, and each repetition swaps the two. A machine that becomes
    slower in the course of a session then favours neither.
    """
    if retention != "per_tile" or case.questions:
        return ((retention, PLAIN),)
    runs: list[RunKind] = [("per_tile", PLAIN), ("run_end", PLAIN)]
    if subject == "subject":
        for n in range(1, case.extra_runs.timed):
            turn: list[RunKind] = [("per_tile", Variant(repeat=n)), ("run_end", Variant(repeat=n))]
            runs += turn[:: -1 if n % 2 else 1]
        runs += case.extra_runs.equals
        runs += [("per_tile", variant) for variant in sizes(case) if variant != PLAIN]
    return tuple(runs)


def sizes(case: CaseSpec) -> tuple[Variant, ...]:
    """Return the variants of growing size; the last is the plain run."""
    return tuple(Variant(panels=n) if n != case.extra_runs.sizes[-1] else PLAIN for n in case.extra_runs.sizes)


def is_timed(case: CaseSpec, subject: Subject, retention: Retention, variant: Variant) -> bool:
    """Return whether a run's time is compared, so that it needs the machine for itself."""
    return (
        subject == "subject"
        and bool(case.extra_runs.timed)
        and retention in ("per_tile", "run_end")
        and variant == Variant(repeat=variant.repeat)
    )


def planned(cases: Iterable[tuple[CaseSpec, Mapping[Subject, str]]]) -> tuple[PlannedRun, ...]:
    """Return the runs of some cases, each with the labels of its targets; a run that serves in two roles counts once."""
    runs: dict[tuple[str, str, RunKind], PlannedRun] = {}
    for case, targets in cases:
        for subject, target in targets.items():
            for kind in runs_to_judge(case, subject):
                run = PlannedRun(case.name, role_of(subject, kind[0]), kind[0], target, case.dataset)
                runs.setdefault((case.name, target, kind), run)
    return tuple(runs.values())


def workers_of(variant: Variant, usual: int) -> int:
    """Return a run's number of workers; a variant that asks for the session's own number gets one more."""
    return usual if not variant.workers else usual + 1 if variant.workers == usual else variant.workers


def first_panels(facts: DatasetFacts, count: int) -> DatasetFacts:
    """Return the facts of the frames of the first panels; of all panels if ``count`` is 0."""
    if not count:
        return facts
    return dataset_facts(facts.name, facts.kind, [f for f in facts.frames if f.panel is not None and f.panel < count])


def run_key(request: Request, repeat: int = 0) -> str:
    """Name a run by everything that decides its outcome. The role is not part of it: one run may serve in two.

    ``repeat`` distinguishes runs of the same request.
    """
    content = json.dumps(replace(request, role="subject").to_json(), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    label = "".join(c if c.isalnum() else "-" for c in request.target.label)[:32]
    again = f"-{repeat}" if repeat else ""
    return f"{request.case}-{label}-{request.retention}-{digest}{again}"
