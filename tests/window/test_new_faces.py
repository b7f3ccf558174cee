"""New faces and mending as a person does it: menus, clicks, and a look at the canvas."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_latent_faces.fitting import fit
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.viewer.session import session_of
from tests.jobs import wait_for_model
from tests.window.menus import click, open_widget, show_faces
from tests.window.test_fitting import distance, picture


@pytest.fixture(scope="module")
def faces():
    return sample_faces(9, 4)


@pytest.fixture(scope="module")
def model(faces):
    return fit(faces[:32], n_components=16, tol=1e-3)


def test_a_stranger_is_seen_through_an_old_model(viewer, faces, model, tmp_path, qtbot):
    model.save(tmp_path / "m.npz")
    layer = show_faces(viewer, faces)
    widget = open_widget(qtbot, viewer.window, "New faces")
    assert not widget.start_button.enabled
    widget.model_choice.open_file(str(tmp_path / "m.npz"))
    wait_for_model(widget, qtbot)
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: not widget.is_working)

    # the table has the strangers, of whom the model knows nothing, at its top
    table = widget.table
    assert table.isVisible()
    errors = model.errors(faces)
    assert table.rows.row_at(0) == errors.argmax()
    assert {table.rows.row_at(row) for row in range(4)} == {32, 33, 34, 35}
    seen = []
    for row in (0, 20):
        table.scrollTo(table.rows.index(row, 0))
        place = table.visualRect(table.rows.index(row, 0)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        face = table.rows.row_at(row)
        assert viewer.dims.point[0] == face
        assert session_of(viewer).face == face
        seen.append((picture(viewer, layer), picture(viewer, viewer.layers["encoded [drawn]"])))
    (stranger, of_stranger), (known, of_known) = seen
    assert distance(known, of_known) < distance(stranger, of_stranger)
    assert distance(known, of_known) < distance(known, of_stranger)


def test_a_bar_over_the_eyes_is_painted_and_mended(viewer, faces, model, tmp_path, qtbot):
    face = 33  # of a person whom the model has not seen
    spoiled = faces.images.copy()
    rows, columns = slice(40, 60), slice(14, 78)
    spoiled[:, rows, columns] = 0
    layer = viewer.add_image(spoiled, name="spoiled", contrast_limits=(0, 255))
    model.save(tmp_path / "m.npz")
    widget = open_widget(qtbot, viewer.window, "Mend faces")
    widget.model_choice.open_file(str(tmp_path / "m.npz"))
    wait_for_model(widget, qtbot)
    click(qtbot, widget.new_button)
    mask = widget.marks.value
    mask.data[rows, columns] = 1
    mask.refresh()
    viewer.dims.set_point(0, face)
    click(qtbot, widget.start_button)
    qtbot.waitUntil(lambda: not widget.is_working)
    mask.visible = False

    mended = picture(viewer, viewer.layers["mended [spoiled]"])
    before = picture(viewer, layer)
    truth = viewer.add_image(faces.images, name="truth", contrast_limits=(0, 255))
    whole = picture(viewer, truth)
    assert distance(mended, whole) < distance(before, whole) / 2
    viewer.layers.remove("mended [spoiled]")
    assert np.array_equal(layer.data, spoiled)
