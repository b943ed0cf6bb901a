"""Reading two versions of a program: from commits and folders, by kind of file."""

import shutil

import pytest

from harness.patch.versions import kind_of, read_commit, read_folder
from harness.targets.errors import TargetError
from tests.targets.test_zemosaic import STUB, run_git


@pytest.mark.parametrize(
    ("path", "kind"), [("tests/test_x.py", "test"), ("x.json", "data"), ("a.PY", "code"), ("b.rst", "note")]
)
def test_files_are_told_apart_by_their_path(path, kind):
    """Tests, data, code and notes are recognised by suffix and folder."""
    assert kind_of(path) == kind


def test_a_folder_reads_as_its_commit(tmp_path):
    """A copied target has the same files as its commit; files that were left out have no content."""
    repository = tmp_path / "dépôt"
    shutil.copytree(STUB, repository, ignore=shutil.ignore_patterns("__pycache__"))
    run_git(repository, "init", "-q")
    run_git(repository, "add", ".")
    run_git(repository, "commit", "-q", "-m", "one")
    head = read_commit(repository, "HEAD")
    files = {p: t for p, t in read_folder(repository, ("x.gif",)).items() if not p.startswith(".git/")}
    assert files == dict(head) | {"x.gif": None}
    with pytest.raises(TargetError, match="nowhere"):
        read_commit(repository, "nowhere")
