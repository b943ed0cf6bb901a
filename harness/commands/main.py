"""Run the ``phase3`` command. Exit status: 0 pass, 1 fail, 2 usage, 3 unknown.

Every command's module is imported at each start, for the help. So a module imports at its top only what its arguments need, and
imports the rest where the command runs: numpy and astropy alone take two seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from harness.commands import autopsy, case, conclude, data, doctor, dod, judge, merge, patch, record, report
from harness.commands.console import own_options
from harness.language.argparse_words import speaking
from harness.language.message import Message, Translate, say, sentences_of

USAGE = 2
LANGUAGES = ("en", "fr")
_COMMANDS = (doctor, data, report, judge, merge, conclude, dod, case, patch, record, autopsy)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    # The code page of a Windows console lacks characters that a frame's name may have.
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
        for problem in sentences_of(error, translate):
            said = say("phase3: {error}", error=own_options(problem, options))
            print(said.render(translate), file=sys.stderr)
        return USAGE
    return status


def _language(words: Sequence[str]) -> str:
    """Return the language asked for. It is needed before the arguments are parsed, for help and errors of usage."""
    asked = os.environ.get("PHASE3_LANG", "en")
    match words:
        case ["--lang", code, *_]:
            asked = code
        case [first, *_] if first.startswith("--lang="):
            asked = first.removeprefix("--lang=")
    return asked if asked in LANGUAGES else "en"


def _parser(translate: Translate) -> argparse.ArgumentParser:
    def text(message: Message) -> str:
        return message.render(translate)

    description = say("Validation of ZeMosaic's Phase 3 cache retention.")
    parser = argparse.ArgumentParser(prog="phase3", description=text(description))
    lang = say("language of the messages, given before the command (default: PHASE3_LANG, or en)")
    parser.add_argument("--lang", choices=LANGUAGES, help=text(lang))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in _COMMANDS:
        command.register(commands, text)
    return parser


if __name__ == "__main__":
    sys.exit(main())
