"""What the panels of one viewer are about: a model, a face of it, and a component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

from psygnal import Signal

from napari_latent_faces._canvas import keep_apart
from napari_latent_faces._viewers import OnePerViewer
from napari_latent_faces.layers import FACES_KEY, MODEL_KEY

if TYPE_CHECKING:
    import napari

    from napari_latent_faces.model import LatentFaces

__all__ = ["Focus", "focus_of"]


def focus_of(viewer: napari.components.ViewerModel) -> Focus:
    """Return the focus of `viewer`, the same for every panel."""
    keep_apart(viewer)
    return _FOCUSES.of(viewer)


class Focus:
    """Follows the layers, their selection and the face slider of a viewer.

    The model is that of the active layer: its own, if it is a result, else that of the
    newest result of these faces; if neither has one, the newest model that is shown.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.

    Attributes
    ----------
    model : LatentFaces or None
        The model; None if there is none.
    face : int or None
        The face under the slider, within the model's faces.
    component : int or None
        The component that was chosen last, within the model's components.
    models : list of LatentFaces
        The models that layers carry, each once, the oldest first.
    """

    models_changed = Signal()
    model_changed = Signal(object)
    face_changed = Signal(object)
    component_changed = Signal(object)

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # a strong reference would keep closed viewers alive, see OnePerViewer
        self._viewer = ref(viewer)
        self.model: LatentFaces | None = None
        self.face: int | None = None
        self.component: int | None = None
        self.models: list[LatentFaces] = []
        for event in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
            viewer.dims.events.point,
        ):
            event.connect(self.refresh)
        viewer.layers.events.connect(self._on_layers)  # those of each layer, too
        self.refresh()

    @property
    def faces(self) -> Any:
        """The layer of the faces that the model was fitted to, or None if it is not shown."""
        viewer, shown = self._viewer(), self._result()
        if viewer is None or shown is None:
            return None
        key = shown.metadata.get(FACES_KEY)
        return next((each for each in viewer.layers if str(each.unique_id) == key), None)

    def select_component(self, component: int | None) -> None:
        """Choose a component for all panels, or none."""
        k = 0 if self.model is None else self.model.n_components
        if component is not None and not 0 <= component < k:
            raise ValueError(f"There is no component {component}: the model has {k}.")
        if component != self.component:
            self.component = component
            self.component_changed.emit(component)

    def go_to_face(self, face: int) -> None:
        """Move the face slider to a face."""
        viewer, layer = self._viewer(), self._stacked()
        if viewer is None or layer is None:
            return
        data = [0.0] * layer.ndim
        data[-3] = float(face)
        axis = viewer.dims.ndim - 3
        viewer.dims.set_point(axis, layer.data_to_world(data)[-3])

    def refresh(self) -> None:
        """Look at the viewer again; call it after changing the metadata of a layer."""
        shown = self._result()
        model = None if shown is None else shown.metadata[MODEL_KEY]
        is_new = model is not self.model
        face = self._face_of(model)
        before, self.models = self.models, self._find_models()
        if is_new:
            self.model, self.face = model, face
            if self.component is not None:
                self.component = None
                self.component_changed.emit(None)
            self.model_changed.emit(model)
            self.face_changed.emit(face)
        elif face != self.face:
            self.face = face
            self.face_changed.emit(face)
        if [id(each) for each in before] != [id(each) for each in self.models]:
            self.models_changed.emit()

    def _find_models(self) -> list[LatentFaces]:
        viewer = self._viewer()
        layers = [] if viewer is None else viewer.layers
        models = (each.metadata.get(MODEL_KEY) for each in layers)
        return list({id(model): model for model in models if model is not None}.values())

    def _on_layers(self, event: Any) -> None:
        if event.type == "visible":
            self.refresh()

    def _result(self) -> Any:
        """Return the layer whose model it is."""
        viewer = self._viewer()
        if viewer is None:
            return None
        active = viewer.layers.selection.active
        results = [each for each in reversed(viewer.layers) if MODEL_KEY in each.metadata]
        results.sort(key=lambda each: not each.visible)  # those that are seen come first
        if active is not None:
            # a face that was made from a model belongs to the faces it lies beside
            key = active.metadata.get(FACES_KEY) or str(active.unique_id)
            own = (each for each in results if each.metadata.get(FACES_KEY) == key)
            found = active if active in results else next(own, None)
            if found is not None:
                return found
        return results[0] if results else None

    def _stacked(self) -> Any:
        """Return a layer with the model's faces along its slider."""
        viewer, faces = self._viewer(), self.faces
        if faces is not None or viewer is None:
            return faces
        of_model = (
            each for each in viewer.layers if each.metadata.get(MODEL_KEY) is self.model
        )
        return next((each for each in of_model if each.ndim >= 3), None)

    def _face_of(self, model: LatentFaces | None) -> int | None:
        """Return which face of the model is under the slider."""
        viewer, layer = self._viewer(), self._stacked()
        if model is not None and len(model.weights) == 1:
            return 0  # a single picture is seen wherever the slider is
        if viewer is None or layer is None or model is None or viewer.dims.ndim < 3:
            return None
        index = round(float(layer.world_to_data(viewer.dims.point)[-3]))
        return index if 0 <= index < len(model.weights) else None


_FOCUSES = OnePerViewer(Focus)
