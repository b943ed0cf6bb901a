"""The budget of the large run: parsing, estimate, choice of a subset."""

import json
from dataclasses import replace

import pytest

from fixtures import catalogue, datasets
from harness.language.message import say
from harness.record.convert import from_json, to_json
from harness.record.history import DiskSample
from harness.record.leftovers import LeftFile
from harness.session.budget import Budget, Choice, Pilot, Size, choose, measured, parse
from tests import micro

GIB = 2.0**30
PILOT = Pilot(frames=10, inputs=20, seconds=10.0, peak=1e9, kept=1e8)
SIZES = [Size("small", 100, 12, 200, 4), Size("large", 200, 40, 400, 4)]
ROOM = Budget(1e5, 1e15)


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("20min,10GiB", Budget(1200, 10 * GIB)),
        ("90s, 500MB", Budget(90, 5e8)),
        ("1.5 TiB,2h", Budget(7200, 1.5 * 1024 * GIB)),
        ("5MIN,1gib", Budget(300, GIB)),
    ],
)
def test_a_budget_is_a_time_and_a_size(text, budget):
    """A budget has a time and a size, in either order, with the usual units."""
    assert parse(text) == budget


@pytest.mark.parametrize(
    "text", ["", "20min", "10GiB", "20min,5h", "20,10", "0min,1GiB", "-1min,1GiB", "1min,1GiB,1s", "x"]
)
def test_anything_else_is_refused(text):
    """A budget without a time or a size, with two, or of zero is refused; the message shows a good one."""
    with pytest.raises(ValueError, match="20min,10GiB"):
        parse(text)


def test_the_largest_subset_that_fits_is_chosen():
    """If the budget allows all subsets, the largest is chosen; the choice states its expected cost."""
    choice = choose(SIZES, PILOT, ROOM, free=1e15)
    assert choice.name == "large"
    # 4 runs, twenty times the pilot's frames and inputs: 4 x 10 s x 20.
    assert "(200 frames, 40 tiles, 4 runs) is expected to take 13.3 min" in choice.why.render()


def test_time_decides():
    """The budget excludes the large subset, which would take 800 s, and allows the small one with 400 s."""
    assert choose(SIZES, PILOT, replace(ROOM, seconds=800.0), free=1e15).name == "large"
    assert choose(SIZES, PILOT, replace(ROOM, seconds=799.0), free=1e15).name == "small"


def test_tiles_that_share_more_take_longer():
    """The expected time grows with the frames or the inputs, whichever grows more."""
    sharing = [SIZES[0], replace(SIZES[1], inputs=800)]
    assert choose(sharing, PILOT, replace(ROOM, seconds=1600.0), free=1e15).name == "large"
    assert choose(sharing, PILOT, replace(ROOM, seconds=1599.0), free=1e15).name == "small"


def test_disk_decides():
    """The disk must hold the peak of the last run and the records of earlier ones: 20 GB and 3 x 2 GB for the large subset."""
    assert choose(SIZES, PILOT, replace(ROOM, bytes=26e9), free=1e15).name == "large"
    assert choose(SIZES, PILOT, replace(ROOM, bytes=25.9e9), free=1e15).name == "small"


def test_the_free_disk_decides_whatever_the_budget_allows():
    """A run that exceeds the free disk is refused before its start, with figures and what to do; a reserve stays free."""
    assert choose(SIZES, PILOT, ROOM, free=26e9 + GIB).name == "large"
    assert choose(SIZES, PILOT, ROOM, free=26e9 + GIB - 1).name == "small"
    choice = choose(SIZES, PILOT, ROOM, free=5e9)
    assert choice.name is None
    told = choice.why.render()
    assert "4.7 GiB free" in told
    assert "small (100 frames, 12 tiles), whose 4 runs take about 6.7 min and 12.1 GiB" in told
    assert "--phase3-budget" in told
    assert " 14901 GiB free" in choose(SIZES, PILOT, replace(ROOM, bytes=1.0), free=1.6e13).why.render()


def test_without_a_pilot_the_smallest_subset_shows_why():
    """A pilot run that crashed or was stopped gives no estimate; the smallest subset then has verdicts of its own."""
    assert choose(SIZES, None, ROOM, free=1e15).name == "small"


def test_the_default_budget_fits_what_a_full_run_needs():
    """The default budget chooses among the subsets and never refuses the smallest; a budget of the user's does."""
    short = replace(ROOM, seconds=100.0)
    choice = choose(SIZES, PILOT, short, free=1e15, usual=short)
    assert choice.name == "small"
    assert "more than the default budget" in choice.why.render()
    assert choose(SIZES, PILOT, short, free=1e15, usual=ROOM).name is None
    assert choose(SIZES, PILOT, short, free=5e9, usual=short).name is None  # the disk is no matter of choice


def test_a_choice_survives_its_file():
    """A choice that one worker wrote is read by the others."""
    for name in ("x", None):
        choice = Choice(name, say("because of {what}", what=3))
        assert from_json(json.loads(json.dumps(to_json(choice))), Choice) == choice


@pytest.mark.parametrize(("borrowed", "inputs"), [(2, 22), (6, 30), (9, 30)])
def test_the_inputs_of_a_plan_are_counted_from_its_panels(borrowed, inputs):
    """The inputs of a plan are the frames of each panel and those borrowed from the next, at most all of its frames."""
    size = Size.of("x", [p.panel for p in datasets.SYNTHETIC["chain3x1"].pointings], 1, borrowed)
    assert (size.frames, size.tiles, size.inputs) == (18, 3, inputs)


@pytest.mark.parametrize("name", catalogue.STRESS_SUBSETS)
def test_every_subset_is_large_enough(name):
    """Every subset has at least the 96 frames and 12 tiles of the test; the smallest comes first."""
    size = Size.of(name, [p.panel for p in datasets.SYNTHETIC[name].pointings], 1, catalogue.STRESS_BORROWED)
    assert size.frames >= 96
    assert size.tiles >= 12
    assert name == f"stress-{size.tiles}"


def test_a_pilot_is_measured_from_its_record():
    """A pilot gives frames, inputs, seconds, the peak with the copies of the frames, and the bytes that stay without caches."""
    record = micro.counted().record()
    left = (LeftFile("outputs/a.npy", 7, "cache"), LeftFile("outputs/m.fits", 50, "mosaic"))
    disk = (DiskSample(1, "outputs", 500, 1, 9), DiskSample(2, "outputs", 300, 1, 9), DiskSample(2, "x", 10**6, 1, 9))
    record = replace(record, left=left, history=replace(record.history, disk=disk))
    assert measured(record) == Pilot(6, 10, 1.0, 500.0 + 6 * 2 * micro.ROWS * micro.COLUMNS, 50.0)
    assert measured(replace(record, left=None)) is None
    assert measured(replace(record, seal=None)) is None
    assert measured(replace(record, history=replace(record.history, disk=()))) is None
