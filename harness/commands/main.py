"""The ``phase3`` command. Exit status: 0 pass, 1 fail, 2 usage, 3 unknown."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.table import register
from harness.language.argparse_words import speaking
from harness.language.message import Message, Translate, say, told
from harness.verdict import exit_status

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 -- what add_subparsers returns has no other name

USAGE = 2
LANGUAGES = ("en", "fr")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    # Windows consoles default to a code page without the characters that frames' names may have.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from harness.language.catalogue import translator

    words = sys.argv[1:] if argv is None else list(argv)
    lang = _language(words)
    translate = translator(lang)
    with speaking(translate):
        options = _parser(translate).parse_args(words, argparse.Namespace(lang=lang))
    try:
        status: int = options.command(options, translate)
    except (ValueError, OSError) as error:
        for problem in told(error, translate):
            print(_text(say("phase3: {error}", error=problem), translate), file=sys.stderr)
        return USAGE
    return status


def _language(words: Sequence[str]) -> str:
    """Return the language that was asked for: help and errors of usage are said in it, so it must be known before them."""
    asked = os.environ.get("PHASE3_LANG", "en")
    match words:
        case ["--lang", code, *_]:
            asked = code
        case [first, *_] if first.startswith("--lang="):
            asked = first.removeprefix("--lang=")
    return asked if asked in LANGUAGES else "en"


def _parser(translate: Translate) -> argparse.ArgumentParser:
    description = say("Validation of ZeMosaic's Phase 3 cache retention.")
    parser = argparse.ArgumentParser(prog="phase3", description=_text(description, translate))
    text = say("language of the messages, given before the command (default: PHASE3_LANG, or en)")
    parser.add_argument("--lang", choices=LANGUAGES, help=_text(text, translate))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_doctor, _add_data, _add_report):
        add(commands, translate)
    register(commands, translate)
    return parser


def _add_doctor(commands: Commands, translate: Translate) -> None:
    text = say("say what is missing on this machine, and what to do")
    doctor = commands.add_parser("doctor", help=_text(text, translate))
    for name, kind in (("target", str), ("python", str), ("frames", Path)):
        doctor.add_argument(
            f"--{name}",
            type=kind,
            default=os.environ.get(f"PHASE3_{name.upper()}"),
            help=_text(say("as pytest's {option}", option=f"--phase3-{name}"), translate),
        )
    doctor.set_defaults(command=_doctor)


def _add_data(commands: Commands, translate: Translate) -> None:
    data = commands.add_parser("data", help=_text(say("the sets of observed frames"), translate))
    actions = data.add_subparsers(required=True, metavar="ACTION")
    actions.add_parser("list", help=_text(say("say which sets are here"), translate)).set_defaults(command=_data_list)
    for name, command, text in (
        ("fetch", _data_fetch, say("build a set's ready frames from their public originals")),
        ("verify", _data_verify, say("compare a set with its manifest, byte by byte")),
    ):
        action = actions.add_parser(name, help=_text(text, translate))
        action.add_argument("set", nargs="*", help=_text(say("names of sets (default: all)"), translate))
        action.set_defaults(command=command)


def _add_report(commands: Commands, translate: Translate) -> None:
    report = commands.add_parser(
        "report", help=_text(say("write a session's report, summary and JUnit again"), translate)
    )
    text = say("a session's folder (default: the latest in PHASE3_DIR, or in the nearest .phase3)")
    report.add_argument("session", type=Path, nargs="?", help=_text(text, translate))
    report.set_defaults(command=_report)


def _doctor(options: argparse.Namespace, translate: Translate) -> int:
    from harness.commands.doctor import examine

    findings = examine(options.target, options.python, options.frames)
    for finding in findings:
        mark = _text({True: say("ok"), False: say("MISSING"), None: say("?")}[finding.ok], translate)
        told = say("{label}: {text}", label=_text(finding.name, translate), text=_text(finding.found, translate))
        print(f"{mark:<8} {_text(told, translate)}")
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


def _report(options: argparse.Namespace, translate: Translate) -> int:
    from reports.material import Material
    from reports.write import write_views

    material = Material(options.session or _latest())
    for path in write_views(material):
        print(_text(say("Written: {path}", path=str(path)), translate))
    return exit_status(material.session.outcome)


def _latest() -> Path:
    """Return the latest session: below ``PHASE3_DIR``, else below the ``.phase3`` of the nearest folder that has one."""
    from harness.record.values import inside
    from harness.session.model import SessionError

    given = os.environ.get("PHASE3_DIR")
    here = Path.cwd()
    roots = [Path(given).expanduser()] if given else [folder / ".phase3" for folder in (here, *here.parents)]
    root = next((root for root in roots if (root / "latest").is_file()), None)
    if root is None:
        where = str(roots[0]) if given else f"{here} and the folders above it"
        raise SessionError(
            say(
                "expected a session below {where}, found none: run pytest -m phase3, name a session's folder, or set "
                "PHASE3_DIR to what --phase3-dir was",
                where=where,
            )
        )
    return inside(root, (root / "latest").read_text(encoding="utf-8").strip())


def _text(message: Message, translate: Translate) -> str:
    return message.render(translate)


if __name__ == "__main__":
    sys.exit(main())
