"""Forms of a session by which tests compare sessions."""

from typing import Any

from harness.session.model import Session


def normal_form(session: Session) -> dict[str, Any]:
    """Return the parts that two sessions on the same inputs have in common.

    The outcome of every check on every run, of every test and of every line stays. Times, durations, the command, the
    environment, the order of runs, and the evidence, which holds times, are left out.
    """
    return {
        "outcome": session.outcome.value,
        "target": [session.target, session.target_kind, dict(session.identity)],
        "runs": sorted([r.key, r.case, r.retention, r.target, r.dataset, r.state] for r in session.runs),
        "judged": {
            f"{j.case}/{j.role}": [j.run, j.pair, j.baseline, {v.check: v.outcome.value for v in j.verdicts}]
            for j in sorted(session.judged, key=lambda j: (j.case, j.role))
        },
        "tests": {t.nodeid: [t.title, t.outcome.value] for t in sorted(session.tests, key=lambda t: t.nodeid)},
        "requirements": {r.id: r.outcome.value for r in session.requirements},
        "real_sets": {s.name: s.judged for s in session.real_sets},
    }
