"""Pairs of factors: where they start, what solvers return, and pictures of any size of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.params import NMFParams

    Pair = tuple[NDArray[Any], NDArray[Any]]


ALL_BLACK = "Every pixel of the stack is 0: there is nothing to factorize."


@dataclass(frozen=True, eq=False)
class Factors:
    """The two factors after some iterations."""

    # (n, k); those on a cluster stay there until `W` is looked at, before the fit ends
    weights: NDArray[Any] | Callable[[], NDArray[Any]]
    H: NDArray[Any]  # (k, q), a picture of `shape` halved `level` times a row
    shape: tuple[int, ...]
    iteration: int
    converged: bool
    error: float  # relative Frobenius error of the reconstruction
    scale: float = 1.0  # the pixel value that was 1
    level: int = 0
    mean: NDArray[Any] | None = None  # (p,), what the components are added to
    max_iter: int | None = None  # where it is not that of the parameters

    @property
    def W(self) -> NDArray[Any]:
        """The weights, shape (n, k)."""
        return self.weights() if callable(self.weights) else self.weights

    def pictures(self) -> NDArray[Any]:
        """Return the components at full size, shape (k, h, w)."""
        *finer, last = shapes(self.shape, self.level)
        pictures = self.H.reshape(-1, *last)
        if self.level:
            pictures = pictures / np.sqrt(cell_sizes(self.shape, self.level))
        for each in reversed(finer):
            pictures = enlarge(pictures, each)
        return pictures


Solving: TypeAlias = "Generator[Factors, Literal['stop'] | None, Factors]"
"""A solver at work: yields where it stands, takes ``"stop"``, returns the last factors."""


def canonical(W: NDArray[Any], H: NDArray[Any], *, is_signed: bool) -> Pair:
    """Return `normalized` factors, the component with the largest of the `amounts` first."""
    W, H = normalized(W, H)
    order = np.argsort(-amounts(W, H, is_signed=is_signed), kind="stable")
    return np.ascontiguousarray(W[:, order]), np.ascontiguousarray(H[order])


def normalized(W: NDArray[Any], H: NDArray[Any]) -> Pair:
    """Return weights and components with the same product, each component with maximum 1."""
    return W * _peaks(H), unit_maximum(H)


def amounts(
    weights: NDArray[Any], components: NDArray[Any], *, is_signed: bool
) -> NDArray[np.float64]:
    """Return how much each component adds to all pixels of all faces together."""
    if is_signed:  # light and dark would cancel: the squares of what it adds beyond its mean
        squares = np.einsum("kp,kp->k", components, components, dtype=np.float64)
        varied: NDArray[np.float64] = weights.var(axis=0, dtype=np.float64) * squares
        return varied
    carried: NDArray[np.float64] = weights.sum(axis=0, dtype=np.float64)
    carried *= components.sum(axis=1, dtype=np.float64)
    return carried


def unit_maximum(components: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of `components` (k, ...), each divided by what is farthest from 0 in it."""
    peaks = _peaks(components.reshape(len(components), -1))
    peaks = np.where(peaks != 0, peaks, 1).astype(components.dtype)
    scaled: NDArray[Any] = components / peaks.reshape(-1, *[1] * (components.ndim - 1))
    return scaled


def _peaks(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the value of each row that is farthest from 0, with its sign."""
    high, low = rows.max(axis=1), rows.min(axis=1)
    peaks: NDArray[Any] = np.where(high >= -low, high, low)
    return peaks


def shapes(shape: tuple[int, ...], level: int) -> list[tuple[int, ...]]:
    """Return the shapes of a full picture and of each level; odd lines make half a cell."""
    found = [shape]
    for _ in range(level):
        h, w, *channels = found[-1]
        found.append(((h + 1) // 2, (w + 1) // 2, *channels))
    return found


def halve(pictures: NDArray[Any]) -> NDArray[Any]:
    """Sum cells of two by two pixels of pictures (m, h, w, ...); odd lines stay alone."""
    for axis in (1, 2):
        lines = np.moveaxis(pictures, axis, 0)
        sums, pairs = np.empty_like(lines[::2]), len(lines) // 2
        np.add(lines[: 2 * pairs : 2], lines[1::2], out=sums[:pairs])
        sums[pairs:] = lines[2 * pairs :]
        pictures = np.moveaxis(sums, 0, axis)
    return pictures


def cell_sizes(
    shape: tuple[int, ...], level: int, mask: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Count the full pixels behind each of a level but for masked ones: (1, *its shape)."""
    cells: NDArray[np.float32] = np.ones((1, *shape), np.float32)
    if mask is not None:
        cells[0, mask] = 0
    for _ in range(level):
        cells = halve(cells)
    return cells


def enlarge(pictures: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Repeat each pixel twice along both axes: to shape (m, *shape)."""
    doubled = pictures.repeat(2, axis=1)[:, : shape[0]].repeat(2, axis=2)
    return doubled[:, :, : shape[1]]


def smooth(pictures: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Enlarge pictures like `enlarge`, but take a quarter of the neighbour that is nearer."""
    for axis in (1, 2):
        lines = np.moveaxis(pictures, axis, 0)
        doubled = np.repeat(0.75 * lines, 2, axis=0)
        doubled[2::2] += 0.25 * lines[:-1]
        doubled[1:-1:2] += 0.25 * lines[1:]
        doubled[[0, -1]] += 0.25 * lines[[0, -1]]
        pictures = np.moveaxis(doubled[: shape[axis - 1]], 0, axis)
    return pictures


_OVERSAMPLES = 10
_TINY = 1e-6  # smaller entries of the singular vectors count as zero


def initial_factors(X: NDArray[Any], params: NMFParams, random_state: int | None) -> Pair:
    """Return the factors that a fit of `X` starts from, those of scikit-learn, without it.

    C. Boutsidis, E. Gallopoulos: SVD based initialization: a head start for nonnegative matrix
    factorization. Pattern Recognition 41 (2008), doi:10.1016/j.patcog.2007.09.010.
    N. Halko, P. G. Martinsson, J. A. Tropp: Finding structure with randomness: probabilistic
    algorithms for constructing approximate matrix decompositions. SIAM Review 53 (2011),
    doi:10.1137/090771806.
    """
    k, init = params.n_components, params.init
    if init is None:
        init = "nndsvda" if k <= min(X.shape) else "random"
    rng = np.random.RandomState(random_state)
    if init == "random":
        level = np.sqrt(X.mean() / k)
        H = np.abs(level * rng.standard_normal((k, X.shape[1])).astype(X.dtype))
        W = np.abs(level * rng.standard_normal((X.shape[0], k)).astype(X.dtype))
        return W, H
    if k > min(X.shape):
        words = f"got {k}. Choose init='random' or fewer components."
        most = f"{min(X.shape)} (the number of pixels)"
        raise ValueError(f"init={init!r} needs n_components <= {most}, {words}")
    W, H = _nndsvd(*_randomized_svd(X, k, rng))
    rng = np.random.RandomState(random_state)
    for factor in (W, H):
        zeros = factor == 0
        if init == "nndsvda":
            factor[zeros] = X.mean()
        elif init == "nndsvdar":
            factor[zeros] = np.abs(X.mean() * rng.standard_normal(zeros.sum()) / 100)
    return W, H


def _nndsvd(U: NDArray[Any], S: NDArray[Any], Vt: NDArray[Any]) -> Pair:
    """Take the heavier of the positive and the negative part of each singular pair."""
    W, H = np.zeros_like(U), np.zeros_like(Vt)
    W[:, 0] = np.sqrt(S[0]) * np.abs(U[:, 0])
    H[0] = np.sqrt(S[0]) * np.abs(Vt[0])
    for j in range(1, len(S)):
        halves = [(np.maximum(s * U[:, j], 0), np.maximum(s * Vt[j], 0)) for s in (-1, 1)]
        u, v = max(halves, key=lambda half: np.prod([np.linalg.norm(part) for part in half]))
        u_norm, v_norm = np.linalg.norm(u), np.linalg.norm(v)
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
    """Return about the first `k` singular triplets (algorithms 4.4, 5.1), as scikit-learn."""
    if X.shape[0] < X.shape[1]:
        V, S, Ut = _randomized_svd(X.T, k, rng)
        return Ut.T, S, V.T
    Q = rng.normal(size=(X.shape[1], k + _OVERSAMPLES)).astype(X.dtype)
    for _ in range(7 if k < 0.1 * min(X.shape) else 4):
        Q = np.linalg.qr(X.T @ (X @ Q)).Q
    Q = np.linalg.qr(X @ Q).Q
    U, S, Vt = np.linalg.svd(Q.T @ X, full_matrices=False)
    return (Q @ U)[:, :k], S[:k], Vt[:k]
