"""Docks of the plugin, and the canvas below them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_latent_faces.viewer.reader import PLUGIN

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QDockWidget

__all__ = ["can_open_docks", "dock_of", "open_dock"]

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
