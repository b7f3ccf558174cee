"""The menu of the right button on pictures: copy and save them, and go on with them."""

from __future__ import annotations

from math import dist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QAction, QCursor, QImage  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.tiles import Tiles, numbered
from napari_latent_faces.viewer.focus import STILL, go_to
from napari_latent_faces.viewer.layers import (
    FACES_KEY,
    MODEL_KEY,
    PICTURES_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    layer_pixels,
)
from napari_latent_faces.viewer.window import can_open_docks, canvas_of, open_dock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from numpy.typing import NDArray

__all__ = ["on_right_click", "picture_actions", "show_picture_menu", "use_in_mix"]


def picture_actions(what: str, picture: Callable[[], QImage], parent: QWidget) -> list[QAction]:
    """Return entries of a menu that copy a picture and save it.

    Parameters
    ----------
    what : str
        What it is called in the menu.
    picture : callable
        Returns it, when it is asked for.
    parent : QWidget
        What it is seen in.
    """

    def copy() -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setImage(picture())

    def save() -> None:
        shown = picture()  # before a dialog covers it
        path, _ = QFileDialog.getSaveFileName(
            parent, f"Save {what} as PNG", f"{what}.png", "Picture (*.png)"
        )
        path = path if not path or path.lower().endswith(".png") else f"{path}.png"
        if path and not shown.save(path, "PNG"):
            show_error(harmless_lines(f"{path} cannot be written."))

    entries = {f"Copy {what}": copy, f"Save {what} as PNG...": save}
    return [_action(words, do, parent) for words, do in entries.items()]


def _action(words: str, do: Callable[[], object], parent: QWidget) -> QAction:
    action = QAction(words, parent)
    action.triggered.connect(lambda _checked=False: do())
    return action


def show_picture_menu(
    parent: QWidget,
    at: QPoint,
    pictures: Mapping[str, Callable[[], QImage]],
    more: Mapping[str, Callable[[], object]],
) -> QMenu:
    """Show a menu that copies and saves pictures, and does more with them.

    Parameters
    ----------
    parent : QWidget
        What they are seen in.
    at : QPoint
        Where, on the screen.
    pictures : mapping of str to callable
        What returns them, by what they are called.
    more : mapping of str to callable
        What else can be done, by the words for it.
    """
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    for words, do in more.items():
        menu.addAction(_action(words, do, menu))
    for what, picture in pictures.items():
        menu.addSeparator()
        menu.addActions(picture_actions(what, picture, menu))
    menu.popup(at)
    return menu


# -- Pictures on the canvas --------------------------------------------------------------


class _Found(NamedTuple):
    """A picture under the mouse: of a face, of a component, or a mixed one."""

    layer: Any
    pixels: NDArray[Any]
    name: str
    face: int | None = None
    component: int | None = None
    weights: Sequence[float] | None = None

    def image(self) -> QImage:
        """Return the picture in the colours of its layer."""
        return _drawn(self.layer, self.pixels)


def _drawn(layer: Any, pixels: NDArray[Any]) -> QImage:
    low, high = map(float, layer.contrast_limits)
    levels = np.clip((np.asarray(pixels, float) - low) / ((high - low) or 1), 0, 1)
    if not layer.rgb:
        levels = layer.colormap.map(np.nan_to_num(levels))
    shown = np.round(levels[..., :3] * 255).astype(np.uint8)
    h, w, _ = shown.shape
    return QImage(shown.tobytes(), w, h, 3 * w, QImage.Format.Format_RGB888).copy()


def _under(viewer: Any, position: tuple[float, ...]) -> _Found | None:
    """Return the picture of faces or of a result that is seen at a position."""
    n = viewer.dims.ndim
    if set(viewer.dims.displayed) != {n - 2, n - 1}:  # turned, or in three dimensions
        return None
    for layer in reversed(viewer.layers):
        is_ours = FACES_KEY in layer.metadata or "names" in layer.metadata
        if not (layer.visible and is_ours and isinstance(layer, Image)):
            continue
        pixels, place = layer_pixels(layer), layer.world_to_data(position)
        size = pixels.shape[:-1] if layer.rgb else pixels.shape
        if all(-0.5 <= at <= last - 0.5 for at, last in zip(place, size, strict=True)):
            found = _picture_at(layer, pixels, place)
            if found is not None:
                return found
    return None


def _picture_at(layer: Any, pixels: NDArray[Any], place: tuple[float, ...]) -> _Found | None:
    known, (y, x) = layer.metadata, place[-2:]
    if layer.ndim == 3:
        face = round(place[0])
        return _Found(layer, pixels[face], f"face {face}", face=face)
    is_gallery, is_sheet = known.get(ROLE_KEY) == "gallery", PICTURES_KEY in known
    if not (is_gallery or is_sheet):
        return _Found(layer, pixels, layer.name) if layer.ndim == 2 else None
    shape = known[MODEL_KEY].components.shape if is_gallery else ()
    if is_sheet:
        count = len(known[PICTURES_KEY])
        shape = count, *numbered(known[PICTURES_KEY][:1], 0.0, 1.0).shape[1:]
    tiles = Tiles.found_in(pixels.shape, shape)
    tile = None if tiles is None else tiles.at(y, x)
    if tiles is None or tile is None:
        return None
    if is_gallery:
        return _Found(layer, pixels[tiles.box(tile)], f"component {tile}", component=tile)
    recipe = known[RECIPES_KEY][tile]
    return _Found(layer, known[PICTURES_KEY][tile], recipe.name, weights=recipe.weights)


def on_right_click(viewer: Any, event: Any) -> Generator[None]:
    """Show the menu of the picture that is clicked with the right button."""
    if event.button != 2 or event.modifiers:
        return
    began, moved = tuple(event.pos), 0.0
    yield
    while event.type == "mouse_move":  # napari zooms
        moved = max(moved, dist(began, event.pos))
        yield
    parent = canvas_of(viewer)
    found = _under(viewer, event.position) if moved <= STILL and parent is not None else None
    if found is None or parent is None:
        return
    pictures = {found.name: found.image}
    if found.layer.ndim == 2 and found.pixels is not found.layer.data:
        pictures["all of them"] = lambda: _drawn(found.layer, found.layer.data)
    show_picture_menu(parent, QCursor.pos(), pictures, _uses(viewer, found))


def _uses(viewer: Any, found: _Found) -> dict[str, Callable[[], object]]:
    """Return what can be done with a picture of the canvas, by the words for it."""
    layer, key = found.layer, str(found.layer.unique_id)
    of_model = MODEL_KEY in layer.metadata or any(
        each.metadata.get(FACES_KEY) == key and MODEL_KEY in each.metadata
        for each in viewer.layers
    )
    what = {"face": found.face, "component": found.component, "weights": found.weights}
    wanted: dict[str, Any] = {name: each for name, each in what.items() if each is not None}
    if not wanted or not can_open_docks(viewer) or not (of_model or "weights" in wanted):
        return {}
    return {"Use in Mix": lambda: use_in_mix(viewer, layer, **wanted)}


def use_in_mix(
    viewer: Any,
    layer: Any = None,
    *,
    face: int | None = None,
    component: int | None = None,
    weights: Sequence[float] | None = None,
) -> None:
    """Open the panel that mixes faces, at a component or with a face to start from.

    Parameters
    ----------
    viewer : napari.Viewer
        The window.
    layer : napari.layers.Layer, optional
        Whose model is mixed; by default the one that the viewer is about.
    face, component : int, optional
        A face of the model, or a component.
    weights : sequence of float, length k, optional
        Of a face that was mixed before.
    """
    if layer is not None:
        viewer.layers.selection.active = layer
    panel = open_dock(viewer, "Mix faces")
    desk = panel.desk
    if component is not None:
        desk.focus.select_component(component)
    if face is not None:
        if layer is None:
            desk.focus.go_to_face(face)
        else:
            go_to(viewer, layer, face)
        desk.start_from("face")
    if weights is not None and desk.mix is not None and len(weights) == len(desk.mix.weights):
        desk.mix.start_from(np.array(weights))
