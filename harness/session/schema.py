"""The JSON Schema of ``session.json`` (draft 2020-12), for programs that read sessions without this project.

It is made from the classes of a session. ``python -m harness.session.schema`` writes it after a class has changed. Its
descriptions are those of ``Meta(description=…)``. Docstrings are for readers of the source: rewording one must not change the
published format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from harness.record.whole import json_text, write_whole
from harness.session.model import FORMAT, OPTIONAL, Session

SCHEMA = Path(__file__).with_name("schemas") / "session-2.schema.json"


def schema() -> dict[str, Any]:
    """Return the schema of a session. Every field is required but those that older sessions do not have."""
    return schema_of(Session, FORMAT, OPTIONAL)


def schema_of(kind: type, form: str, optional: frozenset[str] = frozenset(), **more: Any) -> dict[str, Any]:
    """Return the schema of a file that holds one object of a class. Fields that the class does not have are refused.

    ``form`` is the format that the file states, such as ``phase3-session/2``; ``optional`` are fields that may be missing;
    ``more`` are fields that are written for readers of the file.
    """
    parts: dict[str, Any] = msgspec.json.schema(kind)["$defs"]
    whole = parts[kind.__name__]
    whole["properties"] = {"format": {"const": form}, **more, **whole["properties"]}
    for part in parts.values():
        part.pop("description", None)  # msgspec takes the docstring of a class for its description
        if properties := part.get("properties"):
            for field in properties.values():
                field.pop("default", None)
            part["required"] = [name for name in properties if name not in optional]
            part["additionalProperties"] = False
    name, _, version = form.removeprefix("phase3-").rpartition("/")
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:zemosaic-phase3-validation:{name}:{version}",
        **parts.pop(kind.__name__),
        "$defs": parts,
    }


if __name__ == "__main__":
    write_whole(SCHEMA, json_text(schema()))
