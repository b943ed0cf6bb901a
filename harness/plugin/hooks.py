"""The pytest face of the harness: options, fixtures, and the session that a run of ``pytest -m phase3`` leaves behind.

The plugin is inert unless ``-m`` selects ``phase3``. Workers of pytest-xdist share the session's folder and leave their
shares in it; the controller merges them, so that ``-n 2`` gives the session of ``-n 0``.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import pytest
from _pytest.mark.expression import Expression  # the one place that knows how -m is read

from harness.language.message import SaidError, say, told
from harness.session.options import OPTIONS, OptionError, Settings, resolve_language, resolve_options
from harness.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.patch.guard_rails import PatchReport
    from harness.session.campaign import Campaign
    from harness.session.model import JudgedRun, Session, TestEntry
    from harness.session.progress import ProgressMonitor
    from harness.session.run_matrix import Subject
    from harness.verdict import Verdict

_STATE = pytest.StashKey["Validation"]()
SHARING = 2
"""Fewer pointings than these can share no frame."""


class UnknownVerdictError(Exception):
    """The evidence for a verdict is missing: pytest shows an error, never a pass and never a skip."""


class Validation:
    """What the plugin holds while a session lives."""

    def __init__(self, settings: Settings, root: Path, folder: Path, worker: str | None) -> None:
        from harness.session.campaign import Campaign

        self.campaign: Campaign = Campaign(settings, root, folder)
        self.folder = folder
        self.worker = worker
        self.outcomes: dict[str, tuple[Outcome, str]] = {}
        self.noted: dict[str, dict[str, str]] = {}
        self.patch: tuple[Verdict, ...] = ()
        self.session: Session | None = None
        self.monitor: ProgressMonitor | None = None
        self.terminal: TextIO | None = None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add each option and its ini twin."""
    group = parser.getgroup("phase3", "validation of ZeMosaic's Phase 3 cache retention")
    for option in OPTIONS:
        if option.flag:
            group.addoption(option.cli, dest=option.ini, action="store_true", default=None, help=option.help)
        else:
            group.addoption(option.cli, dest=option.ini, default=None, help=option.help)
        parser.addini(option.ini, f"{option.help} (as {option.cli})", default="")


def selected(config: pytest.Config) -> bool:
    """Whether ``-m`` selects the validation: an expression that holds with the mark and not without it."""
    text = str(config.option.markexpr)
    if not text:
        return False
    try:
        expression = Expression.compile(text)
    except SyntaxError:
        return False  # pytest says what is wrong with it
    return expression.evaluate(_marked) and not expression.evaluate(_unmarked)


def _marked(name: str, /, **_: object) -> bool:
    return name == "phase3"


def _unmarked(_name: str, /, **_: object) -> bool:
    return False


def pytest_configure(config: pytest.Config) -> None:
    """Start a session, or join the controller's, when ``-m`` selects the validation."""
    if not selected(config) or config.option.collectonly:
        return
    try:
        settings = resolve_options(lambda name: getattr(config.option, name, None), config.getini)
    except OptionError as error:
        raise _usage(config, error) from error
    root = Path(settings.dir) if settings.dir else config.rootpath / ".phase3"
    root = root.expanduser().resolve()
    workerinput = getattr(config, "workerinput", None)
    if workerinput is not None:
        config.stash[_STATE] = Validation(settings, root, Path(workerinput["phase3_folder"]), workerinput["workerid"])
        return
    folder = root / "sessions" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
    state = Validation(settings, root, folder, None)
    _make_folder(config, root, folder)  # first: the set-up writes below the same root
    try:
        _check_setup(config, state.campaign)
    except pytest.UsageError:
        from harness.record.leftovers import remove_tree

        remove_tree(folder)  # a folder without a session is what one that broke leaves
        raise
    state.terminal = _terminal()
    config.stash[_STATE] = state


def _make_folder(config: pytest.Config, root: Path, folder: Path) -> None:
    try:
        (folder / "shares").mkdir(parents=True)
    except OSError as error:
        message = say(
            "expected to write a session below {folder}, found {error}: name another folder with --phase3-dir",
            folder=str(root),
            error=str(error),
        )
        raise _usage(config, SaidError(message)) from error


def _usage(config: pytest.Config, error: Exception) -> pytest.UsageError:
    """Return an error that ends the session before it starts, in the language that was asked for."""
    from harness.language.catalogue import translator

    code = resolve_language(lambda name: getattr(config.option, name, None), config.getini)
    return pytest.UsageError("\n".join(told(error, translator(code))))


def _terminal() -> TextIO | None:
    """Return standard output as it is now: while a test runs, pytest captures what is written to its descriptor."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return os.fdopen(descriptor, "w", encoding=sys.stdout.encoding, errors="replace")


def _check_setup(config: pytest.Config, campaign: Campaign) -> None:
    """Refuse a target, frames or settings that no run can start with, before anything starts."""
    from harness.run.inputs import InputError
    from harness.targets.errors import TargetError

    try:
        campaign.target("subject")
        _require_fitting_settings(campaign)
    except (TargetError, InputError, OSError, ValueError) as error:
        raise _usage(config, error) from error


def _require_fitting_settings(campaign: Campaign) -> None:
    if campaign.kind.embedded and campaign.own_config:
        raise SaidError(
            say("expected a ZeMosaic target with --phase3-config, found the reference: give --phase3-target")
        )
    if not campaign.settings.frames:
        return
    (case,) = campaign.cases
    groups = campaign.request(case, "subject", "per_tile").plan or ()
    if len(groups) < SHARING:
        raise SaidError(
            say(
                "expected frames of at least {needed} overlapping pointings in {folder}, found {found}: tiles that share"
                " no frame put nothing to the test; add a neighbouring panel",
                needed=SHARING,
                folder=campaign.settings.frames,
                found=len(groups),
            )
        )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Hand the session's folder to a pytest-xdist worker."""
    state = node.config.stash.get(_STATE, None)  # type: ignore[attr-defined]
    if state is not None:
        node.workerinput["phase3_folder"] = str(state.folder)  # type: ignore[attr-defined]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of scenarios that have no case in this session, such as B to D in a quick one."""
    unasked = [item for item in items if _without_case(item)]
    if unasked:
        items[:] = [item for item in items if item not in unasked]
        config.hook.pytest_deselected(items=unasked)


def _without_case(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {})
    return "case_name" in names and not isinstance(params.get("case_name"), str)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``case_name`` once a case of this session; a worker keeps the tests of a case together."""
    if "case_name" not in metafunc.fixturenames:
        return
    from fixtures import catalogue

    state = metafunc.config.stash.get(_STATE, None)
    marker = metafunc.definition.get_closest_marker("scenario")
    cases = [
        case
        for case in (state.campaign.cases if state else catalogue.CASES)
        if marker is None or (case.scenario in marker.args and {*marker.kwargs.values()} <= {*case.occasions})
    ]
    metafunc.parametrize(
        "case_name",
        [pytest.param(c.name, id=c.name, marks=pytest.mark.xdist_group(c.name)) for c in cases],
        scope="session",
    )


@pytest.fixture(scope="session")
def phase3_campaign(request: pytest.FixtureRequest) -> Campaign:
    """Return the session's runs and judgements."""
    state = request.config.stash.get(_STATE, None)
    if state is None:
        message = say("expected the validation to be selected, found that it is not: run pytest -m phase3")
        raise _usage(request.config, SaidError(message))
    return state.campaign


@pytest.fixture
def judged(request: pytest.FixtureRequest, phase3_campaign: Campaign, case_name: str) -> JudgedRun:
    """Return the judged run that the test's ``judges`` marker names, made now if no test needed it before."""
    from fixtures.real import AbsentSet
    from harness.language.catalogue import translator
    from harness.session.campaign import NoRoom, NoSuchRun

    marker = request.node.get_closest_marker("judges")
    subject = cast("Subject", marker.kwargs.get("subject", "subject"))
    retention = marker.kwargs.get("retention", "per_tile")
    node = cast("pytest.Item", request.node)
    title = (node.function.__doc__ or "").strip().partition("\n")[0]  # type: ignore[attr-defined]
    case = next(c for c in phase3_campaign.cases if c.name == case_name)
    note(node, case=case_name, title=title, scenario=case.scenario)
    translate = translator(phase3_campaign.settings.lang)
    try:
        found = phase3_campaign.judged(case, subject, retention)
    except AbsentSet as absent:
        _conclude(node, Outcome.NOT_EVALUATED)
        pytest.skip("\n".join(told(absent, translate)))
    except NoRoom as missing:
        _conclude(node, Outcome.UNKNOWN)
        raise UnknownVerdictError("\n".join(told(missing, translate))) from None
    except NoSuchRun as missing:
        if subject == "control":
            _conclude(node, Outcome.UNKNOWN)
            unseen = say("Without a control the harness has not shown that it can see a hole.")
            raise UnknownVerdictError("\n".join((*told(missing, translate), unseen.render(translate)))) from None
        _conclude(node, Outcome.NOT_EVALUATED)
        pytest.skip("\n".join(told(missing, translate)))
    run = phase3_campaign.entry(found.run)
    note(node, run=run.key, role=found.role, target=run.target, retention=run.retention, seconds=run.seconds)
    return found


@pytest.fixture
def verdict(request: pytest.FixtureRequest, judged: JudgedRun, phase3_campaign: Campaign) -> Verdict:
    """Return the verdict that the test's ``judges`` marker names.

    ``unknown`` raises here, in the set-up, so that pytest shows an error, and so does a finding of which the
    baseline that was run does not tell whether it is new; ``not applicable`` skips with the reason.
    """
    from harness.language.catalogue import translator

    marker = request.node.get_closest_marker("judges")
    name = marker.args[0]
    found = next(v for v in judged.verdicts if v.check == name)
    node = cast("pytest.Item", request.node)
    translate = translator(phase3_campaign.settings.lang)
    _conclude(node, found.outcome)
    note(node, check=name, part=marker.kwargs.get("part"), verdict=found.sentence.render(translate))
    if found.outcome is Outcome.UNKNOWN:
        raise UnknownVerdictError(found.sentence.render(translate))
    if found.outcome is Outcome.NOT_APPLICABLE:
        pytest.skip(found.sentence.render(translate))
    if of_unknown_standing(found, judged):
        _conclude(node, Outcome.UNKNOWN)
        unsaid = say("The baseline does not tell whether this finding is new.")
        raise UnknownVerdictError("\n".join((found.sentence.render(translate), unsaid.render(translate))))
    return found


def of_unknown_standing(verdict: Verdict, judged: JudgedRun) -> bool:
    """Whether a baseline was run, and it does not tell whether a finding is new: it may have crashed, or have no mosaic."""
    finding = verdict.axis == "quality" and verdict.outcome is Outcome.FAIL
    return finding and not verdict.standing and judged.baseline is not None


@pytest.fixture(scope="session")
def patch_report(request: pytest.FixtureRequest, phase3_campaign: Campaign) -> Callable[[], PatchReport]:
    """Return a function that judges the guard rails on the sources of subject and baseline, once."""
    from harness.patch import guard_rails
    from harness.patch.versions import read_folder
    from harness.session.campaign import NoSuchRun
    from harness.targets.resolve import TARGETS

    @cache
    def judged() -> PatchReport:
        sides = [phase3_campaign.target("baseline"), phase3_campaign.target("subject")]
        commits = [(side.identity.get("commit"), side.identity.get("dirty")) for side in sides]
        if (
            not TARGETS[sides[0].kind].versioned
            or None in {commit for commit, _ in commits}
            or commits[0] == commits[1]
        ):
            raise NoSuchRun(
                say(
                    "expected two versions under git to compare, found {one} and {two}: name a commit before the patch"
                    " with --phase3-baseline",
                    one=sides[0].label,
                    two=sides[1].label,
                )
            )
        before, after = (read_folder(Path(s.root), s.identity.get("left_out", ())) for s in sides)
        report = guard_rails.judge(before, after)
        request.config.stash[_STATE].patch = report.rows
        return report

    return judged


@pytest.fixture
def patch_row(
    request: pytest.FixtureRequest, phase3_campaign: Campaign, patch_report: Callable[[], PatchReport]
) -> Verdict:
    """Return what the source shows on the line of the checklist that the test's ``judges`` marker names."""
    from harness.language.catalogue import translator
    from harness.session.campaign import NoSuchRun

    node = cast("pytest.Item", request.node)
    translate = translator(phase3_campaign.settings.lang)
    if not phase3_campaign.kind.versioned:
        _conclude(node, Outcome.NOT_APPLICABLE)
        without = say("the target has no versions to compare: give one that has with --phase3-target=zemosaic:PATH")
        pytest.skip(without.render(translate))
    try:
        row = patch_report().row(request.node.get_closest_marker("judges").args[0])
    except NoSuchRun as missing:
        _conclude(node, Outcome.NOT_EVALUATED)
        pytest.skip("\n".join(told(missing, translate)))
    _conclude(node, row.outcome)
    note(node, check=row.check)
    if row.outcome is Outcome.UNKNOWN:
        raise UnknownVerdictError("\n".join(line.render(translate) for line in (row.sentence, *row.cause)))
    return row


@pytest.fixture
def driven(request: pytest.FixtureRequest, phase3_campaign: Campaign) -> Verdict:
    """Return what came of driving a release outside of any run: the subject's, or that of a reference that counts wrongly."""
    from fixtures.pipeline.defects import COUNT_NOT_BOUNDED
    from harness.language.catalogue import translator
    from harness.patch.release_check import judge
    from harness.patch.release_driver import drive
    from harness.targets.resolve import TARGETS, resolve

    node = cast("pytest.Item", request.node)
    translate = translator(phase3_campaign.settings.lang)
    subject = request.node.get_closest_marker("judges").kwargs.get("subject", "subject")
    target = phase3_campaign.target("subject")
    if not TARGETS[target.kind].release:
        _conclude(node, Outcome.NOT_APPLICABLE)
        foreign = say("the function that releases caches is not known in this target: name another target")
        pytest.skip(foreign.render(translate))
    if subject == "control":
        target = resolve(f"reference:{COUNT_NOT_BOUNDED}", None, phase3_campaign.root / "targets")
    found = judge(drive(target, phase3_campaign.folder / "release" / f"{subject}-{uuid.uuid4().hex[:6]}"))
    _conclude(node, found.outcome)
    if found.outcome is Outcome.UNKNOWN:
        raise UnknownVerdictError(found.sentence.render(translate))
    return found


@pytest.fixture
def concluded(request: pytest.FixtureRequest, judged: JudgedRun, phase3_campaign: Campaign) -> JudgedRun:
    """Return the judged run when its verdicts together conclude something; ``unknown`` raises here, as for a verdict."""
    from harness.language.catalogue import translator

    _conclude(cast("pytest.Item", request.node), judged.outcome)
    if judged.outcome is Outcome.UNKNOWN:
        translate = translator(phase3_campaign.settings.lang)
        unknown = [v for v in judged.verdicts if v.outcome is Outcome.UNKNOWN]
        raise UnknownVerdictError("; ".join(f"{v.check}: {v.sentence.render(translate)}" for v in unknown))
    return judged


@pytest.fixture
def explain(phase3_campaign: Campaign) -> object:
    """Return a function that writes out a verdict with its cause, for the message of a failed assertion."""
    from harness.language.catalogue import translator

    translate = translator(phase3_campaign.settings.lang)

    def write_out(verdict: Verdict) -> str:
        causes = [f"  {n}. {link.render(translate)}" for n, link in enumerate(verdict.cause, 1)]
        return "\n".join([f"{verdict.check}: {verdict.sentence.render(translate)}", *causes])

    return write_out


def _conclude(node: pytest.Item, outcome: Outcome) -> None:
    note(node, outcome=outcome)


def note(node: pytest.Item, **facts: object) -> None:
    """Note facts of a test, of which there are some, as built-in text.

    They cross from worker to controller, which ends the session at anything but a built-in type, and into JUnit, where
    a structure would become a Python expression.
    """
    node.user_properties += [(f"phase3_{name}", str(value)) for name, value in facts.items() if value is not None]


def _note_collected(state: Validation, items: list[pytest.Item]) -> None:
    """Write down the tests to come, with their titles: one that leaves no report must not leave the session either."""
    collected = {}
    for item in items:
        title = (getattr(getattr(item, "function", None), "__doc__", "") or "").strip().partition("\n")[0]
        case = getattr(item, "callspec", None)
        collected[_plain(item.nodeid)] = {"title": title, "case": case.params.get("case_name") if case else None}
    path = state.folder / "shares" / f"{state.worker or 'controller'}.collected"
    path.write_text(json.dumps(collected), encoding="utf-8")


def _plain(nodeid: str) -> str:
    """Return a test's id without the group that pytest-xdist puts behind it."""
    return nodeid.partition("@")[0]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what a test concluded, wherever it ran."""
    state = _controller
    if state is None or not _decisive(report):
        return
    properties = {str(k): str(v) for k, v in getattr(report, "user_properties", ())}
    noted = properties.get("phase3_outcome")
    if report.when == "call":
        outcome = Outcome.PASS if report.passed else Outcome.NOT_EVALUATED if report.skipped else Outcome.FAIL
    elif report.skipped:
        outcome = Outcome.NOT_APPLICABLE if noted == Outcome.NOT_APPLICABLE else Outcome.NOT_EVALUATED
    else:  # a set-up or teardown that failed, or a worker that died with the test
        outcome = Outcome.UNKNOWN
    state.outcomes[_plain(report.nodeid)] = (outcome, _message(report))
    state.noted[_plain(report.nodeid)] = properties


def _decisive(report: pytest.TestReport) -> bool:
    """Whether a report decides its test: the call, a set-up that did not pass, or a teardown that failed."""
    return report.when == "call" or not report.passed


def _message(report: pytest.TestReport) -> str:
    """Return what a failed or skipped test said, without the traceback."""
    if report.passed:
        return ""
    if report.skipped and isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr or "")[:4000]


_controller: Validation | None = None


def pytest_sessionstart(session: pytest.Session) -> None:
    """Remember the controller's state: report hooks are not given the configuration."""
    global _controller  # noqa: PLW0603 -- pytest_runtest_logreport has no other way to reach it
    state = session.config.stash.get(_STATE, None)
    _controller = state if state is not None and state.worker is None else None


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note the tests to come; show their runs and start watching them."""
    state = session.config.stash.get(_STATE, None)
    if state is None or (state.worker is None and _distributed(session.config)):
        return
    _note_collected(state, session.items)
    if state.worker is None:
        _announce(session.config, [item.nodeid for item in session.items])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(node: object, ids: list[str]) -> None:
    """Show the runs to come once, when the first worker has collected."""
    config = node.config  # type: ignore[attr-defined]
    state = config.stash.get(_STATE, None)
    if state is not None and state.monitor is None:
        _announce(config, ids)


def _distributed(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None))


def _announce(config: pytest.Config, nodeids: list[str]) -> None:
    from harness.language.catalogue import translator
    from harness.session.progress import ProgressMonitor, expected_table

    state = config.stash[_STATE]
    names = {case.name for case in state.campaign.cases if any(f"[{case.name}]" in n for n in nodeids)}
    planned = state.campaign.planned(names)
    if not planned:
        return
    settings = state.campaign.settings
    translate = translator(settings.lang)
    table = expected_table(planned, state.campaign.durations, profile=settings.profile, translate=translate)
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line("")
        reporter.write(table)
    if state.terminal is not None:
        show = _beside_the_dots(config, state.terminal)
        state.monitor = ProgressMonitor(state.folder / "runs", show, translate=translate)
        state.monitor.start()


def _beside_the_dots(config: pytest.Config, terminal: TextIO) -> Callable[[str], None]:
    """Return a function that shows a line, and first ends the line on which pytest is putting its dots."""
    writer = config.get_terminal_writer()
    width = 0

    def show(line: str) -> None:
        nonlocal width
        dots = writer.width_of_current_line
        terminal.write(f"{'' if dots in (0, width) else chr(10)}{line}\n")
        terminal.flush()
        width = dots

    return show


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write this worker's share; in the controller merge all shares, write the session and its reports."""
    state = session.config.stash.get(_STATE, None)
    if state is None:
        return
    if state.monitor is not None:
        state.monitor.stop()
    if state.terminal is not None:
        state.terminal.close()
    _write_share(state)
    if state.worker is None and state.outcomes:
        state.session = _merge(state, session.config)
        from harness.session.model import write_session
        from reports.material import Material
        from reports.write import write_views

        write_session(state.session, state.folder)
        # A text file: not every system has links.
        pointer = f"{state.folder.relative_to(state.campaign.root).as_posix()}\n"
        (state.campaign.root / "latest").write_text(pointer, encoding="utf-8")
        write_views(Material(state.folder))


def _write_share(state: Validation) -> None:
    from harness.convert import to_json

    path = state.folder / "shares" / f"{state.worker or 'controller'}.json"
    share = replace(state.campaign.share(), patch=state.patch)
    path.write_text(json.dumps(to_json(share)), encoding="utf-8")


def _tests(state: Validation) -> tuple[TestEntry, ...]:
    """Return every test that was collected; one without a report was cut off, and concluded nothing."""
    from harness.language.catalogue import translator
    from harness.session.model import TestEntry

    collected: dict[str, dict[str, str | None]] = {}
    for path in sorted((state.folder / "shares").glob("*.collected")):
        collected |= json.loads(path.read_text(encoding="utf-8"))
    translate = translator(state.campaign.settings.lang)
    cut_off: tuple[Outcome, str] = (Outcome.UNKNOWN, say("The session ended before this test did.").render(translate))
    entries = []
    for nodeid, known in collected.items():
        outcome, message = state.outcomes.get(nodeid, cut_off)
        noted = (state.noted.get(nodeid, {}).get(f"phase3_{name}") for name in ("check", "run", "role", "part"))
        entries.append(TestEntry(nodeid, str(known["title"]), outcome, message, known["case"], *noted))
    return tuple(entries)


def _merge(state: Validation, config: pytest.Config) -> Session:
    from harness.convert import from_json
    from harness.session.checklist import evaluate, read_lines
    from harness.session.model import Session, Share, with_shares

    target = state.campaign.target("subject")
    empty = Session(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        target=target.label,
        target_kind=target.kind,
        identity=target.identity,
        command=shlex.join(["pytest", *config.invocation_params.args]),
        environment=_environment(),
        options=state.campaign.settings.deciding(),
    )
    shares = [
        from_json(json.loads(p.read_text(encoding="utf-8")), Share)
        for p in sorted((state.folder / "shares").glob("*.json"))
    ]
    session = with_shares(empty, [*shares, Share(tests=_tests(state))])
    return replace(session, requirements=evaluate(read_lines(), session.tests, self_test=session.self_test))


def _environment() -> dict[str, str]:
    libraries = {name: version(name) for name in ("astropy", "numpy", "pytest", "reproject", "scikit-image")}
    return {
        "harness": version("zemosaic-phase3-validation"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": str(_processors()),
        **_commit(),
        **libraries,
    }


def _processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _commit() -> dict[str, str]:
    """Return the commit of the harness, and whether files differ from it; nothing where it was installed without its history."""
    from harness.targets import git
    from harness.targets.errors import TargetError

    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return {}  # a repository further up would be another project's
    try:
        commit = git.commit_of(root, "HEAD")
        return {"harness_commit": f"{commit} (changed)" if git.changed(root) else commit} if commit else {}
    except TargetError:
        return {}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Close with the verdicts, worst first, and where the report is."""
    state = _controller
    if state is None or state.session is None:
        return
    from harness.language.catalogue import translator
    from reports.terminal import summary_lines

    language = state.campaign.settings.lang
    translate = translator(language)
    terminalreporter.section("phase3")
    for line in summary_lines(state.session, language):
        terminalreporter.write_line(line)
    page = "report.fr.html" if language == "fr" else "report.html"
    terminalreporter.write_line(say("Report: {path}", path=str(state.folder / page)).render(translate))


def pytest_unconfigure() -> None:
    """Let go of the session."""
    global _controller  # noqa: PLW0603 -- set in pytest_sessionstart
    _controller = None
