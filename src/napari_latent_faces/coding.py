"""The weights of faces for given components, in each of the ways that methods have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.parameters import Coding

    Array = NDArray[np.float64]
    Solver = Callable[[Array, Array], Array]

__all__ = ["nearest", "solve_lasso", "solve_least_squares", "solver_of"]

_SWEEPS = 2000  # of coordinate descent at most; a few dozen are usual
_STILL = 1e-9  # of the largest weight: smaller changes are none
_RCOND = 1e-10  # singular values below this share of the largest count as zero


def solver_of(coding: Coding, alpha: float = 0.0) -> Solver:
    """Return the function that finds weights.

    Parameters
    ----------
    coding : {"non-negative", "signed", "sparse", "one-hot"}
        Which weights are looked for.
    alpha : float
        The penalty of ``"sparse"``.

    Returns
    -------
    callable
        Takes `R` (r, k), whose columns are the components, and `B` (m, r), whose rows
        are faces; returns the weights, shape (m, k).
    """
    if coding == "signed":
        return solve_least_squares
    if coding == "sparse":
        return lambda R, B: solve_lasso(R, B, alpha)
    if coding == "one-hot":
        return nearest
    from napari_latent_faces.nmf.nnls import solve_nnls

    return solve_nnls


def solve_least_squares(R: Array, B: Array) -> Array:
    """Minimise ``|R w - b|`` for each row `b` of `B`; of several solutions, the shortest.

    Parameters
    ----------
    R : array of shape (r, k)
        The matrix; columns may be zero, or equal.
    B : array of shape (m, r)
        Right-hand sides.

    Returns
    -------
    array of shape (m, k)
    """
    W: Array = B @ np.linalg.pinv(R, rcond=_RCOND).T
    return W


def solve_lasso(R: Array, B: Array, alpha: float) -> Array:
    """Minimise ``|R w - b|^2 / 2 + alpha * sum |w_j| |r_j|`` for each row `b` of `B`.

    The penalty counts each weight by the length of its column, so that the solution does
    not depend on how the columns are scaled. Coordinate descent, all rows at once.

    Parameters
    ----------
    R : array of shape (r, k)
        The matrix; columns may be zero, or equal.
    B : array of shape (m, r)
        Right-hand sides.
    alpha : float
        Strength of the penalty, 0 or more.

    Returns
    -------
    array of shape (m, k)

    References
    ----------
    J. Friedman, T. Hastie, H. Hoefling, R. Tibshirani: Pathwise coordinate optimization.
    Annals of Applied Statistics 1 (2007), doi:10.1214/07-AOAS131.
    """
    norms = np.linalg.norm(R, axis=0)
    alive = np.flatnonzero(norms > 0)
    A = R[:, alive] / norms[alive]
    G, C = A.T @ A, np.ascontiguousarray((B @ A).T)
    W = np.zeros_like(C)
    for _ in range(_SWEEPS):
        change = 0.0
        for j, row in enumerate(C):
            target = row - G[j] @ W + W[j]  # the diagonal of G is 1
            new = np.sign(target) * np.maximum(np.abs(target) - alpha, 0)
            change = max(change, float(np.abs(new - W[j]).max(initial=0)))
            W[j] = new
        if change <= _STILL * float(np.abs(W).max(initial=0)):
            break
    found = np.zeros((len(B), len(norms)))
    found[:, alive] = W.T / norms[alive]
    return found


def nearest(R: Array, B: Array) -> Array:
    """Give each row of `B` weight 1 on the column of `R` that is nearest to it.

    Parameters
    ----------
    R : array of shape (r, k)
        The centres as columns; those that are all 0 are taken by nobody.
    B : array of shape (m, r)
        The rows.

    Returns
    -------
    array of shape (m, k)
        One 1 a row, else 0.
    """
    squares = np.einsum("rk,rk->k", R, R)
    distances = np.where(squares > 0, squares - 2 * (B @ R), np.inf)
    found = np.zeros(distances.shape)
    found[np.arange(len(B)), distances.argmin(axis=1)] = 1
    return found
