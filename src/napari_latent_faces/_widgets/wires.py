"""Connections of a panel to its viewer, which outlives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_latent_faces._widgets.removal import RemovalWatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from qtpy.QtWidgets import QWidget

__all__ = ["Wires"]


class Wires:
    """Connects a panel to signals, and lets go when its dock or window is closed.

    Parameters
    ----------
    panel : QWidget
        The panel.
    """

    def __init__(self, panel: QWidget) -> None:
        self._ends: list[Callable[[], Any]] = []
        self._watch = RemovalWatch(panel, self.cut)
        panel.destroyed.connect(self.cut)  # this object is none of Qt's: it is still there

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Call `slot` at every signal, of psygnal or napari, until the panel goes."""
        signal.connect(slot)
        self.at_end(lambda: signal.disconnect(slot))

    def at_end(self, action: Callable[[], Any]) -> None:
        """Call `action` when the panel goes, the last one first."""
        self._ends.append(action)

    def cut(self) -> None:
        """Let go of everything now."""
        while self._ends:
            self._ends.pop()()
