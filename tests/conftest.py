"""Keep the project's own tests out of the validation, whose installation lacks their tools, and share fixtures among them."""

import pytest

from harness.plugin.hooks import selected
from harness.session.model import write_session


def pytest_ignore_collect(config):
    """Ignore every file here when ``-m phase3`` selects the validation."""
    return True if selected(config) else None


@pytest.fixture(autouse=True)
def english(monkeypatch):
    """Take the system's language away, since tests read English sentences; those of a language set it themselves."""
    for name in ("PHASE3_LANG", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("harness.language.system._of_windows", str)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a session to a new folder and returns the folder."""

    def make(session, name="session"):
        folder = tmp_path / name
        folder.mkdir()
        write_session(session, folder)
        return folder

    return make
