"""Declare the questions that each kind of target answers: how to find, start and compare it. The table is in ``resolve.py``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Protocol

from harness.record.request import REPEATABLE, Mode, TargetFacts
from harness.targets import interpreter

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the packages of this project."""
PROBE = ROOT / "harness" / "probe"


class Target(Protocol):
    """One kind of target. The defaults are those of a program of which only its record is known.

    Attributes
    ----------
    name
        The kind: the word before the colon of ``--phase3-target``, and ``kind`` in a request.
    forms
        How ``--phase3-target`` names a target of this kind, for help and errors. The bare name is allowed if it is among them.
    embedded
        The target is the harness's own pipeline. It says nothing about ZeMosaic and takes none of its settings; its baseline
        and control are the same pipeline with seeded defects.
    versioned
        The source lies in a git repository, so a patch can be reviewed and the version before it can be run.
    release
        How ``harness/probe/release.py`` finds the function that releases caches (a key of ``FINDERS`` there); empty if that
        function is not known.
    libraries
        The modules that the target's interpreter needs, each with its name for pip. Empty if the user has no interpreter to name.
    entries
        The modules below ``root`` that a run imports first. They, and what they import, must compile. Empty if not known.

    """

    name: ClassVar[str]
    forms: ClassVar[tuple[str, ...]]
    embedded: ClassVar[bool] = False
    versioned: ClassVar[bool] = False
    release: ClassVar[str] = ""
    libraries: ClassVar[Mapping[str, str]] = MappingProxyType({})
    entries: ClassVar[tuple[str, ...]] = ()

    def resolve(self, rest: str, python: str | None, exports: Path, /) -> TargetFacts:
        """Return the target that the text after the colon names; raise ``TargetError`` if it can't be run here."""
        ...

    def start(self, facts: TargetFacts, record: Path, env: dict[str, str], /) -> list[str]:
        """Return the argument list that starts a run; may add variables to the run's environment.

        By default the target's interpreter runs the launcher, and the launcher runs ``harness/probe/NAME.py``.
        """
        return observed(facts.python, PROBE / "launch.py", record, env)

    def source(self, facts: TargetFacts, _work: Path, /) -> Path:
        """Return the folder that one process loads the target's code from, below ``_work`` if it needs a copy of its own."""
        return Path(facts.root)

    def before_the_fix(self, _rest: str, _python: str | None, _exports: Path, /) -> str:
        """Name the version of this target that removes caches too early, for baseline and control; empty without one.

        Raises ``TargetError`` when there should be such a version, and it can't be run here.
        """
        return ""

    def repeats(self, _profile: str, _mode: Mode, /) -> bool:
        """Return whether equal inputs give bit-equal outputs."""
        return self.name in REPEATABLE

    def functions(self, _facts: TargetFacts, /) -> Mapping[str, bool]:
        """Return the functions that the probe looks for, and whether this version has each."""
        return {}

    def again(self, _identity: Mapping[str, Any], place: str | None, /) -> str | None:
        """Return how ``--phase3-target`` names a target with this identity, with ``place`` for its folder.

        ``None`` if the target needs a place on this machine and ``place`` is ``None``.
        """
        return f"{self.name}:ARGV" if place is not None else None

    def shown(self, _rest: str, _place: str, /) -> str:
        """Return a specification with ``_place`` for its folder; empty if it can't be shown safely."""
        return f"{self.name}:ARGV"


def observed(python: str, script: Path, folder: Path, env: dict[str, str]) -> list[str]:
    """Return the argument list that runs one of the probe's scripts on a folder, in the target's interpreter.

    Packages that users install for themselves are found from the home folder, and a run has another home. So their place is
    added to ``env``.
    """
    chosen = interpreter.examine(python)
    env.setdefault("PYTHONUSERBASE", chosen.user_base)
    return [chosen.path, *chosen.safe_path, str(script), str(folder)]
