from __future__ import annotations

import numpy as np
import pytest
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_latent_faces.fitting import fit
from napari_latent_faces.mixing import mattering, weight_units
from napari_latent_faces.viewer.fitting import ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import RECIPES_KEY, ROLE_KEY, faces_layer
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from tests.made import correlated_weights, made_model, signed_model


def show_model(viewer, model):
    pictures = np.clip(model.reconstruct(), 0, 255).astype(np.uint8)
    faces = viewer.add_image(pictures, name="faces")
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)


@pytest.fixture
def model():
    return made_model(correlated_weights(40, 12) / 40)


@pytest.fixture
def widget(viewer, model, qtbot):
    show_model(viewer, model)
    widget = MixerWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(340, 900)
    widget.show()
    return widget


def wait(widget, qtbot):
    qtbot.waitUntil(lambda: not widget.desk.is_making)


def weights(widget):
    return widget.desk.mix.weights


def test_without_a_model_it_says_where_to_get_one(viewer, qtbot):
    widget = MixerWidget(viewer)
    qtbot.addWidget(widget)
    assert "No model yet" in widget.status.value
    assert not widget.keep_button.isEnabled()
    assert not widget.random.generate_button.isEnabled()
    assert not widget.weights.components


def test_a_new_fit_brings_its_sliders(viewer, qtbot, stack, model):
    widget = MixerWidget(viewer)
    qtbot.addWidget(widget)
    faces = viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    for k in (3, 5):
        model = fit(stack, n_components=k, max_iter=5, tol=0)
        ResultLayers(viewer, faces, ShowOptions()).show_model(model)
        widget.which.setCurrentIndex(2)
        assert widget.weights.components == list(range(k))
    assert widget.keep_button.isEnabled()
    assert not widget.status.value


def test_what_matters_is_listed_first_and_a_filter_lists_others(widget, model):
    assert widget.weights.components == list(mattering(model, weights(widget)))
    assert widget.listed.text() == f"{len(widget.weights.components)} of 12"
    widget.which.setCurrentIndex(1)
    assert widget.weights.components == list(np.flatnonzero(weights(widget)))
    widget.which.setCurrentIndex(2)
    assert widget.weights.components == list(range(12))
    widget.numbers.setText("2, 5-7")
    assert widget.weights.components == [2, 5, 6, 7]


def test_a_slider_changes_the_picture_and_the_number(widget, viewer):
    [mixed] = [each for each in viewer.layers if each.metadata.get(ROLE_KEY) == "mixed"]
    row = widget.weights.rows[0]
    before = mixed.data.copy()
    row.slider.setValue(900)
    assert not np.array_equal(mixed.data, before)
    assert weights(widget)[row.component] == pytest.approx(row.field.value(), abs=5e-4)
    assert row.slider.value() == 900


def test_undo_redo_and_reset_by_buttons_and_keys(widget, qtbot):
    start = weights(widget)
    assert not widget.steps.undo_button.isEnabled()
    row = widget.weights.rows[0]
    row.slider.setValue(900)
    changed = weights(widget)
    qtbot.mouseClick(widget.steps.undo_button, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(weights(widget), start)
    qtbot.mouseClick(widget.steps.redo_button, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(weights(widget), changed)
    assert not widget.steps.redo_button.isEnabled()
    qtbot.mouseClick(widget.steps.reset_button, Qt.MouseButton.LeftButton)
    np.testing.assert_array_equal(weights(widget), start)
    widget.activateWindow()
    row.slider.setFocus()
    qtbot.waitUntil(row.slider.hasFocus)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(row.slider, Qt.Key.Key_Z, control)
    np.testing.assert_array_equal(weights(widget), changed)
    qtbot.keyClick(row.slider, Qt.Key.Key_Z, control | shift)
    np.testing.assert_array_equal(weights(widget), start)


def test_a_drag_is_one_step(widget):
    start = weights(widget)
    slider = widget.weights.rows[0].slider
    slider.setSliderDown(True)
    for value in (100, 500, 900):
        slider.setValue(value)
    slider.setSliderDown(False)
    widget.steps.undo_button.click()
    np.testing.assert_array_equal(weights(widget), start)
    assert not widget.steps.undo_button.isEnabled()


def test_a_drag_of_the_morph_is_one_step(widget, model):
    start = weights(widget)
    slider = widget.morph.way
    slider.setSliderDown(True)
    for value in (50, 100, 200):
        slider.setValue(value)
    slider.setSliderDown(False)
    np.testing.assert_allclose(weights(widget), model.weights[39], rtol=1e-6)
    widget.steps.undo_button.click()
    np.testing.assert_array_equal(weights(widget), start)


def test_a_component_is_chosen_here_and_elsewhere(widget, viewer):
    widget.which.setCurrentIndex(2)
    focus = session_of(viewer)
    widget.weights.rows[1].clicked.emit(1)
    assert focus.component == 1
    focus.select_component(11)
    [marked] = [row.component for row in widget.weights.rows if row._is_marked]
    assert marked == 11


@pytest.mark.parametrize("at", [0, 1, 2])
def test_the_mix_starts_from(widget, viewer, at, model):
    viewer.dims.set_point(0, 5)
    widget.steps.starts[at].click()
    expected = [model.weights[5], model.weights.mean(axis=0), np.zeros(12)][at]
    np.testing.assert_allclose(weights(widget), expected, rtol=1e-5)
    assert widget.weights.components


def test_the_nearest_real_face_is_named_and_a_click_goes_there(widget, viewer, qtbot):
    viewer.dims.set_point(0, 5)
    widget.steps.starts[0].click()
    qtbot.waitUntil(lambda: "s5/1.png" in widget.nearest.text.text())
    text = widget.nearest.text.text()
    assert "Subject s5" in text
    assert "0 grey values" in text
    assert not widget.nearest.picture.pixmap().isNull()
    viewer.dims.set_point(0, 9)
    qtbot.mouseClick(widget.nearest, Qt.MouseButton.LeftButton)
    assert session_of(viewer).face == 5


def test_random_faces_differ_from_click_to_click(widget, qtbot):
    seen = []
    for _ in range(2):
        widget.random.random_button.click()
        wait(widget, qtbot)
        seen.append(weights(widget))
    assert not np.array_equal(*seen)
    assert widget.random.seed.value() == 2


def test_how_close_is_asked_only_where_it_matters(widget):
    assert not widget.random.strength.isEnabled()
    widget.random.near.setCurrentIndex(1)
    assert widget.random.strength.isEnabled()
    assert widget.random.choice == (0, "face", 0.7)


def test_faces_are_generated_with_progress_and_can_be_cancelled(widget, viewer, qtbot):
    widget.sections[0].unfold()
    widget.random.count.setValue(7)
    widget.random.generate_button.click()
    assert widget.progress.visible
    assert not widget.random.generate_button.isEnabled()
    wait(widget, qtbot)
    [layer] = [each for each in viewer.layers if each.metadata.get(ROLE_KEY) == "generated"]
    assert len(layer.metadata[RECIPES_KEY]) == 7
    assert widget.status.value == "Added 7 random faces: generated 0 to 6."
    assert not widget.progress.visible
    widget.random.count.setValue(10_000)
    widget.random.generate_button.click()
    widget.cancel_button.native.click()
    assert len(layer.metadata[RECIPES_KEY]) == 7
    assert "Cancelled" in widget.status.value
    assert widget.random.generate_button.isEnabled()


def test_a_morph_becomes_a_sheet_or_a_stack(widget, viewer, qtbot):
    viewer.dims.set_point(0, 6)
    widget.morph.faces[0].setValue(2)
    widget.morph._set_current(widget.morph.faces[1])
    assert [label.text() for label in widget.morph.labels] == ["s2/1.png", "s6/1.png"]
    widget.morph.frames.setValue(5)
    widget.morph.stack_button.click()
    wait(widget, qtbot)
    [layer] = [each for each in viewer.layers if each.metadata.get(ROLE_KEY) == "morph"]
    assert layer.ndim == 2
    assert widget.status.value == "Added the morph from s2/1.png to s6/1.png."
    widget.on_slider.setChecked(True)
    [layer] = [each for each in viewer.layers if each.metadata.get(ROLE_KEY) == "morph"]
    assert len(layer.data) == 5


def test_recipes_are_saved(widget, tmp_path, monkeypatch):
    widget.save_button.click()
    assert "press Keep" in widget.status.value
    widget.keep_button.click()
    asked = str(tmp_path / "mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked, ""))
    widget.save_button.click()
    assert (tmp_path / "mine.csv").is_file()
    assert widget.status.value == "Saved 1 recipe."


def test_recipes_that_cannot_be_saved_are_told(widget, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "no" / "r.csv"), "")
    )
    widget.keep_button.click()
    widget.save_button.click()
    assert "not saved" in told[0]


def test_many_components_open_with_few_rows(viewer, qtbot):
    show_model(viewer, made_model(correlated_weights(250, 200) / 50))
    widget = MixerWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(340, 900)
    widget.which.setCurrentIndex(2)
    widget.show()
    assert len(widget.weights.components) == 200
    assert 3 <= len(widget.weights._rows) < 25


def test_a_closed_widget_follows_no_more(viewer, model, qtbot, qapp):
    show_model(viewer, model)
    widget = MixerWidget(viewer)
    desk = widget.desk
    widget.deleteLater()
    qtbot.waitUntil(lambda: desk.mix is None)
    session_of(viewer).select_component(1)
    viewer.dims.set_point(0, 3)
    viewer.layers.clear()
    qapp.processEvents()


def test_signed_weights_are_moved_around_the_mean_face_in_deviations(viewer, qtbot):
    model = signed_model(np.random.default_rng(0).normal(0, [0.1, 0.2, 0.05], (40, 3)))
    show_model(viewer, model)
    widget = MixerWidget(viewer)
    qtbot.addWidget(widget)
    widget.resize(340, 900)
    widget.show()
    widget.steps.starts[1].click()  # the mean face
    assert not weights(widget).any()
    assert widget.steps.starts[2].isHidden()
    widget.which.setCurrentIndex(widget.which.findData("all"))
    row = widget.weights.rows[1]
    assert row.slider.value() == row.slider.maximum() / 2
    row.field.setValue(-2)
    unit = weight_units(model)[row.component]
    assert weights(widget)[row.component] == pytest.approx(-2 * unit)
    assert row.slider.value() < row.slider.maximum() / 4
    assert row.field.text() == "-2.00 sd"
    image = row.picture.pixmap().toImage()
    colours = {image.pixelColor(x, 8).getRgb()[:3] for x in range(image.width())}
    assert any(len(set(colour)) > 1 for colour in colours)  # not all grey
