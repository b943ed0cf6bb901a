"""No file of a record makes the harness wait, or take more memory than its limit: pipes, devices, endless files, bombs."""

import io
import json
import os
import socket
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from harness.checks.judge import judge
from harness.record import extent, limits, values
from harness.record.comparison import Comparison
from harness.record.extent import extent_beyond
from harness.record.history import beyond, read_events, read_exceptions
from harness.record.products import read_products
from harness.record.reader import read_record
from harness.record.seal import seal
from harness.record.values import BeyondError
from tests.bounded import bounded
from tests.record.small_record import HEADER, lines
from tests.record.small_record import seal as seal_as_it_is

TERABYTE = 2**40
PARTS = (
    "request.json",
    "seal.json",
    "events-7.jsonl",
    "trace-7.jsonl",
    "products.json",
    "products.npz",
    "truth.json",
)
"""The files without which a record is not read."""
SAMPLES = ("left.jsonl", "inputs.jsonl", "disk.jsonl", "process.jsonl", "console.log")
"""The files without which a record has a gap."""


def _pipe(path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(path)


def _socket(path):
    if not hasattr(socket, "AF_UNIX"):
        pytest.skip("this system has no sockets in folders")
    before = Path.cwd()
    os.chdir(path.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(before)


def _zeros(path):
    if not Path("/dev/zero").exists():
        pytest.skip("this system has no /dev/zero")
    path.symlink_to("/dev/zero")


def _device(path):
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except (OSError, AttributeError):
        pytest.skip("only root may make a device")


def _sparse(path):
    with path.open("wb") as stream:
        try:
            stream.truncate(TERABYTE)
        except OSError:
            pytest.skip("this disk has no files of holes")


KINDS = {
    "a pipe": (_pipe, "found a pipe"),
    "a socket": (_socket, "found a socket"),
    "a device": (_device, "found a device"),
    "a link to an endless device": (_zeros, "found a link"),
    "a file of a terabyte": (_sparse, "found 1.1 TB"),
}


def _put(folder, name, kind):
    (folder / name).unlink(missing_ok=True)
    if name == "products.npz":
        _products(folder)
        (folder / name).unlink()
    make, message = KINDS[kind]
    make(folder / name)
    return message


def _products(folder, **arrays):
    """Write products of a mosaic of 2 by 3 pixels, with other arrays by name."""
    small = {
        "depth": np.ones((2, 3), np.float32),
        "covered": np.array([252], np.uint8),
        "stars": np.zeros((0, 3)),
    }
    np.savez_compressed(folder / "products.npz", **(small | arrays))
    shape = list((small | arrays)["depth"].shape)
    data = {
        "format": "phase3-products/1",
        "mosaic": "outputs/m.fits",
        "wcs": {},
        "step": 1,
        "shape": shape,
        "tiles": [],
    }
    (folder / "products.json").write_text(json.dumps(data | {"thumbnail": None}), encoding="utf-8")


def _read(folder):
    record = read_record(folder)
    return record.beyond, record.history.torn, len(record.history.events)


def _judged(folder):
    return sorted({verdict.outcome.value for verdict in judge(Comparison(read_record(folder)))})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_a_record_that_is_no_file_is_refused(folder, name, kind):
    """A pipe, socket, device or endless file in place of a part is named with what was expected. Nothing waits for it."""
    message = _put(folder, name, kind)
    answer = bounded(_read, folder)
    if kind == "a file of a terabyte" and name.endswith(".jsonl"):
        assert answer.error == ""
        assert message in answer.value[0][0]
    else:
        assert (
            answer.error == "RecordError" if "terabyte" not in kind else answer.error in ("RecordError", "BeyondError")
        )
        assert message in answer.text


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SAMPLES)
def test_samples_that_are_no_file_are_a_gap(folder, name, kind):
    """The rest of such a record is read, and the gap is named."""
    message = _put(folder, name, kind)
    answer = bounded(_read, folder)
    assert answer.error == ""
    _, torn, events = answer.value
    assert any(message in line for line in torn)
    assert events == 2


def test_a_line_of_a_gigabyte_is_beyond_the_limit(folder):
    """The record is beyond the limits, and no verdict but unknown comes of it. The line is not read whole."""
    with (folder / "events-7.jsonl").open("ab") as stream:
        stream.truncate(2 * 10**9)
    seal_of_large(folder)
    answer = bounded(_judged, folder)
    assert answer.value == ["unknown"]
    found = bounded(_read, folder).value[0]
    assert found[0].startswith(f"expected at most 400 MB in {folder / 'events-7.jsonl'}, found 2 GB:")


def seal_of_large(folder):
    """Seal a record as the harness does."""
    (folder / "seal.json").unlink(missing_ok=True)
    seal(folder, "done", 0, "", 1.0)


def test_a_long_line_within_the_size_is_beyond_the_limit(folder):
    """A line of 50 MB is refused at its first megabyte."""
    with (folder / "trace-7.jsonl").open("ab") as stream:
        stream.write(b'{"t": 1, "op": "' + b"x" * 50_000_000 + b'"}\n')
    seal_as_it_is(folder)
    answer = bounded(_read, folder, most=300)
    assert answer.value[0] == (
        "trace-7.jsonl has a line of more than 1 MB, the limit of the harness (docs/protocol.md)",
    )
    assert bounded(_judged, folder).value == ["unknown"]


def test_too_many_lines_are_beyond_the_limit(folder):
    """1.2 million lines are counted, not read. The largest good runs have 173 for each frame."""
    with (folder / "events-7.jsonl").open("ab") as stream:
        stream.write(b"{}\n" * 1_200_000)
    seal_as_it_is(folder)
    answer = bounded(_read, folder, most=300)
    assert answer.value[0] == (
        "the record has more than 1,000,000 lines of events and traces, the limit of the harness (docs/protocol.md)",
    )
    assert answer.value[2] == 0
    assert bounded(_judged, folder).value == ["unknown"]


def test_lines_that_take_much_memory_are_beyond_the_limit(folder):
    """20,000 lines of lists would take 3 GB as objects: the memory that they take is counted while they are read."""
    line = json.dumps({"t": 9, "thread": "m", "source": "log", "key": "k", "fields": {"a": [[]] * 2_000}}).encode()
    with (folder / "events-7.jsonl").open("ab") as stream:
        for _ in range(20_000):
            stream.write(line + b"\n")
    seal_as_it_is(folder)
    answer = bounded(_read, folder)
    assert answer.value[0] == (
        "events-*.jsonl + trace-*.jsonl takes more than 350 MB of memory, the limit of the harness (docs/protocol.md)",
    )


def test_a_record_within_the_limits_is_read_as_before(folder):
    """Nothing is beyond in an ordinary record, and its verdicts are not all unknown."""
    answer = bounded(_read, folder)
    assert (answer.value[0], answer.value[2]) == ((), 2)
    assert beyond(folder) == ""
    assert len(read_events(folder)) == 2


def test_json_nested_deep_is_refused(folder):
    """A request nested 100,000 deep is named as one that can't be read."""
    (folder / "request.json").write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    answer = bounded(_read, folder)
    assert answer.error == "RecordError"
    assert "expected a request in" in answer.text


def test_json_that_takes_much_memory_is_refused(folder):
    """A truth of 30 MB of empty objects would take 2 GB: it is refused before it is parsed."""
    (folder / "truth.json").write_bytes(b"[" + b"{}," * 10_000_000 + b"{}]")
    answer = bounded(_read, folder, most=300)
    assert answer.error == "RecordError"
    assert "truth.json that takes at most 200 MB of memory" in answer.text


@pytest.mark.parametrize(
    "text", ['["aaaa",' * 5, "[[],[],[]]", '{"a":{"b":{}}}', "[1.5,2.5,1e9]", '["é€😀"]', '[{"k":1}]']
)
def test_the_memory_of_json_is_estimated_from_above(text):
    """The estimate exceeds what the objects take, for the shapes that take most for their length."""
    import tracemalloc

    text = text if text.endswith(("]", "}")) else "[" + '"aaaa",' * 5 + '"a"]'
    data = json.dumps([json.loads(text)] * 2_000, ensure_ascii=False).encode()
    tracemalloc.start()
    kept = json.loads(data)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(kept) == 2_000
    assert values.memory_of(data) >= taken


def _products_of(folder):
    return read_products(folder).depth.shape


def test_an_archive_bomb_is_refused(folder):
    """400 kB of zeros that unpack to 400 MB are refused by what the archive declares. Nothing of them is unpacked."""
    _products(folder)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (100_000_000,)})
    with (
        zipfile.ZipFile(folder / "products.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("depth.npy", "w", force_zip64=True) as part,
    ):
        part.write(header.getvalue())
        for _ in range(400):
            part.write(bytes(1_000_000))
    answer = bounded(_products_of, folder, most=300)
    assert answer.error == "BeyondError"
    assert answer.text.startswith("expected at most 320 MB in products.npz, found 400 MB")


def test_an_array_that_declares_many_elements_is_refused(folder):
    """A header that declares 10¹² elements, with 8 bytes behind it, is refused before memory is asked for."""
    _products(folder)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(folder / "products.npz", "w") as archive:
        archive.writestr("depth.npy", header.getvalue() + bytes(8))
    answer = bounded(_products_of, folder, most=300)
    assert answer.error == "RecordError"
    assert "declares the shape (1000000000000,)" in answer.text


def test_an_archive_of_many_arrays_is_refused(folder):
    """The list of 60,000 arrays is not read: only its length."""
    _products(folder)
    with zipfile.ZipFile(folder / "products.npz", "w") as archive:
        for n in range(2_000):
            archive.writestr(f"{n}.npy", b"")
    answer = bounded(_products_of, folder)
    assert answer.error == "BeyondError"
    assert "1,000 arrays" in answer.text


def test_an_archive_with_a_second_list_of_arrays_is_refused(folder):
    """The end record of large archives, which overrides the other one, is not what numpy writes for such products."""
    _products(folder)
    data = (folder / "products.npz").read_bytes()
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    (folder / "products.npz").write_bytes(data[:-22] + locator + data[-22:])
    assert bounded(_products_of, folder).error == "BeyondError"


def test_products_as_the_harness_writes_them_are_read(folder):
    """The limits let a mask of 25 million elements pass, the largest that is made."""
    depth = np.zeros((5000, 5000), np.float32)
    bits = np.zeros(3_125_000, np.uint8)
    _products(folder, depth=depth, covered=bits, constant=bits)
    answer = bounded(_products_of, folder)
    assert answer.value == (5000, 5000)


def _sealed(folder):
    seal_of_large(folder)
    record = read_record(folder)
    return record.seal.beyond, sorted(record.seal.files), [v.outcome.value for v in judge(Comparison(record))]


def test_an_endless_product_is_not_hashed(folder):
    """A product of a terabyte of holes is named in the seal, in place of hours of hashing, and the verdicts are unknown."""
    (folder / "outputs").mkdir()
    _sparse(folder / "outputs" / "mosaic.fits")
    answer = bounded(_sealed, folder)
    said, files, outcomes = answer.value
    assert said == ("outputs/mosaic.fits has 1.1 TB, of which less than 1 % is written: it was not hashed",)
    assert "outputs/mosaic.fits" not in files
    assert set(outcomes) == {"unknown"}


def test_a_product_of_holes_is_not_hashed(folder):
    """Also below the limit of size: no product of a run is a file of holes."""
    (folder / "outputs").mkdir()
    with (folder / "outputs" / "x").open("wb") as stream:
        stream.truncate(10 * 10**9)
    if not hasattr(folder.stat(), "st_blocks"):
        pytest.skip("this system does not count blocks")
    assert bounded(_sealed, folder).value[0] == (
        "outputs/x has 10 GB, of which less than 1 % is written: it was not hashed",
    )


def _of_holes(*paths):
    for path in paths:
        with path.open("wb") as stream:
            stream.truncate(600 * 10**6)


@pytest.mark.skipif(not hasattr(Path().stat(), "st_blocks"), reason="this system does not count blocks")
def test_files_of_holes_are_limited_in_sum(folder):
    """Many files of holes, each below the limit, would take as long: one of 600 MB is hashed, the next is not."""
    (folder / "outputs").mkdir()
    _of_holes(folder / "outputs" / "x", folder / "outputs" / "y", folder / "outputs" / "z")
    answer = bounded(_sealed, folder, seconds=30)
    assert [sentence.partition(" has ")[0] for sentence in answer.value[0]] == ["outputs/y", "outputs/z"]
    assert set(answer.value[2]) == {"unknown"}


@pytest.mark.skipif(not hasattr(Path().stat(), "st_blocks"), reason="this system does not count blocks")
def test_a_forged_seal_makes_no_reader_read_files_of_holes(folder):
    """A seal may name any number of them: beyond their limit in sum they are changed, and not read."""
    (folder / "outputs").mkdir()
    _of_holes(*(folder / "outputs" / name for name in "abcdefgh"))
    seal_of_large(folder)
    path = folder / "seal.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    digest = data["files"]["outputs/a"]
    path.write_text(json.dumps(data | {"files": {f"outputs/{n}": digest for n in "abcdefgh"}}), encoding="utf-8")
    found = bounded(_damage, folder, seconds=30).value
    assert [f"outputs/{name}: changed since the record was sealed" for name in "bcdefgh"] == [
        said for said in found if "outputs" in said
    ]


def _damage(folder):
    return read_record(folder).damage


def test_a_sealed_file_replaced_by_an_endless_one_is_changed(folder):
    """The change is found without reading the file."""
    (folder / "console.log").write_text("x", encoding="utf-8")
    seal_as_it_is(folder)
    _put(folder, "console.log", "a file of a terabyte")
    assert bounded(_damage, folder).value == ("console.log: changed since the record was sealed",)


def test_a_sealed_file_replaced_by_a_link_is_changed(folder, tmp_path_factory):
    """A link is not what was sealed, also if it leads to the same content."""
    other = tmp_path_factory.mktemp("other") / "console.log"
    other.write_text("x", encoding="utf-8")
    (folder / "console.log").write_text("x", encoding="utf-8")
    seal_as_it_is(folder)
    (folder / "console.log").unlink()
    (folder / "console.log").symlink_to(other)
    assert "console.log: changed since the record was sealed" in read_record(folder).damage


def test_many_files_and_deep_folders_are_beyond_the_limit(tmp_path):
    """The walk ends at the limit."""
    place = tmp_path / "outputs"
    (place / "a" / "b" / "c").mkdir(parents=True)
    for n in range(5):
        (place / f"{n}").touch()
    assert extent_beyond([place]) == ""
    assert extent_beyond([place], most=7) == "outputs/ has more than 7 files and folders, the limit of the harness"
    assert extent_beyond([place], depth=3) == "outputs/ has folders more than 3 deep, the limit of the harness"


def test_exceptions_before_the_limit_are_found(folder):
    """The end of a run is looked for in the traces as lines: a long one ends the search, and is no error."""
    raised = {"op": "exception", "t": 5, "thread": "m", "where": "run", "type": "ValueError"}
    lines(folder / "trace-7.jsonl", {"format": "phase3-trace/1"} | HEADER, raised)
    with (folder / "trace-7.jsonl").open("ab") as stream:
        stream.write(b'"' + b"x" * (limits.LINE_BYTES + 5) + b'"\n')
    assert [found.type for found in read_exceptions(folder)] == ["ValueError"]


def test_a_file_that_a_user_named_may_be_a_link(tmp_path):
    """Frames and logs of a user may be links to files; what they lead to must be a regular file."""
    (tmp_path / "real").write_bytes(b"abc")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert values.read_bytes(tmp_path / "link", links=True) == b"abc"
    with pytest.raises(values.RecordError, match="found a link"):
        values.read_bytes(tmp_path / "link")
    _zeros(tmp_path / "zeros")
    with pytest.raises(values.RecordError, match="found a device"):
        values.read_bytes(tmp_path / "zeros", links=True)


def test_a_walk_keeps_a_part_of_a_folder_and_ends_at_its_limit(tmp_path, monkeypatch):
    """A folder comes in several parts, a caller may leave folders out, and links are not followed."""
    monkeypatch.setattr(extent, "BATCH", 3)
    for name in ("a", "b", "c/d"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(4):
            (tmp_path / name / f"{number}").touch()
    if os.name != "nt":
        (tmp_path / "a" / "link").symlink_to(tmp_path / "c", target_is_directory=True)
    files, links = [], []
    for parent, folders, names in extent.walk(tmp_path, 18):
        assert len(folders) + len(names) <= 3
        files += [Path(parent, name).relative_to(tmp_path).as_posix() for name in names]
        links += [name for name in folders if name == "link"]
        folders[:] = [name for name in folders if name != "b"]
    assert sorted(files) == [f"{place}/{number}" for place in ("a", "c/d") for number in range(4)]
    assert links == ["link"] * (os.name != "nt")
    with pytest.raises(BeyondError, match="expected at most 11 files and folders below "):
        list(extent.walk(tmp_path, 11))


def test_the_entries_of_a_record_are_counted_together(tmp_path, monkeypatch):
    """In its folders, whatever their names, and beside them."""
    (tmp_path / "outputs" / "a").mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "b").touch()
    monkeypatch.setattr(limits, "ENTRIES", 4)
    assert extent.record_beyond(tmp_path) == ""
    (tmp_path / "c").touch()
    assert extent.record_beyond(tmp_path) == "outputs/ has more than 4 files and folders, the limit of the harness"
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert extent.record_beyond(tmp_path) == "the record has more than 4 files and folders, the limit of the harness"
