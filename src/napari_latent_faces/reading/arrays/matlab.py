"""MATLAB files of every version become named variables.

Files up to version 7 are read here rather than by `scipy.io`, which (1.17) crashes on one of
forty damaged files, makes room for whatever they declare, and cannot map large ones into
memory. The format is that of "MAT-File Format", The MathWorks, R2024b.
"""

from __future__ import annotations

import io
import itertools
import math
import struct
import zlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_latent_faces.reading.arrays.files import (
    NUMBERS,
    ArraysError,
    Bytes,
    Container,
    Variable,
    array_in,
    check_bomb,
    content_of,
    held,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MOST_NODES = 200_000  # cells, fields and groups that are looked at in one file
_MOST_DEPTH = 4

# Types of stored data, and classes of arrays
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8"}
_TYPES |= {12: "i8", 13: "u8"}
_TEXTS = {16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
_MATRIX, _PACKED = 14, 15
_CELL, _STRUCT, _CHAR, _SPARSE, _OPAQUE = 1, 2, 4, 5, 17
_NUMBERS = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_NUMBERS |= {14: "i8", 15: "u8"}
_OLD_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")

_HEADER_BYTES = 2**14  # of a packed variable, unpacked to know what it is


# -- Structs and cells, one in another, become named variables -------------------------


@dataclass(frozen=True, eq=False)
class _Struct:
    """A struct, or an array of them: the values of each field, one for each struct."""

    fields: dict[str, NDArray[Any]]


def _flattened(name: str, value: Any, depth: int = 0) -> Iterator[Variable]:
    """Yield the variables in an array, cell array or struct."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, _Struct):
        for key, items in value.fields.items():
            inner = items.flat[0] if items.size == 1 else items
            yield from _flattened(f"{name}.{key}", inner, depth + 1)
    elif not isinstance(value, np.ndarray):
        return
    elif value.dtype == object and value.size == 1:
        yield from _flattened(name, value.flat[0], depth + 1)
    elif value.dtype == object:
        yield from _of_cells(name, value, depth)
    elif value.dtype.kind in NUMBERS + "US":
        yield held(name, value)


def _of_cells(name: str, cells: NDArray[Any], depth: int = 0) -> Iterator[Variable]:
    """Yield what a cell array holds: one variable, or one for each field of its structs."""
    items: list[Any] = list(cells.flat)
    if not items:
        return
    if all(isinstance(item, _Struct) for item in items):
        for key in items[0].fields:
            fields = [item.fields.get(key, np.empty(0, object)) for item in items]
            inner = _objects([f.flat[0] if f.size == 1 else f for f in fields])
            yield from _flattened(f"{name}.{key}", inner.reshape(cells.shape), depth + 1)
        return
    values = [_plain(item) for item in items]
    if all(isinstance(v, str) for v in values):
        yield held(name, np.array(values, dtype=str).reshape(cells.shape))
    elif all(isinstance(v, np.ndarray) and v.size == 1 for v in values):
        yield held(name, np.array([v.flat[0] for v in values]).reshape(cells.shape))
    elif any(value is not None for value in values):
        yield Variable(name, cells.shape, None, lambda: values)


def _plain(item: Any) -> Any:
    """Return a cell as an array of numbers, a text, a list of further cells, or None."""
    if not isinstance(item, np.ndarray):
        return None
    if item.dtype == object:
        return [_plain(inner) for inner in itertools.islice(item.flat, _MOST_NODES)]
    if item.dtype.kind in "US":
        return str(item.flat[0]) if item.size else ""
    return item if item.dtype.kind in NUMBERS else None


def _objects(items: list[Any]) -> NDArray[Any]:
    """Return items in an array, whatever they are."""
    cells = np.empty(len(items), object)
    for i, item in enumerate(items):
        cells[i] = item
    return cells


# -- Versions 5 to 7: elements of a type, a size and bytes -----------------------------


class _Head(NamedTuple):
    """What a matrix says of itself before its numbers."""

    kind: int
    is_complex: bool
    is_logical: bool
    shape: tuple[int, ...]
    name: str


def read_mat(source: str | bytes, name: str) -> Container:
    """List the variables of a MATLAB file up to version 7; matrices are read later."""
    content = content_of(source)
    if bytes(content[:8]) != b"MATLAB 5":
        return Container(name, tuple(_old_variables(content)), columns_first=True)
    order = ">" if bytes(content[126:128]) == b"MI" else "<"
    variables: list[Variable] = []
    left_out: list[str] = []
    at = 128
    while at + 8 <= len(content):
        kind, element = next(_parts(content[at:], order))
        at += 8 + len(element)
        if kind not in {_MATRIX, _PACKED}:
            raise ArraysError("it is damaged: there is no variable where one should begin")
        if not len(element):
            continue
        packed = kind == _PACKED
        start = _unpacked(element, order, _HEADER_BYTES) if packed else element
        head = _head(_parts(start, order), order)
        load = partial(_loaded, element, order, packed)
        if not head.name or head.name.startswith("__"):
            continue  # what functions need
        if head.kind in {*_NUMBERS, _SPARSE} and not head.is_complex:
            dtype = np.dtype(_NUMBERS.get(head.kind, "f8"))
            variables.append(Variable(head.name, head.shape, dtype, load))
        elif found := list(_flattened(head.name, load())):
            variables += found
        else:
            left_out.append(head.name)
    notes = (f"Not read: {', '.join(left_out[:9])} (tables, objects, or empty).",)
    return Container(name, tuple(variables[:_MOST_NODES]), True, notes if left_out else ())


def _loaded(content: Bytes, order: str, packed: bool) -> Any:
    return _value(_unpacked(content, order) if packed else content, order)


def _unpacked(packed: Bytes, order: str, most: int = 0) -> Bytes:
    """Return what is in a packed variable, as far as it tells first, or only its beginning."""
    unpack = zlib.decompressobj()
    head = unpack.decompress(packed[:_HEADER_BYTES].tobytes(), 8)
    kind, declared = struct.unpack(f"{order}2I", head)
    if kind != _MATRIX:
        raise ArraysError("what is packed in it is no variable")
    rest = unpack.unconsumed_tail
    if not most:
        check_bomb(len(packed), declared)
        rest += packed[_HEADER_BYTES:].tobytes()
    return np.frombuffer(unpack.decompress(rest, most or declared or 1), np.uint8)


def _words(content: Bytes, count: int, order: str) -> tuple[int, ...]:
    return struct.unpack(f"{order}{count}I", content[: 4 * count].tobytes())


def _parts(content: Bytes, order: str) -> Iterator[tuple[int, Bytes]]:
    """Yield types and bytes of the elements in a variable; more than are there are an error."""
    at = 0
    while at + 8 <= len(content):
        kind, size = _words(content[at:], 2, order)
        start = at + 8
        at = start + size + -size % 8
        if kind >> 16:  # a small element: all in eight bytes
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        if size > min(at, len(content)) - start:
            raise ArraysError("a variable in it is larger than what is there: it was cut off")
        yield kind, content[start : start + size]
    raise ArraysError("a variable in it ends too early")


def _head(parts: Iterator[tuple[int, Bytes]], order: str) -> _Head:
    _, flags = next(parts)
    if len(flags) != 8:
        raise ArraysError("a variable in it is damaged")
    word = _words(flags, 1, order)[0]
    kind, is_complex, is_logical = word & 0xFF, bool(word & 0x800), bool(word & 0x200)
    if kind == _OPAQUE:  # tables and the like have no shape
        _, text = next(parts)
        return _Head(kind, False, False, (), text.tobytes().decode("latin1"))
    _, dims = next(parts)
    if not 4 <= len(dims) <= 128 or len(dims) % 4:
        raise ArraysError("a variable in it has no shape")
    shape = struct.unpack(f"{order}{len(dims) // 4}i", dims.tobytes())
    if min(shape) < 0:
        raise ArraysError("a variable in it has no shape")
    _, text = next(parts)
    return _Head(kind, is_complex, is_logical, shape, text.tobytes().decode("utf-8", "replace"))


def _value(  # noqa: PLR0911 - a list of kinds
    content: Bytes, order: str, depth: int = 0
) -> Any:
    """Return the array, text, cells (an array of objects) or struct; None for all else."""
    if not len(content) or depth > _MOST_DEPTH:
        return None
    parts = _parts(content, order)
    head = _head(parts, order)
    if head.is_complex:
        return None
    if head.kind in _NUMBERS:
        return _shaped(_array(*next(parts), order), head.shape)
    if head.kind == _CHAR:
        return _text(*next(parts), head, order)
    if head.kind == _SPARSE:
        return _dense(parts, head, order)
    names = [""] * (head.kind == _CELL)
    if head.kind == _STRUCT:
        (_, length), (_, text) = next(parts), next(parts)
        (width,) = _words(length, 1, order)
        if not 0 < width <= 256:
            raise ArraysError("a struct in it has no names of fields")
        fields = (text[i : i + width].tobytes() for i in range(0, len(text), width))
        names = [field.partition(b"\0")[0].decode("utf-8", "replace") for field in fields]
    count = math.prod(head.shape) * len(names)
    if count > min(len(content) // 8, _MOST_NODES):
        raise ArraysError(f"it declares {count} cells, more than are there")
    elements = (next(parts) for _ in range(count))
    items = [_value(e, order, depth + 1) if kind == _MATRIX else None for kind, e in elements]
    values = [_shaped(_objects(items[i :: len(names)]), head.shape) for i in range(len(names))]
    if head.kind == _CELL:
        return values[0]
    return _Struct(dict(zip(names, values, strict=True))) if head.kind == _STRUCT else None


def _array(kind: int, data: Bytes, order: str) -> NDArray[Any]:
    if kind not in _TYPES:
        raise ArraysError("a variable in it has numbers of an unknown type")
    if len(data) % np.dtype(_TYPES[kind]).itemsize:
        raise ArraysError("a variable in it was cut off")
    return data.view(f"{order}{_TYPES[kind]}")


def _shaped(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if math.prod(shape) != array.size:
        raise ArraysError(
            f"it declares {times(shape)} numbers, but {array.size} are there: it is damaged"
        )
    return array.reshape(shape, order="F")


def _text(kind: int, data: Bytes, head: _Head, order: str) -> NDArray[Any]:
    """Return one text for each row of a matrix of characters."""
    coding = _TEXTS.get(kind, "latin1")
    if coding in {"utf-16", "utf-32"}:
        coding += "-le" if order == "<" else "-be"
    text = data.tobytes().decode(coding, "replace")
    rows = head.shape[0] if head.shape[0] and len(text) % head.shape[0] == 0 else 1
    return np.array([text[row::rows] for row in range(rows)], dtype=str)


def _dense(parts: Iterator[tuple[int, Bytes]], head: _Head, order: str) -> NDArray[Any]:
    """Return a sparse matrix with its zeros."""
    damaged = ArraysError("a sparse matrix in it is damaged")
    rows, starts = _array(*next(parts), order), _array(*next(parts), order)
    kind, data = next(parts)
    # MATLAB 7 says that those of a logical matrix are doubles, but stores bytes
    numbers = _array(2 if head.is_logical else kind, data, order)
    if len(head.shape) != 2 or len(starts) != head.shape[1] + 1:
        raise damaged
    check_bomb(numbers.nbytes, math.prod(head.shape) * 8)
    counts: NDArray[Any] = np.diff(starts.astype(np.int64))
    used = int(counts.sum())
    if (counts < 0).any() or starts[0] != 0 or used > min(len(rows), len(numbers)):
        raise damaged
    rows = rows[:used].astype(np.int64)
    if used and not 0 <= rows.min() <= rows.max() < head.shape[0]:
        raise damaged
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
        array = array_in(content[at:], dtype, (rows, columns), "F")
        if mopt % 10 == 0 and not imaginary and array.size:
            yield held(name.decode("latin1"), array)
        at += array.nbytes * (1 + bool(imaginary))


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
        variables = tuple(itertools.islice(_of_group(file, "", source, matlab), _MOST_NODES))
    return Container(name, variables, columns_first=matlab)


def _for_hdf5(source: str | bytes) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


def _items(group: Any) -> Iterator[tuple[str, Any]]:
    """Yield what is in a group of this file; other files are not opened."""
    import h5py

    for key in itertools.islice(group, _MOST_NODES):
        inside = not isinstance(group.get(key, getlink=True), h5py.ExternalLink)
        if inside and not key.startswith("#") and (item := group.get(key)) is not None:
            yield key, item


def _of_group(
    group: Any, prefix: str, source: str | bytes, matlab: bool, depth: int = 0
) -> Iterator[Variable]:
    import h5py

    for key, item in _items(group):
        name = f"{prefix}{key}"
        if isinstance(item, h5py.Group) and depth < _MOST_DEPTH:
            if "MATLAB_sparse" not in item.attrs:
                yield from _of_group(item, f"{name}.", source, matlab, depth + 1)
        elif not _is_filled(item):
            continue
        elif item.dtype == h5py.ref_dtype:
            cells = _of_references(item)
            yield from _of_cells(name, cells.T if matlab else cells)
        elif _is_text(item):
            yield held(name, _text_of(item))
        elif item.dtype.kind in NUMBERS:
            load = partial(_hdf5_array, source, item.name, matlab)
            yield Variable(name, item.shape[:: -1 if matlab else 1], item.dtype, load)


def _is_filled(item: Any) -> bool:
    import h5py

    is_array = isinstance(item, h5py.Dataset) and item.shape is not None
    return is_array and "MATLAB_empty" not in item.attrs


def _of_references(dataset: Any, depth: int = 0) -> NDArray[Any]:
    """Return what the cells of MATLAB point at: arrays, text, further cells, or None."""
    import h5py

    _check_dataset(dataset)
    cells = np.empty(dataset.shape, object)
    if depth > _MOST_DEPTH or dataset.size > _MOST_NODES:
        return cells
    for i, reference in enumerate(dataset[()].flat):
        item: Any = dataset.file[reference] if reference else None
        if not _is_filled(item):
            continue
        if item.dtype == h5py.ref_dtype:
            cells.flat[i] = _of_references(item, depth + 1).T
        elif _is_text(item):
            cells.flat[i] = np.atleast_1d(_text_of(item))
        else:
            _check_dataset(item)
            cells.flat[i] = np.asarray(item[()]).T
    return cells


def _is_text(dataset: Any) -> bool:
    import h5py

    is_char = str(dataset.attrs.get("MATLAB_class")) in {"char", "b'char'"}
    return is_char or h5py.check_string_dtype(dataset.dtype) is not None


def _text_of(dataset: Any) -> NDArray[Any]:
    _check_dataset(dataset)
    if dataset.dtype.kind in NUMBERS:
        return np.array(["".join(map(chr, np.asarray(dataset[()]).T.flat))])
    return np.array(dataset.asstr(errors="replace")[()], dtype=str)


def _check_dataset(dataset: Any) -> None:
    """Refuse what is not in this file, or is declared but was never written."""
    if dataset.external or dataset.is_virtual:
        raise ArraysError(f"{dataset.name} lies in another file")
    declared = dataset.size * dataset.dtype.itemsize
    check_bomb(
        dataset.id.get_storage_size(),
        declared,
        f"{dataset.name} declares {times(dataset.shape)} numbers, most of which were never "
        "written",
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
            array = array_in(content_of(source)[offset:], dataset.dtype, dataset.shape)
    return array.T if matlab else array
