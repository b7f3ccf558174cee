"""Painted labels and drawn shapes as masks on the pixels of faces."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Labels, Shapes

from napari_latent_faces.masks import FaceMasks, marked_faces, stroke_mask
from napari_latent_faces.stack import pixel_blocks
from napari_latent_faces.viewer import layers

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Marks:
    """Which pixels are marked: `mask` (h, w) of all faces alike, or (j, h, w) of `faces`."""

    mask: Array
    faces: Array | None = None

    def on(self, face: int) -> Marks:
        if self.faces is None:
            return Marks(self.mask, np.array([face]))
        mask = self.mask[self.faces == face].any(axis=0, keepdims=True)
        return Marks(mask, np.array([face]))


def marks_on(layer: Any, faces: Any) -> Callable[[], Marks]:
    """Return a function, for a thread, that gives what labels or shapes mark of faces."""
    if layer.ndim > 3:
        raise ValueError(
            f"{layer.name} has {layer.ndim} axes: a mask has two (y, x), or three (face, y, x)."
        )
    size, n_axes = layers.picture_size(faces), layer.ndim
    # from pixels of the faces to those of the mask
    onto = np.linalg.inv(layers.to_world(layer, n_axes)) @ layers.to_world(faces, n_axes)
    if layer.ndim == 3 and (np.abs([*onto[0, 1:3], *onto[1:3, 0]]) > 1e-9).any():
        raise ValueError(
            f"{layer.name} is turned against the faces so that one of its planes crosses "
            "several: turn it back."
        )
    _belongs_to(layer, faces)
    n = len(layers.layer_pixels(faces)) if faces.ndim == 3 else None
    if hasattr(layer, "shape_type"):  # on the GUI thread, as they are few
        drawn = _drawn(layer, np.linalg.inv(onto), n, size)
        return lambda: drawn
    return partial(_painted, layer.data, onto, n, size)


def fit_mask(layer: Any, faces: Any, field: str) -> Callable[[], Any]:
    """Return a function, for a thread, that gives the mask of a fit; errors name `field`."""
    words, n = f"{field}: {layer.name}", len(layers.layer_pixels(faces))
    try:
        marks_of = marks_on(layer, faces)
    except ValueError as error:
        raise ValueError(f"{field}: {error}") from error

    def found() -> Any:
        marks = marks_of()
        mask, some = marks.mask, marks.faces
        if not mask.any():
            raise ValueError(
                f"{words} marks nothing of these faces: paint or draw over what the fit is to "
                "leave out, or choose nothing."
            )
        whole = mask.all(axis=(-2, -1))
        if whole.any():
            where = "" if some is None else f" of face {some[whole.argmax()]}"
            raise ValueError(
                f"{words} marks every pixel{where}: leave some of them to be fitted."
            )
        if some is None:
            return mask
        if len(some) == n and mask.all(axis=0).any():
            y, x = np.argwhere(mask.all(axis=0))[0]
            raise ValueError(
                f"{words} marks the pixel (y={y}, x={x}) of every face one by one: to leave "
                "out the same of all faces, use a layer with the axes y, x."
            )
        return FaceMasks(mask, some, n)

    return found


def _belongs_to(marks: Any, faces: Any) -> None:
    """Note which faces a layer marks: where these are moved, it goes along."""
    if layers.ROLE_KEY not in marks.metadata:
        marks.metadata[layers.FACES_KEY] = str(faces.unique_id)


def add_labels(viewer: Any, faces: Any, labels: Array, name: str, **options: Any) -> Any:
    """Add labels, (y, x) or (face, y, x), as a layer that goes along with the faces."""
    known = {"name": f"{name} [{faces.name}]", "opacity": 0.6, **options}
    mask = Labels(labels, affine=layers.to_world(faces, labels.ndim), **known)
    _belongs_to(mask, faces)
    return viewer.add_layer(mask)


def add_mask(viewer: Any, faces: Any, *, each: bool = False) -> Any:
    """Add an empty layer of labels on the faces, or on each of them, with the brush in hand."""
    shape = layers.layer_pixels(faces).shape[: faces.ndim]
    labels = np.zeros(shape if each else shape[-2:], np.uint8)
    mask = add_labels(viewer, faces, labels, "mask")
    viewer.layers.selection.active = mask
    mask.brush_size = max(1, round(shape[-1] / 10))
    mask.mode = "paint"
    return mask


def own_mask(viewer: Any, faces: Any) -> Any:
    """Return the mask that a fit of these faces ignores unless another is chosen, or None."""
    masks = layers.results_of(viewer, faces)
    return next((each for each in masks if layers.IGNORE_KEY in each.metadata), None)


def add_own_mask(viewer: Any, faces: Any, mask: Array) -> None:
    """Let fits of these faces ignore what a mask (h, w) marks, in place of an earlier one."""
    earlier = own_mask(viewer, faces)
    if earlier is not None:
        viewer.layers.remove(earlier)
    labels, known = mask.astype(np.uint8), {layers.IGNORE_KEY: True}
    add_labels(viewer, faces, labels, "ignore", metadata=known, opacity=0.3)


def _painted(data: Any, onto: Array, n: int | None, size: tuple[int, int]) -> Marks:
    """Look up the nearest label for each pixel of `n` faces, or of a single picture."""
    plane = onto[-3:, -3:]
    if data.ndim == 2 or n is None:
        # a single picture is seen at any place of the slider
        blocks = [data] if data.ndim == 2 else (b.any(axis=0) for _, b in pixel_blocks(data))
        seen = np.zeros(data.shape[-2:], bool)
        for block in blocks:
            seen |= np.asarray(block) != 0
        return Marks(_sampled(seen, plane, size))
    places = np.rint(onto[0, 0] * np.arange(n) + onto[0, 3]).astype(int)
    faces = np.flatnonzero(np.isin(places, marked_faces(data)))
    masks = np.zeros((len(faces), *size), bool)
    for mask, place in zip(masks, places[faces], strict=True):
        mask[:] = _sampled(np.asarray(data[int(place)]) != 0, plane, size)
    return Marks(masks, faces)


def _sampled(marks: Array, onto: Array, size: tuple[int, int]) -> Array:
    """Return the mark nearest to each pixel; beyond the picture there are none."""
    if marks.shape == size and np.allclose(onto, np.eye(3), atol=1e-6):
        return marks
    at = onto[:2, :2] @ np.indices(size).reshape(2, -1) + onto[:2, 2:] - 1e-9
    # a border of one pixel stands for all that is beyond
    y, x = np.clip(np.rint(at).astype(int) + 1, 0, np.array([marks.shape]).T + 1)
    sampled: Array = np.pad(marks, 1)[y, x].reshape(size)
    return sampled


def _drawn(layer: Any, back: Array, n: int | None, size: tuple[int, int]) -> Marks:

    for_all = layer.ndim == 2 or n is None
    zoom = float(np.sqrt(abs(np.linalg.det(back[-3:-1, -3:-1]))))
    on_face: defaultdict[int, Array] = defaultdict(lambda: np.zeros(size, bool))
    drawn = zip(layer.data, layer.shape_type, layer.edge_width, strict=True)
    for vertices, kind, width in drawn:
        points = vertices @ back[:-1, :-1].T + back[:-1, -1]
        face = 0 if for_all else round(float(points[:, 0].mean()))
        if kind in ("line", "path"):  # strokes, not areas
            on_face[face] |= stroke_mask(points[:, -2:], width * zoom, size)
        else:
            on_face[face] |= Shapes([points[:, -2:]], shape_type=kind).to_labels(size) > 0
    if for_all:
        return Marks(on_face[0])
    faces = np.array(sorted(face for face in on_face if 0 <= face < (n or 0)), int)
    return Marks(np.array([on_face[i] for i in faces]).reshape(-1, *size), faces)
