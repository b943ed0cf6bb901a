"""Any command that speaks the protocol (``docs/protocol.md``) itself."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets.errors import TargetError

WINDOWS = os.name == "nt"


def resolve(words: str) -> TargetFacts:
    """Return the target that a command line starts. It is split into words once; no shell ever sees it.

    Raises
    ------
    TargetError
        When it can't be split, is empty, or names a program that is not there.

    """
    try:
        command = _split(words)
    except ValueError as error:
        raise TargetError(
            say(
                "expected a command line, found {words} ({error}): quote it as for a shell",
                words=repr(words),
                error=str(error),
            )
        ) from error
    if not command:
        raise TargetError(say("expected a command after command:, found nothing: give command:PROGRAM ARGUMENTS"))
    program = shutil.which(command[0])
    if program is None:
        raise TargetError(
            say("expected a program to start, found no {name}: give its full path", name=repr(command[0]))
        )
    found = str(Path(program).absolute())
    return TargetFacts(
        kind="command",
        label=f"command {Path(program).name}",
        root="",
        python="",
        identity={"command": [found, *command[1:]]},
        command=(found, *command[1:]),
    )


def _split(text: str) -> list[str]:
    """Split a command line as a shell of this system would; on Windows a backslash is no escape, and only ``"`` quotes."""
    reader = shlex.shlex(text, posix=True, punctuation_chars=False)
    reader.whitespace_split = True
    reader.commenters = ""
    if WINDOWS:
        reader.escape = ""
        reader.quotes = '"'
    return list(reader)
