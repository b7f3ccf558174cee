"""Pictures at half the size, and back: the coarse levels of a fit.

A coarse pixel is the sum of the cell of pixels it stands for, divided by the square
root of their number. With these weights, fitting the coarse pictures *is* fitting the
full ones with components that are constant on each cell: the same squared error up to
a constant, the same penalties. The error never rises on the way to the next level.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cell_sizes", "depth", "enlarge", "half", "halve", "shapes", "smooth", "widen"]

_FEWEST_PIXELS = 300  # of the coarsest pictures


def half(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of a picture of the next coarser level; odd lines make a half cell."""
    h, w, *channels = shape
    return (h + 1) // 2, (w + 1) // 2, *channels


def depth(shape: tuple[int, ...], n_components: int, least: float = 0) -> int:
    """Return how often pictures are halved before the coarsest fit.

    Parameters
    ----------
    shape : tuple of int
        Shape of a full picture, (h, w) or (h, w, 3).
    n_components : int
        Two pixels and more are kept for each.
    least : float
        Pixels that are kept in any case.
    """
    fewest = max(_FEWEST_PIXELS, 2 * n_components, least)
    levels = 0
    while math.prod((shape := half(shape))[:2]) >= fewest:
        levels += 1
    return levels


def halve(pictures: NDArray[Any]) -> NDArray[Any]:
    """Sum cells of two by two pixels: shape (m, h, w, ...) to (m, *half((h, w, ...)))."""
    return _paired(_paired(pictures, 1), 2)


def _paired(pictures: NDArray[Any], axis: int) -> NDArray[Any]:
    """Add neighbours along an axis; a last one without a neighbour stays alone."""
    lines = np.moveaxis(pictures, axis, 0)
    pairs = len(lines) // 2
    shape = list(pictures.shape)
    shape[axis] = len(lines) - pairs
    sums = np.empty(shape, pictures.dtype)
    summed = np.moveaxis(sums, axis, 0)
    np.add(lines[: 2 * pairs : 2], lines[1::2], out=summed[:pairs])
    summed[pairs:] = lines[2 * pairs :]
    return sums


def cell_sizes(
    shape: tuple[int, ...], level: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Return how many full pixels each pixel of a level stands for, shape (1, *its shape).

    Pixels of the full pictures that `mask` marks do not count.
    """
    cells: NDArray[np.float32] = np.ones((1, *shape), np.float32)
    if mask is not None:
        cells[0, mask] = 0
    for _ in range(level):
        cells = halve(cells)
    return cells


def shapes(shape: tuple[int, ...], level: int) -> list[tuple[int, ...]]:
    """Return the shapes of a full picture and of those of each level down to `level`."""
    found = [shape]
    for _ in range(level):
        found.append(half(found[-1]))
    return found


def enlarge(pictures: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Repeat each pixel twice along both axes: to shape (m, *shape)."""
    doubled = pictures.repeat(2, axis=1)[:, : shape[0]].repeat(2, axis=2)
    return doubled[:, :, : shape[1]]


def smooth(pictures: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Enlarge pictures like `enlarge`, interpolating linearly between their pixels."""
    return _between(_between(pictures, 1)[:, : shape[0]], 2)[:, :, : shape[1]]


def _between(pictures: NDArray[Any], axis: int) -> NDArray[Any]:
    """Double an axis; each new pixel takes a quarter of the neighbour that it is next to."""
    lines = np.moveaxis(pictures, axis, 0)
    doubled = np.repeat(0.75 * lines, 2, axis=0)
    doubled[2::2] += 0.25 * lines[:-1]
    doubled[1:-1:2] += 0.25 * lines[1:]
    doubled[[0, -1]] += 0.25 * lines[[0, -1]]  # at the edges, the pixel is its own neighbour
    return np.moveaxis(doubled, 0, axis)


def widen(H: NDArray[Any], shape: tuple[int, ...], level: int) -> NDArray[Any]:
    """Return components of a level as full pictures.

    Parameters
    ----------
    H : array of shape (k, q)
        Components of the level, a row each.
    shape : tuple of int
        Shape of a full picture.
    level : int
        How often they were halved.

    Returns
    -------
    array of shape (k, *shape)
    """
    steps = shapes(shape, level)
    pictures = H.reshape(-1, *steps[-1])
    if level:
        pictures = pictures / np.sqrt(cell_sizes(shape, level))
    for each in reversed(steps[:-1]):
        pictures = enlarge(pictures, each)
    return pictures
