"""Start the embedded reference pipeline as a target, in a process of its own like any other target."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.record.values import UNREADABLE
from harness.targets.errors import TargetError
from harness.targets.target import ROOT, Target

PIPELINE = ROOT / "fixtures" / "pipeline"
SECONDS = 120
NAIVE_DELETION = "naive_per_tile_deletion"
"""The defect that brings back the retention of before the patch: caches are removed without counting their users."""


class Reference(Target):
    """The pipeline in ``fixtures/pipeline``, sound or with named defects switched on."""

    name = "reference"
    forms = ("reference", "reference:DEFECT")
    embedded = True
    release = "policy"

    def resolve(self, rest: str, _python: str | None, _exports: Path, /) -> TargetFacts:
        """Return the reference with these defects (comma-separated names) switched on.

        Raises ``TargetError`` when the pipeline has no defect of that name, or two of them are in the same part of it.
        """
        wanted = sorted({name.strip() for name in rest.split(",") if name.strip()})
        if wanted:
            _require_defects(tuple(wanted))
        return TargetFacts(
            kind=self.name,
            label="reference" + (f" with {', '.join(wanted)}" if wanted else ""),
            root=str(ROOT),
            python=sys.executable,
            identity={"defects": wanted, "files": _digest(), "versions": {"python": sys.version.split()[0]}},
        )

    def before_the_fix(self, _rest: str, _python: str | None, _exports: Path, /) -> str:
        """Name the reference that removes caches without counting their users."""
        return self.with_defects([NAIVE_DELETION])

    def again(self, identity: Mapping[str, Any], _place: str | None, /) -> str:
        """Name the reference with the same defects; it needs no place on a machine."""
        defects = identity.get("defects")
        return self.with_defects(map(str, defects) if isinstance(defects, list | tuple) else ())

    def shown(self, rest: str, _place: str, /) -> str:
        """Return the specification if the defects look like names."""
        if not rest:
            return self.name
        return f"{self.name}:{rest}" if re.fullmatch("[a-z_,]+", rest) else ""

    def with_defects(self, names: Iterable[str]) -> str:
        """Return how ``--phase3-target`` names the reference with these defects."""
        joined = ",".join(names)
        return f"{self.name}:{joined}" if joined else self.name


@cache
def _require_defects(names: tuple[str, ...]) -> None:
    """Ask the pipeline for its defects; raise ``TargetError`` unless it can run with all of these together.

    The pipeline is asked in a process of its own, like any other target: rooms above this one import the pipeline, so an import
    from here would close a circle.
    """
    command = [sys.executable, "-m", "fixtures.pipeline.defects", *names]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=SECONDS, check=True)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, *UNREADABLE) as error:
        raise TargetError(
            say(
                "expected the names of defects from the pipeline in {folder}, found no answer ({error}): "
                "install the harness again",
                folder=str(PIPELINE),
                error=str(error),
            )
        ) from error
    if unknown := [name for name in names if name not in answer["known"]]:
        raise TargetError(
            say(
                "expected defects among {known}, found {unknown}: give reference, or reference:DEFECT,DEFECT",
                known=", ".join(sorted(answer["known"])),
                unknown=", ".join(unknown),
            )
        )
    if clash := answer["clash"]:
        raise TargetError(
            say("expected at most one defect of each part, found {clash}: keep one of them", clash=", ".join(clash))
        )


def _digest() -> str:
    """Hash the pipeline's source, by name and content."""
    whole = hashlib.sha256()
    for path in sorted(PIPELINE.glob("*.py")):
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
