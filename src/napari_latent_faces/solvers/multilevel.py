"""The fast solver: coarse to fine, extrapolated, in blocks of faces."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    LocalBackend,
    Workers,
    face_errors,
    row_squares,
    squares,
)
from napari_latent_faces.solvers.cluster import Cluster, ClusterBackend, WorkersLostError
from napari_latent_faces.solvers.factors import Factors, Solving, normalized
from napari_latent_faces.solvers.hals import Descent, Penalties
from napari_latent_faces.solvers.pyramid import (
    cell_sizes,
    depth,
    enlarge,
    halve,
    shapes,
    smooth,
)
from napari_latent_faces.solvers.sparse import Sparsity
from napari_latent_faces.stack import (
    matrix_dtype,
    over_channels,
    peak,
    unit_scale,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.blocks import Backend, Block, Weights
    from napari_latent_faces.stack import FaceStack

    Array = NDArray[np.float32]

__all__ = ["Level", "LevelReader", "initial_factors", "iter_multilevel"]

_LOG = logging.getLogger(__name__)

# -- Where a factorization starts: where scikit-learn starts, without importing it -----

_OVERSAMPLES = 10
_TINY = 1e-6  # smaller entries of the singular vectors count as zero


def initial_factors(
    X: NDArray[Any], params: NMFParams, random_state: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the factors that a fit of `X` starts from.

    Parameters
    ----------
    X : array of shape (n, p), float32 or float64
        Non-negative pixels, a face a row.
    params : NMFParams
        `n_components` and `init` are used.
    random_state : int or None
        Seed of the randomized singular value decomposition and of random entries.

    Returns
    -------
    W, H : arrays of shape (n, k) and (k, p), of the type of `X`
        Non-negative factors.

    Raises
    ------
    ValueError
        If an ``nndsvd`` start is asked for more components than there are pixels.

    References
    ----------
    C. Boutsidis, E. Gallopoulos: SVD based initialization: a head start for
    nonnegative matrix factorization. Pattern Recognition 41 (2008),
    doi:10.1016/j.patcog.2007.09.010.

    N. Halko, P. G. Martinsson, J. A. Tropp: Finding structure with randomness:
    probabilistic algorithms for constructing approximate matrix decompositions. SIAM
    Review 53 (2011), doi:10.1137/090771806.
    """
    k, init = params.n_components, params.init
    if init is None:
        init = "nndsvda" if k <= min(X.shape) else "random"
    if init == "random":
        return _random_factors(X, k, np.random.RandomState(random_state))
    if k > min(X.shape):
        raise ValueError(
            f"init={init!r} needs n_components <= {min(X.shape)} (the number of pixels), "
            f"got {k}. Choose init='random' or fewer components."
        )
    W, H = _nndsvd(X, k, random_state)
    if init == "nndsvda":
        mean = X.mean()
        W[W == 0] = mean
        H[H == 0] = mean
    elif init == "nndsvdar":
        rng = np.random.RandomState(random_state)
        for factor in (W, H):
            zeros = factor == 0
            factor[zeros] = np.abs(X.mean() * rng.standard_normal(zeros.sum()) / 100)
    return W, H


def _random_factors(
    X: NDArray[Any], k: int, rng: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw factors of the size of `X`, from the generator that scikit-learn uses."""
    level = np.sqrt(X.mean() / k)
    H = np.abs(level * rng.standard_normal((k, X.shape[1])).astype(X.dtype))
    W = np.abs(level * rng.standard_normal((X.shape[0], k)).astype(X.dtype))
    return W, H


def _nndsvd(
    X: NDArray[Any], k: int, random_state: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Take the heavier of the positive and the negative part of each singular pair."""
    U, S, Vt = _randomized_svd(X, k, np.random.RandomState(random_state))
    W, H = np.zeros_like(U), np.zeros_like(Vt)
    W[:, 0] = np.sqrt(S[0]) * np.abs(U[:, 0])
    H[0] = np.sqrt(S[0]) * np.abs(Vt[0])
    for j in range(1, k):
        halves = [(np.maximum(s * U[:, j], 0), np.maximum(s * Vt[j], 0)) for s in (1, -1)]
        norms = [(np.linalg.norm(u), np.linalg.norm(v)) for u, v in halves]
        positive = norms[0][0] * norms[0][1] > norms[1][0] * norms[1][1]
        (u, v), (u_norm, v_norm) = (halves[0], norms[0]) if positive else (halves[1], norms[1])
        if u_norm * v_norm > 0:  # else the stack has fewer than k directions
            size = np.sqrt(S[j] * u_norm * v_norm)
            W[:, j] = size * u / u_norm
            H[j] = size * v / v_norm
    W[_TINY > W] = 0
    H[_TINY > H] = 0
    return W, H


def _randomized_svd(
    X: NDArray[Any], k: int, rng: np.random.RandomState
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return about the first `k` singular triplets (Halko et al. 2011, algorithms 4.4, 5.1).

    Oversampling, power iterations and random numbers are those of scikit-learn, so that
    the result is, too, up to rounding.
    """
    if X.shape[0] < X.shape[1]:
        V, S, Ut = _randomized_svd(X.T, k, rng)
        return Ut.T, S, V.T
    Q = rng.normal(size=(X.shape[1], k + _OVERSAMPLES)).astype(X.dtype)
    for _ in range(7 if k < 0.1 * min(X.shape) else 4):
        Q = np.linalg.qr(X.T @ (X @ Q)).Q
    Q = np.linalg.qr(X @ Q).Q
    U, S, Vt = np.linalg.svd(Q.T @ X, full_matrices=False)
    return (Q @ U)[:, :k], S[:k], Vt[:k]


# -- The levels of a fit: small pictures of some of the faces first, all of them at last

_SAMPLE_VALUES = 2**22  # pixels of the largest level held in memory: 16 MB in float32
_SAMPLE_FACES = 4000  # but never fewer faces than this
_FIRST_FACES = 1000  # that a fit begins with, where there are twice as many or more
_LEAST_SPARSE = 4  # pixels, of one brightness, of a component that is to be sparse
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


@dataclass(frozen=True, eq=False)
class _Survey:
    """What to find out about all faces before the fit.

    The `chosen` faces give the pictures of `shape`, halved if `is_halved`, that the coarse
    levels are made from.
    """

    chosen: NDArray[np.intp]
    shape: tuple[int, ...]
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
    pictures = pixels.reshape(-1, *survey.shape)
    return norms, halve(pictures) if survey.is_halved else pictures.copy()


class LevelReader:
    """Reads the faces of a fit, and makes the small pictures that it begins with.

    Parameters
    ----------
    backend : Backend
        Works on all faces.
    shape : tuple of int
        Shape of a full picture, (h, w) or (h, w, 3).
    params : NMFParams
        `n_components` and `random_state` are used.
    workers : Workers
        Threads for the small pictures.
    mask : array of bool, shape (h, w), optional
        Pixels that count nowhere.
    """

    def __init__(
        self,
        backend: Backend,
        shape: tuple[int, ...],
        params: NMFParams,
        workers: Workers,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        self.backend, self.shape, self.params = backend, shape, params
        self.workers, self.mask = workers, mask
        least = 0.0
        if params.sparseness:  # a component has to find room in a few pixels
            full = Sparsity(params.sparseness, self.cells(0).reshape(-1), 0)
            least = _LEAST_SPARSE * math.prod(shape[:2]) / full.ratio**2
        self.depth = depth(shape, params.n_components, least)

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
        n, top = self.backend.n, min(self.depth, 1)
        chosen = (
            np.empty(0, np.intp) if only_full else self._sample(shapes(self.shape, top)[-1])
        )
        norms, sums = self._survey(_Survey(chosen, self.shape, top > 0))
        whole = float(norms.sum())
        if whole == 0:
            raise ValueError("Every pixel of the stack is 0: there is nothing to factorize.")
        levels = []
        if top or len(chosen) < n:
            levels.append(Level(self.backend, whole, 0.0, 0, self.cells(0).reshape(-1)))
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
        shape = shapes(survey.shape, int(survey.is_halved))[-1]
        sums = np.empty((len(survey.chosen), *shape), np.float32)
        norms = np.empty(self.backend.n)
        face = picture = 0
        for some_norms, pictures in self.backend.each(_look, survey):
            norms[face : face + len(some_norms)] = some_norms
            sums[picture : picture + len(pictures)] = pictures
            face += len(some_norms)
            picture += len(pictures)
        return norms, sums

    def _sample(self, shape: tuple[int, ...]) -> NDArray[np.intp]:
        """Choose the faces of the levels that are held in memory, in order."""
        n = self.backend.n
        few = max(_SAMPLE_FACES, _SAMPLE_VALUES // math.prod(shape))
        few = max(few, 4 * self.params.n_components)
        if n <= few:
            return np.arange(n)
        _LOG.info("Small pictures of %d of %d faces are fitted first.", few, n)
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
        n = coarsest.backend.n
        if n < 2 * few:
            return []
        assert isinstance(coarsest.backend, LocalBackend)
        some = self._drawn(n, few)
        pictures = coarsest.backend.blocks.images[some]
        return [self._held(pictures, coarsest.level, coarsest.cells, float(norms[some].sum()))]

    def _held(self, pictures: Array, level: int, cells: Array, whole: float) -> Level:
        """Return a level of pictures in memory; `whole` is the norm of the full ones."""
        rows = pictures.reshape(len(pictures), -1)
        norm = squares(rows)
        backend = LocalBackend(FaceBlocks(pictures), self.workers)
        return Level(backend, norm, whole - norm, level, cells)

    def cells(self, level: int) -> Array:
        """Return the square root of how many visible pixels each of a level stands for."""
        cells: Array = np.sqrt(cell_sizes(self.shape, level, self.mask))
        return cells


# -- The fast solver: coarse to fine, extrapolated, in blocks of faces -----------------

# What a coarse level is spared comes back as iterations on finer ones, which cost more.
_FIRST_TOL = 1e-4  # of the level that a fit begins with, and of those of some faces
_COARSE_TOL = 2e-4  # of those of all faces between them and the full pictures
_COARSE_ITERATIONS = 100
_NEW_SWEEPS = 30  # where most faces are new, whose weights are only guessed


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
    init : tuple of arrays, optional
        Weights (n, k) and components (k, p) to start from, which are improved on the full
        pictures alone.
    mask : bool array of shape (h, w), optional
        True marks pixels that count nowhere: components are 0 there.
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
        fit = _Fit(stack, params, workers, cluster, init, mask)
        try:
            yield from fit.run()
            return fit.result(measured=measured)
        except WorkersLostError as error:
            error.factors = error.factors and fit.in_units(error.factors)
            raise


class _Fit:
    """One run of the solver."""

    def __init__(
        self,
        stack: FaceStack,
        params: NMFParams,
        workers: Workers,
        cluster: Cluster | None,
        init: tuple[NDArray[Any], NDArray[Any]] | None,
        mask: NDArray[np.bool_] | None,
    ) -> None:
        self.stack, self.params, self.workers = stack, params, workers
        self.cluster = cluster
        self.init, self.mask = init, mask
        self.hidden = None if mask is None else over_channels(mask, stack.picture_shape)
        self.shape = stack.picture_shape
        self.scale, unit = _units(stack, cluster, mask)
        self.gain = unit / self.scale
        hidden = None if self.hidden is None else np.flatnonzero(self.hidden)
        self.backend: Backend
        if cluster is None:
            self.backend = LocalBackend(FaceBlocks(stack.images, unit, hidden=hidden), workers)
        else:
            self.backend = ClusterBackend(cluster, unit, hidden)
        self.reader = LevelReader(self.backend, self.shape, params, workers, mask)
        self.iteration = 0
        self.factors: Factors | None = None
        where = (
            f"{workers.threads} threads" if cluster is None else f"cluster {cluster.address}"
        )
        _LOG.info("%d faces are fitted by the %s.", len(stack), where)

    # -- fitting ----------------------------------------------------------------

    def run(self) -> Generator[Factors, Literal["stop"] | None, None]:
        """Fit the levels one after the other."""
        levels = self.reader.read(only_full=self.init is not None)
        W, H = self._from_init(*self.init) if self.init else self._start(levels[0].backend)
        tols = self._tols(levels)
        descent = self._descent(levels[0], W, H, tols[0])
        is_stopped = False
        for tol in [*tols[1:], 0]:
            level = levels.pop(0)  # its small pictures are gone when the next one is fitted
            finer = levels[0] if levels else None
            if not is_stopped:
                is_stopped = yield from self._descend(descent, level, is_last=finer is None)
            elif level.backend.n == self.backend.n:
                yield from self._sharpen(descent, level)
            if finer is not None:
                descent = self._refine(descent, level, finer, tol)

    def _tols(self, levels: list[Level]) -> list[float]:
        """Return the tolerance of each level."""
        tols = [
            _FIRST_TOL if level.backend.n < self.backend.n else _COARSE_TOL for level in levels
        ]
        tols[0] = _FIRST_TOL
        return [*(max(tol, self.params.tol) for tol in tols[:-1]), self.params.tol]

    def result(self, *, measured: bool) -> Factors:
        """Return the last factors, maybe with the error of what a model makes of them."""
        assert self.factors is not None
        last = self.in_units(self.factors)
        return self._measured(last) if measured else last

    def in_units(self, factors: Factors) -> Factors:
        """Return factors in the type and the units that the stack asks for."""
        dtype = matrix_dtype(self.stack.dtype)
        W = factors.W.astype(dtype) * dtype.type(self.gain)
        return replace(factors, weights=W, H=factors.H.astype(dtype))

    def _measured(self, last: Factors) -> Factors:
        """Return factors with the error, in float64, of what the model makes of them."""
        pictures = last.pictures().reshape(self.params.n_components, -1)
        W, H = normalized(last.W, pictures)
        sums = np.zeros(2)
        weights = self.backend.hand_out(np.ascontiguousarray(W.T))
        for some in self.backend.each(
            _measure,
            (H, self.scale, None if self.hidden is None else self.hidden.reshape(1, -1)),
            weights,
        ):
            sums += some
        error = float(np.sqrt(sums[0] / sums[1]))
        return replace(last, error=error)

    def _start(self, backend: Backend) -> tuple[Array, Array]:
        """Return the factors that the coarsest level starts from."""
        assert isinstance(backend, LocalBackend)  # the coarsest level is held in memory
        rows = backend.blocks.images.reshape(backend.n, -1)
        W, H = initial_factors(rows, self.params, self.params.random_state)
        return np.ascontiguousarray(W.T), np.ascontiguousarray(H)

    def _from_init(self, W: NDArray[Any], H: NDArray[Any]) -> tuple[Weights, Array]:
        """Return the start that was given, in the units of this fit."""
        H = np.array(H, np.float32, order="C")
        H *= self.reader.cells(0).reshape(-1)  # 0 or 1
        unit = max(self.gain, 1e-15)
        return self.backend.hand_out(np.ascontiguousarray(W.T / unit, np.float32)), H

    def _descent(self, level: Level, W: Weights, H: Array, tol: float) -> Descent:
        """Return the fit of a level."""
        penalties, sparseness = self._penalties(level.backend.n), self.params.sparseness
        return Descent(
            level.backend,
            W,
            H,
            level.norm,
            self.workers,
            penalties,
            level.cells,
            tol,
            Sparsity(sparseness, level.cells, len(H)) if sparseness else None,
        )

    def _refine(self, coarse: Descent, level: Level, finer: Level, tol: float) -> Descent:
        """Return the fit of the next level, from where that of the last one stands.

        Components that are smooth explain pictures better at once, and are tried first;
        those that are constant where a pixel was explain them exactly as well as before.
        Faces that were not in the sample start with mean weights: one pass finds their own.
        """
        H = self._enlarged(coarse.H, level, finer, enlarge)
        if finer.backend.n > level.backend.n:
            W = finer.backend.repeat(coarse.W.mean(axis=1, keepdims=True))
        else:
            W = finer.backend.hand_out(coarse.W)
        descent = self._descent(finer, W, H, tol)
        if finer.backend.n > level.backend.n:
            descent.sweeps = _NEW_SWEEPS
        else:
            descent.beta = max(descent.beta, coarse.beta)
        if finer.level < level.level:
            guess = self._enlarged(coarse.H, level, finer, smooth)
            residual, loss = np.inf, np.inf
            if finer.backend.n == level.backend.n:
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
        how: Callable[[NDArray[Any], tuple[int, ...]], NDArray[Any]],
    ) -> Array:
        """Return components of a level for the next one."""
        if finer.level == level.level:
            return H
        shape, coarse_shape = (shapes(self.shape, each.level)[-1] for each in (finer, level))
        cells = np.where(level.cells > 0, level.cells, 1)
        pictures = how((H / cells).reshape(-1, *coarse_shape), shape)
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

    def _sharpen(self, descent: Descent, level: Level) -> Generator[Factors, Any, None]:
        """Bring what was reached when a stop was asked for to a finer level, and to all faces.

        It does not count as an iteration: a stop after as many gives the same again.
        """
        for _ in descent.iterate():
            assert self.factors is not None
            yield self.factors
        self._report(descent, level)

    def _report(self, descent: Descent, level: Level, *, converged: bool = False) -> Factors:
        """Keep and return where the fit stands."""
        lost = max(descent.residual + level.offset, 0.0)
        W = descent.W
        self.factors = Factors(
            W.T if isinstance(W, np.ndarray) else lambda: level.backend.collect(W).T,
            self._shown(descent.H, level),
            self.shape,
            self.iteration,
            converged,
            float(np.sqrt(lost / (level.norm + level.offset))),
            self.scale,
            level.level,
        )
        if self.cluster is not None:
            self.cluster.keep(replace(self.factors, H=self.factors.H.copy()))
        return self.factors

    def _shown(self, H: Array, level: Level) -> Array:
        """Return components for a picture: hidden pixels are taken for the others' mean."""
        if self.mask is None or not level.level:
            return H
        full = np.sqrt(cell_sizes(self.shape, level.level)).reshape(-1)
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
    H, scale, hidden = shared
    pixels = block.raw.reshape(len(block.raw), -1)
    lost, size = face_errors(pixels, W.T, H, scale, hidden=hidden)
    return np.array([lost.sum(), size.sum()])


def _units(
    stack: FaceStack, cluster: Cluster | None, mask: NDArray[np.bool_] | None
) -> tuple[float, float]:
    """Check all pixels; return the scale of the result, and the unit to calculate in.

    The unit is 255 for uint8, or what files declare, and else the largest pixel, which
    keeps the smallest of them within the range of float32.
    """
    if known := stack.known_scale:
        return known, known
    look = cluster.peak if cluster else partial(peak, stack.images)
    largest = look(stack.names, mask)
    return unit_scale(largest, stack.dtype), largest or 1.0
