"""The few questions asked of git. Nothing is ever written to a repository, nor to its work tree or index."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.targets.errors import TargetError

_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


class Blob(NamedTuple):
    """One file of a commit: its mode (``100644``, ``120000`` for a link), object id and path."""

    mode: str
    oid: str
    path: str


def is_there() -> bool:
    """Say whether git can be started."""
    return shutil.which("git") is not None


def commit_of(repository: Path, name: str) -> str | None:
    """Return the full id of a commit, tag or branch; ``None`` where there is no such commit (or no repository)."""
    if not name or name.startswith("-") or not repository.is_dir() or not is_there():
        return None
    done = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    found = done.stdout.decode("ascii", "replace").strip()
    return found if done.returncode == 0 and _COMMIT.fullmatch(found) else None


def top_of(folder: Path) -> Path | None:
    """Return the work tree's root that a folder lies in; ``None`` for a bare repository or none."""
    if not folder.is_dir() or not is_there():
        return None
    done = _git(folder, "rev-parse", "--show-toplevel")
    text = os.fsdecode(done.stdout).rstrip("\r\n")
    return Path(text) if done.returncode == 0 and text else None


def tracked(work_tree: Path) -> tuple[str, ...]:
    """Return the paths that git tracks in a work tree."""
    return _paths(work_tree, "ls-files", "-z", "--cached")


def untracked(work_tree: Path) -> tuple[str, ...]:
    """Return the paths of a work tree that git neither tracks nor ignores."""
    return _paths(work_tree, "ls-files", "-z", "--others", "--exclude-standard")


def changed(work_tree: Path) -> tuple[str, ...]:
    """Return the tracked paths whose content is not that of the commit, staged or not, deleted ones too."""
    return _paths(work_tree, "diff", "--name-only", "-z", "--no-ext-diff", "--no-textconv", "--relative", "HEAD", "--")


def blobs(repository: Path, commit: str) -> tuple[Blob, ...]:
    """Return the files of a commit; submodules are not among them."""
    found = []
    for entry in _run(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        facts, tab, path = entry.partition(b"\t")
        words = facts.decode("ascii", "replace").split()
        if tab and len(words) == 3 and words[1] == "blob":
            found.append(Blob(words[0], words[2], os.fsdecode(path)))
    return tuple(found)


def contents(repository: Path, wanted: tuple[Blob, ...]) -> Iterator[tuple[Blob, bytes | None]]:
    """Yield each file with its content; ``None`` for one that the repository lacks (a partial copy)."""
    asked = "".join(f"{blob.oid}\n" for blob in wanted).encode()
    answer = _run(repository, "cat-file", "--batch", "--buffer", given=asked)
    at = 0
    for blob in wanted:
        end = answer.index(b"\n", at)
        words = answer[at:end].split()
        at = end + 1
        if len(words) != 3 or words[1] != b"blob":
            yield blob, None
            continue
        size = int(words[2])
        yield blob, answer[at : at + size]
        at += size + 1


def safe(path: str) -> PurePosixPath | None:
    """Return a path of a repository when it stays inside the folder that it is written to, on any system."""
    pure = PurePosixPath(path)
    # On Windows a colon names a drive or a stream, and the others can't be written; elsewhere they are plain characters.
    unfit = set("\\\0") | (set(':*?"<>|') if os.name == "nt" else set())
    if pure.is_absolute() or any(part.lower() in {"..", ".git"} or set(part) & unfit for part in pure.parts):
        return None
    return pure if pure.parts else None


def _paths(work_tree: Path, *words: str) -> tuple[str, ...]:
    return tuple(sorted({os.fsdecode(name) for name in _run(work_tree, *words).split(b"\0") if name}))


def _run(folder: Path, *words: str, given: bytes = b"") -> bytes:
    done = _git(folder, *words, given=given)
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise TargetError(
            f"expected git to read {folder}, found: {said[-1] if said else f'exit status {done.returncode}'}; "
            f"check the repository with: git -C {folder} fsck"
        )
    return done.stdout


def _git(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # No lock is taken to refresh the index, nothing is fetched for a partial copy, nothing asks on a terminal. Variables
    # of a git that runs us (a hook) would lead to another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words]
    return subprocess.run(command, cwd=folder, input=given, capture_output=True, env=env, check=False)
