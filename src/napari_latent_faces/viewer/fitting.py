"""One running fit of one layer: worker, live pictures, and how it ends."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from napari_latent_faces.fitting import iter_fit
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import layer_pixels, layer_stack
from napari_latent_faces.viewer.marks import fit_mask
from napari_latent_faces.viewer.results import ResultLayers

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari

    from napari_latent_faces.fitting import FitStep, Fitting
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.stack import FaceStack
    from napari_latent_faces.viewer.results import ShowOptions

__all__ = ["IGNORE", "FitSession"]

IGNORE = "Ignore"
"""Name of the field that says which layer marks what a fit leaves out."""

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
    ignore : napari.layers.Labels or napari.layers.Shapes, optional
        Marks pixels that the fit leaves out: with two axes of all faces, with three of
        single ones.

    Raises
    ------
    TypeError, ValueError
        If the layer is not a stack of grey pictures, or the marks cannot lie on them.
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
        ignore: Any = None,
    ) -> None:
        stack = layer_stack(layer_pixels(faces), faces.metadata)
        mask_of = None if ignore is None else fit_mask(ignore, faces, IGNORE)
        super().__init__(viewer, faces, lambda: _fitting(stack, params, mask_of))
        self._n_faces = len(stack)
        self.model: LatentFaces | None = None
        self._results = ResultLayers(viewer, faces, options, type(params))
        self._next_showing = 0.0
        self._began = time.perf_counter()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._began

    def words(self, step: FitStep) -> str:
        """Say where the fit stands, and whose error that is."""
        n = step.n_faces
        whose = "" if n in (None, self._n_faces) else f" of a sample of {n} faces"
        return (
            f"Iteration {step.iteration} of {step.max_iter}, relative error "
            f"{step.error:.4f}{whose}, {self.elapsed:.1f} s"
        )

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


def _fitting(
    stack: FaceStack, params: Parameters, mask_of: Callable[[], Any] | None
) -> Fitting:
    """Begin a fit, in its thread: a mask can take long to look up."""
    return (
        iter_fit(stack, params) if mask_of is None else iter_fit(stack, params, mask=mask_of())
    )


def _summary(model: LatentFaces, seconds: float) -> str:
    how = {
        "converged": "Converged after",
        "max_iter": "Not converged after",
        "stopped": "Stopped and kept after",
    }[model.provenance.stop_reason]
    n_iter = model.provenance.n_iter
    if n_iter == 1 and model.provenance.stop_reason == "converged":  # one that needs no steps
        return f"Done in {seconds:.1f} s. {_goodness(model)}"
    return f"{how} {n_iter} iteration{'s' * (n_iter != 1)}, {seconds:.1f} s. {_goodness(model)}"


def _goodness(model: LatentFaces) -> str:
    """Tell the error, and of what it is the error."""
    told = f"Relative error {model.error:.4f} over all {len(model.weights)} faces"
    count, total = model.left_out
    if not count:
        return f"{told}."
    which = (
        f"the {model.mask.sum()} pixels of each"
        if model.mask is not None
        else (f"{count} pixels of single faces")
    )
    return f"{told}, without {which} that were left out ({100 * count / total:.3g} % of all)."
