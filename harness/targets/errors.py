"""Declare the error of a target that can't be run here."""

from __future__ import annotations

from harness.language.message import SaidError


class TargetError(SaidError):
    """Raised when a target, its interpreter or its configuration can't be used."""
