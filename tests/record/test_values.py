"""Test that names from a record stay inside it."""

import hashlib
from pathlib import Path

import pytest

from harness.record.values import BeyondError, RecordError, inside, is_finite, sha256_of


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


@pytest.mark.parametrize("name", ["./a", "a/", "a//b", "a/./b", "", "."])
def test_a_name_has_one_spelling(tmp_path, name):
    """Other names of one file are refused: a forged list would make the harness read it again for each."""
    with pytest.raises(RecordError, match="expected a path inside the record"):
        inside(tmp_path, name)
    assert inside(tmp_path, "a/b") == tmp_path / "a" / "b"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux has files that state no size")
def test_a_file_with_more_bytes_than_it_states_is_refused(tmp_path):
    """A file of the kernel states no size, and some of them have no end."""
    with pytest.raises(BeyondError, match="expected at most 0 B"):
        sha256_of(Path("/proc/self/status"))
    (tmp_path / "a").write_bytes(b"abc" * 10**6)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 10**6).hexdigest()
