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
"""The fixtures that compare two versions, and that call the release alone: some targets can't give them."""


def needs_of(item: pytest.Item) -> list[str]:
    """Return which fixtures a test uses that a target may be unable to give."""
    return [name for name in NEEDS if name in getattr(item, "fixturenames", ())]


def sides(campaign: Campaign) -> tuple[TargetFacts, TargetFacts]:
    """Return the two versions of the source that the guard rails compare.

    Raises
    ------
    NoSuchRun
        When the baseline and the subject are one version. A folder without git is a version too: its files are its identity.

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
    missing: dict[str, tuple[Message, ...]] = {}
    for test in known:
        needs = test.get("needs", ())
        missing |= {need: _missing(campaign, need) for need in needs if need not in missing}
        if not any(missing[need] for need in needs):
            return ()
    return tuple(message for messages in missing.values() for message in messages)


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
