"""The session as a page of Markdown, for the pages on which job runners show what a job came to.

All text that was read is escaped: it can be neither markup nor a link, and calls nobody. The page is bounded, and says so
when it leaves something out; it never leaves out a failure for the sake of a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harness.language.catalogue import Code, Language, language
from harness.language.message import visible
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import JudgedRun, Session
from harness.verdict import Verdict, worst_first
from reports.badges import badge, expected_red, finding_word, found_red, rank, role_rank, role_word, told_apart
from reports.event_keys import keys_of
from reports.headline import answering, headline, without_verdict
from reports.html.build import FILES, REAL_COMMAND
from reports.html.overview import Cell, glance, run_key

MAX_BYTES = 60_000
"""What every place takes where such a page is shown: a comment on GitHub holds 65,536 characters."""

MAX_FOUND = 20
MAX_LINKS = 12
MAX_ROWS = 100
MAX_TEXT = 600

# What means something within a line; no text that was read begins one.
_MARKUP = re.compile(r"([\\`*_\[\]#~$])")
_BACKTICKS = re.compile("`+")
_PLAIN = re.compile(r"[\w./:-]+(?: [\w./:-]+)*")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", '"': "&quot;"}
# A mention, a reference or an address is broken by a space that takes no room.
_CALLS = re.compile(r"(@|\\#|:(?=//)|(?<=www)\.)", re.IGNORECASE)


class Markdown(Markup):
    """Text that is Markdown already; what is not is escaped when it is joined to it."""

    __slots__ = ()

    @classmethod
    def escape(cls, s: Any, /) -> Markdown:
        """Escape a text, unless it is marked as Markdown."""
        return cls(s) if hasattr(s, "__html__") else escape(str(s))


def escape(text: str) -> Markdown:
    """Return text that is shown as it is by Markdown, in a table too: on one line, and cut to the length of a paragraph."""
    line = " ".join(visible(text).split())
    short = line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"
    plain = "".join(_ENTITIES.get(c, c) for c in _MARKUP.sub(r"\\\1", short))
    return Markdown(_CALLS.sub(r"\1&#8203;", plain))


def code(text: str) -> Markdown:
    """Return text as code, which keeps every character; not for tables, where a bar would end the cell."""
    line = " ".join(visible(text).split())
    fence = "`" * (max(map(len, _BACKTICKS.findall(line)), default=0) + 1)
    room = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{room}{line}{room}{fence}")


def fenced(text: str) -> Markdown:
    """Return text as a block of code on a line of its own, which can't end the block."""
    line = " ".join(visible(text).split())
    fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(line)), default=0))
    return Markdown(f"{fence}console\n{line}\n{fence}")


def term(text: str) -> Markdown:
    """Return a name as code where it is plain and short enough for a table, else escaped."""
    return code(text) if len(text) <= MAX_TEXT and _PLAIN.fullmatch(text) else escape(text)


def terms(names: Iterable[str]) -> Markdown:
    """Return names with commas between them."""
    return Markdown(", ").join(map(term, names))


def bold(text: str) -> Markdown:
    """Return text in bold."""
    return Markdown(f"**{escape(text)}**")


def render(template: str, view: object, name: Code) -> str:
    """Lay out a view by its template, in a language."""
    return _environment(name).get_template(template).render(view=view).rstrip("\n") + "\n"


@cache
def _environment(name: Code) -> Environment:
    """Return the templates of a language, where ``_`` translates and each text is escaped unless it is Markdown."""
    environment = Environment(
        loader=PackageLoader("reports"),
        autoescape=True,  # so that macros and blocks give marked text
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=Markdown.escape,
    )
    environment.filters |= {"code": code, "term": term, "terms": terms, "bold": bold, "fenced": fenced}
    environment.globals["_"] = partial(_say, language(name))
    return environment


def _say(lang: Language, text: str, /, **values: Any) -> str:
    """Translate a template; where one of the values is Markdown so is the sentence, with the other values escaped."""
    if not any(hasattr(value, "__html__") for value in values.values()):
        return lang.say(text, **values)
    return Markdown(lang.say(text, **{k: Markdown.escape(v) if isinstance(v, str) else v for k, v in values.items()}))


def table_row(cells: Sequence[str]) -> str:
    """Return a row of a table; the cells are Markdown already."""
    return f"| {' | '.join(cells)} |"


def summary(session: Session, name: Code, sha256: str) -> str:
    """Return the page in a language.

    Parameters
    ----------
    session
        The session.
    name
        The language.
    sha256
        The hash of ``session.json``, to tell which session the page shows.

    """
    lang = language(name)
    end = ["", lang.say("The page is cut here: the whole is in the report and in session.json.")]
    room = MAX_BYTES - sum(len(line.encode()) + 1 for line in end)
    lines: list[str] = []
    for line in _page(replace(session, judged=told_apart(session.judged)), lang, sha256):
        room -= len(line.encode()) + 1
        if room < 0:
            lines += end
            break
        lines.append(line)
    return "\n".join(lines) + "\n"


def _page(session: Session, lang: Language, sha256: str) -> Iterator[str]:
    mark, title, sentence = headline(session, lang)
    yield f"# {mark.sign} {escape(title)}"
    yield ""
    yield escape(sentence)
    yield ""
    if session.self_test:
        told = escape(lang.say("This session ran the embedded reference pipeline. To validate ZeMosaic itself, run:"))
        yield f"{told} {code(REAL_COMMAND)}"
        yield ""
    files = ", ".join(f"[{file}]({file})" for file in FILES.values())
    yield lang.say("Beside this page, in the session's folder: {files}.", files=files)
    yield ""
    for part in (_done, _found, _matrix, _controls, _real_sets):
        yield from part(session, lang)
    yield f"{escape(session.target)} · {escape(lang.when(session.created))} · session.json {code(sha256)}"


def _done(session: Session, lang: Language) -> Iterator[str]:
    rows = [r for r in session.requirements if r.section == DEFINITION_OF_DONE]
    if rows:
        yield "## " + lang.say("Definition of Done")
        yield ""
    for row in rows[:MAX_ROWS]:
        shown = badge("not evaluated" if session.self_test else row.outcome, lang)
        yield f"- {shown.sign} " + _labelled(escape(shown.word), escape(row.text), lang)
    if rows:
        yield ""


def _found(session: Session, lang: Language) -> Iterator[str]:
    """Tell what fails or is unknown, each to the end of its cause; then the tests that say so without a verdict of their own."""
    found = sorted(
        answering(session),
        key=lambda pair: (not pair[0].gates, *worst_first(pair[0]), role_rank(pair[1].role), pair[1].case),
    )
    tests = without_verdict(session)
    if not found and not tests:
        return
    yield "## " + lang.say("What fails or is unknown")
    yield ""
    for verdict, judged in found[:MAX_FOUND]:
        yield from _verdict(verdict, judged, session, lang)
    for test in tests[:MAX_FOUND]:
        shown = badge(test.outcome, lang)
        message = test.message.partition("\n")[0]
        label = f"- {shown.sign} **{escape(shown.word)}** {escape(test.title or test.nodeid)}"
        yield _labelled(label, escape(message), lang)
    left = max(0, len(found) - MAX_FOUND) + max(0, len(tests) - MAX_FOUND)
    if left:
        yield "- " + lang.say("and more, in session.json: {count}", count=left)
    named = dict(pair for verdict, _ in found[:MAX_FOUND] for pair in keys_of(verdict, lang))
    for key, sentence in named.items():
        yield "- " + _labelled(code(key), escape(sentence), lang)
    yield ""


def _verdict(verdict: Verdict, judged: JudgedRun, session: Session, lang: Language) -> Iterator[str]:
    shown = badge(verdict.outcome.value, lang)
    finding = finding_word(verdict, lang)
    kind = f" ({finding})" if finding else ""
    where = f"{escape(judged.case)}, {escape(role_word(judged.role, lang))}"
    run = next((r for r in session.runs if r.key == judged.run), None)
    which = f" ({escape(run.target)}, {escape(run.retention)})" if run else ""
    head = f"- {shown.sign} **{escape(shown.word)}** {escape(verdict.check)}{kind}, {where}{which}"
    yield _labelled(head, escape(lang.render(verdict.sentence)), lang)
    for number, link in enumerate(verdict.cause[:MAX_LINKS], 1):
        yield f"  {number}. {escape(lang.render(link))}"
    if len(verdict.cause) > MAX_LINKS:
        more = lang.say("and more, in session.json: {count}", count=len(verdict.cause) - MAX_LINKS)
        yield f"  {MAX_LINKS + 1}. {more}"


def _matrix(session: Session, lang: Language) -> Iterator[str]:
    cases = sorted({j.case for j in session.judged}, key=lambda c: (_worst(session, c), c))[:MAX_ROWS]
    named = dict.fromkeys(cases, "")
    for run in session.runs:
        if run.case in named:
            named[run.case] = run.dataset
    shown = glance(session, lang, named, {run_key(j): "" for j in session.judged}, named)
    rows = [row for group in shown.groups for row in group.rows]
    if not rows:
        return
    yield "## " + lang.say("At a glance")
    yield ""
    yield table_row([lang.say("Case"), *map(escape, shown.columns)])
    yield table_row(["---"] * (len(shown.columns) + 1))
    for row in rows[:MAX_ROWS]:
        first = " ".join(filter(None, (row.scenario, escape(row.case), escape(row.run))))
        yield table_row([first, *(_cell(cell) for cell in row.cells)])
    yield ""
    yield lang.say("Signs: {signs}", signs=", ".join(f"{known.sign} {known.word}" for known in shown.signs))
    yield ""


def _cell(cell: Cell) -> str:
    """Return a sign, with its word only where it must be looked at: the table is wide."""
    if cell.badge.style in {"pass", "none"}:
        return cell.badge.sign
    finding = f" ({escape(cell.finding)})" if cell.finding else ""
    return f"{cell.badge.sign} {escape(cell.badge.word)}{finding}"


def _worst(session: Session, case: str) -> int:
    return min(rank(j.outcome.value) for j in session.judged if j.case == case)


def _controls(session: Session, lang: Language) -> Iterator[str]:
    controls = sorted(
        (j for j in session.judged if j.expected_red is not None), key=lambda j: (rank(j.outcome.value), j.case)
    )
    if not controls:
        return
    yield "## " + lang.say("Controls")
    yield ""
    yield table_row([lang.say("Outcome"), lang.say("Case"), lang.say("Expected red"), lang.say("Found red")])
    yield table_row(["---"] * 4)
    for judged in controls[:MAX_ROWS]:
        shown = badge(judged.outcome.value, lang)
        red = (escape(expected_red(judged, lang)), escape(found_red(judged, lang)))
        yield table_row([f"{shown.sign} {escape(shown.word)}", escape(judged.case), *red])
    yield ""


def _real_sets(session: Session, lang: Language) -> Iterator[str]:
    if not session.real_sets:
        return
    yield "## " + lang.say("Real sets")
    yield ""
    here, absent = lang.say("judged in this session"), lang.say("not judged; to get it:")
    for known in session.real_sets[:MAX_ROWS]:
        if known.judged:
            yield _labelled(f"- ✓ {escape(known.name)}", here, lang)
        else:
            yield _labelled(f"- ○ {escape(known.name)}", f"{absent} {code(known.command)}", lang)
    yield ""


def _labelled(label: str, text: str, lang: Language) -> str:
    return lang.say("{label}: {text}", label=label, text=text)
