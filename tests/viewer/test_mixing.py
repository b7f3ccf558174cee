"""The mixed face of a viewer, and the faces generated there, without a window."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from qtpy.QtWidgets import QWidget
from superqt.utils import WorkerBase

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.fitting import fit
from napari_latent_faces.mixing import mean_weights, sample_weights, to_pixels
from napari_latent_faces.viewer.fitting import FitSession, MendJob, ResultLayers, ShowOptions
from napari_latent_faces.viewer.jobs import _running
from napari_latent_faces.viewer.layers import (
    MODEL_KEY,
    PICTURES_KEY,
    RECIPES_KEY,
    ROLE_KEY,
    faces_layer,
)
from napari_latent_faces.viewer.layout import model_layers
from napari_latent_faces.viewer.marks import add_mask
from napari_latent_faces.viewer.mixing import MixingDesk, NoveltyFinder
from napari_latent_faces.viewer.panels.mixer import MixerWidget
from napari_latent_faces.viewer.session import session_of
from tests.jobs import run
from tests.made import correlated_weights, made_model
from tests.viewer.test_layout import overlaps


@pytest.fixture
def viewer(empty_viewer, stack, model):
    faces = empty_viewer.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(empty_viewer, faces, ShowOptions()).show_model(model)
    empty_viewer.dims.set_point(0, 4)
    return empty_viewer


@pytest.fixture
def desk(viewer):
    return MixingDesk(viewer)


def by_role(viewer, role):
    return [layer for layer in viewer.layers if layer.metadata.get(ROLE_KEY) == role]


def mixed(viewer):
    [layer] = by_role(viewer, "mixed")
    return layer


def wait(desk, qtbot):
    qtbot.waitUntil(lambda: not desk.is_making)


class TestMixedFace:
    @pytest.mark.usefixtures("desk")
    def test_begins_as_the_current_face(self, viewer, model):
        expected = to_pixels(model.reconstruct(4), "uint8")
        np.testing.assert_array_equal(mixed(viewer).data, expected)

    @pytest.mark.usefixtures("desk")
    def test_looks_like_the_faces_and_overlaps_nothing(self, viewer):
        faces, layer = viewer.layers["orl"], mixed(viewer)
        assert layer.contrast_limits == faces.contrast_limits
        assert layer.colormap.name == faces.colormap.name
        assert viewer.layers.selection.active is faces
        assert overlaps(viewer) == []

    def test_follows_its_weights_in_the_same_layer(self, desk, viewer, model):
        layer = mixed(viewer)
        told = []
        desk.mix_changed.connect(told.append)
        desk.mix.set_weight(1, 0.9)
        assert mixed(viewer) is layer
        np.testing.assert_array_equal(
            layer.data, to_pixels(model.blend(desk.mix.weights), "uint8")
        )
        assert told == [1]
        desk.mix.undo()
        np.testing.assert_array_equal(layer.data, to_pixels(model.reconstruct(4), "uint8"))

    @pytest.mark.parametrize("what", ["face", "mean", "nothing"])
    def test_starts_from(self, desk, viewer, model, what):
        viewer.dims.set_point(0, 9)
        desk.mix.set_weight(0, 0.123)
        desk.start_from(what)
        expected = {
            "face": model.weights[9],
            "mean": mean_weights(model),
            "nothing": np.zeros(3),
        }[what]
        np.testing.assert_allclose(desk.mix.weights, expected)

    def test_is_added_again_when_it_was_removed(self, desk, viewer):
        viewer.layers.remove(mixed(viewer))
        desk.mix.set_weight(1, 0.9)
        assert mixed(viewer).data.any()

    def test_of_an_earlier_desk_is_taken_over(self, desk, viewer):
        desk.close()
        MixingDesk(viewer)
        assert len(by_role(viewer, "mixed")) == 1

    def test_is_that_of_the_selected_stack(self, desk, viewer, stack):
        other = viewer.add_layer(Layer.create(*faces_layer(stack, "other")))
        other.translate = (0, 500, 0)
        model = fit(stack, n_components=5, max_iter=5, tol=0)
        ResultLayers(viewer, other, ShowOptions()).show_model(model)
        replaced = []
        desk.mix_replaced.connect(lambda: replaced.append(desk.model))
        viewer.layers.selection.active = viewer.layers["orl"]
        viewer.layers.selection.active = other
        assert replaced[-1] is model
        desk.mix.set_weight(4, 1.0)
        assert len(by_role(viewer, "mixed")) == 2
        np.testing.assert_array_equal(
            by_role(viewer, "mixed")[-1].data, to_pixels(model.blend(desk.mix.weights), "uint8")
        )

    @pytest.mark.usefixtures("qapp")
    def test_needs_a_model(self):
        viewer = ViewerModel()
        desk = MixingDesk(viewer)
        assert desk.mix is None
        for act in (
            lambda: desk.start_from("mean"),
            desk.keep,
            lambda: desk.generate(3, 0, "", 0.5),
            lambda: desk.show_morph(0, 1, 0.5),
            lambda: desk.add_morph(0, 1, 5),
            desk.cancel,
        ):
            act()
        assert not viewer.layers
        assert not desk.is_making

    @pytest.mark.usefixtures("qapp")
    def test_of_a_model_file_lies_beside_its_reconstructions(self, model):
        viewer = ViewerModel()
        for data in model_layers(model, "file"):
            viewer.add_layer(Layer.create(*data))
        MixingDesk(viewer)
        assert mixed(viewer).data.shape == (12, 10)
        assert overlaps(viewer) == []


class TestKeep:
    def test_collects_faces_with_their_recipes(self, desk, viewer):
        told = []
        desk.told.connect(told.append)
        desk.keep()
        desk.mix.set_weight(2, 0.7)
        desk.keep()
        [layer] = by_role(viewer, "generated")
        assert layer.ndim == 2  # a sheet: all are seen, wherever the slider is
        made = layer.metadata[PICTURES_KEY]
        assert (made.shape, made.dtype) == ((2, 12, 10), np.uint8)
        np.testing.assert_array_equal(made[1], mixed(viewer).data)
        assert np.isin(np.unique(made), np.unique(layer.data)).all()
        recipes = layer.metadata[RECIPES_KEY]
        np.testing.assert_allclose(recipes[1].weights, desk.mix.weights)
        assert [recipe.name for recipe in recipes] == ["generated 0", "generated 1"]
        assert "generated 1" in told[-1]
        assert overlaps(viewer) == []

    def test_does_not_change_with_the_mix(self, desk, viewer):
        desk.keep()
        [layer] = by_role(viewer, "generated")
        before = layer.data.copy()
        desk.mix.set_weight(2, 0.7)
        np.testing.assert_array_equal(layer.data, before)

    def test_a_face_that_was_kept_can_be_taken_back(self, desk, viewer):
        desk.keep()
        [sheet] = by_role(viewer, "generated")
        first = sheet.data
        desk.keep()
        assert len(desk.recipes) == 2
        session_of(viewer).undo()
        [sheet] = by_role(viewer, "generated")
        assert len(desk.recipes) == 1
        np.testing.assert_array_equal(sheet.data, first)

    def test_a_selected_stack_of_generated_faces_keeps_the_model(self, desk, viewer):
        desk.keep()
        mix = desk.mix
        viewer.layers.selection.active = by_role(viewer, "generated")[0]
        assert desk.mix is mix
        assert desk.session.faces is viewer.layers["orl"]

    def test_a_new_fit_leaves_mixed_and_generated_faces_alone(self, desk, viewer, stack):
        desk.keep()
        kept = by_role(viewer, "generated")[0]
        other = fit(stack, n_components=2, max_iter=5, tol=0)
        ResultLayers(viewer, viewer.layers["orl"], ShowOptions()).show_model(other)
        assert kept in viewer.layers
        assert desk.model is other
        desk.keep()  # of another number of components: a stack of its own
        assert len(by_role(viewer, "generated")) == 2
        assert len(kept.metadata[RECIPES_KEY]) == 1

    def test_recipes_become_a_table(self, desk, tmp_path):
        desk.keep()
        assert desk.save_recipes(tmp_path / "r.csv") == 1
        with (tmp_path / "r.csv").open(encoding="utf-8-sig", newline="") as file:
            _, row = csv.reader(file)
        np.testing.assert_allclose([float(each) for each in row[2:]], desk.mix.weights)

    def test_undo_takes_on_the_slider_back(self, desk, viewer):
        desk.keep()
        desk.keep()
        desk.as_stack = True
        for is_stack in (False, True):
            session_of(viewer).undo()
            [layer] = by_role(viewer, "generated")
            assert (layer.ndim == 3, desk.as_stack) == (is_stack, is_stack)
        desk.keep()
        [layer] = by_role(viewer, "generated")
        assert layer.data.shape == (3, 12, 10)
        session_of(viewer).undo()
        assert len(desk.recipes) == 2


class TestMaking:
    def test_a_random_face_is_the_one_of_its_seed(self, desk, model, qtbot):
        desk.random_face(3, "", 0.5)
        assert desk.is_making
        wait(desk, qtbot)
        np.testing.assert_allclose(desk.mix.weights, sample_weights(model, 1, 3)[0])
        desk.mix.set_weight(0, 5)
        desk.mix.reset()
        np.testing.assert_allclose(desk.mix.weights, sample_weights(model, 1, 3)[0])

    @pytest.mark.parametrize("near", ["", "face", "mix"])
    def test_many_are_added_at_once(self, desk, viewer, model, qtbot, near):
        desk.start_from("mean")
        desk.generate(40, 3, near, 0.8)
        wait(desk, qtbot)
        [layer] = by_role(viewer, "generated")
        centre = {"": None, "face": 4, "mix": mean_weights(model)}[near]
        expected = sample_weights(model, 40, 3, centre, 0.8)
        made = to_pixels(model.blend(expected), "uint8")
        np.testing.assert_array_equal(layer.metadata[PICTURES_KEY], made)
        made = layer.metadata[RECIPES_KEY][-1].made
        words = {"": "seed 3", "face": "0.8 close to s1/5.png", "mix": "close to a mixed face"}
        assert words[near] in made

    def test_only_one_at_a_time(self, desk, viewer, qtbot):
        desk.generate(4, 0, "", 0.5)
        desk.generate(7, 0, "", 0.5)
        wait(desk, qtbot)
        assert len(by_role(viewer, "generated")[0].metadata[PICTURES_KEY]) == 4

    def test_cancelled_leaves_nothing(self, desk, viewer, qtbot):
        told = []
        desk.told.connect(told.append)
        desk.generate(5000, 0, "", 0.5)
        desk.cancel()
        assert not desk.is_making
        assert told == ["Cancelled; nothing was kept."]
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)
        assert not by_role(viewer, "generated")

    def test_another_model_drops_what_is_being_made(self, desk, viewer, stack, qtbot):
        told = []
        desk.told.connect(told.append)
        desk.generate(5000, 0, "", 0.5)
        other = fit(stack, n_components=2, max_iter=5, tol=0)
        ResultLayers(viewer, viewer.layers["orl"], ShowOptions()).show_model(other)
        assert "another model" in told[-1]
        qtbot.waitUntil(lambda: not WorkerBase._worker_set)
        assert not by_role(viewer, "generated")

    def test_what_goes_wrong_is_told(self, desk, monkeypatch, qtbot):
        told, shown = [], []
        desk.told.connect(told.append)
        monkeypatch.setattr("napari.utils.notifications.show_error", shown.append)
        desk.generate(3, 0, "face", 7.0)
        wait(desk, qtbot)
        assert shown == ["strength must be from 0 to 1, got 7.0."]
        assert shown[0] in told[0]


class TestMorph:
    def test_mixes_two_faces(self, desk, model):
        desk.show_morph(2, 8, 0.25)
        expected = 0.75 * model.weights[2] + 0.25 * model.weights[8]
        np.testing.assert_allclose(desk.mix.weights, expected, rtol=1e-6)

    @pytest.mark.parametrize("as_stack", [False, True])
    def test_is_added_as_a_sheet_or_a_stack(self, desk, viewer, model, qtbot, as_stack):
        viewer.dims.set_point(0, 25)  # beyond the frames
        desk.as_stack = as_stack
        desk.add_morph(2, 8, 11)
        wait(desk, qtbot)
        [layer] = by_role(viewer, "morph")
        assert overlaps(viewer) == []
        assert viewer.dims.point[0] == (0 if as_stack else 25)
        if not as_stack:
            assert layer.ndim == 2
            desk.as_stack = True  # the same frames, one behind another
            [layer] = by_role(viewer, "morph")
        assert layer.data.shape == (11, 12, 10)
        for frame, face in ((0, 2), (-1, 8)):
            expected = to_pixels(model.reconstruct(face), "uint8").astype(int)
            assert np.abs(layer.data[frame] - expected).max() <= 1
        assert layer.metadata[RECIPES_KEY][0].made == "morph from s1/3.png to s2/4.png"
        assert overlaps(viewer) == []


def test_two_panels_of_a_viewer_mix_one_face(viewer, stack, qtbot):
    one, two = MixerWidget(viewer), MixerWidget(viewer)
    for each in (one, two):
        qtbot.addWidget(each)
    model = fit(stack, n_components=2, max_iter=5, tol=0)
    ResultLayers(viewer, viewer.layers["orl"], ShowOptions()).show_model(model)
    one.desk.mix.set_weight(0, 0.9)
    two.desk.mix.set_weight(1, 0.4)
    assert [list(each.desk.mix.weights) for each in (one, two)] == [[0.9, 0.4]] * 2
    np.testing.assert_array_equal(
        mixed(viewer).data, to_pixels(model.blend([0.9, 0.4]), "uint8")
    )
    one.desk.as_stack = True
    one.desk.keep()
    assert two.on_slider.isChecked()
    window = QWidget()
    one.setParent(window)
    one.setParent(None)  # it is closed
    two.desk.mix.set_weight(0, 0.1)
    np.testing.assert_array_equal(
        mixed(viewer).data, to_pixels(model.blend([0.1, 0.4]), "uint8")
    )


def test_each_model_keeps_its_mix(desk, viewer, stack, model):
    desk.mix.set_weight(0, 0.9)
    first = desk.mix
    other = fit(stack, n_components=2, max_iter=5, tol=0)
    faces = viewer.layers["orl"]
    ResultLayers(viewer, faces, ShowOptions(update=False)).show_model(other)
    assert desk.model is other
    desk.mix.set_weight(1, 0.8)
    for known in (model, other):
        viewer.layers.selection.active = next(
            layer for layer in viewer.layers if layer.metadata.get(MODEL_KEY) is known
        )
        session_of(viewer).results_changed()
        desk.mix.set_weight(1, 0.3)
        np.testing.assert_array_equal(
            mixed(viewer).data, to_pixels(known.blend(desk.mix.weights), "uint8")
        )
    assert desk.mix.weights[1] == 0.3
    assert first.weights[0] == 0.9


def test_two_viewers_mix_apart(desk, viewer, stack, model):
    other = ViewerModel()
    faces = other.add_layer(Layer.create(*faces_layer(stack, "orl")))
    ResultLayers(other, faces, ShowOptions()).show_model(model)
    second = MixingDesk(other)
    before = mixed(other).data.copy()
    desk.mix.set_weight(0, 2.0)
    np.testing.assert_array_equal(mixed(other).data, before)
    assert second.mix is not desk.mix


def test_a_closed_desk_follows_no_more(desk, viewer, stack):
    desk.close()
    other = fit(stack, n_components=2, max_iter=5, tol=0)
    ResultLayers(viewer, viewer.layers["orl"], ShowOptions()).show_model(other)
    assert desk.mix is None


def test_the_face_shown_for_a_number_is_the_real_one(desk, viewer, stack, model):
    picture, limits = desk.face_picture(7)
    np.testing.assert_array_equal(picture, stack.images[7])
    assert limits == (0, 255)
    viewer.layers.remove("orl")
    assert viewer.layers["reconstruction [orl]"].metadata[MODEL_KEY] is model
    picture, limits = desk.face_picture(7)
    np.testing.assert_allclose(picture, model.reconstruct(7))


def test_faces_of_several_sizes_are_fitted_mixed_and_mended_at_the_largest(
    empty_viewer, stack, model, qtbot
):
    pyramid = [stack.images, stack.images[:, ::2, ::2]]
    faces = empty_viewer.add_image(pyramid, multiscale=True, name="orl")
    run(qtbot, FitSession(empty_viewer, faces, model.params, ShowOptions()))
    desk = MixingDesk(empty_viewer)
    assert mixed(empty_viewer).data.shape == (12, 10)
    np.testing.assert_array_equal(desk.face_picture(7)[0], stack.images[7])
    mask = add_mask(empty_viewer, faces)
    mask.data[2:4] = 1
    run(qtbot, MendJob(empty_viewer, faces, desk.model, mask))
    assert empty_viewer.layers["mended [orl]"].data.shape == stack.shape
    assert overlaps(empty_viewer) == []


# -- Novelty ---------------------------------------------------------------------------


@pytest.fixture
def correlated():
    return made_model(correlated_weights(30, 5))


def prepared(correlated, qtbot):
    finder, told = NoveltyFinder(correlated), []
    finder.ready.connect(lambda: told.append("ready"))
    finder.start()
    qtbot.waitUntil(lambda: bool(told))
    return finder


def test_the_nearest_face_of_a_face_is_itself(correlated, qtbot):
    found = prepared(correlated, qtbot).find(correlated.weights[11])
    assert found.face == 11
    assert found.distance == pytest.approx(0, abs=1e-3)


def test_how_near_is_the_difference_of_the_pictures(correlated, qtbot):
    weights = correlated.weights[11] * 1.1
    found = prepared(correlated, qtbot).find(weights)
    apart = correlated.blend(weights) - correlated.reconstruct(found.face)
    assert found.distance == pytest.approx(np.sqrt((apart**2).mean()), rel=1e-3)


def test_what_is_usual_is_the_median_among_real_faces(correlated, qtbot):
    faces = NearestFaces(correlated)
    each = [faces.find(w, 1, exclude=i)[1][0] for i, w in enumerate(correlated.weights)]
    assert prepared(correlated, qtbot).find(correlated.weights[0]).usual == pytest.approx(
        np.median(each)
    )


def test_before_it_is_prepared_nothing_is_found(correlated):
    assert NoveltyFinder(correlated).find(correlated.weights[0]) is None


def test_an_abandoned_finder_says_nothing(correlated, qtbot):
    finder, told = NoveltyFinder(correlated), []
    finder.ready.connect(lambda: told.append("ready"))
    finder.start()
    finder.abandon()
    qtbot.waitUntil(lambda: finder not in _running)
    assert not told
    assert finder.find(correlated.weights[0]) is None


def test_one_face_has_no_usual_distance(qtbot):
    correlated = made_model(np.ones((1, 1)))
    found = prepared(correlated, qtbot).find([2.0])
    assert found.face == 0
    assert np.isnan(found.usual)
