"""``phase3 sign SESSION``: decide on each line of the Definition of Done, and sign the decisions."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from harness.commands.console import Commands, Text, line, tell, user_path
from harness.language.message import Message, SaidError, Translate, say, sentences_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness.language.catalogue import Language
    from harness.signoff.statement import Decision, SeenRow
    from reports.material import Material

REFUSED, NOT_KNOWN = 1, 3
ROW = "row"
_ANSWERS = {"a": "accept", "r": "reject", "s": "reserve"}


class _Words(argparse.Action):
    """Keep ``--row`` and the decisions in the order in which they were given: a decision is about the line before it."""

    def __call__(
        self, _parser: Any, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        word = (option_string or "").lstrip("-")
        namespace.words = [*namespace.words, (word, values or "")]


def register(commands: Commands, text: Text) -> None:
    """Add ``sign``."""
    sign = commands.add_parser(
        "sign", help=text(say("decide on each line of the Definition of Done of a session, and sign the decisions"))
    )
    sign.add_argument("session", type=user_path, help=text(say("the session's folder")))
    row = say("the line that the next decision is about, such as 4.2 (may be repeated; default: asks line by line)")
    sign.add_argument("--row", action=_Words, dest="words", metavar="ID", help=text(row))
    accept = say("accept the line; a line that did not pass needs a reason")
    sign.add_argument("--accept", action=_Words, dest="words", nargs="?", metavar="TEXT", help=text(accept))
    sign.add_argument(
        "--reject", action=_Words, dest="words", metavar="TEXT", help=text(say("reject the line, for this reason"))
    )
    reserve = say("accept the line with this reserve")
    sign.add_argument("--reserve", action=_Words, dest="words", metavar="TEXT", help=text(reserve))
    form = say("take the decisions from the file that the form on the session's page made")
    sign.add_argument("--from", dest="form", type=user_path, metavar="FILE", help=text(form))
    sign.add_argument("--by", metavar="NAME", default="", help=text(say("who decides (default: the form's, or asks)")))
    key = say("the SSH key that signs, or its public key if an agent has it (default: unsigned)")
    sign.add_argument("--key", type=user_path, metavar="FILE", help=text(key))
    sign.add_argument("--replace", action="store_true", help=text(say("replace a sign-off that exists")))
    sign.set_defaults(command=_sign, words=[])


def _sign(options: argparse.Namespace, translate: Translate) -> int:
    from harness.session.integrity import IntegrityError
    from harness.signoff.signing import NoProgramError
    from harness.signoff.statement import RefusedError

    try:
        return _signed(options, translate)
    except (RefusedError, IntegrityError) as error:
        return said(error, translate, REFUSED)
    except NoProgramError as error:
        return said(error, translate, NOT_KNOWN, say("Without --key the sign-off is written unsigned."))


def said(error: SaidError, translate: Translate, status: int, *more: Message) -> int:
    """Print the sentences of an error, and return a status."""
    for sentence in (*sentences_of(error, translate), *(message.render(translate) for message in more)):
        line(say("phase3: {error}", error=sentence).render(translate), error=True)
    return status


def _signed(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from harness.language.system import CODES
    from harness.session.integrity import read_intact
    from harness.signoff.form import read_form
    from harness.signoff.signing import fingerprint
    from harness.signoff.standing import Standing
    from harness.signoff.statement import Statement
    from harness.signoff.subjects import subjects_of
    from harness.signoff.write import compose, decide, refuse_self_test, write
    from reports.html.build import FILES
    from reports.html.render import signoff_part
    from reports.material import Material
    from reports.signoff import row_words, seen_rows, standing_words
    from reports.write import summaries

    folder, lang = options.session.absolute(), language(options.lang)
    material = Material(folder, read_intact(folder, sealed=True))
    session, sha256 = material.session, material.sha256
    refuse_self_test(session)
    if not options.replace:
        _require_none(folder, lang)
    subjects_of(folder, session)  # a damaged record is named first: it changes the pages too
    _require_own_pages(material)
    form = read_form(options.form, sha256) if options.form else None
    key = None if options.key is None else fingerprint(options.key)
    given = _given(options.words, [(row.id, row.decision, row.comment) for row in form.rows] if form else [])
    rows = seen_rows(session, material.sizes, lang)
    terminal = sys.stdin is not None and sys.stdin.isatty()
    for row in rows:
        _show(row, lang)
        if terminal and row.id not in given:
            given[row.id] = _asked(row, translate)
    decided = decide(rows, given)
    by = _name(options.by or (form.by if form else ""), translate, ask=terminal)

    tell(say("Decided:"), translate)
    for decision in decided:
        line(f"    {row_words(decision, lang)}")

    def parts(statement: Statement) -> dict[str, bytes]:
        standing = Standing("unsigned" if key is None else "signed", statement, key)
        return {FILES[code]: signoff_part(standing, code) for code in CODES}

    statement, pages = compose(folder, session, sha256, decided, by, key=key, language=lang.code, parts=parts)
    if key is not None:
        tell(say("Signing: if ssh-keygen asks, type the passphrase, or touch the security key."), translate)
    material.standing = Standing("unsigned" if key is None else "signed", statement, key)
    shown = {path.name: text for path, text in summaries(material).items()}
    paths = write(folder, statement, {**pages, **shown}, options.key)
    words = standing_words(material.standing, lang)
    for sentence in (words.title, *words.sentences):
        line(sentence)
    for path in paths:
        tell(say("Written: {path}", path=str(path)), translate)
    return 0


def _name(given: str, translate: Translate, *, ask: bool) -> str:
    """Return the name of who decides, asked for if none was given. Raises ``ValueError`` without one."""
    by = given if given.strip() or not ask else _answer(say("Your name:"), translate)
    if not by.strip():
        raise ValueError(say("expected the name of who decides, found none: add --by NAME").render(translate))
    return by


def _require_none(folder: Path, lang: Language) -> None:
    """Raise ``RefusedError`` if the session has a sign-off."""
    from harness.language.message import flat
    from harness.signoff.standing import beside
    from harness.signoff.statement import SIGNOFF, RefusedError

    if (old := beside(folder)) is not None:
        raise RefusedError(
            say(
                "There is a sign-off already, by {by} of {at}: {path}. To replace it, add --replace",
                by=flat(old.by or "?"),
                at=lang.when(old.at) or "?",
                path=flat(str(folder / SIGNOFF)),
            )
        )


def _require_own_pages(material: Material) -> None:
    """Raise ``RefusedError`` if a page is not what this harness makes of the session: the reviewer read something else."""
    from harness.record.values import read_bytes
    from harness.signoff.page_part import without_part
    from harness.signoff.statement import RefusedError
    from reports.html.build import FILES
    from reports.html.render import pages

    for code, page in pages(material).items():
        path = material.folder / FILES[code]
        if path.is_file() and without_part(read_bytes(path)) != page:
            raise RefusedError(
                say(
                    "{name} is not the page that this harness makes of the session: write the pages with phase3 report, read "
                    "them, and sign then",
                    name=FILES[code],
                )
            )


def _given(
    words: Sequence[tuple[str, str]], form: Sequence[tuple[str, Decision, str]]
) -> dict[str, tuple[Decision, str]]:
    """Return the decisions of the form and of the command line. Each line is decided once."""
    from harness.signoff.statement import SignoffError

    found: dict[str, tuple[Decision, str]] = {}
    row: str | None = None
    decisions: list[tuple[str, Decision, str]] = list(form)
    for word, value in words:
        if word == ROW and row is None:
            row = value
        elif word != ROW and row is not None:
            decisions.append((row, cast("Decision", word), value))
            row = None
        else:
            raise SignoffError(
                say("expected --row ID and then one of --accept, --reject and --reserve, found --{word}", word=word)
            )
    if row is not None:
        raise SignoffError(say("expected --accept, --reject or --reserve after --row {row}, found none", row=row))
    for name, decision, comment in decisions:
        if name in found:
            raise SignoffError(say("expected one decision on {name}, found two: leave one out", name=name))
        found[name] = decision, comment
    return found


def _show(row: SeenRow, lang: Language) -> None:
    """Print a line with its figure, its scope and its limits."""
    from reports.rows import seen_badge

    shown = seen_badge(row.outcome, row.part, lang)
    line("")
    line(f"{shown.sign} {lang.say('{label}: {text}', label=shown.word, text=f'{row.id} {row.text}')}")
    for text in (row.figure, row.scope, *row.limits):
        if text:
            line(f"    {text}")


def _asked(row: SeenRow, translate: Translate) -> tuple[Decision, str]:
    """Ask for the decision on a line, and for the comment."""
    from harness.signoff.statement import needs_reason

    while True:
        word = _ANSWERS.get(_answer(say("a = accept, r = reject, s = accept with reserve:"), translate).lower()[:1])
        if word is not None:
            break
    decision = cast("Decision", word)
    needed = needs_reason(row.outcome, decision)
    question = say("Reason (needed):") if needed else say("Comment (may be empty):")
    comment = _answer(question, translate)
    while needed and not comment:
        comment = _answer(question, translate)
    return decision, comment


def _answer(question: Message, translate: Translate) -> str:
    from harness.signoff.statement import SignoffError

    try:
        return input(f"{question.render(translate)} ").strip()
    except EOFError:
        raise SignoffError(say("The questions were not answered to the end: nothing was written")) from None
