from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import NMF
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from napari_latent_faces.estimator import PictureNMF


@parametrize_with_checks([PictureNMF()])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(name="X")
def scaled_rows(pictures):
    return pictures.reshape(30, -1) * 300


def test_it_explains_what_scikit_learns_does(X):
    theirs = NMF(4, random_state=0, max_iter=2000).fit(X / 300)
    ours = PictureNMF(4, image_shape=(12, 10), random_state=0, max_iter=2000, tol=1e-6).fit(X)
    assert ours.reconstruction_err_ / 300 < theirs.reconstruction_err_ * 1.05
    rebuilt = ours.inverse_transform(ours.transform(X))
    assert np.linalg.norm(X - rebuilt) <= ours.reconstruction_err_ * (1 + 1e-4)


def test_it_can_be_cloned_and_pickled(X):
    model = PictureNMF(3, image_shape=(12, 10), random_state=0)
    copy = pickle.loads(pickle.dumps(model.fit(X)))
    np.testing.assert_array_equal(copy.transform(X), model.transform(X))
    again = clone(model).fit(X)
    np.testing.assert_array_equal(again.components_, model.components_)


def test_it_works_in_a_pipeline_and_a_search(X):
    pipeline = make_pipeline(MinMaxScaler(clip=True), PictureNMF(2, random_state=0))
    names = pipeline.fit(X).get_feature_names_out()
    assert list(names) == ["picturenmf0", "picturenmf1"]

    def score(model, X, y=None):
        return -np.linalg.norm(X - model.inverse_transform(model.transform(X)))

    search = GridSearchCV(
        PictureNMF(random_state=0), {"n_components": [1, 3]}, scoring=score, cv=3
    )
    assert search.fit(X).best_params_ == {"n_components": 3}


def test_a_shape_that_does_not_fit_says_so(X):
    with pytest.raises(ValueError, match=r"image_shape=\(5, 5\) has 25 pixels, but X has 120"):
        PictureNMF(2, image_shape=(5, 5)).fit(X)


def test_a_random_state_object_is_drawn_from(X):
    states = [np.random.RandomState(3), np.random.RandomState(3), np.random.RandomState(4)]
    fits = [PictureNMF(2, init="random", random_state=state).fit(X) for state in states]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)
    assert not np.array_equal(fits[0].components_, fits[2].components_)
