"""Bad input: an error that says what to do, a readable record of the right state, and unchanged files of the user."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.record.reader import read_record
from harness.record.request import TargetFacts
from harness.record.values import RecordError
from harness.run import runner
from harness.run.inputs import InputError
from harness.run.runner import make_run
from tests.runs_ import CLINGING, command, hashes, living, seal_of

POSIX = pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")


@pytest.fixture
def frames(tmp_path):
    """Return the folder of a user's frames."""
    return tmp_path / "mes images"


@pytest.fixture
def folder(tmp_path):
    """Return the folder of the record."""
    return tmp_path / "session" / "record"


@pytest.fixture
def make(frames, folder):
    """Return a function that makes a run of a script, and asserts that the user's frames stay unchanged."""

    def made(script, **changes):
        request = command(frames, script, **changes)
        before = hashes(frames)
        try:
            return make_run(request, folder, frames, grace=0.2)
        finally:
            assert hashes(frames) == before
            assert not (folder / "work").exists()

    return made


def test_no_frames(frames, folder):
    """A dataset without frames starts nothing and leaves no record."""
    request = command(frames, "")
    request = replace(request, dataset=replace(request.dataset, frames=()))
    with pytest.raises(InputError, match=r"Expected frames in the dataset tiny .* found no frame: put FITS lights"):
        make_run(request, folder, frames)
    assert not folder.exists()


def test_a_plan_that_names_an_absent_frame(make, folder):
    """A plan with a missing frame starts nothing and leaves no record."""
    with pytest.raises(InputError, match=r"Expected the plan to name frames of tiny, found absent.fits for tile 1"):
        make("", plan=(("é 0.fits",), ("absent.fits",)))
    assert not folder.exists()


def test_a_target_that_is_not_there(make):
    """A missing program is a run that crashed at once; the reason says what to do."""
    target = TargetFacts("command", "absent", "", "", {}, ("/no/such/program",))
    record = make("", target=target)
    assert (record.seal.state, record.seal.exit_code) == ("crashed", None)
    assert "expected to start '/no/such/program'" in record.seal.reason
    assert "name a program that exists" in record.seal.reason
    assert not record.usable


def test_an_interpreter_that_is_not_there(make):
    """A checkout with a missing interpreter is a run that crashed at once; the reason names it."""
    target = TargetFacts("zemosaic", "zemosaic", "/no/such/checkout", "/no/such/python")
    record = make("", target=target)
    assert record.seal.state == "crashed"
    assert record.seal.reason.startswith("The target could not be started: ")
    assert "/no/such/python" in record.seal.reason


def test_an_empty_command(make):
    """A command without words is a run that crashed at once."""
    record = make("", target=TargetFacts("command", "nothing", "", "", {}, ()))
    assert record.seal.state == "crashed"
    assert "could not be started" in record.seal.reason


def test_exits_at_once(make):
    """The reason of a target that fails before its first event quotes its last output."""
    record = make("print('no module named numpy'); sys.exit(2)")
    assert (record.seal.state, record.seal.exit_code) == ("crashed", 2)
    assert record.seal.reason == (
        "Expected exit status 0, found 2; it printed last: no module named numpy: read console.log and the last events."
    )
    assert record.history.events == ()


def test_exits_at_once_in_silence(make):
    """The reason of a target without output says that it printed nothing."""
    assert "it printed nothing" in make("sys.exit(2)").seal.reason


@POSIX
def test_dies_by_a_signal(make):
    """The reason of a target that a signal ends names the signal."""
    record = make("os.kill(os.getpid(), signal.SIGSEGV)")
    assert (record.seal.state, record.seal.exit_code) == ("crashed", -11)
    assert "an end by SIGSEGV" in record.seal.reason


def test_hangs(make, folder):
    """A hanging target is ended at its time limit, with a grandchild that ignores SIGTERM in a session of its own."""
    record = make("hello(); event('PHASE_UPDATE', '3')\n" + CLINGING + "print('waiting'); time.sleep(60)", seconds=1.0)
    assert (record.seal.state, record.seal.exit_code) == ("timed out", None)
    assert "within 1 s" in record.seal.reason
    assert "allow it more time" in record.seal.reason
    pids = (folder / "outputs" / "pids").read_text().split()
    assert len(pids) == 2
    assert living(pids) == []
    assert [event.key for event in record.history.events] == ["PHASE_UPDATE"]
    assert not record.damage


def test_prints_binary(make, folder):
    """Binary output is kept unchanged, and quoted in the reason without control characters."""
    record = make("sys.stdout.buffer.write(bytes(range(256)) + b'\\nthe end'); sys.exit(1)")
    assert bytes(range(256)) in (folder / "console.log").read_bytes()
    assert record.seal.reason.isprintable()
    assert "the end" in record.seal.reason


def test_ends_well_without_a_word(make):
    """A target with status 0 and no event is done; the reason names what is missing and what to do."""
    record = make("print('nothing to do')")
    assert record.seal.state == "done"
    assert (
        "Expected progress events, found no events-*.jsonl with entries although it ended with status 0"
        in record.seal.reason
    )
    assert "nothing to do" in record.seal.reason
    assert "docs/protocol.md" in record.seal.reason


def test_ends_well_without_a_mosaic(make):
    """A target with status 0 and no mosaic is done, with products without a mosaic; the reason says so."""
    record = make("hello(); event('PROCESS_DONE')")
    assert record.seal.state == "done"
    assert record.products.mosaic is None
    assert "Expected a mosaic in outputs, found no file" in record.seal.reason


def test_a_mosaic_that_is_none(make):
    """A file with the name of a mosaic that is not FITS is reported, and the record is sealed."""
    record = make("hello(); event('PROCESS_DONE'); (outputs / 'zemosaic_MT4_R8.fits').write_bytes(b'not FITS' * 1000)")
    assert record.seal.state == "done"
    assert record.products is None
    assert "Expected products that can be measured" in record.seal.reason


def test_a_torn_last_line(make):
    """An incomplete last line is reported, and everything before it is read."""
    record = make("hello(); event('PHASE_UPDATE', '3'); events.open('a').write('{\"t\": 12'); sys.exit(1)")
    assert [event.key for event in record.history.events] == ["PHASE_UPDATE"]
    assert len(record.history.torn) == 1
    assert record.history.torn[0].endswith("line 3")


def test_a_record_of_a_newer_format(make, folder):
    """Events of a newer format are refused by name; the record is sealed nevertheless."""
    with pytest.raises(
        RecordError, match=r"expected format 'phase3-events/1' .* found 'phase3-events/9'.* harness that wrote it"
    ):
        make("hello('phase3-events/9'); event('PROCESS_DONE')")
    assert seal_of(folder)["state"] == "done"


@pytest.mark.parametrize("name", ["request.json", "seal.json"])
def test_a_newer_request_or_seal(make, folder, name):
    """A request or a seal of a newer format is refused; the message says what to do."""
    make("hello(); event('PROCESS_DONE')")
    path = folder / name
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**data, "format": data["format"][:-1] + "9"}), encoding="utf-8")
    with pytest.raises(RecordError, match=r"expected .*/1'.* found .*/9'.*the harness that wrote it"):
        read_record(folder)


GOOD = "hello(); event('PROCESS_DONE'); print('x'); (outputs / 'master_tile_000.fits').write_bytes(b'x' * 100)"
SEALED = ("console.log", "disk.jsonl", "left.jsonl", "process.jsonl", "products.npz", "outputs/master_tile_000.fits")


@pytest.fixture(scope="module")
def sealed(tmp_path_factory):
    """Return a sealed record, to be copied before it is changed."""
    root = tmp_path_factory.mktemp("sealed")
    record = make_run(command(root / "frames", GOOD), root / "record", root / "frames")
    assert record.usable
    return root / "record"


@pytest.mark.parametrize("name", SEALED)
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_a_tampered_record(sealed, folder, name, how):
    """A file that was changed or removed after the seal is named, and the record is no longer usable as evidence."""
    shutil.copytree(sealed, folder)
    if how == "missing":
        (folder / name).unlink()
    else:
        with (folder / name).open("r+b") as stream:
            first = stream.read(1)
            stream.seek(0)
            stream.write(bytes([first[0] ^ 1]))
    try:
        record = read_record(folder)
    except RecordError as error:
        assert "measure the run again" in str(error)  # noqa: PT017 -- products that can't be read at all say so instead
        assert name == "products.npz"
    else:
        assert any(line.startswith(f"{name}: ") for line in record.damage)
        assert not record.usable


def test_a_record_with_a_file_added(sealed, folder):
    """An event file that was added after the seal is named."""
    shutil.copytree(sealed, folder)
    (folder / "events-1.jsonl").write_text("")
    assert read_record(folder).damage == ("events-1.jsonl: added since the record was sealed",)


def test_a_record_folder_that_cannot_be_made(make, folder):
    """A path where no folder can be made is refused, says what to do, and stays unchanged."""
    folder.parent.write_bytes(b"a file")
    with pytest.raises(InputError, match=r"Expected to write a record in .* Name a folder that can be written"):
        make("")
    assert folder.parent.read_bytes() == b"a file"


@pytest.mark.skipif(
    os.name == "nt" or not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere"
)
def test_a_record_folder_that_may_not_be_written(make, folder):
    """A read-only folder is refused; the message says what to do."""
    folder.parent.mkdir()
    folder.parent.chmod(0o500)
    with pytest.raises(InputError, match="Name a folder that can be written"):
        make("")


def in_a_namespace(tmp_path, prepare, script):
    """Make a run of a script with its record on a small volume, in a user namespace, and return its result."""
    if sys.platform != "linux" or shutil.which("unshare") is None:
        pytest.skip("small volumes of one's own need Linux and unshare")
    if subprocess.run(["unshare", "-Urm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system allows no user namespaces")
    frames, folder = tmp_path / "frames", tmp_path / "volume"
    folder.mkdir()
    request = command(frames, script)
    request.write(tmp_path / "asked.json")
    before = hashes(frames)
    program = """
import json, sys
from pathlib import Path
from harness.record.request import Request
from harness.run.runner import make_run
from harness.run.inputs import InputError
request = Request.from_json(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
try:
    record = make_run(request, Path(sys.argv[2]), Path(sys.argv[3]), grace=0.2)
except InputError as error:
    print(json.dumps({"error": str(error)}))
else:
    left = {file.path: file.size for file in record.left}
    print(json.dumps({"state": record.seal.state, "reason": record.seal.reason, "damage": record.damage, "left": left}))
"""
    words = f'mount -t tmpfs -o {prepare} tmpfs "$2" && exec "$0" -c "$4" "$1" "$2" "$3"'
    done = subprocess.run(
        [
            "unshare",
            "-Urm",
            "sh",
            "-c",
            words,
            sys.executable,
            str(tmp_path / "asked.json"),
            str(folder),
            str(frames),
            program,
        ],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(runner.__file__).parents[2])},
    )
    if "mount:" in done.stderr:
        pytest.skip(f"this system allows no volumes in user namespaces: {done.stderr.strip()}")
    assert hashes(frames) == before
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_output_folder(tmp_path):
    """A target that fills the disk crashes with its own error; the record is sealed nevertheless."""
    script = """
    hello(); event("PHASE_UPDATE", "1")
    with (outputs / "zemosaic_big.bin").open("wb", buffering=0) as stream:
        while True:
            if stream.write(bytes(65536)) < 65536:
                raise OSError(28, "No space left on device")
    """
    made = in_a_namespace(tmp_path, "size=4m", script)
    assert made["state"] == "crashed"
    assert "No space left on device" in made["reason"]
    assert made["damage"] == []
    assert made["left"]["outputs/zemosaic_big.bin"] > 1_000_000


def test_a_volume_too_full_to_begin(tmp_path):
    """A volume without room for the working files is refused before the target starts."""
    made = in_a_namespace(tmp_path, "size=64k", "hello()")
    assert "Expected to write a record in" in made["error"]
    assert "No space left on device" in made["error"]


def test_a_volume_that_is_read_only(tmp_path):
    """A read-only volume is refused before the target starts."""
    made = in_a_namespace(tmp_path, "ro,size=4m", "hello()")
    assert "Expected to write a record in" in made["error"]
    assert "Read-only file system" in made["error"]


def test_output_that_may_not_be_written(make):
    """A target whose output folder was replaced by a file crashes with its own error, and the record is sealed."""
    record = make("hello(); outputs.rmdir(); outputs.write_bytes(b''); (outputs / 'a').write_bytes(b'x')")
    assert record.seal.state == "crashed"
    assert "NotADirectoryError" in record.seal.reason or "FileNotFoundError" in record.seal.reason
    assert record.damage == ("outputs: a file in the place of the folder",)


def test_the_scripts_speak_the_protocol(make):
    """The small targets of these tests follow the protocol; otherwise the tests would prove nothing."""
    record = make("hello(); event('PHASE_UPDATE', '3', n=1)")
    assert record.history.capabilities == {"callback"}
    assert dict(record.history.events[0].fields) == {"n": 1}
