"""What happens when the user closes a dock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

__all__ = ["RemovalWatch"]


class RemovalWatch(QObject):
    """Tells when a widget is taken out of its window, which Qt has no signal for.

    Parameters
    ----------
    widget : QWidget
        The widget; the watch lives as long as it does.
    on_removed : callable
        What to call.
    """

    def __init__(self, widget: QWidget, on_removed: Callable[[], None]) -> None:
        super().__init__(widget)
        self._on_removed = on_removed
        widget.installEventFilter(self)

    def eventFilter(self, widget: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """Call back when the widget has lost its parent; every event goes on its way."""
        if widget is None or event is None:
            return False
        if event.type() == QEvent.Type.ParentChange and widget.parent() is None:
            self._on_removed()
        return False
