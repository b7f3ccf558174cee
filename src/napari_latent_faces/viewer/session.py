"""What one viewer's panels share: one session for each viewer."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from psygnal import Signal
from qtpy.QtCore import QCoreApplication, QTimer

from napari_latent_faces.viewer.captions import Captions
from napari_latent_faces.viewer.focus import Focus, Galleries, go_to
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    face_caption,
    layer_pixels,
)
from napari_latent_faces.viewer.layout import PREVIEW, arrange
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

__all__ = [
    "FaceLabels",
    "Session",
    "restore",
    "session_of",
    "session_of_opening_viewer",
    "state_of",
    "withhold",
]

_MARGIN = 0.13  # of the canvas: the face's name stands below the pictures, not on them


def session_of(viewer: napari.components.ViewerModel) -> Session:
    """Return the session of a viewer, which begins when it is first asked for.

    From then on the viewer shows the names of faces, its galleries follow the face, and its
    results are kept in order. It lives as long as the viewer.
    """
    viewer = getattr(viewer, "__wrapped__", viewer)  # plugins get short-lived proxies
    if viewer not in _SESSIONS:
        _SESSIONS[viewer] = Session(viewer)
    return _SESSIONS[viewer]


def session_of_opening_viewer() -> Session | None:
    """Return the session of the viewer that is opening a file, None if there is none.

    Readers and samples are not told their viewer; while they run, it is the current one.
    """
    import napari

    viewer = napari.current_viewer()
    return None if viewer is None else session_of(viewer)


class Session:
    """What is known of one viewer, and what keeps its layers in order.

    `focus` is what all panels are about, `galleries` the gallery layers, and `labels` the name
    of the face under the slider.
    """

    undo_changed = Signal(bool)  # whether there is something to undo

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
        # the viewer is the key of the session: a strong reference would keep it alive
        self._viewer = ref(viewer)
        self._pending: list[Callable[[], object]] = []
        self._soon = QTimer()
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._catch_up)
        self._is_zoomed_by_hand = False
        self._captions = Captions(viewer)
        self._changes: dict[Any, tuple[_State | None, _State | None]] = {}
        self.focus = Focus(viewer)
        self.galleries = Galleries(viewer, self.focus)
        self.labels = FaceLabels(viewer)
        layers = viewer.layers.events
        layers.removing.connect(self._on_removing)
        layers.inserted.connect(self._on_inserted)
        layers.removed.connect(self._on_removed)
        layers.connect(self._on_layers)  # those of each layer, too
        viewer.events.theme.connect(lambda: self.later(self._tidy))
        viewer.mouse_wheel_callbacks.append(self._on_wheel)
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_drag_callbacks.append(on_right_click)
        grid_of(viewer).events.enabled.connect(self._on_grid)
        camera_of(viewer).events.center.connect(self._on_camera)
        self._bind_keys(viewer)

    def _bind_keys(self, viewer: napari.components.ViewerModel) -> None:
        """Give the canvas its keys, but for those that are taken."""
        keys: dict[str, Callable[[], object]] = {
            "Shift-Right": lambda: self.focus.go_to_same_subject(1),
            "Shift-Left": lambda: self.focus.go_to_same_subject(-1),
            "Shift-Down": lambda: self.focus.step_component(1),
            "Shift-Up": lambda: self.focus.step_component(-1),
            "Control-Z": self.undo,
        }
        for key, act in keys.items():
            with suppress(ValueError):
                viewer.bind_key(key, lambda _viewer, act=act: act())

    # -- the last result, taken back ---------------------------------------------

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._changes)

    @contextmanager
    def undoable(self, earlier: dict[Any, _State | None] | None = None) -> Iterator[None]:
        """Remember what is done to results meanwhile, for `undo`.

        `earlier` are states, as of `state_of`, of layers that were changed before; None of
        those that were not there.
        """
        before = self._states() | (earlier or {})
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
        viewer = self._viewer()
        if viewer is None or not self._changes:
            return
        active = viewer.layers.selection.active
        owners = {str(layer.unique_id) for layer in viewer.layers}
        for layer, (was, _) in self._changes.items():
            if was is None:
                if layer in viewer.layers:
                    viewer.layers.remove(layer)
                continue
            if layer not in viewer.layers:
                if was["metadata"].get(FACES_KEY) not in owners:
                    continue
                viewer.add_layer(layer)
            restore(layer, was)
        self._changes = {layer: (now, was) for layer, (was, now) in self._changes.items()}
        if active in viewer.layers:
            viewer.layers.selection.active = active
        self.results_changed()

    def _states(self) -> dict[Any, _State | None]:
        viewer = self._viewer()
        return {
            layer: state_of(layer)
            for layer in ([] if viewer is None else viewer.layers)
            if FACES_KEY in layer.metadata
        }

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
        for change in pending:
            change()

    def _on_removing(self) -> None:
        viewer = self._viewer()
        if viewer is not None:
            make_canvas_current(viewer)

    def _on_inserted(self, event: Any) -> None:
        layer = event.value
        self.later(self._tidy)
        if "names" in layer.metadata and ROLE_KEY not in layer.metadata:
            self.later(lambda: self._reach(layer))
            self.later(self.show_all)  # it may have been moved aside

    def _on_removed(self) -> None:
        viewer = self._viewer()
        if viewer is not None and not viewer.layers:
            self._is_zoomed_by_hand = False
            self._changes = {}
            self.undo_changed.emit(False)
        self.later(self._tidy)

    def _on_layers(self, event: Any) -> None:
        if event.type == "visible":
            self.later(self._tidy)

    def _on_grid(self) -> None:
        self._is_zoomed_by_hand = False  # napari has zoomed, too
        self.later(self._tidy)
        self.later(self.show_all)

    # -- where results lie, and what is seen of them ---------------------------

    def results_changed(self) -> None:
        """Put results in order, tell the panels, and show all; not from a layers event."""
        viewer = self._viewer()
        if viewer is not None:
            arrange(viewer)
            self.focus.refresh()
            self.galleries.refresh()  # the focus may have heard of the model before
            self.show_all()
            self.later(self._tidy)
            self.later(self.show_all)  # captions have found their places

    def show_all(self) -> None:
        """Bring all layers into view, unless the user has zoomed by hand.

        Home, napari's button, puts an end to that.
        """
        viewer = self._viewer()
        if viewer is not None and not self._is_zoomed_by_hand:
            viewer.reset_view(margin=_MARGIN, reset_camera_angle=False)

    def _tidy(self) -> None:
        viewer = self._viewer()
        if viewer is not None:
            arrange(viewer)
            self._captions.refresh()

    def _reach(self, layer: Any) -> None:
        """Move the face slider to the last face of a stack that ends before it."""
        viewer = self._viewer()
        if viewer is None or layer not in viewer.layers or layer.ndim != 3:
            return
        last = len(layer_pixels(layer)) - 1
        if round(float(layer.world_to_data(viewer.dims.point)[-3])) > last:
            go_to(viewer, layer, last)

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
        viewer = self._viewer()
        if viewer is None or not self._is_zoomed_by_hand or not viewer.layers:
            return
        low, high = viewer.layers.extent.world[:, list(viewer.dims.displayed[-2:])]
        apart = np.abs(np.array(camera_of(viewer).center[-2:]) - (low + high) / 2)
        if (apart <= 0.02 * (high - low)).all():  # the extent ends in the middle of pixels
            self._is_zoomed_by_hand = False


_State = dict[str, Any]  # attributes of a layer


def state_of(layer: Any) -> _State:
    """Return what makes a layer show what it shows, for `restore`."""
    names = ("data", "visible", *["contrast_limits"] * hasattr(layer, "contrast_limits"))
    # napari changes metadata in place
    return {**{name: getattr(layer, name) for name in names}, "metadata": dict(layer.metadata)}


def restore(layer: Any, state: _State) -> None:
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


def _is_same(one: _State | None, other: _State | None) -> bool:
    if one is None or other is None:
        return one is other
    return (
        one["data"] is other["data"]
        and one["visible"] == other["visible"]
        and one["metadata"].get(MODEL_KEY) is other["metadata"].get(MODEL_KEY)
    )


# -- The name of the face under the slider, in the canvas and in the status bar --------


class FaceLabels:
    """Keeps text overlay and status bar at the face under the slider, if it has a name."""

    def __init__(self, viewer: napari.components.ViewerModel) -> None:
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
        overlay = text_overlay(viewer)
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


# one place, and no strong reference to a viewer: a session ends with it
_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()
