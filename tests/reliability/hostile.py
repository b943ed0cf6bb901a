"""Run targets that attack the harness: nothing outside the record changes, no process is left, no verdict passes by it.

Each way is a small script of Python. `WAYS` lists them all.
"""

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from tests import hostile as replacing
from tests.reliability.signals import _left
from tests.reliability.tally import LET_IN, LOST, Attempt, Family, ended

SECONDS = 30.0
"""The most that a run of such a target may take; its limit is `LIMIT`."""
LIMIT = 2.0
GRACE = 0.3


@dataclass(frozen=True)
class Way:
    """How a target attacks: a script, which may use `user`, the folder of a user, and `guard`, the process of its guard.

    ``passes`` are the checks that may pass: what the target did is its own affair, and they say nothing wrong about it.
    """

    name: str
    script: str
    passes: frozenset[str] = frozenset()
    limit: float = LIMIT
    limits: tuple[tuple[str, int], ...] = ()


START = """
import shutil
guard = os.getppid()
def above():
    return int(open(f"/proc/{guard}/stat").read().rpartition(")")[2].split()[1])
hello()
event("PROCESS_DONE")
"""

FORGED = """
import hashlib
def forge(name, data):
    (record / name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
"""

GUARD = {
    "stops its guard": "os.kill(guard, signal.SIGSTOP); time.sleep(60)",
    "stops its guard and ends": "os.kill(guard, signal.SIGSTOP)",
    "stops and continues its guard": (
        "os.kill(guard, signal.SIGSTOP); time.sleep(0.05); os.kill(guard, signal.SIGCONT); time.sleep(60)"
    ),
    "kills its guard": "os.kill(guard, signal.SIGKILL); time.sleep(60)",
    "kills the keeper": "os.kill(above(), signal.SIGKILL); time.sleep(60)",
    "kills the keeper and its guard": "os.kill(above(), signal.SIGKILL); os.kill(guard, signal.SIGKILL); time.sleep(60)",
    "kills its guard and the keeper": (
        "keeper = above(); os.kill(guard, signal.SIGKILL); os.kill(keeper, signal.SIGKILL); time.sleep(60)"
    ),
    "stops the keeper": "os.kill(above(), signal.SIGSTOP); time.sleep(60)",
    "stops the keeper and kills its guard": (
        "os.kill(above(), signal.SIGSTOP); os.kill(guard, signal.SIGKILL); time.sleep(60)"
    ),
    "asks its guard to end": "os.kill(guard, signal.SIGTERM); time.sleep(60)",
    "interrupts its guard": "os.kill(guard, signal.SIGINT); time.sleep(60)",
    "hangs up on its guard": "os.kill(guard, signal.SIGHUP); time.sleep(60)",
    "slows its guard down": "os.setpriority(os.PRIO_PROCESS, guard, 19); time.sleep(60)",
    "stops itself": "os.kill(os.getpid(), signal.SIGSTOP)",
    "stops its group": "os.killpg(0, signal.SIGSTOP)",
    "ignores every signal": """
for n in range(1, 65):
    try:
        signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
time.sleep(60)""",
    "answers in the place of its guard": """
answer = {"cause": "ended", "code": 0, "strays": 0, "left": [], "dropped": 0, "printed": ""}
try:
    with open(f"/proc/{guard}/fd/1", "wb") as pipe:
        pipe.write(json.dumps(answer).encode() + b"\\n")
except PermissionError:
    pass  # only root may open it
time.sleep(60)""",
    "floods the pipe of its guard": """
try:
    with open(f"/proc/{guard}/fd/1", "wb") as pipe:
        for _ in range(200):
            pipe.write(b"x" * 10000)
except PermissionError:
    pass
time.sleep(60)""",
}
PROCESSES = {
    "starts a child that outlives it": 'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(record)])',
    "starts a child in a session of its own": (
        'subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(record)], start_new_session=True)'
    ),
    "forks twice": "os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(60))",
    "forks twice without its environment": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve(sys.executable, [sys.executable, "-c", "import time; time.sleep(60)", str(record)], {})
    os._exit(0)
time.sleep(0.5)""",
    "forks again and again": """
for _ in range(3):
    os.fork()
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.01)""",
    "forks again and again, in new sessions": """
until = time.monotonic() + 30
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
    os.setsid()
    time.sleep(0.02)""",
    "stops a child": """
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(record)], start_new_session=True)
os.kill(child.pid, signal.SIGSTOP)""",
    "changes its name": """
if os.fork() == 0:
    os.setsid()
    os.execve("/bin/sleep", ["kworker", "60"], {"HOME": str(record)})
time.sleep(0.3)""",
    "changes its folder": "os.chdir('/'); os.fork() == 0 and (os.setsid(), time.sleep(60))",
    "sleeps with closed files": "os.closerange(0, 256); time.sleep(60)",
}
FORGERIES = {
    "asks for less than it was asked for": """
asked = json.loads((record / "request.json").read_text(encoding="utf-8"))
forge("request.json", asked | {"retention": "run_end"})""",
    "takes its request away": '(record / "request.json").unlink()',
    "adds a word to its request": '(record / "request.json").open("ab").write(b" ")',
    "writes its own seal": (
        'forge("seal.json", {"format": "phase3-seal/1", "state": "done", "exit_code": 0, "reason": "", "seconds": 1.0, '
        '"files": {}})'
    ),
    "writes its own products": (
        'forge("products.json", {"format": "phase3-products/1", "mosaic": "outputs/m.fits", "wcs": {}, "step": 1, '
        '"shape": [2, 3], "tiles": [], "thumbnail": None})'
    ),
    "writes its own known sky": 'forge("truth.json", {})',
    "writes what it left": 'forge("left.jsonl", "")',
    "writes its own inputs": 'forge("inputs.jsonl", "{}\\n")',
    "writes its own samples": 'forge("process.jsonl", "{}\\n" * 1000); forge("disk.jsonl", "{}\\n")',
    "writes its own console": 'forge("console.log", "all is well")',
    "writes over its console in place": """
print("phase3 probe: lost 3 lines", flush=True)
while not (record / "console.log").stat().st_size:
    time.sleep(0.01)
(record / "console.log").open("r+b").write(b"all is well  ")""",
    "cuts its console off": """
print("phase3 probe: lost 3 lines", flush=True)
while not (record / "console.log").stat().st_size:
    time.sleep(0.01)
os.truncate(record / "console.log", 0)""",
    "adds to its console": '(record / "console.log").open("ab").write(b"all is well")',
    "changes one byte of the samples": """
while not (record / "process.jsonl").stat().st_size:
    time.sleep(0.01)
(record / "process.jsonl").open("r+b").write(b"[")""",
    "writes events of another process": 'forge("events-99999.jsonl", \'{"format": "phase3-events/1", "pid": 99999, "t": 1}\\n\')',
    "writes a sign-off": 'forge("signoff.json", {}); forge("accepted.json", {})',
    "writes a session around its record": """
for name in ("session.json", "integrity.json", "report.html"):
    (record.parent / name).exists() or forge("../session/" + name, {})""",
    "writes events of the future": 'event("PROCESS_DONE"); write(t=2**62, format="x")',
    "says hello ten times": 'for _ in range(10): hello("phase3-events/9")',
    "hides its last line": 'events.open("ab").write(b"{\\"t\\": 1")',
    "writes lines that are no JSON": 'events.open("ab").write(b"\\xff\\0\\n[[[[\\n" + b"[" * 100000 + b"\\n")',
    "writes numbers beyond all limits": 'events.open("ab").write(b\'{"t": 1e999, "key": NaN}\\n{"t": \' + b"9" * 5000 + b"}\\n")',
    "writes keys of people's scripts": 'event("<script>alert(1)</script>", "\\x1b]0;x\\x07\\u202e\\x00")',
}
SIZES = {
    "prints without an end": 'while True: print("x" * 100000)',
    "prints one line without an end": 'while True: sys.stdout.write("x" * 100000)',
    "prints control characters": 'print("\\x1b[2J\\x1b]0;x\\x07\\u202e\\x00\\r" * 1000)',
    "writes a million lines": 'events.open("ab").write(b"{}\\n" * 1_100_000)',
    "writes a long line": 'events.open("ab").write(b"x" * 5_000_000)',
    "makes an endless mosaic": '(outputs / "zemosaic_MT1_R2.fits").open("wb").truncate(2**40)',
    "makes an endless cache": '(outputs / "preprocessed_a_0.npy").open("wb").truncate(2**40)',
    "makes folders a thousand deep": """
os.chdir(outputs)
for _ in range(1_200):
    os.mkdir("d")
    os.chdir("d")""",
    "makes ten thousand files": """
for n in range(10_000):
    (outputs / f"preprocessed_{n}.npy").touch()""",
    "makes pipes of its caches": """
for name in ("preprocessed_a_0.npy", "master_tile_001.fits", "zemosaic_MT1_R2.fits", "zemosaic_MT1_R2_coverage.fits"):
    os.mkfifo(outputs / name)""",
    "makes a folder of pipes": """
folder = outputs / ".zemosaic_img_cache"
folder.mkdir(exist_ok=True)
for n in range(50):
    os.mkfifo(folder / f"preprocessed_{n}.npy")""",
    "makes a device of its mosaic": """
try:
    os.mknod(outputs / "zemosaic_MT1_R2.fits", 0o600 | 0o020000, os.makedev(1, 5))
except OSError:
    (outputs / "zemosaic_MT1_R2.fits").symlink_to("/dev/zero")""",
    "makes a mosaic that declares a billion axes": (
        '(outputs / "zemosaic_MT1_R2.fits").write_bytes((b"SIMPLE  =                    T".ljust(80) '
        '+ b"BITPIX  =                   16".ljust(80) + b"NAXIS   =           1000000000".ljust(80)).ljust(2880))'
    ),
    "makes a mosaic of a terabyte": (
        '(outputs / "zemosaic_MT1_R2.fits").write_bytes((b"SIMPLE  =                    T".ljust(80) '
        '+ b"BITPIX  =                  -64".ljust(80) + b"NAXIS   =                    2".ljust(80) '
        '+ b"NAXIS1  =              1000000".ljust(80) + b"NAXIS2  =              1000000".ljust(80) '
        '+ b"END".ljust(80)).ljust(2880)'
        ")"
    ),
    "makes names with control characters": """
for n, name in enumerate(("a\\nb", "\\x1b[2J", "\\u202egpj", "-rf", "a\\rb", " ", "~", "$(x)", "x" * 255)):
    (outputs / name).write_bytes(b"x")
(outputs / os.fsdecode(b"\\xff\\xfe.npy")).write_bytes(b"x")""",
    "makes names that differ by their case": '[(outputs / name).write_bytes(b"x") for name in ("A.fits", "a.fits", "a.FITS")]',
    "takes rights away from its folders": """
(outputs / "x").mkdir()
(outputs / "x" / "preprocessed_a_0.npy").write_bytes(b"x")
(outputs / "x").chmod(0)
outputs.chmod(0)""",
    "takes memory": "kept = [b'x' * 10_000_000 for _ in range(60)]; time.sleep(60)",
    "takes room": "for n in range(60): (outputs / f'{n}.npy').write_bytes(b'x' * 1_000_000); time.sleep(0.02)",
    "takes processes": 'for _ in range(12): subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(record)])',
}
LIMITED = {
    "takes memory": ("memory", 200_000_000),
    "takes room": ("disk", 20_000_000),
    "takes processes": ("processes", 6),
}
OUTSIDE = {
    "links its mosaic to the user's file": '(outputs / "zemosaic_MT1_R2.fits").symlink_to(user / "letter.txt")',
    "links a tile to the user's file": '(outputs / "master_tile_001.fits").symlink_to(user / "letter.txt")',
    "links its cache folder to the user's": '(outputs / ".zemosaic_img_cache").symlink_to(user / ".zemosaic_img_cache")',
    "links a cache to the user's file": '(outputs / "preprocessed_a_0.npy").symlink_to(user / "preprocessed_a_0.npy")',
    "makes a hard link to the user's file": 'os.link(user / "preprocessed_a_0.npy", outputs / "preprocessed_a_0.npy")',
    "links its folder for temporary files": """
shutil.rmtree(record / "work" / "tmp")
(record / "work" / "tmp").symlink_to(user / "tmp")""",
    "links in circles": """
(outputs / "a").symlink_to(outputs / "b")
(outputs / "b").symlink_to(outputs / "a")
(outputs / "c").symlink_to(outputs)""",
    "moves its record, and leaves a link to the user": "record.rename(record.with_name('moved')); record.symlink_to(user)",
    "moves its record, and leaves a link to it": """
record.rename(record.with_name("moved"))
record.symlink_to(record.with_name("moved"))""",
    "moves its record, and leaves a copy": """
record.rename(record.with_name("moved"))
shutil.copytree(record.with_name("moved"), record, symlinks=True)""",
    "moves its record, and leaves a file": "record.rename(record.with_name('moved')); record.write_bytes(b'x')",
    "moves its record away": "record.rename(record.with_name('moved'))",
    "removes its record": "shutil.rmtree(record, ignore_errors=True)",
    "removes its working folders": "shutil.rmtree(record / 'work', ignore_errors=True)",
    "removes its outputs": "shutil.rmtree(outputs)",
    "replaces all by a late process": """
if os.fork() == 0:
    os.setsid()
    for _ in range(400):
        for name in ("seal.json.part", "left.jsonl.part", "products.npz.part", "seal.json", "products.json"):
            try:
                (record / name).symlink_to(user / "letter.txt")
            except OSError:
                pass
        time.sleep(0.002)""",
}
TRUE = frozenset({"crash", "inputs"})
"""What is true of every target that ended by itself, and left the frames as they were."""
OWN_LINES = {"writes events of another process", "writes a sign-off", "writes keys of people's scripts"}
"""Forgeries that are none: a target's own lines, and files that nothing in a record reads."""


def _replacements() -> Iterator[Way]:
    """Yield a way for each name of a record and each kind of thing in its place, as far as a target may not make it."""
    for kind in replacing.KINDS:
        names = [name for name in (*replacing.FOLDERS, *replacing.FILES) if not replacing.allowed(name, kind)]
        for name in (*names, names):
            all_of = [name] if isinstance(name, str) else name
            what = f"{name if isinstance(name, str) else 'everything'} replaced by a {kind}"
            yield Way(
                what, f"{replacing.SCRIPT}\nfor name in {all_of!r}:\n    replace(record / name, {kind!r}, user)\n"
            )


def _ways() -> Iterator[Way]:
    for name, script in GUARD.items():
        yield Way(name, script)
    for name, script in PROCESSES.items():
        yield Way(name, script, TRUE)
    for name, script in FORGERIES.items():
        yield Way(name, FORGED + script, TRUE if name in OWN_LINES else frozenset())
    for name, script in SIZES.items():
        yield Way(
            name,
            script,
            TRUE,
            limits=(LIMITED[name],) if name in LIMITED else (),
            limit=10.0 if name in LIMITED else 4.0,
        )
    for name, script in OUTSIDE.items():
        yield Way(name, script, frozenset() if name.startswith(("moves", "replaces", "removes its record")) else TRUE)
    yield from _replacements()


WAYS = tuple(_ways())
"""Every way, those of most effect first."""
NAMED = len(WAYS) - len(tuple(_replacements()))


def attempt(number: int, seed: int, folder: Path) -> Attempt:
    """Run the target of this number; beyond the last way, the first begins again with a pause before it attacks."""
    if not hasattr(os, "mkfifo"):
        return Attempt(f"way {number}", skipped="signals, pipes and links without privileges are POSIX's")
    turn, place = divmod(number, len(WAYS))
    pause = random.Random(f"{seed}.{number}").random() * 0.5 if turn else 0.0
    return attacked(WAYS[place], folder, pause)


def attacked(way: Way, root: Path, pause: float = 0.0) -> Attempt:
    """Run a target that attacks in a way, and look at what is left."""
    from harness.record.request import RunLimits
    from harness.run.runner import make_run
    from tests.runs_ import command

    user, frames, folder = replacing.users_folder(root / "user é"), root / "frames", root / "session" / "record"
    (root / "session").mkdir()
    script = f"from pathlib import Path\nuser = Path({str(user)!r})\n{START}time.sleep({pause})\n{way.script}\n"
    request = replace(command(frames, script, seconds=way.limit), limits=RunLimits(**dict(way.limits)))
    before = {"user": replacing.facts(user), "frames": replacing.facts(frames)}
    began, said = time.monotonic(), ""
    record = None
    try:
        record = make_run(request, folder, frames, grace=GRACE)
    except OSError as error:
        said = str(error)
    spent = time.monotonic() - began
    wrong = list(_wrong(way, root, record, spent, said))
    after = {"user": replacing.facts(user), "frames": replacing.facts(frames)}
    wrong += [
        (LOST, f"the folder {name} changed: {_changed(before[name], after[name])}")
        for name in before
        if before[name] != after[name]
    ]
    _remove(folder)
    return ended(way.name, wrong)


def _wrong(way, root, record, spent, said) -> Iterator[tuple[str, str]]:  # type: ignore[no-untyped-def]
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.verdict import Outcome

    if spent > SECONDS:
        yield LET_IN, f"the run took {spent:.0f} s"
    left = _left(root)
    if left:
        yield LET_IN, f"processes are left: {left}"
    if record is None:
        if not said:
            yield LET_IN, "an error without a sentence"
        return
    if record.seal is None:
        yield LET_IN, "the record has no seal"
    passed = {verdict.check for verdict in judge(Comparison(record)) if verdict.outcome is Outcome.PASS} - way.passes
    if passed:
        yield LET_IN, f"it passes {sorted(passed)}"


def _changed(before: dict, after: dict) -> list[str]:  # type: ignore[type-arg]
    return [str(name) for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)][:5]


def _remove(folder: Path) -> None:
    """Remove a record with folders that are too deep for Python."""
    with suppress(OSError):
        if sys.platform != "win32":
            subprocess.run(["rm", "-rf", str(folder)], check=False, timeout=60)


FAMILY = Family(
    "hostile",
    f"targets that attack the harness, in {len(WAYS)} ways",
    attempt,
    short=4,
    long=len(WAYS),
    block=8,
    seconds=90.0,
)
