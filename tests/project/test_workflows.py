"""Tests of the workflow files: safety rules, read as data, and their steps, run unchanged."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.commands.conclude import ENDS
from harness.commands.main import _parser
from harness.language.system import CODES
from harness.session.model import read_session, write_session
from harness.session.options import OPTIONS
from harness.session.run_matrix import RUNS
from harness.verdict import Outcome
from tests.sample_session import sample_session

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NIGHTLY = ROOT / ".github" / "workflows" / "nightly.yml"
PINNED = re.compile(r"\s*(?:- )?uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<sha>[0-9a-f]{40}) # v\d+\.\d+\.\d+")
# Further variables that a workflow may set, besides session options, and repository variables that it may read.
OTHERS = {"PHASE3_DATA_DIR"}
OF_THE_RUNNER = {"PHASE3_RUNNER", "PHASE3_ZEMOSAIC", "PHASE3_COMMIT"}
BASH = shutil.which("bash")


def steps(workflow):
    """Yield each step with the name of its job."""
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            yield name, step


def named(workflow, job, name):
    """Return a step of a job."""
    return next(step for step in workflow["jobs"][job]["steps"] if step.get("name") == name)


def commands(script):
    """Return the commands of a script as lists of words, with variables by name."""
    lines = script.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def unpinned(text, workflow):
    """Yield actions that are not pinned to a commit with the version as a comment."""
    pinned = [PINNED.fullmatch(line) for line in text.splitlines() if "uses:" in line]
    used = [step["uses"] for _, step in steps(workflow) if "uses" in step]
    found = [match for match in pinned if match]
    versions = {(match["action"], match["sha"]) for match in found}
    if len(found) != len(used) or len(pinned) != len(used):
        yield "an action is not pinned"
    if len(versions) != len({action for action, _ in versions}):
        yield "one action at two commits"


def open_handed(_, workflow):
    """Yield permissions and credentials beyond the need of a job, or kept after it."""
    if workflow.get("permissions") != {}:
        yield "permissions at workflow level"
    for name, job in workflow["jobs"].items():
        if job.get("permissions") != {"contents": "read"}:
            yield f"{name}: permissions"
    for name, step in steps(workflow):
        checkout = step.get("uses", "").startswith("actions/checkout@")
        if checkout and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{name}: credentials are kept"
        if "${{" in step.get("run", ""):
            yield f"{name}: an expression in a script"
    if "self-hosted" in str(workflow) or "vars.PHASE3_RUNNER" in str(workflow):
        # YAML 1.1 reads the key `on` as True.
        triggers = set(workflow[True])
        if triggers - {"schedule", "workflow_dispatch"}:
            yield "a self-hosted machine runs the code of strangers"


def endless(_, workflow):
    """Yield jobs without a time limit, and workflows that could run twice at the same time."""
    if not workflow.get("concurrency", {}).get("group"):
        yield "no concurrency group"
    for name, job in workflow["jobs"].items():
        limit = job.get("timeout-minutes")
        if not isinstance(limit, int):
            yield f"{name}: no time limit"
        elif any(step.get("timeout-minutes", 0) >= limit for step in job["steps"]):
            yield f"{name}: a step may use up the time of the job"


def options(text, workflow):
    """Yield unknown settings of the harness, and commands that it does not accept."""
    known = {option.env for option in OPTIONS} | OTHERS
    given = re.findall(r"\bPHASE3_[A-Z_]+(?=:)", text)
    yield from (f"{name}: unknown option" for name in given if name not in known)
    read = set(re.findall(r"\bvars\.([A-Z0-9_]+)", text))
    yield from (f"{name}: unknown variable" for name in read - known - OF_THE_RUNNER)
    flags = re.findall(r"--(phase3-[a-z]+)", text)
    yield from (f"--{name}: unknown option" for name in flags if f"--{name}" not in {option.cli for option in OPTIONS})
    parser = _parser(str, CODES)
    for name, step in steps(workflow):
        for words in commands(step.get("run", "")):
            if words[0] != "phase3":
                continue
            for ended in ENDS:
                try:
                    parser.parse_args([word.replace("$ENDED", ended) for word in words[1:]])
                except SystemExit:
                    yield f"{name}: {' '.join(words)}"
                    break


def unconcluded(_, workflow):
    """Yield jobs whose verdict is not passed on to the workflow."""
    for name, job in workflow["jobs"].items():
        validates = [step for step in job["steps"] if "pytest -m phase3" in step.get("run", "")]
        concludes = [step for step in job["steps"] if "phase3 conclude" in step.get("run", "")]
        if validates and not concludes:
            yield f"{name}: no phase3 conclude step"
        for step in concludes:
            if not step.get("if", "").startswith("${{ always()") or step.get("continue-on-error"):
                yield f"{name}: phase3 conclude may be skipped"
            if step.get("env", {}).get("ENDED") not in ENDED_FROM:
                yield f"{name}: ENDED is not the outcome of the session"


def unkept(_, workflow):
    """Yield artifacts that are kept only on success, or without a time limit."""
    for name, step in steps(workflow):
        if step.get("uses", "").startswith("actions/upload-artifact@"):
            if not step.get("if", "").startswith("${{ always()"):
                yield f"{name}: kept on success only"
            if not isinstance(step["with"].get("retention-days"), int):
                yield f"{name}: kept for ever"


def overridden(text, workflow):
    """Yield repository variables that the default of a manual start would override."""
    triggers = workflow[True]  # YAML 1.1 reads the key `on` as True
    started = triggers.get("workflow_dispatch") if isinstance(triggers, dict) else None
    for name, asked in ((started or {}).get("inputs") or {}).items():
        # Without a default, GitHub takes the first option of a choice.
        first = asked.get("default", (asked.get("options") or [""])[0])
        passed_by = f"inputs.{name} != '{first}' && inputs.{name} || vars."
        if first and f"inputs.{name} || vars." in text and passed_by not in text:
            yield f"{name}: the default choice overrides a variable"


def unreported(_, workflow):
    """Yield causes of an incomplete report: it must cover every system of the matrix, also after failures."""
    if "report" not in workflow["jobs"]:
        return
    if workflow["jobs"]["report"].get("if") != "${{ always() }}":
        yield "report: only on success"
    matrix = workflow["jobs"]["reference"]["strategy"]["matrix"]["include"]
    made = {f"parts/session-{entry['system']}-{entry['python']}" for entry in matrix}
    (words,) = (w for w in commands(named(workflow, "report", "Conclude")["run"]) if w[:2] == ["phase3", "conclude"])
    if {word for word in words if word.startswith("parts/")} != made:
        yield "report: systems differ from the matrix"
    # download-artifact unpacks a single artifact without a folder of its name.
    kept = named(workflow, "reference", "Keep the session")["with"]
    folder = kept["path"].replace("${{ runner.temp }}", "$RUNNER_TEMP")
    step = named(workflow, "reference", "Conclude")
    whole = f'"{folder}/$NAME"' in step["run"] and step["env"].get("NAME") == kept["name"]
    if not whole or named(workflow, "report", "Fetch the sessions")["with"].get("merge-multiple") is not True:
        yield "report: a single session is not found"


ENDED_FROM = {"${{ steps.validate.outcome }}", "${{ needs.reference.result }}"}
RULES = (unpinned, open_handed, endless, options, unconcluded, unkept, overridden, unreported)


def problems(text):
    """Return all broken rules of a workflow."""
    workflow = yaml.safe_load(text)
    return [problem for rule in RULES for problem in rule(text, workflow)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_keeps_every_rule(path):
    """Actions are pinned, permissions minimal, times limited, options known, and every verdict is reported."""
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "an action is not pinned"),
        (" # v7.0.1", "", "an action is not pinned"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@" + "0" * 40, "one action at two commits"),
        ("permissions: {}", "permissions: read-all", "permissions at workflow level"),
        ("contents: read #", "contents: write #", "reference: permissions"),
        ("persist-credentials: false", "persist-credentials: true", "reference: credentials are kept"),
        ('--ended="$ENDED"', "--ended=${{ inputs.commit }}", "reference: an expression in a script"),
        ("workflow_dispatch:", "pull_request:", "a self-hosted machine runs the code of strangers"),
        ("group: nightly-${{ github.ref }}", 'group: ""', "no concurrency group"),
        ("    timeout-minutes: 90\n", "", "reference: no time limit"),
        ("timeout-minutes: 75", "timeout-minutes: 90", "reference: a step may use up the time of the job"),
        ("PHASE3_BUDGET:", "PHASE3_BUDGETS:", "PHASE3_BUDGETS: unknown option"),
        ("vars.PHASE3_LANG", "vars.PHASE3_LANGUAGE", "PHASE3_LANGUAGE: unknown variable"),
        ("--phase3-dir=", "--phase3-folder=", "--phase3-folder: unknown option"),
        ("run: phase3 doctor", "run: phase3 doctor --commit=x", "zemosaic: phase3 doctor --commit=x"),
        ("phase3 conclude report --ended=", "phase3 conclude report --end=x --ends=", "report: phase3 conclude"),
        ("always() && steps.install", "steps.install", "reference: phase3 conclude may be skipped"),
        ("        id: conclude\n", "        continue-on-error: true\n", "reference: phase3 conclude may be skipped"),
        (
            "ENDED: ${{ steps.validate.outcome }}",
            "ENDED: success",
            "reference: ENDED is not the outcome of the session",
        ),
        ("        if: ${{ always() }}\n        uses", "        uses", "reference: kept on success only"),
        ("          retention-days: 14\n", "", "reference: kept for ever"),
        ("    if: ${{ always() }}\n    runs-on", "    runs-on", "report: only on success"),
        ("{ system: macos-15,", "{ system: macos-26,", "report: systems differ from the matrix"),
        ("run: phase3 conclude", "run: phase3 report", "reference: no phase3 conclude step"),
        ("options: [as the variable says, fast", "options: [fast", "profile: the default choice overrides a variable"),
        ("inputs.language != 'as the variable says' && ", "", "language: the default choice overrides a variable"),
        ("          merge-multiple: true\n", "", "report: a single session is not found"),
        ('"$RUNNER_TEMP/kept/$NAME"', '"$RUNNER_TEMP/kept"', "report: a single session is not found"),
    ],
)
def test_each_rule_sees_its_fault(old, new, problem):
    """Each change that breaks a rule is found by that rule."""
    text = NIGHTLY.read_text(encoding="utf-8")
    assert old in text
    assert any(found.startswith(problem) for found in problems(text.replace(old, new, 1)))


def test_what_the_variables_mean_is_written_down():
    """The document has a line for each repository variable that the nightly job reads."""
    read = set(re.findall(r"\bvars\.([A-Z0-9_]+)", NIGHTLY.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(PHASE3_\w+)` \|", page, re.MULTILINE))
    assert rows == read


def linter(name):
    """Return the path of a linter, from the folder of this interpreter or from PATH."""
    found = shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def lint(name, *words):
    """Run a linter with the other developers' tools on its PATH; return its status and output."""
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        [linter(name), *words], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


LINTS = {
    "actionlint": ("-no-color",),
    "zizmor": ("--offline", "--quiet", "--persona=pedantic", "--no-progress"),
}


@pytest.mark.parametrize("name", LINTS)
def test_the_linters_find_nothing(name):
    """The workflows pass both linters, with the options of .ci/run."""
    status, said = lint(name, *LINTS[name], *map(str, FILES))
    assert status == 0, said


@pytest.mark.parametrize(
    ("name", "old", "new", "finding"),
    [
        ("actionlint", 'cd "$RUNNER_TEMP"', "cd $RUNNER_TEMP", "SC2086"),
        ("actionlint", "steps.validate.outcome", "steps.validation.outcome", "validation"),
        ("zizmor", "phase3 doctor", "phase3 doctor ${{ inputs.commit }}", "template-injection"),
        ("zizmor", "        with:\n          persist-credentials: false\n", "", "artipacked"),
    ],
)
def test_the_linters_see_faults(tmp_path, name, old, new, finding):
    """Each linter finds a fault of its kind in the same file, so the linters really run."""
    text = NIGHTLY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / ".github" / "workflows" / "nightly.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    status, said = lint(name, *LINTS[name], str(path))
    assert status != 0
    assert finding in said


def test_ci_runs_the_linters():
    """.ci/run runs these linters, after mypy."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line for line in script.splitlines() if line.startswith("step '")]
    after = lines[lines.index("step 'mypy'") + 1 :]
    assert [line for line in after if "actionlint" in line]
    assert [line for line in after if "zizmor --offline" in line and "--persona=pedantic" in line]


@pytest.mark.parametrize("job", ["reference", "zemosaic"])
def test_what_a_broken_session_left_is_found_where_runs_lie(tmp_path, job):
    """The upload path of a broken session matches the files of a record in the folder of runs."""
    workflow = yaml.safe_load(NIGHTLY.read_text(encoding="utf-8"))
    path = named(workflow, job, "Keep what a broken session left")["with"]["path"]
    record = tmp_path / "p3" / "sessions" / "20261124-000000-aaaaaa" / RUNS / "subject-per_tile"
    record.mkdir(parents=True)
    for name in ("request.json", "trace-1.jsonl"):
        (record / name).touch()
    validate = named(workflow, job, "Validate")["run"]
    assert '--phase3-dir="$RUNNER_TEMP/p3"' in validate
    pattern = path.removeprefix("${{ runner.temp }}/")
    assert {found.name for found in tmp_path.glob(pattern)} == {"request.json", "trace-1.jsonl"}


needs_bash = pytest.mark.skipif(BASH is None, reason="this system has no bash")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Return the folder of a session; each test sets its outcome."""
    folder = tmp_path_factory.mktemp("sample") / "session"
    folder.mkdir()
    sample_session(folder)
    return folder


@pytest.fixture
def runner(tmp_path):
    """Return the temporary folder of a runner, with a space in its name, and the programs that the steps call."""
    temp = tmp_path / "runner temp"
    tools = tmp_path / "tools"
    for folder in (temp, tools):
        folder.mkdir()
    program = tools / "phase3"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.commands.main "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return temp


def run(runner, step, folder=ROOT, **values):
    """Run the script of a step as a runner does, with values for its expressions; return its status and output."""
    path = os.pathsep.join((str(runner.parent / "tools"), os.environ["PATH"]))
    files = {name: str(runner / name) for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT", "GITHUB_PATH")}
    here = {name: value for name, value in os.environ.items() if not name.startswith(("PHASE3_", "GITHUB_"))}
    env = {**here, **files, "PATH": path, "RUNNER_TEMP": str(runner), "GITHUB_ACTIONS": "true", "PYTHONPATH": str(ROOT)}
    script = runner.parent / "script.sh"
    script.write_text(step["run"], encoding="utf-8")
    done = subprocess.run(
        [BASH, "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
        cwd=folder,
        env={**env, **values},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def concluded(sample, folder, outcome):
    """Write a session with this outcome to a folder."""
    shutil.copytree(sample, folder)
    session = read_session(folder)
    write_session(replace(session, tests=tuple(replace(t, outcome=Outcome(outcome)) for t in session.tests)), folder)


@needs_bash
@pytest.mark.parametrize(
    ("outcome", "ended", "status", "said"),
    [
        ("pass", "success", 0, "::notice title=phase3%3A pass::"),
        ("fail", "failure", 1, "::error title=phase3%3A fail::"),
        ("unknown", "failure", 3, "::warning title=phase3%3A unknown::"),
        (None, "failure", 2, "::error title=phase3%3A set-up wrong::"),
    ],
)
def test_the_step_that_concludes(sample, runner, *, outcome, ended, status, said):
    """For a green, red, unknown or missing session, the step ends with the verdict and names it."""
    workflow = yaml.safe_load(NIGHTLY.read_text(encoding="utf-8"))
    step = named(workflow, "reference", "Conclude")
    assert named(workflow, "zemosaic", "Conclude")["run"] == step["run"]
    if outcome:
        concluded(sample, runner / "p3" / "sessions" / "20261124-000000-aaaaaa", outcome)
    found, printed = run(runner, step, ENDED=ended, NAME="session-here-3")
    assert (found, said in printed) == (status, True), printed
    assert (runner / "GITHUB_STEP_SUMMARY").stat().st_size
    kept = Path(
        named(workflow, "reference", "Keep the session")["with"]["path"].replace("${{ runner.temp }}", str(runner))
    )
    assert (kept / "session-here-3" / "session.json").is_file() is (outcome is not None)


@needs_bash
@pytest.mark.parametrize(
    ("outcomes", "ended", "status", "said"),
    [
        (("pass", "pass"), "success", 0, "::notice title=phase3%3A pass::"),
        (("fail", None), "failure", 1, "::error title=phase3%3A fail::expected a session in parts"),
    ],
)
def test_the_step_that_merges(sample, runner, *, outcomes, ended, status, said):
    """The last job reports all systems. A missing one is named, and the worst verdict of the others counts."""
    workflow = yaml.safe_load(NIGHTLY.read_text(encoding="utf-8"))
    step = named(workflow, "report", "Conclude")
    (words,) = (w for w in commands(step["run"]) if w[:2] == ["phase3", "conclude"])
    parts = [word for word in words if word.startswith("parts/")]
    for n, part in enumerate(parts):
        outcome = outcomes[0] if n == 0 else outcomes[1]
        if outcome:
            concluded(sample, runner / part, outcome)
    found, printed = run(runner, step, ENDED=ended)
    assert (found, said in printed) == (status, True), printed
    pattern = named(workflow, "report", "Keep the report")["with"]["path"].removeprefix("${{ runner.temp }}/")
    kept = {path.name for path in runner.glob(pattern)}
    views = {"session.json", "report.html", "report.fr.html", "summary.md", "summary.fr.md", "junit.xml"}
    views |= {"integrity.json", "thresholds.toml"}
    assert kept == (views if any(outcomes) else set())


@needs_bash
def test_the_step_that_fetches_zemosaic(runner, tmp_path):
    """The path of a clone may have a space. The clone is bare, and the target names a commit of it."""
    workflow = yaml.safe_load(NIGHTLY.read_text(encoding="utf-8"))
    source, work = tmp_path / "a clone", tmp_path / "work"
    work.mkdir()
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "--quiet", str(source)], check=True)
    subprocess.run([*git, "-C", str(source), "commit", "--quiet", "--allow-empty", "-m", "x"], check=True)
    status, printed = run(runner, named(workflow, "zemosaic", "Fetch ZeMosaic"), work, ZEMOSAIC=str(source))
    assert status == 0, printed
    target = workflow["jobs"]["zemosaic"]["env"]["PHASE3_TARGET"]
    assert target.startswith("zemosaic:zemosaic.git@${{")
    assert (work / "zemosaic.git" / "HEAD").is_file()


@needs_bash
@pytest.mark.parametrize("bin_folder", ["bin", "Scripts"])
def test_the_step_that_installs_on_somebodys_own_machine(runner, bin_folder):
    """The harness is installed in an environment that is deleted after the job, on any system."""
    workflow = yaml.safe_load(NIGHTLY.read_text(encoding="utf-8"))
    python = runner.parent / "tools" / "python"
    inner = f'#!/bin/sh\necho "$@" >> "{runner}/called"\n'
    python.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-m venv" ] || exit 9\nmkdir -p "$3/{bin_folder}"\n'
        f'cat > "$3/{bin_folder}/python" <<\'END\'\n{inner}END\nchmod +x "$3/{bin_folder}/python"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    status, printed = run(runner, named(workflow, "zemosaic", "Install"))
    assert status == 0, printed
    assert (runner / "called").read_text(encoding="utf-8") == "-m pip install -e .\n"
    assert (runner / "GITHUB_PATH").read_text(encoding="utf-8") == f"{runner}/venv/{bin_folder}\n"
