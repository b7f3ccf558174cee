"""Pairs of components of two models as a table of pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_latent_faces._widgets.pictures import component_pixmap, to_fit, to_icon

if TYPE_CHECKING:
    from qtpy.QtCore import QAbstractItemModel
    from qtpy.QtGui import QIcon

    from napari_latent_faces.compare import Comparison
    from napari_latent_faces.model import LatentFaces

__all__ = ["LEFT", "RIGHT", "SIMILARITY", "SORT_ROLE", "PairsTable", "make_pairs_view"]

LEFT, RIGHT, SIMILARITY = range(3)
"""The columns."""
SORT_ROLE = Qt.ItemDataRole.UserRole
"""The role of what rows are sorted by."""

_THUMBNAIL = 72  # pixels, the larger side


class PairsTable(QAbstractTableModel):
    """Pairs of components as a table of pictures, drawn when they come into view.

    Parameters
    ----------
    models : tuple of two LatentFaces
        The models.
    comparison : Comparison
        Their components in pairs.
    ratio : float
        Pixels of the screen in one of its units.
    """

    def __init__(
        self,
        models: tuple[LatentFaces, LatentFaces],
        comparison: Comparison,
        ratio: float = 1.0,
    ) -> None:
        super().__init__()
        self.models = models
        self._ratio = ratio
        matching = comparison.matching
        rows: list[tuple[int | None, int | None, float | None]] = [
            (int(a), int(b), float(alike))
            for (a, b), alike in zip(matching.pairs, matching.similarity, strict=True)
        ]
        rows += [(int(a), None, None) for a in matching.unmatched[0]]
        rows += [(None, int(b), None) for b in matching.unmatched[1]]
        self.rows = rows
        self._pictures: dict[tuple[int, int], QIcon] = {}

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002
        """Return the number of pairs, and of components without one."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802, ARG002
        """Return 3: left, right, similarity."""
        return 3

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return text, picture or value of a cell."""
        value, column = self.rows[index.row()][index.column()], index.column()
        if role == SORT_ROLE:
            return -1.0 if value is None else float(value)
        if role == Qt.ItemDataRole.DisplayRole:
            if value is None:
                return "\N{EM DASH}"
            return f"{value:.3f}" if column == SIMILARITY else str(value)
        if role == Qt.ItemDataRole.DecorationRole and column != SIMILARITY:
            return None if value is None else self._picture(column, int(value))
        return None

    def headerData(  # noqa: N802
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> Any:
        """Return the titles of the columns."""
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        return ("Left", "Right", "Similarity")[section]

    def _picture(self, side: int, component: int) -> QIcon:
        key = side, component
        if key not in self._pictures:
            model = self.models[side]
            picture = component_pixmap(model.components[component], is_signed=model.is_signed)
            box = QSize(_THUMBNAIL, _THUMBNAIL)
            self._pictures[key] = to_icon(to_fit(picture, box, self._ratio))
        return self._pictures[key]


def make_pairs_view(pairs: QAbstractItemModel) -> QTableView:
    """Return the view of a table of pairs, in which rows are chosen and sorted."""
    view = QTableView()
    view.setModel(pairs)
    view.setIconSize(QSize(_THUMBNAIL, _THUMBNAIL))
    view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
    view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
    view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
    view.setSortingEnabled(True)
    view.setTabKeyNavigation(False)  # Tab goes on to the next panel, arrow keys through rows
    view.setToolTip("Click a picture to choose this component in all panels.")
    rows, columns = view.verticalHeader(), view.horizontalHeader()
    assert rows is not None
    assert columns is not None
    rows.setVisible(False)
    rows.setDefaultSectionSize(_THUMBNAIL + 8)
    rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    return view
