"""Where results lie: beside and below the faces that they belong to."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

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

__all__ = [
    "HIDDEN_KEY",
    "PREVIEW",
    "Caption",
    "Item",
    "arrange",
    "arranged",
    "captions",
    "model_layers",
]

PREVIEW = "preview"  # role of the gallery of a running fit
HIDDEN_KEY = "latent_faces_hidden"  # of a layer that was hidden for another, not by the user

# in the order in which they lie: one picture a face, to the right of it
_BESIDE = (
    "reconstruction",
    "residual",
    "components",
    "encoded",
    "encoded residual",
    "mended",
    "mixed",
    "generated",
    "morph",
)
_SHEETS = ("gallery", PREVIEW, "generated", "morph")  # flat: below the row of the faces
_CAPTION = 0.13  # of a face's height: room for the words below it


# -- One stack and its results, in pixels of the faces ---------------------------------


@dataclass(frozen=True)
class Item:
    """A picture to be placed: in the row of the faces and as tall as they are.

    With a `span`, it is so many faces wide, below that row.
    """

    height: int
    width: int
    span: float | None = None


def arranged(size: tuple[int, int], items: Sequence[Item]) -> list[tuple[float, float, float]]:
    """Return where pictures lie beside and below faces (h, w), without overlap or holes.

    That is the zoom of their pixels, and y and x of the upper left corner, in pixels of the
    faces whose upper left corner is (0, 0).
    """
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
    """Return gallery and reconstruction of a model without its faces, as from a file.

    Parameters
    ----------
    model : LatentFaces
        The model.
    name : str
        What the names of the layers have in brackets.

    Returns
    -------
    list of tuple
        Layer data: array, keyword arguments and ``"image"``.
    """
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
    """A layer, mostly of faces, and the results around it in their order."""

    anchor: Any
    results: list[Any]
    belongings: list[Any]  # what else moves with the faces: masks


@dataclass(frozen=True)
class Caption:
    """Words below a picture, with its lower left corner and its size in the viewer."""

    y: float
    x: float
    height: float
    width: float
    words: str


def arrange(viewer: napari.components.ViewerModel) -> None:
    """Put all results of a viewer where they belong, in the transform of their faces.

    Stacks that lie on one another with their results are moved apart, and those without
    results off the results of others. In napari's grid each
    layer has a place of its own, so all are drawn where the faces are. No layer is added,
    removed or reordered.
    """
    is_grid = grid_of(viewer).enabled
    taken: list[NDArray[Any]] = []
    blocks = _blocks(viewer)
    for block in [*blocks, *_stacks_alone(viewer, blocks)]:
        _place(block, is_grid=is_grid)
        if is_grid:
            continue
        box = _box(block)
        if any(_overlap(box, other) for other in taken):
            right = max(other[1, 1] for other in taken)
            gap = 3 * GAP * (box[1, 1] - box[0, 1]) / max(1, len(block.results))
            _move(block, right + gap - box[0, 1])
            _place(block)
            box = _box(block)
        taken.append(box)


def captions(viewer: napari.components.ViewerModel) -> list[Caption]:
    """Return the captions of all faces with results, and of these; in a grid there are none."""
    found: list[Caption] = []
    for block in [] if grid_of(viewer).enabled else _blocks(viewer):
        for layer in (block.anchor, *block.results):
            if layer.visible and layer.ndim >= 2:
                low, high = _corners(layer).min(axis=0), _corners(layer).max(axis=0)
                height, width = (high - low).tolist()
                found.append(
                    Caption(float(high[0]), float(low[1]), height, width, _words(layer))
                )
    return found


def _words(layer: Any) -> str:
    role = layer.metadata.get(ROLE_KEY)
    if role is None and ALIGNED_KEY in layer.metadata:
        return "aligned face"
    if role is None:
        return "face" if layer.ndim > 2 else "picture"
    shows_components = role in {"gallery", PREVIEW, "components"}
    words = "latent faces" if shows_components else str(role)
    model = layer.metadata.get(MODEL_KEY)
    if model is None or model.params.method == "nmf":
        return words
    return f"{words}, {model.params.title.partition(' (')[0]}"


def _blocks(viewer: napari.components.ViewerModel) -> list[_Block]:
    """Return all faces with their results, those with the oldest results first."""
    by_id = {str(layer.unique_id): layer for layer in viewer.layers}
    groups: defaultdict[str, list[Any]] = defaultdict(list)
    for layer in viewer.layers:  # aligned faces lie beside those that they were made from
        if layer.metadata.get(ALIGNED_KEY) in by_id and ROLE_KEY not in layer.metadata:
            for key in (layer.metadata[ALIGNED_KEY], str(layer.unique_id)):
                groups[key] = []
    for layer in viewer.layers:
        if layer.metadata.get(ROLE_KEY) in {*_BESIDE, *_SHEETS}:
            groups[_home(layer, by_id)].append(layer)
    blocks = []
    for key, layers in groups.items():
        shown = [each for each in layers if each.visible or HIDDEN_KEY not in each.metadata]
        shown.sort(key=_order)
        anchor = by_id.get(key)
        if anchor is None:  # the faces are not here: what is left keeps together
            anchor = next((layer for layer in shown if not _is_sheet(layer)), None)
            shown = [layer for layer in shown if layer is not anchor]
        if anchor is not None:
            blocks.append(_Block(anchor, shown, _belongings(viewer, key)))
    return blocks


def _stacks_alone(
    viewer: napari.components.ViewerModel, blocks: Sequence[_Block]
) -> list[_Block]:
    """Return the faces without results that are shown, if there are results of others."""
    return [
        _Block(layer, [], _belongings(viewer, str(layer.unique_id)))
        for layer in viewer.layers
        if "names" in layer.metadata
        and ROLE_KEY not in layer.metadata
        and layer.visible
        and blocks
        and all(layer is not block.anchor for block in blocks)
    ]


def _belongings(viewer: napari.components.ViewerModel, key: str) -> list[Any]:
    return [
        layer
        for layer in viewer.layers
        if layer.metadata.get(FACES_KEY) == key
        and layer.metadata.get(ROLE_KEY) in {None, BEFORE}
    ]


def _home(layer: Any, by_id: dict[str, Any]) -> str:
    """Return a key that is the same for all results that lie around one layer."""
    key = str(layer.metadata.get(FACES_KEY, ""))
    if not key:
        return f"model {id(layer.metadata.get(MODEL_KEY))}"
    owner = by_id.get(key)
    # what is made from a model that was opened without its faces lies beside its results
    return key if owner is None or ROLE_KEY not in owner.metadata else _home(owner, by_id)


def _order(layer: Any) -> int:
    role = layer.metadata[ROLE_KEY]
    return _SHEETS.index(role) if _is_sheet(layer) else _BESIDE.index(role)


def _is_sheet(layer: Any) -> bool:
    return layer.ndim == 2 and layer.metadata[ROLE_KEY] in _SHEETS


def _place(block: _Block, *, is_grid: bool = False) -> None:
    view = FacesView.of(block.anchor)
    items = [
        Item(
            *picture_size(layer),
            layer.metadata.get(SPAN_KEY, 2.0) if _is_sheet(layer) else None,
        )
        for layer in block.results
    ]
    places = arranged(picture_size(block.anchor), items)
    if is_grid:
        height, width = picture_size(block.anchor)
        places = [(min(height / each.height, width / each.width), 0, 0) for each in items]
    for layer, place in zip(block.results, places, strict=True):
        _transform(layer, view.at(layer.ndim, *place))


def _transform(layer: Any, wanted: dict[str, Any]) -> None:
    """Set what differs: each setting has napari go through all layers."""
    for name, value in wanted.items():
        own = getattr(layer, name)
        own = own.affine_matrix if name == "affine" else own
        same = (
            tuple(map(str, own)) == tuple(map(str, value))
            if name == "units"
            else np.shape(own) == np.shape(value) and np.allclose(own, value)
        )
        if not same:
            setattr(layer, name, value)


def _move(block: _Block, right: float) -> None:
    """Move faces, and what is painted on them, in the viewer."""
    for layer in (block.anchor, *block.belongings):
        onto = np.array(layer.affine.affine_matrix)[-3:-1, -3:-1]
        translate = np.array(layer.translate, float)
        translate[-2:] += np.linalg.solve(onto, [0.0, right])
        layer.translate = translate


def _box(block: _Block) -> NDArray[Any]:
    """Return lowest and highest y and x of a block in the viewer."""
    corners = np.concatenate([_corners(layer) for layer in (block.anchor, *block.results)])
    return np.array([corners.min(axis=0), corners.max(axis=0)])


def _corners(layer: Any) -> NDArray[Any]:
    """Return y and x of the four corners of a layer's pictures in the viewer."""
    height, width = picture_size(layer)
    corners = np.zeros((4, layer.ndim))
    corners[:, -2:] = np.array([(0, 0), (0, width), (height, 0), (height, width)]) - 0.5
    return np.array([layer.data_to_world(corner)[-2:] for corner in corners])


def _overlap(box: NDArray[Any], other: NDArray[Any]) -> bool:
    low, high = np.maximum(box[0], other[0]), np.minimum(box[1], other[1])
    return bool((high - low > 1e-6 * np.abs(other[1] - other[0])).all())
