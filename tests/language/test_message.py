"""Test messages: templates and values, rendered without following attributes or indexes."""

import pytest

from harness.language.message import Message, say
from harness.record.convert import ShapeError, from_json, to_json


def test_fields_are_filled():
    """Each ``{name}`` is replaced by its value; floats are shown with four significant digits."""
    assert say("{n} of {all} ({share})", n=3, all=4, share=0.123456).render() == "3 of 4 (0.1235)"


def test_the_template_is_translated_before_it_is_filled():
    """The template is translated, so that one entry serves all values."""
    french = {"{n} holes": "{n} trous"}
    assert say("{n} holes", n=2).render(lambda text: french[text]) == "2 trous"


def test_a_template_from_a_file_can_not_reach_into_objects():
    """Attributes and indexes in a template stay text, because session files may have been edited."""
    message = from_json({"text": "{a.__class__} {a[0]} {a}", "values": {"a": "x"}}, Message)
    assert message.render() == "{a.__class__} {a[0]} x"


def test_a_value_is_not_a_template():
    """Fields inside a value are not replaced."""
    assert say("{a} {b}", a="{b}", b="secret").render() == "{b} secret"


def test_a_strangers_text_steers_no_terminal():
    """Escapes, carriage returns, marks that reverse text and lone surrogates are shown as escapes; line breaks are kept."""
    assert say("saved {name}", name="a\x1b[2J\rPASS\u202e\udc80\né").render() == (
        "saved a\\u001b[2J\\u000dPASS\\u202e\\udc80\né"
    )


def test_a_missing_value_stays_visible():
    """A field without a value is shown."""
    assert say("{n} holes").render() == "{n} holes"


def test_json_round_trip():
    """A message is unchanged by JSON; a value of another type is refused, with its place."""
    message = say("{n} in {what}", n=1, what="panel")
    assert from_json(to_json(message), Message) == message
    with pytest.raises(ShapeError, match=r"values.*expected .*, found"):
        from_json({"text": "{a}", "values": {"a": [1]}}, Message)
