"""Keeps the project's own tests out of the validation, which is installed without their tools."""

from harness.plugin.hooks import selected


def pytest_ignore_collect(config):
    """Collect nothing here when ``-m phase3`` selects the scenarios."""
    return True if selected(config) else None
