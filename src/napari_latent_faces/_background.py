"""A generator that runs in a thread for a widget, about one layer of one viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import create_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

__all__ = ["LayerJob"]

# A job lives as long as its thread: what the thread has sent must find it.
_running: set[LayerJob] = set()


class LayerJob:
    """Runs a generator in a thread; everything else, signals included, is on the GUI thread.

    It ends by itself, with its generator closed, when the layer is removed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    layer : napari.layers.Layer
        The layer that the job is about.
    make : callable
        Returns the generator; called in the thread. To its ``yield`` the message of
        `send` is returned.
    """

    stepped = Signal(object)  # what the generator yields
    returned = Signal(object)  # what it returns; `ended` follows
    ended = Signal(str)  # why it has not returned, in words; empty if it has

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        layer: Any,
        make: Callable[[], Generator[Any, Any, Any]],
    ) -> None:
        self.viewer, self.layer = viewer, layer

        def running() -> Generator[Any, Any, Any]:
            return (yield from make())

        self._worker: Any = create_worker(running, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._on_step)
        self._worker.returned.connect(self._on_value)
        self._worker.errored.connect(self._on_error)
        self._worker.warned.connect(_relay_warning)
        self._worker.finished.connect(self._on_finished)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_over(self) -> bool:
        """Whether nothing of this job will be heard any more."""
        return self._worker is None

    def start(self) -> None:
        """Begin."""
        _running.add(self)
        self._worker.start()

    def send(self, message: Any) -> None:
        """Give the generator a message at its next ``yield``."""
        if not self.is_over:
            self._worker.send(message)

    def cancel(self, why: str = "Cancelled.") -> None:
        """End the job and drop what it was about to return."""
        if not self.is_over:
            self.abandon()
            self.ended.emit(why)

    def abandon(self) -> None:
        """End the job without a word."""
        if not self.is_over:
            self._worker.quit()
            self._worker = None
            self.viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_step(self, step: Any) -> None:
        if not self.is_over:
            self.stepped.emit(step)

    def _on_value(self, value: Any) -> None:
        if not self.is_over:
            self.abandon()
            self.returned.emit(value)
            self.ended.emit("")

    def _on_error(self, error: Exception) -> None:
        if self.is_over:
            return
        from napari.utils.notifications import notification_manager, show_error

        self.abandon()
        if isinstance(error, (TypeError, ValueError, MemoryError, OSError)):
            show_error(str(error) or type(error).__name__)
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.ended.emit(f"Failed: {error}")

    def _on_finished(self) -> None:
        _running.discard(self)

    def _on_removed(self) -> None:
        if self.layer not in self.viewer.layers:
            self.cancel("The faces were removed.")


def _relay_warning(warning: tuple[Any, ...]) -> None:
    from napari.utils.notifications import notification_manager

    notification_manager.receive_warning(*warning[:4])
