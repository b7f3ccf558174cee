"""How new a mixed face is: the nearest real one, found without making the window wait."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from superqt.utils import create_worker

from napari_latent_faces.nearest import NearestFaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Nearest", "NoveltyFinder"]

_ASKED = 200  # faces whose nearest others tell what is usual

# A finder lives as long as its thread: what the thread has sent must find it.
_running: set[NoveltyFinder] = set()


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


class NoveltyFinder:
    """Finds the real face nearest to weights; the preparation is made in a thread.

    Parameters
    ----------
    model : LatentFaces
        The model.
    """

    ready = Signal()

    def __init__(self, model: LatentFaces) -> None:
        self._faces: NearestFaces | None = None
        self._usual = float("nan")
        worker: Any = create_worker(_prepare, model, _start_thread=False, _ignore_errors=True)
        self._worker = worker
        self._worker.returned.connect(self._on_prepared)
        self._worker.errored.connect(_report)
        self._worker.finished.connect(self._on_finished)
        _running.add(self)

    def start(self) -> None:
        """Begin to prepare; `ready` is emitted when it is done."""
        self._worker.start()

    def abandon(self) -> None:
        """Say nothing any more."""
        self._worker = None

    def find(self, weights: NDArray[Any]) -> Nearest | None:
        """Return the face nearest to weights (k,), or None before all is prepared."""
        if self._faces is None:
            return None
        faces, distances = self._faces.find(weights, 1)
        return Nearest(int(faces[0]), float(distances[0]), self._usual)

    def _on_prepared(self, prepared: tuple[NearestFaces, float]) -> None:
        if self._worker is not None:
            self._faces, self._usual = prepared
            self.ready.emit()

    def _on_finished(self) -> None:
        _running.discard(self)


def _prepare(model: LatentFaces) -> tuple[NearestFaces, float]:
    faces = NearestFaces(model)
    n = len(model.weights)
    if n < 2:
        return faces, float("nan")
    some = np.unique(np.linspace(0, n - 1, min(n, _ASKED)).astype(int))
    find: Callable[..., Any] = faces.find
    return faces, median(float(find(model.weights[i], 1, exclude=int(i))[1][0]) for i in some)


def _report(error: Exception) -> None:
    from napari.utils.notifications import notification_manager

    notification_manager.receive_error(type(error), error, error.__traceback__)
