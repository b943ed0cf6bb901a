"""The embedded reference pipeline as a target, started in a process of its own like any other target."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets.errors import TargetError
from harness.targets.target import Target

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = ROOT / "fixtures" / "pipeline"
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
        from fixtures.pipeline.defects import DEFECTS, clashing  # noqa: PLC0415 -- only this target needs the pipeline's libraries

        wanted = sorted({name.strip() for name in rest.split(",") if name.strip()})
        unknown = [name for name in wanted if name not in DEFECTS]
        if unknown:
            raise TargetError(
                say(
                    "expected defects among {known}, found {unknown}: give reference, or reference:DEFECT,DEFECT",
                    known=", ".join(sorted(DEFECTS)),
                    unknown=", ".join(unknown),
                )
            )
        if clash := clashing(wanted):
            raise TargetError(
                say(
                    "expected at most one defect of each part, found {clash}: keep one of them", clash=", ".join(clash)
                ),
            )
        return TargetFacts(
            kind=self.name,
            label="reference" + (f" with {', '.join(wanted)}" if wanted else ""),
            root=str(ROOT),
            python=sys.executable,
            identity={"defects": wanted, "files": _digest(), "versions": {"python": sys.version.split()[0]}},
        )

    def before_the_fix(self, _rest: str, _python: str | None, _exports: Path, /) -> str:
        """Name the reference that removes caches without counting their users."""
        return f"{self.name}:{NAIVE_DELETION}"

    def again(self, identity: Mapping[str, Any], _place: str | None, /) -> str:
        """Name the reference with the same defects; it needs no place on a machine."""
        defects = identity.get("defects")
        names = ",".join(map(str, defects)) if isinstance(defects, list | tuple) else ""
        return f"{self.name}:{names}" if names else self.name

    def shown(self, rest: str, _place: str, /) -> str:
        """Return the specification if the defects look like names."""
        if not rest:
            return self.name
        return f"{self.name}:{rest}" if re.fullmatch("[a-z_,]+", rest) else ""


def _digest() -> str:
    """Hash the pipeline's source, by name and content."""
    whole = hashlib.sha256()
    for path in sorted(PIPELINE.glob("*.py")):
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
