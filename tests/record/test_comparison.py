"""A run and the runs it is compared with, whatever names them."""

from harness.record.comparison import Comparison

KEYS = Comparison("run", "pair", "baseline", ("other",), (("run", "pair"), ("a", "b")), ("small", "large"))


def test_every_run_is_mapped():
    """The function replaces each run, in its place."""
    assert KEYS.map(str.upper) == Comparison(
        "RUN", "PAIR", "BASELINE", ("OTHER",), (("RUN", "PAIR"), ("A", "B")), ("SMALL", "LARGE")
    )


def test_a_run_that_was_not_made_stays_none():
    """The function is not called for a missing pair or baseline, and an empty name is a name."""
    assert Comparison("run").map(len) == Comparison(3)
    assert Comparison("", "").map(len) == Comparison(0, 0)
