"""Build the session from what the tests report and from the shares that the workers leave in the session's folder."""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.language.catalogue import translator
from harness.language.message import Message, SaidError, counted, say
from harness.plugin.preflight import needs_of
from harness.record.convert import to_json
from harness.record.safe import is_aside, is_plain
from harness.record.values import RecordError
from harness.record.whole import said_of, write_whole
from harness.session.checklist import Line
from harness.session.model import RunEntry, Session, SessionError, Share, TestEntry, with_shares, write_session
from harness.session.resume import SHARES
from harness.session.rows import with_rows
from harness.session.shares import changed_records, read_part, read_share, write_part
from harness.targets import git
from harness.targets.errors import TargetError
from harness.verdict import Outcome

if TYPE_CHECKING:
    from harness.session.campaign import Campaign
    from reports.material import Material

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


def write_collected(shares: Path, worker: str, items: Iterable[pytest.Item]) -> None:
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
            "needs": needs_of(item),
        }
    write_part(shares / f"{worker}.collected", collected)


def read_collected(*shares: Path) -> dict[str, dict[str, Any]]:
    """Return the facts of every test that a process collected, by id, from folders of shares. Refused files are left out."""
    collected: dict[str, dict[str, Any]] = {}
    for path in (path for folder in shares for path in sorted(folder.glob("*.collected"))):
        with contextlib.suppress(SessionError):  # `assemble` says so
            collected |= read_part(path)
    return collected


def _read_shares(folder: Path, shares: Path) -> tuple[list[Share], list[Message]]:
    """Return the shares of a session, and a sentence on each file that is refused."""
    found: list[Share] = []
    refused: list[Message] = []
    for path in sorted(shares.glob("*.json")):
        try:
            found.append(read_share(path))
        except SessionError as error:
            refused += error.messages
    for path in sorted(folder.glob(f"{SHARES}*/*.collected")):
        try:
            read_part(path)
        except SessionError as error:
            refused += error.messages
    return found, refused


def write_share(shares: Path, worker: str, share: Share) -> None:
    """Write the runs and verdicts of one worker."""
    write_part(shares / f"{worker}.json", to_json(share))


def assemble(
    campaign: Campaign,
    shares: Path,
    reports: Mapping[str, Report],
    lines: Iterable[Line],
    command: str,
    *,
    own: Share | None = None,
    unwritten: Message | None = None,
) -> Session:
    """Merge the workers' shares and the tests into the session of the campaign, and write it.

    ``shares`` is the folder of the workers' shares, ``reports`` what each test concluded, by its id, ``lines`` the checklist;
    ``command`` started the session. ``own`` is the share of this process, which may not be on the disk. ``unwritten`` says what
    another worker could not write: the session counts as interrupted then, because its verdicts are not whole.

    Raises ``NotWrittenError`` when the session can't be written.
    """
    folder = campaign.folder
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
    parts, refused = _read_shares(folder, shares)
    session = with_shares(session, [*parts, *([] if own is None else [own])])
    cut_off = say("The session was interrupted before this test had run.").render(translator(campaign.settings.lang))
    unreached = Report(Outcome.NOT_EVALUATED, cut_off, {})
    # A resumed session keeps what a test concluded earlier, unless the test was run again. Tests that were to run at an earlier
    # start, and are not selected now, are still to run.
    collected = read_collected(*sorted(folder.glob(f"{SHARES}*")))
    earlier = {test.nodeid for test in session.tests}
    tests = tuple(_entries(collected, reports, unreached, earlier))
    session = with_shares(session, [Share(tests=tests), Share(runs=tuple(_unshared(folder, session)))])
    left = len(collected.keys() - reports.keys() - earlier)
    doubts = (*refused, *changed_records(folder, session))
    session = replace(session, interrupted=_interrupted(left, len(session.tests)) or unwritten, doubts=doubts)
    session = with_rows(session, lines)
    write_session(session, folder)
    return session


def conclude_session(
    campaign: Campaign, assembled: Callable[[], Session]
) -> tuple[Session | None, Material | None, tuple[Message, ...]]:
    """Write the session, then the pages; return both (``None`` for what could not be written), and what to do about the rest."""
    from reports.material import Material
    from reports.write import write_views

    folder = campaign.folder
    try:
        session = assembled()
    except OSError as error:
        again = say(
            "The runs are sealed in {folder}. To judge them and write the session: the same command with "
            "--phase3-resume={name}",
            folder=str(folder),
            name=folder.name,
        )
        return None, None, (*said_of(folder / "session.json", error), again)
    try:
        _point_to(campaign)
        material = Material(folder)
        write_views(material)
    except (OSError, SaidError) as error:
        command = shlex.join(["phase3", "report", str(folder)])
        again = say("The session is written, its pages are not. To write them: {command}", command=command)
        sealed, unsealed = _sealed(folder, session)
        return sealed, None, (*said_of(folder, error), again, *unsealed)
    sealed, unsealed = _sealed(folder, session)
    return sealed, material, unsealed


def _sealed(folder: Path, session: Session) -> tuple[Session, tuple[Message, ...]]:
    """Write the manifest of the session, last of all: from here on every change shows.

    Where that fails the session is returned with a doubt, and with sentences on the cause and on what to do.
    """
    from harness.session.integrity import seal_session, with_doubts

    try:
        seal_session(folder)
    except (OSError, SaidError) as error:
        unsealed = say("The session could not be sealed ({error}), so it does not pass.", error=str(error))
        again = say(
            "To seal it: run the session's command again with --phase3-resume={name}. The runs are judged again from their "
            "records.",
            name=folder.name,
        )
        return with_doubts(session, unsealed), (unsealed, again)
    return session, ()


def unwritten_by_workers(sentences: Iterable[str]) -> Message | None:
    """Return the sentence on what workers could not write; ``None`` without any."""
    said = " ".join(dict.fromkeys(sentences))
    return say("What a worker concluded could not be written: {problem}", problem=said) if said else None


def _point_to(campaign: Campaign) -> None:
    """Note the session as the latest one, for `phase3 report`. Raises ``NotWrittenError``."""
    # A text file, not a link: not every system has links.
    write_whole(campaign.root / "latest", f"{campaign.folder.relative_to(campaign.root).as_posix()}\n")


def _entries(
    collected: Mapping[str, Mapping[str, Any]],
    reports: Mapping[str, Report],
    unreached: Report,
    earlier: Container[str],
) -> Iterator[TestEntry]:
    """Yield every collected test. One without a report was not reached; it is left out if an earlier entry has it."""
    for nodeid, facts in collected.items():
        if nodeid not in reports and nodeid in earlier:
            continue
        report = reports.get(nodeid, unreached)
        noted: dict[str, Any] = {name: report.noted.get(f"phase3_{name}") for name in ("check", "run", "role", "part")}
        shown = {name: value for name, value in facts.items() if name != "needs"}
        yield TestEntry(nodeid, outcome=report.outcome, message=report.message, **noted, **shown)


def _unshared(folder: Path, session: Session) -> Iterator[RunEntry]:
    """Yield the runs that no share has, such as the run that was stopped, or those of a worker that was killed."""
    from harness.record.reader import read_record
    from harness.session.campaign import entry_of
    from harness.session.run_matrix import RUNS

    known = {run.key for run in session.runs}
    for path in sorted(folder.glob(f"{RUNS}/*/request.json")):
        key = path.parent.name
        # A target may leave a folder or a link among the records. A folder that was put aside may be the user's.
        if key not in known and not is_aside(key) and is_plain(folder, path):
            try:
                yield entry_of(key, read_record(path.parent), folder)
            except (RecordError, OSError):
                continue  # its start was interrupted


def _interrupted(left: int, every: int) -> Message | None:
    """Say that a session ended before its tests had run, given the number left; ``None`` if it reached its end."""
    if not left:
        return None
    return counted(
        "The session was interrupted: {count} of {all} tests was not reached.",
        "The session was interrupted: {count} of {all} tests were not reached.",
        count=left,
        all=every,
    )


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
