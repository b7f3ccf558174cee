"""Coordinate descent on a factor: compiled where numba is installed, else in NumPy."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Rows = Callable[[Array, Array, Array, int], None]

__all__ = ["SWEEPS", "compiled", "sweep"]

SWEEPS = 3  # for each product with pixels: the products cost more
_DEAD = 1e-12  # of the largest diagonal entry


def sweep(F: Array, G: NDArray[Any], C: Array, sweeps: int = SWEEPS) -> None:
    """Improve a factor in place, one component after the other.

    Minimises ``<F, G F> / 2 - <C, F>`` over ``F >= 0`` by coordinate descent; a
    component without a diagonal entry in `G` stays as it is.

    Parameters
    ----------
    F : array of shape (k, m)
        The factor; each row lies in one piece.
    G : array of shape (k, k)
        Gram matrix of the other factor.
    C : array of shape (k, m)
        Products of the other factor with the pixels.
    sweeps : int
        How often each component is visited.

    References
    ----------
    N. Gillis, F. Glineur: Accelerated multiplicative updates and hierarchical ALS
    algorithms for nonnegative matrix factorization. Neural Computation 24 (2012),
    doi:10.1162/NECO_a_00256.
    """
    diagonal = G.diagonal()
    alive = diagonal > _DEAD * diagonal.max(initial=0)
    inverse = np.zeros((len(G), 1), np.float32)
    inverse[alive, 0] = 1 / diagonal[alive]
    A = (G * inverse).astype(np.float32, copy=False)
    np.fill_diagonal(A, 0)
    targets = np.multiply(C, inverse, order="C")
    by_rows = compiled() or _by_rows
    if not alive.all():
        A, targets, dead = A[alive], targets[alive], ~alive
        targets -= A[:, dead] @ F[dead]
        part = F[alive]
        by_rows(part, np.ascontiguousarray(A[:, alive]), targets, sweeps)
        F[alive] = part
    else:
        by_rows(F, A, targets, sweeps)


@cache
def compiled() -> Rows | None:
    """Return the compiled sweeps of rows, or None where numba is missing or at rest."""
    try:
        from napari_latent_faces.nmf import kernel
    except ImportError:  # not installed, or not made for the installed NumPy
        return None
    rows: Rows = kernel.sweep_rows
    return rows


def _by_rows(F: Array, A: Array, targets: Array, sweeps: int) -> None:
    """Do what `kernel.sweep_rows` does, with a few calls for each row."""
    now = np.ascontiguousarray(F)  # faster than rows that lie far apart
    rest = np.empty(F.shape[1], np.float32)
    zeros = np.zeros_like(rest)  # of the same shape: faster than a number
    visits = [(couplings.dot, *rows) for couplings, *rows in zip(A, targets, now, strict=True)]
    for _ in range(sweeps):
        for dot, target, row in visits:
            dot(now, rest)
            np.subtract(target, rest, out=rest)
            np.maximum(rest, zeros, out=row)
    if now is not F:
        F[:] = now
