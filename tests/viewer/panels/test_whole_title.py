from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QHBoxLayout, QLabel, QMainWindow, QWidget

from napari_latent_faces.viewer.panels.panel import show_whole_title

LEAST = 150


@pytest.fixture
def shown(qtbot):
    """Return a function that gives a window with a panel below a title, and these."""

    def show(words):
        window, dock, bar, panel = QMainWindow(), QDockWidget(), QLabel(), QWidget()
        title = QLabel(words)
        QHBoxLayout(bar).addWidget(title)
        dock.setTitleBarWidget(bar)
        panel.setMinimumWidth(LEAST)
        show_whole_title(panel)
        dock.setWidget(panel)
        window.setCentralWidget(QWidget())
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        qtbot.addWidget(window)
        window.resize(1000, 200)
        with qtbot.waitExposed(window):
            window.show()
        window.resizeDocks([dock], [1], Qt.Orientation.Horizontal)
        qtbot.waitUntil(lambda: dock.width() <= panel.minimumWidth())
        return window, panel, title

    return show


def test_a_long_title_makes_the_panel_wider(shown):
    _window, panel, title = shown(
        "a title that has many more words than there is room for at first"
    )
    assert panel.minimumWidth() > LEAST
    assert title.width() >= title.sizeHint().width()


def test_a_short_one_leaves_it_as_it_is(shown):
    _window, panel, title = shown("a")
    assert panel.minimumWidth() == LEAST
    assert title.width() >= title.sizeHint().width()


def test_without_a_dock_there_is_no_title(qtbot):
    panel = QWidget()
    qtbot.addWidget(panel)
    show_whole_title(panel)
    with qtbot.waitExposed(panel):
        panel.show()
    assert panel.minimumWidth() == 0
