"""How far a reconstruction is from the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "face_errors",
    "norm",
    "relative_error",
    "root_divergence",
    "row_blocks",
    "row_squares",
    "squares",
]

_BLOCK_VALUES = 2**22  # of the reconstruction held at a time: 16 MB in float32
_CHUNK_VALUES = 2**18  # of float64 values held at a time: 2 MB


def row_blocks(n: int, p: int) -> Iterator[slice]:
    """Cut `n` rows of `p` values into blocks that fit in a few megabytes."""
    rows = max(1, _BLOCK_VALUES // max(p, 1))
    return (slice(first, min(first + rows, n)) for first in range(0, n, rows))


def norm(X: NDArray[Any]) -> float:
    """Return the Frobenius norm of the pixels `X`, shape (n, p)."""
    return float(np.sqrt(sum(squares(X[rows]) for rows in row_blocks(*X.shape))))


def relative_error(X: NDArray[Any], W: NDArray[Any], H: NDArray[Any], norm_X: float) -> float:
    """Return the relative Frobenius error ``||X - W H|| / ||X||``.

    The differences are summed block by block, so that no second copy of `X` is needed
    and nothing is lost to cancellation.

    Parameters
    ----------
    X, W, H : arrays of shape (n, p), (n, k) and (k, p)
        The pixels, a face a row, and the two factors.
    norm_X : float
        The norm of `X`.

    Returns
    -------
    float
        0 for a perfect reconstruction, 1 for an empty one.
    """
    lost = sum(squares(X[rows] - W[rows] @ H) for rows in row_blocks(*X.shape))
    return float(np.sqrt(lost)) / norm_X


def squares(values: NDArray[Any]) -> float:
    """Sum the squares of rows in float64."""
    return float(row_squares(values).sum())


def row_squares(values: NDArray[Any]) -> NDArray[np.float64]:
    """Sum the squares of each row in float64, without a copy of the rows."""
    sums: NDArray[np.float64] = np.einsum("ij,ij->i", values, values, dtype=np.float64)
    return sums


def face_errors(
    pixels: NDArray[Any],
    W: NDArray[Any],
    H: NDArray[Any],
    scale: float = 1.0,
    mean: NDArray[Any] | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the squared error and the squared norm of each face, calculated in float64.

    Some pixels of all faces are looked at at a time, so that memory stays small however
    large the pictures are.

    Parameters
    ----------
    pixels : array of shape (m, p)
        The faces, a row each, of any type.
    W, H : arrays of shape (m, k) and (k, p)
        Weights and components.
    scale : float
        The pixel value that is 1; errors and norms are in its unit.
    mean : array of shape (p,), optional
        What the components are added to.
    hidden : bool array of shape (m, p) or (1, p), optional
        Pixels that do not count.
    """
    m, p = pixels.shape
    wide = W.astype(np.float64)
    lost, size = np.zeros((2, m))
    step = max(1, _CHUNK_VALUES // max(m, len(H)))
    for first in range(0, p, step):
        some = slice(first, first + step)
        seen = np.divide(pixels[:, some], scale, dtype=np.float64)
        left = wide @ H[:, some].astype(np.float64)
        if mean is not None:
            left += mean[some]
        np.subtract(seen, left, out=left)
        if hidden is not None:
            marked = np.broadcast_to(hidden[:, some], seen.shape)
            seen[marked] = left[marked] = 0
        lost += row_squares(left)
        size += row_squares(seen)
    return lost, size


def root_divergence(X: NDArray[Any], W: NDArray[Any], H: NDArray[Any], beta_loss: str) -> float:
    """Return the square root of twice the beta-divergence between `X` and ``W H``.

    That is scikit-learn's ``reconstruction_err_``: for ``"frobenius"`` the norm of the
    difference.

    Parameters
    ----------
    X, W, H : arrays of shape (n, p), (n, k) and (k, p)
        The pixels, a face a row, and the two factors.
    beta_loss : {"frobenius", "kullback-leibler", "itakura-saito"}
        Which divergence.

    References
    ----------
    C. Fevotte, J. Idier: Algorithms for nonnegative matrix factorization with the
    beta-divergence. Neural Computation 23 (2011), doi:10.1162/NECO_a_00168.
    """
    from scipy.special import kl_div

    total = 0.0
    for rows in row_blocks(*X.shape):
        seen, rebuilt = X[rows], W[rows] @ H
        if beta_loss == "frobenius":
            total += squares(seen - rebuilt) / 2
            continue
        rebuilt = np.maximum(rebuilt, np.finfo(np.float32).eps)
        if beta_loss == "kullback-leibler":
            total += float(kl_div(seen, rebuilt).sum(dtype=np.float64))
        else:
            ratio = seen / rebuilt
            total += float((ratio - np.log(ratio) - 1).sum(dtype=np.float64))
    return float(np.sqrt(2 * max(total, 0.0)))
