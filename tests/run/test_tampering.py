"""A target that replaces parts of its record by links: nothing outside the record changes, and the record says so."""

import contextlib
import json
import os

import pytest

from harness.checks.judge import judge
from harness.record import leftovers, safe, tampering
from harness.record.comparison import Comparison
from harness.record.reader import read_record
from harness.record.seal import read_seal
from harness.record.values import RecordError
from harness.record.whole import write_whole
from harness.run import finish
from harness.run.input_files import compared
from harness.run.runner import make_run
from harness.verdict import Outcome
from tests.hostile import FILES, FOLDERS, INNER, KINDS, SCRIPT, allowed, facts, replace, seconds_of, users_folder
from tests.requests_ import a_request
from tests.runs_ import command

pytestmark = pytest.mark.skipif(
    not hasattr(os, "mkfifo"), reason="pipes and links without privileges exist on POSIX only"
)

SECONDS = 20.0
"""A run of these targets takes about 1 s on a quiet machine."""


@pytest.fixture
def user(tmp_path):
    """Return a folder of the user."""
    return users_folder(tmp_path / "user é")


@pytest.fixture
def frames(tmp_path):
    """Return the folder of the user's frames."""
    return tmp_path / "frames"


@pytest.fixture
def folder(tmp_path):
    """Return the folder of the record, which does not exist yet."""
    return tmp_path / "session" / "record"


@pytest.fixture
def held(folder):
    """Return a record that is held open, as it is when its target starts."""
    for name in INNER:
        (folder / name).mkdir(parents=True)
    (folder / "outputs" / ".zemosaic_img_cache").mkdir(parents=True)
    (folder / "outputs" / ".zemosaic_img_cache" / "preprocessed_a_0.npy").write_bytes(bytes(10))
    a_request().write(folder / "request.json")
    (folder / "truth.json").write_text("[1]")
    with safe.hold(folder) as held:
        for name in ("console.log", "disk.jsonl", "process.jsonl"):
            os.close(safe.create(folder, name))
        yield held


def end_of(folder, tampered):
    """End a run as the runner does; what fails is a reason in the seal."""
    reasons = [finish.list_inputs(folder, compared(folder, {}))]
    left = leftovers.count_left(folder)
    reasons += leftovers.clear(folder, left)
    try:
        leftovers.remove_tree(folder / "work")
    except OSError as error:
        reasons.append(str(error))
    reasons += [finish.list_left(folder, left), finish.measure_products(folder, a_request())]
    finish.discard_products(folder)
    finish.seal_end(folder, finish.End("done", 0, 1.0, tuple(filter(None, reasons)), tampered))


@pytest.mark.parametrize("kind", KINDS)
def test_each_name_replaced_by_each_kind(held, folder, user, kind):
    """Whatever took the place of a file or folder is named and removed, and the user's files behind it stay as they were."""
    before, given = facts(user), tampering.given(folder)
    for name in (*INNER, *FOLDERS, *FILES):
        replace(folder / name, kind, user)
        found = tampering.put_right(held, given)
        assert [line.partition(":")[0] for line in found] == ([] if allowed(name, kind) else [name]), found
        assert facts(user) == before
        assert (
            tampering.put_right(held, given)[1:] == ()
        )  # a file that can't be made again is missing, and nothing else
        for known in ("console.log", "disk.jsonl", "process.jsonl"):
            if not (folder / known).exists():
                held.known.pop(known)
                os.close(safe.create(folder, known))
        (folder / "outputs").chmod(0o700)


def test_a_new_file_never_gets_the_number_of_the_one_it_replaces(held, folder):
    """A file system gives the number of a removed file to the next one: the removed one is kept open, so it is not free."""
    for _ in range(50):
        os.close(safe.create(folder, "left.jsonl"))
        (folder / "left.jsonl").unlink()
        (folder / "left.jsonl").write_text("", encoding="utf-8")
        assert tampering.put_right(held, tampering.given(folder)) == (
            "left.jsonl: another file in the place of the harness's",
        )
    assert len(held.kept) > 50


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_replaced_after_it_was_looked_at(folder, user, kind):
    """A process that outlives its run replaces everything behind the harness's back: nothing outside changes, no step hangs."""
    before = facts(user)
    for name in (*(name for name in FILES if not name.startswith(("events-", "trace-"))), *FOLDERS):
        replace(folder / name, kind, user)
    _, seconds = seconds_of(lambda: end_of(folder, ()))
    assert facts(user) == before
    assert seconds < SECONDS
    assert json.loads((folder / "seal.json").read_text(encoding="utf-8"))["state"] == "done"


@pytest.mark.usefixtures("held")
@pytest.mark.parametrize("kind", KINDS)
def test_working_folders_replaced_after_they_were_looked_at(folder, user, kind):
    """The same for the working folders: links in their places are removed as links."""
    before = facts(user)
    for name in INNER:
        replace(folder / name, kind, user)
    end_of(folder, ())
    assert facts(user) == before
    assert not (folder / "work").exists()


@pytest.mark.parametrize(
    ("kind", "wait"),
    [*((kind, 0.0) for kind in KINDS), ("link to a folder", 0.5), ("hard link", 0.5), ("pipe", 0.5)],
)
def test_a_target_that_replaces_everything(frames, folder, user, kind, wait):
    """A target replaces all names while it runs, or just before its end: nothing outside changes, no verdict passes."""
    names = [name for name in (*FOLDERS, *FILES) if kind != "file" or not allowed(name, kind)]
    script = f"""{SCRIPT}
hello(); event("PROCESS_DONE")
for name in {names!r}:
    replace(record / name, {kind!r}, Path({str(user)!r}))
time.sleep({wait})
"""
    before = facts(user)
    request = command(frames, script)
    record, seconds = seconds_of(lambda: make_run(request, folder, frames, grace=0.5))
    assert facts(user) == before
    assert seconds < SECONDS
    assert record.request == request
    assert {line.partition(":")[0] for line in record.seal.tampered} >= {n for n in names if not allowed(n, kind)}
    assert "found that the target replaced parts of it: " in record.seal.reason
    assert not record.usable
    assert {verdict.outcome for verdict in judge(Comparison(record))} <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}


MOVED = 'record.rename(record.with_name("moved"))\n'
REMAINS = {
    "a link to the user's folder": "record.symlink_to(user)",
    "a link to the record": 'record.symlink_to(record.with_name("moved"))',
    "a folder": 'shutil.copytree(record.with_name("moved"), record, symlinks=True)',
    "a file": 'record.write_bytes(b"x")',
    "nothing": "",
}


@pytest.mark.parametrize("remains", REMAINS)
def test_a_record_that_was_moved_is_brought_back(frames, folder, user, remains):
    """A target renames its record and leaves something in its place: the record gets its name back, and says so."""
    script = f"{SCRIPT}\nuser = Path({str(user)!r})\nhello(); event('PROCESS_DONE')\n{MOVED}{REMAINS[remains]}\n"
    before = facts(user)
    record = make_run(command(frames, script), folder, frames, grace=0.5)
    assert facts(user) == before
    assert record.seal.tampered[0].startswith("the record itself: ")
    assert [event.key for event in record.history.events] == ["PROCESS_DONE"]
    assert not record.usable
    aside = [path for path in folder.parent.iterdir() if path.name.endswith(safe.ASIDE)]
    assert len(aside) == (remains == "a folder")


def test_a_record_that_was_moved_elsewhere_is_sealed_there(frames, folder, user, tmp_path):
    """A record that can't be brought back is sealed where it is. The run is an error, and nothing is written behind the link."""
    script = f"""
hello(); event("PROCESS_DONE")
record.rename({str(tmp_path / "elsewhere")!r})
record.symlink_to({str(user)!r})
"""
    before = facts(user)
    with pytest.raises(OSError, match="the target moved its record away"):
        make_run(command(frames, script), folder, frames, grace=0.5)
    assert facts(user) == before
    sealed = read_record(tmp_path / "elsewhere")
    assert "moved its record away" in sealed.seal.tampered[0]
    assert not sealed.usable


def test_a_request_that_the_target_rewrote(frames, folder):
    """A target that asks for less than it was asked for is found: the request is written again, and no verdict passes."""
    script = """
hello(); event("PROCESS_DONE")
asked = json.loads((record / "request.json").read_text(encoding="utf-8"))
(record / "request.json").write_text(json.dumps(asked | {"retention": "run_end"}), encoding="utf-8")
"""
    request = command(frames, script)
    record = make_run(request, folder, frames)
    assert record.request == request
    assert record.damage == ("request.json: changed",)


REWRITTEN = {
    "with other content": 'path.write_bytes(b"{}\\n")',
    "cut short": "os.truncate(path, before - 1)",
    "with one byte changed": """
with path.open("r+b") as file:
    file.write(bytes([file.read(1)[0] ^ 1]))""",
    "with more at its end": 'path.open("ab").write(b"{}\\n")',
}


@pytest.mark.parametrize("way", REWRITTEN)
@pytest.mark.parametrize("name", ["console.log", "disk.jsonl", "process.jsonl"])
def test_files_that_the_target_wrote_over_in_place(frames, folder, name, way):
    """The file is the harness's own, with another content: the record says so, and no verdict passes."""
    script = f"""
hello(); event("PROCESS_DONE")
print("phase3 probe: lost 3 lines", flush=True)
path = record / {name!r}
while not (before := path.stat().st_size):
    time.sleep(0.02)
{REWRITTEN[way]}
"""
    record = make_run(command(frames, script), folder, frames)
    assert record.seal.tampered == (f"{name}: other content than the harness wrote",)
    assert f"replaced parts of it: {name}: other content" in record.seal.reason
    assert not record.usable
    assert {verdict.outcome for verdict in judge(Comparison(record))} <= {Outcome.UNKNOWN, Outcome.NOT_APPLICABLE}


AFTER_THE_END = ("inputs.jsonl", "left.jsonl", "products.json", "products.npz", "console.log", "request.json")


@pytest.mark.parametrize("name", AFTER_THE_END)
@pytest.mark.parametrize("removed", [False, True])
def test_files_that_a_surviving_process_wrote_over_before_the_seal(frames, folder, monkeypatch, name, removed):
    """A process that could not be ended rewrites or removes what the harness wrote, after the last look: the seal finds it."""
    real = finish.seal_end

    def rewritten_before(*args):
        path = folder / name
        path.unlink() if removed else path.write_bytes(path.read_bytes() + b" ")
        real(*args)

    monkeypatch.setattr(finish, "seal_end", rewritten_before)
    with contextlib.suppress(RecordError):  # some are unreadable then
        assert not make_run(command(frames, 'hello(); event("PROCESS_DONE"); print("x")'), folder, frames).usable
    what = "removed" if removed else "other content than the harness wrote"
    assert read_seal(folder).tampered == (f"{name}: {what}",)


def test_measurements_that_failed_are_no_work_of_the_target(frames, folder, monkeypatch):
    """The harness removes measurements that are incomplete, and writes the reason behind what was printed: nobody is blamed."""

    def half(folder, *_):
        write_whole(folder / "products.npz", b"half")
        raise ValueError("broken")

    monkeypatch.setattr("harness.run.measure.measure", half)
    record = make_run(command(frames, 'hello(); event("PROCESS_DONE"); print("x")'), folder, frames)
    assert (record.seal.tampered, record.damage) == ((), ())
    assert "found ValueError: broken" in record.seal.reason
    printed = (folder / "console.log").read_text()
    assert printed.startswith("x\n")
    assert "[measuring the products failed]" in printed
    assert not (folder / "products.npz").exists()


def test_what_was_appended_hides_no_rewritten_console(frames, folder, monkeypatch):
    """If the target rewrote the console, what the harness writes behind it makes it no better."""
    monkeypatch.setattr("harness.run.measure.measure", lambda *_: 1 / 0)
    script = 'hello(); event("PROCESS_DONE"); print("x", flush=True); (record / "console.log").write_text("y\\n")'
    record = make_run(command(frames, script), folder, frames)
    assert record.seal.tampered == ("console.log: other content than the harness wrote",)


def test_a_console_beyond_the_limit_is_the_harness_s_own(frames, folder):
    """The last line of a console that was cut off, and nothing printed at all, are as the guard wrote them."""
    record = make_run(
        command(frames, 'hello(); event("PROCESS_DONE"); sys.stdout.write("x" * 21_000_000)'), folder, frames
    )
    assert record.seal.tampered == ()
    assert (folder / "console.log").read_bytes().endswith(b" further bytes of output were left out]\n")


def test_a_target_that_keeps_to_its_own_folders_is_not_blamed(frames, folder, user):
    """Links within ``outputs``, hard links there and removed working folders are the target's own affair."""
    script = f"""
import shutil
hello(); event("PROCESS_DONE")
(outputs / "a.txt").write_bytes(b"a")
os.link(outputs / "a.txt", outputs / "b.txt")
(outputs / "user").symlink_to({str(user)!r})
shutil.rmtree(record / "work" / "tmp")
"""
    before = facts(user)
    record = make_run(command(frames, script), folder, frames)
    assert record.seal.tampered == ()
    assert record.usable
    assert facts(user) == before
