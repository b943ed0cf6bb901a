"""Test a pytest session whose disk is full at its end, in a process of its own."""

from harness.session.model import read_session
from reports.terminal import summary_lines
from tests.plugin.test_hooks import latest, run_pytest

ONE = ("-m", "phase3", "--phase3-quick", "-k", "test_the_target_does_not_fail_by_itself")


def test_a_session_that_could_not_be_written_is_no_pass_and_can_be_written_again(tmp_path):
    """No traceback: the end names the file, the cause and the command, the status is 2, and the command writes the session."""
    done = run_pytest(*ONE, f"--phase3-dir={tmp_path}", "-p", "tests.plugin.failing_at_the_end", FULL_AT_THE_END="1")
    assert done.returncode == 2, done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (folder,) = (path for path in (tmp_path / "sessions").iterdir() if path.is_dir())
    assert f"Expected to write {folder / 'session.json'}, found no room on" in done.stdout
    assert f"--phase3-resume={folder.name}" in done.stdout
    assert not (folder / "session.json").exists()
    assert not list(folder.rglob("*.part"))
    assert not (folder / "reserve").exists()
    again = run_pytest(*ONE, f"--phase3-dir={tmp_path}", f"--phase3-resume={folder.name}")
    assert latest(tmp_path) == folder
    assert (folder / "report.html").stat().st_size > 10_000
    assert summary_lines(read_session(folder), "en")
    assert again.returncode in (0, 3), again.stdout
