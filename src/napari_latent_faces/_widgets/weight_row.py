"""One component of a mixed face: its number, its picture, a slider and a number field."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import (  # type: ignore[attr-defined]
    QEvent,
    QSignalBlocker,
    QSize,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QLabel, QSlider, QWidget

if TYPE_CHECKING:
    from qtpy.QtCore import QObject
    from qtpy.QtGui import QMouseEvent, QPaintEvent, QPixmap

__all__ = ["HEIGHT", "PICTURE", "WeightRow"]

HEIGHT = 44
PICTURE = 38  # pixels
_NO_BUTTONS = (  # Qt 6.12 leaves no room for the number where they are turned off
    "QAbstractSpinBox::up-button, QAbstractSpinBox::down-button { width: 0px; }"
    "QAbstractSpinBox::up-arrow, QAbstractSpinBox::down-arrow { image: none; }"
)
_STEPS = 1000  # of a slider
_LARGEST = 1e6  # weight that can be typed
_MARK = 4  # width of the bar at a chosen component
_MARK_COLOUR = "#f59e0b"  # seen on light and dark themes


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
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.field = QDoubleSpinBox()
        self._lay_out()
        self.slider.sliderPressed.connect(self.began)
        self.slider.sliderReleased.connect(self.ended)
        self.slider.valueChanged.connect(self._on_slider)
        self.field.valueChanged.connect(self._on_field)

    def _lay_out(self) -> None:
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

    def show_component(
        self, component: int, picture: QPixmap, limits: tuple[float, float], unit: float = 1.0
    ) -> None:
        """Show another component.

        Parameters
        ----------
        component : int
            Which one.
        picture : QPixmap
            Its picture.
        limits : tuple of float
            Its lowest and highest usual weight.
        unit : float
            The weight that the number field shows as 1: of signed components a standard
            deviation.
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
        """Set the row off from the others, or no more."""
        if is_marked != self._is_marked:
            self._is_marked = is_marked
            self.update()

    def _on_slider(self, step: int) -> None:
        weight = self._low + (self._high - self._low) * step / _STEPS
        self.moved.emit(self.component, weight)

    def _on_field(self, number: float) -> None:
        self.moved.emit(self.component, number * self._unit)

    def eventFilter(self, _: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Leave the wheel to the list, and notice clicks on slider and field."""
        if event is None:
            return False
        if event.type() == QEvent.Type.MouseButtonPress:
            self.clicked.emit(self.component)
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False

    def mousePressEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Tell of a click."""
        super().mousePressEvent(event)
        self.clicked.emit(self.component)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw the mark."""
        super().paintEvent(event)
        if self._is_marked:
            QPainter(self).fillRect(0, 2, _MARK, self.height() - 4, QColor(_MARK_COLOUR))
