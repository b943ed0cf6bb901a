"""Test the output of the ``phase3`` command in both languages, and its exit status."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import ANY

import pytest

from harness.commands.doctor import Finding
from harness.commands.main import _language, main
from harness.language.catalogue import translator
from harness.language.message import say
from harness.language.system import language_of
from harness.run.inputs import InputError
from harness.session.model import read_session, write_session
from harness.verdict import Outcome, exit_status
from tests.sample_session import sample_session

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parents[1] / "golden"
RED, GREEN = GOLDEN / "63bcc2c" / "chain", GOLDEN / "b59a65f" / "chain"


def test_a_red_record_ends_with_1_and_its_cause(capsys):
    """Verdicts are printed worst first, each failure with its numbered cause."""
    assert main(["judge", str(RED / "per_tile"), "--pair", str(RED / "run_end")]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("FAIL")
    assert lines[-1].startswith("PASS")
    assert any("1. " in line and "tile" in line for line in lines)


def test_a_green_record_ends_with_0(capsys):
    """If every check passes, the status is 0; a quality finding is marked as a finding."""
    assert main(["judge", str(GREEN / "per_tile"), "--pair", str(GREEN / "run_end")]) == 0
    red = [line for line in capsys.readouterr().out.splitlines() if line.startswith("FAIL")]
    assert all(line.split(maxsplit=1)[1].startswith("accuracy (finding): ") for line in red)


def test_the_module_is_the_command():
    """``python -m harness.commands.main`` works like ``phase3``, for a command that is not on the path."""
    done = subprocess.run(
        [sys.executable, "-m", "harness.commands.main", "judge", "nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "phase3: " in done.stderr) == (2, True)


def test_missing_evidence_ends_with_3(capsys):
    """Without its pair the same record is unknown, not a pass."""
    assert main(["judge", str(GREEN / "per_tile")]) == 3
    assert "UNKNOWN" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["judge", "nowhere"], ["report", "nowhere"], ["data", "fetch", "nothing"]])
def test_what_is_not_there_ends_with_2(capsys, tmp_path, monkeypatch, arguments):
    """A wrong name is a usage error, printed to standard error without a traceback."""
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert "expected" in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_bad_frames_are_told_in_the_language(capsys, monkeypatch):
    """An error is printed in French, one line a sentence; another library's error is printed unchanged."""

    def refuse(problem):
        def examine(*_):
            raise problem

        monkeypatch.setattr("harness.commands.doctor.examine", examine)
        assert main(["--lang", "fr", "doctor"]) == 2
        return capsys.readouterr().err.splitlines()

    problem = InputError(say("The record can't be read: {error}", error="x"), say("all installed"))
    assert refuse(problem) == ["phase3\N{NO-BREAK SPACE}: L’enregistrement est illisible\N{NO-BREAK SPACE}: x", ANY]
    assert refuse(OSError("expected a, found b: c")) == ["phase3\N{NO-BREAK SPACE}: expected a, found b: c"]


@pytest.mark.parametrize("given", [True, False])
def test_without_a_session_the_report_says_what_to_do(capsys, tmp_path, monkeypatch, given):
    """Without a session, the error names the folders that were searched and the command that makes a session."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PHASE3_DIR", raising=False)
    if given:
        monkeypatch.setenv("PHASE3_DIR", str(tmp_path / "là"))
    assert main(["report"]) == 2
    err = capsys.readouterr().err
    assert "run pytest -m phase3" in err
    assert (str(tmp_path / "là") if given else f"{tmp_path} and the folders above it") in err


@pytest.fixture
def sessions(tmp_path):
    """Return the folder of sessions in a project's folder; a folder below the project has an empty one."""
    root = tmp_path / "projet" / ".phase3"
    (root / "sessions" / "une session").mkdir(parents=True)
    sample_session(root / "sessions" / "une session")
    (root / "latest").write_text("sessions/une session\n", encoding="utf-8")
    (tmp_path / "projet" / "docs" / ".phase3").mkdir(parents=True)
    return root


@pytest.mark.parametrize("given", [True, False])
def test_the_latest_session_is_reported(capsys, tmp_path, monkeypatch, sessions, given):
    """Without an argument the latest session in PHASE3_DIR is reported, else that of the nearest parent folder with a session."""
    folder = sessions / "sessions" / "une session"
    if given:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PHASE3_DIR", str(sessions))
    else:
        monkeypatch.chdir(tmp_path / "projet" / "docs")
        monkeypatch.delenv("PHASE3_DIR", raising=False)
    assert main(["report"]) == exit_status(read_session(folder).outcome)
    out = capsys.readouterr().out
    assert str(folder / "report.html") in out
    assert str(folder / "report.fr.html") in out


def test_where_sessions_lie_is_not_guessed(capsys, tmp_path, monkeypatch, sessions):
    """A PHASE3_DIR without a session is an error, even if a parent folder has a session."""
    monkeypatch.chdir(sessions.parent)
    monkeypatch.setenv("PHASE3_DIR", str(tmp_path))
    assert main(["report"]) == 2
    assert "expected a session" in capsys.readouterr().err


def test_the_latest_session_stays_inside_its_folder(capsys, monkeypatch, sessions):
    """A pointer to a session outside the folder of sessions is refused."""
    (sessions / "latest").write_text("../../elsewhere\n", encoding="utf-8")
    monkeypatch.setenv("PHASE3_DIR", str(sessions))
    assert main(["report"]) == 2
    assert "expected a path inside" in capsys.readouterr().err


def said_backwards(text):
    """Translate every sentence, as a complete catalogue would."""
    return f"«{text}»"


@pytest.mark.parametrize("arguments", [["--help"], ["judge", "--help"], ["data", "fetch", "--help"]])
def test_help_is_said_in_the_language(capsys, monkeypatch, arguments):
    """The help of commands and options, and argparse's own words, are translated."""
    monkeypatch.setattr("harness.language.catalogue.translator", lambda _: said_backwards)
    with pytest.raises(SystemExit, match="0"):
        main(["--lang=fr", *arguments])
    out = capsys.readouterr().out
    assert out.startswith("«usage: »")
    assert "«options»" in out
    texts = [line.split("  ")[-1].strip() for line in out.splitlines() if "  --" in line or "  -h" in line]
    assert all(text.startswith("«") for text in texts), out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["judge"], "«the following arguments are required: record»"),
        (["judge", "x", "--pair"], "«argument --pair: «expected one argument»»"),
        (["report", "x", "y"], "«unrecognized arguments: y»"),
    ],
)
def test_errors_of_usage_are_said_in_the_language(capsys, monkeypatch, arguments, said):
    """A wrong command line is status 2, in the language given before the command."""
    monkeypatch.setattr("harness.language.catalogue.translator", lambda _: said_backwards)
    with pytest.raises(SystemExit, match="2"):
        main(["--lang", "fr", *arguments])
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("given", "code"), [("fr", "fr"), ("xx", "en"), (None, "en")])
def test_the_language_comes_from_the_environment_too(monkeypatch, given, code):
    """PHASE3_LANG sets the language if the command line does not; an unknown language is English."""
    asked = []
    monkeypatch.delenv("PHASE3_LANG", raising=False)
    if given:
        monkeypatch.setenv("PHASE3_LANG", given)
    monkeypatch.setattr("harness.language.catalogue.translator", lambda name: asked.append(name) or str)
    with pytest.raises(SystemExit):
        main(["--help"])
    assert asked == [code]


def test_a_target_that_is_not_there_is_said_in_the_language(capsys, monkeypatch):
    """Errors of targets and records are translated too."""
    monkeypatch.setattr("harness.language.catalogue.translator", lambda _: said_backwards)
    assert main(["--lang", "fr", "doctor", "--target=zemosaic:/nowhere"]) == 2
    assert "«expected a checkout of ZeMosaic" in capsys.readouterr().out
    assert main(["--lang", "fr", "judge", "nowhere"]) == 2
    assert "«expected a record in " in capsys.readouterr().err


def test_verdicts_speak_french(capsys):
    """``--lang fr`` translates sentences, but not the names of checks and events."""
    main(["--lang", "fr", "judge", str(RED / "per_tile"), "--pair", str(RED / "run_end")])
    out = capsys.readouterr().out
    assert "run_end couvre ce ciel" in out
    assert "holes\u00a0:" in out


@pytest.mark.parametrize(("ok", "status"), [(True, 0), (None, 0), (False, 2)])
def test_doctor_ends_with_2_when_something_is_missing(capsys, monkeypatch, ok, status):
    """A finding that prevents a validation is status 2; every finding that is not ok is shown with what to do."""
    finding = Finding(say("own frames"), ok, say("found little"), say("free some"))
    monkeypatch.setattr("harness.commands.doctor.examine", lambda *_: (finding,))
    assert main(["--lang", "fr", "doctor"]) == status
    out = capsys.readouterr().out
    assert f"{translator('fr')('own frames')}\u00a0: found little" in out
    assert ("free some" in out) is (ok is not True)


def test_data_list_names_every_set_and_how_to_get_it(capsys, monkeypatch, tmp_path):
    """A set that is not here is listed with the command that gets it."""
    monkeypatch.setenv("PHASE3_DATA_DIR", str(tmp_path))
    assert main(["data", "list"]) == 0
    out = capsys.readouterr().out
    assert "microobs_hatp32_4panels" in out
    assert "seestar_m94_2panels" in out


def test_data_verify_fails_on_a_changed_frame(capsys, monkeypatch, tmp_path):
    """One changed byte in a set is status 1, and the frame is named."""
    import os

    source = os.environ.get("PHASE3_DATA_DIR")
    name = "microobs_hatp32_4panels"
    if not source or not (Path(source) / name).is_dir():
        pytest.skip("PHASE3_DATA_DIR names no folder with the real sets: get them with phase3 data fetch")
    shutil.copytree(Path(source) / name, tmp_path / name, copy_function=shutil.copyfile)
    monkeypatch.setenv("PHASE3_DATA_DIR", str(tmp_path))
    assert main(["data", "verify", name]) == 0
    frame = next((tmp_path / name).glob("*.fits"))
    content = bytearray(frame.read_bytes())
    content[-3000] ^= 1
    frame.write_bytes(content)
    assert main(["data", "verify", name]) == 1
    assert frame.name in capsys.readouterr().out


def test_a_record_is_judged_beside_others(capsys):
    """Options name every record that a verdict compares; the JSON holds the verdicts with their evidence."""
    green = [str(GREEN / "per_tile"), "--pair", str(GREEN / "run_end"), "--baseline", str(RED / "per_tile")]
    beside = ["--equal", green[2], "--timed", green[0], green[2], "--size", green[0], "--size", green[2]]
    assert main(["judge", *green, *beside, "--json", "--check", "tiles", "--check", "warnings"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["outcome"] == "pass"
    assert [v["check"] for v in found["verdicts"]] == ["tiles", "warnings"]
    assert found["verdicts"][0]["evidence"]


def test_a_check_that_is_not_there_is_a_usage_error(capsys):
    """An unknown check is status 2, and the error lists the checks."""
    assert main(["judge", str(GREEN / "per_tile"), "--check", "colour"]) == 2
    assert "expected names of checks (crash, warnings, " in capsys.readouterr().err


@pytest.fixture
def a_session(tmp_path):
    """Return the folder of a session that loses a tile."""
    sample_session(tmp_path, "zemosaic")
    return tmp_path


def test_a_session_is_judged_again(capsys, a_session):
    """Every run is judged again with the same records to compare; changed verdicts are printed and nothing is written."""
    before = (a_session / "session.json").read_bytes()
    judged = [f"--check={v.check}" for v in read_session(a_session).judged[0].verdicts]
    assert main(["judge", str(a_session), *judged]) == 1
    assert "verdicts that changed: 0" in capsys.readouterr().out
    session = read_session(a_session)
    subject = session.judged[0]
    changed = tuple(replace(v, outcome=Outcome.PASS) if v.check == "holes" else v for v in subject.verdicts)
    write_session(replace(session, judged=(replace(subject, verdicts=changed),)), a_session)
    assert main(["judge", str(a_session), "--check", "holes"]) == 1
    out = capsys.readouterr().out
    assert "chain, version under test, holes: pass → fail" in out
    assert "verdicts that changed: 1" in out
    assert main(["judge", str(a_session), "--json", "--check", "holes"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["judged"][0]["verdicts"][0]["outcome"] == "fail"
    write_session(session, a_session)
    assert (a_session / "session.json").read_bytes() == before


def test_a_check_that_the_session_has_not_is_a_change(capsys, a_session):
    """A check that the session does not have yet is a change, shown after a dash."""
    session = read_session(a_session)
    fewer = tuple(v for v in session.judged[0].verdicts if v.check != "tiles")
    write_session(replace(session, judged=(replace(session.judged[0], verdicts=fewer),)), a_session)
    assert main(["judge", str(a_session)]) == 1
    assert "chain, version under test, tiles: – → fail" in capsys.readouterr().out
    write_session(replace(session, judged=(replace(session.judged[0], case="a\x1b[2J", verdicts=fewer),)), a_session)
    main(["judge", str(a_session)])
    assert (
        "a\\u001b[2J, version under test, tiles" in capsys.readouterr().out
    )  # whoever wrote the session steers no terminal


def test_a_session_says_itself_what_stands_beside_its_runs(capsys, a_session):
    """Options with records are a usage error for a session, and so is a run that the session does not hold."""
    assert main(["judge", str(a_session), "--pair", str(GREEN / "run_end")]) == 2
    assert "expected a session alone" in capsys.readouterr().err
    session = read_session(a_session)
    write_session(replace(session, runs=()), a_session)
    assert main(["judge", str(a_session)]) == 2
    assert "expected the run subject-per_tile" in capsys.readouterr().err


def test_phase3_alone_prints_the_help(capsys):
    """Without a command the help is printed: it lists the commands, and nothing is an error."""
    assert main([]) == 0
    shown = capsys.readouterr()
    assert "autopsy" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--lang", "fr"], "autopsy"),
        (["--lang=fr"], "autopsy"),
        (["--lang=fr", "case"], "verify"),
        (["case", "--lang", "fr"], "verify"),
        (["data", "--lang=fr"], "fetch"),
    ],
)
def test_words_without_a_command_to_run_print_the_help_in_the_language(capsys, words, shown):
    """``phase3 --lang fr``, and a command that has commands below it, print the help in French; nothing is an error."""
    assert main(words) == 0
    printed = capsys.readouterr()
    assert "affiche cette aide" in printed.out
    assert shown in printed.out
    assert printed.err == ""


@pytest.mark.parametrize(
    "words", [["--lang=fr", "data", "list"], ["data", "list", "--lang", "fr"], ["data", "list", "--lang=fr"]]
)
def test_the_language_may_come_after_the_command(capsys, monkeypatch, tmp_path, words):
    """``--lang`` is understood before and after the words of a command."""
    monkeypatch.setenv("PHASE3_DATA_DIR", str(tmp_path))
    assert main(words) == 0
    assert "absent de cette machine" in capsys.readouterr().out


def test_the_language_of_another_program_is_not_taken():
    """An option after ``--`` belongs to the program that is started."""
    assert _language(["record", "--", "zemosaic", "--lang", "fr"], ("en", "fr")) == "en"


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({"LANG": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_CA"}, "fr"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LANG": "fr_FR.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "fr_FR.UTF-8"}, "fr"),
        ({"LANG": "fr_FR.UTF-8", "PHASE3_LANG": "en"}, "en"),
        ({"PHASE3_LANG": "xx", "LANG": "fr_FR"}, "fr"),
        ({}, "en"),
    ],
)
def test_the_language_of_the_system_counts(env, code):
    """LC_ALL, LC_MESSAGES and LANG name the language in POSIX's order; PHASE3_LANG comes first."""
    assert language_of(env) == code


def test_french_numbers_have_a_decimal_comma():
    """A number in a French sentence has a comma, whether it is a number or a text of digits; a version keeps its points."""
    message = say("{a} {b} {c} {d}", a=0.25, b="0.170", c="3.11", d=1234)
    assert message.render(translator("fr")) == "0,25 0,170 3.11 1234"
    assert message.render(translator("en")) == "0.25 0.170 3.11 1234"


def test_a_reader_that_goes_away_is_no_error():
    """A closed pipe, as of ``head``, ends the command with the status of SIGPIPE and without a traceback."""
    script = (
        "import sys, harness.commands.main as m\n"
        "m._COMMANDS = ()\n"
        "def run(options, translate):\n"
        "    sys.stdin.read()\n"
        "    print('a verdict')\n"
        "    return 1\n"
        "class One:\n"
        "    @staticmethod\n"
        "    def register(commands, text): commands.add_parser('one').set_defaults(command=run)\n"
        "m._COMMANDS = (One,)\n"
        "sys.exit(m.main(['one']))\n"
    )
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        process.stdout.close()
        process.stdin.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert said == ""
