"""Golden records: small copies of real runs' records, without pixels and without the paths of the machine they were made on.

``python -m harness.golden RECORD FOLDER`` makes one. What is left out is said in the new seal's reason: the outputs, the
process samples, log records and debug events that no check reads.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import MappingProxyType
from typing import Any

from harness.measure import decimate_products
from harness.record import read_record
from harness.seal import seal

STEP = 4
LEFT_OUT = "golden copy: outputs, process samples, and log lines that no check reads are left out"

# The lines of the log that the retention policy writes; the rest of the log is chatter of hundreds of kilobytes.
_KEPT_LOGS = re.compile(
    r"Phase3: |Removed per-tile|Per-tile cache|Failed to remove per-tile|.*[Ff]all(ing|s|en)? ?back"
)
_KEPT_OPERATIONS = {"tile", "hold", "fault", "capability", "remove", "rename", "rmtree", "save"}
# An absolute path ends at a quote or at the end of the text: it may hold spaces and accents.
_PATH = re.compile(r"(?:[A-Za-z]:[\\/]|(?<![\w.:/])/(?=\S))[^'\"<>|\n,;()\[\]]+")


def shrink(record: Path, folder: Path, step: int = STEP) -> None:
    """Write a golden copy of a sealed record.

    Parameters
    ----------
    record
        A sealed, undamaged record.
    folder
        Where the copy goes; it must not exist.
    step
        Decimation of the masks, in mosaic pixels.

    Raises
    ------
    ValueError
        When the record was not sealed, or was changed since.

    """
    source = read_record(record)
    if source.seal is None or source.damage:
        raise ValueError(
            f"expected a sealed, unchanged record, found {source.damage or 'no seal'} in {record}: record it again"
        )
    folder.mkdir(parents=True)
    request = source.request
    target = replace(
        request.target, root="", python="python", identity=MappingProxyType(_clean(dict(request.target.identity)))
    )
    config = MappingProxyType(_clean(dict(request.config)))
    replace(request, target=target, config=config).write(folder / "request.json")
    for path in sorted(record.glob("events-*.jsonl")):
        _write_lines(folder / path.name, (e for e in _lines(path) if _kept_event(e)))
    for path in sorted(record.glob("trace-*.jsonl")):
        _write_lines(folder / path.name, (o for o in _lines(path) if o.get("op", "tile") in _KEPT_OPERATIONS))
    for name in ("disk.jsonl", "left.jsonl"):
        if (record / name).exists():
            _write_lines(folder / name, _lines(record / name))
    if source.products is not None:
        for name in ("products.json", "products.npz"):
            (folder / name).write_bytes((record / name).read_bytes())
        decimate_products(folder, step)
    old = source.seal
    reason = f"{old.reason}; {LEFT_OUT}" if old.reason else LEFT_OUT
    seal(folder, old.state, old.exit_code, _text(reason), old.seconds)


def _kept_event(event: Mapping[str, Any]) -> bool:
    if "format" in event:
        return True
    if event.get("source") == "log":
        return _KEPT_LOGS.match(str(event.get("text", ""))) is not None
    return not str(event.get("level", "")).startswith("DEBUG") or "fallback" in str(event.get("key", "")).lower()


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
    """Replace absolute paths in every text, however deep, by the file's name."""
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return {key: _clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(entry) for entry in value]
    return value


def _text(text: str) -> str:
    return _PATH.sub(lambda match: _name(match[0]), text)


def _name(path: str) -> str:
    windows = path[1:2] == ":"
    return (PureWindowsPath(path) if windows else PurePosixPath(path)).name


def main() -> int:
    """Make a golden record from the command line."""
    parser = argparse.ArgumentParser(prog="python -m harness.golden", description=__doc__)
    parser.add_argument("record", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--step", type=int, default=STEP)
    options = parser.parse_args()
    shrink(options.record, options.folder, options.step)
    return 0


if __name__ == "__main__":
    sys.exit(main())
