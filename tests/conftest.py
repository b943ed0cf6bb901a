"""Keep the project's own tests out of the validation: their tools are not installed for it."""

from harness.plugin.hooks import selected


def pytest_ignore_collect(config):
    """Ignore every file here when ``-m phase3`` selects the validation."""
    return True if selected(config) else None
