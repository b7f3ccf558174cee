"""The sweeps of a factor as one compiled function: to be imported where numba is installed.

Threads run it side by side, as it holds no lock of the interpreter. Some columns of the
factor stay in the processor's cache for all sweeps, and components are worked on in groups
of four, so that each value is loaded once for four of them. Split into functions, or written
with slices, it takes longer to compile, to load and to run.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numba
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float32]

    Rows = Callable[[Array, Array, Array, int], None]

__all__ = ["SWEEPS", "compiled", "sweep", "sweep_rows"]

# -- The sweeps of a factor as one compiled function: to be imported where numba is installed

_WIDTH = 128  # columns kept in the cache, at most
_VECTOR = 16  # floats that the widest registers hold

if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
    raise ImportError("numba is told not to compile: NumPy is much faster then.")

_compile: Any = partial(
    numba.njit,
    "void(float32[:, :], float32[:, ::1], float32[:, ::1], int64)",
    nogil=True,
    error_model="numpy",
    fastmath={"contract"},  # products are added without rounding in between
)


def _kept(function: Callable[..., None]) -> Any:
    """Compile a function, and keep it on disk if there is a place for it."""
    try:
        return _compile(cache=True)(function)
    except (RuntimeError, OSError):  # no folder that may be written to
        return _compile()(function)


@_kept
def sweep_rows(F: Array, A: Array, targets: Array, sweeps: int) -> None:  # noqa: C901, PLR0912
    """Improve a factor in place: ``F[t] = max(targets[t] - A[t] @ F, 0)``, row by row.

    Parameters
    ----------
    F : array of shape (k, m), float32
        The factor.
    A : array of shape (k, k), C order, float32
        What of the others a component loses; 0 on the diagonal.
    targets : array of shape (k, m), C order, float32
        Where each component would go without the others.
    sweeps : int
        How often each component is visited.
    """
    k, m = F.shape
    padded = (k + 3) // 4 * 4  # whole groups: the last ones are 0 and stay 0
    B = np.zeros((padded, padded), np.float32)
    for t in range(k):
        for u in range(k):
            B[t, u] = A[t, u]
    tiles = max(1, -(-m // _WIDTH))
    columns = (m + tiles - 1) // tiles
    width = max(1, (columns + _VECTOR - 1) // _VECTOR) * _VECTOR
    now = np.zeros((padded, width), np.float32)
    goal = np.zeros((padded, width), np.float32)
    rest = np.zeros((4, width), np.float32)
    zero = np.float32(0)
    for first in range(0, m, width):
        some = min(width, m - first)
        for u in range(k):
            for j in range(some):
                now[u, j] = F[u, first + j]
                goal[u, j] = targets[u, first + j]
        for _ in range(sweeps):
            for t in range(0, padded, 4):
                t1, t2, t3 = t + 1, t + 2, t + 3
                for i in range(4):
                    for j in range(width):
                        rest[i, j] = goal[t + i, j]
                # what other groups take, whose components stay as they are
                for u in range(0, padded, 4):
                    if u == t:
                        continue
                    u1, u2, u3 = u + 1, u + 2, u + 3
                    a00, a01, a02, a03 = B[t, u], B[t, u1], B[t, u2], B[t, u3]
                    a10, a11, a12, a13 = B[t1, u], B[t1, u1], B[t1, u2], B[t1, u3]
                    a20, a21, a22, a23 = B[t2, u], B[t2, u1], B[t2, u2], B[t2, u3]
                    a30, a31, a32, a33 = B[t3, u], B[t3, u1], B[t3, u2], B[t3, u3]
                    for j in range(width):
                        x0, x1, x2, x3 = now[u, j], now[u1, j], now[u2, j], now[u3, j]
                        rest[0, j] -= a00 * x0 + a01 * x1 + a02 * x2 + a03 * x3
                        rest[1, j] -= a10 * x0 + a11 * x1 + a12 * x2 + a13 * x3
                        rest[2, j] -= a20 * x0 + a21 * x1 + a22 * x2 + a23 * x3
                        rest[3, j] -= a30 * x0 + a31 * x1 + a32 * x2 + a33 * x3
                # within the group, each sees what those before it have become
                a01, a02, a03 = B[t, t1], B[t, t2], B[t, t3]
                a10, a12, a13 = B[t1, t], B[t1, t2], B[t1, t3]
                a20, a21, a23 = B[t2, t], B[t2, t1], B[t2, t3]
                a30, a31, a32 = B[t3, t], B[t3, t1], B[t3, t2]
                for j in range(width):
                    x1, x2, x3 = now[t1, j], now[t2, j], now[t3, j]
                    x0 = max(rest[0, j] - (a01 * x1 + a02 * x2 + a03 * x3), zero)
                    x1 = max(rest[1, j] - (a10 * x0 + a12 * x2 + a13 * x3), zero)
                    x2 = max(rest[2, j] - (a20 * x0 + a21 * x1 + a23 * x3), zero)
                    x3 = max(rest[3, j] - (a30 * x0 + a31 * x1 + a32 * x2), zero)
                    now[t, j], now[t1, j], now[t2, j], now[t3, j] = x0, x1, x2, x3
        for u in range(k):
            for j in range(some):
                F[u, first + j] = now[u, j]


# -- Coordinate descent on a factor: compiled where numba is installed, else in NumPy --

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
        pass
    except ImportError:  # not installed, or not made for the installed NumPy
        return None
    rows: Rows = sweep_rows
    return rows


def _by_rows(F: Array, A: Array, targets: Array, sweeps: int) -> None:
    """Do what `sweep_rows` does, with a few calls for each row."""
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
