"""Let every reader of the harness read damaged files: it answers soon, in little memory, with a result or one of our errors.

A record that was damaged after its end passes nothing, and a session names each of its files that was changed.
"""

import random
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests import readers
from tests.mutations import OURS, mutated, mutations
from tests.readers import READERS, Reader
from tests.reliability.tally import LET_IN, UNSEEN, Attempt, Family

BLOCK = 100
"""Damaged files of one reader that follow each other: its good file is made once for them."""
SEALED_EVERY, SESSION_EVERY = 2, 10
"""Every which damaged file of a record is damaged after its seal was written, and compared by its session."""


@dataclass(frozen=True)
class _Prepared:
    reader: Reader
    path: Path
    good: bytes
    damaged: tuple[tuple[str, bytes], ...]
    seal: bytes


def attempt(number: int, seed: int, _folder: Path) -> Attempt:
    """Let the reader of this number read the damaged file of this number."""
    block, index = divmod(number, BLOCK)
    given = _prepared(block, seed)
    what, content = given.damaged[index]
    return read_damaged(given, f"{given.reader.name}: {what}", content, number)


def read_damaged(given: _Prepared, what: str, content: bytes, number: int = 0) -> Attempt:
    """Let a reader read a damaged file, and look at its answer."""
    path, name = given.path, given.reader.name
    judged = given.reader.read is readers._judged
    sealed_before = judged and bool(given.seal) and number % SEALED_EVERY == 1 and path.name != "seal.json"
    path.write_bytes(content)
    try:
        if sealed_before:
            (path.parent / "seal.json").write_bytes(given.seal)
            passed = _passed(path.parent)
            if passed and content != given.good:
                return Attempt(what, LET_IN, f"a damaged record passes {passed}")
        else:
            _read(given.reader, path)
    except OURS as error:
        if not str(error):
            return Attempt(what, LET_IN, f"{name}: {type(error).__name__} without a sentence")
    except Exception as error:  # noqa: BLE001 -- what is looked for
        return Attempt(what, LET_IN, f"{type(error).__name__}: {str(error)[:300]}")
    if number % SESSION_EVERY == 0 and content != given.good and not _named(path):
        return Attempt(what, UNSEEN, f"the session does not name {path.name} as changed")
    return Attempt(what)


def _read(reader: Reader, path: Path) -> None:
    """Read a file with warnings as errors, as in a session of pytest."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader.read(path)


def _passed(record: Path) -> list[str]:
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.record.reader import read_record
    from harness.verdict import Outcome

    return [v.check for v in judge(Comparison(read_record(record))) if v.outcome is Outcome.PASS]


def _named(path: Path) -> bool:
    """Return whether the session of a file finds that it was changed, or that its record is not sealed as it was."""
    from harness.session.integrity import FILE, check

    session = next((parent for parent in path.parents if (parent / FILE).is_file()), None)
    if session is None or not check(session).sealed:
        return True
    inner = path.relative_to(session)
    record = path.parent.relative_to(session).as_posix()
    return any(name == inner.as_posix() or name.startswith(f"{record}/") for name, _ in check(session).changes)


@lru_cache(maxsize=1)
def _prepared(block: int, seed: int) -> _Prepared:
    turn, place = divmod(block, len(READERS))
    reader = READERS[place]
    _remove()
    folder = Path(tempfile.mkdtemp(prefix="phase3-fuzz-"))
    _FOLDERS.append(folder)
    path = reader.make(folder)
    return prepared(reader, path, f"{seed}.{block}", twice=turn % 2 == 1)


_FOLDERS: list[Path] = []


def _remove() -> None:
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop(), ignore_errors=True)


def prepared(reader: Reader, path: Path, seed: str, *, twice: bool) -> _Prepared:
    """Return the damaged files of a block; with ``twice``, each was damaged in two ways."""
    good = path.read_bytes()
    reader.read(path)  # of a record, this also writes its seal
    seal = path.parent / "seal.json"
    for session in path.parents:
        if (session / "session.json").is_file():
            from harness.session.integrity import seal_session

            seal_session(session)
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
    f"damaged files for each of the {len(READERS)} readers",
    attempt,
    short=len(READERS) * 3,
    long=100_000,
    block=BLOCK,
)
