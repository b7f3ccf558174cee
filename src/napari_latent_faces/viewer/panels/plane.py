"""Many small pictures on a plane that can be moved and enlarged."""

from __future__ import annotations

from math import ceil, log2
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal
from pyqtgraph.functions import ndarray_to_qimage
from qtpy.QtCore import QPoint, QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_latent_faces.tiles import pictured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_STILL = 4  # pixels that the mouse may move in a click
_REACH = 8  # pixels from a dot that still mean it
_FRAME = 2.0  # pixels of a frame around a picture
_FILLED = 0.92  # of its cell that a picture takes
_CLOSEST = 400  # times as large as the whole map can be seen
_STEP = 1.25  # by which a key or a notch of the wheel enlarges
_ARROWS = {
    Qt.Key.Key_Left: (-1, 0),
    Qt.Key.Key_Right: (1, 0),
    Qt.Key.Key_Up: (0, 1),
    Qt.Key.Key_Down: (0, -1),
}


def as_image(picture: NDArray[np.uint8]) -> QImage:
    """Return a picture (h, w) or (h, w, 3) for Qt, without a copy."""
    formats = {2: QImage.Format.Format_Grayscale8, 3: QImage.Format.Format_RGB888}
    image: QImage = ndarray_to_qimage(picture, formats[picture.ndim])
    return image


class FacePlane(QWidget):
    """Draws pictures at their places: those that have room as pictures, the others as dots.

    The wheel enlarges what is under the mouse, a drag moves the plane, Home shows all of it,
    and the arrow keys go to the nearest picture on that side. All is painted at once from
    arrays: there is no object for each picture.
    """

    clicked = Signal(int)
    hovered = Signal(object)  # which picture is under the mouse, or None
    menu_wanted = Signal(object, QPoint)  # for which picture, or None, and where on the screen

    def __init__(self, name: str) -> None:
        super().__init__()
        self.positions = np.empty((0, 2))  # (n, 2), y upwards
        # (h, w) or (h, w, 3) each; what is not known stays a dot
        self.pictures: list[NDArray[np.uint8] | None] = []
        self.colours: NDArray[np.uint8] | None = None  # (n, 3), of dots and frames
        self.current: int | None = None  # which one is marked
        # one more above all others: place, picture, colour
        self.extra: tuple[NDArray[np.float64], NDArray[np.uint8], QColor] | None = None
        self.missing: list[int] = []  # that have room, but are not known yet
        self.shown = np.empty(0, np.intp)  # what was drawn as pictures
        self._aspect = 1.0  # width over height
        self._longest = 40.0  # pixels of a picture's longer side at least
        self._order = np.empty(0, np.intp)  # in which pictures get room
        self._centre, self._scale = np.zeros(2), 1.0  # the place seen, pixels per unit
        self._is_whole = True  # whether all is seen, and is to be when anything changes
        self._pressed: QPoint | None = None
        self._dragged: QPoint | None = None
        self._hovered: int | None = None
        self.setAccessibleName(name)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        expanding = QSizePolicy.Policy.Expanding
        self.setSizePolicy(expanding, expanding)
        self.setMinimumHeight(200)

    def sizeHint(self) -> QSize:
        return QSize(380, 420)

    # -- what is drawn -----------------------------------------------------------

    def show_places(self, positions: NDArray[np.float64], first: Sequence[int] = ()) -> None:
        """Show pictures at other places, `first` those that get room before all others."""
        n = len(positions)
        others = np.setdiff1d(np.arange(n), first)
        shuffled = others[np.random.default_rng(0).permutation(len(others))]
        self._order = np.concatenate([np.array(first, np.intp), shuffled])
        self.positions = positions
        del self.pictures[n:]
        self.pictures += [None] * (n - len(self.pictures))
        if self.colours is not None:
            self.colours = self.colours[:n] if len(self.colours) >= n else None
        if self._is_whole:
            self.show_all()
        self.update()

    def set_size(self, longest: float, aspect: float) -> None:
        """Set how large pictures are at least, and their width over their height."""
        self._longest, self._aspect = longest, aspect
        if self._is_whole:
            self.show_all()
        self.update()

    def mark(self, face: int | None) -> None:
        self.current = face
        self.update()

    def show_all(self) -> None:
        self._is_whole = True
        self._centre, self._scale = self._whole()
        self.update()

    def _whole(self) -> tuple[NDArray[np.float64], float]:
        """Return the middle of the map, and the pixels per unit at which all is seen."""
        if not len(self.positions):
            return np.zeros(2), 1.0
        low, high = self.positions.min(axis=0), self.positions.max(axis=0)
        room = np.maximum(np.array([self.width(), self.height()]) - 2.2 * self._longest, 1)
        return (low + high) / 2, float((room / np.maximum(high - low, 1e-9 * room)).min())

    def place_of(self, face: int) -> QPointF:
        return QPointF(*self._to_screen(self.positions[face]).tolist())

    def at(self, point: QPointF) -> int | None:
        """Return which picture or dot is at a point of the widget, or None."""
        if not len(self.positions):
            return None
        here = np.array([point.x(), point.y()])
        large = self.shown
        if self.current is not None:
            large = np.append(large, self.current)  # it lies above others
        apart = np.abs(self._to_screen(self.positions[large]) - here)
        hits = large[(apart <= self._picture / 2).all(axis=1)]
        if len(hits):
            return int(hits[-1])
        apart = np.square(self._to_screen(self.positions) - here).sum(axis=1)
        nearest = int(apart.argmin())
        return nearest if apart[nearest] <= _REACH**2 else None

    def _to_screen(self, places: NDArray[np.float64]) -> NDArray[np.float64]:
        step = np.array([self._scale, -self._scale])
        middle = np.array([self.width() / 2, self.height() / 2])
        points: NDArray[np.float64] = (places - self._centre) * step + middle
        return points

    @property
    def _cell(self) -> NDArray[np.float64]:
        """Width and height of the place of a picture, in units of the map.

        It is halved when pictures have grown to twice their least size, so that those that
        are seen stay when others come between them.
        """
        longest = 2.0 ** ceil(log2(self._longest / self._scale))
        return longest * np.array([min(1.0, self._aspect), min(1.0, 1 / self._aspect)])

    @property
    def _picture(self) -> NDArray[np.float64]:
        return self._cell * self._scale * _FILLED

    # -- painting ----------------------------------------------------------------

    def paintEvent(self, _event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().color(QPalette.ColorRole.Base))
        if len(self.positions):
            self._choose()
            self._draw_dots(painter)
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            for face in self.shown.tolist():
                colour = None
                if self.colours is not None:
                    colour = QColor(*self._seen(self.colours[face]).tolist())
                self._draw(painter, self.positions[face], self.pictures[face], colour)
            self._draw_current(painter)
            if self.extra is not None:
                self._draw(painter, *self.extra, _FRAME + 1)
        ink = self.palette().color(QPalette.ColorRole.Text)
        ink.setAlpha(70)
        painter.setPen(ink)
        painter.drawRect(self.rect().adjusted(0, 0, -1, -1))
        painter.end()

    def _choose(self) -> None:
        half = np.array([self.width(), self.height()]) / (2 * self._scale)
        order = self._order
        found = pictured(
            self.positions[order],
            tuple(self._cell),
            tuple(self._centre - half),
            tuple(self._centre + half),
        )
        chosen = order[found].tolist()
        self.missing = [face for face in chosen if self.pictures[face] is None]
        known = [face for face in chosen if self.pictures[face] is not None]
        self.shown = np.array(known, np.intp)

    def _seen(self, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return colours darker on a light ground, and paler on a dark one."""
        is_dark = self.palette().color(QPalette.ColorRole.Base).lightness() < 128
        shaded: NDArray[np.uint8] = (colours * 0.75 + 64 * is_dark).astype(np.uint8)
        return shaded

    def _draw_dots(self, painter: QPainter) -> None:
        """Write all dots into one picture."""
        ratio = self.devicePixelRatioF()
        places = np.rint(self._to_screen(self.positions) * ratio).astype(np.int64)
        radius = max(1, round(ratio * (2.5 if len(places) < 2000 else 1.5)))
        width, height = ceil(self.width() * ratio), ceil(self.height() * ratio)
        pad = 2 * radius  # dots beyond the edges are cut
        far = np.array([width, height]) + radius
        is_seen = ((places >= -radius) & (places < far)).all(axis=1)
        x, y = places[is_seen].T + pad
        ink = self.palette().color(QPalette.ColorRole.Text)
        colours = np.full(len(x), ink.rgb(), np.uint32)
        if self.colours is not None:
            red, green, blue = self._seen(self.colours[is_seen]).T.astype(np.uint32)
            colours = 0xFF << 24 | red << 16 | green << 8 | blue
        canvas = np.zeros((height + 2 * pad, width + 2 * pad), np.uint32)
        for dy in range(-radius, radius + 1):
            for dx in range(-radius, radius + 1):
                if dx * dx + dy * dy <= radius * (radius + 0.5):
                    canvas[y + dy, x + dx] = colours
        image = ndarray_to_qimage(canvas, QImage.Format.Format_ARGB32_Premultiplied)
        image.setDevicePixelRatio(ratio)
        painter.setOpacity(1.0 if self.colours is not None else 0.6)
        painter.drawImage(QPointF(-pad / ratio, -pad / ratio), image)
        painter.setOpacity(1.0)

    def _draw_current(self, painter: QPainter) -> None:
        """Draw the marked picture above others, with a ring that is seen on any ground."""
        if self.current is None or self.current >= len(self.positions):
            return
        place, picture = self.positions[self.current], self.pictures[self.current]
        w, h = self._picture.tolist() if picture is not None else (9.0, 9.0)
        x, y = self._to_screen(place).tolist()
        ring = QRectF(x - w / 2, y - h / 2, w, h).adjusted(-5, -5, 5, 5)
        painter.fillRect(ring.adjusted(-2, -2, 2, 2), QColor("black"))
        painter.fillRect(ring, QColor("white"))
        self._draw(painter, place, picture, QColor("black"), 1)

    def _draw(
        self,
        painter: QPainter,
        place: NDArray[np.float64],
        picture: NDArray[np.uint8] | None,
        colour: QColor | None,
        frame: float = _FRAME,
    ) -> None:
        if picture is None:
            return
        (x, y), (w, h) = self._to_screen(place).tolist(), self._picture.tolist()
        box = QRectF(x - w / 2, y - h / 2, w, h)
        if colour is not None:
            painter.fillRect(box.adjusted(-frame, -frame, frame, frame), colour)
        painter.drawImage(box, as_image(picture))

    # -- mouse, wheel and keys -----------------------------------------------------

    def mousePressEvent(self, event: Any) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._pressed, self._dragged = event.pos(), None

    def mouseMoveEvent(self, event: Any) -> None:
        if self._pressed is None:
            self._hover(self.at(QPointF(event.pos())))
            return
        if self._dragged is None:
            if (event.pos() - self._pressed).manhattanLength() <= _STILL:
                return
            self._dragged = self._pressed
        step, self._dragged = event.pos() - self._dragged, event.pos()
        self._move(np.array([-step.x(), step.y()]) / self._scale)

    def mouseReleaseEvent(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton:
            return
        was_click = self._pressed is not None and self._dragged is None
        self._pressed = self._dragged = None
        found = self.at(QPointF(event.pos()))
        if was_click and found is not None:
            self.clicked.emit(found)

    def contextMenuEvent(self, event: Any) -> None:
        self.menu_wanted.emit(self.at(QPointF(event.pos())), event.globalPos())

    def wheelEvent(self, event: Any) -> None:
        self._zoom(_STEP ** (event.angleDelta().y() / 120), event.position())
        event.accept()  # the panel does not scroll

    def keyPressEvent(self, event: Any) -> None:
        key = event.key()
        if key in {Qt.Key.Key_Plus, Qt.Key.Key_Equal, Qt.Key.Key_Minus}:
            middle = QPointF(self.width() / 2, self.height() / 2)
            self._zoom(1 / _STEP if key == Qt.Key.Key_Minus else _STEP, middle)
        elif key == Qt.Key.Key_Home:
            self.show_all()
        elif key in _ARROWS and not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            self._step(*_ARROWS[Qt.Key(key)])
        else:
            super().keyPressEvent(event)

    def leaveEvent(self, event: Any) -> None:
        self._hover(None)
        super().leaveEvent(event)

    def resizeEvent(self, event: Any) -> None:
        if self._is_whole:
            self.show_all()
        super().resizeEvent(event)

    def _hover(self, face: int | None) -> None:
        if face != self._hovered:
            self._hovered = face
            self.hovered.emit(face)

    def _move(self, step: NDArray[np.float64]) -> None:
        self._is_whole = False
        self._centre = self._centre + step
        self.update()

    def _zoom(self, factor: float, point: QPointF) -> None:
        _, whole = self._whole()
        scale = min(max(self._scale * factor, whole / 2), whole * _CLOSEST)
        offset = np.array([point.x() - self.width() / 2, self.height() / 2 - point.y()])
        step = offset / self._scale - offset / scale  # what is at the point, stays there
        self._scale = scale
        self._move(step)

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
                self._move(steps[nearest])
