"""No check raises a false alarm: one of the sound runs that ``benchmarks/sound.py`` draws, each with its pair."""

from benchmarks import sound
from harness.checks.judge import judge
from harness.verdict import Outcome


def test_a_sound_run_has_no_finding(tmp_path):
    """Frames in random groups, by four workers, with retries: nothing fails."""
    case = sound.made(sound.drawn(12), tmp_path)
    verdicts = judge(case)
    assert sound.findings(case, verdicts) == []
    assert any(verdict.outcome is Outcome.PASS for verdict in verdicts)


def test_a_trial_is_the_same_for_the_same_seed():
    """What a finding is repeated by is its seed."""
    assert sound.drawn(3) == sound.drawn(3)
    assert sound.drawn(3) != sound.drawn(12)
    assert {sound.drawn(seed).kind for seed in range(9)} == set(sound.KINDS)
