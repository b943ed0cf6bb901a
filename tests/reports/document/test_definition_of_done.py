"""Test the Definition of Done as a document: its lines, figures, runs and limits."""

import re
from dataclasses import replace

import pytest

from harness.commands.main import main
from harness.language.message import say
from harness.record.values import sha256_of
from harness.session.definition_of_done import read, together
from harness.session.model import RealSet
from harness.verdict import Outcome, Verdict
from reports.document.definition_of_done import document, write
from tests.done_sessions import (
    COMMIT,
    DONE,
    FIXED,
    LINES,
    LOST,
    MADE,
    a_session,
    cases_of,
    detail,
    judging,
    page,
    row,
    taken,
    verdict,
)
from tests.sample_session import sample_session


@pytest.mark.parametrize("lang", ["en", "fr"])
def test_every_line_is_there(lang):
    """Each line has its own words in the overview, and its tests and a command below; the Definition of Done comes first."""
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
    """One call writes both languages, line by line the same."""
    paths = write(taken(a_session()), tmp_path / "x.md")
    assert [p.name for p in paths] == ["x.md", "x.html", "x-annex.md", "x.fr.md", "x.fr.html", "x-annex.fr.md"]
    counts = [p.read_text(encoding="utf-8").count("\n") for p in paths]
    assert counts[:3] == counts[3:]


def test_figures_stand_beside_those_of_the_baseline():
    """The figure of a line is taken from its evidence and followed by the baseline's, with the baseline's name."""
    text = page(a_session())
    row = next(line for line in text.splitlines() if line.startswith("| [A.6]"))
    assert row.startswith("| [A.6](#a6) | ✓ pass |")
    assert "num\\_master\\_tiles of tiles\\_total: **6 of 6** (zemosaic 63bcc2c: 5 of 6)" in row
    row = next(line for line in text.splitlines() if line.startswith("| [4.1]"))
    assert "changed statements that are cache retention: **42 of 42**" in row
    row = next(line for line in text.splitlines() if line.startswith("| [A.1]"))
    assert "controls that are red in the expected checks: **1 of 1**" in row


def test_figures_are_of_the_runs_under_validation():
    """A verdict on a control gives no figure of the subject."""
    text = page(judging("test_every_master_tile_is_made", a_session(), run="b", role="control"))
    assert row(text, "A.6").endswith("| – |")


@pytest.mark.parametrize(("outcome", "count"), [("pass", 0), ("fail", 1), ("unknown", 0)])
def test_what_is_newly_red_is_counted(outcome, count):
    """Only a check that the subject fails and the baseline passes is newly red."""
    (judged, *others) = a_session().judged
    judged = replace(judged, verdicts=(verdict("tiles", LOST, "fail"), verdict("holes", {}, outcome)))
    name, session = "test_nothing_is_worse_than_before_the_patch", a_session(judged=(judged, *others))
    text = page(judging(name, session, run="b", role="baseline", check=None))
    assert f"checks that fail here and pass in the baseline: **{count}**" in row(text, "4.2")


def test_a_control_that_is_not_red_is_not_counted():
    """A control whose expected check passes is not counted as red."""
    (judged, before, control) = a_session().judged
    blind = replace(control, verdicts=(verdict("tiles", MADE), verdict("holes")))
    text = page(a_session(judged=(judged, before, blind)))
    assert "controls that are red in the expected checks: **0 of 1**" in row(text, "A.1")


def test_runs_under_faults_are_counted_apart():
    """A tile that failed through an injected fault is not added to the tiles that the target lost."""
    line = next(line for line in LINES if line.id == "1.7")
    assert any("test_under_faults" in name for name in line.tests)
    row = next(row for row in page(a_session()).splitlines() if row.startswith("| [1.7]"))
    assert "num\\_master\\_tiles of tiles\\_total, in runs with injected faults: **6 of 6**" in row
    row = next(row for row in page(a_session()).splitlines() if row.startswith("| [A.6]"))
    assert "injected faults" not in row


def test_runs_are_added_up():
    """Figures of several sessions are added up, and the runs are listed with their records and sessions."""
    text = page(a_session(), a_session())
    assert "**12 of 12** (zemosaic 63bcc2c: 10 of 12)" in text
    assert "| R1 | `chain` | `chain3x2` | version under test | `zemosaic b59a65f` | `per_tile` | S1 | `s` |" in text
    assert "version with the bug, baseline" in text
    assert "✓ 6 (R1, S1, R2, S2)" in detail(text, "A.6")


def test_a_run_without_a_baseline_tells_nothing_of_it():
    """If only one of two runs has a baseline, the baseline's figure says that it is from one of two runs."""
    (judged, *others) = a_session().judged
    text = page(a_session(), a_session(judged=(replace(judged, baseline=None), *others)))
    assert "**12 of 12** (zemosaic 63bcc2c: 5 of 6 (in 1 of 2 runs))" in text


def test_the_command_is_that_of_a_session_that_concluded():
    """The command comes from the sessions that concluded, if there are any."""
    names = next(line for line in LINES if line.id == "B.3").tests
    short = a_session(tests=dict.fromkeys(names, "unknown"), options={"budget": "1min,1GiB"})
    assert "--phase3-budget=1min,1GiB" in detail(page(short), "B.3")
    assert "--phase3-budget" not in detail(page(short, a_session()), "B.3")


def test_what_is_not_in_the_evidence_is_no_figure():
    """A line without evidence has a verdict but no figure."""
    (judged, *others) = a_session().judged
    bare = replace(judged, verdicts=(verdict("tiles"),), baseline=None)
    text = page(a_session(judged=(bare, *others), patch=()))
    assert next(line for line in text.splitlines() if line.startswith("| [A.6]")).endswith("| – |")
    assert next(line for line in text.splitlines() if line.startswith("| [0.1]")).endswith("| – |")


def test_what_is_red_says_why():
    """A failing test is shown with its message, without paths of the machine."""
    name = next(line for line in LINES if line.id == "B.3").tests[0]
    session = a_session(tests={name: "unknown"})
    message = "harness.plugin.SomeError: no lock on /tmp/w/runs/machine.db or C:\\Users\\me\\x.db: held\nmore"
    tests = tuple(replace(t, message=message, check=None) if t.outcome == "unknown" else t for t in session.tests)
    below = detail(page(replace(session, tests=tests)), "B.3")
    assert ": no lock on … or …: held" in below
    assert "SomeError" not in below
    assert not re.search(r"/tmp|Users|more", below)


def test_a_verdict_explains_its_test():
    """The sentence of an unknown verdict is shown, in the reader's language, instead of the test's message."""
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
    """The first lines count the outcomes of all lines of the checklist."""
    name = next(line for line in LINES if line.id == "B.3").tests[0]
    head = page(a_session(tests={name: "unknown"})).partition("\n## ")[0]
    assert "✓ **pass**. Every line of the Definition of Done passes." in head
    # The line that asks for the user's own dataset is not evaluated without one.
    assert f"All lines of the checklist: ? unknown 1, ✓ pass {len(LINES) - 2}, ○ not run 1." in head


def test_the_sessions_are_bound_by_their_hashes(written):
    """The document names the hash of each of its sessions, and the versions with which they were made."""
    folder = written(a_session())
    text = document(together(read([folder])), "en")
    assert f"- S1 `{sha256_of(folder / 'session.json')}`" in text.partition("\n## ")[0]
    row = next(line for line in text.splitlines() if line.startswith("| S1 |"))
    assert "any, processors: 2 | 0.1.0 ccccccc |" in row
    assert f"- commit: {COMMIT} (S1)" in text
    assert "- versions: numpy 2 (S1)" in text


def test_what_a_session_was_made_with_is_told():
    """Changes to the harness are named for each shard; options that determine the runs are shown without paths."""
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
    """Quality findings are listed by check and standing, with their cases."""
    (judged, *others) = a_session().judged
    found = verdict("accuracy", {"findings": ["x"]}, "fail", axis="quality", standing="pre-existing")
    guard_rails = verdict("tiles", LOST, "fail")
    text = page(a_session(judged=(replace(judged, verdicts=(found, guard_rails)), *others)))
    assert "- `accuracy`, pre-existing, runs: 1 (`chain`)" in text
    assert "- `tiles`, " not in text


def test_what_nothing_rests_on_is_told():
    """Sets that no session judged, and runs without a GPU, are named as limits."""
    (judged, *others) = a_session().judged
    alone = verdict("fallback", {"same": [{"name": "gpu_fallback_cpu", "count": 1}]})
    sets = tuple(RealSet(name, judged=name == "m94", command="x") for name in ("m94", "hatp32"))
    session = a_session(judged=(replace(judged, verdicts=(alone,)), *others), real_sets=sets)
    text = page(session, a_session())
    assert "The set hatp32 was not judged" in text
    assert "The set m94" not in text
    assert "GPU: not available in 1 of 2 runs" in text


def test_a_set_whose_frames_were_run_is_not_told_as_missing():
    """A session of several processes may note a set as not judged; its runs say otherwise."""
    observed = replace(a_session().runs[0], dataset="hatp32", dataset_kind="real")
    sets = (RealSet("hatp32", judged=False, command="x"), RealSet("m94", judged=False, command="x"))
    text = page(a_session(runs=(observed, *a_session().runs[1:]), real_sets=sets))
    assert "The set hatp32 was not judged" not in text
    assert "The set m94 was not judged" in text


def test_hostile_text_stays_where_it_is(tmp_path):
    """Text from a session never starts a line with markup and adds no element."""
    sample_session(tmp_path, "zemosaic", hostile=True)
    text = document(together(read([tmp_path])), "en")
    assert set(re.findall(r"<[^>]*>", text)) <= {"<br>", "<details>", "</details>", "<summary>", "</summary>"}
    assert "\x00" not in text
    assert "\u202e" not in text
    ours = re.compile(r"#{1,3} \S|- |\| |[A-Z]|[✗?✓○–] |```console$|```$|python -m pytest |</?details>$|<summary>")
    assert [line for line in text.splitlines() if line and not ours.match(line)] == []


@pytest.mark.parametrize(("outcome", "status"), [("pass", 0), ("fail", 1), ("unknown", 3), (None, 3)])
def test_the_command_writes_both_and_says_how_it_went(written, tmp_path, monkeypatch, capsys, *, outcome, status):
    """The lines with their outcomes and the verdict are printed; the exit status is that of the Definition of Done.

    A line of which a test was not evaluated says how many were, and the whole is done in part: it is not unknown.
    """
    monkeypatch.chdir(tmp_path)
    folder = written(a_session(tests={DONE[1].tests[0]: outcome}))
    assert main(["dod", str(folder)]) == status
    lines = capsys.readouterr().out.splitlines()
    lines, verdict, files = lines[: len(DONE)], lines[len(DONE)], lines[len(DONE) + 1 :]
    count = len(DONE[1].tests)
    part = f"◐ {count - 1} of {count} tests"
    words = {"pass": "✓ pass", "fail": "✗ fail", "unknown": "? unknown", None: part}
    assert [line[: line.index(" (")] for line in lines] == [
        f"{words[outcome] if row is DONE[1] else words['pass']}: {row.id} {row.text}" for row in DONE
    ]
    whole = "◐ in part" if outcome is None else words[outcome]
    assert verdict == f"{whole}: Definition of Done: {FIXED}"
    assert files == [
        f"Written: validation-b59a65f{name}"
        for name in (".md", ".html", "-annex.md", ".fr.md", ".fr.html", "-annex.fr.md")
    ]
    assert (
        (tmp_path / "validation-b59a65f.md").read_text(encoding="utf-8").startswith(f"# Definition of Done: {FIXED}\n")
    )
    assert main(["dod", str(folder), "-o", "x.md", "--subject", FIXED]) == status
    assert (tmp_path / "x.fr.md").is_file()


@pytest.mark.parametrize("arguments", [[], ["--subject", "nobody"]])
def test_what_is_no_session_is_an_error_of_usage(written, tmp_path, capsys, arguments):
    """A folder without a session, or an unknown subject, gives status 2 and an error message; nothing is written."""
    folder = tmp_path if not arguments else written(a_session())
    assert main(["dod", str(folder), "-o", str(tmp_path / "x.md"), *arguments]) == 2
    assert "expected" in capsys.readouterr().err
    assert not (tmp_path / "x.md").exists()
