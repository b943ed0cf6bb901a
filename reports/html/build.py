"""Build the data of the report page in one language from a session and its records; the templates only lay it out.

The report draws no conclusion of its own: outcomes, sentences and causes are those of the session.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.language.catalogue import Language, language
from harness.language.message import Message
from harness.language.system import Code
from harness.record.reader import Record
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, RunEntry, TestEntry
from harness.verdict import Outcome, Verdict, merge, rank
from reports.badges import BEFORE, Badge, badge, expected_red, found_red, role_rank, state_word, told_apart
from reports.decided import decided
from reports.headline import without_verdict
from reports.html.before_after import before_after
from reports.html.evidence import node, plain
from reports.html.lines import Lines, Places
from reports.html.overview import glance, run_key, run_words, scenario_title, scenarios
from reports.html.page import (
    AppendixView,
    CaseView,
    ControlView,
    DecisionView,
    EntryView,
    FoldView,
    ReportView,
    SectionView,
    TestView,
    VerdictView,
)
from reports.html.runs import Drawing, Runs
from reports.html.why import why
from reports.material import Material
from reports.not_covered import finding_line, known_findings, not_covered
from reports.rows import counted

REAL_COMMAND = "pytest -m phase3 --phase3-target=zemosaic:PATH@COMMIT --phase3-python=PYTHON"
FILES: Mapping[str, str] = {"en": "report.html", "fr": "report.fr.html"}
# What is written beside the page, and linked from it.
BESIDE: Mapping[str, tuple[str, ...]] = {
    "en": ("session.json", "summary.md", "junit.xml"),
    "fr": ("session.json", "summary.fr.md", "junit.xml"),
}
# With more passes of the subject than this they are folded: the matrix above already shows them.
MAX_PASSES = 12


def build(material: Material, code: Code, drawing: Drawing, translation: str) -> ReportView:
    """Build the page's data in one language. ``translation`` is the file name of the same report in the other language.

    Raises ``TooLargeError`` when the pictures are more than ``drawing`` has room for.
    """
    return _Builder(material, language(code), drawing).page(translation)


class _Builder:
    """Builds the parts of one page; ids are made of counters, never of text that was read."""

    def __init__(self, material: Material, lang: Language, drawing: Drawing) -> None:
        self.material = material
        self.session = replace(material.session, judged=told_apart(material.session.judged))
        self.lang = lang
        self.drawing = drawing
        cases = sorted({j.case for j in self.session.judged}, key=lambda c: (self._case_rank(c), c))
        self.case_ids = {case: f"case-{n}" for n, case in enumerate(cases, 1)}
        self.run_ids = {run_key(j): f"run-{n}" for n, j in enumerate(self.session.judged, 1)}
        self.runs = Runs(material, lang, self.case_ids, self.run_ids, drawing)
        self.scenarios = scenarios(self.session)
        self.tests = sorted(self.session.tests, key=lambda t: (rank(t.outcome), t.nodeid))
        self.test_ids = {t.nodeid: f"test-{n}" for n, t in enumerate(self.tests, 1)}
        self.unsaid = without_verdict(self.session)

    def page(self, translation: str) -> ReportView:
        lang, session = self.lang, self.session
        mark, title, sentence = decided(session, lang)
        side = self.drawing.side
        pictures = None if side is None else before_after(self.material, session, lang, side)
        compared = pictures.case if pictures is not None and pictures.panels else ""
        cases = tuple(self._case(case, compared) for case in self.case_ids)
        told = why(self.material, session, self.runs.verdict_id, lang)
        verdict_ids = {(run_key(j), v.check): self.runs.verdict_id(j, v) for j in session.judged for v in j.verdicts}
        checklist = self._checklist(
            Places(
                verdicts=verdict_ids,
                runs=self.run_ids,
                patch={verdict.check: f"patch-{n}" for n, verdict in enumerate(session.patch, 1)},
                tests=self.test_ids,
                chains={named.id: chain.id for chain in told.chains for named in chain.checks},
                compared=compared,
            )
        )
        smaller = ""
        if side is None:
            smaller = lang.say(
                "The drawings are left out, to keep this page small: there are too many runs. The records contain the data."
            )
        elif self.drawing.good is None:
            smaller = lang.say(
                "Only runs in which something fails or is unknown are drawn, to keep this page small: there are too many runs. "
                "The records contain the data."
            )
        return ReportView(
            language=lang,
            title=title,
            sentence=sentence,
            badge=mark,
            self_test=session.self_test,
            real_command=REAL_COMMAND,
            target=session.target,
            created=lang.when(session.created),
            command=session.command,
            sha256=self.material.sha256,
            decision=self._decision(checklist),
            before_after=pictures,
            why=told,
            controls=self._controls(),
            checklist=checklist,
            glance=glance(
                session,
                lang,
                self.case_ids,
                self.run_ids,
                {c.name: c.dataset for c in cases},
                verdict_ids=verdict_ids,
            ),
            cases=cases,
            appendix=self._appendix(cases),
            translation=translation,
            smaller=smaller,
        )

    def _decision(self, checklist: Sequence[SectionView]) -> DecisionView:
        lang, session = self.lang, self.session
        return DecisionView(
            lines=next((s.lines for s in checklist if s.title == DEFINITION_OF_DONE), ()),
            not_covered=not_covered(session, self.material.sizes, lang),
            known=tuple(finding_line(known, lang) for known in known_findings(session)),
        )

    def _appendix(self, cases: Iterable[CaseView]) -> AppendixView:
        session = self.session
        verdicts = sorted((v for c in cases for r in c.runs for v in r.verdicts), key=lambda v: v.order)
        controls = {self.run_ids[run_key(j)] for j in session.judged if j.expected_red is not None}
        own = [v for v in verdicts if v.run_id not in controls]
        shown, folds = self._folded(own)
        of_controls = tuple(v for v in verdicts if v.run_id in controls)
        if of_controls:
            title = self.lang.say("Verdicts on the version with the bug: {count}", count=len(of_controls))
            folds = (*folds, FoldView(title, of_controls))
        return AppendixView(
            without_verdict=tuple(self._test(t) for t in self.unsaid),
            verdicts=shown,
            folds=folds,
            all_well=not any(v.outcome in (Outcome.FAIL, Outcome.UNKNOWN) for v in shown),
            patch=tuple(self._of_patch(n, verdict) for n, verdict in enumerate(session.patch, 1)),
            tests=tuple(self._test(t) for t in self.tests),
            counts=self._counts(),
            runs=tuple(self._entry(r) for r in sorted(session.runs, key=lambda r: r.key)),
            real_sets=session.real_sets,
            real_judged=any(s.judged for s in session.real_sets),
            identity=_pairs(session.identity),
            environment=tuple((str(k), str(v)) for k, v in session.environment.items()),
            files=BESIDE[self.lang.code],
        )

    def _folded(self, verdicts: Sequence[VerdictView]) -> tuple[tuple[VerdictView, ...], tuple[FoldView, ...]]:
        """Split the verdicts into those shown at once and those folded.

        Failures and unknowns are never folded; passes of comparison runs always are, and the subject's when there are many.
        """
        say = self.lang.say
        before = tuple(v for v in verdicts if v.before)
        well = [v for v in verdicts if v.outcome not in (Outcome.FAIL, Outcome.UNKNOWN) and not v.before]
        own = [v for v in well if v.subject]
        all_of_them = len(own) > MAX_PASSES
        folded = well if all_of_them else [v for v in well if not v.subject]
        ids = {v.id for v in (*folded, *before)}
        passes = tuple(v for v in folded if v.outcome is Outcome.PASS)
        others = tuple(v for v in folded if v.outcome is not Outcome.PASS)
        count = len(passes)
        title = say("Verdicts that pass: {count}", count=count)
        if not all_of_them:
            title = say("Verdicts that pass on the comparison runs: {count}", count=count)
        folds = (
            FoldView(title, passes),
            FoldView(say("Verdicts not applicable: {count}", count=len(others)), others),
            FoldView(say("Verdicts on other versions, for comparison only: {count}", count=len(before)), before),
        )
        return tuple(v for v in verdicts if v.id not in ids), tuple(f for f in folds if f.verdicts)

    def _counts(self) -> tuple[tuple[Badge, str], ...]:
        outcomes = [t.outcome for t in self.session.tests]
        return tuple((badge(o, self.lang), self.lang.number(outcomes.count(o))) for o in Outcome if o in outcomes)

    def _case_rank(self, case: str) -> int:
        return rank(_worst(j for j in self.session.judged if j.case == case))

    def _case(self, case: str, compared: str) -> CaseView:
        judged = sorted((j for j in self.session.judged if j.case == case), key=lambda j: (role_rank(j.role), j.run))
        entry = next((self.material.runs[j.run] for j in judged if j.run in self.material.runs), None)
        outcome = _worst(judged)
        return CaseView(
            id=self.case_ids[case],
            name=case,
            scenario=scenario_title(self.session, self.scenarios.get(case, "")),
            mode="" if entry is None else entry.mode,
            dataset="" if entry is None else self._dataset(entry),
            badge=badge(outcome, self.lang),
            folded=outcome is Outcome.PASS,
            runs=tuple(self.runs.run(j, compared) for j in judged),
        )

    def _dataset(self, entry: RunEntry) -> str:
        say = self.lang.say
        kinds = {
            "synthetic": say("synthetic frames"),
            "real": say("observed frames"),
            "user": say("frames of your own"),
        }
        return f"{entry.dataset} ({kinds.get(entry.dataset_kind, entry.dataset_kind)})"

    def _controls(self) -> tuple[ControlView, ...]:
        """Return the controls, those that are not as expected first, each with a sentence."""
        lang = self.lang
        views = []
        for judged in sorted(self.session.judged, key=lambda j: (rank(j.outcome), j.case)):
            if judged.expected_red is None:
                continue
            target = run_words(self.material.runs.get(judged.run), judged)
            values = {"expected": expected_red(judged, lang), "found": found_red(judged, lang)}
            sentence = lang.say("Expected red: {expected}; red: {found}.", **values)
            if judged.outcome is Outcome.PASS and judged.expected_red:
                sentence = lang.say("Seen: {found} are red, as expected.", found=values["found"])
            views.append(
                ControlView(
                    run_id=self.run_ids[run_key(judged)],
                    case=judged.case,
                    target=target,
                    role=self.runs.role(judged.case, judged.run, judged.role),
                    badge=badge(judged.outcome, lang),
                    outcome=judged.outcome,
                    sentence=sentence,
                )
            )
        return tuple(views)

    def _checklist(self, places: Places) -> tuple[SectionView, ...]:
        lines = Lines(self.session, self.lang, places, {t.nodeid: self._title(t) or t.nodeid for t in self.tests})
        sections: dict[str, list[int]] = {}
        for n, requirement in enumerate(self.session.requirements):
            sections.setdefault(requirement.section, []).append(n)
        return tuple(
            SectionView(
                title, found := tuple(map(lines.line, members)), counted((line.badge for line in found), self.lang)
            )
            for title, members in sections.items()
        )

    def _of_patch(self, number: int, verdict: Verdict) -> VerdictView:
        """Return the view of a row of the guard rails, which judges the source and no run."""
        lang = self.lang
        return VerdictView(
            id=f"patch-{number}",
            case="",
            run_id="",
            role="",
            run="",
            check=verdict.check,
            badge=badge(verdict.outcome, lang),
            sentence=lang.render(verdict.sentence),
            finding="",
            cause=tuple(lang.render(link) for link in verdict.cause),
            evidence=node(verdict.evidence, lang) if verdict.evidence else None,
            keys=(),
            outcome=verdict.outcome,
            subject=False,
            before=False,
            order=(rank(verdict.outcome), False, "", 0, verdict.check),
        )

    def _test(self, test: TestEntry) -> TestView:
        shown = badge(test.outcome, self.lang)
        title = self._title(test)
        said = test.outcome in (Outcome.FAIL, Outcome.UNKNOWN) and test not in self.unsaid
        return TestView(self.test_ids[test.nodeid], title, test.nodeid, test.case or "", shown, test.message, said=said)

    def _title(self, test: TestEntry) -> str:
        """Return the title of a test in this language: the first line of its docstring, which is in the catalogue."""
        return self.lang.render(Message(test.title))

    def _entry(self, run: RunEntry) -> EntryView:
        record = self.material.record(run.key)
        identity = record.request.target.identity if isinstance(record, Record) else {}
        roles = {j.role for j in self.session.judged if (j.case, j.run) == (run.case, run.key)} or {run.role}
        sign, style = ("✓", "pass") if run.state == "done" else ("?", "unknown")
        return EntryView(
            case=run.case,
            role=", ".join(self.runs.role(run.case, run.key, role) for role in sorted(roles, key=role_rank)),
            purpose=self._purpose(run),
            way=self.lang.say("{mode}, workers: {count}", mode=run.mode, count=run.workers),
            target=run.target,
            retention=run.retention,
            dataset=self._dataset(run),
            state=Badge(sign, state_word(run.state, self.lang), style),
            seconds=self.lang.duration(run.seconds),
            identity=", ".join(f"{k} {v}" for k, v in _pairs(identity)),
            record=run.record,
        )

    def _purpose(self, run: RunEntry) -> str:
        """Return the purpose of a run that is not judged itself but compared with a judged one; empty for a judged run."""
        if any((j.case, j.run) == (run.case, run.key) for j in self.session.judged):
            return ""
        of_case = [j for j in self.session.judged if j.case == run.case]
        if any(run.key in pair for j in of_case for pair in j.timed):
            return self.lang.say("repeated to measure its time, not judged")
        if any(run.key in j.sizes for j in of_case):
            record = self.material.record(run.key)
            frames = len(record.request.dataset.frames) if isinstance(record, Record) else 0
            return self.lang.counted(
                "made to measure how the cost grows ({count} frame), not judged",
                "made to measure how the cost grows ({count} frames), not judged",
                count=frames,
            )
        return self.lang.say("made for comparison, not judged")


def _worst(judged: Iterable[JudgedRun]) -> Outcome:
    """Return the worst outcome of a case, without runs before the patch unless there are no others."""
    known = list(judged)
    answering = [j for j in known if j.role not in BEFORE] or known
    return merge(j.outcome for j in answering)


def _pairs(identity: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((str(k), plain(v)) for k, v in sorted(identity.items()))
