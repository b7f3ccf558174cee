"""The panel that fills in marked parts of faces."""

from __future__ import annotations

from magicgui.widgets import ComboBox

from napari_latent_faces.viewer.fitting import MendJob
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.panels.form import button, in_a_row
from napari_latent_faces.viewer.panels.panel import Panel, face_under_slider, mark_layers

_ALL, _THIS = "all faces", "this face"


class MendWidget(Panel):
    """Replaces what a layer of labels or shapes marks by what a model expects."""

    page = "mend-faces"
    start_words = "Mend", "Replace what is marked by what the model expects there."
    takes_pictures = True

    def _lay_out(self) -> None:
        self.marks = ComboBox(
            label="Marks",
            choices=lambda _box: mark_layers(self.viewer),
            tooltip="Labels or shapes over what is to be replaced: with the axes y, x for all "
            "faces alike; with face, y, x for single ones.",
        )
        self.which = ComboBox(
            label="Mend",
            choices=[_ALL, _THIS],
            tooltip="All faces that are marked, or only the one under the slider.",
        )
        self.new_button = button(
            "New mask",
            "An empty layer of labels for all faces alike, with the brush in hand.",
            lambda: self._add_mask(each=False),
        )
        self.each_button = button(
            "New mask for each",
            "An empty layer of labels in which each face has marks of its own.",
            lambda: self._add_mask(each=True),
        )
        faces = self.choose_faces("A stack of faces of the model's size, or a single one.")
        self.add_form([self.choose_model(), faces, self.marks, self.which])
        self.add(in_a_row(self.new_button, self.each_button))
        self.add_controls()

    def _what_is_missing(self) -> str:
        missing = super()._what_is_missing()
        if not missing and self.marks.value is None:
            return "No marks yet: press New mask and paint over what is to be replaced."
        return missing

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
        faces = self.faces.value
        face = face_under_slider(self.viewer, faces) if self.which.value == _THIS else None
        if self.which.value == _THIS and face is None:
            raise ValueError(
                f"{faces.name} has no face at this place of the slider: move it back."
            )
        return MendJob(self.viewer, faces, self.model_choice.model, self.marks.value, face)
