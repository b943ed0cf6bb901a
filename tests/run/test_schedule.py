"""The schedule that makes naive deletion lose a tile."""

import pytest

from harness.record.request import Hold
from harness.run.schedule import lender_first

CHAIN = (("a", "b"), ("b", "c"), ("c", "d"), ("d",))


def test_chain_holds_the_last_tile_for_the_one_before():
    """In a chain the tile before the last has all its frames: released first, it leaves the last tile no cache."""
    assert lender_first(CHAIN, seconds=9.0) == (Hold(group=3, until_released=2, seconds=9.0),)


def test_windows_hold_the_last_tile():
    """Where every tile shares as much with the one before it, the last tile is held, for the nearest lender."""
    windows = (("a", "b", "c"), ("c", "d", "e"), ("e", "f", "g"))
    assert [(h.group, h.until_released) for h in lender_first(windows)] == [(2, 1)]


def test_hub_holds_a_tile_that_the_hub_has_whole():
    """A tile that shares all its frames is preferred to a tile that shares a part."""
    hub = (("a", "b", "c", "d"), ("a", "b"), ("c", "x"))
    assert [(h.group, h.until_released) for h in lender_first(hub)] == [(1, 0)]


@pytest.mark.parametrize("plan", [None, (), (("a",),), (("a",), ("b",))])
def test_nothing_shared_needs_no_hold(plan):
    """A plan without shared frames has no such schedule."""
    assert lender_first(plan) == ()


def test_awaited_tile_is_earlier_than_the_held_one():
    """One worker can meet the hold: the lender is submitted earlier, and the first tile is never held."""
    for plan in (CHAIN, tuple(reversed(CHAIN)), (("a", "b"), ("a",), ("b", "a"))):
        (hold,) = lender_first(plan)
        assert 0 <= hold.until_released < hold.group
