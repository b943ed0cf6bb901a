"""``phase3 judge``: judge a record, or every run of a session, with the present checks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from harness.commands.console import Commands, Text, line, show, tell, user_path
from harness.language.message import Message, Translate, say
from harness.record.convert import to_json
from harness.session.roles import role_name
from harness.verdict import Outcome, exit_status, merge


def register(commands: Commands, text: Text) -> None:
    """Add ``judge``."""
    judge = commands.add_parser("judge", help=text(say("judge a record, or all runs of a session, again")))
    judge.add_argument("record", type=user_path, help=text(say("the folder of a record or of a session")))
    judge.add_argument("--pair", type=user_path, help=text(say("the record of the same run with run_end")))
    judge.add_argument("--baseline", type=user_path, help=text(say("the record of the same run before the patch")))
    equal = say("a record of the same target that must have the same outputs (may be repeated)")
    judge.add_argument("--equal", type=user_path, action="append", default=[], metavar="RECORD", help=text(equal))
    timed = say(
        "two records for timing, made alone on the machine: per_tile, then the same with run_end (may be repeated)"
    )
    judge.add_argument(
        "--timed", type=user_path, nargs=2, action="append", default=[], metavar=("RECORD", "PAIR"), help=text(timed)
    )
    size = say("a record of the same test with another number of frames (may be repeated)")
    judge.add_argument("--size", type=user_path, action="append", default=[], metavar="RECORD", help=text(size))
    check = say("judge with this check only (may be repeated)")
    judge.add_argument("--check", action="append", metavar="NAME", help=text(check))
    judge.add_argument("--json", action="store_true", help=text(say("print JSON, with all evidence")))
    judge.set_defaults(command=_judge)


def _judge(options: argparse.Namespace, translate: Translate) -> int:
    if (options.record / "session.json").is_file():
        return _session(options, translate)
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.record.reader import read_record
    from harness.session.integrity import require_known

    folders: Comparison[Path] = Comparison(
        options.record,
        options.pair,
        options.baseline,
        tuple(options.equal),
        tuple((run, pair) for run, pair in options.timed),
        tuple(options.size),
    )
    doubts: list[Message] = []
    folders.map(lambda folder: doubts.extend(filter(None, [require_known(folder)])))
    verdicts = judge(folders.map(read_record), options.check)
    outcome = merge([*(v.outcome for v in verdicts if v.gates), *((Outcome.UNKNOWN,) if doubts else ())])
    if options.json:
        _print_json({"outcome": str(outcome), "verdicts": verdicts})
    else:
        show(verdicts, translate)
    for doubt in dict.fromkeys(message.render(translate) for message in doubts):
        line(doubt, error=options.json)
    return exit_status(outcome)


def _session(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from harness.session.integrity import other_limits, read_intact
    from harness.session.model import SessionError
    from harness.session.rejudge import changes, judge_again
    from harness.signoff.standing import beside
    from reports.badges import BEFORE
    from reports.signoff import standing_line

    if options.pair or options.baseline or options.equal or options.timed or options.size:
        raise SessionError(
            say(
                "expected a session alone, found options with records: leave them out; the session names the runs to compare"
            )
        )
    session, _ = read_intact(options.record)
    again = judge_again(options.record, session, options.check)
    outcomes = [judged.outcome for judged in again if judged.role not in BEFORE]
    outcome = merge([*outcomes, *((Outcome.UNKNOWN,) if session.doubts else ())])
    if options.json:
        _print_json({"outcome": str(outcome), "judged": again})
        return exit_status(outcome)
    for doubt in session.doubts:
        tell(doubt, translate)
    if other_limits(options.record):
        tell(say("The limits of the checks are not those with which the session was judged."), translate)
    runs = zip(session.judged, again, strict=True)
    found = [(after, change) for before, after in runs for change in changes(before, after)]
    for run, change in found:
        was = translate(change.before.outcome) if change.before else "–"
        label = f"{run.case}, {role_name(run.role).render(translate)}, {change.after.check}"
        tell(say("{label}: {text}", label=label, text=f"{was} → {translate(change.after.outcome)}"), translate)
        line(f"    {change.after.sentence.render(translate)}")
    count = len(found)
    tell(say("Runs judged again: {runs}; verdicts that changed: {changed}.", runs=len(again), changed=count), translate)
    if (standing := beside(options.record)) is not None:
        line(standing_line(standing, language(options.lang)))
    return exit_status(outcome)


def _print_json(data: object) -> None:
    print(json.dumps(to_json(data), indent=1, allow_nan=False))
