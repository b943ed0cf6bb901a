"""``phase3 record -- COMMAND``: observe a user's own run of ZeMosaic, record it and judge it."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from harness.commands.console import Commands, Text, line, new_folder, quoted, root, show, tell, user_path
from harness.language.message import Message, Translate, say, sentences_of
from harness.record.whole import as_said
from harness.verdict import Outcome, Verdict, exit_status, merge

if TYPE_CHECKING:
    from pathlib import Path

    from harness.record.reader import Record

UNKNOWN = 3


def register(commands: Commands, text: Text) -> None:
    """Add ``record``."""
    help_text = say("run your own command, such as ZeMosaic's window, with the probe; record and judge its mosaics")
    record = commands.add_parser("record", help=text(help_text))
    folder = say("the folder for the records (default: a new one below PHASE3_DIR, or .phase3)")
    record.add_argument("--dir", type=user_path, help=text(folder))
    seconds = say("time limit of the whole command, in seconds (default: a day)")
    record.add_argument("--seconds", type=float, default=86400.0, help=text(seconds))
    pair = say("then repeat each mosaic with its retention and with the other one, and compare per_tile with run_end")
    record.add_argument("--pair", action="store_true", help=text(pair))
    record.add_argument(
        "words", nargs="+", metavar="COMMAND", help=text(say("the command and its arguments, after --"))
    )
    record.set_defaults(command=_record)


def _record(options: argparse.Namespace, translate: Translate) -> int:
    from harness.record.in_use import held

    folder = (options.dir or new_folder(root() / "records", time.strftime("%Y-%m-%d"))).resolve()
    with held(folder):
        return _recorded(options, folder, translate)


def _recorded(options: argparse.Namespace, folder: Path, translate: Translate) -> int:
    """Record the command below a folder, judge its mosaics, and return the exit status."""
    from harness.checks.judge import judge
    from harness.field.observe import NothingRecordedError, PartlyRecordedError, record_command
    from harness.record.comparison import Comparison

    problems: tuple[Message, ...] = ()
    try:
        inputs: dict[Path, Path] = {}
        records = record_command(options.words, folder, options.seconds, _echo, inputs)
    except PartlyRecordedError as error:
        records, problems = error.records, error.messages
    except NothingRecordedError as error:
        if not error.imported:
            raise  # ZeMosaic was never imported: the command is wrong
        line(say("phase3: {error}", error=error.messages[0].render(translate)).render(translate), error=True)
        return UNKNOWN
    verdicts: list[Verdict] = []
    for problem in problems:
        line(say("phase3: {error}", error=problem.render(translate)).render(translate), error=True)
        verdicts.append(Verdict("record", Outcome.UNKNOWN, problem))
    for record in records:
        tell(say("Record: {path}", path=str(record.folder)), translate)
        if record.seal is not None and record.seal.reason:
            line(record.seal.reason)
        judged = judge(Comparison(record))
        show(judged, translate)
        verdicts += judged
        verdicts += _again(record, inputs[record.folder], options, translate)
    return exit_status(merge(v.outcome for v in verdicts if v.gates))


def _again(record: Record, frames: Path, options: argparse.Namespace, translate: Translate) -> tuple[Verdict, ...]:
    """Print the commands that repeat a recorded mosaic with its pair; with ``--pair``, run them and return their verdicts."""
    from harness.commands.case import repeat
    from harness.field.case_file import CaseError, make

    file = record.folder.parent / f"{record.folder.name}.phase3.json"
    target, retention = record.request.target, record.request.retention
    run = [str(file), "--frames", str(frames), "--target", f"{target.kind}:{target.root}", "--python", target.python]
    run.append("--pair")
    case = quoted(["phase3", "case", "make", str(record.folder), "-o", str(file)])
    tell(say("To make a case file of it: {command}", command=case), translate)
    command = quoted(["phase3", "case", "run", *run])
    other = "per_tile" if retention == "run_end" else "run_end"
    tell(say("Then, to repeat it and make the run with {other}: {command}", other=other, command=command), translate)
    if not options.pair:
        return ()
    try:
        make(record).write(file)
        return repeat(run, translate)
    except (CaseError, OSError) as error:
        for sentence in sentences_of(as_said(error), translate):
            line(sentence)
        return (Verdict("pair", Outcome.UNKNOWN, say("The pair could not be made.")),)


def _echo(data: bytes) -> None:
    sys.stdout.write(data.decode("utf-8", "replace"))
    sys.stdout.flush()
