"""Tests that no check raises a false alarm, on one of the random correct runs of ``benchmarks/sound.py`` with its pair."""

from benchmarks import sound
from harness.checks.judge import judge
from harness.verdict import Outcome


def test_a_sound_run_has_no_finding(tmp_path):
    """Frames in random groups, four workers, with retries: no check fails."""
    case = sound.made(sound.drawn(12), tmp_path)
    verdicts = judge(case)
    assert sound.findings(case, verdicts) == []
    assert any(verdict.outcome is Outcome.PASS for verdict in verdicts)


def test_a_trial_is_the_same_for_the_same_seed():
    """The seed of a finding is enough to repeat it."""
    assert sound.drawn(3) == sound.drawn(3)
    assert sound.drawn(3) != sound.drawn(12)
    assert {sound.drawn(seed).kind for seed in range(9)} == set(sound.KINDS)
