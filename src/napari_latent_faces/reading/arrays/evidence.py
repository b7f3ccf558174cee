"""What pixels tell about how they lie: rough, on their side, or no pictures at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    mean: Any = np.mean(finite(rows[chosen]), axis=0, dtype=np.float64)
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
        short, long = sorted(side for i, side in enumerate(array.shape[:3]) if i != axis)
        if short < SMALLEST_SIDE or long > LARGEST_ASPECT * short:  # of no picture
            rough[axis] -= max(rough) + 1
    return int(np.argmax(rough))


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
