"""Small pictures of the faces behind a model, read when there is time for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_latent_faces._job import QuietJob
from napari_latent_faces.explain import face_error, shrunk

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["FacePictures"]

_QUIET = 150  # milliseconds without another wish until faces are read from a disk
_MOST = 4096  # small pictures that are remembered


class FacePictures:
    """Reads the faces that a panel shows, without keeping it waiting.

    Faces in memory are there at once. Others, of a lazy stack, are read in a thread when
    the wishes have come to rest, so that a slider can be dragged over them.

    Parameters
    ----------
    model : LatentFaces
        The model.
    images : numpy or lazy array of shape (n, h, w), or None
        The faces that it was fitted to, if they are known.
    longest : int
        Most pixels of a small picture's side.
    """

    arrived = Signal(int)  # a face that was read in the thread
    failed = Signal(str)

    def __init__(self, model: LatentFaces, images: Any, longest: int) -> None:
        is_known = images is not None and tuple(images.shape) == model.shape
        self.images = images
        self._model, self._longest = model, longest
        self._source: Any = images if is_known else None
        self._small: dict[int, NDArray[Any]] = {}
        self._errors: dict[int, float] = {}
        self._current: int | None = None
        self._others: list[int] = []
        self._job: QuietJob | None = None
        self._quiet = QTimer()
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(_QUIET)
        self._quiet.timeout.connect(self._read_in_thread)

    @property
    def are_known(self) -> bool:
        """Whether there are faces to read."""
        return self._source is not None

    @property
    def in_memory(self) -> bool:
        """Whether a face costs no time."""
        source = self._source
        return isinstance(source, np.ndarray) and not isinstance(source, np.memmap)

    def small(self, face: int) -> NDArray[Any] | None:
        """Return the small picture of a face, None if it was not read yet."""
        return self._small.get(face)

    def error(self, face: int) -> float | None:
        """Return the relative error of a face, None if it is not known yet."""
        return self._errors.get(face)

    def want(self, current: int, others: Iterable[int]) -> None:
        """Read the current face, and small pictures of others, in place of earlier wishes."""
        self._current, self._others = current, list(others)
        if self.in_memory:
            for face in self._wanted():
                self._take(face, self._source[face])
        elif self.are_known and self._wanted():
            self._quiet.start()

    def close(self) -> None:
        """Read nothing any more."""
        self._quiet.stop()
        if self._job is not None:
            self._job.abandon()
            self._job = None

    def _wanted(self) -> list[int]:
        """Return the faces to read, the current one first."""
        if len(self._small) > _MOST:
            self._small.clear()
        first = [self._current] if self._current is not None else []
        missing = [face for face in first if face not in self._errors]
        missing += [face for face in self._others if face not in self._small]
        return list(dict.fromkeys(missing))

    def _read_in_thread(self) -> None:
        self.close()
        source, wanted = self._source, self._wanted()

        def reading() -> Generator[tuple[int, NDArray[Any]]]:
            for face in wanted:
                yield face, np.asarray(source[face])

        self._job = QuietJob(reading)
        self._job.stepped.connect(self._on_read)
        self._job.failed.connect(self.failed)
        self._job.start()

    def _on_read(self, found: tuple[int, NDArray[Any]]) -> None:
        self._take(*found)
        self.arrived.emit(found[0])

    def _take(self, face: int, pixels: NDArray[Any]) -> None:
        self._small[face] = shrunk(pixels, self._longest)
        if face == self._current:  # of the others nobody asks, and it costs some time
            self._errors[face] = face_error(self._model, face, pixels)
