"""Faces that are mixed and made in the panel, and the layers that show them."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QWidget
from superqt.utils import WorkerBase

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.fitting import fit
from napari_latent_faces.mixing import (
    mattering,
    mean_weights,
    sample_weights,
    to_pixels,
    weight_ranges,
)
from napari_latent_faces.viewer.fitting import FitSession, MendJob, ResultLayers, ShowOptions
from napari_latent_faces.viewer.layers import (
    MODEL_KEY,
    PICTURES_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    faces_layer,
)
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.mixing import MixLayers, prepare_nearest
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.panels.pictures import BREAK
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run
from tests.made import correlated_weights, made_model, signed_model
from tests.viewer.test_layout import overlaps


@pytest.fixture
def viewer(empty_viewer, stack, model):
    faces = empty_viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(empty_viewer, faces, ShowOptions()).show_model(model)
    empty_viewer.dims.set_point(0, 4)
    return empty_viewer


@pytest.fixture
def opened(qtbot):
    """Return a function that opens the panel of a viewer."""

    def opened(viewer):
        panel = MixerWidget(viewer)
        qtbot.addWidget(panel)
        panel.resize(340, 900)
        panel.show()
        return panel

    return opened


@pytest.fixture
def panel(viewer, opened):
    panel = opened(viewer)
    panel.session._catch_up()
    return panel


@pytest.fixture
def large():
    """Return a model of twelve components."""
    return made_model(correlated_weights(40, 12) / 40)


@pytest.fixture
def large_panel(empty_viewer, opened, large):
    show_model(empty_viewer, large)
    return opened(empty_viewer)


def show_model(viewer, model):
    pictures = np.clip(model.reconstruct(), 0, 255).astype(np.uint8)
    faces = viewer.add_image(pictures, name="faces")
    ResultLayers(viewer, faces, ShowOptions()).show_model(model)


def fit_again(viewer, stack, k=2, **options):
    model = fit(stack, n_components=k, max_iter=5, tol=0)
    ResultLayers(viewer, viewer.layers["orl"], ShowOptions(**options)).show_model(model)
    return model


def by_role(viewer, role):
    return [layer for layer in viewer.layers if layer.metadata.get(ROLE_KEY) == role]


def mixed(viewer):
    [layer] = by_role(viewer, "mixed")
    return layer


def generated(viewer):
    [layer] = by_role(viewer, "generated")
    return layer


def pixels_of(model, weights):
    return to_pixels(model.blend(weights), "uint8")


def click(button):
    button.native.click()


def close(panel):
    """Close a panel as napari does, which takes it out of its window."""
    window = QWidget()
    panel.setParent(window)
    panel.setParent(None)


# -- The mixed face, and its layer -----------------------------------------------------


@pytest.mark.usefixtures("panel")
def test_it_begins_as_the_current_face_and_looks_like_the_faces(viewer, model):
    layer, faces = mixed(viewer), viewer.layers["orl"]
    np.testing.assert_array_equal(layer.data, to_pixels(model.reconstruct(4), "uint8"))
    assert layer.contrast_limits == faces.contrast_limits
    assert layer.colormap.name == faces.colormap.name
    assert viewer.layers.selection.active is faces
    assert overlaps(viewer) == []


def test_its_layer_follows_the_weights_and_is_added_again_when_it_was_removed(
    panel, viewer, model
):
    layer = mixed(viewer)
    panel.mix.set_weight(1, 0.9)
    assert mixed(viewer) is layer
    np.testing.assert_array_equal(layer.data, pixels_of(model, panel.mix.weights))
    panel.mix.undo()
    np.testing.assert_array_equal(layer.data, to_pixels(model.reconstruct(4), "uint8"))
    viewer.layers.remove(layer)
    panel.mix.set_weight(1, 0.9)
    np.testing.assert_array_equal(mixed(viewer).data, pixels_of(model, panel.mix.weights))


@pytest.mark.parametrize("at", [0, 1, 2])
def test_it_starts_from(panel, viewer, model, at):
    viewer.dims.set_point(0, 9)
    panel.mix.set_weight(0, 0.123)
    click(panel.starts[at])
    expected = [model.weights[9], mean_weights(model), np.zeros(3)][at]
    np.testing.assert_allclose(panel.mix.weights, expected)
    assert panel.weights.components


def test_it_is_of_the_model_of_the_selected_stack(panel, viewer, stack):
    other = viewer.add_layer(Layer.create(*faces_layer(stack, "other")))
    other.translate = (0, 500, 0)
    model = fit(stack, n_components=5, max_iter=5, tol=0)
    ResultLayers(viewer, other, ShowOptions()).show_model(model)
    for name, k in (("orl", 3), ("other", 5)):
        viewer.layers.selection.active = viewer.layers[name]
        panel.which.value = "all"
        panel.numbers.value = ""
        assert panel.weights.components == list(range(k))
    panel.mix.set_weight(4, 1.0)
    mixes = by_role(viewer, "mixed")
    assert len(mixes) == 2
    np.testing.assert_array_equal(mixes[-1].data, to_pixels(panel.mix.pixels, "uint8"))


def test_each_model_keeps_its_mix(panel, viewer, stack, model):
    panel.mix.set_weight(0, 0.9)
    first = panel.mix
    other = fit_again(viewer, stack, update=False)
    assert panel.model is other
    panel.mix.set_weight(1, 0.8)
    for known in (model, other):
        viewer.layers.selection.active = next(
            layer for layer in viewer.layers if layer.metadata.get(MODEL_KEY) is known
        )
        session_of(viewer).results_changed()
        panel.mix.set_weight(1, 0.3)
        np.testing.assert_array_equal(mixed(viewer).data, pixels_of(known, panel.mix.weights))
    assert panel.mix.weights[1] == 0.3
    assert first.weights[0] == 0.9


def test_of_a_model_file_it_lies_beside_its_reconstructions(empty_viewer, model, opened, qtbot):
    for data in model_layers(model, "file"):
        empty_viewer.add_layer(Layer.create(*data))
    opened(empty_viewer)
    qtbot.waitUntil(lambda: bool(by_role(empty_viewer, "mixed")))
    assert mixed(empty_viewer).data.shape == (12, 10)
    assert overlaps(empty_viewer) == []


def test_without_a_model_it_says_where_to_get_one_and_a_fit_brings_its_sliders(
    empty_viewer, opened, stack
):
    panel = opened(empty_viewer)
    assert "No model yet" in panel.status.value
    assert not panel.keep_button.enabled
    assert not panel.generate_button.enabled
    assert not panel.weights.components
    for act in (panel.keep, panel.generate, panel.random_face, panel.add_morph, panel.cancel):
        act()
    panel.start_from("mean")
    assert not empty_viewer.layers
    empty_viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    for k in (3, 5):
        fit_again(empty_viewer, stack, k)
        panel.which.value = "all"
        assert panel.weights.components == list(range(k))
    assert panel.keep_button.enabled
    assert not panel.status.value


def test_two_panels_of_a_viewer_mix_one_face(panel, viewer, opened, stack):
    other = opened(viewer)
    model = fit_again(viewer, stack)
    panel.mix.set_weight(0, 0.9)
    other.mix.set_weight(1, 0.4)
    assert [list(each.mix.weights) for each in (panel, other)] == [[0.9, 0.4]] * 2
    np.testing.assert_array_equal(mixed(viewer).data, pixels_of(model, [0.9, 0.4]))
    panel.on_slider.value = True
    panel.keep()
    assert other.on_slider.value
    close(panel)
    other.mix.set_weight(0, 0.1)
    np.testing.assert_array_equal(mixed(viewer).data, pixels_of(model, [0.1, 0.4]))


def test_two_viewers_mix_apart(panel, stack, model, opened):
    other = ViewerModel()
    faces = other.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(other, faces, ShowOptions()).show_model(model)
    second = opened(other)
    second.start_from("mean")
    before = mixed(other).data.copy()
    panel.mix.set_weight(0, 2.0)
    np.testing.assert_array_equal(mixed(other).data, before)


def test_a_closed_panel_follows_no_more(panel, viewer, stack, qtbot, qapp):
    close(panel)
    other = fit_again(viewer, stack)
    assert panel.mix is None
    assert other not in [mix.model for mix in session_of(viewer).mixes]
    again = MixerWidget(viewer)
    again.deleteLater()
    qtbot.waitUntil(lambda: again.mix is None)
    session_of(viewer).select_component(1)
    viewer.dims.set_point(0, 3)
    assert session_of(viewer).mixes
    viewer.layers.clear()
    qapp.processEvents()
    assert not session_of(viewer).mixes  # they would keep their models
    assert session_of(viewer).mix is None


def test_the_face_shown_for_a_number_is_the_real_one(viewer, stack, model):
    layers = MixLayers(viewer)
    picture, limits = layers.face_picture(7)
    np.testing.assert_array_equal(picture, stack.images[7])
    assert limits == (0, 255)
    viewer.layers.remove("orl")
    assert viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY] is model
    picture, limits = layers.face_picture(7)
    np.testing.assert_allclose(picture, model.reconstruct(7))


def test_faces_of_several_sizes_are_fitted_mixed_and_mended_at_the_largest(
    empty_viewer, opened, stack, model, qtbot
):
    pyramid = [stack.images, stack.images[:, ::2, ::2]]
    faces = empty_viewer.add_image(pyramid, multiscale=True, name="orl")
    run(qtbot, FitSession(empty_viewer, faces, model.params, ShowOptions()))
    panel = opened(empty_viewer)
    panel.start_from("face")
    assert mixed(empty_viewer).data.shape == (12, 10)
    np.testing.assert_array_equal(panel.layers.face_picture(7)[0], stack.images[7])
    mask = add_mask(empty_viewer, faces)
    mask.data[2:4] = 1
    run(qtbot, MendJob(empty_viewer, faces, panel.model, mask))
    assert empty_viewer.layers["mended [orl]"].data.shape == stack.shape
    assert overlaps(empty_viewer) == []


# -- Sliders, steps and lists ----------------------------------------------------------


def test_what_matters_is_listed_first_and_a_filter_lists_others(large_panel, large):
    weights = large_panel.mix.weights
    assert large_panel.weights.components == list(mattering(large, weights))
    assert large_panel.listed.text() == f"{len(large_panel.weights.components)} of 12"
    large_panel.which.value = "used"
    assert large_panel.weights.components == list(np.flatnonzero(weights))
    large_panel.which.value = "all"
    assert large_panel.weights.components == list(range(12))
    large_panel.numbers.value = "2, 5-7"
    assert large_panel.weights.components == [2, 5, 6, 7]


def test_a_slider_changes_the_number_and_buttons_and_keys_take_it_back(large_panel, qtbot):
    undo, redo, reset = large_panel.steps
    start = large_panel.mix.weights
    assert not undo.enabled
    row = large_panel.weights.rows[0]
    row.slider.setValue(900)
    changed = large_panel.mix.weights
    assert changed[row.component] == pytest.approx(row.field.value(), abs=5e-4)
    for step, expected in ((undo, start), (redo, changed), (reset, start)):
        qtbot.mouseClick(step.native, Qt.MouseButton.LeftButton)
        np.testing.assert_array_equal(large_panel.mix.weights, expected)
    assert not redo.enabled
    large_panel.activateWindow()
    row.slider.setFocus()
    qtbot.waitUntil(row.slider.hasFocus)
    control, shift = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
    qtbot.keyClick(row.slider, Qt.Key.Key_Z, control)
    np.testing.assert_array_equal(large_panel.mix.weights, changed)
    qtbot.keyClick(row.slider, Qt.Key.Key_Z, control | shift)
    np.testing.assert_array_equal(large_panel.mix.weights, start)


@pytest.mark.parametrize("is_morph", [False, True])
def test_a_drag_is_one_step(large_panel, large, is_morph):
    start = large_panel.mix.weights
    slider = large_panel.way if is_morph else large_panel.weights.rows[0].slider
    slider.setSliderDown(True)
    for share in (0.2, 0.5, 1):
        slider.setValue(round(share * slider.maximum()))
    slider.setSliderDown(False)
    assert not np.array_equal(large_panel.mix.weights, start)
    if is_morph:
        np.testing.assert_allclose(large_panel.mix.weights, large.weights[39], rtol=1e-6)
    click(large_panel.steps[0])
    np.testing.assert_array_equal(large_panel.mix.weights, start)
    assert not large_panel.steps[0].enabled


def test_a_component_is_chosen_here_and_elsewhere(large_panel):
    large_panel.which.value = "all"
    large_panel.weights.chosen.emit(1)
    assert large_panel.session.component == 1
    large_panel.session.select_component(11)
    [marked] = [row.component for row in large_panel.weights.rows if row.is_marked]
    assert marked == 11


def test_many_components_open_with_few_rows(empty_viewer, opened):
    show_model(empty_viewer, made_model(correlated_weights(250, 200) / 50))
    panel = opened(empty_viewer)
    panel.which.value = "all"
    assert len(panel.weights.components) == 200
    assert 3 <= len(panel.weights.rows) < 25


def test_signed_weights_are_moved_around_the_mean_face_in_deviations(empty_viewer, opened):
    model = signed_model(np.random.default_rng(0).normal(0, [0.1, 0.2, 0.05], (40, 3)))
    show_model(empty_viewer, model)
    panel = opened(empty_viewer)
    panel.start_from("mean")
    assert not panel.mix.weights.any()
    assert not panel.starts[2].visible
    panel.which.value = "all"
    row = panel.weights.rows[1]
    assert row.slider.value() == pytest.approx(0, abs=1e-6)
    row.field.setValue(-2)
    unit = weight_ranges(model)[1][row.component]
    assert panel.mix.weights[row.component] == pytest.approx(-2 * unit)
    assert row.slider.value() < row.slider.maximum() / 4
    assert row.field.text() == "-2.00 sd"
    image = row.picture.pixmap().toImage()
    colours = {image.pixelColor(x, 8).getRgb()[:3] for x in range(image.width())}
    assert any(len(set(colour)) > 1 for colour in colours)  # not all grey


# -- The nearest real face -------------------------------------------------------------


def test_the_nearest_real_face_is_named_and_a_click_goes_there(large_panel, qtbot):
    viewer, nearest = large_panel.viewer, large_panel.nearest
    viewer.dims.set_point(0, 5)
    click(large_panel.starts[0])
    qtbot.waitUntil(lambda: "Subject s5\n0 grey values" in nearest.words.text())
    assert "s5/1.png" in nearest.words.text().replace(BREAK, "")
    [item] = nearest.pictures.items
    assert not item.pixmap().isNull()
    viewer.dims.set_point(0, 9)
    place = nearest.pictures.visualRect(nearest.pictures.model().index(0, 0)).center()
    qtbot.mouseClick(nearest.pictures.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert large_panel.session.face == 5


def test_how_near_is_the_difference_of_pictures_and_the_median_of_real_faces_is_usual():
    model = made_model(correlated_weights(30, 5))
    faces, usual = prepare_nearest(model)
    each = [faces.find(w, 1, exclude=i)[1][0] for i, w in enumerate(model.weights)]
    assert usual == pytest.approx(np.median(each))
    weights = model.weights[11] * 1.1
    [face], [distance] = faces.find(weights, 1)
    apart = model.blend(weights) - model.reconstruct(face)
    assert distance == pytest.approx(np.sqrt((apart**2).mean()), rel=1e-3)
    one, usual = prepare_nearest(made_model(np.ones((1, 1))))
    assert isinstance(one, NearestFaces)
    assert np.isnan(usual)


# -- Faces that are kept ---------------------------------------------------------------


def test_kept_faces_come_onto_a_sheet_with_their_recipes(panel, viewer, tmp_path, monkeypatch):
    click(panel.save_button)
    assert "press Keep" in panel.status.value
    click(panel.keep_button)
    mix = panel.mix
    mix.set_weight(2, 0.7)
    click(panel.keep_button)
    layer = generated(viewer)
    assert layer.ndim == 2  # all are seen, wherever the slider is
    made, shown = layer.metadata[PICTURES_KEY], layer.data.copy()
    assert (made.shape, made.dtype) == ((2, 12, 10), np.uint8)
    np.testing.assert_array_equal(made[1], mixed(viewer).data)
    assert np.isin(np.unique(made), np.unique(layer.data)).all()
    recipes = layer.metadata[RECIPES_KEY]
    assert [recipe.name for recipe in recipes] == ["generated 0", "generated 1"]
    assert panel.status.value == "Kept as generated 1."
    assert overlaps(viewer) == []
    mix.set_weight(2, 0.1)
    np.testing.assert_array_equal(layer.data, shown)
    viewer.layers.selection.active = layer
    assert panel.mix is mix
    assert panel.session.faces is viewer.layers["orl"]

    asked = str(tmp_path / "mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (asked, ""))
    click(panel.save_button)
    assert panel.status.value == f"Saved {tmp_path / 'mine.csv'}."
    with (tmp_path / "mine.csv").open(encoding="utf-8-sig", newline="") as file:
        *_, row = csv.reader(file)
    np.testing.assert_allclose([float(each) for each in row[2:]], recipes[1].weights)
    asked = str(tmp_path / "no" / "r.csv")
    told = []
    monkeypatch.setattr("napari_latent_faces.viewer.panels.panel.show_error", told.append)
    click(panel.save_button)
    assert "cannot be written" in told[0]


def test_undo_takes_back_a_kept_face_and_on_the_slider(panel, viewer):
    panel.keep()
    first = generated(viewer).data
    panel.keep()
    session_of(viewer).undo()
    assert len(panel.layers.recipes(panel.model)) == 1
    np.testing.assert_array_equal(generated(viewer).data, first)
    panel.keep()
    panel.on_slider.value = True
    for is_stack in (False, True):
        session_of(viewer).undo()
        assert (generated(viewer).ndim == 3, panel.on_slider.value) == (is_stack, is_stack)
    panel.keep()
    assert generated(viewer).data.shape == (3, 12, 10)
    session_of(viewer).undo()
    assert len(panel.layers.recipes(panel.model)) == 2


def test_a_new_fit_leaves_mixed_and_generated_faces_alone(panel, viewer, stack):
    panel.keep()
    kept = generated(viewer)
    other = fit_again(viewer, stack)
    assert kept in viewer.layers
    assert panel.model is other
    panel.keep()  # of another number of components: a stack of its own
    assert len(by_role(viewer, "generated")) == 2
    assert len(kept.metadata[RECIPES_KEY]) == 1


# -- Faces that are made in a thread: random ones, and morphs --------------------------


def wait(panel, qtbot):
    qtbot.waitUntil(lambda: not panel.is_working)


def test_a_random_face_is_the_one_of_its_seed_and_the_next_is_another(panel, model, qtbot):
    panel.seed.value = 3
    for seed in (3, 4):
        click(panel.random_button)
        assert panel.is_working
        wait(panel, qtbot)
        expected = sample_weights(model, 1, seed)[0]
        np.testing.assert_allclose(panel.mix.weights, expected)
        panel.mix.set_weight(0, 5)
        panel.mix.reset()
        np.testing.assert_allclose(panel.mix.weights, expected)
    assert panel.seed.value == 5
    assert not panel.status.value


@pytest.mark.parametrize("near", ["", "face", "mix"])
def test_many_are_added_at_once(panel, viewer, model, qtbot, near):
    panel.start_from("mean")
    panel.sections[0].unfold()
    panel.near.value, panel.seed.value, panel.count.value = near, 3, 40
    assert panel.strength.enabled == bool(near)
    panel.strength.value = 0.8
    click(panel.generate_button)
    assert panel.progress.visible
    assert not panel.generate_button.enabled
    panel.generate()  # one at a time
    wait(panel, qtbot)
    assert panel.status.value == "Added 40 random faces: generated 0 to 39."
    assert not panel.progress.visible
    centre = {"": None, "face": 4, "mix": mean_weights(model)}[near]
    expected = pixels_of(model, sample_weights(model, 40, 3, centre, 0.8))
    np.testing.assert_array_equal(generated(viewer).metadata[PICTURES_KEY], expected)
    words = {"": "seed 3", "face": "0.8 close to s1/5.png", "mix": "close to a mixed face"}
    assert words[near] in generated(viewer).metadata[RECIPES_KEY][-1].made


@pytest.mark.parametrize("is_cancelled", [True, False])
def test_cancelled_or_of_another_model_nothing_is_kept(
    panel, viewer, stack, qtbot, is_cancelled
):
    panel.count.value = 5000
    click(panel.generate_button)
    if is_cancelled:
        click(panel.cancel_button)
    else:
        fit_again(viewer, stack)
    assert not panel.is_working
    words = "Cancelled; nothing was kept." if is_cancelled else "There is another model now"
    assert panel.status.value.startswith(words)
    assert panel.generate_button.enabled
    qtbot.waitUntil(lambda: not WorkerBase._worker_set)
    assert not by_role(viewer, "generated")


@pytest.mark.parametrize("as_stack", [False, True])
def test_a_morph_is_added_as_a_sheet_or_a_stack(panel, viewer, model, qtbot, as_stack):
    viewer.dims.set_point(0, 8)
    click(panel.current_buttons[1])
    viewer.dims.set_point(0, 25)  # beyond the frames
    panel.ends[0].value, panel.frames.value = 2, 11
    assert panel.between.value == "s1/3.png to s2/4.png"
    panel.way.setValue(50)
    expected = 0.75 * model.weights[2] + 0.25 * model.weights[8]
    np.testing.assert_allclose(panel.mix.weights, expected, rtol=1e-6)
    panel.on_slider.value = as_stack
    click(panel.morph_button)
    wait(panel, qtbot)
    assert panel.status.value == "Added the morph from s1/3.png to s2/4.png."
    [layer] = by_role(viewer, "morph")
    assert overlaps(viewer) == []
    assert viewer.dims.point[0] == (0 if as_stack else 25)
    if not as_stack:
        assert layer.ndim == 2
        panel.on_slider.value = True  # the same frames, one behind another
        [layer] = by_role(viewer, "morph")
    assert layer.data.shape == (11, 12, 10)
    for frame, face in ((0, 2), (-1, 8)):
        expected = to_pixels(model.reconstruct(face), "uint8").astype(int)
        assert np.abs(layer.data[frame] - expected).max() <= 1
    assert layer.metadata[RECIPES_KEY][0].made == "morph from s1/3.png to s2/4.png"
    assert overlaps(viewer) == []
