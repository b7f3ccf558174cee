from __future__ import annotations

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning, InconsistentVersionWarning
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


def test_a_pickle_of_another_version_says_so(X, monkeypatch):
    model = PictureNMF(3, random_state=0).fit(X)
    with monkeypatch.context() as patch:
        patch.setattr("napari_latent_faces.estimator.__version__", "0.0.9")
        old = pickle.dumps(model)
    with pytest.warns(InconsistentVersionWarning, match=r"from version 0\.0\.9"):
        again = pickle.loads(old)
    for each in (again, pickle.loads(pickle.dumps(model)), clone(model).fit(X)):
        np.testing.assert_array_equal(each.transform(X), model.transform(X))


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


def test_a_random_state_object_is_drawn_from_and_a_loss_may_be_a_number(X):
    states = [np.random.RandomState(seed) for seed in (3, 3, 4)]
    fits = [PictureNMF(2, init="random", random_state=state).fit(X) for state in states]
    np.testing.assert_array_equal(fits[0].components_, fits[1].components_)
    assert not np.array_equal(fits[0].components_, fits[2].components_)
    for solver, *losses in (("multilevel", 2, "frobenius"), ("mu", 1, "kullback-leibler")):
        one = PictureNMF(3, solver=solver, random_state=0, tol=0.01)
        found = [clone(one).set_params(beta_loss=loss).fit(X).components_ for loss in losses]
        np.testing.assert_array_equal(*found)


def test_it_warns_as_scikit_learn_does(X):
    with pytest.warns(ConvergenceWarning, match="iterations 1 reached. Increase it"):
        PictureNMF(4, max_iter=1).fit(X)
    with pytest.raises(ValueError, match=r"shape=\(5, 5\) needs rows of 25 pixels"):
        PictureNMF(2, image_shape=(5, 5)).fit(X)


def test_auto_is_as_many_as_there_can_be_or_as_are_given(X):
    rng = np.random.default_rng(0)
    small = X[:, :7]
    assert PictureNMF("auto", random_state=0, tol=0.1).fit(small).n_components_ == 7
    W, H = rng.random((30, 3)), rng.random((3, 120))
    model = PictureNMF("auto", init="custom", tol=0.1).fit(X, W=W, H=H)
    assert model.n_components_ == 3
    with pytest.raises(ValueError, match="needs both W and H"):
        PictureNMF(3, init="custom").fit(X, W=W)
    first = PictureNMF(4, random_state=0, tol=1e-6, max_iter=2000).fit(X)
    with pytest.warns(ConvergenceWarning):  # the fit begins at its start
        again = PictureNMF(init="custom", max_iter=1).fit(
            X, W=first.transform(X), H=first.components_
        )
    assert again.reconstruction_err_ <= first.reconstruction_err_ * 1.05


@pytest.mark.parametrize(
    ("W", "H", "error", "said"),
    [
        ((29, 3), (3, 120), ValueError, "wrong first dimension .* Expected 30, but got 29"),
        ((30, 3), (3, 12), ValueError, "wrong second dimension .* Expected 120, but got 12"),
        ((30, 3), None, TypeError, "H should have the same dtype as X. Got H.dtype = float32"),
    ],
)
def test_a_start_of_another_shape_or_type_says_so(X, W, H, error, said):
    H = np.ones((3, 120), np.float32) if H is None else np.ones(H)
    with pytest.raises(error, match=said):
        PictureNMF(init="custom").fit(X, W=np.ones(W), H=H)


def penalized_loss(X, W, H, alpha_W, alpha_H, l1_ratio):
    (n, p), l2 = X.shape, (1 - l1_ratio) / 2
    loss = ((X - W @ H) ** 2).sum() / 2
    for alpha, factor in ((alpha_W * p, W), (alpha_H * n, H)):
        loss += alpha * (l1_ratio * factor.sum() + l2 * (factor**2).sum())
    return loss


@pytest.mark.parametrize("unit", [1e-6, 1.0, 255.0])
@pytest.mark.parametrize(("share", "l1_ratio"), [(1, 1.0), (0.5, 0.5), (1, 0.0)])
def test_penalties_are_scikit_learns_whatever_the_units(X, unit, share, l1_ratio):
    scaled = X / 300 * unit
    alpha_W = 1e-3 * unit ** (1.5 if l1_ratio else 1)
    penalties = {"alpha_W": alpha_W, "alpha_H": share * alpha_W, "l1_ratio": l1_ratio}
    options = {"max_iter": 3000}
    theirs = NMF(3, init="nndsvda", **options, **penalties)
    W = theirs.fit_transform(scaled)
    losses = [penalized_loss(scaled, W, theirs.components_, **penalties)]
    for solver in ("multilevel", "cd"):
        options |= {"tol": 1e-6, "max_iter": 3000}
        ours = PictureNMF(3, image_shape=(12, 10), solver=solver, **options, **penalties)
        W = ours.fit_transform(scaled)
        # the split between the factors that the penalties saw
        split = W / ours._sizes, ours.components_ * ours._sizes[:, None]
        losses.append(penalized_loss(scaled, *split, **penalties))
    assert max(losses[1:]) <= losses[0] * 1.05


def test_the_penalty_on_weights_counts_when_they_are_found(X):
    plain = PictureNMF(4, image_shape=(12, 10), random_state=0).fit(X)
    for l1_ratio in (1.0, 0.3):
        strict = clone(plain).set_params(alpha_W=2.0, l1_ratio=l1_ratio)
        W = strict.fit_transform(X)
        np.testing.assert_allclose(strict.transform(X), W)
        # the conditions of a minimum, entry by entry
        V, H = W / strict._sizes, strict.components_ * strict._sizes[:, None]
        gradient = (V @ H - X) @ H.T + 2.0 * 120 * (l1_ratio + (1 - l1_ratio) * V)
        limit = 1e-6 * np.abs(X @ H.T).max()
        assert np.abs(gradient[V > 0]).max() < limit
        assert gradient.min() > -limit
    assert (W == 0).mean() >= (plain.transform(X) == 0).mean()


def test_the_error_is_that_of_the_weights_and_printed_where_it_is_asked_for(X, capsys):
    model = PictureNMF(3, image_shape=(5, 8, 3), random_state=0, tol=0.01, verbose=1)
    W = model.fit_transform(X)  # pictures in colour
    assert model.components_.shape == (3, 120)
    lost = np.linalg.norm(X - W @ model.components_)
    assert model.reconstruction_err_ == pytest.approx(lost)
    assert "iteration 1: relative error 0." in capsys.readouterr().out
