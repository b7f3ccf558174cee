"""Fits as a person does them: open faces, click the menu, click Fit, look."""

from __future__ import annotations

import runpy
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication
from superqt.utils import WorkerBase

from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.session import session_of
from napari_latent_faces.viewer.window import text_overlay
from tests.jobs import layers_in, wait_for_model
from tests.window.menus import click, click_menu, open_widget

PLUGIN = "napari-latent-faces"


def seen(viewer, layer):
    """Return the pixels of the canvas with one layer only, shape (y, x, 3)."""
    before = {each: each.visible for each in viewer.layers}
    text_overlay(viewer).visible = False
    for each in viewer.layers:
        each.visible = each is layer
    pixels = viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    for each, visible in before.items():
        each.visible = visible
    return pixels


def picture(viewer, layer):
    """Return what the canvas shows of one layer at its place, in gray."""
    gray = seen(viewer, layer).mean(axis=-1)
    rows, columns = np.flatnonzero(gray.max(axis=1) > 20), np.flatnonzero(gray.max(axis=0) > 20)
    return gray[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


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

    click(qtbot, widget.start_button)
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
    shown = {}
    for index in (12, 133, 255):  # three people
        viewer.dims.set_point(0, index)
        qtbot.waitUntil(lambda i=index: caption(viewer).endswith(f"face {i}"))
        shown[index] = picture(viewer, faces), picture(viewer, rebuilt)
    for index, (face, own) in shown.items():
        others = [distance(face, other) for i, (_, other) in shown.items() if i != index]
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


def test_closing_a_dock_or_the_window_in_the_middle_of_its_work_drops_it(
    viewer, faces_folder, model, tmp_path, qtbot
):
    viewer.open(faces_folder, plugin=PLUGIN)
    model.save(tmp_path / "m.npz")

    def begin(name):
        dock, widget = viewer.window.add_plugin_dock_widget(PLUGIN, name)
        if name == "New faces":
            widget.model_choice.open_file(str(tmp_path / "m.npz"))
            wait_for_model(widget, qtbot)
        elif name == "Choose k":
            widget.ks.value, widget.effort["n_starts"].value = "2:20", 50
        else:
            for field, value in (("n_components", 3), ("max_iter", 10**6), ("tol", "0")):
                widget.parameters[field].value = value
        job = widget.start()
        qtbot.waitUntil(lambda: name == "New faces" or job.has_stepped)
        return dock, job

    def wait_for_the_end(job):
        qtbot.waitUntil(lambda: job.is_over)
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)

    for name in ("Latent faces", "Choose k", "New faces"):
        dock, job = begin(name)
        dock.destroyOnClose()
        wait_for_the_end(job)
        assert len(layers_in(viewer)) == 1
    viewer.dims.set_point(0, 3)
    assert caption(viewer).endswith("face 3")
    _, job = begin("Latent faces")
    viewer.close()
    wait_for_the_end(job)


# -- A new user's first minute: Show me, then the panels that it points at -----------


def test_show_me_leads_to_the_other_panels(viewer, qtbot):
    widget = open_widget(qtbot, viewer.window, "Latent faces")
    assert not widget.links.isVisible()
    click(qtbot, widget.sample_button)
    qtbot.waitUntil(widget.links.isVisible)
    assert session_of(viewer).model is not None

    for name, button in widget.next_buttons.items():
        viewer.window.dock_widgets["Latent faces (Latent faces)"].parent().raise_()
        click(qtbot, button)
        title = f"{name} (Latent faces)"  # the menu's: it will close what this has opened
        panel = viewer.window.dock_widgets[title]
        qtbot.waitUntil(panel.isVisible)
        docks = len(viewer.window.dock_widgets)
        click(qtbot, button)
        assert len(viewer.window.dock_widgets) == docks


# -- Other methods as a person uses them: choose PCA, fit, look, compare with NMF ----


def choose(qtbot, box, words):
    """Choose an entry of a combo box with the keyboard."""
    box.setFocus()
    while box.currentText() != words:
        before = box.currentIndex()
        qtbot.keyClick(box, Qt.Key.Key_Down)
        assert box.currentIndex() > before, f"no entry {words!r}"


def fit_with_the_mouse(qtbot, widget):
    click(qtbot, widget.start_button)
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

    click(qtbot, widget.copy_button)
    assert f"read_faces({str(data / 'orl')!r})" in QApplication.clipboard().text()

    compare = open_widget(qtbot, viewer.window, "Compare models")
    qtbot.waitUntil(lambda: "at equal k: the" in compare.status.value)
    assert compare.table.model().rowCount() == 20
    index = compare.table.model().index(2, 0)
    place = compare.table.visualRect(index).center()
    qtbot.mouseClick(compare.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert compare.session.model is compare.left.model
    assert compare.session.component == int(index.data())


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
