"""Keys that panels share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut  # type: ignore[attr-defined]

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

__all__ = ["on_key"]


def on_key(
    panel: QWidget, keys: QKeySequence.StandardKey | str, do: Callable[[], object]
) -> None:
    """Do something when keys are pressed anywhere in a panel, and nowhere else.

    Parameters
    ----------
    panel : QWidget
        The panel.
    keys : QKeySequence.StandardKey or str
        The keys, such as ``"Esc"``.
    do : callable
        What to do.
    """
    shortcut = QShortcut(QKeySequence(keys), panel)
    shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
    shortcut.activated.connect(do)
