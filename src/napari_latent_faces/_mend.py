"""Mending the faces of one layer where another layer marks them, in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces._beside import find_beside, free_place, put_beside
from napari_latent_faces._layer_job import FacesJob
from napari_latent_faces._marks import marks_on
from napari_latent_faces.encoded_layers import MENDED, mended_layer, view_of
from napari_latent_faces.matching import match_stack
from napari_latent_faces.mending import MendedFaces, iter_mend
from napari_latent_faces.steps import relayed

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari

    from napari_latent_faces.model import LatentFaces

__all__ = ["MendJob"]


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
        shape = layer.data.shape[-2:]
        model.check_size(tuple(shape))
        self.stack = match_stack(layer.data, shape, layer.metadata, name=layer.name)
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
