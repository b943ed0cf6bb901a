"""Read repositories with git. Nothing is ever written to a repository, its work tree or its index."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from harness.language.message import say
from harness.targets.errors import TargetError

SECONDS = 120.0
_SIZE = re.compile(rb"[0-9]{1,15}")
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# Windows opens a device for these names, with any suffix.
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])( *\..*)?", re.IGNORECASE)


class Blob(NamedTuple):
    """One entry of a commit: its mode (``100644``, ``120000`` for a link, ``160000`` for a submodule), object id, path."""

    mode: str
    oid: str
    path: str


def is_there() -> bool:
    """Return whether git can be started."""
    return shutil.which("git") is not None


def commit_of(repository: Path, name: str) -> str | None:
    """Return the full id of a commit, tag or branch; ``None`` if there is no such commit or no repository.

    Raises ``TargetError`` when git refuses to read the repository.
    """
    if not name or name.startswith("-") or not repository.is_dir() or not is_there():
        return None
    done = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    _raise_if_refused(repository, done)
    found = done.stdout.decode("ascii", "replace").strip()
    return found if done.returncode == 0 and _COMMIT.fullmatch(found) else None


def is_repository(folder: Path) -> bool:
    """Return whether a folder is, or lies in, a repository that git can read.

    Raises ``TargetError`` when git refuses to read the repository.
    """
    if not folder.is_dir() or not is_there():
        return False
    done = _git(folder, "rev-parse", "--git-dir")
    _raise_if_refused(folder, done)
    return done.returncode == 0


def require_repository(folder: Path) -> None:
    """Raise ``TargetError`` if a folder is no repository: then no commit of it can be named or fetched."""
    if is_there() and not is_repository(folder):
        raise TargetError(
            say(
                "expected a git repository, found the folder {folder} without one: name a clone, or leave out the commit to "
                "take the folder as it is",
                folder=str(folder),
            )
        )


def top_of(folder: Path) -> Path | None:
    """Return the root of the work tree that contains a folder; ``None`` in a bare repository or outside any repository.

    Raises ``TargetError`` when the folder is a work tree that git refuses to read.
    """
    if not folder.is_dir() or not is_there():
        return None
    done = _git(folder, "rev-parse", "--show-toplevel")
    if (folder / ".git").exists():
        _raise_if_refused(folder, done)
    text = os.fsdecode(done.stdout).rstrip("\r\n")
    return Path(text) if done.returncode == 0 and text else None


def tracked(work_tree: Path) -> tuple[str, ...]:
    """Return the paths that git tracks in a work tree."""
    return _paths(work_tree, "ls-files", "-z", "--cached")


def untracked(work_tree: Path) -> tuple[str, ...]:
    """Return the paths of a work tree that git neither tracks nor ignores."""
    return _paths(work_tree, "ls-files", "-z", "--others", "--exclude-standard")


def changed(work_tree: Path) -> tuple[str, ...]:
    """Return the tracked paths that differ from the commit, staged or not, including deleted ones."""
    return _paths(work_tree, "diff", "--name-only", "-z", "--no-ext-diff", "--no-textconv", "--relative", "HEAD", "--")


def blobs(repository: Path, commit: str) -> tuple[Blob, ...]:
    """Return the files, links and submodules of a commit."""
    found = []
    for entry in _run(repository, "ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0"):
        facts, tab, path = entry.partition(b"\t")
        words = facts.decode("ascii", "replace").split()
        if tab and len(words) == 3:
            found.append(Blob(words[0], words[2], os.fsdecode(path)))
    return tuple(found)


def contents(repository: Path, wanted: tuple[Blob, ...]) -> Iterator[tuple[Blob, bytes | None]]:
    """Yield each file with its content; ``None`` for a file that a partial copy of the repository lacks."""
    asked = "".join(f"{blob.oid}\n" for blob in wanted).encode()
    answer = _run(repository, "cat-file", "--batch", "--buffer", given=asked)
    at = 0
    for blob in wanted:
        end = answer.find(b"\n", at)
        words = answer[at:end].split() if end >= 0 else [b""]
        there = len(words) == 3 and words[1] == b"blob"
        size = int(words[2]) if there and _SIZE.fullmatch(words[2]) else 0 if end >= 0 and not there else len(answer)
        at = end + 1
        if at + size > len(answer):
            raise TargetError(
                say(
                    "expected the files of a commit from git in {folder}, found an answer that is cut off: check the repository "
                    "with git fsck",
                    folder=str(repository),
                )
            )
        if not there:
            yield blob, None
            continue
        yield blob, answer[at : at + size]
        at += size + 1


def safe(path: str) -> PurePosixPath | None:
    """Return a repository's path if it can be written on this system and stays inside its folder; else ``None``."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or any(part.lower() in {"..", ".git"} or set(part) & set("\\\0") for part in pure.parts):
        return None
    if os.name == "nt" and any(map(_unfit_on_windows, pure.parts)):
        return None
    return pure if pure.parts else None


def _unfit_on_windows(part: str) -> bool:
    """Return whether Windows would open something else: a drive, a stream, a device, or a name without its last character."""
    return bool(set(part) & set(':*?"<>|')) or part[-1] in ". " or _DEVICE.fullmatch(part) is not None


def _paths(work_tree: Path, *words: str) -> tuple[str, ...]:
    return tuple(sorted({os.fsdecode(name) for name in _run(work_tree, *words).split(b"\0") if name}))


def _run(folder: Path, *words: str, given: bytes = b"") -> bytes:
    done = _git(folder, *words, given=given)
    if done.returncode != 0:
        raise _refusal(folder, done)
    return done.stdout


def _raise_if_refused(folder: Path, done: subprocess.CompletedProcess[bytes]) -> None:
    """Raise if a repository exists and git can't or won't read it. Such a folder must not pass for one without git."""
    there = (folder / ".git").exists() or ((folder / "HEAD").is_file() and (folder / "objects").is_dir())
    if done.returncode > 1 and there:
        raise _refusal(folder, done)


def _refusal(folder: Path, done: subprocess.CompletedProcess[bytes]) -> TargetError:
    lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    # The lines after git's first "fatal:" are git's advice.
    said = next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "")
    facts = {
        "folder": str(folder),
        "error": said or f"exit status {done.returncode}",
        "quoted": shlex.quote(str(folder)),
    }
    if "dubious ownership" in said:
        return TargetError(
            say(
                "expected git to read {folder}, found: {error}; it belongs to another user; if you trust it: "
                "git config --global --add safe.directory {quoted}",
                **facts,
            )
        )
    if "promisor remote" in said:  # from a git that is too old to know GIT_NO_LAZY_FETCH
        return TargetError(
            say(
                "expected git to read {folder}, found: {error}; it is a partial copy (git clone --filter): clone it whole",
                **facts,
            )
        )
    return TargetError(
        say(
            "expected git to read {folder}, found: {error}; check the repository with: git -C {quoted} fsck",
            **facts,
        )
    )


def _git(folder: Path, *words: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    # Take no lock to refresh the index, fetch nothing for a partial copy, and ask nothing on a terminal. GIT_ variables are left
    # out: inside a git hook they name another repository.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words]
    try:
        return subprocess.run(
            command, cwd=folder, input=given, capture_output=True, env=env, check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            say(
                "expected git {command} in {folder} to end within {seconds} s, found it still running: "
                "check whether the folder is on a disk or network that does not answer",
                command=words[0],
                folder=str(folder),
                seconds=SECONDS,
            )
        ) from error
