"""``phase3 conclude``: what a job came to, told to the runner that shows it: one session, its page, an annotation, a status.

Red, green and unknown are three things, and none of them is a job that broke before its session was written. pytest's
exit status tells neither apart: it is 1 for a failure and for missing evidence.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.language.message import Message, Translate, say, told
from harness.verdict import Outcome, exit_status

if TYPE_CHECKING:
    from harness.session.model import Session

ENDS = ("success", "failure", "cancelled", "skipped")
"""How a runner says that a step or a job ended."""

_WRONG = "set-up wrong"
_WRONG_STATUS = 2  # as for usage: nothing was concluded, and something is to be put right
Level = Literal["notice", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What a job came to, in one word that is never translated, with its exit status and how loudly it is told."""

    word: str
    status: int
    level: Level


def conclude(outcome: Outcome | None, *, broken: bool) -> Conclusion:
    """Conclude from what the sessions merge to, ``None`` without any, and whether something broke beside them.

    A failure is one whatever else broke. A pass or an unknown with something broken beside it says too little: what broke is
    to be put right first.
    """
    if outcome is Outcome.FAIL:
        return Conclusion(outcome, exit_status(outcome), "error")
    if outcome is None or broken:
        return Conclusion(_WRONG, _WRONG_STATUS, "error")
    return Conclusion(outcome, exit_status(outcome), "warning" if outcome is Outcome.UNKNOWN else "notice")


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser], translate: Translate) -> None:
    """Add ``conclude``."""

    def text(message: Message) -> str:
        return message.render(translate)

    parser = commands.add_parser("conclude", help=text(say("tell the runner of a job what its sessions came to")))
    parser.add_argument("out", type=Path, help=text(say("the folder to write, new or empty")))
    folder = say("folders that must hold a session each: its own, or what --phase3-dir was (the last that was started)")
    parser.add_argument("folder", type=Path, nargs="+", help=text(folder))
    ended = say("how the step or the jobs that made the sessions ended, in the runner's word")
    parser.add_argument("--ended", choices=ENDS, default="success", help=text(ended))
    parser.set_defaults(command=_conclude)


def _conclude(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from reports.write import SUMMARIES

    found = {folder: session_in(folder) for folder in options.folder}
    problems = [
        say(
            "expected a session in {folder}, found none: the job that was to make it ended before it was written, and its "
            "log says why",
            folder=str(folder),
        ).render(translate)
        for folder, session in found.items()
        if session is None
    ]
    session = _merged(options.out, [folder for folder in found.values() if folder], problems, translate)
    if options.ended != "success" and session is not None and session.outcome is Outcome.PASS:
        ended = say("Every verdict passes, and what made them ended as {ended}: its log says why", ended=options.ended)
        problems.append(ended.render(translate))
    conclusion = conclude(session.outcome if session else None, broken=bool(problems))
    page = options.out / SUMMARIES[options.lang]
    _show(conclusion, problems, page if session else None, translate)
    sentences = problems
    if session is not None:
        from reports.headline import headline

        _, title, sentence = headline(session, language(options.lang))
        sentences = [*problems, f"{title} – {sentence}"]
    _annotate(conclusion, sentences, translate)
    return conclusion.status


def session_in(folder: Path) -> Path | None:
    """Return the session that a folder is, or the last one that was started below it; ``None`` where that was never written."""
    if (folder / "session.json").is_file():
        return folder
    last = max((path for path in (folder / "sessions").glob("*") if path.is_dir()), default=None)
    return last if last is not None and (last / "session.json").is_file() else None


def _merged(out: Path, sessions: Sequence[Path], problems: list[str], translate: Translate) -> Session | None:
    """Merge the sessions that are there, without what the targets made, and write their views; say what hinders it."""
    from harness.session.merge import merge_sessions
    from reports.material import Material
    from reports.write import write_views

    if not sessions:
        return None
    try:
        session = merge_sessions(out, sessions, outputs=False)
        for path in write_views(Material(out)):
            print(say("Written: {path}", path=str(path)).render(translate))
    except (ValueError, OSError) as error:
        problems.extend(told(error, translate))
        return None
    return session


def _word(conclusion: Conclusion, translate: Translate) -> str:
    return say("set-up wrong").render(translate) if conclusion.word == _WRONG else translate(conclusion.word)


def _show(conclusion: Conclusion, problems: Sequence[str], page: Path | None, translate: Translate) -> None:
    """Put the page where the runner shows it, what is wrong first, and hand the word to the steps that follow."""
    from reports.markdown import escape

    lines = [f"# ✗ {_word(conclusion, translate)}", "", *(f"- {escape(problem)}" for problem in problems), ""]
    shown = "\n".join(lines) + "\n" if problems else ""
    _append("GITHUB_STEP_SUMMARY", shown + (page.read_text(encoding="utf-8") if page else ""))
    _append("GITHUB_OUTPUT", f"verdict={conclusion.word}\n")


def _append(variable: str, text: str) -> None:
    name = os.environ.get(variable)
    if name:
        with Path(name).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)


def _annotate(conclusion: Conclusion, sentences: Sequence[str], translate: Translate) -> None:
    """Print the conclusion: as an annotation where the runner reads these, as plain lines elsewhere."""
    word = _word(conclusion, translate)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        title, text = _escaped(f"phase3: {word}"), _escaped("\n".join(sentences))
        print(f"::{conclusion.level} title={title.replace(':', '%3A').replace(',', '%2C')}::{text}")
        return
    for sentence in sentences:
        print(say("{label}: {text}", label=word.upper(), text=sentence).render(translate))


def _escaped(text: str) -> str:
    """Return text as a value of a runner's command, which ends at its line."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
