"""Aligning as a person does it: two clicks on each face, then a look at both in the canvas."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QApplication, QOpenGLWidget

from napari_latent_faces.aligning import align_faces
from napari_latent_faces.samples import sample_faces
from tests.test_aligning import moved, similarities
from tests.window.menus import click, open_widget, show_faces
from tests.window.test_fitting import distance, picture


def click_on(viewer, qtbot, layer, y, x):
    """Click a pixel of a layer's picture in the canvas."""
    shown = viewer.window._qt_viewer.canvas
    canvas = viewer.window._qt_window.findChild(QOpenGLWidget)
    ends = np.array([[0.0, 0.0], [canvas.height(), canvas.width()]])
    low, high = (
        np.array(shown._map_canvas2world(tuple(each[::-1]), shown.view)[-2:]) for each in ends
    )
    world = np.array(layer.data_to_world((0, y, x))[-2:])
    y, x = ends[1] * (world - low) / (high - low)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=QPoint(round(x), round(y)))


def test_eyes_are_clicked_and_faces_lie_on_one_another(viewer, qtbot):
    drawn = sample_faces(10, 4)
    still = moved(drawn.images, align_faces(drawn, size=(92, 76)).transforms)
    known = similarities(40, seed=3)
    stack = replace(drawn, images=moved(still, known))
    layer = show_faces(viewer, stack, "moved")
    widget = open_widget(qtbot, viewer.window, "Align faces")
    viewer.dims.set_point(0, 5)
    QApplication.processEvents()

    click(qtbot, widget.click_button)
    back = np.linalg.inv(known)
    for face in (5, 6, 7):
        qtbot.waitUntil(lambda face=face: viewer.dims.point[0] == face)
        for x in (30, 60):
            click_on(viewer, qtbot, layer, *(back[face] @ [48, x, 1])[:2])
    qtbot.waitUntil(lambda: viewer.dims.point[0] == 8)
    assert "3 of 40 faces are done" in widget.status.value
    click(qtbot, widget.undo_button)
    assert viewer.dims.point[0] == 7
    eyes = widget.eyes.layer
    expected = [(face, *(back[face] @ [48, x, 1])[:2]) for face in (5, 6, 7) for x in (30, 60)]
    np.testing.assert_allclose(eyes.data, expected[:5], atol=1)

    # all of them, without points
    widget.by.value = None
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: not widget.is_working)
    eyes.visible = False
    aligned = viewer.layers["aligned [moved]"]
    assert widget.mean.isVisible()
    faces = (0, 20)
    seen = {}
    for is_before in (False, True):
        for face in faces:
            viewer.dims.set_point(0, face)
            shown = viewer.layers["before [moved]"] if is_before else aligned
            seen[face, is_before] = picture(viewer, shown)
        if not is_before:
            click(qtbot, widget.before_button)
    truth = align_faces(stack).images
    for face in faces:
        of = np.asarray(truth[face], float)
        assert distance(seen[face, False], of) < distance(seen[face, True], of)
    click(qtbot, widget.before_button)
    assert aligned.visible

    # the mask that was asked for is what a fit ignores, without another click
    widget.oval.value = True
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: not widget.is_working)
    assert any(each.name.startswith("ignore") for each in viewer.layers)
