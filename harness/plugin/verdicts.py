"""Say how a test that stands for a verdict ends: with the sentences of the verdict, and without a traceback.

A failed assertion of a scenario's test is a verdict on the target, and no fault of the harness. pytest's traceback would show the
source of the test, and hide the cause. An error of the harness itself keeps its traceback.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.verdict import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

CONCLUDED = "phase3_concluded"
"""The attribute of a report that stands for a verdict. Reports of pytest-xdist's workers keep it, as they keep any attribute."""

_WORDS: Mapping[str, tuple[str, str]] = {
    Outcome.FAIL: ("F", "FAIL"),
    Outcome.UNKNOWN: ("?", "UNKNOWN"),
    Outcome.PASS: (".", "PASSED"),
    Outcome.NOT_APPLICABLE: ("-", "NOT APPLICABLE"),
    Outcome.NOT_EVALUATED: ("s", "NOT EVALUATED"),
}
"""The letter and the word of an outcome while tests run."""


class UnknownVerdictError(Exception):
    """The evidence for a verdict is missing. pytest shows an error, not a failure, a pass or a skip."""


def conclude(report: pytest.TestReport, item: pytest.Item, error: pytest.ExceptionInfo[BaseException] | None) -> None:
    """Replace the traceback of a test that stands for a verdict by the verdict's sentences, and mark its report."""
    if error is None or not report.failed:
        return
    text = str(error.value)
    if isinstance(error.value, UnknownVerdictError):
        outcome = Outcome.UNKNOWN
    elif report.when == "call" and isinstance(error.value, AssertionError) and _raised_by(item, error):
        outcome, text = Outcome.FAIL, _without_expression(text)
    else:
        return
    report.longrepr = text
    setattr(report, CONCLUDED, outcome.value)


def status(report: pytest.TestReport, *, verbose: bool) -> tuple[str, str, str] | None:
    """Return the category, the letter and the word under which pytest shows a report; ``None`` for pytest's own.

    Verdicts get a category of their own, so that pytest's sections of failures, errors and skips leave them out: the end of the
    session shows each once, with its cause. Without ``verbose`` no letter is shown, because runs have lines of their own.
    """
    outcome: str = getattr(report, CONCLUDED, "")
    category = outcome
    if not outcome and report.when == "call" and report.passed:
        category, outcome = "passed", Outcome.PASS
    elif not outcome and report.skipped:
        noted = dict(report.user_properties).get("phase3_outcome")
        category = outcome = Outcome.NOT_APPLICABLE if noted == Outcome.NOT_APPLICABLE else Outcome.NOT_EVALUATED
    if not outcome:
        return None
    letter, word = _WORDS[outcome] if verbose else ("", "")
    return str(category), letter, word


def _raised_by(item: pytest.Item, error: pytest.ExceptionInfo[BaseException]) -> bool:
    """Return whether the file of the test itself raised the error; an assertion elsewhere is a fault of the harness."""
    return bool(error.traceback) and str(error.traceback[-1].path) == str(item.path)


def _without_expression(text: str) -> str:
    """Return the message of an assertion without its expression, which is Python; the expression if there is no message."""
    message, expression, _ = text.partition("\nassert ")
    # pytest indents the further lines of a message before it adds the expression.
    return message.replace("\n  ", "\n") if expression else text
