"""``phase3 verify``: tell whether a session, a record or a sign-off is as it was written, and who signed what and when.

A page that says ``UNSIGNED`` of a sign-off that was signed since then shows the key; nothing else is written.

Exit status: 0 nothing has changed and a sign-off holds, 1 something was changed, 2 usage, 3 it could not be found out, as for a
session without a manifest and for an unsigned sign-off.
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

_WORST = (REFUSED, NOT_KNOWN, 0)


def register(commands: Commands, text: Text) -> None:
    """Add ``verify``."""
    verify = commands.add_parser(
        "verify", help=text(say("tell whether a session, a record or a sign-off has changed, and who signed"))
    )
    what = say("the folder of a session or of a record, or a signoff.json")
    verify.add_argument("what", type=user_path, metavar="SESSION", help=text(what))
    signers = say("the keys that you trust, in the format of git's allowed signers")
    verify.add_argument("--allowed-signers", type=user_path, metavar="FILE", help=text(signers))
    verify.set_defaults(command=_verify)


def _verify(options: argparse.Namespace, translate: Translate) -> int:
    from harness.session.integrity import FILE, SESSION, check
    from harness.session.model import require_one_kind
    from harness.signoff.statement import SIGNOFF

    path: Path = options.what.absolute()
    if not path.is_dir():
        # A page is written again only in a session that nobody changed: the manifest vouches for what is written.
        return _signoff(options, path, translate, update=check(path.parent).intact)
    require_one_kind(path)
    if (path / "request.json").is_file():
        return _record(path, translate)
    if not (path / SESSION).exists() and not (path / FILE).exists():
        return _signoff(options, path / SIGNOFF, translate)
    status = _session(path, translate)
    if (path / SIGNOFF).exists():
        signed = _signoff(options, path / SIGNOFF, translate, update=status != REFUSED)
        status = min(status, signed, key=_WORST.index)
    return status


def _session(folder: Path, translate: Translate) -> int:
    """Compare a session with its manifest."""
    from harness.session.integrity import check, not_sealed, other_limits

    found = check(folder)
    for _, message in found.changes:
        _line(REFUSED, message, translate)
    if not found.sealed:
        return _end(NOT_KNOWN, not_sealed(), translate)
    if found.changes:
        return _end(
            REFUSED, say("The session was changed. Files that differ: {count}.", count=len(found.changes)), translate
        )
    if other_limits(folder):
        told = say("The limits of the checks are not those with which the session was judged.")
        line(f"△ {told.render(translate)}")
    whole = say(
        "The session is as the harness left it. Whoever can write in its folder can also forge this: only a signature shows more."
    )
    return _end(0, whole, translate)


def _record(folder: Path, translate: Translate) -> int:
    """Compare a record with its seal, and its seal with the session that it is in."""
    from harness.record.seal import SEAL
    from harness.session.integrity import changes_in_record, require_known

    doubt = require_known(folder)
    if not (folder / SEAL).exists():
        return _end(NOT_KNOWN, say("The record is not sealed: its run did not reach its end."), translate)
    found = [message for _, message in changes_in_record(folder, folder.name)]
    for message in found:
        _line(REFUSED, message, translate)
    if found:
        return _end(REFUSED, say("The record was changed since it was sealed."), translate)
    if doubt is not None:
        return _end(NOT_KNOWN, doubt, translate)
    return _end(0, say("The record is as it was sealed."), translate)


def _signoff(options: argparse.Namespace, path: Path, translate: Translate, *, update: bool = True) -> int:
    """Compare a session with its sign-off, and tell who signed. With ``update``, pages show a later signature."""
    from harness.language.catalogue import language
    from harness.signoff.statement import SIGNOFF, SignoffError, read_bounded, read_statement
    from harness.signoff.verify import changes, read_differently
    from reports.rows import row_badge, seen_badge
    from reports.signoff import decision_title, row_words

    lang = language(options.lang)
    if not path.is_file():
        raise SignoffError(
            say(
                "expected a session, a record or a sign-off, found no file {path}: name a folder with a session.json or a "
                "request.json, or a signoff.json",
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
    if update and not changed and status != REFUSED and path.name == SIGNOFF and statement.predicate.key is None:
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
    from harness.record.whole import Content, undone, write_together
    from harness.session.integrity import note
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
        with undone(files):  # without its entry in the manifest, a page would look changed
            write_together(files)
            note(folder, (path.name for path in files))
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
