"""The embedded reference pipeline as a target: started in a process of its own, like any other."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from harness.language.message import say
from harness.record.request import TargetFacts
from harness.targets.errors import TargetError

ROOT = Path(__file__).resolve().parents[2]
PIPELINE = ROOT / "fixtures" / "pipeline"


def resolve(defects: str) -> TargetFacts:
    """Return the reference with these defects (comma-separated names) switched on.

    Raises
    ------
    TargetError
        When the pipeline has no defect of that name, or two of them are in the same part of it.

    """
    from fixtures.pipeline.defects import DEFECTS, clashing  # noqa: PLC0415 -- only this target needs the pipeline's libraries

    wanted = sorted({name.strip() for name in defects.split(",") if name.strip()})
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
            say("expected one defect of a part, found {clash}: name one of them", clash=", ".join(clash)),
        )
    return TargetFacts(
        kind="reference",
        label="reference" + (f" with {', '.join(wanted)}" if wanted else ""),
        root=str(ROOT),
        python=sys.executable,
        identity={"defects": wanted, "files": digest(), "versions": {"python": sys.version.split()[0]}},
    )


def digest() -> str:
    """Hash the pipeline's source, by name and content."""
    whole = hashlib.sha256()
    for path in sorted(PIPELINE.glob("*.py")):
        whole.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()
