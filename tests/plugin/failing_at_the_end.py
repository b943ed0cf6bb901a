"""A plugin of pytest: with FULL_AT_THE_END the disk is full from the moment at which the session is written."""

import os

import pytest

from harness.plugin.hooks import Validation
from tests.faults import failing


class _All(int):
    """A number that equals every other: every operation fails."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Let every operation that writes fail while the results are written."""
    if hasattr(config, "workerinput") or not os.environ.get("FULL_AT_THE_END"):
        return
    real = Validation._conclude

    def conclude(self, session):
        with failing(_All(1)):
            return real(self, session)

    Validation._conclude = conclude
