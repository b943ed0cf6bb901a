"""Make each run of a session once, and judge it.

The workers of a session share its folder. The first worker that needs a run makes it under a lock; the others read its record.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from filelock import FileLock

from fixtures import applicable, catalogue, datasets, real, reference_mosaic, user_frames
from fixtures.catalogue import PLAIN, CaseSpec, ExtraRuns, Variant
from harness.checks.judge import judge
from harness.language.message import Message, SaidError, say
from harness.record.comparison import Comparison
from harness.record.convert import from_json, to_json
from harness.record.leftovers import remove_tree
from harness.record.reader import Record, read_record
from harness.record.request import Request, Retention, TargetFacts
from harness.record.seal import SEAL
from harness.record.values import UNREADABLE, read_json, sha256_of
from harness.record.whole import json_text, write_whole
from harness.run.inputs import require_inputs
from harness.run.runner import make_run
from harness.session import budget, run_matrix
from harness.session.control import red_with_run_end
from harness.session.durations import Durations
from harness.session.machine import Machine
from harness.session.model import JudgedRun, RealSet, RunEntry, Share
from harness.session.options import DEFAULT_BUDGET, Settings
from harness.session.own_runs import OwnRuns
from harness.session.resume import Start
from harness.session.run_matrix import SUBJECTS, PlannedRun, Subject, is_timed, role_of, run_key
from harness.session.source import own_source
from harness.targets.errors import TargetError
from harness.targets.resolve import EMBEDDED, parse, resolve
from harness.targets.target import Target
from harness.targets.zemosaic import read_config


class NoSuchRun(SaidError):  # noqa: N818 -- it names what is missing, not a fault
    """The session has no target for a role. The message names the option that gives one."""


class NoRoom(SaidError):  # noqa: N818 -- it names what is missing, not a fault
    """The large run exceeds the session's budget or the free disk. The message says by how much, and what to do."""


class Campaign:
    """The runs of one session and their verdicts, each made when it is first needed.

    ``root`` holds datasets and exported targets, shared between sessions; ``folder`` is this session's, shared between its
    workers.
    """

    def __init__(self, settings: Settings, root: Path, folder: Path) -> None:
        self.settings = settings
        self.root = root
        self.folder = folder
        self._records = folder / run_matrix.RUNS
        self.machine = Machine(self._records)
        self.own_runs = OwnRuns(self._records)
        self._runs: dict[str, RunEntry] = {}
        self._judged: dict[tuple[str, str], JudgedRun] = {}
        self._datasets: dict[str, datasets.Dataset] = {}
        self._no_control: tuple[Message, ...] = ()

    @property
    def kind(self) -> Target:
        """The kind of the target under validation."""
        return parse(self.settings.target)[0]

    @cached_property
    def cases(self) -> tuple[CaseSpec, ...]:
        """The cases of this session: those of the target's kind, or the one on the user's own frames."""
        if self.settings.frames:
            return (catalogue.user_case(Path(self.settings.frames).name),)
        if self.settings.quick:
            return (catalogue.QUICK_CASE,)
        kind = self.kind
        return tuple(case for case in catalogue.CASES if case.suits(kind))

    @cached_property
    def durations(self) -> Durations:
        """The durations of runs in earlier sessions."""
        return Durations(self.root / "durations.json")

    @property
    def real_sets(self) -> tuple[RealSet, ...]:
        """The real sets of this session's cases, each with the command that fetches it and whether one of its cases was run."""
        # Not cached: a worker shares what it knows after each test, and a set is judged by a later run.
        judged = {run.dataset for run in self._runs.values() if run.dataset_kind == "real"}
        return tuple(RealSet(name, name in judged, real.command_to_get(name)) for name in self._asked_sets)

    @cached_property
    def _asked_sets(self) -> tuple[str, ...]:
        asked = {case.dataset for case in self.cases if case.kind == "real"}
        return tuple(known.name for known in real.status() if known.name in asked)

    def target(self, subject: Subject, case: CaseSpec | None = None) -> TargetFacts:
        """Return the target of a role, in a case.

        No version of a real target is known to fail in SDS or grid mode. There the control is the reference with the
        case's defects: on the same frames, it shows that the checks can fail.

        Raises
        ------
        NoSuchRun
            When the options name no target for the role, and it has no default.

        """
        if subject == "control" and case is not None and self._is_seeded(case):
            return resolve(EMBEDDED.with_defects(case.defects), None, self.root / "targets")
        if subject not in self._targets:
            if subject == "control":
                needed = say("expected a target for the control: name one with --phase3-control")
                raise NoSuchRun(needed, *self._no_control)
            raise NoSuchRun(say("expected a target for the baseline: name one with --phase3-baseline"))
        return self._targets[subject]

    def _is_seeded(self, case: CaseSpec) -> bool:
        """Return whether the control of a case is the reference with the case's defects."""
        own = self.kind.embedded and not self.settings.control
        return case.mode != "classic" or (own and bool(case.defects))

    def _has_baseline(self, case: CaseSpec) -> bool:
        """Return whether the target before the patch is run in a case.

        A case with questions of its own has no baseline. The baseline of the reference is run only where it is also the
        control; in other cases it would cost time and show nothing new.
        """
        if case.questions or "baseline" not in self._targets:
            return False
        own = self.kind.embedded and not self.settings.baseline
        return not own or list(case.defects) == self._targets["baseline"].identity.get("defects")

    @cached_property
    def _targets(self) -> dict[Subject, TargetFacts]:
        before = "" if self.settings.baseline and self.settings.control else self._before_the_fix()
        specs: dict[Subject, str] = {
            "subject": self.settings.target,
            "baseline": self.settings.baseline or before or self.settings.control,
            "control": self.settings.control or before or self.settings.baseline,
        }
        exports = self.root / "targets"
        python = self.settings.python or None
        return {role: resolve(spec, python, exports) for role, spec in specs.items() if spec}

    def _before_the_fix(self) -> str:
        """Name the target's own version before the fix; empty if there is none, or if it can't be run here."""
        kind, rest = parse(self.settings.target)
        try:
            return kind.before_the_fix(rest, self.settings.python or None, self.root / "targets")
        except TargetError as error:
            self._no_control = error.messages
            return ""

    def dataset(self, case: CaseSpec) -> datasets.Dataset:
        """Return the frames of a case; synthetic frames are built on first use.

        Raises
        ------
        fixtures.real.AbsentSet
            When a real set is not on this machine; the message holds the command that fetches it.

        """
        if case.name not in self._datasets:
            match case.kind:
                case "user":
                    own = user_frames.frames_of(Path(self.settings.frames), self.root / "datasets")
                    found = reference_mosaic.with_truth(own, self.root / "datasets")
                case "real":
                    found = reference_mosaic.with_truth(real.load(case.dataset), self.root / "datasets")
                case _:
                    name = self.subset if case.dataset in catalogue.STRESS_SUBSETS else case.dataset
                    found = datasets.build(datasets.SYNTHETIC[name], self.root / "datasets" / name)
            require_inputs(found.folder, found.facts, case.plan(found.facts) if case.plan else None)
            self._datasets[case.name] = found
        return self._datasets[case.name]

    @cached_property
    def subset(self) -> str:
        """The subset of the stress test that fits the session's budget, chosen once from a pilot run of the subject.

        Raises
        ------
        NoRoom
            When even the smallest subset exceeds the budget or the free disk. Nothing large was started.

        """
        path = self.folder / "subset.json"
        with FileLock(f"{path}.lock"):
            choice = _chosen_before(path) or self._choice()
            if choice.name is None:
                raise NoRoom(choice.why)  # not written: an interrupted session may have room when it is resumed
            write_whole(path, json_text(to_json(choice)))
        return choice.name

    def _choice(self) -> budget.Choice:
        """Choose the subset of the stress test, or none of them, from a pilot run."""
        # With run_end, which has the higher peak: the caches still exist when tiles and mosaic are written.
        pilot = budget.measured(self.run(catalogue.QUICK_CASE, "subject", "run_end"))
        (case,) = (c for c in self.cases if c.dataset in catalogue.STRESS_SUBSETS)
        runs = len(self.planned([case.name]))
        panels = {name: [p.panel for p in datasets.SYNTHETIC[name].pointings] for name in catalogue.STRESS_SUBSETS}
        sizes = [budget.Size.of(name, panels[name], runs, catalogue.STRESS_BORROWED) for name in panels]
        free = shutil.disk_usage(self.folder).free
        return budget.choose(sizes, pilot, self.settings.budget, free=free, usual=budget.parse(DEFAULT_BUDGET))

    def request(self, case: CaseSpec, subject: Subject, retention: Retention, variant: Variant = PLAIN) -> Request:
        """Return the request of a run of this case."""
        facts = run_matrix.first_panels(self.dataset(case).facts, variant.panels)
        plan = case.plan(facts) if case.plan else None
        return Request(
            case=case.name,
            role=role_of(subject, retention),
            target=self.target(subject, case),
            dataset=facts,
            plan=plan,
            retention=retention,
            workers=run_matrix.workers_of(variant, self.settings.workers),
            mode=case.mode,
            profile="default" if self.settings.profile == "default" else "fast",
            config={**case.settings, **self.own_config},
            schedule=case.schedule(plan, self.settings.seconds),
            faults=case.faults,
            seconds=self.settings.seconds,
        )

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """The settings in the user's configuration file; empty without such a file."""
        return dict(read_config(Path(self.settings.config))) if self.settings.config else {}

    def run(self, case: CaseSpec, subject: Subject, retention: Retention, variant: Variant = PLAIN) -> Record:
        """Return the record of a run; make the run if no worker has made it."""
        dataset, request = self.dataset(case), self.request(case, subject, retention, variant)
        key = run_key(request, variant.repeat)
        record_folder = self._records / key
        if key not in self.own_runs:
            # Always the machine first, then the run's own lock: in the opposite order two workers could wait for each other.
            exclusive = is_timed(case, subject, retention, variant)
            with self.machine.held(exclusive=exclusive), FileLock(self._records / f"{key}.lock"):
                if key not in self.own_runs:
                    remove_tree(record_folder)  # what a killed worker left, or a target wrote
                    made = make_run(request, record_folder, dataset.folder, truth=dataset.truth)
                    self.own_runs.note(key)
                    if made.seal is not None and made.seal.state == "done" and variant == PLAIN:
                        with suppress(OSError):  # only for the estimates of later sessions
                            self.durations.add(request, made.seal.seconds)
        record = _as_asked(read_record(record_folder), request)
        self._runs[key] = entry_of(key, record, self.folder)
        return record

    def judged(self, case: CaseSpec, subject: Subject, retention: Retention = "per_tile") -> JudgedRun:
        """Judge a run of this case with every check.

        A ``per_tile`` run is compared with its pair; the subject also with the baseline and with the case's further runs.

        Raises
        ------
        NoSuchRun
            When the case has no baseline, or a role has no target.

        """
        known = self._judged.get((case.name, f"{subject}/{retention}"))
        if known is not None:
            return known
        if subject == "baseline" and not self._has_baseline(case):
            raise NoSuchRun(
                say("expected a baseline in the case {case}: name one with --phase3-baseline", case=case.name)
            )
        # First: this may make a pilot run, which takes the machine shared, and can't do so within exclusive access.
        self.dataset(case)
        wanted = run_matrix.runs_to_judge(case, subject, retention)
        timed = [kind for kind in wanted if is_timed(case, subject, *kind)] if len(wanted) > 1 else []
        with self.machine.held(exclusive=True) if timed else nullcontext():  # once for all timed runs, not for each
            made = {kind: self.run(case, subject, *kind) for kind in timed}
        made |= {kind: self.run(case, subject, *kind) for kind in wanted if kind not in made}
        run = made[retention, PLAIN]
        pair = made.get(("run_end", PLAIN)) if retention == "per_tile" else None
        baseline = None
        if subject == "subject" and retention in ("per_tile", "run_end") and self._has_baseline(case):
            baseline = self.run(case, "baseline", retention)
        extra = case.extra_runs if subject == "subject" and retention == "per_tile" else ExtraRuns()
        equals = tuple(made[kind] for kind in extra.equals)
        pairs = tuple(
            (made["per_tile", Variant(repeat=n)], made["run_end", Variant(repeat=n)]) for n in range(extra.timed)
        )
        sizes = tuple(made["per_tile", variant] for variant in run_matrix.sizes(case)) if extra.sizes else ()
        control = subject == "control" and retention == "per_tile"
        runs = Comparison(run, pair, baseline, equals, pairs, sizes)
        verdicts = judge(runs, case.questions or None)
        judged = JudgedRun(
            run.folder.name,
            case=case.name,
            role=role_of(subject, retention),
            verdicts=verdicts,
            expected_red=tuple(sorted(case.red_before_fix)) if control else None,
            allowed_red=tuple(sorted(case.may_be_red)) if control else (),
            red_with_run_end=red_with_run_end(verdicts, case.red_before_fix, pair) if control else (),
            questions=case.questions,
        ).with_keys(runs.map(lambda record: record.folder.name))
        self._judged[case.name, f"{subject}/{retention}"] = judged
        return judged

    def entry(self, key: str) -> RunEntry:
        """Return the session's entry of a run that was made."""
        return self._runs[key]

    def planned(self, names: Iterable[str]) -> tuple[PlannedRun, ...]:
        """Return the runs that the cases of these names will make, without making them."""
        wanted = set(names)
        absent = {s.name for s in real.status() if s.folder is None}
        cases = [case for case in self.cases if case.name in wanted and case.dataset not in absent]
        planned = run_matrix.planned(
            (case, {s: self.target(s, case).label for s in SUBJECTS if self._has(s, case)}) for case in cases
        )
        return tuple(replace(run, frames=self._frames_of(run.dataset)) for run in planned)

    def _frames_of(self, dataset: str) -> int:
        """Return the number of frames of a dataset, from which the duration of a run is estimated; 0 if it is not known."""
        if self.settings.frames:
            return len(self.dataset(self.cases[0]).facts.frames)
        chosen = self._chosen if dataset in catalogue.STRESS_SUBSETS else dataset
        suits = applicable.known(chosen)
        return suits.frames if suits else 0

    @property
    def _chosen(self) -> str:
        """The subset of the stress test, or the smallest one until one is chosen."""
        return self.subset if (self.folder / "subset.json").exists() else catalogue.STRESS_SUBSETS[0]

    def pilot(self, names: Iterable[str]) -> float | None:
        """Return the seconds per frame of this target on this machine, for the estimate before the start.

        Where earlier sessions do not tell all durations, the smallest run of the subject is made first, as the pilot; its record
        is used by the tests that need it. ``None`` if no pilot is needed, or it did not reach its end.

        Raises
        ------
        NoRoom
            When the large run is among the cases, and has no room.

        """
        wanted = set(names)
        if any(case.dataset in catalogue.STRESS_SUBSETS for case in self.cases if case.name in wanted):
            _ = self.subset
        planned = self.planned(wanted)
        profile = self.settings.profile
        told = (self.durations.expected(r.target, r.case, r.dataset, profile)[1] for r in planned)
        own = [r for r in planned if r.role == "subject" and r.frames]
        if all(told) or not own:
            return None
        smallest = min(own, key=lambda run: run.frames)
        case = next(case for case in self.cases if case.name == smallest.case)
        record = self.run(case, "subject", "per_tile")
        if record.seal is None or record.seal.state != "done":
            return None
        return record.seal.seconds / len(record.request.dataset.frames)

    def _has(self, subject: Subject, case: CaseSpec) -> bool:
        if subject == "baseline":
            return self._has_baseline(case)
        return subject in self._targets or (subject == "control" and self._is_seeded(case))

    @property
    def made(self) -> int:
        """How many runs and judgements this process has made so far."""
        return len(self._runs) + len(self._judged)

    def start(self) -> Start:
        """Return what decides on the runs of this session, to be compared when it is resumed."""
        roles = (role for role in SUBJECTS if role in self._targets)
        targets: dict[str, Any] = {
            role: {"label": t.label, "identity": t.identity} for role in roles for t in (self._targets[role],)
        }
        frames = self.dataset(self.cases[0]).facts.sha256 if self.settings.frames else ""
        config = json.dumps(to_json(self.own_config), sort_keys=True) if self.own_config else ""
        digest = hashlib.sha256(config.encode()).hexdigest()
        return Start(self.settings.deciding(), targets, digest, frames, own_source(), self.folder.name)

    def share(self) -> Share:
        """Return what this process made of the session."""
        return Share(tuple(self._runs.values()), tuple(self._judged.values()), real_sets=self.real_sets)


def _chosen_before(path: Path) -> budget.Choice | None:
    """Return the choice that another worker wrote; ``None`` without one that can be read."""
    try:
        return from_json(read_json(path), budget.Choice)
    except (OSError, *UNREADABLE):
        return None


def _as_asked(record: Record, request: Request) -> Record:
    """Return a record, as damaged if its request is not the one of this session: it was changed, or is of another session."""
    asked = Request.from_json(json.loads(json.dumps(request.to_json())))
    if run_key(record.request) == run_key(asked):
        return record
    return replace(record, damage=(*record.damage, "request.json: not what this session asked for"))


def entry_of(key: str, record: Record, session: Path) -> RunEntry:
    """Return the entry of a run in the session of a folder."""
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
        seal=sha256_of(record.folder / SEAL) if (record.folder / SEAL).is_file() else "",
    )
