"""``phase3 accept A B``: a person accepts that the outputs of B differ from those of A."""

from __future__ import annotations

import argparse
import sys

from harness.commands.compare import add_sides
from harness.commands.console import Commands, Text, line, tell
from harness.language.message import SaidError, Translate, say

NOT_ACCEPTED = 1
USAGE = 2
NOTHING_COMPARED = 3


def register(commands: Commands, text: Text) -> None:
    """Add ``accept``."""
    status = say(
        "Exit status: 0 accepted, or nothing to accept; 1 not accepted; 2 wrong usage; 3 outputs that count could not be "
        "compared, so they are not accepted."
    )
    accept = commands.add_parser(
        "accept",
        help=text(say("accept, as a person, that the outputs of B differ from those of A; verdicts do not change")),
        epilog=text(status),
    )
    add_sides(accept, text)
    accept.add_argument("--by", required=True, metavar="NAME", help=text(say("who accepts")))
    accept.add_argument("--reason", required=True, metavar="TEXT", help=text(say("why the difference is right")))
    accept.add_argument(
        "--yes",
        action="store_true",
        help=text(say("accept the differences shown without asking; needed without a terminal")),
    )
    accept.set_defaults(command=_accept)


def _accept(options: argparse.Namespace, translate: Translate) -> int:
    from harness.compare.accepted import accept, acceptable
    from harness.compare.build import compare
    from harness.compare.sides import read_side
    from harness.language.catalogue import language
    from harness.session.integrity import read_sealed
    from harness.verdict import Outcome
    from reports.compared import output_lines, rows

    before, after = read_side(options.a, read_sealed), read_side(options.b, read_sealed)
    if after.session is None:
        raise SaidError(
            say(
                "expected a session or a run of a session, found a record without one in {path}: an acceptance is stored next "
                "to session.json",
                path=after.name,
            )
        )
    if not options.by.strip() or not options.reason.strip():
        raise SaidError(say("expected a name and a reason, found an empty one: give --by and --reason"))
    changes = compare(before, after)
    lang = language(options.lang)
    outputs = acceptable(changes)
    unknown = [o for o in changes.outputs if o.outcome is Outcome.UNKNOWN]
    shown = [row for row in rows(changes, lang).outputs if row.shown in outputs or row.shown in unknown]
    for row in shown:
        for text in output_lines(row, lang):
            line(text)
    status = NOTHING_COMPARED if unknown else 0
    if unknown:
        tell(say("Runs that could not be compared, and are not accepted: {count}.", count=len(unknown)), translate)
    if not outputs:
        tell(say("There is no difference to accept."), translate)
        return status
    if not options.yes and not _confirmed(len(outputs), options.by, translate):
        tell(say("Nothing was accepted, and nothing was written."), translate)
        return NOT_ACCEPTED
    path = accept(after.folder, changes, outputs, options.by, options.reason)
    tell(
        say("Accepted by {by}, runs: {count}. Written: {path}", by=options.by, count=len(outputs), path=str(path)),
        translate,
    )
    return status


def _confirmed(count: int, by: str, translate: Translate) -> bool:
    """Ask a person on a terminal. Raises ``ValueError`` without one: nothing is accepted by default."""
    if not sys.stdin.isatty():
        raise SaidError(
            say("expected a terminal to ask for a confirmation, found none: read the differences above, and add --yes")
        )
    tell(
        say(
            "{by}, do you accept these differences (runs: {count})? Verdicts do not change. Type yes to accept:",
            by=by,
            count=count,
        ),
        translate,
    )
    answer = sys.stdin.readline().strip().casefold()
    return answer in {"yes", translate("yes").casefold()}
