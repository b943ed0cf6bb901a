"""Compare two sessions, or two runs: put together what changed in verdicts, figures, outputs and environment."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from harness.checks.thresholds import read_thresholds
from harness.compare.accepted import AcceptanceFile, read_accepted, with_acceptance
from harness.compare.model import Changes, FactChange, OutputChange, Ran, SideFacts
from harness.compare.outputs import output_change, paired, read_outputs
from harness.compare.sides import Side
from harness.compare.verdicts import Name, figure_changes, of_run, of_session, verdict_changes
from harness.language.message import Message, say
from harness.record.convert import to_json
from harness.record.reader import Record, read_request
from harness.session.model import SessionError
from harness.session.rows import run_of

_LONGEST = 500
"""Characters of a fact that are shown."""


def compare(before: Side, after: Side) -> Changes:
    """Return what changed from one side to the other.

    Raises
    ------
    SessionError
        When one side is a session and the other is a run, or the acceptances of the second side can't be read.

    """
    if before.whole != after.whole:
        raise SessionError(
            say(
                "expected two sessions or two runs, found one session and one run in {before} and {after}: name a run of a "
                "session as SESSION::KEY",
                before=before.name,
                after=after.name,
            )
        )
    limits = read_thresholds()
    accepted = read_accepted(after.folder) if after.session is not None else AcceptanceFile()
    one, two = _verdicts(before), _verdicts(after)
    tests = tuple(side.session.tests if side.whole and side.session is not None else () for side in (before, after))
    outputs, only_before, only_after = _outputs(before, after)
    return Changes(
        before=_side(before),
        after=_side(after),
        verdicts=verdict_changes(one, two, (tests[0], tests[1]), limits),
        figures=tuple(figure_changes(one, two)),
        outputs=tuple(with_acceptance(output, accepted) for output in outputs),
        facts=tuple(_facts(before, after)),
        only_before=tuple(only_before),
        only_after=tuple(only_after),
        compared=len(one.keys() & two.keys()),
    )


def _verdicts(side: Side) -> Mapping[Name, Any]:
    if side.session is None:
        return {}
    return of_session(side.session) if side.run is None else of_run(side.session, side.run)


def _side(side: Side) -> SideFacts:
    session = side.session
    if session is None:
        return SideFacts(side.name, None, read_request(side.folder).target.label, "", None, "")
    entry = side.entry(side.run) if side.run is not None else None
    target = entry.target if entry is not None else session.target
    named = (side.name, side.run, target, session.created)
    if side.run is not None:
        return SideFacts(*named, None, side.sha256)
    ran, interrupted = Ran(*run_of(session)), session.interrupted is not None
    return SideFacts(*named, session.outcome, side.sha256, ran, interrupted)


def _outputs(before: Side, after: Side) -> tuple[list[OutputChange], list[str], list[str]]:
    limits = read_thresholds()
    if not before.whole:
        entry = after.entry(after.run) if after.run is not None else None
        case, role = (entry.case, entry.role) if entry is not None else ("", "subject")
        keys = [side.run or side.folder.absolute().name for side in (before, after)]
        records = [read_outputs(side, side.run) for side in (before, after)]
        change = output_change((case, role, keys[0], keys[1]), records[0], records[1], limits)
        return [replace(change, decides=True)], [], []  # runs that were named count, whatever their role
    pairs, only_before, only_after = paired(before, after)
    found = []
    for one, two in pairs:
        records = [read_outputs(side, run.key) for side, run in ((before, one), (after, two))]
        found.append(output_change((two.case, two.role, one.key, two.key), records[0], records[1], limits))
    return found, only_before, only_after


def _facts(before: Side, after: Side) -> Iterator[FactChange]:
    for group in ("target", "options", "environment", "request"):
        one, two = (_known(side, group) for side in (before, after))
        for name in sorted({**one, **two}):
            if one.get(name) != two.get(name):
                yield FactChange(group, name, one.get(name), two.get(name))


def _known(side: Side, group: str) -> Mapping[str, str]:
    """Return the facts of one group by name, as text."""
    session = side.session
    if group == "request":
        return {} if side.whole else _asked(side)
    if group == "target":
        if side.whole and session is not None:
            return {"label": session.target, "kind": session.target_kind, **_flat(session.identity)}
        target = read_request(side.record_of(side.run)).target
        return {"label": target.label, "kind": target.kind, **_flat(target.identity)}
    if session is None:
        return {}
    return _flat(session.options if group == "options" else session.environment)


def _asked(side: Side) -> Mapping[str, str]:
    """Return what one run was asked for, without its target and without the list of its frames."""
    request = read_request(side.record_of(side.run))
    facts = {name: part for name, part in to_json(request).items() if name not in ("target", "dataset")}
    return _flat({**facts, "dataset": request.dataset.name, "dataset.sha256": request.dataset.sha256})


def _flat(facts: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Return nested facts by dotted name, as text."""
    found: dict[str, str] = {}
    for name, value in facts.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{before}{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(to_json(value), ensure_ascii=False)
            found[f"{before}{name}"] = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return found


def records_of(before: Side, after: Side, output: OutputChange) -> tuple[Record, Record] | None:
    """Read the records of two runs that were compared; ``None`` if one of them can't be compared."""
    one, two = read_outputs(before, output.before), read_outputs(after, output.after)
    return None if isinstance(one, Message) or isinstance(two, Message) else (one, two)
