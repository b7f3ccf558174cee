from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from superqt.utils import WorkerBase

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams
from napari_latent_faces.viewer.layers import MODEL_KEY, ROLE_KEY, faces_layer
from napari_latent_faces.viewer.panels.fit import FitWidget
from tests.jobs import layers_in


@pytest.fixture
def widget(viewer, qtbot):
    widget = FitWidget(viewer)
    qtbot.addWidget(widget)
    widget.parameters["n_components"].value = 3
    widget.parameters["tol"].value = "0"
    return widget


@pytest.fixture
def faces(viewer, stack):
    return viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))


def wait_for_the_end(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.is_working)


def begin_a_long_fit(widget, qtbot):
    widget.parameters["max_iter"].value = 10**6
    widget.start_button.native.click()
    qtbot.waitUntil(lambda: widget.progress.value > 0)


def test_without_faces_it_says_where_to_get_some(widget):
    assert not widget.start_button.enabled
    assert "Open folder of faces" in widget.status.value
    assert "Open Sample" in widget.status.value


def test_only_stacks_of_pictures_are_offered(widget, viewer, faces, stack):
    viewer.add_image(np.zeros((8, 8)), name="flat")
    colour = viewer.add_image(np.zeros((5, 8, 8, 3)), rgb=True, name="colour")
    viewer.add_image(np.zeros((2, 5, 8, 8)), name="four")
    viewer.add_labels(np.zeros((5, 8, 8), int), name="labels")
    viewer.add_image(np.zeros((5, 8, 8)), name="result", metadata={ROLE_KEY: "residual"})
    other = viewer.add_image(np.zeros((5, 8, 8)), name="another plugin's")
    assert widget.faces.choices == (faces, colour, other)
    assert widget.start_button.enabled
    assert not widget.status.value


def test_a_click_fits_and_adds_the_layers(widget, viewer, faces, qtbot):
    widget.parameters["max_iter"].value = 30
    widget.start_button.native.click()
    assert widget.is_working
    wait_for_the_end(widget, qtbot)
    assert [layer.name for layer in layers_in(viewer)] == [
        "orl",
        "latent faces [orl]",
        "reconstruction [orl]",
    ]
    model = viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY]
    assert model.params == NMFParams(n_components=3, max_iter=30, tol=0)
    assert f"{model.error:.4f}" in widget.status.value
    assert widget.start_button.text.replace("&", "") == "Fit"
    assert widget.start_button.enabled


def test_options_become_layers(widget, viewer, faces, qtbot):
    widget.parameters["max_iter"].value = 5
    widget.residual.value = widget.slider.value = True
    widget.start_button.native.click()
    wait_for_the_end(widget, qtbot)
    roles = [layer.metadata.get(ROLE_KEY) for layer in layers_in(viewer)]
    assert sorted(filter(None, roles)) == ["components", "reconstruction", "residual"]
    assert viewer.dims.ndim == 4
    gallery = next(layer for layer in viewer.layers if layer.ndim == 4)
    assert gallery.axis_labels == ("component", "face", "y", "x")


def test_labels_and_shapes_can_mark_what_is_ignored(widget, viewer, faces):
    assert widget.ignore.value is None
    shapes, labels = viewer.add_shapes(name="s"), viewer.add_labels(np.eye(3, dtype=int))
    viewer.add_points()
    assert widget.ignore.choices[0] is None
    assert set(widget.ignore.choices) == {None, labels, shapes}
    assert widget.ignore.value is None  # nobody has asked for it
    widget.ignore.value = shapes
    viewer.layers.remove(labels)
    assert widget.ignore.value is shapes
    viewer.layers.remove(shapes)
    assert widget.ignore.value is None


def test_the_marked_pixels_are_left_out_of_a_fit(widget, viewer, faces, stack, qtbot):
    widget.parameters["max_iter"].value = 30
    bar = np.array([[1.5, -0.5], [1.5, 9.5], [5.5, 9.5], [5.5, -0.5]])
    widget.ignore.value = viewer.add_shapes([bar], shape_type="polygon")
    widget.start_button.native.click()
    assert not widget.ignore.enabled
    wait_for_the_end(widget, qtbot)
    assert widget.ignore.enabled
    mask = np.zeros((12, 10), bool)
    mask[2:6] = True
    alone = fit(stack, n_components=3, max_iter=30, tol=0, mask=mask)
    model = viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY]
    np.testing.assert_array_equal(model.mask, mask)
    np.testing.assert_array_equal(model.weights, alone.weights)
    assert "40 pixels of each" in widget.status.value


def test_what_marks_too_much_is_told_and_marks_of_hidden_fields_do_not_count(
    widget, viewer, faces, qtbot, monkeypatch
):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    widget.ignore.value = viewer.add_labels(np.ones((12, 10), int), name="all")
    widget.start_button.native.click()
    wait_for_the_end(widget, qtbot)
    assert told == ["Ignore: all marks every pixel: leave some of them to be fitted."]
    assert told[0] in widget.status.value
    widget.method.value = "pca"
    widget.start_button.native.click()
    wait_for_the_end(widget, qtbot)
    assert widget.status.value.startswith("Done")
    widget.method.value = "nmf"
    assert widget.ignore.value is viewer.layers["all"]


def test_marks_with_four_axes_start_nothing(widget, viewer, faces, monkeypatch):
    told = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    widget.ignore.value = viewer.add_labels(np.zeros((2, 5, 12, 10), int), name="four")
    assert widget.fit() is None
    assert told[0].startswith("Ignore: four has 4 axes")


def test_while_it_fits_one_can_stop_or_cancel(widget, faces, qtbot):
    widget.show()
    begin_a_long_fit(widget, qtbot)
    assert widget.start_button.text.replace("&", "") == "Stop and keep"
    assert widget.cancel_button.visible
    assert widget.progress.visible
    assert not widget.parameters["n_components"].enabled
    assert widget.fit() is None  # a second fit does not start
    assert "error" in widget.status.value
    widget.cancel_button.native.click()
    assert not widget.is_working
    assert not widget.cancel_button.visible
    assert widget.parameters["n_components"].enabled
    assert widget.status.value == "Cancelled; nothing was kept."


def test_stop_and_keep(widget, viewer, faces, qtbot):
    begin_a_long_fit(widget, qtbot)
    widget.start_button.native.click()
    wait_for_the_end(widget, qtbot)
    assert widget.status.value.startswith("Stopped and kept")
    assert len(layers_in(viewer)) == 3


def test_removing_the_faces_while_they_are_fitted(widget, viewer, faces, qtbot):
    begin_a_long_fit(widget, qtbot)
    viewer.layers.remove(faces)
    qtbot.waitUntil(lambda: not widget.is_working)
    assert not widget.start_button.enabled
    assert not viewer.layers


def test_wrong_input_is_told_and_nothing_starts(widget, faces, monkeypatch):
    told = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    widget.parameters["tol"].value = "tiny"
    widget.start_button.native.click()
    assert not widget.is_working
    assert told == ["tol must be a number (0.0 or more), got 'tiny'."]


def test_too_many_components_are_told(widget, faces, qtbot, monkeypatch):
    told = []
    monkeypatch.setattr("napari.utils.notifications.show_error", told.append)
    widget.parameters["n_components"].value = 31
    widget.start_button.native.click()
    wait_for_the_end(widget, qtbot)
    assert told == ["n_components must be from 1 to 30 (the number of faces), got 31."]
    assert told[0] in widget.status.value


def test_a_closed_widget_ends_its_fit_and_follows_the_layers_no_more(
    viewer, stack, qapp, qtbot
):
    widget = FitWidget(viewer)
    viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    widget.parameters["n_components"].value = 3
    widget.parameters["tol"].value = "0"
    begin_a_long_fit(widget, qtbot)
    widget.deleteLater()
    qtbot.waitUntil(lambda: not widget.is_working)
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    viewer.add_image(np.zeros((5, 8, 8)))
    viewer.layers.clear()
