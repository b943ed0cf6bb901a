"""Plans name the frames that each tile is made from; panels are known, or found on the sky."""

from __future__ import annotations

import itertools
import random
from types import MappingProxyType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import plans
from fixtures.datasets import SYNTHETIC
from fixtures.facts import dataset_facts
from fixtures.frames import wcs_cards
from harness.request import FrameFacts


def frame(name, panel=None, *, ra=10.0, dec=20.0, shape=(100, 200), scale=0.001):
    """Return the facts of a frame whose centre is at a position; its shorter side is 0.1 degrees."""
    rows, columns = shape
    wcs = {
        "CTYPE1": "RA---TAN",
        "CTYPE2": "DEC--TAN",
        "CRVAL1": ra,
        "CRVAL2": dec,
        "CRPIX1": (columns + 1) / 2,
        "CRPIX2": (rows + 1) / 2,
        "CD1_1": -scale,
        "CD2_2": scale,
    }
    return FrameFacts(name, "0" * 64, shape, MappingProxyType(wcs), panel)


def dataset(*frames):
    """Return the facts of a dataset of these frames."""
    return dataset_facts("a set", "user", frames)


THREE = dataset(*(frame(f"{panel}{k}", index) for index, panel in enumerate("abc") for k in (1, 2)))


def test_private_shares_nothing():
    """Each panel's tile is made from its own frames, by name."""
    assert plans.private(THREE) == (("a1", "a2"), ("b1", "b2"), ("c1", "c2"))


def test_borrowing_takes_a_few_frames_of_the_next_panel():
    """Every tile but the last shares caches with the next, with fewer inputs than a chain."""
    assert plans.borrowing(THREE, 1) == (("a1", "a2", "b1"), ("b1", "b2", "c1"), ("c1", "c2"))


def test_chain_borrows_from_the_next_panel():
    """Each tile begins with its own frames, the reference first, and takes the next panel's; the last stays alone."""
    assert plans.chain(THREE) == (("a1", "a2", "b1", "b2"), ("b1", "b2", "c1", "c2"), ("c1", "c2"))


def test_chain_can_borrow_a_few():
    """With a count, only the first frames of the next panel are taken, and none of one that it does not overlap."""
    assert plans.chain(THREE, 1) == (("a1", "a2", "b1"), ("b1", "b2", "c1"), ("c1", "c2"))
    apart = dataset(
        *(frame(f"{panel}{k}", index, ra=80.0 + 9 * index) for index, panel in enumerate("ab") for k in (1, 2))
    )
    assert plans.chain(apart, 1) == (("a1", "a2"), ("b1", "b2"))


def mosaic(columns, rows, names, *, overlap=0.4, each=1):
    """Return frames of a grid of panels, 0.2 x 0.1 degrees each, named in the order in which ``names`` lists their cells."""
    east, north = 0.2 * (1 - overlap), 0.1 * (1 - overlap)
    return [
        frame(f"{names.index((column, row)):02d}-{number}", ra=10 + column * east, dec=row * north + number / 1000)
        for column in range(columns)
        for row in range(rows)
        for number in range(each)
    ]


@pytest.mark.parametrize(("columns", "rows"), [(2, 2), (3, 2), (3, 3), (5, 1), (1, 4), (4, 4)])
@pytest.mark.parametrize("seed", range(3))
def test_each_found_panel_overlaps_the_next(columns, rows, seed):
    """Whatever order a user's frames are named in, each panel of a mosaic borrows from a neighbour beside it."""
    cells = [(column, row) for column in range(columns) for row in range(rows)]
    names = random.Random(seed).sample(cells, len(cells))
    frames = mosaic(columns, rows, names, each=2)
    panels = plans.private(dataset(*frames))
    walk = [names[int(panel[0][:2])] for panel in panels]
    assert sorted(walk) == cells
    assert all(abs(a - c) + abs(b - d) == 1 for (a, b), (c, d) in itertools.pairwise(walk))
    assert [len(tile) for tile in plans.chain(dataset(*frames))] == [4] * (len(cells) - 1) + [2]
    assert plans.chain(dataset(*reversed(frames))) == plans.chain(dataset(*frames))


def test_nearest_neighbour_comes_first():
    """Panels overlap most along their short side: the walk takes those neighbours before the others."""
    cells = [(column, row) for row in range(3) for column in range(2)]
    panels = plans.private(dataset(*mosaic(2, 3, cells)))
    assert [cells[int(panel[0][:2])] for panel in panels] == [(0, 0), (0, 1), (0, 2), (1, 2), (1, 1), (1, 0)]


def test_chain_borrows_nothing_from_a_panel_elsewhere():
    """Two fields far apart share no sky, so neither tile takes the other's frames; corners in common are too little."""
    apart = dataset(frame("a", 0), frame("b", 1, ra=100.0))
    assert plans.chain(apart) == (("a",), ("b",))
    opposite = dataset(frame("a", 0), frame("b", 1, ra=190.0, dec=-20.0))
    assert plans.chain(opposite) == (("a",), ("b",))
    corners = dataset(frame("a", 0), frame("b", 1, ra=10.15, dec=20.08))
    assert plans.chain(corners) == (("a",), ("b",))


def test_walk_that_cannot_go_through_all_goes_on_elsewhere():
    """Three panels around one: the longest way is taken first, and what is left follows without borrowing."""
    star = [frame("a", ra=10.0, dec=0.0), frame("b", ra=10.12, dec=0.0), frame("c", ra=9.88, dec=0.0)]
    star.append(frame("d", ra=10.0, dec=0.085))
    chain = plans.chain(dataset(*star))
    assert sorted(tile[0] for tile in chain) == ["a", "b", "c", "d"]
    assert sorted(map(len, chain)) == [1, 1, 2, 2]


def test_plans_for_what_may_happen_to_a_cache():
    """One names a frame twice that two tiles share; one has a tile of two panels, each of which has a tile of its own too."""
    first, second, third = plans.chain(THREE)
    assert plans.named_twice(THREE) == ((*first, "b2"), second, third)
    assert "b2" in second
    assert plans.retried(THREE) == (("a1", "a2", "c1", "c2"), ("c1", "c2"), ("a1", "a2"))


@pytest.mark.parametrize(
    ("name", "shared"),
    [("chain3x2", [12] * 5 + [6]), ("chain3x1", [12, 12, 6]), ("gui", [26]), ("natural", [16] * 3 + [8])],
)
def test_synthetic_sets_keep_the_panels_that_they_know(name, shared):
    """Panels that a set states are taken in the order of their numbers, each of which overlaps the next."""
    spec = SYNTHETIC[name]
    facts = dataset_facts(
        name,
        "synthetic",
        [
            FrameFacts(p.name, "0" * 64, spec.camera.shape, wcs_cards(spec.sky, spec.camera, p), p.panel)
            for p in spec.pointings
        ],
    )
    chain = plans.chain(facts)
    assert [len(tile) for tile in chain] == shared
    panel = {f.name: f.panel for f in facts.frames}
    assert [list(dict.fromkeys(panel[name] for name in tile)) for tile in chain[:-1]] == [
        [number, number + 1] for number in range(len(chain) - 1)
    ]


def test_hub_lends_to_every_tile():
    """Every tile but the hub's own takes the hub's frames, after its own."""
    assert plans.hub(THREE, 1) == (("a1", "a2", "b1", "b2"), ("b1", "b2"), ("c1", "c2", "b1", "b2"))
    with pytest.raises(ValueError, match="expected a hub among 3 panels, found 3"):
        plans.hub(THREE, 3)


def test_gui_overlap_lends_the_reference_of_the_next_tile():
    """Eleven frames in windows of five with 40 % overlap: each shared pair begins with the next tile's first frame."""
    strip = dataset(*(frame(f"f{k}", 0, ra=10.0 + k / 100) for k in range(11)))
    tiles = plans.gui_overlap(strip, cap=5, overlap=0.4)
    assert [tile[0] for tile in tiles] == ["f0", "f3", "f6"]
    assert tiles[0][3:] == tiles[1][:2] == ("f3", "f4")
    assert tiles[2] == ("f6", "f7", "f8", "f9", "f10")


def test_gui_overlap_orders_by_right_ascension():
    """Windows run along the sky, whatever the frames are called; equal positions go by name."""
    shuffled = dataset(frame("z", 0, ra=1.0), frame("a", 0, ra=3.0), frame("m", 0, ra=2.0), frame("b", 0, ra=3.0))
    assert plans.gui_overlap(shuffled) == (("z", "m", "a", "b"),)


def test_gui_overlap_joins_a_short_last_window():
    """A last window below the smallest size joins the one before, and names no frame twice."""
    strip = dataset(*(frame(f"f{k}", 0, ra=10.0 + k / 100) for k in range(6)))
    assert plans.gui_overlap(strip, cap=5) == (("f0", "f1", "f2", "f3", "f4", "f5"),)


@pytest.mark.parametrize(("cap", "overlap"), [(0, 0.4), (5, 0.8), (5, -0.1)])
def test_gui_overlap_refuses_what_the_gui_does_not_offer(cap, overlap):
    """A cap below 1, or an overlap outside 0 to 0.7, is an error that says so."""
    with pytest.raises(ValueError, match="expected a cap of 1 or more"):
        plans.gui_overlap(THREE, cap, overlap)


@settings(deadline=None, max_examples=25)
@given(count=st.integers(1, 30), cap=st.integers(1, 20), overlap=st.sampled_from([0.0, 0.2, 0.4, 0.7]))
def test_gui_overlap_uses_every_frame_and_repeats_none_in_a_tile(count, cap, overlap):
    """Whatever the numbers: every frame is in a tile, and none twice in one."""
    strip = dataset(*(frame(f"f{k:02d}", 0, ra=10.0 + k / 100) for k in range(count)))
    tiles = plans.gui_overlap(strip, cap, overlap)
    assert {name for tile in tiles for name in tile} == {f.name for f in strip.frames}
    assert all(len(set(tile)) == len(tile) for tile in tiles)
    if count <= cap:
        assert len(tiles) == 1


def test_gui_dataset_makes_eight_full_windows():
    """The strip of frames made for this plan gives eight tiles of five frames."""
    spec = SYNTHETIC["gui"]
    facts = dataset_facts(
        "gui",
        "synthetic",
        [
            FrameFacts(p.name, "0" * 64, spec.camera.shape, wcs_cards(spec.sky, spec.camera, p), p.panel)
            for p in spec.pointings
        ],
    )
    assert [len(tile) for tile in plans.gui_overlap(facts)] == [5] * 8


def test_unknown_panels_are_found_on_the_sky():
    """Frames without a panel are grouped by steps below a quarter of the shorter side."""
    near, far = 0.02, 0.08  # of 0.1 degrees
    frames = (
        frame("1", dec=0.0, ra=359.99),
        frame("2", dec=far, ra=0.0),
        frame("3", dec=near, ra=0.0),  # across the origin of right ascension
        frame("4", dec=far + near, ra=0.0),
    )
    assert plans.cluster(frames) == (0, 1, 0, 1)
    assert plans.private(dataset(*frames)) == (("1", "3"), ("2", "4"))


def test_clusters_hold_at_the_pole():
    """Near the pole, right ascensions far apart are one pointing."""
    frames = (frame("1", ra=0.0, dec=89.995), frame("2", ra=120.0, dec=89.995), frame("3", ra=0.0, dec=89.5))
    assert plans.cluster(frames) == (0, 0, 1)


def test_one_frame_without_a_panel_has_all_of_them_clustered():
    """Panels that are known for some frames only are not mixed with clusters: all frames are clustered."""
    frames = (frame("1", panel=5), frame("2", panel=None), frame("3", panel=7, dec=30.0))
    assert plans.private(dataset(*frames)) == (("1", "2"), ("3",))


def test_no_frames_make_no_tiles():
    """An empty dataset has an empty plan, by any rule."""
    empty = dataset()
    assert plans.private(empty) == plans.chain(empty) == plans.gui_overlap(empty) == plans.cluster(()) == ()


def test_centre_of_a_frame():
    """A frame's centre is where its WCS puts the middle of its pixels, in degrees."""
    assert plans.centre_of(frame("1", ra=359.5, dec=-45.0)) == pytest.approx((359.5, -45.0))
    galactic = frame("g")
    cards = {**galactic.wcs, "CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRVAL1": 0.0, "CRVAL2": 0.0}
    moved = FrameFacts("g", "0" * 64, galactic.shape, cards)
    assert plans.centre_of(moved) == pytest.approx((266.405, -28.936), abs=0.01)  # the galactic centre
