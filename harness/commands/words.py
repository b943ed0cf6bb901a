"""Types and printing that every command needs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeAlias

from harness.language.message import Message, Translate

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 -- the class has no public name
Text = Callable[[Message], str]
"""Renders a message in the language of the user."""


def tell(message: Message, translate: Translate) -> None:
    """Print a message in the language of the user."""
    print(message.render(translate))
