"""Define what a comparison of two sessions or two runs says: the file that ``phase3 compare --json`` writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

from harness.language.message import Message
from harness.record.convert import to_json
from harness.session.rows import PartOf
from harness.verdict import Outcome, merge

FORMAT = "phase3-comparison/1"

Way = Literal["worse", "better", "other"]
WAYS: tuple[Way, ...] = ("worse", "better", "other")
"""In the order of display."""

Grade = Literal[
    "identical", "within rounding", "as two good runs differ", "different", "no mosaic in either run", "not compared"
]
Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Meta(max_length=4_000)]


@dataclass(frozen=True, slots=True)
class Ran:
    """How much of the validation a session ran."""

    run: int
    all: int
    of: Annotated[
        PartOf,
        Meta(description="What is counted: the cases if one was not run, else the lines of the Definition of Done."),
    ]


@dataclass(frozen=True, slots=True)
class SideFacts:
    """One of the two sides: a session, or one run."""

    name: Annotated[str, Meta(description="What the command named.")]
    run: Annotated[
        str | None, Meta(description="The key of the run; null for a whole session, or a record without one.")
    ]
    target: Annotated[str, Meta(description="The label of the target.")]
    created: Annotated[str, Meta(description="When the session ended; empty for a record without one.")]
    outcome: Annotated[Outcome | None, Meta(description="The outcome of the session; null for a run.")]
    sha256: Annotated[str, Meta(description="SHA-256 of session.json; empty for a record without a session.")]
    ran: Annotated[Ran | None, Meta(description="How much of the validation was run; null for a run.")] = None
    interrupted: Annotated[bool, Meta(description="Whether the session ended before all its tests had run.")] = False


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A check's verdict, or a test's outcome, that is not the same on both sides."""

    case: str
    role: str
    check: Annotated[str, Meta(description="The check; empty for a test that asserts no single check.")]
    tests: Annotated[tuple[str, ...], Meta(description="The tests whose outcome changed with it.")]
    before: Annotated[Outcome | None, Meta(description="null if the first side has no such verdict.")]
    after: Annotated[Outcome | None, Meta(description="null if the second side has no such verdict.")]
    way: Way
    sentence_before: Message | None = None
    sentence_after: Message | None = None


@dataclass(frozen=True, slots=True)
class FigureChange:
    """A figure of a check that is not the same on both sides; the unit says what its numbers are."""

    case: str
    role: str
    check: str
    label: Message
    unit: Annotated[str, Meta(description="A name of harness.analysis.figure.Unit, in lower case.")]
    before: tuple[float, ...] | None
    after: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class ImageChange:
    """One image (an HDU of the mosaic's file or of its coverage map's) on both sides, or the mosaic's WCS and shape."""

    image: Annotated[Text, Meta(description="Kind and HDU, such as 'mosaic RGB'; 'mosaic WCS' is the grid.")]
    before: Annotated[Digest | None, Meta(description="SHA-256 of its data; null if there is no such image.")]
    after: Annotated[Digest | None, Meta(description="SHA-256 of its data; null if there is no such image.")]
    measured: Annotated[
        Literal["", "values", "blocks", "shape"],
        Meta(
            description="What was compared: each value, or the statistics of blocks; shape if the shapes differ, so that values "
            "were not compared; empty if there was nothing to compare."
        ),
    ] = ""
    values: Annotated[
        int | None, Meta(description="Values that are finite on both sides and differ; null if not counted.")
    ] = None
    in_one: Annotated[int | None, Meta(description="Values that are finite on one side only.")] = None
    largest: Annotated[
        float | None,
        Meta(description="The largest difference, in the image's unit; of block statistics a lower limit."),
    ] = None

    @property
    def equal(self) -> bool:
        """Whether the data are equal bit by bit."""
        return self.before is not None and self.before == self.after


@dataclass(frozen=True, slots=True)
class AcceptedBy:
    """Who accepted a difference, when and why."""

    by: Annotated[str, Meta(min_length=1, max_length=200)]
    when: Annotated[str, Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", max_length=40)]
    reason: Annotated[str, Meta(min_length=1, max_length=4_000)]


@dataclass(frozen=True, slots=True)
class OutputChange:
    """The outputs of a run and of the run that it is compared with."""

    case: str
    role: str
    before: Annotated[str, Meta(description="The key of the run on the first side.")]
    after: Annotated[str, Meta(description="The key of the run on the second side.")]
    grade: Grade
    what: Annotated[
        tuple[Message, ...], Meta(description="What differs beyond equal runs, or why nothing was compared.")
    ]
    images: tuple[ImageChange, ...] = ()
    lost_sky: Annotated[float | None, Meta(description="Sky covered on the first side only, in square arcminutes.")] = (
        None
    )
    new_sky: Annotated[float | None, Meta(description="Sky covered on the second side only, in square arcminutes.")] = (
        None
    )
    decides: Annotated[
        bool, Meta(description="Whether a difference counts: the version under test, and its run_end.")
    ] = True
    accepted: AcceptedBy | None = None
    void: Annotated[
        Message | None, Meta(description="Why an acceptance of this run does not hold for these outputs.")
    ] = None

    @property
    def outcome(self) -> Outcome:
        """``fail`` for a difference that nobody accepted, ``unknown`` for outputs that could not be compared."""
        if not self.decides or self.accepted is not None:
            return Outcome.PASS
        return {"different": Outcome.FAIL, "not compared": Outcome.UNKNOWN}.get(self.grade, Outcome.PASS)

    @property
    def differs(self) -> bool:
        """Whether there is a difference to accept: data, WCS or structure."""
        return self.grade == "different" or any(not image.equal for image in self.images)


@dataclass(frozen=True, slots=True)
class FactChange:
    """A fact about the target, the options or the environment that is not the same on both sides."""

    group: Literal["target", "options", "environment", "request"]
    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed from one side to the other. The worst change comes first in each part."""

    before: SideFacts
    after: SideFacts
    verdicts: tuple[VerdictChange, ...]
    figures: tuple[FigureChange, ...]
    outputs: Annotated[tuple[OutputChange, ...], Meta(description="Every pair of runs, also of equal outputs.")]
    facts: tuple[FactChange, ...]
    only_before: Annotated[tuple[str, ...], Meta(description="Runs that the second side does not have.")] = ()
    only_after: Annotated[tuple[str, ...], Meta(description="Runs that the first side does not have.")] = ()
    compared: Annotated[int, Meta(description="Verdicts that both sides have.")] = 0

    @property
    def outcome(self) -> Outcome:
        """``fail`` if something is worse, ``unknown`` if something that counts could not be compared, else ``pass``."""
        if not self.compared and not self.outputs:
            return Outcome.UNKNOWN
        worse = [Outcome.FAIL for change in self.verdicts if change.way == "worse"]
        return merge([Outcome.PASS, *worse, *(output.outcome for output in self.outputs)])

    def to_json(self) -> Mapping[str, Any]:
        """Return built-in types only. The outcome is written for readers of the file."""
        return {"format": FORMAT, "outcome": self.outcome.value, **to_json(self)}
