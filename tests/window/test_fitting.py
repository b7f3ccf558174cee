"""Fits as a person does them: open faces, click the menu, click Fit, look."""

from __future__ import annotations

import runpy
from pathlib import Path

import napari
import numpy as np
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import LEFT_OUT_KEY, MODEL_KEY, faces_layer
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay
from tests.jobs import layers_in, wait_for_model
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


# -- A new user's first minute: Show me, then the panels that it points at -----------


def press(qtbot, button):
    qtbot.mouseClick(button.native, Qt.MouseButton.LeftButton)


def test_show_me_leads_to_the_other_panels(viewer, qtbot):
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    assert not widget.links.isVisible()
    press(qtbot, widget.sample_button)
    qtbot.waitUntil(widget.links.isVisible)
    assert session_of(viewer).model is not None

    for name, button in widget.next_buttons.items():
        viewer.window.dock_widgets["Latent faces (Latent faces)"].parent().raise_()
        press(qtbot, button)
        title = f"{name} (Latent faces)"  # the menu's: it will close what this has opened
        panel = viewer.window.dock_widgets[title]
        qtbot.waitUntil(panel.isVisible)
        docks = len(viewer.window.dock_widgets)
        press(qtbot, button)
        assert len(viewer.window.dock_widgets) == docks


def test_escape_cancels_the_fit_of_the_panel_that_has_the_keys(viewer, qtbot, faces_folder):
    viewer.open(faces_folder, plugin="napari-latent-faces")
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    widget.parameters["n_components"].value = 3
    widget.parameters["max_iter"].value = 10**6
    widget.parameters["tol"].value = "0"
    viewer.window._qt_window.activateWindow()
    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: widget.progress.value > 0)
    widget.start_button.native.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is not None)
    qtbot.keyClick(QApplication.focusWidget(), Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not widget.is_working)
    assert widget.status.value == "Cancelled; nothing was kept."
    assert len(layers_in(viewer)) == 1


# -- Other methods as a person uses them: choose PCA, fit, look, compare with NMF ----


def seen(viewer, layer):
    """Return the pixels of the canvas with one layer only, shape (y, x, 3)."""
    overlay = text_overlay(viewer)
    before = {each: each.visible for each in viewer.layers}
    overlay.visible = False
    for each in viewer.layers:
        each.visible = each is layer
    pixels = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    for each, visible in before.items():
        each.visible = visible
    return pixels


def choose(qtbot, box, words):
    """Choose an entry of a combo box with the keyboard."""
    box.setFocus()
    while box.currentText() != words:
        before = box.currentIndex()
        qtbot.keyClick(box, Qt.Key.Key_Down)
        assert box.currentIndex() > before, f"no entry {words!r}"


def fit_with_the_mouse(qtbot, widget):
    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.is_working)


def test_pca_is_chosen_fitted_and_compared_with_nmf(viewer, data, qtbot):
    viewer.open(data / "orl", plugin=PLUGIN)
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    widget.parameters["max_iter"].value = 30
    widget.parameters["tol"].value = "0"
    fit_with_the_mouse(qtbot, widget)

    choose(qtbot, widget.method.native, "PCA (eigenfaces)")
    assert set(widget.parameters) == {"n_components", "random_state", "svd_solver"}
    assert not widget.parameters["svd_solver"].native.isVisible()  # folded, where Tab skips it
    widget.advanced.unfold()
    assert widget.parameters["svd_solver"].native.isVisible()
    fit_with_the_mouse(qtbot, widget)
    gallery = viewer.layers["latent faces [orl, PCA]"]
    nmf = viewer.layers["latent faces [orl]"]
    assert gallery.visible
    assert not nmf.visible

    # the one has two colours, the other none, and nothing but black is in both
    colours, greys = seen(viewer, gallery), seen(viewer, nmf)
    orange = (colours[..., 0] - colours[..., 2] > 60).mean()
    blue = (colours[..., 2] - colours[..., 0] > 60).mean()
    assert min(orange, blue) > 0.01
    assert np.ptp(greys, axis=-1).max() < 20
    assert greys.max() > 200
    dark = (colours.max(axis=-1) < 30).mean()
    assert 0.05 < dark < 0.95

    # the reconstruction is nearer to its face than the mean face is
    model = gallery.metadata[MODEL_KEY]
    faces = viewer.layers["orl"]
    viewer.dims.set_point(0, 133)
    face = faces.data[133].astype(float)
    mean = np.linalg.norm(face - model.blend(np.zeros(20)))
    assert np.linalg.norm(face - model.reconstruct(133)) < 0.8 * mean

    qtbot.mouseClick(widget.copy_button.native, Qt.MouseButton.LeftButton)
    assert f"read_faces({str(data / 'orl')!r})" in QApplication.clipboard().text()

    compare = open_widget(qtbot, viewer.window, "Compare models")
    assert "at equal k: the right one is" in compare.status.value
    assert compare.table.model().rowCount() == 20
    index = compare.table.model().index(2, 0)
    place = compare.table.visualRect(index).center()
    qtbot.mouseClick(compare.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert compare.session.model is nmf.metadata[MODEL_KEY]
    assert compare.session.component == int(index.data())


# -- A fit that leaves out what is drawn over, as a person does it -------------------


def test_a_bar_is_drawn_and_left_out_of_the_fit(viewer, qtbot):
    faces = sample_faces(6, 3)
    _, h, w = faces.shape
    viewer.add_layer(Layer.create(*faces_layer(faces, "drawn")))
    top, bottom = h // 3, h // 2
    corners = np.array([(top, 0), (top, w), (bottom, w), (bottom, 0)]) - 0.5
    bar = viewer.add_shapes([corners], shape_type="polygon", name="bar")
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    widget.advanced.unfold()
    qtbot.waitUntil(widget.ignore.native.isVisible, timeout=10_000)
    assert widget.ignore.native.currentText() == "nothing"
    widget.ignore.native.setCurrentText("bar")
    widget.parameters["n_components"].value = 5
    widget.parameters["max_iter"].value = 30
    widget.parameters["tol"].value = "0"
    qtbot.mouseClick(widget.start_button.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not widget.is_working, timeout=60_000)

    mask = np.zeros((h, w), bool)
    mask[top:bottom] = True
    alone = fit(faces, n_components=5, max_iter=30, tol=0, mask=mask)
    shown = viewer.layers["reconstruction [drawn]"]
    model = shown.metadata[MODEL_KEY]
    np.testing.assert_array_equal(model.mask, mask)
    np.testing.assert_array_equal(model.components, alone.components)
    np.testing.assert_array_equal(model.weights, alone.weights)
    assert model.error == alone.error
    assert as_python(model) == as_python(alone)
    count = (bottom - top) * w
    assert shown.metadata[LEFT_OUT_KEY] == (18 * count, 18 * h * w)
    assert f"without the {count} pixels of each" in widget.status.value

    bar.visible = False
    seen = picture(viewer, shown)
    rows = seen.shape[0] * np.array([top, bottom]) // h
    black = seen[rows[0] + 2 : rows[1] - 2]
    assert black.max() < 10 < seen[rows[1] + 2 :].mean()


# -- The example that opens a window -------------------------------------------------


EXAMPLE = Path(__file__).parents[2] / "examples" / "napari_script.py"


def test_napari_from_a_script(viewer, qtbot, monkeypatch):
    ran = []
    monkeypatch.setattr(napari, "Viewer", lambda: viewer)
    monkeypatch.setattr(napari, "run", lambda: ran.append(True))
    names = runpy.run_path(str(EXAMPLE))
    assert ran
    qtbot.waitUntil(lambda: not names["widget"].is_working)
    assert names["session"].model.n_components == 12
    assert "latent faces [drawn]" in viewer.layers
