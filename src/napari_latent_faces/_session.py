"""One running fit of one layer: worker, live pictures, and how it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari.utils.notifications import notification_manager, show_error
from psygnal import Signal
from superqt.utils import create_worker

from napari_latent_faces._results import ResultLayers
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.layers import layer_stack

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

    from napari_latent_faces._results import ShowOptions
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import FitStep
    from napari_latent_faces.parameters import Parameters

__all__ = ["FitSession"]

_PAUSE = 0.1  # seconds at least between two steps that are shown
_SHOWN_SHARE = 0.15  # of the window's time that showing them may take

# A session lives as long as its thread: what the thread has sent must find it.
_running: set[FitSession] = set()


class FitSession:
    """Fits in a thread; everything else, signals included, is on the GUI thread.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the results go.
    faces : napari.layers.Image
        The layer to fit.
    params : Parameters
        The parameters of the fit.
    options : ShowOptions
        What to show.

    Raises
    ------
    TypeError, ValueError
        If the layer is not a stack of grey pictures.
    """

    stepped = Signal(object)  # FitStep; a few of them a second
    ended = Signal(str)  # what to tell the user

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        faces: Any,
        params: Parameters,
        options: ShowOptions,
    ) -> None:
        self.viewer, self.faces = viewer, faces
        self.model: LatentFaces | None = None
        self.has_stepped = False
        self._results = ResultLayers(viewer, faces, options, type(params))
        self._next_showing = 0.0
        self._began = time.perf_counter()
        stack = layer_stack(faces.data, faces.metadata)

        def fitting() -> Generator[FitStep, Any, LatentFaces]:
            return (yield from iter_fit(stack, params))

        self._worker: Any = create_worker(fitting, _start_thread=False, _ignore_errors=True)
        self._worker.yielded.connect(self._on_step)
        self._worker.returned.connect(self._on_model)
        self._worker.errored.connect(self._on_error)
        self._worker.warned.connect(_relay_warning)
        self._worker.finished.connect(self._on_finished)
        viewer.layers.events.removed.connect(self._on_removed)

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    @property
    def is_over(self) -> bool:
        """Whether nothing of this session will reach the viewer any more."""
        return self._worker is None

    def start(self) -> None:
        """Begin to fit."""
        _running.add(self)
        self._worker.start()

    def stop(self) -> None:
        """End the fit after this iteration and keep what was reached."""
        if self.has_stepped and not self.is_over:
            self._worker.send("stop")

    def cancel(self, why: str = "Cancelled; nothing was kept.") -> None:
        """End the fit and drop it."""
        if not self.is_over:
            self.abandon()
            self._results.discard()
            self.ended.emit(why)

    def abandon(self) -> None:
        """Let go of thread and viewer without touching either window or layers."""
        if not self.is_over:
            self._worker.quit()
            self._worker = None
            self.viewer.layers.events.removed.disconnect(self._on_removed)

    def _on_step(self, step: FitStep) -> None:
        """Show a step, unless showing the last one has just cost the window enough."""
        if self.is_over or self.elapsed < self._next_showing:
            return
        self.has_stepped = True
        began = self.elapsed
        self._results.show_step(step.components)
        self.stepped.emit(step)
        took = self.elapsed - began
        self._next_showing = self.elapsed + max(_PAUSE, took / _SHOWN_SHARE)

    def _on_model(self, model: LatentFaces) -> None:
        if self.is_over:
            return
        try:
            self._results.show_model(model)
        except ValueError as error:  # the faces are no longer those that were fitted
            self._on_error(error)
            return
        self.abandon()
        self.model = model
        self.ended.emit(_summary(model, self.elapsed))

    def _on_error(self, error: Exception) -> None:
        if self.is_over:
            return
        self.abandon()
        self._results.discard()
        if isinstance(error, (TypeError, ValueError, MemoryError, OSError)):
            show_error(str(error) or type(error).__name__)
        else:  # a fault of ours: with its traceback
            notification_manager.receive_error(type(error), error, error.__traceback__)
        self.ended.emit(f"The fit failed: {error}")

    def _on_finished(self) -> None:
        _running.discard(self)

    def _on_removed(self) -> None:
        if self.faces not in self.viewer.layers:
            self.cancel("The faces were removed, so their fit was cancelled.")


def _relay_warning(warning: tuple[Any, ...]) -> None:
    notification_manager.receive_warning(*warning[:4])


def _summary(model: LatentFaces, seconds: float) -> str:
    how = {
        "converged": "Converged after",
        "max_iter": "Not converged after",
        "stopped": "Stopped and kept after",
    }[model.provenance.stop_reason]
    n_iter = model.provenance.n_iter
    if n_iter == 1 and model.provenance.stop_reason == "converged":  # one that needs no steps
        return f"Done in {seconds:.1f} s. Relative error {model.error:.4f}."
    return (
        f"{how} {n_iter} iteration{'s' * (n_iter != 1)}, {seconds:.1f} s. "
        f"Relative error {model.error:.4f}."
    )
