"""Translate the words that ``argparse`` itself writes: usage, help and usage errors.

``argparse`` looks each of them up through the function ``_`` of its module. During a command that function is replaced
by ours, so that they come from the same catalogue as all other sentences.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

from harness.language.message import Message, Translate, say

# A sentence that a newer Python adds appears in English until it is listed here.
WORDS: tuple[Message, ...] = (
    say("usage: "),
    say("options"),
    say("positional arguments"),
    say("show this help message and exit"),
    say("%(prog)s: error: %(message)s\n"),
    say("argument %(argument_name)s: %(message)s"),
    say("the following arguments are required: %s"),
    say("unrecognized arguments: %s"),
    say("invalid choice: %(value)r (choose from %(choices)s)"),
    say("invalid %(type)s value: %(value)r"),
    say("expected one argument"),
    say("expected at least one argument"),
    say("not allowed with argument %s"),
    say("ambiguous option: %(option)s could match %(matches)s"),
    say("ignored explicit argument %r"),
)


@contextmanager
def speaking(translate: Translate) -> Iterator[None]:
    """Translate the words of ``argparse`` with this function."""
    before = argparse._  # type: ignore[attr-defined]
    argparse._ = translate  # type: ignore[attr-defined]
    try:
        yield
    finally:
        argparse._ = before  # type: ignore[attr-defined]
