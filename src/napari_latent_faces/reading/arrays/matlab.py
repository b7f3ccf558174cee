"""MATLAB files of every version become named variables.

Files up to version 7 are read here rather than by `scipy.io`, which (1.17) crashes on one of
forty damaged files, makes room for whatever they declare, and cannot map large ones into
memory. The format is that of "MAT-File Format", The MathWorks, R2024b.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays import files
from napari_latent_faces.reading.arrays.files import ArraysError, Bytes, Container, Variable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    _Parts = Iterator[tuple[int, Bytes]]

_MOST_NODES = 200_000  # cells, fields and groups that are looked at in one file
_MOST_DEPTH = 4
# Types of stored data, and classes of arrays
_TYPES = dict(enumerate(["i1", "u1", "i2", "u2", "i4", "u4", "f4"], 1))
_TYPES |= {9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _PACKED = 14, 15
_CELL, _STRUCT, _CHAR, _SPARSE, _OPAQUE = 1, 2, 4, 5, 17
_LOGICAL, _COMPLEX = 0x200, 0x800
_NUMBERS = dict(enumerate(["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"], 6))
_HEADER_BYTES = 2**14  # of a packed variable, unpacked to know what it is


def _flattened(  # noqa: C901, PLR0912 - a list of kinds
    name: str, value: Any, depth: int = 0
) -> Iterator[Variable]:
    """Yield the variables in an array, in cells (of objects) or a struct (a dict of cells)."""
    if depth > _MOST_DEPTH:
        return
    if isinstance(value, dict):
        for key, field in value.items():
            yield from _flattened(f"{name}.{key}", field, depth + 1)
    elif not isinstance(value, np.ndarray):
        return
    elif value.dtype != object:
        if value.dtype.kind in files.NUMBERS + "US":
            yield files.held(name, value)
    elif value.size == 1:
        yield from _flattened(name, value.flat[0], depth)
    elif value.size and all(isinstance(item, dict) for item in value.flat):
        for key in value.flat[0]:
            fields = (item.get(key, np.empty(0, object)) for item in value.flat)
            inner = (field.flat[0] if field.size == 1 else field for field in fields)
            cells = np.fromiter(inner, object).reshape(value.shape)
            yield from _flattened(f"{name}.{key}", cells, depth + 1)
    else:
        items = [_plain(item) for item in value.flat]
        if all(isinstance(item, np.ndarray) and item.size == 1 for item in items):
            items = [item.flat[0] for item in items]
        if items and all(isinstance(item, (str, np.generic)) for item in items):
            yield files.held(name, np.array(items).reshape(value.shape))
        elif any(item is not None for item in items):
            yield Variable(name, value.shape, None, lambda: items)


def _plain(item: Any) -> Any:
    """Return a cell as an array of numbers, a text, a list of further cells, or None."""
    if not isinstance(item, np.ndarray):
        return None
    if item.dtype == object:
        return [_plain(inner) for inner in itertools.islice(item.flat, _MOST_NODES)]
    if item.dtype.kind in "US":
        return str(item.flat[0]) if item.size else ""
    return item if item.dtype.kind in files.NUMBERS else None


def read_mat(source: str | bytes, name: str) -> Container:
    """List the variables of a MATLAB file up to version 7; matrices are read later."""
    content = files.content_of(source)
    if bytes(content[:8]) != b"MATLAB 5":
        from scipy.io import loadmat
        from scipy.io.matlab import matfile_version

        if matfile_version(files.openable(source))[0] != 0:  # what SciPy reads in C may crash
            raise ArraysError("it is damaged, or no MATLAB file")
        each = (_flattened(*item) for item in loadmat(files.openable(source)).items())
        return Container(name, tuple(itertools.chain.from_iterable(each)), True)
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
        start, load = element, partial(_value, element, order)
        if kind == _PACKED:
            start = _unpacked(element[:_HEADER_BYTES], order, _HEADER_BYTES)
            load = partial(lambda packed: _value(_unpacked(packed, order), order), element)
        kind, flags, shape, key, _ = _begun(start, order)
        if not key or key.startswith("__"):
            continue  # what functions need
        if kind in {*_NUMBERS, _SPARSE} and not flags & _COMPLEX:
            variables.append(Variable(key, shape, np.dtype(_NUMBERS.get(kind, "f8")), load))
        elif found := list(_flattened(key, load())):
            variables += found
        else:
            left_out.append(key)
    notes = (f"Not read: {', '.join(left_out[:9])} (tables, objects, or empty).",)
    return Container(name, tuple(variables[:_MOST_NODES]), True, notes if left_out else ())


def _unpacked(packed: Bytes, order: str, most: int | None = None) -> Bytes:
    """Return what is in a packed variable, or only its beginning."""
    head = zlib.decompressobj().decompress(packed[:_HEADER_BYTES].data, 8)
    kind, declared = struct.unpack(f"{order}2I", head)
    if kind != _MATRIX:
        raise ArraysError("what is packed in it is no variable")
    if most is None:
        files.check_bomb(len(packed), declared)
        most = declared
    return np.frombuffer(zlib.decompressobj().decompress(packed.data, 8 + most), np.uint8)[8:]


def _words(content: Bytes, order: str, kind: str = "I") -> tuple[int, ...]:
    return struct.unpack(f"{order}{len(content) // 4}{kind}", content.tobytes())


def _parts(content: Bytes, order: str) -> _Parts:
    """Yield types and bytes of the elements in a variable; more than are there are an error."""
    at = 0
    while at + 8 <= len(content):
        kind, size = _words(content[at : at + 8], order)
        start = at + 8
        at = start + size + -size % 8
        if kind >> 16:  # a small element: all in eight bytes
            kind, size, start, at = kind & 0xFFFF, kind >> 16, start - 4, start
        if size > min(at, len(content)) - start:
            raise ArraysError("a variable in it is larger than what is there: it was cut off")
        yield kind, content[start : start + size]
    raise ArraysError("a variable in it ends too early")


def _begun(content: Bytes, order: str) -> tuple[int, int, tuple[int, ...], str, _Parts]:
    """Return class, flags, shape, name, and the other parts of a matrix."""
    parts = _parts(content, order)
    flags = _words(next(parts)[1], order)[0]
    kind, shape = flags & 0xFF, tuple[int, ...]()
    if kind != _OPAQUE:  # tables and the like have no shape
        shape = _words(next(parts)[1], order, "i")
        if not 0 < len(shape) <= 32 or min(shape) < 0:
            raise ArraysError("a variable in it has no shape")
    return kind, flags, shape, next(parts)[1].tobytes().decode("utf-8", "replace"), parts


def _value(content: Bytes, order: str, depth: int = 0) -> Any:
    """Return the array, text, cells or struct that `_flattened` takes; None for all else."""
    if not len(content) or depth > _MOST_DEPTH:
        return None
    kind, flags, shape, _, parts = _begun(content, order)
    if flags & _COMPLEX:
        return None
    if kind in _NUMBERS:
        return _array(*next(parts), order).reshape(shape, order="F")
    if kind == _SPARSE:
        return _dense(parts, shape, order, bool(flags & _LOGICAL))
    if kind == _CHAR:  # one text for each row of a matrix of characters
        stored, data = next(parts)
        wide = "utf-16-le" if order == "<" else "utf-16-be"
        coding = {16: "utf-8", 4: wide, 17: wide}.get(stored, "latin1")
        text = data.tobytes().decode(coding, "replace")
        rows = shape[0] if shape[0] and len(text) % shape[0] == 0 else 1
        return np.array([text[row::rows] for row in range(rows)], dtype=str)
    names = [""] * (kind == _CELL)
    if kind == _STRUCT:
        width = max(1, *_words(next(parts)[1], order))
        text = next(parts)[1].tobytes().decode("latin1")
        names = [text[i : i + width].partition("\0")[0] for i in range(0, len(text), width)]
    count = math.prod(shape) * len(names)
    if count > min(len(content) // 8, _MOST_NODES):
        raise ArraysError(f"it declares {count} cells, more than are there")
    elements = itertools.islice(parts, count)
    items = [_value(e, order, depth + 1) if kind == _MATRIX else None for kind, e in elements]
    cells = np.fromiter(items, object).reshape(*shape[::-1], len(names)).T
    found = dict(zip(names, cells, strict=True))
    return found if kind == _STRUCT else found.get("")


def _array(kind: int, data: Bytes, order: str) -> NDArray[Any]:
    return data.view(f"{order}{_TYPES[kind]}")


def _dense(parts: _Parts, shape: tuple[int, ...], order: str, is_logical: bool) -> Any:
    """Return a sparse matrix with its zeros."""
    from scipy.sparse import csc_array

    rows, starts = (_array(*next(parts), order).astype(np.int64) for _ in range(2))
    kind, data = next(parts)
    # MATLAB 7 says that those of a logical matrix are doubles, but stores bytes
    numbers = _array(2 if is_logical else kind, data, order)
    files.check_bomb(numbers.nbytes, math.prod(shape) * 8)
    found = csc_array((numbers.astype(numbers.dtype.newbyteorder("=")), rows, starts), shape)
    found.check_format(full_check=True)
    return found.toarray()


def read_hdf5(source: str | bytes, name: str) -> Container:
    """List the datasets of an HDF5 file, which MATLAB writes since version 7.3."""
    try:
        import h5py
    except ImportError as error:
        advice = 'pip install "napari-latent-faces[hdf5]", or save it in MATLAB with -v7'
        raise ArraysError(f"it is an HDF5 file, which needs h5py: {advice}") from error
    items: dict[str, Any] = {}

    def found(path: str, item: Any) -> bool | None:  # only what is in this file
        if _kind(item) and not path.startswith("#"):
            items[path] = item
        return len(items) == _MOST_NODES or None

    with h5py.File(files.openable(source), "r") as file:
        file.visititems(found)
        is_matlab = name.lower().endswith(".mat") or any(
            "MATLAB_class" in item.attrs for item in itertools.islice(items.values(), 50)
        )
        variables: list[Variable] = []
        for path, item in items.items():
            key = path.replace("/", ".")
            if _kind(item) in files.NUMBERS:
                load = partial(_hdf5_array, source, path, is_matlab)
                shape = item.shape[:: -1 if is_matlab else 1]
                variables.append(Variable(key, shape, item.dtype, load))
            else:
                variables += _flattened(key, _hdf5_value(item))
    return Container(name, tuple(variables), columns_first=is_matlab)


def _kind(item: Any) -> str:
    """Return one letter for numbers, U for text, O for cells, nothing for all else."""
    import h5py

    if not isinstance(item, h5py.Dataset) or item.shape is None or "MATLAB_empty" in item.attrs:
        return ""
    if item.dtype == h5py.ref_dtype:
        return "O"
    is_char = str(item.attrs.get("MATLAB_class")) in {"char", "b'char'"}
    if is_char or h5py.check_string_dtype(item.dtype) is not None:
        return "U"
    return item.dtype.kind if item.dtype.kind in files.NUMBERS else ""


def _hdf5_value(dataset: Any, depth: int = 0) -> Any:
    """Return text, numbers, or the cells of MATLAB with what they point at, turned round."""
    kind = _kind(dataset)
    _check_dataset(dataset)
    if kind == "O":
        if depth > _MOST_DEPTH or dataset.size > _MOST_NODES:
            return None
        items = (dataset.file[r] if r else None for r in dataset[()].flat)
        inner = (_hdf5_value(item, depth + 1) if _kind(item) else None for item in items)
        return np.fromiter(inner, object).reshape(dataset.shape).T
    if dataset.dtype.kind not in files.NUMBERS:
        return np.atleast_1d(np.array(dataset.asstr(errors="replace")[()], dtype=str))
    numbers = np.asarray(dataset[()]).T
    return np.array(["".join(map(chr, numbers.flat))]) if kind == "U" else numbers


def _check_dataset(dataset: Any) -> None:
    """Refuse what is not in this file, or is declared but was never written."""
    if dataset.external or dataset.is_virtual:
        raise ArraysError(f"{dataset.name} lies in another file")
    words = f"most of {dataset.name} ({files.times(dataset.shape)}) was never written"
    files.check_bomb(dataset.id.get_storage_size(), dataset.nbytes, words)


def _hdf5_array(source: str | bytes, path: str, is_matlab: bool) -> NDArray[Any]:
    import h5py

    with h5py.File(files.openable(source), "r") as file:
        dataset = file[path]
        _check_dataset(dataset)
        offset = dataset.id.get_offset()
        if offset is None or isinstance(source, bytes):
            array = np.asarray(dataset[()])
        else:  # in one piece: mapped into memory as an .npy file is
            content = files.content_of(source)[offset:]
            array = files.array_in(content, dataset.dtype, dataset.shape)
    return array.T if is_matlab else array
