"""Coordinate descent on one factor: compiled C where it could be built, else NumPy."""

from __future__ import annotations

import logging
import os
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

    SweepRows = Callable[[Array, Array, Array, int], None]
    Backend = Literal["c", "numpy"]

__all__ = ["SWEEPS", "backend", "sweep", "sweep_rows"]

SWEEPS = 3  # for each product with pixels: the products cost more
_DEAD = 1e-12  # of the largest diagonal entry
_GROUP = 32  # rows of large factors that share one product with all others
_SWITCH = "LATENT_FACES_BACKEND"

_logger = logging.getLogger(__name__)


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
    rows = _chosen()[1]
    if not alive.all():
        A, targets, dead = A[alive], targets[alive], ~alive
        targets -= A[:, dead] @ F[dead]
        part = F[alive]
        rows(part, np.ascontiguousarray(A[:, alive]), targets, sweeps)
        F[alive] = part
    else:
        rows(F, A, targets, sweeps)


def backend() -> Backend:
    """Return what does the sweeps in this process: ``"c"`` or ``"numpy"``.

    It is chosen once. The environment variable ``LATENT_FACES_BACKEND=numpy`` leaves the
    compiled sweeps alone.
    """
    return _chosen()[0]


@cache
def _chosen() -> tuple[Backend, SweepRows]:
    if os.environ.get(_SWITCH) == "numpy":
        _logger.info("NumPy sweeps the factors: %s asks for it.", _SWITCH)
        return "numpy", sweep_rows
    try:
        from napari_latent_faces.solvers._sweeps import sweep_rows as compiled

        _check(compiled)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with it, NumPy can do the work
        _logger.info("NumPy sweeps the factors: %s.", str(error) or type(error).__name__)
        return "numpy", sweep_rows
    _logger.info("Compiled code sweeps the factors.")
    return "c", compiled


def _check(compiled: SweepRows) -> None:
    """Raise unless compiled sweeps do to a small factor what NumPy does."""
    k, m = 7, 70
    F = np.cos(np.arange(k * m, dtype=np.float32)).reshape(k, m)
    A = np.sin(np.arange(k * k, dtype=np.float32)).reshape(k, k)
    A /= k
    np.fill_diagonal(A, 0)
    expected, found = F.copy(), F.copy()
    sweep_rows(expected, A, F, 2)
    compiled(found, A, F, 2)
    if not np.allclose(found, expected, rtol=1e-4, atol=1e-5):
        raise ArithmeticError("the compiled sweeps give other results than NumPy")


def sweep_rows(F: Array, A: Array, targets: Array, sweeps: int) -> None:
    """Improve a factor in place: ``F[t] = max(targets[t] - A[t] @ F, 0)``, row by row.

    This is what NumPy does, and what the compiled function of the same name does faster.

    Parameters
    ----------
    F : array of shape (k, m), float32
        The factor; each row lies in one piece.
    A : array of shape (k, k), float32
        What of the others a component loses; 0 on the diagonal.
    targets : array of shape (k, m), float32
        Where each component would go without the others.
    sweeps : int
        How often each component is visited.
    """
    k, m = F.shape
    now = np.ascontiguousarray(F)  # faster than rows that lie far apart
    rest, zeros = np.empty(m, np.float32), np.zeros(m, np.float32)
    # one product of matrices is faster than many with vectors, unless it is a small one
    size = _GROUP if k >= 3 * _GROUP else max(k, 1)
    groups = [slice(t, t + size) for t in range(0, k, size)]
    outside = A.copy()  # couplings with the rows of other groups, which do not change meanwhile
    for group in groups:
        outside[group, group] = 0
    for _ in range(sweeps):
        for group in groups:
            rows, goals = now[group], targets[group]
            if len(groups) > 1:
                goals = goals - outside[group] @ now
            for couplings, goal, row in zip(A[group, group], goals, rows, strict=True):
                couplings.dot(rows, rest)
                np.subtract(goal, rest, out=rest)
                np.maximum(rest, zeros, out=row)
    if now is not F:
        F[:] = now
