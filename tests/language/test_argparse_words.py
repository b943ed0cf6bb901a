"""The words of ``argparse`` are translated for the time of a command only."""

import argparse

import pytest

from harness.language.argparse_words import speaking


def test_the_words_are_restored():
    """After the command, and after one that raises, ``argparse`` has its own function again."""
    before = argparse._
    with speaking(str.upper):
        assert "USAGE" in argparse.ArgumentParser(prog="x").format_usage()
    assert argparse._ is before
    with pytest.raises(KeyError), speaking(str.upper):
        raise KeyError
    assert argparse._ is before
