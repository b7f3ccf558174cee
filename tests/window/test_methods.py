"""Other methods as a person uses them: choose PCA, fit, look, compare with NMF."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication

from napari_latent_faces.viewer.layers import MODEL_KEY
from napari_latent_faces.viewer.window import text_overlay
from tests.window.menus import open_widget

PLUGIN = "napari-latent-faces"


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

    qtbot.mouseClick(widget.result_actions.copy_button.native, Qt.MouseButton.LeftButton)
    assert f"read_faces({str(data / 'orl')!r})" in QApplication.clipboard().text()

    compare = open_widget(qtbot, viewer.window, "Compare models")
    assert "at equal k: the right one is" in compare.status.value
    assert compare.table.model().rowCount() == 20
    index = compare.table.model().index(2, 0)
    place = compare.table.visualRect(index).center()
    qtbot.mouseClick(compare.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert compare.focus.model is nmf.metadata[MODEL_KEY]
    assert compare.focus.component == int(index.data())
