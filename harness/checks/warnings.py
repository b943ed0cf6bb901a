"""Count the three events that report a lost cache, which a good run never sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from harness.analysis.causes import MAX_LISTED, Causes
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
    """Return how often each of the three events was sent for a lost cache.

    Caches that an injected fault deleted don't count. "Creation failed" is also sent for tiles that a quality gate rejects or
    that can't be aligned: the tile's earlier events tell which. A failure without a stated cause counts.
    """
    causes = causes or Causes(record)
    sent = Counter(event.key for event in record.history.named(*KEYS))
    sent[MISSING] -= sum(loss.key == MISSING for lost in causes.deprived.values() for loss in lost)
    sent[STARVED] -= sum(
        causes.failures.get(number(e, "tile_id") or 0) == "fault" for e in record.history.named(STARVED)
    )
    stacks = [str(event.fields.get("stack_num", "")) for event in record.history.named(FAILED)]
    sent[FAILED] = sum(not n.isdigit() or causes.failures.get(int(n) - 1) in ("caches", "unstated") for n in stacks)
    return {key: sent[key] for key in KEYS}


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
        failed = {t for t, why in causes.failures.items() if why in ("caches", "unstated")}
        cause = causes.of_worst(failed.union(t for t in causes.losses if t is not None))
        return Verdict("warnings", Outcome.FAIL, _lost(found, before), evidence, cause)
    outcome = Outcome.PASS
    if runs.run.request.mode == "classic" and not evidence["tiles_that_reported"]:
        outcome, sentence = Outcome.UNKNOWN, say("No tile sent any event, so the absence of warnings shows nothing.")
    elif unsaid:
        tile, cache = unsaid[0]
        outcome = Outcome.FAIL
        sentence = say(
            "An injected fault deleted {cache}, and tile {tile} did not report it missing.", cache=cache, tile=tile
        )
    elif taken:
        caches = ", ".join(sorted(taken)[:5])
        sentence = say(
            "The target reported each cache that an injected fault deleted ({taken}), and no other.", taken=caches
        )
    elif before:
        sentence = say("No event of a lost cache was sent; in the baseline: {before}.", before=before)
    else:
        sentence = say("No event of a lost cache was sent.")
    return Verdict("warnings", outcome, sentence, evidence)


def _unsaid(run: Record, causes: Causes, taken: Mapping[str, int]) -> list[tuple[int, str]]:
    """Return the tiles that did not report a cache that a fault had deleted, each with the cache.

    Only tiles that started after the deletion, or that the fault struck, must report it: an earlier tile may have read the cache.
    A tile that a fault or an exception ended is left out.
    """
    reported = {(tile, loss.cache) for tile, lost in causes.deprived.items() for loss in lost}
    struck = {fault["fault"].get("tile") for fault in run.history.faults if "fault" in fault}
    return [
        (tile.tile, name_of(cache))
        for tile in run.history.tiles
        if causes.failures.get(tile.tile) not in ("fault", "exception")
        for cache in tile.caches
        if name_of(cache) in taken and tile.started is not None
        if (tile.started > taken[name_of(cache)] or tile.tile in struck) and (tile.tile, name_of(cache)) not in reported
    ]


def _lost(found: dict[str, int], before: int | None) -> Message:
    values = {
        "total": sum(found.values()),
        "missing": found[MISSING],
        "starved": found[STARVED],
        "failed": found[FAILED],
    }
    if before is None:
        return say(
            "Events of a lost cache: {total} (cache missing: {missing}; tile without frames: {starved}; tile failed: {failed}).",
            **values,
        )
    return say(
        "Events of a lost cache: {total} (cache missing: {missing}; tile without frames: {starved}; tile failed: {failed}); "
        "in the baseline: {before}.",
        **values,
        before=before,
    )


def _sent(*keys: str) -> Take:
    """Return a function that adds up the counts of events."""

    def take(evidence: Evidence) -> Numbers | None:
        sent = evidence.get("counts")
        found = every(*(number_in(sent, key) for key in keys)) if isinstance(sent, Mapping) else None
        return None if found is None else (sum(found),)

    return take


CHECK = Check(
    "warnings",
    say("Did the target report a lost cache?"),
    _judge,
    # SDS and grid mode send these events only if they fall back to master tiles.
    {"classic": (*ALWAYS, CALLBACK), "sds": (*ELSEWHERE, CALLBACK), "grid": (*ELSEWHERE, CALLBACK)},
    for_pass=(SHARED, MODE_REACHED),
    figures=(Figure(say("events of a lost cache"), Unit.COUNT, _sent(*KEYS), short=say("lost-cache events")),),
    parts={key: (Figure(Message(key), Unit.COUNT, _sent(key)),) for key in KEYS},
)
