"""Test that exceptions of the target are recorded with their place in its source."""

import errno
import importlib.util
import json
import re
import sys
import threading
from pathlib import Path

import pytest

from harness.probe import exceptions, places
from harness.probe.faults import TileFaultError
from harness.probe.recorder import Recorder

SOURCE = """
import json

def typo(value):
    if value is None:
        number = 0
    return number

def library():
    json.loads("{")

def missing():
    import no_such_library_at_all

def wrapped():
    try:
        typo(1)
    except Exception as error:
        raise RuntimeError("no release") from error
"""


@pytest.fixture
def recorder(tmp_path):
    """Return a recorder that knows the target's folder."""
    (tmp_path / "record").mkdir()
    found = Recorder(str(tmp_path / "record"))
    found.source = str((tmp_path / "target").resolve())
    return found


@pytest.fixture
def worker(tmp_path):
    """Return a module of the target."""
    path = tmp_path / "target" / "core" / "worker.py"
    path.parent.mkdir(parents=True)
    path.write_text(SOURCE, encoding="utf-8")
    spec = importlib.util.spec_from_file_location("worker_of_the_target", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lines(recorder):
    """Return the recorded exceptions."""
    found = [
        json.loads(x) for p in Path(recorder.folder).glob("trace-*") for x in p.read_text("utf-8").splitlines()[1:]
    ]
    return [x for x in found if x["op"] == "exception"]


def raised(call):
    """Return the exception that a call raises."""
    try:
        call()
    except BaseException as error:  # noqa: BLE001 -- the test is about any of them
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("name", "line", "what"),
    [
        ("typo", 7, "UnboundLocalError: .*number"),
        ("library", 10, "JSONDecodeError: Expecting property name"),
        ("wrapped", 19, "RuntimeError: no release"),
    ],
)
def test_the_place_is_the_last_line_of_the_targets_source(recorder, worker, name, line, what):
    """Also where a library raised; the path is relative to the target's folder."""
    call = getattr(worker, name)
    exceptions.note(recorder, raised(lambda: call(1) if name == "typo" else call()), "run")
    (found,) = lines(recorder)
    assert (found["where"], found["file"], found["line"]) == ("run", "core/worker.py", line)
    assert re.match(what, f"{found['type']}: {found['message']}")
    assert found["stack"] == [f"core/worker.py:{line} {name}"]


def test_a_syntax_error_has_its_own_line(recorder, worker):
    """No frame is in a module that can't be compiled; the error names its line."""
    path = recorder.source + "/broken.py"
    error = raised(lambda: compile("x = 1\ndef f(:\n", path, "exec"))
    exceptions.note(recorder, error, "run")
    (found,) = lines(recorder)
    assert (found["type"], found["file"], found["line"]) == ("SyntaxError", "broken.py", 2)
    assert worker


def test_code_of_others_has_no_place(recorder, worker):
    """An exception without a frame in the target's source has no place; installed libraries in its folder don't count."""
    exceptions.note(recorder, raised(lambda: int("x")), "run")
    assert lines(recorder)[0]["file"] is None
    inside = f"{recorder.source}/.venv/lib/python3/site-packages/numpy/core.py"
    assert places.inside(recorder.source, inside) is None
    assert places.inside(recorder.source, exceptions.__file__) is None
    assert worker


def test_a_missing_library_is_told_from_a_missing_module_of_the_target(recorder, worker):
    """Only a module that the target does not have itself is missing on the machine."""
    assert exceptions.described(recorder, raised(worker.missing))["missing"] == "no_such_library_at_all"
    own = ModuleNotFoundError("No module named 'core.gone'", name="core.gone")
    assert exceptions.described(recorder, own)["missing"] is None


def test_the_targets_folder_says_whether_a_missing_module_is_a_library(recorder, worker):
    """A library is in the requirements, or in another file. A misspelt name is in neither, and almost that of another module."""
    folder = Path(recorder.source)

    def about(name):
        error = raised(worker.missing)
        error.name = name
        found = exceptions.described(recorder, error)
        return found["missing"], found["known"], found["like"]

    assert about("no_such_library_at_all") == ("no_such_library_at_all", None, None)
    (folder / "zemosaic_retention.py").write_text("try:\n    import scipy.stats\nexcept ImportError:\n    pass\n")
    (folder / "requirements.txt").write_text("# cupy\nzarr>=2\nopencv-python-headless  # pictures\nPhotutils[all]\n")
    for name in ("zarr", "zarr.core", "cv2", "photutils", "scipy"):
        assert about(name)[1] is True, name
    assert about("zemosaic_retenton") == ("zemosaic_retenton", False, "zemosaic_retention")
    assert about("threadng") == ("threadng", False, "threading" if sys.version_info >= (3, 10) else None)
    assert about("cupy") == ("cupy", False, None)  # a comment requires nothing
    assert about("core.gone")[0] is None


def test_an_exception_is_recorded_once_for_what_it_ended(recorder, worker):
    """It ends a tile, then the run; the second time that it leaves the run adds nothing."""
    error = raised(worker.wrapped)
    for where, tile in (("tile", 4), ("tile", 4), ("run", None), ("run", None)):
        exceptions.note(recorder, error, where, tile)
    assert [(x["where"], x["tile"]) for x in lines(recorder)] == [("tile", 4), ("run", None)]


def test_what_is_no_error_of_the_target_is_left_out(recorder):
    """An interrupt, a regular end, and a failure that the request asks for; the last counts if it ends the run."""
    for error in (KeyboardInterrupt(), SystemExit(), SystemExit(0), GeneratorExit()):
        exceptions.note(recorder, error, "run")
    exceptions.note(recorder, TileFaultError("asked for"), "tile", 1)
    assert lines(recorder) == []
    exceptions.note(recorder, TileFaultError("asked for"), "run")
    exceptions.note(recorder, SystemExit(3), "run")
    exceptions.note(recorder, OSError(errno.ENOSPC, "full"), "run")
    assert [(x["type"], x["errno"]) for x in lines(recorder)] == [
        ("TileFaultError", None),
        ("SystemExit", None),
        ("OSError", errno.ENOSPC),
    ]


def test_an_exception_that_can_not_be_described_is_recorded(recorder):
    """A message that raises, and one with the record's folder, are written without either."""

    class MuteError(Exception):
        def __str__(self):
            raise ValueError("mute")

    exceptions.note(recorder, MuteError(), "run")
    exceptions.note(recorder, ValueError(f"no {recorder.folder}/outputs/a.npy"), "run")
    assert [x["message"] for x in lines(recorder)] == ["(no message: ValueError)", "no outputs/a.npy"]


def test_an_exception_that_ends_a_thread_is_recorded(recorder, worker, monkeypatch):
    """The hook that was there before is still called."""
    called = []
    monkeypatch.setattr(threading, "excepthook", called.append)
    exceptions.watch(recorder, recorder.source)
    thread = threading.Thread(target=worker.typo, args=(1,), name="Release_0")
    thread.start()
    thread.join()
    (found,) = lines(recorder)
    assert (found["where"], found["thread"], found["file"]) == ("thread", "Release_0", "core/worker.py")
    assert len(called) == 1
