"""The shape of ``session.json``, as a JSON Schema (draft 2020-12) that any program can read, and what differs from it.

A session may come from anywhere: it is compared with the schema before anything else looks at it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

SCHEMA = Path(__file__).with_name("schemas") / "session-2.schema.json"
LONGEST = 200
"""More characters than these of a problem tell nothing: the library quotes the part that is wrong, however large."""


class Difference(NamedTuple):
    """One part that is not as the schema says: its JSON path, and what is wrong with it."""

    place: str
    problem: str


@cache
def _validator() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def differences(data: Any) -> Iterator[Difference]:
    """Yield what differs from the schema of a session."""
    for error in _validator().iter_errors(data):
        yield Difference(error.json_path, _short(_first(error).message))


def _first(error: ValidationError) -> ValidationError:
    """Return what the first of the alternatives that fit none says: of that one there is something to tell."""
    return error.context[0] if error.context else error


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
