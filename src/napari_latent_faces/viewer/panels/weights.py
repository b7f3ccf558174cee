"""A list of sliders, one a component, of which only those that were seen exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QWidget,
)
from superqt import QDoubleSlider

from napari_latent_faces.viewer.canvas import component_pixmap, to_fit, to_pixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HEIGHT = 44  # of a row
_PICTURE = 38  # pixels
_NO_BUTTONS = (  # Qt 6.12 leaves no room for the number where they are turned off
    "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0px; }"
    "QAbstractSpinBox::up-arrow, QAbstractSpinBox::down-arrow { image: none; }"
)
_LARGEST = 1e6  # weight that can be typed
_MARK = 4  # width of the bar at a chosen component
_MARK_COLOUR = "#f59e0b"  # seen on light and dark themes


class JumpSlider(QDoubleSlider):
    """A slider whose handle jumps to where its groove is clicked, and can be dragged on."""

    def __init__(self) -> None:
        super().__init__(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]

    def mousePressEvent(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setSliderDown(True)  # so that the jump is part of the drag
        super().mousePressEvent(event)


class WeightRow(QWidget):
    """Shows and changes the weight of one component: number, picture, slider, number field.

    `limits` are its lowest and highest usual weight. The field shows the weight `unit` as 1:
    of signed ones, a standard deviation. The signals tell of what the user does, never of
    what the program sets.
    """

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    clicked = Signal(int)

    def __init__(
        self, component: int, pixels: NDArray[Any], limits: tuple[float, float], unit: float
    ) -> None:
        super().__init__()
        self.component, self._unit, self.is_marked = component, unit, False
        low, high = (limit / unit for limit in limits)
        is_signed = low < 0
        number, self.picture = QLabel(str(component)), QLabel()
        number.setFixedWidth(self.fontMetrics().horizontalAdvance("0000"))
        number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.picture.setFixedSize(_PICTURE, _PICTURE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        largest = float(np.abs(pixels).max()) or 1.0
        pixmap = (
            component_pixmap(pixels / largest, is_signed=True)
            if is_signed
            else to_pixmap(pixels, (0.0, largest))
        )
        box = QSize(_PICTURE, _PICTURE)
        self.picture.setPixmap(to_fit(pixmap, box, self.devicePixelRatioF()))
        self.slider, self.field = JumpSlider(), QDoubleSpinBox()
        self.slider.setRange(*limits)
        self.slider.setPageStep((limits[1] - limits[0]) / 10)
        self.slider.setSingleStep((limits[1] - limits[0]) / 100)
        self.slider.setAccessibleName(f"weight of component {component}")
        self.field.setDecimals(2 if is_signed else 4)
        self.field.setSuffix(" sd" if is_signed else "")
        self.field.setRange(-_LARGEST if is_signed else 0.0, _LARGEST)
        self.field.setSingleStep((high - low) / 20)
        self.field.setKeyboardTracking(False)
        self.field.setStyleSheet(_NO_BUTTONS)
        self.field.setFixedWidth(self.fontMetrics().horizontalAdvance("0000.0000") + 10)
        around = " standard deviations around the mean face, which is at 0" * is_signed
        tip = f"Component {component}; usual weights: {low:.3g} to {high:.3g}{around}."
        self.setToolTip(tip)
        self.field.setToolTip(f"{tip} Type any weight.")
        layout = QHBoxLayout(self)
        layout.setContentsMargins(_MARK + 4, 2, 4, 2)
        layout.setSpacing(6)
        for each in (number, self.picture, self.slider, self.field):
            layout.addWidget(each)
        for each in (self.slider, self.field):  # the wheel scrolls the list
            each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            each.installEventFilter(self)
        self.slider.sliderPressed.connect(self.began)
        self.slider.sliderReleased.connect(self.ended)
        self.slider.valueChanged.connect(lambda weight: self.moved.emit(component, weight))
        self.field.valueChanged.connect(lambda shown: self.moved.emit(component, shown * unit))

    def show_weight(self, weight: float, *, is_marked: bool) -> None:
        """Show a weight; the slider ends where usual weights end."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.field):
            if not self.slider.isSliderDown():
                self.slider.setValue(weight)
            self.field.setValue(weight / self._unit)
        self.is_marked = is_marked
        self.update()

    def eventFilter(self, _: Any, event: Any) -> bool:
        """Leave the wheel to the list, and notice clicks on slider and field."""
        if event.type() == QEvent.Type.MouseButtonPress:
            self.clicked.emit(self.component)
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False

    def mousePressEvent(self, event: Any) -> None:
        super().mousePressEvent(event)
        self.clicked.emit(self.component)

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        if self.is_marked:
            QPainter(self).fillRect(0, 2, _MARK, self.height() - 4, QColor(_MARK_COLOUR))


class WeightList(QListWidget):
    """Rows of sliders; a row is made when its component is first seen."""

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    chosen = Signal(int)  # component whose row was clicked

    def __init__(self) -> None:
        super().__init__()
        self.components: list[int] = []
        self._pictures: NDArray[Any] = np.empty((0, 1, 1))
        self._ranges: NDArray[np.float64] = np.empty((0, 2))
        self._units: NDArray[np.float64] = np.empty(0)
        self._weights: NDArray[np.float64] = np.empty(0)
        self._marked: int | None = None
        self.bar: Any = self.verticalScrollBar()
        self.setVerticalScrollMode(QListWidget.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QListWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(3 * HEIGHT)
        # as the panel: on a list's own ground, the fields of numbers are not seen
        self.setStyleSheet("WeightList, WeightList::item { background: transparent; }")

    @property
    def rows(self) -> list[WeightRow]:
        """The rows that are seen, from the top."""
        first = self.bar.value() // HEIGHT
        last = (self.bar.value() + self.height()) // HEIGHT
        return [self._row(place) for place in range(first, min(last + 1, self.count()))]

    def set_model(
        self,
        pictures: NDArray[Any],
        ranges: NDArray[np.float64],
        units: NDArray[np.float64] | None = None,
    ) -> None:
        """Take other components (k, h, w), their usual weights (k, 2), and `units` (k,)."""
        self._pictures, self._ranges = pictures, ranges
        self._units = np.ones(len(pictures)) if units is None else units
        self._weights = np.zeros(len(pictures))
        self._marked = None
        self.list_components(range(len(pictures)))

    def list_components(self, components: Sequence[int] | range) -> None:
        """List some of the components, from the top."""
        self.components = list(components)
        self.clear()
        for _ in self.components:
            item = QListWidgetItem(self)
            item.setSizeHint(QSize(0, HEIGHT))
        self.doItemsLayout()  # type: ignore[attr-defined]  # the stubs do not know it
        self.bar.setValue(0)
        self._fill()

    def set_weights(self, weights: NDArray[np.float64]) -> None:
        self._weights = weights
        self._fill()

    def mark(self, component: int | None) -> None:
        """Set a component off from the others, and scroll to it if it is listed."""
        self._marked = component
        # a row that is being clicked must stay under the mouse
        is_seen = component in {row.component for row in self.rows}
        if component in self.components and not is_seen:
            at = self.item(self.components.index(component))
            self.scrollToItem(at, QListWidget.ScrollHint.PositionAtCenter)
        self._fill()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self.updateEditorGeometries()  # Qt leaves rows as wide as they were
        self.mark(self._marked)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self._fill()

    def _fill(self) -> None:
        """Show the weights of the rows that are seen, and let Tab go from one to the next."""
        before: QWidget = self
        for row in self.rows:
            QWidget.setTabOrder(before, row.slider)
            QWidget.setTabOrder(row.slider, row.field)
            before = row.field
            is_marked = row.component == self._marked
            row.show_weight(float(self._weights[row.component]), is_marked=is_marked)

    def _row(self, place: int) -> WeightRow:
        item, component = self.item(place), self.components[place]
        row: Any = self.itemWidget(item)
        if row is None:
            low, high = self._ranges[component].tolist()
            pixels, unit = self._pictures[component], float(self._units[component])
            row = WeightRow(component, pixels, (low, high), unit)
            row.began.connect(self.began)
            row.moved.connect(self.moved)
            row.ended.connect(self.ended)
            row.clicked.connect(self.chosen)
            self.setItemWidget(item, row)
        found: WeightRow = row
        return found
