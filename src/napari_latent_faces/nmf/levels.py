"""The levels of a fit: small pictures of some of the faces first, all of them at last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.nmf.blocks import FaceBlocks
from napari_latent_faces.nmf.crew import LocalCrew
from napari_latent_faces.nmf.losses import row_squares, squares
from napari_latent_faces.nmf.pyramid import cell_sizes, depth, halve, sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.nmf.blocks import Workers
    from napari_latent_faces.nmf.crew import Block, Crew
    from napari_latent_faces.nmf.params import NMFParams

    Array = NDArray[np.float32]

__all__ = ["Level", "LevelReader"]

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

    crew: Crew
    norm: float
    offset: float
    level: int
    cells: Array


@dataclass(frozen=True, eq=False)
class _Survey:
    """What to find out about all faces before the fit.

    The `chosen` faces give the pictures of `size`, halved if `is_halved`, that the coarse
    levels are made from.
    """

    chosen: NDArray[np.intp]
    size: tuple[int, int]
    is_halved: bool


def _look(block: Block, survey: _Survey) -> tuple[NDArray[Any], Array]:
    """Return the squared norms of a block of faces, and pictures of the chosen ones."""
    pixels, place = block.as_is, block.place
    if block.gain != 1:  # rounded as on the levels, in one way; the array is not used again
        pixels *= block.gain
    norms = row_squares(pixels)
    first, last = np.searchsorted(survey.chosen, (place.start, place.stop))
    if last - first < len(pixels):
        pixels = pixels[survey.chosen[first:last] - place.start]
    pictures = pixels.reshape(-1, *survey.size)
    return norms, halve(pictures) if survey.is_halved else pictures.copy()


class LevelReader:
    """Reads the faces of a fit, and makes the small pictures that it begins with.

    Parameters
    ----------
    crew : Crew
        Works on all faces.
    size : tuple of int
        Height and width of the full pictures.
    params : NMFParams
        `n_components` and `random_state` are used.
    workers : Workers
        Threads for the small pictures.
    mask : array of bool, shape (h, w), optional
        Pixels that count nowhere.
    """

    def __init__(
        self,
        crew: Crew,
        size: tuple[int, int],
        params: NMFParams,
        workers: Workers,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        self.crew, self.size, self.params = crew, size, params
        self.workers, self.mask = workers, mask
        self.depth = depth(size, params.n_components)

    def read(self, *, only_full: bool = False) -> list[Level]:
        """Read all faces once; return the levels, the coarsest first.

        Parameters
        ----------
        only_full : bool
            Return that of the full pictures alone, for a start that is given.

        Raises
        ------
        ValueError
            If all pixels are 0.
        """
        n, top = self.crew.n, min(self.depth, 1)
        chosen = np.empty(0, np.intp) if only_full else self._sample(sizes(self.size, top)[-1])
        norms, sums = self._survey(_Survey(chosen, self.size, top > 0))
        whole = float(norms.sum())
        if whole == 0:
            raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")
        levels = []
        if top or len(chosen) < n:
            levels.append(Level(self.crew, whole, 0.0, 0, self.cells(0).reshape(-1)))
        if only_full:
            return levels
        sampled = float(norms[chosen].sum())
        for level in range(top, self.depth + 1):
            coarser = halve(sums) if level < self.depth else sums
            levels.append(self._coarse(sums, level, sampled))
            sums = coarser
        levels.extend(self._fewer(levels[-1], norms[chosen]))
        return levels[::-1]

    def _survey(self, survey: _Survey) -> tuple[NDArray[np.float64], Array]:
        """Return the squared norms of all faces, and the pictures of the chosen ones."""
        size = sizes(survey.size, int(survey.is_halved))[-1]
        sums = np.empty((len(survey.chosen), *size), np.float32)
        norms = np.empty(self.crew.n)
        face = picture = 0
        for some_norms, pictures in self.crew.each(_look, survey):
            norms[face : face + len(some_norms)] = some_norms
            sums[picture : picture + len(pictures)] = pictures
            face += len(some_norms)
            picture += len(pictures)
        return norms, sums

    def _sample(self, size: tuple[int, int]) -> NDArray[np.intp]:
        """Choose the faces of the levels that are held in memory, in order."""
        n = self.crew.n
        few = max(_SAMPLE_FACES, _SAMPLE_VALUES // (size[0] * size[1]))
        few = max(few, 4 * self.params.n_components)
        if n <= few:
            return np.arange(n)
        return self._drawn(n, few)

    def _drawn(self, n: int, few: int) -> NDArray[np.intp]:
        """Draw a few of `n` faces, in order."""
        rng = np.random.RandomState(self.params.random_state)
        drawn: NDArray[np.intp] = np.sort(rng.permutation(n)[:few])
        return drawn

    def _coarse(self, sums: Array, level: int, whole: float) -> Level:
        """Return a level whose pictures are held in memory, given sums over its cells."""
        cells = self.cells(level)
        sums /= np.where(cells > 0, cells, 1)
        return self._held(sums, level, cells.reshape(-1), whole)

    def _fewer(self, coarsest: Level, norms: NDArray[np.float64]) -> list[Level]:
        """Return a level of some of the coarsest pictures, or none if they are not many.

        Most of what can be learned from all of them, a few teach as well.
        """
        few = max(_FIRST_FACES, _FACES_EACH * self.params.n_components)
        n = coarsest.crew.n
        if n < 2 * few:
            return []
        assert isinstance(coarsest.crew, LocalCrew)
        some = self._drawn(n, few)
        pictures = coarsest.crew.blocks.images[some]
        return [self._held(pictures, coarsest.level, coarsest.cells, float(norms[some].sum()))]

    def _held(self, pictures: Array, level: int, cells: Array, whole: float) -> Level:
        """Return a level of pictures in memory; `whole` is the norm of the full ones."""
        rows = pictures.reshape(len(pictures), -1)
        norm = squares(rows)
        crew = LocalCrew(FaceBlocks(pictures), self.workers)
        return Level(crew, norm, whole - norm, level, cells)

    def cells(self, level: int) -> Array:
        """Return the square root of how many visible pixels each of a level stands for."""
        cells: Array = np.sqrt(cell_sizes(self.size, level, self.mask))
        return cells
