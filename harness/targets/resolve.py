"""List the kinds of target, and resolve a specification such as ``reference`` or ``zemosaic:PATH``.

A new kind of target is a class like those in ``reference.py`` and ``command.py``, and an entry in ``TARGETS``.
"""

from __future__ import annotations

from pathlib import Path

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets.command import Command
from harness.targets.errors import TargetError
from harness.targets.reference import Reference
from harness.targets.target import Target
from harness.targets.zemosaic import ZeMosaic

EMBEDDED = Reference()
TARGETS: dict[str, Target] = {target.name: target for target in (EMBEDDED, ZeMosaic(), Command())}


def resolve(spec: str, python: str | None, exports: Path) -> TargetFacts:
    """Return what identifies a target and how it is started.

    ``python`` is the interpreter that has the target's libraries; ``None`` for this one, in which the reference always runs.
    ``exports`` is the folder that holds copies of checkouts and commits, shared between sessions.

    Raises ``TargetError`` when the target can't be run here.
    """
    target, rest = parse(spec)
    return target.resolve(rest, python, exports)


def parse(spec: str) -> tuple[Target, str]:
    """Split a specification into the kind of target and the text after the colon.

    Raises ``TargetError`` when no kind has that name, or the kind needs more than its name.
    """
    name, colon, rest = spec.partition(":")
    target = TARGETS.get(name)
    if target is None or not (colon or name in target.forms):
        *most, last = (form for known in TARGETS.values() for form in known.forms)
        raise TargetError(
            say(
                "expected a target such as {forms} or {last}, found {spec}: give one of these with --phase3-target",
                forms=", ".join(most),
                last=last,
                spec=repr(spec),
            )
        )
    return target, rest


def kind_of(name: str) -> Target:
    """Return the kind of a recorded target. A kind that is unknown here is treated as a command: only its record is known."""
    return TARGETS.get(name, TARGETS["command"])
