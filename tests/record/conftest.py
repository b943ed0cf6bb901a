"""Provide a small sealed record."""

import pytest

from tests.record.small_record import HEADER, lines, seal
from tests.requests_ import a_request


@pytest.fixture
def folder(tmp_path):
    """Return a sealed record with one event and the steps of one tile."""
    a_request().write(tmp_path / "request.json")
    step = {"op": "tile", "thread": "w", "tile": 0}
    lines(
        tmp_path / "events-7.jsonl",
        {"format": "phase3-events/1", "capabilities": ["callback"]} | HEADER,
        {"t": 5, "thread": "m", "source": "callback", "key": "K", "level": "INFO", "text": "1/2", "fields": {"a": 1}},
        {"t": 4, "thread": "m", "source": "log", "key": "%d x", "text": "3 x", "level": "INFO", "fields": {}},
    )
    lines(
        tmp_path / "trace-7.jsonl",
        {"format": "phase3-trace/1"} | HEADER,
        {"op": "capability", "t": 1, "name": "tiles"},
        step | {"t": 2, "state": "submitted", "frames": ["f0.fits"], "caches": ["c.npy"]},
        step | {"t": 3, "state": "started"},
        step | {"t": 9, "state": "ended", "outcome": "made", "path": "outputs/t.fits", "reference": "f0.fits"},
        step | {"t": 10, "thread": "main", "state": "collected"},
        {"op": "remove", "t": 11, "thread": "main", "state": "done", "path": "c.npy", "size": 128},
        {"op": "hold", "t": 2, "state": "met", "group": 1, "until_released": 0},
        {"op": "fault", "t": 2, "state": "struck"},
    )
    lines(tmp_path / "disk.jsonl", {"t": 1, "folder": "outputs", "size": 10, "files": 1, "free": 99})
    sample = {"t": 1, "processes": 1, "rss": 5, "cpu": 0.5, "threads": 2, "open_files": -1}
    lines(tmp_path / "process.jsonl", sample)
    lines(tmp_path / "left.jsonl", {"path": "outputs/t.fits", "size": 3, "kind": "tile"})
    seal(tmp_path)
    return tmp_path
