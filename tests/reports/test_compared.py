"""Test the text of a comparison."""

from dataclasses import replace

import pytest

from harness.compare.model import (
    AcceptedBy,
    Changes,
    FactChange,
    FigureChange,
    ImageChange,
    OutputChange,
    Ran,
    SideFacts,
    VerdictChange,
)
from harness.language.catalogue import language
from harness.language.message import say
from harness.verdict import Outcome
from reports.compared import headline, rows, text

EN, FR = language("en"), language("fr")
SIDE = SideFacts("before", None, "zemosaic b59a65f", "2026-11-30T00:24:25+00:00", Outcome.PASS, "a" * 64)
DATA = ImageChange("mosaic RGB", "a" * 64, "b" * 64, "values", 12, 3, 13354.2)
OUTPUT = OutputChange("chain", "subject", "x", "y", "different", (), (DATA,), 2.5, 0.0)
WORSE = VerdictChange("chain", "subject", "holes", ("t::one",), Outcome.PASS, Outcome.FAIL, "worse")


def changes(**parts):
    """Return a comparison with these parts."""
    return Changes(
        **{
            "before": SIDE,
            "after": replace(SIDE, name="after"),
            "verdicts": (),
            "figures": (),
            "outputs": (),
            "facts": (),
            "compared": 5,
            **parts,
        }
    )


def written(lang=EN, **parts):
    """Return the text of a comparison with these parts."""
    return text(rows(changes(**parts), lang), lang)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, "Nothing is worse in B than in A."),
        ({"verdicts": (WORSE,)}, "Verdicts that are worse: 1."),
        ({"outputs": (OUTPUT,)}, "Runs whose outputs differ and that nobody accepted: 1."),
        ({"outputs": (replace(OUTPUT, decides=False),)}, "Nothing is worse in B than in A."),
        ({"outputs": (replace(OUTPUT, grade="not compared"),)}, "Runs whose outputs could not be compared: 1."),
        ({"outputs": (replace(OUTPUT, accepted=AcceptedBy("Z", "2026-01-01T00:00:00", "r")),)}, "was accepted."),
        ({"compared": 0}, "there is nothing to compare."),
    ],
)
def test_the_headline_says_the_result(parts, said):
    """The headline is one sentence or two, and agrees with the outcome."""
    made = changes(**parts)
    assert said in headline(made, EN)
    assert headline(made, FR) != headline(made, EN)


def test_another_output_is_a_question_and_not_a_failure():
    """Outputs that differ without a worse verdict have the sign ≠; with a worse verdict the sign is ✗, and nothing worse is ✓."""
    assert rows(changes(outputs=(OUTPUT,)), EN).badge.sign == "≠"
    assert rows(changes(outputs=(OUTPUT,), verdicts=(WORSE,)), EN).badge.sign == "✗"
    assert rows(changes(), EN).badge.sign == "✓"
    assert rows(changes(compared=0), EN).badge.sign == "?"


def test_a_verdict_has_both_outcomes_and_its_test():
    """A changed verdict has sign, place, outcomes and tests."""
    out = written(verdicts=(WORSE,))
    assert "✗ chain · version under test · holes: pass → fail" in out
    assert "t::one" in out
    assert "✗ chain · version testée · trous\xa0: réussi → échec" in written(FR, verdicts=(WORSE,))


def test_a_figure_has_its_unit_before_and_after():
    """Figures are written as in the Definition of Done."""
    figure = FigureChange("chain", "subject", "holes", say("holes"), "sky", (0, 0, 0), (1, 42525, 201.0186))
    out = written(figures=(figure, replace(figure, unit="percent", before=None, after=(4.5,))))
    assert "chain · version under test · holes · holes: 0 (0 px, 0 arcmin²) → 1 (42,525 px, 201 arcmin²)" in out
    assert "– → 4.5 %" in out


def test_an_output_says_how_much_differs():
    """Number of values, largest difference, sky and digests are written; equal images are not."""
    equal = ImageChange("coverage PRIMARY", "c" * 64, "c" * 64)
    out = written(outputs=(replace(OUTPUT, images=(DATA, equal)),))
    assert "mosaic RGB: 12 finite values differ, 3 are finite on one side only; the largest difference is 13,354" in out
    assert f"({'a' * 12} → {'b' * 12})" in out
    assert "Sky covered in A only: 2.5 arcmin²; in B only: 0 arcmin²." in out
    assert "coverage PRIMARY" not in out


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (ImageChange("mosaic RGB", None, "b" * 64), "in B only"),
        (ImageChange("mosaic RGB", "b" * 64, None), "in A only"),
        (ImageChange("mosaic RGB", "a" * 64, "b" * 64, "shape"), "the shapes differ"),
        (ImageChange("mosaic RGB", "a" * 64, "b" * 64, "blocks", largest=3.5), "at least 3.5"),
        (ImageChange("mosaic RGB", "a" * 64, "b" * 64), "the output files are not there"),
        (ImageChange("mosaic WCS", "a" * 64, "b" * 64), "another grid"),
    ],
)
def test_each_kind_of_difference_has_its_sentence(image, said):
    """What was compared is said for each image."""
    assert said in written(outputs=(replace(OUTPUT, images=(image,)),))


def test_equal_data_are_written_once():
    """Runs with the same difference are listed under the first."""
    out = written(outputs=(OUTPUT, replace(OUTPUT, role="pair", before="p", after="q")))
    assert out.count("12 finite values differ") == 1
    assert "the same data: chain · same version, other retention, p → q" in out


def test_an_acceptance_that_does_not_hold_is_named():
    """The reason why an acceptance does not hold is written with the difference."""
    out = written(outputs=(replace(OUTPUT, void=say("No tile was submitted.")),))
    assert "≠ chain · version under test · different" in out
    assert "No tile was submitted." in out


def test_many_rows_are_cut_with_their_number():
    """The text shows a part of very long lists and says how many it leaves out."""
    facts = tuple(FactChange("environment", f"name{n}", None, "1") for n in range(45))
    out = written(facts=facts)
    assert "name39" in out
    assert "name40" not in out
    assert "and more, with --html or --json: 5" in out
    assert "environment · name0: – → 1" in out


def test_control_characters_cannot_reach_the_terminal():
    """Names from files are untrusted: an escape sequence is written as text."""
    out = written(facts=(FactChange("options", "x\x1b[2J", "a", "b\x07"),), verdicts=(replace(WORSE, case="\x1b]0;x"),))
    assert "\x1b" not in out
    assert "\x07" not in out
    forged = written(outputs=(replace(OUTPUT, case="chain\n✓ all well\x1b[1A"),))
    assert "\x1b" not in forged
    assert not [line for line in forged.splitlines() if line.startswith("✓")]


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"ran": Ran(1, 4, "cases")}, "◐ 1 of 4 cases"),
        ({"ran": Ran(2, 3, "lines")}, "◐ 2 of 3 lines"),
        ({"ran": Ran(3, 3, "lines")}, "✓ pass"),
        ({}, "✓ pass"),
        ({"interrupted": True}, "◐ interrupted"),
        ({"outcome": Outcome.FAIL, "ran": Ran(1, 4, "cases")}, "✗ fail"),
        ({"outcome": Outcome.FAIL, "interrupted": True}, "✗ fail"),
    ],
)
def test_a_session_that_ran_in_part_is_no_pass(parts, said):
    """A side says how much of it was run; a failure stays a failure."""
    out = text(rows(changes(after=replace(SIDE, **parts)), EN), EN)
    assert f"B  zemosaic b59a65f · {said} · " in out
    assert "A  zemosaic b59a65f · ✓ pass · " in out


def test_a_figure_that_prints_the_same_is_counted_and_not_listed():
    """A figure whose printed values are equal has not changed for a reader; the JSON keeps its digits."""
    same = FigureChange("chain", "subject", "cost", say("ratio"), "ratio", (0.120001,), (0.120004,))
    other = FigureChange("chain", "subject", "tiles", say("missing"), "count", (0,), (1,))
    made = changes(figures=(same, other))
    out = text(rows(made, EN), EN)
    assert "0.12 times → 0.12 times" not in out
    assert "missing: 0 → 1" in out
    assert "figures that changed: 1" in out
    assert "digits that are not printed (--json has them): 1" in out
    assert len(made.to_json()["figures"]) == 2
    for lang in (EN, FR):
        assert not [row for row in rows(made, lang).figures if row.before == row.after]
    assert "digits that are not printed" not in written(figures=(other,))


@pytest.mark.parametrize(
    ("unit", "before", "after"), [("area", (1, 0.01), (1, 0.04)), ("sky", (1, 9, 0.041), (1, 9, 0.04))]
)
def test_a_small_area_that_changed_is_printed_with_its_digits(unit, before, after):
    """An area below one square arcminute is not rounded to nothing: its change is listed."""
    (row,) = rows(
        changes(figures=(FigureChange("c", "subject", "holes", say("holes"), unit, before, after),)), EN
    ).figures
    assert "0.04 arcmin²" in row.after
    assert row.before != row.after
    assert "(0 arcmin²" not in row.before
