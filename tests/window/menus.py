"""The window's real menus, worked with the mouse."""

from __future__ import annotations

from qtpy.QtCore import Qt

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


def _action(menu, words):
    return next(each for each in menu.actions() if each.text().replace("&", "") == words)
