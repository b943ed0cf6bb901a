"""Test how a user's own command is observed and its mosaics are recorded, here of a stub with ZeMosaic's entry point."""

import inspect
import os
import shutil
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from astropy.io import fits

from harness.analysis.made import taken_over
from harness.checks.judge import judge
from harness.field import reconstruct
from harness.field.observe import NothingRecordedError, PartlyRecordedError, record_command
from harness.language.message import SaidError
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.seal import seal
from harness.verdict import Outcome
from tests.hostile import facts, replace, users_folder
from tests.micro import frame
from tests.user_scripts import DIRECT, IN_THE_MIDDLE, TWICE, writer

# Put a card in the place of another in the frames and in the mosaic, at the end of a script.
SPOIL = """
for path in [*here.rglob("*.fits"), *here.rglob("*.fit")]:
    data = path.read_bytes()
    card = b"{card}".ljust(80)
    end = next(n for n in range(0, len(data), 80) if data[n : n + 8] == b"END     ")
    keys = [data[n : n + 8] for n in range(0, end, 80)]
    place = 80 * keys.index(card[:8]) if card[:8] in keys else end
    added = card if place < end else card + b"END".ljust(80)
    path.write_bytes(data[:place] + added + data[place + len(added) :])
"""


@pytest.fixture
def user(tmp_path):
    """Return a function that writes a user's script."""
    return writer(tmp_path / "chez moi é")


def record(argv, folder, seconds=60.0, echo=lambda _: None):
    """Record a command and return its records."""
    return record_command(argv, folder, seconds, echo)


def test_each_mosaic_of_a_process_has_its_own_record(user, tmp_path):
    """Two mosaics of one process have separate records, although both number their tiles from 0."""
    one, two = record(user(TWICE), tmp_path / "r")
    assert [r.folder.name for r in (one, two)] == ["record-1", "record-2"]
    for made in (one, two):
        assert made.usable
        assert [t.tile for t in made.history.tiles] == [0, 1, 2]
        assert all(t.made and t.collected for t in made.history.tiles)
        assert len(made.history.named("run_success_processing_completed")) == 1
    assert one.request.plan == two.request.plan


def test_a_mosaic_that_dies_is_recorded(user, tmp_path):
    """A process that dies during a mosaic leaves a record that says so."""
    (made,) = record(user(IN_THE_MIDDLE.replace("{what}", "os._exit(7)")), tmp_path / "r")
    assert (made.seal.state, made.seal.exit_code) == ("crashed", 7)
    assert "status 7" in made.seal.reason
    assert made.history.tiles


def test_an_entry_that_raises_is_a_crash(user, tmp_path):
    """An exception ends the run if the function is called directly, without the process's entry point."""
    (made,) = record(user(DIRECT), tmp_path / "r")
    assert made.seal.state == "crashed"
    assert "RuntimeError: no more" in made.seal.reason
    assert len(made.request.dataset.frames) == 6


def test_a_stopped_command_is_sealed_as_killed(user, tmp_path):
    """Ctrl-C ends the command with all its processes, and the record is sealed."""

    def stop(data):
        if b"in the middle" in data:
            raise KeyboardInterrupt

    (made,) = record(user(IN_THE_MIDDLE.replace("{what}", "time.sleep(60)")), tmp_path / "r", echo=stop)
    assert made.seal.state == "killed"
    assert "stopped by the user" in made.seal.reason


def test_the_time_limit_ends_a_command(user, tmp_path):
    """A mosaic that exceeds the time limit is sealed as timed out."""
    (made,) = record(user(IN_THE_MIDDLE.replace("{what}", "time.sleep(60)")), tmp_path / "r", seconds=5.0)
    assert made.seal.state == "timed out"


CANCELS = """
import signal


def cancel(number, frame):
    raise {error}


signal.signal(signal.SIGTERM, cancel)
"""
"""A program that ends its mosaic in good order when it is asked to end."""


@pytest.mark.skipif(sys.platform == "win32", reason="the test's program ends its mosaic on SIGTERM")
@pytest.mark.parametrize("error", ["InterruptedError('cancelled')", "SystemExit(0)", "KeyboardInterrupt"])
@pytest.mark.parametrize("process", ["queue", "pass"])
def test_a_command_that_ends_in_good_order_at_the_time_limit_is_timed_out(user, tmp_path, error, process):
    """The time limit of ``--seconds`` is no good end, even if the entry point returns or raises after it."""
    body = IN_THE_MIDDLE.replace("{what}", "time.sleep(60)")
    if process == "queue":  # like ZeMosaic's window, which waits for its worker and returns
        body = body.replace("zemosaic_worker.run_h", "try:\n    zemosaic_worker.run_h") + (
            "\nexcept BaseException:\n    pass\ntime.sleep(2)\n"
        )
    (made,) = record(user(CANCELS.replace("{error}", error) + body), tmp_path / "r", seconds=5.0)
    assert made.seal.state == "timed out"
    assert "--seconds" in made.seal.reason
    verdicts = judge(Comparison(made))
    assert {v.outcome for v in verdicts} <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}


def test_a_mosaic_before_the_time_limit_of_its_command_is_done(user, tmp_path):
    """A mosaic that ended well keeps its end if the command goes on to its time limit."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass") + "\ntime.sleep(60)\n")
    (made,) = record(argv, tmp_path / "r", seconds=8.0)
    assert made.seal.state == "done"


def test_an_exception_that_the_process_function_catches_is_a_crash(user, tmp_path):
    """ZeMosaic's process function reports an exception as PROCESS_ERROR and returns: the seal says crashed, and no log passes."""
    (made,) = record(user(IN_THE_MIDDLE.replace("{what}", "raise ValueError('no more')")), tmp_path / "r")
    assert made.history.named("PROCESS_ERROR")
    assert made.seal.state == "crashed"
    assert "no more" in made.seal.reason
    assert Outcome.PASS not in {v.outcome for v in judge(Comparison(made), ["logs", "fallback", "warnings"])}


def test_a_full_disk_is_no_crash_of_the_command(user, tmp_path, monkeypatch):
    """If the disk of the records is full, the probe can't write the end; the seal names the disk, and no check fails."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "os._exit(0)"))
    monkeypatch.setattr("harness.field.observe.shutil.disk_usage", lambda _: Mock(free=10))
    (made,) = record(argv, tmp_path / "r")
    assert made.seal.state == "killed"
    assert "disk" in made.seal.reason
    assert not (tmp_path / "r" / "reserve").exists()


def test_no_room_for_the_records_is_refused_before_the_command_starts(user, tmp_path, monkeypatch):
    """A full disk is an error with advice, and the command is not started."""
    argv = user("(here / 'started').mkdir()")
    monkeypatch.setattr("harness.record.whole.os.write", Mock(side_effect=OSError(28, "No space left on device")))
    with pytest.raises(SaidError, match="name another folder with --dir"):
        record(argv, tmp_path / "r")
    assert not (Path(argv[1]).parent / "started").exists()
    assert not (tmp_path / "r").exists()


def test_what_lay_there_before_is_not_of_the_run(user, tmp_path, monkeypatch):
    """Earlier files in the output folder are not measured, and not counted as left behind."""
    monkeypatch.setenv("PHASE3_STUB", "no mosaic")
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass"))
    output = Path(argv[1]).parent / "sortie"
    (output / "tiles of old").mkdir(parents=True)
    header = fits.Header(list(frame(0).wcs.items()))
    fits.writeto(output / "zemosaic_MT9_R9.fits", np.ones((80, 100), np.float32), header)
    fits.writeto(output / "tiles of old" / "master_tile_099.fits", np.ones((8, 8), np.float32))
    (made,) = record(argv, tmp_path / "r")
    assert made.products.mosaic is None
    assert len(made.products.tiles) == 3
    assert "only an earlier one" in made.seal.reason
    assert {Path(file.path).name for file in made.left} == {f"master_tile_00{n}.fits" for n in range(3)}


def test_a_mosaic_of_the_run_beside_older_ones_is_its_own(user, tmp_path):
    """Products of earlier runs and other modes in the folder are named and not judged, also if their names rank first."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass"))
    output = Path(argv[1]).parent / "sortie"
    output.mkdir()
    header = fits.Header(list(frame(0).wcs.items()))
    for name in (
        "zemosaic_MT3_R6_science",
        "zemosaic_MT0_R6",
        "mosaic_grid",
        "zemosaic_MT9_R9",
        "zemosaic_MT3_R6_coverage",
    ):
        fits.writeto(output / f"{name}.fits", np.zeros((8, 8), np.float32), header)
        os.utime(output / f"{name}.fits", (2e9, 2e9))  # in the future: a wrong clock must not make them the newest
    (output / "zemosaic_MT3_R6_coverage.fits").unlink()
    (made,) = record(argv, tmp_path / "r")
    assert made.products.mosaic == "outputs/zemosaic_MT3_R6.fits"
    assert made.products.covered.shape == (80, 300)
    assert {plane.file for plane in made.products.planes} == {
        "outputs/zemosaic_MT3_R6.fits",
        "outputs/zemosaic_MT3_R6_coverage.fits",
    }
    assert made.request.mode == "classic"
    assert made.seal.state == "done"
    assert "Products of earlier runs in the output folder were left out: mosaic_grid.fits" in made.seal.reason
    assert "zemosaic_MT9_R9.fits" not in {Path(file.path).name for file in made.left}


def test_a_file_that_was_moved_aside_is_still_of_the_earlier_run(user, tmp_path):
    """A run that renames the folder of an earlier run's caches did not leave those caches itself."""
    argv = user(IN_THE_MIDDLE.replace("{what}", 'os.rename(here / "sortie" / "vieux", here / "sortie" / "vieux.old")'))
    old = Path(argv[1]).parent / "sortie" / "vieux"
    old.mkdir(parents=True)
    (old / "preprocessed_p0_0_1.npy").write_bytes(b"x" * 321)
    (made,) = record(argv, tmp_path / "r")
    assert made.seal.state == "done"
    assert not [file for file in made.left if "vieux" in file.path]


def test_a_tile_that_was_taken_over_is_named_and_not_made(user, tmp_path, monkeypatch):
    """A second run in the same folder re-uses a tile: it is known as the earlier run's, the others as the run's own."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass"))
    record(argv, tmp_path / "first")
    output = Path(argv[1]).parent / "sortie"
    for tile in (0, 2):
        (output / "zemosaic_temp_master_tiles" / f"master_tile_00{tile}.fits").unlink()
    for path in output.glob("*.fits"):
        path.unlink()
    monkeypatch.setenv("PHASE3_STUB", "resume")
    (made,) = record(argv, tmp_path / "second")
    assert [t.tile for t in made.history.tiles] == [0, 2]
    assert {tile.tile: tile.earlier for tile in made.products.tiles} == {0: False, 1: True, 2: False}
    assert taken_over(made.history).tile_ids == (1,)
    found = {v.check: v for v in judge(Comparison(made))}
    assert Outcome.PASS not in {v.outcome for v in found.values()}
    assert "Tile 1 was taken over from an earlier run." in [m.render() for m in found["tiles"].cause]


def test_the_targets_own_mosaic_among_the_frames_is_no_frame(user, tmp_path):
    """A mosaic of ZeMosaic in the input folder is named, and left out of the frames; a frame may be called mosaic."""
    argv = user(DIRECT)
    images = Path(argv[1]).parent / "mes images"
    shutil.copy(images / "p0_0.fits", images / "mosaic_1.fits")
    header = fits.getheader(images / "p0_0.fits")
    fits.writeto(images / "zemosaic_MT1_R2.fits", np.ones((80, 100), np.float32), header)
    header["SOFTWARE"] = "ZeMosaic v4.1.0"
    fits.writeto(images / "my result.fits", np.ones((80, 100), np.float32), header)
    (made,) = record(argv, tmp_path / "r")
    names = {f.name for f in made.request.dataset.frames}
    assert len(names) == 7
    assert "mosaic_1.fits" in names
    assert "among the frames were left out: my result.fits, zemosaic_MT1_R2.fits" in made.seal.reason


def test_frames_of_one_name_lose_evidence(user, tmp_path):
    """Frames are identified by name: if two folders have a frame of the same name, the record says that evidence is lost."""
    more = 'arguments("sortie", [str(here / "autres" / "p0_0.fits")])'
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass").replace('arguments("sortie")', more))
    home = Path(argv[1]).parent
    (home / "autres").mkdir()
    shutil.copy(home / "mes images" / "p0_0.fits", home / "autres")
    (made,) = record(argv, tmp_path / "r")
    assert made.history.lost == 1
    assert "several folders" in made.seal.reason


def test_frames_of_one_name_lose_evidence_without_tiles_too(user, tmp_path, monkeypatch):
    """Subfolders are read too: if two frames have one name and no tile tells which was used, evidence is lost."""
    monkeypatch.setenv("PHASE3_STUB", "no tiles")
    argv = user(DIRECT)
    images = Path(argv[1]).parent / "mes images"
    for name, frame_name in (("nuit 2", "p0_0.fits"), ("unaligned_by_zemosaic", "p0_1.fits")):
        (images / name).mkdir()
        shutil.copy(images / frame_name, images / name)
    (made,) = record(argv, tmp_path / "r")
    assert "several folders: p0_0.fits: rename" in made.seal.reason
    assert len(made.request.dataset.frames) == 6


def test_a_record_that_fails_ends_nobodys_program(user, tmp_path, monkeypatch):
    """An error while a mosaic is sealed leaves the program alone, and the record is sealed after the program's end."""
    tries = []

    def failing(*arguments, **more):
        tries.append(arguments)
        if len(tries) == 1:
            raise OSError("no room")
        seal(*arguments, **more)

    monkeypatch.setattr("harness.field.observe.SETTLE_SECONDS", 0.0)
    monkeypatch.setattr("harness.run.finish.seal", failing)
    more = "\nimport time\ntime.sleep(3)\n(here / 'the end').touch()\n"
    argv = user(IN_THE_MIDDLE.replace("{what}", "pass") + more)
    (made,) = record(argv, tmp_path / "r")
    assert (Path(argv[1]).parent / "the end").exists()
    assert len(tries) == 2
    assert made.usable
    assert (made.seal.state, made.seal.reason) == ("done", "")
    assert made.products.mosaic == "outputs/zemosaic_MT3_R6.fits"
    assert not list(made.folder.glob("outputs*"))


@pytest.mark.parametrize("card", ["OBJECT  = Field 7 east", "RADESYS = 'a"])
def test_a_card_that_nobody_needs_loses_no_finished_recording(user, tmp_path, card):
    """A frame and a mosaic with a card that astropy can't parse are recorded, measured and judged."""
    argv = user(TWICE.replace('("a", "b")', '("a",)') + SPOIL.replace("{card}", card))
    (made,) = record(argv, tmp_path / "r")
    assert made.usable
    assert "could not be" not in made.seal.reason
    assert len(made.request.dataset.frames) == 6
    assert made.products.mosaic == "outputs/zemosaic_MT3_R6.fits"
    assert all("exception" not in verdict.evidence for verdict in judge(Comparison(made)))


@pytest.mark.parametrize(
    "step",
    ["_frames", "_request", "read_notes", "_plan", "_tabled", "_measured", "_known_sky", "_as_reported", "read_record"],
)
def test_a_step_that_fails_after_the_end_loses_no_finished_recording(user, tmp_path, monkeypatch, step):
    """The record is sealed with the reason, whichever part of it can't be read; only the last reading is an error."""

    def broken(*_, **__):
        raise AssertionError("a defect of a library")

    monkeypatch.setattr(f"harness.field.reconstruct.{step}", broken)
    if step == "read_record":
        with pytest.raises(SaidError, match="phase3 judge"):
            record(user(IN_THE_MIDDLE.replace("{what}", "pass")), tmp_path / "r")
        made = read_record(tmp_path / "r" / "record-1")
    else:
        (made,) = record(user(IN_THE_MIDDLE.replace("{what}", "pass")), tmp_path / "r")
    assert made.seal.state == "done"
    assert "a defect of a library" in made.seal.reason
    assert made.history.events
    assert not made.damage
    assert not (made.folder / "outputs").is_symlink()


def test_ctrl_c_while_a_finished_run_is_measured_loses_nothing(user, tmp_path, monkeypatch):
    """The record is sealed before the interruption goes on."""
    monkeypatch.setattr("harness.field.reconstruct._measured", Mock(side_effect=KeyboardInterrupt))
    monkeypatch.setattr("harness.field.observe.SETTLE_SECONDS", 60.0)
    with pytest.raises(KeyboardInterrupt):
        record(user(IN_THE_MIDDLE.replace("{what}", "pass")), tmp_path / "r")
    made = read_record(tmp_path / "r" / "record-1")
    assert made.seal.state == "done"
    assert not made.damage


@pytest.mark.parametrize("name", ["run.json", "end.json", "notes.jsonl"])
def test_forged_notes_of_the_probe_end_nobodys_program(user, tmp_path, name):
    """The user's program may write into its record: it runs to its end, and the record is sealed."""
    forge = f"[path.write_text('[1') for path in Path(os.environ['PHASE3_RECORD'], 'work').glob('{name}')]"
    more = "\n(here / 'the end').touch()\n"
    late = (
        f"\nfor path in Path(os.environ['PHASE3_FOREIGN']).glob('record-*/work/{name}'):\n    path.write_text('[1')\n"
    )
    argv = user("import os\nfrom pathlib import Path\n" + IN_THE_MIDDLE.replace("{what}", forge) + late + more)
    (made,) = record(argv, tmp_path / "r")
    assert (Path(argv[1]).parent / "the end").exists()
    assert made.seal is not None
    assert not made.damage


def test_a_record_that_can_not_be_sealed_keeps_no_other_from_it(user, tmp_path, monkeypatch):
    """The disk is full for the first record: the second is sealed, and the error names the first and how to read it."""

    def failing(folder, *arguments, **more):
        if folder.name == "record-1":
            raise OSError(28, "No space left on device")
        seal(folder, *arguments, **more)

    monkeypatch.setattr("harness.run.finish.seal", failing)
    with pytest.raises(PartlyRecordedError, match="record-1") as raised:
        record(user(TWICE), tmp_path / "r")
    assert [made.folder.name for made in raised.value.records] == ["record-2"]
    assert raised.value.records[0].usable
    assert list((tmp_path / "r" / "record-1").glob("events-*.jsonl"))


def test_records_go_to_a_new_folder(user, tmp_path):
    """A folder in use is refused before the command starts."""
    argv = user("(here / 'started').mkdir()")
    with pytest.raises(SaidError, match="name another"):
        record(argv, tmp_path)
    assert not (Path(argv[1]).parent / "started").exists()


def test_a_launcher_may_end_before_what_it_started(user, tmp_path):
    """The command counts as ended when all its processes have ended."""
    argv = user(IN_THE_MIDDLE.replace("{what}", "time.sleep(2.0)"))
    launcher = tmp_path / "launch.py"
    launcher.write_text(f"import subprocess\nsubprocess.Popen({argv!r}, start_new_session=True)\n", encoding="utf-8")
    (made,) = record([sys.executable, str(launcher)], tmp_path / "r")
    assert made.seal.state == "done"


def test_a_process_without_zemosaic_is_left_alone(user, tmp_path):
    """In a process that does not import the worker, no module of the probe is loaded and nothing is wrapped."""
    body = """
import os, shutil
seen = [name for name in sys.modules if "phase3_probe" in name]
(here / "seen").write_text(f"{seen} {type(os.unlink).__name__} {shutil.rmtree.__module__}")
"""
    argv = user(body)
    with pytest.raises(NothingRecordedError):
        record(argv, tmp_path / "r")
    assert (Path(argv[1]).parent / "seen").read_text() == "[] builtin_function_or_method shutil"


HOSTILE = """
import os, queue, shutil, threading, time
from pathlib import Path

import zemosaic_worker

user = Path({user!r})
{replace}

def attack():
    record = Path(os.environ["PHASE3_FOREIGN"]) / "record-1"
    while not (record / "outputs").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    for name in {names!r}:
        replace(record / name, {kind!r}, user)
    replace(record.parent / "console.log", {kind!r}, user)
    replace(record.parent / "record-2", {kind!r}, user)


attacker = threading.Thread(target=attack)
attacker.start()
zemosaic_worker.run_hierarchical_mosaic_process(queue.Queue(), **arguments("sortie"))
attacker.join()
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="links without privileges and pipes exist on POSIX only")
@pytest.mark.parametrize("kind", ["link to a folder", "hard link"])
def test_a_program_that_replaces_parts_of_its_record(user, tmp_path, kind):
    """A program replaces what the harness writes at the end: the files behind it stay, and the record passes nothing."""
    mine = users_folder(tmp_path / "mine")
    (mine / "work").mkdir()
    (mine / "work" / "run.json").write_text("{}")
    before = facts(mine)
    names = (
        "request.json",
        "console.log",
        "left.jsonl",
        "inputs.jsonl.part",
        "products.npz",
        "seal.json.part",
        "disk.jsonl",
    )
    replaced = inspect.getsource(replace)
    (made,) = record(user(HOSTILE.format(user=str(mine), replace=replaced, names=names, kind=kind)), tmp_path / "r")
    assert facts(mine) == before
    assert {line.partition(":")[0] for line in made.seal.tampered} == set(names)
    assert not made.usable
    assert Outcome.PASS not in {verdict.outcome for verdict in judge(Comparison(made))}


PRINTS = """
import os, time
from pathlib import Path

print("phase3 probe: before the first", flush=True)
{TWICE}
time.sleep(4.0)  # the records are sealed while the command goes on
print("after both", flush=True)
"""


def test_what_a_command_prints_is_in_each_record_until_its_sealing(user, tmp_path):
    """A record that is sealed while the command goes on has the output until then, as the guard wrote it."""
    made = record(user(PRINTS.replace("{TWICE}", TWICE)), tmp_path / "r")
    for one in made:
        assert one.usable
        assert "could not be compared" not in one.seal.reason
        assert (one.folder / "console.log").read_text().startswith("phase3 probe: before the first\n")
    assert "after both" not in (made[0].folder / "console.log").read_text()
    assert (tmp_path / "r" / "console.log").read_text().endswith("after both\n")


@pytest.mark.parametrize("goes_on", [False, True])
def test_output_that_a_command_wrote_over_in_place(user, tmp_path, goes_on):
    """A command that rewrites its printed output is found, also in a record that is sealed while it goes on."""
    forges = '(Path(os.environ["PHASE3_FOREIGN"]) / "console.log").write_bytes(b"all is well\\n")'
    script = PRINTS.replace("{TWICE}", f"{forges}{TWICE}").replace("4.0", "4.0" if goes_on else "0.0")
    for made in record(user(script), tmp_path / "r"):
        assert made.seal.tampered == ("console.log: other content than the harness wrote",)
        assert not made.usable


def test_output_of_a_lost_guard_is_not_compared(user, tmp_path, monkeypatch):
    """If the guard does not say what was printed, the record says that this is not known."""
    monkeypatch.setattr("harness.watch.guard.Guard.console", lambda _self: None)
    (tmp_path / "r").mkdir()
    one, _ = record(user(PRINTS.replace("{TWICE}", TWICE)), tmp_path / "r" / "s")
    assert "console.log could not be compared with what was printed." in one.seal.reason
    assert (one.folder / "console.log").exists()


PIPED = """
import os
import queue
import zemosaic_worker

frame = here / "mes images" / "sans solution" / "u.fits"
frame.parent.mkdir()
cards = ("SIMPLE  = T", "BITPIX  = 8", "NAXIS   = 1", "NAXIS1  = 4", "END")
frame.write_bytes("".join(card.ljust(80) for card in cards).ljust(2880).encode() + bytes(2880))
zemosaic_worker.run_hierarchical_mosaic_process(queue.Queue(), **arguments("sortie"))
frame.unlink()
os.mkfifo(frame)
"""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_frame_makes_nothing_wait(user, tmp_path):
    """Its data were hashed before the run; after it there are none. The record is sealed, and its frame is changed."""
    (made,) = record(user(PIPED), tmp_path / "r")
    assert made.seal.state == "done"
    (file,) = [file for file in made.inputs if file.path == "sans solution/u.fits"]
    assert file.data_before is not None
    assert (file.state, file.data_after) == ("changed", None)


def test_a_program_whose_input_folder_is_too_large_is_recorded(user, tmp_path, monkeypatch):
    """The folders after the run are not walked to their end. The seal says so, and nothing is concluded."""
    monkeypatch.setattr(reconstruct.limits, "ENTRIES", 4)
    (made,) = record(user(TWICE.replace('("a", "b")', '("a",)')), tmp_path / "r")
    assert (
        "The list of the input files could not be read or written: BeyondError: expected at most 4 files"
        in made.seal.reason
    )
    assert made.inputs is None
    verdicts = {verdict.check: verdict.outcome for verdict in judge(Comparison(made))}
    assert verdicts["inputs"] is Outcome.UNKNOWN
