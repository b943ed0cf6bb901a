"""Test the display of evidence."""

import re

import pytest

from harness.language.catalogue import Language
from harness.language.message import say
from harness.record.convert import to_json
from reports.html import build, render
from reports.html.evidence import MAX_ITEMS, node
from reports.html.runs import Drawing
from reports.material import Material
from tests.report_pages import Page
from tests.sample_session import sample_session


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


@pytest.mark.parametrize(
    ("key", "value", "english", "french"),
    [
        ("flux", 0.99981634, "0.9998", "0,9998"),
        ("excess_fraction", 0.000714246, "0.0007142", "0,0007142"),
        ("ra", 83.194662, "83.1947°", "83,1947°"),
        ("square_arcmin", 137.0839, "137.1 arcmin²", "137,1 arcmin²"),
        ("trimmed_percent", 21.0055, "21.01 %", "21,01 %"),
        ("cache_peak_bytes", 33182208, "33.2 MB", "33,2 Mo"),
        ("held_byte_seconds", 18987700.0, "19 MB·s", "19 Mo·s"),
        ("delay_max_seconds", 0.00810222, "8.1 ms", "8,1 ms"),
        ("phase_3_seconds", 8.76934, "8.77 s", "8,77 s"),
        ("removed_at", 40.593, "40.593 s", "40,593 s"),
        ("covered_pixels", 216645, "216,645", "216 645"),
        ("thread", "MainThread", "main thread", "fil principal"),
        ("reason", "MainThread", "MainThread", "MainThread"),
        ("worst", float("nan"), "nan", "nan"),
    ],
)
def test_a_number_of_the_evidence_is_written_as_people_read_it(key, value, english, french):
    """Four significant digits, the unit that the key names; alone, in a list, in a table, and in a table's cell."""
    for code, expected in (("en", english), ("fr", french)):
        lang = Language(code)
        shown = [
            node({key: value}, lang).pairs[0][1].text,
            node({key: [value]}, lang).pairs[0][1].text,
            node([{key: value}], lang).rows[0][0],
            node([{"of": {key: value}}], lang).rows[0][0].removeprefix(f"{key} "),
        ]
        assert [" ".join(text.split()) for text in shown] == [expected] * 4


def test_no_raw_float_is_on_the_page_of_a_session(tmp_path):
    """On a page with its evidence a number has four significant digits at most, or the unit of a position or of a clock."""
    folder = tmp_path / "session"
    sample_session(folder)
    page = Page(render.render(build.build(Material(folder), "en", Drawing(None, None), "x.html")))
    found = re.findall(r"(?<![\w.,-])(\d+\.\d+)(?![\w.°]|\N{NO-BREAK SPACE}s)", page.words)
    assert len(found) > 20
    assert [number for number in found if len(number.replace(".", "").lstrip("0")) > 4] == []


def test_a_value_of_another_kind_in_a_sentence_is_shown_as_text():
    """Evidence may come from an edited file: a sentence with a list for a value is shown, never an error."""
    assert node({"text": "{a}", "values": {"a": [1]}}, Language("en")).text == "[1]"
