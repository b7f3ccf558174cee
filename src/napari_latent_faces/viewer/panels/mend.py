"""The dock widget that fills in marked parts of faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import ComboBox, Container, PushButton

from napari_latent_faces.viewer.fitting import MendJob
from napari_latent_faces.viewer.layers import layer_pixels
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.panels.form import form_of
from napari_latent_faces.viewer.panels.panel import JobPanel, mark_layers

if TYPE_CHECKING:
    import napari

__all__ = ["MendWidget"]

_ALL, _THIS = "all faces", "this face"


class MendWidget(JobPanel):
    """Replaces what a layer of labels or shapes marks by what a model expects.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the mended faces are added to.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__(
            napari_viewer, "Mend", "Replace what is marked by what the model expects there."
        )
        self.new_button.changed.connect(lambda: self._add_mask(each=False))
        self.each_button.changed.connect(lambda: self._add_mask(each=True))
        self.faces.changed.connect(self._sync)

    def _make_inputs(self) -> None:
        self.mask = ComboBox(
            name="mask",
            label="Marks",
            choices=self._masks,
            tooltip="Labels or shapes over what is to be replaced: with the axes y, x for all "
            "faces alike; with face, y, x for single ones.",
        )
        self.which = ComboBox(
            name="which",
            label="Mend",
            choices=[_ALL, _THIS],
            tooltip="All faces that are marked, or only the one under the slider.",
        )
        self.new_button = PushButton(
            text="New mask",
            tooltip="An empty layer of labels for all faces alike, with the brush in hand.",
        )
        self.each_button = PushButton(
            text="New mask for each",
            tooltip="An empty layer of labels in which each face has marks of its own.",
        )

    def _lay_out(self) -> None:
        self._make_inputs()
        self.faces.tooltip = "A stack of grey faces of the model's size, or a single one."
        rows = (
            [self.new_button, self.each_button],
            [self.start_button, self.cancel_button],
        )
        for buttons in rows:
            row = Container(widgets=buttons, layout="horizontal", labels=False)
            row.margins = (0, 0, 0, 0)
            self.append(row)
        self.extend([self.progress, self.status])
        layout = self.native.layout()
        layout.insertWidget(0, form_of([self.model_choice, self.faces, self.mask, self.which]))
        layout.addStretch(1)

    def _inputs(self) -> list[Any]:
        return [*super()._inputs(), self.mask, self.which, self.new_button, self.each_button]

    def _is_offered(self, layer: Any) -> bool:
        return super()._is_offered(layer) and not layer.rgb

    def _masks(self, _widget: Any = None) -> list[Any]:
        return mark_layers(self.viewer)

    def _what_is_missing(self) -> str:
        missing = super()._what_is_missing()
        if not missing and self.mask.value is None:
            return "No marks yet: press New mask and paint over what is to be replaced."
        return missing

    def _sync(self, event: Any = None) -> None:
        if not self.is_working:
            self.mask.reset_choices()
        super()._sync(event)
        faces = self.faces.value
        self.new_button.enabled = faces is not None and not self.is_working
        self.each_button.enabled = self.new_button.enabled and faces.ndim == 3

    def _add_mask(self, *, each: bool) -> None:
        self.mask.value = add_mask(self.viewer, self.faces.value, each=each)

    def _make_job(self) -> MendJob:
        assert self.model_choice.model is not None
        faces = self.faces.value
        face = self._face() if self.which.value == _THIS else None
        return MendJob(self.viewer, faces, self.model_choice.model, self.mask.value, face)

    def _face(self) -> int:
        """Return the face of the chosen stack that is under the slider."""
        faces = self.faces.value
        if faces.ndim == 2:
            return 0
        index = round(float(faces.world_to_data(self.viewer.dims.point)[-3]))
        if not 0 <= index < len(layer_pixels(faces)):
            raise ValueError(
                f"{faces.name} has no face at this place of the slider: move it back."
            )
        return index
