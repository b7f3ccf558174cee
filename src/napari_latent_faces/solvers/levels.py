"""Pictures at half the size, and back: the coarse levels of a fit.

A coarse pixel is the sum of the cell of pixels it stands for, divided by the square
root of their number. With these weights, fitting the coarse pictures *is* fitting the
full ones with components that are constant on each cell: the same squared error up to
a constant, the same penalties. The error never rises on the way to the next level.

N. Gillis, F. Glineur: A multilevel approach for nonnegative matrix factorization. Journal of
Computational and Applied Mathematics 236 (2012), doi:10.1016/j.cam.2011.10.002.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import FaceBlocks, LocalBackend, row_squares, squares
from napari_latent_faces.solvers.hals import Sparsity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.blocks import Backend, Block, Workers

    Array = NDArray[np.float32]

_LOG = logging.getLogger(__name__)

# -- One level from another ------------------------------------------------------------


def shapes(shape: tuple[int, ...], level: int) -> list[tuple[int, ...]]:
    """Return the shapes of a full picture and of each level down to `level`.

    Odd lines make half a cell.
    """
    found = [shape]
    for _ in range(level):
        h, w, *channels = found[-1]
        found.append(((h + 1) // 2, (w + 1) // 2, *channels))
    return found


def halve(pictures: NDArray[Any]) -> NDArray[Any]:
    """Sum cells of two by two pixels of pictures (m, h, w, ...)."""
    return _halve(_halve(pictures, 1), 2)


def _halve(pictures: NDArray[Any], axis: int) -> NDArray[Any]:
    """Sum pairs of lines along an axis; the last one may be alone."""
    lines = np.moveaxis(pictures, axis, 0)
    sums = np.empty_like(lines[::2])
    pairs = len(lines) // 2
    np.add(lines[: 2 * pairs : 2], lines[1::2], out=sums[:pairs])
    sums[pairs:] = lines[2 * pairs :]
    return np.moveaxis(sums, 0, axis)


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


def roots(shape: tuple[int, ...], level: int, mask: NDArray[np.bool_] | None) -> Array:
    """Return the square roots of the visible pixels behind each of a level, as a row."""
    cells: Array = np.sqrt(cell_sizes(shape, level, mask)).reshape(-1)
    return cells


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
    """Return components (k, q) of pictures halved `level` times as full ones, (k, *shape)."""
    steps = shapes(shape, level)
    pictures = H.reshape(-1, *steps[-1])
    if level:
        pictures = pictures / np.sqrt(cell_sizes(shape, level))
    for each in reversed(steps[:-1]):
        pictures = enlarge(pictures, each)
    return pictures


# -- The levels of a fit: small pictures of some of the faces first, all of them at last

_FEWEST_PIXELS = 300  # of the coarsest pictures
_LEAST_SPARSE = 4  # pixels, of one brightness, of a component that is to be sparse
_SAMPLE_VALUES = 2**22  # pixels of the largest level held in memory: 16 MB in float32
_SAMPLE_FACES = 4000  # but never fewer faces than this
_FIRST_FACES = 1000  # that a fit begins with, where there are twice as many or more
_FACES_EACH = 10  # but never fewer for a component


@dataclass(frozen=True, eq=False)
class Level:
    """The pictures of a level.

    `norm` is their squared norm, `offset` what halving took from it, `level` how often they
    were halved, `cells` the square root of the number of visible pixels behind each.
    """

    backend: Backend
    norm: float
    offset: float
    level: int
    cells: Array


def depth(shape: tuple[int, ...], n_components: int, least: float = 0) -> int:
    """Return how often pictures are halved before the coarsest fit, to `least` pixels or more.

    Two pixels and more are kept for each component.
    """
    fewest = max(_FEWEST_PIXELS, 2 * n_components, least)
    levels = 0
    while math.prod(shapes(shape, levels + 1)[-1][:2]) >= fewest:
        levels += 1
    return levels


def read_levels(
    backend: Backend,
    shape: tuple[int, ...],
    params: NMFParams,
    workers: Workers,
    mask: NDArray[np.bool_] | None,
    *,
    only_full: bool = False,
) -> list[Level]:
    """Read all faces once; return the levels, the coarsest first, or only the last of them."""
    least = 0.0
    if params.sparseness:  # a component has to find room in a few pixels
        full = Sparsity(params.sparseness, roots(shape, 0, mask), 0)
        least = _LEAST_SPARSE * math.prod(shape[:2]) / full.ratio**2
    deepest = depth(shape, params.n_components, least)
    n, top = backend.n, min(deepest, 1)
    chosen = np.empty(0, np.intp) if only_full else _sample(n, shapes(shape, top)[-1], params)
    norms, pictures = _survey(backend, _Survey(chosen, shape, top))
    whole = float(norms.sum())
    if whole == 0:
        raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")
    levels = []
    if top or len(chosen) < n:
        levels.append(Level(backend, whole, 0.0, 0, roots(shape, 0, mask)))
    if only_full:
        return levels

    def hold(pictures: Array, level: int, cells: Array, whole: float) -> None:
        """Add a level of pictures in memory; `whole` is the norm of the full ones."""
        norm = squares(pictures.reshape(len(pictures), -1))
        small = LocalBackend(FaceBlocks(pictures), workers)
        levels.append(Level(small, norm, whole - norm, level, cells))

    norms = norms[chosen]
    for level in range(top, deepest + 1):
        coarser = halve(pictures) if level < deepest else pictures
        cells = roots(shape, level, mask)
        pictures /= np.where(cells > 0, cells, 1).reshape(pictures.shape[1:])
        hold(pictures, level, cells, float(norms.sum()))
        pictures = coarser
    few = max(_FIRST_FACES, _FACES_EACH * params.n_components)
    if len(chosen) >= 2 * few:  # most of what all of them teach, a few teach as well
        some = _drawn(len(chosen), few, params)
        hold(pictures[some], deepest, cells, float(norms[some].sum()))
    return levels[::-1]


@dataclass(frozen=True, eq=False)
class _Survey:
    """What to find out about all faces before the fit.

    The `chosen` faces give the pictures, of `shape` halved `top` times, that the coarse levels
    are made from.
    """

    chosen: NDArray[np.intp]
    shape: tuple[int, ...]
    top: int


def _survey(backend: Backend, survey: _Survey) -> tuple[NDArray[np.float64], Array]:
    """Return the squared norms of all faces, and the pictures of the chosen ones."""
    pictures = np.empty((len(survey.chosen), *shapes(survey.shape, survey.top)[-1]), np.float32)
    norms = np.empty(backend.n)
    face = picture = 0
    for some_norms, some in backend.each(_look, survey):
        norms[face : face + len(some_norms)] = some_norms
        pictures[picture : picture + len(some)] = some
        face += len(some_norms)
        picture += len(some)
    return norms, pictures


def _look(block: Block, survey: _Survey) -> tuple[NDArray[Any], Array]:
    """Return the squared norms of a block of faces, and pictures of the chosen ones."""
    pixels, place = block.as_is, block.place
    if block.gain != 1:  # rounded as on the levels, in one way; the array is not used again
        pixels *= block.gain
    norms = row_squares(pixels)
    first, last = np.searchsorted(survey.chosen, (place.start, place.stop))
    if last - first < len(pixels):
        pixels = pixels[survey.chosen[first:last] - place.start]
    pictures = pixels.reshape(-1, *survey.shape)
    return norms, halve(pictures) if survey.top else pictures.copy()


def _sample(n: int, shape: tuple[int, ...], params: NMFParams) -> NDArray[np.intp]:
    """Choose the faces of the levels that are held in memory, in order."""
    few = max(_SAMPLE_FACES, _SAMPLE_VALUES // math.prod(shape), 4 * params.n_components)
    if n <= few:
        return np.arange(n)
    _LOG.info("Small pictures of %d of %d faces are fitted first.", few, n)
    return _drawn(n, few, params)


def _drawn(n: int, few: int, params: NMFParams) -> NDArray[np.intp]:
    """Draw a few of `n` faces, in order."""
    rng = np.random.RandomState(params.random_state)
    drawn: NDArray[np.intp] = np.sort(rng.permutation(n)[:few])
    return drawn
