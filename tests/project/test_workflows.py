"""The workflows: what they must be to be safe and to say the truth, read as data; and their steps, run as they stand."""

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
from harness.session.model import read_session, write_session
from harness.session.options import OPTIONS
from tests.sample_session import sample_session

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
NIGHTLY = ROOT / ".github" / "workflows" / "nightly.yml"
PINNED = re.compile(r"\s*(?:- )?uses: (?P<action>[\w.-]+/[\w./-]+)@(?P<sha>[0-9a-f]{40}) # v\d+\.\d+\.\d+")
# What a workflow may set beside the options of a session, and what of a repository it may read beside these.
OTHERS = {"PHASE3_DATA_DIR"}
OF_THE_RUNNER = {"PHASE3_RUNNER", "PHASE3_ZEMOSAIC", "PHASE3_COMMIT"}
BASH = shutil.which("bash")


def steps(workflow):
    """Yield each step with its job's name."""
    for name, job in workflow["jobs"].items():
        for step in job["steps"]:
            yield name, step


def named(workflow, job, name):
    """Return a step of a job."""
    return next(step for step in workflow["jobs"][job]["steps"] if step.get("name") == name)


def commands(script):
    """Return the commands of a script as lists of words, a variable as its name."""
    lines = script.replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.strip()]


def unpinned(text, workflow):
    """Say which actions are not named by a commit, with the version as a comment."""
    pinned = [PINNED.fullmatch(line) for line in text.splitlines() if "uses:" in line]
    used = [step["uses"] for _, step in steps(workflow) if "uses" in step]
    found = [match for match in pinned if match]
    versions = {(match["action"], match["sha"]) for match in found}
    if len(found) != len(used) or len(pinned) != len(used):
        yield "an action is not pinned"
    if len(versions) != len({action for action, _ in versions}):
        yield "one action at two commits"


def open_handed(_, workflow):
    """Say where a job may do more than it needs, or what it needs would outlive it."""
    if workflow.get("permissions") != {}:
        yield "permissions for every job"
    for name, job in workflow["jobs"].items():
        if job.get("permissions") != {"contents": "read"}:
            yield f"{name}: permissions"
    for name, step in steps(workflow):
        checkout = step.get("uses", "").startswith("actions/checkout@")
        if checkout and step.get("with", {}).get("persist-credentials") is not False:
            yield f"{name}: credentials stay"
        if "${{" in step.get("run", ""):
            yield f"{name}: an expression in a script"
    if "self-hosted" in str(workflow) or "vars.PHASE3_RUNNER" in str(workflow):
        # True is what YAML 1.1 reads in the word `on`.
        triggers = set(workflow[True])
        if triggers - {"schedule", "workflow_dispatch"}:
            yield "somebody's own machine runs what strangers propose"


def endless(_, workflow):
    """Say what may run without an end, or beside itself."""
    if not workflow.get("concurrency", {}).get("group"):
        yield "concurrency"
    for name, job in workflow["jobs"].items():
        limit = job.get("timeout-minutes")
        if not isinstance(limit, int):
            yield f"{name}: no time limit"
        elif any(step.get("timeout-minutes", 0) >= limit for step in job["steps"]):
            yield f"{name}: a step may take what the steps after it need"


def options(text, workflow):
    """Say which settings of the harness there are not, and which commands it does not take."""
    known = {option.env for option in OPTIONS} | OTHERS
    given = re.findall(r"\bPHASE3_[A-Z_]+(?=:)", text)
    yield from (f"{name}: no option" for name in given if name not in known)
    read = set(re.findall(r"\bvars\.([A-Z0-9_]+)", text))
    yield from (f"{name}: no variable" for name in read - known - OF_THE_RUNNER)
    flags = re.findall(r"--(phase3-[a-z]+)", text)
    yield from (f"--{name}: no option" for name in flags if f"--{name}" not in {option.cli for option in OPTIONS})
    parser = _parser(str)
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
    """Say which verdict would not be heard, because it is not concluded from."""
    for name, job in workflow["jobs"].items():
        validates = [step for step in job["steps"] if "pytest -m phase3" in step.get("run", "")]
        concludes = [step for step in job["steps"] if "phase3 conclude" in step.get("run", "")]
        if validates and not concludes:
            yield f"{name}: no conclusion"
        for step in concludes:
            if not step.get("if", "").startswith("${{ always()") or step.get("continue-on-error"):
                yield f"{name}: a conclusion may be left out"
            if step.get("env", {}).get("ENDED") not in ENDED_FROM:
                yield f"{name}: how the session's maker ended is not told"


def unkept(_, workflow):
    """Say what would be kept on success only, or for ever."""
    for name, step in steps(workflow):
        if step.get("uses", "").startswith("actions/upload-artifact@"):
            if not step.get("if", "").startswith("${{ always()"):
                yield f"{name}: kept on success only"
            if not isinstance(step["with"].get("retention-days"), int):
                yield f"{name}: kept for ever"


def overridden(text, workflow):
    """Say which variable of the repository a manual start would override with a choice that nobody made."""
    triggers = workflow[True]  # what YAML 1.1 reads in the word `on`
    started = triggers.get("workflow_dispatch") if isinstance(triggers, dict) else None
    for name, asked in ((started or {}).get("inputs") or {}).items():
        # Without a default the first option of a choice is taken.
        first = asked.get("default", (asked.get("options") or [""])[0])
        passed_by = f"inputs.{name} != '{first}' && inputs.{name} || vars."
        if first and f"inputs.{name} || vars." in text and passed_by not in text:
            yield f"{name}: a choice that nobody made"


def unreported(_, workflow):
    """Say what the report would leave out: it waits for every system of the matrix, whatever became of it."""
    if "report" not in workflow["jobs"]:
        return
    if workflow["jobs"]["report"].get("if") != "${{ always() }}":
        yield "report: only on success"
    matrix = workflow["jobs"]["reference"]["strategy"]["matrix"]["include"]
    made = {f"parts/session-{entry['system']}-{entry['python']}" for entry in matrix}
    (words,) = (w for w in commands(named(workflow, "report", "Conclude")["run"]) if w[:2] == ["phase3", "conclude"])
    if {word for word in words if word.startswith("parts/")} != made:
        yield "report: other systems than the matrix has"
    # Where one artifact alone is found, download-artifact unpacks it without a folder of its name.
    kept = named(workflow, "reference", "Keep the session")["with"]
    folder = kept["path"].replace("${{ runner.temp }}", "$RUNNER_TEMP")
    step = named(workflow, "reference", "Conclude")
    whole = f'"{folder}/$NAME"' in step["run"] and step["env"].get("NAME") == kept["name"]
    if not whole or named(workflow, "report", "Fetch the sessions")["with"].get("merge-multiple") is not True:
        yield "report: a session that is alone is not found"


ENDED_FROM = {"${{ steps.validate.outcome }}", "${{ needs.reference.result }}"}
RULES = (unpinned, open_handed, endless, options, unconcluded, unkept, overridden, unreported)


def problems(text):
    """Return what is wrong with a workflow."""
    workflow = yaml.safe_load(text)
    return [problem for rule in RULES for problem in rule(text, workflow)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_workflow_keeps_every_rule(path):
    """Actions are pinned, permissions least, times limited, options known, and no verdict is lost."""
    assert problems(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7", "an action is not pinned"),
        (" # v7.0.1", "", "an action is not pinned"),
        ("@3d3c42e5aac5ba805825da76410c181273ba90b1", "@" + "0" * 40, "one action at two commits"),
        ("permissions: {}", "permissions: read-all", "permissions for every job"),
        ("contents: read #", "contents: write #", "reference: permissions"),
        ("persist-credentials: false", "persist-credentials: true", "reference: credentials stay"),
        ('--ended="$ENDED"', "--ended=${{ inputs.commit }}", "reference: an expression in a script"),
        ("workflow_dispatch:", "pull_request:", "somebody's own machine runs what strangers propose"),
        ("group: nightly-${{ github.ref }}", 'group: ""', "concurrency"),
        ("    timeout-minutes: 90\n", "", "reference: no time limit"),
        ("timeout-minutes: 75", "timeout-minutes: 90", "reference: a step may take what the steps after it need"),
        ("PHASE3_BUDGET:", "PHASE3_BUDGETS:", "PHASE3_BUDGETS: no option"),
        ("vars.PHASE3_LANG", "vars.PHASE3_LANGUAGE", "PHASE3_LANGUAGE: no variable"),
        ("--phase3-dir=", "--phase3-folder=", "--phase3-folder: no option"),
        ("run: phase3 doctor", "run: phase3 doctor --commit=x", "zemosaic: phase3 doctor --commit=x"),
        ("phase3 conclude report --ended=", "phase3 conclude report --end=x --ends=", "report: phase3 conclude"),
        ("always() && steps.install", "steps.install", "reference: a conclusion may be left out"),
        ("        id: conclude\n", "        continue-on-error: true\n", "reference: a conclusion may be left out"),
        (
            "ENDED: ${{ steps.validate.outcome }}",
            "ENDED: success",
            "reference: how the session's maker ended is not told",
        ),
        ("        if: ${{ always() }}\n        uses", "        uses", "reference: kept on success only"),
        ("          retention-days: 14\n", "", "reference: kept for ever"),
        ("    if: ${{ always() }}\n    runs-on", "    runs-on", "report: only on success"),
        ("{ system: macos-15,", "{ system: macos-26,", "report: other systems than the matrix has"),
        ("run: phase3 conclude", "run: phase3 report", "reference: no conclusion"),
        ("options: [as the variable says, fast", "options: [fast", "profile: a choice that nobody made"),
        ("inputs.language != 'as the variable says' && ", "", "language: a choice that nobody made"),
        ("          merge-multiple: true\n", "", "report: a session that is alone is not found"),
        ('"$RUNNER_TEMP/kept/$NAME"', '"$RUNNER_TEMP/kept"', "report: a session that is alone is not found"),
    ],
)
def test_each_rule_sees_its_fault(old, new, problem):
    """A workflow that breaks one rule, once, is found by it."""
    text = NIGHTLY.read_text(encoding="utf-8")
    assert old in text
    assert any(found.startswith(problem) for found in problems(text.replace(old, new, 1)))


def test_what_the_variables_mean_is_written_down():
    """Each variable of the repository that the nightly job reads has its line in the document."""
    read = set(re.findall(r"\bvars\.([A-Z0-9_]+)", NIGHTLY.read_text(encoding="utf-8")))
    page = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(PHASE3_\w+)` \|", page, re.MULTILINE))
    assert rows == read


def linter(name):
    """Return a linter of the developers' tools, beside the interpreter that runs this."""
    found = shutil.which(name, path=os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])))
    if found is None:
        pytest.skip(f"{name} is not installed here")
    return found


def lint(name, *words):
    """Run a linter, with the others of the developers' tools in reach; return its status and what it said."""
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
    """Both linters, with the words that .ci/run gives them, pass the workflows as they are."""
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
    """The linters are no ornament: a fault in the same file is found by the one that is there for it."""
    text = NIGHTLY.read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / ".github" / "workflows" / "nightly.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    status, said = lint(name, *LINTS[name], str(path))
    assert status != 0
    assert finding in said


def test_ci_runs_the_linters():
    """What lints here is what .ci/run runs, after the types."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    lines = [line for line in script.splitlines() if line.startswith("step '")]
    after = lines[lines.index("step 'mypy'") + 1 :]
    assert [line for line in after if "actionlint" in line]
    assert [line for line in after if "zizmor --offline" in line and "--persona=pedantic" in line]


needs_bash = pytest.mark.skipif(BASH is None, reason="this system has no bash")


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    """Return the folder of a session, whose outcome a test chooses."""
    folder = tmp_path_factory.mktemp("sample") / "session"
    folder.mkdir()
    sample_session(folder)
    return folder


@pytest.fixture
def runner(tmp_path):
    """Return a runner's temporary folder, whose name has a space, with the programs that the steps call."""
    temp = tmp_path / "runner temp"
    tools = tmp_path / "tools"
    for folder in (temp, tools):
        folder.mkdir()
    program = tools / "phase3"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m harness.commands.main "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return temp


def run(runner, step, folder=ROOT, **values):
    """Run a step's script as a runner does, with what its expressions would be; return its status and all it said."""
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
    """Put a session with this outcome into a folder."""
    shutil.copytree(sample, folder)
    session = read_session(folder)
    write_session(replace(session, tests=tuple(replace(t, outcome=outcome) for t in session.tests)), folder)


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
    """Green, red, unknown and none at all: the step ends with the verdict and says which it is."""
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
    """The last job's report is of all systems; one that is not there is named, and the worst of the others counts."""
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
    assert kept == (views if any(outcomes) else set())


@needs_bash
def test_the_step_that_fetches_zemosaic(runner, tmp_path):
    """A clone's path may have a space; what is fetched is bare, and the target names a commit of it."""
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
    """The harness goes into an environment that ends with the job, wherever that system puts its programs."""
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
