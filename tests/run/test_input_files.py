"""Test the comparison of a run's input files with what they were before the run."""

import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from harness.checks.judge import judge
from harness.probe.foreign import _inputs
from harness.probe.frames import data_digest
from harness.record import limits, safe
from harness.record.comparison import Comparison
from harness.record.inputs import read_inputs, write_inputs
from harness.record.values import BeyondError, sha256_of
from harness.run.input_files import Given, Hashing, Noted, compared, noted, observed
from harness.run.runner import make_run
from harness.verdict import Outcome
from tests import micro
from tests.bounded import bounded
from tests.runs_ import command

BYTES = b"SIMPLE" + bytes(5000)


@pytest.fixture
def given(tmp_path):
    """Return a record with two frames in its input folder, and what the target was given."""
    folder = tmp_path / "record" / "work" / "input"
    folder.mkdir(parents=True)
    for place in ("outputs", "work/tmp"):
        (tmp_path / "record" / place).mkdir(parents=True)
    for name in ("Été 1.fits", "Été 2.fits"):
        (folder / name).write_bytes(BYTES + name.encode())
    return {p.name: Given(sha256_of(p), p.stat().st_size, solved=True) for p in sorted(folder.iterdir())}


def states(tmp_path, given):
    """Return the state of each file, by path."""
    return {file.path: file.state for file in compared(tmp_path / "record", given)}


def first(tmp_path):
    """Return the path of the first frame."""
    return tmp_path / "record" / "work" / "input" / "Été 1.fits"


def test_untouched_files_are_the_same(tmp_path, given):
    """Files with the same bytes are the same, with equal hashes, whatever their times are."""
    os.utime(first(tmp_path), (1, 1))
    files = compared(tmp_path / "record", given)
    assert [(f.path, f.state) for f in files] == [("Été 1.fits", "same"), ("Été 2.fits", "same")]
    assert all(f.before == f.after is not None for f in files)


def test_a_changed_pixel_with_its_time_set_back_is_seen(tmp_path, given):
    """One changed byte is seen, although size and time of the file are those of before."""
    path = first(tmp_path)
    before = path.stat()
    data = bytearray(path.read_bytes())
    data[-9] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert states(tmp_path, given) == {"Été 1.fits": "changed", "Été 2.fits": "same"}


def test_a_rewritten_header_is_seen(tmp_path, given):
    """A longer file is a changed file."""
    path = first(tmp_path)
    path.write_bytes(b"SOLVED" * 480 + path.read_bytes())
    assert states(tmp_path, given)["Été 1.fits"] == "changed"


def test_a_deleted_file_is_gone(tmp_path, given):
    """A file whose content is nowhere in the run's folders is gone."""
    first(tmp_path).unlink()
    assert states(tmp_path, given) == {"Été 1.fits": "gone", "Été 2.fits": "same"}


@pytest.mark.parametrize(
    "place", ["work/input/unaligned_by_zemosaic/x.fits", "work/input/new.fits", "outputs/x", "work/tmp/x"]
)
def test_a_moved_or_renamed_file_is_found_by_its_content(tmp_path, given, place):
    """A file with the same content below the input folder, in the outputs or in the temporary folder is the moved one."""
    to = tmp_path / "record" / place
    to.parent.mkdir(exist_ok=True)
    first(tmp_path).rename(to)
    files = compared(tmp_path / "record", given)
    assert [(f.path, f.state, f.to) for f in files] == [("Été 1.fits", "moved", place), ("Été 2.fits", "same", None)]


def test_a_file_that_the_target_adds_is_added(tmp_path, given):
    """A new file, and a copy of a frame that is still there, are additions."""
    shutil.copy(first(tmp_path), first(tmp_path).with_name("copy.fits"))
    assert states(tmp_path, given)["copy.fits"] == "added"


def test_without_its_input_folder_every_file_is_gone(tmp_path, given):
    """A target may remove the folder itself."""
    shutil.rmtree(first(tmp_path).parent)
    assert set(states(tmp_path, given).values()) == {"gone"}


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_frame_replaced_by_a_link_is_changed(tmp_path, given):
    """A link is not the frame, even if the file behind it has the same content."""
    first(tmp_path).rename(tmp_path / "behind")
    first(tmp_path).symlink_to(tmp_path / "behind")
    (file, _) = compared(tmp_path / "record", given)
    assert (file.state, file.after, file.link) == ("changed", None, str(tmp_path / "behind"))


# A user's own run


def note(folder):
    """Note a user's files as the probe does before a run."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return [
        Noted(p.relative_to(folder).as_posix(), (s := p.stat()).st_size, s.st_mtime_ns, s.st_ctime_ns, solved=False)
        for p in files
    ]


@pytest.fixture
def own(tmp_path):
    """Return a user's folder of frames."""
    folder = tmp_path / "mes images"
    folder.mkdir()
    for name in ("a.fits", "b.fits"):
        (folder / name).write_bytes(BYTES)
        os.utime(folder / name, (1000, 1000))
    return folder


def seen(folder, before):
    """Return state and new place of each file after the run."""
    return {f.path: (f.state, f.to) for f in observed(folder, folder / "output", before)}


def test_a_users_frames_are_compared_by_size_and_times(own):
    """Unchanged, written, moved to a subfolder, added; files of the output folder are no inputs."""
    before = note(own)
    assert seen(own, before) == {"a.fits": ("same", None), "b.fits": ("same", None)}
    (own / "a.fits").write_bytes(BYTES)
    (own / "unaligned_by_zemosaic").mkdir()
    (own / "b.fits").rename(own / "unaligned_by_zemosaic" / "b.fits")
    (own / "note.txt").write_text("x")
    (own / "output").mkdir()
    (own / "output" / "mosaic.fits").write_bytes(BYTES)
    assert seen(own, before) == {
        "a.fits": ("changed", None),
        "b.fits": ("moved", "unaligned_by_zemosaic/b.fits"),
        "note.txt": ("added", None),
    }
    (own / "a.fits").unlink()
    assert seen(own, before)["a.fits"] == ("gone", None)


@pytest.mark.skipif(sys.platform == "win32", reason="has no time of the last change of a file's metadata")
def test_a_users_frame_whose_time_was_set_back_is_touched(own):
    """The system's time of the last change can't be set back, so the file is not taken for unchanged."""
    before = note(own)
    (own / "a.fits").write_bytes(BYTES[::-1])
    os.utime(own / "a.fits", ns=(before[0].written, before[0].written))
    assert seen(own, before)["a.fits"] == ("touched", None)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_target_that_writes_through_a_link_changes_the_file_behind_it(own, tmp_path):
    """The frame is a link to a shared file; the record names that file."""
    (own / "a.fits").rename(tmp_path / "shared.fits")
    (own / "a.fits").symlink_to(tmp_path / "shared.fits")
    before = note(own)
    (own / "a.fits").write_bytes(b"other")
    (file, _) = observed(own, own / "output", before)
    assert (file.state, Path(file.link or "")) == ("changed", (tmp_path / "shared.fits").resolve())


def test_a_run_of_an_earlier_probe_has_no_notes():
    """Without the probe's notes nothing is compared."""
    assert noted(None) is None
    assert noted([["a", 1, 2, 3, None]]) == (Noted("a", 1, 2, 3, None),)


def unsolved(path):
    """Write a frame without a WCS."""
    fits.PrimaryHDU(np.full((8, 10), 7, np.uint16)).writeto(path, overwrite=True)


def note_unsolved(folder):
    """Note a user's frames as the probe does, with the digest of their data."""
    return noted([list(line) for line in _inputs(str(folder), str(folder / "output"))])


def solve(path):
    """Write a solution into a frame's header as ZeMosaic does; it needs a block more."""
    with fits.open(path, mode="update") as hdus:
        hdus[0].header.update(CRVAL1=10.0, CRVAL2=41.0, CD1_1=0.001, CD2_2=0.001)
        hdus[0].header["HISTORY"] = "solved " * 700


def test_a_users_unsolved_frame_that_gets_a_solution_has_equal_data(own):
    """The header grows, the data stay; also in a frame that was moved. The digests are read again from the record."""
    for name in ("a.fits", "b.fits"):
        unsolved(own / name)
    before = note_unsolved(own)
    assert [file.solved for file in before] == [False, False]
    solve(own / "a.fits")
    (own / "unaligned_by_zemosaic").mkdir()
    (own / "b.fits").rename(own / "unaligned_by_zemosaic" / "b.fits")
    files = observed(own, own / "output", before)
    assert [file.state for file in files] == ["changed", "moved"]
    assert all(file.data_before == file.data_after is not None for file in files)
    write_inputs(own, files)
    assert read_inputs(own, []) == files
    assert judge(Comparison(micro.counted().record(inputs=files)), ["inputs"])[0].outcome is Outcome.PASS


@pytest.mark.parametrize("damage", ["pixels", "zero point", "cut short", "no FITS", "moved and emptied"])
def test_a_users_unsolved_frame_whose_data_change_is_red(own, damage):
    """Another pixel, another meaning of the same numbers, and a file that can't be read are no solution."""
    for name in ("a.fits", "b.fits"):
        unsolved(own / name)
    before = note_unsolved(own)
    path = own / "a.fits"
    if damage == "pixels":
        solve(path)
        data = bytearray(path.read_bytes())
        data[-2880] ^= 1
        path.write_bytes(data)
    elif damage == "zero point":
        path.write_bytes(
            path.read_bytes().replace(b"BZERO   =                32768", b"BZERO   =                    0")
        )
    elif damage == "cut short":
        path.write_bytes(path.read_bytes()[:2890])
    elif damage == "no FITS":
        path.write_bytes(b"gone")
    else:
        (own / "aside").mkdir()
        path.unlink()
        (own / "aside" / "a.fits").write_bytes(b"")
    files = observed(own, own / "output", before)
    found = judge(Comparison(micro.counted().record(inputs=files)), ["inputs"])[0]
    assert (found.outcome, found.evidence["changed"]) == (Outcome.FAIL, ["a.fits"]), damage


def test_padding_that_a_program_left_out_is_no_data(own):
    """A frame without the padding of its last block gets it when astropy writes the header."""
    path = own / "a.fits"
    unsolved(path)
    path.write_bytes(path.read_bytes()[: 2880 + 160])
    before = data_digest(str(path))
    unsolved(path)
    assert data_digest(str(path)) == before is not None
    assert data_digest(str(own / "b.fits")) is None  # no end of the header


def test_a_copy_whose_header_changes_tells_of_its_data(tmp_path, given):
    """Where the digest of the data was given, it is compared in a run of the harness too."""
    unsolved(first(tmp_path))
    name, data = first(tmp_path).name, data_digest(str(first(tmp_path)))
    given[name] = Given(sha256_of(first(tmp_path)), first(tmp_path).stat().st_size, solved=False, data=data)
    solve(first(tmp_path))
    file = compared(tmp_path / "record", given)[0]
    assert (file.state, file.data_before == file.data_after) == ("changed", True)
    first(tmp_path).rename(tmp_path / "record" / "outputs" / "x.fits")
    assert compared(tmp_path / "record", given)[0].data_after is None


# In a whole run


def judged(tmp_path, script, **changes):
    """Run a target and return the record with the verdict of the check."""
    frames = tmp_path / "frames à moi"
    record = make_run(command(frames, script, **changes), tmp_path / "record", frames)
    return record, judge(Comparison(record), ["inputs"])[0]


LEAVES = """
hello(); event("PROCESS_DONE")
"""
DELETES = """
(record / "work" / "input" / "é 0.fits").unlink()
hello(); event("PROCESS_DONE")
"""
CRASHES = """
(record / "work" / "input" / "é 1.fits").write_bytes(b"x")
hello(); raise SystemExit(3)
"""
REWRITES = """
table = record / "work" / "input" / "stack_plan.csv"
table.write_text(table.read_text(encoding="utf-8") + "\\n", encoding="utf-8")
hello(); event("PROCESS_DONE")
"""


@pytest.mark.parametrize("mode", ["classic", "sds", "grid"])
def test_a_target_that_deletes_a_frame_is_red_in_every_mode(tmp_path, mode):
    """A target of its own command that deletes a frame is red; one that leaves its inputs is green."""
    _, found = judged(tmp_path / "good", LEAVES, mode=mode)
    assert found.outcome is Outcome.PASS, found.sentence.render()
    _, found = judged(tmp_path / "bad", DELETES, mode=mode)
    assert (found.outcome, found.evidence["gone"]) == (Outcome.FAIL, ["é 0.fits"])


def test_a_target_that_crashes_after_it_changed_a_frame_is_red(tmp_path):
    """The inputs are compared however the run ends."""
    record, found = judged(tmp_path, CRASHES)
    assert record.seal.state == "crashed"
    assert (found.outcome, found.evidence["changed"]) == (Outcome.FAIL, ["é 1.fits"])


def test_the_table_of_a_grid_run_is_an_input_too(tmp_path):
    """A target that rewrites the table of frames is red."""
    _, found = judged(tmp_path, REWRITES, mode="grid")
    assert (found.outcome, found.evidence["changed"]) == (Outcome.FAIL, ["stack_plan.csv"])


# What a target leaves to keep the harness busy


def holes(path, size):
    """Make a file of holes."""
    with path.open("wb") as stream:
        stream.truncate(size)
    if not hasattr(path.stat(), "st_blocks"):
        pytest.skip("this system does not count blocks")


def hashed(monkeypatch):
    """Return a list that gets the path of each file of a record that is hashed."""
    seen, really = [], safe.sha256
    monkeypatch.setattr(safe, "sha256", lambda record, path, *rest: seen.append(path) or really(record, path, *rest))
    return seen


def test_files_of_holes_in_the_input_folder_are_not_read(tmp_path, given, monkeypatch):
    """A file of holes costs a target nothing. It is named, and the comparison is not complete."""
    seen, hashing = hashed(monkeypatch), Hashing([5000])
    holes(first(tmp_path).with_name("h"), 2 * 10**9)
    compared(tmp_path / "record", given, hashing)
    assert hashing.beyond == ["work/input/h has 2 GB, of which less than 1 % is written: it was not hashed"]
    assert sorted(seen) == [f"work/input/{name}" for name in given]
    holes(first(tmp_path), 2 * 10**9)
    hashing = Hashing([5000])
    compared(tmp_path / "record", given, hashing)
    assert hashing.beyond[0].startswith("work/input/Été 1.fits has 2 GB, of which")


def test_files_that_may_be_moved_frames_are_hashed_once(tmp_path, given, monkeypatch):
    """Two lost frames are looked for in three files of their size. A file of another size is not read."""
    seen = hashed(monkeypatch)
    first(tmp_path).rename(tmp_path / "record" / "outputs" / "x")
    first(tmp_path).with_name("Été 2.fits").unlink()
    for place in ("outputs/y", "work/tmp/z"):
        (tmp_path / "record" / place).write_bytes(bytes(len((tmp_path / "record" / "outputs" / "x").read_bytes())))
    (tmp_path / "record" / "work" / "tmp" / "other").write_bytes(b"x")
    assert states(tmp_path, given) == {"Été 1.fits": "moved", "Été 2.fits": "gone"}
    assert sorted(seen) == ["outputs/x", "outputs/y", "work/tmp/z"]


@pytest.mark.parametrize("copies", [2, 20])
def test_hashing_after_a_run_has_a_budget_of_bytes(tmp_path, given, monkeypatch, copies):
    """Three times the bytes of the frames are hashed: enough for a target that moves them, not for one that fills its folders."""
    monkeypatch.setattr(limits, "SEARCHED_BYTES", 0)
    size = first(tmp_path).stat().st_size
    first(tmp_path).unlink()
    for number in range(copies):
        (tmp_path / "record" / "outputs" / str(number)).write_bytes(bytes(size))
    hashing = Hashing(file.size for file in given.values())
    found = compared(tmp_path / "record", given, hashing)
    if copies == 2:
        assert hashing.beyond == []
        assert [file.state for file in found] == ["gone", "same"]
    else:
        (why,) = hashing.beyond
        assert why.startswith("outputs/")
        assert why.endswith(" allowed: it was not hashed")


def test_hashing_after_a_run_has_a_limit_of_time(tmp_path, given):
    """What takes too long is not known."""
    hashing = Hashing([5000], seconds=-1)
    compared(tmp_path / "record", given, hashing)
    assert hashing.beyond == ["the time to compare the input files was over before they all were hashed"]


def test_too_many_files_in_the_input_folder_are_not_listed(tmp_path, given, monkeypatch):
    """The walk ends at the limit, over all folders together."""
    for folder in ("a", "b", "c"):
        first(tmp_path).with_name(folder).mkdir()
        for number in range(4):
            (first(tmp_path).with_name(folder) / str(number)).touch()
    monkeypatch.setattr(limits, "ENTRIES", 10)
    hashing = Hashing([5000])
    assert compared(tmp_path / "record", given, hashing) == ()
    assert hashing.beyond == ["work/input/ has more than 10 files, the limit of the harness"]


def _pipe(path):
    os.mkfifo(path)


def _zeros(path):
    path.symlink_to("/dev/zero")


REPLACED = {"pipe": _pipe, "endless device": _zeros}


def _observed(folder, before):
    return [(file.path, file.state, file.data_after) for file in observed(folder, folder / "output", before)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", REPLACED)
def test_a_users_frame_replaced_by_what_is_no_file_is_changed(own, kind):
    """Nothing waits for a pipe, or reads a device. The data of such a frame are not there."""
    for name in ("a.fits", "b.fits"):
        unsolved(own / name)
    before = note_unsolved(own)
    (own / "a.fits").unlink()
    REPLACED[kind](own / "a.fits")
    (own / "b.fits").unlink()
    (own / "aside").mkdir()
    REPLACED[kind](own / "aside" / "b.fits")
    answer = bounded(_observed, own, before)
    assert answer.error == ""
    assert answer.value == [("a.fits", "changed", None), ("b.fits", "moved", None)]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", REPLACED)
def test_a_pipe_among_a_users_frames_makes_the_probe_not_wait(own, kind):
    """The probe notes it before the run without opening it: the user's program goes on."""
    (own / "a.fits").unlink()
    REPLACED[kind](own / "a.fits")
    answer = bounded(note_unsolved, own)
    assert [(file.path, file.solved) for file in answer.value] == [("a.fits", None), ("b.fits", None)]


def test_a_users_frame_that_became_too_large_is_not_known(own, monkeypatch):
    """Nothing is concluded from data that were not hashed: a check would take them for changed."""
    for name in ("a.fits", "b.fits"):
        unsolved(own / name)
    before = note_unsolved(own)
    holes(own / "a.fits", 2 * 10**9)
    with pytest.raises(
        BeyondError, match=r"within the limits of the harness .*a\.fits has 2 GB, of which less than 1 %"
    ):
        observed(own, own / "output", before)
    unsolved(own / "a.fits")
    assert len(observed(own, own / "output", before)) == 2
    with pytest.raises(BeyondError, match="the time to compare the input files was over"):
        observed(own, own / "output", before, Hashing([0], seconds=-1))
    monkeypatch.setattr(limits, "ENTRIES", 1)
    with pytest.raises(BeyondError, match=r"expected at most 1 files and folders below .*, found more"):
        observed(own, own / "output", before)


MANY = """
for number in range(300):
    (record / "work" / "input" / str(number)).touch()
hello(); event("PROCESS_DONE")
"""


@pytest.mark.parametrize(("most", "outcome"), [(200, Outcome.UNKNOWN), (2_000, Outcome.PASS)])
def test_a_record_beyond_the_limits_is_not_compared(tmp_path, monkeypatch, most, outcome):
    """The record says so and has no list of input files. Within the limits it is compared as ever."""
    monkeypatch.setattr(limits, "ENTRIES", most)
    record, verdict = judged(tmp_path, MANY)
    assert verdict.outcome is outcome
    assert (record.inputs is None) is bool(record.beyond) is (outcome is Outcome.UNKNOWN)


HOLES = """
with open(record / "work" / "input" / "h", "wb") as stream:
    stream.truncate(8 * 10**9)
hello(); event("PROCESS_DONE")
"""


def test_a_target_that_leaves_holes_among_its_input_files(tmp_path):
    """The run ends at once, and nothing is concluded."""
    if not hasattr(tmp_path.stat(), "st_blocks"):
        pytest.skip("this system does not count blocks")
    start = time.monotonic()
    record, verdict = judged(tmp_path, HOLES)
    assert record.beyond == ("work/input/h has 8 GB, of which less than 1 % is written: it was not hashed",)
    assert verdict.outcome is Outcome.UNKNOWN
    assert time.monotonic() - start < 10
