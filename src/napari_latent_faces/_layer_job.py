"""Work on one layer in a thread: its progress, its result, and how it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import create_worker

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

__all__ = ["LayerJob"]

# A job lives as long as its thread: what the thread has sent must find it.
_running: set[LayerJob] = set()


class LayerJob:
    """Runs `steps` in a thread; everything else, signals included, is on the GUI thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the result goes.
    layer : napari.layers.Layer
        The layer that is worked on; the work ends when it is removed.
    """

    progressed = Signal(int, int)  # pictures done, and how many there are
    ended = Signal(str)  # what to tell the user

    def __init__(self, viewer: napari.components.ViewerModel, layer: Any) -> None:
        self.viewer, self.layer = viewer, layer
        self.result: Any = None
        self._worker: Any = create_worker(self.steps, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._on_step)
        self._worker.returned.connect(self._on_result)
        self._worker.errored.connect(self._on_error)
        self._worker.warned.connect(_relay_warning)
        self._worker.finished.connect(self._on_finished)
        viewer.layers.events.removed.connect(self._on_removed)

    def steps(self) -> Generator[tuple[int, int], None, Any]:
        """Do the work, in the thread; yield pictures done and in all, return a result."""
        raise NotImplementedError

    def show(self, result: Any) -> str:
        """Put the result into the viewer and say in words what it is."""
        raise NotImplementedError

    @property
    def is_over(self) -> bool:
        """Whether nothing of this job will reach the viewer any more."""
        return self._worker is None

    def start(self) -> None:
        """Begin to work."""
        _running.add(self)
        self._worker.start()

    def cancel(self, why: str = "Cancelled; nothing was changed.") -> None:
        """End the work and drop it."""
        if not self.is_over:
            self.abandon()
            self.ended.emit(why)

    def abandon(self) -> None:
        """Let go of thread and viewer without touching either window or layers."""
        if not self.is_over:
            self._worker.quit()
            self._worker = None
            self.viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_step(self, step: tuple[int, int]) -> None:
        if not self.is_over:
            self.progressed.emit(*step)

    def _on_result(self, result: Any) -> None:
        if self.is_over:
            return
        self.abandon()
        self.result = result
        self.ended.emit(self.show(result))

    def _on_error(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if self.is_over:
            return
        self.abandon()
        if isinstance(error, (TypeError, ValueError, MemoryError, OSError)):
            show_error(str(error) or type(error).__name__)
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.ended.emit(f"That failed: {error}")

    def _on_finished(self) -> None:
        _running.discard(self)

    def _on_removed(self) -> None:
        if self.layer not in self.viewer.layers:
            self.cancel("The faces were removed, so the work was cancelled.")


def _relay_warning(warning: tuple[Any, ...]) -> None:
    from napari.utils.notifications import notification_manager

    notification_manager.receive_warning(*warning[:4])
