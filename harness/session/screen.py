"""Show lines while a session runs: on a terminal one line that is written over, elsewhere lines that stay."""

from __future__ import annotations

import os
import shutil
import threading
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO

WIDE = frozenset("WF")
"""The classes of characters that take two columns of a terminal."""


class Screen:
    """A stream to show lines on. Only a terminal has a living line: the last one, which each `show` writes over.

    ``live=False`` gives up the living line, for example because something else writes to the terminal too.
    """

    def __init__(self, stream: TextIO, *, live: bool = True) -> None:
        self._stream = stream
        self.live = live and stream.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = 0
        self._lock = threading.RLock()

    @property
    def columns(self) -> int:
        """The usable width. The last column stays free: some terminals begin a new line after it."""
        return max(20, shutil.get_terminal_size().columns - 1)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        with self._lock:
            self.clear()
            self._stream.write(f"{text}\n")
            self._stream.flush()

    def show(self, text: str) -> None:
        """Write the living line over. Does nothing without a terminal."""
        if not self.live:
            return
        with self._lock:
            text = cut(text, self.columns)
            width = columns_of(text)
            # Spaces, not a control sequence that erases: not every terminal knows one.
            self._stream.write(f"\r{text}{' ' * (self._shown - width)}")
            self._stream.flush()
            self._shown = width

    def clear(self) -> None:
        """Remove the living line."""
        with self._lock:
            if self._shown:
                self._stream.write(f"\r{' ' * self._shown}\r")
                self._stream.flush()
                self._shown = 0

    @contextmanager
    def away(self) -> Iterator[None]:
        """Remove the living line while something else writes lines."""
        with self._lock:
            self.clear()
            yield


def columns_of(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(c) in WIDE else not unicodedata.combining(c) for c in text)


def cut(text: str, columns: int) -> str:
    """Return a text that fits into some columns, with an ellipsis in place of what does not."""
    if columns_of(text) <= columns:
        return text
    while text and columns_of(text) >= columns:
        text = text[:-1]
    return f"{text.rstrip()}…"


def fitting(choices: Sequence[str], columns: int) -> str:
    """Return the first text that fits into some columns; the last one, cut, if none does."""
    return next((text for text in choices if columns_of(text) <= columns), cut(choices[-1], columns))
