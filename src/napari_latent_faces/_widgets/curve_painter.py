"""Curves over the number of components, drawn by Qt."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen

from napari_latent_faces._widgets.curve_sheet import PADDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_latent_faces._widgets.curve_sheet import Curve, Sheet
    from napari_latent_faces.choosing.axes import Axis

__all__ = ["Marked", "paint_curves"]

# Okabe and Ito's colours, told apart by colour-blind people; which one, by the background.
_ON_DARK = ("#e69f00", "#56b4e9", "#2fc29b")
_ON_LIGHT = ("#b45f00", "#0072b2", "#00795a")
_DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
_LINE, _DOT, _RING = 1.8, 3.2, 6.5  # pixels


@dataclass(frozen=True)
class Marked:
    """The numbers of components that are set off from the others.

    Parameters
    ----------
    suggested : int or None
        Has a dashed line.
    chosen : int or None
        Its points are ringed.
    hovered : int or None
        Has a faint line.
    """

    suggested: int | None = None
    chosen: int | None = None
    hovered: int | None = None


def paint_curves(widget: QWidget, sheet: Sheet, marked: Marked) -> None:
    """Draw all panels on a widget, in its font and its colours.

    Parameters
    ----------
    widget : QWidget
        The widget, in its paint event.
    sheet : Sheet
        What is drawn, and where.
    marked : Marked
        What is set off.
    """
    with _painting(widget) as painter:
        _Drawing(painter, sheet, marked, widget.palette()).paint()


class _Drawing:
    """One drawing of a sheet."""

    def __init__(
        self, painter: QPainter, sheet: Sheet, marked: Marked, palette: QPalette
    ) -> None:
        self._painter, self._sheet, self._marked = painter, sheet, marked
        self._ink = palette.color(QPalette.ColorRole.WindowText)
        self._k_axis = sheet.k_axis()

    def paint(self) -> None:
        for i, (panel, frame) in enumerate(
            zip(self._sheet.panels, self._sheet.frames(), strict=True)
        ):
            axis = self._sheet.value_axis(i)
            self._paint_frame(frame, axis)
            self._paint_legend(panel.curves, frame)
            for curve in panel.curves:
                self._paint_curve(curve, axis)
        if self._sheet.panels:
            self._paint_k_axis()

    def _faint(self, alpha: int) -> QColor:
        ink = QColor(self._ink)
        ink.setAlpha(alpha)
        return ink

    def _colour(self, curve: Curve) -> QColor:
        is_dark = self._ink.lightness() > 127
        return QColor((_ON_DARK if is_dark else _ON_LIGHT)[curve.colour])

    def _paint_frame(self, frame: QRectF, axis: Axis) -> None:
        """Draw the frame, the values beside it, and the lines of marked k."""
        line, painter = self._sheet.line_height, self._painter
        ticks = axis.ticks(max(2, int(frame.height() / (2 * line))))
        digits = _digits(ticks)
        for tick in ticks:
            y = axis.place(tick)
            painter.setPen(self._faint(40))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            place = QRectF(0, y - line / 2, frame.left() - PADDING, line)
            painter.setPen(self._ink)
            painter.drawText(place, Qt.AlignmentFlag.AlignRight, f"{tick:.{digits}f}")
        painter.setPen(self._faint(120))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame)
        self._paint_marks(frame)

    def _paint_marks(self, frame: QRectF) -> None:
        for k, style, alpha in (
            (self._marked.suggested, Qt.PenStyle.DashLine, 220),
            (self._marked.hovered, Qt.PenStyle.SolidLine, 90),
        ):
            if k is not None:
                self._painter.setPen(QPen(self._faint(alpha), 1.2, style))
                x = self._k_axis.place(k)
                self._painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))

    def _paint_legend(self, curves: Sequence[Curve], frame: QRectF) -> None:
        """Name the curves above the panel, each after a piece of its line."""
        metrics, painter, x = self._sheet.metrics, self._painter, frame.left()
        y = frame.top() - PADDING / 2 - self._sheet.line_height / 2
        for curve in curves:
            painter.setPen(QPen(self._colour(curve), _LINE, _DASHES[curve.colour]))
            painter.drawLine(QPointF(x, y), QPointF(x + 22, y))
            self._paint_marker(QPointF(x + 11, y), curve)
            painter.setPen(self._ink)
            painter.drawText(QPointF(x + 27, y + metrics.ascent() / 2 - 1), curve.name)
            x += 27 + metrics.horizontalAdvance(curve.name) + 3 * PADDING

    def _paint_curve(self, curve: Curve, values: Axis) -> None:
        axis, colour, painter = self._k_axis, self._colour(curve), self._painter
        ks = self._sheet.ks
        points = [
            QPointF(axis.place(k), values.place(value))
            for k, value in zip(ks, curve.values, strict=True)
        ]
        painter.setPen(QPen(colour, _LINE, _DASHES[curve.colour]))
        for first, second in pairwise(points):
            painter.drawLine(first, second)
        painter.setPen(QPen(colour, _LINE))
        for point, value, bar in zip(points, curve.values, curve.bars, strict=False):
            low, high = values.place(value - bar), values.place(value + bar)
            painter.drawLine(QPointF(point.x(), low), QPointF(point.x(), high))
        for k, point in zip(ks, points, strict=True):
            self._paint_marker(point, curve)
            if k == self._marked.chosen:
                painter.setPen(QPen(self._ink, _LINE))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(point, _RING, _RING)

    def _paint_marker(self, point: QPointF, curve: Curve) -> None:
        """Draw a dot, a square or a diamond: colour alone would not do for all people."""
        painter = self._painter
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colour(curve))
        if curve.colour == 0:
            painter.drawEllipse(point, _DOT, _DOT)
            return
        painter.save()
        painter.translate(point)
        painter.rotate(45 * (curve.colour - 1))
        painter.drawRect(QRectF(-_DOT, -_DOT, 2 * _DOT, 2 * _DOT))
        painter.restore()

    def _paint_k_axis(self) -> None:
        """Write the numbers of components below the last panel."""
        axis, line, painter = self._k_axis, self._sheet.line_height, self._painter
        top = self._sheet.frames()[-1].bottom() + 2
        painter.setPen(self._ink)
        room = int((axis.end - axis.start) / (2 * line)) or 1
        centre = Qt.AlignmentFlag.AlignHCenter
        for tick in axis.ticks(room):
            if tick == int(tick):
                place = QRectF(axis.place(tick) - 30, top, 60, line)
                painter.drawText(place, centre, f"{tick:.0f}")
        label = QRectF(0, top + line, self._sheet.size.width(), line)
        painter.drawText(label, centre, self._k_label())

    def _k_label(self) -> str:
        suggested = self._marked.suggested
        marked = "" if suggested is None else f" (dashed: {suggested}, suggested)"
        return f"number of components k{marked}"


def _digits(ticks: Sequence[float]) -> int:
    """Return how many digits after the point tell all ticks apart."""
    return next(
        (n for n in range(9) if all(round(each, n) == round(each, 9) for each in ticks)), 9
    )


class _painting:  # noqa: N801
    """A painter that is ended whatever happens: Qt crashes where one is left open."""

    def __init__(self, widget: QWidget) -> None:
        self._painter = QPainter(widget)

    def __enter__(self) -> QPainter:
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        return self._painter

    def __exit__(self, *_: object) -> None:
        self._painter.end()
