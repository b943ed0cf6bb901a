"""Phase 3 of the reference pipeline: which tile is submitted, collected, released and retried, and in which order."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fixtures.pipeline import phase3, tile
from fixtures.pipeline.cache import CachedFrame
from fixtures.pipeline.retention import policy
from fixtures.pipeline.settings import Options
from fixtures.pipeline.tile import TileResult
from tests.pipeline_skies import Events


def frame(name: str) -> CachedFrame:
    """Return a frame that is only a name here."""
    return CachedFrame(name, Path(name), Path(f"{name}.npy"), (1, 1, 1), {})


A, B, C, D = (frame(name) for name in "abcd")


class Diary:
    """A retention policy that writes down what it is told."""

    bookkeeping = None

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []
        self.threads: set[int] = set()

    def register(self, number: int, caches: Iterable[Path]) -> None:
        """Note a registration."""
        self._note("register", number, tuple(path.stem for path in caches))

    def start(self) -> None:
        """Note the start."""
        self._note("start")

    def release(self, number: int, *, made: bool) -> None:
        """Note a release."""
        self._note("release", number, made)

    def finish(self) -> None:
        """Note the end."""
        self._note("finish")

    def _note(self, *entry: object) -> None:
        self.told.append(entry)
        self.threads.add(threading.get_ident())


def run(monkeypatch, make, groups=((A, B), (C,)), workers: int = 1):
    """Run Phase 3 with a maker of our own."""
    diary, events = Diary(), Events()
    monkeypatch.setattr(tile, "make_master_tile", make)
    found = phase3.make_all(groups, Path("tiles"), workers=workers, policy=diary, options=Options(), progress=events)
    return found, diary, events


def done(group, number: int, *_) -> TileResult:
    """Make a tile of all frames."""
    return TileResult(Path(f"{number}.fits"), group[0].name, tuple(f.name for f in group), (), None)


def first_only(group, number: int, *_) -> TileResult:
    """Make a tile of the first frame; the others don't fit."""
    return TileResult(Path(f"{number}.fits"), group[0].name, (group[0].name,), tuple(group[1:]), None)


def test_every_group_is_registered_before_the_first_tile_and_released_after_its_own(monkeypatch) -> None:
    """All of it happens on the thread that submits."""
    found, diary, events = run(monkeypatch, done)
    assert diary.told == [
        ("register", 0, ("a", "b")),
        ("register", 1, ("c",)),
        ("start",),
        ("release", 0, True),
        ("release", 1, True),
        ("finish",),
    ]
    assert diary.threads == {threading.get_ident()}
    assert [t.frames for t in found] == [("a", "b"), ("c",)]
    assert [k for k in events.keys if k.startswith("MASTER")] == [
        "MASTER_TILE_COUNT_UPDATE:0/2",
        "MASTER_TILE_COUNT_UPDATE:1/2",
        "MASTER_TILE_COUNT_UPDATE:2/2",
    ]


def test_a_retry_is_registered_before_its_origin_is_released(monkeypatch) -> None:
    """Its number follows the last one, the total grows, and the tiles come back by lineage."""
    found, diary, events = run(monkeypatch, first_only, groups=((A, B, C), (D,)))
    assert diary.told[3:] == [
        ("register", 2, ("b", "c")),
        ("release", 0, True),
        ("release", 1, True),
        ("register", 3, ("c",)),
        ("release", 2, True),
        ("release", 3, True),
        ("finish",),
    ]
    assert events.named("run_info_phase3_retry_submitted") == [
        {"origin_tile": 0, "new_tile": 2, "frames": 2},
        {"origin_tile": 2, "new_tile": 3, "frames": 1},
    ]
    assert [k for k in events.keys if k.startswith("MASTER")] == [
        f"MASTER_TILE_COUNT_UPDATE:{n}" for n in ("0/2", "1/3", "2/3", "3/4", "4/4")
    ]
    assert [(t.number, t.lineage) for t in found] == [(0, (0, 0)), (2, (0, 1)), (3, (0, 2)), (1, (1, 0))]


def test_a_retry_is_said_before_it_is_submitted(monkeypatch) -> None:
    """Who listens knows where a tile comes from when it starts."""
    known, told = [], Events()

    def make(group, number: int, *rest) -> TileResult:
        known.append([fields["new_tile"] for fields in told.named("run_info_phase3_retry_submitted")])
        return first_only(group, number, *rest)

    submit = ThreadPoolExecutor.submit

    def at_once(self, function, /, *args, **kwargs):
        future = submit(self, function, *args, **kwargs)
        future.exception()  # the tile is over before the submitting thread goes on
        return future

    monkeypatch.setattr(ThreadPoolExecutor, "submit", at_once)
    monkeypatch.setattr(tile, "make_master_tile", make)
    phase3.make_all(((A, B, C),), Path("t"), workers=1, policy=Diary(), options=Options(), progress=told)
    assert known == [[], [1], [1, 2]]


def test_retries_end_after_three(monkeypatch) -> None:
    """Frames that fit nothing after three retries are given up, by name, and their caches are released."""
    frames = tuple(frame(name) for name in "abcdef")
    found, diary, events = run(monkeypatch, first_only, groups=(frames,))
    assert [t.frames for t in found] == [("a",), ("b",), ("c",), ("d",)]
    assert events.named("run_warn_phase3_alignment_retry_abandoned") == [
        {"tile_id": 3, "frames": 2, "filenames": ["e", "f"]}
    ]
    assert sum(entry[0] == "release" for entry in diary.told) == 4


def test_a_failed_tile_is_reported_and_released(monkeypatch) -> None:
    """The other tiles are made."""

    def make(group, number: int, *rest) -> TileResult:
        return (
            done(group, number, *rest) if number else TileResult(None, None, (), (), "no cache of the group was there")
        )

    found, diary, events = run(monkeypatch, make)
    assert [t.number for t in found] == [1]
    assert events.named("run_warn_phase3_master_tile_creation_failed_thread") == [
        {"stack_num": 1, "reason": "no cache of the group was there"}
    ]
    assert ("release", 0, False) in diary.told


def test_an_exception_in_a_tile_is_reported_and_released(monkeypatch) -> None:
    """One thread's exception does not end the others."""

    def make(group, number: int, *rest) -> TileResult:
        if number == 0:
            raise MemoryError("no memory left")
        return done(group, number, *rest)

    found, diary, events = run(monkeypatch, make, workers=2)
    assert [t.number for t in found] == [1]
    assert events.named("run_error_phase3_thread_exception") == [
        {"stack_num": 1, "error": "MemoryError: no memory left"}
    ]
    assert ("release", 0, False) in diary.told
    assert events.keys[-1] == "MASTER_TILE_COUNT_UPDATE:2/2"


def test_an_exception_outside_a_tile_ends_phase_3(monkeypatch) -> None:
    """What has not started is cancelled, and the exception comes through."""
    started: list[int] = []
    cancelled = threading.Event()

    def make(group, number: int, *rest) -> TileResult:
        started.append(number)
        if number:  # the second is being made when the first is released: it ends when the others are cancelled
            assert cancelled.wait(30)
        return done(group, number, *rest)

    class Broken(Diary):
        def release(self, number: int, *, made: bool) -> None:  # noqa: ARG002 -- the policy's signature
            raise RuntimeError("broken policy")

    shutdown = ThreadPoolExecutor.shutdown

    def cancelling(self, wait=True, *, cancel_futures=False):  # noqa: FBT002 -- the executor's signature
        if cancel_futures:
            shutdown(self, wait=False, cancel_futures=True)
        cancelled.set()
        shutdown(self, wait=wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", cancelling)
    monkeypatch.setattr(tile, "make_master_tile", make)
    with pytest.raises(RuntimeError, match="broken policy"):
        phase3.make_all(
            tuple((A,) for _ in range(50)),
            Path("tiles"),
            workers=1,
            policy=Broken(),
            options=Options(),
            progress=Events(),
        )
    assert set(started) <= {0, 1}


def test_tiles_are_submitted_as_an_observer_expects(monkeypatch) -> None:
    """The maker is looked up when a tile is submitted, in threads of a known name, with group and number first."""
    submitted, threads = [], set()
    submit = ThreadPoolExecutor.submit

    def watching(self, function, /, *args, **kwargs):
        submitted.append((function, args[:2]))
        return submit(self, function, *args, **kwargs)

    def make(group, number: int, *rest) -> TileResult:
        threads.add(threading.current_thread().name)
        return done(group, number, *rest)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", watching)
    run(monkeypatch, make)
    assert submitted == [(make, ((A, B), 0)), (make, ((C,), 1))]
    assert all(name.startswith("Ref_Ph3_") for name in threads)


def test_bookkeeping_is_told_once_by_a_policy_that_counts(monkeypatch, tmp_path) -> None:
    """The policy's own figures are an event at the end of Phase 3; a policy that counts nothing tells nothing."""
    monkeypatch.setattr(tile, "make_master_tile", done)
    for retention, expected in (("per_tile", [(2, 3, 3)]), ("run_end", [])):
        events = Events()
        counted = policy(retention)
        phase3.make_all(((A, B), (C,)), tmp_path, workers=1, policy=counted, options=Options(), progress=events)
        told = events.named("phase3_bookkeeping")
        assert [(e["tiles"], e["inputs"], e["unlinks"]) for e in told] == expected
