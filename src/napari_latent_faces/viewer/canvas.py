"""Pictures on the canvas and in panels: what is painted into them, and done with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import dist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from napari.utils.colormaps import ensure_colormap
from napari.utils.notifications import show_error
from qtpy.QtCore import QPoint, QSize, Qt
from qtpy.QtGui import QAction, QCursor, QIcon, QImage, QPixmap  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication, QFileDialog, QMenu, QWidget

from napari_latent_faces import tiles
from napari_latent_faces.explaining import Explainer, prominence
from napari_latent_faces.stack import harmless_lines
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.window import canvas_of, open_dock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces

    Array = NDArray[Any]

_STILL = 4  # pixels that the mouse may move in a click
_DARKEST = 0.06  # what is left of a tile that the face has nothing of: one can still aim at it


def go_to(viewer: ViewerModel, layer: Any, face: int) -> None:
    """Move the face slider to a picture of a stack's layer."""
    data = [0.0] * layer.ndim
    data[-3] = float(face)
    viewer.dims.set_point(viewer.dims.ndim - 3, layer.data_to_world(data)[-3])


def face_under(viewer: ViewerModel, layer: Any) -> int:
    """Return which picture of a stack's layer is under the face slider, if it has as many."""
    return round(float(layer.world_to_data(viewer.dims.point)[-3]))


def was_click(event: Any) -> Generator[None, None, bool]:
    """Follow the mouse until its button is released; tell whether it stayed where it was."""
    began, moved = tuple(event.pos), 0.0
    yield
    while event.type == "mouse_move":
        moved = max(moved, dist(began, event.pos))
        yield
    return moved <= _STILL


@dataclass(eq=False)
class Gallery:
    """The picture of a gallery, unless another is put there, with tiles that tell of a face."""

    model: LatentFaces
    places: tiles.Tiles
    picture: Array
    _looks: list[Any] = field(default_factory=list)

    @classmethod
    def of(cls, picture: Any, model: LatentFaces) -> Gallery | None:
        """Return the gallery that a picture is, None if it is none of this model."""
        places = tiles.Tiles.found_in(picture.shape, model.components.shape)
        if places is None or not isinstance(picture, np.ndarray) or not picture.flags.writeable:
            return None
        return cls(model, places, picture)

    @cached_property
    def explainer(self) -> Explainer:
        return Explainer(self.model)

    def paint(self, layer: Any, mode: str, weights: Array | None, chosen: int | None) -> None:
        """Give each tile the look that tells a face's weights, as far as it has changed."""
        if layer.data is not self.picture:
            return
        k = self.places.count
        levels, frames = [1.0] * k, [None] * k
        if weights is not None and mode == "brightness":
            levels = (_DARKEST + (1 - _DARKEST) * prominence(weights)).tolist()
        elif weights is not None and mode == "border":
            frames = prominence(weights).tolist()
        before = self._looks or [None] * k
        self._looks = [(levels[i], frames[i], i == chosen) for i in range(k)]
        changed = [i for i in range(k) if self._looks[i] != before[i]]
        for i in changed:
            shown = self.model.components[i : i + 1] * levels[i]
            [shown] = tiles.shown_components(shown, is_signed=self.model.is_signed)
            tile = self.picture[self.places.box(i)]
            tiles.paint_tile(tile, shown, frame=frames[i], is_chosen=i == chosen)
        if changed:
            layer.refresh(extent=False, highlight=False, thumbnail=False)


class Found(NamedTuple):
    """A picture under the mouse, and what of a mix it is: a face, a component, weights."""

    layer: Any
    pixels: Callable[[], Array]
    name: str
    uses: dict[str, Any]


def picture_under(viewer: Any, position: tuple[float, ...]) -> Found | None:
    """Return the picture of faces or of a result that is seen at a position."""
    n = viewer.dims.ndim
    if set(viewer.dims.displayed) != {n - 2, n - 1}:
        return None  # in three dimensions, or along other axes
    for layer in reversed(viewer.layers):
        is_ours = layers.FACES_KEY in layer.metadata or "names" in layer.metadata
        if layer.visible and is_ours and isinstance(layer, Image):
            pixels, place = layers.layer_pixels(layer), layer.world_to_data(position)
            size = pixels.shape[: layer.ndim]
            is_on_it = all(-0.5 <= at <= n - 0.5 for at, n in zip(place, size, strict=True))
            if is_on_it and (found := _picture_at(layer, pixels, place)):
                return found
    return None


def _picture_at(layer: Any, pixels: Any, place: tuple[float, ...]) -> Found | None:
    known, made = layer.metadata, layer.metadata.get(layers.PICTURES_KEY)
    if layer.ndim == 3:
        face = round(place[0])
        return Found(layer, lambda: pixels[face], f"face {face}", {"face": face})
    if known.get(layers.ROLE_KEY) == "gallery":
        shape = known[layers.MODEL_KEY].components.shape
    elif made is not None:
        shape = len(made), *tiles.numbered(made[:1], 0.0, 1.0).shape[1:]
    else:
        return Found(layer, lambda: pixels, layer.name, {}) if layer.ndim == 2 else None
    places = tiles.Tiles.found_in(pixels.shape, shape)
    tile = None if places is None else places.at(*place[-2:])
    if places is None or tile is None:
        return None
    if made is not None:
        recipe = known[layers.RECIPES_KEY][tile]
        return Found(layer, lambda: made[tile], recipe.name, {"weights": recipe.weights})
    box = places.box(tile)
    return Found(layer, lambda: pixels[box], f"component {tile}", {"component": tile})


def to_bytes(pixels: Array, limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Return a picture of numbers, whose `limits` are black and white."""
    low, high = limits
    levels = np.clip((pixels - low) * (255.0 / (high - low or 1.0)), 0, 255)
    return np.nan_to_num(levels).astype(np.uint8, order="C")


def to_image(
    pixels: Array, limits: tuple[float, float] = (0.0, 1.0), colormap: Any = None
) -> QImage:
    """Return a picture of numbers, whose `limits` are black and white, or end a `colormap`."""
    shown = to_bytes(pixels, limits)
    if colormap is not None:
        shown = to_bytes(colormap.map(np.linspace(0, 1, 256)), (0, 1))[shown]
    return as_image(shown)


def as_image(picture: NDArray[np.uint8]) -> QImage:
    """Return a picture of bytes for Qt: (h, w), (h, w, 3), or (h, w, 4) with opacity."""
    h, w, n = (*picture.shape, 1)[:3]
    forms = QImage.Format
    form = {1: forms.Format_Grayscale8, 3: forms.Format_RGB888}.get(n, forms.Format_RGBA8888)
    # rows are whole words, unless their length is told
    return QImage(picture.tobytes(), w, h, w * n, form).copy()


def to_pixmap(pixels: Array, limits: tuple[float, float] = (0.0, 1.0)) -> QPixmap:
    """Return a picture of numbers, to be drawn on the screen: see `to_image`."""
    return QPixmap.fromImage(to_image(pixels, limits))


def component_pixmap(component: Array, *, is_signed: bool) -> QPixmap:
    """Return a component (h, w) or (h, w, 3) in the colours of the gallery."""
    shown = tiles.shown_components(component[None], is_signed=is_signed)[0]
    is_grey = component.ndim == 2
    colours = tiles.component_colours(is_signed=is_signed and is_grey)
    colormap = ensure_colormap(colours["colormap"]) if is_grey else None
    return QPixmap.fromImage(to_image(shown, colours["contrast_limits"], colormap))


def to_fit(picture: QPixmap, box: QSize, ratio: float) -> QPixmap:
    """Return a picture that fits into a box, with `ratio` pixels of the screen for a unit."""
    aspect = Qt.AspectRatioMode.KeepAspectRatio
    fitting = picture.scaled(box * ratio, aspect, Qt.TransformationMode.SmoothTransformation)
    fitting.setDevicePixelRatio(ratio)
    return fitting


def to_icon(picture: QPixmap) -> QIcon:
    """Return an icon of a picture, which keeps its colours in a chosen row."""
    icon = QIcon(picture)
    icon.addPixmap(picture, QIcon.Mode.Selected)  # else the style tints it
    return icon


def picture_actions(what: str, picture: Callable[[], QImage], parent: QWidget) -> list[QAction]:
    """Return entries of a menu of `parent` that copy a picture, called `what`, and save it."""

    def copy() -> None:
        clipboard: Any = QApplication.clipboard()
        clipboard.setImage(picture())

    def save() -> None:
        shown = picture()  # before a dialog covers it
        path, _ = QFileDialog.getSaveFileName(
            parent, f"Save {what} as PNG", f"{what}.png", "Picture (*.png)"
        )
        path = path if not path or path.lower().endswith(".png") else f"{path}.png"
        if path and not shown.save(path, "PNG"):
            show_error(harmless_lines(f"{path} cannot be written."))

    acts = {f"Copy {what}": copy, f"Save {what} as PNG...": save}
    return [_action(words, do, parent) for words, do in acts.items()]


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


def show_menu(viewer: Any, position: tuple[float, ...]) -> None:
    """Show the menu of the picture at a position of the viewer, if there is one."""
    parent, found = canvas_of(viewer), picture_under(viewer, position)
    if parent is None or found is None:
        return
    layer = found.layer

    def drawn(pixels: Array) -> QImage:
        """Return a picture in the colours of its layer."""
        low, high = map(float, layer.contrast_limits)
        pixels = np.asarray(pixels, float)[..., : 3 if layer.rgb else None]
        return to_image(pixels, (low, high), None if layer.rgb else layer.colormap)

    pictures = {found.name: lambda: drawn(found.pixels())}
    if layer.ndim == 2 and found.uses:
        pictures["all of them"] = lambda: drawn(layer.data)
    about = (layer, *layers.results_of(viewer, layer))
    has_model = any(layers.MODEL_KEY in each.metadata for each in about)
    mix = {"Use in Mix": lambda: use_in_mix(viewer, layer, **found.uses)}
    can_mix = "weights" in found.uses or (found.uses and has_model)
    show_picture_menu(parent, QCursor.pos(), pictures, mix if can_mix else {})


def use_in_mix(
    viewer: Any,
    layer: Any = None,
    *,
    face: int | None = None,
    component: int | None = None,
    weights: Sequence[float] | None = None,
) -> None:
    """Open the panel that mixes, with the model of `layer`, at a component or from a face."""
    if layer is not None:
        viewer.layers.selection.active = layer
    panel = open_dock(viewer, "Mix faces")
    session = panel.session
    if component is not None:
        session.select_component(component)
    if face is not None:
        if layer is None:
            session.go_to_face(face)
        else:
            go_to(viewer, layer, face)
        panel.start_from("face")
    if weights is not None and panel.mix is not None and len(weights) == len(panel.mix.weights):
        panel.mix.start_from(np.array(weights))
