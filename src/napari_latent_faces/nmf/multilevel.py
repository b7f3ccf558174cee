"""The fast solver: coarse to fine, extrapolated, in blocks of faces."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.canonical import normalized
from napari_latent_faces.nmf.blocks import FaceBlocks, Workers, one_blas_thread
from napari_latent_faces.nmf.cluster import Cluster, ClusterCrew
from napari_latent_faces.nmf.crew import LocalCrew
from napari_latent_faces.nmf.factors import Factors
from napari_latent_faces.nmf.given import Given
from napari_latent_faces.nmf.hals import Descent, Penalties
from napari_latent_faces.nmf.levels import LevelReader
from napari_latent_faces.nmf.losses import face_errors
from napari_latent_faces.nmf.pyramid import cell_sizes, enlarge, sizes, smooth
from napari_latent_faces.nmf.start import initial_factors
from napari_latent_faces.pixels import has_own_scale, matrix_dtype, peak, unit_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.nmf.crew import Block, Crew, Weights
    from napari_latent_faces.nmf.factors import Solving
    from napari_latent_faces.nmf.levels import Level
    from napari_latent_faces.nmf.params import NMFParams
    from napari_latent_faces.stack import FaceStack

    Array = NDArray[np.float32]

__all__ = ["iter_multilevel"]

# What a coarse level is spared comes back as iterations on finer ones, which cost more.
_FIRST_TOL = 1e-4  # of the level that a fit begins with, and of those of some faces
_COARSE_TOL = 2e-4  # of those of all faces between them and the full pictures
_COARSE_ITERATIONS = 100
_NEW_SWEEPS = 30  # where most faces are new, whose weights are only guessed
_NOTHING = Given()


def iter_multilevel(
    stack: FaceStack,
    params: NMFParams,
    threads: int | None = None,
    client: Any = None,
    given: Given = _NOTHING,
    *,
    measured: bool = True,
) -> Solving:
    """Factorize a stack of pictures, from coarse to fine.

    Small versions of the pictures are fitted first (of a sample of the faces, if there
    are many), and their components enlarged: most of the way costs next to nothing. The
    stack itself is read in blocks of faces, once for each iteration, and never held as
    floats: beside it, memory holds 3 k (n + p) floats for n faces of p pixels and k
    components, a block and k p floats for each thread, and the small pictures.

    Parameters
    ----------
    stack : FaceStack
        Pictures of any type, in memory or lazy. Lazy ones are kept as they are once they
        have been read, if they take no more than a quarter of the memory that is free.
    params : NMFParams
        The parameters; the loss is ``"frobenius"``.
    threads : int, optional
        How many blocks are worked on at a time, by default one for each processor. The
        result does not depend on it.
    given : Given
        A start, which is improved on the full pictures alone, and a mask, whose pixels
        count nowhere: components are 0 there.
    client : distributed.Client, optional
        Its cluster reads the full pictures and works on them; the coarse levels, which
        are small, stay with the threads of this process.
    measured : bool
        Look at all faces once more at the end, for an error that is exact: that of the
        steps is told from products in float32.

    Yields
    ------
    Factors
        After each iteration, and now and then (again the same) during a long one. The
        error never rises while the faces are the same. Send ``"stop"`` to end the fit.

    Returns
    -------
    Factors
        The last ones, of all faces, as the value of ``StopIteration``.

    Raises
    ------
    ValueError
        If a pixel is negative, NaN or infinite, all are 0, or the start does not fit the
        stack.
    ConnectionError
        If the scheduler of the cluster is lost.
    """
    with ExitStack() as exits:
        workers = exits.enter_context(Workers(threads))
        cluster = client and exits.enter_context(Cluster(client, stack.images))
        fit = _Fit(stack, params, workers, cluster, given)
        yield from fit.run()
        return fit.result(measured=measured)


class _Fit:
    """One run of the solver."""

    def __init__(
        self,
        stack: FaceStack,
        params: NMFParams,
        workers: Workers,
        cluster: Cluster | None,
        given: Given,
    ) -> None:
        self.stack, self.params, self.workers, self.given = stack, params, workers, given
        self.size = stack.shape[1:]
        self.scale, unit = _units(stack, cluster, given.mask)
        self.gain = unit / self.scale
        self.crew: Crew
        if cluster is None:
            self.crew = LocalCrew(FaceBlocks(stack.images, unit, hidden=given.hidden), workers)
        else:
            self.crew = ClusterCrew(cluster, unit, given.hidden)
        self.reader = LevelReader(self.crew, self.size, params, workers, given.mask)
        self.iteration = 0
        self.factors: Factors | None = None

    # -- fitting ----------------------------------------------------------------

    def run(self) -> Generator[Factors, Literal["stop"] | None, None]:
        """Fit the levels one after the other."""
        levels = self.reader.read(only_full=self.given.start is not None)
        W, H = self._given() if self.given.start else self._start(levels[0].crew)
        tols = self._tols(levels)
        descent = self._descent(levels[0], W, H, tols[0])
        is_stopped = False
        for level, finer, tol in zip(levels, [*levels[1:], None], [*tols[1:], 0], strict=True):
            is_whole = level.crew.n == self.crew.n
            if not is_stopped:
                is_stopped = yield from self._descend(descent, level, is_last=finer is None)
            elif is_whole:  # a fit stopped on a sample: the other faces need weights, too
                for _ in descent.iterate():
                    pass
                self._report(descent, level)
            if is_stopped and is_whole:
                break
            if finer is not None:
                descent = self._refine(descent, level, finer, tol)

    def _tols(self, levels: list[Level]) -> list[float]:
        """Return the tolerance of each level."""
        tols = [_FIRST_TOL if level.crew.n < self.crew.n else _COARSE_TOL for level in levels]
        tols[0] = _FIRST_TOL
        return [*(max(tol, self.params.tol) for tol in tols[:-1]), self.params.tol]

    def result(self, *, measured: bool) -> Factors:
        """Return the last factors in the type and the units that the stack asks for."""
        assert self.factors is not None
        dtype = matrix_dtype(self.stack.dtype)
        W = self.factors.W.astype(dtype) * dtype.type(self.gain)
        last = replace(self.factors, weights=W, H=self.factors.H.astype(dtype))
        return self._measured(last) if measured else last

    def _measured(self, last: Factors) -> Factors:
        """Return factors with the error, in float64, of what the model makes of them."""
        pictures = last.pictures().reshape(self.params.n_components, -1)
        W, H = normalized(last.W, pictures)
        with one_blas_thread():
            sums = np.zeros(2)
            weights = self.crew.hand_out(np.ascontiguousarray(W.T))
            for some in self.crew.each(_measure, (H, self.scale, self.given.mask), weights):
                sums += some
        error = float(np.sqrt(sums[0] / sums[1]))
        return replace(last, error=error)

    def _start(self, crew: Crew) -> tuple[Array, Array]:
        """Return the factors that the coarsest level starts from."""
        assert isinstance(crew, LocalCrew)  # the coarsest level is held in memory
        rows = crew.blocks.images.reshape(crew.n, -1)
        with one_blas_thread():
            W, H = initial_factors(rows, self.params, self.params.random_state)
        return np.ascontiguousarray(W.T), np.ascontiguousarray(H)

    def _given(self) -> tuple[Weights, Array]:
        """Return the start that was given, in the units of this fit."""
        assert self.given.start is not None
        W, H = self.given.start
        H = np.array(H, np.float32, order="C")
        H *= self.reader.cells(0).reshape(-1)  # 0 or 1
        unit = max(self.gain, 1e-15)
        return self.crew.hand_out(np.ascontiguousarray(W.T / unit, np.float32)), H

    def _descent(self, level: Level, W: Weights, H: Array, tol: float) -> Descent:
        """Return the fit of a level."""
        penalties = self._penalties(level.crew.n)
        return Descent(level.crew, W, H, level.norm, self.workers, penalties, level.cells, tol)

    def _refine(self, coarse: Descent, level: Level, finer: Level, tol: float) -> Descent:
        """Return the fit of the next level, from where that of the last one stands.

        Components that are smooth explain pictures better at once, and are tried first;
        those that are constant where a pixel was explain them exactly as well as before.
        Faces that were not in the sample start with mean weights: one pass finds their own.
        """
        H = self._enlarged(coarse.H, level, finer, enlarge)
        if finer.crew.n > level.crew.n:
            W = finer.crew.repeat(coarse.W.mean(axis=1, keepdims=True))
        else:
            W = finer.crew.hand_out(coarse.W)
        descent = self._descent(finer, W, H, tol)
        if finer.crew.n > level.crew.n:
            descent.sweeps = _NEW_SWEEPS
        else:
            descent.beta = max(descent.beta, coarse.beta)
        if finer.level < level.level:
            guess = self._enlarged(coarse.H, level, finer, smooth)
            residual, loss = np.inf, np.inf
            if finer.crew.n == level.crew.n:
                more = level.offset - finer.offset  # by rounding, perhaps below 0
                residual = max(coarse.residual + more, 0.0)
                loss = float(np.sqrt(max(coarse.loss**2 + more, 0.0)))
            descent.attempt(guess, residual, loss)
        return descent

    def _enlarged(
        self,
        H: Array,
        level: Level,
        finer: Level,
        how: Callable[[NDArray[Any], tuple[int, int]], NDArray[Any]],
    ) -> Array:
        """Return components of a level for the next one."""
        if finer.level == level.level:
            return H
        size, coarse_size = (sizes(self.size, each.level)[-1] for each in (finer, level))
        cells = np.where(level.cells > 0, level.cells, 1)
        pictures = how((H / cells).reshape(-1, *coarse_size), size)
        return np.ascontiguousarray(pictures.reshape(len(H), -1) * finer.cells)

    def _descend(
        self, descent: Descent, level: Level, is_last: bool
    ) -> Generator[Factors, Literal["stop"] | None, bool]:
        """Iterate on a level; return whether a stop was asked for."""
        limit = self.params.max_iter
        if not is_last:
            share = (limit - self.iteration) // 3  # of those that are left
            limit = self.iteration + min(_COARSE_ITERATIONS, share)
        while self.iteration < limit:
            for _ in descent.iterate():
                if self.factors is not None and (yield self.factors) == "stop":
                    return True
            self.iteration += 1
            is_done = descent.tol > 0 and descent.is_quiet
            if (yield self._report(descent, level, converged=is_done and is_last)) == "stop":
                return True
            if is_done:
                break
        return False

    def _report(self, descent: Descent, level: Level, *, converged: bool = False) -> Factors:
        """Keep and return where the fit stands."""
        lost = max(descent.residual + level.offset, 0.0)
        W = descent.W
        self.factors = Factors(
            W.T if isinstance(W, np.ndarray) else lambda: level.crew.collect(W).T,
            self._shown(descent.H, level),
            self.size,
            self.iteration,
            converged,
            float(np.sqrt(lost / (level.norm + level.offset))),
            self.scale,
            level.level,
        )
        return self.factors

    def _shown(self, H: Array, level: Level) -> Array:
        """Return components for a picture: hidden pixels are taken for the others' mean."""
        if self.given.mask is None or not level.level:
            return H
        full = np.sqrt(cell_sizes(self.size, level.level)).reshape(-1)
        shown: Array = H * (full / np.where(level.cells > 0, level.cells, 1)).astype(H.dtype)
        return shown

    def _penalties(self, n: int) -> Penalties:
        """Return scikit-learn's penalties, for pixels divided by their own unit."""
        params, p = self.params, int(self.reader.cells(0).sum())
        alpha_H = params.alpha_W if params.alpha_H == "same" else params.alpha_H
        W, H = params.alpha_W * p, float(alpha_H) * n
        l1, gain = params.l1_ratio, max(self.gain, 1e-15)
        return Penalties(W * l1 / gain, W * (1 - l1), H * l1 / gain**2, H * (1 - l1) / gain**2)


def _measure(
    block: Block, shared: tuple[NDArray[Any], float, NDArray[np.bool_] | None], W: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the squared error of a block of faces, and their squared norm."""
    H, scale, mask = shared
    hidden = None if mask is None else mask.reshape(1, -1)
    pixels = block.raw.reshape(len(block.raw), -1)
    lost, size = face_errors(pixels, W.T, H, scale, hidden=hidden)
    return np.array([lost.sum(), size.sum()])


def _units(
    stack: FaceStack, cluster: Cluster | None, mask: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Check all pixels; return the scale of the result, and the unit to calculate in.

    The unit is 255 for uint8, and else the largest pixel, which keeps the smallest of them
    within the range of float32.
    """
    if has_own_scale(stack.dtype):
        scale = unit_scale(0.0, stack.dtype)
        return scale, scale
    look = cluster.peak if cluster else partial(peak, stack.images)
    largest = look(stack.names, mask)
    return unit_scale(largest, stack.dtype), largest or 1.0
