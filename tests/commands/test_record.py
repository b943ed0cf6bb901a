"""Test ``phase3 record -- COMMAND`` on a stub with ZeMosaic's entry point."""

import json
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from harness.commands.main import main
from harness.field import case_file as cases
from harness.field.observe import NothingRecordedError, record_command
from harness.language.message import SaidError
from harness.record.reader import read_record
from harness.record.seal import seal
from harness.record.values import sha256_of
from tests.micro import frame
from tests.runs_ import hashes

STUB = Path(__file__).parents[1] / "stub_zemosaic"

# How the graphical interface starts a mosaic: in a process of its own, with a plan that its filter made.
WINDOW = """
import multiprocessing

if __name__ == "__main__":
    from zemosaic_worker import run_hierarchical_mosaic_process

    print("fenêtre ouverte", flush=True)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=run_hierarchical_mosaic_process, args=(queue,), kwargs=arguments("sortie é"))
    process.start()
    while queue.get()[0] != "PROCESS_DONE":
        pass
    process.join()
"""

# Two mosaics one after the other, in one process and in the calling thread.
TWICE = """
import queue
import zemosaic_worker

for output in ("a", "b"):
    zemosaic_worker.run_hierarchical_mosaic_process(queue.Queue(), **arguments(output))
"""

# In the middle of a mosaic, something happens.
IN_THE_MIDDLE = """
import os, sys, time
import zemosaic_worker


class Queue:
    def put(self, item):
        if str(item[0]).startswith("MASTER_TILE_COUNT_UPDATE:1"):
            print("in the middle", flush=True)
            {what}


zemosaic_worker.run_hierarchical_mosaic_process(Queue(), **arguments("sortie"))
"""

DIRECT = """
import zemosaic_worker

def report(key, *rest, **fields):
    if key.startswith("MASTER_TILE_COUNT_UPDATE:1"):
        raise RuntimeError("no more")

zemosaic_worker.run_hierarchical_mosaic(str(here / "mes images"), str(here / "sortie"), report)
"""


@pytest.fixture
def user(tmp_path):
    """Return a function that writes a user's script, next to frames and a copy of the stub that removes caches per tile."""
    home = tmp_path / "chez moi é"
    images = home / "mes images"
    images.mkdir(parents=True)
    for panel in range(3):
        for k in range(2):
            made = frame(panel, k)
            sky = np.random.default_rng(panel).normal(panel + 1, 0.1, (80, 100)).astype(np.float32)
            fits.writeto(images / made.name, sky, fits.Header(list(made.wcs.items())))
    shutil.copytree(STUB, home / "ze mosaïc", ignore=shutil.ignore_patterns("__pycache__"))
    config = home / "ze mosaïc" / "zemosaic_config.py"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace('"cache_retention": "run_end"', '"cache_retention": "per_tile"'), encoding="utf-8")

    def script(body):
        path = home / "lance moi.py"
        before = """
            import sys
            from pathlib import Path

            here = Path(__file__).parent
            sys.path.insert(0, str(here / "ze mosaïc"))


            def arguments(output, *more):
                names = lambda *panels: [str(here / "mes images" / f"p{x}_{k}.fits") for x in panels for k in range(2)]
                return dict(
                    input_dir=str(here / "mes images"), output_dir=str(here / output), num_base_workers=2,
                    filter_invoked=True, filter_overrides={"preplan_master_groups": [names(0, 1), names(1, 2), names(2), *more]},
                    filtered_header_items=[{"path": p} for p in [*names(0, 1, 2), *(p for group in more for p in group)]],
                )
        """
        path.write_text(textwrap.dedent(before) + body, encoding="utf-8")
        return [sys.executable, str(path)]

    return script


def record(argv, folder, seconds=60.0, echo=lambda _: None):
    """Record a command and return its records."""
    return record_command(argv, folder, seconds, echo)


def test_a_window_is_recorded_as_it_is(user, tmp_path, capsys):
    """The child process of the window is observed, the plan of its filter is recorded, and no file of the user changes."""
    argv = user(WINDOW)
    home = Path(argv[1]).parent
    before = {name: digest for name, digest in hashes(home).items() if "__pycache__" not in name.parts}
    assert main(["record", "--dir", str(tmp_path / "dossier é"), "--", *argv]) == 3
    out = capsys.readouterr().out
    assert out.startswith("fenêtre ouverte")
    assert "PASS            cache" in out
    assert "UNKNOWN         holes" in out  # nobody made a pair
    assert "phase3 case make" in out

    made = read_record(tmp_path / "dossier é" / "record-1")
    request = made.request
    assert made.usable
    assert (request.retention, request.workers, request.profile, request.mode) == ("per_tile", 2, "default", "classic")
    assert request.plan == tuple(
        tuple(f"p{x}_{k}.fits" for x in group for k in range(2)) for group in ((0, 1), (1, 2), (2,))
    )
    assert {f.name: f.sha256 for f in request.dataset.frames} == {
        path.name: sha256_of(path) for path in (home / "mes images").iterdir()
    }
    assert {f.panel for f in request.dataset.frames} == {0, 1, 2}
    assert request.target.kind == "zemosaic"
    assert set(request.target.identity) >= {"files", "versions"}
    assert made.history.capabilities >= {"callback", "tiles", "futures", "removals", "saves", "opens", "log"}
    assert made.history.settings["cache_retention"] == "per_tile"
    assert made.history.named("PROCESS_DONE")
    assert made.products.mosaic == "outputs/zemosaic_MT3_R6.fits"
    assert len(made.products.tiles) == 3
    assert {file.kind for file in made.left} == {"mosaic", "tile"}
    assert {sample.folder for sample in made.history.disk} == {"outputs", "outputs/.zemosaic_img_cache"}
    assert not list(made.folder.glob("outputs*"))
    assert not (made.folder / "work").exists()

    after = {name: digest for name, digest in hashes(home).items() if "__pycache__" not in name.parts}
    assert {name: after[name] for name in before} == before
    assert {name.parts[0] for name in set(after) - set(before)} == {"sortie é"}

    case = cases.make(made)
    assert case.plan == request.plan
    assert set(case.outputs) == {"zemosaic_MT3_R6.fits[PRIMARY]", "zemosaic_MT3_R6_coverage.fits[PRIMARY]"}
    assert str(home) not in json.dumps(case.to_json(), ensure_ascii=False)


def test_a_loss_is_found_in_ones_own_run(user, tmp_path, capsys, monkeypatch):
    """A version that removes caches too early fails with the cause, also without a pair."""
    monkeypatch.setenv("PHASE3_STUB", "naive")
    slow = "time.sleep(0.2)"  # so that the first tile's caches are gone before the second tile asks
    argv = user(
        IN_THE_MIDDLE.replace("{what}", slow).replace(
            'arguments("sortie")', '{**arguments("sortie"), "num_base_workers": 1}'
        )
    )
    assert main(["record", "--dir", str(tmp_path / "r"), "--", *argv]) == 1
    assert "FAIL            cache" in capsys.readouterr().out


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
    """An exception is recorded as a crash if the function is called directly, without the process's entry point."""
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
    assert made.products is None
    assert "only an earlier one" in made.seal.reason
    assert {Path(file.path).name for file in made.left} == {f"master_tile_00{n}.fits" for n in range(3)}


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

    def failing(*arguments):
        tries.append(arguments)
        if len(tries) == 1:
            raise OSError("no room")
        seal(*arguments)

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


@pytest.mark.parametrize(
    ("body", "status"),
    [
        pytest.param("import json", 2, id="no import"),
        pytest.param("import zemosaic_worker\nsys.exit(4)", 3, id="no mosaic"),
    ],
)
def test_a_command_without_a_mosaic_records_nothing(user, tmp_path, capsys, body, status):
    """A command without ZeMosaic is a usage error, one without a mosaic is unknown. Both give advice and leave no folder."""
    assert main(["record", "--dir", str(tmp_path / "r"), "--", *user(body)]) == status
    err = capsys.readouterr().err
    assert ("start one in its window" if status == 3 else "give the command that starts it from source") in err
    assert ("status 4" in err) is (status == 3)
    assert not (tmp_path / "r").exists()


def test_a_command_that_cannot_start_is_a_usage_error(tmp_path, capsys):
    """A program that does not exist is an error, and leaves no folder."""
    assert main(["record", "--dir", str(tmp_path / "r"), "--", str(tmp_path / "no program")]) == 2
    assert "could not be started" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


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
