"""Write what the attempts found as a document."""

from datetime import UTC, datetime

from tests.reliability.families import FAMILIES
from tests.reliability.store import Store, commit, system
from tests.reliability.tally import Finding, Tally

MOST = 60
"""Findings that are listed; more are counted."""

HEAD = """# Reliability

The harness runs other people's programs and reads other people's files. This page says what happened when it was attacked. It is
written by this command, which goes on where an earlier run of the same source stopped:

```console
python -m tests.reliability --long --write docs/reliability.md
```

"""
WORDS = """
- *Lost*: a sealed record, a file of the user or a result of an earlier command was changed, cut off or gone.
- *Let in*: something wrong passed or had an effect outside its record; or an error of Python, a process that was left, no answer
  within the limit (30 s for a file), or more than 600 MiB of memory.
- *Unseen*: a changed file that no command names.

"""


def document(store: Store) -> str:
    """Return the document on the results so far, also if they are not complete."""
    tallies = [store.tallies.get(name, Tally(name)) for name in FAMILIES]
    findings = [finding for tally in tallies for finding in tally.findings]
    return "".join(
        (
            HEAD,
            _conclusion(tallies, findings),
            _table(tallies),
            WORDS,
            _made(store),
            _skipped(tallies),
            _listed(findings),
        )
    )


def complete(tallies: list[Tally]) -> bool:
    """Whether every attempt of the long profile was made; one that was skipped here is not missing."""
    return all(_reached(tally) >= FAMILIES[tally.family].long for tally in tallies)


def _reached(tally: Tally) -> int:
    return tally.tried + sum(tally.skipped.values())


def _conclusion(tallies: list[Tally], findings: list[Finding]) -> str:
    whole = "The long profile was completed" if complete(tallies) else "**The long profile was not completed**"
    many = "attempt" if len(findings) == 1 else "attempts"
    found = f"{len(findings):,} {many} found something" if findings else "nothing was lost, let in or unseen"
    return f"{whole}: {found}.\n\n"


def _table(tallies: list[Tally]) -> str:
    rows = [
        "| Family | What | Planned | Tried | Lost | Let in | Unseen | Skipped |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for tally in tallies:
        family = FAMILIES[tally.family]
        numbers = (family.long, tally.tried, tally.lost, tally.let_in, tally.unseen, sum(tally.skipped.values()))
        rows.append(f"| {family.name} | {family.title} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(rows) + "\n"


def _made(store: Store) -> str:
    versions = ", ".join(
        f"{name} {value}" if name not in ("system", "user") else value for name, value in system().items()
    )
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    hours = store.seconds / 3600
    return (
        f"Made {when} at commit {commit() or 'unknown'} with seed {store.seed}, {versions}. "
        f"The attempts took {hours:.1f} h in all, on one processor.\n\n"
    )


def _skipped(tallies: list[Tally]) -> str:
    lines = [
        f"- {tally.family}: {count:,}, {why}." for tally in tallies for why, count in sorted(tally.skipped.items())
    ]
    return (
        "## Skipped here\n\n"
        + ("\n".join(lines) or "Nothing.")
        + ("\n\n[limitations.md](limitations.md) says what can't be tried on this system at all.\n\n")
    )


def _listed(findings: list[Finding]) -> str:
    if not findings:
        return "## Findings\n\nNone.\n"
    lines = [
        f"- `{finding.repeat}`: {finding.kind}. {_plain(finding.what)}. {_plain(finding.detail)}"
        for finding in findings[:MOST]
    ]
    more = [f"- … and {len(findings) - MOST:,} more."] if len(findings) > MOST else []
    return "## Findings\n\nEach can be repeated by the command in front of it.\n\n" + "\n".join([*lines, *more]) + "\n"


def _plain(text: str) -> str:
    """Return a text on one line, without what Markdown or a terminal would take for its own."""
    shown = "".join(c if c.isprintable() else "·" for c in text)[:240]
    for sign in "\\|*_`[":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("<", "&lt;")
