"""What the panels of one viewer are about, and the galleries that show and choose it."""

from __future__ import annotations

from functools import cached_property
from math import dist
from typing import TYPE_CHECKING, Any, Literal, get_args
from weakref import WeakKeyDictionary, proxy

import numpy as np
from psygnal import Signal

from napari_latent_faces.explaining import Explainer, prominence
from napari_latent_faces.tiles import Tiles, paint_tile, shown_components
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, owner_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

# -- A model, a face of it, and a component --------------------------------------------


def go_to(viewer: napari.components.ViewerModel, layer: Any, face: int) -> None:
    """Move the face slider to a picture of a stack's layer."""
    data = [0.0] * layer.ndim
    data[-3] = float(face)
    viewer.dims.set_point(viewer.dims.ndim - 3, layer.data_to_world(data)[-3])


def face_under(viewer: napari.components.ViewerModel, layer: Any) -> int:
    """Return which picture of a stack's layer is under the face slider, if it has as many."""
    return round(float(layer.world_to_data(viewer.dims.point)[-3]))


def stack_that_has(viewer: napari.components.ViewerModel, known: str) -> Any:
    """Return a layer on the face slider with these metadata, the active one if it has them."""
    layers = (viewer.layers.selection.active, *viewer.layers)
    found = (each for each in layers if each is not None and each.metadata.get(known))
    return next((each for each in found if each.ndim >= 3), None)


class Focus:
    """Follows the layers, their selection and the face slider of a viewer.

    The `model` is that of the active layer: its own, if it is a result, else that of the
    newest result of these faces; if neither has one, the newest model that is shown. `face`
    is under the slider, `component` the one that was chosen last; `mix` are a model and the
    weights of the face that is being mixed, if any; `models` are all that layers carry, the
    oldest first.
    """

    models_changed = Signal()
    model_changed = Signal(object)
    face_changed = Signal(object)
    component_changed = Signal(object)
    mix_changed = Signal()

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # the viewer owns this, through its session
        self._viewer: napari.components.ViewerModel = proxy(viewer)
        self.model: LatentFaces | None = None
        self.face: int | None = None
        self.component: int | None = None
        self.mix: tuple[LatentFaces, NDArray[Any]] | None = None
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
        shown = self._result()
        return None if shown is None else owner_of(self._viewer, shown)

    def select_component(self, component: int | None) -> None:
        """Choose a component for all panels, or none."""
        k = 0 if self.model is None else self.model.n_components
        if component is not None and not 0 <= component < k:
            raise ValueError(f"There is no component {component}: the model has {k}.")
        if component != self.component:
            self.component = component
            self.component_changed.emit(component)

    def show_mix(self, model: LatentFaces, weights: NDArray[Any]) -> None:
        """Tell all panels which face is being mixed."""
        self.mix = model, weights
        self.mix_changed.emit()

    def go_to_face(self, face: int) -> None:
        """Move the face slider to a face."""
        layer = self._stacked()
        if layer is not None:
            go_to(self._viewer, layer, face)

    def go_to_same_subject(self, step: int) -> None:
        """Move the face slider to the next face of the same subject, or the one before."""
        layer = stack_that_has(self._viewer, "subjects")
        subjects = () if layer is None else layer.metadata["subjects"]
        n, face = len(subjects), 0 if layer is None else face_under(self._viewer, layer)
        if 0 <= face < n:
            others = ((face + step * i) % n for i in range(1, n + 1))
            same = next(i for i in others if subjects[i] == subjects[face])
            go_to(self._viewer, layer, same)

    def step_component(self, step: int) -> None:
        """Choose the next component for all panels, or the one before."""
        if self.model is not None:
            at = self.component
            first = 0 if step > 0 else -1
            k = self.model.n_components
            self.select_component((first if at is None else at + step) % k)

    def refresh(self) -> None:
        """Look at the viewer again; call it after changing the metadata of a layer."""
        shown = self._result()
        model = None if shown is None else shown.metadata[MODEL_KEY]
        is_new = model is not self.model
        face, old_face = self._face_of(model), self.face
        before, self.models = self.models, self._find_models()
        self.model, self.face = model, face
        if is_new and self.component is not None:
            self.component = None
            self.component_changed.emit(None)
        if is_new:
            self.model_changed.emit(model)
        if is_new or face != old_face:
            self.face_changed.emit(face)
        if [id(each) for each in before] != [id(each) for each in self.models]:
            self.models_changed.emit()

    def _find_models(self) -> list[LatentFaces]:
        models = (each.metadata.get(MODEL_KEY) for each in self._viewer.layers)
        return list({id(model): model for model in models if model is not None}.values())

    def _on_layers(self, event: Any) -> None:
        if event.type == "visible":
            self.refresh()

    def _result(self) -> Any:
        """Return the layer whose model it is."""
        layers = self._viewer.layers
        active = layers.selection.active
        results = [each for each in reversed(layers) if MODEL_KEY in each.metadata]
        results.sort(key=lambda each: not each.visible)  # those that are seen come first
        if active is None or active in results:
            return active or next(iter(results), None)
        # a face that was made from a model belongs to the faces it lies beside
        key = active.metadata.get(FACES_KEY) or str(active.unique_id)
        own = [each for each in results if each.metadata.get(FACES_KEY) == key]
        return next(iter(own or results), None)

    def _stacked(self) -> Any:
        """Return a layer with the model's faces along its slider."""
        layers = self._viewer.layers
        results = (each for each in layers if each.metadata.get(MODEL_KEY) is self.model)
        return self.faces or next((each for each in results if each.ndim >= 3), None)

    def _face_of(self, model: LatentFaces | None) -> int | None:
        """Return which face of the model is under the slider."""
        layer = self._stacked()
        if model is not None and len(model.weights) == 1:
            return 0  # a single picture is seen wherever the slider is
        if layer is None or model is None or self._viewer.dims.ndim < 3:
            return None
        face = face_under(self._viewer, layer)
        return face if 0 <= face < len(model.weights) else None


# -- Galleries: their tiles follow the face, tell what they are, and are chosen ---------

Mode = Literal["off", "brightness", "border"]
MODES: tuple[Mode, ...] = get_args(Mode)
"""How the tiles follow the face."""

_DARKEST = 0.06  # what is left of a tile that the face has nothing of: one can still aim at it
_STILL = 4  # pixels that the mouse may move in a click


def shows_pictures(viewer: napari.components.ViewerModel) -> bool:
    """Tell whether the canvas shows pictures: in two dimensions, along y and x."""
    n = viewer.dims.ndim
    return set(viewer.dims.displayed) == {n - 2, n - 1}


def was_click(event: Any) -> Generator[None, None, bool]:
    """Follow the mouse until its button is released; tell whether it stayed where it was."""
    began, moved = tuple(event.pos), 0.0
    yield
    while event.type == "mouse_move":
        moved = max(moved, dist(began, event.pos))
        yield
    return moved <= _STILL


class Galleries:
    """The gallery layers of one viewer.

    What is said of a face is painted into the pictures that the galleries show anyway,
    so that there is no other layer to hide, to save or to forget. A picture that someone
    else has put there, as the preview of a fit, is left alone.
    """

    mode_changed = Signal(str)

    def __init__(self, viewer: napari.components.ViewerModel, focus: Focus) -> None:
        self._viewer: napari.components.ViewerModel = proxy(viewer)
        self._focus = focus
        self._galleries: WeakKeyDictionary[Any, _Gallery] = WeakKeyDictionary()
        self._mode: Mode = "off"
        self._said: str | None = None
        for signal in (focus.model_changed, focus.face_changed, focus.component_changed):
            signal.connect(self.refresh)
        viewer.layers.events.inserted.connect(self.refresh)
        viewer.events.status.connect(self._complete_status)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        self.refresh()

    @property
    def mode(self) -> Mode:
        """How the tiles follow the face under the slider."""
        return self._mode

    @mode.setter
    def mode(self, mode: Mode) -> None:
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}.")
        if mode != self._mode:
            self._mode = mode
            self.refresh()
            self.mode_changed.emit(mode)

    def refresh(self) -> None:
        """Bring all tiles in line with model, face and component."""
        focus = self._focus
        for layer, gallery in self._each():
            if gallery.model is not focus.model:
                gallery.paint(layer, "off", None, None)
            else:
                weights = None if focus.face is None else gallery.model.weights[focus.face]
                gallery.paint(layer, self._mode, weights, focus.component)

    def _each(self) -> Iterator[tuple[Any, _Gallery]]:
        """Yield the gallery layers, the topmost first."""
        for layer in reversed(self._viewer.layers):
            if layer.metadata.get(ROLE_KEY) != "gallery":
                continue
            gallery, model = self._galleries.get(layer), layer.metadata[MODEL_KEY]
            if gallery is None or gallery.model is not model:
                gallery = _Gallery.of(layer.data, model)
            if gallery is not None:
                self._galleries[layer] = gallery
                yield layer, gallery

    def _under(self, position: tuple[float, ...]) -> tuple[Any, _Gallery, int] | None:
        """Return gallery and tile at a position in the viewer."""
        if not shows_pictures(self._viewer):
            return None
        for layer, gallery in self._each():
            if layer.visible and layer.data is gallery.picture:
                tile = gallery.tiles.at(*layer.world_to_data(position)[-2:])
                if tile is not None:
                    return layer, gallery, tile
        return None

    # -- the mouse -------------------------------------------------------------

    def _on_move(self, _viewer: Any, event: Any) -> None:
        """Tell in the status bar which tile the mouse is on."""
        found = self._under(event.position)
        self._said = None
        if found is not None:
            _, gallery, tile = found
            face = self._focus.face if gallery.model is self._focus.model else None
            self._said = gallery.explainer.caption(tile, face)
            self._complete_status()

    def _complete_status(self) -> None:
        """Put what a tile is in place of the coordinates that napari shows."""
        status, said = self._viewer.status, self._said
        if not status:  # the mouse has left the canvas
            self._said = None
        elif isinstance(status, dict) and said and said not in str(status.get("coordinates")):
            self._viewer.status = {**status, "coordinates": said}

    def _on_press(self, viewer: Any, event: Any) -> Generator[None]:
        """Choose the component of a tile that is clicked, or none if it was chosen."""
        found = self._under(event.position)
        active = viewer.layers.selection.active
        is_drawing = str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        if found is None or event.button != 1 or event.modifiers or is_drawing:
            return
        layer, gallery, component = found
        if (yield from was_click(event)):
            if gallery.model is not self._focus.model:
                viewer.layers.selection.active = layer  # now it is about this model
            is_chosen = component == self._focus.component
            self._focus.select_component(None if is_chosen else component)


class _Gallery:
    """The picture of one gallery layer, and what is painted into it."""

    def __init__(self, model: LatentFaces, tiles: Tiles, picture: NDArray[Any]) -> None:
        self.model, self.tiles, self.picture = model, tiles, picture
        self._looks: list[Any] = [None] * tiles.count

    @classmethod
    def of(cls, picture: Any, model: LatentFaces) -> _Gallery | None:
        """Return the gallery that a picture is, None if it is none of this model."""
        tiles = Tiles.found_in(picture.shape, model.components.shape)
        if tiles is None or not isinstance(picture, np.ndarray) or not picture.flags.writeable:
            return None
        return cls(model, tiles, picture)

    @cached_property
    def explainer(self) -> Explainer:
        """What is known of the components."""
        return Explainer(self.model)

    def paint(
        self, layer: Any, mode: Mode, weights: NDArray[Any] | None, chosen: int | None
    ) -> None:
        """Give each tile the look that tells a face's weights, as far as it has changed."""
        if layer.data is not self.picture:
            return
        looks = self._wanted(mode, weights, chosen)
        changed = [i for i, look in enumerate(looks) if look != self._looks[i]]
        for i in changed:
            level, frame, is_chosen = looks[i]
            component = self.model.components[i : i + 1] * level
            paint_tile(
                self.picture[self.tiles.box(i)],
                shown_components(component, is_signed=self.model.is_signed)[0],
                frame=frame,
                is_chosen=is_chosen,
            )
        self._looks = looks
        if changed:
            layer.refresh(extent=False, highlight=False, thumbnail=False)

    def _wanted(
        self, mode: Mode, weights: NDArray[Any] | None, chosen: int | None
    ) -> list[tuple[float, float | None, bool]]:
        """Return level, frame and whether it is chosen of each tile."""
        k = self.tiles.count
        levels, frames = [1.0] * k, [None] * k
        if weights is not None and mode == "brightness":
            levels = (_DARKEST + (1 - _DARKEST) * prominence(weights)).tolist()
        elif weights is not None and mode == "border":
            frames = prominence(weights).tolist()
        return [(levels[i], frames[i], i == chosen) for i in range(k)]
