"""A list of sliders, one a component, of which only those that were seen exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy import QtWidgets as QtW
from qtpy.QtCore import QEvent, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter
from superqt import QDoubleSlider

from napari_latent_faces.viewer.canvas import component_pixmap, to_fit
from napari_latent_faces.viewer.panels.form import put

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

HEIGHT = 44  # of a row
_PICTURE = QSize(38, 38)
_NO_BUTTONS = (  # Qt 6.12 leaves no room for the number where they are turned off
    "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0px; }"
    "QAbstractSpinBox::up-arrow, QAbstractSpinBox::down-arrow { image: none; }"
)
_LARGEST = 1e6  # weight that can be typed
_MARK = 4  # width of the bar at a chosen component
_MARK_COLOUR = "#f59e0b"  # seen on light and dark themes


class WeightRow(QtW.QWidget):
    """Shows and changes the weight of one component: number, picture, slider, number field.

    The field shows the weight of a unit as 1: of signed ones, a standard deviation. The signals
    of the list tell of what the user does, never of what the program sets.
    """

    def __init__(self, owner: WeightList, component: int) -> None:
        super().__init__()
        self.component, self.is_marked, self._owner = component, False, owner
        unit = self._unit = float(owner.units[component])
        least, most = owner.ranges[component].tolist()
        low, high, is_signed = least / unit, most / unit, least < 0
        number, self.picture = QtW.QLabel(str(component)), QtW.QLabel()
        number.setFixedWidth(self.fontMetrics().horizontalAdvance("0000"))
        number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.picture.setFixedSize(_PICTURE)
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        pixels = owner.pictures[component]
        pixmap = component_pixmap(pixels / (np.abs(pixels).max() or 1.0), is_signed=is_signed)
        self.picture.setPixmap(to_fit(pixmap, _PICTURE, self.devicePixelRatioF()))
        self.slider = QDoubleSlider(Qt.Orientation.Horizontal)  # type: ignore[no-untyped-call]
        self.slider.setRange(least, most)
        self.slider.setPageStep((most - least) / 10)
        self.slider.setSingleStep((most - least) / 100)
        self.slider.setAccessibleName(f"weight of component {component}")
        self.field = QtW.QDoubleSpinBox()
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
        layout = QtW.QHBoxLayout(self)
        put(layout, number, self.picture, self.slider, self.field)
        layout.setContentsMargins(_MARK + 4, 2, 4, 2)
        layout.setSpacing(6)
        for each in (self.slider, self.field):  # the wheel scrolls the list
            each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            each.installEventFilter(self)
        self.slider.sliderPressed.connect(owner.began)
        self.slider.sliderReleased.connect(owner.ended)
        self.slider.valueChanged.connect(lambda weight: owner.moved.emit(component, weight))
        self.field.valueChanged.connect(lambda n: owner.moved.emit(component, n * unit))

    def show_weight(self, weight: float, *, is_marked: bool) -> None:
        """Show a weight; the slider ends where usual weights end."""
        with QSignalBlocker(self.slider), QSignalBlocker(self.field):
            if not self.slider.isSliderDown():
                self.slider.setValue(weight)
            self.field.setValue(weight / self._unit)
        self.is_marked = is_marked
        self.update()

    def eventFilter(self, part: Any, event: Any) -> bool:
        """Leave the wheel to the list, and notice clicks on slider and field."""
        if event.type() == QEvent.Type.MouseButtonPress:
            self._owner.chosen.emit(self.component)
            if part is self.slider and event.button() == Qt.MouseButton.LeftButton:
                self.slider.setSliderDown(True)  # so that its jump there is part of the drag
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False

    def mousePressEvent(self, event: Any) -> None:
        super().mousePressEvent(event)
        self._owner.chosen.emit(self.component)

    def paintEvent(self, event: Any) -> None:
        super().paintEvent(event)
        if self.is_marked:
            QPainter(self).fillRect(0, 2, _MARK, self.height() - 4, QColor(_MARK_COLOUR))


class WeightList(QtW.QListWidget):
    """Rows of sliders; a row is made when its component is first seen."""

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    chosen = Signal(int)  # component whose row was clicked

    def __init__(self) -> None:
        super().__init__()
        self.components: list[int] = []
        self._weights: Floats = np.empty(0)
        self.marked: int | None = None  # the component that is set off
        self.bar: Any = self.verticalScrollBar()
        self.setVerticalScrollMode(QtW.QListWidget.ScrollMode.ScrollPerPixel)
        self.setSelectionMode(QtW.QListWidget.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(3 * HEIGHT)
        # as the panel: on a list's own ground, the fields of numbers are not seen
        self.setStyleSheet("WeightList, WeightList::item { background: transparent; }")

    @property
    def rows(self) -> list[WeightRow]:
        first, end = self.bar.value() // HEIGHT, (self.bar.value() + self.height()) // HEIGHT
        items = [self.item(place) for place in range(first, min(end + 1, self.count()))]
        for item, component in zip(items, self.components[first:], strict=False):
            if self.itemWidget(item) is None:
                self.setItemWidget(item, WeightRow(self, component))
        found: list[Any] = [self.itemWidget(item) for item in items]
        return found

    def set_model(
        self, pictures: NDArray[Any], ranges: Floats, units: Floats | None = None
    ) -> None:
        """Take other components (k, h, w), their usual weights (k, 2), and `units` (k,)."""
        self.pictures, self.ranges = pictures, ranges
        self.units = np.ones(len(pictures)) if units is None else units
        self._weights, self.marked = np.zeros(len(pictures)), None
        self.list_components(range(len(pictures)))

    def list_components(self, components: Iterable[int]) -> None:
        self.components = list(components)
        self.clear()
        for _ in self.components:
            QtW.QListWidgetItem(self).setSizeHint(QSize(0, HEIGHT))
        self.doItemsLayout()  # type: ignore[attr-defined]  # the stubs do not know it
        self.bar.setValue(0)
        self._fill()

    def set_weights(self, weights: Floats) -> None:
        self._weights = weights
        self._fill()

    def mark(self, component: int | None) -> None:
        """Set a component off from the others, and scroll to it if it is listed."""
        self.marked = component
        # a row that is being clicked must stay under the mouse
        is_seen = component in {row.component for row in self.rows}
        if component in self.components and not is_seen:
            at = self.item(self.components.index(component))
            self.scrollToItem(at, QtW.QListWidget.ScrollHint.PositionAtCenter)
        self._fill()

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self.updateEditorGeometries()  # Qt leaves rows as wide as they were
        self.mark(self.marked)

    def scrollContentsBy(self, dx: int, dy: int) -> None:
        super().scrollContentsBy(dx, dy)
        self._fill()

    def _fill(self) -> None:
        """Show the weights of the rows that are seen, and let Tab go from one to the next."""
        before: QtW.QWidget = self
        for row in self.rows:
            QtW.QWidget.setTabOrder(before, row.slider)
            QtW.QWidget.setTabOrder(row.slider, row.field)
            before = row.field
            is_marked = row.component == self.marked
            row.show_weight(float(self._weights[row.component]), is_marked=is_marked)
