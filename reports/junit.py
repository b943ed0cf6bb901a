"""Write a session as JUnit, for services that read no other format: one case per test, with properties as plain text.

The properties of the suite have the outcome of each line of the checklist, as ``phase3_line_A.7``, and the figures and the scope
that it rests on, as ``phase3_figures_A.7``. The lines of the Definition of Done come first.

pytest writes its own file with ``--junit-xml``. This one is made from ``session.json``, so that a merged session has one too,
and it separates ``unknown`` (an error) from ``fail`` and from tests that were not evaluated (skipped).
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

from harness.language.catalogue import language
from harness.language.message import visible
from harness.session.checklist import DEFINITION_OF_DONE
from harness.session.decision import row_of
from harness.session.model import Session, TestEntry
from harness.verdict import Outcome
from reports.brief import figures_in_words, scope_in_words

ENGLISH = language("en")
"""The language of the whole file: its properties are for programs."""
_TAGS = {
    Outcome.FAIL: "failure",
    Outcome.UNKNOWN: "error",
    Outcome.NOT_APPLICABLE: "skipped",
    Outcome.NOT_EVALUATED: "skipped",
}


def junit(session: Session) -> bytes:
    """Return the document, with tests sorted by id."""
    tests = sorted(session.tests, key=lambda test: test.nodeid)
    tags = [_TAGS.get(test.outcome) for test in tests]
    counts = {
        "tests": str(len(tests)),
        "failures": str(tags.count("failure")),
        "errors": str(tags.count("error")),
        "skipped": str(tags.count("skipped")),
    }
    root = ET.Element("testsuites", {"name": "phase3", **counts})
    suite = ET.SubElement(root, "testsuite", {"name": visible(session.target), "timestamp": session.created, **counts})
    if session.requirements:
        rows = ET.SubElement(suite, "properties")
        for row in sorted(session.requirements, key=lambda row: row.section != DEFINITION_OF_DONE):
            ET.SubElement(rows, "property", name=f"phase3_line_{visible(row.id)}", value=row.outcome)
            line = row_of(row, session)
            basis = (figures_in_words(line.figures, ENGLISH), scope_in_words(line.scope, ENGLISH))
            if any(basis):
                text = "; ".join(filter(None, basis))
                ET.SubElement(rows, "property", name=f"phase3_figures_{visible(row.id)}", value=visible(text))
    for test, tag in zip(tests, tags, strict=True):
        module, _, name = test.nodeid.partition("::")
        classname = module.removesuffix(".py").replace("/", ".")
        case = ET.SubElement(suite, "testcase", classname=visible(classname), name=visible(name))
        properties = ET.SubElement(case, "properties")
        for key, value in _facts(session, test):
            ET.SubElement(properties, "property", name=f"phase3_{key}", value=visible(value))
        if tag is not None:
            message = visible(test.message)
            ET.SubElement(case, tag, message=message.partition("\n")[0] or test.outcome).text = message
    ET.indent(root)
    whole: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return whole + b"\n"


def _facts(session: Session, test: TestEntry) -> Iterator[tuple[str, str]]:
    """Yield the properties of a test, under the names that the plugin uses."""
    yield "outcome", test.outcome
    yield "title", test.title
    run = next((r for r in session.runs if r.key == test.run), None)
    judged = next((j for j in session.judged if (j.case, j.run, j.role) == (test.case, test.run, test.role)), None)
    verdict = next((v for v in judged.verdicts if v.check == test.check), None) if judged else None
    for name, value in (
        ("scenario", test.scenario),
        ("case", test.case),
        ("check", test.check),
        ("verdict", verdict.sentence.render() if verdict else None),
        ("standing", verdict.standing if verdict else None),
        ("role", test.role),
        ("run", test.run),
        ("target", run.target if run else None),
        ("retention", run.retention if run else None),
        ("seconds", str(run.seconds) if run else None),
    ):
        if value:
            yield name, value
