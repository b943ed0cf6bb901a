"""Follow which tiles are certainly complete for each thread, wherever one thread waits for another or hands work over.

Each thread has a set of tiles that have ended for certain. It passes the set on when it starts a thread, submits work, ends
work, sets an event or puts an item into a queue. The other side takes the set over: the new thread, the work, whoever takes
the result or is called back, whoever joins the thread, sees the event, or gets the item. Only a set that grows is recorded, so
that a run has few such lines.

A lock orders nothing: which thread gets it first is chance. Queues that are not first in, first out, and other processes are not
followed.
"""

from __future__ import annotations

import functools
import queue
import sys
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import Any, Callable, Optional

from .recorder import Recorder

_KNOWN = "_phase3_known"
_ITEMS = "_phase3_items"
# Files that a retention policy removes. Which thread removed them last is passed on too.
_CACHE = ("preprocessed_", ".npy")


class Order:
    """Keep for each thread the set of ended tiles, as the bits of an integer, and record when it grows.

    A thread that removes caches has a bit as well, a *mark*, so that removals in two threads are known to be in order. A mark
    stands for the removals of one thread up to the next time that the thread passes its set on.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._bits: dict[int, int] = {}
        # Reentrant: a finaliser that removes a file may interrupt this thread while it holds the lock.
        self._lock = threading.RLock()
        self._next = 0
        # The bits of marks, and the threads whose last mark still takes further removals.
        self._marks: dict[int, int] = {}
        self._open: dict[int, int] = {}

    def forget(self) -> None:
        """Forget the tiles: the next run in this process numbers its tiles from 0 again."""
        with self._lock:
            self._bits, self._marks, self._open = {}, {}, {}

    def ended(self, tile: int) -> None:
        """Note that this thread made a tile to its end."""
        with self._lock:
            if tile not in self._bits:
                self._bits[tile] = self._new()
            bit = self._bits[tile]
        _set(_known(None) | bit)

    def passed(self) -> int:
        """Return the set of this thread, to be passed on."""
        self._open.pop(threading.get_ident(), None)
        return _known(None)

    def learn(self, known: Optional[int], how: str) -> None:
        """Add a set that was passed on to that of this thread, and record what is new."""
        new = (known or 0) & ~_known(None)
        if new and _set(_known(None) | new):
            self._recorder.trace("order", how=how, **self._named(new))

    def begins(self, thread: threading.Thread) -> Callable[[], None]:
        """Give this thread's set to a thread that is about to start; return a function that records it once it has started."""
        known = self.passed()
        setattr(thread, _KNOWN, known)
        before = time.monotonic_ns()

        def record() -> None:
            if known:
                about = {"t": before, "thread": thread.name, "tid": thread.ident}
                self._recorder.trace("order", how="start", **{**about, **self._named(known)})

        return record

    def removes(self) -> None:
        """Note that this thread is about to remove a cache."""
        me = threading.get_ident()
        if me in self._open:
            return
        with self._lock:
            bit = self._new()
            number = self._marks[bit] = len(self._marks)
        if _set(_known(None) | bit):
            self._open[me] = bit
            self._recorder.trace("order", how="removal", mark=number, tiles=[], marks=[])

    def _new(self) -> int:
        self._next += 1
        return 1 << (self._next - 1)

    def _named(self, known: int) -> dict[str, Any]:
        with self._lock:
            tiles = sorted(tile for tile, bit in self._bits.items() if known & bit)
            marks = sorted(mark for bit, mark in self._marks.items() if known & bit)
        return {"tiles": tiles, "marks": marks}

    def install(self) -> None:
        """Wrap the hand-overs of `threading`, `queue` and futures, and write the capability ``order``.

        Call this before removals are recorded, so that a mark comes before the removal that it stands for.
        """
        sys.addaudithook(self._hook())
        self._install_threads()
        self._install_events()
        self._install_queues()
        self._install_futures()
        self._recorder.capability("order")

    def _hook(self) -> Callable[[str, Any], None]:
        def hook(event: str, args: Any) -> None:
            if event in ("os.remove", "os.rename"):
                try:
                    name = str(args[0])
                    if name.endswith(_CACHE[1]) and name.replace("\\", "/").rpartition("/")[2].startswith(_CACHE[0]):
                        self.removes()
                except Exception as error:  # noqa: BLE001 -- raised here, it would stop the target's own operation
                    self._recorder.problem(f"a removal could not be put in order ({error!r})")

        return hook

    def _install_threads(self) -> None:
        start, join = threading.Thread.start, threading.Thread.join

        @functools.wraps(start)
        def recorded_start(thread: threading.Thread) -> None:
            record = self.begins(thread)
            start(thread)
            record()

        @functools.wraps(join)
        def recorded_join(thread: threading.Thread, timeout: Optional[float] = None) -> None:
            join(thread, timeout)
            if not thread.is_alive():
                self.learn(_known(thread), "join")

        threading.Thread.start = recorded_start  # type: ignore[method-assign,assignment]
        threading.Thread.join = recorded_join  # type: ignore[method-assign,assignment]

    def _install_events(self) -> None:
        set_, wait, is_set = threading.Event.set, threading.Event.wait, threading.Event.is_set

        @functools.wraps(set_)
        def recorded_set(event: threading.Event) -> None:
            setattr(event, _KNOWN, getattr(event, _KNOWN, 0) | self.passed())
            set_(event)

        @functools.wraps(wait)
        def recorded_wait(event: threading.Event, timeout: Optional[float] = None) -> bool:
            found = wait(event, timeout)
            if found:
                self.learn(getattr(event, _KNOWN, 0), "event")
            return found

        @functools.wraps(is_set)
        def recorded_is_set(event: threading.Event) -> bool:
            found = is_set(event)
            if found:
                self.learn(getattr(event, _KNOWN, 0), "event")
            return found

        threading.Event.set = recorded_set  # type: ignore[method-assign,assignment]
        threading.Event.wait = recorded_wait  # type: ignore[method-assign,assignment]
        threading.Event.is_set = recorded_is_set  # type: ignore[method-assign,assignment]

    def _install_queues(self) -> None:
        put, get = queue.Queue._put, queue.Queue._get  # noqa: SLF001 -- called with the queue's lock held, in its order

        # The queue's lock is held in both, so the sets are in the order of the items.
        @functools.wraps(put)
        def recorded_put(queue_: Any, item: Any) -> None:
            sets = queue_.__dict__.setdefault(_ITEMS, deque([0] * queue_._qsize()))  # noqa: SLF001 -- the queue's own
            sets.append(self.passed())
            put(queue_, item)

        @functools.wraps(get)
        def recorded_get(queue_: Any) -> Any:
            sets = queue_.__dict__.get(_ITEMS)
            item = get(queue_)
            if sets:
                self.learn(sets.popleft(), "queue")
            return item

        queue.Queue._put = recorded_put  # type: ignore[method-assign,assignment]  # noqa: SLF001 -- as above
        queue.Queue._get = recorded_get  # type: ignore[method-assign,assignment]  # noqa: SLF001 -- as above

    def _install_futures(self) -> None:
        def ending(original: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(original)
            def recorded(future: Any, value: Any) -> None:
                setattr(future, _KNOWN, self.passed())
                original(future, value)

            return recorded

        Future.set_result = ending(Future.set_result)  # type: ignore[method-assign]
        Future.set_exception = ending(Future.set_exception)  # type: ignore[method-assign]
        done, call_back = Future.done, Future.add_done_callback

        @functools.wraps(done)
        def recorded_done(future: Any) -> bool:
            found = done(future)
            if found:
                self.finished(future, "done")
            return found

        @functools.wraps(call_back)
        def recorded_callback(future: Any, fn: Callable[[Any], Any]) -> None:
            @functools.wraps(fn)
            def called(finished: Any) -> Any:
                self.finished(finished, "callback")
                return fn(finished)

            call_back(future, called)

        Future.done = recorded_done  # type: ignore[method-assign,assignment]
        Future.add_done_callback = recorded_callback  # type: ignore[method-assign,assignment]

    def carried(self, fn: Callable[..., Any]) -> Callable[..., Any]:
        """Return work that is to be submitted, so that it takes over the set of this thread when it starts."""
        known = self.passed()
        if not known:
            return fn

        @functools.wraps(fn, updated=())
        def work(*args: Any, **kwargs: Any) -> Any:
            self.learn(known, "submit")
            return fn(*args, **kwargs)

        return work

    def finished(self, future: Any, how: str) -> None:
        """Take over the set of the thread that set a future's result."""
        self.learn(getattr(future, _KNOWN, 0), how)


def _thread() -> Optional[threading.Thread]:
    """Return the object of this thread; ``None`` while it does not exist.

    `threading.current_thread` would make it, and ask for it again meanwhile.
    """
    known: dict[int, threading.Thread] = getattr(threading, "_active", {})
    return known.get(threading.get_ident())


def _known(thread: Optional[threading.Thread]) -> int:
    found: int = getattr(thread or _thread(), _KNOWN, 0)
    return found


def _set(known: int) -> bool:
    """Set the set of this thread; return whether that was possible."""
    thread = _thread()
    if thread is not None:
        setattr(thread, _KNOWN, known)
    return thread is not None
