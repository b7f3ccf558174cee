"""The list of layers beside each panel: napari's, and what Qt shows of it."""

from __future__ import annotations

from napari.layers import Layer
from qtpy.QtWidgets import QApplication

from napari_latent_faces.viewer.layers import ROLE_KEY, faces_layer
from tests.window.conftest import PLUGIN
from tests.window.menus import open_widget
from tests.window.test_panels import NAMES


def settle():
    for _ in range(5):
        QApplication.processEvents()


def shown_names(viewer):
    """Return the names of the rows of the list, the topmost first."""
    model = viewer.window._qt_viewer.layers.model()
    return [model.data(model.index(row, 0)) for row in range(model.rowCount())]


def assert_list_is_right(viewer):
    names = [layer.name for layer in reversed(viewer.layers)]
    assert shown_names(viewer) == names
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
    faces = viewer.add_layer(Layer.create(*faces_layer(stack, "faces")))
    panel = open_widget(qtbot, viewer.window, "Latent faces")
    panel.parameters["n_components"].value = 3
    panel.parameters["max_iter"].value = 10**6
    panel.parameters["tol"].value = 0
    panel.fit()
    qtbot.waitUntil(
        lambda: any(layer.metadata.get(ROLE_KEY) == "preview" for layer in viewer.layers),
        timeout=60_000,
    )
    with qtbot.captureExceptions() as exceptions:
        viewer.layers.remove(faces)
        qtbot.waitUntil(lambda: not panel.is_working, timeout=60_000)
        settle()
    assert exceptions == []
    assert list(viewer.layers) == []
    assert_list_is_right(viewer)
