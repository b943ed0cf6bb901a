"""The hooks that run a validation under pytest: its options, the tests to run, and the session that they leave.

The hooks do nothing unless ``-m`` selects ``phase3``. Workers of pytest-xdist write their shares into the session's folder, and
the controller merges them, so that ``-n 2`` gives the same session as ``-n 0``.

Imports of the campaign, of inputs and of reports (several seconds with their libraries) are inside functions, here and in
``fixtures.py``. Otherwise every pytest run, also of the project's own tests, would pay for them at its start.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import uuid
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import pytest
from _pytest.mark.expression import Expression  # the same reading of -m as pytest's own

from harness.language.catalogue import translator
from harness.language.message import Message, SaidError, say, sentences_of
from harness.plugin.assemble import (
    Report,
    assemble,
    conclude_session,
    plain_id,
    read_collected,
    read_report,
    scenario_of,
    unwritten_by_workers,
    write_collected,
    write_share,
)
from harness.plugin.preflight import why_nothing
from harness.plugin.verdicts import conclude, status
from harness.record.in_use import Hold, InUseError
from harness.record.leftovers import remove_tree
from harness.record.whole import NotWrittenError, Reserve, as_said, said_of
from harness.session.checklist import Line, read_lines
from harness.session.options import OPTIONS, OptionError, Settings, resolve_language, resolve_options
from harness.session.resume import (
    ResumeError,
    find,
    finished_runs,
    next_shares,
    reopen,
    require_same,
    require_unchanged,
    write_start,
)
from harness.targets.errors import TargetError
from harness.verdict import exit_status

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterator, Sequence

    from harness.session.campaign import Campaign
    from harness.session.model import Session, Share
    from harness.session.progress import ProgressMonitor
    from harness.session.run_matrix import PlannedRun
    from harness.session.screen import Screen
    from harness.verdict import Verdict
    from reports.material import Material

STATE = "phase3-validation"
"""The name under which the validation of a pytest run is registered as a plugin."""
CONTROLLER = "controller"
"""The process that starts and ends a session, beside the workers of pytest-xdist."""
UNWRITTEN = "phase3_unwritten"
"""What a worker of pytest-xdist tells the controller if it could not write what it concluded."""
USAGE = 2
"""The exit status if it is known before the start that nothing can be judged, or that there is no room for the runs.

It is also that of a session that was interrupted, or could not be written at its end.
"""
WIDTH = 120
"""Columns of the lines at the end without a terminal."""
COLOURS = {"✗": "red", "✓": "green", "?": "yellow", "△": "yellow", "◐": "yellow"}
"""Colours by the sign of a line, for terminals that have them. The sign says the same without."""
NARROWEST = 60
"""Columns below which the lines at the end are not broken further."""
FEWEST_POINTINGS = 2
"""Tiles share frames only if there are at least so many pointings."""


class Validation:
    """The validation that a pytest run makes, registered as a plugin of this run alone.

    Its methods are the hooks that need its state. Some of them, such as ``pytest_runtest_logreport``, are not given the
    configuration, so that a function of the module could not find the state.
    """

    def __init__(self, settings: Settings, root: Path, shares: Path, worker: str = "") -> None:
        from harness.session.campaign import Campaign

        self.folder = shares.parent
        self.campaign: Campaign = Campaign(settings, root, self.folder)
        self.shares = shares
        self.worker = worker
        # A worker of an earlier start may have outlived its controller.
        self.hold = Hold(self.folder, worker or CONTROLLER, alone=not worker)
        self.lines: tuple[Line, ...] = ()
        self.reports: dict[str, Report] = {}
        self.patch: tuple[Verdict, ...] = ()
        self.session: Session | None = None
        self.material: Material | None = None
        self.monitor: ProgressMonitor | None = None
        self.terminal: TextIO | None = None
        self.on_terminal = False
        self.started = False
        self.refused = False
        self._shared = 0
        self._unwritten: list[str] = []
        """Sentences of the workers on what they could not write."""
        self._reserve = Reserve(self.folder / "reserve")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Keep what a worker of pytest-xdist could not write."""
        said = getattr(node, "workeroutput", {}).get(UNWRITTEN)
        if said:
            self._unwritten.append(str(said))

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Give a pytest-xdist worker the folder of shares, and what it needs to know the session's own runs."""
        node.workerinput["phase3_shares"] = str(self.shares)
        node.workerinput["phase3_secret"] = self.campaign.own_runs.secret
        node.workerinput["phase3_earlier"] = sorted(self.campaign.own_runs.earlier)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down the collected tests, show their runs and start watching them."""
        if not self.worker and _distributed(session.config):
            return  # the workers collect
        try:
            write_collected(self.shares, self.worker or CONTROLLER, session.items)
        except NotWrittenError as error:
            if not self.worker:
                self._refuse(*error.messages)
            # Every worker collects the same; the controller refuses the session if none can write it.
        if not self.worker:
            self._start(session.config)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """Start once, when the first worker has collected and no worker runs a test yet."""
        if not self.started:
            self._start(node.config)

    def _start(self, config: pytest.Config) -> None:
        """Refuse a session that can judge nothing or has no room, show the runs to come, and start watching them."""
        from harness.session.campaign import NoRoom

        self.started = True
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and not _verbose(config):
            reporter.showfspath = False  # runs have lines of their own, and dots between them would say nothing
        try:
            self._reserve.keep()
        except NotWrittenError as error:
            self._refuse(*error.messages)
        collected = read_collected(self.shares)
        nothing = why_nothing(self.campaign, collected.values())
        if nothing:
            self._refuse(say("No test of this session can judge anything."), *nothing)
        self.monitor = self._watching(config)
        names = {case.name for case in self.campaign.cases if any(f"[{case.name}]" in n for n in collected)}
        try:
            estimate = self.campaign.pilot(names)
        except NoRoom as missing:
            self._refuse(*missing.messages)
        except OSError as error:
            self._refuse(*said_of(self.folder, error))
        except SaidError:
            estimate = None  # the tests that need this run say what is wrong with it
        if self.campaign.settings.resume:  # nothing refuses from here on
            reopen(self.folder, self.shares)
        planned = self.campaign.planned(names)
        if planned:
            self._announce(config, planned, estimate, names)

    def _announce(
        self, config: pytest.Config, planned: Sequence[PlannedRun], pilot: float | None, names: Container[str]
    ) -> None:
        """Say how many runs are to come and how long they take, and what of the user's frames is not read."""
        from harness.session.outlook import outlook

        settings = self.campaign.settings
        translate = translator(settings.lang)
        workers = getattr(config.option, "numprocesses", None) or 1
        coming = outlook(planned, self.campaign.durations, profile=settings.profile, pilot=pilot, workers=workers)
        if self.monitor is not None:
            self.monitor.outlook = coming
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        with self._quiet():
            reporter.ensure_newline()
            if _verbose(config):
                reporter.write(coming.table(translate))
            for message in (coming.total(), *self._traits(names)):
                reporter.write_line(message.render(translate))

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Remove the living line while pytest writes."""
        with self.monitor.screen.away() if self.monitor is not None else nullcontext():
            yield

    def _refuse(self, *messages: Message) -> NoReturn:
        """End the pytest run before its first test, with the exit status for a wrong set-up and no new session."""
        self.refused = True
        translate = translator(self.campaign.settings.lang)
        pytest.exit(" ".join(message.render(translate) for message in messages), returncode=USAGE)

    def _watching(self, config: pytest.Config) -> ProgressMonitor | None:
        """Return a started monitor of the session's runs; ``None`` without a terminal to show them on."""
        from harness.session.progress import ProgressMonitor
        from harness.session.run_matrix import RUNS

        if self.terminal is None:
            return None
        # Lines of tests, or a debugger, would be written behind the living line.
        live = not _verbose(config) and not config.option.usepdb
        screen = _screen(config, self.terminal, live=live)
        monitor = ProgressMonitor(self.folder / RUNS, screen, translate=translator(self.campaign.settings.lang))
        monitor.start()
        return monitor

    def _traits(self, names: Container[str]) -> tuple[Message, ...]:
        """Name the user's frames that hold no data or are not read, so that a result without their sky is no surprise."""
        from fixtures.user_frames import unread_note
        from harness.run.inputs import traits

        own = [case for case in self.campaign.cases if case.kind == "user" and case.name in names]
        datasets = [self.campaign.dataset(case) for case in own]
        found = (note for dataset in datasets for note in (*traits(dataset.facts), unread_note(dataset)))
        return tuple(note for note in found if note is not None)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give a test that stands for a verdict the verdict's sentences in place of a traceback."""
        report = yield
        conclude(report, item, call.excinfo)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.CollectReport | pytest.TestReport, config: pytest.Config
    ) -> tuple[str, str, str] | None:
        """Count verdicts under their own words; pytest's sections of failures and skips leave them out."""
        return status(report, verbose=_verbose(config)) if isinstance(report, pytest.TestReport) else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test concluded, in this process or in a worker."""
        read = read_report(report)
        if read is not None:
            self.reports[plain_id(report.nodeid)] = read
        if self.campaign.made != self._shared:  # a worker that is killed writes no share at its end
            with suppress(NotWrittenError):  # written again at the end, which says so
                self._write_share()

    def _share(self) -> Share:
        return replace(self.campaign.share(), patch=self.patch)

    def _write_share(self) -> None:
        self._shared = self.campaign.made
        write_share(self.shares, self.worker or CONTROLLER, self._share())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None]:
        """Write this process's share. The controller then merges all shares, and writes the session and its reports.

        As the outermost wrapper it does so after all of pytest's own summaries, so that the path of the report is the last line.
        """
        if self.monitor is not None:
            self.monitor.stop()
        if self.worker:
            self._end_worker(session.config)
        yield
        if self.terminal is not None:
            self.terminal.close()
        if self.refused:
            self.undo()
            return
        self._reserve.free()
        if self.worker or not (self.reports or read_collected(self.shares)):
            return
        unwritten = self._conclude(session)
        if session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            # pytest's own status is 0 if every test was skipped, and 1 for missing evidence.
            session.exitstatus = USAGE if unwritten or self.session is None else exit_status(self.session.outcome)
        self._show_end(session.config, unwritten)

    def _conclude(self, session: pytest.Session) -> tuple[Message, ...]:
        """Write the session, then the views of it; return sentences on what could not be written, and how to write it again."""
        command = shlex.join(["pytest", *session.config.invocation_params.args])
        unwritten = unwritten_by_workers(self._unwritten)
        facts = (self.campaign, self.shares, self.reports, self.lines, command)
        self.session, self.material, problems = conclude_session(
            self.campaign, lambda: assemble(*facts, own=self._share(), unwritten=unwritten)
        )
        return problems or (() if unwritten is None else (unwritten,))

    def _end_worker(self, config: pytest.Config) -> None:
        """Write this worker's share, or tell the controller that it could not be written."""
        try:
            self._write_share()
        except NotWrittenError as error:
            output = getattr(config, "workeroutput", None)
            if output is not None:
                output[UNWRITTEN] = str(error)

    def undo(self) -> None:
        """Remove what a start that is refused has written: all of a new session, and nothing that an interrupted one had."""
        self._reserve.free()
        remove_tree(self.shares if self.campaign.settings.resume else self.folder)

    def pytest_unconfigure(self) -> None:
        """Let others resume or remove the session."""
        self.hold.release()

    def _show_end(self, config: pytest.Config, unwritten: Sequence[Message]) -> None:
        """Print the end of the session; its last line is the path of the report, or what to do where it is missing."""
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None:
            return
        from reports.terminal import summary_lines

        language = self.campaign.settings.lang
        translate = translator(language)
        reporter.section("phase3")
        if self.session is None:
            for message in unwritten:
                reporter.write_line(message.render(translate), red=True)
            return
        columns = shutil.get_terminal_size().columns - 1 if self.on_terminal else WIDTH
        lines = summary_lines(
            self.session,
            language,
            columns=max(NARROWEST, columns),
            runs=() if self.material is None else self.material.sizes,
            standing=None if self.material is None else self.material.standing,
        )
        for line in lines:
            reporter.write_line(line, **{COLOURS[line[:1]]: True} if line[:1] in COLOURS else {})
        if self.session.interrupted is not None:
            again = say("To go on: the same command with --phase3-resume={name}", name=self.folder.name)
            reporter.write_line(again.render(translate))
        for message in unwritten:
            reporter.write_line(message.render(translate), red=True)
        if unwritten:
            return
        page = "report.fr.html" if language == "fr" else "report.html"
        reporter.write_line(say("Report: {path}", path=str(self.folder / page)).render(translate))


def validation_of(config: pytest.Config) -> Validation | None:
    """Return the validation of a pytest run; ``None`` if ``-m`` does not select it, or tests are only collected."""
    return config.pluginmanager.get_plugin(STATE)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add each option and the ini setting of the same name."""
    group = parser.getgroup("phase3", "validation of ZeMosaic's Phase 3 cache retention")
    for option in OPTIONS:
        form: dict[str, Any] = {"action": "store_true"} if option.flag else {}
        if option.alone:
            form = {"nargs": "?", "const": option.alone}
        group.addoption(option.cli, dest=option.ini, default=None, help=option.help, **form)
        parser.addini(option.ini, f"{option.help} (as {option.cli})", default="")


def selected(config: pytest.Config) -> bool:
    """Return whether ``-m`` selects the validation: its expression is true with the mark ``phase3`` and false without it."""
    text = str(config.option.markexpr)
    if not text:
        return False
    try:
        expression = Expression.compile(text)
    except SyntaxError:
        return False  # pytest reports the error
    return expression.evaluate(_marked) and not expression.evaluate(_unmarked)


def _marked(name: str, /, **_: object) -> bool:
    return name == "phase3"


def _unmarked(_name: str, /, **_: object) -> bool:
    return False


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Keep the tests of a case in one worker, unless the user chose another distribution.

    This is no setting of pytest, because ``-p no:xdist`` would refuse it.
    """
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "loadgroup"


def pytest_configure(config: pytest.Config) -> None:
    """Start a session, or join the controller's, when ``-m`` selects the validation."""
    if not selected(config) or config.option.collectonly:
        return
    if sys.flags.optimize:
        raise usage_error(
            config,
            SaidError(
                say(
                    "expected Python without optimisation, found level {level}: its assertions are off, so that every test "
                    "would pass; unset PYTHONOPTIMIZE and leave out -O",
                    level=sys.flags.optimize,
                )
            ),
        )
    try:
        settings = resolve_options(lambda name: getattr(config.option, name, None), config.getini)
    except OptionError as error:
        raise usage_error(config, error) from error
    root = Path(settings.dir) if settings.dir else config.rootpath / ".phase3"
    root = root.expanduser().resolve()
    given = getattr(config, "workerinput", None)
    if given is not None:
        worker = Validation(settings, root, Path(given["phase3_shares"]), given["workerid"])
        worker.campaign.own_runs.secret = given["phase3_secret"]
        worker.campaign.own_runs.earlier = frozenset(given["phase3_earlier"])
        config.pluginmanager.register(worker, STATE)
        return
    validation = _opened(config, settings, root)
    try:
        validation.lines = _check_setup(config, validation.campaign)
        _begin(config, validation.campaign)
    except pytest.UsageError:
        validation.undo()  # otherwise it would look like a session that broke
        validation.hold.release()
        raise
    validation.terminal = _terminal()
    validation.on_terminal = validation.terminal is not None and validation.terminal.isatty()
    config.pluginmanager.register(validation, STATE)


def _opened(config: pytest.Config, settings: Settings, root: Path) -> Validation:
    """Return the validation of a new session, or of the one to resume, in a folder that no other process works in."""
    try:
        if settings.resume:
            folder = find(root, settings.resume)
        else:
            folder = root / "sessions" / f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
            folder.mkdir(parents=True)  # before the set-up, which writes below the same root
        validation = Validation(settings, root, next_shares(folder))
        validation.shares.mkdir()
    except (ResumeError, InUseError) as error:
        raise usage_error(config, error) from error
    except OSError as error:
        message = say(
            "expected to write a session below {folder}, found {error}: name another folder with --phase3-dir",
            folder=str(root),
            error=str(error),
        )
        raise usage_error(config, SaidError(message)) from error
    return validation


def _begin(config: pytest.Config, campaign: Campaign) -> None:
    """Note what decides on the runs of a new session; a session to resume must have been started with the same."""
    try:
        start = campaign.start()
        if campaign.settings.resume:
            require_same(campaign.folder, start)
            require_unchanged(campaign.folder)
            campaign.own_runs.earlier = finished_runs(campaign.folder)
        else:
            write_start(campaign.folder, start)
    except (ResumeError, OSError) as error:
        raise usage_error(config, error) from error


def usage_error(config: pytest.Config, error: Exception) -> pytest.UsageError:
    """Return an error that ends the session before it starts, in the language that the options ask for."""
    code = resolve_language(lambda name: getattr(config.option, name, None), config.getini)
    return pytest.UsageError("\n".join(sentences_of(as_said(error), translator(code))))


def _terminal() -> TextIO | None:
    """Return a copy of standard output, since pytest captures what is written to the original while a test runs."""
    try:
        descriptor = os.dup(sys.stdout.fileno())
    except (OSError, ValueError):
        return None
    return os.fdopen(descriptor, "w", encoding=sys.stdout.encoding, errors="replace")


def _check_setup(config: pytest.Config, campaign: Campaign) -> tuple[Line, ...]:
    """Return the lines of the checklist; refuse a target, frames or settings with which no run can start."""
    from harness.run.inputs import InputError

    try:
        campaign.target("subject")
        _require_fitting_settings(campaign)
        return read_lines()
    except (TargetError, InputError, OSError, ValueError) as error:
        raise usage_error(config, error) from error


def _require_fitting_settings(campaign: Campaign) -> None:
    if campaign.kind.embedded and campaign.own_config:
        raise SaidError(
            say("expected a ZeMosaic target with --phase3-config, found the reference: give --phase3-target")
        )
    if not campaign.settings.frames:
        return
    (case,) = campaign.cases
    groups = campaign.request(case, "subject", "per_tile").plan or ()
    if len(groups) < FEWEST_POINTINGS:
        raise SaidError(
            say(
                "expected frames of at least {needed} overlapping pointings in {folder}, found {found}: "
                "without frames that tiles share, the retention of caches is not tested; add a neighbouring"
                " panel",
                needed=FEWEST_POINTINGS,
                folder=campaign.settings.frames,
                found=len(groups),
            )
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``case_name`` once for each case of its scenario; one worker gets all tests of a case."""
    if "case_name" not in metafunc.fixturenames:
        return
    from fixtures import catalogue

    validation = validation_of(metafunc.config)
    cases = validation.campaign.cases if validation else catalogue.CASES
    mark = scenario_of(metafunc.definition)
    metafunc.parametrize(
        "case_name",
        [pytest.param(c.name, id=c.name, marks=pytest.mark.xdist_group(c.name)) for c in cases if c.is_for(*mark)],
        scope="session",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests of scenarios that have no case in this session, such as B to D in a quick one."""
    without_case = [item for item in items if _without_case(item)]
    if without_case:
        items[:] = [item for item in items if item not in without_case]
        config.hook.pytest_deselected(items=without_case)


def _without_case(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    params = getattr(getattr(item, "callspec", None), "params", {})
    return "case_name" in names and not isinstance(params.get("case_name"), str)


def _distributed(config: pytest.Config) -> bool:
    return bool(getattr(config.option, "numprocesses", None) or getattr(config.option, "tx", None))


def _verbose(config: pytest.Config) -> bool:
    """Return whether the user asked for a line for each test."""
    return config.get_verbosity(pytest.Config.VERBOSITY_TEST_CASES) > 0


def _screen(config: pytest.Config, terminal: TextIO, *, live: bool) -> Screen:
    """Return a screen that ends pytest's own line before it writes one."""
    from harness.session.screen import Screen

    writer = config.get_terminal_writer()
    width = 0

    class BetweenLines(Screen):
        def say(self, text: str) -> None:
            nonlocal width
            own = writer.width_of_current_line
            if own not in (0, width):
                terminal.write("\n")
            width = own
            super().say(text)

    return BetweenLines(terminal, live=live)
