"""What solvers return: two factors, and the form in which two factorizations compare."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from napari_latent_faces.solvers.levels import widen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Factors:
    """The two factors after some iterations."""

    # (n, k); those on a cluster stay there until `W` is looked at, before the fit ends
    weights: NDArray[Any] | Callable[[], NDArray[Any]]
    H: NDArray[Any]  # (k, q), a picture of `shape` halved `level` times a row
    shape: tuple[int, ...]
    iteration: int
    converged: bool
    error: float  # relative Frobenius error of the reconstruction
    scale: float = 1.0  # the pixel value that was 1
    level: int = 0
    mean: NDArray[Any] | None = None  # (p,), what the components are added to
    max_iter: int | None = None  # where it is not that of the parameters

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
    """Return `normalized` factors, the component with the largest of the `amounts` first."""
    weights, components = normalized(W, H)
    order = np.argsort(-amounts(weights, components, is_signed=is_signed), kind="stable")
    return np.ascontiguousarray(weights[:, order]), np.ascontiguousarray(components[order])


def normalized(W: NDArray[Any], H: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return weights and components with the same product, each component with maximum 1."""
    return W * _peaks(H), unit_maximum(H)


def amounts(
    weights: NDArray[Any], components: NDArray[Any], *, is_signed: bool
) -> NDArray[np.float64]:
    """Return how much each component adds to all faces together: over all, and all pixels.

    Where light and dark would cancel, it is the sum of the squares of what it adds beyond its
    mean.
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
