"""Which axis has the faces, and how a picture lies on the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.reading.arrays.evidence import (
    any_difference,
    could_be_picture,
    finite,
    grids_of,
    lies_on_its_side,
    mean_face,
    roughest_axis,
    roughness,
    roughness_of_axes,
    sample_of,
)
from napari_latent_faces.reading.arrays.variables import ArraysError, Container, times

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.options import Order, ReadOptions, Rows


def is_said(options: ReadOptions) -> bool:
    """Tell whether a user said something of how a file of numbers is laid out."""
    said = options.variable, options.shape, options.faces, options.order
    return any(each is not None for each in said)


def faces_of_array(
    array: NDArray[Any],
    options: ReadOptions,
    hint: tuple[int, int] | None,
    lengths: set[int],
    container: Container,
    what: str,
    notes: list[str],
) -> tuple[NDArray[Any], str]:
    """Return the faces in an array, and how they were found in it."""
    if array.size == 0:
        raise ArraysError(f"{what} is empty ({times(array.shape)}).")
    if array.ndim > 2 and 1 in array.shape[1:-1]:
        array = array.squeeze(tuple(i for i in range(1, array.ndim - 1) if array.shape[i] == 1))
    if array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim == 1 and options.shape is not None:
        array = array[np.newaxis]
    if array.ndim == 2:
        return _of_matrix(array, options, hint, lengths, container.columns_first, what)
    if array.ndim == 3:
        return _of_cube(array, options, hint, lengths, what, notes)
    if array.ndim in {4, 5}:
        return _of_more_axes(array, options, what)
    raise ArraysError(
        f"{what} has the shape {times(array.shape)}; faces are a matrix, or (face, y, x)."
        + (" Give the height and width with shape=(h, w)." if array.ndim == 1 else "")
    )


@dataclass(frozen=True)
class _Layout:
    """How a matrix is read: which axis has the faces, and how a picture lies on the other."""

    faces: Rows
    grid: tuple[int, int]  # of the pixels as they follow one another
    transposed: bool
    roughness: float
    channels: Literal["", "last", "first"] = ""

    def applied(self, matrix: NDArray[Any]) -> tuple[NDArray[Any], str]:
        """Return the pictures, as a view where that is possible, and what was done."""
        rows = matrix if self.faces == "rows" else matrix.T
        n, (a, b) = len(rows), self.grid
        images: NDArray[Any]
        if self.channels == "last":
            images = rows.reshape(n, a, b, 3)
        elif self.channels == "first":
            images = np.moveaxis(rows.reshape(n, 3, a, b), 1, -1)
        else:
            images = rows.reshape(n, a, b)
        if self.transposed:
            images = images.swapaxes(1, 2)
        order = "MATLAB order (F)" if self.transposed else "row by row (C)"
        return images, order


def _of_matrix(
    array: NDArray[Any],
    options: ReadOptions,
    hint: tuple[int, int] | None,
    lengths: set[int],
    columns_first: bool,
    what: str,
) -> tuple[NDArray[Any], str]:
    shape = options.shape or hint
    if shape is not None and options.faces is None and _is_the_picture(array, shape):
        images = array[np.newaxis] if array.shape == shape else array.T[np.newaxis]
        return images, f"from {what}"
    layouts = flat_layouts(array, options.shape, options.faces, options.order, columns_first)
    if options.shape is None and hint is not None:
        hinted = flat_layouts(array, hint, options.faces, options.order, columns_first)
        layouts = hinted or layouts
    by_labels = [x for x in layouts if _n_faces(array, x.faces) in lengths]
    if len({x.faces for x in by_labels}) == 1:
        layouts = by_labels
    if not is_said(options) and not by_labels and _is_one_picture(array, layouts):
        return array[np.newaxis], f"from {what}"
    if not layouts:
        raise no_grid(array.shape, options.faces, what, options.shape)
    best = layouts[0]
    images, order = best.applied(array)
    return images, f"from the {best.faces} of {what}, {order}"


def _n_faces(array: NDArray[Any], faces: Rows) -> int:
    return int(array.shape[0 if faces == "rows" else 1])


def _is_the_picture(array: NDArray[Any], shape: tuple[int, int]) -> bool:
    return array.shape in {shape, shape[::-1]} and math.prod(shape) not in array.shape


def no_grid(
    shape: tuple[int, ...],
    faces: Rows | None,
    what: str,
    wanted: tuple[int, int] | None = None,
) -> ArraysError:
    """Return the error for a matrix whose sides are no height times width."""
    lengths = {"rows": [shape[1]], "columns": [shape[0]], None: list(shape)}[faces]
    numbers = " or ".join(str(length) for length in lengths)
    if wanted is not None:
        return ArraysError(
            f"{what} is {times(shape)}, but a face of {times(wanted)} has {math.prod(wanted)} "
            f"pixels, not {numbers}. Check shape=(h, w) and faces."
        )
    return ArraysError(
        f"{what} is {times(shape)}, and {numbers} pixels are no rectangle that a face may "
        "have. Give its height and width with shape=(h, w); pictures cut to an oval, or "
        "features that are no pixels, cannot be read."
    )


def flat_layouts(
    array: NDArray[Any],
    shape: tuple[int, int] | None,
    faces: Rows | None,
    order: Order | None = None,
    columns_first: bool = False,
) -> list[_Layout]:
    """Return the ways to read a matrix, the most likely first."""
    layouts: list[_Layout] = []
    for way in ("rows", "columns"):
        if faces in {None, way}:
            rows = array if way == "rows" else array.T
            found = _best_layout(rows, shape, order, columns_first)
            if found is not None:
                layouts.append(_Layout(way, *found))  # type: ignore[arg-type]
    return sorted(layouts, key=lambda layout: layout.roughness)


def _best_layout(
    rows: NDArray[Any],
    shape: tuple[int, int] | None,
    order: Order | None,
    columns_first: bool,
) -> tuple[tuple[int, int], bool, float, str] | None:
    p = rows.shape[1]
    channels = [""]
    if shape is None:
        grids = grids_of(p)
    elif math.prod(shape) == p:
        grids = list(dict.fromkeys([shape, shape[::-1]]))
    elif 3 * math.prod(shape) == p:
        grids, channels = list(dict.fromkeys([shape, shape[::-1]])), ["last", "first"]
    else:
        return None
    if shape is not None and order is not None:
        grids = [shape if order == "C" else shape[::-1]]
    if not grids:
        return None
    sample = sample_of(rows, p)
    norm = any_difference(sample)
    tried = [
        (roughness(sample, grid, channel) / norm, grid, channel)
        for grid in grids
        for channel in channels
    ]
    rough, grid, channel = min(tried, key=lambda entry: entry[0])
    if shape is not None and grid[0] != grid[1]:
        on_its_side = grid != shape
    elif order is not None:
        on_its_side = order == "F"
    else:
        mean = mean_face(rows, grid, channel)
        on_its_side = lies_on_its_side(mean, len(rows), likely=columns_first)
    return grid, on_its_side, rough, channel


def _is_one_picture(array: NDArray[Any], layouts: list[_Layout]) -> bool:
    """Tell whether a matrix is one picture, not pictures of which each is a row."""
    if not could_be_picture(*array.shape):
        return False
    picture = finite(array[:2000, :2000])
    flat = picture.reshape(1, -1)
    own = roughness(flat, (picture.shape[0], picture.shape[1])) / any_difference(flat)
    return own < (0.3 if layouts else 0.6) and all(
        own < 0.8 * layout.roughness for layout in layouts
    )


def _of_cube(
    array: NDArray[Any],
    options: ReadOptions,
    hint: tuple[int, int] | None,
    lengths: set[int],
    what: str,
    notes: list[str],
) -> tuple[NDArray[Any], str]:
    shape = options.shape or hint
    by_shape = [
        axis
        for axis in range(3)
        if shape and sorted(np.delete(array.shape, axis)) == sorted(shape)
    ]
    if options.shape is not None and not by_shape:
        raise ArraysError(
            f"{what} is {times(array.shape)}: none of its pictures has the shape "
            f"{times(options.shape)}."
        )
    by_labels = [axis for axis in range(3) if array.shape[axis] in lengths]
    if options.faces is not None:
        axis = 0 if options.faces == "rows" else 2
    elif len(by_shape) == 1:
        axis = by_shape[0]
    elif len(by_labels) == 1:
        axis = by_labels[0]
    elif array.shape[2] in {3, 4} and min(array.shape[:2]) >= 16 and not by_labels:
        if array.shape[2] == 4:
            notes.append("The fourth channel was taken for transparency and left out.")
        return array[np.newaxis, :, :, :3], f"from {what}"
    else:
        axis = roughest_axis(array)
    images = np.moveaxis(array, axis, 0)
    if options.shape is not None and axis not in by_shape:
        raise ArraysError(
            f"{what} is {times(array.shape)}: its {options.faces} hold no pictures of the "
            f"shape {times(options.shape)}."
        )
    where = ("first", "second", "last")[axis]
    how = f"along the {where} axis of {what}"
    if _swaps(images, options):
        images, how = images.swapaxes(1, 2), how + ", transposed"
    return images, how


def _swaps(images: NDArray[Any], options: ReadOptions) -> bool:
    """Tell whether pictures that have two axes in the file lie on their side."""
    if options.order is not None:
        return options.order == "F"
    if options.shape is not None and options.shape[0] != options.shape[1]:
        return images.shape[1:] != options.shape
    mean = finite(images[:: max(1, len(images) // 64)]).mean(axis=0)
    few = min(len(images), 8)  # more evidence is asked for than where only a length is there
    return lies_on_its_side(mean, few, likely=False)


def _of_more_axes(
    array: NDArray[Any], options: ReadOptions, what: str
) -> tuple[NDArray[Any], str]:
    """Read four axes: colour pictures, or persons x pictures."""
    channels = [a for a in (array.ndim - 1, 1, 2) if array.shape[a] in {3, 4}]
    if array.ndim == 4 and channels:
        colour = np.moveaxis(array, channels[0], -1)[..., :3]
        if options.faces is not None:
            axis = 0 if options.faces == "rows" else 2
        else:
            axis = roughest_axis(colour[..., 1])
        images = np.moveaxis(colour, axis, 0)
        how = f"along the {('first', 'second', 'last')[axis]} axis of {what}"
        return transposed(images, options, how)
    rough = roughness_of_axes(array)
    y, x = sorted(int(a) for a in np.argsort(rough)[:2])
    others = [a for a in range(array.ndim) if a not in {y, x}]
    moved = np.moveaxis(array, (*others, y, x), range(array.ndim))
    images = moved.reshape(-1, *moved.shape[-2:])
    how = f"along {len(others)} axes of {what} ({times(array.shape)})"
    return transposed(images, options, how)


def transposed(
    images: NDArray[Any], options: ReadOptions, how: str
) -> tuple[NDArray[Any], str]:
    """Swap height and width if that was asked for."""
    if options.order != "F":
        return images, how
    return images.swapaxes(1, 2), how + ", transposed"
