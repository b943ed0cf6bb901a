"""Read what other programs answer or leave: the guard, git, the probe, a target's source, its release, and its copy."""

import ast
import json
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any


def guard_answers() -> str:
    """Return a start and an end of a run, as a guard with the secret answers them."""
    end = {"secret": "s", "cause": "ended", "code": 0, "strays": 0, "left": [], "dropped": 0, "printed": "x"}
    end["console"] = {"size": 1, "sha256": "0" * 64}
    return f"{json.dumps({'secret': 's', 'guard': 11, 'pid': 12})}\n{json.dumps(end)}\n"


def guard_read(path: Path) -> Any:
    """Let the harness's side of the guard read forged answers, without starting anything."""
    import queue

    from harness.watch.guard import Ended, Guard

    guard = Guard.__new__(Guard)
    guard.__dict__.update(
        mark="x",
        _secret="s",
        _seconds=0.0,
        _due=None,
        pid=0,
        guard_pid=0,
        _grace=0.0,
        _program="x",
        _spec={"cwd": "x"},
        _answers=queue.Queue(),
        _contents=queue.Queue(),
        _ended=None,
    )
    with path.open("rb") as stream:
        guard._process = SimpleNamespace(stdin=None, stdout=stream, kill=lambda: None)
        guard._send = lambda _line: None
        guard._watch = lambda: None
        guard._take_over = lambda cause: Ended(cause, None)  # it would kill the processes that the answer names
        guard._read()
        guard.start()
        return guard.wait(0.0)


def thresholds_read(path: Path) -> Any:
    """Read the limits of the checks."""
    from harness.checks.thresholds import read_thresholds

    return read_thresholds(path)


def git_made() -> bytes:
    """Return what git prints for three files."""
    return b"".join(b"%d blob 3\nabc\n" % n for n in range(3))


def git_read(path: Path) -> Any:
    """Let the reader of git's output read what git did not write."""
    from harness.targets import git

    before, git._run = git._run, lambda *_, **__: path.read_bytes()
    try:
        wanted = tuple(git.Blob("100644", str(n), "x") for n in range(3))
        return git.blobs(path, "x"), list(git.contents(path, wanted)), git.tracked(path)
    finally:
        git._run = before


def source() -> str:
    """Return the source of the stub's worker."""
    return (Path(__file__).parent / "stub_zemosaic" / "zemosaic_worker.py").read_text(encoding="utf-8")


def source_read(path: Path) -> Any:
    """Compare a source with that of the stub, by the guard rails."""
    from harness.patch import guard_rails
    from harness.patch.versions import read_folder

    with suppress(SyntaxError, ValueError):
        ast.parse(source())
    found = guard_rails.judge({"zemosaic_worker.py": source()}, read_folder(path.parent))
    return repr(found)  # of another source, its verdicts are on another question


def facts() -> str:
    """Return what the probe notes of a run of the user."""
    return json.dumps(
        {
            "input": "/frames", "output": "/out", "selected": ["/frames/a.fits"], "worker": "/zm/zemosaic_worker.py",
            "python": "/usr/bin/python", "wall": 1.5, "before": [["a", 1, 2]], "inputs": [["a", 1, 2, 3, True, None]],
        }
    )  # fmt: skip


def facts_read(path: Path) -> Any:
    """Read what the probe noted of a run of the user."""
    from harness.field.probe_notes import read_facts

    return read_facts(path)


def end_read(path: Path) -> Any:
    """Read how a run of the user ended."""
    from harness.field.probe_notes import read_end

    return read_end(path)


def notes_read(path: Path) -> Any:
    """Read the notes of a run of the user."""
    from harness.field.probe_notes import read_notes

    return read_notes(path)


def release_read(path: Path) -> Any:
    """Judge what a release did, and how it grows."""
    from harness.checks.thresholds import read_thresholds
    from harness.patch.release_check import judge, judge_growth
    from harness.patch.release_driver import read_facts

    facts = read_facts(path)
    return None if facts is None else (judge(facts), judge_growth(facts, read_thresholds()))


def release() -> str:
    """Return the facts of a sound release."""
    from tests.patch.test_release_check import outcome

    rows = [{"inputs": 10 * n, "register": 10.0 * n, "release": 11.0 * n} for n in (1, 2, 4)]
    times = [{"inputs": 10 * n, "register": 0.1 * n, "release": 0.1 * n} for n in (1, 2, 4)]
    return json.dumps({**outcome(), "growth": {"name": "f", "lines": rows, "seconds": times}})


def exports(folder: Path) -> Path:
    """Make a copy of a target; return its manifest."""
    from harness.targets.exports import keep

    keep({f"part{n}.py": b"x\n" * n for n in range(3)}.items, folder, "copy", "x", lambda _: None)
    return folder / "copy.json"


def exports_read(path: Path) -> Any:
    """Copy the target as each run does, and return its files."""
    import tempfile

    from harness.targets.exports import copy

    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "to"
        copy(path.with_suffix(""), to)
        return {file.relative_to(to).as_posix(): file.read_bytes() for file in sorted(to.rglob("*")) if file.is_file()}
