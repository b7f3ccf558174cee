"""Curves over the number of components."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QRectF, QSize, QSizeF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtGui import QFontMetrics, QMouseEvent, QPaintEvent

__all__ = ["PADDING", "Axis", "Curve", "CurvesPlot", "Marked", "Panel", "Sheet", "paint_curves"]

# -- Where values lie on an axis, and which of them to write beside it -----------------

_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True)
class Axis:
    """Maps values to places.

    Parameters
    ----------
    low, high : float
        The values at the ends; equal ones are moved apart.
    start, end : float
        Their places, such as pixels; `end` may be the smaller.
    is_log : bool, default=False
        Equal ratios, not differences, are equally far apart. Needs `low` above 0.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __post_init__(self) -> None:
        if self.high <= self.low:
            margin = abs(self.low) / 2 or 0.5
            object.__setattr__(self, "low", self.low - margin)
            object.__setattr__(self, "high", self.high + 2 * margin)

    def place(self, value: float) -> float:
        """Return where a value lies; beyond the ends for values beyond them."""
        low, high, at = map(self._scaled, (self.low, self.high, value))
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self, most: int) -> list[float]:
        """Return up to `most` round values within the ends, rising."""
        if self.is_log:
            return self._log_ticks(most)
        return self._even_ticks(most)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def _even_ticks(self, most: int) -> list[float]:
        rough = (self.high - self.low) / max(1, most)
        power = 10.0 ** math.floor(math.log10(rough))
        for step in (nice * power for scale in (1, 10) for nice in (scale * n for n in _NICE)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first + 1 <= most:
                return [i * step for i in range(first, last + 1)]
        return []

    def _log_ticks(self, most: int) -> list[float]:
        first, last = math.ceil(math.log2(self.low)), math.floor(math.log2(self.high))
        every = max(1, math.ceil((last - first + 1) / most))
        return [2.0**power for power in range(first, last + 1, every)]


# -- Curves over the number of components: what is drawn, and where --------------------

PADDING = 6
"""Pixels between things."""

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


@dataclass(frozen=True)
class Sheet:
    """Panels of curves on a widget of some size.

    Parameters
    ----------
    ks : sequence of int
        The numbers of components, rising.
    panels : sequence of Panel
        Curves with a value for each.
    size : QSizeF
        Width and height in pixels.
    metrics : QFontMetrics
        Those of the font.
    """

    ks: Sequence[int]
    panels: Sequence[Panel]
    size: QSizeF
    metrics: QFontMetrics

    @property
    def line_height(self) -> int:
        """Height of a line of text."""
        height: int = self.metrics.height()
        return height

    def k_axis(self) -> Axis:
        """Return the horizontal axis, which all panels share."""
        ks = self.ks or [1, 2]
        left = self.metrics.horizontalAdvance("0.00000") + PADDING
        start, end = left + 2.0 * PADDING, self.size.width() - 3.0 * PADDING
        return Axis(ks[0], ks[-1], start, end, is_log=ks[-1] > _LONG_RANGE * ks[0])

    def value_axis(self, panel: int) -> Axis:
        """Return the vertical axis of a panel, with a little room above and below."""
        ends = [end for curve in self.panels[panel].curves for end in curve.ends()]
        low, high = min(ends, default=0.0), max(ends, default=1.0)
        margin = 0.06 * (high - low or abs(high) or 1.0)
        frame = self.frames()[panel]
        return Axis(low - margin, high + margin, frame.bottom(), frame.top())

    def frames(self) -> list[QRectF]:
        """Return the rectangle of each panel, below its legend."""
        line, axis = self.line_height, self.k_axis()
        used = 2.4 * line + len(self.panels) * (line + 2.0 * PADDING)
        free = self.size.height() - used
        whole, top, frames = sum(panel.share for panel in self.panels), 0.0, []
        left, right = axis.start - 2 * PADDING, self.size.width() - PADDING
        for panel in self.panels:
            top += line + PADDING
            height = max(10.0, free * panel.share / whole)
            frames.append(QRectF(left, top, right - left, height))
            top += height + PADDING
        return frames

    def point(self, k: int, panel: int = 0, curve: int = 0) -> QPointF:
        """Return where a point is drawn."""
        value = self.panels[panel].curves[curve].values[self.ks.index(k)]
        return QPointF(self.k_axis().place(k), self.value_axis(panel).place(value))

    def nearest(self, x: float) -> int | None:
        """Return the k whose points are nearest to a place, None where there are none."""
        axis = self.k_axis()
        return min(self.ks, key=lambda k: abs(axis.place(k) - x), default=None)


# -- Curves over the number of components, drawn by Qt ---------------------------------

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


# -- Curves over the number of components: napari brings no plotting library -----------


class CurvesPlot(QWidget):
    """Panels of curves over k, one below the other.

    The value under the mouse is read out above them; a click chooses the nearest k.

    Parameters
    ----------
    parent : QWidget, optional
        What it lies in.
    """

    clicked = Signal(int)  # the k of the nearest point
    hovered = Signal(object)  # the k under the mouse, or None

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._ks: list[int] = []
        self._panels: list[Panel] = []
        self._marked = Marked()
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(240, 230)
        self.setAccessibleName("Curves over the number of components")

    @property
    def hovered_k(self) -> int | None:
        """The k under the mouse."""
        return self._marked.hovered

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
        self._ks, self._panels = list(ks), list(panels)
        chosen, hovered = (
            k if k in self._ks else None for k in (self._marked.chosen, self._marked.hovered)
        )
        self._mark(Marked(suggested, chosen, hovered))

    def choose(self, k: int | None) -> None:
        """Ring the points of one k, or of none."""
        self._mark(replace(self._marked, chosen=k))

    def point(self, k: int, panel: int = 0, curve: int = 0) -> QPointF:
        """Return where a point is drawn, in the widget's pixels."""
        return self._sheet().point(k, panel, curve)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Return a size at which all can be read."""
        return QSize(320, 320)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Read out the nearest k."""
        if event is not None:
            self._hover(self._sheet().nearest(event.position().x()))

    def mouseReleaseEvent(self, event: QMouseEvent | None) -> None:  # noqa: N802
        """Choose the nearest k."""
        if event is None or event.button() != Qt.MouseButton.LeftButton:
            return
        k = self._sheet().nearest(event.position().x())
        if k is not None:
            self.clicked.emit(k)

    def leaveEvent(self, event: QEvent | None) -> None:  # noqa: N802
        """Read nothing out any more."""
        self._hover(None)
        super().leaveEvent(event)

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802
        """Draw all panels."""
        paint_curves(self, self._sheet(), self._marked)

    def _hover(self, k: int | None) -> None:
        if k != self.hovered_k:
            self._mark(replace(self._marked, hovered=k))
            self.hovered.emit(k)

    def _mark(self, marked: Marked) -> None:
        self._marked = marked
        self.update()

    def _sheet(self) -> Sheet:
        return Sheet(self._ks, self._panels, QSizeF(self.size()), self.fontMetrics())
