"""The JSON Schema of ``session.json`` (draft 2020-12), for programs that read sessions without this project.

It is made from the classes of a session. ``python -m harness.session.schema`` writes it after a class has changed. Its
descriptions are those of ``Meta(description=…)``. Docstrings are for readers of the source: rewording one must not change the
published format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from harness.session.model import FORMAT, OPTIONAL, Session

SCHEMA = Path(__file__).with_name("schemas") / "session-2.schema.json"


def schema() -> dict[str, Any]:
    """Return the schema. Every field is required but those that older sessions do not have; other fields are refused."""
    parts: dict[str, Any] = msgspec.json.schema(Session)["$defs"]
    parts["Session"]["properties"] = {"format": {"const": FORMAT}, **parts["Session"]["properties"]}
    for part in parts.values():
        part.pop("description", None)  # msgspec takes the docstring of a class for its description
        if properties := part.get("properties"):
            for field in properties.values():
                field.pop("default", None)
            part["required"] = [name for name in properties if name not in OPTIONAL]
            part["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:zemosaic-phase3-validation:session:{FORMAT.rpartition('/')[2]}",
        **parts.pop("Session"),
        "$defs": parts,
    }


if __name__ == "__main__":
    SCHEMA.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
