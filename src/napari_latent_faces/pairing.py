"""Which pictures of one set are which of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["pair_most_alike"]


def pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Pair pictures one to one so that the sum of their cosines is largest.

    Parameters
    ----------
    first, second : arrays of shape (k, ...) and (l, ...)
        Pictures of one size.
    is_signed : bool, default=False
        Whether the sign of a picture means nothing: the cosine counts without its own.

    Returns
    -------
    of_first, of_second : arrays of int, shape (min(k, l),)
        The pairs, in the order of `first`.
    cosines : array of shape (min(k, l),)
        How alike each pair is: 1 if they differ by a factor only, 0 if they share no
        pixel or one is empty.

    References
    ----------
    H. W. Kuhn: The Hungarian method for the assignment problem. Naval Research Logistics
    Quarterly 2 (1955), doi:10.1002/nav.3800020109.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = _cosines(first, second)
    if is_signed:
        cosines = np.abs(cosines)
    of_first, of_second = linear_sum_assignment(cosines, maximize=True)
    return of_first, of_second, np.clip(cosines[of_first, of_second], 0.0, 1.0)


def _cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosines between all pictures, 0 for those that are empty."""
    # divided after the product, which needs no copy of the pictures
    rows = [each.reshape(len(each), -1) for each in (first, second)]
    norms = [np.sqrt(np.einsum("kp,kp->k", each, each)) for each in rows]
    lengths = np.outer(*norms).astype(np.float64)
    cosines: NDArray[np.float64] = (rows[0] @ rows[1].T) / np.where(lengths > 0, lengths, 1)
    return cosines
