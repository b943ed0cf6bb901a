"""Test that no walk through a folder of the user or of a target fails on folders that are a thousand deep.

``os.walk`` calls itself for each level before Python 3.12, and ``Path.rglob`` before 3.13.
"""

import ast
import math
import os
from pathlib import Path

import pytest

from fixtures.user_frames import _files as frame_files
from harness.analysis.made import Origin
from harness.patch.versions import read_folder
from harness.probe import foreign, imports
from harness.record.extent import files_below
from harness.run.measure import _tiles
from harness.targets.exports import _hashes
from harness.targets.zemosaic import _source_files
from tests.hostile import deep

ROOT = Path(__file__).resolve().parents[2]

WALKS = {
    "files below": lambda folder: list(files_below(folder)),
    "frames": lambda folder: frame_files(folder)[0],
    "source of a version": lambda folder: list(read_folder(folder)),
    "copy of a target": lambda folder: list(_hashes(folder)),
    "source of a target": lambda folder: list(_source_files(folder)),
    "outputs before a run": lambda folder: foreign._files(str(folder)),
    "inputs before a run": lambda folder: foreign._inputs(str(folder), ""),
    "imports": lambda folder: list(imports._sources(str(folder))),
    "tiles": lambda folder: list(_tiles(folder.parent, Origin(), math.inf)),
}


@pytest.mark.skipif(os.name == "nt", reason="paths of this system are short")
@pytest.mark.parametrize("name", WALKS)
def test_what_is_not_too_deep_is_found(tmp_path, name):
    """The walk ends, and has the file that lies in the first folder."""
    folder = tmp_path / "outputs"
    with deep(folder):
        for file in ("a.py", "a.fits", "master_tile_001.fits"):
            (folder / file).write_bytes(b"")
        assert WALKS[name](folder)


OWN = {
    "harness/session/source.py": "the harness's own source",
    "harness/probe/foreign.py": "the probe imports nothing of the harness; limited",
    "harness/probe/imports.py": "the probe imports nothing of the harness; limited",
}
"""The modules that may call a walk of Python, and why."""


def test_every_other_module_walks_by_the_limited_walk():
    """A new ``rglob`` or ``os.walk`` would fail on a deep folder."""
    found = set()
    for path in (path for part in ("harness", "reports", "fixtures") for path in files_below(ROOT / part)):
        if path.suffix == ".py":
            tree = ast.parse(path.read_text(encoding="utf-8"))
            called = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
            names = {ast.unparse(f) for f in called if isinstance(f, ast.Attribute)}
            if any(name == "os.walk" or name.endswith(".rglob") for name in names):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == set(OWN)
