"""Whether the log contract of ``per_tile`` is kept: part 2 of the checklist, clause by clause, and the numbers in the lines.

Each clause has an outcome of its own in the evidence. A line is known by the parts that a rewording keeps, so that another
wording is no failure; a line that is not there is one, where the log was recorded. Threads are the cache check's: a number of
removed files is true when so many were removed, whoever did it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

from harness.analysis.causes import MAX_LISTED, cache_names
from harness.analysis.figure import Evidence, Figure, Numbers, Unit
from harness.analysis.phase3 import name_of, origins, phase_3_end, phase_3_start
from harness.analysis.removals import Removal, removals
from harness.checks.base import Check, Runs, gap
from harness.checks.premises import ALWAYS, LOG, shared_caches
from harness.checks.thresholds import Thresholds
from harness.convert import to_json
from harness.language.message import Message, say
from harness.record.history import Event, History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Answer = Literal["pass", "fail", "unknown", "not met"]

_SHARED = re.compile(r"shared cache", re.IGNORECASE)
_COUNTED = re.compile(r"ref[- ]?count", re.IGNORECASE)
_START = re.compile(r"track|enabl|activ|uses", re.IGNORECASE)
_END = re.compile(r"removed|complete|remaining", re.IGNORECASE)
_PER_TILE = re.compile(r"per[-_ ]tile cache", re.IGNORECASE)
_REMOVING = re.compile(r"remov|delet|unlink", re.IGNORECASE)
_REMOVED = re.compile(r"removed\D{0,12}?(-?\d+)", re.IGNORECASE)
_REMAINING = re.compile(r"remaining\D{0,12}?(-?\d+)", re.IGNORECASE)
_PHASE = re.compile(r"phase ?\d", re.IGNORECASE)
# The number of a tile, or in a file's name, is none of those that count something; a sign stands after a space or a bracket.
_NUMBER = re.compile(r"(?<![\w.-])(?<![\w.-]-)-?\d+(?!\.?\w)")


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause of the contract: whether it was kept, and why. ``not met`` is a clause that had no occasion in this run."""

    answer: Answer
    sentence: Message


class Lines:
    """The lines of one run that speak of the retention of caches, and what its trace shows of their numbers.

    Parameters
    ----------
    record
        The run.

    """

    def __init__(self, record: Record) -> None:
        self.record = record
        self.history: History = record.history
        whole = gap(record) is None and any(cache_names(tile) for tile in record.history.tiles)
        self.traced = whole and {"tiles", "removals"} <= record.history.capabilities
        self.done = record.seal is not None and record.seal.state == "done"
        self.begun = phase_3_start(record.history)
        self.over = phase_3_end(record.history)
        logged = [e for e in record.history.events if e.source == "log"]
        self.shared = [e for e in logged if _SHARED.search(e.text)]
        rest = [(e, _counts(e)) for e in logged]
        counted = [e for e, counts in rest if counts]
        self.end = [e for e in counted if _END.search(e.text)]
        self.start = [e for e in counted if not _END.search(e.text) and _START.search(e.text)]
        self.others = [e for e, counts in rest if not counts and _PER_TILE.search(e.text)]

    @cached_property
    def planned(self) -> frozenset[str]:
        """The caches of the tiles that were submitted first, retries left out: those known at the start of Phase 3."""
        retries = origins(self.history)
        first = (t for t in self.history.tiles if t.submitted is not None and t.tile not in retries)
        return frozenset(name for tile in first for name in cache_names(tile))

    @cached_property
    def removals(self) -> tuple[Removal, ...]:
        """Each removal of a single cache in Phase 3, or the attempt; not that of their folder at the end of the run."""
        caches = {cache for tile in self.history.tiles for cache in tile.caches if cache}
        return tuple(
            r
            for r in removals(self.history, caches)
            if r.how == "remove"
            and (self.begun is None or r.t >= self.begun)
            and (self.over is None or r.t < self.over)
        )

    def removed_before(self, t: int) -> int:
        """Return how many caches were seen to be removed in Phase 3 before a time."""
        return sum(r.outcome == "done" and r.t <= t for r in self.removals)

    @cached_property
    def loud(self) -> list[Event]:
        """The records of Phase 3 above INFO that speak of the removal of a cache."""
        gone = {r.name for r in self.removals}
        return [
            e
            for e in self.history.events
            if e.source == "log"
            and _level(e) > _LEVELS["INFO"]
            and (self.begun is None or e.t >= self.begun)
            and (self.over is None or e.t < self.over)
            and _REMOVING.search(e.text)
            and ("cache" in e.text.lower() or any(name in e.text for name in gone))
        ]


_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50}


def _counts(event: Event) -> bool:
    """Whether a line speaks of counting references, the line on shared caches aside."""
    return _COUNTED.search(event.text) is not None and _SHARED.search(event.text) is None


def _level(event: Event) -> int:
    return _LEVELS.get(event.level.upper(), 20)


def numbers(event: Event) -> tuple[int, ...]:
    """Return the whole numbers of a line, but those in names and the number of the phase."""
    return tuple(int(n) for n in _NUMBER.findall(_PHASE.sub("", event.text)))


def _first(event: Event) -> int | None:
    return next(iter(numbers(event)), None)


def _named(pattern: re.Pattern[str], event: Event) -> int | None:
    found = pattern.search(_PHASE.sub("", event.text))
    return int(found[1]) if found else None


def _start_line(lines: Lines) -> Clause:
    if not lines.start:
        if not lines.history.tiles and not lines.done:
            return Clause("unknown", say("The run broke off before a line on the start of reference counting was due."))
        return Clause("fail", say("No line says at the start of Phase 3 that references are counted."))
    if len(lines.start) > 1:
        sentence = say("The line on the start of reference counting was written {count} times.", count=len(lines.start))
        return Clause("fail", sentence)
    level = lines.start[0].level
    if level != "INFO":
        return Clause(
            "fail", say("The line on the start of reference counting is of level {level}, not INFO.", level=level)
        )
    return Clause("pass", say("One line of level INFO says at the start that references are counted."))


def _start_place(lines: Lines) -> Clause:
    if not lines.start:
        return Clause("not met", say("There is no line on the start of reference counting."))
    submitted = [s.t for s in lines.history.steps if s.state in ("submitted", "started")]
    if not submitted:
        return Clause("unknown", say("The submission of tiles was not traced."))
    t, first = lines.start[0].t, min(submitted)
    # Where the start of Phase 3 is known by its first tile only, a line before that is in its place.
    if t > first or (lines.begun is not None and t < lines.begun < first):
        return Clause(
            "fail",
            say(
                "The line on the start of reference counting does not stand between the start of Phase 3 and its first tile."
            ),
        )
    return Clause("pass", say("The line on the start stands before the first tile was submitted."))


def _start_number(lines: Lines) -> Clause:
    if not lines.start:
        return Clause("not met", say("There is no line on the start of reference counting."))
    stated = _first(lines.start[0])
    if stated is None:
        return Clause("fail", say("The line on the start does not say how many caches are tracked."))
    if not lines.traced:
        return Clause("unknown", say("Which caches the tiles use was not traced."))
    if stated != len(lines.planned):
        return Clause(
            "fail",
            say(
                "The line on the start says that {stated} caches are tracked; the planned tiles use {count}.",
                stated=stated,
                count=len(lines.planned),
            ),
        )
    return Clause("pass", say("The {count} caches that are said to be tracked are those of the tiles.", count=stated))


def _no_warning_per_file(lines: Lines) -> Clause:
    if lines.loud:
        return Clause(
            "fail",
            say(
                "Records above INFO about the removal of caches: {count}, such as: {text}",
                count=len(lines.loud),
                text=lines.loud[0].text[:160],
            ),
        )
    return Clause("pass", say("No record above INFO speaks of the removal of a cache."))


def _end_line(lines: Lines) -> Clause:
    if not lines.end:
        return Clause("not met", say("There is no line on the end of reference counting; it is optional."))
    if len(lines.end) > 1:
        sentence = say("The line on the end of reference counting was written {count} times.", count=len(lines.end))
        return Clause("fail", sentence)
    if lines.end[0].level != "INFO":
        return Clause(
            "fail",
            say("The line on the end of reference counting is of level {level}, not INFO.", level=lines.end[0].level),
        )
    if lines.over is not None and lines.end[0].t > lines.over:
        return Clause("fail", say("The line on the end of reference counting stands after the end of Phase 3."))
    return Clause("pass", say("One line of level INFO says what came of reference counting."))


def _end_numbers(lines: Lines) -> Clause:
    """Compare what the line says with the trace. ``remaining`` counts references: never more than the caches still there."""
    if not lines.end:
        return Clause("not met", say("There is no line on the end of reference counting; it is optional."))
    line = lines.end[-1]
    removed_first = _named(_REMOVED, line)
    stated, remaining = _first(line) if removed_first is None else removed_first, _named(_REMAINING, line)
    if stated is None:
        return Clause("fail", say("The line on the end does not say how many caches were removed."))
    if not lines.traced:
        return Clause("unknown", say("The removal of files was not traced."))
    removed = lines.removed_before(line.t)
    if stated != removed:
        return Clause(
            "fail",
            say(
                "The line on the end says that {stated} caches were removed; {count} were.",
                stated=stated,
                count=removed,
            ),
        )
    used = {name for tile in lines.history.tiles for name in cache_names(tile)}
    if remaining is not None and remaining > len(used) - removed:
        return Clause(
            "fail",
            say(
                "The line on the end says that {stated} caches remain; {count} can.",
                stated=remaining,
                count=len(used) - removed,
            ),
        )
    return Clause("pass", say("The {count} caches that are said to be removed were.", count=removed))


def _never_negative(lines: Lines) -> Clause:
    told = [e for e in (*lines.start, *lines.end, *lines.others) if any(n < 0 for n in numbers(e))]
    if told:
        return Clause("fail", say("A count is negative: {text}", text=told[0].text[:160]))
    if not (lines.start or lines.end):
        return Clause("not met", say("No line states a count."))
    return Clause("pass", say("No count is negative."))


def _shared_line(lines: Lines) -> Clause:
    if len(lines.shared) > 1:
        return Clause("fail", say("The line on shared caches was written {count} times.", count=len(lines.shared)))
    if lines.shared and lines.shared[0].level != "INFO":
        return Clause(
            "fail", say("The line on shared caches is of level {level}, not INFO.", level=lines.shared[0].level)
        )
    if not lines.shared:
        return Clause("not met", say("There is no line on shared caches; none is asked for."))
    if not lines.traced:
        return Clause("unknown", say("Which caches the tiles use was not traced."))
    if not shared_caches(lines.record):
        return Clause("fail", say("A line says that caches are shared, and no two tiles share one."))
    return Clause("pass", say("One line of level INFO says that caches are shared, and they are."))


def _failed_unlink(lines: Lines) -> Clause:
    """Ask of each removal that failed, but of a file that was gone, a DEBUG record, none above it, and that the run went on."""
    if not lines.traced:
        return Clause("unknown", say("The removal of files was not traced."))
    failed = [r for r in lines.removals if r.outcome == "failed" and r.errno != errno.ENOENT]
    if not failed:
        return Clause("not met", say("No removal of a cache failed in this run."))
    told = _mentions(lines.history, {removal.name for removal in failed})
    for removal in failed:
        about = [e for e in told.get(removal.name, ()) if e.t >= removal.t]
        above = [e for e in about if _level(e) > _LEVELS["DEBUG"]]
        if above:
            return Clause(
                "fail",
                say(
                    "The failed removal of {cache} was logged at level {level}, not DEBUG.",
                    cache=removal.name,
                    level=above[0].level,
                ),
            )
        if not about:
            return Clause("fail", say("The failed removal of {cache} was not logged.", cache=removal.name))
    if lines.over is None or lines.over < failed[-1].t:
        return Clause(
            "fail" if lines.done else "unknown",
            say("After the failed removal of {cache} Phase 3 did not come to its end.", cache=failed[-1].name),
        )
    return Clause(
        "pass", say("Removals that failed were logged at DEBUG, and the run went on: {count}.", count=len(failed))
    )


def _mentions(history: History, names: Collection[str]) -> Mapping[str, Sequence[Event]]:
    """Return the log records that hold each of these names. Where all removals fail there are many of both."""
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
    told = [*lines.start, *lines.end, *lines.shared]
    if told:
        return Clause(
            "fail",
            say(
                "Lines on reference counting with {retention}: {count}, such as: {text}",
                retention=lines.record.request.retention,
                count=len(told),
                text=told[0].text[:160],
            ),
        )
    return Clause(
        "pass",
        say(
            "No line on reference counting, as there is none with {retention}.",
            retention=lines.record.request.retention,
        ),
    )


CLAUSES: Mapping[str, Callable[[Lines], Clause]] = MappingProxyType(
    {
        "start_line": _start_line,
        "start_place": _start_place,
        "start_number": _start_number,
        "no_warning_per_file": _no_warning_per_file,
        "end_line": _end_line,
        "end_numbers": _end_numbers,
        "never_negative": _never_negative,
        "shared_line": _shared_line,
        "failed_unlink": _failed_unlink,
    }
)
ELSEWHERE: Mapping[str, Callable[[Lines], Clause]] = MappingProxyType(
    {"silent": _silent, "no_warning_per_file": _no_warning_per_file}
)


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    lines = Lines(runs.run)
    asked = CLAUSES if runs.run.request.retention == "per_tile" else ELSEWHERE
    found = {name: clause(lines) for name, clause in asked.items()}
    broken = [c.sentence for c in found.values() if c.answer == "fail"]
    unsure = [c.sentence for c in found.values() if c.answer == "unknown"]
    evidence = MappingProxyType(_evidence(lines, found))
    if broken:
        return Verdict("logs", Outcome.FAIL, broken[0], evidence, tuple(broken[1:]))
    if unsure:
        return Verdict("logs", Outcome.UNKNOWN, unsure[0], evidence, tuple(unsure[1:]))
    kept = sum(c.answer == "pass" for c in found.values())
    sentence = say(
        "The log contract is kept: {kept} clauses, and {others} that had no occasion.",
        kept=kept,
        others=len(found) - kept,
    )
    return Verdict("logs", Outcome.PASS, sentence, evidence)


def _evidence(lines: Lines, found: Mapping[str, Clause]) -> dict[str, Any]:
    def texts(events: Sequence[Event]) -> list[str]:
        return [f"{e.level} {e.text}" for e in events[:MAX_LISTED]]

    return {
        "clauses": {name: {"outcome": c.answer, "found": to_json(c.sentence)} for name, c in found.items()},
        "lines": texts([*lines.start, *lines.shared, *lines.end]),
        "above_info": texts(lines.loud),
        "caches_of_planned_tiles": len(lines.planned) if lines.traced else None,
        "removed_in_phase_3": sum(r.outcome == "done" for r in lines.removals) if lines.traced else None,
        "failed_removals": [name_of(r.name) for r in lines.removals if r.outcome == "failed"][:MAX_LISTED],
    }


PARTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "start": ("start_line", "start_place", "start_number"),
        "no_warning_per_file": ("no_warning_per_file",),
        "end": ("end_line", "end_numbers"),
        "never_negative": ("never_negative",),
    }
)
"""The clauses of each part of the contract that is a line of the checklist."""


def _kept(*names: str) -> Figure:
    """Count the clauses that are kept, of those that had an occasion; all clauses of the run when no name is given."""

    def take(evidence: Evidence) -> Numbers | None:
        clauses = evidence.get("clauses")
        if not isinstance(clauses, Mapping) or not all(isinstance(clauses.get(n), Mapping) for n in names or clauses):
            return None
        outcomes = [clauses[name].get("outcome") for name in names or clauses]
        had = len(outcomes) - outcomes.count("not met")
        return (outcomes.count("pass"), had) if had else None

    return Figure(say("clauses of the log contract kept, of those that apply to the run"), Unit.SHARE, take)


CHECK = Check(
    "logs",
    say("Is the log contract kept?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, LOG)}),
    figures=(_kept(),),
    parts=MappingProxyType({part: (_kept(*clauses),) for part, clauses in PARTS.items()}),
)
