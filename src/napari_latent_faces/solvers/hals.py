"""Hierarchical alternating least squares over blocks, with extrapolation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from napari_latent_faces.solvers.blocks import cut, row_squares
from napari_latent_faces.solvers.kernel import SWEEPS, sweep
from napari_latent_faces.steps import consume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from napari_latent_faces.solvers.blocks import Backend, Block, Weights, Workers
    from napari_latent_faces.solvers.sparse import Sparsity

    Array = NDArray[np.float32]

__all__ = ["Descent", "Penalties", "cut_columns"]

# Columns of a factor that are swept at a time, at most, and fewer for the sake of a second
# thread. Shorter rows cost more in calls than they gain in the cache, and threads would
# wait for one another between the calls.
_COLUMNS = (3072, 6144)
_FIRST_SWEEPS = 8  # of both factors, when a level begins
_MANY = 128  # components
_MANY_SWEEPS = 5  # of many components: fewer products are needed for the same loss
_PATIENCE = 2  # iterations with little improvement
_BETA = 0.5  # the first extrapolation, as a share of the last change
_NOTHING = 1e-10  # of the squared norm: a lack that rounding explains
_FINE = 1e-3  # a relative error that pixels of 8 bits do not tell from none
_CANCELLED = 1e-3  # squared error under which the Gram matrices lose too many digits


@dataclass(frozen=True)
class Penalties:
    """Weights of the L1 and squared L2 norms of both factors, in the loss of a level."""

    l1_W: float = 0.0
    l2_W: float = 0.0
    l1_H: float = 0.0
    l2_H: float = 0.0

    def __bool__(self) -> bool:
        return any((self.l1_W, self.l2_W, self.l1_H, self.l2_H))

    def of(self, sums: _Sums) -> float:
        """Return twice the penalties."""
        l1 = self.l1_W * sums.size_W + self.l1_H * sums.size_H
        l2 = self.l2_W * np.trace(sums.WW) + self.l2_H * np.trace(sums.HH)
        return float(2 * l1 + l2)


@dataclass
class _Sums:
    """What an iteration adds up over the blocks: all that the loss is made of."""

    WW: NDArray[np.float64]  # (k, k) Gram matrices
    HH: NDArray[np.float64]
    cross: float = 0.0  # <W X, H>
    size_W: float = 0.0  # L1 norms
    size_H: float = 0.0

    def residual(self, norm: float) -> float:
        """Return ``|X - W'H|^2``, given ``|X|^2``."""
        return norm - 2 * self.cross + float(np.vdot(self.WW, self.HH))


# -- what is done to a block of faces, here or on a cluster ----------------------


@dataclass(frozen=True, eq=False)
class _Step:
    """What finds the weights of a block of faces in an iteration.

    `H` are the components and `G` their Gram matrix; weights first move on by `beta`
    times their last change.
    """

    H: Array
    G: NDArray[Any]
    beta: float
    sweeps: int
    penalties: Penalties

    def __sizeof__(self) -> int:  # by which a cluster decides where to work
        return self.H.nbytes + self.G.nbytes


@dataclass(eq=False)
class _Found:
    """What blocks of faces add to an iteration: products, and the weights' L1 norm."""

    WX: Array
    WW: NDArray[np.float64]
    size: float

    def __sizeof__(self) -> int:
        return self.WX.nbytes + self.WW.nbytes

    def __iadd__(self, other: Self) -> Self:
        self.WX += other.WX
        self.WW += other.WW
        self.size += other.size
        return self


def _update_W(block: Block, step: _Step, now: Array, before: Array) -> tuple[Array, _Found]:
    """Find the weights of a block of faces, and what they add to the sums."""
    penalties = step.penalties
    part = _extrapolate(now, before, step.beta)
    # the products are smaller than the pixels; and this is faster than H @ pixels.T
    C = np.ascontiguousarray((block.as_is @ step.H.T).T)
    C *= block.gain
    if penalties.l1_W:
        C -= np.float32(penalties.l1_W)
    sweep(part, _ridge(step.G, penalties.l2_W), C, step.sweeps)
    WX = part @ block.as_is
    WX *= block.gain
    size = float(part.sum(dtype=np.float64)) if penalties else 0.0
    return part, _Found(WX, _gram(part), size)


def _squared_errors(block: Block, H: Array, W: Array) -> NDArray[np.float64]:
    """Sum the squared differences of each face of a block."""
    lost = W.T @ H
    lost -= block.pixels()
    return row_squares(lost)


def _restart(
    block: Block, restarts: dict[int, tuple[int, np.float32]], W: Array
) -> tuple[Array, int]:
    """Give components one face each, with a weight: ``{component: (face, weight)}``."""
    W = W.copy()
    for t, (i, weight) in restarts.items():
        W[t] = 0
        if block.place.start <= i < block.place.stop:
            W[t, i - block.place.start] = weight
    return W, 0


def _extrapolate(now: Array, before: Array, beta: float, out: Array | None = None) -> Array:
    """Return a part of a factor, moved on in the direction of its last change."""
    further = np.empty(now.shape, np.float32) if out is None else out
    if not beta:
        further[:] = now
        return further
    np.subtract(now, before, out=further)
    further *= np.float32(beta)
    further += now
    np.maximum(further, 0, out=further)
    return further


# -- a level --------------------------------------------------------------------


class Descent:
    """A fit of one level: factors that get better with each iteration.

    Parameters
    ----------
    backend : Backend
        Works on the faces of the level, n of p pixels.
    W : Weights
        Weights to start from, as the backend keeps them. They are taken over.
    H : array of shape (k, p), C order, float32
        Components to start from, taken over.
    norm : float
        Squared norm of the pixels of this level.
    workers : Workers
        Threads for the components.
    penalties : Penalties
        In the loss ``|X - W'H|^2 / 2 + l1 |F|_1 + l2 |F|^2 / 2``.
    cells : array of shape (p,)
        Square root of the number of pixels that each pixel of the level stands for.
    tol : float
        Relative fall of the root of the loss under which an iteration counts as quiet; a
        loss of less than a thousandth of the pixels counts as that.
    sparsity : Sparsity, optional
        What keeps components sparse.

    Attributes
    ----------
    W, H : Weights and array
        The best factors so far; never changed in place.
    residual : float
        Their squared error ``|X - W'H|^2``.
    sweeps : int
        How often the next iteration goes through each factor: at first, more often than
        later.
    beta : float
        The share of their last change by which factors are moved on.

    References
    ----------
    A. M. S. Ang, N. Gillis: Accelerating nonnegative matrix factorization algorithms
    using extrapolation. Neural Computation 31 (2019), doi:10.1162/neco_a_01157.
    """

    def __init__(
        self,
        backend: Backend,
        W: Weights,
        H: Array,
        norm: float,
        workers: Workers,
        penalties: Penalties,
        cells: Array,
        tol: float,
        sparsity: Sparsity | None = None,
    ) -> None:
        self.backend, self.workers, self.penalties = backend, workers, penalties
        self.norm, self.tol, self.sparsity = norm, tol, sparsity
        self.W = self._W_before = W
        self.H = self._H_before = H
        self._used = np.ones(len(H), bool)  # components that any face has a weight of
        self._cells = cells
        self._columns = cut_columns(backend.p)
        self._guess: Array | None = None  # components to try first
        self.residual = norm
        self.loss = np.inf
        self.beta, self._bound = _BETA, 1.0
        self._quiet = 0
        self.sweeps = _FIRST_SWEEPS

    def attempt(self, H: Array, residual: float, loss: float) -> None:
        """Let the first iteration start from other components.

        Parameters
        ----------
        H : array of shape (k, p), C order, float32
            They are taken over.
        residual, loss : float
            Of the factors that the fit was given, which stay unless the loss falls.
        """
        self._guess, self.residual, self.loss = H, residual, loss

    # -- one iteration ----------------------------------------------------------

    def iterate(self) -> Iterator[None]:
        """Make one iteration; yield now and then during a long one."""
        beta = 0.0 if self.W is self._W_before else self.beta
        guess, self._guess = self._guess, None
        H, G = self._step_ahead(beta) if guess is None else (guess, self._products(guess))
        self._H_before = self.H  # what was before is not needed again: large pictures take much
        step = _Step(H, G, beta, self.sweeps, self.penalties)
        W, found = yield from self.backend.advance(_update_W, step, self.W, self._W_before)
        sums = _Sums(found.WW, np.zeros(G.shape), size_W=found.size)
        self._update_H(H, found.WX, sums)
        self._judge(W, H, sums, is_guess=guess is not None)
        if self.W is W:
            self._used = sums.WW.diagonal() > 0
        self.revive()

    def _step_ahead(self, beta: float) -> tuple[Array, NDArray[Any]]:
        """Extrapolate the components; return them with their Gram matrix."""
        H = np.empty_like(self.H)

        def job(columns: slice) -> NDArray[Any]:
            now, before = self.H[:, columns], self._H_before[:, columns]
            part = _extrapolate(now, before, beta, out=H[:, columns])
            return part @ part.T

        parts = list(self.workers.each(job, self._columns))
        return H, np.sum(parts, axis=0)

    def _products(self, H: Array) -> NDArray[Any]:
        """Multiply the components with one another."""
        parts = self.workers.each(lambda part: H[:, part] @ H[:, part].T, self._columns)
        products: NDArray[Any] = np.sum(list(parts), axis=0)
        return products

    def _update_H(self, H: Array, WX: Array, sums: _Sums) -> None:
        """Improve the components in place; add what the loss needs of them to `sums`."""
        ridge = _ridge(sums.WW.astype(np.float32), self.penalties.l2_H)
        if self.sparsity:  # which all pixels of a component decide about together
            self.sparsity.update_H(H, ridge, self._targets(WX, slice(None)), self.sweeps)

        def job(columns: slice) -> tuple[float, NDArray[Any], float]:
            part, products = H[:, columns], WX[:, columns]
            if not self.sparsity:
                sweep(part, ridge, self._targets(WX, columns), self.sweeps)
            size = 0.0
            if self.penalties:
                size = float((part @ self._cells[columns]).sum(dtype=np.float64))
            return _inner(products, part), _gram(part), size

        for cross, HH_part, size in self.workers.each(job, self._columns):
            sums.cross += cross
            sums.HH += HH_part
            sums.size_H += size

    def _targets(self, WX: Array, columns: slice) -> Array:
        """Return what components are drawn to: products, less the penalty on their size."""
        products = WX[:, columns]
        if not self.penalties.l1_H:
            return products
        return products - np.float32(self.penalties.l1_H) * self._cells[columns]

    # -- judging it -------------------------------------------------------------

    def _judge(self, W: Weights, H: Array, sums: _Sums, *, is_guess: bool) -> None:
        """Accept the new factors if the loss fell, else go back and extrapolate less."""
        residual = sums.residual(self.norm)
        if residual < _CANCELLED * self.norm:
            residual = float(self._losses(W, H).sum())
        penalty = self.penalties.of(sums)
        loss = float(np.sqrt(max(residual + penalty, 0.0)))
        falls = loss <= self.loss
        if is_guess and not falls:
            self.loss = np.inf  # known to rounding only: the next step is judged by itself
            return
        self.sweeps = SWEEPS if len(self.H) < _MANY else _MANY_SWEEPS
        if falls or self.W is self._W_before:  # a plain step rises by rounding only
            # towards an error of 0, each loss may be but a part of the one before for ever
            little = self.loss - loss <= self.tol * max(loss, _FINE * self.norm**0.5)
            self._quiet = self._quiet + 1 if little else 0
        if not falls:
            self._bound, self.beta = self.beta, self.beta / 1.5
            self._W_before, self._H_before = self.W, self.H
            return
        self.beta = min(self._bound, 1.05 * self.beta)
        self._bound = min(1.0, 1.01 * self._bound)
        self._W_before, self._H_before = self.W, self.H
        self.W, self.H, self.loss, self.residual = W, H, loss, residual

    @property
    def is_quiet(self) -> bool:
        """Whether the last iterations have improved little."""
        return self._quiet >= _PATIENCE

    # -- dead components --------------------------------------------------------

    def revive(self) -> None:
        """Restart components that no face uses from the faces that are explained worst.

        What such a face lacks becomes the component, for that face alone, so that the
        error falls. Components stay empty where nothing is lacking, and where
        penalties ask for empty ones.
        """
        dead = np.flatnonzero(~(self._used & self.H.any(axis=1)))
        if len(dead) == 0 or self.penalties:
            return
        H = self.H.copy()
        worst = np.argsort(-self._losses(self.W, H), kind="stable")
        restarts: dict[int, tuple[int, np.float32]] = {}
        for t, i in zip(dead.tolist(), worst[: len(dead)].tolist(), strict=True):
            face, weights = self.backend.face(i, self.W)
            weights[list(restarts)] = 0
            lack = np.maximum(face - weights @ H, 0)
            if self.sparsity:
                lack = self.sparsity.nearest(lack)
            size = float(np.sqrt(lack @ lack))
            if size**2 <= _NOTHING * self.norm:
                break
            restarts[t] = i, np.float32(np.sqrt(size))
            H[t] = lack / np.float32(np.sqrt(size))
            self.residual = max(0.0, self.residual - size**2)
        W = self.W
        if restarts:
            W, _ = consume(self.backend.advance(_restart, restarts, W))
            self._used[list(restarts)] = True
        self.loss = float(np.sqrt(self.residual))
        self.W = self._W_before = W
        self.H = self._H_before = H

    def _losses(self, W: Weights, H: Array) -> NDArray[np.float64]:
        """Sum the squared differences of each face: shape (n,)."""
        return np.concatenate(list(self.backend.each(_squared_errors, H, W)))


def cut_columns(p: int) -> list[slice]:
    """Cut the columns of the components into what a thread sweeps at a time."""
    least, most = _COLUMNS
    return cut(p, most, least, shares=2)


def _ridge(G: NDArray[Any], l2: float) -> NDArray[Any]:
    """Add `l2` to the diagonal."""
    return G + np.float32(l2) * np.eye(len(G), dtype=np.float32) if l2 else G


def _gram(F: NDArray[Any]) -> NDArray[np.float64]:
    """Multiply the rows of a factor with one another, so that the loss can be told from them.

    In float32, a sum is known to 1e-7, which is more than some iterations gain. Of many
    components, the errors cancel out: 1e-9 of the loss's sum is left.
    """
    if len(F) < _MANY:
        F = F.astype(np.float64)
    products: NDArray[np.float64] = (F @ F.T).astype(np.float64, copy=False)
    return products


def _inner(A: Array, B: Array) -> float:
    """Return the sum of products of two matrices, rows in float32, their sum in float64."""
    return float(np.vecdot(A, B).sum(dtype=np.float64))
