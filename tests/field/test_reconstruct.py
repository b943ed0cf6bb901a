"""Test what is read of a user's folders after a run."""

import pytest

from harness.field.probe_notes import Facts
from harness.field.reconstruct import _inputs
from harness.record import limits
from harness.record.values import BeyondError


def test_the_search_for_frames_ends_at_the_limit(tmp_path, monkeypatch):
    """A program may note any folder as its input, such as the root of the system."""
    (tmp_path / "in" / "out").mkdir(parents=True)
    for name in ("in/a.fits", "in/b.txt", "in/out/c.fits"):
        (tmp_path / name).touch()
    facts = Facts(str(tmp_path / "in"), str(tmp_path / "in" / "out"), "", "", 0.0)
    assert _inputs(facts) == [tmp_path / "in" / "a.fits"]
    monkeypatch.setattr(limits, "ENTRIES", 2)
    with pytest.raises(
        BeyondError, match=r"expected at most 2 files and folders below .*in, found more: .*name a smaller"
    ):
        _inputs(facts)
