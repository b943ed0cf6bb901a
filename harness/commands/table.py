"""The commands of ``phase3``: one module each, with its arguments and what it prints.

Every module is imported at each start, for the help. So a module imports at its top only what its arguments need, and imports
the rest where the command runs: numpy and astropy alone take two seconds.
"""

from __future__ import annotations

from harness.commands import autopsy, case, conclude, data, doctor, dod, judge, merge, patch, record, report
from harness.commands.words import Commands, Text


def register(commands: Commands, text: Text) -> None:
    """Add the commands to the parser of ``phase3``, with their help rendered by ``text``."""
    for command in (doctor, data, report, judge, merge, conclude, dod, case, patch, record, autopsy):
        command.register(commands, text)
