"""What tables beside the pictures tell of them: whose they are, and how they were aligned."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.naming import MAX_TABLE_BYTES, is_picture_name
from napari_latent_faces.stack import harmless

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.sources import Entry

    Rows = list[list[str]]
    Owners = dict[int, str]  # by the place of the picture

__all__ = ["TRANSFORMS", "TRANSFORM_HEADS", "read_tables", "read_transforms"]

TRANSFORMS = "transforms.csv"
"""The table of an export of aligned faces, beside their folder."""

_PLACES = ("top", "left", "height", "width")
TRANSFORM_HEADS = (
    "picture",
    "is_aligned",
    *("y_y", "y_x", "y_0", "x_y", "x_x", "x_0"),
    *_PLACES,
)
"""Its columns beyond name and subject."""

MAX_TABLES = 16  # looked into, those with telling names first

# Heads of columns that name people, and of those that mostly do, the best first.
_PEOPLE = re.compile(
    r"(subject|person|people|identity|identities|individual|celebrity)"
    r"([\s_-]?(id|no|nr|num|number|name|label))?"
)
_LABELS = ("label", "labels", "name", "names", "class", "class_id", "target", "id")

# What files are called that list people, or anything else.
_LISTS_PEOPLE = re.compile(r"subject|person|people|identit|individual")
_LISTS_OTHERS = re.compile(
    r"attr|bbox|landmark|part?i(?:ti)?tion|split|eval|age|gender|sex|race|emotion|expression"
    r"|pose|quality|score|rating"
)
_NO_PERSON = re.compile(
    r"[-+]?[0-9]*\.[0-9]+|-[0-9]+|train\w*|test\w*|val\w*|dev|anger|angry|contempt|disgust\w*"
    r"|fear\w*|happ\w+|neutral|sad\w*|surpris\w+|smil\w+|calm|(?:fe)?males?|m|f|(?:wo)?m[ae]n"
    r"|real|fake|yes|no|true|false|none|(?:non[_-]?)?faces?|child|adult|glasses|(?:no_?)?mask",
    re.IGNORECASE,
)
N_FEW = 10  # fewer kinds of labels may well be expressions
MANY_PICTURES = 150  # as people seldom have


@dataclass(frozen=True)
class Told:
    """What tables say of pictures.

    Parameters
    ----------
    subjects : tuple of str, or None
        Of each picture; ``""`` for one that is in no table.
    is_certain : bool
        Whether a column, or the file, is called subject, person, identity or the like.
    note : str
        For the report.
    """

    subjects: tuple[str, ...] | None = None
    is_certain: bool = False
    note: str = ""


def read_tables(tables: Iterable[Entry], names: Sequence[str]) -> Told:
    """Find out from tables beside pictures whose they are.

    Parameters
    ----------
    tables : iterable of Entry
        Text files beside the pictures.
    names : sequence of str
        The pictures' paths, relative to the same folder.
    """
    pictures = _Pictures(names)
    found: dict[bool, Owners] = {True: {}, False: {}}
    used: dict[bool, list[str]] = {True: [], False: []}
    doubtful = ""
    order = sorted(tables, key=lambda table: not _LISTS_PEOPLE.search(_split(table)[1]))
    for table in order[:MAX_TABLES]:
        for is_certain, owners in _columns_of_people(table, pictures):
            if is_certain is None:
                doubtful = doubtful or table.name
            elif owners:
                found[is_certain] |= owners
                used[is_certain].append(table.name)
                break
    for is_certain, owners in found.items():
        # most of the pictures, and neither one person nor one for each
        if 2 * len(owners) >= len(names) and 1 < len(set(owners.values())) < len(owners):
            subjects = tuple(owners.get(i, "") for i in range(len(names)))
            note = f"Subjects are those of {', '.join(used[is_certain])}."
            return Told(subjects, is_certain, note)
    if doubtful:
        return Told(
            note=f"{doubtful} lists these pictures, but hardly tells who they are: its labels "
            "are no subjects."
        )
    return Told()


def read_transforms(
    tables: Iterable[Entry], names: Sequence[str]
) -> tuple[NDArray[np.float64], tuple[int, int, int, int]] | None:
    """Return transforms and frame of aligned faces, from the table of their export, if any."""
    for table in tables:
        if table.name != TRANSFORMS or table.size > MAX_TABLE_BYTES:
            continue
        lines = table.read(MAX_TABLE_BYTES).decode("utf-8-sig", errors="replace").splitlines()
        rows = {row.get("picture"): row for row in csv.DictReader(lines)}
        try:
            found = [rows[name] for name in names]
            moves = np.array(
                [[float(row[head]) for head in TRANSFORM_HEADS[2:8]] for row in found]
            )
            places = {tuple(int(row[head]) for head in _PLACES) for row in found}
        except (KeyError, TypeError, ValueError):
            return None  # of other pictures, or another program's
        if len(places) == 1 and np.isfinite(moves).all():
            top, left, height, width = places.pop()
            last = np.broadcast_to([0.0, 0.0, 1.0], (len(moves), 1, 3))
            transforms = np.concatenate([moves.reshape(-1, 2, 3), last], axis=1)
            return transforms, (top, left, height, width)
    return None


def _split(table: Entry) -> tuple[str, str]:
    """Return a table's folder, with its slash, and its name."""
    folder, slash, base = table.name.lower().rpartition("/")
    return folder + slash, base


class _Pictures:
    """Finds the picture that a path in a table means, whatever folder that starts from."""

    def __init__(self, names: Sequence[str]) -> None:
        self._whole = {name.lower(): i for i, name in enumerate(names)}
        self._ends: dict[str, int | None] = {}
        for name, i in self._whole.items():
            stem = name.rpartition("/")[2].rpartition(".")[0]
            # a stem that is a number could be meant by any number
            for end in _ends(name) + [stem] * (not stem.isdecimal()):
                # an end that several pictures have means none of them
                self._ends[end] = None if end in self._ends else i

    def find(self, cell: str, folder: str) -> int | None:
        path = cell.strip().replace("\\", "/").removeprefix("./").lower()
        if not 0 < len(path) < 4096:
            return None
        found = self._whole.get(folder + path)
        if found is not None:
            return found
        return next((self._ends[end] for end in _ends(path) if end in self._ends), None)


def _ends(path: str) -> list[str]:
    """Return a path without its first 0, 1, 2 ... folders."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


def _columns_of_people(
    table: Entry, pictures: _Pictures
) -> Iterator[tuple[bool | None, Owners]]:
    """Yield columns that may tell people, the best first, and whether that is certain."""
    folder, base = _split(table)
    for rows in _readings(base, table.read(MAX_TABLE_BYTES + 1)):
        some = rows[:64]
        width = Counter(map(len, some[1:] or some)).most_common(1)[0][0]
        hits = [
            sum(len(row) == width and pictures.find(row[c], folder) is not None for row in some)
            for c in range(min(width, 64))
        ]
        if not any(hits):
            continue
        paths = hits.index(max(hits))
        first = rows[0][paths] if len(rows[0]) == width else ""
        heads = []
        if first and not is_picture_name(first) and pictures.find(first, folder) is None:
            heads = [cell.strip().lower() for cell in rows[0]]
        columns: list[tuple[int, bool | None]] = [
            (c, True) for c, head in enumerate(heads) if _PEOPLE.fullmatch(head)
        ]
        columns += [(heads.index(label), None) for label in _LABELS if label in heads]
        if width == 2 and not heads:
            columns.append((1 - paths, bool(_LISTS_PEOPLE.search(base)) or None))
        for c, is_certain in columns:
            if c == paths:
                continue
            owners: Owners = {}
            clash = False
            for row in rows[bool(heads) :]:
                place = pictures.find(row[paths], folder) if len(row) == width else None
                if place is not None and (owner := harmless(row[c].strip())):
                    clash |= owners.setdefault(place, owner) != owner
            if not clash:
                yield is_certain or (False if _may_be_people(base, owners) else None), owners
        return


def _may_be_people(base: str, owners: Owners) -> bool:
    kinds = set(owners.values())
    if _LISTS_OTHERS.search(base) or any(map(_NO_PERSON.fullmatch, kinds)):
        return False
    return len(kinds) >= N_FEW or (len(kinds) > 2 and len(owners) <= MANY_PICTURES * len(kinds))


def _readings(base: str, content: bytes) -> Iterator[Rows]:
    """Yield the ways in which a table can be read, the likeliest first."""
    if len(content) > MAX_TABLE_BYTES or b"\0" in content[:512]:
        return
    text = content.decode("utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    if base.endswith(("jsonl", ".ndjson")):
        records = [record for line in lines if (record := _record(line))]
        heads = list(dict.fromkeys(key for record in records[:64] for key in record))
        if heads:
            yield [heads, *([record.get(head, "") for head in heads] for record in records)]
        return
    for delimiter in ";\t,":
        if lines and delimiter in lines[-1]:
            try:
                yield list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
            except csv.Error:
                continue
    if lines and len(lines[-1].split()) > 1:
        words = [line.split() for line in lines]
        is_table = len(set(map(len, words))) == 1
        yield words if is_table else [line.rsplit(None, 1) for line in lines]


def _record(line: str) -> dict[str, str]:
    try:
        record: Any = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {key: str(value) for key, value in record.items() if isinstance(value, str | int)}
