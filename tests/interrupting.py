"""Interrupt pytest in one test, as Ctrl-C would, for tests of interrupted sessions: ``-p tests.interrupting`` and STOP_IN.

With HELD_IN, the test of that name fails and says which processes hold the session.
"""

import os

from harness.record.in_use import is_held, locks_of


def pytest_runtest_call(item):
    """Raise what Ctrl-C raises in the test whose name is in the environment."""
    if os.environ.get("STOP_IN", "") and os.environ["STOP_IN"] in item.name:
        raise KeyboardInterrupt
    if os.environ.get("HELD_IN", "") and os.environ["HELD_IN"] in item.name:
        folder = item.config.pluginmanager.get_plugin("phase3-validation").folder
        names = [path.name.split(".")[-2] for path in locks_of(folder) if is_held(path)]
        raise AssertionError("held: " + " ".join(names))
