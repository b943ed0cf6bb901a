"""Check that a run leaves its input frames as they are.

A target gets copies of the frames, and a user's own run has the originals. In both, the frames must be there after the run with
the same bytes. Two changes are what ZeMosaic says it does, and do not fail: it solves a frame without a celestial WCS and
writes the solution into its header, and it moves a frame that it can't solve. The data of these frames must be equal after the
run. Files that the target adds to the folder are named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.analysis.causes import MAX_LISTED
from harness.analysis.figure import Figure, Unit, numbers
from harness.checks.base import Check, Premise, Runs
from harness.checks.thresholds import Thresholds
from harness.language.message import Message, say
from harness.record.inputs import InputFile
from harness.record.request import MODES
from harness.verdict import Outcome, Verdict


def _judge(runs: Runs, _: Thresholds) -> Verdict:
    files = runs.run.inputs or ()
    given = [file for file in files if file.state != "added"]
    documented: list[InputFile] = []
    by_state: dict[str, list[InputFile]] = {"gone": [], "changed": [], "moved": [], "touched": []}
    for file in given:
        state = _state(file)
        if state == "documented":
            documented.append(file)
        elif state != "same":
            by_state[state].append(file)
    gone, changed, moved, touched = by_state.values()
    added = [file.path for file in files if file.state == "added"]
    evidence: dict[str, Any] = {
        "files": len(given),
        "lost_or_changed": len(gone) + len(changed) + len(moved),
        "gone": [file.path for file in gone[:MAX_LISTED]],
        "changed": [file.path for file in changed[:MAX_LISTED]],
        "moved": [{"path": file.path, "to": file.to} for file in moved[:MAX_LISTED]],
        "touched": [file.path for file in touched[:MAX_LISTED]],
        "documented": [{"path": file.path, "state": file.state, "to": file.to} for file in documented[:MAX_LISTED]],
        "added": added[:MAX_LISTED],
    }
    outcome, sentence = _conclude(given, by_state, documented, added)
    return Verdict("inputs", outcome, sentence, evidence, _causes(by_state) if outcome is Outcome.FAIL else ())


def _state(file: InputFile) -> str:
    """Return the state of a file as this check takes it: a word of the record, or ``documented``.

    A frame without a celestial WCS may get another header or place, if its data are known to be equal.
    """
    if file.state in ("same", "gone"):
        return file.state
    if file.solved is not False or file.state not in ("moved", "changed", "touched"):
        # A word of a later version does not say that the file is the same.
        return file.state if file.state in ("changed", "moved") else "touched"
    if file.data_before is None:
        unreadable = file.state == "changed" and file.before is not None and file.after is None
        return "changed" if unreadable else "touched"
    return "documented" if file.data_after == file.data_before else "changed"


def _conclude(  # noqa: PLR0911 -- worst first
    given: Sequence[InputFile],
    by_state: dict[str, list[InputFile]],
    documented: Sequence[InputFile],
    added: Sequence[str],
) -> tuple[Outcome, Message]:
    """Conclude in this order: files lost, changed, moved, perhaps changed, unchanged."""
    gone, changed, moved, touched = by_state.values()
    if gone:
        return Outcome.FAIL, say(
            "Input files were deleted: {count}, such as {name}.", count=len(gone), name=gone[0].path
        )
    if changed:
        sentence = say("Input files were changed: {count}, such as {name}.", count=len(changed), name=changed[0].path)
        return Outcome.FAIL, sentence
    if moved:
        sentence = say("Input files were moved: {count}, such as {name}.", count=len(moved), name=moved[0].path)
        return Outcome.FAIL, sentence
    if touched:
        return Outcome.UNKNOWN, say(
            "Input files whose content may have changed: {count}, such as {name}. Their metadata were written during the run, "
            "and their content before it is not known.",
            count=len(touched),
            name=touched[0].path,
        )
    if documented:
        return Outcome.PASS, say(
            "Every input frame with a celestial WCS is unchanged. Frames without one that the target solved or moved, as it "
            "documents, with equal data: {count}, such as {name}.",
            count=len(documented),
            name=documented[0].path,
        )
    if added:
        return Outcome.PASS, say(
            "Every input file is unchanged. Files: {count}. Files added to the input folder: {added}, such as {name}.",
            count=len(given),
            added=len(added),
            name=added[0],
        )
    return Outcome.PASS, say("Every input file is unchanged. Files: {count}.", count=len(given))


def _causes(by_state: dict[str, list[InputFile]]) -> tuple[Message, ...]:
    """Say of the first file of each kind what happened to it."""
    links = []
    for state, file in ((state, files[0]) for state, files in by_state.items() if files and state != "touched"):
        if state == "gone":
            links.append(say("{name} was deleted: no copy of it is in the folders of the run.", name=file.path))
        elif state == "moved":
            links.append(say("{name} was moved to {place}.", name=file.path, place=file.to or "?"))
        elif file.link is not None:
            links.append(say("{name} is a link to {place}, which was changed.", name=file.path, place=file.link))
        elif file.data_before is not None:
            links.append(
                say(
                    "The data of {name} changed, not only the header: SHA-256 {before} before the run, {after} after it.",
                    name=file.path,
                    before=file.data_before[:12],
                    after="?" if file.data_after is None else file.data_after[:12],
                )
            )
        elif file.before is not None and file.after is not None:
            links.append(
                say(
                    "The content of {name} changed: SHA-256 {before} before the run, {after} after it.",
                    name=file.path,
                    before=file.before[:12],
                    after=file.after[:12],
                )
            )
        else:
            links.append(say("{name} was written during the run, or can't be read any more.", name=file.path))
    return tuple(links)


def _recorded(runs: Runs) -> Message | None:
    if any(file.state != "added" for file in runs.run.inputs or ()):
        return None
    return say(
        "The record does not say what became of the input files: it was made before the harness compared them, or from a log "
        "alone."
    )


CHECK = Check(
    "inputs",
    say("Are the input frames unchanged?"),
    _judge,
    {mode: (Premise("input files compared", _recorded),) for mode in MODES},
    figures=(Figure(say("input files deleted, changed or moved"), Unit.COUNT, numbers("lost_or_changed")),),
)
