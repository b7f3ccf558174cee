"""HDF5 files, which MATLAB writes since version 7.3, become named variables."""

from __future__ import annotations

import io
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.nested import of_cells
from napari_latent_faces.reading.arrays.variables import (
    MOST_DEPTH,
    MOST_NODES,
    NUMBERS,
    ArraysError,
    Container,
    Variable,
    is_bomb,
    mapped,
    times,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


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
