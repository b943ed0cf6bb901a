"""Check the log contract of ``per_tile``, part 2 of the checklist: each line, and the numbers in it.

Each clause has its own outcome in the evidence. Lines are recognised by their meaning, place and true number, so that other words
do not fail; a missing line does, if the log was recorded. The numbers are compared with the trace, whichever thread removed the
files; the cache check judges the threads.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal

from harness.analysis.causes import MAX_LISTED, cache_names
from harness.analysis.figure import Evidence, Figure, Numbers, Unit
from harness.analysis.phase3 import name_of, origins, phase_3_end, phase_3_start
from harness.analysis.removal_lines import Names, PerFile
from harness.analysis.removals import Removal, removals
from harness.analysis.retention_lines import (
    LEVELS,
    amounts,
    counts,
    freed_in,
    is_counted,
    is_failing,
    is_of_one_tile,
    is_releasing,
    is_removing,
    is_retained,
    is_shared,
    level,
    numbers,
    of_caching,
    remaining_in,
    removed_in,
    says_end,
    says_start,
)
from harness.checks.base import Check, Runs, gap
from harness.checks.premises import ALWAYS, LOG, OWN_TILES, log_level, shared_caches
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, counted, say
from harness.record.convert import to_json
from harness.record.history import Event, History
from harness.record.reader import Record
from harness.record.tile import is_intermediate
from harness.verdict import Outcome, Verdict

_PER_TILE = re.compile(r"per[-_ ]tile cache", re.IGNORECASE)
_LOUD = LEVELS["INFO"]

NO_OCCASION: Final = "no occasion"
"""Stands for the outcome of a clause that had no occasion in a run, such as that about failed removals if none failed."""

_OLDER_WORD = "not met"
"""What older sessions have in its place."""

Clause = tuple[Outcome | Literal["no occasion"], Message]
"""The outcome of one clause of the contract, and why."""


class Lines:
    """The log lines of one run about cache retention, with the numbers that its trace shows."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.history: History = record.history
        whole = gap(record) is None and any(cache_names(tile) for tile in record.history.tiles)
        self.traced = whole and {"tiles", "removals"} <= record.history.capabilities
        self.done = record.seal is not None and record.seal.state == "done"
        self.begun = phase_3_start(record.history)
        self.over = phase_3_end(record.history)
        self.logged = [e for e in record.history.events if e.source == "log"]
        self.submitted = min((s.t for s in record.history.steps if s.state in ("submitted", "started")), default=None)
        self.shared = [e for e in self.logged if is_shared(e)]
        # What is counted, said in any words that mean only this, wherever the line is.
        self.counted = [e for e in self.logged if is_counted(e) and not is_shared(e)]
        self.end = self._end_lines()
        self.start = self._start_lines()
        # Of these lines only the sign of the numbers is judged.
        per_tile = [e for e in self.logged if _PER_TILE.search(e.text)]
        self.others = [e for e in per_tile if is_shared(e) or not is_counted(e)]

    def _start_lines(self) -> list[Event]:
        """Return the lines that say that references are counted: by words, or by weaker words at the place of such a line.

        If lines have the true number, another one counts only if it speaks of the start of counting, and of caches, too.
        """
        ended = {id(e) for e in self.end}
        first = min(
            [s.t for s in self.history.steps if s.state == "ended"] + [r.t for r in self.removals], default=None
        )
        found = []
        for e in self.logged:
            if is_shared(e) or id(e) in ended:
                continue
            strong = is_counted(e) and not self._is_end(e)
            in_place = (self.begun is None or e.t >= self.begun) and (first is None or e.t < first)
            if (strong and says_start(e)) or (in_place and counts(e) and (strong or is_retained(e))):
                found.append(e)
        numbered = [e for e in found if counts(e)]
        true = [e for e in numbered if len(self.planned) in counts(e)] if self.traced else []
        if true:
            found = [e for e in found if e in true or (is_counted(e) and says_start(e) and of_caching(e))]
        elif any(is_counted(e) for e in found):
            found = [e for e in found if is_counted(e)]
        return _shown(found)

    def _is_end(self, e: Event) -> bool:
        """Return whether a line says that something ended. Before the first tile, the same words only announce it."""
        return says_end(e) and (self.submitted is None or e.t > self.submitted)

    def _end_lines(self) -> list[Event]:
        """Return the lines on the removed caches: about counting, or after the last tile of Phase 3 about several caches."""
        named = [e for e in self.counted if self._is_end(e)]
        if named or self.over is None:
            return _shown(named)
        last = max((s.t for s in self.history.steps if s.state in ("ended", "collected")), default=None)
        return [
            e
            for e in self.logged
            if last is not None
            and last < e.t <= self.over
            and level(e) >= LEVELS["INFO"]
            and is_removing(e)
            and says_end(e)
            and "cache" in e.text.lower()
            and removed_in(e) is not None
            and not is_of_one_tile(e)
            and not is_failing(e)
        ]

    def _in_phase_3(self, t: int) -> bool:
        return (self.begun is None or t >= self.begun) and (self.over is None or t < self.over)

    @cached_property
    def planned(self) -> frozenset[str]:
        """The caches of all submitted tiles except retries: those known at the start of Phase 3."""
        retries = origins(self.history)
        first = (t for t in self.history.tiles if t.submitted is not None and t.tile not in retries)
        return frozenset(name for tile in first for name in cache_names(tile, own=True))

    @cached_property
    def removals(self) -> tuple[Removal, ...]:
        """The removals of single caches in Phase 3, failed ones included; not that of their folder at the end of the run."""
        caches = {c for tile in self.history.tiles for c in tile.caches if c and not is_intermediate(c)}
        return tuple(r for r in removals(self.history, caches) if r.how == "remove" and self._in_phase_3(r.t))

    @cached_property
    def sizes(self) -> tuple[tuple[int, str, str, int | None], ...]:
        """Time, thread, name and size of each cache that was removed in Phase 3."""
        names = {r.name for r in self.removals if r.outcome == "done"}
        return tuple(
            (op.t, op.thread, name_of(op.path), op.size)
            for op in self.history.operations
            if op.op == "remove" and op.state == "done" and name_of(op.path) in names and self._in_phase_3(op.t)
        )

    @cached_property
    def _gone(self) -> Names:
        """The names of removed caches, also of those that were missing; not of those that stayed."""
        gone = (r.name for r in self.removals if r.outcome == "done" or r.errno == errno.ENOENT)
        return Names(self.history, gone)

    def names_in(self, event: Event) -> frozenset[str]:
        """Return the removed caches whose files a line names."""
        return self._gone.in_text(event.text)[0]

    def meant_in(self, event: Event) -> frozenset[str]:
        """Return the removed caches whose files or frames a line names."""
        files, frames, _ = self._gone.in_text(event.text)
        return files | frames

    @cached_property
    def about_removals(self) -> list[Event]:
        """The log records of Phase 3 about the removal of caches, at every level."""
        return [e for e in self._others if is_removing(e) and ("cache" in e.text.lower() or self.names_in(e))]

    @cached_property
    def releases(self) -> list[Event]:
        """The log records of Phase 3 that say in any words that caches were removed, at every level."""
        return [e for e in self._others if is_releasing(e) and says_end(e) and (of_caching(e) or self.meant_in(e))]

    @cached_property
    def _others(self) -> list[Event]:
        """The log records of Phase 3 without the start line and those about shared caches."""
        known = {id(e) for e in (*self.start, *self.shared)}
        return [e for e in self.logged if self._in_phase_3(e.t) and id(e) not in known]

    @cached_property
    def for_each_file(self) -> list[Event]:
        """The log records of Phase 3 at INFO or above that are written once for each removed cache, whatever their words."""
        ended = {id(e) for e in self.end}
        said = [e for e in self._others if level(e) >= _LOUD and id(e) not in ended]
        return PerFile(self.history, said, [r for r in self.removals if r.outcome == "done"]).lines

    @cached_property
    def loud(self) -> list[Event]:
        """The log records of Phase 3 above INFO that mention the removal of a cache, or are written for each."""
        found = {id(e) for e in (*self.about_removals, *self.for_each_file)}
        return [e for e in self._others if level(e) > _LOUD and id(e) in found]

    @cached_property
    def per_file(self) -> list[Event]:
        """The log records of Phase 3 at INFO that are written once for each removed cache: with its name, or as many."""
        quiet = [*self.start, *self.end, *self.shared]
        said = [e for e in self.about_removals if level(e) == _LOUD and e not in quiet]
        named = [e for e in said if self.names_in(e)]
        nameless = [e for e in said if not self.names_in(e) and not is_of_one_tile(e) and not is_failing(e)]
        removed = sum(r.outcome == "done" for r in self.removals)
        known = named or (nameless if len(nameless) > 1 and len(nameless) >= removed > 0 else [])
        return known or [e for e in self.for_each_file if level(e) == _LOUD]


def _shown(lines: list[Event]) -> list[Event]:
    """Leave out lines below INFO if there are others: what is written at DEBUG as well is no second line."""
    return [e for e in lines if level(e) >= LEVELS["INFO"]] or lines


def _not_one_info(clause: str, lines: Sequence[Event]) -> Clause | None:
    """Return a failure if a line was written twice, or not at level INFO."""
    if len(lines) > 1:
        return Outcome.FAIL, say(
            "{clause}: the line was written {count} times instead of once.", clause=clause, count=len(lines)
        )
    if lines and lines[0].level != "INFO":
        return Outcome.FAIL, say(
            "{clause}: the line has the level {level} instead of INFO.", clause=clause, level=lines[0].level
        )
    return None


def _start_line(lines: Lines) -> Clause:
    if not lines.start:
        if not lines.history.tiles and not lines.done:
            return Outcome.UNKNOWN, say("The run stopped before the start line of reference counting was due.")
        return Outcome.FAIL, say("The start line of reference counting is missing in Phase 3.")
    kept: Clause = Outcome.PASS, say("The start line of reference counting was written once, at level INFO.")
    return _not_one_info("start_line", lines.start) or kept


def _start_place(lines: Lines) -> Clause:
    if not lines.start:
        return NO_OCCASION, say("There is no start line of reference counting.")
    submitted = [s.t for s in lines.history.steps if s.state in ("submitted", "started")]
    if not submitted:
        return Outcome.UNKNOWN, say("The submission of tiles was not traced.")
    t, first = lines.start[0].t, min(submitted)
    # If the start of Phase 3 is known only from its first tile, an earlier line is in the right place.
    if t > first or (lines.begun is not None and t < lines.begun < first):
        return Outcome.FAIL, say(
            "The start line is not between the start of Phase 3 and the submission of the first tile."
        )
    return Outcome.PASS, say("The start line comes before the submission of the first tile.")


def _start_number(lines: Lines) -> Clause:
    if not lines.start:
        return NO_OCCASION, say("There is no start line of reference counting.")
    stated = counts(lines.start[0])
    if not stated:
        return Outcome.FAIL, say("The start line does not say how many caches are tracked.")
    if not lines.traced:
        return Outcome.UNKNOWN, say("The caches that tiles use were not traced.")
    if len(lines.planned) not in stated:
        return Outcome.FAIL, say(
            "Tracked caches: {stated} in the start line, but {count} in the submitted tiles.",
            stated=", ".join(map(str, stated)),
            count=len(lines.planned),
        )
    return Outcome.PASS, say(
        "The start line has the right number of tracked caches: {count}.", count=len(lines.planned)
    )


def _no_warning_per_file(lines: Lines) -> Clause:
    if lines.loud:
        return Outcome.FAIL, say(
            "Log records above INFO about the removal of caches: {count}, for example: {text}",
            count=len(lines.loud),
            text=lines.loud[0].text[:160],
        )
    return Outcome.PASS, say("No log record above INFO mentions the removal of a cache.")


def _no_line_per_file(lines: Lines) -> Clause:
    if lines.per_file:
        return Outcome.FAIL, say(
            "Log records at INFO for each removed cache: {count}, for example: {text}",
            count=len(lines.per_file),
            text=lines.per_file[0].text[:160],
        )
    return Outcome.PASS, say("No log record at INFO is written for each removed cache.")


def _freed_numbers(lines: Lines) -> Clause:
    """Compare the numbers of files and bytes in lines on removals with the trace: of this release, or of all so far."""
    stated = [
        e
        for e in lines.releases
        if not is_failing(e) and (freed_in(e) or (removed_in(e) is not None and e not in lines.end))
    ]
    if not stated:
        return NO_OCCASION, say("No log record says how many caches or bytes a release removed.")
    if not lines.traced:
        return Outcome.UNKNOWN, say("The removal of caches was not traced.")
    before: dict[str, int] = {}
    for e in stated:
        removed = removed_in(e) if e not in lines.end else None
        spans = _spans(lines, e, before)
        if not lines.meant_in(e):
            before[e.thread] = e.t
        if removed is not None and removed not in {len(span) for span in spans}:
            return Outcome.FAIL, say(
                "Removed caches: {stated} in a log record, but {count} in the trace: {text}",
                stated=removed,
                count=len(spans[0]),
                text=e.text[:160],
            )
        sizes = [sum(span) for span in spans if None not in span]
        if freed_in(e) and not sizes:
            return Outcome.UNKNOWN, say("The sizes of the removed caches were not traced.")
        for amount in freed_in(e):
            if not any(amount.means(size) for size in sizes):
                return Outcome.FAIL, say(
                    "Freed: {stated} in a log record, but {count} bytes in the trace: {text}",
                    stated=amount.text,
                    count=sizes[0],
                    text=e.text[:160],
                )
    return Outcome.PASS, counted(
        "The numbers in the log records on removals are right: {count} record.",
        "The numbers in the log records on removals are right: {count} records.",
        count=len(stated),
    )


def _spans(lines: Lines, e: Event, before: Mapping[str, int]) -> list[list[Any]]:
    """Return the sizes of the removals that a line may sum up, the most likely first.

    These are the removals since the last tile was collected, since the last such line, and since the start; by the thread of the
    line and by all threads; and that of the file that the line names.
    """
    done = [row for row in lines.sizes if row[0] <= e.t]
    collected = max((s.t for s in lines.history.steps if s.state == "collected" and s.t <= e.t), default=0)
    found = []
    if names := lines.meant_in(e):
        found.append([size for _, _, name, size in done if name in names])
    for since in (before.get(e.thread, 0), collected, 0):
        found += [
            [size for t, by, _, size in done if t > since and thread in (by, None)] for thread in (e.thread, None)
        ]
    return found


def _end_line(lines: Lines) -> Clause:
    if not lines.end:
        return NO_OCCASION, say("There is no end line of reference counting. It is optional.")
    wrong = _not_one_info("end_line", lines.end)
    if wrong is not None:
        return wrong
    if lines.over is not None and lines.end[0].t > lines.over:
        return Outcome.FAIL, say("The end line was written after the end of Phase 3.")
    return Outcome.PASS, say("The end line of reference counting was written once, at level INFO.")


def _end_numbers(lines: Lines) -> Clause:
    """Compare the numbers of the line with the trace. ``remaining`` counts references: at most the caches still on disk."""
    if not lines.end:
        return NO_OCCASION, say("There is no end line of reference counting. It is optional.")
    line = lines.end[-1]
    stated, remaining = removed_in(line), remaining_in(line)
    if stated is None:
        stated = next(iter(counts(line)), None)
    if stated is None:
        return Outcome.FAIL, say("The end line does not say how many caches were removed.")
    if not lines.traced:
        return Outcome.UNKNOWN, say("The removal of caches was not traced.")
    removed = sum(r.outcome == "done" and r.t <= line.t for r in lines.removals)
    if stated != removed:
        return Outcome.FAIL, say(
            "Removed caches: {stated} in the end line, but {count} in the trace.",
            stated=stated,
            count=removed,
        )
    left = len({name for tile in lines.history.tiles for name in cache_names(tile, own=True)}) - removed
    if remaining is not None and remaining > left:
        return Outcome.FAIL, say(
            "Remaining caches: {stated} in the end line, but at most {count} can remain.", stated=remaining, count=left
        )
    return Outcome.PASS, say("The end line has the right number of removed caches: {count}.", count=removed)


def _never_negative(lines: Lines) -> Clause:
    said = (*lines.start, *lines.end, *lines.others, *lines.about_removals, *lines.releases)
    negative = [e for e in said if any(n < 0 for n in numbers(e)) or any(min(a.values) < 0 for a in amounts(e))]
    if negative:
        return Outcome.FAIL, say("A count in the log is negative: {text}", text=negative[0].text[:160])
    if not (lines.start or lines.end):
        return NO_OCCASION, say("The log has no line with a count.")
    return Outcome.PASS, say("No count in the log is negative.")


def _shared_line(lines: Lines) -> Clause:
    wrong = _not_one_info("shared_line", lines.shared)
    if wrong is not None:
        return wrong
    if not lines.shared:
        return NO_OCCASION, say("There is no line about shared caches. It is not required.")
    if not lines.traced:
        return Outcome.UNKNOWN, say("The caches that tiles use were not traced.")
    if not shared_caches(lines.record):
        return Outcome.FAIL, say("A line says that caches are shared, but no two tiles share one.")
    return Outcome.PASS, say("The line about shared caches was written once, at level INFO, and is true.")


def _failed_unlink(lines: Lines) -> Clause:  # noqa: PLR0911 -- a ladder
    """Require for each failed removal (except of a missing file) a DEBUG record, none above it, and that the run goes on."""
    if not lines.traced:
        return Outcome.UNKNOWN, say("The removal of caches was not traced.")
    failed = [r for r in lines.removals if r.outcome == "failed" and r.errno != errno.ENOENT]
    if not failed:
        return NO_OCCASION, say("failed_unlink: no occasion in this run (no removal failed).")
    mentions = _mentions(lines.history, {removal.name for removal in failed})
    for removal in failed:
        about = [e for e in mentions.get(removal.name, ()) if e.t >= removal.t]
        above = [e for e in about if level(e) > LEVELS["DEBUG"]]
        if above:
            return Outcome.FAIL, say(
                "The failed removal of {cache} was logged at level {level} instead of DEBUG.",
                cache=removal.name,
                level=above[0].level,
            )
        if not about and log_level(lines.record) not in ("", "DEBUG"):
            return Outcome.UNKNOWN, say("The log has no lines at level DEBUG, where a failed removal is logged.")
        if not about:
            return Outcome.FAIL, say("The failed removal of {cache} was not logged.", cache=removal.name)
    if lines.over is None or lines.over < failed[-1].t:
        sentence = say("Phase 3 did not finish after the failed removal of {cache}.", cache=failed[-1].name)
        return Outcome.FAIL if lines.done else Outcome.UNKNOWN, sentence
    return Outcome.PASS, say(
        "Failed removals: {count}. All were logged at DEBUG, and the run went on.", count=len(failed)
    )


def _mentions(history: History, names: Collection[str]) -> Mapping[str, Sequence[Event]]:
    """Return for each name the log records that contain it, in linear time: if all removals fail there are many of both."""
    tail = re.compile("|".join(sorted({re.escape(name[-4:]) for name in names})))
    lengths = sorted({len(name) for name in names})
    found: dict[str, list[Event]] = {}
    for event in history.events:
        if event.source != "log":
            continue
        ends = [match.end() for match in tail.finditer(event.text)]
        held = {event.text[end - length : end] for end in ends for length in lengths if length <= end}
        for name in held.intersection(names):
            found.setdefault(name, []).append(event)
    return found


def _silent(lines: Lines) -> Clause:
    said = [e for e in lines.counted if says_start(e) or says_end(e)]
    written = [*said, *lines.shared]
    retention = lines.record.request.retention
    if written:
        return Outcome.FAIL, say(
            "Lines about reference counting with {retention}: {count}, for example: {text}",
            retention=retention,
            count=len(written),
            text=written[0].text[:160],
        )
    return Outcome.PASS, say(
        "The log has no line about reference counting, as expected with {retention}.", retention=retention
    )


CLAUSES: Mapping[str, Callable[[Lines], Clause]] = MappingProxyType(
    {
        "start_line": _start_line,
        "start_place": _start_place,
        "start_number": _start_number,
        "no_warning_per_file": _no_warning_per_file,
        "no_line_per_file": _no_line_per_file,
        "freed_numbers": _freed_numbers,
        "end_line": _end_line,
        "end_numbers": _end_numbers,
        "never_negative": _never_negative,
        "shared_line": _shared_line,
        "failed_unlink": _failed_unlink,
    }
)
ELSEWHERE: Mapping[str, Callable[[Lines], Clause]] = MappingProxyType(
    {"silent": _silent, "no_warning_per_file": _no_warning_per_file, "no_line_per_file": _no_line_per_file}
)


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    lines = Lines(runs.run)
    asked = CLAUSES if runs.run.request.retention == "per_tile" else ELSEWHERE
    found = {name: clause(lines) for name, clause in asked.items()}
    evidence = MappingProxyType(_evidence(lines, found))
    for outcome in (Outcome.FAIL, Outcome.UNKNOWN):
        sentences = [sentence for given, sentence in found.values() if given == outcome]
        if sentences:
            return Verdict("logs", outcome, sentences[0], evidence, tuple(sentences[1:]))
    kept = sum(given == Outcome.PASS for given, _ in found.values())
    sentence = say(
        "The log contract is kept. Clauses kept: {kept}; clauses without an occasion in this run: {others}.",
        kept=kept,
        others=len(found) - kept,
    )
    return Verdict("logs", Outcome.PASS, sentence, evidence)


def _evidence(lines: Lines, found: Mapping[str, Clause]) -> dict[str, Any]:
    def texts(events: Sequence[Event]) -> list[str]:
        return [f"{e.level} {e.text}" for e in events[:MAX_LISTED]]

    return {
        "clauses": {
            name: {"outcome": str(given), "found": to_json(sentence)} for name, (given, sentence) in found.items()
        },
        "lines": texts([*lines.start, *lines.shared, *lines.end]),
        "start": texts(lines.start[:1]),
        "end": texts(lines.end[-1:]),
        "above_info": texts(lines.loud),
        "info_per_file": texts(lines.per_file),
        "caches_of_planned_tiles": len(lines.planned) if lines.traced else None,
        "removed_in_phase_3": sum(r.outcome == "done" for r in lines.removals) if lines.traced else None,
        "failed_removals": [name_of(r.name) for r in lines.removals if r.outcome == "failed"][:MAX_LISTED],
    }


PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "start": ("start_line", "start_place", "start_number"),
        "no_warning_per_file": ("no_warning_per_file", "no_line_per_file"),
        "end": ("end_line", "end_numbers", "freed_numbers"),
        "never_negative": ("never_negative",),
    }
)
"""The clauses of each part of the contract that is a line of the checklist."""


def _kept(*names: str) -> Figure:
    """Count the clauses kept, of those that had an occasion: of the named clauses, or of all if no name is given."""

    def take(evidence: Evidence) -> Numbers | None:
        clauses = evidence.get("clauses")
        if not isinstance(clauses, Mapping) or not all(isinstance(clauses.get(n), Mapping) for n in names or clauses):
            return None
        outcomes = [clauses[name].get("outcome") for name in names or clauses]
        had = sum(outcome not in (NO_OCCASION, _OLDER_WORD) for outcome in outcomes)
        return (outcomes.count(Outcome.PASS), had) if had else None

    label = say("clauses of the log contract kept, of those that apply to the run")
    return Figure(label, Unit.SHARE, take, more_is_better=True)


CHECK = Check(
    "logs",
    say("Is the log contract kept?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, OWN_TILES, LOG)}),
    figures=(_kept(),),
    parts=MappingProxyType({part: (_kept(*clauses),) for part, clauses in PARTS.items()}),
)
