"""How new a mixed face is: the nearest real one, found without making the window wait."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces._job import Job
from napari_latent_faces.nearest import NearestFaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Nearest", "NoveltyFinder"]

_ASKED = 200  # faces whose nearest others tell what is usual


@dataclass(frozen=True)
class Nearest:
    """The real face that is nearest to a mixed one.

    Parameters
    ----------
    face : int
        Which face of the model.
    distance : float
        Root mean squared difference between the mixed picture and the reconstruction of
        that face, in the units of the faces.
    usual : float
        The same between a real face and the nearest other one, in the median.
    """

    face: int
    distance: float
    usual: float


class NoveltyFinder(Job):
    """Finds the real face nearest to weights; the preparation is made in a thread.

    Parameters
    ----------
    model : LatentFaces
        The model.
    """

    ready = Signal()  # from now on `find` finds something

    def __init__(self, model: LatentFaces) -> None:
        super().__init__(_prepare, model)
        self._faces: NearestFaces | None = None
        self._usual = float("nan")

    def find(self, weights: NDArray[Any]) -> Nearest | None:
        """Return the face nearest to weights (k,), or None before all is prepared."""
        if self._faces is None:
            return None
        faces, distances = self._faces.find(weights, 1)
        return Nearest(int(faces[0]), float(distances[0]), self._usual)

    def take_value(self, value: tuple[NearestFaces, float]) -> str:
        """Keep what was prepared."""
        self._faces, self._usual = value
        self.ready.emit()
        return ""


def _prepare(model: LatentFaces) -> tuple[NearestFaces, float]:
    faces = NearestFaces(model)
    n = len(model.weights)
    if n < 2:
        return faces, float("nan")
    some = np.unique(np.linspace(0, n - 1, min(n, _ASKED)).astype(int))
    find: Callable[..., Any] = faces.find
    return faces, median(float(find(model.weights[i], 1, exclude=int(i))[1][0]) for i in some)
