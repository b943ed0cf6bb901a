"""Keep the project's own tests out of the validation, whose installation lacks their tools, and share fixtures among them."""

import shutil

import pytest

from harness.plugin.hooks import selected
from harness.session.integrity import seal_session
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
        for run in session.runs:
            (folder / run.record).mkdir(parents=True)
            (folder / run.record / "request.json").touch()
        seal_session(folder)
        return folder

    return make


@pytest.fixture(scope="session")
def signable_pattern(tmp_path_factory):
    """Return a session of a real target with its pages, which tests copy and do not change."""
    from tests.signed_sessions import session_with_pages

    return session_with_pages(tmp_path_factory.mktemp("pattern") / "session")


@pytest.fixture
def signable(tmp_path, signable_pattern):
    """Return a session to sign, in a folder with a space and an accent."""
    return shutil.copytree(signable_pattern, tmp_path / "Ma session été")
