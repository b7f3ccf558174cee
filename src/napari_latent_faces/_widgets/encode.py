"""The dock widget that shows what a model makes of new faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from magicgui.widgets import Container

from napari_latent_faces._encode import EncodeJob
from napari_latent_faces._focus import focus_of
from napari_latent_faces._widgets.error_table import ErrorTable
from napari_latent_faces._widgets.form import form_of
from napari_latent_faces._widgets.job_panel import JobPanel

if TYPE_CHECKING:
    import napari

    from napari_latent_faces._layer_job import FacesJob

__all__ = ["EncodeWidget"]


class EncodeWidget(JobPanel):
    """Encodes a stack or a picture with a model, and lists faces by their errors.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        self._listed: Any = None  # the layer whose faces are in the table
        super().__init__(
            napari_viewer, "Encode", "Find what builds these faces, and how well it does."
        )
        self._focus = focus_of(napari_viewer)
        self._focus.face_changed.connect(self._follow)
        self.table.face_chosen.connect(self._go_to)

    def _lay_out(self) -> None:
        self.faces.tooltip = (
            "A stack of pictures or a single one, of any size, grey or in colour."
        )
        buttons = Container(
            widgets=[self.start_button, self.cancel_button], layout="horizontal", labels=False
        )
        buttons.margins = (0, 0, 0, 0)
        self.extend([buttons, self.progress, self.status])
        self.table = ErrorTable()
        self.table.setToolTip("Click a face to go to it; click a head to sort.")
        self.table.hide()
        layout = self.native.layout()
        layout.insertWidget(0, form_of([self.model_choice, self.faces]))
        layout.addWidget(self.table, 1)
        layout.addStretch(0)

    def _make_job(self) -> EncodeJob:
        assert self.model_choice.model is not None
        return EncodeJob(self.viewer, self.faces.value, self.model_choice.model)

    def _show_result(self, job: FacesJob) -> None:
        assert isinstance(job, EncodeJob)
        assert job.encoding is not None
        self._listed = job.layer
        self.table.show_faces(job.stack.names, job.stack.subjects, job.encoding.errors)
        self.table.setVisible(len(job.stack) > 1)

    def _sync(self, event: Any = None) -> None:
        super()._sync(event)
        if self._listed is not None and self._listed not in self.viewer.layers:
            self._listed = None
            self.table.hide()

    def _go_to(self, face: int) -> None:
        """Move the slider to a face of the table."""
        if self._listed is not None:
            self.viewer.layers.selection.active = self._listed
            self._focus.go_to_face(face)

    def _follow(self, face: int | None) -> None:
        """Mark the row of the face under the slider."""
        if self._listed is not None and self._focus.faces is self._listed:
            self.table.select_face(face)

    def _abandon(self) -> None:
        super()._abandon()
        self._focus.face_changed.disconnect(self._follow)
