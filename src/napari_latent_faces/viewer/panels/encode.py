"""The panels that put faces to a model: to build new ones, and to fill in what is marked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox, ComboBox
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView

from napari_latent_faces.viewer.fitting import EncodeJob, MendJob
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.panels.form import button, in_a_row
from napari_latent_faces.viewer.panels.panel import Panel, face_under_slider, mark_layers
from napari_latent_faces.viewer.panels.pictures import Column, Table

if TYPE_CHECKING:
    from napari_latent_faces.model import LatentFaces

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
_ALL, _THIS = "all faces", "this face"


class EncodeWidget(Panel):
    """Encodes a stack or a picture with a model, and lists faces by their errors."""

    page = "new-faces"
    start_words = "Encode", "Find what builds these faces, and how well it does."
    takes_pictures = True

    def _lay_out(self) -> None:
        self._listed: Any = None  # the layer whose faces are in the table
        self.table = Table("Click a face to go to it; click a head to sort.")
        self.table.setMinimumHeight(8 * self.table.fontMetrics().height())
        self.table.hide()
        tip = "Bring faces that are not aligned yet onto the model before they are encoded."
        self.align = CheckBox(text="Align them first", tooltip=tip)
        tip = "A stack of pictures or a single one, of any size, grey or in colour."
        self.add_form([self.choose_model(), self.choose_faces(tip), self.align])
        self.add_controls()
        self.add(self.table)
        self.table.chosen.connect(self._go_to)
        self.model_choice.chosen.connect(self._take_model)

    def _follow(self) -> None:
        """Be about other faces than those that the model was fitted to."""
        active, model = self.viewer.layers.selection.active, self.session.model
        is_fit = model is not None and model.provenance.encoded_from is None
        own = self.session.faces if is_fit else None
        others = [each for each in self.faces.choices if each is not own]
        if active in others:
            super()._follow()
        elif others and self.faces.value is own:
            self.faces.value = others[-1]

    def _make_job(self) -> EncodeJob:
        model = self.model_choice.model
        assert model is not None
        return EncodeJob(self.viewer, self.faces.value, model, align=self.align.value)

    def _show_result(self, job: Any) -> None:
        if not isinstance(job, EncodeJob) or job.encoding is None:
            return
        names, subjects, errors = job.stack.names, job.stack.subjects, job.encoding.errors
        columns = [
            Column(names.__getitem__, "Face", np.arange(len(names)), hint=names.__getitem__),
            Column(lambda face: f"{errors[face]:.4f}", "Error", errors, side=_RIGHT),
        ]
        if subjects is not None:
            places: dict[str, int] = {}  # in the order of the stack, which is natural
            keys = np.array([places.setdefault(each, len(places)) for each in subjects])
            columns.insert(1, Column(subjects.__getitem__, "Subject", keys))
        self.table.put(len(names), *columns)
        heads: Any = self.table.horizontalHeader()
        heads.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self._listed = job.layer
        self.table.setVisible(len(names) > 1)
        if face_under_slider(self.viewer, job.layer) is None:  # it is a shorter stack
            self._go_to(self.table.rows.row_at(0))

    def synchronize(self) -> None:
        super().synchronize()
        if self._listed not in self.viewer.layers:
            self._listed = None
            self.table.hide()
        elif self.session.faces is self._listed:
            self.table.mark(self.session.face)

    def _take_model(self, model: LatentFaces | None) -> None:
        """Have faces aligned if those of the model were."""
        self.align.value = model is not None and model.provenance.frame is not None

    def _go_to(self, face: int, _column: int = 0) -> None:
        if self._listed is not None:
            self.viewer.layers.selection.active = self._listed
            self.session.go_to_face(face)


class MendWidget(Panel):
    """Replaces what a layer of labels or shapes marks by what a model expects."""

    page = "mend-faces"
    start_words = "Mend", "Replace what is marked by what the model expects there."
    takes_pictures = True

    def _lay_out(self) -> None:
        tip = "Labels or shapes: with the axes y, x for all faces; face, y, x for single ones."
        self.marks = ComboBox(
            label="Marks", choices=lambda _box: mark_layers(self.viewer), tooltip=tip
        )
        tip = "All faces that are marked, or only the one under the slider."
        self.which = ComboBox(label="Mend", choices=[_ALL, _THIS], tooltip=tip)
        tip, add = "An empty layer of labels for all faces alike.", self._add_mask
        self.new_button = button("New mask", tip, partial(add, each=False))
        tip = "An empty layer of labels in which each face has marks of its own."
        self.each_button = button("New mask for each", tip, partial(add, each=True))
        faces = self.choose_faces("A stack of faces of the model's size, or a single one.")
        self.add_form([self.choose_model(), faces, self.marks, self.which])
        self.add(in_a_row(self.new_button, self.each_button))
        self.add_controls()

    def _what_is_missing(self) -> str:
        missing = super()._what_is_missing()
        painting = "No marks yet: press New mask and paint over what is to be replaced."
        return missing or (painting if self.marks.value is None else "")

    def synchronize(self) -> None:
        if not self.is_working:
            self.marks.reset_choices()
        super().synchronize()
        faces = self.faces.value
        self.new_button.enabled = faces is not None and not self.is_working
        self.each_button.enabled = self.new_button.enabled and faces.ndim == 3

    def _add_mask(self, *, each: bool) -> None:
        self.marks.value = add_mask(self.viewer, self.faces.value, each=each)

    def _make_job(self) -> MendJob:
        assert self.model_choice.model is not None
        faces, face = self.faces.value, None
        if self.which.value == _THIS:
            face = face_under_slider(self.viewer, faces)
            if face is None:
                why = "has no face at this place of the slider: move it back."
                raise ValueError(f"{faces.name} {why}")
        return MendJob(self.viewer, faces, self.model_choice.model, self.marks.value, face)
