"""Compare the findings of a run with those of other runs by their sizes, not by their names alone.

The evidence of a check lists findings as ``{"name", "size", "noise"}``. The name is stable. The size is 0 or more and grows with
the defect, in a natural unit. ``value`` is optional: the measured quantity itself, whose distance from the right value is the
size. It is a number with its sign, such as a panel's flux of 0.48, or a list of numbers that are compared as a vector, such as
the gains of three channels. The noise is the standard error of the value if there is one, else of the size.
Records of earlier versions list names only; these are compared by name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.analysis.figure import Evidence
from harness.analysis.stars import rounded
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.values import is_finite

Value = float | tuple[float, ...]
"""A measured quantity: a number, or a vector."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding of a check. ``size`` is ``None`` in evidence of an earlier version, which has only the name."""

    name: str
    size: float | None
    noise: float = 0.0
    value: Value | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the finding in built-in types. A measure that is not finite is left out: JSON has no infinity."""
        shown = {key: _shown(getattr(self, key), 5) for key in ("size", "noise", "value")}
        return {"name": self.name, **{key: measure for key, measure in shown.items() if measure is not None}}


@dataclass(frozen=True, slots=True)
class Worse:
    """A finding that other runs do not have like this: its measure in them, ``None`` if they do not have it, and here."""

    name: str
    before: Value | None
    after: Value | None

    def to_json(self) -> dict[str, Any]:
        """Return the comparison in built-in types."""
        return {"name": self.name, "before": _shown(self.before, 4), "after": _shown(self.after, 4)}

    @property
    def sentences(self) -> tuple[Message, Message]:
        """The comparison as two sentences: what is new, and its measures."""
        if self.before is None or self.after is None:
            return _new(self.name), say("The runs that it is compared with do not have it.")
        return _new(self.name), _measures(_vector(self.before), _vector(self.after))


# Names in the evidence are stable, and in English. A sentence for people has a template for each, which can be translated.
_OF_THE_MOSAIC: Mapping[str, Message] = MappingProxyType(
    {
        "scale": say("New finding: the scale of the values."),
        "colour": say("New finding: the colours of the mosaic."),
        "constant areas": say("New finding: areas filled with a constant."),
        "trimmed sky": say("New finding: sky that the mosaic leaves out."),
        "newly trimmed sky": say("New finding: the mosaic leaves out sky that the other runs show."),
        "counts": say("New finding: the counts of the coverage map."),
        "no map": say("New finding: the run wrote no coverage map."),
    }
)
_OF_A_PANEL: Mapping[str, Message] = MappingProxyType(
    {
        "stars": say("New finding: missing stars in panel {panel}."),
        "flux": say("New finding: the star fluxes of panel {panel}."),
        "positions": say("New finding: the star positions of panel {panel}."),
        "doubled": say("New finding: doubled stars in panel {panel}."),
        "colour": say("New finding: the colours of panel {panel}."),
        "level": say("New finding: the level of the sky in panel {panel}."),
        "constant areas": say("New finding: areas filled with a constant in panel {panel}."),
        "counts": say("New finding: the counts of the coverage map in panel {panel}."),
        "miscounted sky": say("New finding: more sky with wrong counts in the coverage map in panel {panel}."),
        "scale": say("New finding: the scale of the coverage map in panel {panel}."),
    }
)
_PANEL = re.compile(r"panel (-?\d{1,9}): (.+)")


def _new(name: str) -> Message:
    """Return the sentence that a finding is new; a name of a later version is shown as it is."""
    of_panel = _PANEL.fullmatch(name)
    if of_panel is not None and of_panel[2] in _OF_A_PANEL:
        return Message(_OF_A_PANEL[of_panel[2]].text, {"panel": int(of_panel[1])})
    return _OF_THE_MOSAIC.get(name) or say("New finding: {name}.", name=name)


def findings_in(evidence: Evidence) -> tuple[Finding, ...]:
    """Return the findings of a verdict's evidence. Entries that are neither a name nor a finding are left out."""
    listed = evidence.get("findings")
    found = []
    for entry in listed if isinstance(listed, list | tuple) else ():
        if isinstance(entry, str):
            found.append(Finding(entry, None))
        elif isinstance(entry, Mapping) and isinstance(entry.get("name"), str):
            size, noise = _finite(entry.get("size")), _finite(entry.get("noise"))
            found.append(Finding(entry["name"], size, abs(noise or 0.0), _value(entry.get("value"))))
    return tuple(found)


def names_in(evidence: Evidence) -> tuple[str, ...]:
    """Return the names of the findings of a verdict's evidence."""
    return tuple(finding.name for finding in findings_in(evidence))


def new_findings(
    evidence: Evidence, others: Iterable[Evidence], limits: Thresholds, *, by_name: bool = False
) -> tuple[Worse, ...]:
    """Return the findings that no other run has, or has as bad; ``by_name`` leaves sizes out.

    A finding with a ``value`` is also new if its value differs from that of every other run beyond noise, in any direction: a
    panel that was too faint and became a tenth brighter was changed, although it is nearer to the right flux. Stars that are
    displaced to the east are another finding than stars that are displaced to the west.
    """
    known: dict[str, list[Finding]] = {}
    for other in others:
        for finding in findings_in(other):
            known.setdefault(finding.name, []).append(Finding(finding.name, None) if by_name else finding)
    compared = ((finding, known.get(finding.name, [])) for finding in findings_in(evidence))
    return tuple(_worse(finding, before) for finding, before in compared if _is_new(finding, before, limits))


def _is_new(finding: Finding, known: list[Finding], limits: Thresholds) -> bool:
    """Return whether a finding is in no other run, or worse than in each of them, or has another value than in each."""
    if not known:
        return True
    if finding.value is not None and all(other.value is not None for other in known):
        return all(_apart(finding.value, other.value, finding, other, limits) for other in known)
    if finding.size is None or any(other.size is None for other in known):
        return False
    worst = max(known, key=lambda other: other.size or 0.0)
    return finding.size > (worst.size or 0.0) and _apart(finding.size, worst.size, finding, worst, limits)


def _apart(a: Value | None, b: Value | None, one: Finding, other: Finding, limits: Thresholds) -> bool:
    """Return whether two measures differ beyond noise and the smallest change that counts."""
    if a is None or b is None:
        return False
    floor = limits["findings.floor"] * max(_length(a), _length(b))
    return _distance(a, b) > limits["findings.noise"] * math.hypot(one.noise, other.noise) + floor + 1e-9


def _vector(measure: Value) -> tuple[float, ...]:
    return measure if isinstance(measure, tuple) else (measure,)


def _length(measure: Value) -> float:
    return math.hypot(*_vector(measure))


def _distance(a: Value, b: Value) -> float:
    """Return the distance of two measures; it is infinite if they have not the same number of components."""
    one, other = _vector(a), _vector(b)
    return math.dist(one, other) if len(one) == len(other) else math.inf


def _worse(finding: Finding, known: list[Finding]) -> Worse:
    """Describe a new finding with the nearest measure that the other runs have."""
    measure = "value" if finding.value is not None and any(other.value is not None for other in known) else "size"
    after: Value | None = getattr(finding, measure)
    before: list[Value] = [found for other in known if (found := getattr(other, measure)) is not None]
    nearest = min(before, key=lambda found: _distance(found, after)) if before and after is not None else None
    return Worse(finding.name, nearest, after)


def _shown(measure: Value | None, digits: int) -> float | list[float] | None:
    """Return a rounded measure in built-in types; ``None`` if a part of it is not finite."""
    if measure is None:
        return None
    if not isinstance(measure, tuple):
        return rounded(measure, digits)
    parts = [part for part in (rounded(part, digits) for part in measure) if part is not None]
    return parts if len(parts) == len(measure) else None


def _measures(before: tuple[float, ...], after: tuple[float, ...]) -> Message:
    """Return the sentence with two measures: numbers, displacements on the sky, or the gains of three channels."""
    match [round(part, 4) for part in before], [round(part, 4) for part in after]:
        case [[then], [now]]:
            return say(
                "It was {before} in the runs that it is compared with, and is {after} here.", before=then, after=now
            )
        case [[east, north], [east_now, north_now]]:
            return say(
                "The displacement to the east and to the north was {east} and {north} pixels in the runs that it is compared "
                "with, and is {east_now} and {north_now} here.",
                east=east,
                north=north,
                east_now=east_now,
                north_now=north_now,
            )
        case [[red, green, blue], [red_now, green_now, blue_now]]:
            return say(
                "Red, green and blue had {red}, {green} and {blue} times the highest gain in the runs that it is compared "
                "with, and have {red_now}, {green_now} and {blue_now} here.",
                red=red,
                green=green,
                blue=blue,
                red_now=red_now,
                green_now=green_now,
                blue_now=blue_now,
            )
        case _:
            return say("It has another value in the runs that it is compared with.")


def _value(entry: Any) -> Value | None:
    """Return a value of the evidence; ``None`` if it is neither a finite number nor a list of such numbers."""
    if not isinstance(entry, list | tuple):
        return _finite(entry)
    parts = [part for part in map(_finite, entry) if part is not None]
    return tuple(parts) if parts and len(parts) == len(entry) else None


def _finite(value: Any) -> float | None:
    return float(value) if is_finite(value) else None
