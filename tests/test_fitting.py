from __future__ import annotations

import warnings

import dask.array as da
import numpy as np
import pytest
from sklearn.decomposition import NMF

from napari_latent_faces.fitting import ConvergenceWarning, PenaltyWarning, fit, iter_fit
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.reading import read_faces
from napari_latent_faces.stack import FaceStack
from tests.helpers import consume, lost
from tests.made import canonical


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"init": "random", "random_state": 3},
        {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.5},
        {"solver": "mu"},
        {"solver": "mu", "beta_loss": "kullback-leibler"},
    ],
)
def test_chunks_add_up_to_one_run_of_scikit_learn(pictures, options):
    given_options = {"solver": "cd", "n_components": 3, "max_iter": 47, "tol": 0}
    given_options |= {"random_state": 42, **options}
    theirs = NMF(**given_options)
    W = theirs.fit_transform(pictures.reshape(30, -1))
    expected = canonical(W, theirs.components_, (12, 10))
    model = fit(pictures, **given_options)
    assert model.provenance.n_iter == 47
    np.testing.assert_allclose(model.components, expected.components, atol=1e-8)
    np.testing.assert_allclose(model.weights, expected.weights, atol=1e-8)


def test_steps_tell_progress_error_and_components_and_the_log_who_fits(stack, caplog):
    with caplog.at_level("INFO", "napari_latent_faces"):
        fitting = iter_fit(stack, n_components=3, max_iter=60, tol=0, threads=2)
        steps, model = consume(fitting)
    assert "30 faces are fitted by the 2 threads." in caplog.text
    assert "NMF: " in caplog.text
    iterations = [step.iteration for step in steps]
    assert iterations == sorted(set(iterations))
    assert iterations[-1] == 60
    assert {step.max_iter for step in steps} == {60}
    errors = [step.error for step in steps]
    assert (np.diff(errors) <= 1e-6).all()  # float32 pixels round
    assert model.error == pytest.approx(errors[-1], rel=1e-4)
    for step in steps:
        assert step.components.shape == (3, 12, 10)
        np.testing.assert_allclose(step.components.max(axis=(1, 2)), 1)
    # a step stays what it was while the fit goes on
    assert np.abs(steps[0].components - steps[-1].components).max() > 0.01


@pytest.mark.parametrize("solver", ["multilevel", "cd"])
def test_stop_keeps_what_was_reached(stack, solver):
    fitting = iter_fit(stack, n_components=3, max_iter=500, tol=0, solver=solver)
    steps, model = consume(fitting, stop_after=2)
    assert len(steps) == 2
    assert model.provenance.stop_reason == "stopped"
    assert model.provenance.n_iter == steps[-1].iteration < 500
    assert model.error == pytest.approx(steps[-1].error, rel=1e-4)
    assert model.error == pytest.approx(lost(stack, model), rel=1e-4)


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
def test_a_smaller_tolerance_takes_longer_and_gets_closer(pictures, solver):
    pictures = pictures + 0.1 * np.random.default_rng(0).random(pictures.shape)
    loose, tight = (
        fit(pictures, n_components=4, tol=tol, max_iter=5000, solver=solver)
        for tol in (3e-2, 1e-3)
    )
    assert loose.provenance.n_iter < tight.provenance.n_iter
    assert tight.error < loose.error
    assert tight.provenance.stop_reason == "converged"  # without a warning
    with pytest.warns(UserWarning, match="nndsvda"):
        iter_fit(pictures, n_components=2, solver="mu", init="nndsvd")
    with pytest.warns(ConvergenceWarning, match=r"after 2 iterations .* Raise max_iter"):
        model = fit(pictures.astype(np.float32), n_components=3, max_iter=2, solver=solver)
    assert model.provenance.stop_reason == "max_iter"
    for each, dtype in ((model, np.float32), (tight, np.float64)):  # which stay so
        assert each.components.dtype == each.weights.dtype == dtype


@pytest.mark.parametrize("solver", ["multilevel", "cd"])
def test_same_seed_same_result(stack, solver):
    params = NMFParams(n_components=3, init="random", tol=0, solver=solver)
    first, second = (fit(stack, params) for _ in range(2))
    np.testing.assert_array_equal(first.components, second.components)
    np.testing.assert_array_equal(first.weights, second.weights)
    drawn = fit(stack, params, random_state=None)
    assert not np.array_equal(first.components, drawn.components)
    np.testing.assert_array_equal(fit(stack, drawn.params).components, drawn.components)


def test_the_model_knows_where_it_comes_from(stack):
    params = NMFParams(n_components=3, max_iter=20, tol=0)
    origin = fit(stack, params).provenance
    assert (origin.names, origin.subjects) == (stack.names, stack.subjects)
    assert (origin.source, origin.dtype, origin.n_iter) == ("made/faces", "uint8", 20)
    assert {"napari-latent-faces", "numpy", "python"} <= set(origin.versions)
    assert fit(stack, params).params == params
    assert "scikit-learn" in fit(stack, params, solver="cd").provenance.versions


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (np.ones((12, 10)), {}, "stack of pictures"),
        (np.ones((5, 12, 10, 2)), {}, "2 channels"),
        (np.ones((112, 92, 3), np.uint8), {}, "colour"),
        (np.ones((2, 2, 5, 12, 10)), {}, r"got the shape \(2, 2, 5, 12, 10\)"),
        (np.ones((1, 12, 10)), {}, "at least two faces, got 1"),
        (np.ones((5, 12, 10)), {"n_components": 6}, "n_components must be from 1 to 5"),
        (np.ones((5, 0, 10)), {"n_components": 2}, "no pixels"),
        (np.ones((5, 12, 10), complex), {"n_components": 2}, "real numbers"),
        (np.zeros((5, 12, 10)), {"n_components": 2}, "Every pixel of the stack is 0"),
        (np.eye(5)[:, None], {"n_components": 2, "solver": "mu", "beta_loss": "itakura-saito"},
         "pixels above 0"),
    ],
)  # fmt: skip
def test_pictures_that_cannot_be_factorized_say_why(images, options, words):
    with pytest.raises((ValueError, TypeError), match=words):
        fit(images, **options)


@pytest.mark.parametrize(
    ("value", "words"), [(-0.1, "negative"), (np.nan, "NaN"), (np.inf, "infinite")]
)
@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu"])
@pytest.mark.parametrize("lazy", [False, True])
def test_a_bad_pixel_names_its_face(stack, value, words, solver, lazy):
    images = stack.images.astype(float)
    images[7, 3, 3] = value
    if lazy:
        images = da.from_array(images, chunks=(5, -1, -1))
    with pytest.raises(ValueError, match=rf"'s2/3.png' has .*{words}"):
        fit(FaceStack(images, stack.names), n_components=2, solver=solver)


def test_the_blog_recipe_is_reached_and_the_raw_one_shows_why_scaling_matters(data):
    """Scaled pixels run 200 iterations; 0..255 ones stop scikit-learn after two."""
    stack = read_faces(data / "archive")
    X = stack.matrix.astype(float)
    raw = NMF(n_components=20, random_state=42).fit(X)
    assert raw.n_iter_ == 2
    assert raw.reconstruction_err_ / np.linalg.norm(X) == pytest.approx(0.261, abs=5e-4)
    scaled = NMF(n_components=20, random_state=42)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scaled.fit(X / 255)
        model = fit(stack)
    theirs = scaled.reconstruction_err_ / np.linalg.norm(X / 255)
    assert scaled.n_iter_ == 200
    assert theirs == pytest.approx(0.1705, abs=5e-4)
    assert model.error < theirs


def test_the_type_of_the_parameters_is_the_method(stack):
    params = NMFParams(n_components=3, max_iter=5, tol=0)
    for model in (fit(stack, params), fit(stack, n_components=3, max_iter=5, tol=0)):
        assert model.params == params
        assert model.mean is None
        assert not model.is_signed
    model = fit(stack, PCAParams(), n_components=2)
    assert model.params == PCAParams(n_components=2)
    assert model.is_signed
    for wrong in (None, PCAParams()):  # told before the first step
        with pytest.raises(ValueError, match="n_components must be from 1 to 30"):
            iter_fit(stack, wrong, n_components=31)
        with pytest.raises(TypeError, match="alpha"):
            iter_fit(stack, wrong, alpha=1)


@pytest.mark.parametrize("solver", ["multilevel", "cd", "mu", "mu, kullback-leibler"])
def test_an_empty_model_is_a_result_with_a_warning(pictures, solver):
    solver, _, beta_loss = solver.partition(", ")
    beta_loss = beta_loss or "frobenius"
    params = NMFParams(3, alpha_W=50.0, l1_ratio=1.0, solver=solver, beta_loss=beta_loss)
    with pytest.warns(PenaltyWarning, match=r"\(alpha_W\) is so strong"):
        model = fit(pictures, params)
    if beta_loss == "frobenius":
        assert not model.reconstruct().any()
        assert model.error == 1
    assert np.isfinite(model.error)
    assert fit(pictures, n_components=3, alpha_W=1e-5, l1_ratio=1.0, max_iter=500).error < 1
