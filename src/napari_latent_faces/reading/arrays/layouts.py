"""Which axes of an array are those of a picture, and how it lies on them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from napari_latent_faces.params import ReadOptions
from napari_latent_faces.reading.arrays.files import LEAST_PIXELS, ArraysError, times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from napari_latent_faces.params import Rows

    Pair = tuple[int, int]

LARGEST_ASPECT = 3.0  # of a picture whose shape is found out
SMALLEST_SIDE = 6
SAMPLE = 4_000_000  # pixels looked at to find out axes and orders

# Neighbours in faces, and in the mean of noisy ones, differ by 0.03 to 0.4 of what any two
# pixels of a picture differ by; those of features, of noise and of their mean by 0.56 to 1.
_NO_PICTURES = 0.5
# Edges lie in the same places in all channels of a picture: the differences of neighbours
# correlate by 0.7 to 1 between those of photographs, by less than 0.5 between two faces.
_SAME_EDGES = 0.6
_LIKELY_EDGES = 0.4  # suffice for (n, 3, h, w), which is mostly meant so
# From number to number of a row, red to green to blue, steps are of different heights; in
# grey they are all alike.
_PERIOD = 1.6
_AS_SMOOTH = 1.1  # planes one below the other are nearly as smooth as they are in colour


@dataclass(frozen=True)
class Clues:
    """What is known of an array before its pixels are looked at."""

    what: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    hint: Pair | None = None  # height and width, as the file tells them
    lengths: frozenset[int] = frozenset()  # of what may be labels
    columns_first: bool = False

    @property
    def shape(self) -> Pair | None:
        """Height and width, if they are known."""
        return self.options.shape or self.hint

    @property
    def are_said(self) -> bool:
        """Whether a user said something of how the file is laid out."""
        said = self.options
        return (said.variable, said.shape, said.faces, said.order) != (None,) * 4


def could_be_picture(h: int, w: int, smallest: int = 16) -> bool:
    """Tell whether a matrix may be one picture."""
    return min(h, w) >= smallest and max(h, w) <= LARGEST_ASPECT * min(h, w)


def grids_of(p: int) -> list[Pair]:
    """Return the rectangles of `p` pixels that a picture may have, both ways round."""
    sides = range(SMALLEST_SIDE, math.isqrt(p) + 1) if p >= LEAST_PIXELS else ()
    pairs = [(a, p // a) for a in sides if p % a == 0 and p // a <= LARGEST_ASPECT * a]
    return list(dict.fromkeys([*pairs, *((b, a) for a, b in pairs)]))


def _finite(array: NDArray[Any]) -> NDArray[np.float32]:
    """Return numbers as float32, with 0 where they are infinite or none."""
    with np.errstate(over="ignore"):
        numbers = np.asarray(array).astype(np.float32)
    if array.dtype.kind == "f":
        np.nan_to_num(numbers, nan=0.0, posinf=0.0, neginf=0.0, copy=False)
    return numbers


def _some(pictures: NDArray[Any], fewest: int, most: int, pixels: int) -> NDArray[np.float32]:
    """Return some pictures or rows, evenly spread."""
    count = min(len(pictures), most, max(fewest, pixels // max(1, pictures[0].size)))
    chosen = np.unique(np.linspace(0, len(pictures) - 1, count).astype(np.intp))
    return _finite(pictures[chosen])


def _difference(array: NDArray[Any], axis: int, lag: int = 1) -> float:
    """Return the mean difference of what is `lag` apart along an axis."""
    moved = np.moveaxis(array, axis, 0)
    steps = np.abs(moved[lag:] - moved[:-lag])
    return float(steps.mean(dtype=np.float64)) if steps.size else 0.0


def _roughness(pictures: NDArray[Any]) -> float:
    """Return the mean difference of neighbours, over both axes of pictures."""
    return 0.5 * (_difference(pictures, 1) + _difference(pictures, 2))


def _relative_roughness(pictures: NDArray[Any]) -> float:
    """Return the same against the mean difference of two pixels anywhere in a picture."""
    rows = pictures.reshape(len(pictures), -1)
    shuffled = np.random.default_rng(0).permutation(rows.shape[1])
    anywhere = float(np.abs(rows - rows[:, shuffled]).mean(dtype=np.float64))
    return _roughness(pictures) / (anywhere if 0 < anywhere < math.inf else 1.0)


def _roughness_as_picture(matrix: NDArray[Any]) -> float:
    return _relative_roughness(_finite(matrix[np.newaxis, :2000, :2000]))


def is_noise(images: NDArray[Any]) -> bool:
    """Tell whether neighbouring pixels are as different as distant ones, in the mean, too."""
    if min(images.shape[1:3]) < 2:
        return True
    pictures = _some(images, 1, 400, 4 * SAMPLE)
    if pictures.ndim == 4:
        pictures = pictures.mean(axis=-1)
    mean = pictures.mean(axis=0, keepdims=True)
    rough = (_relative_roughness(each) > _NO_PICTURES for each in (pictures, mean))
    return bool(np.ptp(pictures)) and all(rough)


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
    planes = _finite(pictures)
    return np.concatenate([np.diff(planes, axis=axis).reshape(-1, 3) for axis in (1, 2)])


def _are_transposed(
    images: NDArray[Any], shape: Pair | None, clues: Clues, evidence: int, likely: bool = False
) -> bool:
    """Tell whether pictures lie on their side; `likely` decides where the evidence is weak."""
    if clues.options.order is not None:
        return clues.options.order == "F"
    if shape is not None and shape[0] != shape[1]:
        return images.shape[1:3] != shape
    if not evidence:
        return likely
    # the mean of faces is its own mirror image only upright
    pixels = _some(images, 16, len(images), 4 * SAMPLE)
    if pixels.min() < 0:  # centred: their mean is empty, how far they reach is not
        pixels = np.abs(pixels)
    mean: Any = np.mean(pixels, axis=0, dtype=np.float64)
    mirrored = float(np.abs(mean - mean[:, ::-1]).mean())
    upside_down = float(np.abs(mean - mean[::-1]).mean())
    if max(mirrored, upside_down) <= (1 + evidence**-0.5) * min(mirrored, upside_down):
        return likely
    return upside_down < mirrored


def faces_of_array(array: NDArray[Any], clues: Clues) -> tuple[NDArray[Any], str]:
    """Return the faces in an array, and how they were found in it."""
    if array.size == 0:
        raise ArraysError(f"{clues.what} is empty ({times(array.shape)})")
    array = array.squeeze(tuple(i for i in range(1, array.ndim - 1) if array.shape[i] == 1))
    is_flat = array.ndim == 3 and could_be_picture(len(array), array.shape[1], SMALLEST_SIDE)
    if array.ndim > 2 and array.shape[-1] == 1 and not is_flat:
        array = array[..., 0]
    if array.ndim == 3 and any(_are_rows(array, axis, clues) for axis in (1, 2)):
        array = array.reshape(len(array), -1)
    if array.ndim == 1 and clues.options.shape is not None:
        array = array[np.newaxis]
    if array.ndim == 2:
        return _faces_of_matrix(array, clues)
    if 3 <= array.ndim <= 5:
        return _faces_on_axes(array, clues)
    words = f"{clues.what} ({times(array.shape)}) is neither a matrix nor (face, y, x)"
    raise ArraysError(f"{words}. Give height and width with shape=(h, w)")


def _are_rows(array: NDArray[Any], axis: int, clues: Clues) -> bool:
    """Tell whether three matrices are the channels of pictures, each of which is a row."""
    if array.shape[axis] != 3:
        return False
    green = array.take(1, axis)
    best = next(iter(layouts_of(green, clues)), None)
    least = _roughness_as_picture(green) if could_be_picture(*green.shape) else math.inf
    return best is not None and best.faces == "rows" and best.roughness < 0.8 * least


class Layout(NamedTuple):
    """A way to read a matrix: how much neighbours differ, and the pictures, as a view."""

    roughness: float
    faces: Rows
    images: NDArray[Any]
    how: str


def layouts_of(matrix: NDArray[Any], clues: Clues) -> list[Layout]:
    """Return the best way to read a matrix by rows and by columns, the most likely first."""
    said = clues.options.faces
    ways: tuple[Rows, ...] = ("rows", "columns") if said is None else (said,)
    found = [_best_layout(matrix, way, clues) for way in ways]
    return sorted((each for each in found if each), key=lambda layout: layout.roughness)


def _best_layout(matrix: NDArray[Any], faces: Rows, clues: Clues) -> Layout | None:
    rows = matrix if faces == "rows" else matrix.T
    p, shape = rows.shape[1], clues.shape

    def grids(p: int) -> list[Pair]:
        if shape is None:
            return grids_of(p)
        both = {"C": (shape,), "F": (shape[::-1],)}
        known = both.get(clues.options.order or "", (shape, shape[::-1]))
        return list(dict.fromkeys(known)) if p == math.prod(shape) else []

    some = _some(rows, 4, 64, SAMPLE)
    ways = [("", grid) for grid in grids(p)]
    if p % 3 == 0 and (in_colour := grids(p // 3)):
        channels = ("last", "first") if shape else _channels(some)
        ways += [(by, grid) for by in channels for grid in in_colour]
    if not ways:
        return None
    rough = [_roughness(_pictures(some, *way)) * (1 if way[0] else _AS_SMOOTH) for way in ways]
    by, grid = ways[int(np.argmin(rough))]
    images = _pictures(rows, by, grid)
    transposed = _are_transposed(images, shape, clues, len(rows), clues.columns_first)
    roughness = _relative_roughness(_pictures(some, by, grid))
    if transposed:
        images = images.swapaxes(1, 2)
    how = "MATLAB order (F)" if transposed else "row by row (C)"
    how += {"": "", "last": ", colours by pixels", "first": ", colours by planes"}[by]
    return Layout(roughness, faces, images, how)


def _pictures(rows: NDArray[Any], by: str, grid: Pair) -> NDArray[Any]:
    """Return rows as pictures, with the channels of each pixel beside one another."""
    shape = {"": grid, "last": (*grid, 3), "first": (3, *grid)}[by]
    images: NDArray[Any] = rows.reshape(len(rows), *shape)
    return np.moveaxis(images, 1, -1) if by == "first" else images


def _channels(rows: NDArray[np.float32]) -> list[str]:
    """Return how rows can be pictures in colour: pixel by pixel, or plane by plane."""
    n, third = len(rows), rows.shape[1] // 3
    pixels = np.diff(rows.reshape(n, third, 3), axis=1)
    planes = np.diff(rows.reshape(n, 3, third), axis=2).swapaxes(1, 2)
    steps = np.abs(np.diff(rows, axis=1)[:, : 3 * third - 3]).reshape(-1, 3).mean(axis=0)
    by_pixels = bool(steps.max() > _PERIOD * steps.min()) and _are_channels(pixels)
    return ["last"] * by_pixels + ["first"] * _are_channels(planes)


def _faces_of_matrix(matrix: NDArray[Any], clues: Clues) -> tuple[NDArray[Any], str]:
    """Return the faces in the rows or columns of a matrix, or the one face that it is."""
    said, shape, what = clues.options.faces, clues.shape, clues.what
    is_face = shape is not None and sorted(matrix.shape) == sorted(shape)
    if is_face and said is None and math.prod(matrix.shape) not in matrix.shape:
        return (matrix if matrix.shape == shape else matrix.T)[np.newaxis], f"from {what}"
    layouts = layouts_of(matrix, clues)
    if not layouts and clues.options.shape is None:
        layouts = layouts_of(matrix, replace(clues, hint=None))
    by_labels = [layout for layout in layouts if len(layout.images) in clues.lengths]
    if len(by_labels) == 1:
        layouts = by_labels
    elif not clues.are_said and not by_labels and could_be_picture(*matrix.shape):
        least = [0.3 if layouts else 0.6, *(0.8 * layout.roughness for layout in layouts)]
        if _roughness_as_picture(matrix) < min(least):
            return matrix[np.newaxis], f"from {what}"
    if layouts:
        _, faces, images, how = layouts[0]
        return images, f"from the {faces} of {what}, {how}"
    sides = {"rows": matrix.shape[1:], "columns": matrix.shape[:1], None: matrix.shape}[said]
    numbers = " or ".join(map(str, sides))
    why = f"{numbers} pixels are no rectangle that a face may have"
    if shape is not None:
        why = f"a face of {times(shape)} has {math.prod(shape)} pixels, not {numbers}"
    raise ArraysError(
        f"{what} is {times(matrix.shape)}, but {why}. Give the right shape=(h, w) or faces=; "
        "pictures cut to an oval, and features, cannot be read."
    )


def column_of_labels(table: NDArray[Any], options: ReadOptions) -> str:
    """Tell which column of a table without titles is labels: "first", "last" or ""."""
    n, p = table.shape
    likely = bool(grids_of(p - 1)) and not could_be_picture(n, p)
    if options.shape is not None:
        likely = math.prod(options.shape) == p - 1 != n
    if not likely or options.faces == "columns" or n < 2:
        return ""
    found = []
    for which, at, beside in (("last", -1, -2), ("first", 0, 1)):
        column = np.asarray(table[:, at])
        if (column == np.floor(column)).all() and 1 < len(np.unique(column)) <= max(2, n // 2):
            unlike = np.abs(column.astype(float) - table[:, beside]).mean()
            found.append((unlike, which))
    if not found:
        return ""
    _, which = max(found)  # least like a pixel
    rest = table[:, 1:] if which == "first" else table[:, :-1]
    whole = layouts_of(table, Clues(hint=options.shape))
    (without,) = layouts_of(rest, Clues("", ReadOptions(faces="rows"), options.shape))
    return which if not whole or without.roughness < 0.8 * whole[0].roughness else ""


def _faces_on_axes(
    array: NDArray[Any], clues: Clues, n_known: int = 0
) -> tuple[NDArray[Any], str]:
    """Return the pictures in an array, and how they were found; `n_known` axes are of faces."""
    options, what, shape = clues.options, clues.what, array.shape
    colour = _colour_axis(array, n_known)
    if colour is not None:
        array = np.moveaxis(array, colour, -1)[..., :3]
    axes = range(array.ndim - (colour is not None))
    n_pixels = math.prod(array.shape[: len(axes)])

    def sides(pair: Pair) -> Pair:
        return array.shape[pair[0]], array.shape[pair[1]]

    def only(is_wanted: Callable[[Pair], bool]) -> list[Pair]:  # all if it is so for none
        return list(filter(is_wanted, pairs)) or pairs

    pairs = list(combinations(axes[n_known:], 2))[::-1]
    of_faces = {"rows": axes[n_known], "columns": axes[-1], None: -1}[options.faces]
    pairs = only(lambda pair: of_faces not in pair)
    if clues.shape is not None:
        wanted = sorted(clues.shape)
        if options.shape is not None and all(sorted(sides(pair)) != wanted for pair in pairs):
            along = f"along its {options.faces}" if options.faces else "in it"
            words = f"{what} is {times(shape[n_known:])}: no pictures of the shape"
            raise ArraysError(f"{words} {times(options.shape)} are {along}")
        pairs = only(lambda pair: sorted(sides(pair)) == wanted)
    pairs = only(lambda pair: n_pixels // math.prod(sides(pair)) in clues.lengths)
    if len(pairs) > 1 and array.ndim == 3 and shape[2] in {3, 4} and min(shape[:2]) >= 16:
        picture = array[np.newaxis, :, :, :3]
        if _are_channels(_edges(picture[:, :2000, :2000])):
            left_out = ", its transparency left out" if shape[2] == 4 else ""
            return picture, f"from {what}{left_out}"
    pairs = only(lambda pair: could_be_picture(*sides(pair), SMALLEST_SIDE))
    # faces differ more from one another than their pixels do
    rough = _roughness_of_axes(array if colour is None else array[..., 1])
    y, x = min(pairs, key=lambda pair: rough[pair[0]] + rough[pair[1]])

    others = [axis for axis in axes if axis not in {y, x}]
    images = np.moveaxis(array, (*others, y, x), axes)
    images = images.reshape(-1, *images.shape[len(others) :])
    how = f"along {len(others)} axes of {what} ({times(shape)})"
    if len(others) == 1:
        place = others[0] + (colour is not None and colour <= others[0])
        ordinals = "last", "first", "second", "third", "fourth"
        how = f"along the {ordinals[(place + 1) % len(shape)]} axis of {what}"
    # more evidence is asked for than where only a length is there
    evidence = min(len(images), 8) if colour is None else 0
    if _are_transposed(images, options.shape, clues, evidence):
        return images.swapaxes(1, 2), f"{how}, transposed"
    return images, how


def _colour_axis(array: NDArray[Any], n_known: int) -> int | None:
    """Return which axis is that of colour, if one can be; where none is known, the last one."""
    last = array.ndim - 1
    axes: tuple[int, ...] = (last, *range(1, last), *range(1 - n_known))
    for axis in axes if array.ndim > 3 else ():
        n = array.shape[axis]
        if n == 3 or (n == 4 and not np.ptp(array.take(3, axis))):  # transparency: all opaque
            planes = np.moveaxis(array, axis, -1)[..., :3]
            if not n_known and (axis == last or 1 in array.shape):
                return axis
            if _are_channels(_edges(_some(planes, 4, 64, SAMPLE)), _LIKELY_EDGES):
                return axis
    return None


def _roughness_of_axes(array: NDArray[Any]) -> list[float]:
    """Return how much neighbours differ along each axis, against what lies farther apart."""
    keep = min(1.0, (SAMPLE / array.size) ** (1 / array.ndim))
    lengths = [min(side, max(8, int(side * keep))) for side in array.shape]
    pairs = zip(array.shape, lengths, strict=True)
    block = _finite(array[tuple(slice((s - n) // 2, (s + n) // 2) for s, n in pairs)])
    rough = []
    for axis, side in enumerate(block.shape):  # faces far apart hardly differ more, pixels do
        near, far = _difference(block, axis), _difference(block, axis, max(1, side // 3))
        rough.append(near * near / far if far else 0.0)
    return rough


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
    items, n_axes = [item for item, _ in owned], max(item.ndim for item, _ in owned)
    # MATLAB drops last axes of one
    items = [item.reshape(*item.shape, *[1] * (n_axes - item.ndim)) for item in items]
    first, hint = items[0].shape, clues.hint
    if hint is not None and set(first) != set(hint) and math.prod(hint) not in first:
        clues = replace(clues, hint=None)
    differing = [a for a in range(n_axes) if len({item.shape[a] for item in items}) > 1]
    are_pictures = all(max(item.shape) <= LARGEST_ASPECT * min(item.shape) for item in items)
    shape = clues.shape
    if shape is not None:
        are_pictures = set(first) == set(shape)
    shared = [a for a in range(n_axes) if a not in differing]
    is_flat = n_axes == 2 and not are_pictures  # those of a person are its rows or columns
    if is_flat and shape is not None:
        shared = [a for a in shared if first[a] == math.prod(shape)]
    if not 2 <= n_axes <= 4 or len(shared) < 2 - is_flat:
        sizes = ", ".join(map(times, sorted({item.shape for item in items})[:2]))
        raise ArraysError(
            f"the pictures in {clues.what} have several sizes, or none ({sizes} ...): give one "
            "with shape=(h, w), or save them as picture files to have them cut or scaled"
        )
    if is_flat:
        axis = max(shared, key=lambda a: first[a])
        rows = np.concatenate([item.T if axis == 0 else item for item in items])
        by_rows = replace(clues, options=replace(clues.options, faces="rows"))
        images, how = _faces_of_matrix(rows, by_rows)
        how = how.removeprefix(f"from the rows of {clues.what}")
    else:
        if differing:
            items = [np.moveaxis(item, differing[0], 0) for item in items]
        joined = np.concatenate(items) if differing else np.stack(items)
        images, how = _faces_on_axes(joined, clues, n_known=1)
        how = ", transposed" * how.endswith(", transposed")
    how = f"from the {len(cells)} cells of {clues.what}{how}"
    if not by_row and len(images) == len(items) and not any(isinstance(c, list) for c in cells):
        return images, how, None
    n_pixels = sum(item.size for item in items) // len(images)
    return images, how, [person for item, person in owned for _ in range(item.size // n_pixels)]


def leaves(value: Any) -> Iterable[Any]:
    """Yield what is in a list and in all lists in it."""
    if isinstance(value, list):
        for item in value:
            yield from leaves(item)
    else:
        yield value
