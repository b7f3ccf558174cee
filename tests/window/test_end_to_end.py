"""The main job as a person does it: open ORL, click the menu, click Fit, look."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.window import text_overlay
from tests.shown import layers_in
from tests.window.menus import click_menu, open_widget

PLUGIN = "napari-latent-faces"


def picture(viewer, layer):
    """Return what the canvas shows of one layer at its place, the others hidden."""
    hidden = [other for other in viewer.layers if other is not layer and other.visible]
    overlay = text_overlay(viewer)
    overlay.visible = False
    for other in hidden:
        other.visible = False
    seen = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float).mean(axis=-1)
    for other in hidden:
        other.visible = True
    rows, columns = np.flatnonzero(seen.max(axis=1) > 20), np.flatnonzero(seen.max(axis=0) > 20)
    return seen[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def distance(a, b):
    from skimage.transform import resize

    a, b = (resize(each, (60, 50), anti_aliasing=True) for each in (a, b))
    return np.abs(a - b).mean()


def test_a_folder_of_faces_becomes_latent_faces(viewer, data, qtbot):
    [faces] = viewer.open(data / "orl", plugin=PLUGIN)
    assert faces.data.shape == (400, 112, 92)
    assert faces.axis_labels == ("face", "y", "x")

    widget = open_widget(qtbot, viewer.window, "Latent faces")
    assert widget.faces.value is faces
    widget.parameters["max_iter"].value = 60

    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    session = widget.job
    ended, forming = [], []
    session.ended.connect(ended.append)
    session.stepped.connect(
        lambda _: forming.append(viewer.layers["latent faces [orl]"].data.copy())
    )
    qtbot.waitUntil(lambda: bool(ended))

    model = viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY]
    assert model.components.shape == (20, 112, 92)
    assert model.error < 0.2
    gallery = viewer.layers["latent faces [orl]"]
    assert not np.array_equal(gallery.data, forming[0], equal_nan=True)

    rebuilt = viewer.layers["reconstruction [orl]"]
    seen = {}
    for index in (12, 133, 255):  # three people
        viewer.dims.set_point(0, index)
        qtbot.waitUntil(lambda i=index: caption(viewer).endswith(f"face {i}"))
        seen[index] = picture(viewer, faces), picture(viewer, rebuilt)
    for index, (face, own) in seen.items():
        others = [distance(face, other) for i, (_, other) in seen.items() if i != index]
        assert distance(face, own) < min(others)
    # the gallery does not go blank at the last face
    viewer.dims.set_point(0, 399)
    assert picture(viewer, gallery).std() > 10


def caption(viewer):
    return text_overlay(viewer).text


def test_the_file_menu_opens_a_folder_without_asking_how(
    viewer, faces_folder, monkeypatch, qtbot
):
    from qtpy.QtWidgets import QFileDialog

    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(faces_folder))
    click_menu(
        qtbot, viewer.window, "File", "IO Utilities", "Open folder of faces... (Latent faces)"
    )
    qtbot.waitUntil(lambda: faces_folder.name in viewer.layers)
    assert viewer.layers[0].data.shape == (30, 12, 10)


def test_a_folder_without_faces_is_told_and_nothing_is_added(viewer, tmp_path, monkeypatch):
    from napari_latent_faces.viewer.reader import open_path

    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    (tmp_path / "notes.txt").write_text("no face")
    open_path(viewer, str(tmp_path))
    assert not viewer.layers
    assert len(told) == 1
    assert str(tmp_path) in told[0]


def test_a_model_saved_from_the_layer_list_comes_back(viewer, model, tmp_path):
    from napari.layers import Layer

    from napari_latent_faces.viewer.layout import model_layers

    layers = [viewer.add_layer(Layer.create(*data)) for data in model_layers(model, "m")]
    viewer.layers.selection = set(layers)
    [path] = viewer.layers.save(str(tmp_path / "parts.npz"), selected=True, plugin=PLUGIN)
    viewer.layers.clear()
    opened = viewer.open(path, plugin=PLUGIN)
    assert [layer.name for layer in opened] == [
        "latent faces [parts]",
        "reconstruction [parts]",
    ]
    np.testing.assert_array_equal(opened[0].metadata[MODEL_KEY].weights, model.weights)


def test_the_drawn_faces_are_under_open_sample(viewer, qtbot):
    click_menu(
        qtbot,
        viewer.window,
        "File",
        "Open Sample",
        "Latent faces",
        "Drawn faces (40 people x 10)",
    )
    qtbot.waitUntil(lambda: len(layers_in(viewer)) == 1)
    [faces] = viewer.layers
    assert faces.data.shape == (400, 112, 92)
    assert caption(viewer)


def test_two_viewers_keep_their_labels_apart(viewer, make_napari_viewer, faces_folder):
    other = make_napari_viewer(show=True)
    other.open(faces_folder, plugin=PLUGIN)
    viewer.open(faces_folder, plugin=PLUGIN)
    viewer.dims.set_point(0, 1)
    other.dims.set_point(0, 7)
    assert caption(other).endswith("face 7")


@pytest.fixture
def long_fit(viewer, faces_folder, qtbot):
    """Start a fit that does not end by itself; return its dock and its session."""
    viewer.open(faces_folder, plugin=PLUGIN)
    dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Latent faces")
    widget.parameters["n_components"].value = 3
    widget.parameters["max_iter"].value = 10**6
    widget.parameters["tol"].value = "0"
    session = widget.fit()
    qtbot.waitUntil(lambda: session.has_stepped)
    return dock, session


def test_closing_the_viewer_in_the_middle_of_a_fit(viewer, long_fit, qtbot):
    _, session = long_fit
    viewer.close()
    qtbot.waitUntil(lambda: session.is_over)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)


def test_closing_the_dock_in_the_middle_of_a_fit_drops_it(viewer, long_fit, qtbot):
    dock, _ = long_fit
    dock.destroyOnClose()
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert len(layers_in(viewer)) == 1
    viewer.dims.set_point(0, 3)
    assert caption(viewer).endswith("face 3")


def test_the_window_lives_while_faces_are_read(viewer, faces_folder):
    from qtpy.QtCore import QTimer

    turns = []
    QTimer.singleShot(0, lambda: turns.append("turn"))
    viewer.open(faces_folder, plugin=PLUGIN)
    assert turns
