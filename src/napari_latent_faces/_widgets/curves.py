"""Curves over the number of components, drawn by Qt: napari brings no plotting library."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_latent_faces.choosing.axes import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtGui import QMouseEvent, QPaintEvent

__all__ = ["Curve", "CurvesPlot", "Panel"]

# Okabe and Ito's colours, told apart by colour-blind people; which one, by the background.
_ON_DARK = ("#e69f00", "#56b4e9", "#2fc29b")
_ON_LIGHT = ("#b45f00", "#0072b2", "#00795a")
_DASHES = (Qt.PenStyle.SolidLine, Qt.PenStyle.DashLine, Qt.PenStyle.DotLine)
_LINE, _DOT, _RING = 1.8, 3.2, 6.5  # pixels
_PADDING = 6
_LONG_RANGE = 20  # largest over smallest k from which the axis is logarithmic


@dataclass(frozen=True)
class Curve:
    """A measure over k.

    Parameters
    ----------
    name : str
        What it is called in the legend.
    values : sequence of float
        One for each k.
    bars : sequence of float, optional
        Half the lengths of error bars.
    colour : int
        Which colour, marker and dash: 0 to 2.
    """

    name: str
    values: Sequence[float]
    bars: Sequence[float] = ()
    colour: int = 0

    def ends(self) -> Iterable[float]:
        """Return the values that must be seen, the ends of the bars included."""
        bars = self.bars or [0.0] * len(self.values)
        pairs = zip(self.values, bars, strict=True)
        return [end for value, bar in pairs for end in (value - bar, value + bar)]


@dataclass(frozen=True)
class Panel:
    """Curves that share a vertical axis.

    Parameters
    ----------
    curves : sequence of Curve
        The curves.
    share : float
        Height in proportion to the other panels.
    """

    curves: Sequence[Curve]
    share: float = 1.0


@dataclass
class _Contents:
    ks: list[int] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    suggested: int | None = None
    chosen: int | None = None


class CurvesPlot(QWidget):
    """Panels of curves over k, one below the other.

    The value under the mouse is read out above them; a click chooses the nearest k.
    """

    clicked = Signal(int)  # the k of the nearest point
    hovered = Signal(object)  # the k under the mouse, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._contents = _Contents()
        self.hovered_k: int | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 230)
        self.setAccessibleName("Curves over the number of components")

    def set_curves(
        self, ks: Sequence[int], panels: Sequence[Panel], suggested: int | None
    ) -> None:
        """Show other curves.

        Parameters
        ----------
        ks : sequence of int
            The numbers of components, rising.
        panels : sequence of Panel
            Curves with a value for each.
        suggested : int or None
            The k to mark.
        """
        chosen = self._contents.chosen if self._contents.chosen in ks else None
        self._contents = _Contents(list(ks), list(panels), suggested, chosen)
        if self.hovered_k not in self._contents.ks:
            self.hovered_k = None
        self.update()

    def choose(self, k: int | None) -> None:
        """Ring the points of one k, or of none."""
        self._contents.chosen = k
        self.update()

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size at which all can be read."""
        return QSize(320, 320)

    # -- the mouse ----------------------------------------------------------------

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Read out the nearest k."""
        if event is not None:
            self._hover(self._nearest(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Choose the nearest k."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        k = self._nearest(event.position().x())
        if k is not None:
            self.clicked.emit(k)

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Read nothing out any more."""
        self._hover(None)
        super().leaveEvent(event)

    def _hover(self, k: int | None) -> None:
        if k != self.hovered_k:
            self.hovered_k = k
            self.hovered.emit(k)
            self.update()

    def _nearest(self, x: float) -> int | None:
        axis = self._k_axis()
        return min(self._contents.ks, key=lambda k: abs(axis.place(k) - x), default=None)

    # -- where things are ---------------------------------------------------------

    @property
    def _line_height(self) -> int:
        height: int = self.fontMetrics().height()
        return height

    def _k_axis(self) -> Axis:
        ks = self._contents.ks or [1, 2]
        left = self.fontMetrics().horizontalAdvance("0.00000") + _PADDING
        start, end = left + 2.0 * _PADDING, self.width() - 3.0 * _PADDING
        return Axis(ks[0], ks[-1], start, end, is_log=ks[-1] > _LONG_RANGE * ks[0])

    def point(self, k: int, panel: int = 0, curve: int = 0) -> QPointF:
        """Return where a point is drawn, in the widget's pixels."""
        contents = self._contents.panels[panel]
        value = contents.curves[curve].values[self._contents.ks.index(k)]
        axis = _value_axis(contents, self._frames()[panel])
        return QPointF(self._k_axis().place(k), axis.place(value))

    def _frames(self) -> list[QRectF]:
        """Return the rectangle of each panel, below its legend."""
        line, axis = self._line_height, self._k_axis()
        panels = self._contents.panels
        free = self.height() - 2.4 * line - len(panels) * (line + 2.0 * _PADDING)
        whole, top, frames = sum(panel.share for panel in panels), 0.0, []
        left, right = axis.start - 2 * _PADDING, self.width() - _PADDING
        for panel in panels:
            top += line + _PADDING
            height = max(10.0, free * panel.share / whole)
            frames.append(QRectF(left, top, right - left, height))
            top += height + _PADDING
        return frames

    # -- painting -----------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw all panels."""
        with _painting(self) as painter:
            for panel, frame in zip(self._contents.panels, self._frames(), strict=True):
                self._paint_frame(painter, panel, frame)
                self._paint_legend(painter, panel, frame)
                for curve in panel.curves:
                    self._paint_curve(painter, curve, _value_axis(panel, frame))
            if self._contents.panels:
                self._paint_k_axis(painter)

    @property
    def _ink(self) -> QColor:
        return self.palette().color(QPalette.ColorRole.WindowText)

    def _faint(self, alpha: int) -> QColor:
        ink = QColor(self._ink)
        ink.setAlpha(alpha)
        return ink

    def _colour(self, curve: Curve) -> QColor:
        is_dark = self._ink.lightness() > 127
        return QColor((_ON_DARK if is_dark else _ON_LIGHT)[curve.colour])

    def _paint_frame(self, painter: QPainter, panel: Panel, frame: QRectF) -> None:
        """Draw the frame, the values beside it, and the lines of marked k."""
        line = self._line_height
        axis = _value_axis(panel, frame)
        ticks = axis.ticks(max(2, int(frame.height() / (2 * line))))
        digits = _digits(ticks)
        for tick in ticks:
            y = axis.place(tick)
            painter.setPen(self._faint(40))
            painter.drawLine(QPointF(frame.left(), y), QPointF(frame.right(), y))
            place = QRectF(0, y - line / 2, frame.left() - _PADDING, line)
            painter.setPen(self._ink)
            painter.drawText(place, Qt.AlignmentFlag.AlignRight, f"{tick:.{digits}f}")
        painter.setPen(self._faint(120))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(frame)
        self._paint_marks(painter, frame)

    def _paint_marks(self, painter: QPainter, frame: QRectF) -> None:
        contents, axis = self._contents, self._k_axis()
        for k, style, alpha in (
            (contents.suggested, Qt.PenStyle.DashLine, 220),
            (self.hovered_k, Qt.PenStyle.SolidLine, 90),
        ):
            if k is not None:
                painter.setPen(QPen(self._faint(alpha), 1.2, style))
                x = axis.place(k)
                painter.drawLine(QPointF(x, frame.top()), QPointF(x, frame.bottom()))

    def _paint_legend(self, painter: QPainter, panel: Panel, frame: QRectF) -> None:
        """Name the curves above the panel, each after a piece of its line."""
        metrics, x = self.fontMetrics(), frame.left()
        y = frame.top() - _PADDING / 2 - self._line_height / 2
        for curve in panel.curves:
            painter.setPen(QPen(self._colour(curve), _LINE, _DASHES[curve.colour]))
            painter.drawLine(QPointF(x, y), QPointF(x + 22, y))
            self._paint_marker(painter, QPointF(x + 11, y), curve, _DOT)
            painter.setPen(self._ink)
            painter.drawText(QPointF(x + 27, y + metrics.ascent() / 2 - 1), curve.name)
            x += 27 + metrics.horizontalAdvance(curve.name) + 3 * _PADDING

    def _paint_curve(self, painter: QPainter, curve: Curve, values: Axis) -> None:
        axis, colour = self._k_axis(), self._colour(curve)
        ks = self._contents.ks
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
            self._paint_marker(painter, point, curve, _DOT)
            if k == self._contents.chosen:
                painter.setPen(QPen(self._ink, _LINE))
                painter.setBrush(Qt.BrushStyle.NoBrush)
                painter.drawEllipse(point, _RING, _RING)

    def _paint_marker(
        self, painter: QPainter, point: QPointF, curve: Curve, size: float
    ) -> None:
        """Draw a dot, a square or a diamond: colour alone would not do for all people."""
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self._colour(curve))
        if curve.colour == 0:
            painter.drawEllipse(point, size, size)
            return
        painter.save()
        painter.translate(point)
        painter.rotate(45 * (curve.colour - 1))
        painter.drawRect(QRectF(-size, -size, 2 * size, 2 * size))
        painter.restore()

    def _paint_k_axis(self, painter: QPainter) -> None:
        """Write the numbers of components below the last panel."""
        axis, line = self._k_axis(), self._line_height
        top = self._frames()[-1].bottom() + 2
        painter.setPen(self._ink)
        room = int((axis.end - axis.start) / (2 * line)) or 1
        centre = Qt.AlignmentFlag.AlignHCenter
        for tick in axis.ticks(room):
            if tick == int(tick):
                place = QRectF(axis.place(tick) - 30, top, 60, line)
                painter.drawText(place, centre, f"{tick:.0f}")
        label = QRectF(0, top + line, self.width(), line)
        painter.drawText(label, centre, self._k_label())

    def _k_label(self) -> str:
        suggested = self._contents.suggested
        marked = "" if suggested is None else f" (dashed: {suggested}, suggested)"
        return f"number of components k{marked}"


def _digits(ticks: Sequence[float]) -> int:
    """Return how many digits after the point tell all ticks apart."""
    return next(
        (n for n in range(9) if all(round(each, n) == round(each, 9) for each in ticks)), 9
    )


def _value_axis(panel: Panel, frame: QRectF) -> Axis:
    """Return the vertical axis of a panel, with a little room above and below."""
    ends = [end for curve in panel.curves for end in curve.ends()] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    margin = 0.06 * (high - low or abs(high) or 1.0)
    return Axis(low - margin, high + margin, frame.bottom(), frame.top())


class _painting:  # noqa: N801
    """A painter that is ended whatever happens: Qt crashes where one is left open."""

    def __init__(self, widget: QWidget) -> None:
        self._painter = QPainter(widget)

    def __enter__(self) -> QPainter:
        self._painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        return self._painter

    def __exit__(self, *_: object) -> None:
        self._painter.end()
