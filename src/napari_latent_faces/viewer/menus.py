"""Numbers as pictures of Qt, and the menu of the right button on them and on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from napari.utils.notifications import show_error
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QAction, QCursor, QIcon, QImage, QPixmap  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.tiles import Tiles, component_rgb, numbered
from napari_latent_faces.viewer.focus import go_to, shows_pictures, was_click
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

# -- Numbers as pictures -----------------------------------------------------------------


def to_image(
    pixels: NDArray[Any], limits: tuple[float, float] = (0.0, 1.0), colormap: Any = None
) -> QImage:
    """Return a picture of numbers, shape (h, w) or (h, w, 3), with a memory of its own.

    `limits` are shown black and white, or in the colours at the ends of napari's `colormap`.
    """
    low, high = limits
    levels = np.clip((pixels - low) * (255.0 / (high - low or 1.0)), 0, 255)
    shown = np.nan_to_num(levels).astype(np.uint8)
    form = QImage.Format.Format_RGB888 if shown.ndim == 3 else QImage.Format.Format_Grayscale8
    if colormap is not None and shown.ndim == 2:
        form = QImage.Format.Format_RGBA8888
        shown = np.round(colormap.map(np.linspace(0, 1, 256)) * 255).astype(np.uint8)[shown]
    h, w, *rest = shown.shape
    # the format wants rows of whole words, unless it is told their length
    return QImage(shown.tobytes(), w, h, w * (rest or [1])[0], form).copy()


def to_pixmap(
    pixels: NDArray[Any], limits: tuple[float, float] = (0.0, 1.0), colormap: Any = None
) -> QPixmap:
    """Return a picture of numbers, to be drawn on the screen: see `to_image`."""
    return QPixmap.fromImage(to_image(pixels, limits, colormap))


def component_pixmap(component: NDArray[Any], *, is_signed: bool) -> QPixmap:
    """Return a component (h, w) in the colours of the gallery: see `component_rgb`."""
    return to_pixmap(component_rgb(component, is_signed=is_signed), (0, 255))


def to_fit(picture: QPixmap, box: QSize, ratio: float) -> QPixmap:
    """Return a picture as large as fits into a box, with all the pixels of the screen.

    `ratio` is how many pixels a unit of the box has: `devicePixelRatioF` of its widget.
    """
    aspect = Qt.AspectRatioMode.KeepAspectRatio
    fitting = picture.scaled(box * ratio, aspect, Qt.TransformationMode.SmoothTransformation)
    fitting.setDevicePixelRatio(ratio)
    return fitting


def to_icon(picture: QPixmap) -> QIcon:
    """Return an icon of a picture, which keeps its colours in a chosen row."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # else the style tints it
    return icon


# -- Menus: copy pictures and save them, and go on with them -----------------------------


def picture_actions(what: str, picture: Callable[[], QImage], parent: QWidget) -> list[QAction]:
    """Return entries of a menu of `parent` that copy a picture, called `what`, and save it."""

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

    return [
        _action(f"Copy {what}", copy, parent),
        _action(f"Save {what} as PNG...", save, parent),
    ]


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
    """Show a menu that copies and saves pictures, by their names, and does more with them."""
    menu = QMenu(parent)
    menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    menu.addActions([_action(words, do, menu) for words, do in more.items()])
    for what, picture in pictures.items():
        menu.addSeparator()
        menu.addActions(picture_actions(what, picture, menu))
    menu.popup(at)
    return menu


# -- Pictures on the canvas --------------------------------------------------------------


class _Found(NamedTuple):
    """A picture under the mouse, and what of the mix it is: a face, a component, weights."""

    layer: Any
    pixels: NDArray[Any]
    name: str
    uses: dict[str, Any]


def _drawn(layer: Any, pixels: NDArray[Any]) -> QImage:
    """Return a picture in the colours of its layer."""
    low, high = map(float, layer.contrast_limits)
    pixels = np.asarray(pixels, float)[..., : 3 if layer.rgb else None]
    return to_image(pixels, (low, high), None if layer.rgb else layer.colormap)


def _under(viewer: Any, position: tuple[float, ...]) -> _Found | None:
    """Return the picture of faces or of a result that is seen at a position."""
    for layer in reversed(viewer.layers) if shows_pictures(viewer) else ():
        is_ours = FACES_KEY in layer.metadata or "names" in layer.metadata
        if not (layer.visible and is_ours and isinstance(layer, Image)):
            continue
        pixels, place = layer_pixels(layer), layer.world_to_data(position)
        size = pixels.shape[: layer.ndim]
        if all(-0.5 <= at <= last - 0.5 for at, last in zip(place, size, strict=True)):
            found = _picture_at(layer, pixels, place)
            if found is not None:
                return found
    return None


def _picture_at(layer: Any, pixels: NDArray[Any], place: tuple[float, ...]) -> _Found | None:
    known = layer.metadata
    if layer.ndim == 3:
        face = round(place[0])
        return _Found(layer, pixels[face], f"face {face}", {"face": face})
    if known.get(ROLE_KEY) == "gallery":
        shape = known[MODEL_KEY].components.shape
    elif PICTURES_KEY in known:
        made = known[PICTURES_KEY]
        shape = len(made), *numbered(made[:1], 0.0, 1.0).shape[1:]
    else:
        return _Found(layer, pixels, layer.name, {}) if layer.ndim == 2 else None
    tiles = Tiles.found_in(pixels.shape, shape)
    tile = None if tiles is None else tiles.at(*place[-2:])
    if tiles is None or tile is None:
        return None
    if PICTURES_KEY in known:
        recipe = known[RECIPES_KEY][tile]
        return _Found(layer, made[tile], recipe.name, {"weights": recipe.weights})
    name = f"component {tile}"
    return _Found(layer, pixels[tiles.box(tile)], name, {"component": tile})


def on_right_click(viewer: Any, event: Any) -> Generator[None]:
    """Show the menu of the picture that is clicked with the right button."""
    if event.button != 2 or event.modifiers or not (yield from was_click(event)):
        return  # with the button held, the mouse zooms
    parent, found = canvas_of(viewer), _under(viewer, event.position)
    if parent is None or found is None:
        return
    layer = found.layer
    pictures = {found.name: lambda: _drawn(layer, found.pixels)}
    if layer.ndim == 2 and found.pixels is not layer.data:
        pictures["all of them"] = lambda: _drawn(layer, layer.data)
    key = str(layer.unique_id)
    of_model = MODEL_KEY in layer.metadata or any(
        each.metadata.get(FACES_KEY) == key and MODEL_KEY in each.metadata
        for each in viewer.layers
    )
    more: dict[str, Callable[[], object]] = {}
    if found.uses and can_open_docks(viewer) and (of_model or "weights" in found.uses):
        more["Use in Mix"] = lambda: use_in_mix(viewer, layer, **found.uses)
    show_picture_menu(parent, QCursor.pos(), pictures, more)


def use_in_mix(
    viewer: Any,
    layer: Any = None,
    *,
    face: int | None = None,
    component: int | None = None,
    weights: Sequence[float] | None = None,
) -> None:
    """Open the panel that mixes faces, at a component or with a face to start from.

    It mixes from the model of `layer`, or else from the one that the viewer is about;
    `weights` are those of a face that was mixed before.
    """
    if layer is not None:
        viewer.layers.selection.active = layer
    desk = open_dock(viewer, "Mix faces").desk
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
