"""Making many faces in a thread: random ones, or those of a morph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces._job import Job
from napari_latent_faces.mixing import to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Making"]

_BLOCK_FACES = 16  # between two looks at whether to go on


class Making(Job):
    """Turns weights into pictures in a thread.

    Parameters
    ----------
    model : LatentFaces
        The model.
    draw : callable
        Returns the weights, shape (m, k). It is called in the thread, since finding the
        distribution of many faces takes its time.
    """

    progressed = Signal(int, int)  # faces made, of how many
    made = Signal(object, object)  # weights (m, k) and pictures (m, h, w)

    cancelled = "Cancelled; nothing was kept."
    failure = "No faces were made"

    def __init__(self, model: LatentFaces, draw: Callable[[], NDArray[Any]]) -> None:
        super().__init__(_make, model, draw)

    def take_step(self, step: tuple[int, int]) -> None:
        """Tell how many faces there are."""
        self.progressed.emit(*step)

    def take_value(self, value: tuple[NDArray[Any], NDArray[Any]]) -> str:
        """Hand over the faces."""
        self.made.emit(*value)
        return ""


def _make(
    model: LatentFaces, draw: Callable[[], NDArray[Any]]
) -> Generator[tuple[int, int], None, tuple[NDArray[Any], NDArray[Any]]]:
    weights = draw()
    yield 0, len(weights)
    dtype = np.dtype(model.provenance.dtype)
    pictures = np.empty((len(weights), *model.shape[1:]), dtype)
    for first in range(0, len(weights), _BLOCK_FACES):
        part = slice(first, first + _BLOCK_FACES)
        pictures[part] = to_pixels(model.blend(weights[part]), dtype)
        yield min(part.stop, len(weights)), len(weights)
    return weights, pictures
