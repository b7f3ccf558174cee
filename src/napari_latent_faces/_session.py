"""One running fit of one layer: worker, live pictures, and how it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_latent_faces._layer_job import LayerJob
from napari_latent_faces._results import ResultLayers
from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.layers import layer_stack

if TYPE_CHECKING:
    import napari

    from napari_latent_faces._results import ShowOptions
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.nmf import FitStep
    from napari_latent_faces.parameters import Parameters

__all__ = ["FitSession"]

_PAUSE = 0.1  # seconds at least between two steps that are shown
_SHOWN_SHARE = 0.15  # of the window's time that showing them may take


class FitSession(LayerJob):
    """Fits the faces of a layer, and shows the components while they form.

    `stepped` comes with a `FitStep` a few times a second; `ended` says how good the model
    is, or why there is none.

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

    cancelled = "Cancelled; nothing was kept."
    failure = "The fit failed"
    removed = "The faces were removed, so their fit was cancelled."

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        faces: Any,
        params: Parameters,
        options: ShowOptions,
    ) -> None:
        stack = layer_stack(faces.data, faces.metadata)
        super().__init__(viewer, faces, lambda: iter_fit(stack, params))
        self.model: LatentFaces | None = None
        self._results = ResultLayers(viewer, faces, options, type(params))
        self._next_showing = 0.0
        self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    def stop(self) -> None:
        """End the fit after this iteration and keep what was reached."""
        self.send("stop")

    def take_step(self, step: FitStep) -> None:
        """Show a step, unless showing the last one has just cost the window enough."""
        if self.elapsed < self._next_showing:
            return
        began = self.elapsed
        self._results.show_step(step.components)
        self.stepped.emit(step)
        took = self.elapsed - began
        self._next_showing = self.elapsed + max(_PAUSE, took / _SHOWN_SHARE)

    def take_value(self, value: LatentFaces) -> str:
        """Show the model; a ValueError says that the faces are not those that were fitted."""
        self._results.show_model(value)
        self.model = value
        return _summary(value, self.elapsed)

    def discard(self) -> None:
        """Take the components that were forming out of the viewer."""
        self._results.discard()


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
