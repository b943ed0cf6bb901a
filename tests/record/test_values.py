"""Test that names from a record stay inside it."""

import pytest

from harness.record.values import RecordError, inside


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b"])
def test_a_path_that_leaves_the_record_is_refused(tmp_path, name):
    """A name that points outside the record is refused."""
    with pytest.raises(RecordError, match="expected a path inside the record"):
        inside(tmp_path, name)
