"""Test the lock that runs hold until they end: shared, or exclusive for timed runs."""

import threading

import pytest
from filelock import FileLock, Timeout

from harness.session import machine as module
from harness.session.machine import Machine


@pytest.fixture
def machine(tmp_path):
    """Return the machine of a session that has no folder of runs yet."""
    return Machine(tmp_path / "runs")


def test_the_machine_is_held_before_any_run_is_made(machine, tmp_path):
    """The large run may be the first of a session: the folder of the lock files is made on demand."""
    with machine.held(exclusive=True), machine.held(exclusive=True):
        assert (tmp_path / "runs").is_dir()


def test_a_run_that_waits_for_exclusive_access_goes_before_later_ones(machine, tmp_path, monkeypatch):
    """A run that waits for exclusive access holds the turn lock, so that no later run begins. A started run does not hold it."""
    waited = []

    def has_turn():
        try:
            with FileLock(tmp_path / "runs" / "machine.turn", is_singleton=False, timeout=0):
                return False
        except Timeout:
            return True

    class Lock:
        def __init__(self, path):
            pass

        def acquire_write(self):
            waited.append(has_turn())

        def release(self):
            waited.append("released")

    with machine.held(exclusive=False):
        assert not has_turn()
    began = threading.Event()

    def later():
        with machine.held(exclusive=False):
            began.set()

    with FileLock(tmp_path / "runs" / "machine.turn", is_singleton=False):
        thread = threading.Thread(target=later)
        thread.start()
        assert not began.wait(0.3)
    thread.join(30)
    assert began.is_set()
    monkeypatch.setattr(module, "ReadWriteLock", Lock)
    with machine.held(exclusive=True), machine.held(exclusive=True):
        assert not has_turn()
    assert waited == [True, "released"]
