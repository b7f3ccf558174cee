"""A function that runs in a thread and tells the window when it is done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import create_worker

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Call"]

# A job lives as long as its thread: what the thread has sent must find it.
_running: set[Call] = set()


class Call:
    """One call in a thread; its signals come on the GUI thread.

    Parameters
    ----------
    function : callable
        What to do; it knows nothing of the window.
    *args, **kwargs
        Its arguments.
    """

    returned = Signal(object)  # what the function returned
    failed = Signal(str)  # why it did not; napari has shown it

    def __init__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._is_wanted = True
        worker: Any = create_worker(
            function, *args, _start_thread=False, _ignore_errors=True, **kwargs
        )
        self._worker = worker
        self._worker.returned.connect(self._on_returned)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._on_finished)

    def start(self) -> None:
        """Begin."""
        _running.add(self)
        self._worker.start()

    def abandon(self) -> None:
        """Let it end, and hear no more of it."""
        self._is_wanted = False

    def _on_returned(self, result: Any) -> None:
        if self._is_wanted:
            self.returned.emit(result)

    def _on_error(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if not self._is_wanted:
            return
        if isinstance(error, (OSError, ValueError, MemoryError)):
            show_error(str(error) or type(error).__name__)
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.failed.emit(str(error) or type(error).__name__)

    def _on_finished(self) -> None:
        _running.discard(self)
