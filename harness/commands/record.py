"""``phase3 record -- COMMAND``: observe a user's own run of ZeMosaic, record it and judge it."""

from __future__ import annotations

import argparse
import sys
import time

from harness.commands.console import Commands, Text, new_folder, root, show, tell, user_path
from harness.language.message import Translate, say, visible
from harness.verdict import Verdict, exit_status, merge

UNKNOWN = 3


def register(commands: Commands, text: Text) -> None:
    """Add ``record``."""
    help_text = say("run your own command, such as ZeMosaic's window, with the probe; record and judge its mosaics")
    record = commands.add_parser("record", help=text(help_text))
    folder = say("the folder for the records (default: a new one below PHASE3_DIR, or .phase3)")
    record.add_argument("--dir", type=user_path, help=text(folder))
    seconds = say("time limit of the whole command, in seconds (default: a day)")
    record.add_argument("--seconds", type=float, default=86400.0, help=text(seconds))
    record.add_argument(
        "words", nargs="+", metavar="COMMAND", help=text(say("the command and its arguments, after --"))
    )
    record.set_defaults(command=_record)


def _record(options: argparse.Namespace, translate: Translate) -> int:
    from harness.checks.judge import judge
    from harness.field.observe import NothingRecordedError, record_command
    from harness.record.comparison import Comparison

    folder = (options.dir or new_folder(root() / "records", time.strftime("%Y-%m-%d"))).resolve()
    try:
        records = record_command(options.words, folder, options.seconds, _echo)
    except NothingRecordedError as error:
        if not error.imported:
            raise  # ZeMosaic was never imported: the command is wrong
        print(say("phase3: {error}", error=error.messages[0].render(translate)).render(translate), file=sys.stderr)
        return UNKNOWN
    verdicts: list[Verdict] = []
    for record in records:
        tell(say("Record: {path}", path=str(record.folder)), translate)
        if record.seal is not None and record.seal.reason:
            print(visible(record.seal.reason))
        judged = judge(Comparison(record))
        show(judged, translate)
        verdicts += judged
        tell(say("To make a case file of it: {command}", command=f'phase3 case make "{record.folder}"'), translate)
    return exit_status(merge(v.outcome for v in verdicts if v.gates))


def _echo(data: bytes) -> None:
    sys.stdout.write(data.decode("utf-8", "replace"))
    sys.stdout.flush()
