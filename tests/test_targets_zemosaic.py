"""ZeMosaic as a target: commits and checkouts, copied without touching them, and what goes wrong."""

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness import targets
from harness.targets import TargetError, git, interpreter, zemosaic

STUB = Path(__file__).parent / "stub_zemosaic"


def run_git(folder, *words):
    """Run git, unaffected by anybody's settings, and return what it says."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ["-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", "-c", "core.autocrlf=false"]
    return subprocess.run(
        ["git", *who, *words], cwd=folder, env=env, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    """Make a repository of the stub with two commits, in a folder whose name has an @, a space and an accent."""
    folder = tmp_path / "dépôt @ home"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    run_git(folder, "init", "-q")
    (folder / "picture.gif").write_bytes(bytes(range(256)))
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", "one")
    (folder / "version.txt").write_text("ZeMosaic 4.5.0\n", encoding="utf-8")
    run_git(folder, "add", ".")
    run_git(folder, "commit", "-q", "-m", "two")
    return folder


def contents(folder):
    """Return every file by name."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def resolve(spec, tmp_path):
    """Resolve a checkout, copied below the test's folder."""
    return targets.resolve(f"zemosaic:{spec}", None, tmp_path / "exports")


def test_commit_is_copied_whole(checkout, tmp_path):
    """A commit becomes a folder named by its full id, with the commit's files, and the repository stays as it was."""
    before = contents(checkout)
    first = run_git(checkout, "rev-parse", "HEAD~1")
    facts = resolve(f"{checkout}@{first[:8]}", tmp_path)
    assert Path(facts.root) == tmp_path / "exports" / first
    assert (facts.kind, facts.label, facts.identity["commit"]) == ("zemosaic", f"zemosaic {first[:7]}", first)
    assert set(contents(Path(facts.root))) == set(contents(STUB)) - compiled(STUB) | {"picture.gif"}
    assert facts.identity["version"] is None
    assert contents(checkout) == before


def compiled(folder):
    """Name the compiled files, which an import leaves."""
    return {name for name in contents(folder) if "__pycache__" in name}


def test_names_of_commits_are_resolved(checkout, tmp_path):
    """A branch or a tag names a commit; the identity is the commit's full id and the version that it states."""
    facts = resolve(f"{checkout}@main", tmp_path)
    assert facts.identity["commit"] == run_git(checkout, "rev-parse", "HEAD")
    assert facts.identity["version"] == "4.5.0"
    assert targets.is_commit(checkout, "main")
    assert not targets.is_commit(checkout, "nope")
    assert not targets.is_commit(checkout, "--help")
    assert not targets.is_commit(tmp_path / "none", "main")


def test_clean_checkout_is_its_commit(checkout, tmp_path):
    """A checkout without changes is the same target as its commit: one copy serves both."""
    clean = resolve(checkout, tmp_path)
    assert clean.root == resolve(f"{checkout}@main", tmp_path).root
    assert clean.identity["dirty"] is None


def test_changed_checkout_is_run_as_it_is(checkout, tmp_path):
    """Changed and new source files are part of the target and of its identity; data and ignored files are not."""
    clean = resolve(checkout, tmp_path)
    (checkout / "zemosaic_config.py").write_text("DEFAULT_CONFIG = {}\n")
    (checkout / "new_module.py").write_text("x = 1\n")
    (checkout / "frame.fits").write_bytes(b"0" * 100)
    status = run_git(checkout, "status", "--porcelain")
    before = contents(checkout)
    changed = resolve(checkout, tmp_path)
    assert changed.root != clean.root
    assert changed.identity["commit"] == clean.identity["commit"]
    assert changed.label == f"{clean.label}+{changed.identity['dirty'][:7]}"
    found = contents(Path(changed.root))
    assert found["zemosaic_config.py"].strip() == b"DEFAULT_CONFIG = {}"
    assert "new_module.py" in found
    assert "frame.fits" not in found
    assert contents(checkout) == before
    assert run_git(checkout, "status", "--porcelain") == status
    (checkout / "new_module.py").write_text("x = 2\n")
    assert resolve(checkout, tmp_path).identity["dirty"] != changed.identity["dirty"]


def test_deleted_file_changes_the_identity(checkout, tmp_path):
    """A tracked file that was deleted is missing in the copy too."""
    (checkout / "version.txt").unlink()
    facts = resolve(checkout, tmp_path)
    assert facts.identity["dirty"]
    assert not (Path(facts.root) / "version.txt").exists()


def test_folder_without_git_is_known_by_its_files(tmp_path):
    """A folder that is no git checkout is identified by its source; hidden folders, environments and data stay out."""
    folder = tmp_path / "plain"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.py").write_text("")
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("")
    (folder / "env" / "a.py").write_text("")
    (folder / "frame.fits").write_bytes(b"0")
    facts = resolve(folder, tmp_path)
    assert set(contents(Path(facts.root))) == {"zemosaic_config.py", "zemosaic_worker.py"}
    assert facts.identity["commit"] is None
    (folder / "zemosaic_config.py").write_text("DEFAULT_CONFIG = {}\n")
    assert resolve(folder, tmp_path).identity["files"] != facts.identity["files"]


def test_bare_repository_needs_a_commit(checkout, tmp_path):
    """Any commit of a bare repository is a target; the repository itself has no files to run."""
    bare = tmp_path / "bare.git"
    run_git(tmp_path, "clone", "-q", "--bare", str(checkout), str(bare))
    assert resolve(f"{bare}@main", tmp_path).identity["commit"] == run_git(checkout, "rev-parse", "HEAD")
    with pytest.raises(TargetError, match="bare repository"):
        resolve(bare, tmp_path)


def drop(repository, path):
    """Remove a file's content from a repository, as in a partial copy."""
    oid = run_git(repository, "rev-parse", f"HEAD:{path}")
    loose = repository / ".git" / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.unlink()


def test_missing_picture_is_left_out_and_missing_code_is_refused(checkout, tmp_path):
    """A partial copy without a picture serves; one without code does not, and leaves no half copy."""
    drop(checkout, "picture.gif")
    facts = resolve(f"{checkout}@HEAD", tmp_path)
    assert "picture.gif" not in contents(Path(facts.root))
    shutil.rmtree(tmp_path / "exports")
    drop(checkout, "zemosaic_config.py")
    with pytest.raises(TargetError, match=r"zemosaic_config\.py.*missing"):
        resolve(f"{checkout}@HEAD", tmp_path)
    assert [p.name for p in (tmp_path / "exports").iterdir() if p.is_dir()] == []


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights there")
def test_links_are_neither_made_nor_followed(checkout, tmp_path):
    """A link in a commit or a work tree could lead anywhere: it is left out."""
    (tmp_path / "secret.py").write_text("secret")
    (checkout / "link.py").symlink_to(tmp_path / "secret.py")
    assert "link.py" not in contents(Path(resolve(checkout, tmp_path).root))
    run_git(checkout, "add", ".")
    run_git(checkout, "commit", "-q", "-m", "link")
    assert "link.py" not in contents(Path(resolve(f"{checkout}@HEAD", tmp_path).root))


@pytest.mark.parametrize("path", ["../a.py", "/a.py", "a/../../b.py", ".git/config", "a\\b.py", "a/.GIT/x", "a\0.py"])
def test_paths_that_would_leave_the_folder_are_refused(path):
    """A commit may hold any path; only those inside its own folder are written."""
    assert git.safe(path) is None


def test_copy_of_a_path_that_leaves_is_refused(tmp_path):
    """Such a path refuses the whole copy."""
    with pytest.raises(TargetError, match="paths inside the folder"):
        zemosaic._copy(iter([("../a.py", b"")]), tmp_path / "exports", "k", "it")
    assert not (tmp_path / "a.py").exists()


def test_two_who_copy_at_once_share_one_copy(checkout, tmp_path):
    """Workers that need the same target make it once; none ever sees a part of it."""
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(resolve(f"{checkout}@HEAD", tmp_path).root)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [p.name for p in (tmp_path / "exports").iterdir() if p.name.startswith("draft")] == []


def test_what_is_no_target_is_told(checkout, tmp_path):
    """Each wrong specification says what was expected, what was found, what to do."""
    for spec, match in [
        (f"zemosaic:{tmp_path / 'none'}", "found no folder"),
        (f"zemosaic:{tmp_path / 'none'}@main", "found no folder"),
        ("zemosaic:", "found no folder"),
        (f"zemosaic:{checkout}@nope", "found 'nope', which git does not know there"),
        (f"zemosaic:{tmp_path}", "found no zemosaic_worker.py"),
        ("nonsense", "found 'nonsense'"),
        ("zemosaic", "found 'zemosaic'"),
    ]:
        with pytest.raises(TargetError, match=match):
            targets.resolve(spec, None, tmp_path / "exports")


def test_worker_without_the_entry_point_is_no_target(tmp_path):
    """A folder that only looks like ZeMosaic is refused before anything starts."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("zemosaic_worker.py", "zemosaic_config.py"):
        (folder / name).write_text("")
    with pytest.raises(TargetError, match="no run_hierarchical_mosaic_process"):
        resolve(folder, tmp_path)


def test_commit_needs_git(checkout, tmp_path, monkeypatch):
    """Without git a commit can't be read, and the message says so; a plain folder still can."""
    monkeypatch.setattr(git, "is_there", lambda: False)
    with pytest.raises(TargetError, match="install git"):
        resolve(f"{checkout}@main", tmp_path)
    assert resolve(checkout, tmp_path).identity["commit"] is None


def test_damaged_repository_is_told(checkout):
    """What git says of a repository that it can't read is passed on."""
    with pytest.raises(TargetError, match="expected git to read"):
        git.blobs(checkout, "0" * 40)


def test_missing_libraries_are_all_named(checkout, tmp_path, monkeypatch):
    """An interpreter that lacks what the version imports is refused, with every library and the command."""
    bare = interpreter.Interpreter(sys.executable, (3, 11, 0), "", dict.fromkeys(interpreter.ZEMOSAIC_LIBRARIES))
    monkeypatch.setattr(interpreter, "examine", lambda _: bare)
    with pytest.raises(TargetError, match=r"astropy, numpy missing.*--phase3-python.*pip install astropy numpy"):
        resolve(checkout, tmp_path)


def test_own_settings_are_read_without_their_folders(tmp_path):
    """A user's own settings file is read, with a byte order mark or not; where to read and write is not his to say here."""
    path = tmp_path / "zemosaic_config.json"
    path.write_text(
        json.dumps({"stacking_kappa_low": 2.5, "input_dir": "/x", "output_dir": "/y"}), encoding="utf-8-sig"
    )
    assert targets.read_config(path) == {"stacking_kappa_low": 2.5}
    for content, match in [("{", "expected JSON"), ("[1]", "found list")]:
        path.write_text(content)
        with pytest.raises(TargetError, match=match):
            targets.read_config(path)
    with pytest.raises(TargetError, match="found none that can be read"):
        targets.read_config(tmp_path / "none.json")
