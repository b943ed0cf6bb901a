"""One run, from an empty folder to a sealed record."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.record.reader import read_record
from harness.record.truth import Truth
from harness.record.written import Digest
from harness.run import finish, runner
from harness.run import measure as measure_module
from harness.run.inputs import InputError
from harness.run.runner import make_run
from harness.watch.guard import Ended
from tests.runs_ import CLINGING, command, hashes, living, seal_of

GOOD = """
hello()
event("PHASE_UPDATE", "3")
print("working", flush=True)
cache = outputs / ".zemosaic_img_cache"
cache.mkdir()
(cache / "preprocessed_a_0.npy").write_bytes(bytes(1000))
(cache / "hp_mask_a_0.npy").write_bytes(bytes(250))
(outputs / "master_tile_000.fits").write_bytes(bytes(300))
event("PROCESS_DONE")
"""


@pytest.fixture
def frames(tmp_path):
    """Return the folder of a user's frames."""
    return tmp_path / "frames à moi"


@pytest.fixture
def folder(tmp_path):
    """Return the folder of the record, which does not exist yet."""
    return tmp_path / "un été" / "record"


def test_a_good_run_leaves_a_sealed_record(frames, folder):
    """A target that ends with status 0 is sealed as done, with its events, samples and output, and no working files."""
    request = command(frames, GOOD)
    record = make_run(request, folder, frames)
    assert record.seal.state == "done"
    assert record.seal.exit_code == 0
    assert record.usable
    assert [event.key for event in record.history.events] == ["PHASE_UPDATE", "PROCESS_DONE"]
    assert record.request == request
    assert (folder / "console.log").read_bytes().split() == [b"working"]
    assert not (folder / "work").exists()
    assert {"console.log", "disk.jsonl", "left.jsonl", "process.jsonl", "request.json"} <= set(record.seal.files)


def test_what_the_frames_show_goes_into_the_record(frames, folder):
    """A known ground truth is written before the start and sealed; without one there is no such file."""
    truth = Truth(np.array([[10.0, 41.0, 5e3]]), 300.0, (1.0, 1.0, 1.0))
    code = GOOD + 'assert (record / "truth.json").exists()\n'
    record = make_run(command(frames, code), folder, frames, truth=truth)
    assert record.usable
    assert record.truth.stars.tolist() == truth.stars.tolist()
    assert "truth.json" in record.seal.files
    assert make_run(command(frames, GOOD), folder.with_name("other"), frames).truth is None


def test_what_is_left_is_counted_before_caches_are_removed(frames, folder):
    """Caches and masks are listed in left.jsonl with their size, and removed from the record; tiles stay."""
    record = make_run(command(frames, GOOD), folder, frames)
    assert {(Path(file.path).name, file.size, file.kind) for file in record.left} == {
        ("hp_mask_a_0.npy", 250, "mask"),
        ("master_tile_000.fits", 300, "tile"),
        ("preprocessed_a_0.npy", 1000, "cache"),
    }
    assert [path.name for path in (folder / "outputs").rglob("*") if path.is_file()] == ["master_tile_000.fits"]


def test_disk_and_processes_are_watched_to_the_end(frames, folder):
    """The first samples are from the start, the last ones from after the end, when no process is left."""
    watched = """
    while len((record / "process.jsonl").read_text().splitlines()) < 3:
        time.sleep(0.02)
    """
    history = make_run(command(frames, GOOD + textwrap.dedent(watched)), folder, frames).history
    last = {sample.folder: sample for sample in history.disk}
    assert last["outputs"].size == 1550
    assert (last["outputs/.zemosaic_img_cache"].size, last["outputs/.zemosaic_img_cache"].files) == (1250, 2)
    assert last["outputs"].free > 0
    assert max(sample.processes for sample in history.processes) >= 1
    assert history.processes[-1].processes == 0
    assert history.processes[-1].cpu > 0


def test_the_users_frames_are_copies_to_the_target(frames, folder):
    """A target that rewrites and removes its inputs leaves the user's frames unchanged."""
    script = """
    for path in sorted((record / "work" / "input").iterdir()):
        path.write_bytes(b"rewritten")
        path.unlink()
    hello(); event("PROCESS_DONE")
    """
    request = command(frames, script)
    before = hashes(frames)
    record = make_run(request, folder, frames)
    assert record.seal.state == "done"
    assert hashes(frames) == before


def test_a_changed_frame_is_refused(frames, folder):
    """A frame with another content than the request's starts no run and leaves no record."""
    request = command(frames, GOOD)
    (frames / "é 1.fits").write_bytes(b"other")
    with pytest.raises(InputError, match=r"Expected the frame é 1.fits with SHA-256 .* found .*read it again"):
        make_run(request, folder, frames)
    assert not folder.exists()


def test_a_folder_in_use_is_refused(frames, folder):
    """A folder that is not empty is refused and left unchanged."""
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="Expected a new or empty folder"):
        make_run(command(frames, GOOD), folder, frames)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_taken(frames, folder):
    """An existing empty folder is used."""
    folder.mkdir(parents=True)
    assert make_run(command(frames, GOOD), folder, frames).usable


def test_an_input_that_fails_leaves_an_empty_folder_empty(frames, folder):
    """Files made before a refused frame are removed; the given folder stays."""
    folder.mkdir(parents=True)
    request = command(frames, GOOD)
    (frames / "é 0.fits").write_bytes(b"other")
    with pytest.raises(InputError):
        make_run(request, folder, frames)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_tree_and_seals(frames, folder, number):
    """Ctrl-C, and SIGTERM, end every process of the tree, seal the record as killed, and go on as KeyboardInterrupt."""
    script = "hello()\n" + CLINGING + "event('READY')\ntime.sleep(60)"
    seen = []

    def interrupt(pid):
        seen.append(pid)
        while not any("READY" in path.read_text() for path in folder.glob("events-*")):
            time.sleep(0.02)
        seen.extend((folder / "outputs" / "pids").read_text().split())
        signal.raise_signal(number)

    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(KeyboardInterrupt):
        make_run(command(frames, script), folder, frames, on_start=interrupt, grace=0.2)
    assert len(seen) == 3
    assert living(seen) == []
    record = read_record(folder)
    assert record.seal.state == "killed"
    assert "stopped by the user" in record.seal.reason
    assert not record.damage
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_any_error_of_the_caller_ends_the_run(frames, folder):
    """An exception in the callback is raised again after all processes have ended and the record is sealed."""

    def fail(_pid):
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        make_run(command(frames, "hello(); time.sleep(60)"), folder, frames, on_start=fail, grace=0.2)
    assert seal_of(folder)["state"] == "killed"
    assert "LookupError: mine" in seal_of(folder)["reason"]


def test_an_interrupt_while_measuring_kills_the_record(frames, folder, monkeypatch):
    """Ctrl-C during the measuring seals the record as killed, without incomplete products."""

    def measure(record, _request, _origin):
        (record / "products.json").write_text("{}")
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(measure_module, "measure", measure)
    with pytest.raises(KeyboardInterrupt):
        make_run(command(frames, GOOD), folder, frames)
    record = read_record(folder)
    assert record.seal.state == "killed"
    assert record.products is None


def test_an_interrupt_while_sealing_waits(frames, folder, monkeypatch):
    """Ctrl-C during the sealing waits for the seal, which holds the true end of the run."""
    really = finish.seal

    def interrupted(*args, **more):
        signal.raise_signal(signal.SIGINT)
        really(*args, **more)

    monkeypatch.setattr(finish, "seal", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_run(command(frames, GOOD), folder, frames)
    assert read_record(folder).usable


def test_a_run_outside_the_main_thread(frames, folder):
    """A run may be made in any thread; there Python delivers no signals."""
    made = []
    thread = threading.Thread(target=lambda: made.append(make_run(command(frames, GOOD), folder, frames)))
    thread.start()
    thread.join()
    assert made[0].usable


def test_a_failure_to_measure_is_told(frames, folder, monkeypatch):
    """Products that can't be measured leave a sealed record that says so, with the traceback in console.log."""

    def measure(record, _request, _origin):
        (record / "products.json").write_text("half")
        raise RuntimeError("no such plane")

    monkeypatch.setattr(measure_module, "measure", measure)
    record = make_run(command(frames, GOOD), folder, frames)
    assert record.seal.state == "done"
    assert "RuntimeError: no such plane" in record.seal.reason
    assert record.products is None
    assert "Traceback" in (folder / "console.log").read_text(encoding="utf-8")


def test_a_failure_to_watch_is_told(frames, folder, monkeypatch):
    """A sampler that fails does not end the run; the seal reports it."""

    class Failing:
        def __init__(self, *_):
            pass

        def sample(self, *, last):
            raise RuntimeError(f"blind, last={last}")

    monkeypatch.setattr(finish, "DiskSampler", Failing)
    record = make_run(command(frames, GOOD), folder, frames)
    assert record.seal.state == "done"
    assert "the disk was not watched to the end (RuntimeError: blind, last=False)" in record.seal.reason


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="processes are killed by signal on POSIX only")
def test_a_controller_killed_at_once_leaves_no_process(frames, folder):
    """When the process that makes the run is killed, the target ends too, and the record stays unsealed."""
    request = command(frames, "hello()\n" + CLINGING + "event('READY')\ntime.sleep(60)")
    path = frames.parent / "asked.json"
    request.write(path)
    controller = f"""
import json
from pathlib import Path
from harness.record.request import Request
from harness.run.runner import make_run
from harness.watch.guard import Ended
request = Request.from_json(json.loads(Path({str(path)!r}).read_text(encoding="utf-8")))
make_run(request, Path({str(folder)!r}), Path({str(frames)!r}), on_start=lambda pid: print(pid, flush=True), grace=0.2)
"""
    root = Path(runner.__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, "-c", controller], stdout=subprocess.PIPE, env=env) as process:
        pids = [int(process.stdout.readline())]
        deadline = time.monotonic() + 20
        while not any("READY" in p.read_text() for p in folder.glob("events-*")) and time.monotonic() < deadline:
            time.sleep(0.02)
        pids += (folder / "outputs" / "pids").read_text().split()
        assert len(living(pids)) == 3
        process.kill()
    while living(pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert living(pids) == []
    assert not (folder / "seal.json").exists()
    assert read_record(folder).seal is None


def test_read_only_leftovers_are_removed(frames, folder):
    """Working folders and caches that the target made read-only are removed too."""
    script = """
    hello(); event("PROCESS_DONE")
    cache = outputs / ".zemosaic_img_cache"
    cache.mkdir()
    for place, name in ((cache, "preprocessed_a_0.npy"), (record / "work" / "tmp", "x")):
        (place / name).write_bytes(b"x")
        (place / name).chmod(0o400)
        place.chmod(0o500)
    """
    record = make_run(command(frames, script), folder, frames)
    assert record.seal.state == "done"
    assert not (folder / "work").exists()
    assert [path for path in (folder / "outputs").rglob("*") if path.is_file()] == []
    # The file in the working folder is listed too: a cache could have been moved there.
    assert [file.kind for file in record.left] == ["cache", "other"]


def test_what_remained_is_told():
    """The reason names processes that outlived the target or could not be ended, and dropped output."""
    end = runner._judge_end(
        Ended("ended", 0, strays=2, left=(11, 12), dropped=3, console=Digest().now()), None, 1.0, 60.0
    )
    assert end.state == "done"
    assert end.reasons == (
        "2 processes outlived the target and were ended.",
        "The processes 11, 12 could not be ended: end them by hand.",
        "3 bytes of output were left out of console.log.",
    )


def test_a_guard_ended_from_outside_kills_the_run():
    """Without the guard the target's end is unknown."""
    end = runner._judge_end(Ended("lost", None), None, 1.0, 60.0)
    assert (end.state, end.code) == ("killed", None)
    assert "guard process ended from outside: run it again" in end.reasons[0]
    assert end.reasons[1:] == ("console.log could not be compared with what was printed.",)


@pytest.mark.parametrize(("code", "text"), [(None, "None"), (3, "3"), (-9999, "an end by signal 9999")])
def test_codes_have_names(code, text):
    """An exit code is shown as it is, a signal by its name or number."""
    assert runner._named(code) == text


def test_the_seal_holds_every_file(frames, folder):
    """Outputs are sealed too; a later change is damage."""
    make_run(command(frames, GOOD), folder, frames)
    (folder / "outputs" / "master_tile_000.fits").write_bytes(b"changed")
    assert read_record(folder).damage == ("outputs/master_tile_000.fits: changed since the record was sealed",)


def test_samples_are_lines_of_json(frames, folder):
    """Every line of the samples is one complete JSON object, readable by other programs."""
    make_run(command(frames, GOOD), folder, frames)
    for name in ("disk.jsonl", "process.jsonl"):
        samples = [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines()]
        assert [sample["t"] for sample in samples] == sorted(sample["t"] for sample in samples)
        assert samples


def test_an_interrupt_that_python_lost_is_raised_again():
    """Python prints and drops an exception that a signal raises within a finaliser; the run raises it again."""
    from harness.run.runner import _Signals

    signals = _Signals()
    with signals.open():
        signals.insist()
        with contextlib.suppress(KeyboardInterrupt):
            signals._take(2, None)
        with pytest.raises(KeyboardInterrupt):
            signals.insist()
