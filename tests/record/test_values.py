"""Test that names from a record stay inside it."""

import pytest

from harness.record.values import RecordError, inside, is_finite


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b"])
def test_a_path_that_leaves_the_record_is_refused(tmp_path, name):
    """A name that points outside the record is refused."""
    with pytest.raises(RecordError, match="expected a path inside the record"):
        inside(tmp_path, name)


@pytest.mark.parametrize("value", [int("9" * 400), -int("9" * 400), float("inf"), float("nan"), True, None, "1", [1]])
def test_a_number_that_no_float_holds_is_not_finite(value):
    """Evidence may hold any JSON: what can't be calculated with is no number."""
    assert not is_finite(value)


@pytest.mark.parametrize("value", [0, -1, 2.5, 10**300])
def test_numbers_are_finite(value):
    """Integers and floats are."""
    assert is_finite(value)
