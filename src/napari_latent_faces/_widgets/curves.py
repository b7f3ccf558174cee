"""Curves over the number of components: napari brings no plotting library."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from psygnal import Signal
from qtpy.QtCore import QEvent, QPointF, QSize, QSizeF, Qt
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_latent_faces._widgets.curve_painter import Marked, paint_curves
from napari_latent_faces._widgets.curve_sheet import Curve, Panel, Sheet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qtpy.QtGui import QMouseEvent, QPaintEvent

__all__ = ["Curve", "CurvesPlot", "Panel"]


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
