from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer

from napari_latent_faces.viewer.layers import faces_layer
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.panels.mend import MendWidget


@pytest.fixture
def viewer(empty_viewer, stack, model):
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "new")))
    for data in model_layers(model, "m"):
        empty_viewer.add_layer(Layer.create(*data))
    return empty_viewer


@pytest.fixture
def widget(viewer, qtbot):
    widget = MendWidget(viewer)
    qtbot.addWidget(widget)
    return widget


def run(widget, qtbot):
    widget.start_button.native.click()
    assert widget.is_working
    qtbot.waitUntil(lambda: not widget.is_working)


def test_without_marks_it_says_how_to_make_some(widget):
    assert not widget.start_button.enabled
    assert widget.status.value.startswith("No marks yet: press New mask")


def test_a_new_mask_is_painted_and_mended(widget, viewer, stack, model, qtbot):
    widget.new_button.native.click()
    mask = widget.marks.value
    assert viewer.layers.selection.active is mask
    assert mask.data.shape == (12, 10)
    assert mask.mode == "paint"
    assert widget.start_button.enabled
    mask.paint((4, 5), 1)
    run(widget, qtbot)
    assert widget.status.value.startswith("30 faces are mended")
    assert viewer.layers.selection.active is mask  # to go on painting
    assert mask.mode == "paint"
    np.testing.assert_array_equal(
        np.asarray(viewer.layers["mended [new]"].data), model.mend(stack, mask.data)
    )


def test_this_face_is_the_one_under_the_slider(widget, viewer, stack, model, qtbot):
    widget.new_button.native.click()
    widget.marks.value.data[2:5] = 1
    widget.which.value = "this face"
    viewer.dims.set_point(0, 13)
    run(widget, qtbot)
    mended = np.asarray(viewer.layers["mended [new]"].data)
    assert np.flatnonzero((mended != stack.images).any(axis=(1, 2))).tolist() == [13]


def test_a_mask_for_each_face(widget, viewer, stack, qtbot):
    widget.each_button.native.click()
    mask = widget.marks.value
    assert mask.data.shape == stack.shape
    mask.paint((8, 4, 5), 1)
    run(widget, qtbot)
    assert widget.status.value.startswith("1 face is mended")


def test_an_empty_mask_and_other_sizes_are_told(widget, viewer, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    widget.new_button.native.click()
    run(widget, qtbot)
    assert "marks nothing of these faces" in told[0]
    widget.faces.value = viewer.add_image(np.zeros((3, 9, 9)), name="small")
    widget.start_button.native.click()
    assert not widget.is_working
    assert "9 x 9 pixels, the model's faces 10 x 12" in told[1]
    assert told[1] in widget.status.value


def test_labels_and_shapes_are_offered_for_pictures_in_grey_and_in_colour(widget, viewer):
    shapes = viewer.add_shapes()
    labels = viewer.add_labels(np.zeros((3, 3), int))
    viewer.add_points()
    colour = viewer.add_image(np.zeros((8, 8, 3)), rgb=True)
    assert set(widget.marks.choices) == {labels, shapes}
    assert widget.faces.choices == (viewer.layers["new"], colour)


def test_a_face_beyond_the_stack_is_told(widget, viewer, monkeypatch):
    told = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    chosen = widget.faces.value
    viewer.add_image(np.zeros((60, 12, 10)))
    widget.faces.value = chosen
    widget.new_button.native.click()
    widget.which.value = "this face"
    viewer.dims.set_point(0, 50)
    assert widget.start() is None
    assert told == ["new has no face at this place of the slider: move it back."]


def test_a_single_picture_has_no_mask_for_each(widget, viewer):
    widget.faces.value = viewer.add_image(np.zeros((12, 10)), name="me")
    assert widget.new_button.enabled
    assert not widget.each_button.enabled


def test_a_closed_widget_ends_its_work(viewer, stack, qtbot):
    widget = MendWidget(viewer)
    viewer.add_labels(np.eye(12, 10, dtype=int))
    job = widget.start()
    widget.deleteLater()
    qtbot.waitUntil(lambda: job.is_over)
    viewer.layers.clear()
