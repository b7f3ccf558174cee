"""No panel makes the window larger than it is, in whatever order things are opened."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QTabBar

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.jobs import _running
from napari_latent_faces.viewer.window import dock_of
from tests.window.menus import open_widget, show_faces
from tests.window.test_panels import NAMES

SMALL = 1024, 700


def test_panels_share_tabs_in_front_and_the_window_stays_as_it_is(viewer, qtbot):
    window, docks = viewer.window._qt_window, []
    # one that floats stays where it is
    one, other = (dock_of(open_widget(qtbot, viewer.window, each)) for each in NAMES[-2:])
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(one) == [other])
    other.setFloating(True)
    third = dock_of(open_widget(qtbot, viewer.window, "Mix faces"))
    qtbot.waitUntil(lambda: window.tabifiedDockWidgets(third) == [one])
    assert other.isFloating()
    for dock in (one, other, third):
        dock.destroyOnClose()

    window.resize(*SMALL)
    qtbot.waitUntil(lambda: (window.width(), window.height()) == SMALL)
    for name in NAMES:
        panel = open_widget(qtbot, viewer.window, name)
        docks.append(dock_of(panel))
        qtbot.waitUntil(lambda: not docks[-1].visibleRegion().isEmpty())
        qtbot.waitUntil(lambda panel=panel: not panel._beside_others.isActive())
        assert (window.width(), window.height()) == SMALL
    show_faces(viewer, sample_faces(6, 3))
    fit = viewer.window.dock_widgets[f"{NAMES[0]} (Latent faces)"]
    docks[0].raise_()
    fit.parameters["n_components"].value = 6
    fit.fit()
    qtbot.waitUntil(lambda: not fit.is_working)
    qtbot.waitUntil(lambda: not _running)
    assert (window.width(), window.height()) == SMALL
    assert set(window.tabifiedDockWidgets(docks[0])) == set(docks[1:])
    for bar in window.findChildren(QTabBar, options=Qt.FindChildOption.FindDirectChildrenOnly):
        for tab in range(bar.count()):  # whole titles, not "Ch..., Mi..."
            assert bar.tabText(tab) in NAMES
            least = bar.fontMetrics().horizontalAdvance(bar.tabText(tab))
            assert bar.tabRect(tab).width() >= least
