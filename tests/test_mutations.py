"""Test that every reader answers a damaged file with a result or an error of the harness, and never with another exception."""

import random
import time

import pytest

from harness.record.values import RecordError
from tests.mutations import OURS, READERS, mutated, mutations

MOST = 24
"""Damaged files for each reader; the longer run takes all of them, with many seeds."""
SECONDS = 10.0


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_damaged_file_gives_a_result_or_an_error_of_the_harness(reader, tmp_path):
    """No exception of a library, and no answer that takes longer than some seconds."""
    path = reader.make(tmp_path)
    good = path.read_bytes()
    reader.read(path)
    damaged = list(mutated(reader, good, seed=1))
    for what, content in random.Random(1).sample(damaged, min(MOST, len(damaged))):
        path.write_bytes(content)
        begun, said = time.monotonic(), "a result"
        try:
            reader.read(path)
        except OURS as error:
            said = str(error)
        except Exception as error:
            raise AssertionError(f"{reader.name}, {what}: {type(error).__name__}: {error}") from error
        assert said, what
        assert time.monotonic() - begun < SECONDS, what


@pytest.mark.parametrize(
    "reader", [r for r in READERS if not r.name.startswith(("guard", "git"))], ids=lambda r: r.name
)
def test_a_folder_in_the_place_of_a_file_gives_a_result_or_an_error(reader, tmp_path):
    """A file that is a folder ends no command with a traceback: the system's error names the file."""
    path = reader.make(tmp_path)
    path.unlink()
    path.mkdir()
    said = "a result"
    try:
        reader.read(path)
    except (*OURS, OSError) as error:
        said = str(error)
    assert said


def test_mutations_differ_by_their_seed_and_are_the_same_with_the_same():
    """A finding can be repeated by its seed and its name."""
    good = b'{"format": "x", "a": [1, 2, {"b": "c"}]}\n'
    first, again, other = list(mutations(good, 1)), list(mutations(good, 1)), list(mutations(good, 2))
    assert first == again
    assert first != other
    assert any(what == "without format" for what, _ in first)


def test_a_reader_that_raises_another_error_is_found(tmp_path):
    """The test above fails for a reader that lets an error of Python through."""
    from tests.mutations import Reader

    def make(folder):
        (folder / "x").write_bytes(b"good")
        return folder / "x"

    def read(path):
        if path.read_bytes() != b"good":
            raise KeyError("x")

    with pytest.raises(AssertionError, match="KeyError"):
        test_a_damaged_file_gives_a_result_or_an_error_of_the_harness(Reader("x", make, read), tmp_path)
    assert issubclass(RecordError, OURS)
