"""The map of faces as a person uses it: open it, click a face, enlarge, mix."""

from __future__ import annotations

from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QContextMenuEvent, QWheelEvent
from qtpy.QtWidgets import QApplication, QMenu

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.session import session_of
from tests.window.menus import click, open_widget, show_fit


def turn_wheel(plane, point, notches):
    places = (
        QPointF(point),
        QPointF(plane.mapToGlobal(point)),
        QPoint(),
        QPoint(0, 120 * notches),
    )
    none = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase
    event = QWheelEvent(*places, *none, False)
    QApplication.sendEvent(plane.viewport(), event)
    QApplication.processEvents()


def test_a_click_on_the_map_goes_to_the_face_and_the_wheel_shows_more(viewer, qtbot):
    faces = sample_faces(20, 6, shape=(56, 46))
    show_fit(viewer, faces, n_components=8, max_iter=30, tol=0)
    panel = open_widget(qtbot, viewer.window, "Map of faces")
    plane, focus = panel.plane, session_of(viewer)
    qtbot.waitUntil(lambda: all(each is not None for each in plane.pictures[:120]))
    qtbot.waitUntil(lambda: len(plane.shown) > 5)
    for face in plane.shown[:3].tolist():
        qtbot.mouseClick(
            plane.viewport(), Qt.MouseButton.LeftButton, pos=plane.place_of(face).toPoint()
        )
        assert focus.face == viewer.dims.current_step[0] == face
    before = plane.grab().toImage()
    viewer.dims.set_current_step(0, int(plane.shown[4]))
    assert plane.grab().toImage() != before  # the mark has moved

    plane.grab()
    seen, size = set(plane.shown.tolist()), plane.size()
    point = plane.place_of(face).toPoint()
    turn_wheel(plane, point, 6)
    assert (plane.place_of(face).toPoint() - point).manhattanLength() <= 4
    qtbot.waitUntil(lambda: set(plane.shown.tolist()) != seen)
    click(qtbot, panel.whole_button)
    plane.grab()
    assert plane.size() == size
    assert set(plane.shown.tolist()) == seen

    point = plane.place_of(face).toPoint()
    by_mouse = QContextMenuEvent.Reason.Mouse
    event = QContextMenuEvent(by_mouse, point, plane.mapToGlobal(point))
    QApplication.sendEvent(plane.viewport(), event)
    [menu] = [each for each in plane.window().findChildren(QMenu) if each.isVisible()]
    [copy] = [each for each in menu.actions() if each.text() == f"Copy face {face}"]
    copy.trigger()
    assert QApplication.clipboard().image().width() == plane.pictures[face].shape[1]
    menu.close()

    panel.method.value = "tsne"
    click(qtbot, panel.cancel_button)
    assert not panel.is_working
    assert panel.method.value == "pca"
