"""What a check is: a question about a run, its premises by mode, and a pure function that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.analysis.figure import Figure
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.comparison import Comparison
from harness.record.reader import Record
from harness.verdict import Axis, Outcome, Verdict

Runs = Comparison[Record]
"""The record of the run to judge, with the records that it is compared with.

For annotations only. Construct `Comparison`: Python 3.11 cannot call the alias of a frozen class with slots.
"""


@dataclass(frozen=True, slots=True)
class Premise:
    """Something that must hold before a check can conclude: ``met`` returns ``None``, or what is missing."""

    name: str
    met: Callable[[Runs], Message | None]


Judge = Callable[[Runs, Thresholds], Verdict]


@dataclass(frozen=True, slots=True)
class Check:
    """A named question. A mode without an entry in ``premises`` has no such question.

    Parameters
    ----------
    name
        The name that controls and reports use.
    question
        The question in one sentence.
    judge
        The pure function that answers it, called only when every premise is met.
    premises
        What must hold, by mode; a mode that is missing makes the check ``not applicable`` there.
    axis
        Whether the verdict gates the Definition of Done (``patch``) or is a finding (``quality``).
    for_pass
        What must hold besides before the answer may be ``pass``, in any mode; a failure that is shown stands without it.
    figures
        The numbers of the evidence that a report shows beside the verdict.
    parts
        The figures of each part of the verdict that a test may assert alone, by the name that its marker has.

    """

    name: str
    question: Message
    judge: Judge
    premises: Mapping[str, tuple[Premise, ...]]
    axis: Axis = "patch"
    for_pass: tuple[Premise, ...] = ()
    figures: tuple[Figure, ...] = ()
    parts: Mapping[str, tuple[Figure, ...]] = field(default_factory=lambda: MappingProxyType({}))

    def __call__(self, runs: Runs, thresholds: Thresholds) -> Verdict:
        """Judge a run. Unmet premises, and a check that crashes, give ``unknown`` with the reason."""
        mode = runs.run.request.mode
        if mode not in self.premises:
            return self._verdict(Outcome.NOT_APPLICABLE, say("The mode {mode} has no such question.", mode=mode))
        try:
            return self._judged(runs, thresholds)
        except Exception as error:  # noqa: BLE001 -- a check that crashes has concluded nothing, whatever it met
            sentence = say("The check crashed: {error}.", error=f"{type(error).__name__}: {error}")
            return self._verdict(Outcome.UNKNOWN, sentence)

    def _judged(self, runs: Runs, thresholds: Thresholds) -> Verdict:
        for premise in (SEALED, *self.premises[runs.run.request.mode]):
            missing = premise.met(runs)
            if missing is not None:
                # What a run that broke off did not come to is its end's fault: that is what to mend.
                name, sentence = ("whole", ended) if (ended := _end(runs)) else (premise.name, missing)
                return Verdict(
                    self.name, Outcome.UNKNOWN, sentence, MappingProxyType({"premise": name}), axis=self.axis
                )
        return self._unless_doubtful(runs, self.judge(runs, thresholds))

    def _unless_doubtful(self, runs: Runs, verdict: Verdict) -> Verdict:
        """Turn a pass that rests on too little into ``unknown``; it keeps its evidence."""
        if verdict.outcome is not Outcome.PASS:
            return verdict
        for premise in (WHOLE, *self.for_pass):
            missing = premise.met(runs)
            if missing is not None:
                evidence = MappingProxyType({**verdict.evidence, "premise": premise.name})
                return Verdict(self.name, Outcome.UNKNOWN, missing, evidence, axis=self.axis)
        return verdict

    def _verdict(self, outcome: Outcome, sentence: Message) -> Verdict:
        return Verdict(self.name, outcome, sentence, axis=self.axis)


def _sealed(runs: Runs) -> Message | None:
    """Every record that a verdict rests on must be sealed and unchanged; only the judged run may have ended badly."""
    for record in (runs.run, runs.pair, runs.baseline):
        if record is None:
            continue
        label = record.request.target.label
        if record.seal is None:
            return say(
                "The record of {target} ({retention}) was never sealed.",
                target=label,
                retention=record.request.retention,
            )
        if record.damage:
            return say(
                "The record of {target} ({retention}) is damaged: {what}.",
                target=label,
                retention=record.request.retention,
                what="; ".join(record.damage[:3]),
            )
    return None


def _end(runs: Runs) -> Message | None:
    """Tell of a run that did not reach its end."""
    seal = runs.run.seal
    if seal is None or runs.run.damage or seal.state == "done":
        return None
    return say(
        "The run did not reach its end ({state}: {reason}).", state=seal.state, reason=seal.reason or "no reason given"
    )


def _whole(runs: Runs) -> Message | None:
    """Ask that nothing be hidden by a run cut short, or by lines torn or lost; what they show stands."""
    run = runs.run
    if run.seal is not None and run.seal.state != "done":
        reason = run.seal.reason or "no reason given"
        return say(
            "Nothing wrong was seen, but the run did not reach its end ({state}: {reason}).",
            state=run.seal.state,
            reason=reason,
        )
    return gap(run)


def gap(record: Record) -> Message | None:
    """Tell of evidence that was written and can't be read, or that could not be written."""
    torn = [line for line in record.history.torn if line.startswith(("events-", "trace-"))]
    if torn:
        return say("Nothing wrong was seen, but lines of the record can't be read: {lines}.", lines="; ".join(torn[:3]))
    if record.history.lost:
        return say(
            "Nothing wrong was seen, but evidence could not be written; lines: {count}.", count=record.history.lost
        )
    return None


SEALED = Premise("sealed", _sealed)
WHOLE = Premise("whole", _whole)
