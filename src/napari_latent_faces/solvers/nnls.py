"""Weights for given components."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.solvers.blocks import cut, importing
from napari_latent_faces.solvers.hals import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[np.float64]

    Solver = Callable[[Array, Array], Array]


TOLERANCE = 1e-10  # of the norm of a right-hand side

_SWEEPS = 40  # after which nearly all signs are right, for a small part of the time
_SHARES = 8  # of the rows, by the size of their systems
_ROUNDS = 12  # of mending those that are not
_SYSTEM_VALUES = 2**21  # of the systems solved in one call: 16 MB
_MAX_CONDITION = 1e8  # of a Gram matrix whose inverse is used
_NOTHING = 1e-15  # of unit columns and right-hand sides: what rounding leaves of a 0
_RIDGE = 1e-14  # of a diagonal of 1: lets equal columns share, changes nothing that shows


def solve_nnls(R: Array, B: Array) -> Array:
    """Minimise ``|R w - b|`` over ``w >= 0`` for each row `b` of `B`.

    Coordinate descent in float32 guesses which entries are positive, the normal equations of
    many rows are solved for them in float64, and entries of a wrong sign or gradient change
    sides until none is. Rows that still miss the tolerance go to `scipy.optimize.nnls`.

    J. Kim, H. Park: Fast nonnegative matrix factorization: an active-set-like method and
    comparisons. SIAM Journal on Scientific Computing 33 (2011), doi:10.1137/110821172.
    """
    norms = np.linalg.norm(R, axis=0)
    alive = norms > 0
    A = R[:, alive] / norms[alive]
    sizes = np.linalg.norm(B, axis=1)
    units = B / np.where(sizes > 0, sizes, 1)[:, None]
    W = np.zeros((len(B), len(norms)))
    if W.size and alive.any():
        W[:, alive] = _solve_units(A, units) * sizes[:, None] / norms[alive]
    return W


def kkt_violations(R: Array, B: Array, W: Array) -> Array:
    """Measure how far each row of `W` is from the conditions of a minimum."""
    norms = np.linalg.norm(R, axis=0)
    gradient = (W @ R.T - B) @ (R / np.where(norms > 0, norms, 1))
    wrong = np.where(W > 0, np.abs(gradient), -gradient).max(axis=1, initial=0)
    sizes = np.linalg.norm(B, axis=1)
    violations: Array = wrong / np.where(sizes > 0, sizes, 1)
    violations[(W < 0).any(axis=1)] = np.inf
    return violations


def _solve_units(A: Array, B: Array) -> Array:
    """Solve for unit columns and unit right-hand sides."""
    G, C = A.T @ A, B @ A
    inverse: Any = np.linalg.inv(G) if np.linalg.cond(G) <= _MAX_CONDITION else None
    guess = np.zeros(C.T.shape, np.float32)
    sweep(guess, G.astype(np.float32), np.ascontiguousarray(C.T, np.float32), _SWEEPS)
    positive = np.ascontiguousarray(guess.T > 0)
    W = np.empty_like(C)
    order = np.argsort(positive.sum(axis=1), kind="stable")  # systems of like size together
    for some in cut(len(C), max(1, _SYSTEM_VALUES // G.size), shares=_SHARES):
        rows = order[some]
        W[rows] = _exchange(G, inverse, C[rows], positive[rows])
    if (missed := np.flatnonzero(kkt_violations(A, B, W) > TOLERANCE)).size:
        with importing():
            from scipy.optimize import nnls
        for row in missed:
            W[row] = nnls(A, B[row])[0]
    return W


def _exchange(G: Array, inverse: Array | None, C: Array, positive: NDArray[np.bool_]) -> Array:
    """Let entries change sides until signs and gradients are right, or for some rounds."""
    W = _solve_on(G, inverse, C, positive)
    unsolved = np.arange(len(C))
    for _ in range(_ROUNDS):
        gradient = W[unsolved] @ G - C[unsolved]
        wrong = np.where(positive[unsolved], W[unsolved] < 0, gradient < -TOLERANCE / 2)
        still = wrong.any(axis=1)
        unsolved = unsolved[still]
        if len(unsolved) == 0:
            break
        positive[unsolved] ^= wrong[still]
        W[unsolved] = _solve_on(G, inverse, C[unsolved], positive[unsolved])
    return np.where(W > _NOTHING, W, 0.0)


def _solve_on(G: Array, inverse: Array | None, C: Array, positive: NDArray[np.bool_]) -> Array:
    """Solve the normal equations of each row for its positive entries; others are 0."""
    if inverse is None or 2 * np.count_nonzero(positive) < positive.size:
        return _solve_masked(G, C, positive)
    W = C @ inverse  # the multipliers of the few that are 0 are a smaller system
    W -= _solve_masked(inverse, W, ~positive) @ inverse
    return np.where(positive, W, 0.0)


def _solve_masked(G: Array, C: Array, mask: NDArray[np.bool_]) -> Array:
    """Solve ``G[m, m] x = c[m]`` for the mask `m` of each row; x is 0 elsewhere."""
    size = int(mask.sum(axis=1).max(initial=0))
    # the entries of each row's mask, filled up with others to one size
    chosen = np.argsort(~mask, axis=1, kind="stable")[:, :size]
    kept = np.take_along_axis(mask, chosen, axis=1)
    systems = G[chosen[:, :, None], chosen[:, None, :]]
    systems *= kept[:, :, None] & kept[:, None, :]
    diagonal = np.arange(size)
    systems[:, diagonal, diagonal] += np.where(kept, _RIDGE, 1.0)
    right = np.take_along_axis(C, chosen, axis=1) * kept
    solved = np.zeros_like(C)
    found = np.linalg.solve(systems, right[..., None])[..., 0]
    np.put_along_axis(solved, chosen, found, axis=1)
    return solved


_LASSO_SWEEPS = 20_000  # of coordinate descent at most; a few dozen are usual
_STILL = 1e-9  # of the largest weight: smaller changes are none
_RCOND = 1e-10  # singular values below this share of the largest count as zero


def solver_of(coding: str, alpha: float = 0.0) -> Solver:
    """Return what finds weights (m, k), given components in columns, and faces in rows."""
    if coding == "sparse":
        return partial(solve_lasso, alpha=alpha)
    others = {"non-negative": solve_nnls, "signed": solve_least_squares, "one-hot": nearest}
    return others[coding]


def solve_least_squares(R: Array, B: Array) -> Array:
    """Minimise ``|R w - b|`` for each row `b` of `B`; of several solutions, the shortest."""
    W: Array = B @ np.linalg.pinv(R, rcond=_RCOND).T
    return W


def solve_lasso(R: Array, B: Array, alpha: float) -> Array:
    """Minimise ``|R w - b|^2 / 2 + alpha * sum |w_j| |r_j|`` for each row `b` of `B`.

    The penalty counts each weight by the length of its column, so that the solution does
    not depend on how the columns are scaled. Coordinate descent, all rows at once.

    J. Friedman, T. Hastie, H. Hoefling, R. Tibshirani: Pathwise coordinate optimization. Annals
    of Applied Statistics 1 (2007), doi:10.1214/07-AOAS131.
    """
    norms = np.linalg.norm(R, axis=0)
    alive = np.flatnonzero(norms > 0)
    A = R[:, alive] / norms[alive]
    G, C = A.T @ A, np.ascontiguousarray((B @ A).T)
    W = np.zeros_like(C)
    for _ in range(_LASSO_SWEEPS):
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
    """Give each row of `B` weight 1 on the column of `R` that is nearest to it."""
    squares = np.einsum("rk,rk->k", R, R)
    distances = np.where(squares > 0, squares - 2 * (B @ R), np.inf)
    found = np.zeros(distances.shape)
    found[np.arange(len(B)), distances.argmin(axis=1)] = 1
    return found


class VisibleParts:
    """Components over visible pixels as `Q R`, and which of them are hidden wholly."""

    def __init__(self, parts: NDArray[np.float64], mask: bytes | None) -> None:
        self.visible: Any = slice(None)
        if mask is not None:
            bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=parts.shape[1])
            self.visible = np.flatnonzero(bits == 0)
        seen = parts[:, self.visible]
        self.n_visible, (self.Q, self.R) = seen.shape[1], np.linalg.qr(seen.T)
        self.lost = np.flatnonzero(parts.any(axis=1) & ~seen.any(axis=1)).tolist()

    def reduced(self, pixels: NDArray[Any]) -> Any:
        """Return the right-hand sides, shape (m, r), of faces given as rows of all pixels."""
        return pixels[:, self.visible] @ self.Q


def same_masks(hidden: NDArray[np.bool_] | None, n: int) -> list[tuple[Any, bytes | None]]:
    """Tell which faces share a mask."""
    if hidden is None or len(hidden) == 1:
        return [(slice(0, n), None if hidden is None else np.packbits(hidden).tobytes())]
    groups: dict[bytes, list[int]] = defaultdict(list)
    for face, row in enumerate(np.packbits(hidden, axis=1)):
        groups[row.tobytes()].append(face)
    return [(faces, mask) for mask, faces in groups.items()]
