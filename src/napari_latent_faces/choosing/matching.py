"""Which component of one model is which of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.pairing import pair_most_alike

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
    """
    if first.shape != second.shape:
        raise ValueError(f"The components have the shapes {first.shape} and {second.shape}.")
    _, partners, cosines = pair_most_alike(
        first.astype(np.float64, copy=False), second.astype(np.float64, copy=False)
    )
    return partners, cosines


def stability(fits: Sequence[NDArray[Any]]) -> float:
    """Return the mean cosine of matched components over all pairs of fits of one k.

    Parameters
    ----------
    fits : sequence of arrays of shape (k, ...)
        The components of two fits or more.
    """
    pairs = [(a, b) for i, a in enumerate(fits) for b in fits[:i]]
    return float(np.mean([pair_pictures(a, b)[1].mean() for a, b in pairs]))
