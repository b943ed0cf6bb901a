"""Print messages and verdicts on a terminal, and choose the folders for a command's results."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from harness.language.message import Message, Translate, flat, say
from harness.verdict import Verdict, exit_status, merge, worst_first

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 -- the class has no public name
Text = Callable[[Message], str]
"""Renders a message in the language of the user."""


def line(text: str, *, error: bool = False) -> None:
    """Print one line. Names, reasons and paths come from files: none of them starts a line or controls the terminal."""
    print(flat(text), file=sys.stderr if error else sys.stdout)


def tell(message: Message, translate: Translate) -> None:
    """Print a message in the language of the user."""
    line(message.render(translate))


def show(verdicts: Iterable[Verdict], translate: Translate) -> int:
    """Print verdicts, the worst first, each with its numbered cause; return their exit status."""
    ordered = sorted(verdicts, key=worst_first)
    for verdict in ordered:
        kind = f" ({say('finding').render(translate)})" if verdict.axis == "quality" else ""
        said = say("{label}: {text}", label=f"{verdict.check}{kind}", text=verdict.sentence.render(translate))
        line(f"{translate(verdict.outcome).upper():<15} {said.render(translate)}")
        for number, link in enumerate(verdict.cause, 1):
            line(f"{'':<15}   {number}. {link.render(translate)}")
    return exit_status(merge(v.outcome for v in ordered if v.gates))


def root() -> Path:
    """Return the folder of sessions: ``PHASE3_DIR``, else ``.phase3`` in the working folder."""
    given = os.environ.get("PHASE3_DIR")
    return (Path(given).expanduser() if given else Path(".phase3")).absolute()


def quoted(words: Sequence[str]) -> str:
    """Return a command as a shell of this system reads it."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def user_path(text: str) -> Path:
    """Return the path that an argument names; ``~`` is the user's home also where a shell does not replace it."""
    try:
        return Path(text).expanduser()
    except RuntimeError:  # no such user
        return Path(text)


def own_options(text: str, options: argparse.Namespace) -> str:
    """Name pytest's options in a message as the command does, where it has them: ``--python``, not ``--phase3-python``."""

    def own(match: re.Match[str]) -> str:
        return f"--{match[1]}" if hasattr(options, match[1]) else match[0]

    return re.sub(r"--phase3-([a-z]+)", own, text)


def new_folder(parent: Path, name: str) -> Path:
    """Return the first of ``NAME-1``, ``NAME-2``, … that does not exist."""
    number = 1
    while (parent / f"{name}-{number}").exists():
        number += 1
    return parent / f"{name}-{number}"
