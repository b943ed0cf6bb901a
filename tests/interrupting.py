"""Interrupt pytest in one test, as Ctrl-C would, for tests of interrupted sessions: ``-p tests.interrupting`` and STOP_IN."""

import os


def pytest_runtest_call(item):
    """Raise what Ctrl-C raises in the test whose name is in the environment."""
    if os.environ.get("STOP_IN", "") and os.environ["STOP_IN"] in item.name:
        raise KeyboardInterrupt
