"""Test the display of evidence."""

from harness.language.catalogue import Language
from harness.language.message import say
from harness.record.convert import to_json
from reports.html.evidence import MAX_ITEMS, node


def test_a_sentence_among_evidence_is_in_the_readers_language():
    """Sentences in the evidence are translated, whether alone, in a list or in a table."""
    told = to_json(say("No tile was submitted."))
    french = Language("fr")
    spoken = "Aucune tuile n’a été soumise."
    assert node(told, french).text == spoken
    assert [part.text for part in node([told], french).items] == [spoken]
    assert node([{"why": told}], french).rows == ((spoken,),)
    assert node({"text": "a", "values": 1}, french).kind == "pairs"


def test_evidence_is_bounded_and_says_what_it_leaves_out():
    """Long, deep and wide evidence is cut, with a count of what is left out."""
    lang = Language("en")
    long = node(list(range(1000)), lang)
    assert long.left_out == 1000 - MAX_ITEMS
    table = node([{"a": n, "b": [n, None]} for n in range(100)], lang)
    assert (table.kind, table.header, table.rows[0], len(table.rows), table.left_out) == (
        "table",
        ("a", "b"),
        ("0", "0, –"),
        40,
        60,
    )
    assert node({"a": {"b": {"c": {"d": {"e": 1}}}}}, lang).kind == "pairs"
    assert len(node("x" * 10_000, lang).text) == 400
    assert node([[1, 2], {"a": True}], lang).kind == "items"
    assert node({}, lang).text == "–"
    assert node(34.204167, lang).text == "34.204167"


def test_a_value_of_another_kind_in_a_sentence_is_shown_as_text():
    """Evidence may come from an edited file: a sentence with a list for a value is shown, never an error."""
    assert node({"text": "{a}", "values": {"a": [1]}}, Language("en")).text == "[1]"
