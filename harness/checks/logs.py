"""Check the log contract of ``per_tile``, part 2 of the checklist: each line, and the numbers in it.

Each clause has its own outcome in the evidence. Lines are recognised by words that a rewording keeps, so that other wording does
not fail; a missing line does, if the log was recorded. The numbers are compared with the trace, whichever thread removed the
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
from harness.analysis.removals import Removal, removals
from harness.checks.base import Check, Runs, gap
from harness.checks.premises import ALWAYS, LOG, shared_caches
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.history import Event, History
from harness.record.reader import Record
from harness.record.tile import is_intermediate
from harness.verdict import Outcome, Verdict

_SHARED = re.compile(r"shared cache", re.IGNORECASE)
_COUNTED = re.compile(r"ref[- ]?count", re.IGNORECASE)
_START = re.compile(r"track|enabl|activ|uses", re.IGNORECASE)
_END = re.compile(r"removed|complete|remaining", re.IGNORECASE)
_PER_TILE = re.compile(r"per[-_ ]tile cache", re.IGNORECASE)
_REMOVING = re.compile(r"remov|delet|unlink", re.IGNORECASE)
_REMOVED = re.compile(r"removed\D{0,12}?(-?\d+)", re.IGNORECASE)
_REMAINING = re.compile(r"remaining\D{0,12}?(-?\d+)", re.IGNORECASE)
_PHASE = re.compile(r"phase ?\d", re.IGNORECASE)
# Numbers of tiles and in file names are no counts. A sign follows a space or a bracket.
_NUMBER = re.compile(r"(?<![\w.-])(?<![\w.-]-)-?\d+(?!\.?\w)")
_LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "WARN": 30, "ERROR": 40, "CRITICAL": 50}

NO_OCCASION: Final = "not met"
"""Stands for the outcome of a clause that had no occasion in a run, such as that about failed removals if none failed."""

Clause = tuple[Outcome | Literal["not met"], Message]
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
        logged = [e for e in record.history.events if e.source == "log"]
        self.shared = [e for e in logged if _SHARED.search(e.text)]
        counted = [e for e in logged if _COUNTED.search(e.text) and not _SHARED.search(e.text)]
        self.end = [e for e in counted if _END.search(e.text)]
        self.start = [e for e in counted if not _END.search(e.text) and _START.search(e.text)]
        # Of these lines only the sign of the numbers is judged.
        per_tile = [e for e in logged if _PER_TILE.search(e.text)]
        self.others = [e for e in per_tile if _SHARED.search(e.text) or not _COUNTED.search(e.text)]

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
    def loud(self) -> list[Event]:
        """The log records of Phase 3 above INFO that mention the removal of a cache."""
        gone = {r.name for r in self.removals}
        return [
            e
            for e in self.history.events
            if e.source == "log"
            and _level(e) > _LEVELS["INFO"]
            and self._in_phase_3(e.t)
            and _REMOVING.search(e.text)
            and ("cache" in e.text.lower() or any(name in e.text for name in gone))
        ]


def _level(event: Event) -> int:
    return _LEVELS.get(event.level.upper(), 20)


def numbers(event: Event) -> tuple[int, ...]:
    """Return the whole numbers of a line, without those in names and the number of the phase."""
    return tuple(int(n) for n in _NUMBER.findall(_PHASE.sub("", event.text)))


def _first(event: Event) -> int | None:
    return next(iter(numbers(event)), None)


def _named(pattern: re.Pattern[str], event: Event) -> int | None:
    found = pattern.search(_PHASE.sub("", event.text))
    return int(found[1]) if found else None


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
    stated = _first(lines.start[0])
    if stated is None:
        return Outcome.FAIL, say("The start line does not say how many caches are tracked.")
    if not lines.traced:
        return Outcome.UNKNOWN, say("The caches that tiles use were not traced.")
    if stated != len(lines.planned):
        return Outcome.FAIL, say(
            "Tracked caches: {stated} in the start line, but {count} in the submitted tiles.",
            stated=stated,
            count=len(lines.planned),
        )
    return Outcome.PASS, say("The start line has the right number of tracked caches: {count}.", count=stated)


def _no_warning_per_file(lines: Lines) -> Clause:
    if lines.loud:
        return Outcome.FAIL, say(
            "Log records above INFO about the removal of caches: {count}, for example: {text}",
            count=len(lines.loud),
            text=lines.loud[0].text[:160],
        )
    return Outcome.PASS, say("No log record above INFO mentions the removal of a cache.")


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
    removed_first = _named(_REMOVED, line)
    stated, remaining = _first(line) if removed_first is None else removed_first, _named(_REMAINING, line)
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
    negative = [e for e in (*lines.start, *lines.end, *lines.others) if any(n < 0 for n in numbers(e))]
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


def _failed_unlink(lines: Lines) -> Clause:
    """Require for each failed removal (except of a missing file) a DEBUG record, none above it, and that the run goes on."""
    if not lines.traced:
        return Outcome.UNKNOWN, say("The removal of caches was not traced.")
    failed = [r for r in lines.removals if r.outcome == "failed" and r.errno != errno.ENOENT]
    if not failed:
        return NO_OCCASION, say("failed_unlink: no occasion in this run (no removal failed).")
    mentions = _mentions(lines.history, {removal.name for removal in failed})
    for removal in failed:
        about = [e for e in mentions.get(removal.name, ()) if e.t >= removal.t]
        above = [e for e in about if _level(e) > _LEVELS["DEBUG"]]
        if above:
            return Outcome.FAIL, say(
                "The failed removal of {cache} was logged at level {level} instead of DEBUG.",
                cache=removal.name,
                level=above[0].level,
            )
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
    written = [*lines.start, *lines.end, *lines.shared]
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
    """Count the clauses kept, of those that had an occasion: of the named clauses, or of all if no name is given."""

    def take(evidence: Evidence) -> Numbers | None:
        clauses = evidence.get("clauses")
        if not isinstance(clauses, Mapping) or not all(isinstance(clauses.get(n), Mapping) for n in names or clauses):
            return None
        outcomes = [clauses[name].get("outcome") for name in names or clauses]
        had = len(outcomes) - outcomes.count(NO_OCCASION)
        return (outcomes.count(Outcome.PASS), had) if had else None

    return Figure(say("clauses of the log contract kept, of those that apply to the run"), Unit.SHARE, take)


CHECK = Check(
    "logs",
    say("Is the log contract kept?"),
    _judge,
    MappingProxyType({"classic": (*ALWAYS, LOG)}),
    figures=(_kept(),),
    parts=MappingProxyType({part: (_kept(*clauses),) for part, clauses in PARTS.items()}),
)
