"""The fast solver: coarse to fine, extrapolated, in blocks of faces."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_latent_faces.solvers.blocks import (
    FaceBlocks,
    LocalBackend,
    Workers,
    face_errors,
    relative_error,
)
from napari_latent_faces.solvers.cluster import Cluster, ClusterBackend, WorkersLostError
from napari_latent_faces.solvers.factors import Factors, Solving, normalized
from napari_latent_faces.solvers.hals import CANCELLED, Descent, Penalties, Sparsity
from napari_latent_faces.solvers.levels import (
    cell_sizes,
    enlarge,
    read_levels,
    roots,
    shapes,
    smooth,
)
from napari_latent_faces.stack import matrix_dtype, over_channels, peak, unit_scale

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams
    from napari_latent_faces.solvers.blocks import Backend, Block, Weights
    from napari_latent_faces.solvers.levels import Level
    from napari_latent_faces.stack import FaceStack

    Array = NDArray[np.float32]

_LOG = logging.getLogger(__name__)

# -- Where a factorization starts: where scikit-learn starts, without importing it -----

_OVERSAMPLES = 10
_TINY = 1e-6  # smaller entries of the singular vectors count as zero


def initial_factors(
    X: NDArray[Any], params: NMFParams, random_state: int | None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the factors that a fit of `X` starts from.

    C. Boutsidis, E. Gallopoulos: SVD based initialization: a head start for nonnegative matrix
    factorization. Pattern Recognition 41 (2008), doi:10.1016/j.patcog.2007.09.010.
    N. Halko, P. G. Martinsson, J. A. Tropp: Finding structure with randomness: probabilistic
    algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2011),
    doi:10.1137/090771806.
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


# -- The fast solver: coarse to fine, extrapolated, in blocks of faces -----------------

_FIRST_TOL = 1e-4  # of the level that a fit begins with, and of those of some faces
_COARSE_TOL = 2e-4  # of those of all faces between them and the full pictures
_COARSE_ITERATIONS = 100
_NEW_SWEEPS = 30  # where most faces are new, whose weights are only guessed
_ENLARGED_VALUES = 2**20  # of the components that are enlarged at a time: copies are made
_LEAST_GAIN = 1e-15
_MANY_PIXELS = 2**18


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
        self.cluster, self.init, self.mask = cluster, init, mask
        self.hidden = None if mask is None else over_channels(mask, stack.picture_shape)
        self.shape = stack.picture_shape
        self.cells = roots(self.shape, 0, mask)  # 0 or 1
        self.scale, unit = _units(stack, cluster, mask)
        self.gain = unit / self.scale
        hidden = None if self.hidden is None else np.flatnonzero(self.hidden)
        self.backend: Backend
        if cluster is None:
            self.backend = LocalBackend(FaceBlocks(stack.images, unit, hidden=hidden), workers)
            where = f"{workers.threads} threads"
        else:
            self.backend = ClusterBackend(cluster, unit, hidden)
            where = f"cluster {cluster.address}"
        self.iteration = 0
        self.factors: Factors | None = None
        _LOG.info("%d faces are fitted by the %s.", len(stack), where)

    def run(self) -> Generator[Factors, Literal["stop"] | None, None]:
        """Fit the levels one after the other."""
        levels = read_levels(
            self.backend,
            self.shape,
            self.params,
            self.workers,
            self.mask,
            only_full=self.init is not None,
        )
        W, H = self._start(levels[0].backend)
        # what a coarse level is spared comes back as iterations on finer ones, which cost more
        coarse = [
            _COARSE_TOL if each.backend.n == self.backend.n else _FIRST_TOL for each in levels
        ]
        coarse[0] = _FIRST_TOL
        tols = [*(max(tol, self.params.tol) for tol in coarse[:-1]), self.params.tol]
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

    def result(self, *, measured: bool) -> Factors:
        """Return the last factors, if `measured` with the error that a model has.

        The sums of the last iteration tell it to 1e-5 of it, unless it is small: of many
        pixels, the errors of rounding cancel out.
        """
        assert self.factors is not None
        last = self.in_units(self.factors)
        is_told = last.level == 0 and last.error**2 > CANCELLED
        if not measured or (is_told and self.backend.n * self.backend.p > _MANY_PIXELS):
            return last
        W, H = normalized(last.W, last.pictures().reshape(self.params.n_components, -1))
        hidden = None if self.hidden is None else self.hidden.reshape(1, -1)
        weights = self.backend.hand_out(np.ascontiguousarray(W.T))
        errors = self.backend.each(_measure, (H, self.scale, hidden), weights)
        return replace(last, error=relative_error(errors))

    def in_units(self, factors: Factors) -> Factors:
        """Return factors in the type and the units that the stack asks for."""
        dtype = matrix_dtype(self.stack.dtype)
        W = factors.W.astype(dtype) * dtype.type(self.gain)
        return replace(factors, weights=W, H=factors.H.astype(dtype))

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
        sparseness = self.params.sparseness
        return Descent(
            level.backend,
            W,
            H,
            level.norm,
            self.workers,
            self._penalties(level.backend.n),
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
            residual = loss = np.inf
            if not is_new:
                more = level.offset - finer.offset  # by rounding, perhaps below 0
                residual = max(coarse.residual + more, 0.0)
                loss = float(np.sqrt(max(coarse.loss**2 + more, 0.0)))
            descent.attempt(self._enlarged(coarse.H, level, finer, smooth), residual, loss)
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
        finer_H = np.empty((len(H), finer.backend.p), np.float32)
        some = max(1, _ENLARGED_VALUES // finer.backend.p)
        for t in range(0, len(H), some):
            pictures = how((H[t : t + some] / cells).reshape(-1, *coarse_shape), shape)
            np.multiply(
                pictures.reshape(-1, finer.backend.p), finer.cells, out=finer_H[t : t + some]
            )
        return finer_H

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
        params, p = self.params, int(self.cells.sum())
        alpha_H = params.alpha_W if params.alpha_H == "same" else params.alpha_H
        W, H = params.alpha_W * p, float(alpha_H) * n
        l1, gain = params.l1_ratio, max(self.gain, _LEAST_GAIN)
        return Penalties(W * l1 / gain, W * (1 - l1), H * l1 / gain**2, H * (1 - l1) / gain**2)


def _measure(
    block: Block, shared: tuple[NDArray[Any], float, NDArray[np.bool_] | None], W: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared errors of a block of faces, and their squared norms."""
    H, scale, hidden = shared
    return face_errors(block.raw.reshape(len(block.raw), -1), W.T, H, scale, hidden=hidden)


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
