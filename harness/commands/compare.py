"""``phase3 compare A B``: say what changed between two sessions, or two runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.commands.console import Commands, Text, tell, user_path
from harness.language.message import Translate, say
from harness.verdict import Outcome, exit_status, merge


def register(commands: Commands, text: Text) -> None:
    """Add ``compare``."""
    status = say(
        "Exit status: 0 nothing is worse; 1 a verdict is worse, or outputs differ and nobody accepted the difference; 2 wrong "
        "usage; 3 outputs that count could not be compared."
    )
    compare = commands.add_parser(
        "compare",
        help=text(say("say what changed between two sessions or two runs: verdicts, figures, outputs, environment")),
        epilog=text(status),
    )
    add_sides(compare, text)
    compare.add_argument(
        "--json", type=user_path, metavar="FILE", help=text(say("write the comparison as JSON (docs/comparing.md)"))
    )
    page = say("write a page with both mosaics and their difference; the French version gets .fr before the extension")
    compare.add_argument("--html", type=user_path, metavar="FILE", help=text(page))
    compare.set_defaults(command=_compare)


def add_sides(parser: argparse.ArgumentParser, text: Text) -> None:
    """Add the two sides of a comparison."""
    first = say("the session to compare with, one run of a session (SESSION::KEY), or the folder of a record")
    parser.add_argument("a", metavar="A", help=text(first))
    parser.add_argument(
        "b", metavar="B", help=text(say("the session, run or record to compare, named in the same way"))
    )


def _compare(options: argparse.Namespace, translate: Translate) -> int:
    from harness.compare.build import compare
    from harness.compare.sides import read_side
    from harness.language.catalogue import language
    from harness.record.whole import Content, visible_json, write_all_named
    from harness.session.integrity import read_intact
    from reports.compared import rows, text
    from reports.html.compared import pages

    sides = read_side(options.a, read_intact), read_side(options.b, read_intact)
    changes = compare(*sides)
    lang = language(options.lang)
    files: dict[Path, Content] = {}
    if options.json is not None:
        files[options.json] = visible_json(changes.to_json())
    if options.html is not None:
        files |= pages(changes, *sides, options.html)
    write_all_named(files)
    doubts = [doubt for side in sides if side.session is not None for doubt in side.session.doubts]
    # Last, because a reader that goes away (as in "| head") ends the command.
    print(text(rows(changes, lang), lang))
    for path in files:
        tell(say("Written: {path}", path=str(path)), translate)
    for doubt in doubts:
        tell(doubt, translate)
    return exit_status(merge([changes.outcome, *((Outcome.UNKNOWN,) if doubts else ())]))
