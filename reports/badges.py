"""The sign and the word that stand for an outcome, so that colour is never the only sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.session.model import JudgedRun
from harness.session.roles import ROLES, role_name
from harness.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class Badge:
    """An outcome as it is shown: a sign, a word, and the name of its style."""

    sign: str
    word: str
    style: str


_SIGNS: Mapping[str, tuple[str, Message, str]] = MappingProxyType(
    {
        "fail": ("✗", say("fail"), "fail"),
        "unknown": ("?", say("unknown"), "unknown"),
        "pass": ("✓", say("pass"), "pass"),
        "not applicable": ("–", say("not applicable"), "none"),
        "not evaluated": ("○", say("not evaluated"), "none"),
    }
)

# Worst first: the order of every list of outcomes.
ORDER: tuple[str, ...] = ("fail", "unknown", "pass", "not applicable", "not evaluated")

# What the subject is measured against: its verdicts are shown and gate nothing.
BEFORE = frozenset({"baseline", "baseline-pair"})

_STATES: Mapping[str, Message] = MappingProxyType(
    {
        "done": say("done"),
        "crashed": say("crashed"),
        "timed out": say("timed out"),
        "killed": say("killed"),
        "not sealed": say("not sealed"),
    }
)


def badge(outcome: str, language: Language) -> Badge:
    """Return how an outcome is shown; a word that is no outcome is shown as unknown, with the word itself."""
    sign, word, style = _SIGNS.get(outcome, ("?", Message(outcome), "unknown"))
    return Badge(sign, language.render(word), style)


def rank(outcome: str) -> int:
    """Return the place of an outcome, worst first."""
    return ORDER.index(outcome) if outcome in ORDER else ORDER.index("unknown")


def role_rank(role: str) -> int:
    """Return the place of a role in a list."""
    return list(ROLES).index(role) if role in ROLES else len(ROLES)


def role_word(role: str, language: Language) -> str:
    """Return the word for a role."""
    return language.render(role_name(role))


def told_apart(judged: Iterable[JudgedRun]) -> tuple[JudgedRun, ...]:
    """Leave out the baseline where the same run is judged in another role too: that one names both."""
    known = tuple(judged)
    others = {(j.case, j.run) for j in known if j.role not in BEFORE}
    return tuple(j for j in known if j.role not in BEFORE or (j.case, j.run) not in others)


def state_word(state: str, language: Language) -> str:
    """Return the word for the end state of a run."""
    return language.render(_STATES.get(state, Message(state)))


def expected_red(judged: JudgedRun, language: Language) -> str:
    """Return the checks that must be red on a control, with those that may be red besides."""
    expected = _listed(judged.expected_red or (), language)
    if not judged.allowed_red:
        return expected
    others = _listed(judged.allowed_red, language)
    return language.say("{checks} (allowed too: {others})", checks=expected, others=others)


def found_red(judged: JudgedRun, language: Language) -> str:
    """Return the checks that are red on a control, of those that gate."""
    return _listed([v.check for v in judged.verdicts if _red(v)], language)


def control_badge(verdict: Verdict, judged: JudgedRun, language: Language) -> Badge:
    """Return how a verdict on a control is shown: red is right where it was expected, and wrong elsewhere."""
    expected = verdict.check in (judged.expected_red or ())
    if expected and _red(verdict):
        return Badge("✓", language.say("red, as expected"), "pass")
    if expected and verdict.outcome is Outcome.UNKNOWN:
        return Badge("?", language.say("unknown, expected red"), "unknown")
    if expected:
        return Badge("✗", language.say("not red, expected red"), "fail")
    if _red(verdict) and verdict.check in judged.allowed_red:
        return Badge("–", language.say("red, allowed"), "none")
    if _red(verdict):
        return Badge("✗", language.say("red, not expected"), "fail")
    return badge(verdict.outcome.value, language)


def finding_word(verdict: Verdict, language: Language) -> str:
    """Return the word for a finding of quality, with its standing where it is known; nothing for a verdict on the patch."""
    if verdict.axis != "quality":
        return ""
    words = {"new": language.say("finding, new"), "pre-existing": language.say("finding, pre-existing")}
    return words.get(verdict.standing, language.say("finding"))


def _red(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.FAIL and verdict.gates


def _listed(names: Sequence[str], language: Language) -> str:
    return ", ".join(sorted(names)) if names else language.say("none")
