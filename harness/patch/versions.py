"""Read two versions of a program's source, and find what differs between them. Nothing of the program is run."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Literal

from harness.language.message import say
from harness.patch import phase3_source
from harness.patch.phase3_source import Phase3
from harness.patch.retention_only import Touched, touched
from harness.record.extent import files_below
from harness.record.values import BeyondError, read_bytes
from harness.targets import git
from harness.targets.errors import TargetError

Sources = Mapping[str, str | None]
"""A version of a program: the text of each file by its path; ``None`` where a partial copy lacks the content."""

Kind = Literal["code", "test", "note", "data"]


def read_commit(repository: Path, name: str) -> Sources:
    """Read the files of a commit.

    Raises
    ------
    TargetError
        When there is no such commit, or git can't read the repository.

    """
    if repository.is_dir():
        git.require_repository(repository)
    commit = git.commit_of(repository, name)
    if commit is None:
        raise TargetError(
            say(
                "expected a commit of {folder}, found {name}, which git does not know there: "
                "name one that `git -C {folder} log` lists, or fetch it first",
                folder=shlex.quote(str(repository)),
                name=repr(name),
            )
        )
    files = tuple(blob for blob in git.blobs(repository, commit) if blob.mode.startswith("100"))
    return {blob.path: _text(content) for blob, content in git.contents(repository, files)}


def read_folder(root: Path, left_out: Iterable[str] = ()) -> Sources:
    """Read the files of a version in a folder. Files in ``left_out``, and those of more than 64 MB, have no text."""
    unread = {"__pycache__", ".git"}
    files = (
        p for p in sorted(files_below(root)) if p.is_file() and not unread.intersection(p.relative_to(root).parts[:-1])
    )
    found: dict[str, str | None] = {path.relative_to(root).as_posix(): _text(_content(path)) for path in files}
    return found | dict.fromkeys(left_out)


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path, links=True)
    except BeyondError:
        return None


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "surrogateescape")


def kind_of(path: str) -> Kind:
    """Classify a file as program (``code``, ``data``), test or note, by its path alone."""
    pure = PurePosixPath(path)
    if pure.suffix.lower() in {".md", ".rst"}:
        return "note"
    if pure.suffix.lower() not in {".py", ".pyw"}:
        return "test" if "tests" in pure.parts else "data"
    return "test" if "tests" in pure.parts or pure.name.startswith("test_") else "code"


@dataclass(frozen=True)
class Versions:
    """Both versions of a program, and the differences that more than one row uses."""

    before: Sources
    after: Sources
    _parsed: dict[str, ast.Module | None] = field(default_factory=dict)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        """The paths that only one version has, or whose text differs."""
        return tuple(p for p in sorted({*self.before, *self.after}) if self._differs(p))

    def _differs(self, path: str) -> bool:
        return (path in self.before) != (path in self.after) or self.before.get(path) != self.after.get(path)

    @cached_property
    def added(self) -> tuple[str, ...]:
        """The new paths, without renamed files."""
        return tuple(path for path in self.changed if path not in self.before and path not in self.renamed)

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """The old path of each new one that has the same text, where the old path is gone."""
        gone = {self.before[p]: p for p in self.changed if p not in self.after and self.before[p]}
        new = (p for p in self.changed if p not in self.before)
        return {path: gone[self.after[path]] for path in new if self.after[path] in gone}

    def trees(self, version: Sources, wanted: Callable[[str, str], bool]) -> dict[str, ast.Module]:
        """Return the syntax trees of a version's wanted code; unreadable files are left out, and each text is parsed once."""
        found = {}
        for path, text in version.items():
            if text is not None and kind_of(path) == "code" and wanted(path, text):
                tree = self._parse(text)
                if tree is not None:
                    found[path] = tree
        return found

    def _parse(self, text: str) -> ast.Module | None:
        if text not in self._parsed:
            try:
                self._parsed[text] = ast.parse(text)
            except (SyntaxError, ValueError):
                self._parsed[text] = None
        return self._parsed[text]

    @cached_property
    def changed_code(self) -> tuple[dict[str, ast.Module], dict[str, ast.Module]]:
        """The trees of the changed code in both versions."""
        differs = frozenset(self.changed)
        old, new = (self.trees(version, lambda path, _: path in differs) for version in (self.before, self.after))
        return old, new

    @cached_property
    def unread(self) -> tuple[str, ...]:
        """The changed files of the program that can't be read in a version that has them."""
        sides = tuple(zip((self.before, self.after), self.changed_code, strict=True))
        return tuple(
            path
            for path in self.changed
            if (kind_of(path) == "code" and any(path in s and path not in trees for s, trees in sides))
            or (kind_of(path) == "data" and any(path in s and s[path] is None for s, _ in sides))
        )

    @cached_property
    def statements(self) -> tuple[tuple[str, Touched], ...]:
        """Every changed statement of the program's code, with its file."""
        old, new = self.changed_code
        empty = ast.Module([], [])
        return tuple(
            (path, found)
            for path in self.changed
            if path in {*old, *new} and path not in self.unread
            for found in touched(old.get(path, empty), new.get(path, empty))
        )

    @cached_property
    def others(self) -> tuple[tuple[str, Touched], ...]:
        """The changed statements that do more than cache retention."""
        return tuple((path, found) for path, found in self.statements if found.why)

    @cached_property
    def data(self) -> tuple[str, ...]:
        """The changed files of the program that are not Python code."""
        known = (path for path in self.changed if path not in self.renamed and path not in self.unread)
        return tuple(path for path in known if kind_of(path) == "data")

    @cached_property
    def phases(self) -> tuple[tuple[Phase3, ...], tuple[Phase3, ...]]:
        """The places in each version that make master tiles."""

        def may_hold(_: str, text: str) -> bool:
            return "submit(" in text and "master_tile" in text

        old, new = (phase3_source.phases(self.trees(version, may_hold)) for version in (self.before, self.after))
        return old, new
