"""Write ``stack_plan.csv``, the table of frames for a run in grid mode.

A user's own plan in the frames' folder is kept, with the paths of the frames replaced. A case file brings its own plan. Without a
plan, the table names every frame in the order of the dataset.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from harness.language.message import Message, say
from harness.record.request import DatasetFacts
from harness.record.values import RecordError, read_bytes
from harness.run.inputs import InputError

NAME = "stack_plan.csv"
PATH_COLUMNS = ("file_path", "filepath", "path", "filename", "file", "fits", "raw")
"""Names of a column of frames, in upper or lower case. Targets prefer different ones, so a plan may have several."""

_DELIMITERS = ",;\t|"

Row = tuple[int, list[str]]
"""The line in which a row ends, counted from 1, and its fields."""


def stack_plan(frames: Path, dataset: DatasetFacts, given: str | None = None) -> Callable[[str], str]:
    """Return a function that writes the plan of a run for a folder of frames (an empty folder: names alone).

    ``frames`` is the folder of the frames and of the user's own plan, if any. ``given`` is the text of a plan that replaces it.

    Raises
    ------
    InputError
        When the plan has no column of frames, or names a file outside the dataset: the run has copies of its frames only, and
        must touch no original.

    """
    own = frames / NAME
    if given is None and not own.is_file():
        rows = [["file_path", "order"], *([frame.name, str(n)] for n, frame in enumerate(dataset.frames))]
        return lambda folder: _written(rows, (0,), folder, ",")
    delimiter, found = _table(own, given)
    header = [name.strip().lower() for name in found[0][1]] if found else []
    columns = tuple(n for n, name in enumerate(header) if name in PATH_COLUMNS)
    if not columns:
        raise InputError(
            say(
                "Expected a header line with a column {columns} in {plan}, found {found}: add it.",
                columns=", ".join(PATH_COLUMNS),
                plan=str(own),
                found=", ".join(header) or "-",
            )
        )
    known = {frame.name for frame in dataset.frames}
    problems: list[Message] = []
    for line, row in found[1:]:
        for column in _filled(row, columns):
            row[column] = _name(row[column])
            if row[column] not in known:
                problems.append(
                    say(
                        "Expected a frame of {dataset} in line {line} of {plan}, found {name}: correct the plan, or add "
                        "the frame.",
                        dataset=dataset.name,
                        line=line,
                        plan=str(own),
                        name=row[column],
                    )
                )
    if problems:
        raise InputError(*problems)
    return lambda folder: _written([row for _, row in found], columns, folder, delimiter)


def _table(path: Path, given: str | None) -> tuple[str, list[Row]]:
    """Return delimiter and rows of a plan, from the given text or from the file."""
    try:
        text = _text(read_bytes(path, links=True)) if given is None else given
        header = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(_DELIMITERS, key=header.count)
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
        return delimiter, [(reader.line_num, row) for row in reader if row]
    except (OSError, RecordError, csv.Error) as error:
        problem = say("Expected a table in {plan}, found: {error}. Correct it.", plan=str(path), error=str(error))
        raise InputError(problem) from error


def _text(data: bytes) -> str:
    """Decode a user's plan: UTF-8 with or without a byte order mark, else Windows' Western code page."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def _filled(row: Sequence[str], columns: Sequence[int]) -> list[int]:
    """Return the columns that are not empty in a row."""
    return [column for column in columns if column < len(row) and row[column].strip()]


def _name(field: str) -> str:
    """Return the file name of a path in the style of any system."""
    return re.split(r"[/\\]", field.strip())[-1]


def _written(rows: Sequence[list[str]], columns: Sequence[int], folder: str, delimiter: str) -> str:
    """Write the table with every field in quotes; otherwise a path could mislead a reader that guesses the delimiter."""
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for number, row in enumerate(rows):
        placed = list(row)
        if number and folder:
            for column in _filled(row, columns):
                placed[column] = str(Path(folder) / row[column])
        writer.writerow(placed)
    return stream.getvalue()
