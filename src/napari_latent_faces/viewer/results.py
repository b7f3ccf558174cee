"""The result layers of faces: added once, then updated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from napari_latent_faces.params import NMFParams
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    SPAN_KEY,
    FacesView,
    components_layer,
    gallery_layer,
    layer_pixels,
    live_gallery,
    method_words,
    reconstruction_layer,
    residual_layer,
)
from napari_latent_faces.viewer.layout import HIDDEN_KEY, PREVIEW, arrange
from napari_latent_faces.viewer.session import session_of, withhold

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.viewer.layers import LayerData

_ROLES = ("gallery", "components", "reconstruction", "residual")  # of the layers of a fit
_PREVIEW_PIXELS = 2**20  # of a gallery that is redrawn several times a second


# -- Layers that belong to faces -------------------------------------------------------


def add_result(viewer: napari.components.ViewerModel, data: LayerData) -> Any:
    """Add a layer, and leave what was selected so that the slider stays its."""
    from napari.layers import Layer

    active = viewer.layers.selection.active
    layer = Layer.create(*data)
    arrange(viewer, [layer])
    viewer.add_layer(layer)
    if active is not None:
        viewer.layers.selection.active = active
    return layer


def find_result(viewer: napari.components.ViewerModel, faces: Any, role: str) -> Any:
    """Return the newest layer of these faces with a role, or None."""
    wanted = (str(faces.unique_id), role)
    for layer in reversed(viewer.layers):
        if (layer.metadata.get(FACES_KEY), layer.metadata.get(ROLE_KEY)) == wanted:
            return layer
    return None


def show_results(
    viewer: napari.components.ViewerModel, faces: Any, wanted: dict[str, LayerData]
) -> None:
    """Show layers by their roles beside their faces, in place of earlier ones.

    Name, colours and visibility of an earlier layer stay the user's; the faces are
    selected, so that the slider stays theirs.
    """
    session = session_of(viewer)
    with session.undoable():
        for role, data in wanted.items():
            show_result(viewer, find_result(viewer, faces, role), data)
    if faces in viewer.layers:
        viewer.layers.selection.active = faces
    session.results_changed()


def show_result(viewer: napari.components.ViewerModel, earlier: Any, data: LayerData) -> Any:
    """Put new contents into an earlier layer, or add a layer where there is none."""
    pictures, kwargs, _ = data
    is_there = earlier is not None and earlier in viewer.layers
    kind = len(kwargs["axis_labels"]), kwargs.get("rgb", False)
    if is_there and (earlier.ndim, earlier.rgb) == kind:
        earlier.data = pictures
        earlier.metadata = kwargs["metadata"]
        return earlier
    if is_there:
        viewer.layers.remove(earlier)
    return add_result(viewer, data)


# -- The result layers of one fit ------------------------------------------------------


@dataclass(frozen=True)
class ShowOptions:
    """What to show of a fit.

    `slider`: components as a stack with a slider of its own, not as a gallery. `residual`: a
    layer of faces minus reconstructions, too. `update`: in the layers of the last fit of the
    same faces by the same method; those of other methods are hidden.
    """

    slider: bool = False
    residual: bool = False
    update: bool = True

    @property
    def places(self) -> int:
        """How many faces the gallery is wide."""
        return 3 if self.residual else 2


class ResultLayers:
    """Shows a fit of the faces of a layer while it runs and when it is done."""

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        faces: Any,
        options: ShowOptions,
        method: type[Parameters] = NMFParams,
    ) -> None:
        self.viewer, self.faces, self.options, self.method = viewer, faces, options, method
        self._session = session_of(viewer)
        self._preview: Any = None  # the layer in which this fit forms ...
        self._live: NDArray[Any] | None = None  # ... and its picture there

    # -- while the fit runs ------------------------------------------------------

    def show_step(self, components: NDArray[Any]) -> None:
        """Draw the components of a running fit, shape (k, h, w) or (k, h, w, 3)."""
        picture, kwargs, kind = live_gallery(
            components,
            self._view(),
            self.options.places,
            most_pixels=_PREVIEW_PIXELS,
            is_signed=self.method.is_signed,
        )
        if self._preview is None:
            earlier = self._earlier().get("gallery")
            is_free = earlier is not None and earlier not in self._session.previews
            self._preview = earlier if is_free else None
        layer = self._preview
        if layer is None:
            kwargs["metadata"] |= {ROLE_KEY: PREVIEW, FACES_KEY: str(self.faces.unique_id)}
            self._preview = self._add((picture, kwargs, kind))
            self._session.begin_preview(self._preview, is_new=True)
        elif layer not in self.viewer.layers:
            return
        elif self._is_live(picture):
            self._redraw(picture, thumbnail=False)
            return
        else:
            self._session.begin_preview(layer)
            self._uncover(layer)
            layer.metadata[SPAN_KEY] = kwargs["metadata"][SPAN_KEY]
            layer.data = picture
        self._live = picture
        self._session.results_changed()

    def _is_live(self, picture: NDArray[Any]) -> bool:
        """Tell whether the gallery shows this fit already, at the size of `picture`."""
        live = self._live
        return live is not None and self._preview.data is live and live.shape == picture.shape

    def _redraw(self, picture: NDArray[Any], *, thumbnail: bool) -> None:
        """Put new pixels into the array: a new one would have napari look at all layers."""
        assert self._live is not None
        self._live[...] = picture
        self._preview.refresh(extent=False, thumbnail=thumbnail)

    def discard(self) -> None:
        """Take the preview away again; an earlier gallery gets its picture back."""
        if self._preview in self._session.previews:
            self._session.drop_preview(self._preview)

    # -- when it is done ---------------------------------------------------------

    def show_model(self, model: LatentFaces) -> None:
        """Put the layers of a finished fit in place of the preview."""
        with self._session.undoable():
            self._replace(self._wanted(model))
        self._session.results_changed()

    def _replace(self, wanted: dict[str, LayerData]) -> None:
        shown = self._earlier()
        own, earlier = self._preview, shown.get("gallery")
        if own is not None and own in self.viewer.layers and own is not earlier:
            if earlier is None:
                shown["gallery"] = own
            else:  # another fit was shown meanwhile, in its own layer
                self.viewer.layers.remove(own)
        self._session.previews.pop(own, None)
        if self.options.update:
            self._hide_other_methods()
        for role, data in wanted.items():
            layer = shown.pop(role, None)
            if layer is None:
                self._add(data)
            else:
                self._update(layer, data, role)
        for layer in shown.values():  # roles that are no longer asked for
            self.viewer.layers.remove(layer)

    def _update(self, layer: Any, data: LayerData, role: str) -> None:
        picture, kwargs, _ = data
        self._session.previews.pop(layer, None)
        self._uncover(layer)
        withhold(layer)
        if layer is self._preview and self._is_live(picture):
            self._redraw(picture, thumbnail=True)
        else:
            layer.data = picture
        layer.metadata = kwargs["metadata"]
        if role == "residual" and "contrast_limits" in kwargs:  # the model's, not the user's
            layer.contrast_limits = kwargs["contrast_limits"]

    def _wanted(self, model: LatentFaces) -> dict[str, LayerData]:
        view = self._view()
        wanted = {"reconstruction": reconstruction_layer(model, view)}
        if self.options.residual:
            wanted["residual"] = residual_layer(layer_pixels(self.faces), model, view)
        if self.options.slider:
            wanted["components"] = components_layer(model, view)
        else:
            wanted["gallery"] = gallery_layer(model, view, self.options.places)
        return wanted

    # -- the layers of the last fit, and of other methods ------------------------

    def _earlier(self) -> dict[str, Any]:
        """Return the newest result layers of these faces and this method, to be updated."""
        own = (layer for layer in self._results() if self._is_of_method(layer))
        return {_role(layer): layer for layer in own} if self.options.update else {}

    def _is_of_method(self, layer: Any) -> bool:
        return bool(layer.metadata[MODEL_KEY].params.method == self.method.method)

    def _results(self) -> list[Any]:
        """Return all result layers of these faces, the oldest first."""
        key = str(self.faces.unique_id)
        of_faces = (each for each in self.viewer.layers if each.metadata.get(FACES_KEY) == key)
        return [
            each for each in of_faces if MODEL_KEY in each.metadata and _role(each) in _ROLES
        ]

    def _hide_other_methods(self) -> None:
        for layer in self._results():
            if layer.visible and not self._is_of_method(layer):
                layer.metadata[HIDDEN_KEY] = True
                layer.visible = False

    def _uncover(self, layer: Any) -> None:
        """Show a layer again that was hidden for another method, not by the user."""
        if layer.metadata.pop(HIDDEN_KEY, False):
            layer.visible = True

    def _view(self) -> FacesView:
        """Return the look of the faces; results of other methods than NMF name theirs."""
        view = FacesView.of(self.faces)
        if self.method is NMFParams:
            return view
        return replace(view, name=f"{view.name}, {method_words(self.method)}")

    def _add(self, data: LayerData) -> Any:
        """Add a layer, and select the faces so that the slider stays theirs."""
        layer = add_result(self.viewer, data)
        if self.faces in self.viewer.layers:
            self.viewer.layers.selection.active = self.faces
        return layer


def _role(layer: Any) -> str:
    """Return what a layer shows; a gallery in which a fit forms is one."""
    role = str(layer.metadata.get(ROLE_KEY, ""))
    return "gallery" if role == PREVIEW else role
