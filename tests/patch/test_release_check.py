"""Judge the facts of a driven release."""

import pytest

from harness.patch.release_check import EXPECTED, FORMAT, judge
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
