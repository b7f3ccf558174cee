"""Encoding one layer of faces with a model, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces._beside import free_place, put_beside
from napari_latent_faces._focus import focus_of
from napari_latent_faces._layer_job import FacesJob
from napari_latent_faces.encoded_layers import (
    ENCODED,
    ENCODED_RESIDUAL,
    encoded_layers,
    resized_view,
    view_of,
)
from napari_latent_faces.encoding import encoded_model, iter_encode
from napari_latent_faces.matching import match_stack
from napari_latent_faces.steps import relayed

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

    from napari_latent_faces.encoding import Encoding
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.views import LayerData

    Result = tuple[Encoding, LatentFaces, dict[str, LayerData]]

__all__ = ["EncodeJob"]


class EncodeJob(FacesJob):
    """Encodes the pictures of a layer and shows what the model makes of them.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the results go.
    layer : napari.layers.Image
        A stack of pictures or a single one, grey or in colour, of any size.
    model : LatentFaces
        The model.

    Raises
    ------
    TypeError, ValueError
        If the layer holds no pictures.

    Attributes
    ----------
    stack : FaceStack
        The pictures at the model's size; notes of its report say what was done to them.
    encoding : Encoding or None
        What was found; None until then.
    """

    def __init__(
        self, viewer: napari.components.ViewerModel, layer: Any, model: LatentFaces
    ) -> None:
        self.model = model
        self.encoding: Encoding | None = None
        size = (model.shape[1], model.shape[2])
        self._flat = layer.ndim == 2
        self.stack = match_stack(
            layer.data, size, layer.metadata, rgb=layer.rgb, name=layer.name
        )
        own = tuple(layer.data.shape[layer.ndim - 2 : layer.ndim])
        self._view = resized_view(view_of(layer), own, size)
        self._place = free_place(viewer, layer, (ENCODED, ENCODED_RESIDUAL))
        super().__init__(viewer, layer)

    def steps(self) -> Generator[tuple[int, int], None, Result]:
        """Encode, and prepare the layers."""
        total = len(self.stack)
        encoding = yield from relayed(
            iter_encode(self.model, self.stack), lambda done: (done, total)
        )
        other = encoded_model(self.model, self.stack, encoding)
        layers = encoded_layers(
            self.stack, other, self._view, place=self._place, flat=self._flat
        )
        return encoding, other, layers

    def show(self, result: Result) -> str:
        """Add reconstructions and residuals beside the faces."""
        self.encoding, _, layers = result
        put_beside(self.viewer, self.layer, layers)
        focus_of(self.viewer).refresh()
        return "\n".join([self._summary(), *self.stack.report.notes])

    def _summary(self) -> str:
        assert self.encoding is not None
        errors = self.encoding.errors
        if len(errors) == 1:
            return f"Relative error {errors[0]:.4f}."
        return (
            f"{len(errors)} faces, mean relative error {errors.mean():.4f} "
            f"(from {errors.min():.4f} to {errors.max():.4f})."
        )
