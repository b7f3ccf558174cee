"""What files beside the pictures tell: whose they are, how they were aligned, and points."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.formats import FLOAT
from napari_latent_faces.reading.naming import MAX_TABLE_BYTES, is_picture_name
from napari_latent_faces.reading.pictures import Frame
from napari_latent_faces.stack import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.reading.naming import Entry
    from napari_latent_faces.stack import FaceStack

    Find = Callable[..., int | None]  # by a path, and the folder that it may start from
    Rows = list[list[str]]
    Owners = dict[int, str]  # by the place of the picture
    Points = NDArray[np.float64]
    # points (k, 2), rows (x, y) as in the file, under the name of a picture
    Named = list[tuple[str, Points]]


def _finder(names: Sequence[str]) -> Find:
    """Return what finds the picture that a path means, whatever folder it starts from."""
    whole = {name.lower(): i for i, name in enumerate(names)}
    by_end: dict[str, int | None] = {}
    for name, i in whole.items():
        stem = name.rpartition("/")[2].rpartition(".")[0]
        # a stem that is a number could be meant by any number
        for end in _ends(name) + [stem] * (not stem.isdecimal()):
            # an end that several pictures have means none of them
            by_end[end] = None if end in by_end else i

    def find(cell: str, folder: str = "") -> int | None:
        path = cell.strip().replace("\\", "/").removeprefix("./").lower()
        if not 0 < len(path) < 4096:
            return None
        if folder + path in whole:
            return whole[folder + path]
        return next((by_end[end] for end in _ends(path) if end in by_end), None)

    return find


def _ends(path: str) -> list[str]:
    """Return a path without its first 0, 1, 2 ... folders."""
    parts = path.split("/")
    return ["/".join(parts[i:]) for i in range(len(parts))]


# The table of an export of aligned faces, beside their folder, and its columns beyond name
# and subject.
TRANSFORMS = "transforms.csv"
_MOVES = ("y_y", "y_x", "y_0", "x_y", "x_x", "x_0")
_PLACES = ("top", "left", "height", "width")
TRANSFORM_HEADS = ("picture", "is_aligned", *_MOVES, *_PLACES)

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


def read_tables(
    tables: Iterable[Entry], names: Sequence[str]
) -> tuple[tuple[str, ...] | None, bool, str]:
    """Find out from tables beside pictures whose they are, by paths relative to one folder.

    Return subjects, ``""`` for a picture in no table, whether they are called so, and a note.
    """
    find = _finder(names)
    found: dict[bool, Owners] = {True: {}, False: {}}
    used: dict[bool, list[str]] = {True: [], False: []}
    note = ""
    order = sorted(
        tables,
        key=lambda table: (
            not _LISTS_PEOPLE.search(table.name.lower(), table.name.rfind("/") + 1)
        ),
    )
    for table in order[:MAX_TABLES]:
        for is_certain, owners in _columns_of_people(table, find):
            if is_certain is None:
                words = "but hardly tells who they are: its labels are no subjects."
                note = note or f"{table.name} lists these pictures, {words}"
            elif owners:
                found[is_certain] |= owners
                used[is_certain].append(table.name)
                break
    for is_certain, owners in found.items():
        # most of the pictures, and neither one person nor one for each
        if 2 * len(owners) >= len(names) and 1 < len(set(owners.values())) < len(owners):
            subjects = tuple(owners.get(i, "") for i in range(len(names)))
            return subjects, is_certain, f"Subjects are those of {', '.join(used[is_certain])}."
    return None, False, note


def read_transforms(
    tables: Iterable[Entry], names: Sequence[str]
) -> tuple[Points, tuple[int, int, int, int]] | None:
    """Return transforms and frame of aligned faces, from the table of their export, if any."""
    for table in tables:
        if table.name != TRANSFORMS:
            continue
        lines = table.read(MAX_TABLE_BYTES).decode("utf-8-sig", errors="replace").splitlines()
        rows = {row.get("picture"): row for row in csv.DictReader(lines)}
        try:
            moves = np.array([[float(rows[name][head]) for head in _MOVES] for name in names])
            places = {tuple(int(rows[name][head]) for head in _PLACES) for name in names}
        except (KeyError, TypeError, ValueError):
            return None  # of other pictures, or another program's
        if len(places) == 1 and np.isfinite(moves).all():
            top, left, height, width = places.pop()
            last = np.broadcast_to([0.0, 0.0, 1.0], (len(moves), 1, 3))
            transforms = np.concatenate([moves.reshape(-1, 2, 3), last], axis=1)
            return transforms, (top, left, height, width)
    return None


def _columns_of_people(table: Entry, find: Find) -> Iterator[tuple[bool | None, Owners]]:
    """Yield columns that may tell people, the best first, and whether that is certain."""
    folder, slash, base = table.name.lower().rpartition("/")
    folder += slash
    for rows in _readings(base, table.read(MAX_TABLE_BYTES + 1)):
        width = Counter(map(len, rows[1:64] or rows)).most_common(1)[0][0]
        even = [row for row in rows if len(row) == width]
        hits = [
            sum(find(row[c], folder) is not None for row in even[:64])
            for c in range(min(width, 64))
        ]
        if not any(hits):
            continue
        paths = hits.index(max(hits))
        places = [find(row[paths], folder) for row in even]
        heads = [cell.strip().lower() for cell in rows[0]]
        is_picture = places[0] is not None or is_picture_name(even[0][paths])
        if is_picture or even[0] is not rows[0] or not heads[paths]:
            heads = []
        columns: list[tuple[int, bool | None]] = [
            (c, True) for c, head in enumerate(heads) if _PEOPLE.fullmatch(head)
        ]
        columns += [(heads.index(label), None) for label in _LABELS if label in heads]
        if width == 2 and not heads:
            columns.append((1 - paths, bool(_LISTS_PEOPLE.search(base)) or None))
        for c, is_certain in columns:
            pairs = {
                (place, harmless(row[c].strip()))
                for place, row in zip(places, even, strict=True)
                if place is not None and row[c].strip()
            }
            owners = dict(pairs)
            if c != paths and len(owners) == len(pairs):  # else some have several
                yield is_certain or (False if _may_be_people(base, owners) else None), owners
        return


def _may_be_people(base: str, owners: Owners) -> bool:
    kinds = set(owners.values())
    if _LISTS_OTHERS.search(base) or any(map(_NO_PERSON.fullmatch, kinds)):
        return False
    # a few may well be expressions, and people seldom have so many pictures
    return len(kinds) >= 10 or (len(kinds) > 2 and len(owners) <= 150 * len(kinds))


def _readings(base: str, content: bytes) -> Iterator[Rows]:
    """Yield the ways in which a table can be read, the likeliest first."""
    if len(content) > MAX_TABLE_BYTES or b"\0" in content[:512]:
        return
    text = content.decode("utf-8-sig", errors="replace")
    lines = [line for line in text.splitlines() if line.strip() and line[0] != "#"]
    if base.endswith(("jsonl", ".ndjson")):
        records = []
        for line in lines:
            with suppress(ValueError, RecursionError, AttributeError):
                pairs = json.loads(line).items()
                records.append({k: str(v) for k, v in pairs if isinstance(v, str | int)})
        heads = list(dict.fromkeys(key for record in records[:64] for key in record))
        if heads:
            yield [heads, *([record.get(head, "") for head in heads] for record in records)]
        return
    for delimiter in ";\t,":
        if lines and delimiter in lines[-1]:
            with suppress(csv.Error):
                yield list(csv.reader(lines, delimiter=delimiter, skipinitialspace=True))
    if lines and len(lines[-1].split()) > 1:
        words = [line.split() for line in lines]
        is_table = len(set(map(len, words))) == 1
        yield words if is_table else [line.rsplit(None, 1) for line in lines]


def read_points(path: str | Path, stack: FaceStack) -> NDArray[np.float64]:
    """Read points on the faces of a stack.

    Parameters
    ----------
    path : str or Path
        A folder with a file beside or for each picture, of the same name but for the
        extension: ``.pts`` (iBUG, FG-NET), ``.tem`` (Psychomorph, webmorph) or ``.asf``. Or one
        file for all: CelebA's ``list_landmarks*.txt``, dlib's ``.xml``, or a ``.csv`` with
        a column of names and columns of x and y (one picture a row, or one point a row),
        or a Points layer that napari saved (``axis-0``, ``axis-1``, ``axis-2``).
    stack : FaceStack
        The faces. Where they were resized when they were read, so are the points.

    Returns
    -------
    array of shape (n, k, 2)
        Rows (y, x) in pixels of the stack's pictures; NaN for faces that have no points.

    Raises
    ------
    FileNotFoundError
        If there is nothing at the path.
    ValueError
        If a file cannot be understood, no name fits, or faces have different numbers of points.

    Examples
    --------
    >>> points = read_points("faces", stack)  # doctest: +SKIP
    >>> aligned = align_faces(stack, points)  # doctest: +SKIP
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}.")
    find = _finder([_without_extension(name) for name in stack.names])
    resized, options = dict(stack.report.resized), stack.report.options
    frame = Frame(stack.size, FLOAT, resize="crop" if options is None else options.resize)
    placed: dict[int, list[Points]] = {}
    for own, file in _files_of_points(path):
        if own and find(own) is None:
            continue
        found = _points_in(file)
        if isinstance(found, np.ndarray):
            return points_of_faces(found, len(stack))
        for name, points in found:
            face = find(own or _without_extension(name))
            if face is not None:
                size = resized.get(stack.names[face], stack.size)
                share = size if file.suffix.lower() == ".asf" else 1
                middle, new_middle = (np.array(each) / 2 - 0.5 for each in (size, stack.size))
                spots = (points[:, ::-1] * share - middle) * frame.scales(size) + new_middle
                placed.setdefault(face, []).append(spots)
    if not placed:
        like = f"such as {stack.names[0]}: the names must be the same, but for the extension"
        raise ValueError(f"{path} has points for none of the faces, {like}.")
    joined = {face: np.concatenate(spots) for face, spots in placed.items()}
    return _stacked(joined, [f"{path}: {name}" for name in stack.names])


_BESIDE = (".pts", ".tem", ".asf")


def _files_of_points(path: Path) -> list[tuple[str, Path]]:
    """Return the files and the pictures that they belong to, ``""`` for one file for all."""
    beside, ending = ", ".join(_BESIDE), path.suffix.lower()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.suffix.lower() in _BESIDE)
        if not files:
            raise ValueError(f"{path} holds no files of points ({beside}).")
        return [(_without_extension(file.relative_to(path).as_posix()), file) for file in files]
    if ending in _BESIDE:
        raise ValueError(f"{path} belongs to one picture: give the folder that it is in.")
    if ending not in {".xml", ".csv", ".tsv", ".txt"}:
        known = f".csv, .txt (CelebA), .xml (dlib), or a folder with {beside} files"
        raise ValueError(f"{path.name} is no known file of points: {known}.")
    return [("", path)]


def _without_extension(name: str) -> str:
    return re.sub(r"(?<=[^/])\.[^./]*$", "", name.replace("\\", "/"))


def _points_in(file: Path) -> Named | Points:
    """Return the points in a file, or of a Points layer; what is wrong names the file."""
    ending = file.suffix.lower()
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
        if ending in _BESIDE:
            return [("", _of_one(ending, text))]
        return _of_xml(text) if ending == ".xml" else _of_table(text)
    except (ValueError, IndexError, KeyError, SyntaxError) as error:
        raise ValueError(f"The points in {file} cannot be read: {error}.") from error


def _of_one(ending: str, text: str) -> Points:
    """Parse the points of one picture."""
    count: list[str] = []
    if ending == ".pts":  # of FG-NET and iBUG: x and y between braces
        numbers = text.partition("{")[2].partition("}")[0].split()
        count = re.findall(r"n_points:\s*(\d+)", text)
    elif ending == ".tem":  # of Psychomorph or webmorph: a number, then x and y; lines follow
        count, numbers = text.split()[:1], text.split()[1:]
    else:  # of the AAM API: x and y are shares of width and height
        rows = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
        numbers = [number for row in rows if len(row) >= 7 for number in row[2:4]]
        count = [row[0] for row in rows if len(row) == 1 and row[0].isdigit()]
    n = int(count[0]) if count else len(numbers) // 2
    if len(numbers) < 2 * n or n < 1:
        raise ValueError(f"{n} points are announced, {len(numbers) // 2} are there")
    return np.array(numbers[: 2 * n], np.float64).reshape(n, 2)


def _of_xml(text: str) -> Named:
    """Parse dlib's XML: the parts of the first box of each image, by their names."""
    from xml.etree import ElementTree as ET

    named: Named = []
    for image in ET.fromstring(text).iter("image"):  # noqa: S314 - expat limits expansion
        parts = image.findall("box[part][1]/part") or image.findall("box/part")
        ordered = sorted(parts, key=lambda part: part.attrib["name"].zfill(9))
        points = [[float(part.attrib["x"]), float(part.attrib["y"])] for part in ordered]
        if points:
            named.append((image.attrib["file"], np.array(points)))
    return named


def _of_table(text: str) -> Named | Points:
    """Parse a table; CelebA's starts with a count and has no separators."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    if len(lines) > 2 and lines[0].strip().isdigit() and "," not in lines[1]:
        titles, rows = ["name", *lines[1].split()], [line.split() for line in lines[2:]]
    else:
        separator = max(",;\t", key=lines[0].count)
        titles, *rows = csv.reader(lines, delimiter=separator)
    if "axis-0" in titles:  # a Points layer of napari
        columns = [titles.index(f"axis-{axis}") for axis in range(3)]
        return np.array([[float(row[i]) for i in columns] for row in rows])
    if len(titles) > 2 and re.fullmatch(r"\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*", titles[-1]):
        rows = [titles, *rows]  # no titles: a name, then x and y
        titles = ["name", *("xy"[i % 2] for i in range(len(titles) - 1))]
    titles = [title.strip().lower() for title in titles]
    words = [set(re.split(r"[^a-z]+", title)) for title in titles]
    xs, ys = ([i for i, word in enumerate(words) if axis in word] for axis in "xy")
    known = {"name", "file", "filename", "file_name", "image", "image_id", "picture", "path"}
    names = [i for i, title in enumerate(titles) if title in known]
    if not names or not xs or len(xs) != len(ys):
        needed = (
            "a column of names ('file') and columns of x and y ('left_eye_x', 'left_eye_y')"
        )
        raise ValueError(f"it needs {needed}; its columns are {', '.join(titles)}")
    named: Named = []
    for number, row in enumerate(rows, len(lines) - len(rows) + 1):
        try:
            points = [[float(row[i]) for i in pair] for pair in zip(xs, ys, strict=True)]
            named.append((row[names[0]].strip(), np.array(points)))
        except (ValueError, IndexError) as error:
            raise ValueError(f"row {number}: {error}") from error
    return named


def _stacked(found: dict[int, Points], names: Sequence[str]) -> Points:
    """Return the points of some faces as (n, k, 2), with NaN for the others."""
    usual = Counter(map(len, found.values())).most_common(1)[0][0] if found else 0
    stacked = np.full((len(names), usual, 2), np.nan)
    for face, points in found.items():
        if len(points) != usual:
            words = f"has {len(points)} points and others {usual}: each face needs the same"
            raise ValueError(f"{names[face]} {words} points, in the same order.")
        stacked[face] = points
    return stacked


def points_of_faces(given: Any, n: int) -> Points:
    """Return points as (n, k, 2), with NaN for faces that have none."""
    points: Points = np.asarray(given, np.float64)
    if points.ndim == 2 and points.shape[1] == 3:
        faces = np.rint(points[:, 0]).astype(int)
        if ((faces < 0) | (faces >= n)).any():
            raise ValueError(f"points name face {faces.max()}: there are {n}, from 0.")
        found = {int(face): points[faces == face, 1:] for face in np.unique(faces)}
        points = _stacked(found, [f"Face {i}" for i in range(n)])
    if points.ndim != 3 or points.shape[::2] != (n, 2):
        shapes = f"(m, 3), rows (face, y, x), or (n, k, 2), got {points.shape}"
        raise ValueError(f"points of {n} faces must have the shape {shapes}.")
    if points.shape[1] < 2:
        raise ValueError("Each face needs two points or more, such as its eyes.")
    if np.isfinite(points).all((1, 2)).sum() < 2:
        raise ValueError("At least two faces need points.")
    return points
