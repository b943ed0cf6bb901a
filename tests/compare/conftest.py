"""Sessions to compare, made once; tests change copies."""

import shutil

import pytest

from tests.compare_sessions import narrower, one_star_brighter, session_with_mosaics

KINDS = {
    "before": {},
    "star": {"subject_per_tile": one_star_brighter},
    "canvas": {"subject_per_tile": narrower},
}


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return the folder of the sessions: one, one with another star, and one with another canvas."""
    root = tmp_path_factory.mktemp("compared é")
    for name, changes in KINDS.items():
        session_with_mosaics(root / name, **changes)
    return root


@pytest.fixture
def sessions(made, tmp_path):
    """Return a function that copies a session under a name and returns its folder."""

    def copy(kind, name):
        shutil.copytree(made / kind, tmp_path / name)
        return tmp_path / name

    return copy
