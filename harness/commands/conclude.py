"""``phase3 conclude``: report the result of a CI job: one merged session, its page, an annotation and an exit status.

A job can pass, fail, stay unknown, or break before it writes its session. pytest's exit status does not distinguish these: it
is 1 for a failure and for missing evidence.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.commands.console import Commands, Text, line, tell, user_path
from harness.language.message import Translate, say, sentences_of, visible
from harness.record.values import read_text
from harness.verdict import Outcome, exit_status

if TYPE_CHECKING:
    from harness.session.model import Session

ENDS = ("success", "failure", "cancelled", "skipped")
"""The runner's words for the end of a step or a job."""

_WRONG = "set-up wrong"
_WRONG_STATUS = 2  # as for wrong usage: there is no result, and the set-up must be corrected
Level = Literal["notice", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The result of a job: one word that is never translated, an exit status, and the level of the annotation."""

    word: str
    status: int
    level: Level


def conclude(outcome: Outcome | None, *, broken: bool) -> Conclusion:
    """Return the result of a job from the outcome of its merged sessions (``None`` without a session).

    ``broken`` says that another part of the job broke. A failure stays a failure then. A pass or an unknown becomes a wrong
    set-up, because evidence may be missing until that part is corrected.
    """
    if outcome is Outcome.FAIL:
        return Conclusion(outcome, exit_status(outcome), "error")
    if outcome is None or broken:
        return Conclusion(_WRONG, _WRONG_STATUS, "error")
    return Conclusion(outcome, exit_status(outcome), "warning" if outcome is Outcome.UNKNOWN else "notice")


def register(commands: Commands, text: Text) -> None:
    """Add ``conclude``."""
    parser = commands.add_parser(
        "conclude", help=text(say("report the result of the sessions of a CI job to the CI runner"))
    )
    parser.add_argument("out", type=user_path, help=text(say("the folder to write, new or empty")))
    folder = say(
        "folders with one session each: the session's folder, or the folder of --phase3-dir (its latest "
        "session is used)"
    )
    parser.add_argument("folder", type=user_path, nargs="+", help=text(folder))
    ended = say("how the step or the jobs that made the sessions ended, as the CI runner names it")
    parser.add_argument("--ended", choices=ENDS, default="success", help=text(ended))
    parser.set_defaults(command=_conclude)


def _conclude(options: argparse.Namespace, translate: Translate) -> int:
    from harness.language.catalogue import language
    from reports.write import SUMMARIES

    found = {folder: session_in(folder) for folder in options.folder}
    problems = [
        say(
            "expected a session in {folder}, found no session.json: the job ended before it wrote the session; read the job's "
            "log",
            folder=str(folder),
        ).render(translate)
        for folder, session in found.items()
        if session is None
    ]
    session = _merged(options.out, [folder for folder in found.values() if folder], problems, translate)
    if options.ended != "success" and session is not None and session.outcome is Outcome.PASS:
        ended = say("Every verdict passes, but the job ended as {ended}: read its log", ended=options.ended)
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
    """Return the folder itself if it holds a session, else the latest session below it; ``None`` if that was never written."""
    if (folder / "session.json").is_file():
        return folder
    last = max((path for path in (folder / "sessions").glob("*") if path.is_dir()), default=None)
    return last if last is not None and (last / "session.json").is_file() else None


def _merged(out: Path, sessions: Sequence[Path], problems: list[str], translate: Translate) -> Session | None:
    """Merge the sessions, without the targets' output files, and write the views; append to ``problems`` what prevents it."""
    from harness.session.integrity import read_sealed
    from harness.session.merge import merge_sessions
    from reports.material import Material
    from reports.write import write_views

    if not sessions:
        return None
    try:
        session = merge_sessions(out, sessions, outputs=False, read=read_sealed)
        for path in write_views(Material(out)):
            tell(say("Written: {path}", path=str(path)), translate)
    except (ValueError, OSError) as error:
        problems.extend(sentences_of(error, translate))
        return None
    return session


def _word(conclusion: Conclusion, translate: Translate) -> str:
    return say("set-up wrong").render(translate) if conclusion.word == _WRONG else translate(conclusion.word)


def _show(conclusion: Conclusion, problems: Sequence[str], page: Path | None, translate: Translate) -> None:
    """Append the problems and the page to the runner's summary, and give the result's word to the later steps."""
    from reports.markdown import escape

    lines = [f"# ✗ {_word(conclusion, translate)}", "", *(f"- {escape(problem)}" for problem in problems), ""]
    shown = "\n".join(lines) + "\n" if problems else ""
    _append("GITHUB_STEP_SUMMARY", shown + (read_text(page) if page else ""))
    _append("GITHUB_OUTPUT", f"verdict={conclusion.word}\n")


def _append(variable: str, text: str) -> None:
    name = os.environ.get(variable)
    if name:
        with Path(name).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)


def _annotate(conclusion: Conclusion, sentences: Sequence[str], translate: Translate) -> None:
    """Print the result, as an annotation on a runner that reads annotations, else as plain lines."""
    word = _word(conclusion, translate)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        title, text = _escaped(f"phase3: {word}"), _escaped("\n".join(sentences))
        print(f"::{conclusion.level} title={title.replace(':', '%3A').replace(',', '%2C')}::{text}")
        return
    for sentence in sentences:
        line(say("{label}: {text}", label=word.upper(), text=sentence).render(translate))


def _escaped(text: str) -> str:
    """Escape text for a runner's command, which ends at the end of its line."""
    return visible(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
