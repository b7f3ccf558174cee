"""Curves over the number of components: what is drawn, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, QRectF, QSizeF

from napari_latent_faces.choosing.axes import Axis

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qtpy.QtGui import QFontMetrics

__all__ = ["PADDING", "Curve", "Panel", "Sheet"]

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
