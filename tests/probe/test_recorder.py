"""Test the recorder: whole lines, one file a process, no line lost between threads."""

import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from harness.probe import recorder as module
from harness.probe.paths import Paths, directory_of
from harness.probe.recorder import LONGEST_TEXT, Recorder, plain, plain_settings


def lines(folder, kind="trace"):
    """Return the lines of a record's only file of a kind."""
    (path,) = folder.glob(f"{kind}-*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_first_line_names_format_and_process(tmp_path):
    """Each file begins with its format and its process."""
    recorder = Recorder(str(tmp_path))
    recorder.capability("tiles")
    recorder.event("callback", "clé", "é", "INFO", {"n": 1})
    header, capability = lines(tmp_path)
    assert (header["format"], header["pid"]) == ("phase3-trace/1", os.getpid())
    assert (capability["op"], capability["name"], capability["thread"]) == ("capability", "tiles", "MainThread")
    header, event = lines(tmp_path, "events")
    assert header["format"] == "phase3-events/1"
    assert (event["key"], event["text"], event["fields"]) == ("clé", "é", {"n": 1})


def test_nothing_is_written_before_there_is_something_to_say(tmp_path):
    """A helper process that records nothing makes no file."""
    Recorder(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_threads_write_whole_lines(tmp_path):
    """If threads record at the same time from the first line on, there is one header and every line is whole."""
    recorder = Recorder(str(tmp_path))
    barrier = threading.Barrier(8)

    def work():
        barrier.wait()
        for number in range(50):
            recorder.trace("open", path="x" * 500, number=number)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = lines(tmp_path)
    assert [line.get("format") for line in found].count("phase3-trace/1") == 1
    assert sum(line.get("op") == "open" for line in found) == 400


def test_other_process_gets_files_of_its_own(tmp_path, monkeypatch):
    """After a fork (another process id) the same recorder writes to new files."""
    recorder = Recorder(str(tmp_path))
    recorder.trace("open", path="a")
    monkeypatch.setattr(module.os, "getpid", lambda: 1)
    recorder.trace("open", path="b")
    first, second = sorted(tmp_path.glob("trace-*.jsonl"), key=lambda p: p.name != "trace-1.jsonl")
    assert [json.loads(line)["pid"] for line in first.read_text().splitlines()[:1]] == [1]
    assert json.loads(second.read_text().splitlines()[1])["path"] == "a"


def test_reused_process_id_appends(tmp_path):
    """A child with the process id of an earlier one continues its file, without a second header."""
    Recorder(str(tmp_path)).trace("open", path="a")
    Recorder(str(tmp_path)).trace("open", path="b")
    assert [line.get("path") for line in lines(tmp_path)] == [None, "a", "b"]


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="the system can't refuse a link when it opens a file")
def test_a_link_in_the_place_of_a_trace_is_not_followed(tmp_path, capsys):
    """A link that has the name of the process's trace leads to no file of the user; the lines count as lost."""
    (tmp_path / "record").mkdir()
    mine = tmp_path / "letter.txt"
    mine.write_bytes(b"mine")
    (tmp_path / "record" / f"trace-{os.getpid()}.jsonl").symlink_to(mine)
    Recorder(str(tmp_path / "record")).trace("open", path="a")
    assert mine.read_bytes() == b"mine"
    assert "a line of trace was lost" in capsys.readouterr().err


def test_line_cut_short_spoils_no_other(tmp_path, monkeypatch):
    """When a full disk cuts a line, the next one starts on a new line."""
    recorder = Recorder(str(tmp_path))
    recorder.trace("open", path="a")
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:10]))
    recorder.trace("open", path="cut")
    monkeypatch.setattr(module.os, "write", write)
    recorder.trace("open", path="b")
    (path,) = tmp_path.glob("trace-*.jsonl")
    _, first, torn, last, lost = path.read_text().splitlines()
    assert [json.loads(first)["path"], json.loads(last)["path"], json.loads(lost)["n"]] == ["a", "b", 1]
    assert len(torn) == 10


def test_line_cut_short_in_one_file_changes_no_other(tmp_path, monkeypatch):
    """Only in the file that was cut does the next line start on a new line."""
    recorder = Recorder(str(tmp_path))
    recorder.trace("open", path="a")
    write = os.write
    monkeypatch.setattr(module.os, "write", lambda fd, data: write(fd, data[:10] if b"half" in data else data))
    recorder.event("callback", "half", "", "INFO", {})
    recorder.trace("open", path="b")
    recorder.event("callback", "whole", "", "INFO", {})
    assert [line["op"] for line in lines(tmp_path)[1:]] == ["open", "open", "lost"]
    (path,) = tmp_path.glob("events-*.jsonl")
    assert json.loads(path.read_text().splitlines()[-1])["key"] == "whole"


@pytest.mark.parametrize("written", [0, 5])
def test_file_whose_header_could_not_be_written_begins_anew(tmp_path, monkeypatch, written):
    """A file without its header is removed, because it could not be read; the next line creates it again."""
    recorder = Recorder(str(tmp_path))
    write = os.write

    def full(fd, data):
        if written:
            return write(fd, data[:written])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "write", full)
    recorder.trace("open", path="a")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(module.os, "write", write)
    recorder.trace("open", path="b")
    header, line, lost = lines(tmp_path)
    assert (header["format"], line["path"], lost["n"]) == ("phase3-trace/1", "b", 1)


def test_line_that_cannot_be_written_is_told(tmp_path, capsys):
    """A lost line does not stop the target, and is reported on standard error."""
    recorder = Recorder(str(tmp_path / "gone"))
    recorder.trace("open", path="a")
    assert "a line of trace was lost" in capsys.readouterr().err


def full_disk(monkeypatch, refused):
    """Let every write fail, as on a full disk, while ``refused`` is not empty."""
    write = os.write

    def refuse(fd, data):
        if refused:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    monkeypatch.setattr(module.os, "write", refuse)


def test_lost_lines_are_told_once_writing_works_again(tmp_path, monkeypatch, capsys):
    """Lines that a full disk refused are counted. The trace has the count and the first reason, once."""
    recorder = Recorder(str(tmp_path))
    recorder.trace("open", path="a")
    refused = ["all"]
    full_disk(monkeypatch, refused)
    for number in range(3):
        recorder.event("callback", "K", str(number), "INFO", {})
    refused.clear()
    recorder.trace("open", path="b")
    recorder.trace("open", path="c")
    found = lines(tmp_path)[1:]
    assert [line["op"] for line in found] == ["open", "open", "lost", "open"]
    assert found[2]["n"] == 3
    assert found[2]["what"].startswith("a line of events was lost (")
    assert capsys.readouterr().err.count("phase3 probe: a line of events was lost") == 3


def test_a_fault_of_the_probe_is_a_loss_and_so_is_a_line_cut_short(tmp_path, monkeypatch, capsys):
    """Every lost piece of evidence counts, not only lines that a disk refused."""
    recorder = Recorder(str(tmp_path))
    recorder.problem("an event was lost (KeyError())")
    write = os.write
    monkeypatch.setattr(
        module.os, "write", lambda fd, data: write(fd, data[:10]) if b"cut" in data else write(fd, data)
    )
    recorder.trace("open", path="cut")
    recorder.trace("open", path="b")
    (path,) = tmp_path.glob("trace-*.jsonl")
    last = json.loads(path.read_text().splitlines()[-1])
    assert (last["op"], last["n"], last["what"]) == ("lost", 2, "an event was lost (KeyError())")
    assert "an event was lost" in capsys.readouterr().err


def test_losses_that_can_not_be_told_are_kept(tmp_path, monkeypatch, capsys):
    """While the disk is full, the count can't be written; it is kept until it can."""
    recorder = Recorder(str(tmp_path))
    refused = ["all"]
    full_disk(monkeypatch, refused)
    recorder.trace("open", path="a")
    recorder.tell_losses()
    refused.clear()
    recorder.tell_losses()
    recorder.tell_losses()
    assert [line["n"] for line in lines(tmp_path) if line.get("op") == "lost"] == [1]
    assert "a line of trace was lost" in capsys.readouterr().err


def test_losses_are_told_at_the_end_of_the_process(tmp_path):
    """A process that writes no further line reports its losses when it exits."""
    code = "import sys; from harness.probe.recorder import Recorder; Recorder(sys.argv[1]).problem('it broke')"
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, capture_output=True)
    assert [(line["n"], line["what"]) for line in lines(tmp_path)[1:]] == [(1, "it broke")]


def test_a_closed_standard_error_does_not_hide_a_loss(tmp_path, monkeypatch):
    """Without a standard error, a loss is in the trace, and the target is not disturbed."""
    monkeypatch.setattr(module.sys, "stderr", None)
    recorder = Recorder(str(tmp_path))
    recorder.problem("it broke")
    recorder.trace("open", path="a")
    assert lines(tmp_path)[-1]["n"] == 1


def test_each_line_tells_its_thread_by_number_too(tmp_path):
    """Two threads of one name are distinguished by their numbers."""
    recorder = Recorder(str(tmp_path))
    barrier = threading.Barrier(2)

    def work():
        barrier.wait()
        recorder.trace("open", path="a")
        recorder.event("callback", "K", "", "INFO", {})
        barrier.wait()

    threads = [threading.Thread(target=work, name="one name") for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind in ("trace", "events"):
        found = [line for line in lines(tmp_path, kind) if "thread" in line]
        assert {line["thread"] for line in found} == {"one name"}
        assert len({line["tid"] for line in found}) == 2


def test_settings_are_flat_plain_and_hold_neither_paths_of_the_record_nor_secrets(tmp_path):
    """Settings that checks need are kept: numbers, texts, booleans and lists of these."""
    record = str(tmp_path)
    given = {
        "cleanup_temp_artifacts": False,
        "master_tile_crop_percent": 3.0,
        "crop": (1, 2),
        "nothing": None,
        "output_dir": str(tmp_path / "outputs"),
        "folders": [str(tmp_path)],
        "astrometry_api_key": "abc",
        "nested": {"a": 1},
        "objects": [object()],
    }
    assert plain_settings(given, record) == {
        "cleanup_temp_artifacts": False,
        "master_tile_crop_percent": 3.0,
        "crop": [1, 2],
        "nothing": None,
    }


def test_plain_keeps_what_json_has():
    """Numbers, strings, booleans and lists of these are kept; other types become text."""
    assert plain([1, 2.5, "a", True, None, (1, 2)]) == [1, 2.5, "a", True, None, [1, 2]]
    assert plain(np.float32(1.5)) == 1.5
    assert plain(np.int64(3)) == 3
    assert plain(float("nan")) == "nan"
    assert plain(Path("a")) == "a"
    assert len(plain("x" * 99999)) == LONGEST_TEXT


def test_paths_are_named_relative_to_the_record(tmp_path):
    """Only paths below the outputs have a name in the record, and only one."""
    record = tmp_path / "dossier é"
    paths = Paths(str(record))
    assert paths.inside(record / "outputs" / "a b.npy") == "outputs/a b.npy"
    assert paths.inside(os.fsencode(record / "outputs" / "é" / "b")) == "outputs/é/b"
    assert paths.inside(str(record / "outputs" / "x" / ".." / "b")) == "outputs/b"
    assert paths.inside(f"{record}/outputs//sub/") == "outputs/sub"
    assert paths.inside(record / "outputs") == "outputs"
    for other in (record / "outputs2" / "a", record / "work" / "a", 3, None, object(), "relative"):
        assert paths.inside(other) is None


def test_relative_and_linked_paths_are_recognised(tmp_path, monkeypatch):
    """A path relative to the working folder, or through a link to the record, has the same name."""
    (tmp_path / "real" / "outputs").mkdir(parents=True)
    link = tmp_path / "link"
    try:
        link.symlink_to(tmp_path / "real", target_is_directory=True)
    except OSError:
        pytest.skip("this system makes no symbolic links")
    paths = Paths(str(link))
    assert paths.inside(tmp_path / "real" / "outputs" / "a") == "outputs/a"
    assert paths.inside(link / "outputs" / "a") == "outputs/a"
    monkeypatch.chdir(tmp_path / "real")
    assert paths.inside("outputs/a") == "outputs/a"


@pytest.mark.skipif(os.open not in os.supports_dir_fd, reason="this system opens no directories")
def test_names_relative_to_a_directory_are_resolved(tmp_path):
    """A path relative to an open directory has its name too: the standard library's rmtree removes files in this way."""
    folder = tmp_path / "outputs" / "sub"
    folder.mkdir(parents=True)
    paths = Paths(str(tmp_path))
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        assert paths.inside_at("a", descriptor) == "outputs/sub/a"
        assert paths.inside_at(str(tmp_path / "outputs" / "b"), descriptor) == "outputs/b"
        assert paths.inside_at("a", -1) is None
        assert paths.inside_at(None, descriptor) is None
    finally:
        os.close(descriptor)
    assert directory_of(descriptor) is None
    assert paths.inside_at("a", descriptor) is None


def test_forked_child_writes_its_own_file(tmp_path):
    """A child that is forked while a thread records makes its own files, with whole lines."""
    if not hasattr(os, "fork"):
        pytest.skip("this system does not fork")
    code = (
        "import os, sys, threading; from harness.probe.recorder import Recorder\n"
        "r = Recorder(sys.argv[1]); r.trace('open', path='parent')\n"
        "pid = os.fork()\n"
        "r.trace('open', path='child' if pid == 0 else 'parent')\n"
        "os._exit(0) if pid == 0 else os.waitpid(pid, 0)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    found = sorted(
        [json.loads(x).get("path") for x in p.read_text().splitlines()[1:]] for p in tmp_path.glob("*.jsonl")
    )
    assert found == [["child"], ["parent", "parent"]]
