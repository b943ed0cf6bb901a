"""Read the records of ZeMosaic's log, of which a line may be broken, long, or made to take long."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from harness.probe.events import split
from harness.record.history import Event

RECORDS = 500_000
"""How many records of a log are kept, the last ones. Of a log of that size a record has 134 bytes, less than ZeMosaic writes."""
MOST_LINES = 1_000_000
"""How many lines of a log are read, the last ones."""
_LINES = 1000  # of one log record; no traceback has more

# 2026-11-25 00:20:56,614 - ZeMosaicWorker - INFO - zemosaic_worker._log_and_callback:8258 - message
_LINE = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[,.]\d{3}) - ([\w.]+) - ([A-Z]+) - ([\w.<>]+):\d+ - (.*)", re.DOTALL
)
# A message of the progress callback, with any encoding of the accent.
_PROGRESS = re.compile(r"\[CL.{1,4}_POUR_GUI: ", re.DOTALL)
_ARGUMENTS, _LAST = "] (Args: {", "})"
_ARGUMENT = re.compile(
    r"'(\w+)': (?:np\.\w+\()?(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"|(-?\d+(?:\.\d*)?(?:e[-+]?\d+)?)|(True|False))"
)
_CALLBACK = "_log_and_callback"
_LEVELS = MappingProxyType({"WARNING": "WARN"})


def text_of(data: bytes) -> str:
    """Decode a log in the encodings that copying it may cause: UTF-8, UTF-16, or Windows' Western code page."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    if data[:4096].count(0) > len(data[:4096]) // 4:
        return data.decode("utf-16-le", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def records_of(text: str) -> tuple[list[Event], int]:
    """Return the records of a log, and the number of unreadable lines, which may have been further records.

    A line that continues a record, such as a traceback's, is part of it. A complete message of the callback has no such lines.
    """
    # Each record becomes an event at once, and of very many the last are kept: as lists of lines a log has 30 times its size.
    found: deque[Event] = deque(maxlen=RECORDS)
    record: _Record | None = None
    strange = 0
    for line in _split(text):
        if _LINE.match(line):
            found.extend(() if record is None else record.events())
            record = _Record(line)
        elif record is not None and "\0" not in line and len(record.lines) < _LINES and not record.is_whole():
            record.add(line)
        elif record is not None:
            strange += bool(line.strip())
    found.extend(() if record is None else record.events())
    return list(found), strange


class _Record:
    """The lines of one record. Whether it is complete is known without reading its earlier lines again."""

    def __init__(self, line: str) -> None:
        self.lines: list[str] = []
        named = _LINE.match(line)
        self._of_callback = named is not None and _PROGRESS.match(named[5]) is not None
        self._has_arguments = False
        self.add(line)

    def add(self, line: str) -> None:
        """Add a line that continues the record."""
        self.lines.append(line)
        self._has_arguments = self._has_arguments or _ARGUMENTS in line

    def is_whole(self) -> bool:
        """Return whether it is a complete message of the progress callback."""
        last = self.lines[-1]
        return self._of_callback and (last.endswith("]") or (self._has_arguments and last.endswith(_LAST)))

    def events(self) -> Iterator[Event]:
        """Yield the event of the record, if it is one."""
        event = _event("\n".join(self.lines))
        if event is not None:
            yield event


def _split(text: str) -> Iterator[str]:
    """Yield the lines of a text, of very many the last, without a list of all of them."""
    start = 0
    if text.count("\n") > MOST_LINES:
        start = len(text)
        for _ in range(MOST_LINES + 1):
            start = text.rfind("\n", 0, start)
        start += 1
    while start < len(text):
        stop = text.find("\n", start) + 1 or len(text)
        yield from text[start:stop].splitlines()
        start = stop


def _progress(message: str) -> tuple[str, str] | None:
    """Return text and arguments of a message of the progress callback, of which the log has the Python form; else ``None``.

    No regular expression looks for the arguments: a line made for it would take hours.
    """
    begun = _PROGRESS.match(message)
    if begun is None:
        return None
    if message.endswith("]"):
        return message[begun.end() : -1], ""
    place = message.find(_ARGUMENTS, begun.end())
    if place < 0 or not message.endswith(_LAST):
        return None
    return message[begun.end() : place], message[place + len(_ARGUMENTS) - 1 : -1]


def _event(text: str) -> Event | None:
    line = _LINE.fullmatch(text)
    if line is None:
        return None
    when, logger, level, place, message = line.groups()
    try:
        time = datetime.fromisoformat(when.replace(",", "."))
    except ValueError:
        return None
    t = int((time - datetime(1970, 1, 1)).total_seconds() * 1000) * 1_000_000  # noqa: DTZ001 -- a log names no zone
    progress = _progress(message)
    if progress is None and not place.endswith(f".{_CALLBACK}"):
        return Event(t, 0, "log", "log", message, level, message, _logger(logger))
    key, rest = split(progress[0] if progress else message)
    fields = MappingProxyType(dict(_arguments(progress[1]) if progress else ()))
    return Event(t, 0, "log", "callback", key, _LEVELS.get(level, level), rest, fields)


@lru_cache(maxsize=64)
def _logger(name: str) -> Mapping[str, str]:
    """Return the fields of a log record, which all records of a logger share."""
    return MappingProxyType({"logger": name})


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    """Yield the arguments that are texts, numbers or booleans, parsed from their Python form; nothing is evaluated."""
    for name, single, double, figure, truth in _ARGUMENT.findall(text):
        if figure:
            yield name, float(figure) if set(figure) & set(".e") else int(figure)
        elif truth:
            yield name, truth == "True"
        else:
            yield name, re.sub(r"\\(.)", r"\1", single or double)
