"""Encoding and mending faces of layers, in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces.encoding import (
    MendedFaces,
    encoded_model,
    iter_encode,
    iter_mend,
    match_stack,
)
from napari_latent_faces.steps import relayed
from napari_latent_faces.viewer.jobs import FacesJob
from napari_latent_faces.viewer.layers import (
    ENCODED,
    ENCODED_RESIDUAL,
    MENDED,
    encoded_layers,
    layer_pixels,
    mended_layer,
    resized_view,
    view_of,
)
from napari_latent_faces.viewer.marks import marks_on
from napari_latent_faces.viewer.results import find_beside, free_place, put_beside
from napari_latent_faces.viewer.session import focus_of

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

    from napari_latent_faces.encoding import Encoding
    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layers import LayerData

    Result = tuple[Encoding, LatentFaces, dict[str, LayerData]]

__all__ = ["EncodeJob", "MendJob"]

# -- Encoding one layer of faces with a model, in a thread -----------------------------


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
            layer_pixels(layer), size, layer.metadata, rgb=layer.rgb, name=layer.name
        )
        own = tuple(layer_pixels(layer).shape[layer.ndim - 2 : layer.ndim])
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


# -- Mending the faces of one layer where another layer marks them, in a thread --------


class MendJob(FacesJob):
    """Fills in what a layer of labels or shapes marks, and shows the mended faces.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where the result goes.
    layer : napari.layers.Image
        A stack of grey faces of the model's size, or a single one.
    model : LatentFaces
        Tells what is expected.
    marks : napari.layers.Labels or napari.layers.Shapes
        What is replaced: with two axes in all faces, with three in single ones.
    face : int, optional
        Mend this face only, beside those that are mended already; by default all.

    Raises
    ------
    TypeError, ValueError
        If faces, model and marks do not fit each other.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        layer: Any,
        model: LatentFaces,
        marks: Any,
        face: int | None = None,
    ) -> None:
        self.model, self._face = model, face
        self._flat = layer.ndim == 2
        shape = layer_pixels(layer).shape[-2:]
        model.check_pictures(tuple(shape))
        self.stack = match_stack(layer_pixels(layer), shape, layer.metadata, name=layer.name)
        self._marks = marks_on(marks, layer)
        self._marks_name = marks.name
        self._view = view_of(layer)
        self._place = free_place(viewer, layer, (MENDED,))
        self._earlier = None
        earlier = find_beside(viewer, layer, MENDED)
        if face is not None and earlier is not None and isinstance(earlier.data, MendedFaces):
            self._earlier = earlier.data
        super().__init__(viewer, layer)

    def steps(self) -> Generator[tuple[int, int], None, MendedFaces]:
        """Read the marks and encode the marked faces."""
        marks = self._marks()
        if self._face is not None:
            marks = marks.on(self._face)
        if not marks.mask.any():
            raise ValueError(
                f"{self._marks_name} marks nothing of {self._words()}: paint or draw over what "
                "is to be replaced."
            )
        total = len(self.stack) if marks.faces is None else len(marks.faces)
        steps = iter_mend(self.model, self.stack, marks.mask, marks.faces)
        mended = yield from relayed(steps, lambda done: (done, total))
        return mended if self._earlier is None else mended.over(self._earlier)

    def show(self, result: MendedFaces) -> str:
        """Add the mended faces beside the faces."""
        layer = mended_layer(result, self.stack, self._view, place=self._place, flat=self._flat)
        active = self.viewer.layers.selection.active
        put_beside(self.viewer, self.layer, {MENDED: layer})
        if active in self.viewer.layers:  # so that one can go on painting
            self.viewer.layers.selection.active = active
        count = len(result.faces)
        what = "1 face is" if count == 1 else f"{count} faces are"
        return f"{what} mended. Remove the layer to undo it."

    def _words(self) -> str:
        if self._face is None:
            return "these faces" if len(self.stack) > 1 else "this picture"
        return self.stack.names[self._face]
