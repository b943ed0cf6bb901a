"""How to start each target; nothing of how to judge it.

A target is named by a specification:

=========================  ==========================================================================================
``reference``              the embedded reference pipeline
``reference:A,B``          the same with these defects switched on
``zemosaic:PATH``          a checkout as it is, changed files included
``zemosaic:PATH@COMMIT``   any commit of the repository at that path, a bare one too
``command:WORDS``          a command that speaks the protocol itself
=========================  ==========================================================================================
"""

from __future__ import annotations

from pathlib import Path

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets import command, reference, zemosaic
from harness.targets.errors import TargetError


def resolve(spec: str, python: str | None, exports: Path) -> TargetFacts:
    """Return what identifies a target and how it is started.

    Parameters
    ----------
    spec
        The specification, as above.
    python
        The interpreter that has ZeMosaic's libraries; ``None`` for this one. The reference always runs in this one.
    exports
        The folder that copies of checkouts and commits are kept in, shared between sessions.

    Raises
    ------
    TargetError
        When the target can't be had: what was expected, what was found, what to do.

    """
    kind, colon, rest = spec.partition(":")
    if kind == "reference":
        return reference.resolve(rest)
    if kind == "zemosaic" and colon:
        return zemosaic.resolve(rest, python, exports)
    if kind == "command" and colon:
        return command.resolve(rest)
    raise TargetError(
        say(
            "expected a target such as reference, reference:DEFECT, zemosaic:PATH, zemosaic:PATH@COMMIT or command:WORDS, "
            "found {spec}: give one of these with --phase3-target",
            spec=repr(spec),
        )
    )
