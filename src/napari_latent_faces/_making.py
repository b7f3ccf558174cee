"""Making many faces in a thread: random ones, or those of a morph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from superqt.utils import create_worker

from napari_latent_faces.mixing import to_pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

__all__ = ["Making"]

_BLOCK_FACES = 16  # between two looks at whether to go on

# A making lives as long as its thread: what the thread has sent must find it.
_running: set[Making] = set()


class Making:
    """Turns weights into pictures in a thread; the signals come on the GUI thread.

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
    ended = Signal(str)  # why there is nothing, or an empty text

    def __init__(self, model: LatentFaces, draw: Callable[[], NDArray[Any]]) -> None:
        def making() -> Generator[tuple[int, int], None, tuple[Any, Any]]:
            weights = draw()
            yield 0, len(weights)
            dtype = np.dtype(model.provenance.dtype)
            pictures = np.empty((len(weights), *model.shape[1:]), dtype)
            for first in range(0, len(weights), _BLOCK_FACES):
                part = slice(first, first + _BLOCK_FACES)
                pictures[part] = to_pixels(model.blend(weights[part]), dtype)
                yield min(part.stop, len(weights)), len(weights)
            return weights, pictures

        self._worker: Any = create_worker(making, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._on_progress)
        self._worker.returned.connect(self._on_result)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finished)

    @property
    def is_over(self) -> bool:
        """Whether nothing will come any more."""
        return self._worker is None

    def start(self) -> None:
        """Begin."""
        _running.add(self)
        self._worker.start()

    def cancel(self) -> None:
        """End it and drop what was made."""
        if not self.is_over:
            self.abandon()
            self.ended.emit("Cancelled; nothing was kept.")

    def abandon(self) -> None:
        """Let go of the thread without a word."""
        if not self.is_over:
            self._worker.quit()
            self._worker = None

    def _on_progress(self, progress: tuple[int, int]) -> None:
        if not self.is_over:
            self.progressed.emit(*progress)

    def _on_result(self, result: tuple[Any, Any]) -> None:
        if self.is_over:
            return
        self.abandon()
        self.made.emit(*result)
        self.ended.emit("")

    def _on_error(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if self.is_over:
            return
        self.abandon()
        if isinstance(error, (ValueError, IndexError, MemoryError)):
            show_error(str(error) or "There is not enough memory for so many faces.")
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.ended.emit(f"No faces were made: {error}")

    def _on_finished(self) -> None:
        _running.discard(self)
