"""Find the exceptions of the target that ended a tile, Phase 3 or the run, and name each with its line of source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Figure, Unit, numbers
from harness.analysis.own_failures import SOURCE, OwnFailure, own_failures
from harness.checks.base import Check, Runs, own_failure_sentence
from harness.checks.premises import CALLBACK
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.verdict import Outcome, Verdict

NAME = "crash"

_NOT_THE_TARGETS: Mapping[str, Message] = MappingProxyType(
    {
        "library": say("The interpreter lacks a library that the target imports ({what}): install it, and run again."),
        "disk": say("The disk was full ({what}): make room, and run again."),
        "outside": say(
            "The signal {what} ended the process. Another program, or a system short of memory, sends it: run again."
        ),
        "harness": say("The run ended before the target began, or outside its source ({what}): read console.log."),
    }
)


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    run = runs.run
    found = own_failures(run)
    of_target = [failure for failure in found if failure.blame == "target"]
    others = [failure for failure in found if failure.blame != "target"]
    evidence: dict[str, Any] = {
        "failures": [_described(failure) for failure in of_target][:MAX_LISTED],
        "count": len(of_target),
        "not_of_the_target": [_described(failure) for failure in others][:MAX_LISTED],
        "exceptions_recorded": SOURCE in run.history.capabilities,
    }
    if of_target:
        first, *more = of_target
        calls = (
            (say("The calls in the target's source: {calls}.", calls=" > ".join(first.stack)),) if first.stack else ()
        )
        also = tuple(own_failure_sentence(failure) for failure in more[: MAX_LISTED - 1])
        return Verdict(NAME, Outcome.FAIL, own_failure_sentence(first), evidence, (*calls, *also))
    if others:
        template = _NOT_THE_TARGETS[others[0].blame]
        return Verdict(NAME, Outcome.UNKNOWN, Message(template.text, {"what": others[0].what}), evidence)
    sentence = say("No exception of the target ended a tile, Phase 3 or the run.")
    return Verdict(NAME, Outcome.PASS, sentence, evidence)


def _described(failure: OwnFailure) -> dict[str, Any]:
    return {
        "where": failure.where,
        "what": failure.what,
        "place": failure.place or None,
        "tile": failure.tile,
        "thread": failure.thread,
        "stack": list(failure.stack),
    }


CHECK = Check(
    NAME,
    say("Did the target fail by itself?"),
    _judge,
    # No premise: a run that crashed before Phase 3, or without its schedule, shows the exception all the same.
    {"classic": (), "sds": (), "grid": ()},
    for_pass=(CALLBACK,),
    figures=(Figure(say("failures of the target itself"), Unit.COUNT, numbers("count")),),
)
