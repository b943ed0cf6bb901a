"""Make the attempts of the families, and write what they found: ``python -m tests.reliability --help``."""

import argparse
import os
import sys
import time
from pathlib import Path

from tests.reliability.document import complete, document
from tests.reliability.families import FAMILIES
from tests.reliability.pool import in_order, in_pool
from tests.reliability.store import Store
from tests.reliability.tally import Family, Tally

KEPT = Path(".phase3") / "reliability.jsonl"


def main(words: list[str] | None = None) -> int:
    """Make attempts; return 0 if they found nothing, 1 if they found something, 3 if some were not made.

    The short profile is made if each family tried something, the long one if each planned attempt was tried.
    """
    options = _parser().parse_args(words)
    chosen = [FAMILIES[name] for name in options.families or FAMILIES]
    os.environ["LC_ALL"] = "C.UTF-8"
    if options.only is not None:
        return _again(chosen, options)
    store = Store(options.results, options.seed)
    if options.long:
        store.read()
    until = time.monotonic() + options.seconds
    for family in chosen:
        _family(family, store, options, until)
    if options.write is not None:
        options.write.write_text(document(store), encoding="utf-8")
        print(f"written: {options.write}")
    tallies = [store.tallies.get(family.name, Tally(family.name)) for family in chosen]
    for tally in tallies:
        print(_line(tally))
    if any(tally.findings for tally in tallies):
        return 1
    whole = complete(tallies) if options.long else all(tally.clean for tally in tallies)
    return 0 if whole else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.reliability", description="Attack the harness, and count what was let in."
    )
    parser.add_argument("families", nargs="*", choices=[*FAMILIES, []], metavar="FAMILY", help=", ".join(FAMILIES))
    parser.add_argument("--long", action="store_true", help="the long profile, which goes on where it was stopped")
    parser.add_argument("--seed", type=int, default=1, help="another seed makes other attempts")
    parser.add_argument("--only", type=int, help="make one attempt again, in this process, and show its errors")
    parser.add_argument("--count", type=int, help="make that many attempts of each family")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no more attempts after this time")
    parser.add_argument("--results", type=Path, default=KEPT, help="the file in which --long keeps its results")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the results as a document")
    return parser


def _again(chosen: list[Family], options: argparse.Namespace) -> int:
    (family,) = chosen
    tally = in_order(family, [options.only], options.seed)
    for finding in tally.findings:
        print(f"{finding.kind}: {finding.what}: {finding.detail}")
    print(_line(tally))
    return 0 if tally.clean else 1


def _family(family: Family, store: Store, options: argparse.Namespace, until: float) -> None:
    count = options.count or (family.long if options.long else family.short)
    blocks = store.missing(family.name, count)
    began = time.monotonic()
    last = began

    def on_block(block: tuple[int, int], tally: Tally) -> None:
        nonlocal last
        now = time.monotonic()
        store.add(block, tally, now - last, keep=options.long)
        last = now
        for finding in tally.findings:
            print(f"{finding.kind}: {finding.what}: {finding.detail}\n    {finding.repeat}", flush=True)
        whole = store.tallies[family.name]
        print(f"{now - began:7.0f} s  {_line(whole)} of {count:,}", flush=True)

    in_pool(family, blocks, options.seed, processes=options.processes, until=until, on_block=on_block)


def _line(tally: Tally) -> str:
    skipped = sum(tally.skipped.values())
    counts = f"{tally.tried:,} tried, {tally.lost} lost, {tally.let_in} let in, {tally.unseen} unseen"
    return f"{tally.family}: {counts}, {skipped:,} skipped"


if __name__ == "__main__":
    sys.exit(main())
