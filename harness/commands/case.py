"""``phase3 case make``, ``verify`` and ``run``: repeat a run bit by bit from a small file."""

from __future__ import annotations

import argparse
import functools
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.commands.console import Commands, Text, new_folder, root, show, tell, user_path
from harness.language.message import Message, Translate, say
from harness.verdict import exit_status, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fixtures.datasets import Dataset
    from harness.field.case_file import CaseFile
    from harness.record.request import Retention, TargetFacts
    from harness.verdict import Verdict


def register(commands: Commands, text: Text) -> None:
    """Add ``case`` and its actions."""
    case = commands.add_parser(
        "case", help=text(say("make, verify and run case files: the exact dataset and settings of a run"))
    )
    actions = case.add_subparsers(metavar="ACTION")
    make = actions.add_parser("make", help=text(say("write the case file of a record")))
    make.add_argument("record", type=user_path)
    make.add_argument(
        "-o", "--output", type=user_path, help=text(say("the file to write (default: CASE.phase3.json in this folder)"))
    )
    make.set_defaults(command=_make)

    verify = actions.add_parser(
        "verify", help=text(say("compare the frames in a folder with those of a case, byte by byte"))
    )
    run = actions.add_parser("run", help=text(say("run a case again, judge it, compare its outputs")))
    for action in (verify, run):
        action.add_argument("file", type=user_path)
        frames = say("the folder of the frames (default: the project's own set of that name)")
        action.add_argument("--frames", type=user_path, help=text(frames))
    verify.set_defaults(command=_verify)
    run.add_argument("--target", help=text(say("same as pytest's {option}", option="--phase3-target")))
    python = say("same as pytest's {option}", option="--phase3-python")
    run.add_argument("--python", default=os.environ.get("PHASE3_PYTHON"), help=text(python))
    pair = say("also make the run with the other retention, and judge per_tile by comparison with run_end")
    run.add_argument("--pair", action="store_true", help=text(pair))
    run.add_argument("--seconds", type=float, help=text(say("time limit of one run (default: the case's)")))
    folder = say("the folder for the records (default: a new one below PHASE3_DIR, or .phase3)")
    run.add_argument("-o", "--output", type=user_path, help=text(folder))
    run.set_defaults(command=_run)


def _make(options: argparse.Namespace, translate: Translate) -> int:
    from harness.field.case_file import CaseError, make
    from harness.record.reader import read_record
    from harness.session.integrity import require_known

    if (doubt := require_known(options.record)) is not None:
        tell(doubt, translate)
    case = make(read_record(options.record))
    path = options.output or Path(f"{_file_stem(case)}.phase3.json")
    try:
        case.write(path)
    except FileExistsError:
        raise CaseError(
            say("Expected to write a new file, found {path} there already: name another with -o.", path=str(path))
        ) from None
    tell(say("Case: {path}", path=str(path)), translate)
    for line in _contents(case):
        tell(line, translate)
    return 0


def _contents(case: CaseFile) -> list[Message]:
    """Say which frames, groups and outputs a case fixes, and which settings are left out."""
    from harness.field.case_file import listed

    groups = case.plan or case.request.plan
    lines = [
        say(
            "The case fixes: frames {frames}, groups {groups}, outputs {outputs}.",
            frames=len(case.request.dataset.frames),
            groups=len(groups) if groups else "?",
            outputs=len(case.outputs),
        )
    ]
    if case.followed is False:
        lines.append(say("The submitted groups are not those of the requested plan; the case contains both."))
    if case.left_out:
        names = listed(case.left_out)
        lines.append(say("Settings left out because they name places, programs or secrets: {names}.", names=names))
    return lines


def _verify(options: argparse.Namespace, translate: Translate) -> int:
    from harness.field.case_file import listed, read, verify

    case = read(options.file)
    folder = _frames(case, options.frames).folder
    found = verify(case, folder)
    for message, names in (
        (say("Missing: {names}", names=listed(found.missing)), found.missing),
        (say("Changed: {names}", names=listed(found.changed)), found.changed),
        (say("Not in the case, and not used: {names}", names=listed(found.extra)), found.extra),
    ):
        if names:
            tell(message, translate)
    if found.ok:
        count = len(case.request.dataset.frames)
        whole = say(
            "Every frame of the case is in {folder}, byte by byte. Frames: {count}.", count=count, folder=str(folder)
        )
        tell(whole, translate)
    return 0 if found.ok else 1


def repeat(words: Sequence[str], translate: Translate) -> tuple[Verdict, ...]:
    """Run ``case run`` with these arguments for another command, show the verdicts and return them."""
    parser = argparse.ArgumentParser(prog="phase3")
    commands = parser.add_subparsers()
    register(commands, lambda message: message.render(translate))
    return _shown(parser.parse_args(["case", "run", *words]), translate)


def _run(options: argparse.Namespace, translate: Translate) -> int:
    return exit_status(merge(verdict.outcome for verdict in _shown(options, translate) if verdict.gates))


def _shown(options: argparse.Namespace, translate: Translate) -> tuple[Verdict, ...]:
    """Make the runs of a case, and show and return the verdicts on them."""
    judged = _runs(options, translate)
    for heading, verdicts in judged:
        if len(judged) > 1:
            tell(heading, translate)
        show(verdicts, translate)
    return tuple(verdict for _, verdicts in judged for verdict in verdicts)


def _runs(options: argparse.Namespace, translate: Translate) -> list[tuple[Message, tuple[Verdict, ...]]]:
    """Make the runs of a case, and return the verdicts on each run that is judged, with a heading."""
    from fixtures.reference_mosaic import with_truth
    from fixtures.user_frames import flat
    from harness.checks.judge import judge
    from harness.field.case_file import CaseError, compare, listed, other_settings, read, verify
    from harness.record.comparison import Comparison
    from harness.record.in_use import held
    from harness.run.runner import make_run
    from harness.session.progress import progress_of

    case = read(options.file)
    target = _target(case, options.target, options.python)
    dataset = _frames(case, options.frames)
    frames = dataset.folder
    wrong = verify(case, frames)
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
    dataset = replace(dataset, folder=flat(dataset.folder, root() / "datasets"))
    truth = dataset.truth or with_truth(dataset, root() / "datasets").truth
    folder = options.output or new_folder(root() / "cases", _file_stem(case))
    make = functools.partial(make_run, frames=dataset.folder, truth=truth, table=case.table)
    own = case.request.retention
    other: Retention = "per_tile" if own == "run_end" else "run_end"
    with held(folder), progress_of(folder, sys.stderr, translate):
        run = make(case.asks(target, own, options.seconds), folder / own)
        partner = make(case.asks(target, other, options.seconds), folder / other) if options.pair else None
    for record in (run, *((partner,) if partner else ())):
        tell(say("Record: {path}", path=str(record.folder)), translate)
    others = other_settings(case, run)
    if others:
        tell(say("Settings in effect that differ from the case: {names}.", names=listed(others)), translate)
    pair = partner if other == "run_end" else None
    judged = [
        (say("The run of the case ({retention}):", retention=own), (*judge(Comparison(run, pair)), compare(case, run)))
    ]
    if partner is not None and other == "per_tile":
        heading = say("The same run with per_tile, compared with it:")
        judged.append((heading, tuple(judge(Comparison(partner, run)))))
    return judged


def _target(case: CaseFile, spec: str | None, python: str | None) -> TargetFacts:
    """Return the target that was given, or else the target of the case, if it needs no folder of this machine."""
    from harness.field.case_file import CaseError
    from harness.targets.resolve import kind_of, resolve

    recorded = case.request.target
    spec = spec or kind_of(recorded.kind).again(recorded.identity, None)
    if spec is None:
        raise CaseError(
            say(
                "Expected the target to run, found a case of {label}, and a case file does not hold the target itself: "
                "name it with --target zemosaic:PATH@COMMIT.",
                label=recorded.label,
            )
        )
    return resolve(spec, python, root() / "targets")


def _frames(case: CaseFile, given: Path | None) -> Dataset:
    """Return the frames of a case, with the truth if they are synthetic; by default those of the project's own set."""
    from fixtures import datasets, real
    from fixtures.datasets import Dataset
    from fixtures.frames import PLAIN_PREFIX
    from harness.field.case_file import CaseError

    facts = case.request.dataset
    if given is not None:
        return Dataset(facts, given)
    if facts.kind == "synthetic" and facts.name in datasets.SYNTHETIC:
        spec, folder = datasets.SYNTHETIC[facts.name], facts.name
        if all(frame.name.startswith(PLAIN_PREFIX) for frame in facts.frames):  # a case of an earlier version
            spec, folder = datasets.plainly_named(spec), f"{facts.name}-plain"
        return datasets.build(spec, root() / "datasets" / folder)
    if facts.kind == "real" and facts.name in real.names():
        return Dataset(facts, real.load(facts.name).folder)
    raise CaseError(
        say(
            "Expected a folder of frames, found no option --frames, and {dataset} is not a set of this project: "
            "name the folder with --frames.",
            dataset=facts.name,
        )
    )


def _file_stem(case: CaseFile) -> str:
    """Return the case's name with the characters that every system allows in a file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", case.request.case).strip(".-")[:60] or "case"
