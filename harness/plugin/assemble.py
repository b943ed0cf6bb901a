"""Build the session from what the tests report and from the shares that the workers leave in the session's folder."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.language.catalogue import translator
from harness.language.message import say
from harness.record.convert import from_json, to_json
from harness.session.checklist import Line
from harness.session.model import Session, Share, TestEntry, with_shares, write_session
from harness.session.rows import with_rows
from harness.targets import git
from harness.targets.errors import TargetError
from harness.verdict import Outcome

if TYPE_CHECKING:
    from harness.session.campaign import Campaign

LONGEST_MESSAGE = 4000


@dataclass(frozen=True, slots=True)
class Report:
    """What a test concluded, in pytest's report of it, and the facts that its fixtures noted."""

    outcome: Outcome
    message: str
    noted: Mapping[str, str]


def scenario_of(test: pytest.Item) -> tuple[str, str]:
    """Return the scenario and the occasion that a test's marker names; empty without a marker."""
    marker = test.get_closest_marker("scenario")
    return (str(marker.args[0]), str(marker.kwargs.get("occasion", ""))) if marker else ("", "")


def title_of(test: pytest.Item) -> str:
    """Return the first line of a test's docstring, which reports show."""
    return (getattr(getattr(test, "function", None), "__doc__", "") or "").strip().partition("\n")[0]


def plain_id(nodeid: str) -> str:
    """Return a test's id without the group that pytest-xdist appends."""
    return nodeid.partition("@")[0]


def read_report(report: pytest.TestReport) -> Report | None:
    """Return what a report says of its test; ``None`` for a set-up or a teardown that passed, which decide nothing."""
    if report.when != "call" and report.passed:
        return None
    noted = {str(name): str(value) for name, value in report.user_properties}
    if report.when == "call":
        outcome = Outcome.PASS if report.passed else Outcome.NOT_EVALUATED if report.skipped else Outcome.FAIL
    elif report.skipped:
        skipped = noted.get("phase3_outcome") == Outcome.NOT_APPLICABLE
        outcome = Outcome.NOT_APPLICABLE if skipped else Outcome.NOT_EVALUATED
    else:  # a set-up or teardown that failed, or a worker that died during the test
        outcome = Outcome.UNKNOWN
    return Report(outcome, _message(report), noted)


def _message(report: pytest.TestReport) -> str:
    """Return the message of a failed or skipped test, without the traceback."""
    if report.passed:
        return ""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr or "")[:LONGEST_MESSAGE]


def write_collected(folder: Path, worker: str, items: Iterable[pytest.Item]) -> None:
    """Write down the collected tests. Otherwise a test that leaves no report would be missing from the session."""
    collected = {}
    for item in items:
        case = getattr(item, "callspec", None)
        scenario, occasion = scenario_of(item)
        collected[plain_id(item.nodeid)] = {
            "title": title_of(item),
            "case": case.params.get("case_name") if case else None,
            "scenario": scenario,
            "occasion": occasion,
        }
    (folder / "shares" / f"{worker}.collected").write_text(json.dumps(collected), encoding="utf-8")


def write_share(folder: Path, worker: str, share: Share) -> None:
    """Write the runs and verdicts of one worker."""
    (folder / "shares" / f"{worker}.json").write_text(json.dumps(to_json(share)), encoding="utf-8")


def assemble(
    campaign: Campaign, folder: Path, reports: Mapping[str, Report], lines: Iterable[Line], command: str
) -> Session:
    """Merge the workers' shares and the tests into the session of ``folder``, write it, and point to it as the latest.

    ``campaign`` has the target and the options of this process, ``reports`` what each test concluded, by its id, ``lines`` the
    checklist; ``command`` started the session.
    """
    target = campaign.target("subject")
    session = Session(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=target.label,
        target_kind=target.kind,
        identity=target.identity,
        command=command,
        environment=_environment(),
        options=campaign.settings.deciding(),
    )
    shares = [from_json(json.loads(p.read_text(encoding="utf-8")), Share) for p in sorted(folder.glob("shares/*.json"))]
    cut_off = say("The session ended before this test did.").render(translator(campaign.settings.lang))
    tests = tuple(_entries(folder, reports, Report(Outcome.UNKNOWN, cut_off, {})))
    session = with_shares(session, [*shares, Share(tests=tests)])
    session = with_rows(session, lines)
    write_session(session, folder)
    # A text file, not a link: not every system has links.
    pointer = f"{folder.relative_to(campaign.root).as_posix()}\n"
    (campaign.root / "latest").write_text(pointer, encoding="utf-8")
    return session


def _entries(folder: Path, reports: Mapping[str, Report], cut_off: Report) -> Iterator[TestEntry]:
    """Yield every collected test; one without a report counts as ``cut_off``."""
    collected: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("shares/*.collected")):
        collected |= json.loads(path.read_text(encoding="utf-8"))
    for nodeid, facts in collected.items():
        report = reports.get(nodeid, cut_off)
        noted: dict[str, Any] = {name: report.noted.get(f"phase3_{name}") for name in ("check", "run", "role", "part")}
        yield TestEntry(nodeid, outcome=report.outcome, message=report.message, **noted, **facts)


def _environment() -> dict[str, str]:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "harness": version("zemosaic-phase3-validation"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": str(usable),
        **_commit(),
        **{name: version(name) for name in ("astropy", "numpy", "pytest", "reproject", "scikit-image")},
    }


def _commit() -> dict[str, str]:
    """Return the harness's commit and whether files differ from it; nothing if the harness is installed without its history."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}  # a repository further up belongs to another project
    try:
        commit = git.commit_of(root, "HEAD")
        return {"harness_commit": f"{commit} (changed)" if git.changed(root) else commit} if commit else {}
    except TargetError:
        return {}
