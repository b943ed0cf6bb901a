"""The JSON Schemas of a comparison and of an acceptance file, for programs that read them without this project.

They are made from the classes. ``python -m harness.compare.schema`` writes them after a class has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.compare import accepted, model
from harness.record.whole import json_text, write_whole
from harness.session.schema import schema_of
from harness.verdict import Outcome

_FOLDER = Path(__file__).with_name("schemas")
COMPARISON = _FOLDER / "comparison-1.schema.json"
ACCEPTED = _FOLDER / "accepted-1.schema.json"


def schemas() -> Mapping[Path, dict[str, Any]]:
    """Return each schema by its file."""
    outcome = {"enum": [Outcome.FAIL.value, Outcome.UNKNOWN.value, Outcome.PASS.value]}
    return MappingProxyType(
        {
            COMPARISON: schema_of(model.Changes, model.FORMAT, frozenset({"many"}), outcome=outcome),
            ACCEPTED: schema_of(accepted.AcceptanceFile, accepted.FORMAT, frozenset({"many"})),
        }
    )


if __name__ == "__main__":
    _FOLDER.mkdir(exist_ok=True)
    for path, content in schemas().items():
        write_whole(path, json_text(content))
