"""Define what an attempt of a family found, and how attempts are counted."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOST, LET_IN, UNSEEN = "lost", "let in", "unseen"
KINDS = (LOST, LET_IN, UNSEEN)
"""A result or file of the user is lost; something wrong had an effect or raised an error of Python; a change was not found."""


@dataclass(frozen=True)
class Attempt:
    """What one attempt did, and what is wrong about its end: one of `KINDS`, or nothing.

    ``skipped`` is the reason why nothing was tried. ``group`` is the part of the family that was tried, such as a reader.
    """

    what: str
    kind: str = ""
    detail: str = ""
    skipped: str = ""
    group: str = ""

    def __post_init__(self) -> None:
        assert self.kind in ("", *KINDS), self.kind


def ended(what: str, wrong: Iterable[tuple[str, str]], group: str = "") -> Attempt:
    """Return the attempt with all that is wrong about its end: pairs of a kind and a sentence. The worst kind counts."""
    found = list(wrong)
    kind = min((kind for kind, _ in found), key=KINDS.index, default="")
    return Attempt(what, kind, "; ".join(detail for _, detail in found), group=group)


@dataclass(frozen=True)
class Finding:
    """An attempt that found something, with what is needed to repeat it."""

    family: str
    seed: int
    number: int
    kind: str
    what: str
    detail: str

    @property
    def repeat(self) -> str:
        """The command that makes the same attempt again."""
        return f"python -m tests.reliability {self.family} --seed {self.seed} --only {self.number}"


@dataclass(frozen=True)
class Tally:
    """How many attempts of a family were made, and what they found.

    ``skipped`` has the number of attempts by reason; they are not among those that were tried. ``groups`` has the number of tried
    attempts by the part of the family.
    """

    family: str
    tried: int = 0
    lost: int = 0
    let_in: int = 0
    unseen: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    groups: dict[str, int] = field(default_factory=dict)

    def __add__(self, other: "Tally") -> "Tally":
        assert self.family == other.family, (self.family, other.family)
        return Tally(
            self.family,
            self.tried + other.tried,
            self.lost + other.lost,
            self.let_in + other.let_in,
            self.unseen + other.unseen,
            dict(Counter(self.skipped) + Counter(other.skipped)),
            self.findings + other.findings,
            dict(Counter(self.groups) + Counter(other.groups)),
        )

    @property
    def clean(self) -> bool:
        """Whether attempts were made, and none found anything."""
        return self.tried > 0 and not (self.lost or self.let_in or self.unseen)

    def to_json(self) -> dict[str, Any]:
        """Return the tally as JSON."""
        return {
            "family": self.family,
            "tried": self.tried,
            "skipped": self.skipped,
            "groups": self.groups,
            "findings": [[f.seed, f.number, f.kind, f.what, f.detail] for f in self.findings],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Tally":
        """Read a tally that `to_json` wrote."""
        name = data["family"]
        findings = tuple(Finding(name, *entry) for entry in data["findings"])
        return cls(name, data["tried"], *_counts(findings), data["skipped"], findings, data["groups"])


def _counts(findings: Iterable[Finding]) -> list[int]:
    kinds = Counter(finding.kind for finding in findings)
    return [kinds[kind] for kind in KINDS]


@dataclass(frozen=True)
class Family:
    """A kind of attack. ``attempt(number, seed, folder)`` makes one attempt, in a new folder that is removed after it.

    ``groups`` names the parts of the family, each of which the long profile has to try. ``short`` and ``long`` are the numbers of
    attempts of both profiles, ``block`` how many follow each other in one process.
    ``seconds`` is the most that an attempt may take, ``memory`` the most MiB of its process.
    """

    name: str
    title: str
    attempt: Callable[[int, int, Path], Attempt]
    short: int
    long: int
    block: int
    seconds: float = 30.0
    memory: float = 600.0
    groups: tuple[str, ...] = ()

    def untried(self, tally: "Tally") -> tuple[str, ...]:
        """Return the parts of the family that no attempt tried."""
        return tuple(name for name in self.groups if name not in tally.groups)

    def counted(self, seed: int, attempts: Iterable[tuple[int, Attempt]]) -> Tally:
        """Count attempts."""
        made = list(attempts)
        findings = tuple(Finding(self.name, seed, n, a.kind, a.what, a.detail) for n, a in made if a.kind)
        skipped = Counter(attempt.skipped for _, attempt in made if attempt.skipped)
        groups = Counter(attempt.group for _, attempt in made if attempt.group and not attempt.skipped)
        tried = len(made) - skipped.total()
        return Tally(self.name, tried, *_counts(findings), dict(skipped), findings, dict(groups))
