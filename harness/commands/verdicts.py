"""Print verdicts on a terminal: the worst first, each failure with its numbered cause."""

from __future__ import annotations

from collections.abc import Iterable

from harness.language.message import Translate, say
from harness.verdict import Verdict, exit_status, merge, worst_first


def show(verdicts: Iterable[Verdict], translate: Translate) -> int:
    """Print verdicts and return their exit status."""
    ordered = sorted(verdicts, key=worst_first)
    for verdict in ordered:
        kind = f" ({say('finding').render(translate)})" if verdict.axis == "quality" else ""
        line = say("{label}: {text}", label=f"{verdict.check}{kind}", text=verdict.sentence.render(translate))
        print(f"{translate(verdict.outcome).upper():<15} {line.render(translate)}")
        for number, link in enumerate(verdict.cause, 1):
            print(f"{'':<15}   {number}. {link.render(translate)}")
    return exit_status(merge(v.outcome for v in ordered if v.gates))
