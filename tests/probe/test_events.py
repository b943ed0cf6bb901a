"""Test that progress events and log records are recorded as the target gives them."""

import json
import logging

import pytest

from harness.probe.events import Events, install_log, split
from harness.probe.recorder import Recorder


def events(folder):
    """Return the events of a record."""
    return [
        json.loads(x) for p in folder.glob("events-*.jsonl") for x in p.read_text(encoding="utf-8").splitlines()[1:]
    ]


@pytest.fixture
def seen(tmp_path):
    """Return the source, the calls of the target's callback, the events, and the recording callback."""
    called = []
    source = Events(Recorder(str(tmp_path)))
    return (
        source,
        called,
        lambda: events(tmp_path),
        source.tee(lambda *args, **kwargs: called.append((args, kwargs)) or "back"),
    )


def test_calls_are_recorded_and_passed_on(seen):
    """A call reaches the target's callback unchanged, and its result is returned."""
    _, called, found, teed = seen
    assert teed("mastertile_warn_cache_file_missing", 12, "WARN", filename="a.fits", tile_id=3) == "back"
    assert called == [(("mastertile_warn_cache_file_missing", 12, "WARN"), {"filename": "a.fits", "tile_id": 3})]
    (event,) = found()
    assert (event["source"], event["key"], event["level"]) == ("callback", "mastertile_warn_cache_file_missing", "WARN")
    assert event["fields"] == {"filename": "a.fits", "tile_id": 3}


def test_keyed_messages_are_split(seen):
    """The part after an upper-case key is its text; another colon belongs to the message."""
    _, _, found, teed = seen
    teed("MASTER_TILE_COUNT_UPDATE:1/4", None, "ETA_LEVEL")
    teed("[SDS] Batch 1: done")
    assert [(e["key"], e["text"]) for e in found()] == [
        ("MASTER_TILE_COUNT_UPDATE", "1/4"),
        ("[SDS] Batch 1: done", ""),
    ]
    assert split("A:b:c") == ("A", "b:c")


def test_stages_are_told_from_events(seen):
    """A call with one text and two integers is the progress of a stage."""
    _, _, found, teed = seen
    teed("phase3_master_tiles", 2, 4)
    (event,) = found()
    assert (event["source"], event["key"], event["text"]) == ("stage", "phase3_master_tiles", "2/4")


def test_level_may_be_a_keyword(seen):
    """The level is read from each of its names, and is not among the fields."""
    _, _, found, teed = seen
    teed("a", prog=None, lvl="DEBUG_DETAIL")
    teed("b", None, level="ERROR")
    teed("c")
    assert [(e["level"], e["fields"]) for e in found()] == [
        ("DEBUG_DETAIL", {"prog": None}),
        ("ERROR", {}),
        ("INFO", {}),
    ]


def test_listeners_hear_events(seen):
    """Listeners get the key and the fields."""
    source, _, _, teed = seen
    heard = []
    source.listeners.append(lambda key, fields: heard.append((key, fields)))
    teed("run_info_phase3_retry_submitted", None, "INFO_DETAIL", origin_tile=0, new_tile=4)
    assert heard == [("run_info_phase3_retry_submitted", {"origin_tile": 0, "new_tile": 4})]


def test_own_fault_never_reaches_the_target(seen, capsys):
    """A failing listener is reported on standard error, and the target's callback is called."""
    source, called, _, teed = seen
    source.listeners.append(lambda *_: 1 / 0)
    teed("a")
    assert len(called) == 1
    assert "an event was lost" in capsys.readouterr().err


def test_callback_may_be_absent(tmp_path):
    """If the target has no callback, calls are only recorded."""
    Events(Recorder(str(tmp_path))).tee(None)("a")
    assert [e["key"] for e in events(tmp_path)] == ["a"]


@pytest.fixture
def logged(tmp_path, monkeypatch):
    """Log records are recorded after installation."""
    monkeypatch.setattr(logging.Logger, "callHandlers", logging.Logger.callHandlers)
    install_log(Recorder(str(tmp_path)))
    return lambda: events(tmp_path)


def test_log_records_are_seen_once_whatever_handlers_do(logged):
    """Each record that a logger lets through is recorded once, with any propagation, handlers and levels."""
    quiet = logging.getLogger("phase3 test quiet")
    quiet.propagate, child = False, logging.getLogger("phase3 test loud.child")
    quiet.setLevel(logging.DEBUG)
    handler = logging.StreamHandler()
    handler.setLevel(logging.CRITICAL)
    quiet.addHandler(handler)
    quiet.debug("Removed per-tile cache file: %s", "a.npy")
    child.warning("w")
    child.debug("below this logger's level")
    assert [(e["key"], e["text"], e["level"], e["fields"]["logger"]) for e in logged()] == [
        ("Removed per-tile cache file: %s", "Removed per-tile cache file: a.npy", "DEBUG", "phase3 test quiet"),
        ("w", "w", "WARNING", "phase3 test loud.child"),
    ]


def test_log_records_keep_their_exception(logged):
    """The last line of a traceback is among the fields."""
    try:
        int("why")
    except ValueError:
        logging.getLogger("phase3 test").exception("it failed")
    assert logged()[0]["fields"]["exception"].startswith("ValueError: ")


def test_log_record_that_does_not_fit_its_template_is_kept(logged, monkeypatch):
    """If arguments don't fit the template, logging reports it, and the template is recorded."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger = logging.getLogger("phase3 test")
    logger.warning("%d files", "three")
    assert logged()[0]["text"].startswith("%d files (not formatted")
