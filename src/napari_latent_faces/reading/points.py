"""Points on faces, from the files of the programs that place them."""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.stack import FaceStack

    Points = NDArray[np.float64]  # (k, 2), rows (x, y) as in the files

__all__ = ["points_of_faces", "read_points"]

Result = TypeVar("Result")

_NAME_COLUMNS = (
    "name",
    "file",
    "filename",
    "file_name",
    "image",
    "image_id",
    "picture",
    "path",
)


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
    found = _Found(stack)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*") if f.suffix.lower() in _BESIDE)
        if not files:
            raise ValueError(f"{path} holds no files of points ({', '.join(_BESIDE)}).")
        for file in files:
            face = found.face(file.relative_to(path).as_posix())
            if face is not None:
                parse, size = _BESIDE[file.suffix.lower()], found.original_size(face)
                found.add(face, _understood(file, partial(parse, size=size)))
    elif path.suffix.lower() in _BESIDE:
        raise ValueError(f"{path} belongs to one picture: give the folder that it is in.")
    elif path.suffix.lower() == ".xml":
        found.add_named(_understood(path, _of_xml))
    elif path.suffix.lower() in (".csv", ".tsv", ".txt"):
        table = _understood(path, _table)
        if "axis-0" in table[0]:
            columns = [table[0].index(f"axis-{axis}") for axis in range(3)]
            rows = [[float(row[i]) for i in columns] for row in table[1:]]
            return points_of_faces(rows, len(stack))
        found.add_named(_of_table(path, table))
    else:
        raise ValueError(
            f"{path.name} is no known file of points: .csv, .txt (CelebA), .xml (dlib), or a "
            f"folder with {', '.join(_BESIDE)} files."
        )
    return found.points(path)


def points_of_faces(points: Any, n: int) -> NDArray[np.float64]:
    """Return points as (n, k, 2), with NaN for faces that have none."""
    points = np.asarray(points, np.float64)
    spots: NDArray[np.float64]
    if points.ndim == 3:
        if points.shape[0] != n or points.shape[2] != 2:
            raise ValueError(
                f"points of shape {points.shape} do not fit {n} faces: (n, k, 2) is needed."
            )
        spots = points
    else:
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(
                "points must have the shape (m, 3), rows (face, y, x), or (n, k, 2), got "
                f"{points.shape}."
            )
        faces = np.rint(points[:, 0]).astype(int)
        if ((faces < 0) | (faces >= n)).any():
            raise ValueError(f"points name face {faces.max()}: there are {n}, from 0.")
        counts = np.bincount(faces, minlength=n)
        usual = int(np.bincount(counts[counts > 0]).argmax()) if len(faces) else 0
        wrong = np.flatnonzero((counts != usual) & (counts > 0))
        if len(wrong):
            raise ValueError(
                f"Face {wrong[0]} has {counts[wrong[0]]} points and others {usual}: each face "
                "needs the same points, in the same order."
            )
        spots = np.full((n, usual, 2), np.nan)
        for face in np.flatnonzero(counts):
            spots[face] = points[faces == face, 1:]
    if spots.shape[1] < 2:
        raise ValueError("Each face needs two points or more, such as its eyes.")
    if np.isfinite(spots).all((1, 2)).sum() < 2:
        raise ValueError("At least two faces need points.")
    return spots


class _Found:
    """The points that were found, under the face of a stack that each belongs to."""

    def __init__(self, stack: FaceStack) -> None:
        self._stack = stack
        self._sizes = dict(stack.report.resized)
        self._given: dict[int, Points] = {}
        self._by_path: dict[str, int] = {}
        self._by_stem: dict[str, int | None] = {}
        for i, name in enumerate(stack.names):
            self._by_path.setdefault(_without_extension(name), i)
            stem = PurePosixPath(name).stem
            self._by_stem[stem] = None if stem in self._by_stem else i  # None: not the only one

    def face(self, name: str) -> int | None:
        """Return the face that a file's name or path stands for."""
        name = _without_extension(name.replace("\\", "/"))
        found = self._by_path.get(name)
        return self._by_stem.get(PurePosixPath(name).name) if found is None else found

    def original_size(self, face: int) -> tuple[int, int]:
        """Return the height and width of the picture in its file."""
        return self._sizes.get(self._stack.names[face], self._stack.size)

    def add(self, face: int, points: Points) -> None:
        """Keep the points (x, y) of a face, as pixels of the stack's picture."""
        h, w = self._stack.size
        height, width = self.original_size(face)
        options = self._stack.report.options
        resize = "crop" if options is None else options.resize
        ratios = w / width, h / height
        if resize != "stretch":
            ratios = (min(ratios) if resize == "pad" else max(ratios),) * 2
        middle = np.array([width / 2, height / 2]) - 0.5
        placed = (points - middle) * ratios + np.array([w / 2, h / 2]) - 0.5
        self._given[face] = placed[:, ::-1]

    def add_named(self, named: Iterable[tuple[str, Points]]) -> None:
        """Keep the points of those pictures that the stack has."""
        for name, points in named:
            face = self.face(name)
            if face is not None:
                self.add(face, points)

    def points(self, path: Path) -> NDArray[np.float64]:
        """Return all points, after a look at their numbers."""
        names = self._stack.names
        if not self._given:
            raise ValueError(
                f"{path} has points for none of the faces, such as {names[0]}: the names must "
                "be the same, but for the extension."
            )
        counts = {face: len(points) for face, points in self._given.items()}
        usual = max(counts.values(), key=[*counts.values()].count)
        for face, count in counts.items():
            if count != usual:
                raise ValueError(
                    f"{path} has {count} points for {names[face]} and {usual} for others: each "
                    "face needs the same points, in the same order."
                )
        points = np.full((len(names), usual, 2), np.nan)
        for face, placed in self._given.items():
            points[face] = placed
        return points


def _without_extension(name: str) -> str:
    return str(PurePosixPath(name).with_suffix("")) if PurePosixPath(name).name else name


def _understood(path: Path, parse: Callable[[str], Result]) -> Result:
    """Parse a text file; a message about what is wrong names it."""
    try:
        return parse(path.read_text(encoding="utf-8-sig", errors="replace"))
    except (ValueError, IndexError, KeyError, SyntaxError) as error:
        raise ValueError(f"The points in {path} cannot be read: {error}.") from error


def _pairs(numbers: Sequence[str], count: int) -> Points:
    if len(numbers) < 2 * count or count < 1:
        raise ValueError(f"{count} points are announced, {len(numbers) // 2} are there")
    return np.array(numbers[: 2 * count], np.float64).reshape(count, 2)


# -- One file a picture ----------------------------------------------------------------


def _of_pts(text: str, size: tuple[int, int]) -> Points:
    """Parse the format of FG-NET and iBUG: x and y between braces."""
    del size  # they are pixels
    inside = re.search(r"\{(.*?)\}", text, re.DOTALL)
    if inside is None:
        raise ValueError("there are no braces")
    numbers = inside[1].split()
    count = re.search(r"n_points:\s*(\d+)", text)
    return _pairs(numbers, int(count[1]) if count else len(numbers) // 2)


def _of_tem(text: str, size: tuple[int, int]) -> Points:
    """Parse a template of Psychomorph or webmorph: a number, then x and y; lines follow."""
    del size  # they are pixels
    numbers = text.split()
    return _pairs(numbers[1:], int(numbers[0]))


def _of_asf(text: str, size: tuple[int, int]) -> Points:
    """Parse the format of the AAM API, whose x and y are shares of width and height."""
    lines = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    rows = [row[2:4] for row in lines if len(row) >= 7]
    counts = [int(row[0]) for row in lines if len(row) == 1 and row[0].isdigit()]
    found = _pairs([each for row in rows for each in row], counts[0] if counts else len(rows))
    return found * size[::-1]


_BESIDE = {".pts": _of_pts, ".tem": _of_tem, ".asf": _of_asf}


# -- One file for all ------------------------------------------------------------------


def _of_xml(text: str) -> list[tuple[str, Points]]:
    """Parse dlib's XML: the parts of the first box of each image, by their names."""
    from xml.etree import ElementTree as ET

    named = []
    for image in ET.fromstring(text).iter("image"):  # noqa: S314 - expat limits expansion
        parts = image.findall("box[part][1]/part") or image.findall("box/part")
        if parts:
            ordered = sorted(parts, key=lambda part: part.attrib["name"].zfill(9))
            points = np.array([[float(p.attrib["x"]), float(p.attrib["y"])] for p in ordered])
            named.append((image.attrib["file"], points))
    return named


def _table(text: str) -> list[list[str]]:
    """Split a table into rows of cells; CelebA's starts with a count and has no separators."""
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    if len(lines) > 2 and lines[0].strip().isdigit() and "," not in lines[1]:
        return [["name", *lines[1].split()], *(line.split() for line in lines[2:])]
    separator = max(",;\t", key=lines[0].count)
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=separator)]
    rows[0] = [cell.lower() for cell in rows[0]] if not _is_number(rows[0][-1]) else rows[0]
    return rows


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _of_table(path: Path, table: list[list[str]]) -> list[tuple[str, Points]]:
    """Return the points of each picture in a table."""
    if len(table[0]) > 2 and _is_number(table[0][-1]):  # no titles: a name, then x and y
        titles = ["name", *("xy"[i % 2] for i in range(len(table[0]) - 1))]
        rows = table
    else:
        titles, rows = table[0], table[1:]
    words = [set(re.split(r"[^a-z]+", title.lower())) for title in titles]
    xs = [i for i, word in enumerate(words) if "x" in word]
    ys = [i for i, word in enumerate(words) if "y" in word]
    names = [i for i, title in enumerate(titles) if title.lower() in _NAME_COLUMNS]
    if not names or not xs or len(xs) != len(ys):
        raise ValueError(
            f"{path.name} needs a column of names (such as 'file') and columns of x and y "
            f"(such as 'left_eye_x', 'left_eye_y'); its columns are {', '.join(titles)}."
        )
    found: dict[str, list[Points]] = {}
    for number, row in enumerate(rows, len(table) - len(rows) + 1):
        try:
            points = np.array(
                [[float(row[i]) for i in pair] for pair in zip(xs, ys, strict=True)]
            )
        except (ValueError, IndexError) as error:
            raise ValueError(f"Row {number} of {path.name}: {error}.") from error
        found.setdefault(row[names[0]], []).append(points)
    return [(name, np.concatenate(points)) for name, points in found.items()]
