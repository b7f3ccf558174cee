"""Panels that share one place, as tabs, before the window grows beyond the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QWidget

from napari_latent_faces._docks import dock_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QDockWidget

__all__ = ["make_room"]

_OURS = "latent-faces-panel"  # property of our panels


def make_room(panel: QWidget) -> None:
    """Put a panel behind one tab bar with the others where the screen is not high enough.

    napari stacks docks, and Qt makes the window as high as all of them need.

    Parameters
    ----------
    panel : QWidget
        One of the plugin's panels, not yet in its dock.
    """
    panel.setProperty(_OURS, True)
    _Room(panel)


class _Room(QObject):
    """Looks after a panel that is put into a window, once for each dock it comes into."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        self._dock: QDockWidget | None = None
        # docks cannot be moved while one of them is being shown, and a window knows that it
        # may be lower only when they are laid out anew
        self._sharing, self._lowering = QTimer(self), QTimer(self)
        for timer, slot in ((self._sharing, self._share), (self._lowering, self._lower)):
            timer.setSingleShot(True)
            timer.timeout.connect(slot)
        panel.installEventFilter(self)

    def eventFilter(self, panel: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Wait for the panel to be seen in a dock; every event goes on its way."""
        if event is not None and event.type() == QEvent.Type.Show:
            dock = dock_of(panel)
            if dock is not None and dock is not self._dock:
                self._dock = dock
                self._sharing.start(0)
        return False

    def _share(self) -> None:
        """Make tabs of the panels beside one another, if the screen is too low for them."""
        dock = self._dock
        assert dock is not None
        window = dock.window()
        if not isinstance(window, QMainWindow) or _excess(window) <= 0:
            return
        first, *others = [*_beside(dock, window), dock]
        for other in others:
            window.tabifyDockWidget(first, other)
        dock.raise_()
        self._lowering.start(0)

    def _lower(self) -> None:
        window = self._dock and self._dock.window()
        if isinstance(window, QMainWindow):
            window.resize(window.width(), window.height() - max(0, _too_high(window)))


def _excess(window: QMainWindow) -> int:
    """Return how many pixels of the screen the docks of a window lack."""
    needed = window.minimumSizeHint().height() - window.height()
    return _too_high(window) + needed


def _too_high(window: QMainWindow) -> int:
    """Return by how many pixels a window is higher than its screen."""
    screen = window.screen()
    assert screen is not None
    return window.frameGeometry().height() - screen.availableGeometry().height()


def _beside(dock: QDockWidget, window: QMainWindow) -> Iterator[QDockWidget]:
    """Yield the docks of our other panels on the same side."""
    side = window.dockWidgetArea(dock)
    # not `window.findChildren`: PySide would take the window for the owner of all it finds,
    # and keep panels alive that were closed
    for panel in QApplication.allWidgets():
        if panel.property(_OURS) and window.isAncestorOf(panel):
            other = dock_of(panel)
            if (
                other not in (None, dock)
                and other.isVisible()
                and not other.isFloating()
                and window.dockWidgetArea(other) == side
            ):
                yield other
