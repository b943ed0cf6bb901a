"""Send signals to the harness at any moment of a run, a recording and a session, and look at what is left.

Sealed records stay as they are, no process of the target is left, the user's files are those of before, nothing unfinished
passes, and the same command, started again, ends as it does in peace. What is there of a session and its reports can be read, and
``--phase3-resume`` makes a whole session of it, with the verdicts of one that was not disturbed.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import psutil

from tests.faults import contents
from tests.reliability.tally import LET_IN, LOST, Attempt, Family, ended

ROOT = Path(__file__).resolve().parents[2]
GONE_SECONDS = 25.0
"""The most that processes of the target may live after the harness ended, on a busy machine."""
END_SECONDS = 120.0
"""The most that the harness may take to end after a signal, with its reports."""

SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL", "SIGHUP", "SIGQUIT", "SIGSTOP", "SIGINT to the group", "SIGINT twice")
"""What is sent; after SIGSTOP the harness goes on half a second later."""

LONG_RUN = """
hello()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", {token!r}])
for n in range(12):
    event("PHASE_UPDATE", str(n))
    (outputs / f"{{n}}.txt").write_bytes(b"of the target")
    time.sleep(0.05)
child.kill()
child.wait()
event("PROCESS_DONE")
"""


@dataclass(frozen=True)
class Program:
    """A use of the harness in a process of its own: how it is prepared and started, and its status in peace."""

    name: str
    prepare: Callable[[Path], object]
    argv: Callable[[Path], list[str]]
    users: Callable[[Path], list[Path]]
    statuses: tuple[int, ...]
    outputs: str = ""
    """The output folder of the user's own program, which a program that was stopped leaves half done."""


def make_one(root: str, name: str) -> None:
    """Make a run of a small target: the program of a child process."""
    from harness.run.runner import make_run
    from tests.runs_ import command

    folder = Path(root)
    request = command(folder / "frames", LONG_RUN.format(token=root), seconds=30.0)
    record = make_run(request, folder / "records" / name, folder / "frames", grace=0.5)
    sys.exit(0 if record.seal is not None and record.seal.state == "done" else 9)


def _free(folder: Path, stem: str) -> str:
    return next(name for name in (f"{stem}{n}" for n in range(1, 99)) if not (folder / name).exists())


def _prepare_run(root: Path) -> None:
    from tests.runs_ import frames_in

    frames_in(root / "frames")
    (root / "records").mkdir()


def _argv_run(root: Path) -> list[str]:
    words = (
        f"from tests.reliability.signals import make_one; make_one({str(root)!r}, {_free(root / 'records', 'run')!r})"
    )
    return [sys.executable, "-c", words]


def _prepare_recording(root: Path) -> None:
    from tests.user_scripts import IN_THE_MIDDLE, writer

    writer(root / "home")(IN_THE_MIDDLE.replace("{what}", "time.sleep(0.5)"))


def _argv_recording(root: Path) -> list[str]:
    user = [sys.executable, str(root / "home" / "lance moi.py")]
    words = ["--lang", "en", "record", "--dir", str(root / _free(root, "records")), "--", *user]
    return [sys.executable, "-m", "harness.commands.main", *words]


def _argv_session(root: Path) -> list[str]:
    options = ["-m", "phase3", "--phase3-quick", f"--phase3-dir={root / 'records'}", "-p", "no:cacheprovider", "-q"]
    return [sys.executable, "-m", "pytest", *options]


PROGRAMS = {
    "a run": Program("a run", _prepare_run, _argv_run, lambda root: [root / "frames"], (0,)),
    "a recording": Program(
        "a recording",
        _prepare_recording,
        _argv_recording,
        lambda root: [root / "home" / "mes images", root / "home" / "ze mosaïc"],
        (3,),
        outputs="home/sortie",
    ),
    "a session": Program("a session", lambda root: root.mkdir(exist_ok=True), _argv_session, lambda _: [], (0,)),
}
SESSION = "a session"
TURN = ("a run",) * 8 + ("a recording",) * 3 + (SESSION,)
"""The programs in turn: a session takes the longest."""


def attempt(number: int, seed: int, folder: Path) -> Attempt:
    """Send the signal of this number to the program of this number at a random moment."""
    if not hasattr(signal, "SIGKILL"):
        return Attempt(f"signal {number}", skipped="signals are POSIX's")
    chance = random.Random(f"{seed}.{number}")
    program = PROGRAMS[TURN[number % len(TURN)]]
    return strike(program, SIGNALS[number // len(TURN) % len(SIGNALS)], chance.random(), folder)


def strike(program: Program, name: str, share: float, root: Path) -> Attempt:
    """Start a program, send it a signal after a share of the time that it takes in peace, and look at what is left."""
    seconds = in_peace(program.name).seconds
    what = f"{name} to {program.name} after {share:.0%} of {seconds:.1f} s"
    program.prepare(root)
    older = older_record(root / "older")
    before = _users(program, root, older)
    source = checkout()
    status, spent = _struck(program.argv(root), name, share * seconds, root)
    wrong = _wrong(program, root, older, before, source, name=name, status=status, spent=spent)
    return ended(what, wrong, f"{name} to {program.name}")


def _wrong(program, root, older, before, source, *, name, status, spent) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    if spent > END_SECONDS:
        yield LET_IN, f"the harness took {spent:.0f} s to end"
    if name == "SIGSTOP" and status not in program.statuses:
        yield LOST, f"it was stopped and went on, and ended with {status}"
    found = left(root)
    if found:
        yield LET_IN, f"processes are left: {found}"
    yield from _wrong_files(program, root, older, before, source)
    sealed = _sealed(root)
    if program.name == SESSION:
        yield from wrong_session(_session_in(root), in_peace(SESSION).verdicts)
    yield from _wrong_again(program, root)
    now = _sealed(root)
    if any(now.get(path) != digest for path, digest in sealed.items()):
        yield LOST, "a record that was sealed before is another after the next start"
    found = left(root)
    if found:
        yield LET_IN, f"processes are left after the next start: {found}"
    yield from _wrong_files(program, root, older, before, source)


def _wrong_again(program: Program, root: Path) -> Iterator[tuple[str, str]]:
    """Start a program again, a session where it was stopped, and yield what is wrong about its end."""
    argv, folder = program.argv(root), None
    if program.name == SESSION:
        folder = _session_in(root)
        argv = [*argv, *_resuming(folder)]
    if program.outputs:
        shutil.rmtree(root / program.outputs, ignore_errors=True)  # or the next start would be judged with old tiles
    again = subprocess.run(argv, cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=600, check=False)
    if again.returncode not in program.statuses:
        yield LET_IN, f"started again, it ended with {again.returncode}: {(again.stdout + again.stderr)[-300:]}"
    if program.name == SESSION:
        now = _session_in(root)
        yield from wrong_session(now, in_peace(SESSION).verdicts, whole=True)
        if folder is not None and argv[-1].startswith("--phase3-resume") and now != folder:
            yield LOST, "a session was not resumed, but begun again"


def _session_in(root: Path) -> Path | None:
    """Return the folder of the newest session; ``None`` if the signal came before there was one."""
    found = sorted(path for path in (root / "records" / "sessions").glob("*") if path.is_dir())
    return found[-1] if found else None


def _resuming(folder: Path | None) -> list[str]:
    """Return the option that resumes a session, as its messages say; none if it had not begun, or is whole."""
    from harness.language.message import SaidError
    from harness.session.integrity import FILE
    from harness.session.model import read_session
    from harness.session.shares import STARTED

    if folder is None or not (folder / STARTED).is_file():
        return []
    with suppress(SaidError):
        if read_session(folder).interrupted is None and (folder / FILE).is_file():
            return []
    return [f"--phase3-resume={folder.name}"]


def verdicts(folder: Path) -> dict[str, str]:
    """Return all that a session concludes: verdicts, tests, lines of the checklist, and the outcome."""
    from harness.session.model import read_session

    session = read_session(folder)
    return {
        "outcome": session.outcome.value,
        **{f"{j.case} {j.role}: {v.check}": v.outcome.value for j in session.judged for v in j.verdicts},
        **{test.nodeid: test.outcome.value for test in session.tests},
        **{row.id: row.outcome.value for row in session.requirements},
        **{f"patch: {v.check}": v.outcome.value for v in session.patch},
    }


def wrong_session(folder: Path | None, peace: Mapping[str, str], *, whole: bool = False) -> Iterator[tuple[str, str]]:
    """Yield what is wrong about a session and its reports. With ``whole`` it must have ended like one that was not disturbed."""
    from harness.language.message import SaidError
    from harness.session.integrity import FILE, VIEWS, check
    from harness.session.integrity import SESSION as CONCLUDED

    if folder is None or not (folder / CONCLUDED).exists():
        if whole:
            yield LOST, "there is no session"
        return
    try:
        found = verdicts(folder)
    except SaidError as error:
        yield LOST, f"the session can't be read: {error}"
        return
    differ = sorted(name for name in {*peace, *found} if peace.get(name) != found.get(name))
    if differ and (whole or found["outcome"] == "pass"):
        told = [f"{name}: {found.get(name)} in place of {peace.get(name)}" for name in differ[:5]]
        yield LET_IN, f"it differs from a session that was not disturbed: {told}"
    if whole or (folder / FILE).exists():
        sealed = check(folder)
        if not sealed.intact:
            yield LOST, f"the session is not as its manifest says: {[name for name, _ in sealed.changes][:5]}"
    for name in VIEWS:
        if whole and not (folder / name).is_file():
            yield LOST, f"{name} is missing"
        if (folder / name).is_file() and not _is_whole(folder / name):
            yield LOST, f"{name} is half written"


def _is_whole(path: Path) -> bool:
    """Return whether a page, a summary or a JUnit file can be read to its end."""
    content = path.read_bytes().strip()
    if path.suffix == ".xml":
        try:
            ET.fromstring(content)
        except ET.ParseError:
            return False
    return content.endswith(b"</html>") if path.suffix == ".html" else bool(content)


def _wrong_files(program, root, older, before, source) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    after = _users(program, root, older)
    changed = sorted(path for path in before if before[path] != after.get(path))
    if changed:
        yield LOST, f"files of the user changed: {changed[:5]}"
    if checkout() != source:
        yield LOST, "the checkout changed"
    yield from _wrong_records(root)


def _wrong_records(root: Path) -> Iterator[tuple[str, str]]:
    """Yield each sealed record that is damaged, and each unsealed one that passes something."""
    from harness.checks.judge import judge
    from harness.language.message import SaidError
    from harness.record.comparison import Comparison
    from harness.record.reader import read_record

    for request in sorted(root.rglob("request.json")):
        try:
            record = read_record(request.parent)
        except SaidError:
            if (request.parent / "seal.json").exists():
                yield LOST, f"{request.parent.name} is sealed, and can't be read"
            continue
        if record.seal is not None and record.damage:
            yield LOST, f"{request.parent.name} is sealed and damaged: {record.damage}"
        if record.seal is None or record.seal.state != "done":
            passed = [v.check for v in judge(Comparison(record)) if v.outcome == "pass"]
            if passed:
                yield LET_IN, f"{request.parent.name} is unfinished, and passes {passed}"


def _sealed(root: Path) -> dict[str, str]:
    """Return the digest of each seal, which has the digests of its record's other files. A run that was stopped is made again."""
    found = [path for path in sorted(root.rglob("seal.json")) if _state(path) != "killed"]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def _state(seal: Path) -> str:
    try:
        return str(json.loads(seal.read_bytes())["state"])
    except (ValueError, KeyError):
        return "unreadable"


def older_record(root: Path, name: str = "record") -> Path:
    """Write a sealed record of an earlier time beside what is attacked."""
    from harness.record.seal import seal
    from tests.requests_ import a_request

    folder = root / name
    folder.mkdir(parents=True)
    a_request().write(folder / "request.json")
    (folder / "events-1.jsonl").write_text(json.dumps({"format": "phase3-events/1"}) + "\n", encoding="utf-8")
    seal(folder, "crashed", 1, "", 1.0)
    return folder


def _users(program: Program, root: Path, older: Path) -> dict[str, str]:
    """Return the digests of the user's files and of the older record. Byte code of the user's modules is Python's own."""
    return {
        f"{folder.name}/{name}": digest
        for folder in (*program.users(root), older)
        for name, digest in contents(folder).items()
        if "__pycache__" not in name
    }


def checkout() -> str:
    """Return the digests of the harness's own source."""
    from harness.session.source import own_source

    return json.dumps(own_source())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8"}


def _struck(argv: list[str], name: str, after: float, root: Path) -> tuple[int, float]:
    """Start a program and send the signal; return its status, and the seconds from the signal to its end."""
    with (root / "output").open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=_environment(),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    with suppress(subprocess.TimeoutExpired):
        process.wait(after)
    began = time.monotonic()
    number = getattr(signal, name.partition(" ")[0])
    with suppress(ProcessLookupError):
        if name.endswith("group"):
            os.killpg(process.pid, number)
        elif process.poll() is None:
            os.kill(process.pid, number)
        if name.endswith("twice"):
            time.sleep(0.2)
            if process.poll() is None:
                os.kill(process.pid, number)
        if name == "SIGSTOP":
            time.sleep(0.5)
            os.kill(process.pid, signal.SIGCONT)
    try:
        status = process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    return status, time.monotonic() - began


def left(root: Path) -> list[str]:
    """Return the processes with the folder in their command line or environment that do not end within some seconds."""
    until = time.monotonic() + GONE_SECONDS
    while found := list(_with(str(root))):
        if time.monotonic() > until:
            for process, _ in found:
                with suppress(psutil.Error):
                    process.kill()
            return [text for _, text in found]
        time.sleep(0.1)
    return []


def _with(text: str) -> Iterator[tuple[psutil.Process, str]]:
    own = {os.getpid(), os.getppid()}
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid in own or process.status() == psutil.STATUS_ZOMBIE:
                continue
            words = " ".join(process.cmdline())
            if text in words or _mentions(process, text):
                yield process, f"{process.pid} {words[:80]}"


def _mentions(process: psutil.Process, text: str) -> bool:
    """Return whether the environment or the working folder of a process has a text. A system may show neither to others."""
    with suppress(psutil.Error, OSError):
        if any(text in value for value in process.environ().values()):
            return True
    with suppress(psutil.Error, OSError):
        return text in process.cwd()
    return False


@dataclass(frozen=True)
class Peace:
    """How long a program takes if no signal comes, and what its session concludes."""

    seconds: float
    verdicts: Mapping[str, str]


@cache
def in_peace(name: str) -> Peace:
    """Let a program end without a signal; its status is that of peace."""
    program = PROGRAMS[name]
    root = Path(tempfile.mkdtemp(prefix="phase3-peace-"))
    try:
        program.prepare(root)
        began = time.monotonic()
        done = subprocess.run(
            program.argv(root), cwd=ROOT, env=_environment(), capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode in program.statuses, done.stdout + done.stderr
        folder = _session_in(root)
        return Peace(time.monotonic() - began, {} if folder is None else verdicts(folder))
    finally:
        shutil.rmtree(root, ignore_errors=True)


FAMILY = Family(
    "signals",
    "signals to a run, a recording and a session",
    attempt,
    short=2,
    long=120,
    block=12,
    seconds=900.0,
    groups=tuple(f"{name} to {program}" for program in dict.fromkeys(TURN) for name in SIGNALS),
)
