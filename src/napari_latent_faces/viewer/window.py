"""What napari does in other ways from version to version, or has no public way to."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari
    from qtpy.QtWidgets import QDockWidget, QWidget

PLUGIN = "napari-latent-faces"
"""What npe2 calls this plugin."""

_DISPLAY_NAME = "Latent faces"  # of the plugin, in the menus


def settings_of(group: str) -> Any:
    """Return a group of the plugin's settings in napari's preferences, None without them.

    napari has them from 0.9 on, and only of plugins that are installed and enabled.
    """
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return None
    try:
        return getattr(get_plugin_settings(PLUGIN), group)
    except KeyError:
        return None


# napari 0.9 has moved what follows from the viewer to its canvas and its scene


def text_overlay(viewer: napari.components.ViewerModel) -> Any:
    """Return the words in a corner of the canvas."""
    canvas = getattr(viewer, "canvas", None)
    return viewer.text_overlay if canvas is None else canvas.overlays.text


def camera_of(viewer: napari.components.ViewerModel) -> Any:
    """Return the camera."""
    return getattr(viewer, "scene", viewer).camera


def grid_of(viewer: napari.components.ViewerModel) -> Any:
    """Return the settings of the grid of layers."""
    return getattr(viewer, "canvas", viewer).grid


def _bare(viewer: Any) -> Any:
    """Return the viewer behind the proxy that panels and commands get, which warns."""
    return getattr(viewer, "__wrapped__", viewer)


def make_canvas_current(viewer: napari.components.ViewerModel) -> None:
    """Make the OpenGL context of a viewer's canvas the current one, if it has a window.

    napari deletes what drew a layer as soon as that is removed, in whichever context is
    current: that of another window, which then loses its own drawings of the same numbers,
    or that in which Qt puts this window together, which ends the process with Mesa's
    software OpenGL.
    """
    with suppress(AttributeError, RuntimeError):  # none, or that of a window that was closed
        canvas_of(viewer).makeCurrent()  # type: ignore[union-attr]


def canvas_of(viewer: napari.components.ViewerModel) -> QWidget | None:
    """Return what a viewer draws on; None without a window."""
    window: Any = getattr(_bare(viewer), "window", None)
    canvas: QWidget | None = window and window._qt_viewer.canvas.native  # noqa: SLF001
    return canvas


def shown_window(viewer: napari.components.ViewerModel | None) -> Any:
    """Return the Qt window of a viewer, None if there is none that a person sees."""
    viewer = _bare(viewer)
    with suppress(AttributeError, RuntimeError):  # none, or one that was closed
        window = viewer.window._qt_window  # noqa: SLF001
        return window if window.isVisible() else None
    return None


def still_activity(viewer: napari.components.ViewerModel) -> None:
    """Stop the turning wheel beside napari's activity dock, which still says what goes on.

    Where the processor draws, it takes a third of one: the window is drawn anew each time.
    """
    window = getattr(_bare(viewer), "window", None)
    with suppress(AttributeError, RuntimeError):  # another napari, or a window that was closed
        window._status_bar._activity_item._inProgressIndicator.movie().stop()  # type: ignore[union-attr]  # noqa: SLF001


# -- Docks of the plugin ---------------------------------------------------------------


def can_open_docks(viewer: napari.components.ViewerModel) -> bool:
    """Tell whether `viewer` has a window."""
    return getattr(viewer, "window", None) is not None


def open_dock(viewer: napari.viewer.Viewer, name: str) -> Any:
    """Return a panel of the plugin, by its name in the manifest, shown in front of others."""
    from npe2 import PluginManager

    window = viewer.window
    # the menu and scripts name the plugin in two ways
    titles = [f"{name} ({plugin})" for plugin in (_DISPLAY_NAME, PLUGIN)]
    title = next((each for each in titles if each in window.dock_widgets), None)
    if title is None:
        title = titles[0]
        widgets = PluginManager.instance().get_manifest(PLUGIN).contributions.widgets or ()
        panel = next(each for each in widgets if each.display_name == name).get_callable()
        window.add_dock_widget(panel(viewer), name=title, tabify=True)
    panel = window.dock_widgets[title]
    dock = dock_of(panel)
    assert dock is not None
    dock.show()
    dock.raise_()
    return panel


def docked(viewer: napari.components.ViewerModel) -> list[Any]:
    """Return the widgets in the docks of a viewer's window, if it has one."""
    window = getattr(_bare(viewer), "window", None)
    return [] if window is None else list(window.dock_widgets.values())


def dock_of(panel: Any) -> QDockWidget | None:
    """Return the dock that holds a panel, of Qt or magicgui; None if there is none."""
    from qtpy.QtWidgets import QDockWidget

    part = getattr(panel, "native", panel)
    while part is not None and not isinstance(part, QDockWidget):
        part = part.parent()
    return part
