"""``phase3 autopsy FOLDER [LOG]``: judge an ordinary run from its output folder and log."""

from __future__ import annotations

import argparse

from harness.commands.console import Commands, Text, line, show, user_path
from harness.language.message import Translate, say


def register(commands: Commands, text: Text) -> None:
    """Add ``autopsy``."""
    help_text = say("judge a run made without the probe, from its output folder and ZeMosaic's log")
    autopsy = commands.add_parser("autopsy", help=text(help_text))
    autopsy.add_argument(
        "folder", type=user_path, help=text(say("the output folder of the run; nothing is written there"))
    )
    autopsy.add_argument(
        "log",
        type=user_path,
        nargs="?",
        help=text(say("the log of that run, zemosaic_worker.log (default: the one in the folder)")),
    )
    autopsy.add_argument("--frames", type=user_path, help=text(say("the folder of that run's frames")))
    autopsy.set_defaults(command=_autopsy)


def _autopsy(options: argparse.Namespace, translate: Translate) -> int:
    from harness.field.autopsy import examine

    found = examine(options.folder, options.log, options.frames)
    line(found.answer.render(translate))
    for message in found.wanted:
        line(f"  -> {message.render(translate)}")
    line("")
    for note in found.notes:
        line(note.render(translate))
    return show(found.verdicts, translate)
