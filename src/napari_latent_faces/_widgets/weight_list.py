"""A list of sliders, one a component, of which only those that are seen exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractScrollArea, QScrollBar, QWidget

from napari_latent_faces._widgets.pictures import component_pixmap, to_fit, to_pixmap
from napari_latent_faces._widgets.weight_row import HEIGHT, PICTURE, WeightRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPixmap, QResizeEvent, QWheelEvent

__all__ = ["WeightList"]


class WeightList(QAbstractScrollArea):
    """Rows of sliders; however many components there are, only a window full is made.

    Scrolling gives the rows other components, in steps of one row.
    """

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    clicked = Signal(int)  # component

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: list[WeightRow] = []
        self._components: list[int] = []
        self._pictures: NDArray[Any] = np.empty((0, 1, 1))
        self._ranges: NDArray[np.float64] = np.empty((0, 2))
        self._units: NDArray[np.float64] = np.empty(0)
        self._weights: NDArray[np.float64] = np.empty(0)
        self._pixmaps: dict[int, QPixmap] = {}
        self._marked: int | None = None
        self._bar, self._port = QScrollBar(self), QWidget(self)
        self.setVerticalScrollBar(self._bar)
        self.setViewport(self._port)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(3 * HEIGHT)

    # -- what is shown ---------------------------------------------------------

    @property
    def components(self) -> list[int]:
        """The components that are listed."""
        return list(self._components)

    @property
    def rows(self) -> list[WeightRow]:
        """The rows that are seen."""
        return [row for row in self._rows if not row.isHidden()]

    def set_model(
        self,
        pictures: NDArray[Any],
        ranges: NDArray[np.float64],
        units: NDArray[np.float64] | None = None,
    ) -> None:
        """Take other components, shape (k, h, w), and their usual weights, shape (k, 2).

        Number fields show weights in `units`, shape (k,), if they are given.
        """
        self._pictures, self._ranges = pictures, ranges
        self._units = np.ones(len(pictures)) if units is None else units
        self._weights = np.zeros(len(pictures))
        self._pixmaps.clear()
        self._marked = None
        for row in self._rows:  # a drag of one must not go on with another component
            row.hide()
            row.deleteLater()
        self._rows.clear()
        self.list_components(range(len(pictures)))

    def list_components(self, components: Sequence[int] | range) -> None:
        """List some of the components, from the top."""
        self._components = list(components)
        self._set_scroll_range()
        self._bar.setValue(0)
        self._fill()

    def set_weights(self, weights: NDArray[np.float64]) -> None:
        """Show weights, shape (k,)."""
        self._weights = weights
        for row in self.rows:
            row.show_weight(float(weights[row.component]))

    def mark(self, component: int | None) -> None:
        """Set a component off from the others, and scroll to it if it is listed."""
        self._marked = component
        # a row that is being clicked must stay under the mouse
        is_seen = component in {row.component for row in self.rows}
        if component in self._components and not is_seen:
            at = self._components.index(component)
            self._bar.setValue(at - self._whole_rows // 2)
        self._fill()

    # -- rows ------------------------------------------------------------------

    @property
    def _whole_rows(self) -> int:
        return max(1, self._port.height() // HEIGHT)

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        """Show as many rows as there is room for."""
        super().resizeEvent(event)
        self._set_scroll_range()
        self._fill()

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:  # noqa: N802
        """Give the rows other components."""
        self._fill()

    def wheelEvent(self, event: QWheelEvent | None) -> None:  # noqa: N802
        """Scroll, unless a slider is being dragged, which must keep its component."""
        if not any(row.slider.isSliderDown() for row in self._rows):
            super().wheelEvent(event)

    def _set_scroll_range(self) -> None:
        self._bar.setRange(0, max(0, len(self._components) - self._whole_rows))
        self._bar.setPageStep(self._whole_rows)

    def _fill(self) -> None:
        """Bring the rows in line with the scroll bar."""
        first = self._bar.value()
        seen = self._components[first : first + self._whole_rows + 1]
        while len(self._rows) < len(seen):
            self._rows.append(self._make_row())
        for place, row in enumerate(self._rows):
            row.setVisible(place < len(seen))
            if place < len(seen):
                self._fill_row(row, seen[place], place)

    def _fill_row(self, row: WeightRow, component: int, place: int) -> None:
        low, high = self._ranges[component]
        row.setGeometry(0, place * HEIGHT, self._port.width(), HEIGHT)
        limits, unit = (float(low), float(high)), float(self._units[component])
        row.show_component(component, self._pixmap(component), limits, unit)
        row.show_weight(float(self._weights[component]))
        row.mark(component == self._marked)

    def _make_row(self) -> WeightRow:
        row = WeightRow(self._port)
        before = self._rows[-1].field if self._rows else self
        QWidget.setTabOrder(before, row.slider)
        QWidget.setTabOrder(row.slider, row.field)
        row.began.connect(self.began)
        row.moved.connect(self.moved)
        row.ended.connect(self.ended)
        row.clicked.connect(self.clicked)
        return row

    def _pixmap(self, component: int) -> QPixmap:
        if component not in self._pixmaps:
            self._pixmaps[component] = to_fit(
                self._drawn(component), QSize(PICTURE, PICTURE), self.devicePixelRatioF()
            )
        return self._pixmaps[component]

    def _drawn(self, component: int) -> QPixmap:
        """Return a component in its two colours if its weights are signed, else in grey."""
        picture = self._pictures[component]
        high = float(np.abs(picture).max()) or 1.0
        if self._ranges[component, 0] < 0:
            return component_pixmap(picture / high, is_signed=True)
        return to_pixmap(picture, (0.0, high))
