"""Mixing as a person does it: open the panel from the menu, drag, look."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.layers import ROLE_KEY
from tests.window.menus import click, open_widget, show_fit
from tests.window.test_fitting import distance, picture


@pytest.fixture
def mixer(viewer, qtbot):
    """Return the panel, opened from the menu beside a fit of drawn faces."""
    show_fit(viewer, sample_faces(6, 3), n_components=8, tol=1e-3)
    viewer.dims.set_point(0, 7)
    return open_widget(qtbot, viewer.window, "Mix faces")


def mixed(viewer):
    [layer] = [each for each in viewer.layers if each.metadata.get(ROLE_KEY) == "mixed"]
    return layer


def drag(qtbot, slider, to):
    """Drag a slider's handle with the mouse to a share of its length."""
    y = slider.height() // 2
    start = QPoint(round(8 + (slider.width() - 16) * slider.value() / slider.maximum()), y)
    qtbot.mousePress(slider, Qt.MouseButton.LeftButton, pos=start)
    for share in np.linspace(0.2, 1, 5):
        x = start.x() + share * (8 + (slider.width() - 16) * to - start.x())
        qtbot.mouseMove(slider, QPoint(round(x), y))
    qtbot.mouseRelease(slider, Qt.MouseButton.LeftButton, pos=QPoint(round(x), y))


def test_a_dragged_slider_changes_the_face_on_the_canvas_and_undo_brings_it_back(
    mixer, viewer, qtbot
):
    before = picture(viewer, mixed(viewer))
    rebuilt = picture(viewer, viewer.layers["reconstruction [drawn]"])
    assert distance(before, rebuilt) < 5  # it starts as the current face
    row = mixer.weights.rows[0]
    drag(qtbot, row.slider, 0.95)
    assert row.slider.value() > 0.7 * row.slider.maximum()
    changed = picture(viewer, mixed(viewer))
    assert distance(changed, before) > 2
    click(qtbot, mixer.steps[0])
    assert not mixer.steps[0].enabled  # the drag was one step
    assert distance(picture(viewer, mixed(viewer)), before) < 0.5


def test_faces_are_generated_saved_as_pictures_and_as_recipes(
    mixer, viewer, npe2pm, qtbot, tmp_path, monkeypatch
):
    from qtpy.QtWidgets import QFileDialog
    from tifffile import imread

    mixer.count.value = 4
    mixer.generate_button.native.click()
    qtbot.waitUntil(lambda: not mixer.is_working)
    click(qtbot, mixer.keep_button)
    assert viewer.layers["generated faces [drawn]"].ndim == 2  # all at once
    click(qtbot, mixer.on_slider)
    generated = viewer.layers["generated faces [drawn]"]
    assert len(generated.data) == 5
    viewer.dims.set_point(0, 2)
    another = distance(picture(viewer, generated), picture(viewer, mixed(viewer)))
    viewer.dims.set_point(0, 4)  # where the kept face lies
    kept = distance(picture(viewer, generated), picture(viewer, mixed(viewer)))
    assert kept < 0.8 * another  # not 0: the two lie between other pixels of the screen

    viewer.layers.selection = {generated}
    with npe2pm.tmp_plugin(package="napari"):
        viewer.layers.save(str(tmp_path / "faces.tif"), selected=True, plugin="napari")
    np.testing.assert_array_equal(imread(tmp_path / "faces.tif"), generated.data)
    asked = str(tmp_path / "recipes.csv")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked, ""))
    click(qtbot, mixer.save_button)
    assert len((tmp_path / "recipes.csv").read_text("utf-8-sig").splitlines()) == 6

    mixer.count.value = 5000  # and the window is closed in the middle of that
    mixer.generate_button.native.click()
    assert mixer.is_working
    viewer.close()
