"""Test the languages: catalogue, typography, numbers, units and dates."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from harness.language.catalogue import CATALOGUES, Language, language, translator
from harness.language.message import Message, counted, say
from harness.language.system import CODES

ROOT = Path(__file__).parents[2]
SOURCES = ("harness", "reports", "fixtures", "scenarios")
METHODS = [
    ("test_*.py", "harness.language.titles:extract"),
    ("**.py", "python"),
    ("**/templates/**.j2", "jinja2"),
    ("templates/**.j2", "jinja2"),
]
FIELD = re.compile(r"\{([a-z_]+)\}")
# A number, as a field of this name is one, before things in the plural.
NUMBERED = re.compile(
    r"\{(?:count|frames|groups|tiles|runs|all|shown|points|pairs|inputs|caches|masks|begun|panels|outputs|expected|lines"
    r"|total)\} "
    r"(?!times\b)(?:\w+ ){0,2}?(?:\w{3,}s)\b"
)
NEVER_ONE = (
    "Expected a celestial WCS in each of the {total} frames",  # a folder of one frame is refused before
    "expected a FITS file within the limits of the harness",  # a thousand headers, and blocks of one
    "Expected room for the smallest subset",  # of a large run, with hundreds of frames
    "{name} ({frames} frames",  # the same
    "a large run needs at least {frames} frames",  # a constant
    "Bookkeeping grows faster",  # a growth is fitted to several sizes
    "Phase 3 takes {value} times",  # an interval is that of several pairs
    "The times vary too much",
    "{ratio} times, 95 % interval",
    "Expected {expected} bytes",  # a FITS file has blocks of 2,880 bytes
    "Freed: {stated}",  # a cache
    "The header of tile {tile} counts",  # a tile that has some of its frames has several
    "Tile {tile} was made from",
    "Tile {tile} was made without",
    "Tile {tile} was not made: it lacked the caches",  # a tile of one frame has a sentence of its own
    "The log contains {count} runs",  # is said of several only, as are the holes
    "{count} holes, {area} arcmin²",
    "The mosaic leaves out",  # an area
    "The target reports {ratio} bookkeeping",  # a mosaic has several inputs
    "There are {ratio} removal attempts",
    "{attempts} removal attempts",
    "all {count} lines with",  # the checklist has many lines, its last part three
    "{target} meets the Definition of Done",
    "{target}: no decision",
    "{count} of its {all} tests",  # some ran and some did not
    "{run} of {all} cases",
    "{value} (in {count} of {all} runs)",
    "GPU: not available in",  # a validation has several runs
)
"""Beginnings of templates whose number is never one."""


def misplaced(french):
    """Return a punctuation mark of a French text that lacks its space; not one within a name, an address or a time."""
    return re.search(
        r"(?<!^)(?<!\u202f)[;?!](?=\s|$)|(?<!^)(?<!command)(?<!\u00a0):(?=\s|$)|(?<!\u00a0)%(?=[\s,.;)]|$)", french
    )


KEYWORDS = {"say": None, "_": None, "counted": (1, 2)}


@cache
def templates():
    """Return every English template of the project, as Babel extracts them; one with two forms is a pair."""
    found = set()
    for source in SOURCES:
        entries = extract_from_dir(ROOT / source, METHODS, keywords=KEYWORDS)
        found |= {message for _, _, message, _, _ in entries}
    return found


def french():
    """Return the French catalogue by English template; one with two forms is a pair, and so is its translation."""
    with (CATALOGUES / "fr" / "LC_MESSAGES" / "phase3.po").open("rb") as stream:
        return {m.id: m.string for m in read_po(stream, locale="fr") if m.id}


def each_form():
    """Yield each English template with its French translation, form by form."""
    for english, translated in french().items():
        if isinstance(english, str):
            yield english, translated
        else:
            yield from zip(english, translated, strict=True)


def test_every_sentence_has_a_french_translation():
    """Every sentence of ``say`` and of the templates is in the French catalogue."""
    missing = sorted(map(str, templates() - {k for k, v in french().items() if all(v)}))
    assert missing == [], (
        "add them to harness/language/locale/fr/LC_MESSAGES/phase3.po (see CONTRIBUTING.md, Sentences)"
    )


def test_the_catalogue_holds_nothing_that_nobody_says():
    """The catalogue has no translation of a sentence that was changed or removed."""
    assert sorted(map(str, set(french()) - templates())) == []


def test_what_tests_state_is_in_the_catalogue():
    """The title of each test of the scenarios, which the report shows, is among the sentences."""
    assert "The event mastertile_warn_cache_file_missing is not sent." in templates()


def test_babel_sees_every_call_of_say():
    """Each ``say`` has a literal template, which Babel finds; a template in an f-string or a variable would be missed."""
    known = templates()
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(call, ast.Call) or not call.args:
                    continue
                name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
                if name == "say" and isinstance(call.args[0], ast.Constant):
                    assert call.args[0].value in known, (
                        f"{path.name}, line {call.lineno}: Babel does not extract this call"
                    )


def test_translations_keep_the_fields():
    """A translation has the same fields as its template, so that no value is lost."""
    for english, translated in each_form():
        assert set(FIELD.findall(english)) == set(FIELD.findall(translated)), english


def test_french_typography():
    """A narrow no-break space is before ; ? and !, a no-break space before : and %; guillemets have theirs; ’ is curved."""
    for _, translated in each_form():
        assert not misplaced(translated), translated
        assert not re.search(r" »|« |'", translated), translated


@pytest.mark.parametrize("wrong", ["vu ; lu", "vu; lu", "vu\u00a0?", "vu : lu", "vu\u202f: lu", "48 %", "48\u202f%."])
def test_a_misplaced_space_is_seen(wrong):
    """Each kind of space that a French sentence must not have is found."""
    assert misplaced(wrong)
    assert not misplaced("zemosaic:PATH 10:48, [--x=a;b], «\u00a0vu\u00a0»\u00a0: 48\u00a0%\u202f; lu\u202f!")


def test_a_count_of_one_is_said_of_one_thing():
    """A template with a number before things in the plural has a form for one thing, or never counts one thing."""
    single = [english for english in templates() if isinstance(english, str)]
    wrong = sorted(english for english in single if NUMBERED.search(english) and not english.startswith(NEVER_ONE))
    assert wrong == [], "say them with counted(), in two forms"
    assert [start for start in NEVER_ONE if not any(english.startswith(start) for english in single)] == []


def test_no_sentence_leaves_the_plural_to_the_reader():
    """No sentence has "(s)" for a plural, in either language."""
    for english, translated in each_form():
        assert "(s)" not in english
        assert "(s)" not in translated


@pytest.mark.parametrize(
    ("count", "en", "fr"),
    [
        (0, "0 modules compile", "0 module se compile"),
        (1, "1 module compiles", "1 module se compile"),
        (2, "2 modules compile", "2 modules se compilent"),
        (1200, "1,200 modules compile", "1\u202f200 modules se compilent"),
    ],
)
def test_each_language_counts_in_its_own_way(count, en, fr):
    """Nothing and one thing are singular in French; only one thing is in English."""
    for code, expected in (("en", en), ("fr", fr)):
        said = Language(code).counted("{count} module compiles", "{count} modules compile", count=count)
        assert said == expected
        message = counted("{count} module compiles", "{count} modules compile", count=count)
        assert Language(code).render(message) == expected
        assert message.render(translator(code)) == expected.replace(",", "").replace("\u202f", "")


@pytest.mark.parametrize(
    ("count", "en", "fr"), [(1, "1 of 9 tests", "1 test sur 9"), (2, "2 of 9 tests", "2 tests sur 9")]
)
def test_a_form_that_only_french_has_twice_is_translated(count, en, fr):
    """Two equal English forms may have two French ones."""
    said = [
        Language(code).counted("{count} of {all} tests", "{count} of {all} tests", count=count, all=9) for code in CODES
    ]
    assert said == [en, fr]


def test_a_sentence_of_an_older_session_is_still_translated():
    """Sessions that were written when a sentence had one form are read with that for several things."""
    old = Message("The mosaic's header says that it was made from {count} master tiles.", {"count": 3})
    assert "3 master tiles" in Language("fr").render(old)
    assert "L’en-tête" in Language("fr").render(old)


def test_parts_are_joined_as_each_language_writes_it():
    """The semicolon between parts has the space that French has before it."""
    assert Language("en").semicolons(["a", "b"]) == "a; b"
    assert Language("fr").semicolons(["a", "b"]) == "a\u202f; b"


def test_english_is_the_source():
    """English templates are returned unchanged."""
    assert translator("en")("Anything {at} all") == "Anything {at} all"


def test_an_unknown_sentence_stays_english():
    """A template without a translation is shown in English."""
    assert translator("fr")("No such sentence.") == "No such sentence."
    assert translator("fr")("No tile was submitted.") == "Aucune tuile n’a été soumise."


def test_an_unknown_language_is_refused():
    """The error on an unknown language names the known ones."""
    with pytest.raises(ValueError, match="among en, fr, found 'de'"):
        language("de")


def test_catalogues_are_read_once():
    """A second call returns the same function."""
    assert translator("fr") is translator("fr")
    assert {translator(code)("pass") for code in CODES} == {"pass", "réussi"}


def test_messages_are_rendered_with_the_languages_numbers():
    """Numbers among the values are written as in the language; text stays unchanged."""
    message = say("{count} holes, {area} arcmin² of required sky.", count=12345, area=1.5)
    assert Language("en").render(message) == "12,345 holes, 1.5 arcmin² of required sky."
    assert "1,5 arcmin²" in Language("fr").render(message)
    assert "12\u202f345" in Language("fr").render(message)


def test_figures_written_by_a_check_keep_their_digits():
    """A number that is given as text gets the language's decimal sign; a version number is unchanged."""
    message = Message("{a} {b} {c}", {"a": "+46.7213", "b": "3.11", "c": "p0.1234.fits"})
    assert Language("fr").render(message) == "+46,7213 3.11 p0.1234.fits"


def test_a_missing_value_stays_visible():
    """A field without a value is shown as the field; booleans are not numbers."""
    assert Language("fr").render(Message("{gone} {truth}", {"truth": True})) == "{gone} True"


@pytest.mark.parametrize(
    ("value", "en", "fr"),
    [
        (1234567, "1,234,567", "1\u202f234\u202f567"),
        (0.5, "0.5", "0,5"),
        (1.23e-9, "1.23e-9", "1,23e-9"),
        (95599512.25, "95,600,000", "95\u202f600\u202f000"),
        (float("nan"), "nan", "nan"),
        (float("inf"), "inf", "inf"),
    ],
)
def test_numbers(value, en, fr):
    """Numbers have the separators of their language; infinity and NaN are written as words."""
    assert (Language("en").number(value), Language("fr").number(value)) == (en, fr)


@pytest.mark.parametrize(
    ("count", "en", "fr"),
    [
        (0, "0\u00a0B", "0\u00a0o"),
        (999, "999\u00a0B", "999\u00a0o"),
        (51_841_536, "51.8\u00a0MB", "51,8\u202fMo"),
        (2_000, "2\u00a0kB", "2\u202fko"),
        (3.2e9, "3.2\u00a0GB", "3,2\u202fGo"),
    ],
)
def test_sizes(count, en, fr):
    """Bytes are written in the unit of their size, with the unit's name in the language."""
    assert (Language("en").size(count), Language("fr").size(count)) == (en, fr)


def test_times_angles_and_dates():
    """Seconds, angles and dates follow the language; a text that is not a date is unchanged."""
    assert Language("fr").seconds(6.34) == "6,34\u00a0s"
    assert [Language("en").duration(s) for s in (0, 0.0752, 8.1, 187.6)] == [
        *("0\u00a0s", "75.2\u00a0ms", "8.1\u00a0s", "3\u00a0min\u00a08\u00a0s"),
    ]
    assert (Language("en").moment(1240.59), Language("fr").moment(3.4)) == ("1,240.590\u00a0s", "3,400\u00a0s")
    assert [Language("en").angle(a) for a in (0.5, 5, 120)] == ["30″", "5′", "2°"]
    assert Language("fr").when("2026-11-23T12:44:59+00:00").startswith("23 novembre 2026")
    assert Language("en").when("yesterday") == "yesterday"
