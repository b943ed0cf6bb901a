"""Test the limits: each has a value, unit, reason and fit."""

import pytest

from harness.checks.thresholds import read_thresholds


def test_every_limit_says_why_it_is_what_it_is():
    """Each of the project's limits has a unit, a reason and the runs that it was fitted on."""
    limits = read_thresholds().limits
    assert limits
    assert all(limit.unit and len(limit.reason) > 20 and len(limit.fitted_on) > 10 for limit in limits.values())


def test_a_limit_without_a_reason_is_refused(tmp_path):
    """A limit without a reason and a fit is an error."""
    path = tmp_path / "t.toml"
    path.write_text('[holes]\nmin_area = { value = 1, unit = "px" }\n')
    with pytest.raises(ValueError, match=r"holes\.min_area to have fitted_on, reason: add them"):
        read_thresholds(path)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    """A misspelt limit is an error that lists the known names."""
    path = tmp_path / "t.toml"
    path.write_text('[holes]\narea = { value = 1, unit = "px", reason = "r", fitted_on = "f" }\n')
    limits = read_thresholds(path)
    assert limits["holes.area"] == 1.0
    with pytest.raises(KeyError, match=r"no limit named 'holes.size'; known: holes.area"):
        limits["holes.size"]
