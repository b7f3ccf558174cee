"""Which component of one model is which of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["pair_pictures", "stability"]


def pair_pictures(
    first: NDArray[Any], second: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Pair the components of two fits one to one, as alike as possible.

    Parameters
    ----------
    first, second : arrays of shape (k, ...)
        As many pictures in both.

    Returns
    -------
    partners : array of int, shape (k,)
        Which of `second` belongs to each of `first`: the pairing with the largest sum of
        cosines.
    cosines : array of shape (k,)
        How alike each pair is: 1 if they differ by a factor only, 0 if they share no
        pixel or one is empty.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    H. W. Kuhn: The Hungarian method for the assignment problem. Naval Research Logistics
    Quarterly 2 (1955), doi:10.1002/nav.3800020109.
    """
    from scipy.optimize import linear_sum_assignment

    if first.shape != second.shape:
        raise ValueError(f"The components have the shapes {first.shape} and {second.shape}.")
    cosines = _unit_rows(first) @ _unit_rows(second).T
    rows, partners = linear_sum_assignment(cosines, maximize=True)
    return partners, cosines[rows, partners]


def stability(fits: Sequence[NDArray[Any]]) -> float:
    """Return the mean cosine of matched components over all pairs of fits of one k.

    Parameters
    ----------
    fits : sequence of arrays of shape (k, ...)
        The components of two fits or more.
    """
    pairs = [(a, b) for i, a in enumerate(fits) for b in fits[:i]]
    return float(np.mean([pair_pictures(a, b)[1].mean() for a, b in pairs]))


def _unit_rows(pictures: NDArray[Any]) -> NDArray[np.float64]:
    rows = pictures.reshape(len(pictures), -1).astype(np.float64)
    sizes = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = rows / np.where(sizes > 0, sizes, 1)
    return unit
