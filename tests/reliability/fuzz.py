"""Let every reader of the harness read damaged files: it answers soon, in little memory, with a result or one of our errors.

A result must not differ in silence from that for the good file, which is taken before any damage. A session names each of its
files that was changed, and concludes nothing else. A record that was damaged after its end passes nothing. Any other answer is
the same, or says itself that something is wrong. Where other content is another input of the user, it passes no further check.
"""

import hashlib
import io
import random
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from harness.verdict import Outcome, Verdict
from tests import readers
from tests.mutations import OURS, mutated, mutations
from tests.readers import READERS, Reader
from tests.reliability.tally import LET_IN, UNSEEN, Attempt, Family, ended

BLOCK = 100
"""Damaged files of one reader that follow each other: its good file is made once for them."""
SEALED_EVERY = 2
"""Every which damaged file of a record is damaged after its seal was written."""


@dataclass(frozen=True)
class _Prepared:
    reader: Reader
    path: Path
    good: bytes
    damaged: tuple[tuple[str, bytes], ...]
    seal: bytes
    answer: Any
    concluded: tuple[str, ...]


def attempt(number: int, seed: int, _folder: Path) -> Attempt:
    """Let the reader of this number read the damaged file of this number."""
    block, index = divmod(number, BLOCK)
    given = _prepared(block, seed)
    what, content = given.damaged[index]
    return read_damaged(given, f"{given.reader.name}: {what}", content, number)


def read_damaged(given: _Prepared, what: str, content: bytes, number: int = 0) -> Attempt:
    """Let a reader read a damaged file, and look at its answer, and at what the session of the file concludes then."""
    path, name = given.path, given.reader.name
    judged = given.reader.read is readers._judged
    sealed_before = judged and bool(given.seal) and number % SEALED_EVERY == 1 and path.name != "seal.json"
    answer: Any = None
    refused = False
    path.write_bytes(content)
    try:
        if sealed_before:
            (path.parent / "seal.json").write_bytes(given.seal)
            passed = _passed(path.parent)
            if passed and content != given.good:
                return Attempt(what, LET_IN, f"a damaged record passes {passed}", group=name)
        else:
            answer = _read(given.reader, path)
    except OURS as error:
        refused = True
        if not str(error):
            return Attempt(what, LET_IN, f"{name}: {type(error).__name__} without a sentence", group=name)
    except Exception as error:  # noqa: BLE001 -- what is looked for
        return Attempt(what, LET_IN, f"{type(error).__name__}: {str(error)[:300]}", group=name)
    wrong = [] if content == given.good else list(_in_silence(given, answer, sealed=sealed_before, refused=refused))
    return ended(what, wrong, name)


def _in_silence(given: _Prepared, answer: Any, *, sealed: bool, refused: bool) -> Iterator[tuple[str, str]]:
    """Yield what differs from the good file without a word on it."""
    session = _session_of(given.path)
    if session is not None:
        yield from _concluded(given, session)
    elif given.reader.own:
        more = _passes(answer) - _passes(given.answer)
        if more:
            yield LET_IN, f"it passes {sorted(more)}, which the good file does not"
    elif not (sealed or refused or given.reader.noted(answer) or plain(answer) == plain(given.answer)):
        yield LET_IN, f"another answer than that for the good file, and no word on it: {str(answer)[:200]}"


def _concluded(given: _Prepared, session: Path) -> Iterator[tuple[str, str]]:
    """Yield what a command would conclude from a session with the damaged file, if it does not refuse it by its name."""
    from harness.session.integrity import check

    inner = given.path.relative_to(session).as_posix()
    record = given.path.parent.relative_to(session).as_posix()
    changes = [name for name, _ in check(session).changes]
    if not any(name == inner or name.startswith(f"{record}/") for name in changes):
        yield UNSEEN, f"the session does not name {inner} as changed"
    if not changes:
        now = conclusion(session)
        if now not in ((), given.concluded):
            differ = [entry for entry in now if entry not in given.concluded]
            yield LET_IN, f"the session concludes something else: {differ[:3]}"


def conclusion(session: Path) -> tuple[str, ...]:
    """Return what every command concludes from a session: its outcome, lines, tests and verdicts; empty if it is refused."""
    from harness.session.integrity import read_intact

    try:
        found, _ = read_intact(session, sealed=True)
    except OURS:
        return ()
    return (
        found.outcome.value,
        *(f"{row.id} {row.outcome.value}" for row in found.requirements),
        *(f"{test.nodeid} {test.outcome.value}" for test in found.tests),
        *(
            f"{judged.case} {judged.role} {v.check} {v.outcome.value}"
            for judged in found.judged
            for v in judged.verdicts
        ),
        *(f"{v.check} {v.outcome.value}" for v in found.patch),
    )


def _session_of(path: Path) -> Path | None:
    """Return the sealed session of a file."""
    from harness.session.integrity import FILE

    return next((parent for parent in path.parents if (parent / FILE).is_file()), None)


def plain(value: Any) -> Any:
    """Return a value as built-in types that can be compared: an array by its digest, a folder by its last name."""
    if isinstance(value, np.ndarray):
        return (
            "array",
            value.shape,
            value.dtype.str,
            hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest(),
        )
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *((field.name, plain(getattr(value, field.name))) for field in fields(value)))
    if isinstance(value, Mapping):
        return ("mapping", *sorted((str(key), plain(entry)) for key, entry in value.items()))
    if isinstance(value, list | tuple):
        return ("list", *map(plain, value))
    if isinstance(value, set | frozenset):
        return ("set", *sorted(map(str, map(plain, value))))
    return value.name if isinstance(value, Path) else f"{type(value).__name__} {value!r}"


def _passes(value: Any) -> set[str]:
    """Return the checks that pass in an answer."""
    if isinstance(value, Verdict):
        return {value.check} if value.outcome is Outcome.PASS else set()
    if is_dataclass(value) and not isinstance(value, type):
        return set().union(*(_passes(getattr(value, field.name)) for field in fields(value)))
    if isinstance(value, Mapping):
        return set().union(*map(_passes, value.values()))
    return set().union(*map(_passes, value)) if isinstance(value, list | tuple) else set()


def _read(reader: Reader, path: Path) -> Any:
    """Read a file with warnings as errors, as in a session of pytest."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return reader.read(path)


def _passed(record: Path) -> list[str]:
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.record.reader import read_record
    from harness.verdict import Outcome

    return [v.check for v in judge(Comparison(read_record(record))) if v.outcome is Outcome.PASS]


@lru_cache(maxsize=1)
def _prepared(block: int, seed: int) -> _Prepared:
    turn, place = divmod(block, len(READERS))
    reader = READERS[place]
    _remove()
    folder = Path(tempfile.mkdtemp(prefix="phase3-fuzz-"))
    _FOLDERS.append(folder)
    with redirect_stdout(io.StringIO()):  # a sign-off is made by its command
        path = reader.make(folder)
    return prepared(reader, path, f"{seed}.{block}", twice=turn % 2 == 1)


_FOLDERS: list[Path] = []


def _remove() -> None:
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop(), ignore_errors=True)


def prepared(reader: Reader, path: Path, seed: str, *, twice: bool) -> _Prepared:
    """Return the damaged files of a block; with ``twice``, each was damaged in two ways."""
    good = path.read_bytes()
    answer = reader.read(path)  # before any damage; of a record, this also writes its seal
    seal = path.parent / "seal.json"
    for session in path.parents:
        if (session / "session.json").is_file():
            from harness.session.integrity import seal_session

            seal_session(session)
    session = _session_of(path)
    concluded = () if session is None else conclusion(session)
    assert session is None or concluded, f"the session of {path.name} is refused before any damage"
    chance = random.Random(seed)
    some = list(mutated(reader, good, chance.randrange(2**32)))
    if twice:
        some = [_again(reader, what, content, chance) for what, content in chance.choices(some, k=12)]
        some = [entry for part in some for entry in part]
    return _Prepared(
        reader,
        path,
        good,
        tuple(chance.sample(some, BLOCK) if len(some) >= BLOCK else chance.choices(some, k=BLOCK)),
        seal.read_bytes() if reader.read is readers._judged and seal.is_file() else b"",
        answer,
        concluded,
    )


def _again(reader: Reader, what: str, content: bytes, chance: random.Random) -> list[tuple[str, bytes]]:
    seed = chance.randrange(2**32)
    try:
        more: list[Any] = list(mutated(reader, content, seed))
    except (RuntimeError, StopIteration, ValueError):  # no FITS any more
        more = list(mutations(content, seed))
    return [(f"{what}, then {other}", changed) for other, changed in chance.sample(more, min(12, len(more)))]


FAMILY = Family(
    "fuzz",
    "damaged files for the readers of the harness",
    attempt,
    short=len(READERS) * 3,
    long=100_000,
    block=5 * BLOCK,  # one process makes the good sessions once for several readers
    groups=tuple(dict.fromkeys(reader.name for reader in READERS)),
)
