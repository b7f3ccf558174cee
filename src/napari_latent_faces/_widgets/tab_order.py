"""The order in which the Tab key goes through a panel."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QScrollArea, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qtpy.QtWidgets import QLayout

__all__ = ["tab_in_reading_order"]


def tab_in_reading_order(panel: QWidget) -> None:
    """Let Tab go through a panel as one reads it.

    Qt's own order is that in which the parts were made or put in, whatever their places.

    Parameters
    ----------
    panel : QWidget
        The panel, all of whose layouts are filled.
    """
    reached, policy = list(_reached(panel)), panel.focusPolicy()
    # Qt takes the last part for being before the first one already, unless something between
    # them can be reached; in a window, the chain is cut open at the panel
    panel.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    for before, after in pairwise(reached):
        QWidget.setTabOrder(before, after)
    panel.setFocusPolicy(policy)


def _reached(widget: QWidget) -> Iterator[QWidget]:
    """Yield what Tab can reach in a widget, in the order of the layouts."""
    if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
        yield widget
    inner = widget.widget() if isinstance(widget, QScrollArea) else None
    if inner is not None:
        yield from _reached(inner)
    layout = widget.layout()
    if layout is not None:
        yield from _reached_in(layout)


def _reached_in(layout: QLayout) -> Iterator[QWidget]:
    for place in range(layout.count()):
        item = layout.itemAt(place)
        if item is None:
            continue
        widget, inner = item.widget(), item.layout()
        if widget is not None:
            yield from _reached(widget)
        elif inner is not None:
            yield from _reached_in(inner)
