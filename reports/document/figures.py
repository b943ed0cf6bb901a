"""The figure that carries a verdict: taken from its evidence, over several runs, and beside that of the baseline.

Evidence comes from a file that anybody may have edited. What is not there, or is no number, gives no figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.language.catalogue import Language
from harness.language.message import Message, say

Evidence = Mapping[str, Any]
Numbers = tuple[float, ...]

MISSING = "mastertile_warn_cache_file_missing"
STARVED = "mastertile_error_no_valid_images_from_cache"
FAILED = "run_warn_phase3_master_tile_creation_failed_thread"


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure in words: what it is of, its value here, and the baseline's where there is one (else empty)."""

    label: str
    value: str
    before: str


def _together(runs: Sequence[Numbers]) -> Numbers:
    return tuple(map(sum, zip(*runs, strict=True)))


def _largest(runs: Sequence[Numbers]) -> Numbers:
    return tuple(map(max, zip(*runs, strict=True)))


def _widest(runs: Sequence[Numbers]) -> Numbers:
    """Return the run whose interval reaches highest, whole: parts of several would be nobody's interval."""
    return max(runs, key=lambda numbers: numbers[2])


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of figure: what it is called, what it takes of one run's evidence, how runs are joined, how it is written."""

    label: Message
    take: Callable[[Evidence], Numbers | None]
    text: Callable[[Numbers, Language], str]
    join: Callable[[Sequence[Numbers]], Numbers] = _together

    def of(self, runs: Sequence[Evidence], lang: Language) -> str:
        """Return the value over some runs; it says of how many when some tell nothing, and is empty when none does."""
        found = [numbers for run in runs if (numbers := self.take(run)) is not None]
        if not found:
            return ""
        shown = self.text(self.join(found), lang)
        if len(found) == len(runs):
            return shown
        return lang.say("{value} (told by {count} of {all} runs)", value=shown, count=len(found), all=len(runs))


def figures(key: str, runs: Sequence[Evidence], before: Sequence[Evidence], lang: Language) -> tuple[Figure, ...]:
    """Return the figures of a check, of a row of the guard rails, or of a test that asserts a part of a verdict.

    Parameters
    ----------
    key
        The name of the check, of the row's line, or of the test.
    runs, before
        The evidence of the runs in question, and of the baseline's.
    lang
        The language.

    """
    shown = ((kind, kind.of(runs, lang)) for kind in _KINDS.get(key, ()))
    return tuple(Figure(lang.render(kind.label), value, kind.of(before, lang)) for kind, value in shown if value)


def asserts_a_part(test: str) -> bool:
    """Whether a test asserts a part of a verdict, which has a figure of its own."""
    return test.startswith("test_") and test in _KINDS


def _number(evidence: Evidence, name: str) -> float | None:
    value = evidence.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if is_number else None


def _numbers(*names: str) -> Callable[[Evidence], Numbers | None]:
    def take(evidence: Evidence) -> Numbers | None:
        found = [_number(evidence, name) for name in names]
        return None if None in found else tuple(n for n in found if n is not None)

    return take


def _size(evidence: Evidence, name: str) -> int | None:
    value = evidence.get(name)
    return len(value) if isinstance(value, list | tuple | Mapping) else None


def _rows(evidence: Evidence, name: str) -> list[Evidence] | None:
    value = evidence.get(name)
    if not isinstance(value, list | tuple) or not all(isinstance(row, Mapping) for row in value):
        return None
    return list(value)


def _added(rows: Iterable[Evidence], name: str) -> float | None:
    found = [_number(row, name) for row in rows]
    return None if None in found else sum(n for n in found if n is not None)


def _all(*numbers: float | None) -> Numbers | None:
    return None if None in numbers else tuple(n for n in numbers if n is not None)


def _events(*keys: str) -> Callable[[Evidence], Numbers | None]:
    def take(evidence: Evidence) -> Numbers | None:
        counts = evidence.get("counts")
        found = _numbers(*keys)(counts) if isinstance(counts, Mapping) else None
        return None if found is None else (sum(found),)

    return take


def _holes(evidence: Evidence) -> Numbers | None:
    """Return number, pixels and area of the holes that the pair has not; nothing where not all of them are listed."""
    rows = _rows(evidence, "holes")
    if rows is None or _number(evidence, "holes_in_all") != len(rows):
        return None
    own = [row for row in rows if row.get("in_pair") is not True]
    return _all(len(own), _added(own, "pixels"), _added(own, "square_arcmin"))


def _shared_holes(evidence: Evidence) -> Numbers | None:
    rows = _rows(evidence, "holes") or []
    shared = [row for row in rows if row.get("in_pair") is True]
    return _all(len(shared), _added(shared, "square_arcmin")) if shared else None


def _frames_lost(evidence: Evidence) -> Numbers | None:
    lost = evidence.get("lost")
    if not isinstance(lost, Mapping):
        return _numbers("lost", "frames")(evidence)
    reasons = [_number(lost, name) for name in lost]
    known = None if None in reasons else sum(n for n in reasons if n is not None)
    return _all(known, _number(evidence, "frames_submitted"))


def _unsafe(evidence: Evidence) -> Numbers | None:
    early = _number(evidence, "unsafe_count")
    if early is None:
        early = _size(evidence, "removed_before_the_end_of_the_coadd")
    return _all(early, _number(evidence, "caches"))


def _not_kept(evidence: Evidence) -> Numbers | None:
    early, over = _size(evidence, "removed_early"), _size(evidence, "overwritten")
    both = None if early is None or over is None else early + over
    return _all(both, _number(evidence, "tiles_made"))


def _over_bound(evidence: Evidence) -> Numbers | None:
    found = _numbers("held_byte_seconds", "lower_bound_byte_seconds")(evidence)
    return (found[0] / found[1],) if found and found[1] > 0 else None


def _excess(evidence: Evidence) -> Numbers | None:
    found = _numbers("excess_fraction")(evidence)
    return None if found is None else (found[0] * 100,)


def _fallbacks(evidence: Evidence) -> Numbers | None:
    same = _rows(evidence, "same")
    return None if same is None else _all(_size(evidence, "new"), _added(same, "count"))


def _clauses(*names: str) -> Callable[[Evidence], Numbers | None]:
    """Return how many clauses of the log contract are kept, of those that had an occasion; all of them without a name."""

    def take(evidence: Evidence) -> Numbers | None:
        clauses = evidence.get("clauses")
        if not isinstance(clauses, Mapping) or not all(isinstance(clauses.get(n), Mapping) for n in names or clauses):
            return None
        outcomes = [clauses[name].get("outcome") for name in names or clauses]
        had = len(outcomes) - outcomes.count("not met")
        return (outcomes.count("pass"), had) if had else None

    return take


def _grades(evidence: Evidence) -> Numbers | None:
    rows = _rows(evidence, "compared")
    if rows is None:
        return None
    grades = [row.get("grade") for row in rows]
    return grades.count("identical"), grades.count("within rounding"), len(grades)


def _stars(evidence: Evidence) -> Numbers | None:
    panels = _rows(evidence, "panels")
    return None if panels is None else _all(_added(panels, "lost"), _added(panels, "stars"))


def _constant(evidence: Evidence) -> Numbers | None:
    return _numbers("constant_pixels")(evidence)


def _findings(evidence: Evidence) -> Numbers | None:
    return _all(_size(evidence, "findings"))


def _files(evidence: Evidence) -> Numbers | None:
    added = evidence.get("added")
    if not isinstance(added, Mapping):
        return None
    return _all(sum(kind != "note" for kind in added.values()), _size(evidence, "changed"))


def _statements(evidence: Evidence) -> Numbers | None:
    found = _numbers("added", "removed", "other")(evidence)
    return None if found is None else (found[0] + found[1] - found[2], found[0] + found[1])


def _places(evidence: Evidence) -> Numbers | None:
    return _all(_size(evidence, "phase3"))


def _releases(evidence: Evidence) -> Numbers | None:
    return _all(_size(evidence, "before"), _size(evidence, "after"))


def _plain(numbers: Numbers, lang: Language) -> str:
    return ", ".join(map(lang.number, numbers))


def _of(numbers: Numbers, lang: Language) -> str:
    return lang.say("{part} of {all}", part=numbers[0], all=numbers[1])


def _times(numbers: Numbers, lang: Language) -> str:
    return lang.say("{ratio} times", ratio=numbers[0])


def _interval(numbers: Numbers, lang: Language) -> str:
    ratio, low, high, pairs = numbers
    return lang.say(
        "{ratio} times, 95 % interval {low} to {high}, {pairs} pairs", ratio=ratio, low=low, high=high, pairs=pairs
    )


def _percent(numbers: Numbers, lang: Language) -> str:
    return lang.say("{percent} %", percent=round(numbers[0], 3))


def _hole_text(numbers: Numbers, lang: Language) -> str:
    count, pixels, area = numbers
    return lang.say("{count} ({pixels} px, {area} arcmin²)", count=count, pixels=pixels, area=round(area, 1))


def _area_text(numbers: Numbers, lang: Language) -> str:
    return lang.say("{count} ({area} arcmin²)", count=numbers[0], area=round(numbers[1], 1))


def _fallback_text(numbers: Numbers, lang: Language) -> str:
    return lang.say("{new} new, {same} that other runs have too", new=numbers[0], same=numbers[1])


def _grade_text(numbers: Numbers, lang: Language) -> str:
    exact, rounded, every = numbers
    if not rounded:
        return _of((exact, every), lang)
    return lang.say("{part} of {all}, and {rounded} but for rounding", part=exact, all=every, rounded=rounded)


def _files_text(numbers: Numbers, lang: Language) -> str:
    return lang.say("{added} added, {changed} changed", added=numbers[0], changed=numbers[1])


def _change_text(numbers: Numbers, lang: Language) -> str:
    return lang.say("{after}, and {before} before the patch", after=numbers[1], before=numbers[0])


def _kept(*clauses: str) -> tuple[_Kind, ...]:
    label = say("clauses of the log contract kept, of those that had an occasion")
    return (_Kind(label, _clauses(*clauses), _of),)


_KINDS: Mapping[str, tuple[_Kind, ...]] = MappingProxyType(
    {
        "warnings": (_Kind(say("events of a lost cache"), _events(MISSING, STARVED, FAILED), _plain),),
        "tiles": (
            _Kind(say("num_master_tiles of tiles_total"), _numbers("num_master_tiles", "tiles_total"), _of),
            _Kind(say("batches coadded, of those built"), _numbers("coadded", "batches"), _of),
            _Kind(say("sky tiles made, of those attempted"), _numbers("made", "attempted"), _of),
        ),
        "holes": (
            _Kind(say("holes that run_end has not"), _holes, _hole_text),
            _Kind(say("promised sky that is uncovered with run_end too"), _shared_holes, _area_text),
        ),
        "depth": (_Kind(say("frames lost, of those submitted"), _frames_lost, _of),),
        "cache": (
            _Kind(say("caches removed before their last user had ended, of all"), _unsafe, _of),
            _Kind(say("caches left"), _numbers("left"), _plain),
        ),
        "products": (_Kind(say("tiles overwritten or removed too early, of those made"), _not_kept, _of),),
        "disk": (
            _Kind(say("live bytes over the lower bound of any safe policy"), _over_bound, _times, _largest),
            _Kind(say("held beyond that bound, of what run_end holds"), _excess, _percent, _largest),
            _Kind(say("total peak beside that of run_end"), _numbers("total_peak_ratio"), _times, _largest),
            _Kind(say("caches left at the end of the run"), _numbers("left_at_end"), _plain),
        ),
        "cost": (
            _Kind(
                say("time of Phase 3 beside that of run_end"),
                _numbers("ratio", "ratio_low", "ratio_high", "timed_pairs"),
                _interval,
                _widest,
            ),
            _Kind(say("removals tried, an input"), _numbers("removals_tried_per_input"), _plain, _largest),
        ),
        "fallback": (_Kind(say("fallbacks"), _fallbacks, _fallback_text),),
        "logs": _kept(),
        "parity": (_Kind(say("outputs equal bit by bit, of those compared"), _grades, _grade_text),),
        "content": (_Kind(say("pixels of covered sky filled with a constant"), _constant, _plain),),
        "truth": (_Kind(say("stars lost, of those in the pair"), _stars, _of),),
        "accuracy": (_Kind(say("differences from the sky"), _findings, _plain),),
        "test_no_cache_file_is_missing": (_Kind(Message(MISSING), _events(MISSING), _plain),),
        "test_no_tile_is_without_valid_images": (_Kind(Message(STARVED), _events(STARVED), _plain),),
        "test_no_master_tile_creation_fails": (_Kind(Message(FAILED), _events(FAILED), _plain),),
        "test_the_start_is_said_once_with_the_number_of_caches": _kept("start_line", "start_place", "start_number"),
        "test_no_deleted_file_is_a_warning": _kept("no_warning_per_file"),
        "test_the_end_is_said_with_the_number_removed": _kept("end_line", "end_numbers"),
        "test_no_number_in_the_log_is_negative": _kept("never_negative"),
        "0.1": (_Kind(say("files"), _files, _files_text),),
        "0.2": (_Kind(say("places that set up logging or print, and did not before"), _numbers("count"), _plain),),
        "0.3": (
            _Kind(say("changed statements that touch a batch size"), _numbers("touch_batch_size"), _plain),
            _Kind(say("changed statements that touch another setting"), _numbers("touch_another_setting"), _plain),
        ),
        "0.4": (
            _Kind(
                say("changed statements in SDS or grid code that are more than cache retention"),
                _numbers("in_sds_or_grid"),
                _plain,
            ),
        ),
        "4.1": (_Kind(say("changed statements that are cache retention"), _statements, _of),),
        **{
            line: (_Kind(say("places in the source that show it"), _places, _plain),)
            for line in ("1.1", "1.4", "1.5", "1.6", "1.7", "1.8")
        },
        "1.2": (_Kind(say("places that release caches under per_tile"), _releases, _change_text),),
        "1.3": (_Kind(say("removals without a count"), _numbers("naive_before", "naive_after"), _change_text),),
    }
)
