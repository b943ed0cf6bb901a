"""The command line: ``phase3 doctor``, ``data``, ``judge`` and ``report``. Exit status: 0 pass, 1 fail, 2 usage, 3 unknown."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.message import Message, Translate, say
from harness.verdict import exit_status, merge, worst_first

USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    # Windows consoles default to a code page without the characters that frames' names may have.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(argv)
    from reports.language import translator

    translate = translator(options.lang)
    try:
        status: int = options.command(options, translate)
    except (ValueError, OSError) as error:
        # Where an error has sentences (bad frames, bad plans), they are said in the language that was asked for.
        problems: tuple[Message, ...] = getattr(error, "messages", ())
        for problem in [_text(message, translate) for message in problems] or [str(error)]:
            print(_text(say("phase3: {error}", error=problem), translate), file=sys.stderr)
        return USAGE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="phase3", description="Validation of ZeMosaic's Phase 3 cache retention.")
    language = os.environ.get("PHASE3_LANG", "en")
    parser.add_argument("--lang", choices=("en", "fr"), default=language if language in ("en", "fr") else "en")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    doctor = commands.add_parser("doctor", help="say what is missing on this machine, and what to do")
    doctor.add_argument("--target", default=os.environ.get("PHASE3_TARGET"), help="as pytest's --phase3-target")
    doctor.add_argument("--python", default=os.environ.get("PHASE3_PYTHON"), help="as pytest's --phase3-python")
    doctor.add_argument(
        "--frames", type=Path, default=os.environ.get("PHASE3_FRAMES"), help="as pytest's --phase3-frames"
    )
    doctor.set_defaults(command=_doctor)

    data = commands.add_parser("data", help="the sets of observed frames").add_subparsers(
        required=True, metavar="ACTION"
    )
    data.add_parser("list", help="say which sets are here").set_defaults(command=_data_list)
    for name, command, text in (
        ("fetch", _data_fetch, "build a set's ready frames from their public originals"),
        ("verify", _data_verify, "compare a set with its manifest, byte by byte"),
    ):
        action = data.add_parser(name, help=text)
        action.add_argument("set", nargs="*", help="names of sets (default: all)")
        action.set_defaults(command=command)

    judge = commands.add_parser("judge", help="judge a record again")
    judge.add_argument("record", type=Path)
    judge.add_argument("--pair", type=Path, help="the record of the same run with run_end")
    judge.add_argument("--baseline", type=Path, help="the record of the same run before the patch")
    judge.set_defaults(command=_judge)

    report = commands.add_parser("report", help="write a session's report again")
    report.add_argument(
        "session",
        type=Path,
        nargs="?",
        help="a session's folder (default: the latest in PHASE3_DIR, or in the nearest .phase3)",
    )
    report.set_defaults(command=_report)
    return parser


def _doctor(options: argparse.Namespace, translate: Translate) -> int:
    from harness.doctor import examine

    findings = examine(options.target, options.python, options.frames)
    for finding in findings:
        mark = {True: "ok     ", False: "MISSING", None: "?      "}[finding.ok]
        print(f"{mark}  {_text(finding.name, translate)}: {_text(finding.found, translate)}")
        if finding.todo is not None and finding.ok is not True:
            print(f"         -> {_text(finding.todo, translate)}")
    return USAGE if any(finding.ok is False for finding in findings) else 0


def _data_list(_: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    for status in real.status():
        where = (
            str(status.folder)
            if status.folder
            else _text(say("not here; get it with: {command}", command=real.command_to_get(status.name)), translate)
        )
        print(f"{status.name}  {status.frames}  {where}")
    return 0


def _data_fetch(options: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    for name in options.set or [s.name for s in real.status()]:
        print(_text(say("{set}: ready in {folder}", set=name, folder=str(real.fetch(name))), translate))
    return 0


def _data_verify(options: argparse.Namespace, translate: Translate) -> int:
    from fixtures import real

    bad = False
    for name in options.set or [s.name for s in real.status() if s.folder]:
        problems = real.verify(name)
        bad = bad or bool(problems)
        for problem in problems:
            print(_text(problem.message, translate))
        if not problems:
            print(_text(say("{set}: every frame is as its manifest says", set=name), translate))
    return 1 if bad else 0


def _judge(options: argparse.Namespace, translate: Translate) -> int:
    from harness import checks
    from harness.checks.base import Case
    from harness.record import read_record

    run, pair, baseline = (read_record(p) if p else None for p in (options.record, options.pair, options.baseline))
    assert run is not None
    verdicts = sorted(checks.judge(Case(run, pair, baseline)), key=worst_first)
    for verdict in verdicts:
        print(f"{verdict.outcome.upper():<15} {verdict.check}: {_text(verdict.sentence, translate)}")
        for number, link in enumerate(verdict.cause, 1):
            print(f"{'':<15}   {number}. {_text(link, translate)}")
    return exit_status(merge(v.outcome for v in verdicts if v.gates))


def _report(options: argparse.Namespace, translate: Translate) -> int:
    from harness.session import read_session
    from reports.report import write_reports

    folder = options.session or _latest()
    session = read_session(folder)
    for path in write_reports(folder):
        print(_text(say("Report: {path}", path=str(path)), translate))
    return exit_status(session.outcome)


def _latest() -> Path:
    """Return the latest session: below ``PHASE3_DIR``, else below the ``.phase3`` of the nearest folder that has one."""
    from harness.record import inside

    given = os.environ.get("PHASE3_DIR")
    here = Path.cwd()
    roots = [Path(given).expanduser()] if given else [folder / ".phase3" for folder in (here, *here.parents)]
    root = next((root for root in roots if (root / "latest").is_file()), None)
    if root is None:
        where = roots[0] if given else f"{here} and the folders above it"
        raise ValueError(
            f"expected a session below {where}, found none: run pytest -m phase3, name a session's folder, or set PHASE3_DIR "
            "to what --phase3-dir was"
        )
    return inside(root, (root / "latest").read_text(encoding="utf-8").strip())


def _text(message: Message, translate: Translate) -> str:
    return message.render(translate)
