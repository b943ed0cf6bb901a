"""Find out before the first run whether a session can judge anything, so that it need not start to say so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from harness.language.message import Message, say
from harness.targets.resolve import kind_of

if TYPE_CHECKING:
    from harness.record.request import TargetFacts
    from harness.session.campaign import Campaign

NEEDS = ("patch_row", "driven")
"""The fixtures that a target may be unable to give."""


def needs_of(item: pytest.Item) -> list[str]:
    """Return which of these fixtures a test uses."""
    return [name for name in NEEDS if name in getattr(item, "fixturenames", ())]


def sides(campaign: Campaign) -> tuple[TargetFacts, TargetFacts]:
    """Return the two versions of the source that the guard rails compare.

    Raises
    ------
    NoSuchRun
        When there are no two versions. A folder without git is a version too: its files are its identity.

    """
    from harness.session.campaign import NoSuchRun

    one, two = (campaign.target(role) for role in ("baseline", "subject"))
    if not all(kind_of(side.kind).versioned for side in (one, two)) or one.identity == two.identity:
        raise NoSuchRun(
            say(
                "expected two versions to compare, found {one} and {two}: name the version before the patch with "
                "--phase3-baseline",
                one=one.label,
                two=two.label,
            )
        )
    return one, two


def without_versions() -> Message:
    """Say that the target has no versions to compare."""
    return say("the target has no versions to compare: give one that has with --phase3-target=zemosaic:PATH")


def without_release() -> Message:
    """Say that the target's release can't be called alone."""
    return say("the function that releases caches was not recognised in this target: name another target")


def why_nothing(campaign: Campaign, tests: Iterable[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return why no test of a session can judge anything; empty if a test may.

    ``tests`` are the collected tests, each with the fixtures that it ``needs``.
    """
    known = list(tests)
    if not known:
        return (say("expected tests to run, found that none is selected: correct the names, -k or -m"),)
    reasons = {name: _missing(campaign, name) for name in {need for test in known for need in test.get("needs", ())}}
    found = []
    for test in known:
        missing = [why for need in test.get("needs", ()) if (why := reasons[need])]
        if not missing:
            return ()
        found += [message for why in missing for message in why]
    return tuple({message.render(): message for message in found}.values())


def _missing(campaign: Campaign, need: str) -> tuple[Message, ...]:
    """Return why the target can't give a fixture; empty if it can."""
    from harness.session.campaign import NoSuchRun

    if need == "driven":
        return () if kind_of(campaign.target("subject").kind).release else (without_release(),)
    if not campaign.kind.versioned:
        return (without_versions(),)
    try:
        sides(campaign)
    except NoSuchRun as missing:
        return missing.messages
    return ()
