"""The main job as a person does it: open ORL, click the menu, click Fit, look."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.window import text_overlay
from tests.jobs import wait_for_model
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


def test_faces_are_opened_from_the_menus(viewer, faces_folder, monkeypatch, tmp_path, qtbot):
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QFileDialog

    folders, told, turns = [tmp_path / "empty", faces_folder], [], []
    folders[0].mkdir()
    (folders[0] / "notes.txt").write_text("no face")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folders.pop(0)))
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    way = "File", "IO Utilities", "Open folder of faces... (Latent faces)"
    click_menu(qtbot, viewer.window, *way)
    qtbot.waitUntil(lambda: bool(told))
    assert len(told) == 1
    assert str(tmp_path / "empty") in told[0]
    assert not viewer.layers
    QTimer.singleShot(0, lambda: turns.append("the window lives while faces are read"))
    click_menu(qtbot, viewer.window, *way)
    qtbot.waitUntil(lambda: faces_folder.name in viewer.layers)
    assert turns
    assert viewer.layers[0].data.shape == (30, 12, 10)
    viewer.layers.clear()
    way = "File", "Open Sample", "Latent faces", "Drawn faces (40 people x 10)"
    click_menu(qtbot, viewer.window, *way)
    qtbot.waitUntil(lambda: len(layers_in(viewer)) == 1)
    assert viewer.layers[0].data.shape == (400, 112, 92)
    assert caption(viewer)


def test_two_viewers_keep_their_labels_apart(viewer, make_napari_viewer, faces_folder):
    other = make_napari_viewer(show=True)
    other.open(faces_folder, plugin=PLUGIN)
    viewer.open(faces_folder, plugin=PLUGIN)
    viewer.dims.set_point(0, 1)
    other.dims.set_point(0, 7)
    assert caption(other).endswith("face 7")


def fill(viewer, folder):
    """Open faces and panels, one with an opened model; return how work in each is begun."""
    viewer.open(folder, plugin=PLUGIN)
    fit, choose, encode = (
        viewer.window.add_plugin_dock_widget(PLUGIN, name)
        for name in ("Latent faces", "Choose k", "New faces")
    )
    fit[1].parameters["n_components"].value = 3
    fit[1].parameters["max_iter"].value = 10**6
    fit[1].parameters["tol"].value = "0"
    choose[1].ks.value = "2:20"
    choose[1].effort["n_starts"].value = 50
    return fit, choose, encode


def test_closing_a_dock_in_the_middle_of_its_work_drops_it(
    viewer, faces_folder, model, tmp_path, qtbot
):
    model.save(tmp_path / "m.npz")
    docks = fill(viewer, faces_folder)
    docks[2][1].model_choice.open_file(str(tmp_path / "m.npz"))
    wait_for_model(docks[2][1], qtbot)
    for dock, widget in docks:
        widget.start()
        job = widget.job
        if widget is not docks[2][1]:
            qtbot.waitUntil(lambda job=job: job.has_stepped)
        dock.destroyOnClose()
        qtbot.waitUntil(lambda job=job: job.is_over)
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)
        assert len(layers_in(viewer)) == 1
    viewer.dims.set_point(0, 3)
    assert caption(viewer).endswith("face 3")


def test_closing_the_viewer_in_the_middle_of_a_fit(viewer, faces_folder, qtbot):
    (_, widget), *_ = fill(viewer, faces_folder)
    session = widget.fit()
    qtbot.waitUntil(lambda: session.has_stepped)
    viewer.close()
    qtbot.waitUntil(lambda: session.is_over)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
