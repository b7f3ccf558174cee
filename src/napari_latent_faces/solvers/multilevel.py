"""The fast solver: coarse to fine, extrapolated, in blocks of faces.

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
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.solvers import blocks, factors
from napari_latent_faces.solvers.blocks import FaceBlocks, LocalBackend, Workers
from napari_latent_faces.solvers.cluster import Cluster, WorkersLostError
from napari_latent_faces.solvers.factors import Factors, Solving, initial_factors, shapes
from napari_latent_faces.solvers.hals import Descent, Level, Penalties, Sparsity
from napari_latent_faces.stack import matrix_dtype, over_channels, peak, unit_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.blocks import Block
    from napari_latent_faces.solvers.cluster import Backend
    from napari_latent_faces.solvers.hals import Weights
    from napari_latent_faces.stack import FaceStack

    Array = NDArray[np.float32]

_LOG = logging.getLogger(__name__)

_FEWEST_PIXELS = 300  # of the coarsest pictures
_LEAST_SPARSE = 4  # pixels, of one brightness, of a component that is to be sparse
_SAMPLE_VALUES = 2**22  # pixels of the largest level held in memory: 16 MB in float32
_SAMPLE_FACES = 4000  # but never fewer faces than this
_FIRST_FACES = 1000  # that a fit begins with, where there are twice as many or more
_FACES_EACH = 10  # but never fewer for a component
_FIRST_TOL = 1e-4  # of the level that a fit begins with, and of those of some faces
_COARSE_TOL = 2e-4  # of those of all faces between them and the full pictures
_COARSE_ITERATIONS = 100
_NEW_SWEEPS = 30  # where most faces are new, whose weights are only guessed
_ENLARGED_VALUES = 2**20  # of the components that are enlarged at a time: copies are made
_CACHED_VALUES = 2**18  # that are halved at a time
_SMALL = 0.01  # a relative error that is measured in float64
_LEAST_GAIN = 1e-15


def iter_multilevel(
    stack: FaceStack,
    params: NMFParams,
    threads: int | None = None,
    client: Any = None,
    *,
    init: tuple[NDArray[Any], NDArray[Any]] | None = None,
    mask: NDArray[np.bool_] | None = None,
    measured: bool = True,
) -> Solving:
    """Factorize a stack of pictures, from coarse to fine.

    Small pictures, of a sample of many faces, are fitted first, and components enlarged. The
    stack is read block by block, once an iteration. Beside it, memory holds 3 k (n + p) floats
    for n faces of p pixels, a block and k p floats for each thread, and the small pictures.
    """
    there = Cluster(client, stack.images) if client else nullcontext()
    with Workers(threads) as workers, there as cluster:
        fit = _Fit(stack, params, workers, cluster, init, mask)
        try:
            yield from fit.run()
            return fit.result(measured=measured)
        except WorkersLostError as error:
            error.factors = error.factors and fit.in_units(error.factors)
            raise


@dataclass(eq=False)
class _Fit:
    """One run of the solver."""

    stack: FaceStack
    params: NMFParams
    workers: Workers
    cluster: Cluster | None
    init: tuple[NDArray[Any], NDArray[Any]] | None
    mask: NDArray[np.bool_] | None
    iteration = 0
    factors: Factors | None = None

    def __post_init__(self) -> None:
        stack, mask, cluster = self.stack, self.mask, self.cluster
        self.hidden = None if mask is None else over_channels(mask, stack.picture_shape)
        self.shape = stack.picture_shape
        self.cells = self._roots(0)  # 0 or 1
        # 255 for uint8, or what files declare, and else the largest pixel, which keeps the
        # smallest of them within the range of float32
        self.scale = unit = stack.known_scale or 0.0
        if not unit:
            look = cluster.peak if cluster else partial(peak, stack.images)
            largest = look(stack.names, mask)  # all pixels are checked, too
            self.scale, unit = unit_scale(largest, stack.dtype), largest or 1.0
        self.gain = unit / self.scale
        hidden = None if self.hidden is None else np.flatnonzero(self.hidden)
        self.backend: Backend
        where = f"{self.workers.threads} threads"
        if cluster is None:
            pictures = FaceBlocks(stack.images, unit, hidden=hidden)
            self.backend = LocalBackend(pictures, self.workers)
        else:
            cluster.way, self.backend = (unit, hidden), cluster
            where = f"cluster {cluster.address}"
        _LOG.info("%d faces are fitted by the %s.", len(stack), where)

    def run(self) -> Generator[Factors, Literal["stop"] | None, None]:
        """Fit the levels one after the other."""
        levels = self._levels()
        descent: Descent | None = None
        is_stopped = False
        while levels:
            level = levels.pop(0)  # its small pictures are gone when the next one is fitted
            is_of_all, is_last = level.backend.n == self.backend.n, not levels
            # what a coarse level is spared comes back as dearer iterations on finer ones
            tol = _COARSE_TOL if descent and is_of_all else _FIRST_TOL
            tol = self.params.tol if is_last else max(tol, self.params.tol)
            if descent is None:
                descent = self._descent(level, *self._start(level.backend), tol)
            else:
                descent = self._refine(descent, level, tol)
            if not is_stopped:
                is_stopped = yield from self._descend(descent, is_last=is_last)
            elif is_of_all:  # what was reached is brought to them, and to the full pictures
                for _ in descent.iterate():  # which a stop after as many iterations gives, too
                    assert self.factors is not None
                    yield self.factors
                self._report(descent)

    def result(self, *, measured: bool) -> Factors:
        """Return the last factors, if `measured` with the error that a model has."""
        assert self.factors is not None
        last = self.in_units(self.factors)
        if not measured:
            return last
        W, H = factors.normalized(last.W, last.pictures().reshape(self.params.n_components, -1))
        hidden = None if self.hidden is None else self.hidden.reshape(1, -1)
        weights: Weights = self.backend.hand_out(np.ascontiguousarray(W.T))
        # rounded in float32, residuals that are not small are wrong in both directions alike
        dtype = H.dtype if last.error > _SMALL else np.float64
        shared = {"H": H, "scale": self.scale, "hidden": hidden, "dtype": dtype}
        errors = self.backend.each(_measure, shared, weights)
        return replace(last, error=blocks.relative_error(errors))

    def in_units(self, state: Factors) -> Factors:
        """Return factors in the type and the units that the stack asks for."""
        dtype = matrix_dtype(self.stack.dtype)
        W = state.W.astype(dtype) * dtype.type(self.gain)
        return replace(state, weights=W, H=state.H.astype(dtype))

    def _start(self, backend: Backend) -> tuple[Weights, Array]:
        """Return what the first level starts from; what was given, in the units of this fit."""
        if self.init is not None:
            H = np.array(self.init[1], np.float32, order="C")
            H *= self.cells
            W = np.ascontiguousarray(self.init[0].T / max(self.gain, _LEAST_GAIN), np.float32)
            return self.backend.hand_out(W), H
        assert isinstance(backend, LocalBackend)  # the coarsest level is held in memory
        rows = backend.blocks.images.reshape(backend.n, -1)
        W, H = initial_factors(rows, self.params, self.params.random_state)
        return np.ascontiguousarray(W.T), np.ascontiguousarray(H)

    def _descent(self, level: Level, W: Weights, H: Array, tol: float) -> Descent:
        """Return the fit of a level."""
        sparse, l1 = self.params.sparseness, self.params.l1_ratio
        sparsity = Sparsity(sparse, level.cells, len(H)) if sparse else None
        # scikit-learn's penalties, for pixels divided by their own unit
        alpha_W, alpha_H = self.params.alpha_W, self.params.alpha_H
        on_W = alpha_W * int(self.cells.sum())
        on_H = (alpha_W if alpha_H == "same" else float(alpha_H)) * level.backend.n
        gain = max(self.gain, _LEAST_GAIN)
        penalties = Penalties(
            on_W * l1 / gain, on_W * (1 - l1), on_H * l1 / gain**2, on_H * (1 - l1) / gain**2
        )
        return Descent(level, W, H, self.workers, penalties, tol, sparsity)

    def _refine(self, coarse: Descent, finer: Level, tol: float) -> Descent:
        """Return the fit of the next level, from where that of the last one stands.

        Smooth components mostly explain more, and are tried first; those that are constant
        where a pixel was, exactly as much as before. New faces start with mean weights.
        """
        level = coarse.level
        H = self._enlarged(coarse, finer, factors.enlarge)
        if is_new := finer.backend.n > level.backend.n:
            W = finer.backend.repeat(coarse.W.mean(axis=1, keepdims=True))
        else:
            W = finer.backend.hand_out(coarse.W)
        descent = self._descent(finer, W, H, tol)
        if is_new:
            descent.sweeps = _NEW_SWEEPS
        else:
            descent.beta = max(descent.beta, coarse.beta)
        if finer.level < level.level:
            descent.guess = self._enlarged(coarse, finer, factors.smooth)
            descent.residual = np.inf
            if not is_new:  # the factors that stay unless the loss falls have one already
                more = level.offset - finer.offset  # by rounding, perhaps below 0
                descent.residual = max(coarse.residual + more, 0.0)
                descent.loss = float(np.sqrt(max(coarse.loss**2 + more, 0.0)))
        return descent

    def _enlarged(self, coarse: Descent, finer: Level, how: Callable[..., Any]) -> Array:
        """Return components of a level for the next one."""
        H, level, p = coarse.H, coarse.level, finer.backend.p
        if finer.level == level.level:
            return H
        shape, coarse_shape = (shapes(self.shape, each.level)[-1] for each in (finer, level))
        cells = np.where(level.cells > 0, level.cells, 1)
        finer_H = np.empty((len(H), p), np.float32)
        some = max(1, _ENLARGED_VALUES // p)
        for t in range(0, len(H), some):
            pictures = how((H[t : t + some] / cells).reshape(-1, *coarse_shape), shape)
            np.multiply(pictures.reshape(-1, p), finer.cells, out=finer_H[t : t + some])
        return finer_H

    def _descend(
        self, descent: Descent, *, is_last: bool
    ) -> Generator[Factors, Literal["stop"] | None, bool]:
        """Iterate on a level; return whether a stop was asked for."""
        limit = self.params.max_iter
        if not is_last:
            share = (limit - self.iteration) // 3  # of those that are left
            limit = self.iteration + min(_COARSE_ITERATIONS, share)
        is_done = False
        while self.iteration < limit and not is_done:
            for _ in descent.iterate():
                if self.factors is not None and (yield self.factors) == "stop":
                    return True
            self.iteration += 1
            is_done = descent.is_done
            if (yield self._report(descent, converged=is_done and is_last)) == "stop":
                return True
        return False

    def _report(self, descent: Descent, *, converged: bool = False) -> Factors:
        """Keep and return where the fit stands."""
        level, W, H = descent.level, descent.W, descent.H
        if self.mask is not None and level.level:
            # for a picture: hidden pixels of a cell are taken for the others' mean
            full = np.sqrt(factors.cell_sizes(self.shape, level.level)).reshape(-1)
            H = H * (full / np.where(level.cells > 0, level.cells, 1)).astype(H.dtype)
        lost = max(descent.residual + level.offset, 0.0)
        error = float(np.sqrt(lost / (level.norm + level.offset)))
        on_cluster = not isinstance(W, np.ndarray)
        weights = cache(lambda: level.backend.collect(W).T) if on_cluster else W.T
        stands = self.iteration, converged, error, self.scale, level.level
        self.factors = Factors(weights, H, self.shape, *stands)
        if self.cluster is not None:
            self.cluster.keep(replace(self.factors, H=H.copy()))
        return self.factors

    def _levels(self) -> list[Level]:
        """Read all faces; return the levels, coarsest first: with a start, the full one."""
        params, shape, n = self.params, self.shape, self.backend.n
        k, least, is_given = params.n_components, 0.0, self.init is not None
        if params.sparseness:  # a component has to find room in a few pixels
            ratio = Sparsity(params.sparseness, self.cells, 0).ratio
            least = _LEAST_SPARSE * math.prod(shape[:2]) / ratio**2
        deepest = depth(shape, k, least)
        top = min(deepest, 1)
        few = max(_SAMPLE_FACES, _SAMPLE_VALUES // math.prod(shapes(shape, top)[-1]), 4 * k)
        chosen = np.empty(0, np.intp) if is_given else self._drawn(n, few)
        norms, pictures = self._survey(chosen, top)
        whole = float(norms.sum())
        if whole == 0:
            raise ValueError(factors.ALL_BLACK)
        levels = []
        if top or len(chosen) < n:
            levels.append(Level(self.backend, whole, 0.0, 0, self.cells))
        if is_given:
            return levels
        norms = norms[chosen]
        for level in range(top, deepest + 1):
            coarser = factors.halve(pictures) if level < deepest else pictures
            cells = self._roots(level)
            pictures /= np.where(cells > 0, cells, 1).reshape(pictures.shape[1:])
            levels.append(self._held(pictures, norms, level, cells))
            pictures = coarser
        few = max(_FIRST_FACES, _FACES_EACH * k)
        if len(chosen) >= 2 * few:  # most of what all of them teach, a few teach as well
            some = self._drawn(len(chosen), few)
            levels.append(self._held(pictures[some], norms[some], deepest, cells))
        return levels[::-1]

    def _roots(self, level: int) -> Array:
        """Return the square roots of the visible pixels behind each of a level, as a row."""
        cells: Array = np.sqrt(factors.cell_sizes(self.shape, level, self.mask)).reshape(-1)
        return cells

    def _drawn(self, n: int, few: int) -> NDArray[np.intp]:
        """Draw a few of `n` faces, in order, for small pictures that are held in memory."""
        if n <= few:
            return np.arange(n)
        _LOG.info("Small pictures of %d of %d faces are fitted first.", few, n)
        drawn = np.random.RandomState(self.params.random_state).permutation(n)[:few]
        return np.sort(drawn)

    def _held(self, pictures: Array, norms: NDArray[Any], level: int, cells: Array) -> Level:
        """Return a level of pictures in memory; `norms` are those of the full ones."""
        norm = blocks.squares(pictures.reshape(len(pictures), -1))
        backend = LocalBackend(FaceBlocks(pictures), self.workers)
        return Level(backend, norm, float(norms.sum()) - norm, level, cells)

    def _survey(self, chosen: NDArray[np.intp], top: int) -> tuple[NDArray[Any], Array]:
        """Return the squared norms of all faces, and the chosen ones halved `top` times."""
        pictures = np.empty((len(chosen), *shapes(self.shape, top)[-1]), np.float32)
        norms = np.empty(self.backend.n)
        face = picture = 0
        for some_norms, some in self.backend.each(_look, (chosen, self.shape, top)):
            norms[face : face + len(some_norms)] = some_norms
            pictures[picture : picture + len(some)] = some
            face += len(some_norms)
            picture += len(some)
        return norms, pictures


def _look(block: Block, survey: tuple[Any, tuple[int, ...], int]) -> tuple[Any, Array]:
    """Return the squared norms of a block of faces, and pictures of the chosen ones."""
    chosen, shape, top = survey
    start, stop, p = block.place.start, block.place.stop, block.blocks.p
    wanted = chosen[(chosen >= start) & (chosen < stop)] - start
    norms = np.empty(stop - start)
    pictures = np.empty((len(wanted), *shapes(shape, top)[-1]), np.float32)
    for some in blocks.cut(len(norms), max(1, _CACHED_VALUES // p)):
        pixels = block.blocks.read_as_is(block.rows, block.raw[some])
        if block.gain != 1:  # rounded as on the levels, in one way; the array is not used again
            pixels *= block.gain
        norms[some] = blocks.row_squares(pixels)
        first, last = np.searchsorted(wanted, (some.start, some.stop))
        if last - first < len(pixels):
            pixels = pixels[wanted[first:last] - some.start]
        faces = pixels.reshape(-1, *shape)
        pictures[first:last] = factors.halve(faces) if top else faces
    return norms, pictures


def _measure(block: Block, shared: dict[str, Any], W: NDArray[Any]) -> tuple[Any, Any]:
    """Return the squared errors of a block of faces, and their squared norms."""
    return blocks.face_errors(block.raw.reshape(len(block.raw), -1), W.T, **shared)


def depth(shape: tuple[int, ...], n_components: int, least: float = 0) -> int:
    """Return how often pictures are halved: to `least` pixels, and two for each component."""
    fewest = max(_FEWEST_PIXELS, 2 * n_components, least)
    levels = 0
    while math.prod(shapes(shape, levels + 1)[-1][:2]) >= fewest:
        levels += 1
    return levels
