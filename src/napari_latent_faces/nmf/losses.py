"""How far a reconstruction is from the pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["norm", "relative_error", "root_divergence", "row_blocks", "squares"]

_BLOCK_VALUES = 2**22  # of the reconstruction held at a time: 16 MB in float32


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
    """Sum the squares of rows: each in its own type, which is fast, the rows in float64."""
    return float(np.einsum("ij,ij->i", values, values).sum(dtype=np.float64))


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
