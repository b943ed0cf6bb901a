"""``phase3 dod SESSION [SESSION ...]``: write the Definition of Done as a document, in both languages."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.console import Commands, Text, line, tell, user_path
from harness.language.message import Translate, say
from harness.verdict import exit_status


def register(commands: Commands, text: Text) -> None:
    """Add ``dod``."""
    dod = commands.add_parser(
        "dod", help=text(say("write the Definition of Done, line by line with its evidence, from sessions"))
    )
    dod.add_argument("session", type=user_path, nargs="+", help=text(say("the sessions' folders")))
    subject = say("the label or commit of the target under validation (default: the first session's target)")
    dod.add_argument("--subject", default="", help=text(subject))
    output = say(
        "the file to write; the French version gets .fr before the extension (default: validation-TARGET.md"
        " in this folder)"
    )
    dod.add_argument("-o", "--output", type=user_path, help=text(output))
    dod.set_defaults(command=_dod)


def _dod(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from harness.session.checklist import DEFINITION_OF_DONE
    from harness.session.definition_of_done import read, together
    from harness.session.integrity import read_intact
    from reports.document.definition_of_done import write
    from reports.document.one_page import Sources
    from reports.rows import done_badge
    from reports.terminal import row_line

    done = together(read(options.session, read_intact), options.subject)
    stem = "".join(c if c.isalnum() else "-" for c in done.subject.rpartition(" ")[2]).strip("-")
    sources = Sources()
    paths = write(done, options.output or Path(f"validation-{stem[:40]}.md"), sources)
    lang = language(options.lang)
    for row in done.lines:
        if row.section == DEFINITION_OF_DONE:
            line(row_line(row, [part.session for part in done.own], lang))
    shown = done_badge(done, lang)
    whole = say("Definition of Done: {target}", target=done.subject).render(translate)
    line(f"{shown.sign} {lang.say('{label}: {text}', label=shown.word, text=whole)}")
    for sentence in sources.signoffs(done, lang):
        line(sentence)
    for part in done.parts:
        for doubt in part.session.doubts:
            tell(say("{label}: {text}", label=str(part.folder), text=doubt.render(translate)), translate)
    for path in paths:
        tell(say("Written: {path}", path=str(path)), translate)
    return exit_status(done.outcome)
