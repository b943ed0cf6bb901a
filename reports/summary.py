"""Summarise a session as a page of Markdown, for the result pages of job runners (CI).

The page has a limited size. It says how much is left out, and lists failures before anything else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.language.catalogue import Language, language
from harness.language.system import Code
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, RealSet, Session, TestEntry
from harness.verdict import Verdict, rank, worst_first
from reports.badges import Badge, badge, expected_red, finding_word, found_red, role_rank, role_word, told_apart
from reports.event_keys import keys_of
from reports.headline import answering, headline, without_verdict
from reports.html.build import FILES, REAL_COMMAND
from reports.html.overview import Glance, glance, run_key
from reports.markdown import render

MAX_BYTES = 60_000
"""The largest page that every service shows: a comment on GitHub may have 65,536 characters."""

MAX_FOUND = 20
MAX_LINKS = 12
MAX_ROWS = 100


@dataclass(frozen=True, slots=True)
class VerdictView:
    """A verdict that fails or is unknown: its check and run, its sentence, and the first links of its cause."""

    badge: Badge
    check: str
    finding: str
    case: str
    role: str
    run: tuple[str, str] | None
    sentence: str
    cause: tuple[str, ...]
    more: int


@dataclass(frozen=True, slots=True)
class TestView:
    """A test that fails or is unknown and asserts no such verdict."""

    badge: Badge
    title: str
    message: str


@dataclass(frozen=True, slots=True)
class ControlView:
    """A control: the checks that had to be red, and those that were."""

    badge: Badge
    case: str
    expected: str
    found: str


@dataclass(frozen=True, slots=True)
class SummaryView:
    """The whole page."""

    badge: Badge
    title: str
    sentence: str
    real_command: str
    files: tuple[str, ...]
    lines: tuple[tuple[Badge, str, str], ...]
    verdicts: tuple[VerdictView, ...]
    tests: tuple[TestView, ...]
    more: int
    keys: tuple[tuple[str, str], ...]
    glance: Glance
    controls: tuple[ControlView, ...]
    real_sets: tuple[RealSet, ...]
    target: str
    created: str
    sha256: str


def summary(session: Session, name: Code, sha256: str) -> str:
    """Return the page in a language. ``sha256`` is the hash of ``session.json``: it says which session the page shows."""
    lang = language(name)
    view = _view(replace(session, judged=told_apart(session.judged)), lang, sha256)
    page = render("reports", "summary.md.j2", view, name)
    if len(page.encode()) <= MAX_BYTES:
        return page
    notice = lang.say("This page is cut off here. The full list is in the report and in session.json.")
    end = f"\n\n{notice}\n"
    whole_lines, _, _ = page.encode()[: MAX_BYTES - len(end.encode())].rpartition(b"\n")
    return whole_lines.decode() + end


def _view(session: Session, lang: Language, sha256: str) -> SummaryView:
    mark, title, sentence = headline(session, lang)
    found = sorted(
        answering(session),
        key=lambda pair: (not pair[0].gates, *worst_first(pair[0]), role_rank(pair[1].role), pair[1].case),
    )
    tests = without_verdict(session)
    keys = dict(pair for verdict, _ in found[:MAX_FOUND] for pair in keys_of(verdict, lang))
    controls = [j for j in session.judged if j.expected_red is not None]
    lines = [r for r in session.requirements if r.section == DEFINITION_OF_DONE][:MAX_ROWS]
    return SummaryView(
        badge=mark,
        title=title,
        sentence=sentence,
        real_command=REAL_COMMAND if session.self_test else "",
        files=tuple(FILES.values()),
        lines=tuple((badge(r.outcome, lang), r.text, lang.render(r.reason) if r.reason else "") for r in lines),
        verdicts=tuple(_verdict(verdict, judged, session, lang) for verdict, judged in found[:MAX_FOUND]),
        tests=tuple(_test(test, lang) for test in tests[:MAX_FOUND]),
        more=max(0, len(found) - MAX_FOUND) + max(0, len(tests) - MAX_FOUND),
        keys=tuple(keys.items()),
        glance=_glance(session, lang),
        controls=tuple(
            ControlView(badge(j.outcome, lang), j.case, expected_red(j, lang), found_red(j, lang))
            for j in sorted(controls, key=lambda j: (rank(j.outcome), j.case))[:MAX_ROWS]
        ),
        real_sets=session.real_sets[:MAX_ROWS],
        target=session.target,
        created=lang.when(session.created),
        sha256=sha256,
    )


def _verdict(verdict: Verdict, judged: JudgedRun, session: Session, lang: Language) -> VerdictView:
    run = next((r for r in session.runs if r.key == judged.run), None)
    return VerdictView(
        badge=badge(verdict.outcome, lang),
        check=verdict.check,
        finding=finding_word(verdict, lang),
        case=judged.case,
        role=role_word(judged.role, lang),
        run=(run.target, run.retention) if run else None,
        sentence=lang.render(verdict.sentence),
        cause=tuple(map(lang.render, verdict.cause[:MAX_LINKS])),
        more=max(0, len(verdict.cause) - MAX_LINKS),
    )


def _test(test: TestEntry, lang: Language) -> TestView:
    return TestView(badge(test.outcome, lang), test.title or test.nodeid, test.message.partition("\n")[0])


def _glance(session: Session, lang: Language) -> Glance:
    """Return the matrix of the worst cases."""
    ranked = sorted((rank(judged.outcome), judged.case) for judged in session.judged)
    cases = list(dict.fromkeys(case for _, case in ranked))[:MAX_ROWS]
    datasets = dict.fromkeys(cases, "") | {run.case: run.dataset for run in session.runs if run.case in cases}
    return glance(session, lang, datasets, {run_key(j): "" for j in session.judged}, datasets)
