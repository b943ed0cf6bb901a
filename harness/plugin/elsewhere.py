"""Tell a user who starts the validation outside of this project's folder where its tests are.

pytest loads this module in every environment that has the project, so it imports nothing else of it.
"""

from __future__ import annotations

import pytest

PLUGIN = "harness.plugin.hooks"
"""The plugin that ``conftest.py`` of the project's folder loads."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark, so that it selects nothing instead of being unknown."""
    if not config.pluginmanager.hasplugin(PLUGIN):
        config.addinivalue_line(
            "markers", "phase3: the validation of ZeMosaic's Phase 3; its tests are in a checkout of it"
        )


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Say where the tests are when ``-m phase3`` found none."""
    config = session.config
    here = config.pluginmanager.hasplugin(PLUGIN)
    asked = "phase3" in str(config.option.markexpr) and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if asked and not here and reporter is not None:
        reporter.write_line("")
        reporter.write_line(
            "phase3: the tests of the validation are not in this folder: run pytest in a checkout of the project. "
            "An installed copy has the command phase3 only."
        )
