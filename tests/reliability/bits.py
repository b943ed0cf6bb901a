"""Flip single bits of everything that a decision rests on: sessions, records, sign-offs, acceptances, and copies of the target.

`phase3 verify` names the file every time, or a command refuses it: a flipped bit is never unseen.
"""

import contextlib
import io
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.reliability.tally import UNSEEN, Attempt, Family

COMMAND_EVERY = 25
"""Every which flipped bit is also looked for by the command ``phase3 verify``, in the words that it prints."""


@dataclass(frozen=True)
class Kept:
    """A folder that a decision rests on, and what finds its changes: the names of changed files, or why it is refused."""

    name: str
    make: Callable[[Path], Path]
    found: Callable[[Path], list[str]]
    command: bool = True
    """Whether ``phase3 verify`` compares it, file by file."""


def _session(root: Path) -> Path:
    """Make a session with everything that a session can have beside it, signed and accepted."""
    from harness.commands.main import main
    from harness.session import integrity
    from harness.session.resume import Start, write_start
    from harness.session.shares import write_part
    from reports.material import Material
    from reports.write import write_views
    from tests.compare_sessions import one_star_brighter, session_with_mosaics
    from tests.signed_sessions import decisions

    for name, changes in (("before", {}), ("session", {"subject_per_tile": one_star_brighter})):
        folder = root / name
        folder.mkdir(parents=True)
        session_with_mosaics(folder, "zemosaic", **changes)
        write_start(folder, Start({}, {}, session=name))
        (folder / "shares").mkdir()
        write_part(folder / "shares" / "gw0.json", {"runs": []})
        write_part(folder / "shares" / "gw0.collected", {"a test": {}})
        (folder / "subset.json").write_text('{"name": "small"}', encoding="utf-8")
        write_views(Material(folder))
        integrity.seal_session(folder)
    folder = root / "session"
    with contextlib.redirect_stdout(io.StringIO()):
        main(["accept", str(root / "before"), str(folder), "--by", "Zoé", "--reason", "x", "--yes"])
        main(["sign", str(folder), *decisions(), "--by", "Zoé"])
    return folder


def _changes(folder: Path) -> list[str]:
    from harness.session.integrity import check

    return [name for name, _ in check(folder).changes]


def _record(root: Path) -> Path:
    """Make a record by itself."""
    from harness.session.run_matrix import RUNS

    return Path(shutil.copytree(_made("session") / RUNS / "subject-per_tile", root / "record"))


def _damaged(folder: Path) -> list[str]:
    """Return the names of a record's files that its seal names; a seal that can't be read is named too."""
    from harness.language.message import SaidError
    from harness.record.seal import SEAL, differences, read_seal

    try:
        seal = read_seal(folder)
    except SaidError:
        return [SEAL]
    return [SEAL] if seal is None else [name for name, _ in differences(folder, seal)]


def _copy(root: Path) -> Path:
    """Make a copy of a target, as each run gets its own from it."""
    from harness.targets.exports import keep

    files = {f"part{n}.py": f"x = {n}\n".encode() * 50 for n in range(5)}
    keep(files.items, root, "copy", "x", lambda _: None)
    return root


def _copied(root: Path) -> list[str]:
    from harness.targets.errors import TargetError
    from harness.targets.exports import copy

    with tempfile.TemporaryDirectory() as folder:
        try:
            copy(root / "copy", Path(folder) / "to")
        except TargetError as error:
            return [str(error)]
        wrong = [p.name for p in Path(folder).rglob("*.py") if p.read_bytes() != f"x = {p.stem[-1]}\n".encode() * 50]
        assert not wrong, wrong
    return []


KEPT = {
    kept.name: kept
    for kept in (
        Kept("session", _session, _changes),
        Kept("record", _record, _damaged),
        Kept("copy of the target", _copy, _copied, command=False),
    )
}
TURN = ("session",) * 7 + ("record",) * 2 + ("copy of the target",)
"""What is attacked in turn. A session also has the seals of its records, which a record by itself has not."""


@cache
def _made(name: str) -> Path:
    return KEPT[name].make(Path(tempfile.mkdtemp(prefix="phase3-bits-")) / "été")


def attempt(number: int, seed: int, _folder: Path) -> Attempt:
    """Flip the bit of this number, look whether it is found, and flip it back."""
    kept = KEPT[TURN[number % len(TURN)]]
    folder = _made(kept.name)
    chance = random.Random(f"{seed}.{number}")
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and _rests(kept, path))
    # Each file has its turn; most bits are in the large ones, of which another bit is chosen every time.
    path = files[(number // len(TURN)) % len(files)] if number % 2 else chance.choice(files)
    place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    return flipped(kept, folder, path, place, bit, command=number % COMMAND_EVERY == 0)


def _rests(kept: Kept, path: Path) -> bool:
    """Return whether a decision rests on a file: not on a lock, and not on the seal of a record without its session."""
    return path.suffix != ".lock" and not (kept.name == "record" and path.name == "seal.json")


def flipped(kept: Kept, folder: Path, path: Path, place: int, bit: int, *, command: bool = False) -> Attempt:
    """Flip one bit of a file, and flip it back."""
    inner = path.relative_to(folder).as_posix()
    what = f"{kept.name}: {inner}, byte {place}, bit {bit}"
    good = path.read_bytes()
    changed = bytearray(good)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    try:
        found = kept.found(folder)
        # A copy that differs is refused as a whole; in a session and a record the file is named.
        if not found or (kept.command and not any(inner == name or path.name in name for name in found)):
            return Attempt(what, UNSEEN, f"found: {found}")
        if command and kept.command:
            return Attempt(what, *_of_command(folder, path.name))
    finally:
        path.write_bytes(good)
    return Attempt(what)


def _of_command(folder: Path, name: str) -> tuple[str, str]:
    from harness.commands.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(["--lang", "en", "verify", str(folder)])
    if status in (0, 3) or name not in said.getvalue():
        return UNSEEN, f"phase3 verify ended with {status}: {said.getvalue()[-300:]}"
    return "", ""


FAMILY = Family(
    "bits",
    "flipped bits of sessions, records, sign-offs and copies of the target",
    attempt,
    short=60,
    long=1_000,
    block=100,
)
