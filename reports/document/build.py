"""Build the data of the document from sessions: outcomes are those of their tests, figures those of their evidence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.language.catalogue import Language
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.definition_of_done import Done, Part
from harness.session.evidence import figures_of
from harness.session.model import Requirement, TestEntry
from harness.verdict import Outcome, rank
from reports.badges import badge, role_word
from reports.document.coverage_table import Gap, Requests, Tried, table
from reports.document.figures import draw
from reports.document.limits import limits, session_view
from reports.document.page import (
    CellView,
    ColumnView,
    DocumentView,
    FigureView,
    FindingView,
    LineView,
    OtherProfileView,
    ReasonView,
    RowView,
    RunView,
    SectionView,
    TestView,
    VerdictView,
    WithoutRowView,
)
from reports.document.proofs import NamedRun, Proof, baseline_of, named_runs, newly_red, proofs_of, run_key
from reports.document.rerun import commands
from reports.rows import counted, done_badge, row_badge_over

MAX_REASONS = 5
# A path of the machine that ran the session says nothing to others, and may hold a person's name.
_MACHINE = re.compile(r"(?<![\w.])(?:[A-Za-z]:)?(?:[\\/][\w.+~@-]+){2,}")
_RAISED = re.compile(r"^harness\.[\w.]+: ")


def build(done: Done, lang: Language, requests: Requests) -> DocumentView:
    """Build the document's data in one language. With the same ``requests`` for all languages, each record is read once."""
    return _Builder(done, lang, requests).document()


def without_paths(text: str) -> str:
    """Return a text without paths of the machine that ran a session."""
    return _MACHINE.sub("…", text)


def sentence_on(done: Done, lang: Language) -> str:
    """Say in one sentence what the sessions conclude on the Definition of Done."""
    if done.own[0].session.self_test:
        return lang.say("These sessions ran the embedded reference pipeline, which says nothing about ZeMosaic.")
    sentences = {
        Outcome.PASS: lang.say("Every line of the Definition of Done passes."),
        Outcome.FAIL: lang.say("A line of the Definition of Done fails."),
    }
    open_ = lang.say("The Definition of Done is not proved: a line is unknown or was not evaluated.")
    return sentences.get(done.outcome, open_)


class _Builder:
    def __init__(self, done: Done, lang: Language, requests: Requests) -> None:
        self.done = done
        self.lang = lang
        self.requests = requests
        self.session_ids = {part.sha256: f"S{n}" for n, part in enumerate(done.parts, 1)}
        self.proofs = {line.id: tuple(proofs_of(line.tests, done)) for line in done.lines}
        self.beyond = {test: tuple(proofs_of((test,), done)) for test in done.beyond}
        every = (*self.proofs.values(), *self.beyond.values())
        self.runs = named_runs((proof for proofs in every for proof in proofs), done.parts)

    def document(self) -> DocumentView:
        done, lang = self.done, self.lang
        tried = table(done, self.requests)
        lines = [self._line(line) for line in done.lines]
        sections: dict[str, list[LineView]] = {DEFINITION_OF_DONE: []}
        for requirement, line in zip(done.lines, lines, strict=True):
            sections.setdefault(requirement.section, []).append(line)
        gating = sections.pop(DEFINITION_OF_DONE)
        worst_first = sorted(zip(done.lines, lines, strict=True), key=lambda pair: rank(pair[0].outcome))
        counts = [f"{b.sign} {b.word} {n}" for b, n in counted((line.badge for _, line in worst_first), lang)]
        sessions = {part.sha256: session_view(part, self._session(part), self.requests, lang) for part in done.parts}
        subjects = [run.subject for run in self.runs.values() if run.subject is not None]
        return DocumentView(
            target=done.subject,
            badge=done_badge(done, lang),
            sentence=sentence_on(done, lang),
            counts=", ".join(counts),
            own=tuple(sessions[part.sha256] for part in done.own),
            other_profiles=tuple(self._other_profile(part) for part in done.other_profiles),
            done=tuple(gating),
            columns=tuple(
                ColumnView(c.target, c.profile, ", ".join(role_word(r, lang) for r in c.roles)) for c in tried.columns
            ),
            rows=tuple(
                RowView(
                    row.scenario,
                    row.dataset,
                    tuple(self._tried(cell) if isinstance(cell, Tried) else self._gap(cell) for cell in row.cells),
                )
                for row in tried.rows
            ),
            without_row=self._without_row(tried.without_row),
            findings=tuple(self._findings()),
            sections=tuple(SectionView(title, tuple(its)) for title, its in sections.items()),
            beyond=tuple(self._test(test, proofs) for test, proofs in self.beyond.items()),
            runs=tuple(map(self._run, self.runs.values())),
            verdicts=tuple(verdict for run in self.runs.values() for verdict in self._verdicts(run)),
            sessions=tuple(sessions.values()),
            limits=limits(done, self.session_ids, subjects, self.requests, lang),
        )

    def _other_profile(self, part: Part) -> OtherProfileView:
        red = {
            judged.case: [v.check for v in judged.verdicts if v.gates and v.outcome in (Outcome.FAIL, Outcome.UNKNOWN)]
            for judged in part.session.judged
            if judged.role == "subject"
        }
        say = self.lang.say
        listed = self.lang.semicolons(
            say("{label}: {text}", label=case, text=", ".join(checks)) for case, checks in sorted(red.items()) if checks
        )
        return OtherProfileView(self._session(part), part.session.options.get("profile", "?"), listed or "0")

    # ---- a line ----

    def _line(self, line: Requirement) -> LineView:
        proofs = self.proofs[line.id]
        wrong = [p for p in proofs if p.test.outcome in {Outcome.FAIL, Outcome.UNKNOWN}]
        # The sessions that concluded something say how to repeat the line; when none did, all of them do.
        parts = {p.part.sha256 for p in proofs if p.test.outcome in {Outcome.PASS, Outcome.FAIL}}
        sessions = [part.session for part in self.done.own if part.sha256 in parts or not parts]
        return LineView(
            id=line.id,
            anchor="".join(c for c in line.id.lower() if c.isalnum()),
            text=line.text,
            badge=row_badge_over(line, [part.session for part in self.done.own], self.lang),
            figures=tuple(self._figures(proofs)),
            tests=tuple(self._test(test, proofs) for test in line.tests),
            reasons=tuple(map(self._reason, sorted(wrong, key=lambda p: rank(p.test.outcome))[:MAX_REASONS])),
            more=max(0, len(wrong) - MAX_REASONS),
            commands=tuple(dict.fromkeys(text for session in sessions for text in commands(line.tests, session))),
        )

    def _test(self, test: str, proofs: Sequence[Proof]) -> TestView:
        """Return how often a test came to which outcome, and on which runs, the worst first."""
        own = [proof for proof in proofs if proof.test.nodeid.partition("[")[0] == test]
        outcomes = []
        for outcome in Outcome:
            here = [proof for proof in own if proof.test.outcome == outcome]
            if here:
                places = tuple(dict.fromkeys(self._place(proof) for proof in here))
                outcomes.append((badge(outcome, self.lang).sign, len(here), places))
        return TestView(test.removeprefix("scenarios/"), tuple(outcomes), self.done.cases_not_run(test) if own else ())

    def _place(self, proof: Proof) -> str:
        """Return the short name of the run that a test judged, or of its session when it judged none."""
        if proof.judged is None:
            return self._session(proof.part)
        return self.runs[run_key(proof.part, proof.judged)].id

    def _reason(self, proof: Proof) -> ReasonView:
        """Return why a test failed or could not conclude: the sentence of its verdict, or else its own message."""
        verdict = proof.verdict
        text = _RAISED.sub("", proof.test.message.partition("\n")[0])
        if verdict is not None and verdict.outcome in {Outcome.FAIL, Outcome.UNKNOWN}:
            text = self.lang.render(verdict.sentence)
        return ReasonView(
            sign=badge(proof.test.outcome, self.lang).sign,
            session=self._session(proof.part),
            test=proof.test.nodeid.rpartition("::")[2],
            text=without_paths(text),
        )

    def _session(self, part: Part) -> str:
        return self.session_ids[part.sha256]

    # ---- figures ----

    def _figures(self, proofs: Sequence[Proof]) -> Iterator[FigureView]:
        """Yield the figures of the line's verdicts, then of its runs as a whole."""
        groups: dict[tuple[str, str | None, bool], dict[tuple[str, str, str, str], Proof]] = {}
        for proof in proofs:
            if proof.verdict is None or proof.verdict.outcome is Outcome.NOT_APPLICABLE:
                continue
            if proof.judged is None or proof.judged.role == "subject":
                # A tile that was made to fail must not be added to the tiles of runs without faults.
                faulted = proof.judged is not None and bool(proof.test.occasion)
                groups.setdefault((proof.verdict.check, proof.test.part, faulted), {})[proof.key] = proof
        for (check, part, faulted), found in groups.items():
            for figure in self._of_verdicts(check, part, tuple(found.values())):
                label = self.lang.say("{figure}, in runs with injected faults", figure=figure.label)
                yield replace(figure, label=label) if faulted else figure
        yield from self._of_runs(proofs)

    def _of_verdicts(self, check: str, part: str | None, proofs: Sequence[Proof]) -> Iterator[FigureView]:
        before = [baseline_of(proof) for proof in proofs]
        evidence = [proof.verdict.evidence for proof in proofs if proof.verdict]
        if all(proof.judged is None for proof in proofs):
            # Sessions with equal evidence reviewed the same patch, which counts once.
            evidence = [one for number, one in enumerate(evidence) if one not in evidence[:number]]
            before = before[: len(evidence)]
        targets = ", ".join(dict.fromkeys(known[0] for known in before if known))
        # A run without a baseline counts as one without the figure, so that the text says of how many runs it is.
        baselines = [known[1] if known else {} for known in before]
        for figure in draw(figures_of(check, part), evidence, baselines, self.lang):
            text = self.lang.say("{label}: {text}", label=targets, text=figure.before) if figure.before else ""
            yield replace(figure, before=text)

    def _of_runs(self, proofs: Sequence[Proof]) -> Iterator[FigureView]:
        """Yield how many of the runs that a test judges as a whole are as they must be, by role."""
        say = self.lang.say
        runs: dict[str, dict[tuple[str, str, str, str], Proof]] = {}
        for proof in proofs:
            if proof.judged is not None and proof.test.check is None:
                runs.setdefault(proof.judged.role, {})[proof.key] = proof
        labels = {
            "subject": say("runs on which all gating verdicts pass"),
            "control": say("controls that are red in the expected checks"),
            "control-pair": say("runs of the control with run_end that pass"),
            "pair": say("runs with run_end that pass"),
        }
        for role, found in runs.items():
            judged = [proof.judged for proof in found.values() if proof.judged]
            if role in labels:
                good = sum(j.outcome is Outcome.PASS for j in judged)
                yield FigureView(labels[role], say("{part} of {all}", part=good, all=len(judged)))
            elif role == "baseline":
                worse = [n for proof in found.values() if (n := newly_red(proof)) is not None]
                if len(worse) == len(judged):
                    label = say("checks that fail here and pass in the baseline")
                    yield FigureView(label, self.lang.number(sum(worse)))

    # ---- dataset, test, target ----

    def _tried(self, cell: Tried) -> CellView:
        text = self.lang.say("{part} of {all}", part=cell.passes, all=cell.all)
        if cell.runs > 1:
            text = self.lang.say("{part} of {all}, runs: {count}", part=cell.passes, all=cell.all, count=cell.runs)
        return CellView(badge(cell.outcome, self.lang).sign, text, cell.red, cell.as_expected)

    def _gap(self, gap: Gap) -> CellView:
        if gap.kind == "not run":
            return CellView("○", self.lang.say("not run"))
        shown = badge(gap.kind, self.lang)
        text = shown.word
        if gap.reason is not None:
            text = self.lang.say("{label}: {text}", label=text, text=self.lang.render(gap.reason))
        return CellView(shown.sign, text)

    def _without_row(self, without_row: Sequence[tuple[str, str, Gap]]) -> tuple[WithoutRowView, ...]:
        """Put the datasets of a test together that have the same reason."""
        found: dict[tuple[str, CellView], list[str]] = {}
        for scenario, dataset, gap in without_row:
            found.setdefault((scenario, self._gap(gap)), []).append(dataset)
        return tuple(WithoutRowView(scenario, tuple(datasets), cell) for (scenario, cell), datasets in found.items())

    # ---- findings, runs ----

    def _findings(self) -> Iterator[FindingView]:
        """Yield the quality findings on the runs under validation, by check and standing."""
        say = self.lang.say
        found: dict[tuple[str, str], list[str]] = {}
        for judged in (j for part in self.done.own for j in part.session.judged if j.role == "subject"):
            for verdict in judged.verdicts:
                if verdict.axis == "quality" and verdict.outcome is Outcome.FAIL:
                    found.setdefault((verdict.check, verdict.standing), []).append(judged.case)
        words = {"new": say("new"), "pre-existing": say("pre-existing"), "": say("not known whether it is new")}
        for (check, standing), cases in sorted(found.items()):
            yield FindingView(check, words[standing], len(cases), tuple(dict.fromkeys(cases)))

    def _run(self, run: NamedRun) -> RunView:
        entry, first = run.entry, run.judged[0]
        dataset, target, retention = (entry.dataset, entry.target, entry.retention) if entry else ("?", "?", "?")
        roles = ", ".join(role_word(judged.role, self.lang) for judged in run.judged)
        return RunView(run.id, first.case, dataset, roles, target, retention, self._session(run.part), first.run)

    def _verdicts(self, run: NamedRun) -> Iterator[VerdictView]:
        for verdict in run.subject.verdicts if run.subject is not None else ():
            if verdict.outcome is not Outcome.NOT_APPLICABLE:
                proof = Proof(run.part, TestEntry("", "", Outcome.PASS, "", None), run.subject, verdict)
                figures = tuple(self._of_verdicts(verdict.check, None, (proof,)))
                yield VerdictView(run.id, verdict.check, badge(verdict.outcome, self.lang), figures)
