"""Test that a record is read whole, or refused with one kind of error."""

import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.record.reader import read_record
from harness.record.truth import Truth
from harness.record.values import RecordError
from tests.record.small_record import seal


def test_a_whole_record(folder):
    """All parts are read into types, events are in order of time, and the tile is combined from its steps."""
    record = read_record(folder)
    history = record.history
    assert record.usable
    assert [e.t for e in history.events] == [4, 5]
    assert history.named("K")[0].fields["a"] == 1
    assert [e.text for e in history.logged("3")] == ["3 x"]
    (tile,) = history.tiles
    assert (tile.started, tile.ended, tile.collected, tile.collected_by) == (3, 9, 10, "main")
    assert tile.made
    assert (tile.frames, tile.caches, tile.reference) == (("f0.fits",), ("c.npy",), "f0.fits")
    assert history.operations[0].size == 128
    assert history.capabilities == {"callback", "tiles"}
    assert (history.holds[0].state, len(history.faults)) == ("met", 1)
    assert (history.disk[0].free, history.processes[0].open_files) == (99, -1)
    assert record.left is not None
    assert record.left[0].kind == "tile"
    assert record.products is None


def test_without_a_seal_the_record_is_read_but_not_usable(folder):
    """The record of a run that lives or was cut off has a history but is not usable."""
    (folder / "seal.json").unlink()
    record = read_record(folder)
    assert record.seal is None
    assert not record.usable
    assert len(record.history.events) == 2


@pytest.mark.parametrize("state", ["crashed", "timed out", "killed"])
def test_a_run_that_ended_badly_is_not_usable(folder, state):
    """Only the end state ``done`` makes a record usable."""
    seal(folder, state)
    assert not read_record(folder).usable


def test_a_folder_without_a_request_is_refused(tmp_path):
    """The error on a folder without a request says what to name instead."""
    with pytest.raises(RecordError, match=r"expected a record in .*, found no request.json there: name a run's folder"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "phase3-request/1"}'])
def test_a_broken_request_is_refused(tmp_path, text):
    """A broken request raises ``RecordError`` and no other error."""
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(RecordError, match="record the run again"):
        read_record(tmp_path)


def test_the_truth_is_read_where_there_is_one(folder):
    """The truth is read, ``None`` if the record has none, and an error of the record if it can't be read."""
    assert read_record(folder).truth is None
    truth = Truth(np.array([[10.0, 41.0, 5e3]]), 0.0, (1.0, 1.0, 1.0), "frames", ("f1.fits",))
    (folder / "truth.json").write_text(json.dumps(truth.to_json()))
    found = read_record(folder)
    assert (found.truth.origin, found.truth.clouded) == ("frames", ("f1.fits",))
    assert np.array_equal(found.truth.stars, truth.stars)
    assert (found.truth.channels, found.truth.levels, found.truth.problem) == (None, (), "")
    assert found.damage == ("truth.json: added since the record was sealed",)
    (folder / "truth.json").write_text(json.dumps({**truth.to_json(), "origin": "hearsay"}))
    with pytest.raises(RecordError, match=r"expected a truth in .*truth\.json, found one that can't be read"):
        read_record(folder)


def test_the_colours_levels_and_problem_of_a_truth_round_trip():
    """What the mosaic of observed frames shows is written and read."""
    truth = Truth(np.array([[10.0, 41.0, 5e3]]), 0.0, (1.0, 1.0, 1.0), "frames")
    more = replace(truth, channels=truth.stars[:, 2:] * [0.5, 1.0, 1.5], levels=((0, 300.0), (1, 310.5)), frames=7)
    again = Truth.from_json(json.loads(json.dumps(more.to_json())))
    assert np.array_equal(again.channels, more.channels)
    assert (again.levels, again.frames) == (more.levels, 7)
    nothing = Truth(np.empty((0, 3)), 0.0, (1.0, 1.0, 1.0), "frames", problem="too far apart")
    assert Truth.from_json(json.loads(json.dumps(nothing.to_json()))).problem == "too far apart"


def test_a_truth_made_before_colours_is_read():
    """The fields for colours, levels and problems are optional."""
    old = Truth(np.array([[10.0, 41.0, 9e3]]), 300.0, (1.0, 1.0, 1.0)).to_json()
    for name in ("channels", "levels", "frames", "problem"):
        del old[name]
    assert Truth.from_json(old).channels is None
    with pytest.raises(ValueError, match=r"reshape|shape"):
        Truth.from_json({**old, "channels": [[1.0, 2.0, 3.0], [1.0, 2.0]]})


def reading(folder):
    """Return the record, or the text of the ``RecordError``. Other errors are raised."""
    try:
        return read_record(folder), ""
    except RecordError as error:
        return None, str(error)


BROKEN = ["[" * 200_000, '{"t": ' + "9" * 5000 + "}", '{"t": 1e999, "op": "remove"}', '{"t', "[1]", "{}"]


@pytest.mark.parametrize("name", ["request.json", "seal.json", "products.json", "events-7.jsonl", "left.jsonl"])
@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b"[]", b"9" * 5000, b'{"format": []}'])
def test_unknown_bytes_are_an_error_of_the_record(folder, name, data):
    """Any bytes in a file give a record with a torn line, or ``RecordError``."""
    (folder / name).write_bytes(data)
    record, error = reading(folder)
    assert record.history.torn if record else "expected" in error


def test_a_folder_in_the_place_of_a_file_is_an_error_of_the_record(folder):
    """An ``OSError`` on reading becomes a ``RecordError``."""
    (folder / "trace-8.jsonl").mkdir()
    with pytest.raises(RecordError, match="record the run again"):
        read_record(folder)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def mutations(draw, files):
    """Return one file of a record with bytes removed, inserted or replaced, or with one value of its JSON replaced."""
    name = draw(st.sampled_from(sorted(files)))
    data = files[name]
    start = draw(st.integers(0, len(data)))
    if draw(st.booleans()):
        return name, data[:start] + draw(st.binary(max_size=8)) + data[start + draw(st.integers(0, 40)) :]
    rows = (
        data.decode("utf-8", "replace").splitlines() if name.endswith(".jsonl") else [data.decode("utf-8", "replace")]
    )
    row = draw(st.integers(0, len(rows) - 1))
    try:
        parsed = json.loads(rows[row])
    except ValueError:
        return name, data[:start]
    at = parsed
    while True:
        key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if not at[key] or not isinstance(at[key], dict | list) or draw(st.booleans()):
            break
        at = at[key]
    at[key] = draw(VALUES)
    rows[row] = json.dumps(parsed)
    return name, "\n".join(rows).encode()


def whole_record(folder):
    """Return the files of a record that has every part."""
    covered = np.array([[True, False, True], [False, True, True]])
    np.savez(folder / "products.npz", covered=np.packbits(covered), depth=covered.astype("f4"), stars=np.ones((2, 3)))
    tile = {"path": "outputs/t.fits", "tile": 0, "frames": 2, "aligned": None, "reference": None}
    data = {
        "format": "phase3-products/1",
        "mosaic": "outputs/m.fits",
        "shape": [2, 3],
        "step": 1,
        "wcs": {"CRPIX1": 1.0},
    }
    (folder / "products.json").write_text(json.dumps(data | {"tiles": [tile], "thumbnail": None}))
    seal(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_gives_a_record_or_an_error_of_the_record(folder, data):
    """A record with any change in one file is read, or refused with ``RecordError``."""
    files = whole_record(folder)
    name, content = data.draw(mutations(files))
    with tempfile.TemporaryDirectory() as scratch:
        for other, old in files.items():
            Path(scratch, other).write_bytes(content if other == name else old)
        record, error = reading(Path(scratch))
    assert "expected" in error or record
    if record and name != "seal.json":
        assert record.usable == (content == files[name])
