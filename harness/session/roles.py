"""Name the role of a run for people."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.language.message import Message, say

# In the order of display: the version under test, the control that proves that checks can fail, and the runs to compare with.
ROLES: Mapping[str, Message] = MappingProxyType(
    {
        "subject": say("version under test"),
        "control": say("version with the bug"),
        "baseline": say("baseline"),
        "pair": say("same version, other retention"),
        "control-pair": say("version with the bug, other retention"),
        "baseline-pair": say("baseline, other retention"),
    }
)

# The pairs are the runs with run_end, which keeps all caches until the end.
_SHORT: Mapping[str, Message] = MappingProxyType(
    {
        "subject": say("under test"),
        "control": say("with the bug"),
        "baseline": say("baseline"),
        "pair": say("under test, run_end"),
        "control-pair": say("with the bug, run_end"),
        "baseline-pair": say("baseline, run_end"),
    }
)


def role_in_short(role: str) -> Message:
    """Return the name of a role for a line with little room; an unknown role is its own name."""
    return _SHORT.get(role, Message(role))


def role_name(role: str) -> Message:
    """Return the name of a role; an unknown role is its own name."""
    return ROLES.get(role, Message(role))
