"""Test the recorded steps of tiles with thread pools and futures."""

import concurrent.futures
import gc
import json
import sys
import threading
import types
from concurrent.futures import Future, ThreadPoolExecutor, _base
from pathlib import Path

import pytest

from harness.probe.holds import Holds
from harness.probe.recorder import Recorder
from harness.probe.tiles import Asked, Made, Tiles


class Bench:
    """A target's module with a function that makes tiles, under the probe."""

    def __init__(self, folder):
        self.folder = folder
        self.module = types.ModuleType("phase3_bench")
        self.module.make = lambda group, tile, result=None, error=None: self.work(group, tile, result, error)
        self.tiles = Tiles(Recorder(str(folder)), Holds((), (), Recorder(str(folder))), self.describe, self.conclude)

    @staticmethod
    def work(_group, tile, result, error):
        """Do what the test gave for a tile."""
        if error:
            raise error
        return result or f"tile {tile}"

    @staticmethod
    def describe(_maker, args, _kwargs):
        """Read the arguments."""
        return Asked(args[1], list(args[0]), [f"outputs/{name}.npy" for name in args[0]], None)

    @staticmethod
    def conclude(result):
        """Read the result."""
        return Made("failed", None, None, None) if result == "nothing" else Made("made", result, None, None)

    def steps(self, *names):
        """Return these fields of each step."""
        found = [json.loads(x) for p in self.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
        return [tuple(x.get(n) for n in names) for x in found if x["op"] == "tile"]

    def raised(self):
        """Return the recorded exceptions."""
        found = [json.loads(x) for p in self.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
        return [(x["where"], x["type"], x["file"], x["thread"]) for x in found if x["op"] == "exception"]


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Install the probe's wrappers for one test."""
    for owner, names in (
        (ThreadPoolExecutor, ("submit", "shutdown")),
        (Future, ("result", "exception", "set_exception")),
        (concurrent.futures, ("wait", "as_completed")),
        (_base, ("wait", "as_completed")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    bench = Bench(tmp_path)
    monkeypatch.setitem(sys.modules, "phase3_bench", bench.module)
    bench.tiles.install_futures()
    bench.tiles.wrap(bench.module, "make")
    return bench


def test_steps_follow_one_another(bench):
    """A tile is submitted, started, ended, and collected by the thread that submitted it."""
    with ThreadPoolExecutor(1, thread_name_prefix="makers") as pool:
        future = pool.submit(bench.module.make, ["f0.fits", "f1.fits"], 4)
        assert future.result() == "tile 4"
        assert future.exception() is None
    assert bench.steps("state", "tile", "thread") == [
        ("submitted", 4, "MainThread"),
        ("started", 4, "makers_0"),
        ("ended", 4, "makers_0"),
        ("collected", 4, "MainThread"),
    ]
    assert bench.steps("state", "frames", "caches")[:2] == [
        (state, ["f0.fits", "f1.fits"], ["outputs/f0.fits.npy", "outputs/f1.fits.npy"])
        for state in ("submitted", "started")
    ]
    assert bench.steps("outcome", "path")[2] == ("made", "tile 4")


def test_outcomes_are_told_apart(bench):
    """A maker that returns nothing gives ``failed``, one that raises ``raised``. The target sees no difference."""
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bench.module.make, ["a"], 0, "nothing").result() == "nothing"
        with pytest.raises(OSError, match="disk"):
            pool.submit(bench.module.make, ["a"], 1, error=OSError("disk")).result()
    ended = [x for x in bench.steps("state", "tile", "outcome", "error") if x[0] == "ended"]
    assert ended == [("ended", 0, "failed", None), ("ended", 1, "raised", "OSError: disk")]
    assert bench.steps("state", "tile")[-1] == ("collected", 1)


def test_what_events_tell_is_joined(bench):
    """Reference frame, cause of a failure and origin of a retry are taken from the target's events."""
    bench.tiles.heard("run_info_phase3_retry_submitted", {"origin_tile": 0, "new_tile": 7})
    bench.tiles.heard("run_info_phase3_retry_submitted", {"origin_tile": 8, "new_tile": 8})
    work = bench.work

    def talking(group, tile, result, error):
        bench.tiles.heard("mastertile_info_reference_set", {"tile_id": tile, "ref_filename": "f1.fits"})
        bench.tiles.heard("mastertile_error_no_valid_images_from_cache", {"tile_id": tile})
        bench.tiles.heard("mastertile_error_of_no_tile", {})
        return work(group, tile, result, error)

    bench.work = talking
    bench.module.make(["f1.fits"], 7, "nothing")
    bench.module.make(["f1.fits"], 8, "made")
    assert bench.steps("state", "tile", "reference", "error", "retry_of") == [
        ("started", 7, None, None, 0),
        ("ended", 7, "f1.fits", "mastertile_error_no_valid_images_from_cache", None),
        ("started", 8, None, None, None),
        ("ended", 8, "f1.fits", None, None),
    ]


def test_other_work_leaves_no_steps(bench):
    """Futures of other functions give no steps, and waiting for them works as without the probe."""
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(pow, 2, n) for n in range(3)]
        done, pending = concurrent.futures.wait(futures, return_when=concurrent.futures.ALL_COMPLETED)
        assert (len(done), len(pending)) == (3, 0)
        assert sorted(f.result() for f in concurrent.futures.as_completed(futures)) == [1, 2, 4]
        assert [f.exception() for f in futures] == [None] * 3
    assert bench.steps("state") == []


def test_waiting_keeps_its_limits(bench):
    """Time limits of waiting raise as without the probe, and nothing is collected."""
    go = threading.Event()
    bench.work = lambda *_: go.wait(20.0)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(bench.module.make, ["a"], 0)
        assert concurrent.futures.wait([future], 0.01).not_done == {future}
        with pytest.raises(concurrent.futures.TimeoutError):
            future.result(0.01)
        with pytest.raises(concurrent.futures.TimeoutError):
            list(concurrent.futures.as_completed([future], 0.01))
        assert ("collected",) not in bench.steps("state")
        go.set()
        assert future.result() is True
    assert bench.steps("state")[-1] == ("collected",)


def test_result_taken_by_another_thread_is_not_collected(bench):
    """If another thread takes the result, the tile is not collected: only the submitting thread orders later steps after it."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(bench.module.make, ["a"], 0)
        other = threading.Thread(target=future.result)
        other.start()
        other.join()
    assert ("collected",) not in bench.steps("state")


def test_unreadable_arguments_and_results_reach_the_target_unchanged(bench, capsys):
    """Unreadable arguments and results are reported on standard error, and the target's call goes on."""
    bench.tiles._describe = lambda *_: 1 / 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bench.module.make, ["a"], 0).result() == "tile 0"
    assert bench.steps("state") == []
    bench.tiles._describe, bench.tiles._conclude = bench.describe, lambda _: 1 / 0
    assert bench.module.make(["a"], 1) == "tile 1"
    assert bench.steps("state", "outcome", "error")[-1] == ("ended", None, "the probe could not read the result")
    assert "arguments could not be read" in capsys.readouterr().err


def test_every_name_of_the_maker_is_replaced(tmp_path, monkeypatch):
    """In a module that imported the maker by name, that name is replaced too."""
    bench = Bench(tmp_path)
    other = types.ModuleType("phase3_other")
    other.make = original = bench.module.make
    monkeypatch.setitem(sys.modules, "phase3_bench", bench.module)
    monkeypatch.setitem(sys.modules, "phase3_other", other)
    bench.tiles.wrap(bench.module, "make")
    assert bench.module.make is other.make
    assert bench.module.make.__wrapped__ is original


@pytest.mark.parametrize("how", ["nothing", "result", "exception", "callback"])
def test_an_exception_in_a_pool_that_nothing_reads_is_recorded(bench, how):
    """Work that raises is recorded when its future is gone, unless its result or exception was read, also in a callback."""
    bench.tiles._recorder.source = str(Path(__file__).resolve().parent)

    def fail():
        raise KeyError("release")

    with ThreadPoolExecutor(1, thread_name_prefix="Release") as pool:
        future = pool.submit(fail)
        if how == "callback":
            future.add_done_callback(Future.exception)
        if how == "result":
            with pytest.raises(KeyError):
                future.result(10)
        if how == "exception":
            assert isinstance(future.exception(10), KeyError)
    assert future.done()
    assert bench.raised() == []
    del future
    gc.collect()
    expected = [("work", "KeyError", "test_tiles.py", "Release_0")] if how == "nothing" else []
    assert bench.raised() == expected
