"""The error of a target that can't be had."""

from __future__ import annotations


class TargetError(ValueError):
    """A target, an interpreter or a configuration that can't be used: what was expected, what was found, what to do."""
