"""Test the start of targets: interpreters, isolation, commands, the reference."""

import os
import sys
from pathlib import Path

import pytest

from harness.record.request import TargetFacts
from harness.targets import interpreter, reference
from harness.targets.errors import TargetError
from harness.targets.interpreter import versions
from harness.targets.resolve import resolve
from harness.targets.start import environment, prepare
from harness.targets.target import ROOT
from tests.requests_ import a_request


def test_environment_keeps_a_target_inside_its_record(tmp_path):
    """Home, settings and temporary files are in existing folders of the record; other variables stay unchanged."""
    base = {"PATH": "/bin", "HOME": "/home/me", "PYTHONPATH": os.pathsep.join([str(ROOT), "/mine"])}
    env = environment(tmp_path, base)
    work = tmp_path / "work"
    for name in (
        "HOME",
        "USERPROFILE",
        "APPDATA",
        "LOCALAPPDATA",
        "XDG_CONFIG_HOME",
        "XDG_CACHE_HOME",
        "TMPDIR",
        "TEMP",
        "TMP",
    ):
        assert Path(env[name]).is_relative_to(work)
        assert Path(env[name]).is_dir()
    assert (env["PATH"], env["PYTHONPATH"], env["PHASE3_RECORD"]) == ("/bin", "/mine", str(tmp_path))
    assert "PYTHONPATH" not in environment(tmp_path, {"PYTHONPATH": str(ROOT)})
    assert base["HOME"] == "/home/me"


def test_no_switch_reaches_a_target_unrecorded(tmp_path):
    """Switches of the target, its solver, this project and Python are removed; variables for the place of modules stay."""
    switches = ("ZEMOSAIC_X", "ZEM_ALTALPHA_Y", "ASTAP_Z", "PHASE3_TARGET_ROOT", "PHASE3_DATA_DIR", "PythonInspect")
    switches += ("PYTHONOPTIMIZE", "PYTHONSTARTUP", "PYTHONPYCACHEPREFIX", "PYTHONWARNINGS")
    kept = {"PYTHONHOME": "/p", "PYTHONUSERBASE": "/u", "PYTHONUTF8": "1", "LANG": "fr_FR.UTF-8", "MY_ZEMOSAIC_X": "1"}
    env = environment(tmp_path, dict.fromkeys(switches, "1") | kept)
    assert not set(switches) & set(env)
    assert env.items() >= kept.items()


def test_order_of_sets_is_the_requests(tmp_path):
    """The hash seed, which orders sets of text, follows the request's seed, so compared runs have the same order."""
    for seed, expected in ((0, "0"), (7, "7"), (2**32 + 1, "1")):
        start = prepare(tmp_path, a_request(target=TargetFacts("reference", "r", "", sys.executable), seed=seed))
        assert start.env["PYTHONHASHSEED"] == expected


def test_launcher_is_started_by_the_targets_interpreter(tmp_path):
    """The interpreter gets the launcher and the record, starts in the run's working folder, and finds the user's own packages."""
    target = TargetFacts("reference", "r", "", sys.executable)
    start = prepare(tmp_path, a_request(target=target))
    assert start.argv[0] == sys.executable
    assert start.argv[1:] == ["-P", str(ROOT / "harness" / "probe" / "launch.py"), str(tmp_path)]
    assert start.cwd == tmp_path / "work" / "cwd"
    assert start.cwd.is_dir()
    assert start.env["PYTHONUSERBASE"] == interpreter.examine(None).user_base


def test_old_interpreters_are_not_given_options_that_they_lack():
    """Option -P exists since Python 3.11; older interpreters are started without it."""
    assert interpreter.Interpreter("p", (3, 10, 1), "", {}).safe_path == ()
    assert interpreter.Interpreter("p", (3, 11, 0), "", {}).safe_path == ("-P",)


def test_command_is_started_as_its_words(tmp_path):
    """A command line is split once and never given to a shell; the environment names its record."""
    facts = resolve(f'command:"{sys.executable}" -c "print(1); x" $HOME', None, tmp_path)
    assert facts.command[1:] == ("-c", "print(1); x", "$HOME")
    start = prepare(tmp_path, a_request(target=facts))
    assert start.argv == list(facts.command)
    assert start.env["PHASE3_RECORD"] == str(tmp_path)


@pytest.mark.parametrize(
    ("words", "match"),
    [("", "found no text"), ('"open', "quote it"), ("no-such-program-here x", "found no 'no-such-program-here'")],
)
def test_command_that_cannot_be_started_is_told(words, match, tmp_path):
    """A command that can't be started is an error before the first run."""
    with pytest.raises(TargetError, match=match):
        resolve(f"command:{words}", None, tmp_path)


def test_reference_names_its_defects(tmp_path):
    """The reference runs in this interpreter; its defects are part of its identity, and unknown defects are refused."""
    good = resolve("reference", None, tmp_path)
    bad = resolve("reference:naive_per_tile_deletion", None, tmp_path)
    assert (good.kind, good.python, good.root) == ("reference", sys.executable, str(ROOT))
    assert good.identity["defects"] == []
    assert bad.identity["defects"] == ["naive_per_tile_deletion"]
    assert good.identity["files"] == bad.identity["files"]
    assert good.label != bad.label
    with pytest.raises(TargetError, match="found nonsense"):
        resolve("reference:nonsense", None, tmp_path)
    with pytest.raises(TargetError, match="found cache_leak, late_removal"):
        resolve("reference:late_removal,cache_leak", None, tmp_path)


def test_a_pipeline_that_does_not_answer_is_refused(tmp_path, monkeypatch):
    """Without the names of its defects, no defect can be switched on; the reference without defects needs no answer."""
    reference._require_defects.cache_clear()
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    assert resolve("reference", None, tmp_path).identity["defects"] == []
    with pytest.raises(TargetError, match="found no answer"):
        resolve("reference:late_removal", None, tmp_path)


def test_versions_of_what_matters():
    """The versions are those of Python and of the installed libraries only."""
    found = versions(None)
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["numpy"]
    assert set(found) <= {"python", *interpreter.ZEMOSAIC_LIBRARIES.values()}


def script(folder, text):
    """Write a program that is used in place of an interpreter."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(os.name == "nt", reason="scripts are not programs there")
@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("print('hello')", "found something else"),
        ("import sys; sys.exit('broken')", "found something else .broken"),
        (
            """print('{"version": [3, 8, 1], "user_base": "", "libraries": {}}')""",
            r"expected Python 3\.9 or later.*found 3\.8\.1",
        ),
    ],
)
def test_what_is_no_interpreter_is_told(text, match, tmp_path):
    """A program that does not answer as Python does, or an old Python, is refused with what to do."""
    with pytest.raises(TargetError, match=match):
        interpreter.examine(script(tmp_path, text))


@pytest.mark.skipif(os.name == "nt", reason="scripts are not programs there")
def test_interpreter_is_found_from_wherever_a_run_starts(tmp_path, monkeypatch):
    """A relative path, the home folder and a bare name become absolute; links into a virtual environment are kept."""
    (tmp_path / "env").mkdir()
    link = tmp_path / "env" / "python"
    link.symlink_to(sys.executable)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{link.parent}{os.pathsep}{os.environ['PATH']}")
    assert {interpreter.examine(name).path for name in ("env/python", "~/env/python", "python", str(link))} == {
        str(link)
    }


def test_interpreter_that_is_not_there_is_told(tmp_path):
    """A wrong path gives an error that names the option."""
    with pytest.raises(TargetError, match="--phase3-python"):
        interpreter.examine(str(tmp_path / "none"))


def test_interpreter_that_never_answers_is_told(monkeypatch, tmp_path):
    """A program that hangs is ended after a time limit."""

    def hang(*_args, **_kwargs):
        raise interpreter.subprocess.TimeoutExpired("python", 120)

    monkeypatch.setattr(interpreter.subprocess, "run", hang)
    monkeypatch.setattr(interpreter.shutil, "which", lambda _: str(tmp_path / "hangs"))
    with pytest.raises(TargetError, match="found no answer"):
        interpreter.examine(str(tmp_path / "hangs"))
