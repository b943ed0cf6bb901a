"""Makes the runs of a session, each once, and judges them.

Workers of one session share its folder: whoever needs a run first makes it, under a lock, and the others read its record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from fixtures import catalogue
from fixtures.catalogue import CaseSpec
from harness import checks, targets
from harness.checks.base import Case
from harness.durations import Durations
from harness.inputs import require_inputs
from harness.left import remove_tree
from harness.options import Settings
from harness.record import Record, read_record
from harness.request import Request, Retention, Role, TargetFacts
from harness.run import make_run
from harness.session import JudgedRun, RealSet, RunEntry, Share
from harness.targets import TargetError

if TYPE_CHECKING:
    from fixtures.datasets import Dataset

# The last commit of the public repository before deletion counted references: the control of a real target.
BEFORE_THE_FIX = "63bcc2cd4f3d3dc2054e2ee7f70c7bcef101a490"

Subject = Literal["subject", "baseline", "control"]
SUBJECTS: tuple[Subject, ...] = ("subject", "control", "baseline")
_PAIR: dict[Subject, Role] = {"subject": "pair", "baseline": "baseline-pair", "control": "control-pair"}


class NoSuchRun(Exception):  # noqa: N818 -- it names what is missing, not a fault
    """The session has no target for a role; the message says which option gives one."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to come, as the table before the start shows it."""

    case: str
    role: Role
    retention: Retention
    target: str
    dataset: str


class Campaign:
    """The runs and judgements of one session, made when they are first asked for.

    Parameters
    ----------
    settings
        The session's options.
    root
        Holds datasets and exported targets, shared between sessions.
    folder
        This session's folder, shared between its workers.

    """

    def __init__(self, settings: Settings, root: Path, folder: Path) -> None:
        self.settings = settings
        self.root = root
        self.folder = folder
        self._runs: dict[str, RunEntry] = {}
        self._judged: dict[tuple[str, str], JudgedRun] = {}
        self._datasets: dict[str, Dataset] = {}
        self._no_control = ""

    @cached_property
    def cases(self) -> tuple[CaseSpec, ...]:
        """The cases of this session: synthetic ones, real sets that are there, and the user's own frames."""
        if self.settings.frames:
            return (catalogue.user_case(Path(self.settings.frames).name),)
        if self.settings.quick:
            return (catalogue.QUICK_CASE,)
        return (*catalogue.SYNTHETIC_CASES, *catalogue.REAL_CASES)

    @cached_property
    def durations(self) -> Durations:
        """How long runs took in earlier sessions."""
        return Durations(self.root / "durations.json")

    @cached_property
    def real_sets(self) -> tuple[RealSet, ...]:
        """Every real set, with the command that gets it; ``judged`` where this session ran one of its cases."""
        from fixtures import real

        judged = {run.dataset for run in self._runs.values() if run.dataset_kind == "real"}
        return tuple(RealSet(s.name, s.name in judged, real.command_to_get(s.name)) for s in real.status())

    def target(self, subject: Subject) -> TargetFacts:
        """Return the target of a role.

        Raises
        ------
        NoSuchRun
            When the session was given none and none can be derived.

        """
        if subject not in self._targets:
            why = f" ({self._no_control})" if subject == "control" and self._no_control else ""
            raise NoSuchRun(f"expected a target for the {subject}, found none{why}: give one with --phase3-{subject}")
        return self._targets[subject]

    @cached_property
    def _targets(self) -> dict[Subject, TargetFacts]:
        before = "" if self.settings.baseline and self.settings.control else self._before_the_fix()
        specs: dict[Subject, str] = {
            "subject": self.settings.target,
            "baseline": self.settings.baseline or before,
            "control": self.settings.control or before or self.settings.baseline,
        }
        exports = self.root / "targets"
        python = self.settings.python or None
        return {role: targets.resolve(spec, python, exports) for role, spec in specs.items() if spec}

    def _before_the_fix(self) -> str:
        """Name the reference with naive deletion, or the target's own repository before the fix, where it has that commit."""
        kind, _, rest = self.settings.target.partition(":")
        if kind == "reference":
            return "reference:naive_per_tile_deletion"
        if kind != "zemosaic":
            return ""
        try:
            path, _ = targets.zemosaic.split(rest)
            spec = f"zemosaic:{path}@{BEFORE_THE_FIX}"
            targets.resolve(spec, self.settings.python or None, self.root / "targets")
        except TargetError as error:
            self._no_control = str(error)
            return ""
        return spec

    def dataset(self, case: CaseSpec) -> Dataset:
        """Return the frames of a case, built or found.

        Raises
        ------
        fixtures.real.AbsentSet
            When a real set is not to be had here; the message holds the command that gets it.

        """
        from fixtures import datasets, real, user

        if case.name not in self._datasets:
            match case.kind:
                case "user":
                    found = user.frames_of(Path(self.settings.frames))
                case "real":
                    found = real.load(case.dataset)
                case _:
                    found = datasets.build(datasets.SYNTHETIC[case.dataset], self.root / "datasets" / case.dataset)
            require_inputs(found.folder, found.facts, case.plan(found.facts) if case.plan else None)
            self._datasets[case.name] = found
        return self._datasets[case.name]

    def request(self, case: CaseSpec, subject: Subject, retention: Retention) -> Request:
        """Return what a run of this case is asked to do."""
        return self._request(case, self.dataset(case), subject, retention)

    def _request(self, case: CaseSpec, dataset: Dataset, subject: Subject, retention: Retention) -> Request:
        plan = case.plan(dataset.facts) if case.plan else None
        return Request(
            case=case.name,
            role=subject if retention == "per_tile" else _PAIR[subject],
            target=self.target(subject),
            dataset=dataset.facts,
            plan=plan,
            retention=retention,
            workers=self.settings.workers,
            profile="default" if self.settings.profile == "default" else "fast",
            config={**self.own_config, **case.config},
            schedule=case.schedule(plan, self.settings.seconds),
            seconds=self.settings.seconds,
        )

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """The user's own settings, read from the file that was given; none without one."""
        return dict(targets.read_config(Path(self.settings.config))) if self.settings.config else {}

    def run(self, case: CaseSpec, subject: Subject, retention: Retention) -> Record:
        """Return the record of a run, made now if no worker made it before."""
        dataset = self.dataset(case)
        request = self._request(case, dataset, subject, retention)
        key = run_key(request)
        record_folder = self.folder / "runs" / key
        record_folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "runs" / f"{key}.lock"):
            if (record_folder / "seal.json").exists():
                record = read_record(record_folder)
            else:
                remove_tree(record_folder)  # of a worker that was killed in the middle
                record = make_run(request, record_folder, dataset.folder, truth=dataset.truth)
                if record.seal is not None and record.seal.state == "done":
                    self.durations.add(request, record.seal.seconds)
        self._runs[key] = _entry(key, record, self.folder)
        return record

    def judged(self, case: CaseSpec, subject: Subject, retention: Retention = "per_tile") -> JudgedRun:
        """Judge a run of this case with every check, beside its pair and, for the subject, the baseline."""
        known = self._judged.get((case.name, f"{subject}/{retention}"))
        if known is not None:
            return known
        run = self.run(case, subject, retention)
        pair = self.run(case, subject, "run_end") if retention == "per_tile" else None
        baseline = None
        if subject == "subject" and retention == "per_tile" and "baseline" in self._targets:
            baseline = self.run(case, "baseline", "per_tile")
        control = subject == "control" and retention == "per_tile"
        judged = JudgedRun(
            case=case.name,
            run=run_key(run.request),
            role=subject if retention == "per_tile" else _PAIR[subject],
            pair=run_key(pair.request) if pair else None,
            baseline=run_key(baseline.request) if baseline else None,
            verdicts=checks.judge(Case(run, pair, baseline)),
            expected_red=tuple(sorted(case.red_before_fix)) if control else None,
            allowed_red=tuple(sorted(case.may_be_red)) if control else (),
        )
        self._judged[case.name, f"{subject}/{retention}"] = judged
        return judged

    def entry(self, key: str) -> RunEntry:
        """Return what the session holds of a run that was made."""
        return self._runs[key]

    def planned(self, names: Iterable[str]) -> tuple[PlannedRun, ...]:
        """Return the runs that the cases of these names will make, without making anything."""
        from fixtures import real

        wanted = set(names)
        absent = {s.name for s in real.status() if s.folder is None}
        runs: list[PlannedRun] = []
        seen: set[tuple[str, str, str]] = set()
        for case in (c for c in self.cases if c.name in wanted and c.dataset not in absent):
            for subject in (s for s in SUBJECTS if s in self._targets):
                for retention in ("per_tile", "run_end"):
                    label = self._targets[subject].label
                    if (case.name, label, retention) not in seen:
                        seen.add((case.name, label, retention))
                        role: Role = subject if retention == "per_tile" else _PAIR[subject]
                        runs.append(PlannedRun(case.name, role, retention, label, case.dataset))
        return tuple(runs)

    def share(self) -> Share:
        """Return what this process made of the session."""
        return Share(tuple(self._runs.values()), tuple(self._judged.values()), real_sets=self.real_sets)


def run_key(request: Request) -> str:
    """Name a run by everything that decides its outcome; the role does not: one run may serve in two."""
    content = json.dumps(replace(request, role="subject").to_json(), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    label = "".join(c if c.isalnum() else "-" for c in request.target.label)[:32]
    return f"{request.case}-{label}-{request.retention}-{digest}"


def _entry(key: str, record: Record, session: Path) -> RunEntry:
    request, seal = record.request, record.seal
    return RunEntry(
        key=key,
        case=request.case,
        role=request.role,
        retention=request.retention,
        target=request.target.label,
        dataset=request.dataset.name,
        dataset_kind=request.dataset.kind,
        record=record.folder.relative_to(session).as_posix(),
        state=seal.state if seal else "not sealed",
        seconds=seal.seconds if seal else 0.0,
        mode=request.mode,
        workers=request.workers,
    )
