"""MATLAB files of all versions, and other HDF5 files, become named variables."""

from __future__ import annotations

import io
import itertools
import math
import struct
import zlib
from functools import partial
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

from napari_latent_faces.reading.arrays.variables import (
    FREE_BYTES,
    MOST_DEPTH,
    MOST_NODES,
    NUMBERS,
    PIECE,
    ArraysError,
    Container,
    Variable,
    bomb,
    is_bomb,
    mapped,
    opened,
    size_of,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MATLAB_NUMBERS = {
    "double": "f8",
    "single": "f4",
    "logical": "u1",
    **{f"{u}int{8 * b}": f"{u[:1] or 'i'}{b}" for u in ("u", "") for b in (1, 2, 4, 8)},
}


def read_mat(source: str | bytes, name: str) -> Container:
    """List the variables of a MATLAB file up to version 7."""
    from scipy.io import whosmat

    _check_mat(source)
    with _honest(source) as file:
        listed = whosmat(file, appendmat=False)
    variables: list[Variable] = []
    objects = [key for key, _, kind in listed if kind in {"opaque", "object", "function"}]
    for key, shape, kind in listed:
        if key.startswith("__"):
            continue
        load = partial(_mat_variable, source, key)
        size = tuple(int(side) for side in shape)
        if kind in _MATLAB_NUMBERS:
            dtype = np.dtype(_MATLAB_NUMBERS[kind])
            variables.append(Variable(key, size, dtype, load))
        elif kind == "sparse":
            variables.append(Variable(key, size, np.dtype("f8"), load))
        elif kind in {"cell", "struct", "char"}:
            found = list(itertools.islice(_flattened(key, load()), MOST_NODES))
            variables += found
            if not found:
                objects.append(key)
    notes = (
        (f"Objects of MATLAB (tables, classes) are not read: {', '.join(objects[:9])}.",)
        if objects
        else ()
    )
    return Container(name, tuple(variables[:MOST_NODES]), True, notes)


class _Honest:
    """A file whose `read` makes room for no more than is there."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self.file, self.size = file, size
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, count: int = -1) -> bytes:
        left = max(0, self.size - self.file.tell())
        return self.file.read(left if count < 0 else min(count, left))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _honest(source: str | bytes) -> Any:
    return _Honest(opened(source), size_of(source))


def _mat_variable(source: str | bytes, key: str) -> Any:
    from scipy.io import loadmat

    with _honest(source) as file:
        value = loadmat(file, variable_names=[key], appendmat=False)[key]
    return _dense(value) if hasattr(value, "toarray") else value


def _dense(sparse: Any) -> NDArray[Any]:
    stored = sparse.data.nbytes
    if is_bomb(stored, math.prod(sparse.shape) * sparse.dtype.itemsize):
        raise bomb(stored)
    array: NDArray[Any] = sparse.toarray()
    return array


def _check_mat(source: str | bytes) -> None:
    """Say before anything is unpacked whether a file of version 5 is cut off or a bomb."""
    total = size_of(source)
    with opened(source) as file:
        head = file.read(128)
        if not head.startswith(b"MATLAB 5"):
            return
        order = ">" if head[126:128] == b"MI" else "<"
        while len(tag := file.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            start = file.tell()
            if start + size > total:
                raise ArraysError(
                    f"a variable of {size} bytes is declared, but {total - start} are left: "
                    "the file was cut off"
                )
            if kind == 15:
                _check_zlib(file, size)
            file.seek(start + size)


def _check_zlib(file: IO[bytes], size: int) -> None:
    if size * 1032 <= FREE_BYTES:  # zlib shrinks no further
        return
    unpack, unpacked, left = zlib.decompressobj(), 0, size
    while left > 0 and not unpack.eof:
        packed = file.read(min(PIECE, left))
        left -= len(packed)
        while packed and not unpack.eof:
            unpacked += len(unpack.decompress(packed, 16 * PIECE))
            packed = unpack.unconsumed_tail
            if is_bomb(size, unpacked):
                raise bomb(size)


def _flattened(name: str, value: Any, depth: int = 0) -> Iterator[Variable]:
    """Yield the variables in a struct or cell array of `scipy.io`."""
    if depth > MOST_DEPTH or not isinstance(value, np.ndarray) or _is_object(value):
        return
    if value.dtype.names:
        for key in value.dtype.names[:200]:
            items = value[key]  # one element for each struct
            inner = items.flat[0] if items.size == 1 else items
            yield from _flattened(f"{name}.{key}", inner, depth + 1)
    elif value.dtype == object and value.size == 1:
        yield from _flattened(name, value.flat[0], depth + 1)
    elif value.dtype == object:
        yield from _of_cells(name, value, depth)
    elif value.dtype.kind in NUMBERS + "US":
        yield Variable(name, value.shape, value.dtype, lambda: value)


def _is_object(value: Any) -> bool:
    """Tell whether scipy found an object of MATLAB, of which only the frame is read."""
    return type(value).__name__.startswith("Matlab")


def _of_cells(name: str, cells: NDArray[Any], depth: int) -> Iterator[Variable]:
    items = [item for item in cells.flat if not _is_object(item)]
    fields = [getattr(getattr(item, "dtype", None), "names", None) for item in items]
    if items and fields[0] and all(f == fields[0] for f in fields):
        for key in fields[0]:  # cells of structs: one cell array a field
            inner = np.empty(cells.shape, object)
            for i, item in enumerate(items):
                inner.flat[i] = item[key].flat[0] if item.size == 1 else item[key]
            yield from _flattened(f"{name}.{key}", inner, depth + 1)
        return
    values = [_plain(item) for item in items]
    if values and all(isinstance(v, str) for v in values):
        text = np.array(values, dtype=str)
        yield Variable(name, cells.shape, text.dtype, lambda: text)
    elif values and all(isinstance(v, np.ndarray) and v.size == 1 for v in values):
        numbers = np.array([v.flat[0] for v in values])
        if numbers.dtype.kind in NUMBERS:
            yield Variable(name, cells.shape, numbers.dtype, lambda: numbers)
    elif values:
        yield Variable(name, cells.shape, None, lambda: values)


def _plain(item: Any) -> Any:
    """Return a cell as an array of numbers, a text, a list of further cells, or None."""
    if isinstance(item, np.ndarray):
        if item.dtype.kind in "US":
            return str(item.flat[0]) if item.size else ""
        if item.dtype == object:
            return [_plain(inner) for inner in itertools.islice(item.flat, MOST_NODES)]
        if item.dtype.kind in NUMBERS:
            return item
    return None


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
        yield from _of_cells(name, cells.T if matlab else cells, 0)
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
    """Return what a cell of MATLAB points at, as `scipy.io` would."""
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
