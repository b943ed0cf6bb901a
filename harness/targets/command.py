"""Start any command as a target: it writes its own events and trace, as ``docs/protocol.md`` says."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets.errors import TargetError
from harness.targets.target import Target

WINDOWS = os.name == "nt"


class Command(Target):
    """A program that is started as it is and writes its own events and trace."""

    name = "command"
    forms = ("command:WORDS",)

    def resolve(self, rest: str, _python: str | None, _exports: Path, /) -> TargetFacts:
        """Return the target that a command line starts. The line is split into words once; no shell ever reads it.

        Raises ``TargetError`` when the line can't be split, is empty, or names a program that does not exist.
        """
        try:
            words = _split(rest)
        except ValueError as error:
            raise TargetError(
                say(
                    "expected a command line, found {words} ({error}): quote it as for a shell",
                    words=repr(rest),
                    error=str(error),
                )
            ) from error
        if not words:
            raise TargetError(say("expected a command after command:, found no text: give command:PROGRAM ARGUMENTS"))
        program = shutil.which(words[0])
        if program is None:
            raise TargetError(
                say("expected a program to start, found no {name}: give its full path", name=repr(words[0]))
            )
        command = (str(Path(program).absolute()), *words[1:])
        return TargetFacts(
            kind=self.name,
            label=f"command {Path(program).name}",
            root="",
            python="",
            identity={"command": list(command)},
            command=command,
        )

    def start(self, facts: TargetFacts, _record: Path, _env: dict[str, str], /) -> list[str]:
        """Return the command's own words."""
        return list(facts.command)


def _split(text: str) -> list[str]:
    """Split a command line as a shell of this system does. On Windows a backslash escapes nothing, and only ``"`` quotes."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = ""
    if WINDOWS:
        reader.escape = ""
        reader.quotes = '"'
    return list(reader)
