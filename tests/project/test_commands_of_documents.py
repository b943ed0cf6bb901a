"""The commands of the documents: each parses, names what exists, and is run by a test or has a reason not to be."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from harness.commands.main import _parser
from harness.language.system import CODES
from harness.session.options import OPTIONS, resolve_options
from harness.targets.interpreter import ZEMOSAIC_LIBRARIES
from tests.reliability.__main__ import _parser as reliability_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "benchmarks").glob("*.md")])
# A changelog also names what is gone.
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
PLACEHOLDER = re.compile(r"[A-Z]{2,}")

RUN_BY = {
    "phase3 accept": "tests/commands/test_compare.py",
    "phase3 autopsy": "tests/field/test_autopsy.py",
    "phase3 case make": "tests/field/test_case_file.py",
    "phase3 case run": "tests/field/test_case_file.py",
    "phase3 case verify": "tests/field/test_case_file.py",
    "phase3 clean": "tests/commands/test_clean.py",
    "phase3 compare": "tests/commands/test_compare.py",
    "phase3 conclude": "tests/commands/test_conclude.py",
    "phase3 data fetch": "tests/commands/test_main.py",
    "phase3 data list": "tests/commands/test_main.py",
    "phase3 doctor": "tests/commands/test_console.py",
    "phase3 dod": "tests/reports/document/test_definition_of_done.py",
    "phase3 judge": "tests/commands/test_main.py",
    "phase3 merge": "tests/session/test_merge.py",
    "phase3 patch": "tests/commands/test_patch.py",
    "phase3 record": "tests/commands/test_record.py",
    "phase3 sign": "tests/commands/test_sign.py",
    "phase3 verify": "tests/commands/test_verify.py",
    "phase3 report": "tests/commands/test_main.py",
    "python -m tests.reliability": "tests/test_reliability.py",
    "pytest": ".ci/run",
    "pytest -m phase3": "tests/plugin/test_hooks.py",
    "pip install": ".ci/run",
    ".ci/run": ".github/workflows/ci.yml",
}
"""Each kind of command, and the file that runs it."""
NOT_RUN = {
    "git clone": "It needs a network. test_workflows.py runs the clone of the nightly job on a local repository.",
    "python -m venv": "Python's own. .ci/run makes its environment with it.",
    "pip install -r": "It needs a network. A test below compares the file with what the harness looks for.",
    "pre-commit install": "It changes the git of the checkout. test_pre_commit.py compares the hooks with .ci/run.",
    "pre-commit run": "The same commands as .ci/run, which test_pre_commit.py compares.",
    "pybabel extract": "It writes into the checkout. test_catalogue.py finds the sentences with the same library.",
    "pybabel update": "It changes the catalogue. test_catalogue.py finds sentences that lack a translation, and stale ones.",
    "benchmarks": "They measure for minutes. test_sound.py runs one on few skies.",
    "ssh-keygen -Y": "OpenSSH's own. test_verify.py signs with the same words, in the code of `phase3 sign`.",
    "docs/cases/output_folder.py": "It needs ZeMosaic. test_output_folder.py tests it with a stand-in.",
}
"""Each kind of command that no test runs, with the reason and what is tested in its place."""


def parsers():
    """Return each command of ``phase3``, also those below a command, with its options."""
    found = {}

    def add(name, parser):
        found[name] = {option for action in parser._actions for option in action.option_strings}
        for action in parser._actions:
            for child, inner in action.choices.items() if isinstance(action.choices, dict) else ():
                add(f"{name} {child}".strip(), inner)

    add("", _parser(str, CODES))
    return found


ALL_OPTIONS = set().union(*parsers().values())


def before_dashes(words):
    """Return the words of a command without those of another program after ``--``."""
    return words[: words.index("--")] if "--" in words else words


def blocks(page):
    """Return the lines of a page's console blocks."""
    found = re.findall(r"^ *```console\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [line.strip() for block in found for line in block.splitlines() if line.strip()]


def commands(page):
    """Return each command of a page as words: of its console blocks, and in its text those of pytest and of scripts."""
    lines = blocks(page)
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    lines += [
        " ".join(found.split()) for found in re.findall(r"`(?:time )?(python (?:-m pytest|[\w/]+\.py) [^`]+)`", text)
    ]
    return [shlex.split(part) for line in lines for part in re.split(r"\s*&&\s*", line)]


def mentions(page):
    """Return the commands of ``phase3`` that the text of a page names, without their arguments in most cases."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [" ".join(words.split()) for words in re.findall(r"`phase3 ([^`]+)`", text)]
    # The probe's own lines, and any command.
    return [words for words in found if not words.startswith(("probe:", "COMMAND", "COMMANDE"))]


def kind(words):
    """Return the kind of a command, by which ``RUN_BY`` and ``NOT_RUN`` list it."""
    if words[:2] == ["unshare", "-rm"]:
        words = words[2:]
    if words[0] == "phase3":
        plain = words[3:] if words[1] == "--lang" else words[1:]
        return " ".join(["phase3", *plain[: 2 if plain[0] in {"case", "data"} else 1]])
    if re.fullmatch(r"(.*/)?python", words[0]):
        if words[1] == "-m" and words[2] == "pytest":
            return "pytest -m phase3" if "phase3" in words[3:] else "pytest"
        if words[1:4] == ["-m", "pip", "install"]:
            return "pip install -r" if "-r" in words else "pip install"
        if words[1] == "-m":
            return " ".join(["python", *words[1:3]])
        return "benchmarks" if words[1].startswith("benchmarks/") else words[1]
    return " ".join(words[: 1 if "/" in words[0] else 2])


def spoken(error):
    """Return the last line of what a parser wrote."""
    return (error.getvalue().strip().splitlines() or ["refused"])[-1]


def wrong_phase3(words):
    """Yield why the ``phase3`` command refuses these words."""
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            options = _parser(str, CODES).parse_args(words[1:])
    except SystemExit:
        yield spoken(error)
        return
    if options.command is None:
        yield "no command"
    named = {word.partition("=")[0] for word in before_dashes(words) if word.startswith("--")}
    yield from (f"{option}: not the whole name of an option" for option in named - ALL_OPTIONS)
    yield from wrong_other(words)
    if "zemosaic:" in " ".join(words) and words[1] == "case" and "--python" not in named:
        yield "ZeMosaic without --python"


def wrong_pytest(words, parser):
    """Yield why pytest refuses these words: an unknown option or mark, a wrong value, or a test that does not exist."""
    try:
        options = parser.parse(words[3:])
    except (pytest.UsageError, SystemExit) as refused:
        yield str(refused)
        return
    with_dot = {option.ini for option in OPTIONS}
    given = {name: getattr(options, name) for name in with_dot}
    try:
        resolve_options(given.get, lambda _: "", {})
    except ValueError as refused:
        yield str(refused)
    for place in options.file_or_dir:
        name, _, test = place.partition("::")
        files = list(ROOT.glob(PLACEHOLDER.sub("*", name)))
        if not files:
            yield f"{name} does not exist"
        elif test and f"def {test}(" not in files[0].read_text(encoding="utf-8"):
            yield f"{name} has no {test}"


def wrong_script(words):
    """Yield why a script of the project refuses these words."""
    script = words[words.index("python") :]
    path = ROOT / script[1]
    if not path.is_file():
        yield f"{script[1]} does not exist"
        return
    text = path.read_text(encoding="utf-8")
    case = not script[2].startswith("-") and not PLACEHOLDER.fullmatch(script[2])
    if case and f'"{script[2]}"' not in text:
        yield f"{script[1]} has no case {script[2]}"
    options = {word.partition("=")[0] for word in script if word.startswith("--")}
    yield from (f"{script[1]} has no option {option}" for option in options if f'"{option}"' not in text)


def wrong_other(words):
    """Yield the files that the command of another program names and that do not exist."""
    yield from (f"{word} does not exist" for word in words if word.startswith("docs/") and not (ROOT / word).is_file())


def wrong_reliability(words):
    """Yield why the reliability tests refuse these words."""
    error = io.StringIO()
    try:
        with contextlib.redirect_stderr(error):
            reliability_parser().parse_args(words[3:])
    except SystemExit:
        yield spoken(error)
    yield from wrong_other(words)


def wrong(words, parser):
    """Return why a command can't run: it is refused, or of no kind that is listed."""
    listed = kind(words)
    found = [] if listed in RUN_BY or listed in NOT_RUN else [f"{listed}: not listed in RUN_BY or NOT_RUN"]
    if words[0] == "phase3":
        return found + list(wrong_phase3(words))
    if listed.startswith("pytest"):
        return found + list(wrong_pytest(words, parser))
    if listed == "python -m tests.reliability":
        return found + list(wrong_reliability(words))
    if listed.startswith(("docs/", "benchmarks")):
        return found + list(wrong_script(words))
    return found + list(wrong_other(words))


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: page.name)
def test_each_command_of_a_document_is_accepted_and_listed(page, pytestconfig):
    """The real parsers accept each command, its files and tests exist, and its kind is run by a test or has its reason."""
    found = {
        shlex.join(words): problems for words in commands(page) if (problems := wrong(words, pytestconfig._parser))
    }
    assert found == {}


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("phase3 judges SESSION", "invalid choice"),
        ("python -m tests.reliability --longest", "unrecognized arguments"),
        ("python -m tests.reliability --write docs/nowhere.md", "docs/nowhere.md does not exist"),
        ("phase3 dod SESSION --outfile=FILE", "unrecognized arguments"),
        ("phase3 dod SESSION --out=FILE", "not the whole name"),
        ("phase3 report SESSION SESSION", "unrecognized arguments"),
        ("phase3 case run docs/cases/no.json --target=reference", "does not exist"),
        ("phase3 case run case.json --target=zemosaic:PATH", "without --python"),
        ("python -m pytest -m phase3 --phase3-targets=x", "unrecognized arguments"),
        ("python -m pytest -m phase3 --phase3-profile=slow", "profile"),
        ("python -m pytest -m phase3 scenarios/test_e.py", "does not exist"),
        ("python -m pytest -m phase3 scenarios/test_b_stress.py::test_nothing", "has no test_nothing"),
        ("python docs/cases/output_folder.py no_case PATH@COMMIT PYTHON", "has no case"),
        ("python benchmarks/sound.py --time 50", "has no option --time"),
        ("../zemosaic-venv/bin/python -m pip install -r docs/requirements.txt", "does not exist"),
        ("make install", "not listed"),
    ],
)
def test_a_wrong_command_is_found(command, problem, pytestconfig):
    """A misspelt command, option, value, file, test or case is found, and a command of no listed kind."""
    assert any(problem in found for found in wrong(shlex.split(command), pytestconfig._parser))


@pytest.mark.parametrize("page", OF_TODAY, ids=lambda page: page.name)
def test_each_command_named_in_a_text_exists(page):
    """A ``phase3`` command in a sentence exists, and so do its options."""
    known = parsers()
    for said in mentions(page):
        words = before_dashes(said.split())
        name = " ".join(words[: 2 if " ".join(words[:2]) in known else 1])
        assert name in known, said
        assert {word.partition("=")[0] for word in words if word.startswith("--")} - known[name] == set(), said


def test_what_is_said_to_run_a_command_does():
    """The file in ``RUN_BY`` calls the command; neither table lists a command that no document has."""
    for name, file in RUN_BY.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        words = name.split()
        if words[0] == "phase3":
            assert re.search(r"[\[(]\s*" + r",\s*".join(f'"{word}"' for word in words[1:]), text), name
        else:
            assert name.removeprefix("pytest ") in text, name
    used = {kind(words) for page in OF_TODAY for words in commands(page)}
    assert used == RUN_BY.keys() | NOT_RUN.keys()


def test_each_page_of_commands_has_every_command():
    """The pages of commands, in both languages, list each command of ``phase3``, and the same ones."""
    known = {name.split()[0] for name in parsers() if name}
    for name in ("commands.md", "commands.fr.md"):
        page = ROOT / "docs" / name
        listed = {kind(words).split()[1] for words in commands(page) if words[0] == "phase3"}
        assert listed == known, name


@pytest.mark.parametrize("name", ["README", "docs/commands", "docs/options", "docs/troubleshooting"])
def test_the_french_page_has_the_same_commands_and_options(name):
    """Kind by kind and option by option, a French page has the commands of the English one, in the same order."""

    def plain(page):
        every = (words for words in commands(page))
        of_language = {"--phase3-lang=fr", "--lang", "fr"}
        return [
            (kind(words), [w.partition("=")[0] for w in words if w[:2] == "--" and w not in of_language])
            for words in every
        ]

    assert plain(ROOT / f"{name}.fr.md") == plain(ROOT / f"{name}.md")


def test_the_requirements_of_zemosaic_are_those_that_the_harness_looks_for():
    """The file that the README installs has each library whose absence ``phase3 doctor`` reports, and no other."""
    lines = (ROOT / "docs" / "zemosaic-requirements.txt").read_text(encoding="utf-8").splitlines()
    names = [Requirement(line).name for line in lines if not line.startswith("#")]
    assert sorted(names) == sorted(ZEMOSAIC_LIBRARIES.values())
