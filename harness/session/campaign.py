"""Makes the runs of a session, each once, and judges them.

Workers of one session share its folder: whoever needs a run first makes it, under a lock, and the others read its record.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, ReadWriteLock

from fixtures import catalogue
from fixtures.catalogue import NAIVE_DELETION, PLAIN, Beside, CaseSpec, Variant
from harness.checks.judge import judge
from harness.convert import from_json, to_json
from harness.language.message import Message, SaidError, say
from harness.record.comparison import Comparison
from harness.record.leftovers import remove_tree
from harness.record.reader import Record, read_record
from harness.record.request import DatasetFacts, Request, Retention, Role, TargetFacts
from harness.run.inputs import require_inputs
from harness.run.runner import make_run
from harness.session import budget
from harness.session.durations import Durations
from harness.session.model import JudgedRun, RealSet, RunEntry, Share
from harness.session.options import Settings
from harness.targets import zemosaic
from harness.targets.errors import TargetError
from harness.targets.resolve import resolve
from harness.targets.zemosaic import read_config

if TYPE_CHECKING:
    from fixtures.datasets import Dataset

# The last commit of the public repository before deletion counted references: the control of a real target.
BEFORE_THE_FIX = "63bcc2cd4f3d3dc2054e2ee7f70c7bcef101a490"

Subject = Literal["subject", "baseline", "control"]
SUBJECTS: tuple[Subject, ...] = ("subject", "control", "baseline")
_PAIR: dict[Subject, Role] = {"subject": "pair", "baseline": "baseline-pair", "control": "control-pair"}


class NoSuchRun(SaidError):  # noqa: N818 -- it names what is missing, not a fault
    """The session has no target for a role; the message says which option gives one."""


class NoRoom(SaidError):  # noqa: N818 -- likewise
    """The large run does not fit the session's budget or the disk: by how much, and what to do."""


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A run to come, as the table before the start shows it."""

    case: str
    role: Role
    retention: Retention
    target: str
    dataset: str


Plain = tuple[Retention, Variant]


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
        self._alone = False
        self._runs: dict[str, RunEntry] = {}
        self._judged: dict[tuple[str, str], JudgedRun] = {}
        self._datasets: dict[str, Dataset] = {}
        self._no_control: tuple[Message, ...] = ()

    @cached_property
    def cases(self) -> tuple[CaseSpec, ...]:
        """The cases of this session: synthetic ones, real sets that are there, and the user's own frames."""
        if self.settings.frames:
            return (catalogue.user_case(Path(self.settings.frames).name),)
        if self.settings.quick:
            return (catalogue.QUICK_CASE,)
        kind = self.settings.target.partition(":")[0]
        return tuple(case for case in catalogue.CASES if kind in case.kinds)

    @cached_property
    def durations(self) -> Durations:
        """How long runs took in earlier sessions."""
        return Durations(self.root / "durations.json")

    @cached_property
    def real_sets(self) -> tuple[RealSet, ...]:
        """Every real set, with the command that gets it; ``judged`` where this session ran one of its cases."""
        from fixtures import real

        judged = {run.dataset for run in self._runs.values() if run.dataset_kind == "real"}
        asked = {case.dataset for case in self.cases if case.kind == "real"}
        return tuple(
            RealSet(s.name, s.name in judged, real.command_to_get(s.name)) for s in real.status() if s.name in asked
        )

    def target(self, subject: Subject, case: CaseSpec | None = None) -> TargetFacts:
        """Return the target of a role, in a case.

        Of SDS and grid no version of a real target is known to be red: there the control is the reference with the case's
        defects, which shows on the same frames that the checks can see.

        Raises
        ------
        NoSuchRun
            When the session was given none and none can be derived.

        """
        if subject == "control" and case is not None and self._is_seeded(case):
            return resolve(f"reference:{','.join(case.defects)}", None, self.root / "targets")
        if subject not in self._targets:
            if subject == "control":
                needed = say("expected a target for the control, found none: give one with --phase3-control")
                raise NoSuchRun(needed, *self._no_control)
            raise NoSuchRun(say("expected a target for the baseline, found none: give one with --phase3-baseline"))
        return self._targets[subject]

    def _is_seeded(self, case: CaseSpec) -> bool:
        """Whether a case's control is the reference with its defects."""
        own = self.settings.target.partition(":")[0] == "reference" and not self.settings.control
        return case.mode != "classic" or (own and bool(case.defects))

    def _has_baseline(self, case: CaseSpec) -> bool:
        """Whether the target before the patch is run in a case.

        That of the reference is run where it is the control too: elsewhere it would only take its time. A case for some
        questions only compares nothing.
        """
        if case.questions:
            return False
        own = self.settings.target.partition(":")[0] == "reference" and not self.settings.baseline
        return "baseline" in self._targets and (not own or case.defects == (NAIVE_DELETION,))

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
        return {role: resolve(spec, python, exports) for role, spec in specs.items() if spec}

    def _before_the_fix(self) -> str:
        """Name the reference with naive deletion, or the target's own repository before the fix, where it has that commit."""
        kind, _, rest = self.settings.target.partition(":")
        if kind == "reference":
            return f"reference:{NAIVE_DELETION}"
        if kind != "zemosaic":
            return ""
        try:
            path, _ = zemosaic.split(rest)
            spec = f"zemosaic:{path}@{BEFORE_THE_FIX}"
            resolve(spec, self.settings.python or None, self.root / "targets")
        except TargetError as error:
            self._no_control = error.messages
            return ""
        return spec

    def dataset(self, case: CaseSpec) -> Dataset:
        """Return the frames of a case, built or found.

        Raises
        ------
        fixtures.real.AbsentSet
            When a real set is not to be had here; the message holds the command that gets it.

        """
        from fixtures import datasets, real, reference_mosaic, user

        if case.name not in self._datasets:
            match case.kind:
                case "user":
                    found = user.frames_of(Path(self.settings.frames))
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
        """The subset of the stress test that fits the session's budget, chosen once, by a pilot run of the subject.

        Raises
        ------
        NoRoom
            When not even the smallest fits the budget or the free disk; nothing large was started.

        """
        from fixtures import datasets

        path = self.folder / "subset.json"
        with FileLock(f"{path}.lock"):
            if not path.exists():
                # With run_end, which has the higher peak: the caches are still there when tiles and mosaic are.
                pilot = budget.measured(self.run(catalogue.QUICK_CASE, "subject", "run_end"))
                (case,) = (c for c in self.cases if c.dataset in catalogue.STRESS_SUBSETS)
                runs = len(self.planned([case.name]))
                panels = {
                    name: [p.panel for p in datasets.SYNTHETIC[name].pointings] for name in catalogue.STRESS_SUBSETS
                }
                sizes = [budget.Size.of(name, panels[name], runs, catalogue.STRESS_BORROWED) for name in panels]
                choice = budget.choose(sizes, pilot, self.settings.budget, free=shutil.disk_usage(self.folder).free)
                path.write_text(json.dumps(to_json(choice), indent=1), encoding="utf-8")
            choice = from_json(json.loads(path.read_text(encoding="utf-8")), budget.Choice)
        if choice.name is None:
            raise NoRoom(choice.why)
        return choice.name

    def request(self, case: CaseSpec, subject: Subject, retention: Retention, variant: Variant = PLAIN) -> Request:
        """Return what a run of this case is asked to do."""
        return self._request(case, self.dataset(case), subject, retention, variant)

    def _request(
        self, case: CaseSpec, dataset: Dataset, subject: Subject, retention: Retention, variant: Variant
    ) -> Request:
        facts = dataset.facts if not variant.panels else _first_panels(dataset.facts, variant.panels)
        plan = case.plan(facts) if case.plan else None
        return Request(
            case=case.name,
            role=subject if retention == "per_tile" else _PAIR[subject],
            target=self.target(subject, case),
            dataset=facts,
            plan=plan,
            retention=retention,
            workers=self._workers(variant),
            mode=case.mode,
            profile="default" if self.settings.profile == "default" else "fast",
            config={**self.own_config, **case.config},
            schedule=case.schedule(plan, self.settings.seconds),
            faults=case.faults,
            seconds=self.settings.seconds,
        )

    def _workers(self, variant: Variant) -> int:
        """Return a run's number of workers; one that is to be another than the session's is another whatever that is."""
        asked, usual = variant.workers, self.settings.workers
        return usual if not asked else asked + 1 if asked == usual else asked

    @cached_property
    def own_config(self) -> dict[str, Any]:
        """The user's own settings, read from the file that was given; none without one."""
        return dict(read_config(Path(self.settings.config))) if self.settings.config else {}

    def run(self, case: CaseSpec, subject: Subject, retention: Retention, variant: Variant = PLAIN) -> Record:
        """Return the record of a run, made now if no worker made it before."""
        dataset = self.dataset(case)
        request = self._request(case, dataset, subject, retention, variant)
        key = run_key(request, variant.repeat)
        record_folder = self.folder / "runs" / key
        sealed = record_folder / "seal.json"
        if not sealed.exists():
            # The machine before the run, everywhere: workers that took them the other way about would wait for each other.
            alone = _is_timed(case, subject, retention, variant)
            with self._machine(alone=alone), FileLock(self.folder / "runs" / f"{key}.lock"):
                if not sealed.exists():
                    remove_tree(record_folder)  # of a worker that was killed in the middle
                    made = make_run(request, record_folder, dataset.folder, truth=dataset.truth)
                    if made.seal is not None and made.seal.state == "done" and variant == PLAIN:
                        self.durations.add(request, made.seal.seconds)
        record = read_record(record_folder)
        self._runs[key] = _entry(key, record, self.folder)
        return record

    @contextmanager
    def _machine(self, *, alone: bool) -> Iterator[None]:
        """Hold the machine while a run lives: with other workers of this session, or alone, for a run whose time is taken."""
        runs = self.folder / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        lock = ReadWriteLock(runs / "machine.db")
        # Who waits to be alone keeps the turn meanwhile: others, of whose runs one always lives, would leave it the last.
        turn = FileLock(runs / "machine.turn")
        if not alone:
            with turn:
                pass
            with lock.read_lock():
                yield
        elif self._alone:  # whoever waits for the machine may have the turn by now
            yield
        else:
            with turn:
                lock.acquire_write()
            self._alone = True
            try:
                yield
            finally:
                self._alone = False
                lock.release()

    def judged(self, case: CaseSpec, subject: Subject, retention: Retention = "per_tile") -> JudgedRun:
        """Judge a run of this case with every check, beside its pair and, for the subject, the baseline and further runs."""
        known = self._judged.get((case.name, f"{subject}/{retention}"))
        if known is not None:
            return known
        if subject == "baseline" and not self._has_baseline(case):
            raise NoSuchRun(
                say(
                    "expected a baseline in the case {case}, found none: give one with --phase3-baseline",
                    case=case.name,
                )
            )
        self.dataset(case)  # may take a pilot run, which has no place among those that are alone
        wanted = self._wanted(case, subject, retention)
        timed = [plain for plain in wanted if _is_timed(case, subject, *plain)] if len(wanted) > 1 else []
        with self._machine(alone=True) if timed else nullcontext():  # others wait once, not between any two
            made = {plain: self.run(case, subject, *plain) for plain in timed}
        made |= {plain: self.run(case, subject, *plain) for plain in wanted if plain not in made}
        run = made[retention, PLAIN]
        pair = made.get(("run_end", PLAIN)) if retention == "per_tile" else None
        baseline = None
        if subject == "subject" and retention in ("per_tile", "run_end") and self._has_baseline(case):
            baseline = self.run(case, "baseline", retention)
        beside = case.beside if subject == "subject" and retention == "per_tile" else Beside()
        equals = tuple(made[plain] for plain in beside.equals)
        pairs = tuple(
            (made["per_tile", Variant(repeat=n)], made["run_end", Variant(repeat=n)]) for n in range(beside.timed)
        )
        sizes = tuple(made["per_tile", variant] for variant in self._sizes(case)) if beside.sizes else ()
        control = subject == "control" and retention == "per_tile"
        runs = Comparison(run, pair, baseline, equals, pairs, sizes)
        judged = JudgedRun(
            **runs.map(self._key).parts(),
            case=case.name,
            role=subject if retention == "per_tile" else _PAIR[subject],
            verdicts=judge(runs, case.questions or None),
            expected_red=tuple(sorted(case.red_before_fix)) if control else None,
            allowed_red=tuple(sorted(case.may_be_red)) if control else (),
            questions=case.questions,
        )
        self._judged[case.name, f"{subject}/{retention}"] = judged
        return judged

    def entry(self, key: str) -> RunEntry:
        """Return what the session holds of a run that was made."""
        return self._runs[key]

    @staticmethod
    def _key(record: Record) -> str:
        return record.folder.name

    def _wanted(self, case: CaseSpec, subject: Subject, retention: Retention = "per_tile") -> tuple[Plain, ...]:
        """Return the runs that judging one run takes, the baseline's aside, in the order in which they are made.

        Timed runs take turns, and turns are turned about, so that a machine that gets slower favours neither.
        """
        if retention != "per_tile" or case.questions:
            return ((retention, PLAIN),)
        wanted: list[Plain] = [("per_tile", PLAIN), ("run_end", PLAIN)]
        if subject == "subject":
            for n in range(1, case.beside.timed):
                turn: list[Plain] = [("per_tile", Variant(repeat=n)), ("run_end", Variant(repeat=n))]
                wanted += turn[:: -1 if n % 2 else 1]
            wanted += case.beside.equals
            wanted += [("per_tile", variant) for variant in self._sizes(case) if variant != PLAIN]
        return tuple(wanted)

    @staticmethod
    def _sizes(case: CaseSpec) -> tuple[Variant, ...]:
        return tuple(Variant(panels=n) if n != case.beside.sizes[-1] else PLAIN for n in case.beside.sizes)

    def planned(self, names: Iterable[str]) -> tuple[PlannedRun, ...]:
        """Return the runs that the cases of these names will make, without making anything."""
        from fixtures import real

        wanted = set(names)
        absent = {s.name for s in real.status() if s.folder is None}
        runs: list[PlannedRun] = []
        seen: set[tuple[str, str, Plain]] = set()
        for case in (c for c in self.cases if c.name in wanted and c.dataset not in absent):
            for subject in (s for s in SUBJECTS if self._has(s, case)):
                label = self.target(subject, case).label
                for retention, variant in self._wanted(case, subject):
                    if (case.name, label, (retention, variant)) not in seen:
                        seen.add((case.name, label, (retention, variant)))
                        role: Role = subject if retention == "per_tile" else _PAIR[subject]
                        runs.append(PlannedRun(case.name, role, retention, label, case.dataset))
        return tuple(runs)

    def _has(self, subject: Subject, case: CaseSpec) -> bool:
        if subject == "baseline":
            return self._has_baseline(case)
        return subject in self._targets or (subject == "control" and self._is_seeded(case))

    def share(self) -> Share:
        """Return what this process made of the session."""
        return Share(tuple(self._runs.values()), tuple(self._judged.values()), real_sets=self.real_sets)


def _is_timed(case: CaseSpec, subject: Subject, retention: Retention, variant: Variant) -> bool:
    return (
        subject == "subject"
        and bool(case.beside.timed)
        and retention in ("per_tile", "run_end")
        and variant == Variant(repeat=variant.repeat)
    )


def _first_panels(facts: DatasetFacts, count: int) -> DatasetFacts:
    """Return the facts of the frames of the first panels: a smaller run of the same kind."""
    from fixtures.facts import dataset_facts

    return dataset_facts(facts.name, facts.kind, [f for f in facts.frames if f.panel is not None and f.panel < count])


def run_key(request: Request, repeat: int = 0) -> str:
    """Name a run by everything that decides its outcome; the role does not: one run may serve in two.

    ``repeat`` tells runs of the same request apart.
    """
    content = json.dumps(replace(request, role="subject").to_json(), sort_keys=True).encode()
    digest = hashlib.sha256(content).hexdigest()[:12]
    label = "".join(c if c.isalnum() else "-" for c in request.target.label)[:32]
    again = f"-{repeat}" if repeat else ""
    return f"{request.case}-{label}-{request.retention}-{digest}{again}"


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
