"""The panel that moves, turns and scales faces so that they lie on one another."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox, LineEdit
from napari.layers import Points

from napari_latent_faces.aligning import fill_points, iter_align, oval_mask
from napari_latent_faces.params import AlignOptions
from napari_latent_faces.stack import harmless
from napari_latent_faces.viewer import layers
from napari_latent_faces.viewer.canvas import face_under, go_to
from napari_latent_faces.viewer.jobs import LayerJob
from napari_latent_faces.viewer.layers import FacesView
from napari_latent_faces.viewer.marks import add_own_mask
from napari_latent_faces.viewer.panels.form import button, in_a_row, make_fields
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.pictures import Portrait
from napari_latent_faces.viewer.session import add_result, find_result, session_of, show_result

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from napari.layers import Layer
    from numpy.typing import NDArray

    from napari_latent_faces.aligning import Alignment
    from napari_latent_faces.aligning.learning import AlignStep
    from napari_latent_faces.stack import FaceStack

_BASIC = ("n_components", "transform")
_REST = ("max_shift", "max_rotation", "max_scale", "random_state")
_HEIGHT = 130  # of the mean face
_CLICK = ("Click the eye on the left.", "Now the eye on the right.", "This face is done.")


class EyePoints:
    """A layer of points, two on each face, which goes to the next face by itself."""

    def __init__(self, viewer: Any, faces: Any) -> None:
        self.viewer, self.faces = viewer, faces
        view = FacesView.of(faces)
        kwargs = {
            "name": f"eyes [{view.name}]",
            "axis_labels": layers.AXES,
            "size": max(1.0, layers.layer_pixels(faces).shape[2] / 20),
            "face_color": "yellow",
            "border_color": "black",
            "metadata": {layers.FACES_KEY: view.key},
            **view.at(3),
        }
        self.layer = add_result(viewer, (np.empty((0, 3)), kwargs, "points"))
        viewer.layers.selection.active = self.layer
        self.layer.mode = "add"
        self.layer.events.data.connect(self._on_data)
        self.go_on()

    @property
    def counts(self) -> NDArray[np.intp]:
        """How many points each face has."""
        n = len(layers.layer_pixels(self.faces))
        faces = np.rint(self.layer.data[:, 0]).astype(int)
        return np.bincount(faces[(faces >= 0) & (faces < n)], minlength=n)

    @property
    def face(self) -> int:
        return face_under(self.viewer, self.layer)

    def words(self) -> str:
        counts, face = self.counts, self.face
        done = int((counts >= 2).sum())
        if done == len(counts):
            return f"All {done} faces have their points: press Align."
        at = min(counts[face], 2) if 0 <= face < len(counts) else 2
        return f"Face {face}: {_CLICK[at]} {done} of {len(counts)} faces are done."

    def go_on(self) -> None:
        """Go to the next face that lacks points, from the one under the slider on."""
        missing = np.flatnonzero(self.counts < 2)
        if len(missing):
            later = missing[missing >= self.face]
            go_to(self.viewer, self.faces, int((later if len(later) else missing)[0]))

    def undo(self) -> None:
        if len(self.layer.data):
            face = round(float(self.layer.data[-1, 0]))
            self.layer.data = self.layer.data[:-1]
            go_to(self.viewer, self.faces, face)

    def fill(self, points: NDArray[np.float64]) -> None:
        """Put points (n, 2, 2) on the faces that lack some."""
        missing = np.flatnonzero(self.counts < 2)
        kept = self.layer.data[~np.isin(np.rint(self.layer.data[:, 0]), missing)]
        faces = np.repeat(missing, 2)[:, None]
        rows = np.hstack([faces, points[missing].reshape(-1, 2)])
        self.layer.data = np.concatenate([kept, rows])
        self.layer.selected_data = set()

    def close(self) -> None:
        """Let go of the layer, which stays."""
        self.layer.events.data.disconnect(self._on_data)
        if self.layer in self.viewer.layers and self.layer.mode == "add":
            self.layer.mode = "pan_zoom"

    def _on_data(self, event: Any) -> None:
        if event.action == "added" and (self.counts[self.face : self.face + 1] == 2).any():
            session_of(self.viewer).later(self.go_on)  # napari is still adding the point


class AlignWidget(Panel):
    """Aligns faces to a model of them all, or by points that are clicked here."""

    page = "align-faces"
    start_words = "Align", "Move, turn and scale the faces so that they lie on one another."

    def _lay_out(self) -> None:
        self.eyes: Any = None  # `EyePoints`, while eyes are clicked
        self._said = ""  # of the eyes
        self._aligned: Any = None  # the layer of aligned faces that this panel has added
        self._first: Any = None  # the mean face at the first step
        self.options = make_fields(AlignOptions, *_BASIC, *_REST)
        self.n_components, self.transform = (self.options[name] for name in _BASIC)
        tip = "To a model of all faces, which needs no points; or by the points of a layer."
        self.by = ComboBox(label="Align", choices=self._ways, tooltip=tip)
        tip = "Height and width of the middle part to keep, in pixels, such as 92, 76."
        self.crop = LineEdit(label="Size", tooltip=tip)
        self.crop.native.setPlaceholderText("what all pictures cover")
        tip = "Mask the corners around an oval, so that fits of the aligned faces ignore them."
        self.oval = CheckBox(text="Oval mask", tooltip=tip)
        tip = "Click both eyes on face after face, to align by them."
        self.click_button = button("Click points", tip, self._click_points)
        self.undo_button = button("Undo", "Take the last point back.", self._undo)
        tip = "Find the points of all other faces by a model of those that have some."
        self.fill_button = button("Fill in the rest", tip, self._fill)
        tip = "Show the same part of the pictures as they were, in the same place."
        self.before_button = button("Before", tip, self._compare)
        self.before_button.native.setCheckable(True)
        self.mean = Portrait(("mean before", "mean now"), _HEIGHT)
        self.mean.hide()
        faces = self.choose_faces("The stack to align, with the axes face, y, x.")
        self.add_form([faces, self.by, self.n_components, self.crop, self.transform, self.oval])
        self.add_form([self.options[name] for name in _REST], "Advanced")
        self.add(in_a_row(self.click_button, self.undo_button, self.fill_button))
        self.add_controls(self.before_button)
        self.add(self.mean)
        self.at_end(self._leave_points)
        self.listen(self.viewer.dims.events.point, self.synchronize)  # what to click now

    def _why_not(self, layer: Layer) -> str:
        if layers.ALIGNED_KEY in layer.metadata:
            return f"{harmless(layer.name)} is aligned: choose the faces as they were."
        return super()._why_not(layer)

    def _ways(self, _widget: Any = None) -> list[tuple[str, Any]]:
        points = [
            (f"by {each.name}", each)
            for each in reversed(self.viewer.layers)
            if isinstance(each, Points) and each.ndim == 3
        ]
        return [("to a model of them all", None), *points]

    def synchronize(self) -> None:
        if self.eyes is not None and self.eyes.layer not in self.viewer.layers:
            self._leave_points()
        is_free, eyes, before = not self.is_working, self.eyes, self.before_button
        if is_free:
            self.by.reset_choices()
        super().synchronize()
        is_there = self._aligned is not None and self._aligned in self.viewer.layers
        before.visible = is_there and is_free
        if before.native.isChecked() and not is_there:
            before.native.setChecked(False)
            self.session.later(self._compare)  # napari is still removing the aligned faces
        self.click_button.enabled = self.faces.value is not None and is_free and eyes is None
        self.undo_button.visible = self.fill_button.visible = eyes is not None and is_free
        if eyes is not None and is_free:
            counts, words = eyes.counts, eyes.words()
            self.undo_button.enabled = bool(counts.any())
            self.fill_button.enabled = bool((counts == 2).sum() > 1 and (counts < 2).any())
            if words != self._said:
                self.status.value = self._said = words

    def _make_job(self) -> LayerJob:
        faces, points = self.faces.value, self.by.value
        job = self._job(
            faces,
            None if points is None else self._rows(points),
            lambda found, stack: (found, found.apply(stack)),
            partial(self._take_aligned, faces, self.oval.value),
        )
        self._show_after()
        return job

    def _job(
        self,
        faces: Any,
        rows: NDArray[np.float64] | None,
        make: Callable[[Alignment, FaceStack], Any],
        take: Callable[[Any], object],
    ) -> LayerJob:
        """Return a job: `make` goes on with an alignment in the thread, `take` shows that."""
        size: Any = str(self.crop.value or "").strip()
        with suppress(ValueError):  # the options say what is wrong with another text
            size = tuple(int(part) for part in size.replace("x", ",").split(","))
        values = {name: each.value for name, each in self.options.items()}
        options, stack = AlignOptions(size=size or None, **values), layers.stack_of(faces)

        def work() -> Generator[AlignStep, None, Any]:
            return make((yield from iter_align(stack, rows, options)), stack)

        self._first = None
        return LayerJob(self.viewer, faces, work).then(take)

    def _rows(self, points: Any) -> NDArray[np.float64]:
        """Return the points of a Points layer as rows (face, y, x) in pixels of the faces."""
        onto = np.linalg.inv(layers.to_world(self.faces.value, 3)) @ layers.to_world(points, 3)
        rows: NDArray[np.float64] = np.asarray(points.data) @ onto[:3, :3].T + onto[:3, 3]
        return rows

    def _show_step(self, step: AlignStep) -> None:
        self.show_progress(round(1000 * step.done), 1000)
        self.status.value = f"{step.task} ..."
        if self._first is None:
            self._first = step.mean
        before, now = ((p - p.min()) / (np.ptp(p) or 1) for p in (self._first, step.mean))
        self.mean.show_pictures((0.0, 1.0), before, now)
        self.mean.show()

    def _take_aligned(self, faces: Any, oval: bool, value: tuple[Alignment, FaceStack]) -> None:
        """Add the aligned faces, or put them into the layer of an earlier run."""
        found, stack = value
        key, shown = str(faces.unique_id), self.viewer.layers
        free = (each for each in reversed(shown) if not layers.results_of(self.viewer, each))
        same = (each for each in free if each.metadata.get(layers.ALIGNED_KEY) == key)
        data = layers.aligned_layer(stack, FacesView.of(faces), found.box)
        self._aligned = show_result(self.viewer, next(same, None), data)
        if oval:
            add_own_mask(self.viewer, self._aligned, oval_mask(stack.size))
        self._leave_points()
        shown.selection.active = self._aligned
        self.session.results_changed()
        self.status.value = "\n".join(stack.report.notes[-1 - bool(found.misfits) :])

    def _compare(self) -> None:
        """Show the same part of the pictures as they were, or the aligned faces again."""
        aligned, is_before = self._aligned, self.before_button.native.isChecked()
        faces = layers.layer_with(self.viewer, aligned.metadata[layers.ALIGNED_KEY])
        shown = find_result(self.viewer, aligned, layers.BEFORE)
        if is_before and faces is not None:
            top, left, h, w = box = aligned.metadata["box"]
            stack, view = layers.stack_of(faces), FacesView.of(aligned)
            part = replace(stack, images=stack.images[:, top : top + h, left : left + w])
            images, kwargs, kind = layers.aligned_layer(part, view, box)
            kwargs["name"] = f"before [{faces.name}]"
            kwargs["metadata"] = {layers.ROLE_KEY: layers.BEFORE, layers.FACES_KEY: view.key}
            shown = show_result(self.viewer, shown, (images, kwargs, kind))
            shown.affine = view.at(3)["affine"]
            shown.visible = True
            self.viewer.layers.selection.active = aligned
        elif shown is not None:
            self.viewer.layers.remove(shown)
        aligned.visible = not is_before or faces is None

    def _show_after(self) -> None:
        if self.before_button.native.isChecked():
            self.before_button.native.setChecked(False)
            self._compare()

    def _leave(self) -> None:
        super()._leave()
        self._show_after()

    def _click_points(self) -> None:
        self.eyes, self._said = EyePoints(self.viewer, self.faces.value), ""
        self.synchronize()
        self.by.value = self.eyes.layer

    def _undo(self) -> None:
        self.eyes.undo()

    def _leave_points(self) -> None:
        if self.eyes is not None:
            self.eyes.close()
            self.eyes = None

    def _fill(self) -> None:
        eyes, rows = self.eyes, self._rows(self.eyes.layer)
        rows = rows[np.isin(np.rint(rows[:, 0]), np.flatnonzero(eyes.counts == 2))]

        def make(found: Alignment, _: FaceStack) -> NDArray[np.float64]:
            return fill_points(rows, found.transforms)

        self.attempt(lambda: self._job(eyes.faces, rows, make, eyes.fill))
