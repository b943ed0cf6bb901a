"""Commands of ``phase3`` beside those that look after sessions: a module each, with its arguments and what it prints."""

from __future__ import annotations

import argparse

from harness.commands import autopsy, case, conclude, dod, judge, merge, patch, record
from harness.language.message import Translate


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], translate: Translate) -> None:
    """Add the commands to the parser of ``phase3``, their help in the language asked for."""
    for command in (judge, merge, conclude, dod, case, patch, record, autopsy):
        command.register(commands, translate)
