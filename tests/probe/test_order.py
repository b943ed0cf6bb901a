"""Test which tiles a thread knows to be complete, after each kind of hand-over between threads."""

import concurrent.futures
import json
import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor, _base

import pytest

from harness.probe.holds import Holds
from harness.probe.order import Order
from harness.probe.recorder import Recorder
from harness.probe.tiles import Asked, Made, Tiles


class Bench:
    """The probe's order in this process, without its audit hook, which could not be removed again."""

    def __init__(self, folder):
        self.folder = folder
        recorder = Recorder(str(folder))
        self.order = Order(recorder)
        for install in ("threads", "events", "queues", "futures"):
            getattr(self.order, f"_install_{install}")()
        tiles = Tiles(recorder, Holds((), (), recorder), _asked, _made, self.order)
        tiles.install_futures()

    def make(self, tile):
        """Stand for the making of a tile to its end."""
        self.order.ended(tile)
        return tile

    def known(self):
        """Return the tiles that this thread knows to be complete."""
        return self.order._named(self.order.passed())["tiles"]

    def lines(self):
        """Return the recorded hand-overs: kind and tiles."""
        found = [json.loads(x) for p in self.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
        return [(x["how"], x["tiles"]) for x in found if x["op"] == "order"]


def _asked(_maker, args, _kwargs):
    return Asked(args[1], [], [], None)


def _made(result):
    return Made("made", str(result), None, None)


@pytest.fixture
def bench(tmp_path, monkeypatch):
    """Install the order for one test, in a thread of its own that knows of no tile."""
    for owner, names in (
        (ThreadPoolExecutor, ("submit", "shutdown")),
        (Future, ("result", "exception", "done", "add_done_callback", "set_result", "set_exception")),
        (concurrent.futures, ("wait", "as_completed")),
        (_base, ("wait", "as_completed")),
        (threading.Thread, ("start", "join")),
        (threading.Event, ("set", "wait", "is_set")),
        (queue.Queue, ("_put", "_get")),
    ):
        for name in names:
            monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.delattr(threading.current_thread(), "_phase3_known", raising=False)
    yield Bench(tmp_path)
    vars(threading.current_thread()).pop("_phase3_known", None)


def test_a_result_a_wait_and_a_callback_show_that_the_tile_ended(bench):
    """Whoever takes a result, waits for it, or is called back knows the tile; a mere submission shows nothing."""
    told = []
    with ThreadPoolExecutor(1) as pool:
        gate = threading.Semaphore(0)
        futures = [pool.submit(lambda n: (gate.acquire(), bench.make(n))[1], n) for n in range(4)]
        assert bench.known() == []
        gate.release()
        assert futures[0].result() == 0
        assert bench.known() == [0]
        gate.release()
        concurrent.futures.wait([futures[1]])
        assert bench.known() == [0, 1]
        futures[2].add_done_callback(lambda _: told.append(bench.known()))
        gate.release(2)
        assert next(concurrent.futures.as_completed([futures[3]])) is futures[3]
    assert 2 in told[0]
    assert bench.known() == [0, 1, 2, 3]


def test_work_and_threads_take_over_what_the_starter_knows(bench):
    """Work that is submitted, and a thread that is started, know what the thread knew that handed them over."""
    bench.make(5)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(bench.known).result() == [5]
        bench.make(6)
        assert pool.submit(bench.known).result() == [5, 6]
    seen = []
    thread = threading.Thread(target=lambda: seen.append(bench.known()), name="release")
    thread.start()
    thread.join()
    assert seen == [[5, 6]]
    assert ("start", [5, 6]) in bench.lines()


def test_a_joined_thread_an_event_and_a_queue_pass_on_what_they_know(bench):
    """Join, event and queue order the thread that waits after the other; a thread that is not waited for orders nothing."""
    threads = [threading.Thread(target=bench.make, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    threads[0].join()
    assert 0 in bench.known()
    while threads[1].is_alive():
        pass
    assert 1 not in bench.known()
    ready, items = threading.Event(), queue.Queue()
    threading.Thread(target=lambda: (bench.make(2), ready.set())).start()
    assert ready.wait(20)
    assert 2 in bench.known()
    threading.Thread(target=lambda: (items.put("early"), bench.make(3), items.put("late"))).start()
    assert items.get(timeout=20) == "early"
    assert 3 not in bench.known()
    assert items.get(timeout=20) == "late"
    assert 3 in bench.known()
    assert {how for how, _ in bench.lines()} >= {"join", "event", "queue"}


def test_removals_in_two_threads_are_marked(bench):
    """A removal gives its thread a mark, which is passed on; removals up to the next hand-over share it."""
    bench.order.removes()
    bench.order.removes()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(bench.order.removes).result()
    bench.order.removes()
    marks = [json.loads(x) for p in bench.folder.glob("trace-*") for x in p.read_text().splitlines()[1:]]
    assert [x["mark"] for x in marks if x.get("how") == "removal"] == [0, 1, 2]
    assert any(x["marks"] == [1] for x in marks if x.get("how") in {"done", "wait"})


def test_only_caches_are_marked(tmp_path):
    """The audit hook heeds the removal of caches only, and never raises."""
    order = Order(Recorder(str(tmp_path)))
    hook = order._hook()
    hook("os.remove", ("x/other.npy", -1))
    hook("os.remove", ())
    assert order._marks == {}
    hook("os.remove", ("x/preprocessed_a.npy", -1))
    assert len(order._marks) == 1
