"""The Definition of Done as a document: what may be called passed, which figures stand for it, and how to repeat it."""

import ast
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures import applicable, catalogue, real
from harness.checks.judge import ALL
from harness.commands.main import main
from harness.language.catalogue import language
from harness.language.message import say
from harness.patch import guard_rails
from harness.record.request import DatasetFacts, Request, TargetFacts
from harness.record.seal import note_spared, seal
from harness.record.values import sha256_of
from harness.session.checklist import DEFINITION_OF_DONE, read_lines
from harness.session.definition_of_done import Part, read, together
from harness.session.model import JudgedRun, RealSet, RunEntry, Session, SessionError, TestEntry, write_session
from harness.session.options import OPTIONS
from harness.verdict import Outcome, Verdict
from reports.document import figures as module
from reports.document.coverage_table import Gap, Requests, Tried, table
from reports.document.definition_of_done import document, write
from reports.document.figures import figures
from reports.document.rerun import commands
from tests.sample_session import sample_session
from tests.scenario_marks import MARKS

ROOT = Path(__file__).parents[2]
LINES = read_lines()
DONE = [line for line in LINES if line.section == DEFINITION_OF_DONE]
EN = language("en")
FIXED = "zemosaic b59a65f"
COMMIT = "b59a65fa1503b290715602c18c3b65bdba9e1712"
MADE = {"num_master_tiles": 6, "tiles_total": 6}
LOST = {"num_master_tiles": 5, "tiles_total": 6}


def verdict(check, evidence=None, outcome="pass", **parts):
    """Return a verdict of a check."""
    return Verdict(check, Outcome(outcome), say("The {check} sentence.", check=check), evidence or {}, **parts)


def entry(key, role, target, case="chain", dataset="chain3x2"):
    """Return the entry of a run."""
    return RunEntry(key, case, role, "per_tile", target, dataset, "synthetic", f"runs/{key}", "done", 1.0, "classic", 2)


def a_session(target=FIXED, commit=COMMIT, *, tests=(), **parts):
    """Return a session in which every test of the checklist passed, but for those that are given: name and outcome.

    One run was judged, beside a baseline that is its control too.
    """
    subject = JudgedRun("chain", "s", "subject", None, "b", (verdict("tiles", MADE), verdict("holes")))
    before = JudgedRun("chain", "b", "baseline", None, None, (verdict("tiles", LOST, "fail"), verdict("holes")))
    control = replace(before, role="control", expected_red=("tiles",))
    outcomes = dict.fromkeys((name for line in LINES for name in line.tests), "pass") | dict(tests)
    found = []
    for name, outcome in outcomes.items():
        case, check, run, role = "chain", "tiles", "s", "subject"
        if "guard_rails" in name:
            case, check, run, role = None, "4.1", None, None
        elif not any(scenario_of(name)):
            case, check, run, role = None, None, None, None
        elif "before_the_fix" in name:
            check, run, role = None, "b", "control"
        nodeid = f"{name}[{case}]" if case else name
        if outcome is not None:
            mark = scenario_of(name)
            found.append(TestEntry(nodeid, "Title.", outcome, "", case, check, run, role, *mark))
            others = [other for other in cases_of(name) if other != case]
            found += [
                TestEntry(f"{name}[{other}]", "Title.", outcome, "", other, None, None, None, *mark) for other in others
            ]
    facts = {
        "created": "2026-11-25T02:04:02+00:00",
        "target_kind": "zemosaic",
        "identity": {"commit": commit, "versions": {"numpy": "2"}},
        "command": "pytest -m phase3",
        "environment": {"harness": "0.1.0", "platform": "any", "processors": "2", "harness_commit": "c" * 40},
        "runs": (entry("s", "subject", target), entry("b", "baseline", "zemosaic 63bcc2c")),
        "judged": (subject, before, control),
        "tests": tuple(found),
        "options": {"profile": "fast", "workers": "2"},
        "patch": (verdict("4.1", {"added": 30, "removed": 12, "other": 0}),),
    }
    return Session(target=target, **{**facts, **parts})


def scenario_of(name):
    """Return the scenario and the occasion that a test's marker names."""
    return MARKS[name].scenario


def cases_of(name):
    """Return the synthetic cases on which a test runs for a real target."""
    mark = scenario_of(name)
    cases = [c.name for c in catalogue.CASES if c.kind == "synthetic" and "zemosaic" in c.kinds and c.suits(*mark)]
    return cases if any(mark) else []


def taken(*sessions, subject=""):
    """Return sessions taken together, as if they had been read."""
    return together([Part(Path("none"), session, f"{n:064x}") for n, session in enumerate(sessions)], subject)


@pytest.fixture
def written(tmp_path):
    """Return a function that writes a session and gives its folder."""

    def make(session, name="session"):
        folder = tmp_path / name
        folder.mkdir()
        write_session(session, folder)
        return folder

    return make


def outcomes(done):
    """Return what each line came to."""
    return {line.id: line.outcome for line in done.lines}


def page(*sessions, lang="en"):
    """Return the document of some sessions."""
    return document(taken(*sessions), lang)


def detail(text, line):
    """Return what a document says on how a line was judged."""
    return re.split(r"^### ", text.partition(f"\n### {line}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


# ---- what passes ----


def test_a_line_passes_when_all_its_tests_were_evaluated():
    """Where every test was run and none failed, every line passes, and with them the whole."""
    done = taken(a_session())
    assert set(outcomes(done).values()) == {"pass"}
    assert done.outcome is Outcome.PASS


@pytest.mark.parametrize("outcome", ["fail", "unknown", "not evaluated", "not applicable", None])
@pytest.mark.parametrize("line", DONE, ids=lambda line: line.id)
def test_nothing_else_becomes_a_pass(line, outcome):
    """A line of the Definition of Done with one test that fails, is unknown, was skipped or never run does not pass."""
    for name in line.tests:
        done = taken(a_session(tests={name: outcome}))
        assert outcomes(done)[line.id] == (outcome if outcome in {"fail", "unknown"} else "not evaluated")
        assert done.outcome is (Outcome.FAIL if outcome == "fail" else Outcome.UNKNOWN)


@pytest.mark.parametrize(
    ("found", "merged"),
    [
        (("pass", "fail"), "fail"),
        (("unknown", "fail"), "fail"),
        (("pass", "unknown"), "unknown"),
        (("pass", "not evaluated"), "pass"),
        (("pass", None), "pass"),
        (("not evaluated", "not applicable"), "not evaluated"),
        (("not applicable", "not applicable"), "not applicable"),
    ],
)
def test_sessions_of_one_subject_are_taken_together(found, merged):
    """A test that failed anywhere has failed, one that was unknown stays so; it must have been evaluated once at least."""
    (name,) = next(line for line in LINES if line.id == "A.7").tests
    for order in (found, found[::-1]):
        assert outcomes(taken(*(a_session(tests={name: one}) for one in order)))["A.7"] == merged


@pytest.mark.parametrize(
    ("line", "case"), [("4.2", "gui"), ("4.2", "natural"), ("4.2", "chain"), ("4.3", "sds"), ("4.3", "grid")]
)
def test_a_case_that_nobody_ran_is_half_of_the_proof(line, case):
    """A line does not pass on some of the synthetic cases, which every machine has; the document names what is missing."""
    session = a_session()
    for left in (
        [t for t in session.tests if t.case != case or (case == "chain" and t.scenario != "A")],
        [replace(t, outcome="not evaluated") if t.case == case else t for t in session.tests],
    ):
        part = replace(session, tests=tuple(left))
        assert outcomes(taken(part))[line] == "not evaluated"
        assert taken(part).outcome is Outcome.UNKNOWN
        assert f"○ not run: `{case}`\n" in detail(page(part), line)
        assert outcomes(taken(part, session))[line] == "pass"


def test_a_session_that_holds_no_scenarios_passes_no_line_on_part_of_the_cases():
    """A session of before the scenario was kept may lack cases of any test: lines that rest on cases are not evaluated."""
    session = a_session()
    older = replace(session, tests=tuple(replace(t, scenario="", occasion="") for t in session.tests))
    assert outcomes(taken(session))["A.7"] == "pass"
    assert outcomes(taken(older))["A.7"] == "not evaluated"
    assert outcomes(taken(older))["0.1"] == "pass"  # read in the source, on no case


@pytest.mark.parametrize("asked", [("E-one",), ("E-one", "E-two")], ids=len)
def test_a_new_scenario_is_in_the_document_by_its_marks_and_cases_alone(monkeypatch, asked):
    """Scenario E has a row of the table for each of its sets, and its tests are listed, with the cases that nobody asked."""
    case = replace(catalogue.CASES[0], scenario="E")
    cases = (replace(case, name="E-one"), replace(case, name="E-two", dataset="natural"))
    monkeypatch.setattr(catalogue, "CASES", (*catalogue.CASES, *cases))
    new = "scenarios/test_e_new.py::test_new"
    tests = tuple(TestEntry(f"{new}[{name}]", "T.", "pass", "", name, scenario="E") for name in asked)
    session = a_session()
    run = replace(session.runs[0], key="e", case="E-one")
    judged = replace(session.judged[0], case="E-one", run="e")
    parts = {"tests": (*session.tests, *tests), "runs": (*session.runs, run), "judged": (*session.judged, judged)}
    done = taken(replace(session, **parts))
    tried = table(done, Requests())
    assert row_of(tried, "E", "chain3x2")[FIXED] == Tried(Outcome.PASS, 2, 2, 1, (), as_expected=False)
    assert row_of(tried, "E", "natural")[FIXED] == Gap("not run")
    assert {"A", "B", "C", "D", "E"} == {row.scenario for row in tried.rows}
    assert done.unasked(new) == (() if len(asked) == 2 else ("E-two",))
    beyond = document(done, "en").partition("## Tests beyond the checklist")[2].partition("\n## ")[0]
    assert beyond.count("\n- ") == len(done.beyond) == 1
    assert f"- `test_e_new.py::test_new`: ✓ {len(asked)} (" in beyond
    assert ("not run: `E-two`" in beyond) is (len(asked) == 1)
    # As the test of a line, its cases are asked for.
    lines = (replace(LINES[0], tests=(new,)), *LINES[1:])
    monkeypatch.setattr("harness.session.definition_of_done.read_lines", lambda: lines)
    assert outcomes(taken(replace(session, **parts)))["0.1"] == ("pass" if len(asked) == 2 else "not evaluated")


def test_a_case_without_the_question_was_asked():
    """Where a verdict says that a case has no such question, the line rests on the others."""
    session = a_session()
    tests = tuple(replace(t, outcome="not applicable") if t.case == "gui" else t for t in session.tests)
    assert outcomes(taken(replace(session, tests=tests)))["4.2"] == "pass"


def test_halves_make_a_whole():
    """Tests that were run in one session and those of another prove a line together."""
    (line,) = [line for line in DONE if line.id == "4.3"]
    halves = [dict.fromkeys(line.tests[n::2]) for n in range(2)]
    sessions = [a_session(tests=half) for half in halves]
    assert outcomes(taken(sessions[0]))["4.3"] == "not evaluated"
    assert outcomes(taken(*sessions))["4.3"] == "pass"


def test_the_reference_says_nothing(tmp_path):
    """A session of the embedded reference leaves the Definition of Done not evaluated, and the document says why."""
    sample_session(tmp_path, "reference")
    done = together(read([tmp_path]))
    assert {outcomes(done)[line.id] for line in DONE} == {"not evaluated"}
    assert done.outcome is Outcome.UNKNOWN
    text = document(done, "en")
    assert "says nothing about ZeMosaic" in text.partition("\n## ")[0]
    assert "| ○ not evaluated | Repro du trou corrigée |" in text


def test_other_targets_decide_nothing():
    """A session of another target, red or green, changes no line; it stands in the table."""
    red = dict.fromkeys((name for line in LINES for name in line.tests), "fail")
    sessions = (a_session(), a_session("zemosaic 271f109", "2" * 40, tests=red))
    done = taken(*sessions)
    assert done.outcome is Outcome.PASS
    assert "`zemosaic 271f109`" in document(done, "en")
    other = taken(*sessions, subject="zemosaic 271f109")
    assert (other.subject, other.outcome) == ("zemosaic 271f109", Outcome.FAIL)
    assert taken(*sessions, subject="2222222").subject == "zemosaic 271f109"


def test_another_profile_decides_nothing_and_is_told():
    """With settings in which a target does not repeat itself, red may be scatter: it breaks no line, and is said at the top."""
    red = dict.fromkeys((name for line in LINES for name in line.tests), "fail")
    verdicts = (
        Verdict("parity", Outcome.FAIL, say("Other outputs."), {}),
        Verdict("holes", Outcome.PASS, say("None."), {}),
    )
    judged = (JudgedRun("gui", "r", "subject", None, None, verdicts),)
    default = replace(a_session(tests=red), options={"profile": "default"}, judged=judged, runs=())
    done = taken(a_session(), default)
    assert (done.outcome, len(done.own), len(done.aside)) == (Outcome.PASS, 1, 1)
    head = document(done, "en").partition("\n## ")[0]
    assert "was made with the profile default" in head
    assert "gui: parity." in head
    assert taken(default, a_session()).outcome is Outcome.FAIL


def test_a_session_that_is_given_twice_counts_once(written):
    """The same session under two names is one."""
    folder = written(a_session())
    assert len(together(read([folder, folder])).own) == 1


def test_a_run_counts_once(written):
    """A merged session beside one that it was made of holds the same runs, whose figures would be added up twice."""
    folders = [written(a_session(created=f"2026-11-2{n}T00:00:00Z"), f"session {n}") for n in range(2)]
    for n, folder in enumerate(folders):
        for key in ("s", "b"):
            (folder / "runs" / key).mkdir(parents=True)
            (folder / "runs" / key / "events-1.jsonl").write_text(f"{key}{n}\n", encoding="utf-8")
            seal(folder / "runs" / key, "done", 0, "", 1.0)
    assert len(read(folders)) == 2
    events = folders[1] / "runs" / "s" / "events-1.jsonl"
    events.write_text("s0\n", encoding="utf-8")
    seal(events.parent, "done", 0, "", 1.0)
    note_spared(events.parent)
    with pytest.raises(SessionError, match=r"found s in .*session 0 and in .*session 1: name the merged session"):
        read(folders)


@pytest.mark.parametrize("subject", ["zemosaic abc", "b59a6", "63bcc2c"])
def test_a_subject_without_a_session(subject):
    """A name that no session's target has, or too few characters of a commit, is an error that names what there is."""
    with pytest.raises(SessionError, match=r"found sessions of zemosaic b59a65f"):
        taken(a_session(), subject=subject)


def test_versions_of_libraries_part_nothing():
    """The same commit with other libraries is one target."""
    same = a_session(identity={"commit": COMMIT, "versions": {"numpy": "1"}})
    assert len(taken(a_session(), same).own) == 2


def test_a_changed_work_tree_is_another_target():
    """Sessions whose targets have the same name and are not the same are not taken together."""
    for parts in ({"identity": {"commit": COMMIT, "dirty": "x"}}, {"target_kind": "command"}):
        with pytest.raises(SessionError, match="same name and are not the same"):
            taken(a_session(), a_session(**parts))
    edited = a_session(f"{FIXED}+1234567", identity={"commit": COMMIT, "dirty": "1234567"})
    assert taken(edited, a_session(), subject="b59a65f").subject == FIXED
    with pytest.raises(SessionError, match="expected a session of b59a65f"):
        taken(edited, subject="b59a65f")


# ---- the document ----


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_every_line_is_there(lang):
    """Each line stands in the checklist with its own words, and below with its tests and a command; the first section first."""
    text = page(a_session(), lang=lang)
    for line in LINES:
        assert len(re.findall(rf"^\| \[{re.escape(line.id)}\]\(#", text, re.MULTILINE)) == 1
        below = detail(text, line.id)
        assert "```console\npython -m pytest -m phase3" in below
        colon = ":" if lang == "en" else "\N{NO-BREAK SPACE}:"
        assert all(
            f"`{name.removeprefix('scenarios/')}`{colon} ✓ {len({'chain', *cases_of(name)})} (" in below
            for name in line.tests
        )
    assert text.index("[4.1](#41)") < text.index("[0.1](#01)") < text.index("[D.3](#d3)")


def test_both_languages_have_the_same_lines(tmp_path):
    """One call writes both; they differ in words alone."""
    paths = write(taken(a_session()), tmp_path / "x.md")
    assert [p.name for p in paths] == ["x.md", "x.fr.md"]
    assert len({p.read_text(encoding="utf-8").count("\n") for p in paths}) == 1


def test_figures_stand_beside_those_of_the_baseline():
    """The figure of a line is that of its evidence, and the baseline's stands beside it under its own name."""
    text = page(a_session())
    row = next(line for line in text.splitlines() if line.startswith("| [A.6]"))
    assert row.startswith("| [A.6](#a6) | ✓ pass |")
    assert "num\\_master\\_tiles of tiles\\_total: **6 of 6** (zemosaic 63bcc2c: 5 of 6)" in row
    row = next(line for line in text.splitlines() if line.startswith("| [4.1]"))
    assert "changed statements that are cache retention: **42 of 42**" in row
    row = next(line for line in text.splitlines() if line.startswith("| [A.1]"))
    assert "controls red by the checks named for them: **1 of 1**" in row


def row(text, line):
    """Return a line's row of the checklist."""
    return next(row for row in text.splitlines() if row.startswith(f"| [{line}]"))


def judging(name, session, **parts):
    """Return a session of which one test, by its function, is changed."""
    tests = (replace(t, **parts) if t.nodeid.endswith(f"::{name}[chain]") else t for t in session.tests)
    return replace(session, tests=tuple(tests))


def test_figures_are_of_the_runs_under_validation():
    """What a control comes to is no figure of the subject."""
    text = page(judging("test_every_master_tile_is_made", a_session(), run="b", role="control"))
    assert row(text, "A.6").endswith("| – |")


@pytest.mark.parametrize(("outcome", "count"), [("pass", 0), ("fail", 1), ("unknown", 0)])
def test_what_is_newly_red_is_counted(outcome, count):
    """Only a check that the subject fails and the baseline passes is newly red."""
    (judged, *others) = a_session().judged
    judged = replace(judged, verdicts=(verdict("tiles", LOST, "fail"), verdict("holes", {}, outcome)))
    name, session = "test_nothing_is_worse_than_before_the_patch", a_session(judged=(judged, *others))
    text = page(judging(name, session, run="b", role="baseline", check=None))
    assert f"checks that are red here and green in the baseline: **{count}**" in row(text, "4.2")


def test_a_control_that_is_not_red_is_not_counted():
    """A control whose named check passes does not show that the harness sees."""
    (judged, before, control) = a_session().judged
    blind = replace(control, verdicts=(verdict("tiles", MADE), verdict("holes")))
    text = page(a_session(judged=(judged, before, blind)))
    assert "controls red by the checks named for them: **0 of 1**" in row(text, "A.1")


def test_runs_under_faults_are_counted_apart():
    """A tile that was made to fail is no tile that the target lost: figures of such runs stand beside the others."""
    line = next(line for line in LINES if line.id == "1.7")
    assert any("test_under_faults" in name for name in line.tests)
    row = next(row for row in page(a_session()).splitlines() if row.startswith("| [1.7]"))
    assert "num\\_master\\_tiles of tiles\\_total, under faults: **6 of 6**" in row
    row = next(row for row in page(a_session()).splitlines() if row.startswith("| [A.6]"))
    assert "under faults" not in row


def test_runs_are_added_up():
    """Over several sessions figures are sums, and the runs are listed with their records and sessions."""
    text = page(a_session(), a_session())
    assert "**12 of 12** (zemosaic 63bcc2c: 10 of 12)" in text
    assert "| R1 | `chain` | `chain3x2` | subject | `zemosaic b59a65f` | `per_tile` | S1 | `s` |" in text
    assert "control, baseline" in text
    assert "✓ 6 (R1, S1, R2, S2)" in detail(text, "A.6")


def test_a_run_without_a_baseline_tells_nothing_of_it():
    """Where one of two runs has no baseline the baseline's figure is of the other, and says so."""
    (judged, *others) = a_session().judged
    text = page(a_session(), a_session(judged=(replace(judged, baseline=None), *others)))
    assert "**12 of 12** (zemosaic 63bcc2c: 5 of 6 (told by 1 of 2 runs))" in text


def test_the_command_is_that_of_a_session_that_concluded():
    """A session in which a test could not conclude does not say how to repeat the line where another session does."""
    name = next(line for line in LINES if line.id == "B.3").tests[0]
    short = a_session(tests={name: "unknown"}, options={"budget": "1min,1GiB"})
    assert "--phase3-budget=1min,1GiB" in detail(page(short), "B.3")
    assert "--phase3-budget" not in detail(page(short, a_session()), "B.3")


def test_what_is_not_in_the_evidence_is_no_figure():
    """Without evidence a line has its verdict and no figure."""
    (judged, *others) = a_session().judged
    bare = replace(judged, verdicts=(verdict("tiles"),), baseline=None)
    text = page(a_session(judged=(bare, *others), patch=()))
    assert next(line for line in text.splitlines() if line.startswith("| [A.6]")).endswith("| – |")
    assert next(line for line in text.splitlines() if line.startswith("| [0.1]")).endswith("| – |")


def test_what_is_red_says_why():
    """A test that fails stands with its verdict's sentence, else its own; no place of the machine is in it."""
    name = next(line for line in LINES if line.id == "B.3").tests[0]
    session = a_session(tests={name: "unknown"})
    message = "harness.plugin.SomeError: no lock on /tmp/w/runs/machine.db or C:\\Users\\me\\x.db: held\nmore"
    tests = tuple(replace(t, message=message, check=None) if t.outcome == "unknown" else t for t in session.tests)
    below = detail(page(replace(session, tests=tests)), "B.3")
    assert ": no lock on … or …: held" in below
    assert "SomeError" not in below
    assert not re.search(r"/tmp|Users|more", below)


def test_a_verdict_explains_its_test():
    """Where a verdict is unknown its own sentence stands, in the reader's language, and not what the test once wrote."""
    (name,) = next(line for line in LINES if line.id == "A.6").tests
    session = a_session(tests={name: "unknown"})
    judged = tuple(
        replace(j, verdicts=(verdict("tiles", MADE, "unknown"),)) if j.role == "subject" else j for j in session.judged
    )
    assert ": The tiles sentence." in detail(page(replace(session, judged=judged)), "A.6")
    place = Verdict("tiles", Outcome.UNKNOWN, say("Nothing at {place}.", place="/home/me/record/x"))
    judged = tuple(replace(j, verdicts=(place,)) if j.role == "subject" else j for j in session.judged)
    below = detail(page(replace(session, judged=judged)), "A.6")
    assert ": Nothing at …" in below
    assert "/home" not in below


def test_the_head_counts_all_lines():
    """Beside the Definition of Done the first lines say how many lines of the whole checklist are open."""
    name = next(line for line in LINES if line.id == "B.3").tests[0]
    head = page(a_session(tests={name: "unknown"})).partition("\n## ")[0]
    assert "✓ **pass**. Every line of the Definition of Done passes." in head
    assert f"All lines of the checklist: ? unknown 1, ✓ pass {len(LINES) - 1}." in head


def test_the_sessions_are_bound_by_their_hashes(written):
    """The document names the hash of each session that it rests on, and what these were made with."""
    folder = written(a_session())
    text = document(together(read([folder])), "en")
    assert f"- S1 `{sha256_of(folder / 'session.json')}`" in text.partition("\n## ")[0]
    row = next(line for line in text.splitlines() if line.startswith("| S1 |"))
    assert "any, processors: 2 | 0.1.0 ccccccc |" in row
    assert f"- commit: {COMMIT} (S1)" in text
    assert "- versions: numpy 2 (S1)" in text


def test_what_a_session_was_made_with_is_told():
    """A harness with changed files says so, of shards each one's; options that decide on the runs stand without their place."""
    environment = dict(a_session().environment)
    changed = {**environment, "harness_commit": f"{'a' * 40} (changed); {'b' * 40}"}
    options = {"profile": "fast", "control": "zemosaic:/home/me/zm@63bcc2c", "frames": "/home/me/f", "quick": "true"}
    same = "not all judged by the same version"
    assert same not in page(a_session(), a_session())
    assert same in page(a_session(), a_session(environment=changed))
    text = page(a_session(environment=changed, options=options))
    assert "| 0.1.0 aaaaaaa (changed); bbbbbbb | profile: fast, quick: true, control: zemosaic:PATH" in text
    assert "frames: FRAMES" in text
    assert "/home" not in text


def test_findings_are_counted_by_standing():
    """Findings of quality stand by check, new or not, with the cases that show them."""
    (judged, *others) = a_session().judged
    found = verdict("accuracy", {"findings": ["x"]}, "fail", axis="quality", standing="pre-existing")
    guard_rails = verdict("tiles", LOST, "fail")
    text = page(a_session(judged=(replace(judged, verdicts=(found, guard_rails)), *others)))
    assert "- `accuracy`, pre-existing, runs: 1 (`chain`)" in text
    assert "- `tiles`, " not in text


def test_what_nothing_rests_on_is_told():
    """A set that no session judged, and runs that had no GPU, are named as limits; a set that one judged is not."""
    (judged, *others) = a_session().judged
    alone = verdict("fallback", {"same": [{"name": "gpu_fallback_cpu", "count": 1}]})
    sets = tuple(RealSet(name, judged=name == "m94", command="x") for name in ("m94", "hatp32"))
    session = a_session(judged=(replace(judged, verdicts=(alone,)), *others), real_sets=sets)
    text = page(session, a_session())
    assert "The set hatp32 was not judged" in text
    assert "The set m94" not in text
    assert "GPU: in 1 of 2 runs the target said that it could use none" in text


def test_hostile_text_stays_where_it_is(tmp_path):
    """Whatever a session holds, no line begins with markup that is not ours, and no element gets in but our own."""
    sample_session(tmp_path, "zemosaic", hostile=True)
    text = document(together(read([tmp_path])), "en")
    assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<details>", "</details>", "<summary>", "</summary>"}
    assert "\x00" not in text
    assert "\u202e" not in text
    ours = re.compile(r"#{1,3} \S|- |\| |[A-Z]|[✗?✓○–] |```console$|```$|python -m pytest |</?details>$|<summary>")
    assert [line for line in text.splitlines() if line and not ours.match(line)] == []


# ---- figures ----

CLAUSES = {"start_line": {"outcome": "pass"}, "end_line": {"outcome": "not met"}, "never_negative": {"outcome": "fail"}}
HOLES = [
    {"in_pair": False, "pixels": 29000, "square_arcmin": 137.08},
    {"in_pair": True, "pixels": 7, "square_arcmin": 2.0},
]


@pytest.mark.parametrize(
    ("key", "evidence", "shown"),
    [
        ("warnings", {"counts": dict.fromkeys((module.MISSING, module.STARVED, module.FAILED), 4)}, ["12"]),
        ("test_no_cache_file_is_missing", {"counts": {module.MISSING: 20}}, ["20"]),
        ("tiles", MADE, ["6 of 6"]),
        ("tiles", {"coadded": 1, "batches": 2}, ["1 of 2"]),
        ("tiles", {"made": 11, "attempted": 12}, ["11 of 12"]),
        ("holes", {"holes": HOLES, "holes_in_all": 2}, ["1 (29,000 px, 137.1 arcmin²)", "1 (2 arcmin²)"]),
        ("holes", {"holes": [], "holes_in_all": 0}, ["0 (0 px, 0 arcmin²)"]),
        ("depth", {"lost": {"caches": 6, "quality": 1}, "frames_submitted": 66}, ["7 of 66"]),
        ("depth", {"lost": 0, "frames": 16}, ["0 of 16"]),
        ("cache", {"unsafe_count": 30, "caches": 36, "left": 2}, ["30 of 36", "2"]),
        ("cache", {"removed_before_the_end_of_the_coadd": ["x"], "caches": 16, "left": 0}, ["1 of 16", "0"]),
        ("products", {"removed_early": ["x"], "overwritten": ["y"], "tiles_made": 6}, ["2 of 6"]),
        (
            "disk",
            {"held_byte_seconds": 3e6, "lower_bound_byte_seconds": 2e6, "excess_fraction": 0.5},
            ["1.5 times", "50 %"],
        ),
        ("disk", {"total_peak_ratio": 0.81, "left_at_end": 3}, ["0.81 times", "3"]),
        (
            "cost",
            {"ratio": 1.05, "ratio_low": 0.9, "ratio_high": 1.2, "timed_pairs": 3, "removals_tried_per_input": 0.5},
            ["1.05 times, 95 % interval 0.9 to 1.2, 3 pairs", "0.5"],
        ),
        ("fallback", {"new": [{}], "same": [{"count": 6}, {"count": 2}]}, ["1 new, 8 that other runs have too"]),
        ("logs", {"clauses": CLAUSES}, ["1 of 2"]),
        ("test_no_number_in_the_log_is_negative", {"clauses": CLAUSES}, ["0 of 1"]),
        (
            "test_the_end_is_said_with_the_number_removed",
            {"clauses": {**CLAUSES, "end_numbers": CLAUSES["end_line"]}},
            [],
        ),
        ("parity", {"compared": [{"grade": "identical"}, {"grade": "different"}]}, ["1 of 2"]),
        ("parity", {"compared": [{"grade": "within rounding"}]}, ["0 of 1, and 1 but for rounding"]),
        ("content", {"constant_pixels": 21}, ["21"]),
        ("truth", {"panels": [{"lost": 1, "stars": 9}, {"lost": 0, "stars": 7}]}, ["1 of 16"]),
        ("accuracy", {"findings": ["a", "b"]}, ["2"]),
        ("0.1", {"added": {"a.py": "code", "b.md": "note"}, "changed": ["c.py"]}, ["1 added, 1 changed"]),
        ("0.2", {"count": 0}, ["0"]),
        ("0.3", {"touch_batch_size": 0, "touch_another_setting": 1}, ["0", "1"]),
        ("0.4", {"in_sds_or_grid": 0}, ["0"]),
        ("1.3", {"naive_before": 2, "naive_after": 0}, ["0, and 2 before the patch"]),
        ("1.2", {"before": [{}], "after": [{}, {}]}, ["2, and 1 before the patch"]),
        ("1.8", {"phase3": [{}, {}]}, ["2"]),
        ("4.1", {"added": 30, "removed": 12, "other": 1}, ["41 of 42"]),
    ],
)
def test_a_figure_is_that_of_the_evidence(key, evidence, shown):
    """Each figure is taken from the evidence, and written as the language writes numbers."""
    assert [figure.value for figure in figures(key, [evidence], [], EN)] == shown


@pytest.mark.parametrize("key", sorted(module._KINDS))
def test_no_evidence_no_figure(key):
    """What is missing, null, a word, a truth value or not finite gives no figure, whatever else is there."""
    names = set(re.findall(r'"([a-z_0-9]+)"', Path(module.__file__).read_text(encoding="utf-8")))
    for wrong in (None, "6", True, float("nan")):
        assert figures(key, [dict.fromkeys(names, wrong)], [], EN) == ()
    for odd in ({"x": "nan"}, {"x": {"x": [1]}}, [None], [{}], [[1]]):
        figures(key, [dict.fromkeys(names, odd)], [], EN)  # what it counts may be there; it is read without an error
    assert figures(key, [{}], [], EN) == ()


def test_a_figure_of_some_runs_says_so():
    """Where one of two runs tells nothing the sum is of the other alone, and says so; the baseline's likewise."""
    (figure,) = figures("tiles", [MADE, {}], [{}, LOST], EN)
    assert (figure.value, figure.before) == ("6 of 6 (told by 1 of 2 runs)", "5 of 6 (told by 1 of 2 runs)")


def test_an_interval_is_one_runs():
    """Of several intervals the one that reaches highest stands whole: parts of two would be nobody's."""
    names = ("ratio", "ratio_low", "ratio_high", "timed_pairs")
    runs = [dict(zip(names, found, strict=True)) for found in ((1.3, 1.2, 1.4, 3), (1.0, 0.2, 5.0, 2))]
    (figure,) = figures("cost", runs, [], EN)
    assert figure.value == "1 times, 95 % interval 0.2 to 5, 2 pairs"


def test_every_check_and_row_has_a_figure():
    """No check and no row of the guard rails is without one, and tests with their own are tests of the checklist."""
    tests = {name.rpartition("::")[2] for line in LINES for name in line.tests}
    own = {key for key in module._KINDS if key.startswith("test_")}
    assert own <= tests
    assert set(module._KINDS) - own == {*ALL, *guard_rails.LINES}


# ---- commands ----


def defined():
    """Return the ids of all tests of the scenarios."""
    return {
        f"scenarios/{path.name}::{node.name}"
        for path in (ROOT / "scenarios").glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("line", LINES, ids=lambda line: line.id)
def test_a_command_repeats_its_line(line):
    """A line's command names its tests, which exist, and options that exist, with the values that the session had."""
    session = a_session(
        options={
            "target": "zemosaic:/home/me/zm@b59a65f",
            "control": "zemosaic:/home/me/zm@63bcc2c",
            "profile": "default",
            "workers": "3",
            "seconds": "900",
            "budget": "90s,1.5GiB",
            "config": "/home/me/c.json",
            "frames": "/home/me/frames",
            "quick": "true",
        }
    )
    words = shlex.split(*commands(line.tests, session))
    assert words[:5] == ["python", "-m", "pytest", "-m", "phase3"]
    options = [word for word in words[5:] if word.startswith("--")]
    assert tuple(word for word in words[5:] if not word.startswith("--")) == line.tests
    assert set(line.tests) <= defined()
    assert {word.partition("=")[0] for word in options} <= {option.cli for option in OPTIONS}
    assert options == [
        "--phase3-target=zemosaic:PATH@b59a65f",
        "--phase3-control=zemosaic:PATH@63bcc2c",
        "--phase3-python=PYTHON",
        "--phase3-profile=default",
        "--phase3-workers=3",
        "--phase3-seconds=900",
        *(["--phase3-budget=90s,1.5GiB"] if line.section.startswith("Test B") else []),  # no other has a large run
        "--phase3-config=CONFIG",
        "--phase3-frames=FRAMES",
        "--phase3-quick",
    ]


@pytest.mark.parametrize(
    ("parts", "options"),
    [
        ({"options": {"profile": "fast", "workers": "2", "seconds": "600", "budget": "1200s,10GiB"}}, []),
        ({"options": {"profile": "`$(x)`", "workers": "-1", "seconds": "1e9", "budget": "; rm"}}, []),
        ({"options": {}, "command": "pytest -m phase3 --phase3-profile=default -n 2"}, ["--phase3-profile=default"]),
        (
            {"options": {}, "command": "pytest --phase3-workers 4 --phase3-quick"},
            ["--phase3-workers=4", "--phase3-quick"],
        ),
        ({"options": {}, "command": "pytest --phase3-profile='default"}, []),
    ],
)
def test_options_that_go_without_saying_or_make_no_sense(parts, options):
    """Defaults are left out, and what is no value of an option; older sessions have their options in their command."""
    words = shlex.split(*commands(DONE[0].tests, a_session(**parts)))
    assert words[-len(options) - 2 :] == ["--phase3-target=zemosaic:PATH@b59a65f", "--phase3-python=PYTHON", *options]


def test_no_shell_reads_more_in_a_command():
    """What holds a comma or a place stands in double quotes, which cmd, PowerShell and Unix shells all know."""
    options = {"workers": "3", "budget": "9min, 1GiB", "config": "x", "control": "reference:naive_per_tile_deletion,x"}
    (line,) = commands(("scenarios/test_b_stress.py::test_the_run_is_not_slowed",), a_session(options=options))
    assert line == (
        'python -m pytest -m phase3 "scenarios/test_b_stress.py::test_the_run_is_not_slowed" '
        '"--phase3-target=zemosaic:PATH@b59a65f" "--phase3-control=reference:naive_per_tile_deletion,x" '
        '"--phase3-python=PYTHON" --phase3-workers=3 "--phase3-budget=9min, 1GiB" "--phase3-config=CONFIG"'
    )


def test_shards_with_other_options_have_a_command_each():
    """Where a merged session's options differ each of them is said again, and not half of them."""
    session = a_session(options={"profile": "fast; default", "workers": "2"})
    found = commands(DONE[0].tests, session)
    assert [line.partition('PYTHON"')[2] for line in found] == ["", " --phase3-profile=default"]


@pytest.mark.parametrize(
    ("parts", "target"),
    [
        ({"target_kind": "reference"}, "reference"),
        ({"target_kind": "command"}, "command:ARGV"),
        ({"identity": {"commit": COMMIT, "dirty": "x"}}, "zemosaic:PATH"),
        ({"identity": {"commit": "`x`"}}, "zemosaic:PATH"),
    ],
)
def test_the_target_of_a_command(parts, target):
    """A commit is named where it was the target; a work tree and other kinds have no place of their own."""
    assert f"--phase3-target={target}" in shlex.split(*commands(DONE[0].tests, a_session(**parts)))


# ---- dataset, test, target ----


def row_of(tried, scenario, dataset):
    """Return the cells of a row by target."""
    (row,) = [row for row in tried.rows if (row.scenario, row.dataset) == (scenario, dataset)]
    return dict(zip([column.target for column in tried.columns], row.cells, strict=True))


def test_what_was_tried():
    """A run stands with the verdicts that pass; a control that is red by its checks is as expected; the rest was not run."""
    tried = table(taken(a_session(), a_session("zemosaic 271f109", "2" * 40, judged=(), runs=())), Requests())
    assert [c.target for c in tried.columns] == ["zemosaic 63bcc2c", FIXED, "zemosaic 271f109"]
    cells = row_of(tried, "A", "chain3x2")
    assert cells[FIXED] == Tried(Outcome.PASS, 2, 2, 1, (), as_expected=False)
    assert cells["zemosaic 63bcc2c"] == Tried(Outcome.FAIL, 1, 2, 1, ("tiles",), as_expected=True)
    assert cells["zemosaic 271f109"] == Gap("not run")
    before = replace(a_session().judged[1], role="subject")
    both = a_session("zemosaic 63bcc2c", "6" * 40, judged=(before, a_session().judged[2]))
    cells = row_of(table(taken(a_session(), both), Requests()), "A", "chain3x2")
    assert cells["zemosaic 63bcc2c"] == Tried(Outcome.FAIL, 2, 4, 2, ("tiles",), as_expected=True)
    assert set(row_of(tried, "C", "bayer2x1").values()) == {Gap("not run")}
    blind = replace(a_session().judged[2], verdicts=(verdict("tiles", MADE),))
    sessions = (a_session(), a_session(judged=(a_session().judged[0], blind)))
    assert not row_of(table(taken(*sessions), Requests()), "A", "chain3x2")["zemosaic 63bcc2c"].as_expected


def test_findings_of_quality_that_gate_nothing_are_not_counted():
    """A pre-existing finding is no verdict on the patch."""
    (judged, *others) = a_session().judged
    found = verdict("accuracy", {}, "fail", axis="quality", standing="pre-existing")
    session = a_session(judged=(replace(judged, verdicts=(*judged.verdicts, found)), *others))
    assert row_of(table(taken(session), Requests()), "A", "chain3x2")[FIXED].passes == 2
    assert row_of(table(taken(session), Requests()), "A", "chain3x2")[FIXED].all == 2


def test_every_combination_has_its_place():
    """Each dataset stands in each test of the checklist once: as a row, or apart with the reason."""
    tried = table(taken(a_session()), Requests())
    rows = [(row.scenario, row.dataset) for row in tried.rows]
    apart = [(scenario, dataset) for scenario, dataset, _ in tried.apart]
    datasets = {dataset for _, dataset in rows}
    assert sorted(rows + apart) == sorted((s, d) for s in "ABCD" for d in datasets)
    assert all((gap.kind == "not applicable") == (gap.reason is not None) for _, _, gap in tried.apart)


def test_a_set_that_was_not_there():
    """A case that was skipped for want of its set was not evaluated; where nobody had the case, it was not run."""
    skipped = TestEntry("scenarios/test_c_sds.py::t[sds-m94]", "T.", "not evaluated", "absent", "sds-m94")
    session = a_session(real_sets=(RealSet("seestar_m94_2panels", judged=False, command="phase3 data fetch"),))
    sessions = (replace(session, tests=(*session.tests, skipped)), a_session("zemosaic 271f109", "2" * 40))
    cells = row_of(table(taken(*sessions), Requests()), "C", "seestar_m94_2panels")
    assert cells[FIXED].kind == "not evaluated"
    assert cells["zemosaic 271f109"] == Gap("not run")
    assert "○ not evaluated: the set was not there" in page(*sessions)
    there = replace(sessions[0], real_sets=(RealSet("seestar_m94_2panels", judged=True, command="x"),))
    assert row_of(table(taken(there), Requests()), "C", "seestar_m94_2panels")[FIXED] == Gap("not run")


def test_profiles_stand_apart(written):
    """Runs of two profiles have a column each; how a run was made is in its record."""
    folders = [written(a_session(created=f"2026-11-2{n}T00:00:00Z"), f"session {n}") for n in range(2)]
    for folder, profile in zip(folders, ("default", "fast"), strict=True):
        target = TargetFacts("zemosaic", FIXED, "/x", "python", {"commit": COMMIT})
        facts = DatasetFacts("chain3x2", "synthetic", "d" * 64, ())
        request = Request("chain", "subject", target, facts, None, "per_tile", 2, profile=profile)
        (folder / "runs" / "s").mkdir(parents=True)
        request.write(folder / "runs" / "s" / "request.json")
    done = together(read(folders))
    tried = table(done, Requests())
    assert [c.profile for c in tried.columns if c.target == FIXED] == ["fast", "default"]
    (cells,) = (r.cells for r in tried.rows if (r.scenario, r.dataset) == ("A", "chain3x2"))
    assert [cell.runs for cell, column in zip(cells, tried.columns, strict=True) if column.target == FIXED] == [1, 1]
    text = document(done, "en")
    assert f"- `chain3x2`: synthetic, 0 frames, SHA-256 `{'d' * 12}`" in text
    assert "profile: default, workers: 2" in text


@pytest.mark.parametrize("case", catalogue.CASES, ids=lambda case: case.name)
def test_the_catalogue_runs_what_makes_sense(case):
    """No case of a real target is on a dataset to which its test is not applicable."""
    suits = applicable.known(case.dataset)
    assert suits is not None
    if "zemosaic" in case.kinds:
        assert applicable.why_not(case.scenario, suits) is None


def test_why_not():
    """SDS needs frames of a Seestar, a large run enough of them; the others take any, and a user's frames are not known."""
    camera, few = applicable.known("chain3x2"), applicable.known("bayer2x1")
    assert applicable.why_not("C", camera).render() == (
        'SDS takes frames whose INSTRUME contains "Seestar" only, found "Simulated camera"'
    )
    assert applicable.why_not("C", few) is None
    assert "96 frames of 12 panels" in applicable.why_not("B", few).render()
    assert applicable.why_not("B", replace(camera, frames=200, panels=11)) is not None
    assert applicable.why_not("B", replace(camera, frames=95, panels=12)) is not None
    assert applicable.why_not("B", applicable.known("stress-12")) is None
    assert {applicable.why_not(s, camera) for s in ("A", "D")} == {None}
    assert applicable.known("my own") is None


def test_a_large_run_is_what_test_b_asks_for():
    """The limit is that of the scenario."""
    source = (ROOT / "scenarios" / "test_b_stress.py").read_text(encoding="utf-8")
    assert f"False: ({applicable.LARGE_FRAMES}, {applicable.LARGE_PANELS})" in source


@pytest.mark.parametrize("name", real.names())
def test_the_instrument_of_a_set(name):
    """What is said of a set's instrument is what its frames say."""
    from astropy.io import fits

    folder = real.find(name)
    if folder is None:
        pytest.skip(f"the set {name} is not here")
    found = {fits.getheader(path).get("INSTRUME") for path in folder.glob("*.fit*")}
    assert found == {applicable.known(name).instrument}


# ---- the command line ----


@pytest.mark.parametrize(("outcome", "status"), [("pass", 0), ("fail", 1), ("unknown", 3), (None, 3)])
def test_the_command_writes_both_and_says_how_it_went(written, tmp_path, monkeypatch, capsys, *, outcome, status):
    """The exit status is the Definition of Done's; without a name the files are called after the target."""
    monkeypatch.chdir(tmp_path)
    folder = written(a_session(tests={DONE[1].tests[0]: outcome}))
    assert main(["dod", str(folder)]) == status
    assert capsys.readouterr().out.splitlines() == [
        "Written: validation-b59a65f.md",
        "Written: validation-b59a65f.fr.md",
    ]
    assert (
        (tmp_path / "validation-b59a65f.md").read_text(encoding="utf-8").startswith(f"# Definition of Done: {FIXED}\n")
    )
    assert main(["dod", str(folder), "-o", "x.md", "--subject", FIXED]) == status
    assert (tmp_path / "x.fr.md").is_file()


@pytest.mark.parametrize("arguments", [[], ["--subject", "nobody"]])
def test_what_is_no_session_is_an_error_of_usage(written, tmp_path, capsys, arguments):
    """A folder without a session, or a subject that no session has, ends with 2 and what to do; nothing is written."""
    folder = tmp_path if not arguments else written(a_session())
    assert main(["dod", str(folder), "-o", str(tmp_path / "x.md"), *arguments]) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "x.md").exists()
