from __future__ import annotations

import numpy as np
import pytest

from napari_latent_faces.explaining import NearestFaces
from napari_latent_faces.viewer.jobs import _running
from napari_latent_faces.viewer.mixing import NoveltyFinder
from tests.mixing.conftest import correlated_weights, made_model


@pytest.fixture
def model():
    return made_model(correlated_weights(30, 5))


def prepared(model, qtbot):
    finder, told = NoveltyFinder(model), []
    finder.ready.connect(lambda: told.append("ready"))
    finder.start()
    qtbot.waitUntil(lambda: bool(told))
    return finder


def test_the_nearest_face_of_a_face_is_itself(model, qtbot):
    found = prepared(model, qtbot).find(model.weights[11])
    assert found.face == 11
    assert found.distance == pytest.approx(0, abs=1e-3)


def test_how_near_is_the_difference_of_the_pictures(model, qtbot):
    weights = model.weights[11] * 1.1
    found = prepared(model, qtbot).find(weights)
    apart = model.blend(weights) - model.reconstruct(found.face)
    assert found.distance == pytest.approx(np.sqrt((apart**2).mean()), rel=1e-3)


def test_what_is_usual_is_the_median_among_real_faces(model, qtbot):
    faces = NearestFaces(model)
    each = [faces.find(w, 1, exclude=i)[1][0] for i, w in enumerate(model.weights)]
    assert prepared(model, qtbot).find(model.weights[0]).usual == pytest.approx(np.median(each))


def test_before_it_is_prepared_nothing_is_found(model):
    assert NoveltyFinder(model).find(model.weights[0]) is None


def test_an_abandoned_finder_says_nothing(model, qtbot):
    finder, told = NoveltyFinder(model), []
    finder.ready.connect(lambda: told.append("ready"))
    finder.start()
    finder.abandon()
    qtbot.waitUntil(lambda: finder not in _running)
    assert not told
    assert finder.find(model.weights[0]) is None


def test_one_face_has_no_usual_distance(qtbot):
    model = made_model(np.ones((1, 1)))
    found = prepared(model, qtbot).find([2.0])
    assert found.face == 0
    assert np.isnan(found.usual)
