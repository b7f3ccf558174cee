"""Fits of faces of which some pixels are missing, and fits from a start."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import as_stack
from tests.helpers import consume
from tests.pictures import needs_real_data, real_data
from tests.solvers.conftest import lost

pytestmark = pytest.mark.filterwarnings("ignore:Not converged")

SOLVERS = ("multilevel", "cd", "mu")


def low_rank(n=60, h=24, w=20, k=4, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.random((n, k)) * (rng.random((n, k)) < 0.7) + 0.05
    faces = np.tensordot(W, rng.random((k, h, w)) ** 3, 1)
    return faces / faces.max()


def squares(n, h, w, side, seed=1):
    """Mark one square in each face."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((n, h, w), bool)
    for marks in mask:
        y, x = rng.integers(0, h - side), rng.integers(0, w - side)
        marks[y : y + side, x : x + side] = True
    return mask


@pytest.fixture(scope="module")
def faces():
    return low_rank()


@pytest.fixture(scope="module")
def mask(faces):
    return squares(*faces.shape, 8)


def test_what_is_missing_is_found_from_the_other_faces(faces, mask):
    spoilt = np.where(mask, np.nan, faces)
    model = fit(spoilt, n_components=4, mask=mask, max_iter=800, tol=1e-5)
    assert model.error == pytest.approx(lost(faces, model, mask), abs=1e-6)
    from_mean = (faces - np.nanmean(spoilt, axis=0))[mask]
    guessed = (faces - model.reconstruct())[mask]
    assert np.linalg.norm(guessed) < 0.35 * np.linalg.norm(from_mean)


def test_the_hidden_pixels_do_not_matter(faces, mask):
    models = [
        fit(np.where(mask, value, faces), n_components=3, mask=mask, max_iter=60)
        for value in (0, 1, np.nan)
    ]
    for model in models[1:]:
        np.testing.assert_array_equal(model.components, models[0].components)


def test_the_error_never_rises_from_guess_to_guess(faces, mask):
    steps = list(iter_fit(faces, n_components=4, mask=mask, max_iter=200, tol=1e-6))
    guessed = [step.error for step in steps if step.iteration > 105]
    assert len(guessed) > 20
    assert (np.diff(guessed) <= 1e-7).all()
    assert [step.iteration for step in steps] == sorted(step.iteration for step in steps)
    assert steps[-1].iteration <= 200


@pytest.mark.parametrize("at", [2, 60])
def test_a_stop_ends_it_whenever_it_is_asked_for(faces, mask, at):
    steps = iter_fit(faces, n_components=4, mask=mask, max_iter=80, tol=0)
    seen, model = consume(steps, stop_after=at)
    assert model.provenance.stop_reason == "stopped"
    assert model.provenance.n_iter < 80
    assert len(seen) <= at + 1
    assert np.isfinite(model.components).all()


def test_lazy_stacks_and_masks_give_the_same(faces, mask):
    pixels = (faces * 255).astype(np.uint8)
    reference = fit(pixels, n_components=3, mask=mask, max_iter=60)
    lazy = fit(
        da.from_array(pixels, chunks=(17, -1, -1)),
        n_components=3,
        mask=da.from_array(mask, chunks=(13, -1, -1)),
        max_iter=60,
    )
    np.testing.assert_allclose(lazy.components, reference.components, atol=1e-3)


def test_what_cannot_be_fitted_is_told(faces, mask):
    spoilt, no_face, no_pixel = faces.copy(), mask.copy(), mask.copy()
    y, x = np.argwhere(~mask[7])[0]
    spoilt[7, y, x] = np.nan
    no_face[5] = True
    no_pixel[:, 3, 2] = True
    for pixels, hidden, solver, words in (
        (faces, no_face, "multilevel", "hides all of 'face 5'"),
        (faces, no_pixel, "multilevel", r"hides the pixel \(y=3, x=2\) in every face"),
        (spoilt, mask, "multilevel", "face 7"),
        (faces, mask, "cd", "choose solver='multilevel'"),
        (faces, mask, "mu", "choose solver='multilevel'"),
    ):
        with pytest.raises(ValueError, match=words):
            fit(pixels, n_components=2, mask=hidden, solver=solver)


@needs_real_data
def test_squares_missing_from_orl_are_closer_than_the_mean_face():
    from napari_latent_faces.reading import read_faces

    faces = read_faces(real_data / "orl", lazy=False)
    X = np.asarray(faces.images, float)
    mask = squares(*faces.shape, 30)
    model = fit(np.where(mask, 255, faces.images), n_components=20, mask=mask)
    guessed, from_mean = (X - model.reconstruct())[mask], (X - X.mean(axis=0))[mask]
    assert np.linalg.norm(guessed) < 0.8 * np.linalg.norm(from_mean)


@pytest.fixture(scope="module")
def drawn():
    return sample_faces(10, 6, shape=(56, 46))


@pytest.fixture(scope="module")
def model(drawn):
    return fit(drawn, n_components=8)


@pytest.fixture(scope="module")
def background(drawn):
    """Mark all outside an ellipse."""
    h, w = drawn.shape[1:]
    y, x = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return y**2 + x**2 > 1


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_mask_leaves_pixels_out(drawn, background, solver):
    masked = fit(drawn, n_components=8, solver=solver, mask=background)
    assert masked.components[:, background].max() == 0
    np.testing.assert_array_equal(masked.mask, background)
    assert masked.error == pytest.approx(lost(drawn, masked, background), abs=1e-5)
    # what is left is fitted better than by a model that cares for the background, too
    whole = fit(drawn, n_components=8, solver=solver)
    assert masked.error < lost(drawn, whole, background)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_masked_may_hold_anything(drawn, background, solver):
    pixels = np.asarray(drawn.images, np.float32) / 255
    reference = fit(pixels, n_components=5, solver=solver, mask=background)
    pixels[:, background] = np.nan
    spoilt = fit(pixels, n_components=5, solver=solver, mask=background)
    np.testing.assert_array_equal(spoilt.components, reference.components)
    np.testing.assert_array_equal(spoilt.weights, reference.weights)


def test_masking_is_the_same_as_dropping_the_pixels(drawn):
    """A mask of whole rows, so that the picture without them is a picture."""
    mask = np.zeros(drawn.shape[1:], bool)
    mask[40:] = True
    cut = np.ascontiguousarray(np.asarray(drawn.images)[:, :40])
    masked = fit(drawn, n_components=6, mask=mask, solver="cd")
    dropped = fit(cut, n_components=6, solver="cd")
    assert masked.error == pytest.approx(dropped.error, rel=1e-4)
    np.testing.assert_allclose(masked.components[:, :40], dropped.components, atol=1e-3)
    ours = fit(drawn, n_components=6, mask=mask)
    assert ours.error == pytest.approx(dropped.error, rel=0.02)


def test_a_masked_model_is_kept_whole_and_encodes_what_it_knows(drawn, background, tmp_path):
    masked = fit(drawn, n_components=4, mask=background)
    masked.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(LatentFaces.load(tmp_path / "model.npz").mask, background)
    assert "mask = mask_from_text(" in as_python(masked)
    assert "fit(faces, params, mask=mask)" in as_python(masked)
    spoilt = np.array(drawn.images)
    spoilt[:, background] = 255
    np.testing.assert_array_equal(masked.encode(spoilt), masked.encode(drawn))
    assert masked.errors(spoilt).mean() < 1.1 * masked.error


def test_live_pictures_of_a_masked_fit_are_as_bright_as_the_parts(drawn, background):
    """On coarse levels, a cell counts its visible pixels only."""

    params = NMFParams(n_components=3, random_state=0)
    steps = list(iter_multilevel(as_stack(drawn.images), params, mask=background))
    coarse = next(step for step in reversed(steps) if step.level == 1)
    rebuilt = np.tensordot(coarse.W, coarse.pictures(), 1)[:, ~background]
    X = np.asarray(drawn.images, np.float64)[:, ~background] / 255
    assert np.linalg.norm(X - rebuilt) / np.linalg.norm(X) == pytest.approx(
        coarse.error, abs=0.01
    )


def test_masks_may_be_of_lists_and_empty(drawn, model):
    marks = np.zeros(drawn.shape, bool)
    marks[3, 10:20, 5:30] = True
    listed, array = (fit(drawn, n_components=3, mask=each) for each in (marks.tolist(), marks))
    np.testing.assert_array_equal(listed.components, array.components)
    assert listed.mask is None
    unmasked = fit(drawn, n_components=8, mask=np.zeros((56, 46), np.uint8))
    assert unmasked.mask is None
    np.testing.assert_array_equal(unmasked.components, model.components)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_is_improved_and_stays_as_it_is(drawn, model, solver):
    W, H = model.weights.copy(), model.components.copy()
    options = {"n_components": 8, "solver": solver, "max_iter": 20, "tol": 0}
    further = fit(drawn, start=(W, H), **options)
    assert further.error <= model.error + 1e-6
    assert further.params.init == "custom"
    assert "start=start" in as_python(further)
    again = fit(drawn, n_components=8, start=model)
    assert again.provenance.n_iter < model.provenance.n_iter / 3
    np.testing.assert_array_equal(W, model.weights)
    np.testing.assert_array_equal(H, model.components)


@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_any_start_gives_a_sound_model_no_worse_than_itself(seed, k):
    rng = np.random.default_rng(seed)
    images = rng.random((9, 11, 8))
    W, H = rng.random((9, k)), rng.random((k, 11, 8))
    W[rng.random(W.shape) < 0.3] = 0
    begin = np.linalg.norm(images - np.tensordot(W, H, 1)) / np.linalg.norm(images)
    model = fit(images, n_components=k, start=(W, H), max_iter=15, tol=0)
    assert model.error <= begin + 1e-5
    assert (model.components >= 0).all()
    assert (model.weights >= 0).all()


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_and_a_mask_go_together(drawn, model, background, solver):
    further = fit(drawn, n_components=8, start=model, mask=background, solver=solver)
    assert further.components[:, background].max() == 0
    assert further.error <= lost(drawn, model, background) + 1e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": np.zeros((3, 3), bool)}, r"mask has the shape \(3, 3\).*\(56, 46\)"),
        ({"mask": np.zeros((9, 56, 46), bool)}, "mask has the shape"),
        ({"mask": np.ones((56, 46), bool)}, "leave some"),
        ({"mask": np.zeros((56, 46))}, "booleans or integers"),
        ({"init": "custom"}, "init='custom' needs a start"),
        ({"start": (np.ones((60, 8)), np.ones((8, 9)))}, "start has weights of shape"),
        ({"start": (np.ones((60, 8)), np.ones((8, 56, 46))), "init": "random"}, "exclude"),
        ({"start": (-np.ones((60, 8)), np.ones((8, 56, 46)))}, "not all finite and non-neg"),
        ({"start": (np.ones((60, 8)), np.zeros((8, 56, 46)))}, "0 everywhere"),
        ({"params": PCAParams(), "start": (0, 0)}, "start does not apply"),
        ({"params": PCAParams(), "mask": np.eye(56, 46, dtype=bool)}, "mask does not apply"),
    ],
)
def test_a_wrong_mask_or_start_is_told(drawn, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        fit(drawn, n_components=8, **options)
