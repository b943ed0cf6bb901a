"""ZeMosaic as a target: a checkout as it is, or any commit of a repository, copied to a folder of its own.

A run never uses the user's own folder: newer versions write logs beside their source, importing writes compiled files,
and a file edited in mid-session would mix two versions. What runs is a copy, and its identity is that of what was copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from harness.request import TargetFacts
from harness.targets import git, interpreter
from harness.targets.errors import TargetError

ENTRY_POINT = "run_hierarchical_mosaic_process"
WORKER, SETTINGS = "zemosaic_worker.py", "zemosaic_config.py"
# Only what a source tree holds: data, however large, that lies in a checkout is not part of the program.
_LARGEST = 32 * 2**20
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# Where a run reads and writes is the harness's to say.
_PLACES = frozenset({"input_dir", "output_dir", "global_wcs_output_path", "coadd_memmap_dir"})


def resolve(spec: str, python: str | None, exports: Path) -> TargetFacts:
    """Return the target ``PATH`` or ``PATH@COMMIT``, copied below ``exports``.

    Raises
    ------
    TargetError
        When there is no checkout, no such commit, no git where it is needed, or the interpreter lacks libraries.

    """
    chosen = interpreter.examine(python)
    path, commit = split(spec)
    if commit is None:
        root, identity, label = _as_it_is(path, exports)
    else:
        root, identity, label = _export(path, commit, exports), {"commit": commit}, f"zemosaic {commit[:7]}"
    interpreter.require(chosen, libraries_of(root))
    return TargetFacts(
        kind="zemosaic",
        label=label,
        root=str(root),
        python=chosen.path,
        identity={**identity, "version": _version(root), "versions": interpreter.versions(python)},
    )


def split(spec: str) -> tuple[Path, str | None]:
    """Split ``PATH@COMMIT`` at the last ``@``, if what follows is a commit there; a path may hold an ``@`` itself.

    Raises
    ------
    TargetError
        When it is neither a folder nor a folder and one of its commits.

    """
    whole = Path(spec).expanduser()
    if spec and whole.is_dir():
        return whole.absolute(), None
    before, at, name = spec.rpartition("@")
    folder = Path(before).expanduser().absolute()
    if at and folder.is_dir():
        if not git.is_there():
            raise TargetError(
                f"expected git, to read {name} from {folder}, found none: install git, or name a checkout"
            )
        commit = git.commit_of(folder, name)
        if commit is None:
            raise TargetError(
                f"expected a commit of {folder} after the @, found {name!r}, which git does not know there: "
                f"name one that `git -C {folder} log` lists, or fetch it first"
            )
        return folder, commit
    raise TargetError(
        f"expected a checkout of ZeMosaic, found no folder {spec!r}: give zemosaic:PATH or zemosaic:PATH@COMMIT"
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read a user's own ``zemosaic_config.json``, without the folders that it names.

    Raises
    ------
    TargetError
        When the file is not there, can't be read, or is not a JSON object.

    """
    advice = "name the zemosaic_config.json that ZeMosaic keeps in its configuration folder"
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TargetError(
            f"expected ZeMosaic's settings in {path}, found none that can be read ({error}): {advice}"
        ) from error
    except ValueError as error:
        raise TargetError(f"expected JSON in {path}, found something else ({error}): {advice}") from error
    if not isinstance(data, dict):
        raise TargetError(f"expected a JSON object of settings in {path}, found {type(data).__name__}: {advice}")
    return {name: value for name, value in data.items() if name not in _PLACES}


def problem_of(root: Path) -> str | None:
    """Say what a folder lacks to be ZeMosaic; ``None`` when it has the files and the entry point."""
    for name in (WORKER, SETTINGS):
        if not (root / name).is_file():
            return f"no {name}"
    if f"def {ENTRY_POINT}(" not in (root / WORKER).read_text(encoding="utf-8", errors="replace"):
        return f"no {ENTRY_POINT} in {WORKER}"
    return None


def _checked(root: Path, what: str) -> Path:
    lacks = problem_of(root)
    if lacks is not None:
        raise TargetError(
            f"expected ZeMosaic's {WORKER} with {ENTRY_POINT} in {what}, found {lacks}: name the folder of a checkout"
        )
    return root


def _export(repository: Path, commit: str, exports: Path) -> Path:
    """Write a commit's files to a folder of their own. Pictures that a partial copy lacks are left out; code is not."""
    wanted = git.blobs(repository, commit)

    def files() -> Iterator[tuple[str, bytes]]:
        # Links (mode 120000) are not followed nor made: a commit could point one anywhere.
        regular = tuple(blob for blob in wanted if blob.mode.startswith("100"))
        for blob, content in git.contents(repository, regular):
            if content is not None:
                yield blob.path, content
            elif blob.path.endswith(".py"):
                raise TargetError(
                    f"expected {blob.path} in {repository} at {commit[:12]}, found that its content is missing "
                    "(a partial copy): fetch the commit whole"
                )

    return _copy(files(), exports, commit, f"{repository} at {commit[:12]}")


def _as_it_is(path: Path, exports: Path) -> tuple[Path, dict[str, Any], str]:
    _refuse_bare(path)
    top = git.top_of(path)
    commit = git.commit_of(path, "HEAD") if top is not None else None
    if top is None or commit is None or top.resolve() != path.resolve():
        names = tuple(_source_files(path))
        digest = _digest(path, (name for name in names if name.endswith(".py")))
        root = _copy(_read(path, names), exports, f"files-{digest[:40]}", str(path))
        return root, {"commit": None, "files": digest}, f"zemosaic {path.name} {digest[:7]}"
    known = git.tracked(path)
    # An untracked file counts when it is of a kind that the program consists of: not frames, mosaics or caches.
    kinds = {Path(name).suffix.lower() for name in known} & _SOURCE_KINDS
    added = tuple(name for name in git.untracked(path) if Path(name).suffix.lower() in kinds)
    touched = tuple(sorted({*git.changed(path), *added}))
    if not touched:
        return _export(path, commit, exports), {"commit": commit, "dirty": None}, f"zemosaic {commit[:7]}"
    dirty = _digest(path, touched)
    root = _copy(_read(path, (*known, *added)), exports, f"{commit}-{dirty[:16]}", str(path))
    return root, {"commit": commit, "dirty": dirty}, f"zemosaic {commit[:7]}+{dirty[:7]}"


_SOURCE_KINDS = frozenset(
    {".py", ".pyi", ".json", ".toml", ".cfg", ".ini", ".txt", ".csv", ".yaml", ".yml", ".cu", ".pyd", ".so"}
)
_NO_SOURCE = frozenset({"__pycache__", "node_modules", "build", "dist"})


def _refuse_bare(path: Path) -> None:
    if (path / WORKER).exists() or not (path / "objects").is_dir() or not (path / "HEAD").is_file():
        return
    raise TargetError(
        f"expected a checkout, found the bare repository {path}: name a commit of it, zemosaic:{path}@COMMIT"
    )


def _source_files(folder: Path) -> Iterator[str]:
    """Yield the source files of a folder without git: no hidden ones, no environments, no data."""
    for parent, folders, files in os.walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NO_SOURCE and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(files):
            if Path(name).suffix.lower() in _SOURCE_KINDS:
                yield (here / name).relative_to(folder).as_posix()


def _read(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        path = folder / name
        if path.is_file() and not path.is_symlink() and path.stat().st_size <= _LARGEST:
            yield name, path.read_bytes()


def _digest(folder: Path, names: Iterable[str]) -> str:
    """Hash files by name and content; one that is gone counts by its name."""
    whole = hashlib.sha256()
    for name in sorted(names):
        path = folder / name
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "removed"
        whole.update(f"{name}\0{content}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _copy(files: Iterator[tuple[str, bytes]], exports: Path, key: str, what: str) -> Path:
    """Write files to ``exports/key``, which appears when it is whole. Two who need the same one wait for each other."""
    target = exports / key
    if target.is_dir():
        return _checked(target, what)
    exports.mkdir(parents=True, exist_ok=True)
    with FileLock(exports / f"{key}.lock"):
        if not target.is_dir():
            draft = Path(tempfile.mkdtemp(prefix="draft-", dir=exports))
            try:
                for name, content in files:
                    inside = git.safe(name)
                    if inside is None:
                        raise TargetError(
                            f"expected paths inside the folder in {what}, found {name!r}: name another commit"
                        )
                    path = draft / inside
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
                _checked(draft, what)
                draft.rename(target)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return target


def _version(root: Path) -> str | None:
    """Return the version that a checkout states, read as text: nothing of it is run."""
    path = root / "version.txt"
    found = _VERSION.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    return found[0] if found else None


def libraries_of(root: Path) -> frozenset[str]:
    """Return the modules, of those that matter, that a version's own source imports."""
    found: set[str] = set()
    for path in (*root.glob("*.py"), *root.glob("core/*.py")):
        found.update(_IMPORT.findall(path.read_text(encoding="utf-8", errors="replace")))
    return frozenset(found & set(interpreter.ZEMOSAIC_LIBRARIES))


def entry_facts(root: Path) -> Mapping[str, bool]:
    """Say which of the functions that the probe looks for a version has, read as text."""
    text = (root / WORKER).read_text(encoding="utf-8", errors="replace")
    return {name: f"def {name}(" in text for name in (ENTRY_POINT, "run_hierarchical_mosaic", "create_master_tile")}
