"""What the role of a run is called, for whoever reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.language.message import Message, say

# What is validated, then what shows that the harness can see, then what they are compared with: also the order shown.
ROLES: Mapping[str, Message] = MappingProxyType(
    {
        "subject": say("subject"),
        "control": say("control"),
        "baseline": say("baseline"),
        "pair": say("pair"),
        "control-pair": say("pair of the control"),
        "baseline-pair": say("pair of the baseline"),
    }
)


def role_name(role: str) -> Message:
    """Return what a role is called; one that is not known is shown as it stands."""
    return ROLES.get(role, Message(role))
