"""Work about one layer in a thread: it ends when the layer is removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_latent_faces._job import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import napari

__all__ = ["FacesJob", "LayerJob"]


class LayerJob(Job):
    """A job that is cancelled when its layer is removed.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    layer : napari.layers.Layer
        The layer that the job is about.
    work : callable
        As for `Job`.
    """

    removed: ClassVar[str] = "The faces were removed."

    def __init__(
        self, viewer: napari.components.ViewerModel, layer: Any, work: Callable[[], Any]
    ) -> None:
        super().__init__(work)
        self.viewer, self.layer = viewer, layer
        viewer.layers.events.removed.connect(self._on_removed)

    def abandon(self) -> None:
        """Let go of thread and viewer without touching either window or layers."""
        if not self.is_over:
            self.viewer.layers.events.removed.disconnect(self._on_removed)
        super().abandon()

    def _on_removed(self) -> None:
        if self.layer not in self.viewer.layers and not self.is_over:
            # what was shown goes, too, but not while napari still removes this layer
            QTimer.singleShot(0, lambda: self.cancel(self.removed))


class FacesJob(LayerJob):
    """Works through the pictures of a layer, and shows a result beside them.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the result goes.
    layer : napari.layers.Image
        The pictures.
    """

    progressed = Signal(int, int)  # pictures done, and how many there are

    cancelled = "Cancelled; nothing was changed."
    failure = "That failed"
    removed = "The faces were removed, so the work was cancelled."

    def __init__(self, viewer: napari.components.ViewerModel, layer: Any) -> None:
        super().__init__(viewer, layer, self.steps)
        self.result: Any = None

    def steps(self) -> Generator[tuple[int, int], None, Any]:
        """Do the work, in the thread; yield pictures done and in all, return a result."""
        raise NotImplementedError

    def show(self, result: Any) -> str:
        """Put the result into the viewer and say in words what it is."""
        raise NotImplementedError

    def take_step(self, step: tuple[int, int]) -> None:
        """Tell how far the work is."""
        self.progressed.emit(*step)

    def take_value(self, value: Any) -> str:
        """Keep and show the result."""
        self.result = value
        return self.show(value)
