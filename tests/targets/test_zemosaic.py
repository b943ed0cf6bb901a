"""Test ZeMosaic as a target: copies of commits and checkouts, and the errors for bad ones."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from harness.record.digested import write_digested
from harness.targets import exports, git, interpreter, zemosaic
from harness.targets.errors import TargetError
from harness.targets.resolve import resolve
from harness.targets.start import prepare
from harness.targets.zemosaic import read_config, split
from tests.requests_ import a_request

STUB = Path(__file__).parents[1] / "stub_zemosaic"


def run_git(folder, *words):
    """Run git without the user's settings, and return its output."""
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
    """Return the content of every file by name, without compiled files."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.parent.name != "__pycache__"
    }


def resolved(spec, tmp_path):
    """Resolve a checkout, copied below the test's folder."""
    return resolve(f"zemosaic:{spec}", None, tmp_path / "exports")


def test_commit_is_copied_whole(checkout, tmp_path):
    """A commit is copied to a folder named by its full id, and the repository is unchanged."""
    before = contents(checkout)
    first = run_git(checkout, "rev-parse", "HEAD~1")
    facts = resolved(f"{checkout}@{first[:8]}", tmp_path)
    assert Path(facts.root) == tmp_path / "exports" / first
    assert (facts.kind, facts.label, facts.identity["commit"]) == ("zemosaic", f"zemosaic {first[:7]}", first)
    assert set(contents(Path(facts.root))) == set(contents(STUB)) | {"picture.gif"}
    assert facts.identity["version"] is None
    assert contents(checkout) == before


def test_names_of_commits_are_resolved(checkout, tmp_path):
    """A branch or a tag names a commit; the identity has the commit's full id and its stated version."""
    facts = resolved(f"{checkout}@main", tmp_path)
    assert facts.identity["commit"] == run_git(checkout, "rev-parse", "HEAD")
    assert facts.identity["version"] == "4.5.0"
    assert git.commit_of(checkout, "main") == facts.identity["commit"]
    assert git.commit_of(checkout, "nope") is None
    assert git.commit_of(checkout, "--help") is None
    assert git.commit_of(tmp_path / "none", "main") is None


def test_clean_checkout_is_its_commit(checkout, tmp_path):
    """An unchanged checkout is the same target as its commit and shares its copy."""
    clean = resolved(checkout, tmp_path)
    assert clean.root == resolved(f"{checkout}@main", tmp_path).root
    assert clean.identity["dirty"] is None


def test_changed_checkout_is_run_as_it_is(checkout, tmp_path):
    """Changed and new source files are part of the target and of its identity; data and ignored files are not."""
    clean = resolved(checkout, tmp_path)
    (checkout / "zemosaic_config.py").write_text("DEFAULT_CONFIG = {}\n")
    (checkout / "new_module.py").write_text("x = 1\n")
    (checkout / "frame.fits").write_bytes(b"0" * 100)
    status = run_git(checkout, "status", "--porcelain")
    before = contents(checkout)
    changed = resolved(checkout, tmp_path)
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
    assert resolved(checkout, tmp_path).identity["dirty"] != changed.identity["dirty"]


def test_deleted_file_changes_the_identity(checkout, tmp_path):
    """A deleted tracked file is missing in the copy and changes the identity."""
    (checkout / "version.txt").unlink()
    facts = resolved(checkout, tmp_path)
    assert facts.identity["dirty"]
    assert not (Path(facts.root) / "version.txt").exists()


def test_folder_without_git_is_known_by_its_files(tmp_path):
    """A folder without git is identified by its source; hidden folders, environments and data are left out."""
    folder = tmp_path / "plain"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "a.py").write_text("")
    (folder / "env").mkdir()
    (folder / "env" / "pyvenv.cfg").write_text("")
    (folder / "env" / "a.py").write_text("")
    (folder / "frame.fits").write_bytes(b"0")
    facts = resolved(folder, tmp_path)
    assert set(contents(Path(facts.root))) == {"zemosaic_config.py", "zemosaic_worker.py"}
    assert facts.identity["commit"] is None
    (folder / "zemosaic_config.py").write_text("DEFAULT_CONFIG = {}\n")
    assert resolved(folder, tmp_path).identity["files"] != facts.identity["files"]


def test_every_file_that_is_copied_identifies_a_folder_without_git(tmp_path):
    """Settings files next to the source are part of the target: a changed one makes another target and another copy."""
    folder = tmp_path / "plain"
    shutil.copytree(STUB, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "zemosaic_config.json").write_text('{"a": 1}')
    before = resolved(folder, tmp_path)
    (folder / "zemosaic_config.json").write_text('{"a": 2}')
    after = resolved(folder, tmp_path)
    assert after.identity["files"] != before.identity["files"]
    assert contents(Path(after.root))["zemosaic_config.json"] == b'{"a": 2}'


@pytest.mark.parametrize("harm", ["change", "add", "remove", "forget"])
def test_copy_that_was_touched_is_made_anew(harm, checkout, tmp_path):
    """A changed copy, or one without its hashes, is replaced before anything runs from it."""
    root = Path(resolved(checkout, tmp_path).root)
    whole = contents(root)
    if harm == "change":
        (root / "zemosaic_config.py").write_text("DEFAULT_CONFIG = {}\n")
    elif harm == "add":
        (root / "sneaked_in.py").write_text("")
    elif harm == "remove":
        (root / "picture.gif").unlink()
    else:
        root.with_name(f"{root.name}.json").write_text('{"format": "torn')
        (root / "zemosaic_config.py").unlink()
    assert Path(resolved(checkout, tmp_path).root) == root
    assert contents(root) == whole


def test_copy_that_is_whole_is_kept(checkout, tmp_path):
    """An unchanged copy is used again, and drafts of a killed process are removed."""
    root = Path(resolved(checkout, tmp_path).root)
    inode = root.stat().st_ino
    (tmp_path / "exports" / "draft-left" / "new").mkdir(parents=True)
    resolved(checkout, tmp_path)
    assert root.stat().st_ino == inode
    assert not (tmp_path / "exports" / "draft-left").exists()


def test_each_run_gets_a_copy_of_its_own(checkout, tmp_path):
    """A run's files next to its source are in its own copy; a changed shared copy is refused."""
    target = resolved(checkout, tmp_path)
    request = a_request(target=target)
    roots = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        start = prepare(tmp_path / name, request)
        roots.append(Path(start.env["PHASE3_TARGET_ROOT"]))
        assert roots[-1] == tmp_path / name / "work" / "target"
        assert contents(roots[-1]) == contents(Path(target.root))
    (roots[0] / "zemosaic_worker.log").write_text("x")
    assert "zemosaic_worker.log" not in {*contents(roots[1]), *contents(Path(target.root))}
    (Path(target.root) / "zemosaic_worker.py").write_text("")
    (tmp_path / "three").mkdir()
    with pytest.raises(TargetError, match=r"zemosaic_worker\.py.*found it changed: start the session again"):
        prepare(tmp_path / "three", request)
    (tmp_path / "exports" / f"{Path(target.root).name}.json").unlink()
    with pytest.raises(TargetError, match="expected the hashes"):
        prepare(tmp_path / "three", request)


def test_hashes_beside_a_copy_lead_nowhere_else(checkout, tmp_path):
    """A path in the hashes that leaves the copy is refused."""
    target = resolved(checkout, tmp_path)
    beside = Path(f"{target.root}.json")
    write_digested(beside, {"format": exports.FORMAT, "files": {"../x": "0"}, "left_out": []})
    with pytest.raises(TargetError, match="found it changed"):
        exports.copy(Path(target.root), tmp_path / "to")
    assert not (tmp_path / "x").exists()


def test_hashes_that_lack_a_file_of_the_copy_are_refused(checkout, tmp_path):
    """The hashes have their own digest: without it, a run would get a target without that file. The copy is made again."""
    target = resolved(checkout, tmp_path)
    beside = Path(f"{target.root}.json")
    before = beside.read_bytes()
    exports.copy(Path(target.root), tmp_path / "whole")
    data = json.loads(before)
    del data["files"]["zemosaic_worker.py"]
    beside.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    with pytest.raises(TargetError, match="expected the hashes"):
        exports.copy(Path(target.root), tmp_path / "to")
    again = Path(resolved(checkout, tmp_path).root)
    exports.copy(again, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "whole")


def test_lock_that_somebody_holds_is_told(checkout, tmp_path, monkeypatch):
    """A held lock is an error after a time limit, and the error names the lock."""
    monkeypatch.setattr(exports, "LOCK_SECONDS", 0.05)
    (tmp_path / "exports").mkdir()
    with FileLock(tmp_path / "exports" / ".lock"), pytest.raises(TargetError, match=r"exports.\.lock within 0\.05 s"):
        resolved(checkout, tmp_path)


def test_bare_repository_needs_a_commit(checkout, tmp_path):
    """Any commit of a bare repository is a target; the repository itself is not."""
    bare = tmp_path / "bare.git"
    run_git(tmp_path, "clone", "-q", "--bare", str(checkout), str(bare))
    assert resolved(f"{bare}@main", tmp_path).identity["commit"] == run_git(checkout, "rev-parse", "HEAD")
    with pytest.raises(TargetError, match="bare repository"):
        resolved(bare, tmp_path)


def drop(repository, path):
    """Remove a file's content from a repository, as in a partial clone."""
    oid = run_git(repository, "rev-parse", f"HEAD:{path}")
    loose = repository / ".git" / "objects" / oid[:2] / oid[2:]
    loose.chmod(0o644)
    loose.unlink()


def test_missing_picture_is_left_out_and_missing_code_is_refused(checkout, tmp_path):
    """A partial clone without a picture is copied; one without code is refused and leaves no half copy."""
    drop(checkout, "picture.gif")
    facts = resolved(f"{checkout}@HEAD", tmp_path)
    assert "picture.gif" not in contents(Path(facts.root))
    shutil.rmtree(tmp_path / "exports")
    drop(checkout, "zemosaic_config.py")
    with pytest.raises(TargetError, match=r"zemosaic_config\.py.*missing"):
        resolved(f"{checkout}@HEAD", tmp_path)
    assert [p.name for p in (tmp_path / "exports").iterdir() if p.is_dir()] == []


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights there")
def test_links_are_neither_made_nor_followed(checkout, tmp_path):
    """A link can point anywhere, so it is left out, and the identity names it."""
    (tmp_path / "secret.txt").write_text("secret")
    (checkout / "link.txt").symlink_to(tmp_path / "secret.txt")
    (checkout / "folder").symlink_to(tmp_path)
    run_git(checkout, "add", ".")
    changed = resolved(checkout, tmp_path)
    assert changed.identity["dirty"]
    run_git(checkout, "commit", "-q", "-m", "link")
    committed = resolved(f"{checkout}@HEAD", tmp_path)
    shutil.rmtree(checkout / ".git")
    (checkout / "link.txt").rename(checkout / "another.txt")
    plain = resolved(checkout, tmp_path)
    for facts, link in ((changed, "link.txt"), (committed, "link.txt"), (plain, "another.txt")):
        assert facts.identity["left_out"] == sorted(["folder", link])
        assert not {link, "folder"} & {p.name for p in Path(facts.root).iterdir()}
    assert resolved(checkout, tmp_path).identity["left_out"] == plain.identity["left_out"]  # of the copy that is there


@pytest.mark.skipif(os.name == "nt", reason="making links needs rights there")
def test_linked_source_is_refused(checkout, tmp_path):
    """A module that is a link is refused: without it another program would run."""
    (checkout / "link.py").symlink_to(checkout / "zemosaic_config.py")
    run_git(checkout, "add", ".")
    with pytest.raises(TargetError, match=r"expected the source link\.py .* found a link: put the source itself"):
        resolved(checkout, tmp_path)
    run_git(checkout, "commit", "-q", "-m", "link")
    with pytest.raises(TargetError, match=r"link\.py .* found a link"):
        resolved(f"{checkout}@HEAD", tmp_path)
    shutil.rmtree(checkout / ".git")
    with pytest.raises(TargetError, match=r"link\.py .* found a link"):
        resolved(checkout, tmp_path)


def test_large_files_are_left_out_and_large_source_is_refused(checkout, tmp_path, monkeypatch):
    """A large data file is left out and the identity names it; a large module is an error."""
    monkeypatch.setattr(zemosaic, "_LARGEST", 2**20)
    (checkout / "picture.gif").write_bytes(bytes(2**20 + 1))
    facts = resolved(checkout, tmp_path)
    assert facts.identity["left_out"] == ["picture.gif"]
    (checkout / "zemosaic_worker.py").write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(TargetError, match=r"zemosaic_worker\.py .* found a file of more than 1 MiB"):
        resolved(checkout, tmp_path)


def test_submodules_are_named(checkout, tmp_path):
    """A submodule is left out, and the identity names it."""
    other = run_git(checkout, "rev-parse", "HEAD")
    run_git(checkout, "update-index", "--add", "--cacheinfo", f"160000,{other},theirs")
    run_git(checkout, "commit", "-q", "-m", "submodule")
    assert resolved(f"{checkout}@HEAD", tmp_path).identity["left_out"] == ["theirs"]


@pytest.mark.parametrize("path", ["../a.py", "/a.py", "a/../../b.py", ".git/config", "a\\b.py", "a/.GIT/x", "a\0.py"])
def test_paths_that_would_leave_the_folder_are_refused(path):
    """A commit may hold any path; a path that leaves the folder is refused."""
    assert git.safe(path) is None


@pytest.mark.parametrize("path", ["a./b.py", "b.py ", "NUL.py", "com1.txt", "con", "a:b.py", "LPT¹"])
def test_paths_that_windows_gives_another_file_are_refused_there(path, monkeypatch):
    """Device names, and names that end in a dot or a space, are refused on Windows only."""
    assert git.safe(path) is not None
    with monkeypatch.context() as patch:
        patch.setattr(git.os, "name", "nt")
        found = git.safe(path), git.safe("console.py"), git.safe("a.b/c.py")
    assert found[0] is None
    assert all(found[1:])


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["../a.py"], "stay inside the folder"),
        (["a.py", "A.py"], "differ on every system, found 'a.py' and 'A.py'"),
        (["\u00e9.py", "e\u0301.py"], "differ on every system"),
    ],
)
def test_copy_that_some_system_could_not_hold_is_refused(names, match, tmp_path):
    """A path that leaves the folder, or two paths that are one file on Windows or macOS, refuse the copy on every system."""
    with pytest.raises(TargetError, match=match):
        exports.keep(lambda: [(name, b"") for name in names], tmp_path / "exports", "k", "it", lambda _: None)
    assert [p.name for p in (tmp_path / "exports").iterdir()] == [".lock"]
    assert not (tmp_path / "a.py").exists()


def test_two_who_copy_at_once_share_one_copy(checkout, tmp_path):
    """Threads that copy the same target at once share one complete copy."""
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(resolved(f"{checkout}@HEAD", tmp_path).root)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert [p.name for p in (tmp_path / "exports").iterdir() if p.name.startswith("draft")] == []


def test_what_is_no_target_is_told(checkout, tmp_path):
    """The error for each wrong specification says what was expected, what was found, and what to do."""
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
            resolve(spec, None, tmp_path / "exports")


def test_worker_without_the_entry_point_is_no_target(tmp_path):
    """A folder with ZeMosaic's files but without the entry point is refused before anything starts."""
    folder = tmp_path / "old"
    folder.mkdir()
    for name in ("zemosaic_worker.py", "zemosaic_config.py"):
        (folder / name).write_text("")
    with pytest.raises(TargetError, match="no def run_hierarchical_mosaic_process"):
        resolved(folder, tmp_path)


def test_commit_needs_git(checkout, tmp_path, monkeypatch):
    """Without git a commit is an error; a plain folder still works."""
    monkeypatch.setattr(git, "is_there", lambda: False)
    with pytest.raises(TargetError, match="install git"):
        resolved(f"{checkout}@main", tmp_path)
    assert resolved(checkout, tmp_path).identity["commit"] is None


def test_damaged_repository_is_told(checkout):
    """Git's error about a repository that it can't read is passed on."""
    with pytest.raises(TargetError, match="expected git to read"):
        git.blobs(checkout, "0" * 40)


def test_repository_that_git_refuses_is_no_plain_folder(checkout, tmp_path, monkeypatch):
    """A repository that git refuses, such as another user's, is an error with git's words and advice, however it is named."""

    def refusing(_folder, *words, **_options):
        said = b"fatal: detected dubious ownership in repository at 'x'\nTo add an exception, ...\n"
        return subprocess.CompletedProcess(words, 128, b"", said)

    monkeypatch.setattr(git, "_git", refusing)
    for spec in (checkout, f"{checkout}@main"):
        with pytest.raises(
            TargetError, match=r"dubious ownership.*git config --global --add safe\.directory '.*@ home'"
        ):
            resolved(spec, tmp_path)
    with pytest.raises(TargetError, match="dubious ownership"):
        git.commit_of(checkout, "main")


def test_a_partial_copy_whose_rest_is_out_of_reach_is_told(checkout, monkeypatch):
    """A partial clone whose missing content can't be fetched is an error with what to do."""

    def refusing(_folder, *words, **_options):
        said = b"fatal: could not fetch 0123 from promisor remote\n"
        return subprocess.CompletedProcess(words, 128, b"", said)

    monkeypatch.setattr(git, "_git", refusing)
    with pytest.raises(
        TargetError, match=r"could not fetch 0123 from promisor remote; it is a partial copy.*clone it whole"
    ):
        git.blobs(checkout, "main")


def test_the_command_that_lists_commits_can_be_pasted(checkout, tmp_path):
    """A folder with a space is quoted in the command that the message gives."""
    with pytest.raises(TargetError, match=re.escape(f"git -C '{checkout}' log")):
        resolved(f"{checkout}@nope", tmp_path)


def test_work_tree_without_its_repository_is_told(checkout, tmp_path):
    """A .git that points nowhere is an error; the folder does not pass for one without git."""
    shutil.rmtree(checkout / ".git")
    (checkout / ".git").write_text("gitdir: nowhere\n")
    with pytest.raises(TargetError, match=r"found: fatal: .*check the repository with: git -C"):
        resolved(checkout, tmp_path)


def test_repository_without_a_commit_is_known_by_its_files(checkout, tmp_path):
    """A repository without a commit is identified by its files."""
    shutil.rmtree(checkout / ".git")
    run_git(checkout, "init", "-q")
    assert resolved(checkout, tmp_path).identity["commit"] is None


def test_git_that_never_ends_is_given_up(checkout, monkeypatch):
    """A git command has a time limit; the error names the folder."""

    def hang(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(git.subprocess, "run", hang)
    with pytest.raises(TargetError, match=r"expected git ls-files in .* to end within 120 s"):
        git.tracked(checkout)


def test_source_that_does_not_compile_is_refused_with_its_line(checkout, tmp_path):
    """No run could start. The message names file, line and error, of a checkout and of a commit."""
    worker = checkout / "zemosaic_worker.py"
    worker.write_text("import zemosaic_config\n" + worker.read_text(encoding="utf-8") + "\nif True\n", encoding="utf-8")
    line = len(worker.read_text(encoding="utf-8").splitlines())
    with pytest.raises(TargetError, match=rf"found zemosaic_worker\.py:{line}: SyntaxError: .*: correct this line"):
        resolved(checkout, tmp_path)
    run_git(checkout, "commit", "-q", "-a", "-m", "three")
    with pytest.raises(TargetError, match=rf"found zemosaic_worker\.py:{line}: SyntaxError"):
        resolved(f"{checkout}@main", tmp_path)


def test_missing_libraries_are_all_named(checkout, tmp_path, monkeypatch):
    """An interpreter that lacks imported libraries is refused, with every library and the command to install them."""
    bare = interpreter.Interpreter(sys.executable, (3, 11, 0), "", dict.fromkeys(interpreter.ZEMOSAIC_LIBRARIES))
    monkeypatch.setattr(interpreter, "examine", lambda _: bare)
    with pytest.raises(TargetError, match=r"astropy, numpy missing.*--phase3-python.*pip install astropy numpy"):
        resolved(checkout, tmp_path)


def test_own_settings_are_read_without_their_folders(tmp_path):
    """A user's settings file is read, with or without a byte order mark, without the folders that it names."""
    path = tmp_path / "zemosaic_config.json"
    path.write_text(
        json.dumps({"stacking_kappa_low": 2.5, "input_dir": "/x", "output_dir": "/y"}), encoding="utf-8-sig"
    )
    assert read_config(path) == {"stacking_kappa_low": 2.5}
    for content, match in [("{", "expected JSON"), ("[1]", "found list")]:
        path.write_text(content)
        with pytest.raises(TargetError, match=match):
            read_config(path)
    with pytest.raises(TargetError, match="found no file that can be read"):
        read_config(tmp_path / "none.json")


def test_a_commit_of_a_folder_without_git_is_no_advice_for_git(tmp_path):
    """A folder that is no repository has no commits: the message says so, and does not advise to look for one with git."""
    plain = tmp_path / "exported tree"
    plain.mkdir()
    with pytest.raises(TargetError) as raised:
        split(f"{plain}@63bcc2c")
    assert "without one: name a clone, or leave out the commit" in str(raised.value)
    assert "git -C" not in str(raised.value)
