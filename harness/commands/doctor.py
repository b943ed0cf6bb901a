"""``phase3 doctor``: list what this machine lacks to validate a target, and what to do. It changes nothing."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.commands.console import Commands, Text, line, own_options, root, user_path
from harness.language.message import Message, Translate, counted, say
from harness.targets import interpreter
from harness.targets.compiled import compiled
from harness.targets.errors import TargetError
from harness.targets.resolve import EMBEDDED, TARGETS, kind_of, resolve
from harness.targets.target import ROOT, Target

# A run keeps copies of its frames, caches, tiles and mosaic until it is sealed, and a session has some dozens of records.
ENOUGH_BYTES = 2 * 2**30
OLDEST = (3, 11)
# Each module that the harness needs, with its name for pip.
_SAME = (
    "astropy babel filelock jinja2 markupsafe msgspec numpy photutils platformdirs pooch psutil pytest reproject scipy"
)
OWN_LIBRARIES = {name: name for name in _SAME.split(" ")} | {
    "PIL": "pillow",
    "skimage": "scikit-image",
    "xdist": "pytest-xdist",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of looking at one part of the machine: what was found, and what to do about it, if anything.

    ``ok`` is ``None`` for a part that is optional and missing.
    """

    name: Message
    ok: bool | None
    found: Message
    todo: Message | None = None


def register(commands: Commands, text: Text) -> None:
    """Add ``doctor``."""
    doctor = commands.add_parser(
        "doctor", help=text(say("list what this machine lacks for a validation, and how to add it"))
    )
    for name, kind in (("target", str), ("python", str), ("frames", user_path)):
        doctor.add_argument(
            f"--{name}",
            type=kind,
            default=os.environ.get(f"PHASE3_{name.upper()}"),
            help=text(say("same as pytest's {option}", option=f"--phase3-{name}")),
        )
    doctor.set_defaults(command=_doctor)


def _doctor(options: argparse.Namespace, translate: Translate) -> int:
    findings = examine(options.target, options.python, options.frames)
    for finding in findings:
        mark = {True: say("ok"), False: say("MISSING"), None: say("?")}[finding.ok].render(translate)
        name, found = finding.name.render(translate), finding.found.render(translate)
        line(f"{mark:<8} {say('{label}: {text}', label=name, text=own_options(found, options)).render(translate)}")
        if finding.todo is not None and finding.ok is not True:
            line(f"         -> {own_options(finding.todo.render(translate), options)}")
    return 2 if any(finding.ok is False for finding in findings) else 0


def examine(target_spec: str | None, python: str | None, frames: str | Path | None) -> tuple[Finding, ...]:
    """Look at every part of this machine that a validation needs.

    ``target_spec`` is the target to be validated, as for ``--phase3-target`` (default: the embedded reference), ``python`` the
    interpreter with its libraries (default: this one), ``frames`` a folder of the user's own frames.
    """
    spec = target_spec or EMBEDDED.name
    kind = TARGETS.get(spec.partition(":")[0])
    return (
        _own_python(),
        _own_libraries(),
        _git(needed=kind is not None and kind.versioned),
        *_target(spec, python, kind),
        *_real_sets(),
        *_frames(frames),
        *_session_folder(root()),
    )


def _good(name: Message, found: Message) -> Finding:
    return Finding(name, ok=True, found=found)


def _bad(name: Message, found: Message, todo: Message | None = None) -> Finding:
    return Finding(name, ok=False, found=found, todo=todo)


def _optional(name: Message, found: Message, todo: Message) -> Finding:
    return Finding(name, ok=None, found=found, todo=todo)


def _own_python() -> Finding:
    found = say("Python {version}", version=".".join(str(part) for part in sys.version_info[:3]))
    if sys.version_info >= OLDEST:
        return _good(say("python"), found)
    return _bad(say("python"), found, say("Install Python {wanted} or later.", wanted=".".join(map(str, OLDEST))))


def _own_libraries() -> Finding:
    name = say("libraries of the harness")
    missing = sorted(pip for module, pip in OWN_LIBRARIES.items() if importlib.util.find_spec(module) is None)
    if missing:
        # An installed copy lies among other libraries, and can't be installed from there.
        place = str(ROOT) if (ROOT / "pyproject.toml").is_file() else "."
        again = say("Install the harness again: {command}", command=f'"{sys.executable}" -m pip install -e "{place}"')
        return _bad(name, say("missing: {names}", names=", ".join(missing)), again)
    versions = ", ".join(f"{pip} {metadata.version(pip)}" for pip in ("numpy", "astropy", "pytest"))
    return _good(name, say("all installed ({versions})", versions=versions))


def _git(*, needed: bool) -> Finding:
    path = shutil.which("git")
    if path is not None:
        return _good(say("git"), say("{path}", path=path))
    found, todo = say("not found"), say("Install git: a commit of ZeMosaic is read with it.")
    return _bad(say("git"), found, todo) if needed else _optional(say("git"), found, todo)


def _target(spec: str, python: str | None, kind: Target | None) -> Iterator[Finding]:
    try:
        chosen = interpreter.examine(python)
    except TargetError as error:
        yield from (_bad(say("interpreter of the target"), message) for message in error.messages)
        return
    version = ".".join(map(str, chosen.version))
    yield _good(say("interpreter of the target"), say("{path}, Python {version}", path=chosen.path, version=version))
    if kind is not None and kind.libraries:
        yield _libraries_of(kind, chosen)
    with tempfile.TemporaryDirectory(prefix="phase3-doctor-") as folder:
        try:
            facts = resolve(spec, python, Path(folder))
        except TargetError as error:
            yield from (_bad(say("target"), message) for message in error.messages)
            return
        yield _good(say("target"), say("{label}", label=facts.label))
        found = compiled(chosen.path, Path(facts.root), kind.entries) if kind is not None and kind.entries else None
        if found is not None:  # a module that can't be compiled was refused above, with its line
            yield _good(
                say("source of the target"),
                counted("{count} module compiles", "{count} modules compile", count=found.modules),
            )
        yield from _functions(kind_of(facts.kind).functions(facts))


def _libraries_of(kind: Target, chosen: interpreter.Interpreter) -> Finding:
    name = say("libraries of the target")
    missing = sorted(pip for module, pip in kind.libraries.items() if chosen.libraries.get(module) is None)
    if not missing:
        return _good(name, say("all installed"))
    install = say("Install them: {command}", command=f'"{chosen.path}" -m pip install {" ".join(missing)}')
    return _optional(name, say("missing: {names}", names=", ".join(missing)), install)


def _functions(found: Mapping[str, bool]) -> Iterator[Finding]:
    todo = say("Nothing to do: the checks that need this function will be unknown.")
    for function, there in found.items():
        name = say("function {name}", name=function)
        yield _good(name, say("present")) if there else _optional(name, say("not in this version"), todo)


def _real_sets() -> Iterator[Finding]:
    from fixtures import real  # it imports libraries that may be missing

    for status in real.status():
        name = say("real set {name}", name=status.name)
        if status.folder is not None:
            yield _good(name, say("{folder}", folder=str(status.folder)))
        else:
            todo = say("Get it with: {command}", command=real.command_to_get(status.name))
            yield _optional(name, say("not on this machine: this set will not be judged"), todo)


def _frames(folder: str | Path | None) -> Iterator[Finding]:
    if folder is None:
        return
    from fixtures import plans, user_frames  # they import libraries that may be missing
    from harness.run import inputs

    path, name = Path(folder).expanduser(), say("own frames")
    try:
        frames = user_frames.frames_of(path)
        facts = frames.facts
    except user_frames.FramesError as error:
        yield from (_bad(name, message) for message in error.messages)
    except OSError as error:
        yield _bad(name, say("{error}", error=str(error)))
    else:
        found = counted(
            "{count} frame with a celestial WCS, pointings: {panels}, in {folder}",
            "{count} frames with a celestial WCS, pointings: {panels}, in {folder}",
            count=len(facts.frames),
            panels=len(plans.panels_of(facts)),
            folder=str(path),
        )
        yield _good(name, found)
        for trait in inputs.traits(facts):
            yield Finding(name, None, trait)
        if (note := user_frames.unread_note(frames)) is not None:
            yield Finding(name, None, note)
        if frames.left_out:
            names = ", ".join(frames.left_out[:3])
            yield _good(name, say("mosaics and tiles of ZeMosaic among them are left out: {names}", names=names))


def _session_folder(folder: Path) -> Iterator[Finding]:
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    todo = say("Name another folder with --phase3-dir.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        problem = say("{folder} can't be written: {error}", folder=str(folder), error=str(error))
        yield _bad(say("session folder"), problem, todo)
        return
    yield _good(say("session folder"), say("{folder} can be written", folder=str(folder)))
    free = shutil.disk_usage(existing).free
    name, gib = say("disk space"), say("{free} GiB free", free=free / 2**30)
    yield _good(name, gib) if free >= ENOUGH_BYTES else _optional(name, gib, todo)
