"""The panel that puts two models of one stack side by side."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHeaderView,
    QSizePolicy,
    QTableView,
    QWidget,
)

from napari_latent_faces.explaining import compare_models, iter_compare
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.panels.form import allow_long_names, name_models
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.pictures import component_pixmap, to_fit, to_icon

if TYPE_CHECKING:
    from qtpy.QtCore import QAbstractItemModel
    from qtpy.QtGui import QIcon

    from napari_latent_faces.explaining import Comparison
    from napari_latent_faces.model import LatentFaces

__all__ = [
    "LEFT",
    "RIGHT",
    "SIMILARITY",
    "SORT_ROLE",
    "CompareWidget",
    "PairsTable",
    "make_pairs_view",
]

# -- Pairs of components of two models as a table of pictures --------------------------

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

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        """Return the number of pairs, and of components without one."""
        return len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
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

    def headerData(
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


# -- The dock widget that puts two models of one stack side by side --------------------

_AT_ONCE = 2**28  # multiplications that the window can wait for
_NO_MODELS = (
    "Two models of the same faces are compared here. Fit them with two methods, or with "
    "Update earlier results off (under Advanced), or open their files."
)


class CompareWidget(Panel):
    """Shows the components of two models in pairs, the most similar first.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer whose models are offered.
    """

    page = "compare-models"
    cancel_tip = "End the comparison (Esc)."

    def _lay_out(self) -> None:
        self._models: list[LatentFaces] = []
        self.left, self.right = QComboBox(), QComboBox()
        fields = QWidget()
        form = QFormLayout(fields)
        form.setContentsMargins(0, 0, 0, 0)
        for label, box in (("Left", self.left), ("Right", self.right)):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            allow_long_names(box, Qt.TextElideMode.ElideRight)
            box.setToolTip("A model of the layers: two fits of the same faces.")
            box.currentIndexChanged.connect(self._compare)
            box.activated.connect(self._compare_again)
            form.addRow(label, box)
        self.pairs: PairsTable | None = None
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSortRole(SORT_ROLE)
        self.table = make_pairs_view(self._sorted)
        self.table.clicked.connect(self._on_click)
        self.add(fields)
        self.add_controls()
        self.add(self.table, 1)
        self.listen(self.focus.models_changed, self.refresh)
        self.listen(self.focus.component_changed, self._show_component)
        self.refresh()

    # -- models ------------------------------------------------------------------

    def refresh(self) -> None:
        """Offer the models that the viewer shows; what is chosen stays if it can."""
        found = self.focus.models
        left, right = self.chosen()
        self._models = found
        first = self._place(left, default=0)
        second = self._place(right, default=1)
        if first == second:  # a model beside itself tells nothing: the newest other one
            second = max((i for i in range(len(found)) if i != first), default=first)
        for box, place in ((self.left, first), (self.right, second)):
            box.blockSignals(True)
            box.clear()
            box.addItems(name_models((model, "") for model in found))
            box.setCurrentIndex(place)
            box.blockSignals(False)
        self._compare()

    def chosen(self) -> tuple[LatentFaces | None, LatentFaces | None]:
        """Return the models on the left and on the right."""
        places = (box.currentIndex() for box in (self.left, self.right))
        left, right = (self._models[i] if 0 <= i < len(self._models) else None for i in places)
        return left, right

    def _place(self, model: LatentFaces | None, default: int) -> int:
        places = [i for i, each in enumerate(self._models) if each is model]
        return places[0] if places else min(default, len(self._models) - 1)

    # -- the comparison ------------------------------------------------------------

    def _compare(self) -> None:
        """Compare the chosen models, in a thread if it takes its time."""
        self._drop_job()
        left, right = self.chosen()
        if left is None or right is None or len(self._models) < 2:
            self._show(None, _NO_MODELS)
            return
        if _takes_time(left, right):
            self._start(left, right)
            return
        try:
            self._show_comparison(compare_models(left, right))
        except ValueError as error:
            self._show_failure(str(error))

    def _start(self, left: LatentFaces, right: LatentFaces) -> None:
        job = Job(iter_compare, left, right)
        job.returned.connect(self._show_comparison)
        job.failed.connect(self._show_failure)
        self._show(None, "")
        self.run(job, "Comparing ...")

    def _show_step(self, step: Any) -> None:
        self.show_progress(*step)

    def _compare_again(self) -> None:
        """Compare models that are chosen anew, after their comparison was cancelled."""
        if not self.is_working and self.pairs is None:
            self._compare()

    def cancel(self) -> None:
        """End a comparison that takes its time."""
        if self.is_working:
            self._drop_job()
            self._show(None, "Cancelled. Choose a model to compare again.")

    def _drop_job(self) -> None:
        self._abandon()
        self._sync()

    def _show_comparison(self, comparison: Comparison) -> None:
        left, right = self.chosen()
        assert left is not None
        assert right is not None
        pairs = PairsTable((left, right), comparison, self.devicePixelRatioF())
        self._show(pairs, comparison.summary())

    def _show_failure(self, why: str) -> None:
        self._show(None, why)

    def _show(self, pairs: PairsTable | None, text: str) -> None:
        self.status.value = text
        self.table.setVisible(pairs is not None)
        self.pairs = pairs
        self._sorted.setSourceModel(pairs)
        self.table.sortByColumn(SIMILARITY, Qt.SortOrder.DescendingOrder)
        self._show_component()

    # -- components --------------------------------------------------------------

    def _on_click(self, index: QModelIndex) -> None:
        """Choose the component that was clicked, and its model, in all panels."""
        if self.pairs is None:
            return
        row = self.pairs.rows[self._sorted.mapToSource(index).row()]
        side = RIGHT if index.column() == RIGHT or row[LEFT] is None else LEFT
        component, model = row[side], self.pairs.models[side]
        layers = [each for each in self.viewer.layers if each.metadata.get(MODEL_KEY) is model]
        if component is None or not layers:
            return
        if self.focus.model is not model:
            self.viewer.layers.selection.active = layers[-1]
        if self.focus.model is model:
            self.focus.select_component(int(component))

    def _show_component(self) -> None:
        """Select the row of the component that the panels are about."""
        if self.pairs is None:
            return
        component = self.focus.component
        for side in (LEFT, RIGHT):
            if self.pairs.models[side] is not self.focus.model or component is None:
                continue
            numbers = [row[side] for row in self.pairs.rows]
            index = self.pairs.index(numbers.index(component), side)
            shown = self._sorted.mapFromSource(index)
            self.table.selectRow(shown.row())
            self.table.scrollTo(shown)
            return
        self.table.clearSelection()


def _takes_time(a: LatentFaces, b: LatentFaces) -> bool:
    """Tell whether the window cannot wait for the products of components, or their pairing."""
    numbers = a.n_components, b.n_components
    return prod(numbers) * (prod(a.shape[1:]) + max(numbers)) > _AT_ONCE
