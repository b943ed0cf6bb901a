"""No check raises a false alarm on one of the correct runs that ``benchmarks/sound.py`` draws."""

from benchmarks import sound
from harness.checks.judge import judge
from harness.verdict import Outcome


def test_a_sound_run_has_no_finding(tmp_path):
    """No check fails on frames in random groups with four workers and retries."""
    case = sound.made(sound.drawn(12), tmp_path)
    verdicts = judge(case)
    assert sound.findings(case, verdicts) == []
    assert any(verdict.outcome is Outcome.PASS for verdict in verdicts)


def test_a_trial_is_the_same_for_the_same_seed():
    """A finding can be repeated from its seed."""
    assert sound.drawn(3) == sound.drawn(3)
    assert sound.drawn(3) != sound.drawn(12)
    assert {sound.drawn(seed).kind for seed in range(9)} == set(sound.KINDS)
