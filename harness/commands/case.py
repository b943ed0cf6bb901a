"""``phase3 case make``, ``verify`` and ``run``: a run that can be made again, bit by bit, from a small file."""

from __future__ import annotations

import argparse
import functools
import os
import re
from pathlib import Path

from harness.commands.places import new_folder, root
from harness.commands.verdicts import show
from harness.field import case_file as cases
from harness.field.case_file import CaseError, CaseFile, listed
from harness.language.message import Message, Translate, say
from harness.record.request import Retention, TargetFacts
from harness.record.truth import Truth


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], translate: Translate) -> None:
    """Add ``case`` and its actions."""

    def text(message: Message) -> str:
        return message.render(translate)

    case = commands.add_parser("case", help=text(say("case files: exactly this dataset and config")))
    actions = case.add_subparsers(required=True, metavar="ACTION")
    make = actions.add_parser("make", help=text(say("write the case file of a record")))
    make.add_argument("record", type=Path)
    make.add_argument(
        "-o", "--output", type=Path, help=text(say("the file to write (default: CASE.phase3.json in this folder)"))
    )
    make.set_defaults(command=_make)

    verify = actions.add_parser("verify", help=text(say("compare a folder's frames with a case's, byte by byte")))
    run = actions.add_parser("run", help=text(say("run a case again, judge it, compare its outputs")))
    for action in (verify, run):
        action.add_argument("file", type=Path)
        frames = say("the folder of the frames (default: the project's own set of that name)")
        action.add_argument("--frames", type=Path, help=text(frames))
    verify.set_defaults(command=_verify)
    run.add_argument("--target", help=text(say("as pytest's {option}", option="--phase3-target")))
    python = say("as pytest's {option}", option="--phase3-python")
    run.add_argument("--python", default=os.environ.get("PHASE3_PYTHON"), help=text(python))
    run.add_argument(
        "--pair", action="store_true", help=text(say("make the run with run_end too, and judge beside it"))
    )
    run.add_argument("--seconds", type=float, help=text(say("time limit of one run (default: the case's)")))
    folder = say("the folder for the records (default: a new one below PHASE3_DIR, or .phase3)")
    run.add_argument("-o", "--output", type=Path, help=text(folder))
    run.set_defaults(command=_run)


def _make(options: argparse.Namespace, translate: Translate) -> int:
    from harness.record.reader import read_record

    case = cases.make(read_record(options.record))
    path = options.output or Path(f"{_file_stem(case)}.phase3.json")
    try:
        case.write(path)
    except FileExistsError:
        raise CaseError(
            say("Expected to write a new file, found {path} there already: name another with -o.", path=str(path))
        ) from None
    _print(say("Case: {path}", path=str(path)), translate)
    for line in _told(case):
        _print(line, translate)
    return 0


def _told(case: CaseFile) -> list[Message]:
    """Say what a case pins, and what it can't."""
    groups = case.plan or case.request.plan
    lines = [
        say(
            "It pins {frames} frames, {groups} groups, {outputs} outputs.",
            frames=len(case.request.dataset.frames),
            groups=len(groups) if groups else "?",
            outputs=len(case.outputs),
        )
    ]
    if case.followed is False:
        lines.append(say("The groups submitted are not those of the plan that was asked for; the case holds both."))
    if case.left_out:
        lines.append(
            say("Settings left out, for they name places, programs or secrets: {names}.", names=listed(case.left_out))
        )
    return lines


def _verify(options: argparse.Namespace, translate: Translate) -> int:
    case = cases.read(options.file)
    folder, _ = _frames(case, options.frames)
    found = cases.verify(case, folder)
    for text, names in (
        (say("Missing: {names}", names=listed(found.missing)), found.missing),
        (say("Changed: {names}", names=listed(found.changed)), found.changed),
        (say("Not in the case, and left alone: {names}", names=listed(found.extra)), found.extra),
    ):
        if names:
            _print(text, translate)
    if found.ok:
        count = len(case.request.dataset.frames)
        _print(
            say("All {count} frames of the case are in {folder}, byte by byte.", count=count, folder=str(folder)),
            translate,
        )
    return 0 if found.ok else 1


def _run(options: argparse.Namespace, translate: Translate) -> int:
    from harness.checks.judge import judge
    from harness.record.comparison import Comparison
    from harness.run.runner import make_run

    case = cases.read(options.file)
    target = _target(case, options.target, options.python)
    frames, truth = _frames(case, options.frames)
    wrong = cases.verify(case, frames)
    if not wrong.ok:
        raise CaseError(
            say(
                "Expected the frames of the case in {folder}, found {missing} missing and {changed} changed ({names}): "
                "restore them, or name another folder with --frames.",
                folder=str(frames),
                missing=len(wrong.missing),
                changed=len(wrong.changed),
                names=listed((*wrong.missing, *wrong.changed)),
            )
        )
    folder = options.output or new_folder(root() / "cases", _file_stem(case))
    retention = case.request.retention
    make = functools.partial(make_run, frames=frames, truth=truth, table=case.table)
    run = make(case.asks(target, retention, options.seconds), folder / retention)
    pair = None
    if options.pair and retention == "run_end":
        _print(say("The case is one of run_end itself, so no pair is made."), translate)
    elif options.pair:
        twin: Retention = "run_end"
        pair = make(case.asks(target, twin, options.seconds), folder / twin)
    for record in (run, *((pair,) if pair else ())):
        _print(say("Record: {path}", path=str(record.folder)), translate)
    others = cases.other_settings(case, run)
    if others:
        _print(say("Settings in effect that are not as in the case: {names}.", names=listed(others)), translate)
    return show((*judge(Comparison(run, pair)), cases.compare(case, run)), translate)


def _target(case: CaseFile, spec: str | None, python: str | None) -> TargetFacts:
    """Return the target that was given; of a case of the reference, the reference with the same defects."""
    from harness.targets.resolve import resolve

    ours = case.request.target
    if spec is None and ours.kind == "reference":
        spec = "reference:" + ",".join(str(name) for name in ours.identity.get("defects", ()))
    if spec is None:
        raise CaseError(
            say(
                "Expected the target to run, found a case of {label}, which no file can bring along: name it with "
                "--target zemosaic:PATH@COMMIT.",
                label=ours.label,
            )
        )
    return resolve(spec, python, root() / "targets")


def _frames(case: CaseFile, given: Path | None) -> tuple[Path, Truth | None]:
    """Return the folder of the frames, and what they show where they were drawn; without a folder, the project's own set."""
    from fixtures import datasets, real

    if given is not None:
        return given, None
    facts = case.request.dataset
    if facts.kind == "synthetic" and facts.name in datasets.SYNTHETIC:
        own = datasets.build(datasets.SYNTHETIC[facts.name], root() / "datasets" / facts.name)
        return own.folder, own.truth
    if facts.kind == "real" and facts.name in real.names():
        return real.load(facts.name).folder, None
    raise CaseError(
        say(
            "Expected a folder of frames, found none for {dataset}, which is no set of this project: name it with --frames.",
            dataset=facts.name,
        )
    )


def _file_stem(case: CaseFile) -> str:
    """Return a name for files that any system takes, whatever a case is called."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", case.request.case).strip(".-")[:60] or "case"


def _print(message: Message, translate: Translate) -> None:
    print(message.render(translate))
