"""Run the ``phase3`` command. Exit status: 0 pass, 1 fail, 2 usage, 3 unknown.

Every command's module is imported at each start, for the help. So a module imports at its top only what its arguments need, and
imports the rest where the command runs: numpy and astropy alone take two seconds.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

from harness.commands import (
    accept,
    autopsy,
    case,
    clean,
    compare,
    conclude,
    data,
    doctor,
    dod,
    judge,
    merge,
    patch,
    record,
    report,
    sign,
    verify,
)
from harness.commands.console import Commands, line, own_options, quoted
from harness.language.argparse_words import speaking
from harness.language.message import Message, Translate, say, sentences_of
from harness.record.whole import NotWrittenError, as_said

USAGE = 2
BROKEN_PIPE = 141
"""The status that a shell reports for a program whose reader went away, as in ``phase3 judge RECORD | head -1``."""
_COMMANDS = (
    doctor,
    clean,
    data,
    report,
    judge,
    compare,
    accept,
    merge,
    conclude,
    dod,
    sign,
    verify,
    case,
    patch,
    record,
    autopsy,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status."""
    # The code page of a Windows console lacks characters that a frame's name may have.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from harness.language.catalogue import translator
    from harness.language.system import CODES

    words = sys.argv[1:] if argv is None else list(argv)
    lang = _language(words, CODES)
    translate = translator(lang)
    with speaking(translate):
        options = _parser(translate, CODES).parse_args(words, argparse.Namespace(lang=lang))
        if options.command is None:  # "phase3", "phase3 --lang fr", "phase3 case"
            options.asked.print_help()
            return 0
    try:
        status: int = options.command(options, translate)
        sys.stdout.flush()  # a reader that went away is noticed here, not at the interpreter's end
    except BrokenPipeError:
        # Otherwise Python would report the pipe again when it closes the stream.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except (ValueError, OSError) as error:
        # What remains unwritten is said with the command that writes it again: the files are as they were before.
        again = _again(error, words)
        for problem in (*sentences_of(as_said(error), translate), *(message.render(translate) for message in again)):
            said = say("phase3: {error}", error=own_options(problem, options))
            line(said.render(translate), error=True)
        return USAGE
    return status


def _again(error: Exception, words: Sequence[str]) -> tuple[Message, ...]:
    """Return the sentence on how to write again what could not be written; nothing for another error."""
    if not isinstance(as_said(error), NotWrittenError):
        return ()
    command = getattr(error, "again", ()) or ("phase3", *words)
    return (say("Older files are unchanged. To write it again: {command}", command=quoted(command)),)


def _language(words: Sequence[str], codes: Sequence[str]) -> str:
    """Return the language asked for. It is needed before the arguments are parsed, for help and errors of usage."""
    from harness.language.system import language_of

    own = words[: words.index("--")] if "--" in words else words  # what follows belongs to another program
    given = [word.removeprefix("--lang=") for word in own if word.startswith("--lang=")]
    given += [code for word, code in pairwise(own) if word == "--lang"]
    return next((code for code in reversed(given) if code in codes), language_of(os.environ))


def _parser(translate: Translate, codes: Sequence[str]) -> argparse.ArgumentParser:
    def text(message: Message) -> str:
        return message.render(translate)

    description = say("Validation of ZeMosaic's Phase 3 cache retention.")
    parser = argparse.ArgumentParser(prog="phase3", description=text(description))
    lang = say("language of the messages (default: PHASE3_LANG, or that of the system if it is one of these, or en)")
    parser.add_argument("--lang", choices=codes, help=text(lang))
    parser.set_defaults(command=None, asked=parser)
    commands = parser.add_subparsers(metavar="COMMAND")
    for command in _COMMANDS:
        command.register(commands, text)
    for subparser in _below(commands):
        subparser.add_argument("--lang", choices=codes, default=argparse.SUPPRESS, help=text(lang))
    return parser


def _below(commands: Commands) -> Iterator[argparse.ArgumentParser]:
    """Yield the parser of each command, also of those below a command, such as ``phase3 case run``."""
    for parser in commands.choices.values():
        yield parser
        for action in parser._actions:  # noqa: SLF001 -- argparse has no public way to the commands below a command
            if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
                parser.set_defaults(asked=parser)
                yield from _below(action)


if __name__ == "__main__":
    sys.exit(main())
