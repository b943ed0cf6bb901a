"""Test that a session takes only runs that it made itself, from this process, from a worker, or from before it was resumed."""

import os

import pytest

from harness.session.own_runs import OwnRuns


def sealed(folder, key, text="x"):
    """Write a seal below a folder of records."""
    (folder / key).mkdir(parents=True, exist_ok=True)
    (folder / key / "seal.json").write_text(text, encoding="utf-8")


def test_a_run_is_known_to_its_process_and_to_those_with_the_secret(tmp_path):
    """A worker has the secret of its controller; another session has not."""
    mine, worker, other = (OwnRuns(tmp_path) for _ in range(3))
    worker.secret = mine.secret
    assert "a" not in mine
    sealed(tmp_path, "a")
    mine.note("a")
    assert ["a" in runs for runs in (mine, worker, other)] == [True, True, False]


def test_a_record_that_a_target_wrote_is_not_known(tmp_path):
    """Without a proof, with that of another run, of another seal, or with any text in its place, it is none."""
    runs, worker = OwnRuns(tmp_path), OwnRuns(tmp_path)
    worker.secret = runs.secret
    sealed(tmp_path, "a")
    runs.note("a")
    sealed(tmp_path, "b")
    assert "b" not in worker
    (tmp_path / "b.made").write_bytes((tmp_path / "a.made").read_bytes())
    assert "b" not in worker
    (tmp_path / "b.made").write_text("é", encoding="utf-8")
    assert "b" not in worker
    sealed(tmp_path, "a", "another seal")
    assert "a" not in worker


def test_the_finished_runs_of_a_resumed_session_are_known(tmp_path):
    """Their seals were compared when it was resumed. A run without a seal is never known."""
    runs = OwnRuns(tmp_path)
    runs.earlier = frozenset({"a", "b"})
    sealed(tmp_path, "a")
    assert ["a" in runs, "b" in runs] == [True, False]


def test_a_run_whose_proof_could_not_be_written_is_known_to_its_process_only(tmp_path, monkeypatch):
    """On a full disk a worker makes the run again: nothing is lost but time."""
    runs, worker = OwnRuns(tmp_path), OwnRuns(tmp_path)
    worker.secret = runs.secret
    sealed(tmp_path, "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.session.own_runs.write_whole", full)
    runs.note("a")
    assert ["a" in runs, "a" in worker] == [True, False]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_the_place_of_a_proof_makes_nothing_wait(tmp_path):
    """It is no proof."""
    sealed(tmp_path, "a")
    os.mkfifo(tmp_path / "a.made")
    assert "a" not in OwnRuns(tmp_path)
