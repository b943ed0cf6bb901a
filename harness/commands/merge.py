"""``phase3 merge``: merge the sessions of shards and platforms into one, and write its report."""

from __future__ import annotations

import argparse

from harness.commands.console import Commands, Text, tell, user_path
from harness.language.message import Translate, say
from harness.verdict import exit_status


def register(commands: Commands, text: Text) -> None:
    """Add ``merge``."""
    merge = commands.add_parser("merge", help=text(say("merge sessions of one target into one report")))
    merge.add_argument("out", type=user_path, help=text(say("the folder to write, new or empty")))
    merge.add_argument("session", type=user_path, nargs="+", help=text(say("the sessions' folders")))
    without = say(
        "leave out the output files of the targets: no check reads them, and they make up most of the size of a session"
    )
    merge.add_argument("--without-outputs", action="store_true", help=text(without))
    merge.set_defaults(command=_merge)


def _merge(options: argparse.Namespace, translate: Translate) -> int:
    from harness.session.integrity import read_sealed
    from harness.session.merge import merge_sessions
    from reports.material import Material
    from reports.write import write_views

    session = merge_sessions(options.out, options.session, outputs=not options.without_outputs, read=read_sealed)
    for path in write_views(Material(options.out)):
        tell(say("Written: {path}", path=str(path)), translate)
    return exit_status(session.outcome)
