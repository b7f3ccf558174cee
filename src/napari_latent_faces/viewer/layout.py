"""Where results lie: beside and below the faces that they belong to, with words below them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter
from superqt.utils import qimage_to_array

from napari_latent_faces.stack import harmless
from napari_latent_faces.tiles import GAP
from napari_latent_faces.viewer.layers import (
    ALIGNED_KEY,
    BEFORE,
    FACES_KEY,
    MODEL_KEY,
    ROLE_KEY,
    SPAN_KEY,
    FacesView,
    gallery_layer,
    method_words,
    picture_size,
    reconstruction_layer,
)
from napari_latent_faces.viewer.window import grid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layers import LayerData

PREVIEW = "preview"  # role of the gallery of a running fit
CAPTIONS = "captions"  # role and name of the layer of words
HIDDEN_KEY = "latent_faces_hidden"  # of a layer that was hidden for another, not by the user

# in the order in which they lie: one picture a face, to the right of it
_BESIDE = (
    *("reconstruction", "residual", "components", "encoded", "encoded residual", "mended"),
    *("mixed", "generated", "morph"),
)
_SHEETS = ("gallery", PREVIEW, "generated", "morph")  # flat: below the row of the faces
_CAPTION = 0.13  # of a face's height: room for the words below it
_LINE = 0.07  # height of a line of words, in heights of the pictures
_SHARPNESS = 24  # pixels of that height ...
_LARGEST = 8192  # ... if the whole picture of words is then no larger than textures may be


@dataclass(frozen=True)
class Item:
    """A picture in the row of the faces, as tall as they, or `span` faces wide below it."""

    height: int
    width: int
    span: float | None = None


def arranged(size: tuple[int, int], items: Sequence[Item]) -> list[tuple[float, float, float]]:
    """Return zoom, y and x of pictures beside and below faces (h, w), in pixels of these."""
    h, w = size
    gap = GAP * w
    places: dict[int, tuple[float, float, float]] = {}
    x = w + gap
    for i, item in enumerate(items):
        if item.span is None:
            zoom = h / item.height
            places[i] = zoom, 0.0, x
            x += zoom * item.width + gap
    row_width = x - gap
    y, x, tallest = h * (1 + _CAPTION), 0.0, 0.0
    for i, item in enumerate(items):
        if item.span is not None:
            width = item.span * (w + gap) - gap
            if x > 0 and x + width > row_width * 1.001:
                y, x, tallest = y + tallest + h * _CAPTION, 0.0, 0.0
            zoom = width / item.width
            places[i] = zoom, y, x
            x += width + gap
            tallest = max(tallest, zoom * item.height)
    return [places[i] for i in range(len(items))]


def model_layers(model: LatentFaces, name: str) -> list[LayerData]:
    """Return gallery and reconstruction of a model without its faces, as from a file."""
    view = FacesView(harmless(name), (0.0, model.scale))
    gallery = gallery_layer(model, view)
    height, width = gallery[0].shape[:2]
    item = Item(height, width, gallery[1]["metadata"][SPAN_KEY])
    [place] = arranged(model.components.shape[1:3], [item])
    gallery[1].update(view.at(2, *place))
    return [gallery, reconstruction_layer(model, view)]


# -- All results of a viewer -----------------------------------------------------------


@dataclass
class _Block:
    """A layer, mostly of faces, with the results around it in their order."""

    anchor: Any
    results: list[Any]
    belongings: list[Any]  # what else moves with the faces: masks

    def place(self, *, is_grid: bool = False) -> None:
        """Put the results where they belong, in the transform of the anchor."""
        view, (height, width) = FacesView.of(self.anchor), picture_size(self.anchor)
        items = [
            Item(
                *picture_size(layer),
                layer.metadata.get(SPAN_KEY, 2.0) if _is_sheet(layer) else None,
            )
            for layer in self.results
        ]
        places = arranged((height, width), items)
        if is_grid:
            places = [(min(height / each.height, width / each.width), 0, 0) for each in items]
        for layer, place in zip(self.results, places, strict=True):
            wanted = view.at(layer.ndim, *place)
            # each setting has napari go through all layers
            if not np.allclose(layer.affine.affine_matrix, wanted["affine"]):
                layer.affine = wanted["affine"]
            if tuple(map(str, layer.units)) != tuple(map(str, wanted["units"])):
                layer.units = wanted["units"]

    def move(self, right: float) -> None:
        """Move faces, and what is painted on them, in the viewer."""
        for layer in (self.anchor, *self.belongings):
            affine = np.array(layer.affine.affine_matrix)
            affine[-2, -1] += right
            layer.affine = affine

    def box(self) -> NDArray[Any]:
        """Return lowest and highest y and x in the viewer."""
        boxes = [_box(layer) for layer in (self.anchor, *self.results)]
        return np.array([np.min(boxes, axis=(0, 1)), np.max(boxes, axis=(0, 1))])


def arrange(viewer: napari.components.ViewerModel, new: Sequence[Any] = ()) -> None:
    """Put all results of a viewer where they belong, and stacks that lie on others apart.

    In napari's grid each layer has a place of its own, so all are drawn where the faces are.
    `new` are about to be added: once they are, each move of one costs napari much.
    """
    is_grid = grid_of(viewer).enabled
    taken: list[NDArray[Any]] = []
    for block in _blocks([*viewer.layers, *new], alone=True):
        block.place(is_grid=is_grid)
        box = block.box()
        if not is_grid and any(_overlap(box, other) for other in taken):
            right = max(other[1, 1] for other in taken)
            gap = 3 * GAP * (box[1, 1] - box[0, 1]) / max(1, len(block.results))
            block.move(right + gap - box[0, 1])
            block.place()
            box = block.box()
        taken.append(box)


def _blocks(layers: Sequence[Any], *, alone: bool = False) -> list[_Block]:
    """Return all faces with their results, if there are some, with faces shown `alone`."""
    by_id = {str(layer.unique_id): layer for layer in layers}
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for key, layer in by_id.items():  # aligned faces lie beside those that they were made from
        if layer.metadata.get(ALIGNED_KEY) in by_id and ROLE_KEY not in layer.metadata:
            groups[layer.metadata[ALIGNED_KEY]], groups[key] = [], []
    for layer in layers:
        if layer.metadata.get(ROLE_KEY) in {*_BESIDE, *_SHEETS}:
            groups[_home(layer, by_id)].append(layer)
    for key, layer in by_id.items() if alone and groups else ():
        if "names" in layer.metadata and ROLE_KEY not in layer.metadata and layer.visible:
            groups.setdefault(key, [])
    blocks = []
    for key, results in groups.items():
        shown = [each for each in results if each.visible or HIDDEN_KEY not in each.metadata]
        shown.sort(key=_order)
        own = [layer for layer in layers if layer.metadata.get(FACES_KEY) == key]
        own = [layer for layer in own if layer.metadata.get(ROLE_KEY) in {None, BEFORE}]
        anchor = by_id.get(key)
        if anchor is None:  # the faces are not here: what is left keeps together
            anchor = next((layer for layer in shown if not _is_sheet(layer)), None)
            shown = [layer for layer in shown if layer is not anchor]
        if anchor is not None:
            blocks.append(_Block(anchor, shown, own))
    return blocks


def _home(layer: Any, by_id: dict[str, Any]) -> str:
    """Return a key that is the same for all results that lie around one layer."""
    key = str(layer.metadata.get(FACES_KEY, ""))
    if not key:
        return f"model {id(layer.metadata.get(MODEL_KEY))}"
    owner = by_id.get(key)
    # what is made from a model that was opened without its faces lies beside its results
    return key if owner is None or ROLE_KEY not in owner.metadata else _home(owner, by_id)


def _order(layer: Any) -> int:
    return (_SHEETS if _is_sheet(layer) else _BESIDE).index(layer.metadata[ROLE_KEY])


def _is_sheet(layer: Any) -> bool:
    return layer.ndim == 2 and layer.metadata[ROLE_KEY] in _SHEETS


def _box(layer: Any) -> NDArray[Any]:
    """Return lowest and highest y and x of a layer's pictures in the viewer."""
    height, width = picture_size(layer)
    corners = np.zeros((4, layer.ndim))
    corners[:, -2:] = np.array([(0, 0), (0, width), (height, 0), (height, width)]) - 0.5
    placed = np.array([layer.data_to_world(corner)[-2:] for corner in corners])
    return np.array([placed.min(axis=0), placed.max(axis=0)])


def _overlap(box: NDArray[Any], other: NDArray[Any]) -> bool:
    low, high = np.maximum(box[0], other[0]), np.minimum(box[1], other[1])
    return bool((high - low > 1e-6 * np.abs(other[1] - other[0])).all())


# -- Words below the pictures, as a layer that the user may hide or remove ---------------


@dataclass(frozen=True)
class Caption:
    """Words below a picture, with its lower left corner and its size in the viewer."""

    y: float
    x: float
    height: float
    width: float
    words: str


class Captions:
    """Keeps one layer of a viewer that says below each picture what it is.

    It is a picture: points with text would import pandas, half a second of the first fit.
    """

    def __init__(self) -> None:
        self._layer: Any = None
        self._written: Any = None  # None while there is nothing to say
        self._is_refused = False  # whether the user has removed it

    def refresh(self, viewer: napari.components.ViewerModel) -> None:
        """Write what is to be said now; not from a layers event."""
        wanted, layers = _captions(viewer), viewer.layers
        results = [layer for layer in layers if FACES_KEY in layer.metadata]
        # napari draws without units if layers differ in them
        units = tuple(results[0].units[-2:]) if results else ("pixel", "pixel")
        written = (wanted, viewer.theme, units) if wanted else None
        before, self._written = self._written, written
        is_there = self._layer is not None and self._layer in layers
        is_gone = bool(before) and not is_there
        self._is_refused = bool(results) and (self._is_refused or is_gone)
        if is_there and not written:
            layers.remove(self._layer)
        elif is_there and written and written != before:
            for name, value in _painted(*written).items():
                setattr(self._layer, name, value)
        elif written and not is_there and not self._is_refused:
            from napari.layers import Image

            active = layers.selection.active
            is_shown = self._layer is None or self._layer.visible
            look = {"name": CAPTIONS, "rgb": True, "interpolation2d": "linear"}
            self._layer = Image(**_painted(*written), **look, visible=is_shown)
            viewer.add_layer(self._layer)
            layers.selection.active = active


def _captions(viewer: napari.components.ViewerModel) -> list[Caption]:
    """Return the captions of faces and results; none where they lie elsewhere, as in a grid."""
    n = viewer.dims.ndim
    if grid_of(viewer).enabled or tuple(viewer.dims.displayed) != (n - 2, n - 1):
        return []
    found = []
    for block in _blocks(viewer.layers):
        for layer in (block.anchor, *block.results):
            if layer.visible and layer.ndim >= 2:
                (top, left), (bottom, right) = _box(layer).tolist()
                found.append(Caption(bottom, left, bottom - top, right - left, _words(layer)))
    return found


def _words(layer: Any) -> str:
    role, model = layer.metadata.get(ROLE_KEY), layer.metadata.get(MODEL_KEY)
    if role is None:
        plain = "face" if layer.ndim > 2 else "picture"
        return "aligned face" if ALIGNED_KEY in layer.metadata else plain
    words = "latent faces" if role in {"gallery", PREVIEW, "components"} else str(role)
    is_plain = model is None or model.params.method == "nmf"
    return words if is_plain else f"{words}, {method_words(model.params)}"


def _painted(wanted: list[Caption], theme: str, units: tuple[Any, ...]) -> dict[str, Any]:
    """Return the picture of all captions, and where it lies in the viewer."""
    from napari.utils.theme import get_theme

    line = _LINE * float(np.median([each.height for each in wanted]))
    low = np.min([(each.y, each.x) for each in wanted], axis=0)
    high = np.max([(each.y + 1.5 * line, each.x + each.width) for each in wanted], axis=0)
    pixel = max(line / _SHARPNESS, float((high - low).max()) / _LARGEST)
    height, width = np.ceil((high - low) / pixel).astype(int).tolist()
    image = QImage(max(width, 1), max(height, 1), QImage.Format.Format_RGBA8888)
    image.fill(QColor(0, 0, 0, 0))
    font, painter = QFont(), QPainter(image)
    is_dark = sum(get_theme(theme).canvas.as_rgb_tuple()[:3]) < 3 * 128
    painter.setPen(QColor("white" if is_dark else "black"))
    for each in wanted:
        top, left = (np.array([each.y, each.x]) - low) / pixel
        font.setPixelSize(max(1, round(line / pixel)))
        too_wide = QFontMetricsF(font).horizontalAdvance(each.words) * pixel / each.width
        font.setPixelSize(max(1, int(font.pixelSize() / max(1.0, too_wide))))
        painter.setFont(font)
        painter.drawText(QPointF(left, top + line / pixel), each.words)
    painter.end()
    return {
        "data": qimage_to_array(image),
        "scale": (pixel, pixel),
        "translate": low + pixel / 2,
        "units": units,
        "metadata": {ROLE_KEY: CAPTIONS, CAPTIONS: wanted},
    }
