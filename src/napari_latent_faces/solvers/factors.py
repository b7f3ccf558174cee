"""What solvers return: two factors, and the form in which two factorizations compare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_latent_faces.solvers.pyramid import widen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

__all__ = ["Factors", "Solving", "amounts", "canonical", "normalized", "unit_maximum"]


@dataclass(frozen=True, eq=False)
class Factors:
    """The two factors after some iterations.

    Parameters
    ----------
    weights : array of shape (n, k), or callable that returns it
        Weights; those on a cluster stay there until `W` is looked at, which has to
        happen before the fit ends.
    H : array of shape (k, q)
        Components, a picture of `shape` halved `level` times a row.
    shape : tuple of int
        Shape of a full picture, (h, w) or (h, w, 3).
    iteration : int
        Iterations made so far.
    converged : bool
        Whether the solver's rule of convergence is met.
    error : float
        Relative Frobenius error of the reconstruction from these factors.
    scale : float
        The pixel value that was 1.
    level : int
        How often the pictures of `H` were halved.
    mean : array of shape (p,), optional
        What the components are added to.
    max_iter : int, optional
        The most iterations that there can be, where that is not `max_iter` of the parameters.
    """

    weights: NDArray[Any] | Callable[[], NDArray[Any]]
    H: NDArray[Any]
    shape: tuple[int, ...]
    iteration: int
    converged: bool
    error: float
    scale: float = 1.0
    level: int = 0
    mean: NDArray[Any] | None = None
    max_iter: int | None = None

    @cached_property
    def W(self) -> NDArray[Any]:
        """The weights, shape (n, k)."""
        return self.weights() if callable(self.weights) else self.weights

    def pictures(self) -> NDArray[Any]:
        """Return the components at full size, shape (k, h, w)."""
        return widen(self.H, self.shape, self.level)


Solving: TypeAlias = "Generator[Factors, Literal['stop'] | None, Factors]"
"""A solver at work: yields where it stands, takes ``"stop"``, returns the last factors."""


def canonical(
    W: NDArray[Any], H: NDArray[Any], *, is_signed: bool
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights and components with the same product, scaled and sorted.

    Parameters
    ----------
    W : array of shape (n, k)
        Weights.
    H : array of shape (k, p)
        Components as rows.
    is_signed : bool
        Whether they can be negative.

    Returns
    -------
    weights : array of shape (n, k)
        Those of the scaled components.
    components : array of shape (k, p)
        Each with maximum 1 (see `unit_maximum`), the one with the largest of the
        `amounts` first.
    """
    weights, components = normalized(W, H)
    order = np.argsort(-amounts(weights, components, is_signed=is_signed), kind="stable")
    return np.ascontiguousarray(weights[:, order]), np.ascontiguousarray(components[order])


def normalized(W: NDArray[Any], H: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights and components with the same product, each component with maximum 1."""
    return W * _peaks(H), unit_maximum(H)


def amounts(
    weights: NDArray[Any], components: NDArray[Any], *, is_signed: bool
) -> NDArray[np.float64]:
    """Return how much each component adds to all faces together.

    Parameters
    ----------
    weights : array of shape (n, k)
        Weights.
    components : array of shape (k, p)
        Components as rows.
    is_signed : bool
        Whether they can be negative.

    Returns
    -------
    array of shape (k,)
        The sum over all faces and pixels; where light and dark would cancel, the sum of
        the squares of what a component adds beyond its mean.
    """
    if is_signed:
        squares = np.einsum("kp,kp->k", components, components, dtype=np.float64)
        varied: NDArray[np.float64] = weights.var(axis=0, dtype=np.float64) * squares
        return varied
    sums = components.sum(axis=1, dtype=np.float64)
    carried: NDArray[np.float64] = weights.sum(axis=0, dtype=np.float64) * sums
    return carried


def unit_maximum(components: NDArray[Any]) -> NDArray[Any]:
    """Return a copy of `components` (k, ...) in which each has maximum 1, or is all 0.

    Those with negative pixels are from -1 to 1 then, and may have changed their sign.
    """
    peaks = _peaks(components.reshape(len(components), -1))
    peaks = np.where(peaks != 0, peaks, 1).astype(components.dtype)
    scaled: NDArray[Any] = components / peaks.reshape(-1, *[1] * (components.ndim - 1))
    return scaled


def _peaks(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the value of each row that is farthest from 0, with its sign."""
    high, low = rows.max(axis=1), rows.min(axis=1)
    peaks: NDArray[Any] = np.where(high >= -low, high, low)
    return peaks
