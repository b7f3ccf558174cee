"""The panel that shows what a model makes of new faces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from magicgui.widgets import CheckBox
from psygnal import Signal
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_latent_faces.viewer.fitting import EncodeJob
from napari_latent_faces.viewer.panels.panel import Panel, why_not_pictures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari.layers import Layer
    from numpy.typing import NDArray
    from qtpy.QtWidgets import QWidget

__all__ = ["EncodeWidget", "ErrorTable", "ErrorTableModel"]

# -- A sortable table of faces by their errors, as fast for 200,000 rows as for 20 -----

_HEADS = ("Face", "Subject", "Error")
_ERROR = len(_HEADS) - 1
_ROLE = Qt.ItemDataRole


class ErrorTableModel(QAbstractTableModel):
    """Names, subjects and errors of faces; Qt asks only for the rows that are seen."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._names: Sequence[str] = ()
        self._subjects: Sequence[str] | None = None
        self._errors: NDArray[np.float64] = np.zeros(0)
        self._order = np.arange(0)

    def show_faces(
        self,
        names: Sequence[str],
        subjects: Sequence[str] | None,
        errors: NDArray[np.float64],
    ) -> None:
        """Put other faces into the table, the worst first."""
        self.beginResetModel()
        self._names, self._subjects, self._errors = names, subjects, errors
        self._order = self._sorted(_ERROR, descending=True)
        self.endResetModel()

    def face_at(self, row: int) -> int:
        """Return which face is in a row."""
        return int(self._order[row])

    def row_of(self, face: int) -> int:
        """Return in which row a face is."""
        return int(np.flatnonzero(self._order == face)[0])

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of faces."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(_HEADS)

    def data(self, index: QModelIndex, role: int = _ROLE.DisplayRole) -> Any:
        """Return text or alignment of a cell."""
        if role == _ROLE.TextAlignmentRole and index.column() == _ERROR:
            return int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        if role not in {_ROLE.DisplayRole, _ROLE.ToolTipRole} or not index.isValid():
            return None
        face = self.face_at(index.row())
        if index.column() == 0:
            return str(self._names[face])
        if index.column() == _ERROR:
            return f"{self._errors[face]:.4f}"
        return "" if self._subjects is None else str(self._subjects[face])

    def headerData(self, section: int, orientation: Any, role: int = _ROLE.DisplayRole) -> Any:
        """Return the head of a column."""
        if role == _ROLE.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return _HEADS[section]
        return None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; names are in the order of the stack, which is natural."""
        self.layoutAboutToBeChanged.emit()
        descending = order == Qt.SortOrder.DescendingOrder
        self._order = self._sorted(column, descending=descending)
        self.layoutChanged.emit()

    def _sorted(self, column: int, *, descending: bool) -> NDArray[np.intp]:
        keys = self._keys(column)
        return np.argsort(-keys if descending else keys, kind="stable")

    def _keys(self, column: int) -> NDArray[Any]:
        """Return what to sort by: errors, or the place in the stack."""
        if column == _ERROR:
            return self._errors
        if column == 0 or self._subjects is None:
            return np.arange(len(self._errors))
        places: dict[str, int] = {}
        return np.array([places.setdefault(each, len(places)) for each in self._subjects], int)


class ErrorTable(QTableView):
    """The table; a click on a row tells its face.

    Parameters
    ----------
    parent : QWidget, optional
        The widget that it is in.
    """

    face_chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.faces = ErrorTableModel(self)
        self.setModel(self.faces)
        self.setSortingEnabled(True)
        heads: Any = self.horizontalHeader()
        heads.setSortIndicator(_ERROR, Qt.SortOrder.DescendingOrder)
        heads.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        rows: Any = self.verticalHeader()
        rows.hide()
        # one height for all: Qt must not ask each row for its own
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
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
        self.faces.show_faces(names, subjects, errors)
        heads: Any = self.horizontalHeader()
        heads.setSortIndicator(_ERROR, Qt.SortOrder.DescendingOrder)
        self.setColumnHidden(1, subjects is None)
        self.scrollToTop()

    def select_face(self, face: int | None) -> None:
        """Mark the row of a face, without choosing it."""
        if face is None or not 0 <= face < self.faces.rowCount():
            self.clearSelection()
            return
        index = self.faces.index(self.faces.row_of(face), 0)
        if index.row() != self.currentIndex().row() or not self.selectedIndexes():
            self.setCurrentIndex(index)

    def _choose(self, index: QModelIndex) -> None:
        self.face_chosen.emit(self.faces.face_at(index.row()))


# -- The dock widget that shows what a model makes of new faces ------------------------


class EncodeWidget(Panel):
    """Encodes a stack or a picture with a model, and lists faces by their errors.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose layers are offered and that the results are added to.
    """

    page = "new-faces"
    start_words = "Encode", "Find what builds these faces, and how well it does."

    def _lay_out(self) -> None:
        self._listed: Any = None  # the layer whose faces are in the table
        self.table = ErrorTable()
        self.table.setToolTip("Click a face to go to it; click a head to sort.")
        self.table.hide()
        model = self.choose_model()
        faces = self.choose_faces(
            "A stack of pictures or a single one, of any size, grey or in colour."
        )
        self.align = CheckBox(
            text="Align them first",
            tooltip="Bring the faces onto the model before they are encoded, which matters "
            "where the faces of the model were aligned. Faces that were aligned already stay.",
        )
        self._aligned_for: Any = None  # the model that the box was set for
        self.add_form([model, faces, self.align])
        self.add_controls()
        self.add(self.table, 1)
        self.table.face_chosen.connect(self._go_to)
        self.listen(self.focus.face_changed, self._mark_row)

    def _why_not(self, layer: Layer) -> str:
        return why_not_pictures(layer)

    def _follow(self) -> None:
        """Be about other faces than those of the model, which it knows already."""
        active, own = self.viewer.layers.selection.active, self.focus.faces
        others = [each for each in self.faces.choices if each is not own]
        if active in others:
            super()._follow()
        elif others and self.faces.value is own:
            self.faces.value = others[-1]

    def _make_job(self) -> EncodeJob:
        assert self.model_choice.model is not None
        model = self.model_choice.model
        return EncodeJob(self.viewer, self.faces.value, model, align=self.align.value)

    def _show_result(self, job: EncodeJob) -> None:
        if job.encoding is not None:
            self._listed = job.layer
            self.table.show_faces(job.stack.names, job.stack.subjects, job.encoding.errors)
            self.table.setVisible(len(job.stack) > 1)

    def _sync(self, event: Any = None) -> None:
        super()._sync(event)
        model = self.model_choice.model
        if model is not None and model is not self._aligned_for:
            self._aligned_for = model
            self.align.value = model.provenance.frame is not None
        if self._listed is not None and self._listed not in self.viewer.layers:
            self._listed = None
            self.table.hide()

    def _go_to(self, face: int) -> None:
        """Move the slider to a face of the table."""
        if self._listed is not None:
            self.viewer.layers.selection.active = self._listed
            self.focus.go_to_face(face)

    def _mark_row(self, face: int | None) -> None:
        """Mark the row of the face under the slider."""
        if self._listed is not None and self.focus.faces is self._listed:
            self.table.select_face(face)
