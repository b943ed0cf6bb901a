"""The hooks of pre-commit and the steps of .ci/run: the same commands, so that a commit which passes here passes in CI."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONFIG = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
HOOKS = {hook["id"]: hook for repo in CONFIG["repos"] for hook in repo["hooks"]}
SCRIPT = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
BEFORE_A_COMMIT = {name: hook for name, hook in HOOKS.items() if "stages" not in hook}


def files_of(words):
    """Return the files of the project that the words of a command name, patterns expanded."""
    return {path.relative_to(ROOT).as_posix() for word in words for path in ROOT.glob(word) if path.is_file()}


def steps():
    """Return the commands of .ci/run that check the sources, as lists of words."""
    return [shlex.split(step) for step in re.findall(r"^step '([^']+)'(?: +#.*)?$", SCRIPT, re.MULTILINE)]


def test_ci_and_the_hooks_run_the_same_commands():
    """Each check of .ci/run has a hook and each hook a check: same program, same options, same order."""
    # A hook that is given the names of files has the command without them.
    entries = [(shlex.split(hook["entry"]), hook.get("pass_filenames", True)) for hook in BEFORE_A_COMMIT.values()]
    assert len(entries) == len(steps())
    for (entry, takes_files), step in zip(entries, steps(), strict=True):
        assert step[: len(entry)] == entry
        assert takes_files or step == entry


@pytest.mark.parametrize("name", [name for name, hook in BEFORE_A_COMMIT.items() if hook.get("pass_filenames", True)])
def test_a_hook_is_given_the_files_that_ci_names(name):
    """The pattern of such a hook matches exactly the files on the command line of .ci/run."""
    entry = shlex.split(HOOKS[name]["entry"])
    (step,) = (step for step in steps() if step[: len(entry)] == entry)
    every = {path.relative_to(ROOT).as_posix() for folder in (".ci", ".github") for path in (ROOT / folder).rglob("*")}
    matched = {path for path in every if re.search(HOOKS[name]["files"], path)}
    assert matched
    assert matched == files_of(step[len(entry) :])


def test_the_own_tests_run_before_a_push():
    """The last command of the README's second line, in a stage of its own because it takes minutes."""
    command = HOOKS["tests"]["entry"]
    assert HOOKS["tests"]["stages"] == ["pre-push"]
    assert "pre-push" in CONFIG["default_install_hook_types"]
    assert re.search(rf"readme_step '.*&& {re.escape(command)}'$", SCRIPT, re.MULTILINE)


def test_programs_come_from_the_environment():
    """No hook downloads a program, so each has the version that the dev extras installed."""
    assert {repo["repo"] for repo in CONFIG["repos"]} == {"local"}
    assert {hook["language"] for hook in HOOKS.values()} == {"system"}
