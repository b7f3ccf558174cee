"""Plots by pyqtgraph: faces on a plane, and curves over the number of components."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING, Any

import numpy as np
import pyqtgraph as pg
from psygnal import Signal
from qtpy.QtCore import QEvent, QPoint, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPalette

from napari_latent_faces.tiles import pictured
from napari_latent_faces.viewer.canvas import as_image, picture_actions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_latent_faces.choosing import KChoice

_REACH = 8  # pixels from a dot that still mean it
_FRAME = 2.0  # pixels of a frame around a picture
_BLACK, _WHITE = QColor("black"), QColor("white")
_RING = (_BLACK, 7.0), (_WHITE, 5.0), (_BLACK, 1.0)  # that is seen on any ground
_FILLED = 0.92  # of its cell that a picture takes
_CLOSEST = 400  # times as large as the whole map can be seen
_ZOOMS = {Qt.Key.Key_Plus: 0.8, Qt.Key.Key_Equal: 0.8, Qt.Key.Key_Minus: 1.25}
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}
# plot, measure, words, symbol and how it is written, and Okabe and Ito's colours, told apart
# by colour-blind people, on a dark and on a light background
_CURVES = (
    (0, "held_out", "held-out error", "o", "\N{BLACK CIRCLE}", "#e69f00", "#b45f00"),
    (0, "errors", "relative error", "s", "\N{BLACK SQUARE}", "#56b4e9", "#0072b2"),
    (1, "stabilities", "stability", "d", "\N{BLACK DIAMOND}", "#2fc29b", "#00795a"),
)
_LONG_RANGE = 20  # largest over smallest k from which the axis is logarithmic


class _Plot(pg.GraphicsLayoutWidget):  # type: ignore[misc]  # pyqtgraph is not typed
    """Follows the theme, and tells which of its numbers the mouse is at."""

    clicked = Signal(int)
    hovered = Signal(object)  # the number under the mouse, or None

    def __init__(self, name: str) -> None:
        self.is_made = False  # while Qt sets the palette of a new widget
        super().__init__()
        self.under_mouse: int | None = None
        self.setAccessibleName(name)
        self.setMinimumSize(240, 230)
        self._lay_out()
        self.scene().sigMouseMoved.connect(lambda place: self._hover(self.at(place)))
        self.scene().sigMouseClicked.connect(self._on_click)
        self.is_made = True
        self.redraw()

    def _lay_out(self) -> None:
        raise NotImplementedError

    def at(self, place: QPointF) -> int | None:
        """Return the number at a point of the widget, or None."""
        raise NotImplementedError

    def redraw(self) -> None:
        raise NotImplementedError

    def sizeHint(self) -> QSize:  # pyqtgraph's is the last size: it would never shrink
        return QSize(360, 320)

    def colour(self, role: str, alpha: int = 255) -> QColor:
        found: QColor = self.palette().color(getattr(QPalette.ColorRole, role))
        found.setAlpha(alpha)
        return found

    def changeEvent(self, event: Any) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.is_made:
            self.redraw()

    def leaveEvent(self, event: Any) -> None:
        self._hover(None)
        super().leaveEvent(event)

    def _on_click(self, event: Any) -> None:
        found = self.at(event.scenePos())
        if event.button() == Qt.MouseButton.LeftButton and found is not None:
            self.clicked.emit(found)

    def _hover(self, number: int | None) -> None:
        if number != self.under_mouse:
            self.under_mouse = number
            self.hovered.emit(number)


class _Dots(pg.ScatterPlotItem):  # type: ignore[misc]
    margin = 0.0  # pixels around them, for pictures at the edge

    def pixelPadding(self) -> float:
        return self.margin


class FacePlane(_Plot):
    """Draws pictures at their places: those that have room as pictures, the others as dots.

    The wheel enlarges what is under the mouse, a drag moves the plane, Home shows all of it,
    and the arrow keys go to the nearest picture on that side.
    """

    menu_wanted = Signal(object, QPoint)  # for which picture, or None, and where on the screen

    def _lay_out(self) -> None:
        self.positions = np.empty((0, 2))  # (n, 2), y upwards
        # (h, w) or (h, w, 3) each; what is not known stays a dot
        self.pictures: list[NDArray[np.uint8] | None] = []
        self.colours: NDArray[np.uint8] | None = None  # (n, 3), of dots and frames
        self._brushes: NDArray[Any] | None = None  # that draw them, on this ground
        self.current: int | None = None  # which one is marked
        # one more above all others: place, picture, colour
        self.extra: tuple[NDArray[np.float64], NDArray[np.uint8], QColor] | None = None
        self.shown = np.empty(0, np.intp)  # what was drawn as pictures
        self._longest, self._aspect, self._is_stale = 40.0, 1.0, False
        self.order = np.empty(0, np.intp)  # in which pictures get room
        self._dots = _Dots(pen=None)
        self._view = pg.ViewBox(lockAspect=True, enableMenu=False, defaultPadding=0)
        self._view.addItem(self._dots)
        self.setCentralItem(self._view)
        self.scene().sigPrepareForPaint.connect(self._settle)
        self.setViewportUpdateMode(self.ViewportUpdateMode.FullViewportUpdate)

    def show_places(self, positions: NDArray[np.float64], first: int) -> None:
        """Show pictures at other places, those from `first` on get room before all others."""
        n = len(positions)
        shuffled = np.random.default_rng(0).permutation(first)
        self.order = np.concatenate([np.arange(first, n), shuffled])
        self.positions = positions
        self.pictures = (self.pictures + [None] * n)[:n]
        if self.colours is not None and len(self.colours) != n:
            self.colours = None
        extent = float(np.ptp(positions, axis=0).max()) if n else 0.0
        self._view.setLimits(minXRange=extent / _CLOSEST or None)
        self.redraw()

    def set_size(self, longest: float, aspect: float) -> None:
        """Set how large pictures are at least, and their width over their height."""
        self._longest, self._aspect = longest, aspect
        self._dots.margin = 1.1 * longest
        self.redraw()

    def mark(self, face: int | None) -> None:
        self.current = face
        self.viewport().update()

    def show_all(self) -> None:
        self._view.enableAutoRange()

    def redraw(self) -> None:
        self.setBackground(self.colour("Base"))
        self._is_stale = True  # until all changes are made
        self.viewport().update()

    def _settle(self) -> None:
        """Bring the dots and what is seen of them in line with the places."""
        if self._is_stale:
            self._is_stale, self._brushes = False, None
            brush: Any = pg.mkBrush(self.colour("Text", 150))
            if self.colours is not None:
                # darker on a light ground, and paler on a dark one
                is_dark = self.colour("Base").lightness() < 128
                seen = (self.colours * 0.75 + 64 * is_dark).astype(np.uint8)
                several, which = np.unique(seen, axis=0, return_inverse=True)
                brushes = np.array([pg.mkBrush(*each) for each in several.tolist()], object)
                brush = self._brushes = brushes[which.ravel()]
            size = 5 if len(self.positions) < 2000 else 3
            self._dots.setData(pos=self.positions, brush=brush, size=size)
        self._view.prepareForPaint()

    def place_of(self, face: int) -> QPointF:
        return QPointF(*self._to_screen(self.positions[face]).tolist())

    def at(self, place: QPointF) -> int | None:
        """Return which picture or dot is at a point of the widget, or None."""
        if not len(self.positions):
            return None
        apart = np.abs(self._to_screen(self.positions) - (place.x(), place.y()))
        large = self.shown
        if self.current is not None:
            large = np.append(large, self.current)  # it lies above others
        hits = large[(apart[large] <= self._picture / 2).all(axis=1)]
        if len(hits):
            return int(hits[-1])
        nearest = int(np.square(apart).sum(axis=1).argmin())
        return nearest if np.hypot(*apart[nearest]) <= _REACH else None

    def _to_screen(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        self._settle()
        (left, _), (_, top) = self._view.viewRange()
        points: NDArray[np.float64] = (places - (left, top)) * (self._scale, -self._scale)
        return points

    @property
    def _scale(self) -> float:
        (left, right), _ = self._view.viewRange()
        return float(self._view.width() / (right - left))

    @property
    def _cell(self) -> NDArray[np.float64]:
        """Width and height of the place of a picture, in units of the map."""
        # halved where pictures have grown to twice their least size: those that are seen stay
        longest = 2.0 ** ceil(log2(self._longest / self._scale))
        return longest * np.array([min(1.0, self._aspect), min(1.0, 1 / self._aspect)])

    @property
    def _picture(self) -> NDArray[np.float64]:
        return self._cell * self._scale * _FILLED

    def drawForeground(self, painter: QPainter, _rect: Any) -> None:
        """Draw pictures above the dots, and the marked one above others, with a ring."""
        painter.setPen(self.colour("Text", 70))
        painter.drawRect(self.viewport().rect().adjusted(0, 0, -1, -1))
        if not len(self.positions):
            return
        low, high = np.transpose(self._view.viewRange())
        found = pictured(self.positions[self.order], tuple(self._cell), low, high)
        chosen = self.order[found]
        is_known = np.array([self.pictures[face] is not None for face in chosen], bool)
        self.shown = chosen[is_known]
        places, pictures, brushes = self.positions, self.pictures, self._brushes
        drawn: list[tuple[Any, ...]] = [
            (places[i], pictures[i], [] if brushes is None else [(brushes[i], _FRAME)])
            for i in self.shown.tolist()
        ]
        if self.current is not None and self.current < len(places):
            drawn.append((places[self.current], pictures[self.current], _RING))
        if self.extra is not None:
            place, picture, colour = self.extra
            drawn.append((place, picture, [(colour, _FRAME + 1)]))
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        for place, picture, frames in drawn:
            (x, y), (w, h) = self._to_screen(place).tolist(), self._picture.tolist()
            if picture is None:
                w = h = 9.0  # a dot
            box = QRectF(x - w / 2, y - h / 2, w, h)
            for colour, width in frames:
                painter.fillRect(box.adjusted(-width, -width, width, width), colour)
            if picture is not None:
                painter.drawImage(box, as_image(picture))

    def contextMenuEvent(self, event: Any) -> None:
        self.menu_wanted.emit(self.at(QPointF(event.pos())), event.globalPos())

    def keyPressEvent(self, event: Any) -> None:
        key = event.key()
        if key in _ZOOMS:
            self._view.scaleBy((_ZOOMS[key], _ZOOMS[key]))
        elif key == Qt.Key.Key_Home:
            self.show_all()
        elif key in _ARROWS and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            self._step(*_ARROWS[key])
        else:
            event.ignore()

    def _step(self, dx: int, dy: int) -> None:
        """Go from the marked picture to the nearest one on a side."""
        if self.current is None or self.current >= len(self.positions):
            return
        steps = self.positions - self.positions[self.current]
        along, across = steps @ (dx, dy), np.abs(steps @ (-dy, dx))
        lengths = np.where(along > 0, along + 2 * across, np.inf)
        nearest = int(lengths.argmin())
        if np.isfinite(lengths[nearest]):
            self.clicked.emit(nearest)
            if not self.rect().contains(self.place_of(nearest).toPoint()):
                self._view.translateBy(tuple(steps[nearest]))


class CurvesPlot(_Plot):
    """The errors of a choice above its stability, over k; the nearest k follows the mouse."""

    choice: KChoice | None = None  # whose curves are shown
    chosen: int | None = None  # the k whose points are ringed

    def _lay_out(self) -> None:
        upper, lower = self._plots = tuple(self.addPlot(row=row, col=0) for row in (0, 1))
        self.ci.layout.setRowStretchFactor(0, 2)
        self.ci.layout.setRowStretchFactor(1, 1)
        lower.setXLink(upper)
        lower.setLabel("bottom", "number of components k")
        for plot in self._plots:
            plot.getAxis("left").setWidth(52)
            plot.setMouseEnabled(x=True, y=False)
        self._lines = [pg.InfiniteLine() for _ in self._plots]  # under the mouse
        actions = picture_actions("curves", lambda: self.grab().toImage(), self)
        self.scene().contextMenu += actions
        self.hovered.connect(self._show_line)

    def show_choice(self, choice: KChoice | None, chosen: int | None = None) -> None:
        """Draw other curves, with a ring around the points of one k, or of none."""
        self.choice, self.chosen = choice, chosen
        self.redraw()

    def point(self, k: int) -> QPointF:
        """Return where the held-out error of a k is drawn, in the widget's pixels."""
        assert self.choice is not None
        value = self.choice.held_out[list(self.choice.ks).index(k)]
        return QPointF(self._plots[0].vb.mapViewToScene(QPointF(self._place(k), value)))

    def at(self, place: QPointF) -> int | None:
        """Return the k that is nearest to a point of one of the plots."""
        is_inside = any(plot.sceneBoundingRect().contains(place) for plot in self._plots)
        if not len(self._ks) or not is_inside:
            return None
        x = self._plots[0].vb.mapSceneToView(place).x()
        return int(self._ks[np.argmin(np.abs(self._place(self._ks) - x))])

    @property
    def _ks(self) -> NDArray[np.intp]:
        return np.zeros(0, int) if self.choice is None else np.asarray(self.choice.ks)

    def _place(self, k: Any) -> Any:
        is_long = self._ks.max() > _LONG_RANGE * self._ks.min()
        return np.log2(k) if is_long else k

    def redraw(self) -> None:
        ink, ks, choice = self.colour("WindowText"), self._ks, self.choice
        self.setBackground(self.colour("Window"))
        for plot in self._plots:
            plot.clear()
            plot.setVisible(len(ks) > 0)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(ink)
                plot.getAxis(side).setTextPen(ink)
        if choice is None or not len(ks):
            return
        x, titles = self._place(ks), ["", ""]
        ring, is_chosen = pg.mkPen(ink, width=2), ks == self.chosen
        for row, name, words, symbol, mark, *colours in _CURVES:
            plot, values = self._plots[row], np.asarray(getattr(choice, name), float)
            colour = QColor(colours[ink.lightness() <= 127])
            plot.plot(
                x,
                values,
                pen=pg.mkPen(colour, width=2),
                symbol=symbol,
                symbolBrush=colour,
                symbolPen=[ring if each else pg.mkPen(colour) for each in is_chosen],
                symbolSize=np.where(is_chosen, 13, 7),
                antialias=True,
            )
            if name == "held_out":
                height = 2 * np.asarray(choice.spread, float)
                plot.addItem(pg.ErrorBarItem(x=x, y=values, height=height, pen=colour))
            titles[row] += f'<span style="color: {colour.name()}">{mark}</span> {words} &nbsp; '
        powers = range(int(ks.max()).bit_length())  # whose numbers do not cover one another
        ticks = None if x is ks else [[(i, str(2**i)) for i in powers]]
        for plot, title, line in zip(self._plots, titles, self._lines, strict=True):
            plot.setTitle(title, color=ink, size="9pt")  # above: no curve crosses the words
            plot.getAxis("bottom").setTicks(ticks)
            line.setPen(self.colour("WindowText", 90))
            plot.addItem(line, ignoreBounds=True)
            if (best := choice.suggested) is not None:
                told = f"{best} suggested" if plot is self._plots[0] else None
                # errors fall: the place beside the point is free
                where = {"position": 0.08, "anchors": [(-0.1, 0.5), (1.1, 0.5)], "color": ink}
                dashed = pg.mkPen(ink, style=Qt.PenStyle.DashLine)
                at = self._place(best)
                mark = pg.InfiniteLine(at, pen=dashed, label=told, labelOpts=where)
                plot.addItem(mark, ignoreBounds=True)
            plot.enableAutoRange()
        self._show_line(None)

    def _show_line(self, k: int | None) -> None:
        for line in self._lines:
            line.setVisible(k is not None)
            if k is not None:
                line.setValue(self._place(k))
