"""Write what the attempts found as a document."""

from tests.reliability.families import FAMILIES
from tests.reliability.store import Store, commit, system
from tests.reliability.tally import Finding, Tally

MOST = 60
"""Findings that are listed; more are counted."""
MOST_UNTRIED = 12
"""Parts that were not tried and are named; more are counted."""

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
- *Parts*: the readers, commands, programs, folders or ways of a family that were tried. An attempt that was skipped counts
  as skipped only, and one that was not reached not at all. One that gave no answer, or ended its process, is a finding.

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
            _missing(tallies),
            _skipped(tallies),
            _listed(findings),
            _parts(tallies),
        )
    )


def complete(tallies: list[Tally]) -> bool:
    """Whether every attempt of the long profile was tried, on every part of each family. One that was skipped was not tried."""
    return not any(_lacking(tally) for tally in tallies)


def _lacking(tally: Tally) -> str:
    """Say what of the long profile of a family was not tried; empty if all was."""
    family = FAMILIES[tally.family]
    missing = family.long - tally.tried
    counts = [f"{tally.tried:,} of {family.long:,} planned attempts were tried"] if missing > 0 else []
    skipped = sum(tally.skipped.values())
    if missing > 0 and skipped:
        counts.append(f"{skipped:,} were skipped")
    untried = family.untried(tally)
    if untried:
        shown = ", ".join(untried[:MOST_UNTRIED])
        more = f" and {len(untried) - MOST_UNTRIED:,} more" if len(untried) > MOST_UNTRIED else ""
        counts.append(f"never tried: {shown}{more}")
    return "; ".join(counts)


def _conclusion(tallies: list[Tally], findings: list[Finding]) -> str:
    whole = "The long profile was completed" if complete(tallies) else "**The long profile was not completed**"
    many = "attempt" if len(findings) == 1 else "attempts"
    tried = sum(tally.tried for tally in tallies)
    if not tried:
        return "**Nothing was tried.**\n\n"
    found = f"{len(findings):,} {many} found something" if findings else "nothing was lost, let in or unseen"
    return f"{whole}: of {tried:,} attempts that were tried, {found}.\n\n"


def _table(tallies: list[Tally]) -> str:
    rows = [
        "| Family | What | Tried | Parts | Lost | Let in | Unseen | Skipped |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for tally in tallies:
        family = FAMILIES[tally.family]
        numbers = (tally.tried, len(tally.groups), tally.lost, tally.let_in, tally.unseen, sum(tally.skipped.values()))
        rows.append(f"| {family.name} | {family.title} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return "\n".join(rows) + "\n"


def _missing(tallies: list[Tally]) -> str:
    lines = [f"- {tally.family}: {lacking}." for tally in tallies if (lacking := _lacking(tally))]
    return "## Not tried\n\n" + ("\n".join(lines) or "Nothing of the long profile.") + "\n\n"


def _parts(tallies: list[Tally]) -> str:
    """List how often each part of a family was tried."""
    lines = [
        f"- {tally.family} ({len(tally.groups):,}): "
        + (", ".join(f"{_plain(name)} {count:,}" for name, count in sorted(tally.groups.items())) or "none")
        + "."
        for tally in tallies
    ]
    return "## Parts\n\nHow many attempts were tried on each part.\n\n" + "\n".join(lines) + "\n"


def _made(store: Store) -> str:
    versions = ", ".join(
        f"{name} {value}" if name not in ("system", "user") else value for name, value in system().items()
    )
    when = f"from {store.first} to {store.last}" if store.first else "never"
    hours = store.seconds / 3600
    return f"Made {when} at commit {commit() or 'unknown'} with seed {store.seed}, {versions}. They took {hours:.1f} h.\n\n"


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
        return "## Findings\n\nNone.\n\n"
    lines = [
        f"- `{finding.repeat}`: {finding.kind}. {_plain(finding.what)}. {_plain(finding.detail)}"
        for finding in findings[:MOST]
    ]
    more = [f"- … and {len(findings) - MOST:,} more."] if len(findings) > MOST else []
    return (
        "## Findings\n\nEach can be repeated by the command in front of it.\n\n" + "\n".join([*lines, *more]) + "\n\n"
    )


def _plain(text: str) -> str:
    """Return a text on one line, without what Markdown or a terminal would take for its own."""
    shown = "".join(c if c.isprintable() else "·" for c in text)[:240]
    for sign in "\\|*_`[":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("<", "&lt;")
