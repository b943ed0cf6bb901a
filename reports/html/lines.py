"""Show the lines of the checklist, each with links to what shows it: a verdict or its cause, a picture, and its command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.language.catalogue import Language
from harness.session.decision import DecisionRow, row_of
from harness.session.model import JudgedRun, Session, TestEntry
from harness.verdict import Outcome, rank
from reports.badges import badge
from reports.brief import figures_in_words
from reports.document.rerun import commands
from reports.html.overview import RunKey, run_key
from reports.html.page import LineView, Link
from reports.rows import row_badge, row_note, row_scope, tests_of
from reports.worse import explained

_EVALUATED = (Outcome.FAIL, Outcome.UNKNOWN, Outcome.PASS)


@dataclass(frozen=True, slots=True)
class Places:
    """The ids on the page: of verdicts by run and check, of runs, of rows of the guard rails, and of tests.

    ``chains`` has the chain of causes of a verdict, ``compared`` the case that is shown before and after the patch.
    """

    verdicts: Mapping[tuple[RunKey, str], str]
    runs: Mapping[RunKey, str]
    patch: Mapping[str, str]
    tests: Mapping[str, str]
    chains: Mapping[str, str]
    compared: str


class Lines:
    """Show the lines of a session's checklist. ``titles`` are those of tests, by their ids."""

    def __init__(self, session: Session, lang: Language, places: Places, titles: Mapping[str, str]) -> None:
        self.session = session
        self.lang = lang
        self.places = places
        self.titles = titles

    def line(self, number: int) -> LineView:
        """Return the line with this place in the checklist."""
        session, lang = self.session, self.lang
        requirement = session.requirements[number]
        row = row_of(requirement, session)
        tests = sorted(tests_of(requirement, session), key=lambda t: (rank(t.outcome), t.nodeid))
        verdict = self._verdict(row, tests)
        # The badge of a line that was run in part has the number of missing cases.
        shown = row_badge(requirement, session, lang)
        repeat = commands(requirement.tests, session)
        return LineView(
            id=requirement.id,
            text=requirement.text,
            badge=shown,
            figures=figures_in_words(row.figures, lang),
            scope=row_scope(row.scope, shown, lang),
            note=" ".join(filter(None, (row_note(requirement, session, lang), explained(row, session, lang)))),
            verdict=self.places.chains.get(verdict, verdict) if row.failing else verdict,
            cause=bool(row.failing) and verdict in self.places.chains,
            picture=self._picture(row, tests),
            command=f"command-{number + 1}" if repeat else "",
            commands=repeat,
            tests=tuple(
                Link(self.places.tests[t.nodeid], self.titles[t.nodeid], t.case or "", badge(t.outcome, lang))
                for t in tests
            ),
        )

    def _verdict(self, row: DecisionRow, tests: list[TestEntry]) -> str:
        """Return the id of the verdict that shows a line best: the worst one, else that of the first test that was run."""
        for verdict, subject in (*row.failing, *row.unknown):
            if (found := self.places.verdicts.get((run_key(subject), verdict.check))) is not None:
                return found
        ran = [test for test in tests if test.outcome in _EVALUATED]
        for test in sorted(ran, key=lambda t: (rank(t.outcome), t.role != "subject", t.check is None)):
            if test.check is not None and test.run is None and test.check in self.places.patch:
                return self.places.patch[test.check]
            run = self._judged(test)
            if run is None:
                continue
            key = run_key(run)
            found = self.places.verdicts.get((key, test.check or ""))
            return found if found is not None else self.places.runs[key]
        # A test that judged no run, such as one that calls the release itself, has only its own entry.
        return next((self.places.tests[test.nodeid] for test in ran), "")

    def _picture(self, row: DecisionRow, tests: list[TestEntry]) -> str:
        """Return the id of the picture of a line: the mosaics before and after, or the drawings of a run."""
        cases = [judged.case for _, judged in (*row.failing, *row.unknown)]
        cases += [test.case for test in tests if test.case and test.outcome in _EVALUATED]
        if not cases:
            return ""
        if self.places.compared in cases:
            return "before-after"
        runs = [judged for judged in self.session.judged if judged.case == cases[0]]
        chosen = min(runs, key=lambda judged: judged.role != "subject", default=None)
        return "" if chosen is None else self.places.runs[run_key(chosen)]

    def _judged(self, test: TestEntry) -> JudgedRun | None:
        found = (j for j in self.session.judged if (j.case, j.run) == (test.case, test.run))
        return min(found, key=lambda j: j.role != test.role, default=None)
