"""Whether nothing new falls back in silence, and the mode that was asked for was taken.

Healthy runs emit fallbacks of their own, so each is counted by phase and name, and compared: with the pair, where more of the
same is new too, and with the baseline, where only another kind is, for a version that loses tiles has fewer of each. A text
that speaks of a fallback and is not known by name is counted as it stands, without its numbers and file names, and shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED
from harness.analysis.fallback_patterns import NOT_TAKEN, SPEAKS, marked, named
from harness.analysis.figure import Evidence, Figure, Numbers, Unit, every, rows_in, size_in, total
from harness.analysis.modes import not_reached, phases, signs_of_another_mode
from harness.analysis.phase3 import losses
from harness.checks.base import Check, Runs
from harness.checks.premises import CALLBACK, ELSEWHERE, LOG, baseline_of, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.history import Event, History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Kind = tuple[str, str]  # phase, and name
Conclusion = tuple[Outcome, Message]

_LONGEST = 120
_FILE = re.compile(
    r"(?:[A-Za-z]:)?[^\s'\"=(\[{,;|]*\.(?:fits?|fts|fz|npy|npz|json|csv|png|txt|log|py|dat|bin)\b", re.IGNORECASE
)
_PATH = re.compile(r"(?:(?<![\w])[A-Za-z]:[\\/]|(?<![\w/])/(?=\w))[^\s'\",;)\]}]*")
_HEX = re.compile(r"\b(?:0x)?(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,}\b", re.IGNORECASE)
_SIZES = re.compile(r"\d+(?:x\d+)+")
_NUMBER = re.compile(r"(?<![A-Za-z])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Fallback:
    """One fallback that a run told of: when, in which phase, its name, what it means where that is known, and the source."""

    t: int
    phase: str
    name: str
    means: Message | None
    source: str

    @property
    def kind(self) -> Kind:
        """What makes two fallbacks the same."""
        return self.phase, self.name


def normal(text: str) -> str:
    """Return a text without what differs between two runs of the same: files, paths, numbers."""
    for pattern, instead in ((_FILE, "<file>"), (_PATH, "<path>"), (_HEX, "#"), (_SIZES, "#"), (_NUMBER, "#")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:_LONGEST]


def fallbacks(history: History) -> tuple[tuple[Fallback, ...], tuple[str, ...]]:
    """Return the fallbacks of a run in order of time, and the texts that say of one that it was not taken."""
    spans = phases(history)
    found, denied = [], []
    for event in history.events:
        for text in filter(marked, _texts(event)):
            rest = text
            for denial in NOT_TAKEN:
                rest = denial.sub("", rest)
            known = named(rest)
            if known is None and not SPEAKS.search(rest):
                denied += [normal(text)] if rest != text else []
                continue
            name, means = known or (normal(rest), None)
            phase = next((phase for start, phase in reversed(spans) if start <= event.t), "start")
            found.append(Fallback(event.t, phase, name, means, event.source))
    return tuple(found), tuple(denied)


def _texts(event: Event) -> Iterator[str]:
    """Yield what an event says: its key and text as one, and its words among the fields."""
    if event.source == "stage":
        return
    yield event.text if event.source == "log" else f"{event.key}: {event.text}" if event.text else event.key
    if event.source == "callback":
        for name, value in event.fields.items():
            if isinstance(value, str) and SPEAKS.search(_FILE.sub("", value)):
                yield f"{event.key}: {name}={value}"


def counted(found: tuple[Fallback, ...]) -> Mapping[Kind, int]:
    """Count fallbacks by kind; one that is told by an event and in the log counts once."""
    by_source: Counter[tuple[Kind, str]] = Counter((f.kind, f.source) for f in found)
    counts: dict[Kind, int] = {}
    for (kind, _), count in by_source.items():
        counts[kind] = max(counts.get(kind, 0), count)
    return MappingProxyType(counts)


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    run = runs.run
    found, denied = fallbacks(run.history)
    counts = counted(found)
    pair, why_not = standard(runs)
    pair_counts = _comparable(run, pair)
    baseline, left_out = baseline_of(runs)
    if baseline is not None and pair_counts is not None and losses(baseline.history):
        baseline, left_out = (
            None,
            say("The baseline is left out: it lost caches, and what it lacks could not fall back."),
        )
    before = _comparable(run, baseline)
    new = {kind: count for kind, count in counts.items() if _is_new(kind, count, pair_counts, before)}
    other_mode = signs_of_another_mode(run)
    evidence: dict[str, Any] = {
        "new": _rows(new, found, pair_counts, before),
        "same": _rows({k: n for k, n in counts.items() if k not in new}, found, pair_counts, before),
        "not_known_by_name": sorted({f.name for f in found if f.means is None})[:MAX_LISTED],
        "said_not_to_be_taken": dict(Counter(denied).most_common(MAX_LISTED)),
        "mode": run.request.mode,
        "signs_of_another_mode": [to_json(sign) for sign in other_mode],
        "compared_with": [n for n, c in (("pair", pair_counts), ("baseline", before)) if c is not None],
    }
    if left_out is not None:
        evidence["baseline"] = to_json(left_out)
    outcome, sentence = _conclude(run, counts, new, other_mode, compared=bool(evidence["compared_with"]))
    cause: tuple[Message, ...] = ()
    if outcome is Outcome.FAIL:
        cause = (*other_mode, *_told(run.history, new, found, pair_counts, before))
    elif outcome is Outcome.UNKNOWN and why_not is not None:
        cause = (why_not,)
    return Verdict("fallback", outcome, sentence, MappingProxyType(evidence), cause)


def _comparable(run: Record, other: Record | None) -> Mapping[Kind, int] | None:
    """Count the fallbacks of another run; ``None`` where it did not record all that this one did, or went another way."""
    if other is None or not run.history.capabilities & {"callback", "log"} <= other.history.capabilities:
        return None
    if signs_of_another_mode(other) or not_reached(other) is not None:
        return None
    return counted(fallbacks(other.history)[0])


def _is_new(kind: Kind, count: int, pair: Mapping[Kind, int] | None, before: Mapping[Kind, int] | None) -> bool:
    more = pair is not None and count > pair.get(kind, 0)
    return more or (before is not None and kind not in before)


def _conclude(  # noqa: PLR0911 -- a ladder, worst first
    run: Record, counts: Mapping[Kind, int], new: Mapping[Kind, int], other_mode: tuple[Message, ...], *, compared: bool
) -> Conclusion:
    mode, retention = run.request.mode, run.request.retention
    if other_mode:
        return Outcome.FAIL, say("The mode {mode} was asked for, and the run went another way.", mode=mode)
    if new:
        names = ", ".join(sorted({name for _, name in new})[:5])
        return Outcome.FAIL, say("New fallbacks: {count} ({names}).", count=len(new), names=names)
    missing = not_reached(run)
    if missing is not None:
        return Outcome.UNKNOWN, missing
    if not counts:
        return Outcome.PASS, say("The mode {mode} was taken, and nothing fell back.", mode=mode)
    if compared:
        return Outcome.PASS, say(
            "The mode {mode} was taken. Fallbacks that other runs have too: {count}; none is new.",
            mode=mode,
            count=len(counts),
        )
    if retention == "per_tile":
        return Outcome.UNKNOWN, say(
            "Fallbacks: {count}; no pair and no baseline tells whether they are new.", count=len(counts)
        )
    return Outcome.PASS, say(
        "The mode {mode} was taken. Fallbacks: {count}; they are the measure for per_tile.",
        mode=mode,
        count=len(counts),
    )


def _rows(
    kinds: Mapping[Kind, int],
    found: tuple[Fallback, ...],
    pair: Mapping[Kind, int] | None,
    before: Mapping[Kind, int] | None,
) -> list[dict[str, Any]]:
    means = {f.kind: f.means for f in found}
    rows = []
    for kind, count in sorted(kinds.items())[:MAX_LISTED]:
        meaning = means[kind]
        rows.append(
            {
                "phase": kind[0],
                "name": kind[1],
                "count": count,
                "in_pair": None if pair is None else pair.get(kind, 0),
                "in_baseline": None if before is None else before.get(kind, 0),
                "means": None if meaning is None else to_json(meaning),
            }
        )
    return rows


def _told(
    history: History,
    new: Mapping[Kind, int],
    found: tuple[Fallback, ...],
    pair: Mapping[Kind, int] | None,
    before: Mapping[Kind, int] | None,
) -> tuple[Message, ...]:
    """Tell of each new fallback when it came first and how often, and what it means."""
    links: list[Message] = []
    for kind, count in sorted(new.items())[:5]:
        first = next(f for f in found if f.kind == kind)
        links.append(
            say(
                "{name}: {count} in phase {phase}, first at {seconds} s; in the pair: {pair}, in the baseline: {before}.",
                name=kind[1],
                count=count,
                phase=kind[0],
                seconds=_since_start(history, first.t),
                pair="?" if pair is None else pair.get(kind, 0),
                before="?" if before is None else before.get(kind, 0),
            )
        )
        if first.means is not None:
            links.append(first.means)
    return tuple(links)


def _since_start(history: History, t: int) -> str:
    return f"{(t - history.events[0].t) / 1e9:.3f}"


_PREMISES = (*ELSEWHERE, CALLBACK)  # a run that went another way may never come to Phase 3


def _fallbacks(evidence: Evidence) -> Numbers | None:
    """Return the kinds of fallback that are new, and how often those happened that other runs have too."""
    same = rows_in(evidence, "same")
    return None if same is None else every(size_in(evidence, "new"), total(same, "count"))


CHECK = Check(
    "fallback",
    say("Does nothing new fall back in silence?"),
    _judge,
    MappingProxyType({"classic": _PREMISES, "sds": _PREMISES, "grid": _PREMISES}),
    for_pass=(LOG,),
    figures=(Figure(say("fallbacks"), Unit.NEW, _fallbacks),),
)
