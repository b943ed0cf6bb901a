"""Judge a patch by the guard rails of the checklist, on two versions of a program's source.

Each row is one line of the checklist, named by its id, and rests on the syntax trees: nothing is run, and no text is compared
with known code. What the trees do not show is ``unknown``, with what was looked for. A row gives the version's own names and
lines, so that a reviewer finds the place.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, number_in, numbers, rows_in, size_in, sizes
from harness.language.message import Message, say
from harness.patch.configuration import batch_size_names, limits_a_group, set_ups, setting_in, settings_of
from harness.patch.phase3_source import Phase3
from harness.patch.retention_only import STRICT, Touched, words_of
from harness.patch.versions import Sources, Versions, kind_of
from harness.record.convert import to_json
from harness.verdict import Outcome, Verdict, merge

SHOWN = 20
"""The number of places that a row names; it counts the others."""
_EXCERPT = 120


@dataclass(frozen=True, slots=True)
class PatchReport:
    """The verdict on each line of the checklist for two versions of a program; ``check`` of a row is the line's id."""

    rows: tuple[Verdict, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of all rows."""
        return merge(row.outcome for row in self.rows)

    def row(self, line: str) -> Verdict:
        """Return the row of a line of the checklist."""
        return next(row for row in self.rows if row.check == line)

    def to_json(self) -> dict[str, Any]:
        """Return built-in types only."""
        return {"outcome": str(self.outcome), "rows": to_json(self.rows)}


def judge(before: Sources, after: Sources) -> PatchReport:
    """Judge every line on two versions. Versions without a difference hold no patch: every line is ``unknown``."""
    versions = Versions(before, after)
    if not versions.changed:
        same = say("The two versions have the same files: there is no patch to judge.")
        return PatchReport(tuple(Verdict(line, Outcome.UNKNOWN, same) for line in ROWS))
    return PatchReport(tuple(row.judge(versions) for row in ROWS.values()))


def _unless_unread(versions: Versions, row: Verdict) -> Verdict:
    """Turn a pass into ``unknown`` where a changed file could not be read."""
    if not versions.unread or row.outcome is not Outcome.PASS:
        return row
    what = say("Changed files could not be read: {files}.", files=", ".join(versions.unread[:SHOWN]))
    return Verdict(row.check, Outcome.UNKNOWN, what, {**row.evidence, "unread": list(versions.unread)})


# ---- 0) guard rails ----


def _files(versions: Versions) -> Verdict:
    """0.1: no file was added. Notes (``.md``, ``.rst``) are not part of the program: they are named and not counted."""
    kinds = {path: kind_of(path) for path in versions.added}
    new_files = [path for path, kind in kinds.items() if kind != "note"]
    notes = [path for path, kind in kinds.items() if kind == "note"]
    evidence = {
        "added": kinds,
        "removed": [p for p in versions.changed if p not in versions.after and p not in versions.renamed.values()],
        "renamed": dict(versions.renamed),
        "changed": [path for path in versions.changed if path in versions.before and path in versions.after],
    }
    if new_files:
        text = say("Files added: {count} ({files}).", count=len(new_files), files=_some(new_files))
        return Verdict("0.1", Outcome.FAIL, text, evidence)
    if notes:
        text = say("No file of the program was added. Notes were added: {files}.", files=_some(notes))
        return Verdict("0.1", Outcome.PASS, text, evidence)
    text = say(
        "No file was added. Files changed: {count} ({files}).",
        count=len(versions.changed),
        files=_some(versions.changed),
    )
    return Verdict("0.1", Outcome.PASS, text, evidence)


def _logging(versions: Versions) -> Verdict:
    """0.2: the later version has no new call, class or import that sets up logging or prints."""
    old, new = (Counter({key: len(at) for key, at in set_ups(trees).items()}) for trees in versions.changed_code)
    more = new - old
    places = set_ups(versions.changed_code[1])
    found = [f"{place}  {text[:_EXCERPT]}" for text in sorted(more) for place in places[text][-more[text] :]]
    evidence = {"new": found[:SHOWN], "count": more.total(), "before": old.total(), "after": new.total()}
    if found:
        text = say("New places that set up logging or print: {count}.", count=more.total())
        return Verdict("0.2", Outcome.FAIL, text, evidence, _list([(_as_it_is(text),) for text in found]))
    text = say(
        "No logger, handler, level, configuration or print was added (the changed files had {count}).",
        count=old.total(),
    )
    return _unless_unread(versions, Verdict("0.2", Outcome.PASS, text, evidence))


def _batch_size(versions: Versions) -> Verdict:
    """0.3: no changed statement reads, writes or depends on a setting other than the retention's.

    The row need not know which setting is *the* batch size: a change that touches no setting leaves all of them as they were.
    Names with "batch" and "size" are certainly the batch size. A limit that 0 switches off is possibly meant.
    """
    settings = settings_of(versions)
    names = sorted({name for version in (versions.before, versions.after) for name in batch_size_names(version)})
    switches = sorted(k for k, v in settings.items() if type(v) is int and v == 0 and limits_a_group(k))
    evidence: dict[str, Any] = {"named": names, "zero_switches_off": switches, "settings": len(settings)}
    certain, possible = [], []
    for path, found in versions.statements:
        here = {
            name for name in found.names | found.below if {"batch", "size"} <= words_of(name) and name.isidentifier()
        }
        used = {key for name in found.names | found.below for key in [setting_in(name, settings)] if key}
        other = {key for key in used if not words_of(key) & STRICT} - here
        certain += [_where(path, found, here)] if here else []
        possible += [_where(path, found, other)] if other and not here else []
    evidence |= {"touch_batch_size": len(certain), "touch_another_setting": len(possible)}
    if certain:
        text = say("Changed statements that read, write or depend on a batch size: {count}.", count=len(certain))
        return Verdict("0.3", Outcome.FAIL, text, evidence, _list(certain))
    looked = _some([*names, *switches]) or "-"
    if possible:
        text = say(
            "No changed statement names a batch size. Changed statements that use other settings: {count}. It is "
            "unknown which setting is the batch size (examined: {looked}).",
            count=len(possible),
            looked=looked,
        )
        return Verdict("0.3", Outcome.UNKNOWN, text, evidence, _list(possible))
    if not settings:
        text = say(
            "No settings were found in the source, so it can't be shown that the batch size is unchanged "
            "(examined: {looked}).",
            looked=looked,
        )
        return Verdict("0.3", Outcome.UNKNOWN, text, evidence)
    text = say(
        "No changed statement uses a setting other than cache retention, so the batch size acts as before, whichever "
        "setting it is. Changed statements: {count}; settings: {settings} (examined: {looked}).",
        count=len(versions.statements),
        settings=len(settings),
        looked=looked,
    )
    return _unless_unread(versions, Verdict("0.3", Outcome.PASS, text, evidence))


def _modes(versions: Versions) -> Verdict:
    """0.4: in SDS and grid code, only cache retention changed. Other changes may be in code that these modes share: unknown."""
    places = [_where(path, found) for path, found in versions.others if _is_mode(path, found)]
    evidence = {
        "in_sds_or_grid": len(places),
        "elsewhere": len(versions.others) - len(places),
        "retention_in_sds_or_grid": sum(_is_mode(p, f) and not f.why for p, f in versions.statements),
        "data": list(versions.data),
    }
    if places:
        text = say(
            "Changed statements in SDS or grid code that are more than cache retention: {count}.", count=len(places)
        )
        return Verdict("0.4", Outcome.FAIL, text, evidence, _list(places))
    if versions.others or versions.data:
        text = say(
            "No statement that names SDS or grid changed, but code that all modes may share did. Other statements: "
            "{count}; program files: {files}.",
            count=len(versions.others),
            files=len(versions.data),
        )
        causes = [*(_where(*other) for other in versions.others), *((_as_it_is(path),) for path in versions.data)]
        return Verdict("0.4", Outcome.UNKNOWN, text, evidence, _list(causes))
    text = say(
        "Every changed statement is cache retention, in every mode's code. Changed statements: {count}.",
        count=len(versions.statements),
    )
    return _unless_unread(versions, Verdict("0.4", Outcome.PASS, text, evidence))


def _is_mode(path: str, found: Touched) -> bool:
    """Return whether a statement is in a file or function of SDS or grid mode, names one, or depends on a condition on one."""
    names = {PurePosixPath(path).stem, *found.change.function.split("."), *found.names, *found.below}
    return any(
        "sds" in words or {"grid", "mode"} <= words for words in map(words_of, (n for n in names if " " not in n))
    )


# ---- 1) code review ----


def _located(versions: Versions) -> Verdict:
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
    text = say(
        "Places in the source that contain Phase 3: {count} ({places}).",
        count=len(found),
        places=_some(map(_place, found)),
    )
    return Verdict("1.1", Outcome.PASS, text, evidence, tuple(lines))


def _identified(versions: Versions) -> Verdict:
    """1.2: the release under ``per_tile`` is found in both versions."""
    old, new = versions.phases
    evidence = {"before": [to_json(p) for p in old], "after": [to_json(p) for p in new]}
    if not (old and new and all(p.releases for p in (*old, *new))):
        return _unseen("1.2", say("a removal of files under per_tile, in each place that makes master tiles"), evidence)
    text = say(
        "The release under per_tile is found: before in {old}, after in {new}.", old=_releases(old), new=_releases(new)
    )
    return Verdict("1.2", Outcome.PASS, text, evidence)


def _replaced(versions: Versions) -> Verdict:
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
            "Every removal under per_tile is guarded by a count. But no removal without a count was found "
            "before the patch, so nothing was replaced."
        )
        return Verdict("1.3", Outcome.UNKNOWN, text, evidence)
    text = say(
        "Removals without a count, now gone: {count}. Removals under per_tile are guarded by {counts}.",
        count=evidence["naive_before"],
        counts=_some(sorted({r.counts for r in new})),
    )
    return Verdict("1.3", Outcome.PASS, text, evidence)


@dataclass(frozen=True, slots=True)
class _Everywhere:
    """Pass a line when every place that makes master tiles satisfies it; one place that does not show it makes it unknown."""

    line: str
    holds: Callable[[Phase3], bool]
    place: Callable[[Phase3], Message]
    sought: Message
    passed: Message

    def __call__(self, versions: Versions) -> Verdict:
        found = versions.phases[1]
        evidence = {"phase3": [to_json(p) for p in found]}
        if not found or not all(map(self.holds, found)):
            return _unseen(self.line, self.sought, evidence)
        return Verdict(self.line, Outcome.PASS, self.passed, evidence, tuple(map(self.place, found)))


_counted_first = _Everywhere(
    "1.4",
    lambda p: bool(p.registered and p.once),
    lambda p: say("{place}: counted in line {line}, before the first submission", place=_place(p), line=p.registered),
    sought=say("a loop before the first submission that counts each tile's set of paths"),
    passed=say("References are counted for all tiles before the first is submitted, each path once for each tile."),
)
_stored = _Everywhere(
    "1.5",
    lambda p: bool(p.sets and p.normalised),
    lambda p: say("{place}: {name}", place=_place(p), name=p.sets),
    sought=say("a mapping from tile to a set of paths, each the result of a function that normalises it"),
    passed=say("Each tile has a set of normalised paths."),
)
_released = _Everywhere(
    "1.6",
    lambda p: bool(p.releases) and all(r.counts and r.collected for r in p.releases),
    lambda p: say("{place}: released by {name}", place=_place(p), name=_some(r.function for r in p.releases)),
    sought=say(
        "a release, called in the loop over finished tiles, that counts down and tests the count before it removes"
    ),
    passed=say(
        "A finished tile decrements the count of each of its caches; a cache is removed only after a test of its count."
    ),
)
_caught = _Everywhere(
    "1.7",
    lambda p: bool(p.releases) and all(r.quiet for r in p.releases),
    lambda p: say("{place}: removed by {name}", place=_place(p), name=_some(r.function for r in p.releases)),
    sought=say("a handler of the errors of a removal"),
    passed=say("A failed removal is caught and logged at DEBUG, and the next one follows."),
)
# No run can cause a negative count from outside, so the source is read instead.
_not_negative = _Everywhere(
    "1.8",
    lambda p: bool(p.releases) and all(r.clamped for r in p.releases),
    lambda p: say("{place}: {name} is bounded", place=_place(p), name=_some(r.counts for r in p.releases)),
    sought=say("a bound (max, a test or an assertion) before each counting down"),
    passed=say(
        "The source keeps every count at zero or above. No run can force a negative count from outside, so the source is the "
        "evidence."
    ),
)


def _forgiven(versions: Versions) -> Verdict:
    """1.7: a failed removal is caught and logged at DEBUG, and the release goes on."""
    loud = [f"{p.file}:{r.line}" for p in versions.phases[1] for r in p.releases if r.quiet is False]
    if loud:
        text = say("A failed removal is logged above DEBUG, or ends the release: {places}.", places=_some(loud))
        return Verdict("1.7", Outcome.FAIL, text, {"places": loud})
    return _caught(versions)


def _unseen(line: str, sought: Message, evidence: Mapping[str, Any]) -> Verdict:
    return Verdict(line, Outcome.UNKNOWN, say("The source does not show this. Looked for:"), evidence, (sought,))


# ---- 4) definition of done ----


def _minimal(versions: Versions) -> Verdict:
    """4.1: the program changed in cache retention only."""
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
            "Changed statements that are more than cache retention: {count} of {all}. Changed program files other than "
            "code: {files}.",
            count=len(versions.others),
            all=len(versions.statements),
            files=len(versions.data),
        )
        causes = [*((_as_it_is(path),) for path in versions.data), *(_where(*other) for other in versions.others)]
        return Verdict("4.1", Outcome.FAIL, text, evidence, _list(causes))
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
    """Say where a changed statement is, what it is, and which names matter or why it is more than retention."""
    change = found.change
    place = say(
        "{sign} {place} {function}: {code}",
        sign="+" if change.side == "added" else "-",
        place=f"{path}:{change.line}",
        function=change.function,
        code=change.text[:_EXCERPT],
    )
    return (place, _as_it_is(", ".join(sorted(names)))) if names else (place, *found.why[:2])


def _list(entries: Sequence[tuple[Message, ...]]) -> tuple[Message, ...]:
    lines = tuple(line for entry in entries[:SHOWN] for line in entry)
    return (*lines, say("and {count} more", count=len(entries) - SHOWN)) if len(entries) > SHOWN else lines


def _as_it_is(text: str) -> Message:
    return say("{text}", text=text)


def _some(names: Iterable[str]) -> str:
    every = [*dict.fromkeys(names)]
    return ", ".join(every[:SHOWN]) + (", …" if len(every) > SHOWN else "")


def _place(phase3: Phase3) -> str:
    return f"{phase3.file} {phase3.function}"


def _releases(phases: Iterable[Phase3]) -> str:
    return _some(f"{p.file}:{r.line} {r.function}" for p in phases for r in p.releases)


# ---- the rows, and their figures ----


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the checklist: the function that judges it, and the figures of its evidence that a report shows."""

    judge: Callable[[Versions], Verdict]
    figures: tuple[Figure, ...]


def _file_counts(evidence: Evidence) -> Numbers | None:
    """Return the files added, notes left out, and the files changed."""
    added = evidence.get("added")
    if not isinstance(added, Mapping):
        return None
    return every(sum(kind != "note" for kind in added.values()), size_in(evidence, "changed"))


def _statement_counts(evidence: Evidence) -> Numbers | None:
    """Return the changed statements that are cache retention, and all changed statements."""
    found = numbers("added", "removed", "other")(evidence)
    return None if found is None else (found[0] + found[1] - found[2], found[0] + found[1])


_PLACES = (Figure(say("places in the source that show it"), Unit.COUNT, sizes("phase3")),)

ROWS: Mapping[str, _Row] = MappingProxyType(
    {
        "0.1": _Row(_files, (Figure(say("files"), Unit.FILES, _file_counts),)),
        "0.2": _Row(
            _logging,
            (Figure(say("new places that set up logging or print"), Unit.COUNT, numbers("count")),),
        ),
        "0.3": _Row(
            _batch_size,
            (
                Figure(say("changed statements that touch a batch size"), Unit.COUNT, numbers("touch_batch_size")),
                Figure(
                    say("changed statements that touch another setting"), Unit.COUNT, numbers("touch_another_setting")
                ),
            ),
        ),
        "0.4": _Row(
            _modes,
            (
                Figure(
                    say("changed statements in SDS or grid code that are more than cache retention"),
                    Unit.COUNT,
                    numbers("in_sds_or_grid"),
                ),
            ),
        ),
        "1.1": _Row(_located, _PLACES),
        "1.2": _Row(
            _identified,
            (Figure(say("places that release caches under per_tile"), Unit.CHANGE, sizes("before", "after")),),
        ),
        "1.3": _Row(
            _replaced,
            (Figure(say("removals without a count"), Unit.CHANGE, numbers("naive_before", "naive_after")),),
        ),
        "1.4": _Row(_counted_first, _PLACES),
        "1.5": _Row(_stored, _PLACES),
        "1.6": _Row(_released, _PLACES),
        "1.7": _Row(_forgiven, _PLACES),
        "1.8": _Row(_not_negative, _PLACES),
        "4.1": _Row(
            _minimal,
            (
                Figure(
                    say("changed statements that are cache retention"),
                    Unit.SHARE,
                    _statement_counts,
                    more_is_better=True,
                ),
            ),
        ),
    }
)
"""The rows by line of the checklist, in their order."""


# ---- what reports read of the evidence ----


@dataclass(frozen=True, slots=True)
class Removing:
    """A place in the source that removes caches under ``per_tile``; ``counts`` is the count that guards it, empty without one."""

    file: str
    line: int
    function: str
    counts: str


def removing(evidence: Evidence, version: str) -> tuple[Removing, ...]:
    """Return where a version, ``before`` or ``after``, removes caches under ``per_tile``, from the evidence of row 1.2."""
    return tuple(
        Removing(
            str(place.get("file", "")), int(line), str(release.get("function", "")), str(release.get("counts", ""))
        )
        for place in rows_in(evidence, version) or ()
        for release in rows_in(place, "releases") or ()
        if (line := number_in(release, "line")) is not None
    )
