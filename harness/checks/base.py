"""Define a check: its question, its premises by mode, and a pure function from records to a verdict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from harness.analysis.figure import Figure
from harness.analysis.made import named, taken_over
from harness.analysis.own_failures import OwnFailure, of_target
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.comparison import Comparison
from harness.record.convert import read_only, to_json
from harness.record.reader import Record
from harness.verdict import Axis, Outcome, Verdict

Runs = Comparison[Record]
"""The record of the run to judge, with the records that it is compared with.

For annotations only. Construct `Comparison`: Python 3.11 cannot call the alias of a frozen class with slots.
"""

Conclusion = tuple[Outcome, Message, tuple[Message, ...]]
"""The outcome, sentence and causes of a verdict."""


@dataclass(frozen=True, slots=True)
class Premise:
    """A condition that a check needs. ``met`` returns ``None``, or the sentence that says what is missing."""

    name: str
    met: Callable[[Runs], Message | None]


@dataclass(frozen=True, slots=True)
class Check:
    """Answer one question about a run.

    Parameters
    ----------
    name
        The name that controls and reports use.
    question
        The question in one sentence.
    judge
        The pure function that answers the question. It is called only when every premise is met.
    premises
        The conditions for any conclusion, by mode. The check is ``not applicable`` in a mode that is not listed.
    axis
        ``patch`` if the verdict decides on the Definition of Done, ``quality`` if it is a finding.
    for_pass
        Further conditions for ``pass``, in every mode. A failure needs only the premises.
    figures
        The numbers of the evidence that a report shows with the verdict.
    parts
        The figures of those parts of the verdict that a test may assert alone, by the name in the test's marker.
    drawn
        The keys of the evidence that hold curves or outlines, which a report draws instead of listing their points.

    """

    name: str
    question: Message
    judge: Callable[[Runs, Thresholds], Verdict]
    premises: Mapping[str, tuple[Premise, ...]]
    axis: Axis = "patch"
    for_pass: tuple[Premise, ...] = ()
    figures: tuple[Figure, ...] = ()
    parts: Mapping[str, tuple[Figure, ...]] = field(default_factory=dict)
    drawn: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        read_only(self)

    def __call__(self, runs: Runs, thresholds: Thresholds) -> Verdict:
        """Judge a run. Unmet premises and a crash of the check give ``unknown`` with the reason."""
        mode = runs.run.request.mode
        if mode not in self.premises:
            sentence = say("This check does not apply to the mode {mode}.", mode=mode)
            return Verdict(self.name, Outcome.NOT_APPLICABLE, sentence, axis=self.axis)
        try:
            return self._judged(runs, thresholds)
        except Exception as error:  # noqa: BLE001 -- one check that crashes must not stop the others
            return self._unknown(say("The check crashed: {error}.", error=f"{type(error).__name__}: {error}"), {})

    def _judged(self, runs: Runs, thresholds: Thresholds) -> Verdict:
        for premise in (SEALED, *self.premises[runs.run.request.mode]):
            if (missing := premise.met(runs)) is not None:
                # A run that broke off, or whose tile did, lacks a premise for this reason: name it, the user can mend it.
                ended = _failed(runs) or _end(runs)
                verdict = self._unknown(ended or missing, {"premise": WHOLE.name if ended else premise.name})
                return verdict if ended or premise is SEALED else _with_taken_over(verdict, runs)
        return _with_taken_over(self._concluded(runs, thresholds), runs)

    def _concluded(self, runs: Runs, thresholds: Thresholds) -> Verdict:
        verdict = self.judge(runs, thresholds)
        if verdict.outcome is Outcome.UNKNOWN and (ended := _end(runs)) is not None and _failed(runs) is not None:
            return replace(verdict, sentence=ended, cause=(verdict.sentence, *verdict.cause))
        if verdict.outcome is Outcome.PASS:
            for premise in (WHOLE, *self.for_pass):
                if (missing := premise.met(runs)) is not None:
                    return self._unknown(missing, {**verdict.evidence, "premise": premise.name})
        return verdict

    def _unknown(self, sentence: Message, evidence: dict[str, Any]) -> Verdict:
        return Verdict(self.name, Outcome.UNKNOWN, sentence, evidence, axis=self.axis)


def _with_taken_over(verdict: Verdict, runs: Runs) -> Verdict:
    """Name what the run took over from an earlier run. If a verdict is unknown because of that, it says so."""
    taken = taken_over(runs.run.history)
    if not taken:
        return verdict
    evidence = {**verdict.evidence, "taken_over": to_json(taken)}
    if verdict.outcome is not Outcome.UNKNOWN or not taken.products:
        return replace(verdict, evidence=evidence, cause=(*verdict.cause, *named(taken)))
    more = () if verdict.sentence == TAKEN_OVER else (verdict.sentence,)
    return replace(verdict, sentence=TAKEN_OVER, evidence=evidence, cause=(*named(taken), *more, *verdict.cause))


def _sealed(runs: Runs) -> Message | None:
    """Require that the records of the run, its pair and the baseline are sealed, unchanged, and within the harness's limits."""
    for record in (runs.run, runs.pair, runs.baseline):
        if record is None:
            continue
        names = {"target": record.request.target.label, "retention": record.request.retention}
        if record.seal is None:
            return say("The record of {target} ({retention}) has no seal: make the run again.", **names)
        if record.damage:
            what = "; ".join(record.damage[:3])
            return say("The record of {target} ({retention}) is damaged: {what}.", **names, what=what)
        if record.beyond:
            what = "; ".join(record.beyond[:3])
            return say("Nothing is concluded from the record of {target} ({retention}): {what}.", **names, what=what)
    return None


def own_failure_sentence(failure: OwnFailure) -> Message:
    """Return a sentence: what a failure of the target ended, with its exception and its line of source."""
    tile = "?" if failure.tile is None else failure.tile
    values: dict[str, Any] = {"what": failure.what, "place": failure.place, "thread": failure.thread, "tile": tile}
    if failure.injected:
        return say("The run did not survive the failure of a tile, which the harness injected ({what}).", **values)
    at_place, without = _FAILED_ITSELF[failure.where]
    return Message((at_place if failure.place else without).text, values)


# The sentences by what a failure ended: with its place in the source, and without.
_FAILED_ITSELF: Mapping[str, tuple[Message, Message]] = MappingProxyType(
    {
        "tile": (
            say("The target failed by itself: tile {tile} ended with {what}, at {place}."),
            say("The target failed by itself: tile {tile} ended with {what}."),
        ),
        "phase 3": (
            say("The target failed by itself: Phase 3 ended with {what}, at {place}."),
            say("The target failed by itself: Phase 3 ended with {what}."),
        ),
        "run": (
            say("The target failed by itself: the run ended with {what}, at {place}."),
            say("The target failed by itself: the run ended with {what}."),
        ),
        "thread": (say("The target failed by itself: its thread {thread} ended with {what}, at {place}."),) * 2,
        "work": (
            say(
                "The target failed by itself: work in its thread {thread} ended with {what}, at {place}, and nothing read its "
                "result."
            ),
        )
        * 2,
        "signal": (say("The target failed by itself: the signal {what} ended its process."),) * 2,
        "status": (say("The target failed by itself: its process ended with status {what} and no exception."),) * 2,
    }
)


def _failed(runs: Runs) -> Message | None:
    """Return the sentence on the first failure of the target itself in a sealed run; ``None`` without any."""
    if runs.run.seal is None or runs.run.damage or runs.run.beyond:
        return None
    return next((own_failure_sentence(failure) for failure in of_target(runs.run, runs.baseline)), None)


def _end(runs: Runs) -> Message | None:
    """Require that a sealed run reached its end."""
    seal = runs.run.seal
    if seal is None or runs.run.damage or runs.run.beyond or seal.state == "done":
        return None
    if (failed := _failed(runs)) is not None:
        return failed
    reason = seal.reason or "no reason given"
    return say("The run did not reach its end ({state}: {reason}).", state=seal.state, reason=reason)


def _whole(runs: Runs) -> Message | None:
    """Require for a pass that the run reached its end, that its record is complete, and that it made its products itself.

    A failure seen in an incomplete record still counts.
    """
    return _end(runs) or gap(runs.run) or (TAKEN_OVER if taken_over(runs.run.history).products else None)


def gap(record: Record) -> Message | None:
    """Return a sentence about lines of the record that can't be read or could not be written; ``None`` without any."""
    torn = [line for line in record.history.torn if line.startswith(("events-", "trace-"))]
    if torn:
        return say("The record is incomplete: these lines can't be read: {lines}.", lines="; ".join(torn[:3]))
    if lost := record.history.lost:
        return say("The record is incomplete: {count} of the probe's lines could not be written.", count=lost)
    return None


SEALED = Premise("sealed", _sealed)
WHOLE = Premise("whole", _whole)
TAKEN_OVER = say(
    "The run took over tiles or its mosaic from an earlier run, and does not show how these were made: switch resume off, or "
    "name an empty output folder."
)
