"""Show outcomes by a sign and a word as well as a colour, so that they can be told apart without colour."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.language.catalogue import Language
from harness.language.message import Message, say
from harness.session.model import JudgedRun
from harness.session.roles import ROLES, role_name
from harness.verdict import Outcome, Verdict
from reports.names import check_names


@dataclass(frozen=True, slots=True)
class Badge:
    """How an outcome is shown: its sign, its word, and the name of its style."""

    sign: str
    word: str
    style: str


_SIGNS: Mapping[str, tuple[str, Message, str]] = MappingProxyType(
    {
        Outcome.FAIL: ("✗", say("fail"), "fail"),
        Outcome.UNKNOWN: ("?", say("unknown"), "unknown"),
        Outcome.PASS: ("✓", say("pass"), "pass"),
        Outcome.NOT_APPLICABLE: ("–", say("not applicable"), "none"),
        Outcome.NOT_EVALUATED: ("○", say("not evaluated"), "none"),
    }
)

# Other versions than the subject: their verdicts are shown and do not count against the patch. A control has verdicts of its own.
BEFORE = frozenset({"baseline", "baseline-pair", "control-pair"})
_BASELINES = frozenset({"baseline", "baseline-pair"})

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
    """Return how an outcome is shown; any other word is shown in the style of unknown."""
    sign, word, style = _SIGNS.get(outcome, ("?", Message(outcome), "unknown"))
    return Badge(sign, language.render(word), style)


def verdict_badge(verdict: Verdict, language: Language) -> Badge:
    """Return how a verdict is shown. A finding that does not count against the patch has a sign of its own."""
    if verdict.outcome is Outcome.FAIL and not verdict.gates:
        return known_badge(verdict, language)
    return badge(verdict.outcome, language)


def known_badge(verdict: Verdict, language: Language) -> Badge:
    """Return the badge of a finding: known if the baseline has it too, of unknown age otherwise."""
    if verdict.standing == "pre-existing":
        return Badge("△", language.say("known, not the patch's"), "known")
    return Badge("△", language.say("finding"), "known")


def role_rank(role: str) -> int:
    """Return the sort key of a role; unknown roles come last."""
    return list(ROLES).index(role) if role in ROLES else len(ROLES)


def role_word(role: str, language: Language) -> str:
    """Return the word for a role."""
    return language.render(role_name(role))


def told_apart(judged: Iterable[JudgedRun]) -> tuple[JudgedRun, ...]:
    """Drop the baseline where the same run is judged in another role too: that entry is labelled with both roles."""
    known = tuple(judged)
    others = {(j.case, j.run) for j in known if j.role not in _BASELINES}
    return tuple(j for j in known if j.role not in _BASELINES or (j.case, j.run) not in others)


def state_word(state: str, language: Language) -> str:
    """Return the word for the end state of a run."""
    return language.render(_STATES.get(state, Message(state)))


def expected_red(judged: JudgedRun, language: Language) -> str:
    """Return the checks that must be red on a control, and those that are allowed to be red."""
    expected = check_names(judged.expected_red or (), language)
    if not judged.allowed_red:
        return expected
    others = check_names(judged.allowed_red, language)
    return language.say("{checks} (allowed too: {others})", checks=expected, others=others)


def found_red(judged: JudgedRun, language: Language) -> str:
    """Return the gating checks that are red on a control."""
    return check_names(tuple(v.check for v in judged.verdicts if _red(v)), language)


def control_badge(verdict: Verdict, judged: JudgedRun, language: Language) -> Badge:
    """Return how a verdict on a control is shown: red counts as right where it was expected, and as wrong elsewhere."""
    expected = verdict.check in (judged.expected_red or ())
    if _red(verdict):
        return _red_badge(verdict.check, judged, language)
    if verdict.outcome is Outcome.FAIL and not verdict.gates:
        return known_badge(verdict, language)
    if expected and verdict.outcome is Outcome.UNKNOWN:
        return Badge("?", language.say("unknown, expected red"), "unknown")
    if expected:
        return Badge("✗", language.say("not red, expected red"), "fail")
    return badge(verdict.outcome, language)


def _red_badge(check: str, judged: JudgedRun, language: Language) -> Badge:
    """Return how a red verdict on a control is shown. A defect that its run with ``run_end`` has too is not the bug."""
    if check in judged.red_with_run_end:
        return Badge("–", language.say("red, also with run_end"), "none")
    if check in (judged.expected_red or ()):
        return Badge("✓", language.say("red, as expected"), "pass")
    if check in judged.allowed_red:
        return Badge("–", language.say("red, allowed"), "none")
    return Badge("✗", language.say("red, not expected"), "fail")


def finding_word(verdict: Verdict, language: Language) -> str:
    """Return the label of a quality finding, with its standing if known; empty for a verdict on the patch."""
    if verdict.axis != "quality":
        return ""
    words = {"new": language.say("finding, new"), "pre-existing": language.say("finding, pre-existing")}
    return words.get(verdict.standing, language.say("finding"))


def _red(verdict: Verdict) -> bool:
    return verdict.outcome is Outcome.FAIL and verdict.gates
