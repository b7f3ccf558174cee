"""Boxes of names that may be longer than the panel is wide."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QRect, Qt
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QComboBox, QStyle, QStyleOptionComboBox, QStylePainter, QToolTip

__all__ = ["allow_long_names", "is_shortened"]

_LEAST = 8  # letters that are always seen


def allow_long_names(box: QComboBox) -> None:
    """Let a box be narrower than its entries.

    A name that does not fit loses its middle, and is whole in the tooltip.

    Parameters
    ----------
    box : QComboBox
        The box, which is not editable.
    """
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(_LEAST)
    names = box.view()
    assert names is not None
    names.setTextElideMode(Qt.TextElideMode.ElideMiddle)
    box.installEventFilter(_LongNames(box))


def is_shortened(box: QComboBox) -> bool:
    """Tell whether the chosen name is too long for its box."""
    room = _room(box, _option(box)).width()
    return bool(box.fontMetrics().horizontalAdvance(box.currentText()) > room)


class _LongNames(QObject):
    """Paints a box, and says what its tooltip says, with a name that may not fit."""

    def eventFilter(self, box: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        if event is None or event.type() not in {QEvent.Type.Paint, QEvent.Type.ToolTip}:
            return False  # a box that is being destroyed cannot be asked for its style
        if not isinstance(box, QComboBox) or not is_shortened(box):
            return False
        if event.type() == QEvent.Type.Paint:
            _paint(box)
            return True
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            words = "\n\n".join(filter(None, (box.currentText(), box.toolTip())))
            QToolTip.showText(event.globalPos(), words, box)
            return True
        return False


def _option(box: QComboBox) -> QStyleOptionComboBox:
    option = QStyleOptionComboBox()
    box.initStyleOption(option)
    return option


def _room(box: QComboBox, option: QStyleOptionComboBox) -> QRect:
    """Return where the name is written."""
    style = box.style()
    control, part = QStyle.ComplexControl.CC_ComboBox, QStyle.SubControl.SC_ComboBoxEditField
    return QRect() if style is None else style.subControlRect(control, option, part, box)


def _paint(box: QComboBox) -> None:
    option = _option(box)
    option.currentText = box.fontMetrics().elidedText(
        box.currentText(), Qt.TextElideMode.ElideMiddle, _room(box, option).width()
    )
    painter = QStylePainter(box)
    painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
    painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)
    painter.end()  # Qt crashes where one is left open
