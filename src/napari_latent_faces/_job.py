"""Small pieces of work in a thread, for panels that must not wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import create_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["Job"]

# A job lives as long as its thread: what the thread has sent must find it.
_running: set[Job] = set()


class Job:
    """Runs a generator in a thread; signals arrive on the GUI thread.

    Parameters
    ----------
    work : callable
        Returns the generator. It touches neither viewer nor widgets.
    """

    produced = Signal(object)  # each value that the generator yields
    failed = Signal(str)  # why it ended early, in words for the user
    ended = Signal()

    def __init__(self, work: Callable[[], Generator[Any]]) -> None:
        self._worker: Any = create_worker(work, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._on_yielded)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finished)

    @property
    def is_over(self) -> bool:
        """Whether nothing of this job will be told any more."""
        return self._worker is None

    def start(self) -> None:
        """Begin; connect to the signals before."""
        _running.add(self)
        self._worker.start()

    def abandon(self) -> None:
        """Tell nothing more, and end the thread after the value it is at."""
        if self._worker is not None:
            self._worker.quit()
            self._worker = None

    def _on_yielded(self, value: Any) -> None:
        if not self.is_over:
            self.produced.emit(value)

    def _on_error(self, error: Exception) -> None:
        if self.is_over:
            return
        if not isinstance(error, (TypeError, ValueError, MemoryError, OSError)):
            from napari.utils.notifications import notification_manager

            # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error) or type(error).__name__)

    def _on_finished(self) -> None:
        _running.discard(self)
        if not self.is_over:
            self._worker = None
            self.ended.emit()
