"""Test what the audit hook and the wrappers record of file operations, with every Python that a target may use."""

import json
import os
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import harness.probe
from harness.probe import files
from harness.probe.files import _Attempts, _mode, _Removal, _Renaming, _rmtree, _save
from harness.probe.paths import Paths
from harness.probe.recorder import Recorder

# Runs in an interpreter with its standard library only: loads the probe as the launcher does.
SCRIPT = """
import importlib.util, os, sys
probe, record = sys.argv[1:]
init = os.path.join(probe, "__init__.py")
spec = importlib.util.spec_from_file_location("_phase3_probe", init, submodule_search_locations=[probe])
module = importlib.util.module_from_spec(spec)
sys.modules["_phase3_probe"] = module
spec.loader.exec_module(module)
import pathlib
from _phase3_probe.setup import observe
recorder, _ = observe(record)
import logging, mmap, shutil, tempfile
out = pathlib.Path(record, "outputs")
for name in "abcdefg":
    (out / name).write_bytes(b"x" * 7)
(out / "a").unlink()
os.remove(str(out / "b"))
os.unlink(out / "c")
try:
    (out / "none").unlink()
except FileNotFoundError:
    pass
(out / "none").unlink(missing_ok=True)
(out / "d").rename(out / "d2")
os.replace(out / "e", out / "e2")
(out / "f").replace(out / "f2")
with open(out / "g", "rb") as stream:
    mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ).close()
(out / "tree" / "sub").mkdir(parents=True)
(out / "tree" / "sub" / "leaf").write_bytes(b"12345")
shutil.rmtree(out / "tree")
with tempfile.NamedTemporaryFile():
    pass
logging.getLogger("of the target").warning("%d left", 3)
pathlib.Path(record, "elsewhere").write_text("x")
assert not (out / "a").exists() and (out / "d2").exists() and not (out / "tree").exists()
import types
from _phase3_probe.holds import Hold, Holds
from _phase3_probe.tiles import Asked, Made, Tiles
target = sys.modules["target"] = types.ModuleType("target")
target.make = lambda frames, tile: f"outputs/{tile}.fits"
holds = Holds([Hold(1, 0, 10.0)], [["x"], ["y"]], recorder)
tiles = Tiles(
    recorder, holds, lambda make, args, kwargs: Asked(args[1], args[0], ["c"], None), lambda path: Made("made", path, None, None)
)
tiles.install_futures()
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait  # with the probe installed, like a target
tiles.wrap(target, "make")
with ThreadPoolExecutor(2) as pool:
    pending = {pool.submit(target.make, [name], tile) for tile, name in enumerate("xy")}
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            assert future.result().endswith(".fits")
holds.finish()
"""

VERSIONS = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def interpreters():
    """Return the interpreter of the tests, and every other one of this machine: on the path, by pyenv, by ``py``."""
    found = [Path(sys.executable)]
    found += [Path(entry) for entry in os.environ.get("PHASE3_TEST_PYTHONS", "").split(os.pathsep) if entry]
    # pyenv's shims on the path are not interpreters; the interpreters themselves are added below.
    found += [Path(p) for v in VERSIONS if (p := shutil.which(f"python{v}")) and "shims" not in Path(p).parts]
    kept = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
    found += sorted(p for v in VERSIONS for name in ("bin/python", "python.exe") for p in kept.glob(f"{v}.*/{name}"))
    if os.name == "nt" and (launcher := shutil.which("py")):
        listed = subprocess.run([launcher, "-0p"], capture_output=True, text=True, check=False).stdout
        found += [Path(m[1]) for line in listed.splitlines() if (m := re.search(r"([A-Za-z]:\\.*\.exe)", line))]
    return dict.fromkeys(p for p in found if p.exists())


def started(python):
    """Return whether an interpreter starts and is Python 3.9 or later."""
    try:
        done = subprocess.run(
            [python, "-c", "import sys; sys.exit(sys.version_info < (3, 9))"], check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def record_in(tmp_path):
    """Return the recorder and the paths of a new record."""
    (tmp_path / "outputs").mkdir(exist_ok=True)
    return Recorder(str(tmp_path)), Paths(str(tmp_path))


def trace(folder):
    """Return the lines of a record's trace."""
    return [json.loads(x) for p in folder.glob("trace-*.jsonl") for x in p.read_text(encoding="utf-8").splitlines()[1:]]


def of(found, op):
    """Return state and path of each operation of one kind."""
    return [(x["state"], x["path"]) for x in found if x["op"] == op]


@pytest.mark.parametrize("python", interpreters(), ids=str)
def test_every_python_shows_attempts_and_outcomes(python, tmp_path):
    """With each Python, file operations, log records and tiles are recorded with their outcomes, and a hold is met.

    Tested are the interpreter of the tests and every Python 3.9 to 3.14 that is found on this machine. The environment variable
    ``PHASE3_TEST_PYTHONS`` adds others: paths, separated as in ``PATH``.
    """
    if not started(python):
        pytest.skip(f"{python} can't be started, or is older than any target's Python")
    (tmp_path / "outputs").mkdir()
    done = subprocess.run(
        [python, "-W", "error", "-c", SCRIPT, str(Path(harness.probe.__file__).parent), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "3 left\n")
    found = trace(tmp_path)
    removals = of(found, "remove")
    for name in "abc":
        assert removals.count(("attempt", f"outputs/{name}")) == 1
        assert removals.count(("done", f"outputs/{name}")) == 1
    assert removals.count(("failed", "outputs/none")) == 2
    assert ("done", "outputs/tree/sub/leaf") in removals
    assert {x["size"] for x in found if x["op"] == "remove" and x["state"] == "done"} == {7, 5}
    assert {x["errno"] for x in found if x["op"] == "remove" and x["state"] == "failed"} == {2}
    renames = [(x["state"], x["path"], x["to"]) for x in found if x["op"] == "rename"]
    for name in "def":
        assert renames.count(("attempt", f"outputs/{name}", f"outputs/{name}2")) == 1
        assert renames.count(("done", f"outputs/{name}", f"outputs/{name}2")) == 1
    assert of(found, "mmap") == [("attempt", "outputs/g")]
    assert of(found, "rmtree") == [("attempt", "outputs/tree"), ("done", "outputs/tree")]
    assert ("attempt", "outputs/g") in of(found, "open")
    assert all(x["path"].startswith("outputs") for x in found if "path" in x)
    assert {x["name"] for x in found if x["op"] == "capability"} == {"opens", "removals", "log", "futures", "tiles"}
    steps = [(x["state"], x["tile"]) for x in found if x["op"] == "tile"]
    assert sorted(steps) == sorted(
        (state, tile) for state in ("submitted", "started", "ended", "collected") for tile in (0, 1)
    )
    assert steps.index(("collected", 0)) < steps.index(("started", 1))
    assert {(x["outcome"], x["path"]) for x in found if x["op"] == "tile" and x["state"] == "ended"} == {
        ("made", "outputs/0.fits"),
        ("made", "outputs/1.fits"),
    }
    assert [x["state"] for x in found if x["op"] == "hold"][-1:] == ["met"]
    (events,) = tmp_path.glob("events-*.jsonl")
    event = json.loads(events.read_text().splitlines()[1])
    assert (event["source"], event["key"], event["text"], event["level"]) == ("log", "%d left", "3 left", "WARNING")


def test_removal_tells_size_and_errno(tmp_path):
    """A removal is recorded with the size of the file, or with the error if it failed."""
    recorder, paths = record_in(tmp_path)
    remove = _Removal(os.unlink, recorder, paths)
    (tmp_path / "outputs" / "a").write_bytes(b"123")
    remove(tmp_path / "outputs" / "a")
    with pytest.raises(FileNotFoundError):
        remove(tmp_path / "outputs" / "a")
    (tmp_path / "b").write_bytes(b"")
    remove(tmp_path / "b")
    assert [(x["state"], x.get("size"), x.get("errno")) for x in trace(tmp_path)] == [
        ("done", 3, None),
        ("failed", None, 2),
    ]


def test_removal_tells_the_calls_in_the_targets_source(tmp_path):
    """A removal has the innermost calls in the target's own source, the last one last; one from elsewhere has none."""
    recorder, paths = record_in(tmp_path)
    source = tmp_path / "target"
    library = source / "venv" / "site-packages"
    library.mkdir(parents=True)
    (library / "tool.py").write_text("def drop(remove, path):\n    remove(path)\n", encoding="utf-8")
    code = "def inner(drop, remove, path):\n    drop(remove, path)\n\n\ndef outer(*given):\n    inner(*given)\n"
    (source / "worker.py").write_text(code, encoding="utf-8")
    spaces = []
    for name in (library / "tool.py", source / "worker.py"):
        spaces.append({})
        exec(compile(name.read_text(encoding="utf-8"), str(name), "exec"), spaces[-1])
    recorder.source = os.path.realpath(source)
    remove = _Removal(os.unlink, recorder, paths)
    for name in "ab":
        (tmp_path / "outputs" / name).write_bytes(b"")
    spaces[1]["outer"](spaces[0]["drop"], remove, tmp_path / "outputs" / "a")
    remove(tmp_path / "outputs" / "b")
    inside, outside = trace(tmp_path)
    assert inside["stack"] == ["worker.py:6 outer", "worker.py:2 inner"]
    assert outside["stack"] == []


def test_rename_tells_both_ends(tmp_path):
    """A rename into or out of the outputs is recorded, another one is not. A failure has its errno."""
    recorder, paths = record_in(tmp_path)
    rename = _Renaming(os.replace, recorder, paths)
    for name in ("x", "y"):
        (tmp_path / name).write_bytes(b"12")
    rename(tmp_path / "x", tmp_path / "outputs" / "x")
    rename(tmp_path / "y", tmp_path / "z")
    with pytest.raises(FileNotFoundError):
        rename(tmp_path / "outputs" / "none", tmp_path / "w")
    done, failed = trace(tmp_path)
    assert (done["state"], done["to"], done["size"]) == ("done", "outputs/x", 2)
    assert (failed["state"], failed["path"], failed["errno"]) == ("failed", "outputs/none", 2)


def test_a_file_moved_out_of_the_outputs_is_followed_to_its_removal(tmp_path):
    """A file that is moved to another folder and removed there has both steps in the trace; another file there has none."""
    recorder, paths = record_in(tmp_path)
    rename, remove = _Renaming(os.replace, recorder, paths), _Removal(os.unlink, recorder, paths)
    place = tmp_path / "temporary"
    place.mkdir()
    (tmp_path / "outputs" / "x").write_bytes(b"12")
    (place / "other").write_bytes(b"3")
    rename(tmp_path / "outputs" / "x", place / "x")
    remove(place / "other")
    remove(place / "x")
    moved, removed = trace(tmp_path)
    assert (moved["op"], moved["path"], moved["to"]) == ("rename", "outputs/x", str(place / "x"))
    assert (removed["op"], removed["state"], removed["path"], removed["size"]) == (
        "remove",
        "done",
        str(place / "x"),
        2,
    )


def test_links_and_truncations_are_recorded(tmp_path):
    """A hard link has both names, and a truncation the length; a truncation by descriptor has no name and is left out."""
    recorder, paths = record_in(tmp_path)
    attempts = _Attempts(recorder, paths)
    inside = str(tmp_path / "outputs" / "x")
    attempts.linked((inside, str(tmp_path / "y"), -1, -1))
    attempts.linked((str(tmp_path / "y"), str(tmp_path / "z"), -1, -1))
    attempts.truncated((inside, 0))
    attempts.truncated((3, 0))
    link, cut = trace(tmp_path)
    assert (link["op"], link["path"], link["to"]) == ("link", "outputs/x", str(tmp_path / "y"))
    assert (cut["op"], cut["path"], cut["size"]) == ("truncate", "outputs/x", 0)


def test_wrappers_stand_where_builtins_stood(tmp_path):
    """A wrapper kept as a class attribute does not become a method, is pickled by name, and has the original's signature."""
    remove = _Removal(os.unlink, *record_in(tmp_path))
    holder = type("Holder", (), {"unlink": remove})()
    assert holder.unlink is remove
    assert remove.__name__ == "unlink"
    assert remove.__wrapped__ is os.unlink
    with pytest.raises(pickle.PicklingError, match="unlink"):
        pickle.dumps(remove)  # it is not installed here, so the name gives another object


def test_replaced_function_is_found_in_what_it_can_do(tmp_path, monkeypatch):
    """The question whether a function supports directory descriptors has the same answer as for the original."""
    original = os.unlink
    remove = _Removal(original, *record_in(tmp_path))
    for name in ("supports_dir_fd", "supports_fd", "supports_follow_symlinks", "supports_effective_ids"):
        monkeypatch.setattr(os, name, set(getattr(os, name)))
    monkeypatch.setattr(os, "unlink", original)
    files.replace(os, "unlink", remove)
    assert os.unlink is remove
    assert (remove in os.supports_dir_fd) == (original in os.supports_dir_fd)


def test_tree_removal_tells_whether_it_is_gone(tmp_path):
    """A tree that still exists after its removal is recorded as failed."""
    recorder, paths = record_in(tmp_path)
    (tmp_path / "outputs" / "t").mkdir()
    _rmtree(lambda _: None, recorder, paths)(tmp_path / "outputs" / "t")
    _rmtree(os.rmdir, recorder, paths)(tmp_path / "outputs" / "t")
    _rmtree(lambda _: None, recorder, paths)(tmp_path / "elsewhere")
    assert of(trace(tmp_path), "rmtree") == [("failed", "outputs/t"), ("done", "outputs/t")]


def test_saves_tell_size_and_failure(tmp_path):
    """``numpy.save`` is recorded for paths with and without suffix and for open files, with the outcome."""
    recorder, paths = record_in(tmp_path)
    save = _save(np.save, recorder, paths)
    out = tmp_path / "outputs"
    save(out / "a.npy", np.zeros(10))
    save(str(out / "b"), np.zeros(10))
    with (out / "c.npy").open("wb") as stream:
        save(stream, np.zeros(10))
    save(tmp_path / "elsewhere", np.zeros(10))
    with pytest.raises(FileNotFoundError):
        save(out / "none" / "d.npy", np.zeros(10))
    found = [(x["state"], x["path"], x["size"]) for x in trace(tmp_path) if x["op"] == "save"]
    size = (out / "a.npy").stat().st_size
    assert found == [
        ("done", "outputs/a.npy", size),
        ("done", "outputs/b.npy", size),
        ("done", "outputs/c.npy", size),
        ("failed", "outputs/none/d.npy", None),
    ]
    assert (out / "b.npy").stat().st_size == size


def test_saves_are_announced(tmp_path):
    """``numpy.save`` is wrapped, and the capability is written."""
    recorder, paths = record_in(tmp_path)

    class Numpy:
        save = staticmethod(np.save)

    files.install_saves(Numpy, recorder, paths)
    assert Numpy.save is not np.save
    assert [x["name"] for x in trace(tmp_path)] == ["saves"]


def test_attempts_are_filtered_by_folder(tmp_path):
    """The audit hook reads the arguments of each event, and records only operations in the outputs."""
    recorder, paths = record_in(tmp_path)
    attempts = _Attempts(recorder, paths)
    inside, outside = str(tmp_path / "outputs" / "a"), str(tmp_path / "b")
    Path(inside).write_bytes(b"x")
    for path in (inside, outside, 7):
        attempts.opened((path, "rb", 0))
    attempts.opened((inside, None, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
    with Path(inside).open("rb") as stream:
        attempts.mapped((stream.fileno(), 0, 0, 0))
    for path in (inside, outside):
        attempts.removed((path, -1))
        attempts.tree_removed((path,))
    attempts.renamed((outside, outside, -1, -1))
    attempts.renamed((inside, outside, -1, -1))
    found = trace(tmp_path)
    assert [(x["op"], x["path"]) for x in found] == [
        (op, "outputs/a") for op in ("open", "open", "mmap", "remove", "rmtree", "rename")
    ]
    assert [x["mode"] for x in found[:2]] == ["rb", "w"]


def test_hook_never_raises(tmp_path, capsys):
    """If the hook fails on an event, the target's operation goes on, and the failure is reported."""
    hook = files._hook(*record_in(tmp_path))
    hook("import", ())
    hook("os.remove", ())
    hook("mmap.__new__", (-1, 0, 0, 0))
    assert "audit hook failed on os.remove" in capsys.readouterr().err


def test_modes_are_named_as_open_does():
    """The flags of ``os.open`` give the mode: read or write."""
    pairs = {
        os.O_RDONLY: "r",
        os.O_WRONLY | os.O_TRUNC: "w",
        os.O_WRONLY | os.O_APPEND: "a",
        os.O_RDWR | os.O_EXCL: "x+",
        os.O_RDWR: "r+",
    }
    assert [_mode(flags) for flags in pairs] == list(pairs.values())
    assert _mode(None) == ""
