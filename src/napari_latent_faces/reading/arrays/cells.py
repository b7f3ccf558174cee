"""Cells and fields become faces: one picture in each, or all pictures of a person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.reading.arrays.evidence import LARGEST_ASPECT, roughest_axis
from napari_latent_faces.reading.arrays.layouts import flat_layouts, no_grid, transposed
from napari_latent_faces.reading.arrays.variables import ArraysError, leaves, times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.options import ReadOptions

    Found = tuple[NDArray[Any], str, Sequence[int] | None]


def faces_of_cells(
    cells: Sequence[Any],
    grid: tuple[int, ...],
    options: ReadOptions,
    hint: tuple[int, int] | None,
    columns_first: bool,
    what: str,
) -> Found:
    """Return the faces in cells, how they were found, and the number of each one's person."""
    by_row = len(grid) == 2 and min(grid) > 1  # cells of person x picture
    nested = any(isinstance(cell, list) for cell in cells)
    items: list[NDArray[Any]] = []
    persons: list[int] = []
    for i, cell in enumerate(cells):
        for leaf in leaves(cell):
            if isinstance(leaf, np.ndarray) and leaf.size > 1:
                items.append(leaf)
                persons.append(i // grid[1] if by_row else i)
    if not items:
        raise ArraysError(f"the cells of {what} are empty")
    how = f"from the {len(cells)} cells of {what}"
    one_each = persons if by_row or nested else None
    if {item.ndim for item in items} == {2}:
        shape = _fitting(items, options, hint)
        if not _are_pictures(items, shape):
            images, order, persons = _unflattened(
                items, persons, shape, options, columns_first, what
            )
            return images, f"{how}, {order}", persons if len(images) > len(items) else one_each
    elif all(item.ndim == 3 for item in items) and not _are_in_colour(items, options):
        axis = _faces_axis(items, options)
        moved = [np.moveaxis(item, axis, 0) for item in items]
        _check_sizes([item.shape[1:] for item in moved], what)
        images, how = transposed(np.concatenate(moved), options, how)
        return images, how, [p for p, m in zip(persons, moved, strict=True) for _ in m]
    _check_sizes([item.shape for item in items], what)
    if items[0].ndim not in {2, 3}:
        raise ArraysError(f"the cells of {what} hold arrays of {times(items[0].shape)} numbers")
    images, how = transposed(np.stack(items), options, how)
    return images, how, one_each


def _fitting(
    items: list[NDArray[Any]], options: ReadOptions, hint: tuple[int, int] | None
) -> tuple[int, int] | None:
    """Return the height and width that were given, or those in the file if they can be."""
    first = items[0].shape
    if options.shape is None and hint is not None:
        return hint if set(first) == set(hint) or math.prod(hint) in first else None
    return options.shape


def _are_pictures(items: list[NDArray[Any]], shape: tuple[int, int] | None) -> bool:
    """Tell whether each cell is a picture, not a vector of pixels or a matrix of them."""
    if shape is not None:
        return set(items[0].shape) == set(shape)
    return all(max(item.shape) <= LARGEST_ASPECT * min(item.shape) for item in items)


def _are_in_colour(items: list[NDArray[Any]], options: ReadOptions) -> bool:
    return options.faces is None and all(item.shape[2] == 3 for item in items)


def _check_sizes(shapes: list[tuple[int, ...]], what: str) -> None:
    sizes = sorted(set(shapes))
    if len(sizes) > 1:
        raise ArraysError(
            f"the pictures in {what} have several sizes ({times(sizes[0])}, "
            f"{times(sizes[1])} ...): save them as picture files to have them cut or scaled"
        )


def _unflattened(
    items: list[NDArray[Any]],
    persons: list[int],
    shape: tuple[int, int] | None,
    options: ReadOptions,
    columns_first: bool,
    what: str,
) -> tuple[NDArray[Any], str, list[int]]:
    """Return the pictures of cells that hold those of one person as rows or columns."""
    p = math.prod(shape) if shape else None
    first = items[0].shape
    axes = [a for a in (0, 1) if all(item.shape[a] == (p or first[a]) for item in items)]
    if not axes:
        raise ArraysError(
            f"the cells of {what} ({times(first)}, {times(items[-1].shape)} ...) share no "
            "number of pixels. Give the height and width with shape=(h, w)"
        )
    axis = max(axes, key=lambda a: first[a])
    rows = np.concatenate([item.T if axis == 0 else item for item in items])
    layouts = flat_layouts(rows, shape, "rows", options.order, columns_first)
    if not layouts:
        raise no_grid(rows.shape, "rows", what, shape)
    images, order = layouts[0].applied(rows)
    counts = [item.shape[1 - axis] for item in items]
    return images, order, [p for p, n in zip(persons, counts, strict=True) for _ in range(n)]


def _faces_axis(items: list[NDArray[Any]], options: ReadOptions) -> int:
    if options.faces is not None:
        return 0 if options.faces == "rows" else 2
    varying = [a for a in range(3) if len({item.shape[a] for item in items}) > 1]
    if len(varying) == 1:
        return varying[0]
    return roughest_axis(max(items, key=lambda item: item.size))
