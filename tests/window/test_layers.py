"""Layers in windows: what the canvas draws, and what the list of layers shows."""

from __future__ import annotations

import numpy as np
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QApplication
from vispy.gloo import glir

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import ROLE_KEY
from napari_latent_faces.viewer.session import session_of
from tests.window.conftest import PLUGIN
from tests.window.menus import open_widget, show_faces
from tests.window.test_panels import NAMES


def shown(make_viewer):
    """Make a window that shows faces, and another picture above them."""
    viewer = make_viewer(show=True)
    show_faces(viewer, sample_faces(2, 2, shape=(24, 20)))
    viewer.add_image(np.linspace(0, 1, 480).reshape(24, 20), translate=(0, 20))
    viewer.reset_view()
    seen(viewer)
    return viewer


def canvas_of(viewer):
    return viewer.window._qt_viewer.canvas.native


def seen(viewer):
    """Return the pixels of the canvas, after it was painted like others."""
    canvas_of(viewer).update()
    QApplication.processEvents()
    return viewer.screenshot(flash=False)


def test_another_window_shows_what_it_showed_whatever_happens_in_the_first(
    make_napari_viewer, monkeypatch
):
    one, other = shown(make_napari_viewer), shown(make_napari_viewer)
    session_of(one)
    before = seen(other)
    # what drew a layer is deleted where it was made
    contexts, delete = [], glir.GlirProgram.delete

    def noted(program):
        contexts.append(QOpenGLContext.currentContext())
        delete(program)

    monkeypatch.setattr(glir.GlirProgram, "delete", noted)
    one.layers.pop()
    assert contexts == [canvas_of(one).context()]
    np.testing.assert_array_equal(seen(other), before)
    assert not np.array_equal(seen(one), before)
    # the layer below goes while the window has no current context of its own
    canvas_of(one).doneCurrent()
    one.layers.clear()
    assert contexts == 2 * [canvas_of(one).context()]
    np.testing.assert_array_equal(seen(other), before)
    one.add_image(np.zeros((24, 20)))
    one.close()
    one.layers.events.removing(index=0)  # somebody still has the viewer
    np.testing.assert_array_equal(seen(other), before)


# -- The list of layers beside each panel: napari's, and what Qt shows of it ---------


def settle():
    for _ in range(5):
        QApplication.processEvents()


def assert_list_is_right(viewer):
    names = [layer.name for layer in reversed(viewer.layers)]
    rows = viewer.window._qt_viewer.layers.model()
    assert [rows.data(rows.index(row, 0)) for row in range(rows.rowCount())] == names
    assert len(set(names)) == len(names)


def test_list_is_that_of_the_viewer_when_a_model_is_opened(viewer, qtbot, model, tmp_path):
    path = tmp_path / "some model.npz"
    model.save(path)
    for name in NAMES:
        open_widget(qtbot, viewer.window, name)
    with qtbot.captureExceptions() as exceptions:
        for _ in range(2):
            viewer.open(path, plugin=PLUGIN)
            settle()
        assert_list_is_right(viewer)
        assert len(viewer.layers) >= 4
        viewer.layers.pop()  # another model, or none, in the midst of a removal
        settle()
        assert_list_is_right(viewer)
        while viewer.layers:
            del viewer.layers[0]
            settle()
            assert_list_is_right(viewer)
    assert exceptions == []


def test_list_is_right_when_faces_are_removed_during_their_fit(viewer, qtbot, stack):
    faces = show_faces(viewer, stack)
    panel = open_widget(qtbot, viewer.window, "Latent faces")
    panel.parameters["n_components"].value = 3
    panel.parameters["max_iter"].value = 10**6
    panel.parameters["tol"].value = 0
    panel.fit()
    qtbot.waitUntil(lambda: "preview" in [x.metadata.get(ROLE_KEY) for x in viewer.layers])
    with qtbot.captureExceptions() as exceptions:
        viewer.layers.remove(faces)
        qtbot.waitUntil(lambda: not panel.is_working)
        settle()
    assert exceptions == []
    assert list(viewer.layers) == []
    assert_list_is_right(viewer)
