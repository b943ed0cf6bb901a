"""Judge the facts of a driven release."""

import pytest

from harness.checks.thresholds import read_thresholds
from harness.patch.release_check import EXPECTED, FORMAT, judge, judge_growth
from harness.verdict import Outcome

SOUND = {
    "in order": ["bc", ""],
    "a tile twice": ["abc", "abc"],
    "a tile that was never registered": ["abc"],
    "one release too many": ["c", "c"],
    "a count that is zero already": ["abc"],
    "a missing file": ["c"],
    "a file that can't be removed": ["ac"],
}


def outcome(**changed):
    """Return the facts of a sound release; ``changed`` replaces facts of steps, with underscores in the steps' names."""
    steps = [
        {"step": name, "raised": None, "there": there, "counts": [{"a": 0}] * len(there), "levels": ["DEBUG"]}
        for name, there in SOUND.items()
    ]
    for step in steps:
        step.update(changed.get(step["step"].replace(" ", "_").replace("'", ""), {}))
    return {"format": FORMAT, "function": "release(tile)", "looked_at": [], "steps": steps}


def test_a_sound_release_passes():
    """A file whose count was zero from the start may be removed or kept."""
    assert judge(outcome()).outcome is Outcome.PASS
    assert judge(outcome(a_count_that_is_zero_already={"there": ["c"]})).outcome is Outcome.PASS
    assert set(SOUND) == set(EXPECTED)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"one_release_too_many": {"counts": [{"a": 0}, {"a": -1}]}}, "a count fell to -1"),
        ({"a_tile_twice": {"there": ["abc", "c"]}}, "remain after the releases: abc, c"),
        ({"in_order": {"there": ["c", ""]}}, "remain after the releases: c"),
        ({"a_missing_file": {"raised": "FileNotFoundError: a"}}, "the release raised FileNotFoundError: a"),
        ({"a_missing_file": {"there": ["bc"]}}, "remain after the releases: bc"),
        ({"a_file_that_cant_be_removed": {"levels": ["DEBUG", "WARNING"]}}, "logged at level WARNING"),
        ({"a_file_that_cant_be_removed": {"there": ["abc"]}}, "remain after the releases: abc"),
        ({"a_count_that_is_zero_already": {"there": ["ab"]}}, "remain after the releases: ab"),
    ],
)
def test_each_wrong_step_fails(changed, told):
    """The sentence names the step and the error in it."""
    found = judge(outcome(**changed))
    assert found.outcome is Outcome.FAIL
    assert told in found.sentence.render()


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ({"format": FORMAT, "problem": "no interpreter"}, "could not be called: no interpreter"),
        ({"format": "another/1"}, "could not be called: another/1"),
        ({"format": FORMAT, "function": None, "looked_at": ["tidy()"], "steps": []}, "looked at: tidy()"),
        ({**outcome(), "steps": outcome()["steps"][1:]}, "missing: in order"),
    ],
)
def test_what_was_not_driven_is_unknown(found, told):
    """A release that is not found, or was called in some steps only, is unknown."""
    verdict = judge(found)
    assert verdict.outcome is Outcome.UNKNOWN
    assert told in verdict.sentence.render()


def growing(lines=1, seconds=1, longest=0.5):
    """Return facts in which registration grows with these powers of the inputs; the release is linear."""
    of_lines = [{"inputs": n, "register": n**lines, "release": n} for n in (256, 512, 1024, 2048)]
    of_time = [
        {"inputs": n, "register": longest * (n / 8192) ** seconds, "release": 0.3 * n / 8192} for n in (4096, 8192)
    ]
    return {"format": FORMAT, "growth": {"name": "register, release", "lines": of_lines, "seconds": of_time}}


def test_registration_that_grows_with_the_inputs_passes():
    """Linear work passes, also where a short time happens to look quadratic."""
    assert judge_growth(growing(), read_thresholds()).outcome is Outcome.PASS
    assert judge_growth(growing(seconds=2, longest=0.1), read_thresholds()).outcome is Outcome.PASS


@pytest.mark.parametrize("facts", [growing(lines=2), growing(seconds=1.9)])
def test_registration_that_grows_with_the_square_fails(facts):
    """Quadratic work is seen by the lines that are executed, or by the time within one line."""
    found = judge_growth(facts, read_thresholds())
    assert found.outcome is Outcome.FAIL
    assert "Registration grows faster than the inputs" in found.sentence.render()


@pytest.mark.parametrize("step", ["register", "release"])
@pytest.mark.parametrize("count", [0, 1, 2047])
def test_growth_with_fewer_lines_than_inputs_is_unknown(step, count):
    """Work in another thread executes no counted line: this is no sign that it grows slowly. Its time can still fail."""
    facts, slow = growing(), growing(seconds=1.9)
    for of_lines in (facts["growth"]["lines"], slow["growth"]["lines"]):
        of_lines[-1][step] = count
        if not count:
            of_lines[:] = [{**row, step: 0} for row in of_lines]
    found = judge_growth(facts, read_thresholds())
    assert found.outcome is Outcome.UNKNOWN
    assert f"Lines that were executed in {step}: " in found.sentence.render()
    assert judge_growth(slow, read_thresholds()).outcome is Outcome.FAIL


def test_lines_that_are_counted_at_the_largest_size_only_are_no_growth():
    """From no line to some, no power can be computed."""
    facts = growing()
    facts["growth"]["lines"][-2]["register"] = 0
    assert judge_growth(facts, read_thresholds()).outcome is Outcome.UNKNOWN


@pytest.mark.parametrize(
    "facts", [{"problem": "no interpreter"}, {"growth": {"problem": "LookupError: none"}}, {"format": FORMAT}]
)
def test_growth_that_was_not_measured_is_unknown(facts):
    """A version without such functions, and facts of an older driver, say nothing about growth."""
    assert judge_growth(facts, read_thresholds()).outcome is Outcome.UNKNOWN
