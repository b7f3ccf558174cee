"""Which pictures of one set are which of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.steps import drain

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    Pairs = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]

__all__ = ["iter_pair_most_alike", "pair_most_alike"]

_AT_A_TIME = 2**29  # multiplications of one step: 0.01 to 0.1 s


def pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Pairs:
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
    return drain(iter_pair_most_alike(first, second, is_signed=is_signed))


def iter_pair_most_alike(
    first: NDArray[Any], second: NDArray[Any], *, is_signed: bool = False
) -> Generator[tuple[int, int], None, Pairs]:
    """Do what `pair_most_alike` does, some pixels at a time.

    Parameters
    ----------
    first, second, is_signed
        As in `pair_most_alike`.

    Yields
    ------
    (int, int)
        How many pixels are compared, and how many there are. After the last of them comes
        the assignment, in one piece.

    Returns
    -------
    of_first, of_second, cosines
        As in `pair_most_alike`, as the value of ``StopIteration``.
    """
    from scipy.optimize import linear_sum_assignment

    cosines = yield from _cosines(first, second)
    if is_signed:
        cosines = np.abs(cosines)
    of_first, of_second = linear_sum_assignment(cosines, maximize=True)
    return of_first, of_second, np.clip(cosines[of_first, of_second], 0.0, 1.0)


def _cosines(
    first: NDArray[Any], second: NDArray[Any]
) -> Generator[tuple[int, int], None, NDArray[np.float64]]:
    """Return the cosines between all pictures, 0 for those that are empty."""
    # divided after the product, which needs no copy of the pictures
    rows = [each.reshape(len(each), -1) for each in (first, second)]
    products = np.zeros((len(first), len(second)))
    squares = [np.zeros(len(each)) for each in rows]
    pixels = rows[0].shape[1]
    width = max(1, _AT_A_TIME // ((len(first) + 1) * (len(second) + 1)))
    for start in range(0, pixels, width):
        yield start, pixels
        one, other = (each[:, start : start + width] for each in rows)
        products += one @ other.T
        squares = [
            sums + np.einsum("kp,kp->k", part, part)
            for sums, part in zip(squares, (one, other), strict=True)
        ]
    yield pixels, pixels
    lengths = np.outer(*(np.sqrt(each) for each in squares))
    cosines: NDArray[np.float64] = products / np.where(lengths > 0, lengths, 1)
    return cosines
