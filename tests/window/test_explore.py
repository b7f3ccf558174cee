"""Exploring a model as a person does: open the panel, move the slider, click a tile."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QContextMenuEvent, QMouseEvent
from qtpy.QtWidgets import QApplication, QFileDialog, QOpenGLWidget

from napari_latent_faces.explaining import prominence
from napari_latent_faces.reading import read_faces
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.tiles import Tiles
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import dock_of
from tests.window.menus import open_widget, show_fit

NAME = "What builds this face?"


@pytest.fixture
def model(viewer):
    return show_fit(viewer, sample_faces(6, 4), n_components=8, max_iter=60, tol=0)


@pytest.fixture
def panel(viewer, model, qtbot):
    panel = open_widget(qtbot, viewer.window, NAME)
    qtbot.waitUntil(lambda: not panel.face_page.isHidden())
    return panel


def move(canvas, point):
    """Move the mouse over the canvas; QTest would move the screen's, which takes its time."""
    here, none = QPointF(point), Qt.MouseButton.NoButton
    there, keys = canvas.mapToGlobal(here), Qt.KeyboardModifier.NoModifier
    event = QMouseEvent(QEvent.Type.MouseMove, here, there, none, none, keys)
    QApplication.sendEvent(canvas, event)


@pytest.fixture
def canvas(viewer, panel, qtbot):
    """Return the canvas, once the panel beside it has got its place."""
    QApplication.processEvents()
    return viewer.window._qt_window.findChild(QOpenGLWidget)


def box_on_canvas(viewer, canvas, gallery, model, tile):
    """Return corners of a tile in pixels of the canvas."""
    shown = viewer.window._qt_viewer.canvas
    pixels = np.array([[0.0, 0.0], [canvas.height(), canvas.width()]])
    world = [
        np.array(shown._map_canvas2world(tuple(each[::-1]), shown.view)[-2:]) for each in pixels
    ]
    zoom = (pixels[1] - pixels[0]) / (world[1] - world[0])
    rows, columns = Tiles.found_in(gallery.data.shape, model.components.shape).box(tile)
    corners = (rows.start, columns.start), (rows.stop - 1, columns.stop - 1)
    return [
        pixels[0] + (np.array(gallery.data_to_world(each)) - world[0]) * zoom
        for each in corners
    ]


@pytest.fixture
def tile_seen(viewer, canvas, model):
    """Return a function that tells what the canvas shows where a tile is, in gray."""
    gallery = viewer.layers["latent faces [drawn]"]

    def look(tile):
        (top, left), (bottom, right) = box_on_canvas(viewer, canvas, gallery, model, tile)
        seen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].mean(axis=-1)
        ratio = seen.shape[0] / canvas.height()
        y0, x0, y1, x1 = (round(each * ratio) for each in (top, left, bottom, right))
        return seen[y0:y1, x0:x1]

    return look


def rim(picture):
    """Return the pixels next to the edges of a picture."""
    return np.concatenate([picture[1], picture[-2], picture[:, 1], picture[:, -2]])


def test_the_gallery_follows_the_face_and_its_tiles_can_be_clicked(
    viewer, panel, canvas, tile_seen, model, qtbot
):
    gallery, focus = viewer.layers["latent faces [drawn]"], session_of(viewer)
    weights = [prominence(face)[3] for face in model.weights]
    most, least = int(np.argmax(weights)), int(np.argmin(weights))
    seen, drawn = {}, {}
    for face in (most, least, most):
        focus.go_to_face(face)
        qtbot.waitUntil(lambda i=face: f"face {i} (0 to 23)" in panel.portrait.words.text())
        again = tile_seen(3).mean()
        assert seen.setdefault(face, again) == pytest.approx(again, abs=0.5)
        picture = panel.grab().toImage()
        assert drawn.setdefault(face, picture) == picture
    assert seen[most] > 1.5 * seen[least]
    assert drawn[most] != drawn[least]

    corners = box_on_canvas(viewer, canvas, gallery, model, 3)
    y, x = np.mean(corners, axis=0)
    point = QPoint(round(x), round(y))

    def tells_what_is_there():  # moves in quick succession are passed over
        move(canvas, point)
        return "component 3  |" in str(viewer.status)

    qtbot.waitUntil(tells_what_is_there)
    assert "of 24 faces" in str(viewer.status)
    before = rim(tile_seen(3)).mean()
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point)
    assert focus.component == 3
    qtbot.waitUntil(lambda: panel.users_title.text().startswith("Component 3,"))
    assert rim(tile_seen(3)).mean() > 1.2 * before  # the line around it

    panel.follow.value = "off"
    focus.go_to_face(least)
    assert tile_seen(3).mean() > 1.2 * seen[least]


def choose_in_menu(words):
    """Choose an entry of the menu that is open, and close it."""
    menu = QApplication.activePopupWidget()
    assert menu is not None
    found = {action.text(): action for action in menu.actions()}
    assert words in found, list(found)
    menu.close()
    found[words].trigger()


def test_the_right_button_copies_a_tile_saves_a_face_and_goes_on_with_them(
    viewer, canvas, panel, model, qtbot, monkeypatch, tmp_path
):
    gallery, focus = viewer.layers["latent faces [drawn]"], session_of(viewer)
    clipboard = QApplication.clipboard()

    def press(tile):
        corners = box_on_canvas(viewer, canvas, gallery, model, tile)
        y, x = np.mean(corners, axis=0).round().astype(int).tolist()
        qtbot.mouseClick(canvas, Qt.MouseButton.RightButton, pos=QPoint(x, y))

    press(3)
    choose_in_menu("Copy component 3")
    assert (clipboard.image().height(), clipboard.image().width()) == (112, 92)
    copied = np.array([clipboard.image().pixelColor(x, 50).red() for x in range(92)])
    rows, columns = Tiles.found_in(gallery.data.shape, model.components.shape).box(3)
    shown = gallery.data[rows, columns][50] / gallery.contrast_limits[1] * 255
    np.testing.assert_allclose(copied, shown, atol=1.5)

    strip = panel.nearest
    key = strip.items[1].key
    where = strip.visualRect(strip.model().index(1, 0)).center()
    there = strip.viewport().mapToGlobal(where)
    event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, where, there)
    QApplication.sendEvent(strip.viewport(), event)
    path = tmp_path / "face"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    words = strip.items[1].text.partition("\n")[0]
    choose_in_menu(f"Save {words} as PNG...")
    assert read_faces(tmp_path).images.shape[0] == 1
    QApplication.sendEvent(strip.viewport(), event)
    choose_in_menu("Go to this face")
    assert focus.face == key

    press(5)
    choose_in_menu("Use in Mix")
    assert focus.component == 5
    assert "Mix faces (Latent faces)" in viewer.window.dock_widgets

    focus.go_to_face(2)
    dock_of(panel).destroyOnClose()
    focus.go_to_face(5)  # nobody dims the gallery any more
    np.testing.assert_array_equal(gallery.data[rows, columns], model.components[3])
