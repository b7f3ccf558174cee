"""MATLAB files up to version 7 become named variables.

Read here rather than by `scipy.io`, which crashes on some damaged files, makes room for
whatever they declare, and cannot map large ones into memory. The format is that of
"MAT-File Format", The MathWorks, R2024b.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.variables import (
    MOST_DEPTH,
    MOST_NODES,
    NUMBERS,
    PIECE,
    ArraysError,
    Container,
    Struct,
    Variable,
    bomb,
    flattened,
    is_bomb,
    mapped,
    of_cells,
    size_of,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


# Types of stored data, and classes of arrays
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_TYPES |= {12: "i8", 13: "u8"}
_TEXTS = {1: "latin1", 2: "latin1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
_MATRIX, _PACKED = 14, 15
_CELL, _STRUCT, _CHAR, _SPARSE, _OPAQUE = 1, 2, 4, 5, 17
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_NUMBERS |= {14: "i8", 15: "u8"}
_OLD_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")

_HEADER_BYTES = 2**14  # of a packed variable, unpacked to know what it is

Bytes = np.ndarray[tuple[int], np.dtype[np.uint8]]


def read_mat(source: str | bytes, name: str) -> Container:
    """List the variables of a MATLAB file up to version 7; matrices are read later."""
    content: Any
    if isinstance(source, bytes):
        content = np.frombuffer(source, np.uint8)
    else:
        content = np.memmap(source, np.uint8, "r") if size_of(source) else np.empty(0, np.uint8)
    if bytes(content[:8]) != b"MATLAB 5":
        return Container(name, tuple(_old_variables(content)), columns_first=True)
    order = ">" if bytes(content[126:128]) == b"MI" else "<"
    variables: list[Variable] = []
    left_out: list[str] = []
    for element in _elements(content, order):
        head = element.head()
        if not head.name or head.name.startswith("__"):
            continue  # what functions need
        if head.kind in _NUMBERS and not head.is_complex:
            dtype = np.dtype(_NUMBERS[head.kind])
            variables.append(Variable(head.name, head.shape, dtype, element.value))
        elif head.kind == _SPARSE and not head.is_complex:
            variables.append(Variable(head.name, head.shape, np.dtype("f8"), element.value))
        else:
            found = list(flattened(head.name, element.value()))
            variables += found
            if not found:
                left_out.append(head.name)
    notes = (f"Not read: {', '.join(left_out[:9])} (tables, objects, or empty).",)
    return Container(name, tuple(variables[:MOST_NODES]), True, notes if left_out else ())


@dataclass(frozen=True)
class _Head:
    """What a matrix says of itself before its numbers."""

    kind: int
    is_complex: bool
    is_logical: bool
    shape: tuple[int, ...]
    name: str
    end: int


@dataclass(frozen=True, eq=False)
class _Element:
    """A variable in the file, packed or not."""

    content: Bytes
    order: str
    packed: bool

    def head(self) -> _Head:
        content = self.content
        if self.packed:
            start = zlib.decompressobj().decompress(content[:_HEADER_BYTES].tobytes(), 2**14)
            content = np.frombuffer(start, np.uint8)[8:]
        return _head(content, self.order)

    def value(self) -> Any:
        content = self.content
        if self.packed:
            content = np.frombuffer(_unpacked(content, self.order), np.uint8)
            kind, _, content, _ = _next(content, 0, self.order)
            if kind != _MATRIX:
                raise ArraysError("what is packed in it is no variable")
        return _value(content, self.order)


def _elements(content: Bytes, order: str) -> Iterator[_Element]:
    at = 128
    while at + 8 <= len(content):
        kind, size = _words(content, at, 2, order)
        at += 8
        if size > len(content) - at:
            raise ArraysError(
                f"a variable of {size} bytes is declared, but {len(content) - at} are left: "
                "the file was cut off"
            )
        if kind in {_MATRIX, _PACKED}:
            if size:
                yield _Element(content[at : at + size], order, kind == _PACKED)
        else:
            raise ArraysError("it is damaged: there is no variable where one should begin")
        at += size


def _unpacked(content: Bytes, order: str) -> bytes:
    """Unpack a variable, no further than to the size that it tells first."""
    unpack, unpacked, declared = zlib.decompressobj(), bytearray(), 0
    for start in range(0, len(content), PIECE):
        piece = content[start : start + PIECE].tobytes()
        while piece and len(unpacked) < declared + 8:
            unpacked += unpack.decompress(piece, 16 * PIECE if unpacked else 8)
            piece = unpack.unconsumed_tail
            if len(unpacked) >= 8:
                declared = int.from_bytes(unpacked[4:8], "little" if order == "<" else "big")
            if is_bomb(len(content), declared):
                raise bomb(len(content))
    return bytes(unpacked)


def _words(content: Bytes, at: int, count: int, order: str) -> tuple[int, ...]:
    return struct.unpack(f"{order}{count}I", content[at : at + 4 * count].tobytes())


def _next(content: Bytes, at: int, order: str) -> tuple[int, int, Bytes, int]:
    """Return type and size of the data at a place, the data, and the place after them."""
    if at + 8 > len(content):
        raise ArraysError("a variable in it ends too early")
    first, size = _words(content, at, 2, order)
    if first >> 16:  # a small element: all in eight bytes
        kind, size = first & 0xFFFF, first >> 16
        if size > 4:
            raise ArraysError("a variable in it is damaged")
        return kind, size, content[at + 4 : at + 4 + size], at + 8
    if size > len(content) - at - 8:
        raise ArraysError(f"{size} bytes are declared, but {len(content) - at - 8} are there")
    return first, size, content[at + 8 : at + 8 + size], at + 8 + size + -size % 8


def _head(content: Bytes, order: str) -> _Head:
    _, size, flags, at = _next(content, 0, order)
    if size != 8:
        raise ArraysError("a variable in it is damaged")
    word = _words(flags, 0, 1, order)[0]
    kind = word & 0xFF
    if kind == _OPAQUE:  # tables and the like have no shape
        _, _, text, at = _next(content, at, order)
        return _Head(kind, False, False, (), text.tobytes().decode("latin1"), at)
    _, size, dims, at = _next(content, at, order)
    shape = np.frombuffer(dims.tobytes(), f"{order}i4")
    if size % 4 or not 1 <= len(shape) <= 32 or shape.min() < 0:
        raise ArraysError("a variable in it has no shape")
    _, _, text, at = _next(content, at, order)
    name = text.tobytes().decode("utf-8", "replace")
    sizes = tuple(int(n) for n in shape)
    return _Head(kind, bool(word & 0x800), bool(word & 0x200), sizes, name, at)


def _value(  # noqa: PLR0911 - a list of kinds
    content: Bytes, order: str, depth: int = 0
) -> Any:
    """Return the array, text, cells (an array of objects) or struct; None for all else."""
    if not len(content) or depth > MOST_DEPTH:
        return None
    head = _head(content, order)
    if head.is_complex:
        return None
    if head.kind in _NUMBERS:
        kind, _, data, _ = _next(content, head.end, order)
        if kind not in _TYPES:
            raise ArraysError("a variable in it has numbers of an unknown type")
        return _shaped(_array(data, _TYPES[kind], order), head.shape)
    if head.kind == _CHAR:
        return _text(content, head, order)
    if head.kind == _SPARSE:
        return _dense(content, head, order)
    if head.kind == _CELL:
        items, _ = _matrices(content, head.end, math.prod(head.shape), order, depth)
        return _objects(items, head.shape)
    if head.kind == _STRUCT:
        return _struct(content, head, order, depth)
    return None


def _array(data: Bytes, dtype: str, order: str) -> NDArray[Any]:
    kind = np.dtype(f"{order}{dtype}")
    if len(data) % kind.itemsize:
        raise ArraysError("a variable in it was cut off")
    array: NDArray[Any] = data.view(kind)
    return array


def _shaped(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if math.prod(shape) != array.size:
        raise ArraysError(
            f"it declares {times(shape)} numbers, but {array.size} are there: it is damaged"
        )
    return array.reshape(shape, order="F")


def _objects(items: list[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    cells = np.empty(len(items), object)
    for i, item in enumerate(items):
        cells[i] = item
    return cells.reshape(shape, order="F")


def _matrices(
    content: Bytes, at: int, count: int, order: str, depth: int
) -> tuple[list[Any], int]:
    """Return the values of so many variables that follow one another, and their end."""
    if count > (len(content) - at) // 8 or count > MOST_NODES:
        raise ArraysError(f"it declares {count} cells, more than are there")
    values = []
    for _ in range(count):
        kind, _, inner, at = _next(content, at, order)
        values.append(_value(inner, order, depth + 1) if kind == _MATRIX else None)
    return values, at


def _struct(content: Bytes, head: _Head, order: str, depth: int) -> Struct:
    _, _, length, at = _next(content, head.end, order)
    _, _, text, at = _next(content, at, order)
    (width,) = _words(length, 0, 1, order)
    if not 0 < width <= 256:
        raise ArraysError("a struct in it has no names of fields")
    names = [
        text[i : i + width].tobytes().partition(b"\0")[0].decode("utf-8", "replace")
        for i in range(0, len(text) - width + 1, width)
    ]
    values, _ = _matrices(content, at, math.prod(head.shape) * len(names), order, depth)
    return Struct(
        {n: _objects(values[i :: len(names)], head.shape) for i, n in enumerate(names)}
    )


def _text(content: Bytes, head: _Head, order: str) -> NDArray[Any]:
    """Return one text for each row of a matrix of characters."""
    kind, _, data, _ = _next(content, head.end, order)
    coding = _TEXTS.get(kind, "latin1")
    if coding in {"utf-16", "utf-32"}:
        coding += "-le" if order == "<" else "-be"
    text = data.tobytes().decode(coding, "replace")
    rows = head.shape[0] if head.shape[0] and len(text) % head.shape[0] == 0 else 1
    return np.array([text[row::rows] for row in range(rows)], dtype=str)


def _dense(content: Bytes, head: _Head, order: str) -> NDArray[Any]:
    """Return a sparse matrix with its zeros."""
    at = head.end
    parts: list[NDArray[Any]] = []
    for _ in range(3):  # rows, beginnings of columns, numbers
        kind, _, data, at = _next(content, at, order)
        # MATLAB 7 says that those of a logical matrix are doubles, but stores bytes
        dtype = "u1" if head.is_logical and len(parts) == 2 else _TYPES.get(kind, "u1")
        parts.append(_array(data, dtype, order))
    rows, starts, numbers = parts
    if len(head.shape) != 2 or len(starts) != head.shape[1] + 1:
        raise ArraysError("a sparse matrix in it is damaged")
    counts: NDArray[Any] = np.diff(starts.astype(np.int64))
    used = int(counts.sum()) if len(counts) else 0
    if is_bomb(numbers.nbytes, math.prod(head.shape) * 8):
        raise bomb(numbers.nbytes)
    if (counts < 0).any() or starts[0] != 0 or used > min(len(rows), len(numbers)):
        raise ArraysError("a sparse matrix in it is damaged")
    rows = rows[:used].astype(np.int64)
    if used and not 0 <= rows.min() <= rows.max() < head.shape[0]:
        raise ArraysError("a sparse matrix in it is damaged")
    dense = np.zeros(head.shape, numbers.dtype.newbyteorder("="))
    dense[rows, np.repeat(np.arange(head.shape[1]), counts)] = numbers[:used]
    return dense


# -- Version 4: a header of five numbers, and the matrix --------------------------------


def _old_variables(content: Bytes) -> Iterator[Variable]:
    at = 0
    while at < len(content):
        if len(content) - at < 20:
            raise ArraysError("it is damaged, or no MATLAB file")
        head = content[at : at + 20].tobytes()
        order = "<" if struct.unpack("<i", head[:4])[0] in range(5000) else ">"
        mopt, rows, columns, imaginary, length = struct.unpack(f"{order}5i", head)
        if not 0 <= mopt < 5000 or min(rows, columns) < 0 or not 0 < length <= 512:
            raise ArraysError("it is damaged, or no MATLAB file")
        name = content[at + 20 : at + 20 + length].tobytes().partition(b"\0")[0]
        at += 20 + length
        kind = (mopt // 10) % 10
        dtype = np.dtype(f"{order}{_OLD_TYPES[kind] if kind < 6 else 'u1'}")
        size = rows * columns * dtype.itemsize
        if size * (1 + bool(imaginary)) > len(content) - at:
            raise ArraysError(
                f"it declares {rows} x {columns} numbers, more than are there: it was cut off"
            )
        if mopt % 10 == 0 and not imaginary and size:
            array = content[at : at + size].view(dtype).reshape((rows, columns), order="F")
            key = name.decode("latin1")
            yield Variable(key, array.shape, dtype, partial(np.asanyarray, array))
        at += size * (1 + bool(imaginary))


# -- HDF5 files, which MATLAB writes since version 7.3 ---------------------------------


def read_hdf5(source: str | bytes, name: str) -> Container:
    """List the datasets of an HDF5 file, which MATLAB writes since version 7.3."""
    try:
        import h5py
    except ImportError as error:
        raise ArraysError(
            "it is an HDF5 file (MATLAB's version 7.3), which needs h5py: "
            'pip install "napari-latent-faces[hdf5]", or save it in MATLAB with -v7.'
        ) from error
    with h5py.File(_for_hdf5(source), "r") as file:
        matlab = name.lower().endswith(".mat") or any(
            "MATLAB_class" in item.attrs for _, item in itertools.islice(_items(file), 50)
        )
        variables = tuple(itertools.islice(_of_group(file, "", source, matlab), MOST_NODES))
    return Container(name, variables, columns_first=matlab)


def _for_hdf5(source: str | bytes) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _items(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a group of this file; other files are not opened."""
    import h5py

    for key in itertools.islice(group, MOST_NODES):
        inside = not isinstance(group.get(key, getlink=True), h5py.ExternalLink)
        if inside and not key.startswith("#") and (item := group.get(key)) is not None:
            yield key, item


def _of_group(
    group: Any, prefix: str, source: str | bytes, matlab: bool, depth: int = 0
) -> Iterator[Variable]:
    import h5py

    for key, item in _items(group):
        name = f"{prefix}{key}"
        if isinstance(item, h5py.Group) and depth < MOST_DEPTH:
            if "MATLAB_sparse" not in item.attrs:
                yield from _of_group(item, f"{name}.", source, matlab, depth + 1)
        elif isinstance(item, h5py.Dataset) and "MATLAB_empty" not in item.attrs:
            yield from _of_dataset(item, name, source, matlab)


def _of_dataset(
    dataset: Any, name: str, source: str | bytes, matlab: bool
) -> Iterator[Variable]:
    import h5py

    shape = tuple(dataset.shape or ())
    if dataset.dtype == h5py.ref_dtype:
        cells = np.empty(shape, object)
        _check_dataset(dataset)
        if dataset.size > MOST_NODES:
            return
        for i, reference in enumerate(dataset[()].flat):
            cells.flat[i] = _of_reference(dataset.file, reference)
        yield from of_cells(name, cells.T if matlab else cells, 0)
    elif _matlab_class(dataset) == "char" or h5py.check_string_dtype(dataset.dtype):
        text = np.array(_text_of(dataset), dtype=str)
        yield Variable(name, text.shape, text.dtype, lambda: text)
    elif dataset.dtype.kind in NUMBERS:
        load = partial(_hdf5_array, source, dataset.name, matlab)
        yield Variable(name, shape[::-1] if matlab else shape, dataset.dtype, load)


def _matlab_class(item: Any) -> str:
    kind = item.attrs.get("MATLAB_class", b"")
    return kind.decode("ascii", "replace") if isinstance(kind, bytes) else str(kind)


def _of_reference(file: Any, reference: Any, depth: int = 0) -> Any:
    """Return what a cell of MATLAB points at, as an array or further cells."""
    import h5py

    item = file[reference] if reference else None
    if not isinstance(item, h5py.Dataset) or "MATLAB_empty" in item.attrs:
        return None
    _check_dataset(item)
    if item.dtype == h5py.ref_dtype:
        inner = np.empty(item.shape, object)
        if depth < MOST_DEPTH and item.size <= MOST_NODES:
            for i, further in enumerate(item[()].flat):
                inner.flat[i] = _of_reference(file, further, depth + 1)
        return inner.T
    if _matlab_class(item) == "char":
        return np.array([_text_of(item)])
    return np.asarray(item[()]).T


def _text_of(dataset: Any) -> Any:
    _check_dataset(dataset)
    value = dataset[()]
    if _matlab_class(dataset) == "char":
        return "".join(chr(code) for code in np.asarray(value).T.flat)
    decode = np.vectorize(lambda t: t.decode("utf-8", "replace") if isinstance(t, bytes) else t)
    return decode(value) if np.size(value) else ""


def _check_dataset(dataset: Any) -> None:
    """Refuse what is not in this file, or is declared but was never written."""
    if dataset.external or dataset.is_virtual:
        raise ArraysError(f"{dataset.name} lies in another file")
    if is_bomb(dataset.id.get_storage_size(), dataset.size * dataset.dtype.itemsize):
        raise ArraysError(
            f"{dataset.name} declares {times(dataset.shape)} numbers, most of which were "
            "never written"
        )


def _hdf5_array(source: str | bytes, path: str, matlab: bool) -> NDArray[Any]:
    import h5py

    with h5py.File(_for_hdf5(source), "r") as file:
        dataset = file[path]
        _check_dataset(dataset)
        offset = dataset.id.get_offset()
        if offset is None or isinstance(source, bytes):
            array = np.asarray(dataset[()])
        else:  # in one piece: mapped into memory as an .npy file is
            array = mapped(source, dataset.dtype, dataset.shape, offset)
    return array.T if matlab else array
