"""Let operations on files fail, and fill volumes: older files stay, nothing is half written, and the end says so.

A run in peace counts the operations of each command by their kind; `points` lists them, and each is made to fail. The status is
not that of a pass unless all was written as in peace, no part is left, and the same command, started again with room, ends as in
peace.
"""

import contextlib
import errno
import io
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NoReturn

from harness.commands.main import main
from harness.language.message import SaidError
from harness.record.request import Request
from tests.faults import NAMES, contents
from tests.reliability.operations import KINDS, striking
from tests.reliability.tally import LET_IN, LOST, Attempt, Family, ended
from tests.test_full_disk import COMMANDS, ROOT

CAUSES = {**NAMES, errno.EACCES: "you may not write", errno.EPERM: "you may not write"}
"""What the message says for each error."""
QUIET = ("unlink", "rmdir", "rights", "times", "link")
"""What may fail without a word, if all files are as in peace: an old file that stays, its rights, or a second name of one."""
EVERY = 8
"""Every which attempt is made on a real volume, or as another user without rights in the folder, in turn."""
OTHER_WAYS = ("on a volume", "by another user")
MEBIBYTE = 2**20
NOBODY = 65534

RUN = """
hello()
event("PHASE_UPDATE", "1")
(outputs / "zemosaic_MT1_R1.fits").write_bytes(b"no mosaic")
"""


def _run(folder: Path) -> str:
    """Make a run in a folder; return the reason in its seal. Its record is whole, or an error says why there is none."""
    from harness.run.runner import make_run

    record = make_run(_request(folder), folder / "run", folder / "frames", grace=0.5)
    assert record.seal is not None, "a run without a seal was returned"
    assert not record.damage, record.damage
    return record.seal.reason


@cache
def _request(folder: Path) -> Request:
    """Write the frames of a run, and return its request."""
    from tests.runs_ import command

    return command(folder / "frames", RUN)


def _case(folder: Path) -> list[str | Path]:
    return ["case", "make", ROOT / "tests" / "golden" / "b59a65f" / "chain" / "per_tile", "-o", folder / "case.json"]


ACTIONS: dict[str, Callable[[Path], list[str | Path]]] = {**COMMANDS, "case make": _case}
NAMES_OF_COMMANDS = tuple(ACTIONS)
NAMES_OF_ACTIONS = (*NAMES_OF_COMMANDS, "a run")


@dataclass(frozen=True)
class Peace:
    """How an action ends if nothing fails: its status, what it said, the files that are there, and its operations by kind."""

    status: int
    said: str
    files: frozenset[str]
    counts: dict[str, int]


def attempt(number: int, seed: int, folder: Path) -> Attempt:
    """Make the fault of this number."""
    chance = random.Random(f"{seed}.{number}")
    place = folder / "été"
    turn, slot = divmod(number, EVERY)
    if slot == EVERY - 1:
        on_disk, which = turn % 2 == 0, turn // 2
        if on_disk:
            return on_volume(NAMES_OF_ACTIONS[which % len(NAMES_OF_ACTIONS)], chance, place)
        return as_another_user(NAMES_OF_COMMANDS[which % len(NAMES_OF_COMMANDS)], place)
    known = points(seed)
    turn, index = divmod(turn * (EVERY - 1) + slot, len(known))
    action, kind, operation = known[index]
    errors = KINDS[kind]
    return faulty(action, kind, operation, errors[(operation + seed + turn) % len(errors)], place)


@cache
def points(seed: int) -> tuple[tuple[str, str, int], ...]:
    """Return each operation of each action once: the action, the kind of the operation, and its number among those of the kind.

    The order is that of the seed, with one of each action and kind first, so that a short run meets all of them.
    """
    found = [
        (action, kind, number)
        for action in NAMES_OF_ACTIONS
        for kind, count in sorted(peace(action).counts.items())
        for number in range(1, count + 1)
    ]
    random.Random(seed).shuffle(found)
    first = {(action, kind): (action, kind, number) for action, kind, number in reversed(found)}
    return (*first.values(), *(point for point in found if point not in set(first.values())))


def faulty(action: str, kind: str, operation: int, error: int, folder: Path) -> Attempt:
    """Let one operation of an action fail, and look at what is left."""
    count = peace(action).counts[kind]
    before = _prepared(folder)
    with striking(kind, operation, error) as struck:
        status, said = _ended(action, folder)
    what = f"{action}: {kind} {operation} of {count} fails with {errno.errorcode[error]} ({Path(struck.failed).name})"
    if not struck.met:  # some operations of a run depend on its time
        return Attempt(what, skipped="this operation did not come again")
    wrong = list(_wrong(action, folder, before, status, said, quiet=kind in QUIET))
    return ended(what, wrong, action)


def _wrong(action, folder, before, status, said, *, quiet) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    """Yield what is wrong after something failed. ``quiet``: the action may also have ended as in peace."""
    after = contents(folder)
    if "Traceback" in said:
        yield LET_IN, f"a traceback: {said[-300:]}"
    if status != 2:
        yield from _unsaid(action, after, status, said, quiet=quiet)
    elif str(folder) not in said and not any(cause in said for cause in CAUSES.values()):
        yield LET_IN, f"the message names neither the place nor the cause: {said[-200:]}"
    lost = sorted(set(before) - set(after))
    if lost:
        yield LOST, f"files are gone: {lost[:5]}"
    parts = [path for path in after if path.endswith(".part")]
    if parts and not quiet:  # a part that can't be removed stays
        yield LET_IN, f"parts are left: {parts[:5]}"
    yield from _half_written(action, folder, before, after)
    if status != 2:
        return  # it did what it had to
    again, said = _ended(action, folder)
    if again != peace(action).status:
        yield LOST, f"with room, it ended with {again}: {said[-300:]}"


def _unsaid(action: str, after: dict[str, str], status: int, said: str, *, quiet: bool) -> Iterator[tuple[str, str]]:
    """Yield what is wrong about an action that ended as if nothing had failed."""
    usual = peace(action)
    if action == "a run" and said != usual.said:
        return  # its record says what is missing, and lets nothing pass that needs it
    if not quiet:
        yield LET_IN, f"status {status}, and no word of the failure: {said[-200:]}"
    if status != usual.status:
        yield LET_IN, f"status {status} in place of {usual.status}: {said[-200:]}"
    missing = sorted(usual.files - set(after))
    if missing:
        yield LET_IN, f"status {status}, and files are missing: {missing[:5]}"


def _half_written(
    action: str, folder: Path, before: dict[str, str], after: dict[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield each older file that is empty, cut off or changed although the action does not write it."""
    own = {"report": "a/", "dod": "dod.md", "compare": "c.", "accept": "b/", "sign": "a/", "case make": "case.json"}
    for path in sorted(path for path in before if path in after and before[path] != after[path]):
        if not path.startswith(own.get(action, "out/")) or "/records/" in path:
            yield LOST, f"{path} changed"
            continue
        content = (folder / path).read_bytes()
        end = {".html": b"</html>", ".json": b"}", ".xml": b">"}.get(Path(path).suffix, b"")
        if not content.strip().endswith(end) or not content:
            yield LOST, f"{path} is half written"


def _prepared(folder: Path) -> dict[str, str]:
    shutil.copytree(_sessions(), folder)
    _request.cache_clear()
    _request(folder)
    for old in ("dod.md", "c.json", "c.html"):
        (folder / old).write_text("old", encoding="utf-8")
    return contents(folder)


@cache
def _sessions() -> Path:
    """Return a folder with two sessions whose outputs differ, with their pages."""
    from reports.material import Material
    from reports.write import write_views
    from tests.compare_sessions import one_star_brighter, session_with_mosaics

    root = Path(tempfile.mkdtemp(prefix="phase3-disks-"))
    session_with_mosaics(root / "a", "zemosaic")
    session_with_mosaics(root / "b", "zemosaic", subject_per_tile=one_star_brighter)
    for name in ("a", "b"):
        write_views(Material(root / name))
        with suppress(ImportError):
            from harness.session.integrity import seal_session

            seal_session(root / name)
    return root


@cache
def peace(action: str) -> Peace:
    """Do an action in which nothing fails."""
    folder = Path(tempfile.mkdtemp(prefix="phase3-count-"))
    try:
        for _ in range(2):  # the first also loads what the action imports
            shutil.rmtree(folder / "x", ignore_errors=True)
            _prepared(folder / "x")
            with striking() as counted:
                status, said = _ended(action, folder / "x")
        assert status in (0, 1, 3), said
        return Peace(status, said, frozenset(contents(folder / "x")), dict(counted.counts))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ended(action: str, folder: Path) -> tuple[int, str]:
    """Do what an action does; return its status, and what it said."""
    if action == "a run":
        if (folder / "run").exists():
            shutil.rmtree(folder / "run")
        try:
            return 0, _run(folder)
        except (SaidError, OSError) as error:
            return 2, str(error)
    if action == "merge" and (folder / "out").exists():
        shutil.rmtree(folder / "out")
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        status = main(["--lang", "en", *(str(word) for word in ACTIONS[action](folder))])
    return status, said.getvalue()


@contextmanager
def _volume(place: Path, size: int) -> Iterator[str]:
    """Mount a small volume; yield why that is impossible, or nothing."""
    place.mkdir(parents=True)
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        yield "only root may mount a volume"
        return
    words = [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True, timeout=30).returncode != 0:
        yield "this system lets root mount no volume"
        return
    try:
        yield ""
    finally:
        subprocess.run([umount, "-l", str(place)], check=True, timeout=30)


def on_volume(action: str, chance: random.Random, place: Path) -> Attempt:
    """Let an action meet a real volume that is full, nearly full, or read-only."""
    how = chance.choice(("full", "nearly full", "read-only"))
    what = f"{action} on a real volume that is {how}"
    with _volume(place, 64 * MEBIBYTE) as impossible:
        if impossible:
            return Attempt(what, skipped=impossible)
        peace(action)
        folder = place / "x"
        before = _prepared(folder)
        if how == "read-only":
            words = ["mount", "-o", "remount,ro", str(place)]
            if subprocess.run(words, check=False, capture_output=True, timeout=30).returncode != 0:
                return Attempt(what, skipped="this system lets root remount no volume")
            status, said = _ended(action, folder)
            subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True, timeout=30)
        else:
            _fill(place / "filled", place, 0 if how == "full" else chance.randrange(4096, 400_000))
            status, said = _ended(action, folder)
            (place / "filled").unlink()
        wrong = _wrong(action, folder, before, status, said, quiet=how == "nearly full")
        return ended(what, list(wrong), OTHER_WAYS[0])


def _fill(path: Path, volume: Path, free: int) -> None:
    with path.open("ab", buffering=0) as stream:
        while (rest := shutil.disk_usage(volume).free - free) > 0:
            try:
                stream.write(bytes(min(rest, MEBIBYTE)))
            except OSError:
                return


def as_another_user(action: str, folder: Path) -> Attempt:
    """Let an action be done by a user who may read everything, and write nothing: in a child that gives up root's rights."""
    what = f"{action} by a user without rights in the folder"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return Attempt(what, skipped="only root may become another user")
    peace(action)  # loads what the action imports: another user may not read the folder of the interpreter
    before = _prepared(folder)
    for path in (folder.parent, folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        _as_nobody(action, folder, writable)
    os.close(writable)
    with os.fdopen(readable, encoding="utf-8", errors="replace") as stream:
        said = stream.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return ended(what, list(_wrong(action, folder, before, status, said, quiet=False)), OTHER_WAYS[1])


def _as_nobody(action: str, folder: Path, pipe: int) -> NoReturn:
    status = 99
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        status, said = _ended(action, folder)
        os.write(pipe, said.encode("utf-8", "replace")[:60_000])
    except BaseException as error:  # noqa: BLE001 -- the parent reports it, and no child may go on as the parent
        os.write(pipe, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(status)


FAMILY = Family(
    "disks",
    "operations that fail, full and read-only volumes",
    attempt,
    short=len(NAMES_OF_ACTIONS),
    long=640,
    block=50,
    seconds=120.0,
    groups=(*NAMES_OF_ACTIONS, *OTHER_WAYS),
)
