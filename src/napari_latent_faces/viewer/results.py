"""Where results lie, and the layers of one fit."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_latent_faces.params import NMFParams
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    FacesView,
    components_layer,
    gallery_layer,
    layer_pixels,
    live_gallery,
    reconstruction_layer,
    residual_layer,
)
from napari_latent_faces.viewer.session import focus_of, galleries_of

if TYPE_CHECKING:
    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.params import Parameters
    from napari_latent_faces.viewer.layers import LayerData

__all__ = [
    "ResultLayers",
    "ShowOptions",
    "bring_into_view",
    "find_beside",
    "free_place",
    "put_beside",
]

# -- Layers of one viewer that lie beside the faces they are about ---------------------

_MARGIN = 0.13  # of the canvas: the face's name stands below the pictures, not on them
_BELOW = ("gallery", "preview")  # roles of layers that lie under the row of the faces


def bring_into_view(viewer: napari.components.ViewerModel) -> None:
    """Show all layers as large as the canvas allows, with room for the face's name."""
    viewer.reset_view(margin=_MARGIN)


def find_beside(viewer: napari.components.ViewerModel, faces: Any, role: str) -> Any:
    """Return the newest layer of these faces with a role, or None.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    faces : napari.layers.Image
        The layer of the faces.
    role : str
        What is looked for, as the metadata have it.
    """
    key = str(faces.unique_id)
    found = (
        layer
        for layer in reversed(viewer.layers)
        if layer.metadata.get(FACES_KEY) == key and layer.metadata.get(ROLE_KEY) == role
    )
    return next(found, None)


def free_place(
    viewer: napari.components.ViewerModel, faces: Any, roles: tuple[str, ...]
) -> int:
    """Return how many pictures to the right of the faces nothing lies yet.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        The viewer.
    faces : napari.layers.Image
        The layer of the faces.
    roles : tuple of str
        Roles of layers that are about to be replaced: they do not count.
    """
    key = str(faces.unique_id)
    there = {
        layer.metadata.get(ROLE_KEY)
        for layer in viewer.layers
        if layer.metadata.get(FACES_KEY) == key
    }
    return 1 + len(there - {*_BELOW, *roles})


def put_beside(
    viewer: napari.components.ViewerModel, faces: Any, wanted: dict[str, LayerData]
) -> list[Any]:
    """Show layers beside their faces, in place of earlier ones with the same roles.

    Colours and visibility of an earlier layer stay; the faces are selected, so that the
    slider stays theirs.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where.
    faces : napari.layers.Image
        The layer of the faces.
    wanted : dict of str to layer data
        The layers by role.

    Returns
    -------
    list of napari.layers.Image
        The layers in the order of `wanted`.
    """
    from napari.layers import Layer

    shown, n_before = [], len(viewer.layers)
    for role, (data, kwargs, kind) in wanted.items():
        earlier = find_beside(viewer, faces, role)
        if earlier is not None and earlier.ndim == data.ndim:
            earlier.data = data
            for name in ("scale", "translate", "metadata"):
                setattr(earlier, name, kwargs[name])
            shown.append(earlier)
            continue
        if earlier is not None:
            viewer.layers.remove(earlier)
        shown.append(viewer.add_layer(Layer.create(data, kwargs, kind)))
    if faces in viewer.layers:
        viewer.layers.selection.active = faces
    if len(viewer.layers) > n_before:  # what is new lies to the right of what was seen
        bring_into_view(viewer)
    return shown


# -- The result layers of one stack of faces in one viewer -----------------------------

_ROLES = ("gallery", "components", "reconstruction", "residual")  # of the layers of a fit
_PREVIEW = "preview"  # the role of a layer that is none of them yet
_PREVIEW_PIXELS = 2**20  # of a gallery that is redrawn several times a second


@dataclass(frozen=True)
class ShowOptions:
    """What to show of a fit.

    Parameters
    ----------
    slider : bool
        Components as a stack with a slider of its own, not as a gallery.
    residual : bool
        Add a layer of faces minus reconstructions.
    update : bool
        Put the results into the layers of the last fit of the same faces by the same
        method; those of other methods are hidden, as they lie in the same place.
    """

    slider: bool = False
    residual: bool = False
    update: bool = True

    @property
    def places(self) -> int:
        """How many pictures lie in the row of the faces."""
        return 3 if self.residual else 2


class ResultLayers:
    """Shows a fit while it runs and when it is done.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        Where.
    faces : napari.layers.Image
        The layer that the faces are in.
    options : ShowOptions
        What to show.
    method : type of Parameters, optional
        The method of the fit; by default NMF.
    """

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        faces: Any,
        options: ShowOptions,
        method: type[Parameters] = NMFParams,
    ) -> None:
        self.viewer, self.faces, self.options, self.method = viewer, faces, options, method
        self._galleries = galleries_of(viewer)  # from now on they follow the face
        self._earlier = self._find_earlier() if options.update else {}
        self._gallery: Any = self._earlier.get("gallery")
        self._before = _state(self._gallery) if self._gallery is not None else None
        self._live: NDArray[Any] | None = None  # the picture of the running fit

    def show_step(self, components: NDArray[Any]) -> None:
        """Draw the components of a running fit, shape (k, h, w)."""
        picture, kwargs = live_gallery(
            components,
            self._view(),
            self.options.places,
            most_pixels=_PREVIEW_PIXELS,
            is_signed=self.method.is_signed,
        )
        if self._gallery is None:
            kwargs["metadata"] = {ROLE_KEY: _PREVIEW}
            self._gallery = self._add((picture, kwargs, "image"))
            bring_into_view(self.viewer)
        elif self._gallery not in self.viewer.layers:
            return
        elif (live := self._live_like(picture)) is not None:
            _redraw(self._gallery, live, picture, thumbnail=False)
            return
        else:
            self._uncover(self._gallery)
            _withhold(self._gallery)
            _update(self._gallery, picture, kwargs)
        self._live = picture

    def _live_like(self, picture: NDArray[Any]) -> NDArray[Any] | None:
        """Return what the gallery shows if it is this fit's, of the size of `picture`."""
        live = self._live
        if live is None or self._gallery.data is not live or live.shape != picture.shape:
            return None
        return live

    def show_model(self, model: LatentFaces) -> None:
        """Put the layers of a finished fit in place of the preview."""
        wanted = self._wanted(model)
        shown = dict(self._earlier)
        if self.options.update:
            self._hide_other_methods()
        if self._gallery is not None and self._gallery in self.viewer.layers:
            shown["gallery"] = self._gallery
        added = False
        for role, data in wanted.items():
            layer = shown.pop(role, None)
            if layer is None or layer not in self.viewer.layers:
                self._add(data)
                added = True
            else:
                self._uncover(layer)
                live = self._live_like(data[0]) if layer is self._gallery else None
                if role == "gallery":
                    _withhold(layer)
                _update(layer, data[0], data[1], live)
                if role == "residual":  # whose range is the model's, not the user's
                    layer.contrast_limits = data[1]["contrast_limits"]
        for layer in shown.values():  # roles that are no longer asked for
            if layer in self.viewer.layers:
                self.viewer.layers.remove(layer)
        if added:
            bring_into_view(self.viewer)
        focus_of(self.viewer).refresh()
        self._galleries.refresh()  # the focus may have heard of the model before

    def discard(self) -> None:
        """Take the preview away again; an earlier gallery gets its picture back."""
        if self._gallery is None or self._gallery not in self.viewer.layers:
            return
        if self._before is None:
            self.viewer.layers.remove(self._gallery)
        else:
            _update(self._gallery, *self._before)
            self._galleries.refresh()  # the slider may have been moved meanwhile

    def _wanted(self, model: LatentFaces) -> dict[str, LayerData]:
        view, places = self._view(), self.options.places
        wanted = {"reconstruction": reconstruction_layer(model, view)}
        if self.options.residual:
            wanted["residual"] = residual_layer(layer_pixels(self.faces), model, view)
        if self.options.slider:
            wanted["components"] = components_layer(model, view, places)
        else:
            wanted["gallery"] = gallery_layer(model, view, places)
        return wanted

    def _find_earlier(self) -> dict[str, Any]:
        """Return the newest result layers of these faces and this method by role."""
        return {
            _role(layer): layer
            for layer in self._results()
            if layer.metadata[MODEL_KEY].params.method == self.method.method
        }

    def _results(self) -> list[Any]:
        """Return all result layers of these faces, the oldest first."""
        key = str(self.faces.unique_id)
        return [
            layer
            for layer in self.viewer.layers
            if layer.metadata.get(FACES_KEY) == key
            and MODEL_KEY in layer.metadata
            and _role(layer) in _ROLES
        ]

    def _hide_other_methods(self) -> None:
        for layer in self._results():
            other = layer.metadata[MODEL_KEY].params.method != self.method.method
            if other and layer.visible:
                layer.visible = False
                layer.metadata[_HIDDEN_KEY] = True

    def _uncover(self, layer: Any) -> None:
        """Show a layer again that was hidden for another method, not by the user."""
        if layer.metadata.pop(_HIDDEN_KEY, False):
            layer.visible = True

    def _view(self) -> FacesView:
        """Return the look of the faces; results of other methods than NMF name theirs."""
        view = FacesView.of(self.faces)
        if self.method is NMFParams:
            return view
        return replace(view, name=f"{view.name}, {self.method.title.partition(' (')[0]}")

    def _add(self, data: LayerData) -> Any:
        """Add a layer, and leave the faces selected so that the slider stays theirs."""
        from napari.layers import Layer

        layer = self.viewer.add_layer(Layer.create(*data))
        if self.faces in self.viewer.layers:
            self.viewer.layers.selection.active = self.faces
        return layer


_GIVEN = ("scale", "translate", "metadata")  # all else is the user's
_HIDDEN_KEY = "latent_faces_hidden"  # in the metadata of layers that make room for others


def _state(layer: Any) -> tuple[Any, dict[str, Any]]:
    """Remember what a preview will change; napari changes the metadata in place."""
    given = {name: copy(getattr(layer, name)) for name in (*_GIVEN, "visible")}
    return layer.data, given


def _role(layer: Any) -> str:
    """Return what a layer shows; a gallery in which a fit forms is one."""
    role = str(layer.metadata.get(ROLE_KEY, ""))
    return "gallery" if role == _PREVIEW else role


def _withhold(layer: Any) -> None:
    """Have no one paint on a gallery before its picture and its metadata are of one model.

    A slider that moves does so, and setting a picture may move it.
    """
    layer.metadata[ROLE_KEY] = _PREVIEW


def _update(
    layer: Any, data: Any, kwargs: dict[str, Any], live: NDArray[Any] | None = None
) -> None:
    """Give a layer new contents in the right place; `live` is an array to put them into."""
    if live is None:
        layer.data = data
    else:
        _redraw(layer, live, data, thumbnail=True)
    for name in (*_GIVEN, "visible"):
        # each setting redraws the layer
        if name in kwargs and not _same(getattr(layer, name), kwargs[name]):
            setattr(layer, name, kwargs[name])


def _redraw(layer: Any, live: NDArray[Any], data: Any, *, thumbnail: bool) -> None:
    """Put new pixels into a layer's array.

    A new array would have napari go through all layers for a new extent.
    """
    live[...] = data
    layer.refresh(extent=False, thumbnail=thumbnail)


def _same(old: Any, new: Any) -> bool:
    return not isinstance(new, dict) and np.array_equal(old, new)
