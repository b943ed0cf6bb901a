"""The guard rails of the checklist, judged on two versions of a program's source: what a patch may not do, and what it must.

Each row is one line of the checklist (its id in ``docs/requirements.toml``). Rows are earned from the syntax trees: nothing is
run, no text is compared with known code, and what the trees do not show is ``unknown``, with what was looked at. A row says
what is there, in this version's own names and lines, so that a reviewer finds it at once.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from harness.convert import to_json
from harness.language.message import Message, say
from harness.patch import phase3_source
from harness.patch.phase3_source import Phase3
from harness.patch.retention_only import STRICT, Touched, touched, words_of
from harness.targets import git
from harness.targets.errors import TargetError
from harness.verdict import Outcome, Verdict, merge

Sources = Mapping[str, str | None]
"""A version of a program: path and text of each file; ``None`` where the content is not to be had (a partial copy)."""
LINES = ("0.1", "0.2", "0.3", "0.4", "1.1", "1.2", "1.3", "1.4", "1.5", "1.6", "1.7", "1.8", "4.1")
"""The lines of the checklist that are judged here."""
SHOWN = 20
"""A row that rests on more places than these names the first ones, and how many more there are."""
_EXCERPT = 120

Kind = Literal["code", "test", "note", "data"]


@dataclass(frozen=True, slots=True)
class PatchReport:
    """What two versions of a program show on each line of the checklist; ``check`` of a row is the line's id."""

    rows: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        """The rows together: the worst of them."""
        return merge(row.outcome for row in self.rows)

    def row(self, line: str) -> Verdict:
        """Return the row of a line of the checklist."""
        return next(row for row in self.rows if row.check == line)

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {"outcome": str(self.outcome), "rows": to_json(self.rows)}


def read_commit(repository: Path, name: str) -> Sources:
    """Read the files of a commit.

    Raises
    ------
    TargetError
        When there is no such commit, or git can't read the repository.

    """
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
    """Read the files of a target that was copied, and name those that could not be copied with it."""
    files = (path for path in sorted(root.rglob("*")) if path.is_file() and path.parent.name != "__pycache__")
    found: dict[str, str | None] = {path.relative_to(root).as_posix(): _text(path.read_bytes()) for path in files}
    return found | dict.fromkeys(left_out)


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "surrogateescape")


def kind_of(path: str) -> Kind:
    """Tell program (``code``, ``data``) from tests and notes, by the path alone."""
    pure = PurePosixPath(path)
    if pure.suffix.lower() in {".md", ".rst"}:
        return "note"
    if pure.suffix.lower() not in {".py", ".pyw"}:
        return "test" if "tests" in pure.parts else "data"
    return "test" if "tests" in pure.parts or pure.name.startswith("test_") else "code"


def judge(before: Sources, after: Sources) -> PatchReport:
    """Judge every line on two versions. Without a difference there is no patch, and nothing to conclude."""
    versions = _Versions(before, after)
    if not versions.changed:
        none = say("The two versions have the same files: there is no patch to judge.")
        return PatchReport(tuple(Verdict(line, Outcome.UNKNOWN, none) for line in LINES))
    rows = (_files, _logging, _batch_size, _modes, *_REVIEW, _minimal)
    return PatchReport(tuple(row(versions) for row in rows))


@dataclass(frozen=True)
class _Versions:
    """Both versions, with what more than one row needs."""

    before: Sources
    after: Sources
    _parsed: dict[str, ast.Module | None] = field(default_factory=dict)

    @cached_property
    def changed(self) -> tuple[str, ...]:
        return tuple(p for p in sorted({*self.before, *self.after}) if self._differs(p))

    def _differs(self, path: str) -> bool:
        return (path in self.before) != (path in self.after) or self.before.get(path) != self.after.get(path)

    @cached_property
    def added(self) -> tuple[str, ...]:
        return tuple(path for path in self.changed if path not in self.before and path not in self.renamed)

    @cached_property
    def renamed(self) -> Mapping[str, str]:
        """New names by path, with the old ones: the same content, under a name that is gone."""
        gone = {self.before[p]: p for p in self.changed if p not in self.after and self.before[p]}
        new = (p for p in self.changed if p not in self.before)
        return {path: gone[self.after[path]] for path in new if self.after[path] in gone}

    def trees(self, version: Sources, wanted: Callable[[str, str], bool]) -> dict[str, ast.Module]:
        """Return the syntax trees of a version's wanted code, without what can't be read; each text is parsed once."""
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
        """Changed files of the program that a version has and that can't be read there."""
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
        """The changed statements that are more than cache retention."""
        return tuple((path, found) for path, found in self.statements if found.why)

    @cached_property
    def data(self) -> tuple[str, ...]:
        """Changed files of the program that are no code."""
        known = (path for path in self.changed if path not in self.renamed and path not in self.unread)
        return tuple(path for path in known if kind_of(path) == "data")

    @cached_property
    def phases(self) -> tuple[tuple[Phase3, ...], tuple[Phase3, ...]]:
        def may_hold(_: str, text: str) -> bool:
            return "submit(" in text and "master_tile" in text

        old, new = (phase3_source.phases(self.trees(version, may_hold)) for version in (self.before, self.after))
        return old, new


def _unless_unread(versions: _Versions, row: Verdict) -> Verdict:
    """Turn a pass into ``unknown`` where a changed file could not be read."""
    if not versions.unread or row.outcome is not Outcome.PASS:
        return row
    what = say("Changed files could not be read: {files}.", files=", ".join(versions.unread[:SHOWN]))
    return Verdict(row.check, Outcome.UNKNOWN, what, {**row.evidence, "unread": list(versions.unread)})


# ---- 0) guard rails ----


def _files(versions: _Versions) -> Verdict:
    """0.1: no file was added. Notes (``.md``, ``.rst``) are no part of the program: they are named, and do not count."""
    kinds = {path: kind_of(path) for path in versions.added}
    counted = [path for path, kind in kinds.items() if kind != "note"]
    notes = [path for path, kind in kinds.items() if kind == "note"]
    evidence = {
        "added": kinds,
        "removed": [p for p in versions.changed if p not in versions.after and p not in versions.renamed.values()],
        "renamed": dict(versions.renamed),
        "changed": [path for path in versions.changed if path in versions.before and path in versions.after],
    }
    if counted:
        text = say("{count} files were added: {files}.", count=len(counted), files=_some(counted))
        return Verdict("0.1", Outcome.FAIL, text, evidence)
    if notes:
        text = say("No file of the program was added; notes were: {files}.", files=_some(notes))
        return Verdict("0.1", Outcome.PASS, text, evidence)
    text = say(
        "No file was added; {count} were changed: {files}.", count=len(versions.changed), files=_some(versions.changed)
    )
    return Verdict("0.1", Outcome.PASS, text, evidence)


_SETS_UP = frozenset({"addHandler", "addLevelName", "basicConfig", "captureWarnings", "dictConfig", "fileConfig"}) | {
    "getLogger",
    "print",
    "removeHandler",
    "setFormatter",
    "setLevel",
    "setLogRecordFactory",
    "setLoggerClass",
}
_LIBRARIES = frozenset({"eliot", "logbook", "loguru", "structlog"})


def _logging(versions: _Versions) -> Verdict:
    """0.2: the later version has no call, class or import that sets up logging, or prints, which the earlier one has not."""
    old, new = (Counter({key: len(at) for key, at in _set_ups(trees).items()}) for trees in versions.changed_code)
    more = new - old
    places = _set_ups(versions.changed_code[1])
    found = [f"{place}  {text[:_EXCERPT]}" for text in sorted(more) for place in places[text][-more[text] :]]
    evidence = {"new": found[:SHOWN], "count": more.total(), "before": old.total(), "after": new.total()}
    if found:
        text = say("{count} places set up logging, or print, that did not before.", count=more.total())
        return Verdict("0.2", Outcome.FAIL, text, evidence, _list(((_as_it_is(text),) for text in found), more.total()))
    text = say(
        "No logger, handler, level, configuration or print was added (the changed files had {count}).",
        count=old.total(),
    )
    return _unless_unread(versions, Verdict("0.2", Outcome.PASS, text, evidence))


def _set_ups(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Return what sets up logging, or prints, with its places."""
    found: dict[str, list[str]] = {}
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if _sets_up(node):
                text = ast.unparse(node).partition("\n")[0]
                found.setdefault(text, []).append(f"{path}:{node.lineno}")  # type: ignore[attr-defined]
    return found


def _sets_up(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = _last(node.func)
        written = (
            name == "write" and isinstance(node.func, ast.Attribute) and _last(node.func.value) in {"stdout", "stderr"}
        )
        return name in _SETS_UP or written or name.endswith(("Handler", "LoggerAdapter", "QueueListener"))
    if isinstance(node, ast.ClassDef):
        return any(_last(base).endswith(("Handler", "Formatter", "LoggerAdapter", "Logger")) for base in node.bases)
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in _LIBRARIES for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _LIBRARIES


def _batch_size(versions: _Versions) -> Verdict:
    """0.3: no changed statement reads or writes a setting other than the retention's, or stands below a condition on one.

    No setting of the program need be *the* batch size for this: what touches no setting changes the behaviour of none. Names
    that hold "batch" and "size" are the batch size for certain, settings of which 0 switches a limit off may be meant.
    """
    settings = _settings(versions)
    names = sorted({name for version in (versions.before, versions.after) for name in _named(version)})
    switches = sorted(k for k, v in settings.items() if type(v) is int and v == 0 and _limits_a_group(k))
    evidence: dict[str, Any] = {"named": names, "zero_switches_off": switches, "settings": len(settings)}
    certain, possible = [], []
    for path, found in versions.statements:
        here = {
            name for name in found.names | found.below if {"batch", "size"} <= words_of(name) and name.isidentifier()
        }
        used = {key for name in found.names | found.below for key in [_setting(name, settings)] if key}
        other = {key for key in used if not words_of(key) & STRICT} - here
        certain += [_where(path, found, here)] if here else []
        possible += [_where(path, found, other)] if other and not here else []
    evidence |= {"touch_batch_size": len(certain), "touch_another_setting": len(possible)}
    if certain:
        text = say("{count} changed statements read, write or depend on a batch size.", count=len(certain))
        return Verdict("0.3", Outcome.FAIL, text, evidence, _list(certain, len(certain)))
    looked = _some([*names, *switches]) or "-"
    if possible:
        text = say(
            "No changed statement names a batch size, but {count} touch other settings, and which setting is meant is not "
            "known (looked at: {looked}).",
            count=len(possible),
            looked=looked,
        )
        return Verdict("0.3", Outcome.UNKNOWN, text, evidence, _list(possible, len(possible)))
    if not settings:
        text = say(
            "No settings were found in the source, so none can be shown to be untouched (looked at: {looked}).",
            looked=looked,
        )
        return Verdict("0.3", Outcome.UNKNOWN, text, evidence)
    text = say(
        "None of {count} changed statements reads, writes or depends on a setting other than the retention's, so whichever of "
        "{settings} settings the batch size is, it acts as before (looked at: {looked}).",
        count=len(versions.statements),
        settings=len(settings),
        looked=looked,
    )
    return _unless_unread(versions, Verdict("0.3", Outcome.PASS, text, evidence))


_TABLE = re.compile(r"^\w*(?:config|settings|defaults)\w*\s*(?::[^=\n]+)?=\s*\{", re.IGNORECASE | re.MULTILINE)
_BATCH_SIZE = re.compile(r"\b\w*batch_?size\w*\b", re.IGNORECASE)


def _settings(versions: _Versions) -> dict[str, object]:
    """Return the keys of the dicts of settings that modules define, with their defaults (``None`` for what is no constant)."""
    trees = versions.trees({**versions.before, **versions.after}, lambda _, text: bool(_TABLE.search(text)))
    found: dict[str, object] = {}
    for tree in trees.values():
        for node in tree.body:
            if isinstance(node, ast.Assign):
                targets, value = [_last(t) for t in node.targets], node.value
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                targets, value = [_last(node.target)], node.value
            else:
                continue
            if isinstance(value, ast.Dict) and any(words_of(t) & {"config", "settings", "defaults"} for t in targets):
                for key, default in zip(value.keys, value.values, strict=True):
                    if isinstance(key, ast.Constant) and isinstance(key.value, str):
                        found[key.value] = default.value if isinstance(default, ast.Constant) else None
    return found


def _setting(name: str, settings: Mapping[str, object]) -> str:
    """Return the setting that a name is, as it stands or with an ending that marks a copy of it."""
    endings = ("", "_config", "_cfg", "_mode", "_setting", "_value")
    return next((k for k in (name.removesuffix(e) for e in endings) if k in settings), "")


def _limits_a_group(name: str) -> bool:
    return "max" in words_of(name) and bool(words_of(name) & {"batch", "frames", "group", "raw", "raws"})


def _named(version: Sources) -> frozenset[str]:
    """Return the names and keys of a version's code that hold "batch size"."""
    texts = (text for path, text in version.items() if text and kind_of(path) == "code")
    return frozenset(name for text in texts for name in _BATCH_SIZE.findall(text))


def _modes(versions: _Versions) -> Verdict:
    """0.4: what changed in SDS or grid code is cache retention alone; what changed beside it may be code that they share."""
    inside = [(path, found) for path, found in versions.others if _is_mode(path, found)]
    places = [_where(path, found) for path, found in inside]
    evidence = {
        "in_sds_or_grid": len(inside),
        "elsewhere": len(versions.others) - len(inside),
        "retention_in_sds_or_grid": sum(_is_mode(p, f) and not f.why for p, f in versions.statements),
        "data": list(versions.data),
    }
    if inside:
        text = say("{count} changed statements in SDS or grid code are more than cache retention.", count=len(inside))
        return Verdict("0.4", Outcome.FAIL, text, evidence, _list(places, len(places)))
    if versions.others or versions.data:
        rest = len(versions.others)
        text = say(
            "Nothing that names SDS or grid changed, but {count} other statements and {files} files of the program did, in code "
            "that every mode may share.",
            count=rest,
            files=len(versions.data),
        )
        causes = [_where(path, found) for path, found in versions.others] + [
            (_as_it_is(path),) for path in versions.data
        ]
        return Verdict("0.4", Outcome.UNKNOWN, text, evidence, _list(causes, len(causes)))
    text = say(
        "All {count} changed statements are cache retention, in every mode's code.", count=len(versions.statements)
    )
    return _unless_unread(versions, Verdict("0.4", Outcome.PASS, text, evidence))


def _is_mode(path: str, found: Touched) -> bool:
    """Whether a statement is in a file or function of SDS or grid mode, names one, or stands below a condition that does."""
    names = {PurePosixPath(path).stem, *found.change.function.split("."), *found.names, *found.below}
    return any(
        "sds" in words or {"grid", "mode"} <= words for words in map(words_of, (n for n in names if " " not in n))
    )


# ---- 1) code review ----


def _located(versions: _Versions) -> Verdict:
    """1.1: Phase 3 is found: the pool, the submission of tiles, the loop over their futures."""
    found = versions.phases[1]
    evidence = {"phase3": [to_json(p) for p in found]}
    if not found or not all(p.pool and p.collect for p in found):
        return _unseen(
            "1.1", say("a pool, a submission of master tiles, and a loop that takes their results"), evidence
        )
    lines = [
        say("{place}: pool in line {pool}, submission in {submit}, results in {collect}", place=_place(p), pool=p.pool,
            submit=p.submit, collect=p.collect)
        for p in found
    ]  # fmt: skip
    text = say("Phase 3 is found {count} times: {places}.", count=len(found), places=_some(map(_place, found)))
    return Verdict("1.1", Outcome.PASS, text, evidence, tuple(lines))


def _identified(versions: _Versions) -> Verdict:
    """1.2: the release under ``per_tile`` is found in both versions."""
    old, new = versions.phases
    evidence = {"before": [to_json(p) for p in old], "after": [to_json(p) for p in new]}
    if not (old and new and all(p.releases for p in (*old, *new))):
        return _unseen("1.2", say("a removal of files under per_tile, in each place that makes master tiles"), evidence)
    text = say(
        "The release under per_tile is found: before in {old}, after in {new}.", old=_releases(old), new=_releases(new)
    )
    return Verdict("1.2", Outcome.PASS, text, evidence)


def _replaced(versions: _Versions) -> Verdict:
    """1.3: every removal under ``per_tile`` is guarded by a count, and one before the patch was not."""
    old, new = (tuple(r for p in places for r in p.releases) for places in versions.phases)
    naive = [r for r in new if not r.counts]
    evidence = {
        "naive_before": sum(not r.counts for r in old),
        "naive_after": len(naive),
        "guarded_after": sum(bool(r.counts) for r in new),
    }
    if naive:
        text = say(
            "Files are still removed under per_tile without a count: {places}.", places=_releases(versions.phases[1])
        )
        return Verdict("1.3", Outcome.FAIL, text, evidence)
    if not new or not all(p.releases for p in versions.phases[1]):
        return _unseen("1.3", say("a removal of files under per_tile, in each place that makes master tiles"), evidence)
    if not evidence["naive_before"]:
        text = say(
            "Every removal under per_tile is guarded by a count, but before this patch each was too, or none was found."
        )
        return Verdict("1.3", Outcome.UNKNOWN, text, evidence)
    text = say(
        "{count} removals without a count are gone; those under per_tile are guarded by {counts}.",
        count=evidence["naive_before"],
        counts=_some(sorted({r.counts for r in new})),
    )
    return Verdict("1.3", Outcome.PASS, text, evidence)


def _counted_first(versions: _Versions) -> Verdict:
    """1.4: references are counted from sets of paths, in a loop before the loop that submits the first tile."""
    return _each(
        versions,
        "1.4",
        lambda p: bool(p.registered and p.once),
        lambda p: say(
            "{place}: counted in line {line}, before the first submission", place=_place(p), line=p.registered
        ),
        sought=say("a loop before the first submission that counts each tile's set of paths"),
        passed=say("References are counted for all tiles before the first is submitted, each path once a tile."),
    )


def _stored(versions: _Versions) -> Verdict:
    """1.5: there is a mapping from tile to a set of paths that were normalised."""
    return _each(
        versions,
        "1.5",
        lambda p: bool(p.sets and p.normalised),
        lambda p: say("{place}: {name}", place=_place(p), name=p.sets),
        sought=say("a mapping from tile to a set of paths, each the result of a function that normalises it"),
        passed=say("Each tile has a set of normalised paths."),
    )


def _released(versions: _Versions) -> Verdict:
    """1.6: the release is called in the loop over finished tiles, counts down, and removes only past a test of the count."""
    return _each(
        versions,
        "1.6",
        lambda p: bool(p.releases) and all(r.counts and r.collected for r in p.releases),
        lambda p: say("{place}: released by {name}", place=_place(p), name=_some(r.function for r in p.releases)),
        sought=say(
            "a release, called in the loop over finished tiles, that counts down and tests the count before it removes"
        ),
        passed=say("A finished tile counts its caches down, and one is removed past a test of its count."),
    )


def _forgiven(versions: _Versions) -> Verdict:
    """1.7: a removal that fails is caught, told at DEBUG, and the release goes on."""
    releases = [(p, r) for p in versions.phases[1] for r in p.releases]
    loud = [f"{p.file}:{r.line}" for p, r in releases if r.quiet is False]
    if loud:
        text = say("A removal that fails is told louder than DEBUG, or ends the release: {places}.", places=_some(loud))
        return Verdict("1.7", Outcome.FAIL, text, {"places": loud})
    return _each(
        versions,
        "1.7",
        lambda p: bool(p.releases) and all(r.quiet for r in p.releases),
        lambda p: say("{place}: removed by {name}", place=_place(p), name=_some(r.function for r in p.releases)),
        sought=say("a handler of the errors of a removal"),
        passed=say("A removal that fails is caught, told at DEBUG, and the next one follows."),
    )


def _not_negative(versions: _Versions) -> Verdict:
    """1.8: counting down is bounded. No run can reach a negative count from outside, so this is read, not run."""
    return _each(
        versions,
        "1.8",
        lambda p: bool(p.releases) and all(r.clamped for r in p.releases),
        lambda p: say("{place}: {name} is bounded", place=_place(p), name=_some(r.counts for r in p.releases)),
        sought=say("a bound (max, a test or an assertion) before each counting down"),
        passed=say("No count goes below zero: read in the source, since no run can make one negative from outside."),
    )


_REVIEW: tuple[Callable[[_Versions], Verdict], ...] = (
    _located,
    _identified,
    _replaced,
    _counted_first,
    _stored,
    _released,
    _forgiven,
    _not_negative,
)


def _each(
    versions: _Versions,
    line: str,
    holds: Callable[[Phase3], bool],
    place: Callable[[Phase3], Message],
    *,
    sought: Message,
    passed: Message,
) -> Verdict:
    """Pass a line when it holds in every place that makes master tiles; one where it does not show leaves it unknown."""
    found = versions.phases[1]
    evidence = {"phase3": [to_json(p) for p in found]}
    if not found or not all(map(holds, found)):
        return _unseen(line, sought, evidence)
    return Verdict(line, Outcome.PASS, passed, evidence, tuple(map(place, found)))


def _unseen(line: str, sought: Message, evidence: Mapping[str, Any]) -> Verdict:
    return Verdict(
        line, Outcome.UNKNOWN, say("The source does not show it to this reading. Looked for:"), evidence, (sought,)
    )


# ---- 4) definition of done ----


def _minimal(versions: _Versions) -> Verdict:
    """4.1: the whole change of the program is cache retention."""
    sides = Counter(found.change.side for _, found in versions.statements)
    functions = Counter(f"{path}:{found.change.function.partition('.')[0]}" for path, found in versions.statements)
    evidence = {
        "added": sides["added"],
        "removed": sides["removed"],
        "other": len(versions.others),
        "data": list(versions.data),
        "functions": dict(functions.most_common(SHOWN)),
        "tests_and_notes": [path for path in versions.changed if kind_of(path) in {"test", "note"}][:SHOWN],
    }
    if versions.others or versions.data:
        text = say(
            "{count} of {all} changed statements are more than cache retention; {files} files of the program that are no "
            "code changed.",
            count=len(versions.others),
            all=len(versions.statements),
            files=len(versions.data),
        )
        causes = [(_as_it_is(path),) for path in versions.data] + [
            _where(path, found) for path, found in versions.others
        ]
        return Verdict("4.1", Outcome.FAIL, text, evidence, _list(causes, len(causes)))
    if not versions.statements and not versions.unread:
        return Verdict("4.1", Outcome.UNKNOWN, say("No statement of the program changed."), evidence)
    text = say(
        "All changed statements ({added} added, {removed} removed) are cache retention, in {places}.",
        added=sides["added"],
        removed=sides["removed"],
        places=_some(functions),
    )
    return _unless_unread(versions, Verdict("4.1", Outcome.PASS, text, evidence))


# ---- wording ----


def _where(path: str, found: Touched, names: Iterable[str] = ()) -> tuple[Message, ...]:
    """Say where a changed statement is and what it is; then the names that matter, or what makes it more than retention."""
    change = found.change
    place = say(
        "{sign} {place} {function}: {code}",
        sign="+" if change.side == "added" else "-",
        place=f"{path}:{change.line}",
        function=change.function,
        code=change.text[:_EXCERPT],
    )
    return (place, _as_it_is(", ".join(sorted(names)))) if names else (place, *found.why[:2])


def _list(entries: Iterable[tuple[Message, ...]], count: int) -> tuple[Message, ...]:
    shown = tuple(islice(entries, SHOWN))
    lines = tuple(line for entry in shown for line in entry)
    return (*lines, say("and {count} more", count=count - len(shown))) if count > len(shown) else lines


def _as_it_is(text: str) -> Message:
    return say("{text}", text=text)


def _some(names: Iterable[str]) -> str:
    every = [*dict.fromkeys(names)]
    return ", ".join(every[:SHOWN]) + (", …" if len(every) > SHOWN else "")


def _place(phase3: Phase3) -> str:
    return f"{phase3.file} {phase3.function}"


def _releases(phases: Iterable[Phase3]) -> str:
    return _some(f"{p.file}:{r.line} {r.function}" for p in phases for r in p.releases)


def _last(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
