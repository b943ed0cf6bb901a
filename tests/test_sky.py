"""The synthetic sky follows its law, lies where it is asked for, and is the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.sky import Sky, draw_nebula, draw_stars, fluxes, to_sky


@pytest.mark.parametrize("slope", [0.3, 0.4, 0.6])
def test_star_counts_grow_with_magnitude_by_the_slope(slope):
    """The number of stars brighter than m grows as 10 ** (slope * m), far from the bright limit."""
    sky = Sky(0.0, 0.0, density=1.0, slope=slope, faintest=1.0, brightest=1e9)
    drawn = fluxes(sky, 200_000, np.random.default_rng(1))
    one_magnitude = 10**0.4
    ratio = np.count_nonzero(drawn > 10.0) / np.count_nonzero(drawn > 10.0 * one_magnitude)
    assert ratio == pytest.approx(10**slope, rel=0.05)


def test_fluxes_keep_their_limits():
    """No star is fainter or brighter than the sky's limits, and they reach near both."""
    sky = Sky(0.0, 0.0, density=1.0, faintest=100.0, brightest=1000.0)
    drawn = fluxes(sky, 10_000, np.random.default_rng(2))
    assert 100.0 <= drawn.min() < 101.0
    assert 900.0 < drawn.max() <= 1000.0


def test_stars_fill_the_rectangle_at_the_density():
    """As many stars as the density says lie on the rectangle of the tangent plane, evenly, brightest first."""
    sky = Sky(83.5, 60.0, density=10_000.0)
    stars = draw_stars(sky, (-0.5, 0.5), (-0.2, 0.2), seed=3)
    assert stars.shape == (4000, 3)
    assert (np.diff(stars[:, 2]) <= 0).all()
    east = (stars[:, 0] - 83.5) * np.cos(np.radians(stars[:, 1]))
    assert np.quantile(east, [0.25, 0.5, 0.75]) == pytest.approx([-0.25, 0.0, 0.25], abs=0.03)
    assert np.abs(stars[:, 1] - 60.0).max() < 0.21


def test_to_sky_goes_east_and_north():
    """East is towards greater right ascension, north towards greater declination, in degrees on the sky."""
    (ra, dec), (_, north) = to_sky(Sky(120.0, 45.0, 1.0), np.array([0.1, 0.0]), np.array([0.0, 0.1]))
    assert (ra - 120.0) * np.cos(np.radians(45.0)) == pytest.approx(0.1, rel=1e-3)
    assert dec == pytest.approx(45.0, abs=1e-3)
    assert north == pytest.approx(45.1, abs=1e-6)


def test_the_same_seed_draws_the_same_sky():
    """Stars and nebula are repeated from the seed, and another seed draws others."""
    sky = Sky(10.0, 10.0, density=100.0, nebula=50.0)
    first, again, other = (draw_stars(sky, (-1.0, 1.0), (-1.0, 1.0), seed) for seed in (4, 4, 5))
    assert (first == again).all()
    assert (first != other).any()
    assert draw_nebula(sky, 0.5, 4) == draw_nebula(sky, 0.5, 4) != draw_nebula(sky, 0.5, 5)


def test_no_nebula_without_brightness():
    """A sky without a nebula has no knots; one with a nebula has its brightest knot at the stated peak."""
    assert draw_nebula(Sky(0.0, 0.0, 1.0), 1.0, 1) == ()
    assert max(knot.peak for knot in draw_nebula(Sky(0.0, 0.0, 1.0, nebula=30.0), 1.0, 1)) == 30.0
