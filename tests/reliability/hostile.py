"""Run targets that attack the harness: nothing outside the record changes, no process is left, and each run ends as it has to.

`tests.reliability.ways` lists the ways, each with its end. After each, an honest run of the same session and one of the next
session must be judged as if nothing had happened.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from harness.language.message import SaidError
from tests import hostile as replacing
from tests.reliability.signals import checkout, left, older_record
from tests.reliability.tally import LET_IN, LOST, Attempt, Family, ended
from tests.reliability.ways import START, WAYS, End, Way

SECONDS = 30.0
"""The most that a run of such a target may take, beyond its own limit."""
GRACE = 0.3
OWN = ("user é", "frames", "checkout", "earlier outputs")
"""The folders of the user: each stays byte for byte, with its rights and times."""


@dataclass(frozen=True)
class _Made:
    """What is left of a run: its record, or the error in its place, the seconds that it took, and whether the attack was made."""

    record: object | None
    said: str
    seconds: float
    did: bool


def attempt(number: int, seed: int, folder: Path) -> Attempt:
    """Run the target of this number; beyond the last way, the first begins again with a pause before it attacks."""
    turn, place = divmod(number, len(WAYS))
    way = WAYS[place]
    if not hasattr(os, "mkfifo"):
        return Attempt(way.name, skipped="signals, pipes and links without privileges are POSIX's", group=way.part)
    pause = random.Random(f"{seed}.{number}").random() * 0.5 if turn else 0.0
    return attacked(way, folder, pause)


def attacked(way: Way, root: Path, pause: float = 0.0) -> Attempt:
    """Run a target that attacks in a way, and look at its end and at what is left."""
    from harness.record.request import RunLimits
    from harness.session.run_matrix import RUNS
    from tests.runs_ import command

    frames, runs, proof = root / "frames", root / "sessions" / "s" / RUNS, root / "did"
    for name in OWN:
        replacing.users_folder(root / name)
    neighbour = older_record(runs, "pair-run_end")
    script = (
        f"from pathlib import Path\nuser = Path({str(root / OWN[0])!r})\nproof = Path({str(proof)!r})\n"
        f"neighbour = Path({str(neighbour)!r})\n{START}time.sleep({pause})\n{way.script}\n"
        + ("" if "did()" in way.script else "did()\n")
    )
    request = replace(command(frames, script, seconds=way.limit), limits=RunLimits(**dict(way.limits)))
    honest = replace(request, target=command(frames, HONEST).target, limits=RunLimits(), seconds=20.0)
    before = {name: replacing.facts(root / name) for name in OWN}
    older, source = replacing.facts(neighbour), checkout()
    record, said, spent = _run(request, runs / "subject-per_tile", frames)
    wrong = list(_wrong(way, _Made(record, said, spent - way.limit, proof.exists())))
    wrong += _left_behind(root, before, source)
    wrong += _of_neighbour(way, neighbour, older)
    wrong += _of_session(runs.parent)
    for place in (runs / "next", root / "sessions" / "t" / RUNS / "subject-per_tile"):
        wrong += _of_next(honest, place, frames)
    _remove(root / "sessions")
    return ended(way.name, wrong, way.part)


HONEST = "hello()\nevent('PROCESS_DONE')\n"
"""A target that does what each way does before it attacks."""


def _run(request, folder: Path, frames: Path):  # type: ignore[no-untyped-def]
    """Make a run; return its record or the sentence of the error in its place, and the seconds that it took."""
    from harness.run.runner import make_run

    began, said, record = time.monotonic(), "", None
    try:
        record = make_run(request, folder, frames, grace=GRACE)
    except (OSError, SaidError) as error:
        said = str(error) or f"{type(error).__name__} without a sentence"
    return record, said, time.monotonic() - began


def _outcomes(record) -> dict[str, str]:  # type: ignore[no-untyped-def]
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison

    return {verdict.check: verdict.outcome.value for verdict in judge(Comparison(record))}


@cache
def _honest() -> Mapping[str, str]:
    """Return the outcome of each check on a run of a target that does not attack."""
    from tests.reliability.pool import new_folder
    from tests.runs_ import command

    with new_folder() as root:
        record, said, _ = _run(command(root / "frames", HONEST), root / "record", root / "frames")
        assert record is not None, said
        found = _outcomes(record)
    assert "pass" in found.values(), found
    return found


def _wrong(way: Way, made: _Made) -> Iterator[tuple[str, str]]:
    if made.seconds > SECONDS:
        yield LET_IN, f"the run took {made.seconds:.0f} s more than its limit"
    if not made.did:
        yield LET_IN, "the attack was not made: the target ended before it"
    if made.record is None:
        if not way.end.refused or way.end.refused not in made.said:
            yield LET_IN, f"expected {way.end.refused or 'a record'}, found no record: {made.said[:200]}"
        return
    if way.end.refused:
        yield LET_IN, "expected an error, found a record"
        return
    yield from _wrong_seal(way.end, made.record.seal)  # type: ignore[attr-defined]
    yield from _wrong_verdicts(way.end, _outcomes(made.record))


def _wrong_seal(end: End, seal) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    if seal is None:
        yield LET_IN, "the record has no seal"
        return
    if seal.state not in end.states:
        yield LET_IN, f"expected the state {' or '.join(end.states)}, found {seal.state}: {seal.reason[:200]}"
    if end.reason not in seal.reason:
        yield LET_IN, f"expected the reason {end.reason!r}, found {seal.reason[:200]!r}"
    missing = [name for name in end.tampered if not any(entry.startswith(name) for entry in seal.tampered)]
    if missing or bool(end.tampered) != bool(seal.tampered):
        yield LET_IN, f"expected {list(end.tampered)} as tampered with, found {list(seal.tampered)}"
    if bool(end.beyond) != bool(seal.beyond) or not any(end.beyond in entry for entry in (*seal.beyond, "")):
        yield LET_IN, f"expected {end.beyond!r} as beyond the limits, found {list(seal.beyond)}"


def _wrong_verdicts(end: End, found: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if end.judged == "like an honest run":
        differ = [f"{check} {found.get(check)}" for check, outcome in _honest().items() if found.get(check) != outcome]
        if differ:
            yield LET_IN, f"it is not judged like an honest run: {differ}"
        return
    fails = {check for check, outcome in found.items() if outcome == "fail"}
    if fails != end.fails:
        yield LET_IN, f"expected that {sorted(end.fails)} fail, found {sorted(fails)}"
    passed = [check for check, outcome in found.items() if outcome == "pass" and not end.fails]
    if passed:
        yield LET_IN, f"it passes {passed}"


def _left_behind(root: Path, before: Mapping[str, dict], source: str) -> Iterator[tuple[str, str]]:  # type: ignore[type-arg]
    """Yield processes that are left, and each change of the user's folders and of the harness's own source."""
    found = left(root)
    if found:
        yield LET_IN, f"processes are left: {found}"
    for name, facts in before.items():
        after = replacing.facts(root / name)
        if after != facts:
            changed = [str(path) for path in sorted(facts.keys() | after.keys()) if facts.get(path) != after.get(path)]
            yield LOST, f"the folder {name} changed: {changed[:5]}"
    if checkout() != source:
        yield LOST, "the checkout of the harness changed"


def _of_neighbour(way: Way, neighbour: Path, older: dict) -> Iterator[tuple[str, str]]:  # type: ignore[type-arg]
    """Yield a change of the record of an earlier run; one that the target made on purpose must be seen."""
    from harness.record.reader import read_record

    if not way.strikes_neighbour:
        if replacing.facts(neighbour) != older:
            yield LOST, "the record of an earlier run changed"
        return
    with suppress(SaidError):
        if not read_record(neighbour).damage:
            yield LET_IN, "the record of an earlier run was changed, and is read as it is"


def _of_session(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield whether a session that the target wrote is read as one."""
    from harness.session.integrity import SESSION, read_intact

    if (folder / SESSION).exists():
        with suppress(SaidError):
            read_intact(folder, sealed=True)
            yield LET_IN, "a session that the target wrote is read"


def _of_next(request, folder: Path, frames: Path) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    """Make an honest run, and yield what is wrong about it: an attack must not outlive its run."""
    record, said, _ = _run(request, folder, frames)
    if record is None:
        yield LET_IN, f"the next run was refused: {said[:200]}"
    elif record.damage or _outcomes(record) != _honest():
        yield LET_IN, f"the next run is not judged like an honest one: {record.seal}"


def _remove(folder: Path) -> None:
    """Remove records with folders that are too deep for Python."""
    with suppress(OSError):
        if sys.platform != "win32":
            subprocess.run(["rm", "-rf", str(folder)], check=False, timeout=60)


FAMILY = Family(
    "hostile",
    "targets that attack the harness, each in another way",
    attempt,
    short=4,
    long=len(WAYS),
    block=8,
    seconds=90.0,
    groups=tuple(dict.fromkeys(way.part for way in WAYS)),
)
