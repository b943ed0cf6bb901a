"""A part of the harness that fails in a test of its own, for ``test_verdicts.py``."""


def fail():
    """Raise an assertion that is no verdict."""
    raise AssertionError("the harness is wrong")
