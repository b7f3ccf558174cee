"""Where results lie: beside and below the faces that they belong to, with words below them."""

from __future__ import annotations

from collections import defaultdict
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from napari.layers import Image
from napari.utils.theme import get_theme
from qtpy.QtCore import QPointF
from qtpy.QtGui import QColor, QFont, QFontMetricsF, QImage, QPainter
from superqt.utils import qimage_to_array

from napari_latent_faces.stack import harmless
from napari_latent_faces.tiles import GAP
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.layers import FACES_KEY, MODEL_KEY, ROLE_KEY, SPAN_KEY
from napari_latent_faces.viewer.window import grid_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.components import ViewerModel
    from numpy.typing import NDArray

    from napari_latent_faces.model import LatentFaces
    from napari_latent_faces.viewer.layers import LayerData

_ORDER = (  # in which they lie: one picture a face to the right of it, sheets below
    *("reconstruction", "residual", "components", "encoded", "encoded residual", "mended"),
    *("mixed", "gallery", layers.PREVIEW, "generated", "morph"),
)
_CAPTION = 0.13  # of a face's height: room for the words below it
_LINE = 0.07  # height of a line of words, in heights of the pictures
_SHARPNESS = 24  # pixels of that height ...
_LARGEST = 8192  # ... if the whole picture of words is then no larger than textures may be


class Item(NamedTuple):
    """A picture in the row of the faces, as tall as they, or `span` faces wide below it."""

    height: int
    width: int
    span: float | None = None


def arranged(size: tuple[int, int], items: Sequence[Item]) -> list[tuple[float, float, float]]:
    """Return zoom, y and x of pictures beside and below faces (h, w), in pixels of these."""
    h, w = size
    gap, places = GAP * w, [(0.0, 0.0, 0.0)] * len(items)
    x = w + gap
    for i, item in enumerate(items):
        if item.span is None:
            places[i] = h / item.height, 0.0, x
            x += h / item.height * item.width + gap
    row_width = x - gap
    y, x, tallest = h * (1 + _CAPTION), 0.0, 0.0
    for i, item in enumerate(items):
        if item.span is not None:
            width = item.span * (w + gap) - gap
            if x > 0 and x + width > row_width * 1.001:
                y, x, tallest = y + tallest + h * _CAPTION, 0.0, 0.0
            places[i] = width / item.width, y, x
            x += width + gap
            tallest = max(tallest, width / item.width * item.height)
    return places


def model_layers(model: LatentFaces, name: str) -> list[LayerData]:
    """Return gallery and reconstruction of a model without its faces, as from a file."""
    view = layers.FacesView(harmless(name), (0.0, model.scale))
    gallery = layers.gallery_layer(model, view)
    height, width = gallery[0].shape[:2]
    item = Item(height, width, gallery[1]["metadata"][SPAN_KEY])
    [place] = arranged(model.size, [item])
    gallery[1].update(view.at(2, *place))
    return [gallery, layers.reconstruction_layer(model, view)]


def arrange(viewer: ViewerModel, new: Sequence[Any] = ()) -> None:
    """Put all results of a viewer where they belong, and stacks that lie on others apart."""
    is_grid = grid_of(viewer).enabled  # each layer has a place of its own: all lie on the faces
    taken: list[NDArray[Any]] = []
    those = [*viewer.layers, *new]  # once they are added, each move of one costs napari much
    for key, (anchor, results) in _blocks(those, alone=True).items():
        _place(anchor, results, is_grid=is_grid)
        box = _box(anchor, *results)
        if not is_grid and any(_overlap(box, other) for other in taken):
            gap = 3 * GAP * (box[1, 1] - box[0, 1]) / max(1, len(results))
            right = max(other[1, 1] for other in taken) + gap - box[0, 1]
            for layer in those:  # what is painted on faces moves with them
                is_on_them = layer.metadata.get(ROLE_KEY) in {None, layers.BEFORE}
                if layer is anchor or (is_on_them and layer.metadata.get(FACES_KEY) == key):
                    affine = np.array(layer.affine.affine_matrix)
                    affine[-2, -1] += right
                    layer.affine = affine
            _place(anchor, results)
            box = _box(anchor, *results)
        taken.append(box)


def _blocks(those: Sequence[Any], *, alone: bool = False) -> dict[str, tuple[Any, list[Any]]]:
    """Return by keys faces with their results, and if there are some, faces shown `alone`."""
    by_key = {str(layer.unique_id): layer for layer in those}
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for key, layer in by_key.items():  # aligned faces lie beside those that they were made from
        if layer.metadata.get(layers.ALIGNED_KEY) in by_key:
            groups[layer.metadata[layers.ALIGNED_KEY]], groups[key] = [], []
    for layer in those:
        if layer.metadata.get(ROLE_KEY) in _ORDER:
            groups[_home(layer, by_key)].append(layer)
    for key, layer in by_key.items() if alone and groups else ():
        if "names" in layer.metadata and ROLE_KEY not in layer.metadata and layer.visible:
            groups.setdefault(key, [])
    blocks, hidden = {}, layers.HIDDEN_KEY
    for key, results in groups.items():
        shown = [each for each in results if each.visible or hidden not in each.metadata]
        shown.sort(key=lambda layer: _ORDER.index(layer.metadata[ROLE_KEY]))
        stacks = (layer for layer in shown if SPAN_KEY not in layer.metadata)
        # where the faces are gone, what is left keeps together
        anchor = by_key.get(key) or next(stacks, None)
        if anchor is not None:
            blocks[key] = anchor, [layer for layer in shown if layer is not anchor]
    return blocks


def _home(layer: Any, by_key: dict[str, Any]) -> str:
    """Return a key that is the same for all results that lie around one layer."""
    key = str(layer.metadata.get(FACES_KEY, ""))
    if not key:
        return f"model {id(layer.metadata.get(MODEL_KEY))}"
    owner = by_key.get(key)
    # what is made from a model that was opened without its faces lies beside its results
    return key if owner is None or ROLE_KEY not in owner.metadata else _home(owner, by_key)


def _place(anchor: Any, results: Sequence[Any], *, is_grid: bool = False) -> None:
    """Put results around a layer, in its transform."""
    view, (height, width) = layers.FacesView.of(anchor), layers.picture_size(anchor)
    items = [Item(*layers.picture_size(each), each.metadata.get(SPAN_KEY)) for each in results]
    places = arranged((height, width), items)
    if is_grid:
        places = [(min(height / each.height, width / each.width), 0, 0) for each in items]
    for layer, place in zip(results, places, strict=True):
        wanted = view.at(layer.ndim, *place)
        # each setting has napari go through all layers
        if not np.allclose(layer.affine.affine_matrix, wanted["affine"]):
            layer.affine = wanted["affine"]
        if [*map(str, layer.units)] != [*map(str, wanted["units"])]:
            layer.units = wanted["units"]


def _box(*those: Any) -> NDArray[Any]:
    """Return lowest and highest y and x of the pictures of layers in the viewer."""
    placed = [
        layer.data_to_world((*[0.0] * (layer.ndim - 2), *corner))[-2:]
        for layer in those
        for corner in product(*((-0.5, n - 0.5) for n in layers.picture_size(layer)))
    ]
    return np.array([np.min(placed, axis=0), np.max(placed, axis=0)])


def _overlap(box: NDArray[Any], other: NDArray[Any]) -> bool:
    low, high = np.maximum(box[0], other[0]), np.minimum(box[1], other[1])
    return bool((high - low > 1e-6 * np.abs(other[1] - other[0])).all())


class Caption(NamedTuple):
    """Words below a picture, with its lower left corner and its size in the viewer."""

    y: float
    x: float
    height: float
    width: float
    words: str


class Captions:
    """Keeps a layer that says below each picture what it is: points with text import pandas."""

    def __init__(self) -> None:
        self._layer: Any = None
        self._written: Any = None
        self._is_shown = False  # where it is not there any more, the user has removed it

    def refresh(self, viewer: ViewerModel) -> None:
        """Write what is to be said now, nothing in a grid; not from a layers event."""
        n, blocks = viewer.dims.ndim, list(_blocks(viewer.layers).values())
        is_flat = tuple(viewer.dims.displayed) == (n - 2, n - 1)
        wanted = [
            _caption(layer)
            for anchor, results in (blocks if is_flat and not grid_of(viewer).enabled else ())
            for layer in (anchor, *results)
            if layer.visible
        ]
        is_there = self._layer is not None and self._layer in viewer.layers
        if blocks and self._is_shown and not is_there:
            return
        self._is_shown = bool(wanted)
        if not wanted:
            if is_there:
                viewer.layers.remove(self._layer)
            return
        # napari draws without units if layers differ in them
        written = wanted, viewer.theme, tuple(blocks[0][0].units[-2:])
        if self._layer is None:
            look = {"name": layers.CAPTIONS, "rgb": True, "interpolation2d": "linear"}
            self._layer = Image(**_painted(*written), **look)
        elif written != self._written:
            for name, value in _painted(*written).items():
                setattr(self._layer, name, value)
        self._written = written
        if not is_there:
            active = viewer.layers.selection.active
            viewer.add_layer(self._layer)
            viewer.layers.selection.active = active


def _caption(layer: Any) -> Caption:
    (top, left), (bottom, right) = _box(layer).tolist()
    role, model = layer.metadata.get(ROLE_KEY), layer.metadata.get(MODEL_KEY)
    plain = "face" if layer.ndim > 2 else "picture"
    words = role or ("aligned face" if layers.ALIGNED_KEY in layer.metadata else plain)
    words = "latent faces" if role in {"gallery", layers.PREVIEW, "components"} else words
    if model is not None and model.params.method != "nmf":
        words += f", {layers.method_words(model.params)}"
    return Caption(bottom, left, bottom - top, right - left, words)


def _painted(wanted: list[Caption], theme: str, units: tuple[Any, ...]) -> dict[str, Any]:
    """Return the picture of all captions, and where it lies in the viewer."""
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
        "metadata": {ROLE_KEY: layers.CAPTIONS, layers.CAPTIONS: wanted},
    }
