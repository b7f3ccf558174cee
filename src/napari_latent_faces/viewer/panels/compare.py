"""The panel that puts two models of one stack side by side."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QModelIndex, QSize, Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QHeaderView, QSizePolicy, QWidget

from napari_latent_faces.explaining import compare_models, iter_compare
from napari_latent_faces.viewer.canvas import component_pixmap
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.panels.form import allow_long_names, name_models
from napari_latent_faces.viewer.panels.panel import Panel
from napari_latent_faces.viewer.panels.pictures import Rows, RowsView

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from qtpy.QtGui import QPixmap

    from napari_latent_faces.explaining import Comparison
    from napari_latent_faces.model import LatentFaces

_LEFT, _RIGHT, _SIMILARITY = range(3)  # the columns
_THUMBNAIL = QSize(72, 72)  # pixels
_AT_ONCE = 2**28  # multiplications that the window can wait for
_NO_MODELS = (
    "Two models of the same faces are compared here. Fit them with two methods, or with "
    "Update earlier results off (under Advanced), or open their files."
)


class Pairs(Rows):
    """Pairs of components of two models, and those without a partner."""

    heads = "Left", "Right", "Similarity"

    def __init__(self, ratio: float) -> None:
        super().__init__(_THUMBNAIL, ratio)
        self.models: tuple[LatentFaces, ...] = ()
        self.rows: list[tuple[int | None, int | None, float | None]] = []

    def show_pairs(self, models: tuple[LatentFaces, LatentFaces], found: Comparison) -> None:
        self.models, matching = models, found.matching
        self.rows = [
            (int(a), int(b), float(alike))
            for (a, b), alike in zip(matching.pairs, matching.similarity, strict=True)
        ]
        self.rows += [(int(a), None, None) for a in matching.unmatched[0]]
        self.rows += [(None, int(b), None) for b in matching.unmatched[1]]
        self.put(len(self.rows))

    def clear(self) -> None:
        self.models, self.rows = (), []
        self.put(0)

    def cell(self, row: int, column: int, role: int) -> Any:
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self.rows[row][column]
        if value is None:
            return "\N{EM DASH}"
        return f"{value:.3f}" if column == _SIMILARITY else str(value)

    def picture(self, row: int, column: int) -> QPixmap | None:
        component = self.rows[row][column]
        if component is None or column == _SIMILARITY:
            return None
        model = self.models[column]
        return component_pixmap(model.components[int(component)], is_signed=model.is_signed)

    def keys(self, column: int) -> NDArray[Any]:
        return np.array([-1.0 if row[column] is None else row[column] for row in self.rows])


class CompareWidget(Panel):
    """Shows the components of two models in pairs, the most similar first."""

    page = "compare-models"
    cancel_tip = "End the comparison (Esc)."

    def _lay_out(self) -> None:
        self._models: list[LatentFaces] = []
        self._marked: int | None = None  # the component whose row is selected
        self.left, self.right = QComboBox(), QComboBox()
        fields = QWidget()
        form = QFormLayout(fields)
        form.setContentsMargins(0, 0, 0, 0)
        for label, box in (("Left", self.left), ("Right", self.right)):
            box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            allow_long_names(box)
            box.setToolTip("A model of the layers: two fits of the same faces.")
            box.currentIndexChanged.connect(self._compare)
            box.activated.connect(self._compare_again)
            form.addRow(label, box)
        self.pairs = Pairs(self.devicePixelRatioF())
        self.table = RowsView(_THUMBNAIL.height() + 8)
        self.table.setModel(self.pairs)
        self.table.setIconSize(_THUMBNAIL)
        self.table.setToolTip("Click a picture to choose this component in all panels.")
        columns: Any = self.table.horizontalHeader()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for signal in (self.table.clicked, self.table.activated):  # by mouse, and by Enter
            signal.connect(self._on_click)
        self.add(fields)
        self.add_controls()
        self.add(self.table, 1)
        self.refresh()

    def synchronize(self) -> None:
        super().synchronize()
        if [id(each) for each in self._models] != [id(each) for each in self.session.models]:
            self.refresh()
        if self.session.component != self._marked:
            self._show_component()

    # -- models ------------------------------------------------------------------

    def refresh(self) -> None:
        """Offer the models that the viewer shows; what is chosen stays if it can."""
        found = self.session.models
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
            self._show_words(_NO_MODELS)
        elif _takes_time(left, right):
            job = Job(iter_compare, left, right)
            job.returned.connect(self._show_comparison)
            job.failed.connect(self._show_words)
            self._show_words("")
            self.run(job, "Comparing ...")
        else:
            try:
                self._show_comparison(compare_models(left, right))
            except ValueError as error:
                self._show_words(str(error))

    def _show_step(self, step: Any) -> None:
        self.show_progress(*step)

    def _compare_again(self) -> None:
        """Compare models that are chosen anew, after their comparison was cancelled."""
        if not self.is_working and not self.pairs.rows:
            self._compare()

    def cancel(self) -> None:
        if self.is_working:
            self._drop_job()
            self._show_words("Cancelled. Choose a model to compare again.")

    def _drop_job(self) -> None:
        self._abandon()
        self.synchronize()

    def _show_comparison(self, comparison: Comparison) -> None:
        left, right = self.chosen()
        assert left is not None
        assert right is not None
        self.status.value = comparison.summary()
        self.pairs.show_pairs((left, right), comparison)
        self.table.sortByColumn(_SIMILARITY, Qt.SortOrder.DescendingOrder)
        self.table.show()
        self._show_component()

    def _show_words(self, text: str) -> None:
        """Show no pairs, and say why."""
        self.status.value = text
        self.pairs.clear()
        self.table.hide()

    # -- components --------------------------------------------------------------

    def _on_click(self, index: QModelIndex) -> None:
        """Choose the component that was clicked, and its model, in all panels."""
        row = self.pairs.rows[self.pairs.row_at(index.row())]
        side = _RIGHT if index.column() == _RIGHT or row[_LEFT] is None else _LEFT
        component, model = row[side], self.pairs.models[side]
        layers = [each for each in self.viewer.layers if each.metadata.get(MODEL_KEY) is model]
        if component is None or not layers:
            return
        if self.session.model is not model:
            self.viewer.layers.selection.active = layers[-1]
        if self.session.model is model:
            self.session.select_component(int(component))

    def _show_component(self) -> None:
        """Select the row of the component that the panels are about."""
        component = self._marked = self.session.component
        for side, model in enumerate(self.pairs.models):
            if model is self.session.model and component is not None:
                numbers = [row[side] for row in self.pairs.rows]
                place = self.pairs.place_of(numbers.index(component))
                self.table.selectRow(place)
                self.table.scrollTo(self.pairs.index(place, side))
                return
        self.table.clearSelection()


def _takes_time(a: LatentFaces, b: LatentFaces) -> bool:
    """Tell whether the window cannot wait for the products of components, or their pairing."""
    numbers = a.n_components, b.n_components
    return prod(numbers) * (prod(a.shape[1:]) + max(numbers)) > _AT_ONCE
