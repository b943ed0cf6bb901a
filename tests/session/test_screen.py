"""Test the living line of a terminal, and the lines that stay."""

import io

import pytest

from harness.session.screen import Screen, columns_of, cut, fitting


class Terminal(io.StringIO):
    """A stream that is a terminal, and what a person sees on it."""

    def isatty(self):
        """Return that the stream is a terminal."""
        return True

    @property
    def seen(self):
        """The lines as a terminal shows them: a carriage return goes back to the start of a line, and writes it over."""
        lines = []
        for text in self.getvalue().split("\n"):
            shown = ""
            for part in text.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


@pytest.fixture
def terminal(monkeypatch):
    """Return a terminal of 40 columns."""
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.delenv("TERM", raising=False)
    return Terminal()


def test_the_living_line_is_written_over(terminal):
    """A shorter text leaves nothing of the longer one before it."""
    screen = Screen(terminal)
    screen.show("a long text about a run")
    screen.show("short")
    assert terminal.seen == ["short"]
    screen.clear()
    assert terminal.seen == [""]


def test_a_line_that_stays_is_above_the_living_one(terminal):
    """It takes the place of the living line, which the next update shows again below it."""
    screen = Screen(terminal)
    screen.show("a living line")
    screen.say("crashed")
    screen.show("next")
    assert terminal.seen == ["crashed", "next"]


def test_a_long_line_is_cut_before_the_last_column(terminal):
    """A line as wide as the terminal would begin a new one at each update."""
    Screen(terminal).show("x" * 100)
    assert terminal.seen == ["x" * 38 + "…"]


def test_the_living_line_is_away_while_others_write(terminal):
    """Text of others is not written behind the living line."""
    screen = Screen(terminal)
    screen.show("a living line")
    with screen.away():
        terminal.write("another\n")
    assert terminal.seen == ["another", ""]


@pytest.mark.parametrize("reason", ["no terminal", "dumb", "not wanted"])
def test_without_a_terminal_nothing_lives(terminal, monkeypatch, reason):
    """A file, a dumb terminal and a debugger get whole lines only."""
    if reason == "dumb":
        monkeypatch.setenv("TERM", "dumb")
    stream = io.StringIO() if reason == "no terminal" else terminal
    screen = Screen(stream, live=reason != "not wanted")
    screen.show("living")
    screen.say("line")
    screen.clear()
    assert stream.getvalue() == "line\n"


def test_wide_characters_take_two_columns():
    """The folder of a user may have a name in any script."""
    assert [columns_of(text) for text in ("abc", "画像", "e\u0301")] == [3, 4, 1]
    assert cut("画像画像画像", 7) == "画像画…"
    assert cut("abc", 3) == "abc"


def test_the_first_text_that_fits_is_taken():
    """The texts are ordered from the longest; the last one is cut if it must be."""
    assert fitting(["long enough", "short", "s"], 6) == "short"
    assert fitting(["long enough", "shorter"], 4) == "sho…"
