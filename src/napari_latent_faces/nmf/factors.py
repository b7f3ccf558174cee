"""What a solver tells about where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from napari_latent_faces.nmf.pyramid import widen

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    # Send "stop" to end early; the value of StopIteration is what was reached.
    Solving = Generator["Factors", Literal["stop"] | None, "Factors"]

__all__ = ["Factors"]


@dataclass(frozen=True, eq=False)
class Factors:
    """The two factors after some iterations.

    Parameters
    ----------
    weights : array of shape (n, k), or callable that returns it
        Weights; those on a cluster stay there until `W` is looked at, which has to
        happen before the fit ends.
    H : array of shape (k, q)
        Components, a picture of `size` halved `level` times a row.
    size : tuple of int
        Height and width of a full picture.
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
    """

    weights: NDArray[Any] | Callable[[], NDArray[Any]]
    H: NDArray[Any]
    size: tuple[int, int]
    iteration: int
    converged: bool
    error: float
    scale: float = 1.0
    level: int = 0

    @cached_property
    def W(self) -> NDArray[Any]:  # noqa: N802 - the name in the field
        """The weights, shape (n, k)."""
        return self.weights() if callable(self.weights) else self.weights

    def pictures(self) -> NDArray[Any]:
        """Return the components at full size, shape (k, h, w)."""
        return widen(self.H, self.size, self.level)
