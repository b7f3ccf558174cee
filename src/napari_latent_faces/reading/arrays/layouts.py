"""Which axis has the faces, and how a picture lies on the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.reading.arrays.variables import ArraysError, Container, leaves, times

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.options import Order, ReadOptions, Rows

    Found = tuple[NDArray[Any], str, Sequence[int] | None]

LARGEST_ASPECT = 3.0  # of a picture whose shape is found out


SMALLEST_SIDE = 6


LEAST_PIXELS = 64


# Neighbouring pixels of faces differ by 0.03 to 0.4 of what any two pixels of a picture
# differ by, and those of the mean of noisy faces as well; those of features and of noise, and
# of their mean, by 0.56 to 1.
NO_PICTURES = 0.5


SAMPLE = 4_000_000  # pixels looked at to find out axes and orders


def grids_of(p: int) -> list[tuple[int, int]]:
    """Return the rectangles of `p` pixels that a picture may have, both ways round."""
    if p < LEAST_PIXELS:
        return []
    sides = [a for a in range(SMALLEST_SIDE, math.isqrt(p) + 1) if p % a == 0]
    pairs = [(a, p // a) for a in sides if p // a <= LARGEST_ASPECT * a]
    return list(dict.fromkeys([*pairs, *((b, a) for a, b in pairs)]))


def could_be_picture(h: int, w: int) -> bool:
    """Tell whether a matrix may be one picture."""
    return min(h, w) >= 16 and max(h, w) <= LARGEST_ASPECT * min(h, w)


def sample_of(rows: NDArray[Any], p: int) -> NDArray[np.float32]:
    """Return some of the rows, evenly spread."""
    count = int(min(len(rows), 64, max(4, SAMPLE // max(1, p))))
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(np.intp))
    return finite(rows[chosen])


def finite(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32, with 0 where they are infinite or none."""
    with np.errstate(over="ignore"):
        numbers = np.asarray(array).astype(np.float32)
    return np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0, copy=False)


def any_difference(sample: NDArray[np.float32]) -> float:
    """Return the mean difference of two pixels anywhere in the same picture."""
    shuffled = np.random.default_rng(0).permutation(sample.shape[1])
    difference = float(np.abs(sample - sample[:, shuffled]).mean(dtype=np.float64))
    return difference if 0 < difference < math.inf else 1.0


def roughness(sample: NDArray[np.float32], grid: tuple[int, int], channels: str = "") -> float:
    """Return the mean difference of neighbours, over both axes, of pictures of a shape."""
    pictures: NDArray[Any]
    if channels == "last":
        pictures = sample.reshape(len(sample), *grid, 3)
    elif channels == "first":
        pictures = np.moveaxis(sample.reshape(len(sample), 3, *grid), 1, -1)
    else:
        pictures = sample.reshape(len(sample), *grid)
    return 0.5 * sum(_difference(pictures, axis) for axis in (1, 2))


def is_noise(images: NDArray[Any]) -> bool:
    """Tell whether neighbouring pixels are as different as distant ones, in the mean, too."""
    if min(images.shape[1:3]) < 2:
        return True
    count = min(len(images), max(1, 4 * SAMPLE // max(1, images[0].size)), 400)
    pictures = finite(images[:: max(1, len(images) // count)][:count])
    if pictures.ndim == 4:
        pictures = pictures.mean(axis=-1)
    sample = pictures.reshape(len(pictures), -1)
    if not float(np.ptp(sample)):
        return False
    grid = (pictures.shape[1], pictures.shape[2])
    mean = sample.mean(axis=0, keepdims=True)
    return all(
        roughness(each, grid) > NO_PICTURES * any_difference(each) for each in (sample, mean)
    )


def _difference(array: NDArray[Any], axis: int, lag: int = 1) -> float:
    """Return the mean difference of what is `lag` apart along an axis."""
    length = array.shape[axis]
    if length <= lag:
        return 0.0
    moved = np.moveaxis(array, axis, 0)
    return float(np.abs(moved[lag:] - moved[:-lag]).mean(dtype=np.float64))


def mean_face(rows: NDArray[Any], grid: tuple[int, int], channels: str) -> NDArray[Any]:
    """Return the mean of the pictures, in grey, as they lie in the file."""
    count = int(min(len(rows), max(16, 4 * SAMPLE // max(1, rows.shape[1]))))
    chosen = np.unique(np.linspace(0, len(rows) - 1, count).astype(np.intp))
    pixels = finite(rows[chosen])
    if pixels.min() < 0:  # centred: their mean is empty, how far they reach is not
        pixels = np.abs(pixels)
    mean: Any = np.mean(pixels, axis=0, dtype=np.float64)
    if channels == "last":
        mean = np.mean(mean.reshape(*grid, 3), axis=-1)
    elif channels == "first":
        mean = np.mean(mean.reshape(3, *grid), axis=0)
    face: NDArray[Any] = mean.reshape(grid)
    return face


def lies_on_its_side(mean: NDArray[Any], n: int, *, likely: bool) -> bool:
    """Tell whether the mean of `n` faces is its own mirror image only if it is transposed.

    Where the evidence is weak, as in the mean of few faces, `likely` decides.
    """
    mirrored = float(np.abs(mean - mean[:, ::-1]).mean())
    upside_down = float(np.abs(mean - mean[::-1]).mean())
    if max(mirrored, upside_down) <= (1 + n**-0.5) * min(mirrored, upside_down):
        return likely
    return upside_down < mirrored


def roughest_axis(array: NDArray[Any]) -> int:
    """Return the axis along which neighbours differ most: from face to face.

    Pixels that lie far apart differ more than neighbours; faces that lie far apart hardly do,
    if the same person does not come several times in a row.
    """
    rough = roughness_of_axes(array)
    for axis in range(3):
        if not _could_be_sides(*(side for i, side in enumerate(array.shape[:3]) if i != axis)):
            rough[axis] -= max(rough) + 1
    return int(np.argmax(rough))


def _could_be_sides(a: int, b: int) -> bool:
    return min(a, b) >= SMALLEST_SIDE and max(a, b) <= LARGEST_ASPECT * min(a, b)


def roughness_of_axes(array: NDArray[Any]) -> list[float]:
    """Return how much neighbours differ along each axis, against what lies farther apart."""
    parts = tuple(slice(0, side) for side in array.shape)
    over = array.size / SAMPLE
    if over > 1:  # the middle of each axis
        keep = over ** (-1 / array.ndim)
        lengths = [min(side, max(8, int(side * keep))) for side in array.shape]
        starts = [(side - n) // 2 for side, n in zip(array.shape, lengths, strict=True)]
        parts = tuple(slice(at, at + n) for at, n in zip(starts, lengths, strict=True))
    block = finite(array[parts])
    rough = []
    for axis, side in enumerate(block.shape):
        near, far = _difference(block, axis), _difference(block, axis, max(1, side // 3))
        rough.append(near * near / far if far else 0.0)
    return rough


# -- Arrays become faces ---------------------------------------------------------------


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
    elif not by_labels and _is_colour_picture(array):
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


def _is_colour_picture(array: NDArray[Any]) -> bool:
    """Tell whether three or four planes are the channels of a picture, not as many faces.

    Edges lie in the same places in all channels: the differences of neighbours correlate by
    more than 0.8 between those of a photograph, by less than 0.4 between two faces.
    """
    if array.shape[2] not in {3, 4} or min(array.shape[:2]) < 16:
        return False
    picture = finite(array[:2000, :2000, :3])
    edges = np.concatenate([np.diff(picture, axis=a).reshape(-1, 3) for a in (0, 1)])
    flat = ~edges.any(axis=0)  # an empty channel
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.corrcoef(edges, rowvar=False)
    return bool((alike[~flat][:, ~flat] > 0.6).all())


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
    if array.ndim == 4 and _colour_axis(array) is not None:
        images, axis = _colour_pictures(array, options)
        how = f"along the {('first', 'second', 'last')[axis]} axis of {what}"
        return transposed(images, options, how)
    rough = roughness_of_axes(array)
    pairs = list(combinations(range(array.ndim), 2))
    fit = [(y, x) for y, x in pairs if _could_be_sides(array.shape[y], array.shape[x])]
    y, x = min(fit or pairs, key=lambda pair: rough[pair[0]] + rough[pair[1]])
    others = [a for a in range(array.ndim) if a not in {y, x}]
    moved = np.moveaxis(array, (*others, y, x), range(array.ndim))
    images = moved.reshape(-1, *moved.shape[-2:])
    how = f"along {len(others)} axes of {what} ({times(array.shape)})"
    return transposed(images, options, how)


def _colour_axis(array: NDArray[Any]) -> int | None:
    """Return which of four axes is that of colour, if one can be."""
    for axis in (3, 1, 2):
        n = array.shape[axis]
        if n == 3 or (n == 4 and not np.ptp(array.take(3, axis))):  # transparency: all opaque
            return axis
    return None


def _colour_pictures(array: NDArray[Any], options: ReadOptions) -> tuple[NDArray[Any], int]:
    """Return four axes as pictures in colour, and along which of the other three they lay."""
    colour = np.moveaxis(array, _colour_axis(array) or 3, -1)[..., :3]
    if options.faces is not None:
        axis = 0 if options.faces == "rows" else 2
    else:
        axis = roughest_axis(colour[..., 1])
    return np.moveaxis(colour, axis, 0), axis


def transposed(
    images: NDArray[Any], options: ReadOptions, how: str
) -> tuple[NDArray[Any], str]:
    """Swap height and width if that was asked for."""
    if options.order != "F":
        return images, how
    return images.swapaxes(1, 2), how + ", transposed"


# -- Cells and fields become faces: one picture in each, or all pictures of a person ---


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
        return _joined(
            [np.moveaxis(item, axis, 0) for item in items], persons, options, how, what
        )
    elif all(item.ndim == 4 and _colour_axis(item) is not None for item in items):
        pictures = [_colour_pictures(item, options)[0] for item in items]
        return _joined(pictures, persons, options, how, what)
    _check_sizes([item.shape for item in items], what)
    if items[0].ndim not in {2, 3}:
        raise ArraysError(f"the cells of {what} hold arrays of {times(items[0].shape)} numbers")
    images, how = transposed(np.stack(items), options, how)
    return images, how, one_each


def _joined(
    parts: list[NDArray[Any]], persons: list[int], options: ReadOptions, how: str, what: str
) -> Found:
    """Return the pictures of all persons, and whose each is."""
    _check_sizes([part.shape[1:] for part in parts], what)
    images, how = transposed(np.concatenate(parts), options, how)
    return images, how, [p for p, part in zip(persons, parts, strict=True) for _ in part]


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
