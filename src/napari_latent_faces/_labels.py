"""The name of the face under the slider, in the canvas and in the status bar."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_latent_faces._canvas import keep_apart
from napari_latent_faces._viewers import OnePerViewer, tell_current_viewer
from napari_latent_faces.layers import face_caption

if TYPE_CHECKING:
    import napari

__all__ = ["FaceLabels", "label_current_viewer", "label_faces"]


def label_faces(viewer: napari.components.ViewerModel) -> FaceLabels:
    """Show the names of faces in `viewer` from now on; a second call changes nothing."""
    keep_apart(viewer)
    return _LABELS.of(viewer)


def label_current_viewer() -> None:
    """Show the names of faces in the viewer that is opening them, if there is one.

    In any other viewer the labels do nothing, as they look for layers with names.
    """
    tell_current_viewer(label_faces)


class FaceLabels:
    """Keeps a viewer's text overlay and status bar at the face under the slider.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer. Its text overlay is used only while there are faces with names.
    """

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # no strong reference to the viewer, see `OnePerViewer`: its events have the slots
        self._caption: str | None = None
        for event in (
            viewer.dims.events.point,
            viewer.dims.events.ndisplay,
            viewer.dims.events.order,
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
        ):
            event.connect(lambda: self._refresh(viewer))
        viewer.events.status.connect(lambda: self._complete_status(viewer))
        self._refresh(viewer)

    def _refresh(self, viewer: napari.components.ViewerModel) -> None:
        before, self._caption = self._caption, current_caption(viewer)
        if self._caption == before:
            return
        overlay = viewer.canvas.overlays.text
        if self._caption is not None:
            overlay.position = "bottom_left"  # notifications cover the right
            overlay.text, overlay.visible = self._caption, True
            viewer.status = _status(viewer, self._caption)
        elif overlay.text == before:
            overlay.text, overlay.visible = "", False

    def _complete_status(self, viewer: napari.components.ViewerModel) -> None:
        """Put the face before the coordinates that napari shows under the mouse."""
        status = viewer.status
        if self._caption is None or not isinstance(status, dict):
            return
        coordinates = str(status.get("coordinates", ""))
        if not coordinates.startswith(self._caption):
            viewer.status = {**status, "coordinates": f"{self._caption}  {coordinates}"}


def _status(viewer: napari.components.ViewerModel, caption: str) -> dict[str, str]:
    """Return a status in the form that napari uses for layers."""
    active = viewer.layers.selection.active
    name = "" if active is None else active.name
    return {"layer_base": name, "source_type": "", "plugin": "", "coordinates": caption}


def current_caption(viewer: napari.components.ViewerModel) -> str | None:
    """Return the caption of the face under the slider, of the active stack if it has one."""
    axis = viewer.dims.ndim - 3
    if axis < 0 or axis in viewer.dims.displayed:
        return None
    active = viewer.layers.selection.active
    for layer in [active, *viewer.layers]:
        if layer is not None and layer.ndim >= 3 and "names" in layer.metadata:
            index = layer.world_to_data(viewer.dims.point)[-3]
            return face_caption(layer.metadata, round(float(index)))
    return None


_LABELS = OnePerViewer(FaceLabels)
