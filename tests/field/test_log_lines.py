"""No log takes long, or much memory: logs of empty lines, of short records, and lines that were made to take long."""

import pytest

from harness.field import log_lines
from harness.field.autopsy import read_log
from tests.bounded import bounded

HEAD = "2026-11-25 00:20:56,614 - ZeMosaicWorker - INFO - zemosaic_worker._log_and_callback:8258 - "
SHORT = "2026-11-25 00:20:56,614 - Z - INFO - a:1 - m\n"
LOGS = {
    "empty lines": lambda: "\n" * 5_000_000,
    "one line of 30 MB": lambda: HEAD + "[CLÉ_POUR_GUI: " + "x" * 30_000_000 + "]\n",
    "a line of many ends": lambda: HEAD + "[CLÉ_POUR_GUI: " + "] (Args: {" * 300_000 + "}) x\n",
    "lines of many ends": lambda: HEAD + "[CLÉ_POUR_GUI: a\n" + ("x" * 50_000 + "})\n") * 900,
    "short records": lambda: SHORT * 50_000,
    "nothing but zeros": lambda: "\0" * 30_000_000,
}


def _read(path):
    log = read_log(path)
    return len(log.events), len(log.gaps)


@pytest.mark.parametrize("what", LOGS)
def test_a_log_takes_bounded_time_and_memory(tmp_path, what):
    """The log is read to an answer: its gaps are named, and nothing is concluded from what it does not show."""
    path = tmp_path / "zemosaic_worker.log"
    path.write_text(LOGS[what](), encoding="utf-8", newline="\n")
    answer = bounded(_read, path)
    assert answer.error == ""
    events, gaps = answer.value
    assert gaps >= 1
    assert events == {"short records": 50_000}.get(what, events)


def test_the_last_records_of_very_many_are_kept(monkeypatch):
    """The beginning of such a log is lost, as that of a log that was cut off."""
    monkeypatch.setattr(log_lines, "RECORDS", 3)
    lines = [SHORT.replace(" - m", f" - m{n}") for n in range(5)]
    events, strange = log_lines.records_of("".join(lines))
    assert [event.text for event in events] == ["m2", "m3", "m4"]
    assert strange == 0


def test_the_last_lines_of_very_many_are_read(monkeypatch):
    """Also where they are no records."""
    monkeypatch.setattr(log_lines, "MOST_LINES", 2)
    events, strange = log_lines.records_of(SHORT * 5)
    assert (len(events), strange) == (2, 0)


def test_a_message_with_brackets_keeps_its_text():
    """Text and arguments are told apart at the first place where arguments begin; brackets in the text stay."""
    text = (
        HEAD
        + "[CLÉ_POUR_GUI: p3_start: [a] b] (Args: {'tile': 3, 'name': 'x])'})\n"
        + HEAD
        + "[CLÉ_POUR_GUI: p3 [a]]\n"
    )
    (first, second), _ = log_lines.records_of(text)
    assert dict(first.fields) == {"tile": 3, "name": "x])"}
    assert "[a] b" in first.key + first.text
    assert "p3 [a]" in second.key + second.text
