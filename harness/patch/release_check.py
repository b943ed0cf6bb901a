"""Judge the release of caches as ``release_driver`` observed it: a pure function of the facts in ``release.json``."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Protocol

from harness.language.message import Message, counted, say
from harness.record.convert import LONGEST, to_json
from harness.record.values import UNREADABLE
from harness.verdict import Outcome, Verdict

FORMAT = "phase3-release/1"

Step = Mapping[str, Any]


def judge(found: Mapping[str, Any]) -> Verdict:
    """Judge the facts of a driven release. The target can write them too: facts of another form are unknown."""
    return _tried("release", found, lambda: _judged(found))


def judge_growth(found: Mapping[str, Any], limits: Limits) -> Verdict:
    """Judge how the work of registration and release grows with the number of inputs; facts of another form are unknown."""
    return _tried("growth", found, lambda: _judged_growth(found, limits))


def _tried(check: str, found: Mapping[str, Any], judged: Callable[[], Verdict]) -> Verdict:
    try:
        verdict = judged()
        json.dumps(to_json(verdict.evidence))
    except (AttributeError, *UNREADABLE) as error:
        reason = f"{type(error).__name__}: {error}"[:LONGEST]
        sentence = say("The facts of the driven release are of another form ({problem}): run it again.", problem=reason)
        return Verdict(check, Outcome.UNKNOWN, sentence, {"facts": sorted(map(str, found))})
    return verdict


def _judged(found: Mapping[str, Any]) -> Verdict:
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
    sentence = counted(
        "{function} was called in {count} step: no count fell below zero, and no cache that was still "
        "needed was removed.",
        "{function} was called in {count} steps: no count fell below zero, and no cache that was still "
        "needed was removed.",
        function=str(found["function"]),
        count=len(EXPECTED),
    )
    return verdict(Outcome.PASS, sentence)


class Limits(Protocol):
    """Gives the value of a limit by its name in ``thresholds.toml``."""

    def __getitem__(self, name: str, /) -> float: ...


def _judged_growth(found: Mapping[str, Any], limits: Limits) -> Verdict:
    """Judge how the work of registration and release grows with the number of inputs: it must grow no faster than the inputs.

    ``limits`` has ``growth.lines`` and ``growth.seconds``, the largest powers of the inputs, and ``growth.noticed``, the CPU time
    below which a time says nothing.
    """
    growth = found.get("growth")
    problem = found.get("problem") or (growth.get("problem") if isinstance(growth, Mapping) else None)
    if not isinstance(growth, Mapping) or problem:
        reason = str(problem or "the facts were written by an older driver")
        sentence = say("The growth of the work of reference counting could not be measured: {problem}.", problem=reason)
        return Verdict("growth", Outcome.UNKNOWN, sentence, {"growth": None})
    steps = ("register", "release")
    powers = {step: _power(growth["lines"], step) for step in steps}
    slow = {step: _power(growth["seconds"], step) for step in steps}
    evidence = {
        "functions": str(growth["name"]),
        "sizes": [dict(row) for row in growth["lines"]],
        "times": [dict(row) for row in growth["seconds"]],
        **{f"{step}_power": powers[step] for step in steps},
        **{f"{step}_power_of_time": slow[step] for step in steps},
    }
    verdict = partial(Verdict, "growth", evidence=evidence)
    # The lines of one thread are counted. Without a line for each input, the work is done elsewhere.
    unseen = {step for step in steps if any(float(row[step]) < float(row["inputs"]) for row in growth["lines"])}
    none = {step for step in steps if any(not row[step] for row in growth["lines"])}
    for step, of_lines, of_time in (
        (
            "register",
            say(
                "Registration grows faster than the inputs: the lines it executes grow with their power {value} (limit {limit})."
            ),
            say(
                "Registration grows faster than the inputs: its CPU time grows with their power {value} (limit {limit})."
            ),
        ),
        (
            "release",
            say(
                "The release grows faster than the inputs: the lines it executes grow with their power {value} (limit {limit})."
            ),
            say(
                "The release grows faster than the inputs: its CPU time grows with their power {value} (limit {limit})."
            ),
        ),
    ):
        if powers[step] > limits["growth.lines"] and step not in none:
            sentence = Message(of_lines.text, {"value": round(powers[step], 2), "limit": limits["growth.lines"]})
            return verdict(Outcome.FAIL, sentence)
        longest = float(growth["seconds"][-1][step])
        if longest > limits["growth.noticed"] and slow[step] > limits["growth.seconds"]:
            sentence = Message(of_time.text, {"value": round(slow[step], 2), "limit": limits["growth.seconds"]})
            return verdict(Outcome.FAIL, sentence)
    if unseen:
        step = next(step for step in steps if step in unseen)
        row = next(row for row in growth["lines"] if float(row[step]) < float(row["inputs"]))
        sentence = say(
            "The growth of the work of reference counting could not be measured. Lines that were executed in {step}: {lines}, "
            "inputs: {inputs}. So the work is done in another thread or outside of Python's lines.",
            lines=row[step],
            step=step,
            inputs=row["inputs"],
        )
        return verdict(Outcome.UNKNOWN, sentence)
    sentence = say(
        "The work of reference counting grows with the number of inputs: lines executed grow with the inputs to the power "
        "{register} in registration and {release} in the release.",
        register=round(powers["register"], 2),
        release=round(powers["release"], 2),
    )
    return verdict(Outcome.PASS, sentence)


def _power(rows: Sequence[Mapping[str, Any]], step: str) -> float:
    """Return the power of the inputs with which a quantity grows between the two largest sizes.

    With smaller sizes a linear part hides a quadratic one.
    """
    before, last = rows[-2], rows[-1]
    times = max(float(last[step]), 1e-9) / max(float(before[step]), 1e-9)
    return round(math.log(times) / math.log(float(last["inputs"]) / float(before["inputs"])), 4)


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
