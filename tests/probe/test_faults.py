"""Test that injected faults strike as often and where the request says, and that their outcome is recorded."""

import errno
import json
import os
import sys
import types

import pytest

from harness.probe import files
from harness.probe.faults import Faults, TileFaultError
from harness.probe.files import _Removal
from harness.probe.paths import Paths
from harness.probe.recorder import Recorder
from harness.probe.tiles import Asked

REFUSE = {"what": "refuse unlink", "name": "preprocessed_*.npy", "times": 2, "errno": "EBUSY"}
DELETE = {"what": "delete cache", "tile": 1}
FAIL = {"what": "fail tile", "tile": 1}


class Bench:
    """A record, the faults of its request, and a target that makes tiles and removes files."""

    def __init__(self, folder, *asked):
        self.folder = folder
        self.outputs = folder / "outputs"
        self.outputs.mkdir()
        recorder, self.paths = Recorder(str(folder)), Paths(str(folder))
        self.faults = Faults(asked, recorder, self.paths, str(folder))
        self.recorder = recorder

    def file(self, name):
        """Write a file of the target."""
        path = self.outputs / name
        path.write_bytes(b"x")
        return path

    def trace(self, op):
        """Return state and either path or reason of each line of a kind."""
        lines = [json.loads(x) for p in self.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
        return [(x["state"], x.get("path", x.get("reason"))) for x in lines if x["op"] == op]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Return a function that makes a bench. The functions of ``os`` are restored after the test."""
    for name in ("unlink", "remove", "supports_dir_fd", "supports_follow_symlinks"):
        monkeypatch.setattr(os, name, getattr(os, name))

    def bench(*asked):
        return Bench(tmp_path, *asked)

    return bench


def test_a_removal_is_refused_as_often_as_asked(bench):
    """The target gets the error and the trace a failed removal, twice. Other files, and the third removal, are not affected."""
    run = bench(REFUSE)
    run.faults.install()
    for name in ("unlink", "remove"):
        files.replace(os, name, _Removal(getattr(os, name), run.recorder, run.paths))
    cache, other = run.file("preprocessed_a_0.npy"), run.file("hp_mask_a.npy")
    other.unlink()
    with pytest.raises(OSError, match="busy") as refused:
        cache.unlink()
    assert (refused.value.errno, refused.value.filename) == (errno.EBUSY, str(cache))
    with pytest.raises(OSError, match="busy"):
        os.remove(cache)  # noqa: PTH107 -- the function by this name is what is tested
    assert cache.exists()
    cache.unlink()
    assert not cache.exists()
    name = "outputs/preprocessed_a_0.npy"
    refusals = [("attempt", name), ("failed", name)] * 2
    assert run.trace("remove") == [("done", "outputs/hp_mask_a.npy"), *refusals, ("done", name)]
    assert run.trace("fault") == [("struck", name)] * 2
    run.faults.finish()
    assert len(run.trace("fault")) == 2


def test_without_a_refusal_nothing_is_put_in_place(bench):
    """Without such a fault in the request, the functions of ``os`` are not replaced."""
    before = os.unlink
    bench(DELETE).faults.install()
    assert os.unlink is before


def maker(run, monkeypatch):
    """Return a module whose maker returns which caches exist, with the faults installed."""
    module = types.ModuleType("phase3_faults")
    module.make = lambda _, caches: [(run.folder / cache).exists() for cache in caches]
    monkeypatch.setitem(sys.modules, "phase3_faults", module)
    run.faults.wrap(module, "make", lambda _, args, __: Asked(args[0], [], list(args[1]), None))
    return module


def test_a_cache_is_gone_when_its_tile_starts(bench, monkeypatch):
    """The tile's first cache is deleted and no other tile's; no removal is recorded."""
    run = bench(DELETE)
    caches = [f"outputs/{run.file(name).name}" for name in ("a.npy", "b.npy")]
    module = maker(run, monkeypatch)
    assert module.make(0, caches) == [True, True]
    assert module.make(1, caches) == [False, True]
    assert run.trace("fault") == [("struck", "outputs/a.npy")]
    assert run.trace("remove") == []


def test_a_fault_may_name_another_cache_of_the_tile(bench, monkeypatch):
    """A cache is named by its place from either end. If there is no cache in that place, the fault is unmet."""
    last, beyond = {**DELETE, "place": -1}, {**DELETE, "place": 2}
    run = bench(last, beyond)
    caches = [f"outputs/{run.file(name).name}" for name in ("a.npy", "b.npy")]
    module = maker(run, monkeypatch)
    assert module.make(1, caches) == [True, False]
    run.faults.finish()
    assert run.trace("fault") == [("struck", "outputs/b.npy"), ("unmet", "the run never came to it")]


def test_a_cache_that_is_not_of_the_run_is_left_alone(bench, monkeypatch, tmp_path):
    """A cache outside the outputs, or one that does not exist, is not deleted: the fault is unmet, and the tile is made."""
    run = bench(DELETE)
    elsewhere = tmp_path / "elsewhere.npy"
    elsewhere.write_bytes(b"x")
    module = maker(run, monkeypatch)
    assert module.make(1, [str(elsewhere)]) == [True]
    assert module.make(1, ["outputs/gone.npy"]) == [False]
    run.faults.finish()
    assert run.trace("fault") == [("unmet", "the run never came to it")]


def test_a_tile_fails_that_is_to_fail(bench, monkeypatch):
    """The maker of the named tile raises once; the other tiles are made."""
    run = bench(FAIL)
    module = maker(run, monkeypatch)
    assert module.make(0, []) == []
    with pytest.raises(TileFaultError, match="tile 1"):
        module.make(1, [])
    assert module.make(1, []) == []
    assert run.trace("fault") == [("struck", "tile 1")]


def test_a_fault_that_never_struck_is_unmet(bench):
    """A fault is unmet if the run had no occasion for it, or if the probe does not know it."""
    run = bench(REFUSE, {"what": "earthquake"})
    run.faults.finish()
    assert run.trace("fault") == [("unmet", "the run never came to it"), ("unmet", "this probe knows no such fault")]
