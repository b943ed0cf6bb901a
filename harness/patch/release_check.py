"""Judge the release of caches as ``release_driver`` observed it: a pure function of the facts in ``release.json``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from harness.language.message import Message, say
from harness.verdict import Outcome, Verdict

FORMAT = "phase3-release/1"

Step = Mapping[str, Any]


def judge(found: Mapping[str, Any]) -> Verdict:
    """Judge the facts of a driven release: no count below zero, no cache removed that a tile still needs, no exception.

    ``found`` is the content of ``release.json``, or a problem that kept the driver from writing it.
    """
    verdict = partial(Verdict, "release", evidence=dict(found))
    if found.get("format") != FORMAT or found.get("problem"):
        reason = str(found.get("problem") or found.get("format"))
        return verdict(Outcome.UNKNOWN, say("The release function could not be called: {problem}.", problem=reason))
    if not found.get("function"):
        looked = "; ".join(found.get("looked_at", ()))
        sentence = say("No function that counts users and removes caches was found; looked at: {names}.", names=looked)
        return verdict(Outcome.UNKNOWN, sentence)
    steps: dict[str, Step] = {str(step["step"]): step for step in found.get("steps", ())}
    undriven = [name for name in EXPECTED if name not in steps]
    if undriven:
        sentence = say(
            "The release function was not called in every step; missing: {names}.", names=", ".join(undriven)
        )
        return verdict(Outcome.UNKNOWN, sentence)
    wrong = [problem for name, fits in EXPECTED.items() if (problem := _problem(steps[name], fits)) is not None]
    if wrong:
        return verdict(Outcome.FAIL, wrong[0], cause=tuple(wrong[1:]))
    sentence = say(
        "{function} was called in {count} steps: no count fell below zero, and no cache that was still "
        "needed was removed.",
        function=str(found["function"]),
        count=len(EXPECTED),
    )
    return verdict(Outcome.PASS, sentence)


def _problem(step: Step, fits: Callable[[list[str]], bool]) -> Message | None:
    name = str(step["step"])
    if step["raised"] is not None:
        return say("{step}: the release raised {error}.", step=name, error=str(step["raised"]))
    negative = [count for counts in step["counts"] for count in counts.values() if count < 0]
    if negative:
        return say("{step}: a count fell to {count}.", step=name, count=min(negative))
    if not fits(list(step["there"])):
        files = ", ".join(step["there"])
        return say("{step}: the wrong files remain after the releases: {files}.", step=name, files=files)
    loud = [level for level in step["levels"] if level not in ("DEBUG", "INFO")]
    if loud:
        return say("{step}: the release logged at level {level}, above INFO.", step=name, level=loud[0])
    return None


# For each step of the driver: which of the files a, b and c may exist after each of its releases. In the step whose count is zero
# from the start, the target may remove the file or keep it: only the bounds of the count are judged.
EXPECTED: Mapping[str, Callable[[list[str]], bool]] = MappingProxyType(
    {
        "in order": lambda there: there == ["bc", ""],
        "a tile twice": lambda there: there == ["abc", "abc"],
        "a tile that was never registered": lambda there: there == ["abc"],
        "one release too many": lambda there: there == ["c", "c"],
        "a count that is zero already": lambda there: len(there) == 1 and "c" in there[0],
        "a missing file": lambda there: there == ["c"],
        "a file that can't be removed": lambda there: there == ["ac"],
    }
)
