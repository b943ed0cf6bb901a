"""``phase3 verify SIGNOFF``: tell who signed what and when, and whether anything has changed since.

A page that says ``UNSIGNED`` of a sign-off that was signed since then shows the key; nothing else is written.

Exit status: 0 the sign-off holds, 1 it is void, 2 usage, 3 it could not be found out, as for an unsigned one.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from harness.commands.console import Commands, Text, line, tell, user_path
from harness.commands.sign import NOT_KNOWN, REFUSED, said
from harness.language.message import Message, Translate, say

if TYPE_CHECKING:
    from pathlib import Path

    from harness.signoff.statement import Statement


def register(commands: Commands, text: Text) -> None:
    """Add ``verify``."""
    verify = commands.add_parser(
        "verify", help=text(say("tell who signed a sign-off, and whether the session has changed since"))
    )
    verify.add_argument("signoff", type=user_path, help=text(say("a signoff.json, or the session's folder")))
    signers = say("the keys that you trust, in the format of git's allowed signers")
    verify.add_argument("--allowed-signers", type=user_path, metavar="FILE", help=text(signers))
    verify.set_defaults(command=_verify)


def _verify(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from harness.signoff.statement import SIGNOFF, SignoffError, read_bounded, read_statement
    from harness.signoff.verify import changes, read_differently
    from reports.rows import row_badge, seen_badge
    from reports.signoff import decision_title, row_words

    path: Path = options.signoff.absolute()
    if path.is_dir():
        path /= SIGNOFF
    lang = language(options.lang)
    if not path.is_file():
        raise SignoffError(
            say(
                "expected a sign-off, found no file {path}: name a signoff.json, or write one with phase3 sign",
                path=str(path),
            )
        )
    try:
        content = read_bounded(path)
        statement = read_statement(content, str(path))
    except SignoffError as error:
        said(error, translate, REFUSED)
        return _end(REFUSED, say("The sign-off is void."), translate)
    line(decision_title(statement.predicate, lang))
    for row in statement.predicate.rows:
        line(f"    {row_words(row, lang)}")
    changed = changes(path.parent, statement)
    for message in changed:
        _line(REFUSED, message, translate)
    for then, now, session in read_differently(path.parent, statement):
        words = {
            "then": seen_badge(then.outcome, then.part, lang).word,
            "now": row_badge(now, session, lang).word,
        }
        told = lang.say(
            "Line {id} was “{then}” when it was decided. This version of the harness reads the same session as “{now}”.",
            id=then.id,
            **words,
        )
        line(f"△ {told}")
    status, reason = _of_signature(path, content, statement, options.allowed_signers)
    _line(status, reason, translate)
    if not changed and status != REFUSED and path.name == SIGNOFF and statement.predicate.key is None:
        _show_later_signature(path.parent, translate)
    if changed:
        return _end(REFUSED, say("The sign-off is void: what it binds is not as it was."), translate)
    sentences = {
        0: say("The sign-off holds: nothing that it binds has changed."),
        REFUSED: say("The sign-off is void."),
        NOT_KNOWN: say("Nothing that the sign-off binds has changed, but it is not known who decided."),
    }
    return _end(status, sentences[status], translate)


def _of_signature(path: Path, content: bytes, statement: Statement, signers: Path | None) -> tuple[int, Message]:
    """Return the status that follows from the signature, and the sentence on it."""
    from harness.signoff.signing import NoProgramError, verify
    from harness.signoff.ssh_signature import MAX_SIGNATURE
    from harness.signoff.statement import read_bounded

    named = statement.predicate.key
    file = path.with_name(f"{path.name}.sig")
    if not file.exists():
        if named is None:
            return NOT_KNOWN, say("UNSIGNED: anyone can have written this sign-off, its name and its date.")
        return REFUSED, say("{name}: missing, though the sign-off names the key {key}", name=file.name, key=named)
    try:
        found = verify(content, read_bounded(file, MAX_SIGNATURE), signers, named)
    except NoProgramError as error:
        return NOT_KNOWN, error.messages[0]
    return {"good": 0, "bad": REFUSED, "unknown": NOT_KNOWN}[found.state], found.reason


def _show_later_signature(folder: Path, translate: Translate) -> None:
    """Show the key on pages and summaries that say ``UNSIGNED``, of a sign-off that was signed after they were written."""
    from harness.record.whole import Content, write_together
    from harness.signoff.standing import beside
    from reports.html.render import signed_pages
    from reports.material import Material
    from reports.write import summaries

    standing = beside(folder)
    if standing is None or standing.state != "signed" or standing.key is None:
        return
    try:
        files: dict[Path, Content] = {**signed_pages(folder, standing.key)}
        if files:
            files |= summaries(Material(folder))
        write_together(files)
    except OSError as error:
        told = say(
            "The page says UNSIGNED, and can't be written ({error}): run phase3 report on the session where it can be",
            error=str(error),
        )
        line(f"△ {told.render(translate)}")
        return
    for path in files:
        tell(say("Written: {path}", path=str(path)), translate)


def _line(status: int, message: Message, translate: Translate) -> None:
    sign = {0: "✓", REFUSED: "✗", NOT_KNOWN: "?"}[status]
    line(f"{sign} {message.render(translate)}")


def _end(status: int, sentence: Message, translate: Translate) -> int:
    _line(status, sentence, translate)
    return status
