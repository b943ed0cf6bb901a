"""Test that the copy of a target that is run is the one that was made, whatever a target left in the folder of copies."""

import os
import shutil

import pytest

from harness.targets.errors import TargetError
from harness.targets.exports import copy, keep
from tests.bounded import bounded


def files():
    """Yield the files of a target."""
    yield "zemosaic_worker.py", b"x = 1\n"
    yield "locales/fr.json", b"{}"


def kept(root):
    """Keep a copy of the target below a folder."""
    return keep(files, root, "key", "the target", lambda _: None)


def content(folder):
    """Return the files below a folder, by path."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _kept(folder):
    return content(kept(folder).root)


def _copied(folder):
    copy(folder / "key", folder.parent / "run")


DAMAGE = {
    "a pipe": lambda root: (root / "zemosaic_worker.py").unlink() or os.mkfifo(root / "zemosaic_worker.py"),
    "one more pipe": lambda root: os.mkfifo(root / "zemosaic_utils.py"),
    "a link": lambda root: (
        (root / "zemosaic_worker.py").unlink() or (root / "zemosaic_worker.py").symlink_to("/dev/zero")
    ),
    "another content": lambda root: (root / "zemosaic_worker.py").write_bytes(b"x = 2\n"),
    "one file less": lambda root: (root / "locales" / "fr.json").unlink(),
    "one file more": lambda root: (root / "sitecustomize.py").write_bytes(b""),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("what", DAMAGE)
def test_a_copy_that_was_changed_is_made_again(tmp_path, what):
    """A target may have changed the copy that all sessions share. Nothing waits, and nothing of the change is run."""
    exports = tmp_path / "targets"
    root = kept(exports).root
    DAMAGE[what](root)
    assert bounded(_kept, exports).value == dict(files())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("what", [name for name in DAMAGE if "more" not in name])
def test_a_copy_that_was_changed_since_the_session_began_is_not_run(tmp_path, what):
    """It was resolved before. Files that were added are not copied."""
    exports = tmp_path / "targets"
    DAMAGE[what](kept(exports).root)
    answer = bounded(_copied, exports)
    assert (answer.error, "found it changed" in answer.text) == ("TargetError", True)


def test_a_copy_is_run_as_it_was_made(tmp_path):
    """Files that are not the target's are left out."""
    exports = tmp_path / "targets"
    root = kept(exports).root
    (root / "sitecustomize.py").write_bytes(b"")
    copy(root, tmp_path / "run")
    assert content(tmp_path / "run") == dict(files())
    shutil.rmtree(root)
    with pytest.raises(TargetError, match="found no such folder"):
        copy(root, tmp_path / "again")
