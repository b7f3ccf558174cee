"""A model written as plain files, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psygnal import Signal
from superqt.utils import create_worker

from napari_latent_faces.export import check_export, export_model

if TYPE_CHECKING:
    from pathlib import Path

    from napari_latent_faces.model import LatentFaces

__all__ = ["Export"]

# An export lives as long as its thread: what the thread has sent must find it.
_running: set[Export] = set()


class Export:
    """Writes what the command line writes; signals come on the GUI thread.

    Parameters
    ----------
    model : LatentFaces
        The model.
    folder : Path
        Where to: an empty folder, a new one, or one with an earlier export, which is
        replaced.

    Raises
    ------
    OSError
        If files in `folder` are in the way, or nothing may be written there.
    """

    ended = Signal(str)  # what to tell the user

    def __init__(self, model: LatentFaces, folder: Path) -> None:
        check_export(folder, force=folder.exists())
        worker: Any = create_worker(
            export_model,
            model,
            folder,
            force=folder.exists(),
            _start_thread=False,
            _ignore_errors=True,
        )
        self._worker = worker
        self._worker.returned.connect(self._on_written)
        self._worker.errored.connect(self._on_error)
        self._worker.finished.connect(self._let_go)

    def start(self) -> None:
        """Begin to write."""
        _running.add(self)
        self._worker.start()

    def _on_written(self, folder: Path) -> None:
        self.ended.emit(f"Written to {folder}.")

    def _on_error(self, error: Exception) -> None:
        from napari.utils.notifications import notification_manager, show_error

        if isinstance(error, (OSError, MemoryError)):
            show_error(str(error) or type(error).__name__)
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.ended.emit(f"The export failed: {error}")

    def _let_go(self) -> None:
        _running.discard(self)
