"""Check that a run has no new fallbacks, and that it used the requested mode.

Healthy runs have fallbacks too. Each is therefore counted by phase and name, and compared with other runs. A fallback is new if
it occurs more often than in the pair, or if the baseline does not have its kind, or has much fewer of it. (The numbers of a
version that loses tiles are not compared, because it has fewer of each kind.) A text about a fallback that has no known name is
counted under its own words, without numbers and file names.
"""

from __future__ import annotations

import math
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
from harness.checks.premises import CALLBACK, ELSEWHERE, EVERY_LEVEL, LOG, baseline_of, standard
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.history import Event, History
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

Kind = tuple[str, str]  # phase, and name

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
    """One fallback that a run reported: its time, phase, name, meaning (``None`` if unknown) and source."""

    t: int
    phase: str
    name: str
    means: Message | None
    source: str

    @property
    def kind(self) -> Kind:
        """The phase and the name: fallbacks with the same kind count as the same."""
        return self.phase, self.name


@dataclass(frozen=True, slots=True)
class Others:
    """The fallbacks by kind of the runs to compare with; ``None`` for a run that can't be compared.

    ``more`` is how many times as often as in the baseline a fallback may occur; infinite if the baseline lost caches.
    """

    pair: Mapping[Kind, int] | None
    baseline: Mapping[Kind, int] | None
    more: float = math.inf

    @property
    def names(self) -> list[str]:
        """The names of the runs that can be compared."""
        return [name for name, counts in (("pair", self.pair), ("baseline", self.baseline)) if counts is not None]

    def lack(self, kind: Kind, count: int) -> bool:
        """Return whether a fallback is new: more frequent than in the pair, or much more frequent than in the baseline."""
        if self.pair is not None and count > self.pair.get(kind, 0):
            return True
        if self.baseline is None:
            return False
        return kind not in self.baseline or count > self.more * self.baseline[kind]


def normal(text: str) -> str:
    """Return a text without the parts that differ between two equal runs: files, paths, numbers."""
    for pattern, instead in ((_FILE, "<file>"), (_PATH, "<path>"), (_HEX, "#"), (_SIZES, "#"), (_NUMBER, "#")):
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:_LONGEST]


def fallbacks(history: History) -> tuple[tuple[Fallback, ...], tuple[str, ...]]:
    """Return the fallbacks of a run in order of time, and the texts that say that a fallback was not taken."""
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
    """Yield the texts of an event: its key and text together, and each field that mentions a fallback."""
    if event.source == "stage":
        return
    yield event.text if event.source == "log" else f"{event.key}: {event.text}" if event.text else event.key
    if event.source == "callback":
        for name, value in event.fields.items():
            if isinstance(value, str) and SPEAKS.search(_FILE.sub("", value)):
                yield f"{event.key}: {name}={value}"


def counted(found: tuple[Fallback, ...]) -> Mapping[Kind, int]:
    """Count fallbacks by kind. A fallback that is reported both as an event and in the log counts once."""
    by_source: Counter[tuple[Kind, str]] = Counter((f.kind, f.source) for f in found)
    counts: dict[Kind, int] = {}
    for (kind, _), count in by_source.items():
        counts[kind] = max(counts.get(kind, 0), count)
    return MappingProxyType(counts)


def _judge(runs: Runs, limits: Thresholds) -> Verdict:
    run = runs.run
    found, denied = fallbacks(run.history)
    counts = counted(found)
    pair, why_not = standard(runs)
    pair_counts = _comparable(run, pair)
    baseline, left_out = baseline_of(runs)
    if baseline is not None and pair_counts is not None and losses(baseline.history):
        baseline, left_out = None, say("The baseline is not compared: it lost caches, and so has fewer fallbacks.")
    whole = baseline is not None and not losses(baseline.history)
    others = Others(pair_counts, _comparable(run, baseline), limits["fallback.more"] if whole else math.inf)
    new = {kind: count for kind, count in counts.items() if others.lack(kind, count)}
    other_mode = signs_of_another_mode(run)
    evidence: dict[str, Any] = {
        "new": _rows(new, found, others),
        "same": _rows({k: n for k, n in counts.items() if k not in new}, found, others),
        "not_known_by_name": sorted({f.name for f in found if f.means is None})[:MAX_LISTED],
        "said_not_to_be_taken": dict(Counter(denied).most_common(MAX_LISTED)),
        "mode": run.request.mode,
        "signs_of_another_mode": [to_json(sign) for sign in other_mode],
        "compared_with": others.names,
    }
    if left_out is not None:
        evidence["baseline"] = to_json(left_out)
    outcome, sentence = _conclude(run, counts, new, other_mode, compared=bool(others.names))
    cause: tuple[Message, ...] = ()
    if outcome is Outcome.FAIL:
        cause = (*other_mode, *_details(run.history, new, found, others))
    elif outcome is Outcome.UNKNOWN and why_not is not None:
        cause = (why_not,)
    return Verdict("fallback", outcome, sentence, MappingProxyType(evidence), cause)


def _comparable(run: Record, other: Record | None) -> Mapping[Kind, int] | None:
    """Count the fallbacks of another run; ``None`` if it recorded fewer sources than this run, or used another mode."""
    if other is None or not run.history.capabilities & {"callback", "log"} <= other.history.capabilities:
        return None
    if signs_of_another_mode(other) or not_reached(other) is not None:
        return None
    return counted(fallbacks(other.history)[0])


def _conclude(  # noqa: PLR0911 -- a ladder, worst first
    run: Record, counts: Mapping[Kind, int], new: Mapping[Kind, int], other_mode: tuple[Message, ...], *, compared: bool
) -> tuple[Outcome, Message]:
    mode = run.request.mode
    if other_mode:
        return Outcome.FAIL, say("The run did not use the requested mode {mode}.", mode=mode)
    if new:
        names = ", ".join(sorted({name for _, name in new})[:5])
        return Outcome.FAIL, say("New fallbacks: {count} ({names}).", count=len(new), names=names)
    missing = not_reached(run)
    if missing is not None:
        return Outcome.UNKNOWN, missing
    if not counts:
        return Outcome.PASS, say("The run used the mode {mode}, without fallbacks.", mode=mode)
    if compared:
        return Outcome.PASS, say(
            "The run used the mode {mode}. It has no new fallbacks; kinds that other runs have too: {count}.",
            mode=mode,
            count=len(counts),
        )
    if run.request.retention == "per_tile":
        return Outcome.UNKNOWN, say(
            "Kinds of fallback: {count}. Without a pair or a baseline it is unknown whether they are new.",
            count=len(counts),
        )
    return Outcome.PASS, say(
        "The run used the mode {mode}. Kinds of fallback: {count}; per_tile is compared with them.",
        mode=mode,
        count=len(counts),
    )


def _rows(kinds: Mapping[Kind, int], found: tuple[Fallback, ...], others: Others) -> list[dict[str, Any]]:
    means = {f.kind: f.means for f in found}
    return [
        {
            "phase": kind[0],
            "name": kind[1],
            "count": count,
            "in_pair": None if others.pair is None else others.pair.get(kind, 0),
            "in_baseline": None if others.baseline is None else others.baseline.get(kind, 0),
            "means": None if (meaning := means[kind]) is None else to_json(meaning),
        }
        for kind, count in sorted(kinds.items())[:MAX_LISTED]
    ]


def _details(
    history: History, new: Mapping[Kind, int], found: tuple[Fallback, ...], others: Others
) -> tuple[Message, ...]:
    """Return for each new fallback when it first occurred, how often, and its meaning."""
    links: list[Message] = []
    for kind, count in sorted(new.items())[:5]:
        first = next(f for f in found if f.kind == kind)
        links.append(
            say(
                "{name}: {count} in phase {phase}, the first {seconds} s after the start of the run (pair: {pair}, baseline:"
                " {before}).",
                name=kind[1],
                count=count,
                phase=kind[0],
                seconds=f"{(first.t - history.events[0].t) / 1e9:.3f}",
                pair="?" if others.pair is None else others.pair.get(kind, 0),
                before="?" if others.baseline is None else others.baseline.get(kind, 0),
            )
        )
        if first.means is not None:
            links.append(first.means)
    return tuple(links)


_PREMISES = (*ELSEWHERE, CALLBACK)  # Phase 3 is not required: a run in another mode may never reach it


def _fallbacks(evidence: Evidence) -> Numbers | None:
    """Return the number of new kinds of fallback, and how often those occurred that other runs have too."""
    same = rows_in(evidence, "same")
    return None if same is None else every(size_in(evidence, "new"), total(same, "count"))


def reports_no_gpu(evidence: Evidence) -> bool:
    """Return whether a fallback that other runs have too says that the target can't use a GPU."""
    names = [str(row.get("name", "")) for row in rows_in(evidence, "same") or ()]
    return any("gpu" in name and "fallback" in name for name in names)


CHECK = Check(
    "fallback",
    say("Does the run use the requested mode, without new fallbacks?"),
    _judge,
    MappingProxyType({"classic": _PREMISES, "sds": _PREMISES, "grid": _PREMISES}),
    for_pass=(LOG, EVERY_LEVEL),
    figures=(Figure(say("fallbacks"), Unit.NEW, _fallbacks, short=say("fallbacks")),),
)
