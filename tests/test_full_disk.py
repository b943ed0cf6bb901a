"""Test full, read-only and broken disks: older files stay, no part is left, and the end says how to write what is missing."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.commands.main import main
from harness.plugin.hooks import Validation
from harness.record.whole import NotWrittenError, Reserve, as_said, undone, write_all_named, write_together, write_whole
from harness.session.integrity import FILE as MANIFEST
from harness.session.integrity import THRESHOLDS
from harness.session.model import Share, read_session
from harness.targets.resolve import resolve
from harness.verdict import Outcome
from tests.compare_sessions import one_star_brighter, session_with_mosaics
from tests.faults import NAMES, contents, failing
from tests.signed_sessions import decisions

ROOT = Path(__file__).parents[1]
SOME = (1, 2, 3, 4, 5, 8, 13, 21, 34, 55, 89, 144)
"""The operations of a command that fail, one a run; every operation of one file fails in the test of `write_together`."""


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    """Return a folder with a session, its pages, and another session whose outputs differ."""
    from reports.material import Material
    from reports.write import write_views

    root = tmp_path_factory.mktemp("sessions")
    session_with_mosaics(root / "a", "zemosaic")
    session_with_mosaics(root / "b", "zemosaic", subject_per_tile=one_star_brighter)
    for name in ("a", "b"):
        write_views(Material(root / name))
    return root


@pytest.mark.parametrize("error", NAMES)
def test_every_operation_of_files_that_belong_together_may_fail(tmp_path, error):
    """The first, the second, … operation fails, until all are written: each file is the old one or the new one, whole."""
    old = {tmp_path / f"{n}.txt": f"old {n}".encode() for n in range(3)}
    new = {path: f"new {path.name}" * 5000 for path in old}
    for number in range(1, 100):
        for path, content in old.items():
            path.write_bytes(content)
        raised = None
        with failing(number, error) as faults:
            try:
                write_together(new)
            except NotWrittenError as caught:
                raised = caught
        assert (raised is not None) == faults.met
        if raised is not None:
            assert NAMES[error] in str(raised)
            assert str(raised.path) in str(raised)
            assert raised.errno == error
        assert sorted(path.name for path in tmp_path.iterdir()) == ["0.txt", "1.txt", "2.txt"]
        now = {path: path.read_bytes() for path in old}
        if not faults.met:
            break
        replaced = [now[path] == new[path].encode() for path in old]
        assert all(replaced[i] or now[path] == old[path] for i, path in enumerate(old))
        assert replaced == sorted(replaced, reverse=True)
        assert not any(replaced) or number > 9  # nothing is replaced before all parts are written and flushed
    assert not faults.met
    assert {path: content.decode() for path, content in now.items()} == new


@pytest.mark.parametrize("links", [True, False])
def test_files_that_have_to_fit_together_are_put_back(tmp_path, monkeypatch, links):
    """If a later step fails, older files are as before and new ones are gone; if none fails, all are new. No part is left."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EPERM, "x")))
    old, new = tmp_path / "old.txt", tmp_path / "new.txt"
    old.write_text("old", encoding="utf-8")

    def write(error):
        with undone([old, new]):
            write_together({old: "other", new: "new"})
            if error is not None:
                raise error

    for error in (OSError(errno.EIO, "x"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            write(error)
        assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {"old.txt": "old"}
    write(None)
    assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == {
        "old.txt": "other",
        "new.txt": "new",
    }


def run(words, capsys):
    """Run a command; return its status, and what it wrote to standard error."""
    capsys.readouterr()
    status = main([str(word) for word in words])
    return status, capsys.readouterr().err


COMMANDS = {
    "report": lambda folder: ["report", folder / "a"],
    "merge": lambda folder: ["merge", folder / "out", folder / "a"],
    "dod": lambda folder: ["dod", folder / "a", "-o", folder / "dod.md"],
    "compare": lambda folder: [
        *("compare", folder / "a", folder / "b"),
        *("--json", folder / "c.json", "--html", folder / "c.html"),
    ],
    "accept": lambda folder: ["accept", folder / "a", folder / "b", "--by", "Zoé", "--reason", "x", "--yes"],
    "sign": lambda folder: ["sign", folder / "a", *decisions(), "--by", "Zoé"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_full_disk_during_a_command(name, sessions, tmp_path, capsys):
    """Its status is not that of a pass, older files stay byte for byte, no part is left, and the end names file and command."""
    folder = tmp_path / "é"
    met = 0
    for number, error in zip(SOME, chain.from_iterable([NAMES] * 9), strict=False):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sessions, folder)
        for old in ("dod.md", "c.json", "c.html"):
            (folder / old).write_text("old", encoding="utf-8")
        before = contents(folder)
        with failing(number, error) as faults:
            status, said = run(COMMANDS[name](folder), capsys)
        after = contents(folder)
        if not faults.met:
            assert status in (0, 1, 3)
            break
        met += 1
        assert status == 2, (number, said)
        assert "Traceback" not in said
        assert "phase3 " in said or error not in (errno.ENOSPC, errno.EROFS, errno.EDQUOT), said
        assert str(folder) in said
        assert not [path for path in after if path.endswith(".part")]
        assert set(before) <= set(after)
        changed = [path for path in before if before[path] != after[path]]
        assert not changed or number > 3 * len(changed), (number, changed)
    assert met >= 3


def test_a_case_file_without_room(sessions, tmp_path, capsys):
    """There is no case file, and the message has the command."""
    path = tmp_path / "x.json"
    record = sessions / "a" / read_session(sessions / "a").runs[0].record
    with failing(2):
        status, said = run(["case", "make", record, "-o", path], capsys)
    assert status == 2
    assert "no room on" in said or "can be run again" in said
    assert not list(tmp_path.iterdir())


def test_what_could_not_be_merged_completely_is_removed(sessions, tmp_path, capsys):
    """A merged session that is not whole would be read as a whole one."""
    with failing(30):
        status, said = run(["merge", tmp_path / "out", sessions / "a"], capsys)
    assert status == 2
    assert "To write it again: phase3 merge" in said
    assert not (tmp_path / "out").exists()


def test_pages_that_could_not_be_written_after_a_merge_have_another_command(sessions, tmp_path, monkeypatch, capsys):
    """The session is merged already: its pages are written by report."""

    def full(_files):
        raise NotWrittenError(tmp_path / "out" / "report.html", OSError(errno.ENOSPC, "x"))

    monkeypatch.setattr("reports.write.write_together", full)
    status, said = run(["merge", tmp_path / "out", sessions / "a"], capsys)
    assert status == 2
    assert f"To write it again: phase3 report {tmp_path / 'out'}" in said
    assert read_session(tmp_path / "out").runs


def a_validation(folder, reports=()):
    """Return the validation of a pytest run at its end, with the shares of its workers on the disk, and no manifest yet."""
    (folder / "sessions" / "s" / MANIFEST).unlink(missing_ok=True)
    shares = folder / "sessions" / "s" / "shares"
    shares.mkdir(parents=True, exist_ok=True)
    validation = Validation.__new__(Validation)
    settings = SimpleNamespace(lang="en", deciding=dict, resume="")
    campaign = SimpleNamespace(
        root=folder,
        folder=folder / "sessions" / "s",
        settings=settings,
        target=lambda _role: resolve("reference", None, folder),
        share=Share,
        made=0,
    )
    validation.__dict__.update(
        material=None,
        folder=campaign.folder, campaign=campaign, shares=shares, reports=dict(reports), lines=(), patch=(), worker="",
        session=None, monitor=None, on_terminal=False, _unwritten=[], _shared=0, _reserve=Reserve(campaign.folder / "reserve"),
    )  # fmt: skip
    return validation


PYTEST = SimpleNamespace(
    config=SimpleNamespace(invocation_params=SimpleNamespace(args=["-m", "phase3"])), exitstatus=pytest.ExitCode.OK
)


@pytest.mark.parametrize("error", NAMES)
def test_a_full_disk_at_the_end_of_a_session(tmp_path, error):
    """The session comes first, then its pages: what is missing is said with the command that writes it again."""
    older = a_validation(tmp_path)
    with failing(0) as counted:
        assert older._conclude(PYTEST) == ()
    last = counted.count
    known = contents(tmp_path)
    seen = set()
    for number in (1, 2, 3, 5, 8, 13, 21, last - 5, last - 1, last, last + 1):
        validation = a_validation(tmp_path)
        before = contents(tmp_path)
        with failing(number, error) as faults:
            said = " ".join(message.render() for message in validation._conclude(PYTEST))
        after = contents(tmp_path)
        missing = set(known) - set(after)
        assert set(after) <= set(known)
        assert missing <= ({f"sessions/s/{MANIFEST}", f"sessions/s/{THRESHOLDS}"} if faults.met else set())
        if not faults.met:
            assert said == ""
            break
        assert NAMES[error] in said
        if validation.session is None:
            seen.add("session")
            assert "--phase3-resume=s" in said
            assert "session.json" in said
            assert before == after
        elif validation.material is not None:
            seen.add("manifest")
            assert missing
            assert "could not be sealed" in said
            assert "--phase3-resume=s" in said
            assert validation.session.doubts
        else:
            seen.add("pages")
            assert f"phase3 report {validation.folder}" in said
            assert (
                before["sessions/s/shares/x"] == after["sessions/s/shares/x"]
                if "sessions/s/shares/x" in before
                else True
            )
    assert seen == {"session", "pages", "manifest"}


def test_a_worker_whose_verdicts_could_not_be_written_makes_the_session_unfinished(tmp_path):
    """The controller is told by the worker itself, so that the session does not pass without these verdicts."""
    validation = a_validation(tmp_path)
    node = SimpleNamespace(workeroutput={"phase3_unwritten": "no room on /x: 0 of 12 MB are free"})
    validation.pytest_testnodedown(node)
    said = validation._conclude(PYTEST)
    assert "no room on /x" in said[0].render()
    assert read_session(validation.folder).interrupted is not None
    config = SimpleNamespace(workeroutput={})
    with failing(1):
        validation._end_worker(config)
    assert "no room on" in config.workeroutput["phase3_unwritten"]


def test_a_share_that_is_cut_off_makes_the_session_doubtful(tmp_path):
    """A worker that was killed while it wrote leaves no half share; one that another program cut is named."""
    validation = a_validation(tmp_path)
    (validation.shares / "gw0.json").write_text('{"runs": [', encoding="utf-8")
    (validation.shares / "gw0.collected").write_text("{", encoding="utf-8")
    assert validation._conclude(PYTEST) == ()
    session = read_session(validation.folder)
    assert "gw0.json" in " ".join(doubt.render() for doubt in session.doubts)
    assert session.outcome is Outcome.UNKNOWN


def test_a_file_larger_than_the_limit_of_the_process(sessions, tmp_path):
    """With ``ulimit -f``, in a process of its own: status 2, no traceback, older pages as before."""
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    shutil.copytree(sessions / "a", tmp_path / "a")
    before = contents(tmp_path / "a")

    def limit():
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    words = [sys.executable, "-m", "harness.commands.main", "--lang", "en", "report", str(tmp_path / "a")]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "larger than a file may be here" in done.stderr
    assert "Traceback" not in done.stderr
    assert contents(tmp_path / "a") == before


@pytest.fixture
def small_volume(tmp_path):
    """Mount a volume of 6 MB where the system allows it; it is unmounted in any case."""
    place = tmp_path / "volume"
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if mount is None or umount is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        pytest.skip("a volume can be mounted by root only: simulated in the tests above")
    words = [mount, "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(place)]
    if subprocess.run(words, check=False, capture_output=True, timeout=30).returncode != 0:
        pytest.skip("this system lets root mount no volume: simulated in the tests above")
    try:
        yield place
    finally:
        subprocess.run([umount, "-l", str(place)], check=True, timeout=30)


def test_a_small_volume_that_is_full(sessions, small_volume, capsys):
    """On a real full volume, and on one mounted read-only: older files stay, and the message says how much is free."""
    shutil.copytree(sessions / "a", small_volume / "a", ignore=shutil.ignore_patterns("outputs", "integrity.json"))
    while shutil.disk_usage(small_volume).free:
        with suppress(OSError), (small_volume / "filled").open("ab", buffering=0) as stream:
            stream.write(bytes(4096))
    before = contents(small_volume / "a")
    status, said = run(["report", small_volume / "a"], capsys)
    assert status == 2
    assert f"no room on {small_volume / 'a'}: 0 of 6 MB are free" in said
    assert "phase3 report" in said
    assert contents(small_volume / "a") == before
    (small_volume / "filled").unlink()
    assert run(["report", small_volume / "a"], capsys)[0] == 1
    again = subprocess.run(["mount", "-o", "remount,ro", str(small_volume)], check=False, timeout=30)
    if again.returncode == 0:
        status, said = run(["report", small_volume / "a"], capsys)
        assert status == 2
        assert "is read-only" in said


def test_a_link_that_the_user_named_is_followed_and_a_device_is_written(tmp_path):
    """``--json /dev/stdout`` replaces no device, and ``-o link`` writes the file behind the link."""
    (tmp_path / "there.txt").write_text("old", encoding="utf-8")
    (tmp_path / "link.txt").symlink_to(tmp_path / "there.txt")
    write_all_named({tmp_path / "link.txt": "new", Path(os.devnull): "x"})
    assert (tmp_path / "there.txt").read_text(encoding="utf-8") == "new"
    assert (tmp_path / "link.txt").is_symlink()
    assert not Path(os.devnull).is_file()
    write_whole(tmp_path / "link.txt", "mine")  # in a folder that may be a stranger's, a link is replaced
    assert (tmp_path / "there.txt").read_text(encoding="utf-8") == "new"
    assert not (tmp_path / "link.txt").is_symlink()


def test_text_that_utf8_can_not_hold_is_escaped(tmp_path):
    """A byte of a file name that is no UTF-8 ends no command."""
    write_whole(tmp_path / "x.json", '"a\udcff"')
    assert (tmp_path / "x.json").read_bytes() == b'"a\\udcff"'


def test_an_error_of_reading_is_not_said_to_be_one_of_writing():
    """Only errors that mean writing get the sentence on writing."""
    read = OSError(errno.EIO, "x", "/a")
    assert as_said(read) is read
    assert "no room on" in str(as_said(OSError(errno.ENOSPC, "x", "/a")))
