"""Make small sessions with a Definition of Done, for tests."""

import re
from dataclasses import replace
from pathlib import Path

from fixtures import catalogue
from harness.language.message import say
from harness.session.checklist import DEFINITION_OF_DONE, read_lines
from harness.session.definition_of_done import Part, together
from harness.session.model import JudgedRun, RunEntry, Session, TestEntry
from harness.session.run_matrix import RUNS
from harness.targets.resolve import TARGETS
from harness.verdict import Outcome, Verdict
from reports.document.definition_of_done import document
from tests.scenario_marks import MARKS

ROOT = Path(__file__).parents[1]
ZEMOSAIC = TARGETS["zemosaic"]
LINES = read_lines()
DONE = [line for line in LINES if line.section == DEFINITION_OF_DONE]
FIXED = "zemosaic b59a65f"
COMMIT = "b59a65fa1503b290715602c18c3b65bdba9e1712"
MADE = {"num_master_tiles": 6, "tiles_total": 6}
LOST = {"num_master_tiles": 5, "tiles_total": 6}


def verdict(check, evidence=None, outcome="pass", **parts):
    """Return a verdict of a check."""
    return Verdict(check, Outcome(outcome), say("The {check} sentence.", check=check), evidence or {}, **parts)


def entry(key, role, target, case="chain", dataset="chain3x2"):
    """Return the entry of a run."""
    return RunEntry(
        key, case, role, "per_tile", target, dataset, "synthetic", f"{RUNS}/{key}", "done", 1.0, "classic", 2
    )


def a_session(target=FIXED, commit=COMMIT, *, tests=(), **parts):
    """Return a session in which every test of the checklist passed, except the given ones (name and outcome).

    One run was judged, beside a baseline that is its control too.
    """
    subject = JudgedRun(
        "s", None, "b", case="chain", role="subject", verdicts=(verdict("tiles", MADE), verdict("holes"))
    )
    before = JudgedRun("b", case="chain", role="baseline", verdicts=(verdict("tiles", LOST, "fail"), verdict("holes")))
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
            marks = dict(zip(("scenario", "occasion"), scenario_of(name), strict=True))
            found.append(TestEntry(nodeid, "Title.", Outcome(outcome), "", case, check, run, role, **marks))
            others = [other for other in cases_of(name) if other != case]
            found += [TestEntry(f"{name}[{one}]", "Title.", Outcome(outcome), "", one, **marks) for one in others]
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
    cases = [c.name for c in catalogue.CASES if c.kind == "synthetic" and c.suits(ZEMOSAIC) and c.is_for(*mark)]
    return cases if any(mark) else []


def taken(*sessions, subject=""):
    """Return the Definition of Done of sessions, as if they had been read from files."""
    return together([Part(Path("none"), session, f"{n:064x}") for n, session in enumerate(sessions)], subject)


def outcomes(done):
    """Return the outcome of each line."""
    return {line.id: line.outcome for line in done.lines}


def page(*sessions, lang="en"):
    """Return the document of some sessions."""
    return document(taken(*sessions), lang)


def detail(text, line):
    """Return the details of a line in a document."""
    return re.split(r"^### ", text.partition(f"\n### {line}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def row(text, line):
    """Return a line's row of the overview."""
    return next(row for row in text.splitlines() if row.startswith(f"| [{line}]"))


def judging(name, session, **parts):
    """Return a session with changes to one test, given by its function."""
    tests = (replace(t, **parts) if t.nodeid.endswith(f"::{name}[chain]") else t for t in session.tests)
    return replace(session, tests=tuple(tests))
