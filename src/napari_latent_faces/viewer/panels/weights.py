"""A list of sliders, one a component."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QSignalBlocker, QSize, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractScrollArea,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QScrollBar,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QWidget,
)

from napari_latent_faces.viewer.canvas import component_pixmap, to_fit, to_pixmap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from qtpy.QtGui import QPixmap

# -- One component of a mixed face: its number, its picture, a slider and a number field

HEIGHT = 44
PICTURE = 38  # pixels
_NO_BUTTONS = (  # Qt 6.12 leaves no room for the number where they are turned off
    "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0px; }"
    "QAbstractSpinBox::up-arrow, QAbstractSpinBox::down-arrow { image: none; }"
)
_STEPS = 1000  # of a slider
_LARGEST = 1e6  # weight that can be typed
_LEFT = Qt.MouseButton.LeftButton
_MARK = 4  # width of the bar at a chosen component
_MARK_COLOUR = "#f59e0b"  # seen on light and dark themes


class JumpSlider(QSlider):
    """A slider whose handle jumps to where its groove is clicked, and can be dragged on."""

    def mousePressEvent(self, event: Any) -> None:
        """Bring the handle under the mouse; Qt would move it by a page."""
        style, option = self.style(), QStyleOptionSlider()
        if style is not None and event.button() == _LEFT:
            self.initStyleOption(option)
            kind, part = QStyle.ComplexControl.CC_Slider, QStyle.SubControl.SC_SliderHandle
            handle = style.subControlRect(kind, option, part, self)
            at, room = event.position().toPoint(), self.width() - handle.width()
            if not handle.contains(at):
                place = at.x() - handle.width() // 2
                self.setSliderDown(True)
                self.setSliderPosition(
                    style.sliderValueFromPosition(self.minimum(), self.maximum(), place, room)
                )
        super().mousePressEvent(event)


class WeightRow(QWidget):
    """Shows and changes the weight of one component; which one may change.

    The signals tell of what the user does, never of what the program sets.
    """

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    clicked = Signal(int)

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.component = -1
        self._low, self._high = 0.0, 1.0
        self._unit = 1.0
        self._is_marked = False
        self.number = QLabel()
        self.picture = QLabel()
        self.slider = JumpSlider(Qt.Orientation.Horizontal)
        self.field = QDoubleSpinBox()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(_MARK + 4, 2, 4, 2)
        layout.setSpacing(6)
        self.number.setFixedWidth(self.fontMetrics().horizontalAdvance("0000"))
        self.number.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.picture.setFixedSize(QSize(PICTURE, PICTURE))
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.slider.setRange(0, _STEPS)
        self.slider.setPageStep(_STEPS // 10)
        self.slider.setSingleStep(_STEPS // 100)
        self.field.setDecimals(4)
        self.field.setKeyboardTracking(False)
        self.field.setStyleSheet(_NO_BUTTONS)
        self.field.setFixedWidth(self.fontMetrics().horizontalAdvance("0000.0000") + 10)
        for each in (self.number, self.picture, self.slider, self.field):
            layout.addWidget(each)
        for each in (self.slider, self.field):  # the wheel scrolls the list
            each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            each.installEventFilter(self)
        self.slider.sliderPressed.connect(self.began)
        self.slider.sliderReleased.connect(self.ended)
        self.slider.valueChanged.connect(self._on_slider)
        self.field.valueChanged.connect(self._on_field)

    def show_component(
        self, component: int, picture: QPixmap, limits: tuple[float, float], unit: float = 1.0
    ) -> None:
        """Show another component, with its lowest and highest usual weight.

        The number field shows the weight `unit` as 1: of signed ones, a standard deviation.
        """
        if component == self.component:
            return
        for each in (self.slider, self.field):
            each.clearFocus()  # what is typed next must not change another component
        self.component = component
        self._low, self._high = limits
        self._unit = unit
        self.number.setText(str(component))
        self.picture.setPixmap(picture)
        low, high = (limit / unit for limit in limits)
        tip = f"Component {component}; usual weights: {low:.3g} to {high:.3g}"
        around = " standard deviations around the mean face, which is at 0"
        self.setToolTip(f"{tip}{around if low < 0 else ''}.")
        self.field.setToolTip(f"{self.toolTip()} Type any weight.")
        self.slider.setAccessibleName(f"weight of component {component}")
        with QSignalBlocker(self.field):
            self.field.setRange(-_LARGEST if self._low < 0 else 0.0, _LARGEST)
            self.field.setSingleStep((high - low) / 20)
            self.field.setDecimals(2 if low < 0 else 4)
            self.field.setSuffix(" sd" if low < 0 else "")

    def show_weight(self, weight: float) -> None:
        """Show a weight; the slider ends where usual weights end."""
        share = (weight - self._low) / ((self._high - self._low) or 1.0)
        with QSignalBlocker(self.slider), QSignalBlocker(self.field):
            if not self.slider.isSliderDown():
                self.slider.setValue(round(min(max(share, 0.0), 1.0) * _STEPS))
            self.field.setValue(weight / self._unit)

    def mark(self, is_marked: bool) -> None:
        if is_marked != self._is_marked:
            self._is_marked = is_marked
            self.update()

    def _on_slider(self, step: int) -> None:
        weight = self._low + (self._high - self._low) * step / _STEPS
        self.moved.emit(self.component, weight)

    def _on_field(self, number: float) -> None:
        self.moved.emit(self.component, number * self._unit)

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
        if self._is_marked:
            QPainter(self).fillRect(0, 2, _MARK, self.height() - 4, QColor(_MARK_COLOUR))


# -- A list of sliders, one a component, of which only those that are seen exist -------


class WeightList(QAbstractScrollArea):
    """Rows of sliders; however many components there are, only a window full is made.

    Scrolling gives the rows other components, in steps of one row.
    """

    began = Signal()  # a drag
    moved = Signal(int, float)  # component, weight
    ended = Signal()
    clicked = Signal(int)  # component

    def __init__(self) -> None:
        super().__init__()
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
        """Take other components (k, h, w), their usual weights (k, 2), and `units` (k,)."""
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

    def resizeEvent(self, event: Any) -> None:
        super().resizeEvent(event)
        self._set_scroll_range()
        self._fill()

    def scrollContentsBy(self, _dx: int, _dy: int) -> None:
        self._fill()

    def wheelEvent(self, event: Any) -> None:
        # a slider that is being dragged must keep its component
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
                component = seen[place]
                low, high = self._ranges[component].tolist()
                row.setGeometry(0, place * HEIGHT, self._port.width(), HEIGHT)
                picture, unit = self._pixmap(component), float(self._units[component])
                row.show_component(component, picture, (low, high), unit)
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
        """Return a component in its two colours if its weights are signed, else in grey."""
        if component not in self._pixmaps:
            picture = self._pictures[component]
            high = float(np.abs(picture).max()) or 1.0
            if self._ranges[component, 0] < 0:
                drawn = component_pixmap(picture / high, is_signed=True)
            else:
                drawn = to_pixmap(picture, (0.0, high))
            box = QSize(PICTURE, PICTURE)
            self._pixmaps[component] = to_fit(drawn, box, self.devicePixelRatioF())
        return self._pixmaps[component]
