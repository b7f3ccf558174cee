"""The picture of mixed weights, fast enough to follow a slider."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.mixing.amounts import as_weights
from napari_latent_faces.pixels import as_pixels

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["MixedPicture", "to_pixels"]


class MixedPicture:
    """A mixed face of which one weight after the other is changed.

    While one component is changed again and again, what all the others make is kept:
    a new weight costs one multiplication and one addition a pixel, whatever the number
    of components. Nothing is added up over many changes, so no error builds up: the
    picture is always the sum of two, as exact as `LatentFaces.blend`.

    Parameters
    ----------
    model : LatentFaces
        The model.
    weights : array of shape (k,)
        What to begin with.
    """

    def __init__(self, model: LatentFaces, weights: NDArray[Any]) -> None:
        self.model = model
        self.set_weights(weights)

    @property
    def weights(self) -> NDArray[np.float64]:
        """The weights, a copy of shape (k,)."""
        return self._weights.copy()

    @property
    def pixels(self) -> NDArray[Any]:
        """The picture in the units of the faces: shape (h, w), to be looked at only."""
        return self._pixels

    def set_weights(self, weights: NDArray[Any]) -> None:
        """Change all weights; costs as much as a reconstruction."""
        self._weights = as_weights(self.model, weights)
        self._pixels = self.model.blend(self._weights)
        self._held: int | None = None

    def set_weight(self, component: int, weight: float) -> None:
        """Change one weight."""
        if component != self._held:
            self._hold(component)
        self._weights[component] = weight
        amount = self._pixels.dtype.type(weight * self.model.scale)
        np.multiply(self.model.components[component], amount, out=self._pixels)
        self._pixels += self._rest

    def _hold(self, component: int) -> None:
        others = self._weights.copy()
        others[component] = 0
        self._rest = self.model.blend(others)
        self._held = component


def to_pixels(faces: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """Return faces as pictures of a type: see `as_pixels`.

    Of booleans they are floats, as a mixed face is neither black nor white.

    Parameters
    ----------
    faces : array
        Floats in the units of the faces, in any shape.
    dtype : numpy dtype
        The type of the faces' pixels.
    """
    dtype = np.dtype(dtype)
    return faces.copy() if dtype.kind == "b" else as_pixels(faces, dtype)
