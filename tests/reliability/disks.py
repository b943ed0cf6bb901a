"""Let operations on files fail, and fill volumes: older files stay, nothing is half written, and the end says so.

The status is not that of a pass, no part is left, and the same command, started again with room, ends as it does in peace.
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
from functools import cache
from pathlib import Path
from typing import NoReturn

from harness.commands.main import main
from harness.language.message import SaidError
from tests.faults import NAMES, contents, failing
from tests.reliability.tally import LET_IN, LOST, Attempt, Family, ended
from tests.test_full_disk import COMMANDS, ROOT

NEVER = 10**9
ERRORS = tuple(NAMES)
VOLUME_EVERY, OTHER_USER_EVERY = 10, 25
"""Every which attempt is made on a real volume, and as another user without rights in the folder."""
MEBIBYTE = 2**20
NOBODY = 65534

RUN = """
hello()
event("PHASE_UPDATE", "1")
(outputs / "zemosaic_MT1_R1.fits").write_bytes(b"no mosaic")
"""


def _run(folder: Path) -> int:
    """Make a run in a folder: 0 if its record is sealed and whole, 2 if an error says why there is none."""
    from harness.run.runner import make_run
    from tests.runs_ import command

    record = make_run(command(folder / "frames", RUN), folder / "run", folder / "frames", grace=0.5)
    assert record.seal is not None, "a run without a seal was returned"
    assert not record.damage, record.damage
    return 0


def _case(folder: Path) -> list[str | Path]:
    return ["case", "make", ROOT / "tests" / "golden" / "b59a65f" / "chain" / "per_tile", "-o", folder / "case.json"]


ACTIONS: dict[str, Callable[[Path], list[str | Path]]] = {**COMMANDS, "case make": _case}
NAMES_OF_ACTIONS = (*ACTIONS, "a run")


def attempt(number: int, seed: int, folder: Path) -> Attempt:
    """Make the fault of this number."""
    chance = random.Random(f"{seed}.{number}")
    action = NAMES_OF_ACTIONS[number % len(NAMES_OF_ACTIONS)]
    place = folder / "été"
    if number % VOLUME_EVERY == 3:
        return on_volume(action, chance, place)
    if number % OTHER_USER_EVERY == 5:
        return as_another_user(action, place)
    # Each operation of each action has its turn, from a place that the seed chooses.
    count = _operations(action)
    operation = 1 + (number // len(NAMES_OF_ACTIONS) * 7 + seed) % count
    error = chance.choice(ERRORS)
    what = f"{action}: operation {operation} of {count} fails with {errno.errorcode[error]}"
    return faulty(action, operation, error, place, what)


def faulty(action: str, operation: int, error: int, folder: Path, what: str) -> Attempt:
    """Let one operation of an action fail, and look at what is left."""
    before = _prepared(folder)
    with failing(operation, error) as faults:
        status, said = _ended(action, folder)
    wrong = list(_wrong(action, folder, before, status, said, met=faults.met, named=True))
    return ended(what, wrong)


def _wrong(action, folder, before, status, said, *, met, named) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    after = contents(folder)
    if "Traceback" in said:
        yield LET_IN, f"a traceback: {said[-300:]}"
    if met and action != "a run" and status != 2:
        yield LET_IN, f"status {status}: {said[-200:]}"
    if met and named and status == 2 and str(folder) not in said and not any(name in said for name in NAMES.values()):
        yield LET_IN, f"the message names neither the place nor the cause: {said[-200:]}"
    lost = sorted(set(before) - set(after))
    if lost:
        yield LOST, f"files are gone: {lost[:5]}"
    parts = [path for path in after if path.endswith(".part")]
    if parts:
        yield LET_IN, f"parts are left: {parts[:5]}"
    yield from _half_written(action, folder, before, after)
    again, said = _ended(action, folder)
    if again not in (0, 1, 3):
        yield LOST, f"with room, it ended with {again}: {said[-300:]}"


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
    from tests.runs_ import frames_in

    shutil.copytree(_sessions(), folder)
    frames_in(folder / "frames")
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
def _operations(action: str) -> int:
    """Return how many operations an action makes if none fails."""
    folder = Path(tempfile.mkdtemp(prefix="phase3-count-"))
    try:
        _prepared(folder / "x")
        with failing(NEVER) as faults:
            status, said = _ended(action, folder / "x")
        assert status in (0, 1, 3), said
        return int(faults.count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ended(action: str, folder: Path) -> tuple[int, str]:
    """Do what an action does; return its status, and what it said."""
    if action == "a run":
        shutil.rmtree(folder / "run", ignore_errors=True)
        try:
            return _run(folder), ""
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
        met = how != "nearly full" or status == 2
        return ended(what, list(_wrong(action, folder, before, status, said, met=met, named=True)))


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
    if action == "a run":
        return Attempt(what, skipped="a run needs an interpreter that another user may start")
    _operations(action)  # loads what the action imports: another user may not read the folder of the interpreter
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
    return ended(what, list(_wrong(action, folder, before, status, said, met=True, named=True)))


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
    long=300,
    block=20,
    seconds=120.0,
)
