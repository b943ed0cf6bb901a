"""Declare the error of a target that can't be run here."""

from __future__ import annotations

from harness.language.message import SaidError


class TargetError(SaidError):
    """A target, an interpreter or a configuration that can't be used: what was expected, what was found, what to do."""
