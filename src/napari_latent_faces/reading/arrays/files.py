"""What kind of file it is: NumPy, idx, MATLAB, HDF5, text, packed or not, or refused."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import os
import re
import struct
import zipfile
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from napari_latent_faces.reading.arrays.layouts import LEAST_PIXELS
from napari_latent_faces.reading.arrays.matlab import read_hdf5, read_mat
from napari_latent_faces.reading.arrays.variables import (
    NUMBERS,
    PIECE,
    ArraysError,
    Container,
    Variable,
    bomb,
    damage_named,
    head_of,
    is_bomb,
    mapped,
    opened,
    size_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray


_BINARY = (".mat", ".npy", ".npz", ".h5", ".hdf5", ".idx")


_TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".normgrey")


_PACKED = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}


_IDX = re.compile(r"[-.]idx\d[-.]u?(byte|int|short|float|double)$")


_REFUSED = {
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".pkz": "pickle",
    ".p": "pickle",
    ".joblib": "pickle",
    ".parquet": "parquet",
    ".rda": "rda",
    ".rdata": "rda",
    ".rds": "rda",
}


_ADVICE = {
    "pickle": "it is a pickle, which can run any program when it is loaded, so it never is. "
    "Load it where you trust it, and save the arrays with numpy.savez",
    "parquet": "it is a Parquet table, which is not read. With pandas and pyarrow its pictures "
    "become files, mostly so: for i, row in pandas.read_parquet(path).iterrows(): "
    "open(f'faces/{row['label']}_{i}.png', 'wb').write(row['image']['bytes']); then open that "
    "folder",
    "rda": "it is a file of R, which is not read. Convert it in R: load it, then "
    "write.csv(faces, 'faces.csv', row.names=FALSE), or R.matlab::writeMat",
}


def is_array_name(name: str, *, text: bool = True) -> bool:
    """Tell whether a file is named like one of numbers, or one that is refused with advice.

    Text (``.csv``, ``.txt`` ...) often lies beside pictures and holds something else: `text`
    says whether it counts.
    """
    lower = _unpacked_name(name.lower())
    endings = (*_BINARY, *_REFUSED, *(_TEXT if text else ()))
    return lower.endswith(endings) or _IDX.search(lower) is not None


def starts_like_array(head: bytes) -> bool:
    """Tell whether a file that starts with these bytes is a binary file of numbers."""
    return head.startswith((b"\x93NUMPY", b"MATLAB 5", b"MATLAB 7", b"\x89HDF", b"PK\3\4"))


def starts_like_table(head: bytes) -> bool:
    """Tell whether a text that starts so holds rows of many numbers, or many rows of some."""
    if b"\0" in head:
        return False
    rows = head.decode("utf-8", "replace").splitlines()
    counts = [len(re.findall(r"(?<![\w.])[-+]?\d[\w.+-]*", row)) for row in rows[:4]]
    if max(counts, default=0) >= LEAST_PIXELS:
        return True
    columns = {len(re.split(r"[,;\s]+", row.strip())) for row in rows[:LEAST_PIXELS]}
    only_numbers = not re.search(r"[^-+.,;\s\deE]", "\n".join(rows[:LEAST_PIXELS]))
    return len(rows) > LEAST_PIXELS and only_numbers and len(columns) == 1 and max(columns) > 9


def open_container(source: str | os.PathLike[str] | bytes, name: str = "") -> Container:
    """Look into a file of numbers, or its content under a `name`, without reading large arrays.

    Raises `ArraysError` if it is none that is read, damaged, a bomb, or refused (pickles).
    """
    if not isinstance(source, bytes):
        source = os.fspath(source)
        if not Path(source).is_file():  # neither a folder nor a pipe, which might never end
            Path(source).stat()  # says so if nothing is there
            raise ArraysError(f"{name or source}: it is no file.")
    name = name or (source if isinstance(source, str) else "the file")
    with damage_named(name):
        packed = _packing(head_of(source))
        if packed is not None:
            source, name = _unpack(source, packed), _unpacked_name(name)
        return _reader(head_of(source), name)(source, name)


def _reader(  # noqa: PLR0911 - a list of kinds
    head: bytes, name: str
) -> Callable[[str | bytes, str], Container]:
    """Find by content, else by name, what reads a file."""
    lower = name.lower()
    if head.startswith(b"\x93NUMPY"):
        return _read_npy
    if b"\x89HDF\r\n\x1a\n" in {head[:8], head[512:520]}:  # MATLAB's begins with a text
        return read_hdf5
    if head.startswith(b"MATLAB 5"):
        return read_mat
    if head.startswith(b"PK") and lower.endswith((".npz", ".npy")):
        return _read_npz
    refused = _refused(head, lower)
    if refused:
        raise ArraysError(f"{_ADVICE[refused]}.")
    if _idx_header(head) is not None and (_IDX.search(lower) or not lower.endswith(_TEXT)):
        return _read_idx
    if lower.endswith(".mat"):
        return read_mat
    if lower.endswith((*_BINARY,)) or _IDX.search(lower):
        raise ArraysError("its content is not what its name says. Save it again, or rename it.")
    if b"\0" in head:
        raise ArraysError(
            "it is binary, without a header that tells sizes and types. Load it with "
            "numpy.fromfile, and save it with numpy.save."
        )
    return read_text


def _refused(head: bytes, lower: str) -> str | None:
    if head.startswith((b"PAR1",)):
        return "parquet"
    if head.startswith((b"RDX", b"RDA", b"RDB")):
        return "rda"
    if re.match(rb"\x80[\x02-\x05]", head):
        return "pickle"
    return next((why for end, why in _REFUSED.items() if lower.endswith(end)), None)


def _packing(head: bytes) -> str | None:
    if head.startswith(b"\x1f\x8b"):
        return ".gz"
    if re.match(rb"BZh[1-9]1AY&SY", head):
        return ".bz2"
    if head.startswith(b"\xfd7zXZ\0"):
        return ".xz"
    return None


def _unpacked_name(name: str) -> str:
    return next((name[: -len(end)] for end in _PACKED if name.lower().endswith(end)), name)


def _unpack(source: str | bytes, packing: str) -> bytes:
    packed = size_of(source)
    unpacked = bytearray()
    unpack: Any = _PACKED[packing]
    with opened(source) as file, unpack(file, "rb") as stream:
        while piece := stream.read(PIECE):
            unpacked += piece
            if is_bomb(packed, len(unpacked)):
                raise bomb(packed)
    return bytes(unpacked)


_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def _npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = npy.read_magic(file)
    if version not in _HEADERS:
        raise ArraysError(f"arrays of version {version} are not read")
    shape, fortran, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ArraysError(
            "it holds Python objects (a pickle), which are never loaded: save one array of "
            "numbers, such as numpy.save(path, numpy.stack(list_of_faces))"
        )
    if dtype.names is not None or dtype.kind not in NUMBERS + "US" or min(shape, default=0) < 0:
        raise ArraysError(f"an array of {dtype} and shape {shape} holds no pictures")
    return shape, fortran, dtype


def _npy_array(source: str | bytes) -> NDArray[Any]:
    """Map an array into memory, if the file really holds as many bytes as it declares."""
    with opened(source) as file:
        shape, fortran, dtype = _npy_header(file)
        offset = file.tell()
    return mapped(source, dtype, shape, offset, order="F" if fortran else "C")


def _read_npy(source: str | bytes, name: str) -> Container:
    with opened(source) as file:
        shape, _, dtype = _npy_header(file)
    return Container(name, (Variable("", shape, dtype, partial(_npy_array, source)),))


def _read_npz(source: str | bytes, name: str) -> Container:
    variables, notes = [], []
    with opened(source) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            key = info.filename.removesuffix(".npy")
            try:
                with archive.open(info) as member:
                    shape, _, dtype = _npy_header(member)
            except (ValueError, NotImplementedError, RuntimeError) as error:
                notes.append(f"'{key}' is left out: {error}")
                continue
            load = partial(_npz_member, source, info.filename)
            variables.append(Variable(key, shape, dtype, load))
    if not variables and notes:
        raise ArraysError("; ".join(notes[:3]))
    return Container(name, tuple(variables), notes=tuple(notes))


def _npz_member(source: str | bytes, key: str) -> NDArray[Any]:
    with opened(source) as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(key)
        if info.compress_size > size_of(source) or is_bomb(info.compress_size, info.file_size):
            raise bomb(info.compress_size)
        return _npy_array(archive.read(info))


_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def _idx_header(head: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    if (
        len(head) < 8
        or head[:2] != b"\0\0"
        or head[2] not in _IDX_TYPES
        or not 1 <= head[3] <= 4
    ):
        return None
    end = 4 + 4 * head[3]
    if len(head) < end:
        return None
    return struct.unpack(f">{head[3]}I", head[4:end]), np.dtype(_IDX_TYPES[head[2]]), end


def _read_idx(source: str | bytes, name: str) -> Container:
    header = _idx_header(head_of(source))
    if header is None:
        raise ArraysError("its header is none of an idx file")
    shape, dtype, offset = header
    load = partial(mapped, source, dtype, shape, offset)
    load()  # tells what was cut off
    return Container(name, (Variable("", shape, dtype, load),))


# -- Tables in text files --------------------------------------------------------------


_ROWS_AT_ONCE = 512


_INDEX_COLUMNS = {"", "unnamed: 0", "index", "idx"}


def read_text(source: str | bytes, name: str) -> Container:
    """Read a table of text: a variable for the pixels, and one for each other column."""
    with opened(source) as file, io.TextIOWrapper(file, "utf-8-sig", errors="replace") as text:
        return _of_rows(_rows_of(text), name)


def _rows_of(text: Iterable[str]) -> Iterator[str]:
    for line in text:
        row = line.strip("\r\n")
        if row.strip() and not row.lstrip().startswith(("#", "%")):
            yield row


def _of_rows(rows: Iterator[str], name: str) -> Container:
    first = next(rows, None)
    if first is None:
        raise ArraysError("it is empty.")
    second = next(rows, None)
    if second is None:
        if all(_number(cell) is None for cell in _splitter(first)(first)):
            raise ArraysError("it has a line of titles, but no rows")
        rest: Iterable[str] = ()
    else:
        third = next(rows, "")
        rows = itertools.chain([third], rows) if third else rows
        if _is_count(first, second) and len(third.split()) > 1:
            return _cbcl(int(second), rows, name)
        rest = itertools.chain([second], rows)
    split = _splitter(first)
    titles: list[str] | None = split(first)
    if _are_titles(split(first), split(second) if second else []):
        lines: Iterable[str] = rest
    else:
        titles, lines = None, itertools.chain([first], rest)
    return _table(titles, lines, split, name)


def _is_count(first: str, second: str) -> bool:
    return first.strip().isdecimal() and second.strip().isdecimal() and len(second) < 10


def _splitter(line: str) -> Callable[[str], list[str]]:
    counts = {mark: line.count(mark) for mark in ",;\t"}
    mark = max(counts, key=lambda m: counts[m])
    if not counts[mark]:
        return str.split

    def split(row: str) -> list[str]:
        if '"' not in row:
            return row.split(mark)
        parts = re.findall(
            rf'(?:^|{re.escape(mark)})("(?:[^"]|"")*"|[^{re.escape(mark)}]*)', row
        )
        return [part.strip().strip('"') for part in parts]

    return split


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _are_titles(first: Sequence[str], second: Sequence[str]) -> bool:
    numbers = [_number(t) for t in first]
    if all(number is not None for number in numbers):
        # pandas writes the numbers of the columns: 0, 1, 2 ...
        return len(numbers) > 2 and numbers == list(range(len(numbers)))
    there = [_number(t) is not None for t in second]
    return sum(there) > sum(number is not None for number in numbers) or any(
        len(t.split()) > 8 for t in second
    )


def _cbcl(n_pixels: int, rows: Iterator[str], name: str) -> Container:
    """Read what follows two lines of counts: pixels, and whether it is a face."""
    table = _numbers(rows)
    if table.shape[1] == n_pixels + 1:
        return Container(name, (_held("", table[:, :-1]), _held("label", table[:, -1])))
    if table.shape[1] != n_pixels:
        raise ArraysError(
            f"its second line promises {n_pixels} pixels, but its rows hold {table.shape[1]}"
        )
    return Container(name, (_held("", table),))


def _held(name: str, array: NDArray[Any]) -> Variable:
    return Variable(name, array.shape, array.dtype, lambda: array)


def _table(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    name: str,
) -> Container:
    lines = iter(lines)
    first = next(lines, None)
    if first is None:
        raise ArraysError("it has a line of titles, but no rows")
    sample = split(first)
    lines = itertools.chain([first], lines)
    lists = [i for i, cell in enumerate(sample) if len(cell.strip("[] ").split()) > 8]
    if titles is not None and len(titles) == len(sample) + 1 and not titles[-1].strip():
        titles = titles[:-1]
    if titles is not None and len(titles) != len(sample):
        raise ArraysError(f"{len(titles)} titles, but {len(sample)} values in the first row")
    if lists and split is not str.split:
        return _table_of_lists(titles, lines, split, lists[0], name)
    texts = [i for i, cell in enumerate(sample) if _number(cell) is None]
    if len(texts) == len(sample):
        raise ArraysError("its rows are no numbers")
    return _table_of_numbers(titles, lines, split, texts, name)


def _table_of_lists(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    pixels: int,
    name: str,
) -> Container:
    """Read a table whose one column lists all pixels of a picture, as fer2013 does."""
    others: list[list[str]] = []

    def only_pixels() -> Iterator[str]:
        for number, line in enumerate(lines, 1):
            cells = split(line)
            if len(cells) <= pixels:
                raise ArraysError(f"row {number} has no pixels")
            others.append([*cells[:pixels], *cells[pixels + 1 :]])
            yield cells[pixels].strip("[] ").replace(",", " ")

    table = _numbers(only_pixels())
    names = titles or [f"column {i + 1}" for i in range(len(others[0]) + 1)]
    variables = [_held(names[pixels].strip(), table)]
    for i, title in enumerate([*names[:pixels], *names[pixels + 1 :]]):
        if all(len(row) > i for row in others):
            variables.append(_held(title.strip(), np.array([row[i].strip() for row in others])))
    return Container(name, tuple(variables))


def _table_of_numbers(
    titles: list[str] | None,
    lines: Iterable[str],
    split: Callable[[str], list[str]],
    texts: list[int],
    name: str,
) -> Container:
    kept: list[list[str]] = []

    def numbers_of(line: str) -> list[str]:
        cells = split(line)
        if texts:
            kept.append([cells[i].strip() for i in texts if i < len(cells)])
            cells = [cell for i, cell in enumerate(cells) if i not in texts]
        return cells

    texts_set = set(texts)
    table = _numbers(" ".join(numbers_of(line)) for line in lines)
    variables = []
    numbered = [i for i in range(table.shape[1] + len(texts)) if i not in texts_set]
    if titles is not None:
        from_title = [titles[i].strip() for i in numbered]
        apart = [j for j, title in enumerate(from_title) if _stands_apart(title, table[:, j])]
        variables = [
            _held(from_title[j], table[:, j])
            for j in apart
            if from_title[j].lower() not in _INDEX_COLUMNS
        ]
        if 2 * len(apart) > table.shape[1]:
            apart, variables = [], []
        table = np.delete(table, apart, axis=1) if apart else table
        table = _smallest(table)
    variables.insert(0, _held("", table))
    for j, i in enumerate(texts):
        if all(len(row) > j for row in kept):
            title = titles[i].strip() if titles else f"column {i + 1}"
            variables.append(_held(title, np.array([row[j] for row in kept])))
    return Container(name, tuple(variables))


def _stands_apart(title: str, column: NDArray[Any]) -> bool:
    """Tell whether a column of a table is something else than a pixel, by its title."""
    lower = title.lower()
    if lower in _INDEX_COLUMNS:
        return bool(np.array_equal(column, np.arange(len(column))))
    is_pixel = re.fullmatch(r"[a-z]{0,8}[ _.\-]?\d+([ _.\-x]\d+)?", lower)
    return is_pixel is None


def _numbers(lines: Iterable[str]) -> NDArray[Any]:
    """Return rows of text as a matrix of the smallest type that holds its numbers."""
    blocks: list[NDArray[Any]] = []
    lines = iter(lines)
    while part := list(itertools.islice(lines, _ROWS_AT_ONCE)):
        block = np.loadtxt(part, np.float64, ndmin=2, comments=None)
        if blocks and block.shape[1] != blocks[0].shape[1]:
            raise ArraysError(
                f"rows of {blocks[0].shape[1]} and of {block.shape[1]} numbers are mixed"
            )
        blocks.append(_smallest(block))
    if not blocks:
        raise ArraysError("it has no rows of numbers")
    return np.concatenate(blocks).astype(np.result_type(*blocks), copy=False)


def _smallest(block: NDArray[Any]) -> NDArray[Any]:
    if not block.size or block.dtype == np.uint8:
        return block
    low, high = block.min(), block.max()
    whole = bool(np.isfinite(block).all()) and bool((block == np.floor(block)).all())
    if whole and low >= 0 and high <= 65535:
        return block.astype(np.uint8 if high <= 255 else np.uint16)
    return block.astype(np.float64, copy=False)
