"""One viewer: what its panels are about, and what keeps its layers in order."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, proxy

import numpy as np
from napari.layers import Layer
from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QTimer

from napari_latent_faces.viewer import canvas, layers, window
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, results_of
from napari_latent_faces.viewer.layout import Captions, arrange

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layers import LayerData

    State = dict[str, Any]  # attributes of a layer

_HEARD = frozenset(
    {"inserted", "removed", "reordered", "name", "visible", "data", "contrast_limits"}
)
_MARGIN = 0.13  # of the canvas: the face's name stands above the pictures, not on them


def session_of(viewer: ViewerModel) -> Session:
    """Return the session of a viewer, which begins when it is first asked for."""
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get short-lived proxies
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]


class Session:
    """The model of one window: which faces, which model, which face, component and mix."""

    changed = Signal()  # something of this, or of the layers: look at all of it again

    def __init__(self, viewer: ViewerModel) -> None:
        # the viewer is the key of the session: a strong reference would keep it alive
        self._viewer: ViewerModel = proxy(viewer)
        # of the active layer, else of the newest result of these faces, else the newest shown
        self.model: LatentFaces | None = None
        self.face: int | None = None  # that is under the slider
        self.component: int | None = None  # that was chosen last
        self.mix: tuple[LatentFaces, NDArray[Any]] | None = None  # its weights, in which model
        self.mixes: list[Any] = []  # a mixed face for each model
        # where running fits draw, and what is shown there apart from that, None if nothing was
        self.previews: dict[Any, State | None] = {}
        self.mode = "off"  # how galleries follow the face: or by "brightness", or a "border"
        self._galleries = WeakKeyDictionary[Any, canvas.Gallery]()
        self._caption: str | None = None  # of the face under the slider
        self._tile_words = ""  # of the tile under the mouse
        self._undone: dict[Any, tuple[State | None, State | None]] = {}
        self._pending: list[Callable[[], object]] = []
        self._is_zoomed_by_hand = False
        self._captions = Captions()
        self.changed.connect(self._paint)
        self.changed.connect(self._label)
        viewer.layers.events.removing.connect(lambda: window.make_canvas_current(viewer))
        viewer.layers.events.connect(self._on_layers)  # those of each layer, too
        viewer.layers.selection.events.active.connect(self.refresh)
        viewer.dims.events.point.connect(self._on_slider)
        dims, grid = viewer.dims.events, window.grid_of(viewer).events
        for event in (viewer.events.theme, dims.order, dims.ndisplay, grid.enabled):
            event.connect(self._on_view)
        viewer.events.status.connect(self._complete_status)
        viewer.mouse_wheel_callbacks.append(self._on_wheel)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_drag_callbacks.append(self._on_press)
        window.camera_of(viewer).events.center.connect(self._on_camera)
        for key, act in {
            "Shift-Right": lambda _: self.go_to_same_subject(1),
            "Shift-Left": lambda _: self.go_to_same_subject(-1),
            "Shift-Down": lambda _: self.step_component(1),
            "Shift-Up": lambda _: self.step_component(-1),
            "Control-Z": lambda _: self.undo(),
        }.items():
            with suppress(ValueError):  # it is taken
                viewer.bind_key(key, act)
        self.refresh()

    @property
    def faces(self) -> Any:
        """The layer of the faces that the model was fitted to, or None if it is not shown."""
        shown = self._result()
        return shown and layers.layer_with(self._viewer, shown.metadata.get(FACES_KEY))

    def follow_by(self, mode: str) -> None:
        self.mode = mode
        self.changed.emit()

    def select_component(self, component: int | None) -> None:
        self.component = component
        self.changed.emit()

    def step_component(self, step: int) -> None:
        if self.model is not None:
            first = 0 if step > 0 else -1
            at = first if self.component is None else self.component + step
            self.select_component(at % self.model.n_components)

    def show_mix(self, model: LatentFaces, weights: NDArray[Any]) -> None:
        self.mix = model, weights
        self.changed.emit()

    def go_to_face(self, face: int) -> None:
        if (layer := self.stacked(self.model)) is not None:
            canvas.go_to(self._viewer, layer, face)

    def go_to_same_subject(self, step: int) -> None:
        layer = _stack_that_has(self._viewer, "subjects")
        subjects = layer.metadata["subjects"] if layer else ()
        face, n = canvas.face_under(self._viewer, layer) if layer else -1, len(subjects)
        if 0 <= face < n:
            others = ((face + step * i) % n for i in range(1, n + 1))
            same = next(each for each in others if subjects[each] == subjects[face])
            canvas.go_to(self._viewer, layer, same)

    def refresh(self) -> None:
        """Look at the viewer again, as after changing the metadata of a layer."""
        shown = self._result()
        model = shown and shown.metadata[MODEL_KEY]
        if model is not self.model:
            self.model, self.component = model, None
        self.face = self._face_now()
        self.changed.emit()

    def _on_slider(self) -> None:
        if self._face_now() == self.face:  # at another component, or beyond the model's faces
            self._label()
        else:
            self.refresh()

    def _result(self) -> Any:
        active = self._viewer.layers.selection.active
        # a face that was made from a model belongs to the faces it lies beside
        key = active and (active.metadata.get(FACES_KEY) or str(active.unique_id))

        def is_second(layer: Any) -> tuple[bool, ...]:
            return layer is not active, layer.metadata.get(FACES_KEY) != key, not layer.visible

        results = [each for each in results_of(self._viewer) if MODEL_KEY in each.metadata]
        return min(results, key=is_second, default=None)

    def stacked(self, model: LatentFaces | None) -> Any:
        """Return a layer with the model's faces along its slider, as they are or rebuilt."""
        results = results_of(self._viewer, model=model)
        return self.faces or next((each for each in results if each.ndim == 3), None)

    def _face_now(self) -> int | None:
        layer, n = self.stacked(self.model), len(self.model.weights) if self.model else 0
        if n == 1:
            return 0  # a single picture is seen wherever the slider is
        if layer is None or self._viewer.dims.ndim < 3:
            return None
        face = canvas.face_under(self._viewer, layer)
        return face if 0 <= face < n else None

    def _paint(self) -> None:
        """Bring the tiles of all galleries in line with model, face and component."""
        for layer in results_of(self._viewer, None, "gallery"):
            gallery, model = self._galleries.get(layer), layer.metadata[MODEL_KEY]
            if gallery is None or gallery.model is not model:
                gallery = canvas.Gallery.of(layer.data, model)
            if gallery is not None:
                self._galleries[layer] = gallery
                is_about = model is self.model
                face, chosen = (self.face, self.component) if is_about else (None, None)
                weights = None if face is None else model.weights[face]
                gallery.paint(layer, self.mode, weights, chosen)

    def _tile_under(self, position: tuple[float, ...]) -> canvas.Found | None:
        """Return the tile of a gallery at a position; where another picture was put, none."""
        found = canvas.picture_under(self._viewer, position)
        if found is None or "component" not in found.uses:
            return None
        gallery = self._galleries.get(found.layer)
        return found if gallery and found.layer.data is gallery.picture else None

    def _label(self) -> None:
        """Tell the name of the face under the slider in the canvas and in the status bar."""
        before, self._caption = self._caption, current_caption(self._viewer)
        overlay = window.text_overlay(self._viewer)
        if self._caption is not None and self._caption != before:
            overlay.position = "top_left"  # notifications cover what is below
            overlay.text, overlay.visible = self._caption, True
            form = dict.fromkeys(("layer_base", "source_type", "plugin"), "")  # napari's
            self._viewer.status = {**form, "coordinates": self._caption}
        elif self._caption is None and before is not None and overlay.text == before:
            overlay.text, overlay.visible = "", False

    def _complete_status(self) -> None:
        """Put the face before the coordinates of the mouse, or before what a tile is."""
        status, said = self._viewer.status, self._tile_words
        if not status:  # the mouse has left the canvas
            self._tile_words = ""
        elif isinstance(status, dict):
            told = str(status.get("coordinates", ""))
            words = told if said in told else said
            if self._caption is not None and not words.startswith(self._caption):
                words = f"{self._caption}  {words}"
            if words != told:
                self._viewer.status = {**status, "coordinates": words}

    def _on_move(self, _viewer: Any, event: Any) -> None:
        """Tell in the status bar which tile the mouse is on."""
        found = self._tile_under(event.position)
        self._tile_words = ""
        if found is not None:
            gallery = self._galleries[found.layer]
            face = self.face if gallery.model is self.model else None
            self._tile_words = gallery.explainer.caption(found.uses["component"], face)
            self._complete_status()

    def _on_press(self, viewer: Any, event: Any) -> Generator[None]:
        """Choose the component that is clicked, open a menu, or notice a move by hand."""
        before, active = window.camera_of(viewer).center, viewer.layers.selection.active
        button, has_keys, position = event.button, bool(event.modifiers), event.position
        is_drawing = str(getattr(active, "mode", "pan_zoom")) != "pan_zoom"
        is_click = yield from canvas.was_click(event)
        if not np.allclose(before, window.camera_of(viewer).center):
            self._is_zoomed_by_hand = True
        if has_keys or not is_click:
            return
        found = self._tile_under(position)
        if button == 2:  # held, it zooms
            canvas.show_menu(viewer, position)
        elif button == 1 and found is not None and not is_drawing:
            if found.layer.metadata[MODEL_KEY] is not self.model:
                viewer.layers.selection.active = found.layer  # now it is about this model
            component = found.uses["component"]
            self.select_component(None if component == self.component else component)

    def _on_wheel(self, _viewer: Any, event: Any) -> None:
        if "Control" not in event.modifiers:  # with it, the wheel moves the slider
            self._is_zoomed_by_hand = True

    @property
    def can_undo(self) -> bool:
        return bool(self._undone)

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """Remember what is done to results meanwhile, for `undo`; all is told of at the end."""
        before = self._states()
        with self.changed.blocked():
            yield
        after = self._states()
        pairs = {each: (before.get(each), after.get(each)) for each in before | after}
        changes = {each: (a, b) for each, (a, b) in pairs.items() if _seen(a) != _seen(b)}
        self._undone = changes or self._undone
        self.refresh()

    def undo(self) -> None:
        """Show what was there before the last result; asked again, that result."""
        viewer, active = self._viewer, self._viewer.layers.selection.active
        if not self._undone:
            return
        for layer, (was, _) in self._undone.items():
            if layer in viewer.layers and layer in self.previews:
                self.previews[layer] = was  # what shows when the fit is cancelled
            else:
                self._put_back(layer, was)
        self._undone = {layer: (now, was) for layer, (was, now) in self._undone.items()}
        if active in viewer.layers:
            viewer.layers.selection.active = active
        self.results_changed()

    def begin_preview(self, layer: Any) -> None:
        """Let a fit draw into a layer; undoing is about what that showed before."""
        was = _state_of(layer) if MODEL_KEY in layer.metadata else None
        self.previews.setdefault(layer, was)
        _withhold(layer)

    def drop_preview(self, layer: Any) -> None:
        """Show what a layer showed before a fit drew into it."""
        if layer in self.previews:
            was = self.previews.pop(layer)
            if layer in self._viewer.layers:
                self._put_back(layer, was)
                self.results_changed()  # the slider may have been moved meanwhile

    def _states(self) -> dict[Any, State | None]:
        return {each: _state_of(each) for each in results_of(self._viewer)} | self.previews

    def _put_back(self, layer: Any, was: State | None) -> None:
        """Have a layer show again what it showed, unless its faces are gone."""
        viewer, is_there = self._viewer, layer in self._viewer.layers
        if was is None:
            if is_there:
                viewer.layers.remove(layer)
        elif is_there or layers.layer_with(viewer, was["metadata"].get(FACES_KEY)):
            if not is_there:
                viewer.add_layer(layer)
            _withhold(layer)
            for name, value in was.items():  # the metadata are the last
                setattr(layer, name, value)

    def later(self, change: Callable[[], object]) -> None:
        """Do something once napari is done with adding or removing a layer, which lists all."""
        # without an application, nothing is ever drawn
        if change not in self._pending and QCoreApplication.instance() is not None:
            if not self._pending:
                QTimer.singleShot(0, self._catch_up)
            self._pending.append(change)

    def _catch_up(self) -> None:
        pending, self._pending = self._pending, []
        with suppress(ReferenceError):  # the viewer is gone
            for change in pending:
                change()

    def _on_layers(self, event: Any) -> None:
        if event.type not in _HEARD:
            return
        if event.type in {"inserted", "removed", "visible"}:
            self.later(self._tidy)
        if event.type == "inserted":
            layer = event.value
            if "names" in layer.metadata and ROLE_KEY not in layer.metadata:
                self.later(lambda: self._reach(layer))
                self.later(self.show_all)  # it may have been moved aside
        if not self._viewer.layers:
            self._is_zoomed_by_hand, self._undone = False, {}
            self.mix, self.mixes = None, []  # which would keep their models
        self.refresh()

    def _on_view(self, event: Any) -> None:
        if event.type == "enabled":  # of the grid: napari has zoomed, too
            self._is_zoomed_by_hand = False
        self.refresh()
        self.later(self._tidy)
        self.later(self.show_all)

    def results_changed(self, faces: Any = None) -> None:
        """Put results in order, those of `faces` in focus, and show all; not from an event."""
        viewer, active = self._viewer, self._viewer.layers.selection.active
        masks = [each for each in results_of(viewer, faces) if ROLE_KEY not in each.metadata]
        if faces is not None and faces in viewer.layers and active not in masks:
            viewer.layers.selection.active = faces
        arrange(viewer)
        self.refresh()
        self.show_all()
        self.later(self._tidy)
        self.later(self.show_all)  # once captions have found their places

    def show_all(self) -> None:
        """Bring all layers into view, unless the user has zoomed by hand since Home."""
        if not self._is_zoomed_by_hand:
            self._viewer.reset_view(margin=_MARGIN, reset_camera_angle=False)

    def _tidy(self) -> None:
        arrange(self._viewer)
        if not self.previews:  # a fit need not wait for another layer
            self._captions.refresh(self._viewer)

    def _reach(self, layer: Any) -> None:
        """Move the face slider to the last face of a stack that ends before it."""
        if layer in self._viewer.layers and layer.ndim == 3:
            last = len(layers.layer_pixels(layer)) - 1
            if canvas.face_under(self._viewer, layer) > last:
                canvas.go_to(self._viewer, layer, last)

    def _on_camera(self) -> None:
        """Notice that all is in the middle again, as by napari's Home."""
        viewer = self._viewer
        if self._is_zoomed_by_hand and viewer.layers:
            low, high = viewer.layers.extent.world[:, list(viewer.dims.displayed[-2:])]
            apart = np.abs(np.array(window.camera_of(viewer).center[-2:]) - (low + high) / 2)
            # the extent ends in the middle of pixels
            self._is_zoomed_by_hand = bool((apart > 0.02 * (high - low)).any())


def _stack_that_has(viewer: ViewerModel, known: str) -> Any:
    """Return a layer on the face slider with these metadata, the active one if it has them."""
    found = [each for each in viewer.layers if each.ndim >= 3 and each.metadata.get(known)]
    active = viewer.layers.selection.active
    return active if active in found else next(iter(found), None)


def current_caption(viewer: ViewerModel) -> str | None:
    """Return the caption of the face under the slider, of the active stack if it has one."""
    layer = _stack_that_has(viewer, "names")
    if layer is None or viewer.dims.ndim - 3 in viewer.dims.displayed:
        return None
    return layers.face_caption(layer.metadata, canvas.face_under(viewer, layer))


def _state_of(layer: Any) -> State:
    """Return what makes a layer show what it shows."""
    names = [name for name in ("data", "visible", "contrast_limits") if hasattr(layer, name)]
    state = {name: getattr(layer, name) for name in names}
    return state | {"metadata": dict(layer.metadata)}  # which napari changes in place


def _seen(state: State | None) -> Any:
    """Return what tells whether two states are the same."""
    return state and (id(state["data"]), state["visible"], id(state["metadata"].get(MODEL_KEY)))


def _withhold(layer: Any) -> None:
    """Have no one paint on a gallery before its picture and its metadata are of one model."""
    if layer.metadata.get(ROLE_KEY) == "gallery":
        layer.metadata[ROLE_KEY] = layers.PREVIEW
    if layer.metadata.pop(layers.HIDDEN_KEY, False):  # for another method, not by the user
        layer.visible = True


def add_result(viewer: ViewerModel, data: LayerData) -> Any:
    """Add a layer, and leave what was selected so that the slider stays its."""
    active, layer = viewer.layers.selection.active, Layer.create(*data)
    arrange(viewer, [layer])
    viewer.add_layer(layer)
    if active is not None:
        viewer.layers.selection.active = active
    return layer


def find_result(viewer: ViewerModel, faces: Any, role: str) -> Any:
    """Return the newest layer of these faces with a role, or None."""
    return next(iter(results_of(viewer, faces, role)), None)


def show_result(viewer: ViewerModel, earlier: Any, data: LayerData) -> Any:
    """Put new contents into an earlier layer, which keeps its look, or add a layer."""
    pictures, kwargs, _ = data
    if earlier in viewer.layers:
        if (earlier.ndim, earlier.rgb) == (len(kwargs["axis_labels"]), "rgb" in kwargs):
            session_of(viewer).previews.pop(earlier, None)
            _withhold(earlier)
            earlier.data = pictures
            earlier.metadata = kwargs["metadata"]
            return earlier
        viewer.layers.remove(earlier)
    return add_result(viewer, data)


# one place, and no strong reference to a viewer: a session ends with it
_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
