"""Tables of faces and components as comma-separated values."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

__all__ = ["component_heads", "harmless", "numbers", "write_table", "writing_table"]

_LINES = 256  # between two steps of a long table
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet run a cell


def harmless(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would calculate it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def numbers(k: int) -> list[str]:
    """Return 0 to k - 1 as text of one length, two digits at least."""
    digits = max(2, len(str(k - 1)))
    return [f"{i:0{digits}}" for i in range(k)]


def component_heads(k: int) -> list[str]:
    """Return what the columns of `k` weights are called."""
    return [f"component_{number}" for number in numbers(k)]


def write_table(
    path: Path,
    names: Sequence[str],
    subjects: Sequence[str] | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> None:
    """Write a table at once; see `writing_table`."""
    for _ in writing_table(path, names, subjects, columns, rows):
        pass


def writing_table(
    path: Path,
    names: Sequence[str],
    subjects: Sequence[str] | None,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
) -> Iterator[int]:
    """Write a table with a line a face, in UTF-8; what cannot be encoded is escaped.

    Names that a spreadsheet program would take for formulas are written as `harmless` has
    them.

    Parameters
    ----------
    path : Path
        The file.
    names, subjects : sequence of str
        Of the faces, the first columns; without subjects there is no column for them.
    columns : sequence of str
        Heads of the other columns.
    rows : iterable of sequences
        Their values for each face.

    Yields
    ------
    int
        How many faces are written, now and then.
    """
    heads = {"name": names, "subject": subjects}
    known = {head: values for head, values in heads.items() if values is not None}
    # a name that is no text (undecodable bytes) must not make the whole table unreadable
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        # all text is quoted: a carriage return alone would not be, and end the line
        table = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
        table.writerow([*known, *columns])
        for i, (*face, values) in enumerate(zip(*known.values(), rows, strict=True)):
            if i % _LINES == 0:
                yield i
            table.writerow([*map(harmless, face), *values])
