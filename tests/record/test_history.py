"""Test that events, operations, steps and samples are read, and that unreadable lines are named."""

import pytest

from harness.record.reader import read_record
from harness.record.values import RecordError
from tests.record.small_record import BROKEN, HEADER, add, lines, seal


def test_a_torn_last_line_is_dropped_and_named(folder):
    """Half a line, as a killed target leaves it, is named; the other lines are read."""
    with (folder / "events-7.jsonl").open("a") as stream:
        stream.write('{"t": 12, "thr')
    seal(folder)
    history = read_record(folder).history
    assert len(history.events) == 2
    assert history.torn == ("events-7.jsonl, line 4",)


def test_an_entry_without_its_fields_is_dropped_and_named(folder):
    """A line that is JSON but not an entry is named; reading goes on."""
    with (folder / "trace-7.jsonl").open("a") as stream:
        stream.write('{"op": "tile"}\n[1]\n')
    history = read_record(folder).history
    assert len(history.tiles) == 1
    assert history.torn == ("trace-7.jsonl, line 10", "trace-7.jsonl, line 11")


def test_a_torn_first_line_does_not_hide_the_rest(folder):
    """A header that was cut short is named; the lines after it are read as entries."""
    path = folder / "trace-7.jsonl"
    _, _, rest = path.read_text(encoding="utf-8").partition("\n")
    path.write_text('{"format": "phase3-tr\n' + rest, encoding="utf-8")
    history = read_record(folder).history
    assert history.torn == ("trace-7.jsonl, line 1",)
    assert history.tiles[0].made


@pytest.mark.parametrize("text", BROKEN, ids=["nested", "digits", "infinite", "cut", "no object", "empty"])
@pytest.mark.parametrize("name", ["events-7.jsonl", "trace-7.jsonl", "disk.jsonl", "process.jsonl"])
def test_an_unreadable_line_is_torn_and_spoils_no_other(folder, name, text):
    """Endless nesting and numbers of thousands of digits are torn lines like any other."""
    before = read_record(folder).history
    add(folder / name, text)
    after = read_record(folder).history
    count = len((folder / name).read_text(encoding="utf-8").splitlines())
    assert after.torn == (f"{name}, line {count}",)
    assert (after.events, after.operations, after.disk) == (before.events, before.operations, before.disk)


def test_a_newer_format_is_refused(folder):
    """The error on an unknown format names both formats and what to do."""
    lines(folder / "trace-7.jsonl", {"format": "phase3-trace/9"} | HEADER)
    with pytest.raises(RecordError, match=r"phase3-trace/1.*phase3-trace/9.*the harness that wrote it"):
        read_record(folder)


def test_lost_evidence_and_settings_are_read(folder):
    """Losses add up, settings are read, and a thread has its number if one was recorded."""
    add(
        folder / "trace-7.jsonl",
        '{"op": "lost", "t": 20, "thread": "m", "n": 2, "what": "a line of trace was lost"}',
        '{"op": "lost", "t": 21, "thread": "m", "n": 1, "what": "an event was lost"}',
        '{"op": "config", "t": 22, "thread": "m", "settings": {"cleanup_temp_artifacts": false}}',
        '{"op": "remove", "t": 23, "thread": "m", "tid": 77, "state": "done", "path": "x"}',
    )
    history = read_record(folder).history
    assert (history.lost, dict(history.settings)) == (3, {"cleanup_temp_artifacts": False})
    assert [op.tid for op in history.operations] == [None, 77]
    assert history.torn == ()


def test_losses_only_on_the_console_count(folder):
    """Losses on standard error count too: if the disk stayed full, the trace does not have them."""
    assert (read_record(folder).history.lost, dict(read_record(folder).history.settings)) == (0, {})
    add(folder / "console.log", "hello", "phase3 probe: a line of trace was lost", "phase3 probe: an event was lost")
    assert read_record(folder).history.lost == 2
