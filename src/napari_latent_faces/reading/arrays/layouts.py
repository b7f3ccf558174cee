"""Which axes of an array are those of a picture, and how it lies on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays.files import LEAST_PIXELS, ArraysError, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.params import Rows

    Pair = tuple[int, int]
    _Channels = Literal["", "last", "first"]

LARGEST_ASPECT = 3.0  # of a picture whose shape is found out
SMALLEST_SIDE = 6
SAMPLE = 4_000_000  # pixels looked at to find out axes and orders

# Neighbouring pixels of faces differ by 0.03 to 0.4 of what any two pixels of a picture
# differ by, and those of the mean of noisy faces as well; those of features and of noise, and
# of their mean, by 0.56 to 1.
_NO_PICTURES = 0.5

# Edges lie in the same places in all channels of a picture: the differences of neighbours
# correlate by 0.7 to 1 between those of photographs, by less than 0.5 between two faces.
_SAME_EDGES = 0.6
_LIKELY_EDGES = 0.4  # suffice for (n, 3, h, w), which is mostly meant so

# From number to number of a row, red to green to blue, steps are of different heights; in
# grey they are all alike.
_PERIOD = 1.6
_AS_SMOOTH = 1.1  # planes one below the other are nearly as smooth as they are in colour


def could_be_picture(h: int, w: int, smallest: int = 16) -> bool:
    """Tell whether a matrix may be one picture."""
    return min(h, w) >= smallest and max(h, w) <= LARGEST_ASPECT * min(h, w)


def grids_of(p: int) -> list[Pair]:
    """Return the rectangles of `p` pixels that a picture may have, both ways round."""
    sides = range(SMALLEST_SIDE, math.isqrt(p) + 1) if p >= LEAST_PIXELS else ()
    pairs = [(a, p // a) for a in sides if p % a == 0 and p // a <= LARGEST_ASPECT * a]
    return list(dict.fromkeys([*pairs, *((b, a) for a, b in pairs)]))


# -- What pixels tell ------------------------------------------------------------------


def finite(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32, with 0 where they are infinite or none."""
    with np.errstate(over="ignore"):
        numbers = np.asarray(array).astype(np.float32)
    if array.dtype.kind != "f":
        return numbers
    return np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0, copy=False)


def _some(pictures: NDArray[Any], fewest: int, most: int, pixels: int) -> NDArray[np.float32]:
    """Return some pictures or rows, evenly spread."""
    count = min(len(pictures), most, max(fewest, pixels // max(1, pictures[0].size)))
    chosen = np.unique(np.linspace(0, len(pictures) - 1, count).astype(np.intp))
    return finite(pictures[chosen])


def _difference(array: NDArray[Any], axis: int, lag: int = 1) -> float:
    """Return the mean difference of what is `lag` apart along an axis."""
    if array.shape[axis] <= lag:
        return 0.0
    moved = np.moveaxis(array, axis, 0)
    return float(np.abs(moved[lag:] - moved[:-lag]).mean(dtype=np.float64))


def _roughness(pictures: NDArray[Any]) -> float:
    """Return the mean difference of neighbours, over both axes of pictures."""
    return 0.5 * (_difference(pictures, 1) + _difference(pictures, 2))


def _any_difference(pictures: NDArray[Any]) -> float:
    """Return the mean difference of two pixels anywhere in the same picture."""
    rows = pictures.reshape(len(pictures), -1)
    shuffled = np.random.default_rng(0).permutation(rows.shape[1])
    difference = float(np.abs(rows - rows[:, shuffled]).mean(dtype=np.float64))
    return difference if 0 < difference < math.inf else 1.0


def is_noise(images: NDArray[Any]) -> bool:
    """Tell whether neighbouring pixels are as different as distant ones, in the mean, too."""
    if min(images.shape[1:3]) < 2:
        return True
    pictures = _some(images, 1, 400, 4 * SAMPLE)
    if pictures.ndim == 4:
        pictures = pictures.mean(axis=-1)
    mean = pictures.mean(axis=0, keepdims=True)
    return bool(np.ptp(pictures)) and all(
        _roughness(each) > _NO_PICTURES * _any_difference(each) for each in (pictures, mean)
    )


def _are_channels(steps: NDArray[np.float32], least: float = _SAME_EDGES) -> bool:
    """Tell whether steps (..., 3) from pixel to pixel are those of the channels of pictures."""
    steps = steps.reshape(-1, 3)
    steps = steps[:, steps.any(axis=0)]  # a channel may be empty
    if steps.shape[1] < 2:
        return False
    alike: Any
    with np.errstate(invalid="ignore", divide="ignore"):  # all steps alike
        alike = np.abs(np.corrcoef(steps, rowvar=False, dtype=np.float64))
    return bool(alike[np.triu_indices(len(alike), 1)].mean() > least)


def _edges(pictures: NDArray[Any]) -> NDArray[np.float32]:
    """Return the steps to the neighbours in pictures (n, h, w, 3)."""
    planes = finite(pictures)
    return np.concatenate([np.diff(planes, axis=axis).reshape(-1, 3) for axis in (1, 2)])


def _is_colour_picture(array: NDArray[Any]) -> bool:
    """Tell whether three or four planes are the channels of a picture, not as many faces."""
    if array.ndim != 3 or array.shape[2] not in {3, 4} or min(array.shape[:2]) < 16:
        return False
    return _are_channels(_edges(array[np.newaxis, :2000, :2000, :3]))


def _lie_on_their_side(images: NDArray[Any], evidence: int, likely: bool = False) -> bool:
    """Tell whether the mean of faces is its own mirror image only if it is transposed.

    Where the evidence is weak, as in the mean of few faces, `likely` decides.
    """
    pixels = _some(images, 16, len(images), 4 * SAMPLE)
    if pixels.min() < 0:  # centred: their mean is empty, how far they reach is not
        pixels = np.abs(pixels)
    mean: Any = np.mean(pixels, axis=0, dtype=np.float64)
    mirrored = float(np.abs(mean - mean[:, ::-1]).mean())
    upside_down = float(np.abs(mean - mean[::-1]).mean())
    if max(mirrored, upside_down) <= (1 + evidence**-0.5) * min(mirrored, upside_down):
        return likely
    return upside_down < mirrored


# -- Arrays become faces ---------------------------------------------------------------


@dataclass(frozen=True)
class Clues:
    """What is known of an array before its pixels are looked at.

    `hint` is the height and width that the file tells, `lengths` those of what may be labels.
    """

    what: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    hint: Pair | None = None
    lengths: frozenset[int] = frozenset()
    columns_first: bool = False

    @property
    def shape(self) -> Pair | None:
        """Height and width, if they are known."""
        return self.options.shape or self.hint

    @property
    def are_said(self) -> bool:
        """Whether a user said something of how the file is laid out."""
        said = self.options.variable, self.options.faces, self.options.order
        return self.options.shape is not None or any(each is not None for each in said)


def faces_of_array(array: NDArray[Any], clues: Clues) -> tuple[NDArray[Any], str]:
    """Return the faces in an array, and how they were found in it."""
    if array.size == 0:
        raise ArraysError(f"{clues.what} is empty ({times(array.shape)})")
    if array.ndim > 2:
        array = array.squeeze(tuple(i for i in range(1, array.ndim - 1) if array.shape[i] == 1))
    sides = array.shape[0], math.prod(array.shape[1:])
    if array.ndim > 3 or (array.ndim == 3 and not could_be_picture(*sides, SMALLEST_SIDE)):
        array = array[..., 0] if array.shape[-1] == 1 else array
    if array.ndim == 3 and any(_are_rows(array, axis, clues) for axis in (1, 2)):
        array = array.reshape(len(array), -1)
    if array.ndim == 1 and clues.options.shape is not None:
        array = array[np.newaxis]
    if array.ndim == 2:
        return _faces_of_matrix(array, clues)
    if 3 <= array.ndim <= 5:
        (images,), how = _faces_on_axes([array], clues)
        return images, how
    raise ArraysError(
        f"{clues.what} has the shape {times(array.shape)}; faces are a matrix, or (face, y, x)."
        + (" Give the height and width with shape=(h, w)." if array.ndim == 1 else "")
    )


def _are_rows(array: NDArray[Any], axis: int, clues: Clues) -> bool:
    """Tell whether three matrices are the channels of pictures, each of which is a row."""
    if array.shape[axis] != 3:
        return False
    green = array.take(1, axis)
    layouts = layouts_of(green, clues)
    if not layouts or layouts[0].faces == "columns":
        return False
    alone = _roughness_as_picture(green)
    return not could_be_picture(*green.shape) or layouts[0].roughness < 0.8 * alone


# -- A matrix: a face a row or a column ------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """How a matrix is read: which axis has the faces, and how a picture lies on the other."""

    faces: Rows
    grid: Pair  # of the pixels as they follow one another
    channels: _Channels = ""
    roughness: float = 0.0
    transposed: bool = False

    def images(self, matrix: NDArray[Any]) -> NDArray[Any]:
        """Return the pictures, as a view where that is possible."""
        rows = matrix if self.faces == "rows" else matrix.T
        planes = {"": (), "last": (3,), "first": (3,)}[self.channels]
        images: NDArray[Any]
        if self.channels == "first":
            images = np.moveaxis(rows.reshape(len(rows), 3, *self.grid), 1, -1)
        else:
            images = rows.reshape(len(rows), *self.grid, *planes)
        return images.swapaxes(1, 2) if self.transposed else images


def layouts_of(matrix: NDArray[Any], clues: Clues) -> list[Layout]:
    """Return the ways to read a matrix, the most likely first."""
    said = clues.options.faces
    ways: tuple[Rows, ...] = ("rows", "columns") if said is None else (said,)
    found = [_best_layout(matrix, way, clues) for way in ways]
    return sorted((each for each in found if each), key=lambda layout: layout.roughness)


def _best_layout(matrix: NDArray[Any], faces: Rows, clues: Clues) -> Layout | None:
    """Return the layout in which neighbours are most alike."""
    rows = matrix if faces == "rows" else matrix.T
    p, shape, order = rows.shape[1], clues.shape, clues.options.order
    if shape is None:
        grey, colour = grids_of(p), [] if p % 3 else grids_of(p // 3)
    else:
        both = {None: (shape, shape[::-1]), "C": (shape,), "F": (shape[::-1],)}[order]
        grids, n_pixels = list(dict.fromkeys(both)), math.prod(shape)
        grey, colour = grids * (p == n_pixels), grids * (p == 3 * n_pixels)
    if not grey and not colour:
        return None
    some = _some(rows, 4, 64, SAMPLE)
    channels: list[_Channels] = ["last", "first"]
    if colour and shape is None:
        channels = _channels(some)
    layouts = [Layout("rows", grid) for grid in grey]
    layouts += [Layout("rows", grid, each) for grid in colour for each in channels]
    if not layouts:
        return None
    rough = [_roughness(x.images(some)) * (1 if x.channels else _AS_SMOOTH) for x in layouts]
    best = layouts[int(np.argmin(rough))]
    if shape is not None and shape[0] != shape[1]:
        transposed = best.grid != shape
    elif order is not None:
        transposed = order == "F"
    else:
        transposed = _lie_on_their_side(best.images(rows), len(rows), clues.columns_first)
    roughness = _roughness(best.images(some)) / _any_difference(some)
    return replace(best, faces=faces, roughness=roughness, transposed=transposed)


def _channels(rows: NDArray[np.float32]) -> list[_Channels]:
    """Return how rows can be pictures in colour: pixel by pixel, or plane by plane.

    The numbers of a pixel then differ otherwise than those of neighbours, or the three planes
    have the same edges.
    """
    n, third = len(rows), rows.shape[1] // 3
    pixels = np.diff(rows.reshape(n, third, 3), axis=1)
    planes = np.diff(np.moveaxis(rows.reshape(n, 3, third), 1, -1), axis=1)
    steps = np.abs(np.diff(rows, axis=1)[:, : 3 * third - 3]).reshape(-1, 3).mean(axis=0)
    found: list[_Channels] = []
    if steps.max() > _PERIOD * steps.min() and _are_channels(pixels):
        found.append("last")
    if _are_channels(planes):
        found.append("first")
    return found


def _faces_of_matrix(matrix: NDArray[Any], clues: Clues) -> tuple[NDArray[Any], str]:
    """Return the faces in the rows or columns of a matrix, or the one face that it is."""
    said, shape, what = clues.options.faces, clues.shape, clues.what
    is_face = shape is not None and sorted(matrix.shape) == sorted(shape)
    if is_face and said is None and math.prod(matrix.shape) not in matrix.shape:
        return (matrix if matrix.shape == shape else matrix.T)[np.newaxis], f"from {what}"
    layouts = layouts_of(matrix, clues)
    if not layouts and clues.options.shape is None and shape is not None:
        layouts = layouts_of(matrix, replace(clues, hint=None))
    lengths = {"rows": len(matrix), "columns": len(matrix.T)}
    by_labels = [layout for layout in layouts if lengths[layout.faces] in clues.lengths]
    if len(by_labels) == 1:
        layouts = by_labels
    if not clues.are_said and not by_labels and _is_one_picture(matrix, layouts):
        return matrix[np.newaxis], f"from {what}"
    if layouts:
        order = "MATLAB order (F)" if layouts[0].transposed else "row by row (C)"
        by = {"": "", "last": ", colours by pixels", "first": ", colours by planes"}
        how = f"from the {layouts[0].faces} of {what}, {order}{by[layouts[0].channels]}"
        return layouts[0].images(matrix), how
    sides = {"rows": matrix.shape[1:], "columns": matrix.shape[:1], None: matrix.shape}[said]
    numbers = " or ".join(map(str, sides))
    if shape is not None:
        raise ArraysError(
            f"{what} is {times(matrix.shape)}, but a face of {times(shape)} has "
            f"{math.prod(shape)} pixels, not {numbers}. Check shape=(h, w) and faces=."
        )
    raise ArraysError(
        f"{what} is {times(matrix.shape)}, and {numbers} pixels are no rectangle that a face "
        "may have. Give its height and width with shape=(h, w); pictures cut to an oval, or "
        "features that are no pixels, cannot be read."
    )


def _is_one_picture(matrix: NDArray[Any], layouts: list[Layout]) -> bool:
    """Tell whether a matrix is one picture, not pictures of which each is a row."""
    if not could_be_picture(*matrix.shape):
        return False
    own = _roughness_as_picture(matrix)
    return own < (0.3 if layouts else 0.6) and all(
        own < 0.8 * layout.roughness for layout in layouts
    )


def _roughness_as_picture(matrix: NDArray[Any]) -> float:
    picture = finite(matrix[np.newaxis, :2000, :2000])
    return _roughness(picture) / _any_difference(picture)


def without_labels(
    table: NDArray[Any], options: ReadOptions
) -> tuple[NDArray[Any], NDArray[Any] | None, str]:
    """Take a column of labels off a table without titles: its first or its last one."""
    n, p = table.shape
    if options.faces == "columns" or n < 2:
        return table, None, ""
    if options.shape is not None:
        likely = math.prod(options.shape) == p - 1 != n
    else:
        likely = bool(grids_of(p - 1)) and not could_be_picture(n, p)
    found = []
    for which, at, beside in (("last", p - 1, p - 2), ("first", 0, 1)) if likely else ():
        column = np.asarray(table[:, at])
        if (column == np.floor(column)).all() and 1 < len(np.unique(column)) <= max(2, n // 2):
            unlike = np.abs(column.astype(float) - table[:, beside]).mean()
            found.append((unlike, table[:, :-1] if at else table[:, 1:], column, which))
    if found:
        _, rest, column, which = max(found, key=lambda entry: entry[0])  # least like a pixel
        whole = layouts_of(table, Clues(hint=options.shape))
        (without,) = layouts_of(rest, Clues("", ReadOptions(faces="rows"), options.shape))
        if not whole or without.roughness < 0.8 * whole[0].roughness:
            return rest, column, which
    return table, None, ""


# -- Three to five axes: those of pictures, of faces, and of colour --------------------

_ORDINALS = ("first", "second", "third", "fourth")


def _faces_on_axes(
    parts: Sequence[NDArray[Any]], clues: Clues
) -> tuple[list[NDArray[Any]], str]:
    """Return the pictures in arrays of as many axes, and how they were found in the first.

    They lie on the two axes, of those that may be, along which neighbours differ least: faces
    differ more from one another than their pixels do.
    """
    options, what = clues.options, clues.what
    colour = _colour_axis(max(parts, key=np.size))
    if colour is not None:
        parts = [np.moveaxis(part, colour, -1)[..., :3] for part in parts]
    array = max(parts, key=np.size)
    axes = range(array.ndim - (colour is not None))
    n_pixels = array.size // (1 if colour is None else 3)
    pairs = list(combinations(axes, 2))[::-1]
    pairs = [p for p in pairs if len({tuple(part.shape[a] for a in p) for part in parts}) == 1]
    if not pairs:
        _check_sizes(parts, what)

    def sides(pair: Pair) -> Pair:
        return array.shape[pair[0]], array.shape[pair[1]]

    if options.faces is not None:
        of_faces = axes[0] if options.faces == "rows" else axes[-1]
        pairs = [pair for pair in pairs if of_faces not in pair] or pairs
    if clues.shape is not None:
        fit = [pair for pair in pairs if sorted(sides(pair)) == sorted(clues.shape)]
        if not fit and options.shape is not None:
            along = f"along its {options.faces}" if options.faces else "in it"
            raise ArraysError(
                f"{what} is {times(parts[0].shape)}: no pictures of the shape "
                f"{times(options.shape)} are {along}"
            )
        pairs = fit or pairs
    pairs = [p for p in pairs if n_pixels // math.prod(sides(p)) in clues.lengths] or pairs
    if len(pairs) > 1 and len(parts) == 1 and _is_colour_picture(array):
        left_out = ", its transparency left out" if array.shape[2] == 4 else ""
        return [array[np.newaxis, :, :, :3]], f"from {what}{left_out}"
    pairs = [p for p in pairs if could_be_picture(*sides(p), SMALLEST_SIDE)] or pairs
    rough = _roughness_of_axes(array if colour is None else array[..., 1])
    y, x = min(pairs, key=lambda pair: rough[pair[0]] + rough[pair[1]])

    others = [axis for axis in axes if axis not in {y, x}]
    moved = [np.moveaxis(part, (*others, y, x), axes) for part in parts]
    found = [part.reshape(-1, *part.shape[len(others) :]) for part in moved]
    how = f"along {len(others)} axes of {what} ({times(array.shape)})"
    if len(others) == 1:
        place = others[0] + (colour is not None and colour <= others[0])
        ordinal = "last" if place == array.ndim - 1 else _ORDINALS[place]
        how = f"along the {ordinal} axis of {what}"
    return _turned(found, options, how)


def _colour_axis(array: NDArray[Any]) -> int | None:
    """Return which of four axes is that of colour, if one can be."""
    for axis in (3, 1, 2, 0) if array.ndim == 4 else ():
        n = array.shape[axis]
        if n == 3 or (n == 4 and not np.ptp(array.take(3, axis))):  # transparency: all opaque
            planes = np.moveaxis(array, axis, -1)[..., :3]
            if axis == 3 or 1 in array.shape:
                return axis
            if _are_channels(_edges(_some(planes, 4, 64, SAMPLE)), _LIKELY_EDGES):
                return axis
    return None


def _roughness_of_axes(array: NDArray[Any]) -> list[float]:
    """Return how much neighbours differ along each axis, against what lies farther apart.

    Pixels that lie far apart differ more than neighbours; faces that lie far apart hardly do,
    if the same person does not come several times in a row.
    """
    keep = min(1.0, (SAMPLE / array.size) ** (1 / array.ndim))  # the middle of each axis
    lengths = [min(side, max(8, int(side * keep))) for side in array.shape]
    starts = [(side - n) // 2 for side, n in zip(array.shape, lengths, strict=True)]
    parts = [slice(at, at + n) for at, n in zip(starts, lengths, strict=True)]
    block = finite(array[tuple(parts)])
    rough = []
    for axis, side in enumerate(block.shape):
        near, far = _difference(block, axis), _difference(block, axis, max(1, side // 3))
        rough.append(near * near / far if far else 0.0)
    return rough


def _turned(
    parts: list[NDArray[Any]], options: ReadOptions, how: str
) -> tuple[list[NDArray[Any]], str]:
    """Swap height and width of pictures that lie on their side, or if that was asked for."""
    images, shape = parts[0], options.shape
    if options.order is not None:
        swapped = options.order == "F"
    elif shape is not None and shape[0] != shape[1]:
        swapped = images.shape[1:3] != shape
    else:  # more evidence is asked for than where only a length is there
        swapped = images.ndim == 3 and _lie_on_their_side(images, min(len(images), 8))
    if not swapped:
        return parts, how
    return [part.swapaxes(1, 2) for part in parts], how + ", transposed"


# -- Cells and fields: one picture in each, or all pictures of a person ----------------


def faces_of_cells(
    cells: Sequence[Any], grid: tuple[int, ...], clues: Clues
) -> tuple[NDArray[Any], str, list[int] | None]:
    """Return the faces in cells, how they were found, and the number of each one's person."""
    by_row = len(grid) == 2 and min(grid) > 1  # cells of person x picture
    owned = [
        (leaf, i // grid[1] if by_row else i)
        for i, cell in enumerate(cells)
        for leaf in leaves(cell)
        if isinstance(leaf, np.ndarray) and leaf.size > 1
    ]
    if not owned:
        raise ArraysError(f"the cells of {clues.what} are empty")
    items, persons = [item for item, _ in owned], [person for _, person in owned]
    first, hint = items[0].shape, clues.hint
    if hint is not None and set(first) != set(hint) and math.prod(hint) not in first:
        clues = replace(clues, hint=None)
    how, n_axes = f"from the {len(cells)} cells of {clues.what}", {item.ndim for item in items}
    if n_axes == {2} and not _are_pictures(items, clues.shape):
        parts, order = _unflattened(items, clues)
        how = f"{how}, {order}"
    elif n_axes == {2} or (n_axes == {3} and _are_in_colour(items, clues.options)):
        _check_sizes(items, clues.what)
        (images,), how = _turned([np.stack(items)], clues.options, how)
        parts = list(images[:, np.newaxis])
    elif n_axes in ({3}, {4}):
        parts, along = _faces_on_axes(items, clues)
        how += ", transposed" if along.endswith(", transposed") else ""
    else:
        _check_sizes(items, clues.what)
        raise ArraysError(f"the cells of {clues.what} hold arrays of {times(first)} numbers")
    images = np.concatenate(parts)
    if not by_row and len(images) == len(items) and not any(isinstance(c, list) for c in cells):
        return images, how, None
    return images, how, [p for p, part in zip(persons, parts, strict=True) for _ in part]


def leaves(value: Any) -> Iterable[Any]:
    """Yield what is in a list and in all lists in it."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value


def _are_pictures(items: list[NDArray[Any]], shape: Pair | None) -> bool:
    """Tell whether each cell is a picture, not a vector of pixels or a matrix of them."""
    if shape is not None:
        return set(items[0].shape) == set(shape)
    return all(max(item.shape) <= LARGEST_ASPECT * min(item.shape) for item in items)


def _are_in_colour(items: list[NDArray[Any]], options: ReadOptions) -> bool:
    """Tell whether each cell is a picture in colour, not three pictures of a person."""
    if options.faces is not None or any(item.shape[2] != 3 for item in items):
        return False
    some = items[:: -(-len(items) // 16)]
    edges = np.concatenate([_edges(item[np.newaxis]) for item in some])
    return _are_channels(edges, _LIKELY_EDGES)


def _check_sizes(parts: Sequence[NDArray[Any]], what: str) -> None:
    sizes = sorted({part.shape for part in parts})
    if len(sizes) > 1:
        raise ArraysError(
            f"the pictures in {what} have several sizes ({times(sizes[0])}, "
            f"{times(sizes[1])} ...): save them as picture files to have them cut or scaled"
        )


def _unflattened(items: list[NDArray[Any]], clues: Clues) -> tuple[list[NDArray[Any]], str]:
    """Return the pictures of cells that hold those of one person as rows or columns."""
    first, shape = items[0].shape, clues.shape
    wanted = (math.prod(shape),) * 2 if shape else first
    axes = [a for a in (0, 1) if all(item.shape[a] == wanted[a] for item in items)]
    if not axes:
        raise ArraysError(
            f"the cells of {clues.what} ({times(first)}, {times(items[-1].shape)} ...) share "
            "no number of pixels. Give the height and width with shape=(h, w)"
        )
    axis = max(axes, key=lambda a: first[a])
    rows = [item.T if axis == 0 else item for item in items]
    clues = replace(clues, options=replace(clues.options, faces="rows"))
    images, how = _faces_of_matrix(np.concatenate(rows), clues)
    ends = np.cumsum([len(part) for part in rows])[:-1]
    return np.split(images, ends), how.partition(f"{clues.what}, ")[2]
