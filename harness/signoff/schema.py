"""The JSON Schemas (draft 2020-12) of ``signoff.json`` and of the file that the form on a page makes.

They are made from the classes. ``python -m harness.signoff.schema`` writes them after a class has changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from harness.record.whole import write_whole
from harness.signoff.form import FORM_FORMAT, Form
from harness.signoff.statement import OPTIONAL, PREDICATE_TYPE, STATEMENT_TYPE, Statement

FOLDER = Path(__file__).with_name("schemas")
_CONSTANTS: Mapping[type[Any], Mapping[str, str]] = MappingProxyType(
    {
        Statement: {"_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE},
        Form: {"form": FORM_FORMAT},
    }
)
FILES: Mapping[str, type[Any]] = MappingProxyType(
    {"signoff-1.schema.json": Statement, "signoff-form-1.schema.json": Form}
)

_MAY_BE_MISSING = frozenset({("FormRow", "comment"), *(("RowDecision", name) for name in OPTIONAL)})
"""Fields by the class that has them."""


def schema(kind: type[Any]) -> dict[str, Any]:
    """Return the schema of `Statement` or `Form`. Other fields are refused; only those in `_MAY_BE_MISSING` may be missing."""
    parts: dict[str, Any] = msgspec.json.schema(kind)["$defs"]
    constants = {name: {"const": value} for name, value in _CONSTANTS[kind].items()}
    parts[kind.__name__]["properties"] = {**constants, **parts[kind.__name__]["properties"]}
    for name, part in parts.items():
        part.pop("description", None)
        if properties := part.get("properties"):
            for field in properties.values():
                field.pop("default", None)
            part["required"] = [field for field in properties if (name, field) not in _MAY_BE_MISSING]
            part["additionalProperties"] = False
    word = "signoff" if kind is Statement else "signoff-form"
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:zemosaic-phase3-validation:{word}:1",
        **parts.pop(kind.__name__),
        "$defs": parts,
    }


def text(kind: type[Any]) -> str:
    """Return the content of a schema's file."""
    return json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for name, kind in FILES.items():
        write_whole(FOLDER / name, text(kind))
