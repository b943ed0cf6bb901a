"""Make sessions for tests of reports, and parse their pages."""

import re
from html.parser import HTMLParser
from pathlib import Path

from harness.language.message import say
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.model import (
    JudgedRun,
    Requirement,
    RunEntry,
    Session,
    write_session,
)
from harness.verdict import Outcome, Verdict
from reports.html import build, render
from reports.html.build import FILES
from reports.html.runs import Drawing
from reports.material import Material

VOID = {"meta", "link", "img", "br", "hr", "input", "col"}


STYLE = Path(render.__file__).parent / "templates" / "style.css"


class Page(HTMLParser):
    """A parsed page: its elements with their attributes, its text, and the errors in their nesting."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.wrong, self.text = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        names = [name for name, _ in attrs]
        if len(names) != len(set(names)):
            self.wrong.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note an element that closes itself (in a drawing)."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Close the last open element."""
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> out of order")

    def handle_data(self, data):
        """Note text that is read, not the style sheet."""
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def all(self, tag):
        """Return the attributes of every element of a name."""
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def words(self):
        """The page's text, with single spaces."""
        return re.sub(r"\s+", " ", " ".join(self.text))


def read(folder, code="en"):
    """Return a page of a session."""
    return Page((folder / FILES[code]).read_text(encoding="utf-8"))


def a_session(**parts):
    """Return an empty session of a real target with these parts."""
    return Session("2026-11-23T12:00:00+00:00", "zemosaic abc", "zemosaic", {}, "pytest -m phase3", {}, **parts)


def shown(folder, side=160):
    """Return the English page of a session's folder, as it is written."""
    return Page(render.render(build.build(Material(folder), "en", Drawing(side, side), FILES["fr"])))


def written(session, folder):
    """Write a session and its report; return the English page."""
    write_session(session, folder)
    return shown(folder)


def a_verdict(check, outcome=Outcome.PASS, axis="patch"):
    """Return a verdict of a check."""
    return Verdict(check, outcome, say("No tile was submitted."), axis=axis)


def a_run(case, role, verdicts, **parts):
    """Return a judged run of a case."""
    return JudgedRun(f"{case}-{role}", case=case, role=role, verdicts=verdicts, **parts)


def an_entry(case, role, target="zemosaic abc"):
    """Return the run of a case and role in the session's list."""
    return RunEntry(
        f"{case}-{role}",
        case,
        role,
        "per_tile",
        target,
        "chain3x2",
        "synthetic",
        "runs/gone",
        "done",
        1.0,
        "classic",
        2,
    )


def section(page, start, end):
    """Return the words between two texts of a page."""
    first = page.words.index(start)
    return page.words[first : page.words.index(end, first)]


def done_lines(*outcomes, test):
    """Return lines of the Definition of Done: those that pass have this test, the others have none."""
    return tuple(
        Requirement(f"4.{n}", DEFINITION_OF_DONE, "…", (test,) if outcome == "pass" else (), Outcome(outcome))
        for n, outcome in enumerate(outcomes, 1)
    )


def seen(text):
    """Return the words of a page that a reader sees before anything is opened: nothing in closed details or on paper only."""
    hidden = r'<(style|title).*?</\1>|<p class="on-paper.*?</p>|<div class="by-hand".*?</div>'
    text = re.sub(hidden, "", text, flags=re.DOTALL)
    shown, place, around = "", 0, []
    for tag in re.finditer(r"<details([^>]*)>|</details>|<summary[^>]*>|</summary>", text):
        # The summary of closed details is seen, unless other closed details are around it.
        closed = [kind for kind in around if kind == "closed"]
        if not closed or (around[-1] == "summary" and len(closed) == 1 and around[-2] == "closed"):
            shown += f" {text[place : tag.start()]}"
        place = tag.end()
        if tag[0].startswith("<details"):
            around.append("open" if " open" in tag[1] else "closed")
        elif tag[0].startswith("<summary"):
            around.append("summary")
        else:
            around.pop()
    # A sign, or a mark that French sets apart from the word before it, is no word.
    return [word for word in Page(shown + text[place:]).words.split() if re.search(r"\w", word)]
