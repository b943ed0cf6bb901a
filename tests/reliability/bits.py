"""Flip single bits of everything that a decision rests on, in every kind of folder that the harness keeps.

These are sessions (with sign-off and acceptance, merged, with a killed run, killed themselves), what an SSH signature binds,
records, and copies of the target. `phase3 verify` names the file every time, or a command refuses it: a flipped bit is never
unseen.
"""

import contextlib
import io
import json
import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.record.convert import to_json
from harness.session.model import Share
from harness.session.run_matrix import RUNS
from harness.signoff.subjects import PAGES
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
    """Make a session with everything that a session can have beside it, signed without a key, and accepted."""
    return _signed(root, [])


def _signed(root: Path, key: list[str]) -> Path:
    from harness.commands.main import main
    from tests.compare_sessions import one_star_brighter
    from tests.signed_sessions import decisions

    _whole_session(root / "before")
    folder = _whole_session(root / "session", subject_per_tile=one_star_brighter)
    with contextlib.redirect_stdout(io.StringIO()):
        accepted = main(["accept", str(root / "before"), str(folder), "--by", "Zoé", "--reason", "x", "--yes"])
        signed = main(["sign", str(folder), *decisions(), "--by", "Zoé", *key])
    assert (accepted, signed) == (0, 0)
    return folder


def _whole_session(folder: Path, *, killed: bool = False, **changes: Any) -> Path:
    """Make a session with its release, its shares and its subset; with ``killed``, one of its runs has no seal."""
    from harness.record.values import sha256_of
    from harness.session import integrity
    from harness.session.resume import Start, write_start
    from harness.session.shares import write_part
    from reports.material import Material
    from reports.write import write_views
    from tests.compare_sessions import session_with_mosaics
    from tests.patch.test_release_check import outcome

    folder.mkdir(parents=True)
    session = session_with_mosaics(folder, "zemosaic", **changes)
    write_start(folder, Start({}, {}, session=folder.name))
    (folder / "shares").mkdir()
    runs = [replace(run, seal=sha256_of(folder / run.record / "seal.json")) for run in session.runs]
    write_part(folder / "shares" / "gw0.json", to_json(Share(tuple(runs))))
    write_part(folder / "shares" / "gw0.collected", {"a test": {}})
    (folder / "release" / "subject").mkdir(parents=True)
    (folder / "release" / "subject" / "release.json").write_text(json.dumps(outcome()), encoding="utf-8")
    (folder / "subset.json").write_text('{"name": "small"}', encoding="utf-8")
    if killed:
        (folder / session.runs[0].record / "seal.json").unlink()
    write_views(Material(folder))
    integrity.seal_session(folder)
    return folder


def _with_a_key(root: Path) -> Path:
    from tests.signed_sessions import a_key, signers

    key = a_key(root / "keys")
    folder = _signed(root, ["--key", str(key)])
    signers(root, key)
    return folder


def _signature_finds(folder: Path) -> list[str]:
    """Return what ``phase3 verify`` says about the sign-off alone, as if the manifest had been forged to fit."""
    status, said = _verify(folder / "signoff.json", "--allowed-signers", folder.parent / "allowed signers été")
    return [] if status in (0, 3) else [said]


def _with_a_killed_run(root: Path) -> Path:
    return _whole_session(root / "session", killed=True)


def _merged(root: Path) -> Path:
    from harness.commands.main import main

    whole = _whole_session(root / "whole")
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["merge", str(root / "merged"), str(whole)]) in (0, 1)
    return root / "merged"


def _killed(root: Path) -> Path:
    """Make a session that was killed before its end: it has neither a conclusion nor a manifest."""
    folder = _whole_session(root / "session")
    for name in ("integrity.json", "session.json"):
        (folder / name).unlink()
    return folder


def _resume_refuses(folder: Path) -> list[str]:
    """Return why a session is not resumed; a run that looks unfinished is made again, so that nothing rests on its record."""
    from harness.session.resume import ResumeError, Start, require_same, require_unchanged, stopped_runs

    again = [f"{RUNS}/{name} is made again" for name in stopped_runs(folder)]
    try:
        require_unchanged(folder)
        require_same(folder, Start({}, {}, session="session"))
    except ResumeError as error:
        return [*again, *(message.render() for message in error.messages)]
    return again


def _changes(folder: Path) -> list[str]:
    from harness.session.integrity import check

    return [name for name, _ in check(folder).changes]


def _record(root: Path) -> Path:
    """Make a record by itself."""
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
        Kept("session with a killed run", _with_a_killed_run, _changes),
        Kept("merged session", _merged, _changes),
        Kept("session that was killed", _killed, _resume_refuses, command=False),
        Kept("session signed with a key", _with_a_key, _changes),
        Kept("what a key signed", _with_a_key, _signature_finds, command=False),
        Kept("record", _record, _damaged),
        Kept("copy of the target", _copy, _copied, command=False),
    )
}
TURN = (
    *("session", "session with a killed run", "session signed with a key", "what a key signed", "merged session"),
    *("session", "session that was killed", "record", "what a key signed", "copy of the target"),
)
"""What is attacked in turn. A session also has the seals of its records, which a record by itself has not."""
NEEDS_SSH = ("session signed with a key", "what a key signed")
ANEW = ("report.html", "report.fr.html", "summary.md", "summary.fr.md", "junit.xml", "accepted.json", "signoff.json")
"""The files of a session that its resumption writes anew, or does not read."""


@cache
def _made(name: str) -> Path:
    folder = KEPT[name].make(Path(tempfile.mkdtemp(prefix="phase3-bits-")) / "été")
    before = KEPT[name].found(folder)
    assert not before, f"changes are found before there are any: {before}"
    return folder


def attempt(number: int, seed: int, _folder: Path) -> Attempt:
    """Flip the bit of this number, look whether it is found, and flip it back."""
    kept = KEPT[TURN[number % len(TURN)]]
    if kept.name in NEEDS_SSH and shutil.which("ssh-keygen") is None:
        return Attempt(kept.name, skipped="ssh-keygen is not installed: no key can sign", group=kept.name)
    folder = _made(kept.name)
    chance = random.Random(f"{seed}.{number}")
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.stat().st_size and _rests(kept, path, folder)
    )
    # Each file has its turn; most bits are in the large ones, of which another bit is chosen every time.
    path = files[(number // len(TURN)) % len(files)] if number % 2 else chance.choice(files)
    place, bit = chance.randrange(path.stat().st_size), chance.randrange(8)
    return flipped(kept, folder, path, place, bit, command=number % COMMAND_EVERY == 0)


def _rests(kept: Kept, path: Path, folder: Path) -> bool:
    """Return whether a decision rests on a file, and what is tried has to find its change."""
    inner = path.relative_to(folder).as_posix()
    if path.suffix == ".lock":
        return False
    if kept.name == "record":  # without its session, nothing has the digest of its seal
        return inner != "seal.json"
    if kept.name == "session that was killed":  # its conclusion is made anew, and its limits and its release too
        return inner not in (*ANEW, "thresholds.toml", "subset.json") and not inner.startswith("release/")
    if kept.name == "what a key signed":  # the signature binds the session, its pages and its records
        return inner in ("session.json", "signoff.json", "signoff.json.sig", *PAGES) or inner.startswith(f"{RUNS}/")
    return True


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
            return Attempt(what, UNSEEN, f"found: {found}", group=kept.name)
        if command and kept.command:
            return Attempt(what, *_of_command(folder, path.name), group=kept.name)
    finally:
        path.write_bytes(good)
    return Attempt(what, group=kept.name)


def _of_command(folder: Path, name: str) -> tuple[str, str]:
    status, said = _verify(folder)
    if status in (0, 3) or name not in said:
        return UNSEEN, f"phase3 verify ended with {status}: {said[-300:]}"
    return "", ""


def _verify(*words: object) -> tuple[int, str]:
    """Return the status of ``phase3 verify``, and what it said."""
    from harness.commands.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = main(["--lang", "en", "verify", *map(str, words)])
    return status, said.getvalue()


FAMILY = Family(
    "bits",
    "flipped bits of sessions, records, sign-offs and copies of the target",
    attempt,
    short=60,
    long=2_000,
    block=200,
    groups=tuple(KEPT),
)
