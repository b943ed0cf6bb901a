"""Test the conversion of classes to JSON and back, and the errors for wrong data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from harness.record.convert import LONGEST, ShapeError, from_json, other_names, read_only, to_json
from harness.verdict import Outcome


@dataclass(frozen=True, slots=True)
class Part:
    """A part with a field of each kind."""

    count: int
    share: float
    name: str | None
    mode: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True, slots=True)
class Whole:
    """Parts in a list, and a mapping of each kind."""

    parts: tuple[Part, ...]
    facts: Mapping[str, Any]
    words: Mapping[str, str]
    outcome: Outcome = Outcome.PASS

    def __post_init__(self):
        read_only(self)


WHOLE = Whole((Part(1, 0.5, None), Part(2, 1.0, "x", "slow")), {"a": [1, {"b": None}]}, {"k": "v"}, Outcome.UNKNOWN)


def test_round_trip():
    """An object survives JSON; its mappings are read-only before and after."""
    again = from_json(json.loads(json.dumps(to_json(WHOLE))), Whole)
    assert again == WHOLE
    for whole in (WHOLE, again):
        with pytest.raises(TypeError):
            whole.words["k"] = "w"


def test_only_built_in_types_are_written():
    """Tuples become lists, outcomes their words, and numbers that JSON does not have their names."""
    assert to_json({"n": (1, float("nan"), float("-inf")), "o": Outcome.FAIL}) == {"n": [1, "nan", "-inf"], "o": "fail"}
    assert type(to_json(Outcome.FAIL)) is str


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("parts", 0, "count"), "7", "$.parts[0].count: expected an integer, found '7'"),
        (("parts", 0, "count"), True, "$.parts[0].count: expected an integer, found True"),
        (("parts", 1, "share"), None, "$.parts[1].share: expected a number, found None"),
        (("parts", 1, "name"), 5, "$.parts[1].name: expected text or null, found 5"),
        (("parts", 1, "mode"), "idle", "$.parts[1].mode: expected one of 'fast', 'slow', found 'idle'"),
        (("outcome",), "good", "$.outcome: expected one of 'fail', 'unknown'"),
        (("words",), {"a": "b", "c": 3}, "$.words.c: expected text, found 3"),
        (("words",), {f"k{n}": "v" for n in range(1000)} | {"c": 3}, "$.words: expected text, found "),
        (("facts",), [], "$.facts: expected an object, found []"),
        (("parts",), "x" * 10**6, "$.parts: expected a list, found 'xxx"),
        (("parts", 0), {}, "$.parts[0]: the field 'count' is missing"),
    ],
)
def test_a_wrong_part_is_named(path, value, words):
    """Nothing is coerced; the error names the place, what was expected, and what was found, in bounded length."""
    data = to_json(WHOLE)
    part = data
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    with pytest.raises(ShapeError) as caught:
        from_json(data, Whole)
    assert str(caught.value).startswith(words)
    assert len(str(caught.value)) < 2 * LONGEST


def test_something_else_altogether_is_refused():
    """Data of another kind are refused at their root."""
    with pytest.raises(ShapeError, match=r"\$: expected an object, found \[1\]"):
        from_json([1], Whole)


def test_other_names_are_found():
    """A field too many or too few is found at any depth, but not within mappings, which have no fields."""
    data = to_json(WHOLE)
    assert list(other_names(WHOLE, data, frozenset())) == []
    data["facts"]["any"] = 1
    del data["parts"][1]["mode"], data["outcome"]
    data["parts"][0]["colour"] = "red"
    found = [str(error) for error in other_names(WHOLE, data, frozenset({"outcome"}))]
    assert found == [
        "$.parts[0]: the field 'colour' is unknown",
        "$.parts[1]: the field 'mode' is missing",
    ]
