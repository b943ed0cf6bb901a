"""Find the exceptions of the target that ended a tile, Phase 3 or the run, and name each with its line of source."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Figure, Unit, numbers
from harness.analysis.own_failures import SOURCE, OwnFailure, own_failures
from harness.analysis.phase3 import NONE_MADE, RAISED, SUCCEEDED
from harness.checks.base import Check, Runs, own_failure_sentence
from harness.checks.premises import CALLBACK
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.reader import Record
from harness.verdict import Outcome, Verdict

NAME = "crash"

_NOT_THE_TARGETS: Mapping[str, Message] = MappingProxyType(
    {
        "library": say(
            "The interpreter lacks a library that the target imports ({what}; place: {place}): install it, and run again."
        ),
        "import": say(
            "An import of the target failed ({what}; place: {place}). Either the interpreter lacks a library: install it. Or the "
            "target names a module that does not exist: correct the import."
        ),
        "disk": say("The disk was full ({what}): make room, and run again."),
        "outside": say(
            "The signal {what} ended the process. Another program, or a system short of memory, sends it: run again."
        ),
        "harness": say("The run ended before the target began, or outside its source ({what}): read console.log."),
    }
)


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    run = runs.run
    found = own_failures(run, runs.baseline)
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
        if first.missing:
            calls = (_no_such_module(first), *calls)
        also = tuple(own_failure_sentence(failure) for failure in more[: MAX_LISTED - 1])
        return Verdict(NAME, Outcome.FAIL, own_failure_sentence(first), evidence, (*calls, *also))
    if others:
        template = _NOT_THE_TARGETS[others[0].blame]
        values = {"what": others[0].what, "place": others[0].place or "?"}
        return Verdict(NAME, Outcome.UNKNOWN, Message(template.text, values), evidence)
    return _without_exception(run, evidence)


def _without_exception(run: Record, evidence: dict[str, Any]) -> Verdict:
    """Judge a run that no exception ended. An error that it reported is named: no other check may name it first.

    If the run then made no mosaic, it failed for a reason that is not known here.
    """
    errors = [e for e in run.history.events if e.source == "callback" and e.key.startswith("run_error_")]
    errors = [event for event in errors if event.key != RAISED]
    evidence["errors_reported"] = sorted({event.key for event in errors})[:MAX_LISTED]
    if not errors:
        sentence = say("No exception of the target ended a tile, Phase 3 or the run.")
        return Verdict(NAME, Outcome.PASS, sentence, evidence)
    last = errors[-1].key
    succeeded = run.history.named(*SUCCEEDED) or (run.products is not None and run.products.mosaic)
    if succeeded or last == NONE_MADE:  # the check `tiles` says which tiles were not made, and why
        sentence = say(
            "No exception of the target ended a tile, Phase 3 or the run. It reported an error: {event}.", event=last
        )
        return Verdict(NAME, Outcome.PASS, sentence, evidence)
    sentence = say(
        "The target reported an error ({event}) and made no mosaic. No exception shows the reason: read its log.",
        event=last,
    )
    return Verdict(NAME, Outcome.UNKNOWN, sentence, evidence)


def _no_such_module(failure: OwnFailure) -> Message:
    if failure.like:
        return say(
            "There is no module {name}. One of almost this name is {like}: correct the import.",
            name=failure.missing,
            like=failure.like,
        )
    return say(
        "The module {name} is neither in the target's folder nor among its required libraries: correct the import, or add the "
        "library to the requirements.",
        name=failure.missing,
    )


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
