"""Panels that the screen has no height for share one place."""

from __future__ import annotations

import pytest

from napari_latent_faces.viewer.panels import panel as crowding
from napari_latent_faces.viewer.window import dock_of
from tests.window.menus import PLUGIN, open_widget

NAMES = ("Latent faces", "Mix faces", "Choose k", "New faces", "Mend faces")


@pytest.fixture
def tall(viewer, monkeypatch):
    """Return how to say how high the screen is."""

    def say(height):
        monkeypatch.setattr(crowding, "_too_high", lambda window: window.height() - height)

    return say


def dock_called(viewer, name):
    return dock_of(viewer.window.dock_widgets[f"{name} ({PLUGIN})"])


def test_they_become_tabs_and_the_window_stays_on_the_screen(viewer, tall, qtbot):
    tall(800)
    window = viewer.window._qt_window
    window.resize(1200, 780)
    for name in NAMES:
        open_widget(qtbot, viewer.window, name)
        qtbot.waitUntil(lambda: window.height() <= 800)
        dock = dock_called(viewer, name)
        qtbot.waitUntil(lambda dock=dock: not dock.visibleRegion().isEmpty())  # in front
    assert {dock_called(viewer, name) for name in NAMES[:-1]} == set(
        window.tabifiedDockWidgets(dock_called(viewer, NAMES[-1]))
    )


def test_they_stand_below_one_another_where_there_is_room(viewer, tall, qtbot):
    tall(100_000)
    window = viewer.window._qt_window
    for name in NAMES[:2]:
        open_widget(qtbot, viewer.window, name)
    one, other = (dock_called(viewer, name) for name in NAMES[:2])
    qtbot.waitUntil(lambda: not other.findChild(crowding._Room)._sharing.isActive())
    assert window.tabifiedDockWidgets(one) == []
    assert one.geometry().bottom() < other.geometry().top()


def test_a_floating_panel_stays_where_it_is(viewer, tall, qtbot):
    tall(800)
    open_widget(qtbot, viewer.window, NAMES[0])
    floating = dock_called(viewer, NAMES[0])
    floating.setFloating(True)
    for name in NAMES[1:3]:
        open_widget(qtbot, viewer.window, name)
    window, last = viewer.window._qt_window, dock_called(viewer, NAMES[2])
    qtbot.waitUntil(lambda: bool(window.tabifiedDockWidgets(last)))
    assert window.tabifiedDockWidgets(last) == [dock_called(viewer, NAMES[1])]
    assert floating.isFloating()
