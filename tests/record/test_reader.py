"""Records: reading what a run left, whole, torn, tampered or of another format."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.record.reader import read_record
from harness.record.truth import Truth
from harness.record.values import RecordError, inside, sha256_of
from tests.requests_ import a_request

HEADER = {"pid": 7, "t": 1, "wall": 0.0}


def lines(path, *entries):
    """Write JSON lines."""
    path.write_text("".join(json.dumps(e) + "\n" for e in entries), encoding="utf-8")


def seal(folder, state="done"):
    """Seal a folder as it is."""
    files = {p.name: sha256_of(p) for p in folder.iterdir() if p.is_file() and p.name != "seal.json"}
    data = {"format": "phase3-seal/1", "state": state, "exit_code": 0, "reason": "", "seconds": 1.5, "files": files}
    (folder / "seal.json").write_text(json.dumps(data), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """Return a sealed record with one event and the steps of one tile."""
    a_request().write(tmp_path / "request.json")
    step = {"op": "tile", "thread": "w", "tile": 0}
    lines(
        tmp_path / "events-7.jsonl",
        {"format": "phase3-events/1", "capabilities": ["callback"]} | HEADER,
        {"t": 5, "thread": "m", "source": "callback", "key": "K", "level": "INFO", "text": "1/2", "fields": {"a": 1}},
        {"t": 4, "thread": "m", "source": "log", "key": "%d x", "text": "3 x", "level": "INFO", "fields": {}},
    )
    lines(
        tmp_path / "trace-7.jsonl",
        {"format": "phase3-trace/1"} | HEADER,
        {"op": "capability", "t": 1, "name": "tiles"},
        step | {"t": 2, "state": "submitted", "frames": ["f0.fits"], "caches": ["c.npy"]},
        step | {"t": 3, "state": "started"},
        step | {"t": 9, "state": "ended", "outcome": "made", "path": "outputs/t.fits", "reference": "f0.fits"},
        step | {"t": 10, "thread": "main", "state": "collected"},
        {"op": "remove", "t": 11, "thread": "main", "state": "done", "path": "c.npy", "size": 128},
        {"op": "hold", "t": 2, "state": "met", "group": 1, "until_released": 0},
        {"op": "fault", "t": 2, "state": "struck"},
    )
    lines(tmp_path / "disk.jsonl", {"t": 1, "folder": "outputs", "size": 10, "files": 1, "free": 99})
    sample = {"t": 1, "processes": 1, "rss": 5, "cpu": 0.5, "threads": 2, "open_files": -1}
    lines(tmp_path / "process.jsonl", sample)
    lines(tmp_path / "left.jsonl", {"path": "outputs/t.fits", "size": 3, "kind": "tile"})
    seal(tmp_path)
    return tmp_path


def test_a_whole_record(folder):
    """Everything is typed, in order of time, and the tile is put together from its steps."""
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


def test_a_torn_last_line_is_dropped_and_named(folder):
    """A killed target leaves half a line: the rest is read, and the reader says so."""
    with (folder / "events-7.jsonl").open("a") as stream:
        stream.write('{"t": 12, "thr')
    seal(folder)
    history = read_record(folder).history
    assert len(history.events) == 2
    assert history.torn == ("events-7.jsonl, line 4",)


def test_an_entry_without_its_fields_is_dropped_and_named(folder):
    """A line that is JSON but no entry does not end the reading."""
    with (folder / "trace-7.jsonl").open("a") as stream:
        stream.write('{"op": "tile"}\n[1]\n')
    history = read_record(folder).history
    assert len(history.tiles) == 1
    assert history.torn == ("trace-7.jsonl, line 10", "trace-7.jsonl, line 11")


@pytest.mark.parametrize("name", ["events-7.jsonl", "request.json", "left.jsonl"])
def test_a_change_after_the_seal_is_named(folder, name):
    """A record whose files are not as sealed can't be used."""
    with (folder / name).open("a") as stream:
        stream.write("\n")
    record = read_record(folder)
    assert not record.usable
    assert record.damage == (f"{name}: changed since the record was sealed",)


def test_a_file_that_went_or_came_after_the_seal_is_named(folder):
    """Removing a file and adding another are both damage."""
    (folder / "disk.jsonl").unlink()
    lines(folder / "events-8.jsonl", {"format": "phase3-events/1"} | HEADER)
    assert read_record(folder).damage == (
        "disk.jsonl: missing",
        "events-8.jsonl: added since the record was sealed",
    )


def test_without_a_seal_the_record_is_read_but_not_usable(folder):
    """A run that lives, or was cut off, has a history already."""
    (folder / "seal.json").unlink()
    record = read_record(folder)
    assert record.seal is None
    assert not record.usable
    assert len(record.history.events) == 2


@pytest.mark.parametrize("state", ["crashed", "timed out", "killed"])
def test_a_run_that_ended_badly_is_not_usable(folder, state):
    """Only ``done`` makes a record usable."""
    seal(folder, state)
    assert not read_record(folder).usable


def test_a_newer_format_is_refused(folder):
    """A trace of another format names both formats and what to do."""
    lines(folder / "trace-7.jsonl", {"format": "phase3-trace/9"} | HEADER)
    with pytest.raises(RecordError, match=r"phase3-trace/1.*phase3-trace/9.*the harness that wrote it"):
        read_record(folder)


def test_no_record_at_all(tmp_path):
    """A folder without a request says what to name instead."""
    with pytest.raises(RecordError, match=r"expected a record in .*, found no request.json there: name a run's folder"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "phase3-request/1"}'])
def test_a_request_that_is_none(tmp_path, text):
    """A broken request is an error of the record, not a traceback."""
    (tmp_path / "request.json").write_text(text)
    with pytest.raises(RecordError, match="record the run again"):
        read_record(tmp_path)


@pytest.mark.parametrize("text", ["{", '{"format": "phase3-seal/1"}', '{"format": "phase3-seal/1", "state": "fine"}'])
def test_a_broken_seal(folder, text):
    """A seal that can't be read is no seal that may be trusted."""
    (folder / "seal.json").write_text(text)
    with pytest.raises(RecordError, match="expected"):
        read_record(folder)


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:/x", "a\\b"])
def test_a_path_that_leaves_the_record_is_refused(tmp_path, name):
    """Paths in a record stay inside it."""
    with pytest.raises(RecordError, match="expected a path inside the record"):
        inside(tmp_path, name)


def test_products_round_trip(folder):
    """Masks, depth and stars are read without pickle, in their shapes."""
    covered = np.array([[True, False, True], [False, True, True]])
    np.savez(folder / "products.npz", covered=np.packbits(covered), depth=covered.astype("f4"), stars=np.ones((2, 3)))
    data = {
        "format": "phase3-products/1",
        "mosaic": "outputs/m.fits",
        "shape": [2, 3],
        "step": 1,
        "wcs": {"CRPIX1": 1.0},
        "tiles": [{"path": "outputs/t.fits", "tile": 0, "frames": 2, "aligned": None, "reference": None}],
        "thumbnail": None,
    }
    (folder / "products.json").write_text(json.dumps(data))
    products = read_record(folder).products
    assert products is not None
    assert (products.covered == covered).all()
    assert products.depth.dtype == np.float32
    assert products.stars.shape == (2, 3)
    assert products.tiles[0].aligned is None
    assert (products.planes, products.constant) == ((), None)


def test_the_truth_is_read_where_there_is_one(folder):
    """A record says what its frames show, or that nobody knows; a truth that can't be read is an error of the record."""
    assert read_record(folder).truth is None
    truth = Truth(np.array([[10.0, 41.0, 5e3]]), 0.0, (1.0, 1.0, 1.0), "frames", ("f1.fits",))
    (folder / "truth.json").write_text(json.dumps(truth.to_json()))
    found = read_record(folder)
    assert (found.truth.origin, found.truth.clouded) == ("frames", ("f1.fits",))
    assert np.array_equal(found.truth.stars, truth.stars)
    assert found.damage == ("truth.json: added since the record was sealed",)
    (folder / "truth.json").write_text(json.dumps({**truth.to_json(), "origin": "hearsay"}))
    with pytest.raises(RecordError, match=r"expected a truth in .*truth\.json, found one that can't be read"):
        read_record(folder)


def test_products_with_a_pickle_are_refused(folder):
    """An array of objects would run code when it is read."""
    np.savez(folder / "products.npz", covered=np.array([{}], dtype=object), depth=[], stars=[])
    data = {
        "format": "phase3-products/1",
        "mosaic": None,
        "shape": [1, 1],
        "step": 1,
        "wcs": {},
        "tiles": [],
        "thumbnail": None,
    }
    (folder / "products.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="measure the run again"):
        read_record(folder)


def add(path, *texts):
    """Append lines as they are."""
    with path.open("a", encoding="utf-8") as stream:
        stream.write("".join(f"{text}\n" for text in texts))


def reading(folder):
    """Return the record, or what the one error says that may be raised."""
    try:
        return read_record(folder), ""
    except RecordError as error:
        return None, str(error)


BROKEN = ["[" * 200_000, '{"t": ' + "9" * 5000 + "}", '{"t": 1e999, "op": "remove"}', '{"t', "[1]", "{}"]


@pytest.mark.parametrize("text", BROKEN, ids=["nested", "digits", "infinite", "cut", "no object", "empty"])
@pytest.mark.parametrize("name", ["events-7.jsonl", "trace-7.jsonl", "disk.jsonl", "process.jsonl"])
def test_a_line_that_can_not_be_read_is_torn_and_spoils_no_other(folder, name, text):
    """Nesting without end and numbers of thousands of digits are torn lines like any other."""
    before = read_record(folder).history
    add(folder / name, text)
    after = read_record(folder).history
    count = len((folder / name).read_text(encoding="utf-8").splitlines())
    assert after.torn == (f"{name}, line {count}",)
    assert (after.events, after.operations, after.disk) == (before.events, before.operations, before.disk)


@pytest.mark.parametrize("text", [*BROKEN, '{"path": "outputs/a.npy", "kind": "cache"}'])
def test_a_torn_list_of_what_is_left_is_not_known(folder, text):
    """A cache could stand in the line that can't be read: the list counts for nothing, and the line is named."""
    add(folder / "left.jsonl", text)
    record = read_record(folder)
    assert record.left is None
    assert record.history.torn == ("left.jsonl, line 2",)


def test_a_torn_first_line_does_not_hide_the_rest(folder):
    """A header that was cut short is named; what follows is no header."""
    path = folder / "trace-7.jsonl"
    _, _, rest = path.read_text(encoding="utf-8").partition("\n")
    path.write_text('{"format": "phase3-tr\n' + rest, encoding="utf-8")
    history = read_record(folder).history
    assert history.torn == ("trace-7.jsonl, line 1",)
    assert history.tiles[0].made


def test_lost_evidence_and_settings_are_read(folder):
    """Losses add up; settings are there for the checks; a thread has its number where one was written."""
    add(
        folder / "trace-7.jsonl",
        '{"op": "lost", "t": 20, "thread": "m", "n": 2, "what": "a line of trace was lost"}',
        '{"op": "lost", "t": 21, "thread": "m", "n": 1, "what": "an event was lost"}',
        '{"op": "config", "t": 22, "thread": "m", "settings": {"cleanup_temp_artifacts": false}}',
        '{"op": "remove", "t": 23, "thread": "m", "tid": 77, "state": "done", "path": "x"}',
    )
    history = read_record(folder).history
    assert (history.lost, dict(history.settings)) == (3, {"cleanup_temp_artifacts": False})
    assert [op.tid for op in history.operations] == [None, 77]
    assert history.torn == ()


def test_losses_told_on_the_console_only_count_too(folder):
    """A disk that stayed full takes no line about what it did not take."""
    assert (read_record(folder).history.lost, dict(read_record(folder).history.settings)) == (0, {})
    add(folder / "console.log", "hello", "phase3 probe: a line of trace was lost", "phase3 probe: an event was lost")
    assert read_record(folder).history.lost == 2


@pytest.mark.parametrize("name", ["request.json", "seal.json", "products.json", "events-7.jsonl", "left.jsonl"])
@pytest.mark.parametrize("data", [b"\xff\xfe", b"[" * 100_000, b"[]", b"9" * 5000, b'{"format": []}'])
def test_bytes_that_are_nothing_known_are_an_error_of_the_record(folder, name, data):
    """Whatever stands in a file, the reader answers with a record or with the one error that says what to do."""
    (folder / name).write_bytes(data)
    record, error = reading(folder)
    assert record.history.torn if record else "expected" in error


def test_a_folder_in_the_place_of_a_file_is_an_error_of_the_record(folder):
    """What the system refuses is told in the same way."""
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
    """Return one file of a record with bytes cut, put in or replaced, or with one value of its JSON exchanged."""
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
def test_nothing_but_an_error_of_the_record_leaves_the_reader(folder, data):
    """Whatever is changed in a record's files, it is read, or refused as a record."""
    files = whole_record(folder)
    name, content = data.draw(mutations(files))
    with tempfile.TemporaryDirectory() as scratch:
        for other, old in files.items():
            Path(scratch, other).write_bytes(content if other == name else old)
        record, error = reading(Path(scratch))
    assert "expected" in error or record
    if record and name != "seal.json":
        assert record.usable == (content == files[name])
