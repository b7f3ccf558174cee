"""Files of numbers become named variables: NumPy, idx and text; with guards for all reads."""

from __future__ import annotations

import io
import itertools
import math
import re
import struct
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.files import in_words, most_unpacked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]
NUMBERS = "buif"  # kinds of NumPy types that can be pixels
LEAST_PIXELS = 64

# Names of variables that are known to hold faces
_FACES = {
    *("fea", "faces", "face", "images", "imgs", "ims", "pictures", "image"),
    *("data", "x", "m", "pixels", "dat", "facedat", "facedata", "ff", "olivettifaces"),
    *("yalefaces", "allfaces", "im", "img", "a", "v", "orl", "yale"),
}
_LABELS = (
    *("gnd", "label", "labels", "lab", "l", "y", "target", "targets", "subject", "subjects"),
    *("person", "persons", "people", "identity", "identities", "id", "ids", "emotion", "class"),
    *("classes", "gt", "groundtruth", "person_id", "subject_id", "ls", "name", "names"),
)
# What tells the training part of a set from the rest, in a name of words and underscores
_PART = re.compile(
    r"training|train|trn|(?<![a-z])(?:testing|test|tst)|(?<![a-z])(?:tr|tt|te|ts)(?![a-z])"
)
_AFFIX = re.compile(r"^(?:all|raw|new)[_ ]?(?=[a-z])|(?<=[a-z])[_ ]?(?:all|raw|set|mat)$")


class ArraysError(ValueError):
    """A file of numbers cannot be read as faces; the message says why and what to do."""


@dataclass(frozen=True, eq=False)
class Variable:
    """One variable of a file, whose content is read by `load` when it is asked for."""

    name: str  # with those of structs and groups before a dot; empty if it is the only array
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None  # None for cells: lists of arrays, text or further lists
    load: Callable[[], Any]

    def __str__(self) -> str:
        kind = "cells" if self.dtype is None else self.dtype.name
        return f"{self.name} ({times(self.shape)} {'text' if self.kind in 'US' else kind})"

    @property
    def kind(self) -> str:
        """One letter as in NumPy, O for cells."""
        return "O" if self.dtype is None else self.dtype.kind

    @property
    def size(self) -> int:
        """Number of elements or cells."""
        return math.prod(self.shape)

    @property
    def is_list(self) -> bool:
        """Whether it is a list of numbers or words."""
        is_long = self.size == max(self.shape, default=1)
        return is_long and self.kind in NUMBERS + "US" and 0 < self.size <= 10_000_000

    def values(self) -> NDArray[Any]:
        """Return the numbers or words of a list."""
        return np.asarray(self.load()).ravel()

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Its values as labels are written; nothing if they are numbers that are none."""
        values = self.values()
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        if values.dtype.kind == "U":
            text = tuple(str(value).strip() for value in values)
            return text if any(text) else ()
        if not (np.isfinite(values) & (values == np.floor(values))).all():
            return ()
        return tuple(str(int(value)) for value in values)

    @property
    def last(self) -> str:
        """The last part of its name."""
        return self.name.rpartition(".")[2]

    @cached_property
    def part_and_key(self) -> tuple[str, str]:
        """The part of a set that its name tells, and what it is: ("train", "x") for xTr."""
        spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.last).lower()
        spaced = re.sub(r"^([xya])(?=(?:train|trn|tr|test|tst|te)$)", r"\1_", spaced)
        part, rest = "", spaced
        if found := _PART.search(spaced):
            part = "train" if found[0].startswith("tr") else "test"
            rest = spaced[: found.start()] + "_" + spaced[found.end() :]
        key = re.sub(r"^[_.\- ]+|[_.\- \d]+$", "", re.sub(r"[_.\- ]+", "_", rest))
        return part, _AFFIX.sub("", key) or key or spaced

    @property
    def is_named_faces(self) -> bool:
        """Whether it is known by its name to hold faces: ``olivetti_faces``, ``fea``."""
        part, key = self.part_and_key
        other = re.search(r"non|mean|average|avg|eigen|recon|noise", self.name.lower())
        known = key in _FACES or key.endswith(("faces", "images", "pictures", "face"))
        return known and part != "test" and other is None

    @property
    def rank_of_labels(self) -> int | None:
        """How well it is known by its name to be labels, 0 is best."""
        words = [key := self.part_and_key[1]]
        if key not in _LABELS:
            words = [w for w in re.split(r"[_.\- ]", self.name.lower()) if len(w) > 1]
            words += [w for w in ("label", "labels", "target", "gnd") if w in key]
        known = (_LABELS.index(word) for word in words if word in _LABELS)
        return min(known, default=None) if self.is_list else None


@dataclass(frozen=True)
class Container:
    """What a file of numbers holds, in its order, and `notes` of what was left out."""

    name: str
    variables: tuple[Variable, ...]
    columns_first: bool = False  # as MATLAB stores pictures
    notes: tuple[str, ...] = ()


def held(name: str, array: NDArray[Any]) -> Variable:
    """Return an array that is in memory as a variable."""
    return Variable(name, array.shape, array.dtype, lambda: array)


def times(shape: Iterable[int]) -> str:
    """Return a shape as a reader writes it."""
    return " x ".join(map(str, shape)) or "1"


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn what libraries raise on damaged bytes into an `ArraysError` that names the file."""
    try:
        yield
    except ArraysError as error:
        if not str(error).startswith(f"{name}: "):
            error.args = (f"{name}: {str(error).rstrip('.')}.", *error.args[1:])
        raise
    except Exception as error:  # h5py, NumPy and zlib raise nearly any kind
        if isinstance(error, OSError) and error.filename is not None:
            raise  # of a path that cannot be opened
        words = in_words(error)
        raise ArraysError(f"{name}: it is damaged, or no such file ({words}).") from error


def openable(source: str | bytes) -> Any:
    """Return what libraries open: a path, or a file of these bytes."""
    return io.BytesIO(source) if isinstance(source, bytes) else source


def content_of(source: str | bytes) -> Bytes:
    """Return all bytes of a file, mapped into memory."""
    if isinstance(source, bytes):
        return np.frombuffer(source, np.uint8)
    empty = Path(source).stat().st_size == 0
    return np.empty(0, np.uint8) if empty else np.memmap(source, np.uint8, "r")


def array_in(
    content: Bytes, dtype: np.dtype[Any], shape: tuple[int, ...], order: Any = "C"
) -> NDArray[Any]:
    """Return the bytes as an array without a copy, if as many are there as it takes."""
    declared = math.prod(shape) * dtype.itemsize
    if declared > len(content):
        words = f"it declares {times(shape)} numbers of type {dtype}, {declared} bytes, but"
        raise ArraysError(f"{words} {len(content)} are there: it was cut off")
    numbers: NDArray[Any] = content[:declared].view(dtype)
    return numbers.reshape(shape, order=order)


def check_bomb(packed: int, unpacked: int, message: str = "") -> None:
    """Refuse what cannot have come from so few bytes honestly."""
    if unpacked > most_unpacked(packed):
        raise ArraysError(message or f"{packed} bytes that unpack to {unpacked} are a bomb")


def _npy_variable(name: str, content: Bytes) -> Variable:
    """Read the header of an .npy file, or of its beginning."""
    file = io.BytesIO(content[: 2**17].tobytes())
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    version = npy.read_magic(file)
    if version not in readers:
        raise ArraysError(f"arrays of version {version} are not read")
    shape, fortran, dtype = readers[version](file)
    if dtype.hasobject:
        raise ArraysError(
            "it holds Python objects (a pickle), which are never loaded: save one array of "
            "numbers, such as numpy.save(path, numpy.stack(list_of_faces))"
        )
    if dtype.names is not None or dtype.kind not in NUMBERS + "US" or min(shape, default=0) < 0:
        raise ArraysError(f"an array of {dtype} and shape {shape} holds no pictures")
    order, rest = "F" if fortran else "C", content[file.tell() :]
    return Variable(name, shape, dtype, partial(array_in, rest, dtype, shape, order))


def read_npy(source: str | bytes, name: str) -> Container:
    """Read the header of an .npy file."""
    return Container(name, (_npy_variable("", content_of(source)),))


def read_npz(source: str | bytes, name: str) -> Container:
    """Read the headers in an .npz file."""
    variables, notes = [], []

    def load(key: str) -> Any:
        with zipfile.ZipFile(openable(source)) as archive:
            info = archive.getinfo(key)
            check_bomb(min(info.compress_size, len(content_of(source))), info.file_size)
            return _npy_variable(key, content_of(archive.read(info))).load()

    with zipfile.ZipFile(openable(source)) as archive:
        for member in archive.namelist():
            key = member.removesuffix(".npy")
            try:
                with archive.open(member) as file:
                    variable = _npy_variable(key, content_of(file.read(2**17)))
                variables.append(replace(variable, load=partial(load, member)))
            except (ValueError, NotImplementedError, RuntimeError) as error:
                notes.append(f"'{key}' is left out: {error}")
    if not variables and notes:
        raise ArraysError("; ".join(notes[:3]))
    return Container(name, tuple(variables), notes=tuple(notes))


_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def is_idx(head: bytes) -> bool:
    """Tell whether a file starts as an idx file does."""
    return len(head) >= 8 and head[:2] == b"\0\0" and head[2] in _IDX_TYPES and 0 < head[3] < 5


def read_idx(source: str | bytes, name: str) -> Container:
    """Map the array of an idx file."""
    content = content_of(source)
    start = 4 + 4 * int(content[3])
    shape = struct.unpack(f">{content[3]}I", content[4:start].tobytes())
    array = array_in(content[start:], np.dtype(_IDX_TYPES[int(content[2])]), shape)
    return Container(name, (held("", array),))


def starts_like_table(head: bytes) -> bool:
    """Tell whether a text that starts so holds rows of many numbers, or many rows of some."""
    rows = head.decode("utf-8", "replace").splitlines()[: LEAST_PIXELS + 2]
    n, p = read_table(_lines(rows[:-1] or rows))[0].shape
    return p >= LEAST_PIXELS or (n > LEAST_PIXELS and p > 9)


def read_text(source: str | bytes, name: str) -> Container:
    """Read a table of text: a variable for the pixels, and one for each other column."""
    with (
        io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as file,
        io.TextIOWrapper(file, "utf-8-sig", errors="replace") as text,
    ):
        return Container(name, tuple(read_table(_lines(text))))


def _lines(text: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, without empty ones and comments."""
    for number, line in enumerate(text, 1):
        if line.strip() and not line.lstrip().startswith(("#", "%")):
            yield number, line.strip("\r\n")


def read_table(  # noqa: C901, PLR0912, PLR0915 - from top to bottom
    lines: Iterator[tuple[int, str]],
) -> list[Variable]:
    """Read numbered lines of text: the pixels come first, then the other columns."""
    begin = list(itertools.islice(lines, 3))
    if not begin:
        raise ArraysError("it is empty")
    head = [line for _, line in begin]
    counts = [line.strip().isdecimal() for line in head]
    if counts == [True, True, False] and len(head[2].split()) > 1:  # CBCL's
        whole, *words = read_table(itertools.chain(begin[2:], lines))
        n, (_, p) = int(head[1][:9]), whole.shape
        if words or p not in {n, n + 1}:
            raise ArraysError(f"its second line promises {n} pixels, but its rows hold {p}")
        table = whole.load()
        return [held("", table[:, :n]), *(held("label", column) for column in table[:, n:].T)]
    lines = itertools.chain(begin, lines)
    split = _splitter(head[0])
    titles: list[str] = []
    cells, second = (split(line) for line in (*head, "")[:2])
    if _are_titles(cells, second):
        titles, cells = [title.strip() for title in cells], second
        next(lines)
    n = len(cells)
    if not any(titles[n:]):
        del titles[n:]
    if titles and len(titles) != n:
        raise ArraysError(f"{len(titles)} titles, but {n} values in the first row")
    texts = [i for i, cell in enumerate(cells) if _number(cell) is None]
    lists = [i for i in texts if len(cells[i].strip("[] ").split()) > 8]
    listed = bool(lists) and split is not str.split  # all pixels in one column, as in fer2013
    pixels = lists[:1] if listed else [i for i in range(n) if i not in set(texts)]
    others = [i for i in range(n) if i not in set(pixels)]
    if not pixels:
        raise ArraysError("its rows are no numbers" if len(head) > 1 else "it has no rows")
    found: list[NDArray[Any]] = []
    beside: list[list[str]] = []
    for number, line in lines:
        row = split(line)
        length, expected = len(row), n
        if length == n:
            beside.append([row[i].strip() for i in others])
            text = " ".join([row[i] or "nan" for i in pixels])
            text = text.strip("[] ").replace(",", " ") if listed else text
            try:
                found.append(_smallest(np.loadtxt([text or "-"], ndmin=1, comments=None)))
            except ValueError:
                odd = (cell for cell in text.split() if _number(cell) is None)
                raise _odd(number, next(odd, text)) from None
            length, expected = found[-1].size, found[0].size
        if length != expected:
            uneven = f"line {number} has {length} values, but the first row has {expected}"
            raise ArraysError(f"{uneven}: mend that line, or save the table again")
    table = np.stack(found)
    names = titles or [f"column {i + 1}" for i in range(n)]
    columns = [
        held(names[i], np.array([kept[j] for kept in beside])) for j, i in enumerate(others)
    ]
    for variable in columns:
        first, *rest = variable.values()
        if rest and _number(first) is None and None not in map(_number, rest):
            raise _odd(begin[bool(titles)][0], first)
    if listed:
        return [held(names[pixels[0]], table), *columns]
    if titles:
        apart = [j for j, i in enumerate(pixels) if _stands_apart(names[i], table[:, j])]
        if apart and 2 * len(apart) <= len(pixels):
            columns = [*(held(names[pixels[j]], table[:, j]) for j in apart), *columns]
            table = _smallest(np.delete(table, apart, axis=1))
    return [held("", table), *columns]


def _splitter(line: str) -> Callable[[str], list[str]]:
    mark = max(",;\t", key=line.count)
    if mark not in line:
        return str.split
    cells = re.compile(rf'(?:^|{mark})("(?:[^"]|"")*"|[^{mark}]*)')

    def split(row: str) -> list[str]:
        if '"' not in row:
            return row.split(mark)
        return [cell.strip().strip('"') for cell in cells.findall(row)]

    return split


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _are_titles(first: Sequence[str], second: Sequence[str]) -> bool:
    numbers = [number for number in map(_number, first) if number is not None]
    n, begin = len(numbers), next(iter(numbers), 0)
    are_counted = n > 2 and all(number == begin + i for i, number in enumerate(numbers))
    if n == len(first):  # pandas writes the numbers of the columns: 0, 1, 2 ...
        return are_counted and begin == 0
    n_below = sum(_number(cell) is not None for cell in second)
    are_words = n_below > n and (are_counted or 2 * n <= len(first))
    return are_words or any(len(cell.split()) > 8 for cell in second)


def _stands_apart(title: str, column: NDArray[Any]) -> bool:
    """Tell whether a column of a table is something else than a pixel, by its title."""
    lower = title.lower()
    if lower in {"", "unnamed: 0", "index", "idx"}:
        return bool(np.array_equal(column, np.arange(len(column))))
    return re.fullmatch(r"[a-z]{0,8}[ _.\-]?\d+([ _.\-x]\d+)?", lower) is None


def _odd(number: int, cell: str) -> ArraysError:
    words = f"line {number} has {cell[:40]!r} where a number should be"
    return ArraysError(f"{words}: mend that line, or take it out")


def _smallest(numbers: NDArray[Any]) -> NDArray[Any]:
    if not numbers.size or numbers.dtype == np.uint8:
        return numbers
    low, high = numbers.min(), numbers.max()
    if low >= 0 and high <= 65535 and bool((numbers == np.floor(numbers)).all()):
        return numbers.astype(np.uint8 if high <= 255 else np.uint16)
    return numbers.astype(np.float64, copy=False)
