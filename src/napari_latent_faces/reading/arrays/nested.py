"""Structs and cells of MATLAB, one in another, become named variables."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.variables import (
    MOST_DEPTH,
    MOST_NODES,
    NUMBERS,
    Variable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Struct:
    """A struct, or an array of them: the values of each field, one for each struct."""

    fields: dict[str, NDArray[Any]]


def flattened(name: str, value: Any, depth: int = 0) -> Iterator[Variable]:
    """Yield the variables in an array, cell array or struct."""
    if depth > MOST_DEPTH:
        return
    if isinstance(value, Struct):
        for key, items in value.fields.items():
            inner = items.flat[0] if items.size == 1 else items
            yield from flattened(f"{name}.{key}", inner, depth + 1)
    elif not isinstance(value, np.ndarray):
        return
    elif value.dtype == object and value.size == 1:
        yield from flattened(name, value.flat[0], depth + 1)
    elif value.dtype == object:
        yield from of_cells(name, value, depth)
    elif value.dtype.kind in NUMBERS + "US":
        yield Variable(name, value.shape, value.dtype, lambda: value)


def of_cells(name: str, cells: NDArray[Any], depth: int = 0) -> Iterator[Variable]:
    """Yield what a cell array holds: one variable, or one for each field of its structs."""
    items: list[Any] = list(cells.flat)
    structs = [item for item in items if isinstance(item, Struct)]
    if structs and len(structs) == len(items):
        for key in structs[0].fields:
            inner = np.empty(cells.shape, object)
            for i, struct in enumerate(structs):
                held = struct.fields.get(key, np.empty(0, object))
                inner.flat[i] = held.flat[0] if held.size == 1 else held
            yield from flattened(f"{name}.{key}", inner, depth + 1)
        return
    values = [_plain(item) for item in items]
    if not values or all(value is None for value in values):
        return
    if all(isinstance(v, str) for v in values):
        text = np.array(values, dtype=str)
        yield Variable(name, cells.shape, text.dtype, lambda: text)
    elif all(isinstance(v, np.ndarray) and v.size == 1 for v in values):
        numbers = np.array([v.flat[0] for v in values])
        yield Variable(name, cells.shape, numbers.dtype, lambda: numbers)
    else:
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
