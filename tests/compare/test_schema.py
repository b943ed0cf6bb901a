"""Test that the published schemas agree with the classes."""

import json

from jsonschema import Draft202012Validator

from harness.compare.schema import schemas


def test_the_published_schemas_are_those_of_the_classes():
    """After a change of the classes, `python -m harness.compare.schema` writes the files again."""
    for path, content in schemas().items():
        assert json.loads(path.read_text(encoding="utf-8")) == content
        Draft202012Validator.check_schema(content)


def test_every_field_is_described_in_the_document():
    """docs/comparing.md names each field of both files."""
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs" / "comparing.md").read_text(encoding="utf-8")
    for content in schemas().values():
        names = set(content["properties"]) | set(content["$defs"].get("ImageChange", {}).get("properties", {}))
        assert sorted(name for name in names if f"`{name}`" not in text) == []
