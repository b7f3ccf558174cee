"""Aligning the faces of a layer, and the points that a user clicks on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_latent_faces.aligning import Alignment, fill_points, iter_align, oval_mask
from napari_latent_faces.viewer.canvas import face_under, go_to
from napari_latent_faces.viewer.jobs import NOTHING_CHANGED, LayerJob
from napari_latent_faces.viewer.layers import (
    ALIGNED_KEY,
    AXES,
    BEFORE,
    FACES_KEY,
    ROLE_KEY,
    FacesView,
    aligned_layer,
    layer_pixels,
    layer_with,
    stack_of,
)
from napari_latent_faces.viewer.marks import add_own_mask, to_world
from napari_latent_faces.viewer.session import add_result, find_result, session_of, show_result

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari
    from numpy.typing import NDArray

    from napari_latent_faces.aligning.learning import AlignStep
    from napari_latent_faces.params import AlignOptions
    from napari_latent_faces.stack import FaceStack

    Result = tuple[Alignment, FaceStack]


def points_on(points: Any, faces: Any) -> NDArray[np.float64]:
    """Return the points of a Points layer as rows (face, y, x) in pixels of the faces."""
    if points.ndim != 3:
        raise ValueError(
            f"{points.name} has {points.ndim} axes: points on faces have three, face, y, x."
        )
    onto = np.linalg.inv(to_world(faces, 3)) @ to_world(points, 3)
    rows: NDArray[np.float64] = np.asarray(points.data) @ onto[:3, :3].T + onto[:3, 3]
    return rows


class AlignJob(LayerJob):
    """Aligns the faces of a layer; `aligned`, a layer of aligned faces, comes beside them.

    They are aligned by `points` on each face, two or more, or on some, if there are any. With
    `oval`, an oval mask is added that a fit of them ignores. `stepped` comes with each
    `AlignStep`.
    """

    cancelled = NOTHING_CHANGED
    failure = "Aligning failed"

    def __init__(
        self,
        viewer: napari.components.ViewerModel,
        layer: Any,
        options: AlignOptions,
        points: Any = None,
        *,
        oval: bool = False,
    ) -> None:
        stack = stack_of(layer)
        rows = None if points is None else points_on(points, layer)
        self.aligned: Any = None
        self._oval = oval

        def work() -> Generator[AlignStep, None, Result]:
            found = yield from iter_align(stack, rows, options)
            return found, found.apply(stack)

        super().__init__(viewer, layer, work)

    def take_value(self, value: Result) -> str:
        """Add the aligned faces, or put them into the layer of an earlier run."""
        found, stack = value
        data = aligned_layer(stack, FacesView.of(self.layer), found.box)
        self.aligned = show_result(self.viewer, self._earlier(), data)
        if self._oval:
            add_own_mask(self.viewer, self.aligned, oval_mask(stack.size))
        self.viewer.layers.selection.active = self.aligned
        session_of(self.viewer).results_changed()
        return "\n".join(stack.report.notes[-1 - bool(found.misfits) :])

    def _earlier(self) -> Any:
        """Return the layer of an earlier run, unless something was made of its faces."""
        key = str(self.layer.unique_id)
        users = {layer.metadata.get(FACES_KEY) for layer in self.viewer.layers}
        for layer in reversed(self.viewer.layers):
            if layer.metadata.get(ALIGNED_KEY) == key and str(layer.unique_id) not in users:
                return layer
        return None


def show_before(viewer: napari.components.ViewerModel, aligned: Any, *, before: bool) -> None:
    """Show the same part of the pictures as they were, in place of the aligned faces."""
    faces = layer_with(viewer, aligned.metadata[ALIGNED_KEY])
    shown = find_result(viewer, aligned, BEFORE)
    if before and faces is not None:
        top, left, h, w = aligned.metadata["box"]
        n = len(layer_pixels(faces))
        still = Alignment(np.tile(np.eye(3), (n, 1, 1)), (top, left, h, w))
        view = FacesView.of(aligned)
        images, kwargs, kind = aligned_layer(still.apply(stack_of(faces)), view, still.box)
        kwargs["name"] = f"before [{faces.name}]"
        kwargs["metadata"] = {ROLE_KEY: BEFORE, FACES_KEY: view.key}
        shown = show_result(viewer, shown, (images, kwargs, kind))
        shown.translate = aligned.translate
        shown.visible = True
    elif shown is not None:
        viewer.layers.remove(shown)
    aligned.visible = not before or faces is None


# -- Points that a user clicks ---------------------------------------------------------


class EyePoints:
    """A layer of points, two on each face, which goes to the next face by itself."""

    changed = Signal()

    def __init__(self, viewer: napari.components.ViewerModel, faces: Any) -> None:
        self.viewer, self.faces = viewer, faces
        view = FacesView.of(faces)
        kwargs = {
            "name": f"eyes [{view.name}]",
            "axis_labels": AXES,
            "size": max(1.0, layer_pixels(faces).shape[2] / 20),
            "face_color": "yellow",
            "border_color": "black",
            "metadata": {FACES_KEY: view.key},
            **view.at(3),
        }
        self.layer = add_result(viewer, (np.empty((0, 3)), kwargs, "points"))
        viewer.layers.selection.active = self.layer
        self.layer.mode = "add"
        self.layer.events.data.connect(self._on_data)
        self._count = 0
        self.go_on()

    @property
    def counts(self) -> NDArray[np.intp]:
        """How many points each face has."""
        n = len(layer_pixels(self.faces))
        faces = np.rint(self.layer.data[:, 0]).astype(int)
        return np.bincount(faces[(faces >= 0) & (faces < n)], minlength=n)

    @property
    def face(self) -> int:
        """The face under the slider."""
        return face_under(self.viewer, self.layer)

    @property
    def is_there(self) -> bool:
        """Whether the layer is still in the viewer."""
        return self.layer in self.viewer.layers

    def words(self) -> str:
        """Say what to click now."""
        counts, face = self.counts, self.face
        done = int((counts >= 2).sum())
        if done == len(counts):
            return f"All {done} faces have their points: press Align."
        at = counts[face] if 0 <= face < len(counts) else 2
        what = ("Click the eye on the left.", "Now the eye on the right.", "This face is done.")
        return f"Face {face}: {what[min(at, 2)]} {done} of {len(counts)} faces are done."

    def go_on(self) -> None:
        """Go to the next face that lacks points, from the one under the slider on."""
        missing = np.flatnonzero(self.counts < 2)
        if len(missing):
            later = missing[missing >= self.face]
            go_to(self.viewer, self.faces, int(later[0] if len(later) else missing[0]))
        self.changed.emit()

    def undo(self) -> None:
        """Take the last point back, and go to its face."""
        if len(self.layer.data):
            face = round(float(self.layer.data[-1, 0]))
            self.layer.data = self.layer.data[:-1]
            go_to(self.viewer, self.faces, face)
            self.changed.emit()

    def fill(self, points: NDArray[np.float64]) -> None:
        """Put points (n, 2, 2) on the faces that lack some."""
        missing = np.flatnonzero(self.counts < 2)
        rows = np.concatenate(
            [np.repeat(missing, 2)[:, None], points[missing].reshape(-1, 2)], axis=1
        )
        kept = ~np.isin(np.rint(self.layer.data[:, 0]), missing)
        self.layer.data = np.concatenate([self.layer.data[kept], rows])
        self.layer.selected_data = set()
        self.changed.emit()

    def close(self) -> None:
        """Let go of the layer, which stays."""
        self.layer.events.data.disconnect(self._on_data)
        if self.is_there and self.layer.mode == "add":
            self.layer.mode = "pan_zoom"

    def _on_data(self) -> None:
        before, self._count = self._count, len(self.layer.data)
        if self._count > before and (self.counts[self.face : self.face + 1] == 2).any():
            session_of(self.viewer).later(self.go_on)  # napari is still adding the point
        self.changed.emit()


class FillJob(LayerJob):
    """Finds where the points of some faces are on all others, by the model.

    `returned` comes with points of shape (n, k, 2).
    """

    cancelled = "Cancelled; no points were added."
    failure = "Finding points failed"

    def __init__(
        self, viewer: napari.components.ViewerModel, eyes: EyePoints, options: AlignOptions
    ) -> None:
        stack, rows = stack_of(eyes.faces), points_on(eyes.layer, eyes.faces)
        whole = np.isin(np.rint(rows[:, 0]), np.flatnonzero(eyes.counts == 2))

        def work() -> Generator[AlignStep, None, NDArray[np.float64]]:
            found = yield from iter_align(stack, rows[whole], options)
            return fill_points(rows[whole], found.transforms)

        super().__init__(viewer, eyes.faces, work)
