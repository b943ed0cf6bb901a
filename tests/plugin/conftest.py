"""Fixtures for tests of the plugin."""

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def stub(tmp_path):
    """Return a function that copies the stub of ZeMosaic into a new folder and sets the mode of its runs."""

    def copy(mode):
        folder = tmp_path / f"stub {mode or 'good'}"
        shutil.copytree(
            Path(__file__).parents[1] / "stub_zemosaic", folder, ignore=shutil.ignore_patterns("__pycache__")
        )
        settings = folder / "zemosaic_config.py"
        settings.write_text(
            settings.read_text(encoding="utf-8") + f"\nDEFAULT_CONFIG['stub_mode'] = {mode!r}\n", encoding="utf-8"
        )
        return folder

    return copy
