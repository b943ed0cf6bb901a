"""Test the published schemas: they are those of the classes."""

import json

import pytest
from jsonschema import Draft202012Validator

from harness.signoff.form import FORM_FORMAT
from harness.signoff.schema import FILES, FOLDER, text
from harness.signoff.statement import PREDICATE_TYPE, STATEMENT_TYPE


@pytest.mark.parametrize("name", FILES)
def test_the_published_schema_is_that_of_the_classes(name):
    """After a change of the classes, `python -m harness.signoff.schema` writes the files again."""
    content = (FOLDER / name).read_text(encoding="utf-8")
    assert content == text(FILES[name])
    Draft202012Validator.check_schema(json.loads(content))


def test_the_schemas_name_their_formats():
    """The types and the format are constants of the schemas."""
    statement, form = (json.loads((FOLDER / name).read_text(encoding="utf-8")) for name in FILES)
    assert statement["properties"]["_type"] == {"const": STATEMENT_TYPE}
    assert statement["properties"]["predicateType"] == {"const": PREDICATE_TYPE}
    assert form["properties"]["form"] == {"const": FORM_FORMAT}


def test_no_docstring_is_in_a_schema():
    """Rewording a docstring must not change a published format."""
    for name in FILES:
        plan = json.loads((FOLDER / name).read_text(encoding="utf-8"))
        assert not [part for part in (plan, *plan["$defs"].values()) if "description" in part]
