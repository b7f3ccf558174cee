"""Panels that are as wide as the titles of their docks."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_latent_faces._docks import dock_of

__all__ = ["show_whole_title"]


def show_whole_title(panel: QWidget) -> None:
    """Let the title of the dock that a panel comes into never be cut off.

    A script's dock names the plugin in a longer way than the menu's, and for the least size
    of a title bar Qt does not look at the words in it.

    Parameters
    ----------
    panel : QWidget
        One of the plugin's panels.
    """
    _TitleRoom(panel)


class _TitleRoom(QObject):
    """Makes a panel as wide as the title needs, when it is seen in a dock."""

    def __init__(self, panel: QWidget) -> None:
        super().__init__(panel)
        panel.installEventFilter(self)

    def eventFilter(self, panel: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Wait for the panel to be shown; every event goes on its way."""
        if event is not None and event.type() == QEvent.Type.Show:
            assert isinstance(panel, QWidget)
            panel.setMinimumWidth(max(panel.minimumWidth(), _needed(panel)))
        return False


def _needed(panel: QWidget) -> int:
    """Return how many pixels the title above a panel needs; 0 if it is in no dock."""
    dock = dock_of(panel)
    bar = None if dock is None else dock.titleBarWidget()
    layout = None if bar is None else bar.layout()
    return 0 if layout is None else layout.totalMinimumSize().width()
