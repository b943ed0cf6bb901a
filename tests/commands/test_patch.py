"""Test the guard rails on two folders, for a target without git."""

import pytest

from harness.commands.main import main

BEFORE = """
import logging

def release(paths, cache_retention_mode):
    if cache_retention_mode == "per_tile":
        for path in paths:
            path.unlink()
"""


@pytest.fixture
def trees(tmp_path):
    """Return two folders with the same source, as unpacked archives have it."""
    folders = tmp_path / "avant", tmp_path / "après"
    for folder in folders:
        folder.mkdir()
        (folder / "zemosaic_worker.py").write_text(BEFORE)
    return folders


def rows(capsys, *words):
    """Judge two versions and return the outcome of each row."""
    main(["patch", *map(str, words)])
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    return {line[1]: line[0] for line in lines}


def test_an_added_print_is_caught_in_a_tree_without_git(capsys, trees):
    """Two folders are compared as two commits are: an added print breaks the rule on logging."""
    before, after = trees
    (after / "zemosaic_worker.py").write_text(f"{BEFORE}            print(path)\n")
    found = rows(capsys, before, after)
    assert (found["0.1"], found["0.2"]) == ("PASS", "FAIL")
    (after / "zemosaic_worker.py").write_text(BEFORE.replace("path.unlink()", "path.unlink(missing_ok=True)"))
    assert rows(capsys, before, after)["0.2"] == "PASS"


def test_equal_trees_hold_no_patch(capsys, trees):
    """Two folders with the same files give no verdict."""
    assert set(rows(capsys, *trees).values()) == {"UNKNOWN"}


def test_a_folder_that_is_not_there_is_a_usage_error(capsys, trees, tmp_path):
    """A missing folder is named, with the option for commits; a repository that is none is named too."""
    assert main(["patch", str(tmp_path / "none"), str(trees[0])]) == 2
    assert "give --repo for commits" in capsys.readouterr().err
    assert main(["patch", "--repo", str(trees[0]), "63bcc2c", "b59a65f"]) == 2
    assert "found the folder" in capsys.readouterr().err
