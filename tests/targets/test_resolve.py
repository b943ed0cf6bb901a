"""Test the table of the kinds of target: a new kind needs a class and an entry only."""

import hashlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from fixtures.catalogue import CASES, QUICK_CASE
from fixtures.datasets import Dataset
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.request import REPEATABLE, TargetFacts
from harness.session.campaign import Campaign, NoSuchRun
from harness.session.options import resolve_options
from harness.targets.errors import TargetError
from harness.targets.resolve import TARGETS, kind_of, parse, resolve
from harness.targets.target import Target
from harness.verdict import Outcome
from tests.runs_ import SPEAKING, frames_in


class Script(Target):
    """A third-party kind of target: a Python script that speaks the protocol."""

    name = "script"
    forms = ("script:FILE",)

    def resolve(self, rest, _python, _exports, /):
        """Identify the script by its content."""
        path = Path(rest)
        if not path.is_file():
            raise TargetError
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        return TargetFacts(self.name, f"script {path.name}", str(path), sys.executable, {"sha256": digest})

    def start(self, facts, _record, _env, /):
        """Run the script in this interpreter."""
        return [facts.python, facts.root]


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Add the kind to the table, and return a script of that kind."""
    monkeypatch.setitem(TARGETS, "script", Script())
    path = tmp_path / "a target.py"
    path.write_text(SPEAKING + 'hello(); event("PHASE_UPDATE", "3"); event("PROCESS_DONE")\n', encoding="utf-8")
    return path


def test_a_new_kind_takes_one_entry_in_the_table(script, tmp_path, monkeypatch):
    """A session resolves, prepares and runs a made-up kind of target, and judges its record: no other file knows that kind."""
    options = {"phase3_target": f"script:{script}", "phase3_seconds": "60"}
    campaign = Campaign(resolve_options(options.get, {}.get, {}), tmp_path / "root", tmp_path / "session")
    frames = tmp_path / "frames"
    dataset = Dataset(frames_in(frames), frames)
    monkeypatch.setattr(Campaign, "dataset", lambda *_: dataset)
    case = replace(QUICK_CASE, plan=None)
    assert campaign.target("subject").label == "script a target.py"
    assert {c.name for c in campaign.cases} == {c.name for c in CASES if c.suits(TARGETS["command"])}
    record = campaign.run(case, "subject", "per_tile")
    assert (record.seal.state, record.request.target.kind) == ("done", "script")
    assert [event.key for event in record.history.events] == ["PHASE_UPDATE", "PROCESS_DONE"]
    assert Outcome.FAIL not in {v.outcome for v in judge(Comparison(record), ["warnings"])}
    with pytest.raises(NoSuchRun, match="--phase3-baseline"):
        campaign.target("baseline")


def test_a_new_kind_is_named_among_the_others(script):
    """An error that lists the targets lists a new kind too."""
    with pytest.raises(TargetError, match=r"command:WORDS.* or script:FILE, found 'nonsense'"):
        parse("nonsense")
    assert resolve(f"script:{script}", None, script.parent).kind == "script"


def test_a_recorded_kind_that_is_unknown_here_is_treated_as_a_command():
    """A session with a kind that this installation does not know can be shown and merged: only its record is needed."""
    assert kind_of("made up") is TARGETS["command"]
    assert not kind_of("made up").embedded


def test_checks_and_targets_agree_on_what_repeats():
    """The record's format names the same repeatable kinds as the table, which the checks must not import."""
    always = {kind.name for kind in TARGETS.values() if kind.repeats("default", "classic")}
    assert always == REPEATABLE


@pytest.mark.parametrize(
    ("kind", "identity", "again", "anywhere"),
    [
        ("reference", {"defects": []}, "reference", "reference"),
        ("reference", {"defects": ["late_removal"]}, "reference:late_removal", "reference:late_removal"),
        ("zemosaic", {"commit": "63bcc2cd4f3d", "dirty": None}, "zemosaic:PATH@63bcc2c", None),
        ("zemosaic", {"commit": "63bcc2cd4f3d", "dirty": "0" * 64}, "zemosaic:PATH", None),
        ("command", {}, "command:ARGV", None),
    ],
)
def test_a_target_is_named_again(kind, identity, again, anywhere):
    """A specification is written with a placeholder for the folder; only the reference needs no folder."""
    assert TARGETS[kind].again(identity, "PATH") == again
    assert TARGETS[kind].again(identity, None) == anywhere


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("reference", "reference"),
        ("reference:late_removal", "reference:late_removal"),
        ('reference:"; rm', ""),
        ("zemosaic:/home/me@work/zemosaic@v4.2", "zemosaic:PATH@v4.2"),
        ("zemosaic:/home/me", "zemosaic:PATH"),
        ("command:/home/me/run --fast", "command:ARGV"),
    ],
)
def test_a_specification_is_shown_without_places(spec, shown):
    """A specification is shown without folders of the machine and without characters that a shell interprets."""
    kind, rest = parse(spec)
    assert kind.shown(rest, "PATH") == shown
