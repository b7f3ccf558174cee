"""Named variables of a file, what structs and cells hold, and the guards of all reads."""

from __future__ import annotations

import io
import itertools
import math
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray


# What is compressed may unpack to this many bytes, or to this many times its size: zeros
# shrink a thousandfold, pictures do not.
FREE_BYTES = 64 * 2**20


BOMB_RATIO = 200


PIECE = 2**20


NUMBERS = "buif"  # kinds of NumPy types that can be pixels


MOST_NODES = 200_000  # cells, fields and groups that are looked at in one file


MOST_DEPTH = 4


class ArraysError(ValueError):
    """A file of numbers cannot be read as faces; the message says why and what to do."""


@dataclass(frozen=True)
class Variable:
    """One variable of a file, whose content is read by `load` when it is asked for.

    `name` is as the file has it, fields of structs and groups after a dot; empty where a file
    holds one array only. `dtype` is None for cells, which come as a list of arrays, text or
    further lists; `shape` is then that of the cell array.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    load: Callable[[], Any]

    @property
    def is_numeric(self) -> bool:
        """Whether it is an array of numbers."""
        return self.dtype is not None and self.dtype.kind in NUMBERS

    @property
    def size(self) -> int:
        """Number of elements or cells."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Container:
    """What a file of numbers holds, in its order, and `notes` of what was left out.

    `columns_first` says that it comes from MATLAB, which stores pictures column by column.
    """

    name: str
    variables: tuple[Variable, ...]
    columns_first: bool = False
    notes: tuple[str, ...] = field(default=())


@contextmanager
def damage_named(name: str) -> Iterator[None]:
    """Turn what libraries raise on damaged bytes into an `ArraysError` that names the file.

    Errors of paths that cannot be opened are passed on.
    """
    try:
        yield
    except ArraysError as error:
        if not str(error).startswith(f"{name}: "):
            error.args = (f"{name}: {str(error).rstrip('.')}.", *error.args[1:])
        raise
    except MemoryError as error:
        raise ArraysError(f"{name}: it does not fit into memory.") from error
    except Exception as error:  # h5py, scipy and zlib raise nearly any kind
        if isinstance(error, OSError) and error.filename is not None:
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ArraysError(f"{name}: it is damaged, or no such file ({reason}).") from error


def opened(source: str | bytes) -> IO[bytes]:
    """Open a file, or bytes as one."""
    return io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb")


def head_of(source: str | bytes) -> bytes:
    """Return how a file begins."""
    with opened(source) as file:
        return file.read(1024)


def size_of(source: str | bytes) -> int:
    """Return the number of bytes of a file."""
    return len(source) if isinstance(source, bytes) else Path(source).stat().st_size


def is_bomb(packed: int, unpacked: int) -> bool:
    """Tell whether so many bytes cannot have come from so few honestly."""
    return unpacked > FREE_BYTES and unpacked > BOMB_RATIO * packed


def bomb(packed: int) -> ArraysError:
    """Return the error for a bomb."""
    return ArraysError(f"{packed} bytes unpack to more than {BOMB_RATIO} times as many: a bomb")


def mapped(
    source: str | bytes,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    offset: int,
    order: str = "C",
) -> NDArray[Any]:
    """Map an array into memory, if as many bytes are there as it takes."""
    declared, there = math.prod(shape) * dtype.itemsize, size_of(source) - offset
    if declared > there:
        raise ArraysError(
            f"it declares {times(shape)} numbers of type {dtype}, {declared} bytes, but "
            f"{there} are there: it was cut off"
        )
    if declared == 0:
        return np.empty(shape, dtype)
    flat: NDArray[Any]
    if isinstance(source, bytes):
        flat = np.frombuffer(source, dtype, math.prod(shape), offset)
        return flat.reshape(shape, order="F" if order == "F" else "C")
    return np.memmap(source, dtype, "r", offset, shape, "F" if order == "F" else "C")


def times(shape: Iterable[int]) -> str:
    """Return a shape as a reader writes it."""
    return " x ".join(map(str, shape)) or "1"


def leaves(value: Any) -> Iterable[Any]:
    """Yield what is in a list and in all lists in it."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


# -- Structs and cells of MATLAB, one in another, become named variables ---------------


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
