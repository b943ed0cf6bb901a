"""Test how findings of two runs are compared: by size and value beyond noise, and by name in older evidence."""

import pytest

from harness.checks.findings import _OF_A_PANEL, _OF_THE_MOSAIC, Finding, Worse, findings_in, names_in, new_findings
from harness.checks.thresholds import read_thresholds
from harness.language.catalogue import language

LIMITS = read_thresholds()


def evidence(*findings):
    """Return the evidence of a verdict with these findings, as a check writes it."""
    return {"findings": [f if isinstance(f, str) else f.to_json() for f in findings]}


def new(findings, *others, by_name=False):
    """Return the names of the findings that are new beside those of other runs."""
    found = new_findings(evidence(*findings), [evidence(*other) for other in others], LIMITS, by_name=by_name)
    return [worse.name for worse in found]


def test_a_finding_that_no_other_run_has_is_new():
    """A name that no other run has is new; one that any of them has in the same size is not."""
    one, other = Finding("panel 0: flux", 0.2), Finding("panel 1: flux", 0.2)
    assert new([one, other], [one]) == ["panel 1: flux"]
    assert new([one, other], [one], [other]) == []
    assert new([one], []) == ["panel 0: flux"]


@pytest.mark.parametrize(
    ("before", "after", "noise", "is_new"),
    [
        (0.20, 0.30, 0.0, True),
        (0.20, 0.205, 0.0, False),  # below the smallest change that counts
        (0.20, 0.30, 0.03, False),  # within three standard errors of the difference
        (0.20, 0.34, 0.03, True),
        (0.20, 0.10, 0.0, False),  # better
    ],
)
def test_a_finding_that_is_worse_beyond_noise_is_new(before, after, noise, is_new):
    """The size must exceed that of the other run by more than noise and the floor."""
    assert new([Finding("x", after, noise)], [Finding("x", before, noise)]) == (["x"] if is_new else [])


def test_the_worst_of_the_other_runs_counts():
    """A finding must be worse than that of the baseline and that of run_end."""
    assert new([Finding("x", 0.3)], [Finding("x", 0.2)], [Finding("x", 0.3)]) == []
    assert new([Finding("x", 0.4)], [Finding("x", 0.2)], [Finding("x", 0.3)]) == ["x"]


def test_a_changed_value_is_new_in_both_directions():
    """A value nearer to the right one was changed too; the value of one other run is enough to be known."""
    before = Finding("x", 0.30, 0.005, 0.70)
    assert new([Finding("x", 0.23, 0.005, 0.77)], [before]) == ["x"]
    assert new([Finding("x", 0.37, 0.005, 0.63)], [before]) == ["x"]
    assert new([Finding("x", 0.29, 0.005, 0.71)], [before]) == []
    assert new([Finding("x", 0.23, 0.005, 0.77)], [before], [Finding("x", 0.23, 0.005, 0.77)]) == []
    assert new([Finding("x", 0.30, 0.005, 1.30)], [before]) == ["x"]


@pytest.mark.parametrize(
    ("before", "after", "noise", "is_new"),
    [
        ((1.0, 1.0, 0.5), (0.5, 1.0, 1.0), 0.0, True),
        ((1.0, 1.0, 0.5), (1.0, 1.0, 0.5), 0.0, False),
        ((1.0, 1.0, 0.5), (1.0, 1.0, 0.54), 0.0, False),  # below the smallest change that counts
        ((2.0, 0.0), (-2.0, 0.0), 0.9, True),
        ((2.0, 0.0), (-2.0, 0.0), 1.0, False),  # within three standard errors of the difference
        ((2.0, 0.0), (2.0, 0.0, 0.0), 9.0, True),  # another number of channels
    ],
)
def test_values_of_several_numbers_are_compared_as_vectors(before, after, noise, is_new):
    """Vectors are new if their distance exceeds noise and the floor, also if their lengths are equal."""
    found = new([Finding("x", 1.0, noise, after)], [Finding("x", 1.0, noise, before)])
    assert found == (["x"] if is_new else [])


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ((0.0, 2.0), (0.0, -2.0), "was 0 and 2 pixels in the runs that it is compared with, and is 0 and -2 here"),
        ((0.5, 1.0, 1.0), (1.0, 1.0, 0.5), "had 0.5, 1 and 1 times the highest gain"),
        ((1.0,) * 4, (2.0,) * 4, "It has another value in the runs that it is compared with."),
        (0.5, 1.9, "It was 0.5 in the runs that it is compared with, and is 1.9 here."),
    ],
)
def test_values_of_several_numbers_are_stated(before, after, sentence):
    """The evidence has the vectors as lists, and the sentence says what their numbers are."""
    (worse,) = new_findings(evidence(Finding("x", 1.0, 0.0, after)), [evidence(Finding("x", 1.0, 0.0, before))], LIMITS)
    listed = {"before": before, "after": after}
    assert worse.to_json() == {"name": "x"} | {k: list(v) if isinstance(v, tuple) else v for k, v in listed.items()}
    assert sentence in worse.sentences[1].render()


def test_evidence_of_an_earlier_version_is_compared_by_name():
    """Older records and sessions list names only. They are read, and a known name is not new."""
    assert new([Finding("x", 0.9)], ["x"]) == []
    assert new(["x", "y"], [Finding("x", 0.1)]) == ["y"]
    assert findings_in({"findings": ["x"]}) == (Finding("x", None),)
    assert new([Finding("x", 0.9)], [Finding("x", 0.1)], by_name=True) == []


@pytest.mark.parametrize("listed", [None, 5, "x", [5, None, {}, {"name": 3}], [{"size": 1.0}]])
def test_damaged_evidence_has_no_findings(listed):
    """Evidence may come from anywhere: what is neither a name nor a finding is left out."""
    assert findings_in({"findings": listed}) == ()
    assert names_in({}) == ()


def test_damaged_measures_are_left_out():
    """A measure that is no finite number counts as unknown; the name still counts."""
    listed = {"findings": [{"name": "x", "size": "big", "noise": float("nan"), "value": True}]}
    assert findings_in(listed) == (Finding("x", None, 0.0, None),)
    for value in ([], [1.0, None], [1.0, float("inf")], ["a"], {"a": 1.0}, [[1.0]]):
        assert findings_in({"findings": [{"name": "x", "size": 1.0, "value": value}]}) == (Finding("x", 1.0),)


def test_how_much_worse_is_stated():
    """The evidence has the nearest measure before and the measure now, and the sentence states both."""
    found = new_findings(
        evidence(Finding("x", 0.4)), [evidence(Finding("x", 0.1)), evidence(Finding("x", 0.2))], LIMITS
    )
    assert [worse.to_json() for worse in found] == [{"name": "x", "before": 0.2, "after": 0.4}]
    assert [sentence.render() for sentence in found[0].sentences] == [
        "New finding: x.",
        "It was 0.2 in the runs that it is compared with, and is 0.4 here.",
    ]
    assert "do not have it" in Worse("x", None, 0.4).sentences[1].render()


def test_no_sentence_in_french_has_the_english_name_of_a_finding():
    """The names of the checks' findings stay English in the evidence, and each has a sentence of its own in French."""
    of_a_panel = [f"panel 3: {what}" for what in _OF_A_PANEL]
    for name in (*_OF_THE_MOSAIC, *of_a_panel):
        english, _ = Worse(name, 0.1, 0.4).sentences
        assert "name" not in english.values, name
        french = language("fr").render(english)
        assert french != english.render(), name
        assert ("3" in french) is name.startswith("panel"), name


def test_a_finding_is_written_without_measures_that_are_not_finite():
    """JSON has no infinity: such a size is left out."""
    assert Finding("x", float("inf")).to_json() == {"name": "x", "noise": 0.0}
    assert Finding("x", 1.0, 0.0, (1.0, float("nan"))).to_json() == {"name": "x", "size": 1.0, "noise": 0.0}
