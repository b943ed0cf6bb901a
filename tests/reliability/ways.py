"""List the ways in which a hostile target attacks, each with the end that its run must have.

Each way is a small script of Python. An attack that did nothing, or another readable end than the stated one, is a finding.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from tests import hostile as replacing

LIMIT = 2.0
"""The seconds that a target may run, if its way says nothing else."""

Judged = Literal["like an honest run", "unknown", "failed"]


@dataclass(frozen=True)
class End:
    """How the run of a way has to end, exactly.

    ``states`` are those of its seal that are right. ``reason`` and ``beyond`` are parts of its sentences; without ``beyond``
    there must be none. ``tampered`` are the starts of entries that the seal must name; without them there must be none.
    ``judged`` is what all checks say, and ``fails`` the checks that fail. With ``refused`` no record is returned, and the error
    has these words.
    """

    states: tuple[str, ...] = ("done",)
    reason: str = ""
    tampered: tuple[str, ...] = ()
    beyond: str = ""
    judged: Judged = "unknown"
    fails: frozenset[str] = frozenset()
    refused: str = ""


HARMLESS = End(judged="like an honest run")
"""What the target did is its own affair: the run is judged like one without it."""
UNKNOWN = End()
"""The record is sealed and as the harness wrote it; what the target wrote there lets nothing be concluded."""
STRAYS = replace(HARMLESS, reason="outlived the target and were ended")
TIMED_OUT = End(("timed out",), "found it still running, so its processes were ended")
GUARD_STOPPED = End(("killed",), "found that process stopped")
GUARD_ENDED = End(("killed",), "found its guard process ended from outside")
UNMEASURED = replace(HARMLESS, reason="Expected products that can be measured")
NO_MOSAIC = replace(HARMLESS, reason="Expected a mosaic in outputs, found no file")


def tampered(*names: str) -> End:
    """Return the end of a record that is sealed as tampered with, and unknown."""
    return End(reason="found that the target replaced parts of it", tampered=names)


def beyond(part: str) -> End:
    """Return the end of a record that is beyond the limits, and unknown."""
    return End(beyond=part)


def at_limit(part: str) -> End:
    """Return the end of a run that the harness ended at a limit of its request."""
    return End(("killed",), f"Ended by the harness: {part}")


@dataclass(frozen=True)
class Way:
    """How a target attacks: a script, the end that its run must have, and what it does to the record of an earlier run.

    The script may use `user`, the folder of a user, `guard`, the process of its guard, and `neighbour`, the record of an earlier
    run of the same session. It calls `did` when the attack is made, or just before, if the attack ends it.
    """

    name: str
    script: str
    end: End
    part: str = ""
    limit: float = LIMIT
    limits: tuple[tuple[str, int], ...] = ()
    strikes_neighbour: bool = False


START = """
import shutil
guard = os.getppid()


def above():
    return int(open(f"/proc/{guard}/stat").read().rpartition(")")[2].split()[1])


def did():
    proof.touch()


hello()
event("PROCESS_DONE")
"""
"""The start of each target: an honest run but for its mosaic. `did` notes that the attack was made."""

FORGED = """
import hashlib
def forge(name, data):
    (record / name).write_text(data if isinstance(data, str) else json.dumps(data), encoding="utf-8")
"""

GUARD = {
    "stops its guard": "did(); os.kill(guard, signal.SIGSTOP); time.sleep(60)",
    "stops its guard and ends": "did(); os.kill(guard, signal.SIGSTOP)",
    "stops and continues its guard": (
        "os.kill(guard, signal.SIGSTOP); time.sleep(0.05); os.kill(guard, signal.SIGCONT); did(); time.sleep(60)"
    ),
    "kills its guard": "did(); os.kill(guard, signal.SIGKILL); time.sleep(60)",
    "kills the keeper": "did(); os.kill(above(), signal.SIGKILL); time.sleep(60)",
    "kills the keeper and its guard": (
        "did(); os.kill(above(), signal.SIGKILL); os.kill(guard, signal.SIGKILL); time.sleep(60)"
    ),
    "kills its guard and the keeper": (
        "keeper = above(); did(); os.kill(guard, signal.SIGKILL); os.kill(keeper, signal.SIGKILL); time.sleep(60)"
    ),
    "stops the keeper": "did(); os.kill(above(), signal.SIGSTOP); time.sleep(60)",
    "stops the keeper and kills its guard": (
        "did(); os.kill(above(), signal.SIGSTOP); os.kill(guard, signal.SIGKILL); time.sleep(60)"
    ),
    "asks its guard to end": "did(); os.kill(guard, signal.SIGTERM); time.sleep(60)",
    "interrupts its guard": "did(); os.kill(guard, signal.SIGINT); time.sleep(60)",
    "hangs up on its guard": "did(); os.kill(guard, signal.SIGHUP); time.sleep(60)",
    "slows its guard down": "os.setpriority(os.PRIO_PROCESS, guard, 19); did(); time.sleep(60)",
    "stops itself": "did(); os.kill(os.getpid(), signal.SIGSTOP)",
    "stops its group": "did(); os.killpg(0, signal.SIGSTOP)",
    "ignores every signal": """
for n in range(1, 65):
    try:
        signal.signal(n, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
did()
time.sleep(60)""",
    "answers in the place of its guard": """
answer = {"cause": "ended", "code": 0, "strays": 0, "left": [], "dropped": 0, "printed": ""}
try:
    with open(f"/proc/{guard}/fd/1", "wb") as pipe:
        pipe.write(json.dumps(answer).encode() + b"\\n")
except PermissionError:
    pass  # only root may open it
did()
time.sleep(60)""",
    "floods the pipe of its guard": """
did()
try:
    with open(f"/proc/{guard}/fd/1", "wb") as pipe:
        for _ in range(200):
            pipe.write(b"x" * 10000)
            pipe.flush()
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
did()
while True:
    if os.fork():
        os._exit(0)
    time.sleep(0.01)""",
    "forks again and again, in new sessions": """
until = time.monotonic() + 30
did()
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
    "sleeps with closed files": "os.closerange(0, 256); did(); time.sleep(60)",
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
    forge("../../" + name, {})""",
    "writes events of the future": 'event("PROCESS_DONE"); write(t=2**62, format="x")',
    "says hello ten times": 'for _ in range(10): hello("phase3-events/9")',
    "hides its last line": 'events.open("ab").write(b"{\\"t\\": 1")',
    "writes lines that are no JSON": 'events.open("ab").write(b"\\xff\\0\\n[[[[\\n" + b"[" * 100000 + b"\\n")',
    "writes numbers beyond all limits": 'events.open("ab").write(b\'{"t": 1e999, "key": NaN}\\n{"t": \' + b"9" * 5000 + b"}\\n")',
    "writes keys of people's scripts": 'event("<script>alert(1)</script>", "\\x1b]0;x\\x07\\u202e\\x00")',
}
SIZES = {
    "prints without an end": 'did()\nwhile True: print("x" * 100000)',
    "prints one line without an end": 'did()\nwhile True: sys.stdout.write("x" * 100000)',
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
    "takes memory": "did(); kept = [b'x' * 10_000_000 for _ in range(60)]; time.sleep(60)",
    "takes room": "did()\nfor n in range(60): (outputs / f'{n}.npy').write_bytes(b'x' * 1_000_000); time.sleep(0.02)",
    "takes processes": """
for _ in range(12):
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", str(record)])
did()
time.sleep(60)""",
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
did()
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
NEIGHBOURS = {
    "changes the record of an earlier run": '(neighbour / "events-1.jsonl").open("ab").write(b"{}\\n")',
    "takes a file of an earlier run away": '(neighbour / "events-1.jsonl").unlink()',
    "adds a file to the record of an earlier run": '(neighbour / "products.json").write_bytes(b"{}")',
    "replaces the seal of an earlier run": '(neighbour / "seal.json").write_bytes(b"{}")',
}
"""A target has the rights of its user, and can do this. The seal of the earlier run must show it."""

ENDS = {
    **dict.fromkeys(("stops its guard", "stops its guard and ends", "stops the keeper"), GUARD_STOPPED),
    "stops and continues its guard": replace(TIMED_OUT, states=("timed out", "killed"), reason="so "),
    **dict.fromkeys(
        (
            *("kills its guard", "asks its guard to end", "interrupts its guard", "kills the keeper"),
            *(
                "kills the keeper and its guard",
                "kills its guard and the keeper",
                "stops the keeper and kills its guard",
            ),
        ),
        GUARD_ENDED,
    ),
    # A guard that was started with `nohup` ignores this signal.
    "hangs up on its guard": End(("killed", "timed out"), "Expected the target to end"),
    **dict.fromkeys(
        (
            *("slows its guard down", "stops itself", "stops its group", "ignores every signal"),
            *("answers in the place of its guard", "floods the pipe of its guard", "sleeps with closed files"),
            *("prints without an end", "prints one line without an end"),
        ),
        TIMED_OUT,
    ),
    **{name: STRAYS for name in PROCESSES if name != "sleeps with closed files"},
    **{
        name: tampered(f"{file}: {what}")
        for name, file, what in (
            ("asks for less than it was asked for", "request.json", "changed"),
            ("takes its request away", "request.json", "removed"),
            ("adds a word to its request", "request.json", "changed"),
            ("writes its own seal", "seal.json", "written by the target"),
            ("writes its own products", "products.json", "written by the target"),
            ("writes its own known sky", "truth.json", "written by the target"),
            ("writes what it left", "left.jsonl", "written by the target"),
            ("writes its own inputs", "inputs.jsonl", "written by the target"),
            ("moves its record, and leaves a link to the user", "the record itself", "a symbolic link in its place"),
            ("moves its record, and leaves a link to it", "the record itself", "a symbolic link in its place"),
            ("moves its record, and leaves a copy", "the record itself", "a folder in its place"),
            ("moves its record, and leaves a file", "the record itself", "a file in its place"),
            ("moves its record away", "the record itself", "nothing in its place"),
            ("links its folder for temporary files", "work/tmp", "a symbolic link in the place of the folder"),
        )
    },
    "replaces all by a late process": tampered("seal.json: "),
    "writes its own samples": tampered("disk.jsonl: other content", "process.jsonl: other content"),
    "changes one byte of the samples": tampered("process.jsonl: other content"),
    **dict.fromkeys(
        (
            *("writes its own console", "writes over its console in place"),
            *("cuts its console off", "adds to its console"),
        ),
        tampered("console.log: other content"),
    ),
    "writes a sign-off": tampered("accepted.json: a name", "signoff.json: a name"),
    **dict.fromkeys(
        (
            *("writes events of the future", "says hello ten times", "hides its last line", "writes a long line"),
            *("writes lines that are no JSON", "writes numbers beyond all limits"),
        ),
        UNKNOWN,
    ),
    "writes a million lines": beyond("more than 1,000,000 lines"),
    "makes an endless mosaic": beyond("outputs/zemosaic_MT1_R2.fits has 1.1 TB"),
    "makes folders a thousand deep": beyond("folders more than 64 deep"),
    "makes a mosaic that declares a billion axes": UNMEASURED,
    "makes a mosaic of a terabyte": UNMEASURED,
    **dict.fromkeys(
        ("makes pipes of its caches", "makes a device of its mosaic", "links its mosaic to the user's file"), NO_MOSAIC
    ),
    "takes memory": at_limit("its memory reached"),
    "takes room": at_limit("the bytes of its files reached"),
    "takes processes": at_limit("the number of its processes reached"),
    "removes its record": End(refused="seal.json"),
    "removes its working folders": End(judged="failed", fails=frozenset({"inputs"})),
}
"""The end of each way; the others are harmless."""


def _replacements() -> Iterator[Way]:
    """Yield a way for each name of a record and each kind of thing in its place, as far as a target may not make it."""
    for kind in replacing.KINDS:
        names = [name for name in (*replacing.FOLDERS, *replacing.FILES) if not replacing.allowed(name, kind)]
        for name in (*names, names):
            all_of = [name] if isinstance(name, str) else name
            what = f"{name if isinstance(name, str) else 'everything'} replaced by a {kind}"
            script = f"{replacing.SCRIPT}\nfor name in {all_of!r}:\n    replace(record / name, {kind!r}, user)\n"
            # The seal names at most 20 places.
            yield Way(what, script, tampered(*(f"{name}: " for name in all_of[: replacing.NAMED])), f"a {kind}")


def _ways() -> Iterator[Way]:
    parts = {
        "guard": GUARD,
        "processes": PROCESSES,
        "forgeries": FORGERIES,
        "sizes": SIZES,
        "outside": OUTSIDE,
        "neighbours": NEIGHBOURS,
    }
    for part, scripts in parts.items():
        for name, script in scripts.items():
            yield Way(
                name,
                (FORGED if part == "forgeries" else "") + script,
                ENDS.get(name, HARMLESS),
                part,
                limit=10.0 if name in LIMITED else 4.0 if part == "sizes" else LIMIT,
                limits=(LIMITED[name],) if name in LIMITED else (),
                strikes_neighbour=part == "neighbours",
            )
    yield from _replacements()


WAYS = tuple(_ways())
"""Every way, those of most effect first."""
