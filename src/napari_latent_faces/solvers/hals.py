"""Hierarchical alternating least squares (HALS), accelerated and extrapolated.

`sweep` is the accelerated HALS of N. Gillis, F. Glineur: Accelerated multiplicative updates and
hierarchical ALS algorithms for nonnegative matrix factorization. Neural Computation 24 (2012),
doi:10.1162/NECO_a_00256: each factor is swept several times for a product with the pixels,
which costs more. `Descent` extrapolates both factors, and goes back where the error rises: A.
M. S. Ang, N. Gillis: Accelerating nonnegative matrix factorization algorithms using
extrapolation. Neural Computation 31 (2019), doi:10.1162/neco_a_01157, algorithm 3: `beta` and
its bound rise by gamma and gamma-bar, and fall by eta.
"""

from __future__ import annotations

import logging
import math
import os
from dataclasses import dataclass
from functools import cache, reduce
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from napari_latent_faces.solvers.blocks import add, cut, row_squares
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.solvers.blocks import Block, Sums, Workers
    from napari_latent_faces.solvers.cluster import Backend

    Weights = Any  # as the backend keeps them
    Array = NDArray[np.float32]

_LOG = logging.getLogger(__name__)

SWEEPS = 3
_DEAD = 1e-12  # of the largest diagonal entry
_SOME = 16  # components
_SWITCH = "LATENT_FACES_BACKEND"


def sweep(F: Array, G: NDArray[Any], C: Array, sweeps: int = SWEEPS) -> None:
    """Minimise ``<F, G F> / 2 - <C, F>`` over ``F >= 0``, one component after the other.

    `F` (k, m) is improved in place, its rows in one piece each; `G` (k, k) is the Gram matrix
    of the other factor, and `C` (k, m) its products with the pixels. A component without a
    diagonal entry in `G` stays as it is.
    """
    _chosen().sweep(F, G.astype(np.float32, copy=False), C, sweeps)


def cross(H: Array, block: Block) -> Array:
    """Multiply components (k, p) with the faces of a block: shape (k, m)."""
    C = np.empty((len(H), len(block.raw)), np.float32)
    # what came over a network may begin at any byte
    _chosen().cross(C, H if H.flags.aligned else H.copy(), _pixels(block), block.gain)
    return C


def combine(W: Array, block: Block) -> Array:
    """Add up the faces of a block with weights (k, m): shape (k, p)."""
    WX = np.empty((len(W), block.blocks.p), np.float32)
    _chosen().combine(WX, W, _pixels(block), block.gain)
    return WX


def gram(F: Array) -> NDArray[np.float64]:
    """Multiply the rows of a factor with one another, precisely enough for a loss.

    In float32, a sum is known to 1e-7: some iterations gain less. Of some components, the
    errors cancel out, to 1e-8 of the loss's sum and less.
    """
    if len(F) < _SOME:
        wide = F.astype(np.float64)
        return wide @ wide.T
    G = np.empty((len(F), len(F)), np.float32)
    _chosen().cross(G, F, F, 1)
    return G.astype(np.float64)


def _pixels(block: Block) -> NDArray[Any]:
    return block.as_is if _chosen() is _NumPy else block.bytes_or_floats


class _NumPy:
    """What the compiled module does faster."""

    @staticmethod
    def sweep(F: Array, G: Array, C: Array, sweeps: int) -> None:
        diagonal = G.diagonal()
        alive = diagonal > _DEAD * diagonal.max(initial=0)
        inverse = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=alive)[:, None]
        A, targets = G * inverse, C * inverse
        np.fill_diagonal(A, np.where(alive, 0, -1))
        now = np.ascontiguousarray(F)  # faster than rows that lie far apart
        rest = np.empty(F.shape[1], np.float32)
        for _ in range(sweeps):
            for couplings, target, row in zip(A, targets, now, strict=True):
                couplings.dot(now, rest)
                np.subtract(target, rest, out=rest)
                np.maximum(rest, 0, out=row)
        F[:] = now

    @staticmethod
    def cross(out: Array, F: Array, X: Array, gain: float) -> None:
        np.multiply((X @ F.T).T, gain, out=out)  # faster than F @ X.T

    @staticmethod
    def combine(out: Array, F: Array, X: Array, gain: float) -> None:
        np.matmul(F, X, out=out)
        out *= gain

    @staticmethod
    def extrapolate(out: Array, now: Array, before: Array, beta: float) -> None:
        np.subtract(now, before, out=out)
        out *= np.float32(beta)
        out += now
        np.maximum(out, 0, out=out)


def backend() -> Literal["c", "numpy"]:
    """Return what does the work; ``LATENT_FACES_BACKEND=numpy`` leaves the compiled code."""
    return "numpy" if _chosen() is _NumPy else "c"


@cache
def _chosen() -> Any:
    if os.environ.get(_SWITCH) == "numpy":
        _LOG.info("NumPy works on the factors: %s asks for it.", _SWITCH)
        return _NumPy
    try:
        from napari_latent_faces.solvers import _kernel

        _check(_kernel)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, NumPy can do the work
        _LOG.info("NumPy works on the factors: %s.", str(error) or type(error).__name__)
        return _NumPy
    _LOG.info("Compiled code works on the factors.")
    return _kernel


def _check(compiled: Any) -> None:
    """Raise unless compiled code does to small factors what NumPy does."""
    k, m = 7, 70
    F = np.cos(np.arange(k * m, dtype=np.float32)).reshape(k, m)
    A = np.sin(np.arange(k * k, dtype=np.float32)).reshape(k, k)
    np.fill_diagonal(A, k)
    found = []
    for kernel in (compiled, _NumPy):
        swept, C, WX, on = F.copy(), np.empty_like(A), np.empty_like(F), np.empty_like(F)
        kernel.sweep(swept, A, F, 2)
        kernel.cross(C, F, F, 0.5)
        kernel.combine(WX, A, F, 0.5)
        kernel.extrapolate(on, swept, F, 0.5)
        found.append(np.hstack([swept, C, WX, on]))
    if not np.allclose(found[0], found[1], rtol=1e-4, atol=1e-5):
        raise ArithmeticError("the compiled code gives other results than NumPy")


_TOL = 2e-5  # of a ratio of norms in float32
_MARGIN = 3e-5  # by which ratios stay below their limit, so that none is found above it
_STEPS = 100  # of a search that takes three or four


class Sparsity:
    """Keeps each of `k` components at a `sparseness` of Hoyer's measure, as a full picture.

    `cells` (p,) are the square roots of how many pixels each pixel of the level stands for.
    """

    def __init__(self, sparseness: float, cells: Array, k: int) -> None:
        root = math.sqrt(float(cells @ cells))
        self.ratio = (root - sparseness * (root - 1)) * (1 - _MARGIN)
        self.cells = cells
        self._thresholds = [0.0] * k  # where to look for them first

    def update_H(self, H: Array, G: NDArray[Any], C: Array, sweeps: int) -> None:
        """Improve components in place like `sweep`, but keep each sparse enough.

        Each goes to the sparse picture nearest to its best one, so that the loss never rises.
        """
        scale = G.diagonal()
        for _ in range(sweeps):
            for t, row in enumerate(H):
                best = row
                if scale[t] > 0:
                    best = C[t] - G[t] @ H
                    best /= scale[t]
                    best += row
                row[:], self._thresholds[t] = nearest_sparse(
                    best, self.cells, self.ratio, self._thresholds[t]
                )


def nearest_sparse(
    row: NDArray[Any], cells: NDArray[Any], ratio: float, threshold: float = 0.0
) -> tuple[NDArray[Any], float]:
    """Return the non-negative row nearest to `row` (p,) with ``cells @ row <= ratio * |row|``.

    It is what of the row is above a threshold, stretched, and comes with that threshold: what
    entries have lost for each unit of `cells`. The threshold solves a quadratic equation, if it
    is known which entries are above it; those above the last one are tried until they stay the
    same. `ratio` is more than the smallest of the `cells`; `threshold` is where to begin.

    P. O. Hoyer: Non-negative matrix factorization with sparseness constraints. Journal of
    Machine Learning Research 5 (2004), doi:10.5555/1005332.1044709. That this ends at the
    nearest: M. Thom, G. Palm: Sparse activity and sparse connectivity in supervised learning.
    JMLR 14 (2013), doi:10.5555/2567709.2502622.
    """
    weights, before = cells * cells, 0.0
    left, above = np.empty_like(row), np.empty_like(row)
    begin = threshold
    for _ in range(_STEPS):
        np.multiply(cells, -threshold, out=left)
        left += row
        np.maximum(left, 0, out=left)
        l1, l2 = float(cells @ left), float(left @ left)
        limit = ratio * math.sqrt(l2)
        if threshold == 0 and l1 <= limit:
            return left, 0.0
        np.greater(left, 0, out=above)
        size = float(weights @ above)
        if size <= ratio * ratio:  # it is too high, or all that are left are alike
            break
        if size == before and l1 <= limit * (1 + _TOL):
            left *= float(left @ row) / l2
            return left, threshold
        before = size
        wanted = ratio * math.sqrt(max(size * l2 - l1 * l1, 0.0) / (size - ratio * ratio))
        threshold = max(threshold + (l1 - wanted) / size, 0.0)
    if begin:
        return nearest_sparse(row, cells, ratio)
    return _any_of_the_largest(row, cells, ratio), 0.0


def _any_of_the_largest(row: NDArray[Any], cells: NDArray[Any], ratio: float) -> NDArray[Any]:
    """Return what is nearest to a row of which many entries are the largest: one of many."""
    shares = np.divide(row, cells, out=np.zeros_like(row), where=cells > 0)
    largest = np.flatnonzero(shares >= (1 - _MARGIN) * shares.max())
    chosen = np.zeros(len(row))
    chosen[largest] = cells[largest]
    if len(largest) > 1:  # a slight slope decides
        chosen[largest] *= np.linspace(1 + 1e-4, 1, len(largest))
        chosen = nearest_sparse(chosen, cells, ratio)[0]
    chosen *= float(chosen @ row) / float(chosen @ chosen)
    return chosen.astype(row.dtype)


class Penalties(NamedTuple):
    """Weights of the L1 and squared L2 norms of both factors, in the loss of a level."""

    l1_W: float = 0.0
    l2_W: float = 0.0
    l1_H: float = 0.0
    l2_H: float = 0.0

    def __bool__(self) -> bool:
        return any(self)


def _update_W(
    block: Block,
    step: tuple[Array, NDArray[Any], float, int, Penalties],
    now: Array,
    before: Array,
) -> tuple[Array, Sums]:
    """Find the weights W of a block; return also W X, W W' and the sum of W, to be added up.

    Weights first move on by `beta` times their last change.
    """
    H, G, beta, sweeps, penalties = step
    W = np.empty(now.shape, np.float32)
    _chosen().extrapolate(W, now, before, beta)
    C = cross(H, block)
    if penalties.l1_W:
        C -= np.float32(penalties.l1_W)
    sweep(W, _ridge(G, penalties.l2_W), C, sweeps)
    size = W.sum(dtype=np.float64, keepdims=True) if penalties else np.zeros((1, 1))
    return W, (combine(W, block), gram(W), size)


def _squared_errors(block: Block, H: Array, W: Array) -> NDArray[np.float64]:
    """Sum the squared differences of each face of a block."""
    lost = W.T @ H
    lost -= block.as_is if block.gain == 1 else block.as_is * block.gain
    return row_squares(lost)


def _restart(
    block: Block, restarts: dict[int, tuple[int, np.float32]], W: Array
) -> tuple[Array, Sums]:
    """Give components one face each, with a weight: ``{component: (face, weight)}``."""
    W = W.copy()
    for t, (i, weight) in restarts.items():
        W[t] = 0
        if block.place.start <= i < block.place.stop:
            W[t, i - block.place.start] = weight
    return W, ()


# Columns of a factor that are swept at a time, at most, and fewer for the sake of a second
# thread. Shorter rows cost more in calls than they gain in the cache.
_COLUMNS = (3072, 6144)
_FIRST_SWEEPS = 8  # of both factors, when a level begins
_MANY = 128  # components
_MANY_SWEEPS = 5  # of many components: fewer products are needed for the same loss
_PATIENCE = 2  # iterations with little improvement
_BETA = 0.5  # the first extrapolation, as a share of the last change
_GAMMA, _GAMMA_BOUND, _ETA = 1.05, 1.01, 1.5  # by which it and its bound rise, and it falls
_NOTHING = 1e-10  # of the squared norm: a lack that rounding explains
_FINE = 1e-3  # a relative error that pixels of 8 bits do not tell from none
_CANCELLED = 1e-3  # squared error under which the Gram matrices lose too many digits


@dataclass(eq=False)
class Level:
    """The pictures of a level.

    `norm` is their squared norm, `offset` what halving took from it, `level` how often they
    were halved, `cells` (p,) the square root of the number of visible pixels behind each.
    """

    backend: Backend
    norm: float
    offset: float
    level: int
    cells: Array


@dataclass(eq=False)
class Descent:
    """A fit of one level: factors that get better with each iteration.

    `W`, as the backend keeps weights, and `H` (k, p), float32 in C order, are the best factors
    so far, never changed in place, and `residual` their squared error ``|X - W'H|^2``. The
    loss is ``|X - W'H|^2 / 2 + l1 |F|_1 + l2 |F|^2 / 2``; an iteration is quiet if its root
    falls by less than `tol` of it, of which a thousandth of the pixels is the least.
    """

    level: Level
    W: Weights
    H: Array
    workers: Workers
    penalties: Penalties
    tol: float
    sparsity: Sparsity | None = None
    guess: Array | None = None  # components to try first, which are taken over
    loss: float = np.inf
    beta: float = _BETA
    sweeps: int = _FIRST_SWEEPS  # of the next iteration
    _bound: float = 1.0
    _quiet: int = 0

    def __post_init__(self) -> None:
        self.backend, self.norm = self.level.backend, self.level.norm
        self.residual = self.norm
        self._W_before, self._H_before = self.W, self.H
        self._alive: Any = self.H.any(axis=1)  # components of which any face has some
        self._columns = cut(self.backend.p, _COLUMNS[1], _COLUMNS[0], shares=2)

    @property
    def is_done(self) -> bool:
        """Whether the last iterations have improved little."""
        return self.tol > 0 and self._quiet >= _PATIENCE

    def iterate(self) -> Iterator[None]:
        """Make one iteration; yield now and then during a long one."""
        beta = 0.0 if self.W is self._W_before else self.beta
        guess, self.guess = self.guess, None
        H, G = self._further(beta, guess)
        self._H_before = self.H  # what was before is not needed again: large pictures take much
        step = H, G, beta, self.sweeps, self.penalties
        W, sums = yield from self.backend.advance(_update_W, step, self.W, self._W_before)
        HH, residual, penalty = self._update_H(H, *sums)
        if residual < _CANCELLED * self.norm:
            residual = float(self._losses(W, H).sum())
        loss = float(np.sqrt(max(residual + penalty, 0.0)))
        falls = loss <= self.loss
        if falls or guess is None:
            self._judge(W, H, residual, loss, falls)
        else:
            self.loss = np.inf  # known to rounding only: the next step is judged by itself
        if falls:
            self._alive = (sums[1].diagonal() > 0) & (HH.diagonal() > 0)
        self.revive()

    def _judge(self, W: Weights, H: Array, residual: float, loss: float, falls: bool) -> None:
        """Accept the new factors if the loss fell, else go back and extrapolate less."""
        self.sweeps = SWEEPS if len(H) < _MANY else _MANY_SWEEPS
        if falls or self.W is self._W_before:  # a plain step rises by rounding only
            # towards an error of 0, each loss may be but a part of the one before for ever
            little = self.loss - loss <= self.tol * max(loss, _FINE * self.norm**0.5)
            self._quiet = self._quiet + 1 if little else 0
        self._W_before = self.W
        if not falls:
            self._bound, self.beta = self.beta, self.beta / _ETA
            return
        self.beta = min(self._bound, _GAMMA * self.beta)
        self._bound = min(1.0, _GAMMA_BOUND * self._bound)
        self.W, self.H, self.loss, self.residual = W, H, loss, residual

    def _further(self, beta: float, guess: Array | None) -> tuple[Array, NDArray[Any]]:
        """Return a guess, or else extrapolated components, with their Gram matrix."""
        H = np.empty_like(self.H) if guess is None else guess

        def job(columns: slice) -> NDArray[Any]:
            part = H[:, columns]
            if guess is None:
                now, before = self.H[:, columns], self._H_before[:, columns]
                _chosen().extrapolate(part, now, before, beta)
            return gram(part)

        return H, reduce(np.add, self.workers.each(job, self._columns))

    def _update_H(
        self, H: Array, WX: Array, WW: NDArray[np.float64], W_size: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], float, float]:
        """Improve components in place; return H H', the residual, and twice the penalties."""
        l1_W, l2_W, l1_H, l2_H = self.penalties
        cells, ridge = self.level.cells, _ridge(WW.astype(np.float32), l2_H)
        C = WX - np.float32(l1_H) * cells if l1_H else WX

        def job(columns: slice) -> Sums:
            part = H[:, columns]
            if not self.sparsity:
                sweep(part, ridge, C[:, columns], self.sweeps)
            # rows in float32, their sum in float64
            common = np.vecdot(WX[:, columns], part).sum(dtype=np.float64, keepdims=True)
            weighed = part @ cells[columns] if self.penalties else np.zeros(1)
            return common, gram(part), weighed.sum(dtype=np.float64, keepdims=True)

        if self.sparsity:  # which all pixels of a component decide about together
            self.sparsity.update_H(H, ridge, C, self.sweeps)
        [common], HH, [H_size] = reduce(add, self.workers.each(job, self._columns))
        l1 = l1_W * W_size.item() + l1_H * H_size
        l2 = l2_W * np.trace(WW) + l2_H * np.trace(HH)
        return HH, float(self.norm - 2 * common + np.vdot(WW, HH)), float(2 * l1 + l2)

    def revive(self) -> None:
        """Restart components that no face uses from what the worst explained faces lack.

        They stay empty where nothing is lacking, and where penalties ask for empty ones.
        """
        if self._alive.all() or self.penalties:
            return
        dead = np.flatnonzero(~self._alive)
        H = self.H.copy()
        worst = np.argsort(-self._losses(self.W, H), kind="stable")
        restarts: dict[int, tuple[int, np.float32]] = {}
        for t, i in zip(dead.tolist(), worst[: len(dead)].tolist(), strict=True):
            face, weights = self.backend.face(i, self.W)
            weights[list(restarts)] = 0
            lack = np.maximum(face - weights @ H, 0)
            if self.sparsity:
                lack, _ = nearest_sparse(lack, self.sparsity.cells, self.sparsity.ratio)
            size = float(np.sqrt(lack @ lack))
            if size**2 <= _NOTHING * self.norm:
                break
            restarts[t] = i, np.float32(np.sqrt(size))
            H[t] = lack / np.float32(np.sqrt(size))
            self.residual = max(0.0, self.residual - size**2)
        W = self.W
        if restarts:
            W, _ = consume(self.backend.advance(_restart, restarts, W))
            self._alive[list(restarts)] = True
        self.loss = float(np.sqrt(self.residual))
        self.W = self._W_before = W
        self.H = self._H_before = H

    def _losses(self, W: Weights, H: Array) -> NDArray[np.float64]:
        """Sum the squared differences of each face: shape (n,)."""
        return np.concatenate(list(self.backend.each(_squared_errors, H, W)))


def _ridge(G: NDArray[Any], l2: float) -> NDArray[Any]:
    """Add `l2` to the diagonal."""
    return G + np.float32(l2) * np.eye(len(G), dtype=np.float32) if l2 else G
