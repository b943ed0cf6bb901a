"""Make golden records: small copies of records of real runs, without pixels and without paths of the machine.

``python -m tests.golden_records RECORD FOLDER`` makes a copy. The reason of its seal lists what is left out. The record and the
copy are judged, and the copy is deleted if a check has another outcome.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.analysis.fallback_patterns import SPEAKS, named
from harness.analysis.footprint import pixel_of
from harness.checks.judge import judge
from harness.record.comparison import Comparison
from harness.record.products import read_products, write_products
from harness.record.reader import Record, read_record
from harness.record.request import FrameFacts
from harness.record.seal import seal
from harness.record.truth import Truth
from harness.record.values import RecordError
from harness.run.measure import MeasureError, blocks, decimated_cards

STEP = 4
LEFT_OUT = (
    "golden copy: masks are decimated, paths cut to their last name; left out are stars on no frame, outputs, thumbnail, "
    "console, process samples, debug events, log lines of other things than retention and fallbacks, and files opened for "
    "reading or mapped"
)

# The checks read the log lines of the retention policy, those above INFO about caches, and those about fallbacks. The rest of the
# log has hundreds of kilobytes.
_KEPT_LOGS = re.compile(
    r"Phase ?3: |.*ref[- ]?count|.*per[-_ ]tile cache|.*shared cache|Removed per-tile|Failed to remove per-tile",
    re.IGNORECASE,
)
_KEPT_WARNINGS = re.compile(r"(?=.*(?:remov|delet|unlink))(?=.*(?:cache|preprocessed_))", re.IGNORECASE | re.DOTALL)
# Progress and debugging that the target sends at other levels. No check reads it.
_CHATTER = re.compile(r"SAVE_DEBUG|\[ZMU_LoadVal\]|^(ETA_UPDATE|STATS_UPDATE|p4_global_coadd_progress)\b")
_KEPT_OPERATIONS = {
    "tile",
    "hold",
    "fault",
    "exception",
    "capability",
    "config",
    "link",
    "lost",
    "order",
    "remove",
    "rename",
    "rmtree",
    "save",
    "truncate",
}

# An absolute path may begin at the start, or after a space, a quote, or a sign before a value. ``https://`` is no path.
_BEFORE = r"(?<![^\s'\"`=(\[{,;:<>|])"
_POSIX = rf"(?:file://+|{_BEFORE}~?/(?=[^\s/]))"
_WINDOWS = r"(?:(?<![A-Za-z])[A-Za-z]:[\\/]|(?<!\\)\\{2,}(?=[^\\\s]))"
# A file name ends the path, unless it is a folder that looks like a file. An apostrophe may occur within a word.
_FILE = r"\.(?:fits?|fts|fz|gz|npy|npz|jsonl?|html?|pyc?|log|txt|csv|png|jpe?g|tiff?|toml|ini|tmp|part)(?![\w/\\]|\.\w)"
_WITHIN = r"(?:[^'\"<>|\n]|(?<=\w)'(?=\w))"
_FOLDERS = tuple(
    re.compile(rf"{root}(?:(?:(?!{_FILE}|\s{_POSIX}|\s{_WINDOWS}){_WITHIN})*{separator})?", re.IGNORECASE)
    for root, separator in ((_WINDOWS, r"[\\/]"), (_POSIX, "/"))
)
_ONE_PATH = re.compile(rf"(?P<windows>{_WINDOWS})|{_POSIX}")
_MORE = re.compile(rf"\n|\s{_POSIX}|\s{_WINDOWS}|{_FILE}(?=.)", re.IGNORECASE)


def shrink(record: Path, folder: Path, step: int = STEP) -> None:
    """Write a golden copy of a sealed record.

    Parameters
    ----------
    record
        A sealed, undamaged record.
    folder
        The folder of the copy; it must not exist.
    step
        Decimation of the masks, in mosaic pixels.

    Raises
    ------
    ValueError
        If the record is not sealed or was changed since, or if a check has another outcome for the copy than for the record
        (each judged without a pair). No copy is left then.

    """
    source = read_record(record)
    if source.seal is None or source.damage:
        raise ValueError(
            f"expected a sealed, unchanged record, found {source.damage or 'no seal'} in {record}: record it again"
        )
    folder.mkdir(parents=True)
    request = source.request
    target = replace(
        request.target,
        root="",
        python="python",
        identity=MappingProxyType(_clean(dict(request.target.identity))),
        command=tuple(_clean(request.target.command)),
    )
    config = MappingProxyType(_clean(dict(request.config)))
    replace(request, target=target, config=config).write(folder / "request.json")
    for path in sorted(record.glob("events-*.jsonl")):
        _write_lines(folder / path.name, (e for e in _lines(path) if _kept_event(e)))
    for path in sorted(record.glob("trace-*.jsonl")):
        _write_lines(folder / path.name, (o for o in _lines(path) if _kept_operation(o)))
    for name in ("disk.jsonl", "left.jsonl", "inputs.jsonl"):
        if (record / name).exists():
            _write_lines(folder / name, _lines(record / name))
    if source.products is not None:
        for name in ("products.json", "products.npz"):
            (folder / name).write_bytes((record / name).read_bytes())
        decimate_products(folder, step)
    if source.truth is not None:
        truth = _on_frames(source.truth, request.dataset.frames)
        (folder / "truth.json").write_text(json.dumps(truth.to_json()) + "\n", encoding="utf-8")
    old = source.seal
    reason = f"{old.reason}; {LEFT_OUT}" if old.reason else LEFT_OUT
    seal(folder, old.state, old.exit_code, _text(reason), old.seconds)
    different = _different(source, read_record(folder))
    if different:
        shutil.rmtree(folder)
        raise ValueError(
            f"expected the copy of {record} to be judged as the record is, found {different}: "
            "keep what these checks read, or decimate less"
        )


def decimate_products(folder: Path, step: int) -> None:
    """Rewrite a record's products at a larger step and without a thumbnail. The record must be sealed again.

    An element is covered, or constant, only if all elements that it replaces are. Digests and statistics of the images stay
    unchanged.

    Raises
    ------
    MeasureError
        When there are no products, or ``step`` is no multiple of their step.

    """
    try:
        products = read_products(folder)
    except RecordError as error:
        raise MeasureError(str(error)) from error
    if products is None:
        raise MeasureError(f"expected products.json in {folder}, found no such file: measure the run first")
    factor, rest = divmod(step, products.step)
    if rest or factor < 1:
        raise MeasureError(f"expected a step that is a multiple of {products.step}, found {step}")
    flat = products.constant
    smaller = replace(
        products,
        wcs=decimated_cards(products.wcs, factor),
        step=step,
        covered=blocks(products.covered, factor, np.logical_and, fill=True),
        depth=blocks(products.depth, factor, np.minimum, fill=np.inf),
        constant=None if flat is None else blocks(flat, factor, np.logical_and, fill=True),
        thumbnail=None,
    )
    write_products(folder, smaller)
    (folder / "thumbnail.png").unlink(missing_ok=True)


def _on_frames(truth: Truth, frames: Sequence[FrameFacts]) -> Truth:
    """Leave out the stars that no frame shows: no check can judge them."""
    shown = np.zeros(len(truth.stars), dtype=np.bool_)
    for frame in frames:
        x, y = pixel_of(frame.wcs, truth.stars[:, 0], truth.stars[:, 1])
        with np.errstate(invalid="ignore"):
            shown |= (abs(x - (frame.shape[1] - 1) / 2) <= frame.shape[1] / 2) & (
                abs(y - (frame.shape[0] - 1) / 2) <= frame.shape[0] / 2
            )
    return truth.only(shown)


def _different(source: Record, copy: Record) -> str:
    """Name the checks that have another outcome for a copy, with both outcomes."""
    before, after = ({v.check: v.outcome for v in judge(Comparison(run))} for run in (source, copy))
    return ", ".join(f"{name}: {before[name]}, then {after[name]}" for name in before if after[name] != before[name])


def _kept_operation(operation: Mapping[str, Any]) -> bool:
    """Keep the header, and operations that change files or concern tiles; leave out files that are only read."""
    op = operation.get("op")
    if op != "open":
        return op is None or op in _KEPT_OPERATIONS
    written = bool(set(operation.get("mode") or "") & set("wxa+"))
    # Newer versions open their logs again for each line.
    return written and not str(operation.get("path", "")).endswith((".json", ".jsonl", ".log"))


def _kept_event(event: Mapping[str, Any]) -> bool:
    if "format" in event:
        return True
    text, level = str(event.get("text", "")), str(event.get("level", ""))
    if event.get("source") == "log":
        loud = level not in ("DEBUG", "INFO") and _KEPT_WARNINGS.match(text) is not None
        logged = "exception" in (event.get("fields") or {})
        return loud or logged or _KEPT_LOGS.match(text) is not None or _mentions_fallback(text)
    chatter = level.startswith("DEBUG") or _CHATTER.search(f"{event.get('key', '')} {text}") is not None
    return not chatter or _mentions_fallback(json.dumps(event, ensure_ascii=False))


def _mentions_fallback(text: str) -> bool:
    """Return whether a text mentions a fallback: taken or not, known or not."""
    return SPEAKS.search(text) is not None or named(text) is not None


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


def _write_lines(path: Path, entries: Iterator[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for entry in entries:
            stream.write(json.dumps(_clean(entry), ensure_ascii=False, separators=(",", ":")) + "\n")


def _clean(value: Any) -> Any:
    """Replace absolute paths in every text of a nested value by their last names."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return value


def _text(text: str) -> str:
    """Remove the folders from the absolute paths in a text, which may be a single path."""
    start = _ONE_PATH.match(text)
    if start and not _MORE.search(text):
        # The text has no sign of a second path or a sentence: the whole text is one path.
        return re.split(r"[\\/]" if start["windows"] else "/", text.rstrip("\\/" if start["windows"] else "/"))[-1]
    for folders in _FOLDERS:
        text = folders.sub("", text)
    return text


def main() -> int:
    """Make a golden record from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden_records", description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", type=int, default=STEP)
    options = parser.parse_args()
    shrink(options.record, options.folder, options.step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
