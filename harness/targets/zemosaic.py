"""Start ZeMosaic as a target: a checkout as it is, or any commit of a repository, copied to a folder of its own.

A run never uses the user's own folder. Newer versions write logs next to their source, importing writes compiled files, and a
file edited during a session would mix two versions. So a copy runs (``exports.py``), and the identity describes the copied files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from harness.language.message import Message, say
from harness.record.extent import walk
from harness.record.request import Mode, TargetFacts
from harness.record.values import UNREADABLE, read_any_json
from harness.targets import git, interpreter
from harness.targets.compiled import compiled
from harness.targets.errors import TargetError
from harness.targets.exports import Export, copy, keep
from harness.targets.target import Target

ENTRY_POINT = "run_hierarchical_mosaic_process"
# The last commit of the public repository before deletion counted references.
BEFORE_THE_FIX = "63bcc2cd4f3d3dc2054e2ee7f70c7bcef101a490"
WORKER, SETTINGS = "zemosaic_worker.py", "zemosaic_config.py"
ENTRIES = (WORKER, SETTINGS)
"""The modules that a run imports first."""
# In bytes. A larger file in a checkout is data, not a part of the program.
_LARGEST = 32 * 2**20
_IMPORT = re.compile(r"^[ \t]*(?:import|from)[ \t]+(\w+)", re.MULTILINE)
_VERSION = re.compile(r"\d+(?:\.\d+)+")
# The harness decides where a run reads and writes.
_PLACES = frozenset({"input_dir", "output_dir", "global_wcs_output_path", "coadd_memmap_dir"})


class ZeMosaic(Target):
    """A checkout of ZeMosaic, or any commit of its repository."""

    name = "zemosaic"
    forms = ("zemosaic:PATH", "zemosaic:PATH@COMMIT")
    versioned = True
    release = "closure"
    libraries = interpreter.ZEMOSAIC_LIBRARIES
    entries = ENTRIES

    def resolve(self, rest: str, python: str | None, exports: Path, /) -> TargetFacts:
        """Return the target ``PATH`` or ``PATH@COMMIT``, copied below ``exports``.

        Raises ``TargetError`` when the checkout, the commit or git is missing, or the interpreter lacks libraries.
        """
        chosen = interpreter.examine(python)
        path, commit = split(rest)
        if commit is None:
            (root, left_out), identity, label = _as_it_is(path, chosen.path, exports)
        else:
            (root, left_out), identity = _export(path, commit, chosen.path, exports), {"commit": commit}
            label = f"zemosaic {commit[:7]}"
        if left_out:
            identity["left_out"] = list(left_out)
        _require_source(root, chosen)
        interpreter.require(chosen, _libraries_of(root))
        return TargetFacts(
            kind=self.name,
            label=label,
            root=str(root),
            python=chosen.path,
            identity={**identity, "version": _version(root), "versions": interpreter.versions(python)},
        )

    def start(self, facts: TargetFacts, record: Path, env: dict[str, str], /) -> list[str]:
        """Copy the source into the record and return the launcher's argument list."""
        argv = super().start(facts, record, env)
        env["PHASE3_TARGET_ROOT"] = str(self.source(facts, record / "work"))
        return argv

    def source(self, facts: TargetFacts, work: Path, /) -> Path:
        """Copy the source to ``work/target``: newer versions empty a log beside their source, so each process needs a copy."""
        copy(Path(facts.root), work / "target")
        return work / "target"

    def before_the_fix(self, rest: str, python: str | None, exports: Path, /) -> str:
        """Name the last commit before the fix in the target's own repository, if it can be run here."""
        path, _ = split(rest)
        before = f"{path}@{BEFORE_THE_FIX}"
        self.resolve(before, python, exports)
        return f"{self.name}:{before}"

    def repeats(self, profile: str, mode: Mode, /) -> bool:
        """Return whether equal inputs give bit-equal outputs: measured with the fast profile, and in SDS and grid mode."""
        return super().repeats(profile, mode) or profile == "fast" or mode != "classic"

    def functions(self, facts: TargetFacts, /) -> Mapping[str, bool]:
        """Return the functions that the probe looks for, and whether this version's source defines each."""
        text = (Path(facts.root) / WORKER).read_text(encoding="utf-8", errors="replace")
        return {name: f"def {name}(" in text for name in (ENTRY_POINT, "run_hierarchical_mosaic", "create_master_tile")}

    def again(self, identity: Mapping[str, Any], place: str | None, /) -> str | None:
        """Name the same commit in a repository at ``place``; an edited checkout has no commit to name."""
        commit = str(identity.get("commit") or "")
        named = re.fullmatch("[0-9a-f]{7,}", commit) and not identity.get("dirty")
        return None if place is None else f"{self.name}:{place}" + (f"@{commit[:7]}" if named else "")

    def shown(self, rest: str, place: str, /) -> str:
        """Return the specification with ``place`` for its folder."""
        commit = re.search(r"@[0-9a-zA-Z._/-]+\Z", rest)
        return f"{self.name}:{place}" + (commit[0] if commit else "")


def _require_source(root: Path, chosen: interpreter.Interpreter) -> None:
    """Raise ``TargetError`` if this interpreter can't compile a module that a run imports: no run could start."""
    found = compiled(chosen.path, root, ENTRIES)
    if found is not None and found.wrong:
        raise TargetError(
            say(
                "expected source that Python {version} compiles, found {wrong}: correct this line of the target",
                version=".".join(map(str, chosen.version)),
                wrong="; ".join(found.wrong[:3]),
            )
        )


def split(spec: str) -> tuple[Path, str | None]:
    """Split ``PATH@COMMIT`` at the last ``@``. A path may contain an ``@`` too, so an existing folder is never split.

    Raises ``TargetError`` when the text names neither a folder nor a commit of a folder's repository.
    """
    whole = Path(spec).expanduser()
    if spec and whole.is_dir():
        return whole.absolute(), None
    before, at, name = spec.rpartition("@")
    folder = Path(before).expanduser().absolute()
    if at and folder.is_dir():
        if not git.is_there():
            raise TargetError(
                say(
                    "expected git, to read {name} from {folder}, found no program git: install git, or name a checkout",
                    name=name,
                    folder=str(folder),
                )
            )
        git.require_repository(folder)
        commit = git.commit_of(folder, name)
        if commit is None:
            raise TargetError(
                say(
                    "expected a commit of {folder} after the @, found {name}, which git does not know there: "
                    "name one that `git -C {folder} log` lists, or fetch it first",
                    folder=shlex.quote(str(folder)),
                    name=repr(name),
                )
            )
        return folder, commit
    raise TargetError(
        say(
            "expected a checkout of ZeMosaic, found no folder {spec}: give zemosaic:PATH or zemosaic:PATH@COMMIT",
            spec=repr(spec),
        )
    )


def read_config(path: Path) -> dict[str, Any]:
    """Read a user's own ``zemosaic_config.json`` and drop the folders that it names.

    Raises ``TargetError`` when the file is missing, can't be read, or is not a JSON object.
    """
    try:
        data = read_any_json(path, links=True, encoding="utf-8-sig")
    except OSError as error:
        raise TargetError(
            say(
                "expected ZeMosaic's settings in {path}, found no file that can be read ({error}): "
                "name the zemosaic_config.json that ZeMosaic keeps in its configuration folder",
                path=str(path),
                error=str(error),
            )
        ) from error
    except UNREADABLE as error:
        raise TargetError(
            say(
                "expected JSON in {path}, found something else ({error}): "
                "name the zemosaic_config.json that ZeMosaic keeps in its configuration folder",
                path=str(path),
                error=str(error),
            )
        ) from error
    if not isinstance(data, dict):
        raise TargetError(
            say(
                "expected a JSON object of settings in {path}, found {found}: "
                "name the zemosaic_config.json that ZeMosaic keeps in its configuration folder",
                path=str(path),
                found=type(data).__name__,
            )
        )
    return {name: value for name, value in data.items() if name not in _PLACES}


def problem_of(root: Path) -> str | None:
    """Name the file or function that a folder lacks to be ZeMosaic; ``None`` if it lacks nothing."""
    for name in (WORKER, SETTINGS):
        if not (root / name).is_file():
            return name
    if f"def {ENTRY_POINT}(" not in (root / WORKER).read_text(encoding="utf-8", errors="replace"):
        return f"def {ENTRY_POINT}"
    return None


def _export(repository: Path, commit: str, python: str, exports: Path) -> Export:
    """Copy a commit. Links, submodules, and data that a partial clone lacks are left out; for missing code, raise."""
    where = f"{repository}@{commit[:12]}"

    def of(blob: git.Blob) -> dict[str, str]:
        return {"name": blob.path, "where": where}

    def files() -> Iterator[tuple[str, bytes | None]]:
        wanted = git.blobs(repository, commit)
        # Links are neither followed nor made, because a commit can point them anywhere.
        regular = tuple(blob for blob in wanted if blob.mode.startswith("100"))
        for blob in wanted:
            if blob not in regular:
                _refuse_code(
                    blob.path,
                    say("expected the source {name} in {where}, found a link: name another commit", **of(blob)),
                )
                yield blob.path, None
        for blob, content in git.contents(repository, regular):
            if content is None:
                _refuse_code(
                    blob.path,
                    say(
                        "expected the source {name} in {where}, found that its content is missing (a partial copy): "
                        "fetch the commit whole",
                        **of(blob),
                    ),
                )
            yield blob.path, content

    return _copy(files, exports, commit, where, python)


def identify(path: Path) -> tuple[dict[str, Any], str]:
    """Return the identity (without libraries) and the label of a checkout as it is; copy nothing.

    Raises ``TargetError`` when its source can't be read.
    """
    state = _state(path)
    return {**state.identity, "version": _version(path)}, state.label


@dataclass(frozen=True, slots=True)
class _State:
    """A checkout as it is: the key of its copy, and its files. ``files`` is ``None`` for an unchanged commit."""

    key: str
    files: Mapping[str, bytes | None] | None
    identity: Mapping[str, Any]
    label: str


def _state(path: Path) -> _State:
    top = git.top_of(path)
    commit = git.commit_of(path, "HEAD") if top is not None else None
    if top is None or commit is None or top.resolve() != path.resolve():
        files = dict(_read(path, _source_files(path)))
        digest = _digest(files, files)
        identity = {"commit": None, "files": digest}
        return _State(f"files-{digest[:40]}", files, identity, f"zemosaic {path.name} {digest[:7]}")
    known = git.tracked(path)
    # An untracked file counts if its suffix is one of source files: frames, mosaics and caches are data.
    kinds = {Path(name).suffix.lower() for name in known} & _SOURCE_KINDS
    added = tuple(name for name in git.untracked(path) if Path(name).suffix.lower() in kinds)
    touched = {*git.changed(path), *added}
    if not touched:
        return _State(commit, None, {"commit": commit, "dirty": None}, f"zemosaic {commit[:7]}")
    files = dict(_read(path, (*known, *added)))
    dirty = _digest(files, touched)
    identity = {"commit": commit, "dirty": dirty}
    return _State(f"{commit}-{dirty[:16]}", files, identity, f"zemosaic {commit[:7]}+{dirty[:7]}")


def _as_it_is(path: Path, python: str, exports: Path) -> tuple[Export, dict[str, Any], str]:
    if not (path / WORKER).exists() and (path / "objects").is_dir() and (path / "HEAD").is_file():
        raise TargetError(
            say(
                "expected a checkout, found the bare repository {path}: name a commit of it, zemosaic:{path}@COMMIT",
                path=str(path),
            )
        )
    state = _state(path)
    if state.files is None:
        export = _export(path, state.key, python, exports)
    else:
        export = _copy(state.files.items, exports, state.key, str(path), python)
    return export, dict(state.identity), state.label


_SOURCE_KINDS = frozenset(
    {".py", ".pyi", ".json", ".toml", ".cfg", ".ini", ".txt", ".csv", ".yaml", ".yml", ".cu", ".pyd", ".so"}
)
_NO_SOURCE = frozenset({"__pycache__", "node_modules", "build", "dist"})


def _source_files(folder: Path) -> Iterator[str]:
    """Yield the source files and linked folders of a folder without git, without hidden folders, environments and data."""
    for parent, folders, files in walk(folder):
        here = Path(parent)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and name not in _NO_SOURCE and not (here / name / "pyvenv.cfg").exists()
        )
        linked = [name for name in folders if (here / name).is_symlink()]
        for name in (*linked, *sorted(files)):
            if name in linked or Path(name).suffix.lower() in _SOURCE_KINDS:
                yield (here / name).relative_to(folder).as_posix()


def _read(folder: Path, names: Iterable[str]) -> Iterator[tuple[str, bytes | None]]:
    """Yield path and content, ``None`` for links, submodules and large files; skip deleted files."""
    for name in names:
        path = folder / name
        if not os.path.lexists(path):
            continue
        problem = None
        inside = PurePosixPath(name)
        if any((folder / part).is_symlink() for part in (inside, *inside.parents[:-1])):
            problem = say(
                "expected the source {name} in {where}, found a link: put the source itself there",
                name=name,
                where=str(folder),
            )
        elif path.is_file() and path.stat().st_size > _LARGEST:
            problem = say(
                "expected the source {name} in {where}, found a file of more than {size} MiB: put the source itself there",
                name=name,
                where=str(folder),
                size=_LARGEST // 2**20,
            )
        if problem is not None:
            _refuse_code(name, problem)
        yield name, path.read_bytes() if problem is None and path.is_file() else None


def _refuse_code(name: str, problem: Message) -> None:
    """Raise if a file that can't be copied is source: without it another program would run."""
    if name.lower().endswith(".py"):
        raise TargetError(problem)


def _digest(files: Mapping[str, bytes | None], names: Iterable[str]) -> str:
    """Hash files by name and content; of deleted and left-out files, hash the name and that state."""
    whole = hashlib.sha256()
    for name in sorted(names):
        content = files.get(name)
        state = (
            hashlib.sha256(content).hexdigest() if content is not None else "left out" if name in files else "removed"
        )
        whole.update(f"{name}\0{state}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _copy(
    files: Callable[[], Iterable[tuple[str, bytes | None]]], exports: Path, key: str, what: str, python: str
) -> Export:
    def finish(folder: Path) -> None:
        lacks = problem_of(folder)
        if lacks is not None:
            raise TargetError(
                say(
                    "expected ZeMosaic's {file} with {function} in {what}, found no {missing}: name the folder of a checkout",
                    file=WORKER,
                    function=ENTRY_POINT,
                    what=what,
                    missing=lacks,
                )
            )
        _compile(folder, python)

    return keep(files, exports, key, what, finish)


def _compile(folder: Path, python: str) -> None:
    """Compile the modules once. Otherwise each run would spend most of a second on its own copy.

    A failure costs only that time, and so does another interpreter in later runs: Python compares the source with the hash in a
    compiled file.
    """
    places = [str(place) for place in (folder, folder / "core") if place.is_dir()]
    command = [python, "-I", "-m", "compileall", "-q", "-l", "--invalidation-mode", "checked-hash", *places]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, check=False, timeout=120, stdin=subprocess.DEVNULL)


def _version(root: Path) -> str | None:
    """Return the version in ``version.txt``; ``None`` without one. No code of the checkout is run."""
    path = root / "version.txt"
    found = _VERSION.search(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else None
    return found[0] if found else None


def _libraries_of(root: Path) -> frozenset[str]:
    """Return the modules in ``ZEMOSAIC_LIBRARIES`` that a version's source imports."""
    found: set[str] = set()
    for path in (*root.glob("*.py"), *root.glob("core/*.py")):
        found.update(_IMPORT.findall(path.read_text(encoding="utf-8", errors="replace")))
    return frozenset(found & set(interpreter.ZEMOSAIC_LIBRARIES))
