"""Whether the three events of a lost cache stay away."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes, listed
from harness.analysis.figure import Evidence, Figure, Numbers, Take, Unit, every, number_in
from harness.analysis.injected_faults import taken_caches
from harness.analysis.phase3 import FAILED, INVALID, MISSING, RAISED, STARVED, UNREADABLE, name_of, number
from harness.checks.base import Check, Runs
from harness.checks.premises import ALWAYS, CALLBACK, ELSEWHERE, MODE_REACHED, SHARED, baseline_of
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

KEYS = (MISSING, STARVED, FAILED)


def counts(record: Record, causes: Causes | None = None) -> dict[str, int]:
    """Return how often each of the three events was sent; of failed creations, those that caches explain.

    Caches that a fault took away don't count. "Creation failed" is also sent for tiles that a quality gate rejects or that can't
    be aligned; what a tile said before tells them apart. A failure without any stated reason counts: nothing clears the caches of
    it.
    """
    causes = causes or Causes(record)
    sent = Counter(event.key for event in record.history.named(*KEYS))
    sent[MISSING] -= sum(loss.key == MISSING for lost in causes.deprived.values() for loss in lost)
    sent[STARVED] -= sum(
        causes.failures.get(number(e, "tile_id") or 0) == "fault" for e in record.history.named(STARVED)
    )
    failed = sum(
        causes.failures.get(int(event.fields["stack_num"]) - 1) in ("caches", "unstated")
        if str(event.fields.get("stack_num", "")).isdigit()
        else True
        for event in record.history.named(FAILED)
    )
    return {MISSING: sent[MISSING], STARVED: sent[STARVED], FAILED: failed}


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    history = runs.run.history
    causes = Causes(runs.run)
    found = counts(runs.run, causes)
    total = sum(found.values())
    evidence: dict[str, Any] = {
        "counts": found,
        "total": total,
        "tiles_without_caches": [causes.described(t) for t in sorted(t for t in causes.losses if t is not None)][
            :MAX_LISTED
        ],
        "failed_for_other_causes": {
            str(tile): why for tile, why in causes.failures.items() if why not in ("caches", "unstated")
        },
        "related": dict(Counter(event.key for event in history.named(INVALID, UNREADABLE, RAISED))),
        "tiles_that_reported": len(
            {event.fields.get("tile_id") for event in history.named("mastertile_info_creation_started_from_cache")}
        ),
    }
    baseline, left_out = baseline_of(runs)
    before = sum(counts(baseline).values()) if baseline is not None else None
    if before is not None:
        evidence["baseline_total"] = before
    if left_out is not None:
        evidence["baseline"] = to_json(left_out)
    taken = taken_caches(history)
    unsaid = _unsaid(runs.run, causes, taken)
    if taken:
        evidence["taken_by_faults"] = sorted(taken)[:MAX_LISTED]
        evidence["said_of_them"] = sum(len(lost) for lost in causes.deprived.values())
        evidence["not_said_of_them"] = [{"tile": tile, "cache": cache} for tile, cache in unsaid][:MAX_LISTED]
    if total:
        return Verdict("warnings", Outcome.FAIL, _lost(found, before), MappingProxyType(evidence), _cause(causes))
    if runs.run.request.mode == "classic" and not evidence["tiles_that_reported"]:
        return Verdict(
            "warnings",
            Outcome.UNKNOWN,
            say("No master tile reported anything, so the absence of warnings shows nothing."),
            MappingProxyType(evidence),
        )
    if unsaid:
        sentence = say(
            "A fault took {cache} away, and tile {tile} does not say that it lacked it.",
            cache=unsaid[0][1],
            tile=unsaid[0][0],
        )
        return Verdict("warnings", Outcome.FAIL, sentence, MappingProxyType(evidence))
    if taken:
        sentence = say(
            "None of the three events of a lost cache was sent, but of those that a fault took away: {taken}. The target says so"
            " of each.",
            taken=", ".join(sorted(taken)[:5]),
        )
    elif before:
        sentence = say("None of the three events of a lost cache was sent; the baseline sent {before}.", before=before)
    else:
        sentence = say("None of the three events of a lost cache was sent.")
    return Verdict("warnings", Outcome.PASS, sentence, MappingProxyType(evidence))


def _unsaid(run: Record, causes: Causes, taken: Mapping[str, int]) -> list[tuple[int, str]]:
    """Return each tile that began after a fault had taken a cache of its, or was struck by it, and does not say that it lacks it.

    A tile that began before may have read it, and one that a fault ended reads nothing.
    """
    told = {(tile, loss.cache) for tile, lost in causes.deprived.items() for loss in lost}
    struck = {fault["fault"].get("tile") for fault in run.history.faults if "fault" in fault}
    return [
        (tile.tile, name_of(cache))
        for tile in run.history.tiles
        if causes.failures.get(tile.tile) not in ("fault", "exception")
        for cache in tile.caches
        if name_of(cache) in taken and tile.started is not None
        if (tile.started > taken[name_of(cache)] or tile.tile in struck) and (tile.tile, name_of(cache)) not in told
    ]


def _lost(found: dict[str, int], before: int | None) -> Message:
    values = {"missing": found[MISSING], "starved": found[STARVED], "failed": found[FAILED]}
    if before is None:
        return say(
            "Missing caches: {missing}; tiles without a valid image: {starved}; tiles that failed for it: {failed}.",
            **values,
        )
    return say(
        "Missing caches: {missing}; tiles without a valid image: {starved}; tiles that failed for it: {failed}. "
        "In all: {after}; in the baseline: {before}.",
        **values,
        after=sum(found.values()),
        before=before,
    )


def _cause(causes: Causes) -> tuple[Message, ...]:
    """Explain the tile that lost most; name the others."""
    hit = {t for t in causes.losses if t is not None} | {
        t for t, why in causes.failures.items() if why in ("caches", "unstated")
    }
    if not hit:
        return ()
    worst = min(hit, key=lambda t: (t not in causes.failures, -len(causes.losses.get(t, [])), t))
    links = causes.of_tile(worst)
    others = hit - {worst}
    return (*links, say("Tiles hit in the same way: {tiles}.", tiles=listed(others))) if others else links


def _sent(*keys: str) -> Take:
    """Return a function that adds up how often events were sent."""

    def take(evidence: Evidence) -> Numbers | None:
        sent = evidence.get("counts")
        found = every(*(number_in(sent, key) for key in keys)) if isinstance(sent, Mapping) else None
        return None if found is None else (sum(found),)

    return take


CHECK = Check(
    "warnings",
    say("Do the three events of a lost cache stay away?"),
    _judge,
    # Without Phase 3 nothing should send them: a way back to master tiles would.
    MappingProxyType({"classic": (*ALWAYS, CALLBACK), "sds": (*ELSEWHERE, CALLBACK), "grid": (*ELSEWHERE, CALLBACK)}),
    for_pass=(SHARED, MODE_REACHED),
    figures=(Figure(say("events of a lost cache"), Unit.COUNT, _sent(*KEYS)),),
    parts=MappingProxyType({key: (Figure(Message(key), Unit.COUNT, _sent(key)),) for key in KEYS}),
)
