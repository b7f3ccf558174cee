"""The window's real menus and buttons, worked with the mouse, and what is shown in it."""

from __future__ import annotations

from napari.layers import Layer
from qtpy.QtCore import Qt

from napari_latent_faces.fitting import fit
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import faces_layer

PLUGIN = "Latent faces"  # as people read it


def click_menu(qtbot, window, *path):
    """Open menus with the mouse and click the last entry of `path`."""
    menu = window.main_menu
    for words in path:
        qtbot.waitUntil(menu.isVisible)
        action = _action(menu, words)
        entry = menu.actionGeometry(action)
        qtbot.mouseMove(menu, entry.center())
        qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=entry.center())
        menu = action.menu()


def open_widget(qtbot, window, name):
    """Open a widget of the plugin from the Plugins menu; return it once it is seen.

    napari gives a plugin with one widget an entry, one with several a submenu of them.
    """
    dock = f"{name} ({PLUGIN})"
    plugins = _action(window.main_menu, "Plugins").menu()
    is_alone = any(each.text() == dock for each in plugins.actions())
    click_menu(qtbot, window, "Plugins", *([dock] if is_alone else [PLUGIN, dock]))
    qtbot.waitUntil(lambda: dock in window.dock_widgets)
    widget = window.dock_widgets[dock]
    qtbot.waitUntil(getattr(widget, "native", widget).isVisible)
    return widget


def show_faces(viewer, stack, name="drawn"):
    return viewer.add_layer(Layer.create(*faces_layer(stack, name)))


def show_fit(viewer, stack, name="drawn", times=1, **params):
    """Show faces and a model of them, as a fit leaves it, or several; return the last one."""
    layer, model = show_faces(viewer, stack, name), None
    for _ in range(times):
        model = fit(stack, **params)
        ResultLayers(viewer, layer, ShowOptions(update=times == 1)).show_model(model)
    return model


def click(qtbot, button):
    """Click the middle of a button, of magicgui, with the mouse."""
    qtbot.mouseClick(button.native, Qt.MouseButton.LeftButton)


def _action(menu, words):
    return next(each for each in menu.actions() if each.text().replace("&", "") == words)
