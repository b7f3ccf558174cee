"""Parts instead of whole faces: components with a least sparseness."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Sparsity", "nearest_sparse", "sparseness_of"]

_TOL = 2e-5  # of a ratio of norms in float32
_MARGIN = 3e-5  # by which ratios stay below their limit, so that none is found above it
_STEPS = 100  # of a search that takes three or four


class Sparsity:
    """Keeps the components of a level sparse.

    Parameters
    ----------
    sparseness : float
        The least of each component as a full picture, by Hoyer's measure.
    cells : array of shape (p,)
        Square root of the number of pixels that each pixel of the level stands for.
    k : int
        How many components there are.
    """

    def __init__(self, sparseness: float, cells: Array, k: int) -> None:
        root = math.sqrt(float(cells @ cells))
        self.ratio = (root - sparseness * (root - 1)) * (1 - _MARGIN)
        self.cells = cells
        self._thresholds = [0.0] * k  # where to look for them first

    def update_H(self, H: Array, G: NDArray[Any], C: Array, sweeps: int) -> None:
        """Improve components in place like `kernel.sweep`, but keep each sparse enough.

        Given the others, a component goes where the loss is least: to what is nearest to
        its best picture among all that are sparse. So the loss never rises.

        Parameters
        ----------
        H, G, C, sweeps
            As in `kernel.sweep`.
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

    def nearest(self, row: Array) -> Array:
        """Return the sparse component nearest to a row."""
        return nearest_sparse(row, self.cells, self.ratio)[0]


def nearest_sparse(
    row: NDArray[Any], cells: NDArray[Any], ratio: float, threshold: float = 0.0
) -> tuple[NDArray[Any], float]:
    """Return the non-negative row nearest to another, with ``L1 <= ratio * L2``.

    It is what of the row is above a threshold, stretched. The threshold solves a quadratic
    equation, if it is known which entries are above it; those above the last one are tried
    until they stay the same.

    Parameters
    ----------
    row : array of shape (p,)
        Any numbers.
    cells : array of shape (p,)
        Weights of the entries in L1, which is ``sum(cells * row)``; L2 is the usual norm.
    ratio : float
        More than the smallest of the `cells`.
    threshold : float
        Where to begin: 0, or where it may be.

    Returns
    -------
    nearest : array of shape (p,)
        The row.
    threshold : float
        What its entries have lost for each unit of `cells`, before they were stretched.

    References
    ----------
    P. O. Hoyer: Non-negative matrix factorization with sparseness constraints. Journal of
    Machine Learning Research 5 (2004), doi:10.5555/1005332.1044709.

    M. Thom, G. Palm: Sparse activity and sparse connectivity in supervised learning.
    Journal of Machine Learning Research 14 (2013), doi:10.5555/2567709.2502622: that this
    ends at the nearest.
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


def sparseness_of(components: NDArray[Any], n_values: int | None = None) -> NDArray[np.float64]:
    """Return Hoyer's sparseness of each component, from 0 (flat) to 1 (a single pixel).

    Parameters
    ----------
    components : array of shape (k, ...)
        Pictures, or rows of pixels.
    n_values : int, optional
        How many values of a picture count, where some are hidden; by default all.
    """
    rows = components.reshape(len(components), -1).astype(np.float64)
    root = math.sqrt(n_values or rows.shape[1])
    l2 = np.linalg.norm(rows, axis=1)
    ratios = np.abs(rows).sum(axis=1) / np.where(l2 > 0, l2, 1)
    return np.where(l2 > 0, (root - ratios) / max(root - 1, 1), 1.0)
