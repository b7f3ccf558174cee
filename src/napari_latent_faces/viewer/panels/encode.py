"""The panel that shows what a model makes of new faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from psygnal import Signal
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView

from napari_latent_faces.viewer.fitting import EncodeJob
from napari_latent_faces.viewer.panels.panel import Panel, face_under_slider
from napari_latent_faces.viewer.panels.pictures import Rows, RowsView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtCore import QModelIndex

_ERROR = 2  # the column
_ROLES = Qt.ItemDataRole


class Errors(Rows):
    """Faces with their names, subjects and errors."""

    heads = "Face", "Subject", "Error"
    names: Sequence[str] = ()
    subjects: Sequence[str] | None = None
    errors: NDArray[np.float64] = np.zeros(0)

    def cell(self, row: int, column: int, role: int) -> Any:
        if role == _ROLES.TextAlignmentRole and column == _ERROR:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in {_ROLES.DisplayRole, _ROLES.ToolTipRole}:
            return None
        subject = "" if self.subjects is None else self.subjects[row]
        return str((self.names[row], subject, f"{self.errors[row]:.4f}")[column])

    def keys(self, column: int) -> NDArray[Any]:
        """Return errors, or places in the stack, whose order is natural."""
        if column == _ERROR:
            return self.errors
        if column == 0 or self.subjects is None:
            return np.arange(len(self.errors))
        places: dict[str, int] = {}
        return np.array([places.setdefault(each, len(places)) for each in self.subjects], int)


class ErrorTable(RowsView):
    """Faces by their errors; a click on a row tells its face."""

    face_chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__(0)
        self.faces = Errors()
        self.setModel(self.faces)
        heads: Any = self.horizontalHeader()
        heads.setSortIndicator(_ERROR, Qt.SortOrder.DescendingOrder)
        heads.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        rows: Any = self.verticalHeader()
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        self.setMinimumHeight(8 * rows.defaultSectionSize())
        self.clicked.connect(self._choose)
        self.activated.connect(self._choose)

    def show_faces(
        self,
        names: Sequence[str],
        subjects: Sequence[str] | None,
        errors: NDArray[np.float64],
    ) -> None:
        """Show other faces, the worst first."""
        self.faces.names, self.faces.subjects, self.faces.errors = names, subjects, errors
        self.faces.put(len(names))
        self.sortByColumn(_ERROR, Qt.SortOrder.DescendingOrder)
        self.setColumnHidden(1, subjects is None)
        self.scrollToTop()

    def select_face(self, face: int | None) -> None:
        """Mark the row of a face, without choosing it."""
        if face is None or not 0 <= face < self.faces.rowCount():
            self.clearSelection()
            return
        index = self.faces.index(self.faces.place_of(face), 0)
        if index.row() != self.currentIndex().row() or not self.selectedIndexes():
            self.setCurrentIndex(index)

    def _choose(self, index: QModelIndex) -> None:
        self.face_chosen.emit(self.faces.row_at(index.row()))


class EncodeWidget(Panel):
    """Encodes a stack or a picture with a model, and lists faces by their errors."""

    page = "new-faces"
    start_words = "Encode", "Find what builds these faces, and how well it does."
    takes_pictures = True

    def _lay_out(self) -> None:
        self._marked: int | None = None  # the face whose row is selected
        self._listed: Any = None  # the layer whose faces are in the table
        self._aligned_for: Any = None  # the model that the box was set for
        self.table = ErrorTable()
        self.table.setToolTip("Click a face to go to it; click a head to sort.")
        self.table.hide()
        self.align = CheckBox(
            text="Align them first",
            tooltip="Bring the faces onto the model before they are encoded, which matters "
            "where the faces of the model were aligned. Faces that were aligned already stay.",
        )
        tip = "A stack of pictures or a single one, of any size, grey or in colour."
        self.add_form([self.choose_model(), self.choose_faces(tip), self.align])
        self.add_controls()
        self.add(self.table, 1)
        self.table.face_chosen.connect(self._go_to)

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
        if isinstance(job, EncodeJob) and job.encoding is not None:
            self._listed = job.layer
            self.table.show_faces(job.stack.names, job.stack.subjects, job.encoding.errors)
            self.table.setVisible(len(job.stack) > 1)
            if face_under_slider(self.viewer, job.layer) is None:  # it is a shorter stack
                self._go_to(self.table.faces.row_at(0))

    def synchronize(self) -> None:
        super().synchronize()
        model = self.model_choice.model
        if model is not None and model is not self._aligned_for:
            self._aligned_for = model
            self.align.value = model.provenance.frame is not None
        if self._listed is not None and self._listed not in self.viewer.layers:
            self._listed = None
            self.table.hide()
        if self.session.face != self._marked:
            self._marked = self.session.face
            self._mark_row(self._marked)

    def _go_to(self, face: int) -> None:
        if self._listed is not None:
            self.viewer.layers.selection.active = self._listed
            self.session.go_to_face(face)

    def _mark_row(self, face: int | None) -> None:
        if self._listed is not None and self.session.faces is self._listed:
            self.table.select_face(face)
