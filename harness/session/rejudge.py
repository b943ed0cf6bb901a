"""Judge the runs of a session again with the current checks. The session itself is not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness.checks.judge import judge
from harness.language.message import say
from harness.record.comparison import Comparison
from harness.record.reader import Record, read_record
from harness.record.values import inside
from harness.session.control import red_with_run_end
from harness.session.model import JudgedRun, Session, SessionError
from harness.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Change:
    """A check whose verdict differs from the session's; ``before`` is ``None`` where the session has no verdict of it."""

    before: Verdict | None
    after: Verdict


def judge_again(folder: Path, session: Session, names: Iterable[str] | None = None) -> tuple[JudgedRun, ...]:
    """Judge every run of the session in a folder again, compared with the same runs, with all checks or those of some names.

    Raises
    ------
    ValueError
        When a record is missing or cannot be read, or there is no check of a given name.

    """
    record = _reader(folder, session)
    wanted = None if names is None else tuple(names)
    return tuple(_again(judged, judged.map(record), wanted) for judged in session.judged)


def _again(judged: JudgedRun, runs: Comparison[Record], wanted: tuple[str, ...] | None) -> JudgedRun:
    verdicts = judge(runs, _asked(judged, wanted))
    expected = judged.expected_red
    explained = () if expected is None else red_with_run_end(verdicts, expected, runs.pair)
    return replace(judged, verdicts=verdicts, red_with_run_end=explained)


def _asked(judged: JudgedRun, wanted: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Return the wanted checks, restricted to the questions of the case where it has some."""
    if not judged.questions:
        return wanted
    return judged.questions if wanted is None else tuple(name for name in wanted if name in judged.questions)


def changes(before: JudgedRun, after: JudgedRun) -> tuple[Change, ...]:
    """Return the checks whose outcome or standing changed."""
    known = {v.check: v for v in before.verdicts}
    found = ((known.get(v.check), v) for v in after.verdicts)
    return tuple(
        Change(old, new)
        for old, new in found
        if old is None or (old.outcome, old.standing) != (new.outcome, new.standing)
    )


def _reader(folder: Path, session: Session) -> Callable[[str], Record]:
    """Return a function that reads the record of a run by its key, each record once."""
    places = {run.key: run.record for run in session.runs}
    known: dict[str, Record] = {}

    def record(key: str) -> Record:
        if key not in places:
            raise SessionError(
                say(
                    "expected the run {run} among those of the session in {folder}, found no such run: the session was changed; "
                    "run the validation again",
                    run=key,
                    folder=str(folder),
                )
            )
        if key not in known:
            known[key] = read_record(inside(folder, places[key]))
        return known[key]

    return record
