"""No file of a session, a case or a user makes a command wait: pipes, sockets, devices, endless files, deep JSON."""

import io
import sys

import pytest

from harness.commands.main import main
from harness.compare.accepted import read_accepted
from harness.field import autopsy, case_file
from harness.record import limits
from harness.session.durations import Durations
from harness.session.model import read_session, write_session
from harness.signoff.statement import read_bounded
from harness.targets.zemosaic import read_config
from reports.html.skymap import read_photograph
from tests.bounded import bounded
from tests.record.test_bounds import KINDS
from tests.sample_session import sample_session


def _said(*words):
    """Run a command; return its exit status and what it printed on standard error."""
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    return main(["--lang", "en", *map(str, words)]), sys.stderr.getvalue()


def _session(path):
    return read_session(path.parent)


def _accepted(path):
    return read_accepted(path.parent)


def _photograph(path):
    return read_photograph(path.parent, path.name)


def _durations(path):
    return dict(Durations(path)._read())


def _log(path):
    return len(autopsy.read_log(path).gaps)


READERS = {
    "session.json": (_session, "SessionError"),
    "accepted.json": (_accepted, "SessionError"),
    "signoff.json": (read_bounded, ("RecordError", "SignoffError")),
    "case.json": (case_file.read, "CaseError"),
    "zemosaic_worker.log": (_log, ("RecordError", "SaidError")),
    "zemosaic_config.json": (read_config, ("TargetError", "RecordError")),
    "thumbnail.png": (_photograph, None),
    "durations.json": (_durations, None),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_file_that_is_none_makes_no_reader_wait(tmp_path, name, kind):
    """Each reader refuses it with its own error, or goes on without a file that it can do without."""
    KINDS[kind][0](tmp_path / name)
    function, errors = READERS[name]
    answer = bounded(function, tmp_path / name)
    if errors is None:
        assert (answer.error, answer.value or None) == ("", None)
    elif name == "zemosaic_worker.log" and "terabyte" in kind:
        assert answer.value == 1  # the end of a log is read, and no line of it can be
    else:
        assert answer.error in errors, answer.text


@pytest.mark.parametrize("name", ["session.json", "accepted.json", "case.json", "durations.json"])
def test_json_nested_deep_is_refused_by_each_reader(tmp_path, name):
    """100,000 brackets are no session, acceptance, case or list of durations."""
    (tmp_path / name).write_text("[" * 100_000 + "]" * 100_000, encoding="utf-8")
    function, errors = READERS[name]
    answer = bounded(function, tmp_path / name)
    assert (answer.error in errors) if errors else (answer.value == {})


def test_a_session_that_takes_much_memory_is_refused(tmp_path):
    """60 MB of empty objects are refused before they are parsed."""
    (tmp_path / "session.json").write_bytes(b'{"runs": [' + b"{}," * 20_000_000 + b"{}]}")
    answer = bounded(_session, tmp_path / "session.json", most=300)
    assert answer.error == "SessionError"
    assert "session.json that takes at most 200 MB of memory" in answer.text


def _made_session(folder):
    session = sample_session(folder)
    write_session(session, folder)
    return next(iter(folder.glob("**/events-*.jsonl"))).parent


@pytest.mark.parametrize("kind", ["a pipe", "a file of a terabyte"])
@pytest.mark.parametrize("command", ["judge", "report", "dod", "verify"])
def test_a_command_answers_on_a_session_that_is_none(tmp_path, command, kind):
    """The command ends with a message and a status, and not with a traceback."""
    KINDS[kind][0](tmp_path / "session.json")
    if command == "judge":
        (tmp_path / "request.json").unlink(missing_ok=True)
    answer = bounded(_said, command, tmp_path)
    assert answer.error in ("", "SystemExit"), answer.text
    if answer.error == "":
        assert answer.value[0] in (2, 3)
        assert "Traceback" not in answer.value[1]


@pytest.mark.parametrize("kind", ["a pipe", "a file of a terabyte"])
@pytest.mark.parametrize("name", ["events-*.jsonl", "products.npz"])
def test_a_record_of_a_session_that_is_none(tmp_path, name, kind):
    """To judge a session with such a record ends with a message; to write its report makes a page all the same."""
    record = _made_session(tmp_path)
    path = next(iter(record.glob(name)), record / name)
    path.unlink(missing_ok=True)
    KINDS[kind][0](path)
    answer = bounded(_said, "judge", tmp_path)
    assert answer.error == "", answer.text
    assert answer.value[0] in (1, 2, 3)


def test_the_limits_let_the_largest_good_files_pass():
    """The largest stored session has 0.9 MB, the largest line 5.1 kB, the largest archive 1.1 MB, a run 13,841 lines."""
    assert limits.JSON_BYTES > 10 * 900_000
    assert limits.LINE_BYTES > 10 * 5_107
    assert limits.ARCHIVE_BYTES > 10 * 1_079_463
    assert limits.LINES > 10 * 13_841
