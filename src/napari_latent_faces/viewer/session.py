"""What one viewer's panels share: one session for each viewer."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, proxy

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QTimer

from napari_latent_faces.viewer.focus import Focus, Galleries, face_under, go_to, stack_that_has
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    face_caption,
    layer_pixels,
)
from napari_latent_faces.viewer.layout import PREVIEW, Captions, arrange
from napari_latent_faces.viewer.menus import on_right_click
from napari_latent_faces.viewer.window import (
    camera_of,
    grid_of,
    make_canvas_current,
    text_overlay,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    import napari

    State = dict[str, Any]  # attributes of a layer

_CAPTION_PAUSE = 1000  # milliseconds in which a fit may end before captions are written
_MARGIN = 0.13  # of the canvas: the face's name stands above the pictures, not on them


def session_of(viewer: napari.components.ViewerModel) -> Session:
    """Return the session of a viewer, which begins when it is first asked for.

    From then on the viewer shows the names of faces, its galleries follow the face, and its
    results are kept in order. It lives as long as the viewer.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get short-lived proxies
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]


class Session:
    """What is known of one viewer, and what keeps its layers in order.

    `focus` is what all panels are about, and `galleries` the gallery layers. `previews` are
    the layers into which running fits draw, with what they show apart from that: a state, as
    of `state_of`, or None if they were not there before. `mixes` has a mixed face for each
    model that was mixed from, and `desk` mixes them while a panel is open.
    """

    undo_changed = Signal(bool)  # whether there is something to undo

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # the viewer is the key of the session: a strong reference would keep it alive
        self._viewer: napari.components.ViewerModel = proxy(viewer)
        self._pending: list[Callable[[], object]] = []
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._catch_up)
        self._caption_soon = QTimer()
        self._caption_soon.setSingleShot(True)
        self._caption_soon.timeout.connect(self._write_captions)
        self._is_zoomed_by_hand = self._is_view_due = False
        self._captions = Captions()
        self._changes: dict[Any, tuple[State | None, State | None]] = {}
        self.previews: dict[Any, State | None] = {}
        self.mixes: list[Any] = []
        self.desk: Any = None
        self.focus = Focus(viewer)
        self.galleries = Galleries(viewer, self.focus)
        label_faces(viewer)
        layers = viewer.layers.events
        layers.removing.connect(lambda: make_canvas_current(viewer))
        layers.inserted.connect(self._on_inserted)
        layers.removed.connect(self._on_removed)
        layers.connect(self._on_layers)  # those of each layer, too
        for event in (
            viewer.events.theme,
            viewer.dims.events.order,
            viewer.dims.events.ndisplay,
        ):
            event.connect(lambda: self.later(self._tidy))
        viewer.mouse_wheel_callbacks.append(self._on_wheel)
        viewer.mouse_drag_callbacks.extend([self._on_drag, on_right_click])
        grid_of(viewer).events.enabled.connect(self._on_grid)
        camera_of(viewer).events.center.connect(self._on_camera)
        keys: dict[str, Callable[[], object]] = {
            "Shift-Right": lambda: self.focus.go_to_same_subject(1),
            "Shift-Left": lambda: self.focus.go_to_same_subject(-1),
            "Shift-Down": lambda: self.focus.step_component(1),
            "Shift-Up": lambda: self.focus.step_component(-1),
            "Control-Z": self.undo,
        }
        for key, act in keys.items():
            with suppress(ValueError):  # it is taken
                viewer.bind_key(key, lambda _viewer, act=act: act())

    # -- the last result, taken back ---------------------------------------------

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._changes)

    @contextmanager
    def undoable(self) -> Iterator[None]:
        """Remember what is done to results meanwhile, for `undo`."""
        before = self._states()
        yield
        after = self._states()
        changes = {
            layer: (before.get(layer), after.get(layer))
            for layer in {**before, **after}
            if not _is_same(before.get(layer), after.get(layer))
        }
        if changes:
            self._changes = changes
            self.undo_changed.emit(True)

    def undo(self) -> None:
        """Show what was there before the last result; asked again, that result."""
        layers = self._viewer.layers
        if not self._changes:
            return
        active = layers.selection.active
        owners = {str(layer.unique_id) for layer in layers}
        for layer, (was, _) in self._changes.items():
            is_there = layer in layers
            if is_there and layer in self.previews:
                self.previews[layer] = was  # what shows when the fit is cancelled
            elif was is None:
                if is_there:
                    layers.remove(layer)
            elif is_there or was["metadata"].get(FACES_KEY) in owners:
                if not is_there:
                    self._viewer.add_layer(layer)
                restore(layer, was)
        self._changes = {layer: (now, was) for layer, (was, now) in self._changes.items()}
        if active in layers:
            layers.selection.active = active
        self.results_changed()

    def _states(self) -> dict[Any, State | None]:
        layers = [layer for layer in self._viewer.layers if FACES_KEY in layer.metadata]
        return {layer: state_of(layer) for layer in layers} | self.previews

    # -- layers into which a running fit draws -------------------------------------

    def begin_preview(self, layer: Any, *, is_new: bool = False) -> None:
        """Let a fit draw into a layer; undoing is about what that showed before."""
        if layer not in self.previews:
            self.previews[layer] = None if is_new else state_of(layer)
        withhold(layer)

    def drop_preview(self, layer: Any) -> None:
        """Show what a layer showed before a fit drew into it."""
        was = self.previews.pop(layer, None)
        if layer in self._viewer.layers:
            if was is None:
                self._viewer.layers.remove(layer)
            else:
                restore(layer, was)
            self.results_changed()  # the slider may have been moved meanwhile

    # -- changes of layers that have to wait -----------------------------------

    def later(self, change: Callable[[], object]) -> None:
        """Do something once napari is done with what it is doing now.

        What hears of a layer that is being added or removed must not add, remove or reorder
        others: napari would list layers that are not there. Asked for twice, it is done once.
        """
        if change not in self._pending:
            self._pending.append(change)
        if QCoreApplication.instance() is not None:  # without one, nothing is ever drawn
            self._soon.start(0)

    def _catch_up(self) -> None:
        pending, self._pending = self._pending, []
        with suppress(ReferenceError):  # the viewer is gone
            for change in pending:
                change()

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        self.later(self._tidy)
        if "names" in layer.metadata and ROLE_KEY not in layer.metadata:
            self.later(lambda: self._reach(layer))
            self.later(self.show_all)  # it may have been moved aside

    def _on_removed(self) -> None:
        if not self._viewer.layers:
            self._is_zoomed_by_hand = False
            self._changes = {}
            self.undo_changed.emit(False)
        self.later(self._tidy)

    def _on_layers(self, event: Any) -> None:
        if event.type == "visible":
            self.later(self._tidy)

    def _on_grid(self) -> None:
        self._is_zoomed_by_hand, self._is_view_due = False, True  # napari has zoomed, too
        self.later(self._tidy)

    # -- where results lie, and what is seen of them ---------------------------

    def results_changed(self) -> None:
        """Put results in order, tell the panels, and show all; not from a layers event."""
        arrange(self._viewer)
        self.focus.refresh()
        self.galleries.refresh()  # the focus may have heard of the model before
        self.show_all()
        self._is_view_due = True  # once captions have found their places
        self.later(self._tidy)

    def show_all(self) -> None:
        """Bring all layers into view, unless the user has zoomed by hand.

        Home, napari's button, puts an end to that.
        """
        if not self._is_zoomed_by_hand:
            self._viewer.reset_view(margin=_MARGIN, reset_camera_angle=False)

    def _tidy(self) -> None:
        arrange(self._viewer)
        if self.previews:  # a short fit need not wait for another layer
            self._caption_soon.start(_CAPTION_PAUSE)
        else:
            self._write_captions()

    def _write_captions(self) -> None:
        with suppress(ReferenceError):  # the viewer is gone
            self._captions.refresh(self._viewer)
            if self._is_view_due:
                self._is_view_due = False
                self.show_all()

    def _reach(self, layer: Any) -> None:
        """Move the face slider to the last face of a stack that ends before it."""
        if layer in self._viewer.layers and layer.ndim == 3:
            last = len(layer_pixels(layer)) - 1
            if face_under(self._viewer, layer) > last:
                go_to(self._viewer, layer, last)

    def _on_wheel(self, _viewer: Any, event: Any) -> None:
        if "Control" not in event.modifiers:  # with it, the wheel moves the slider
            self._is_zoomed_by_hand = True

    def _on_drag(self, viewer: Any, event: Any) -> Generator[None]:
        """Notice that the canvas was moved."""
        before = camera_of(viewer).center
        yield
        while event.type == "mouse_move":
            yield
        if not np.allclose(before, camera_of(viewer).center):
            self._is_zoomed_by_hand = True

    def _on_camera(self) -> None:
        """Notice that all is in the middle again, as by napari's Home."""
        viewer = self._viewer
        if self._is_zoomed_by_hand and viewer.layers:
            low, high = viewer.layers.extent.world[:, list(viewer.dims.displayed[-2:])]
            apart = np.abs(np.array(camera_of(viewer).center[-2:]) - (low + high) / 2)
            # the extent ends in the middle of pixels
            self._is_zoomed_by_hand = bool((apart > 0.02 * (high - low)).any())


def state_of(layer: Any) -> State:
    """Return what makes a layer show what it shows, for `restore`."""
    names = ("data", "visible", *["contrast_limits"] * hasattr(layer, "contrast_limits"))
    # napari changes metadata in place
    return {**{name: getattr(layer, name) for name in names}, "metadata": dict(layer.metadata)}


def restore(layer: Any, state: State) -> None:
    """Have a layer show again what it showed."""
    withhold(layer)
    for name, value in state.items():  # the metadata are the last
        setattr(layer, name, value)


def withhold(layer: Any) -> None:
    """Have no one paint on a gallery before its picture and its metadata are of one model.

    A slider that moves does so, and setting a picture may move it.
    """
    if layer.metadata.get(ROLE_KEY) == "gallery":
        layer.metadata[ROLE_KEY] = PREVIEW


def _is_same(one: State | None, other: State | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        one["data"] is other["data"]
        and one["visible"] == other["visible"]
        and one["metadata"].get(MODEL_KEY) is other["metadata"].get(MODEL_KEY)
    )


# -- The name of the face under the slider, in the canvas and in the status bar --------


def label_faces(viewer: napari.components.ViewerModel) -> None:
    """Keep text overlay and status bar at the face under the slider, if it has a name."""
    shown: str | None = None

    def refresh(_event: object = None) -> None:
        nonlocal shown
        before, shown = shown, current_caption(viewer)
        overlay = text_overlay(viewer)
        if shown is not None and shown != before:
            overlay.position = "top_left"  # notifications cover what is below
            overlay.text, overlay.visible = shown, True
            active = viewer.layers.selection.active
            name = "" if active is None else active.name
            others = {"source_type": "", "plugin": ""}  # the form that napari uses for layers
            viewer.status = {"layer_base": name, **others, "coordinates": shown}
        elif shown is None and before is not None and overlay.text == before:
            overlay.text, overlay.visible = "", False

    def complete_status(_event: object = None) -> None:
        """Put the face before the coordinates that napari shows under the mouse."""
        status = viewer.status
        if shown is not None and isinstance(status, dict):
            coordinates = str(status.get("coordinates", ""))
            if not coordinates.startswith(shown):
                viewer.status = {**status, "coordinates": f"{shown}  {coordinates}"}

    for event in (
        viewer.dims.events.point,
        viewer.dims.events.ndisplay,
        viewer.dims.events.order,
        viewer.layers.events.inserted,
        viewer.layers.events.removed,
        viewer.layers.selection.events.active,
    ):
        event.connect(refresh)
    viewer.events.status.connect(complete_status)
    refresh()


def current_caption(viewer: napari.components.ViewerModel) -> str | None:
    """Return the caption of the face under the slider, of the active stack if it has one."""
    axis = viewer.dims.ndim - 3
    layer = stack_that_has(viewer, "names")
    if layer is None or axis in viewer.dims.displayed:
        return None
    return face_caption(layer.metadata, face_under(viewer, layer))


# one place, and no strong reference to a viewer: a session ends with it
_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
