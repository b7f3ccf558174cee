"""A new user's first minute: Show me, then the panels that it points at."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_latent_faces.viewer.session import session_of
from tests.shown import layers_in
from tests.window.menus import open_widget


def press(qtbot, button):
    qtbot.mouseClick(button.native, Qt.MouseButton.LeftButton)


def test_show_me_leads_to_the_other_panels(viewer, qtbot):
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    first_run = widget.first_run
    assert not first_run.links.visible
    press(qtbot, first_run.sample_button)
    qtbot.waitUntil(lambda: first_run.links.visible)
    assert session_of(viewer).focus.model is not None

    for name, button in first_run.next_buttons.items():
        viewer.window.dock_widgets["Latent faces (Latent faces)"].parent().raise_()
        press(qtbot, button)
        title = f"{name} (Latent faces)"  # the menu's: it will close what this has opened
        panel = viewer.window.dock_widgets[title]
        qtbot.waitUntil(panel.isVisible)
        docks = len(viewer.window.dock_widgets)
        press(qtbot, button)
        assert len(viewer.window.dock_widgets) == docks


def test_escape_cancels_the_fit_of_the_panel_that_has_the_keys(viewer, qtbot, faces_folder):
    viewer.open(faces_folder, plugin="napari-latent-faces")
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    widget.parameters["n_components"].value = 3
    widget.parameters["max_iter"].value = 10**6
    widget.parameters["tol"].value = "0"
    viewer.window._qt_window.activateWindow()
    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.progress.value > 0)
    widget.start_button.native.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not None)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not widget.is_working)
    assert widget.status.value == "Cancelled; nothing was kept."
    assert len(layers_in(viewer)) == 1
