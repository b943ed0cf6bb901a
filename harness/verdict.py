"""The outcomes of checks, how they merge, and the exit status of each.

The order follows Jepsen's ``merge-valid``: ``unknown`` never hides under ``pass``, and ``fail`` outranks both.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal

from msgspec import Meta

from harness.language.message import Message
from harness.record.convert import read_only

Axis = Literal["patch", "quality", "time"]
Standing = Literal["", "new", "pre-existing"]


class Outcome(StrEnum):
    """The result of a check, a test or a line of the checklist, worst first.

    Every list of outcomes has this order. ``NOT_EVALUATED`` is for tests and lines of the checklist that did not run; it comes
    last, so that a test that ran in one session outranks the same test that did not run in another.
    """

    FAIL = "fail"
    UNKNOWN = "unknown"
    PASS = "pass"  # noqa: S105 -- a verdict, not a password
    NOT_APPLICABLE = "not applicable"
    NOT_EVALUATED = "not evaluated"


Conclusion = Annotated[
    Outcome, Meta(extra_json_schema={"enum": [o.value for o in Outcome if o is not Outcome.NOT_EVALUATED]})
]
"""The outcome of a check or of several together: never ``NOT_EVALUATED``."""

_RANK = {outcome: place for place, outcome in enumerate(Outcome)}
_EXIT = {Outcome.FAIL: 1, Outcome.UNKNOWN: 3, Outcome.PASS: 0, Outcome.NOT_APPLICABLE: 3, Outcome.NOT_EVALUATED: 3}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The conclusion of one check about one run.

    ``evidence`` has the figures and names that the sentence rests on, in built-in JSON types only. ``cause`` is the chain of
    causes that explains a failure. ``patch`` verdicts decide on the Definition of Done; ``quality`` findings are always shown,
    and decide only when new. A verdict on ``time`` decides when it fails; when it is unknown, because the machine was busy, it
    counts for its own row only. ``standing`` is ``new`` for a failed finding that the baseline does not have, ``pre-existing``
    for one that it has, and empty where the baseline is unknown and for every other verdict.
    """

    check: str
    outcome: Conclusion
    sentence: Message
    evidence: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    cause: tuple[Message, ...] = ()
    axis: Axis = "patch"
    standing: Standing = ""

    def __post_init__(self) -> None:
        if self.outcome is Outcome.NOT_EVALUATED:
            raise ValueError(
                f"expected a conclusion of the check {self.check!r}, found {Outcome.NOT_EVALUATED.value!r}"
            )
        read_only(self)

    @property
    def gates(self) -> bool:
        """Whether the verdict decides on the patch: every verdict on the patch does, every new finding, and a time that fails."""
        if self.axis == "time":
            return self.outcome is Outcome.FAIL
        return self.axis == "patch" or self.standing == "new"


def rank(outcome: Outcome) -> int:
    """Return the place of an outcome in the order, 0 for the worst."""
    return _RANK[outcome]


def merge(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome. Without any outcome the result is ``unknown``: no evidence is no pass."""
    return min(outcomes, key=rank, default=Outcome.UNKNOWN)


FIRST = "crash"
"""The check that comes first among equal outcomes: a failure of the target itself explains the others."""


def worst_first(verdict: Verdict) -> tuple[int, bool, str]:
    """Return a sort key: failures, then unknowns, then passes; within each the check in `FIRST`, then by name."""
    return rank(verdict.outcome), verdict.check != FIRST, verdict.check


def exit_status(outcome: Outcome) -> int:
    """Return the exit status that ``phase3`` ends with: 0 pass, 1 fail, 3 unknown.

    What is not applicable as a whole was not judged, so it has the status of unknown.
    """
    return _EXIT[outcome]
