"""Docks of the plugin, and the canvas below them."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer

from napari_latent_faces.solvers.kernel import compiled
from napari_latent_faces.viewer.jobs import Job
from napari_latent_faces.viewer.reader import PLUGIN

if TYPE_CHECKING:
    from collections.abc import Generator

    import napari
    from qtpy.QtCore import QObject
    from qtpy.QtWidgets import QDockWidget

__all__ = ["WarmUp", "can_open_docks", "dock_of", "open_dock"]

# -- Other panels of the plugin, opened from a panel as its menu would open them -------

_DISPLAY_NAME = "Latent faces"  # of the plugin, in the menus


def can_open_docks(viewer: napari.components.ViewerModel) -> bool:
    """Tell whether `viewer` has a window."""
    return getattr(viewer, "window", None) is not None


def open_dock(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Open a panel of the plugin, in front of the one that is asked from.

    Parameters
    ----------
    viewer : napari.Viewer
        The window.
    name : str
        What the manifest calls the panel.

    Returns
    -------
    widget
        The panel; the one that is open already, if there is one.
    """
    window = viewer.window
    # the menu and scripts name the plugin in two ways
    titles = [f"{name} ({plugin})" for plugin in (_DISPLAY_NAME, PLUGIN)]
    title = next((each for each in titles if each in window.dock_widgets), None)
    if title is None:
        title = titles[0]
        window.add_dock_widget(_panel(name)(viewer), name=title, tabify=True)
    panel = window.dock_widgets[title]
    dock = dock_of(panel)
    assert dock is not None
    dock.show()
    dock.raise_()
    return panel


def dock_of(panel: Any) -> QDockWidget | None:
    """Return the dock that holds a panel, of Qt or magicgui; None if there is none."""
    from qtpy.QtWidgets import QDockWidget

    part = getattr(panel, "native", panel)
    while part is not None and not isinstance(part, QDockWidget):
        part = part.parent()
    return part


def _panel(name: str) -> Any:
    """Return the class of a panel, which the manifest knows."""
    from npe2 import PluginManager

    manifest = PluginManager.instance().get_manifest(PLUGIN)
    found = {each.display_name: each.command for each in manifest.contributions.widgets or ()}
    commands = {each.id: each.python_name for each in manifest.contributions.commands or ()}
    module, _, of = str(commands[found[name]]).partition(":")
    return getattr(import_module(module), of)


# -- The libraries that a fit needs, loaded while the user still looks at the panel ----

# what the default fit imports when it begins, which takes seconds the first time
_LIBRARIES = (
    "psutil",
    "threadpoolctl",
    "scipy.linalg",
    "sklearn.utils.extmath",
    "sklearn.decomposition",
)
# Importing takes the interpreter's lock again and again: a panel that is still being built
# and drawn would take twice as long.
_DELAY = 1000  # milliseconds


class WarmUp:
    """Imports in a thread what a fit needs, once a session.

    A first fit that has to import them holds the interpreter's lock again and again
    while the window shows its first steps.

    Parameters
    ----------
    panel : QObject
        What they are loaded for.
    """

    def __init__(self, panel: QObject) -> None:
        self._job: Job | None = None
        self._soon = QTimer(panel)
        self._soon.setSingleShot(True)
        self._soon.setInterval(_DELAY)
        self._soon.timeout.connect(self._begin)

    def start(self) -> None:
        """Begin once the panel has been drawn."""
        self._soon.start()

    def _begin(self) -> None:
        """Begin, unless all is loaded."""
        missing = [name for name in _LIBRARIES if name not in sys.modules]
        is_ready = not missing and compiled.cache_info().currsize
        if is_ready or self._job is not None:
            return

        def importing() -> Generator[str]:
            for name in missing:
                import_module(name)
                yield name
            compiled()
            yield "sweeps"

        self._job = Job(importing)
        self._job.start()

    def stop(self) -> None:
        """Do not begin, or end after the library that is being loaded."""
        self._soon.stop()
        if self._job is not None:
            self._job.abandon()
            self._job = None
