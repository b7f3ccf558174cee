"""Curves over the number of components."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QSize, Qt
from qtpy.QtGui import QColor, QPalette

from napari_latent_faces.viewer.menus import picture_actions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtWidgets import QWidget

    from napari_latent_faces.choosing import KChoice

__all__ = ["CurvesPlot"]

# Okabe and Ito's colours, told apart by colour-blind people; which one, by the background.
_ON_DARK = {"held_out": "#e69f00", "errors": "#56b4e9", "stabilities": "#2fc29b"}
_ON_LIGHT = {"held_out": "#b45f00", "errors": "#0072b2", "stabilities": "#00795a"}
_SYMBOLS = {"held_out": "o", "errors": "s", "stabilities": "d"}
_NAMES = {
    "held_out": "held-out error",
    "errors": "relative error",
    "stabilities": "stability",
}
_LONG_RANGE = 20  # largest over smallest k from which the axis is logarithmic


class CurvesPlot(pg.GraphicsLayoutWidget):  # type: ignore[misc]  # pyqtgraph is not typed
    """The errors of a choice above its stability, over k.

    The nearest k follows the mouse; a click chooses it. The menu of the right button zooms,
    copies and saves pictures, and exports tables.

    Parameters
    ----------
    parent : QWidget, optional
        What it lies in.
    """

    clicked = Signal(int)  # the k of the nearest point
    hovered = Signal(object)  # the k under the mouse, or None
    _plots: Sequence[Any] = ()  # none yet while Qt sets the palette of a new widget

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choice: KChoice | None = None
        self._chosen: int | None = None
        self.hovered_k: int | None = None
        self.setMinimumSize(240, 230)
        self.setAccessibleName("Curves over the number of components")
        self._plots = [self.addPlot(row=row, col=0) for row in range(2)]
        self.ci.layout.setRowStretchFactor(0, 2)
        self.ci.layout.setRowStretchFactor(1, 1)
        upper, lower = self._plots
        lower.setXLink(upper)
        lower.setLabel("bottom", "number of components k")
        for plot in self._plots:
            plot.getAxis("left").setWidth(52)
            plot.setMouseEnabled(x=True, y=False)
        picture = lambda: self.grab().toImage()  # noqa: E731
        self.scene().contextMenu += picture_actions("curves", picture, self)
        self.scene().sigMouseMoved.connect(self._on_moved)
        self.scene().sigMouseClicked.connect(self._on_clicked)
        self._draw()

    def show_choice(self, choice: KChoice | None) -> None:
        """Draw the curves of a choice, or none."""
        self._choice = choice
        if choice is None or self._chosen not in choice.ks:
            self._chosen = None
        self._draw()

    @property
    def choice(self) -> KChoice | None:
        """The choice whose curves are shown."""
        return self._choice

    def choose(self, k: int | None) -> None:
        """Ring the points of one k, or of none."""
        self._chosen = k
        self._draw()

    def point(self, k: int) -> QPointF:
        """Return where the held-out error of a k is drawn, in the widget's pixels."""
        if self._choice is None:
            raise ValueError("No curves are shown.")
        value = self._choice.held_out[list(self._choice.ks).index(k)]
        scene = self._plots[0].vb.mapViewToScene(QPointF(self._place(k), value))
        return QPointF(self.mapFromScene(scene))

    def sizeHint(self) -> QSize:
        """Return a size at which all can be read."""
        return QSize(320, 320)

    def leaveEvent(self, event: QEvent | None) -> None:
        """Read nothing out any more."""
        self._hover(None)
        super().leaveEvent(event)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow the theme."""
        if event is not None and event.type() == QEvent.Type.PaletteChange:
            self._draw()
        super().changeEvent(event)

    # -- drawing ---------------------------------------------------------------

    @property
    def _is_log(self) -> bool:
        if self._choice is None or not len(self._choice.ks):
            return False
        return bool(self._choice.ks.max() > _LONG_RANGE * self._choice.ks.min())

    def _place(self, k: Any) -> Any:
        return np.log10(k) if self._is_log else k

    def _ticks(self) -> list[list[tuple[float, str]]] | None:
        """Return the numbers below a logarithmic axis, which would cover one another."""
        if not self._is_log or self._choice is None:
            return None
        most = int(self._choice.ks.max())
        return [[(math.log10(2**i), str(2**i)) for i in range(most.bit_length())]]

    def _draw(self) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        self.setBackground(self.palette().color(QPalette.ColorRole.Window))
        colours = _ON_DARK if ink.lightness() > 127 else _ON_LIGHT
        self._hover_lines: list[Any] = []
        for plot, names in zip(
            self._plots, (("held_out", "errors"), ("stabilities",)), strict=False
        ):
            plot.clear()
            plot.setLogMode(x=self._is_log, y=False)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(ink)
                plot.getAxis(side).setTextPen(ink)
            legend = plot.addLegend(offset=(-1, 1))
            legend.setLabelTextColor(ink)
            legend.clear()
            plot.getAxis("bottom").setTicks(self._ticks())
            is_empty = self._choice is None or not len(self._choice.ks)
            plot.setVisible(not is_empty)
            if is_empty:
                continue
            for name in names:
                self._draw_curve(plot, name, QColor(colours[name]), ink)
            self._draw_lines(plot, ink)
            plot.enableAutoRange()

    def _draw_curve(self, plot: Any, name: str, colour: QColor, ink: QColor) -> None:
        choice = self._choice
        if choice is None:
            return
        ks, values = np.asarray(choice.ks), np.asarray(getattr(choice, name), float)
        ring = pg.mkPen(ink, width=2)
        plot.plot(
            ks,
            values,
            name=_NAMES[name],
            pen=pg.mkPen(colour, width=2),
            symbol=_SYMBOLS[name],
            symbolBrush=colour,
            symbolPen=[ring if k == self._chosen else pg.mkPen(colour) for k in ks],
            symbolSize=[13 if k == self._chosen else 7 for k in ks],
            antialias=True,
        )
        if name == "held_out":
            bars = pg.ErrorBarItem(
                x=self._place(ks),
                y=values,
                height=2 * np.asarray(choice.spread, float),
                pen=pg.mkPen(colour),
            )
            plot.addItem(bars)

    def _draw_lines(self, plot: Any, ink: QColor) -> None:
        """Mark the suggested k, and the one under the mouse."""
        suggested = None if self._choice is None else self._choice.suggested
        if suggested is not None:
            pen = pg.mkPen(ink, style=Qt.PenStyle.DashLine)
            label = f"{suggested} suggested" if plot is self._plots[0] else None
            line = pg.InfiniteLine(
                self._place(suggested),
                pen=pen,
                label=label,
                labelOpts={"color": ink, "position": 0.08},  # errors fall: the place is free
            )
            plot.addItem(line, ignoreBounds=True)
        faint = QColor(ink)
        faint.setAlpha(90)
        line = pg.InfiniteLine(pen=faint)
        line.setVisible(False)
        plot.addItem(line, ignoreBounds=True)
        self._hover_lines.append(line)

    # -- the mouse -------------------------------------------------------------

    def _nearest(self, scene_position: QPointF) -> int | None:
        """Return the k that is nearest to a place in one of the plots."""
        if self._choice is None or not len(self._choice.ks):
            return None
        if not any(plot.sceneBoundingRect().contains(scene_position) for plot in self._plots):
            return None
        x = self._plots[0].vb.mapSceneToView(scene_position).x()
        ks = np.asarray(self._choice.ks)
        return int(ks[np.argmin(np.abs(self._place(ks) - x))])

    def _on_moved(self, scene_position: QPointF) -> None:
        self._hover(self._nearest(scene_position))

    def _on_clicked(self, event: Any) -> None:
        k = self._nearest(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and k is not None:
            self.clicked.emit(k)

    def _hover(self, k: int | None) -> None:
        if k == self.hovered_k:
            return
        self.hovered_k = k
        for line in self._hover_lines:
            line.setVisible(k is not None)
            if k is not None:
                line.setValue(self._place(k))
        self.hovered.emit(k)
