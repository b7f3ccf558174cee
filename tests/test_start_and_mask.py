"""Fits that are given a start, or a mask of pixels to leave out."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from napari_latent_faces.export import as_python
from napari_latent_faces.fitting import fit
from napari_latent_faces.model import LatentFaces
from napari_latent_faces.params import NMFParams, PCAParams
from napari_latent_faces.samples import sample_faces
from napari_latent_faces.solvers.multilevel import iter_multilevel
from napari_latent_faces.stack import as_stack
from tests.pictures import needs_real_data, real_data

pytestmark = pytest.mark.filterwarnings("ignore:Not converged")

SOLVERS = ("multilevel", "cd", "mu")


@pytest.fixture(scope="module")
def faces():
    return sample_faces(10, 6, shape=(56, 46))


@pytest.fixture(scope="module")
def model(faces):
    return fit(faces, n_components=8)


@pytest.fixture(scope="module")
def background(faces):
    """Mark all outside an ellipse."""
    h, w = faces.shape[1:]
    y, x = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    return y**2 + x**2 > 1


def visible_error(faces, model, mask):
    X = np.asarray(faces.images, np.float64)[:, ~mask]
    return np.linalg.norm(X - model.reconstruct()[:, ~mask]) / np.linalg.norm(X)


# -- masks -----------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_mask_leaves_pixels_out(faces, background, solver):
    masked = fit(faces, n_components=8, solver=solver, mask=background)
    assert masked.components[:, background].max() == 0
    np.testing.assert_array_equal(masked.mask, background)
    assert masked.error == pytest.approx(visible_error(faces, masked, background), abs=1e-5)
    # what is left is fitted better than by a model that cares for the background, too
    whole = fit(faces, n_components=8, solver=solver)
    assert masked.error < visible_error(faces, whole, background)


@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_masked_may_hold_anything(faces, background, solver):
    pixels = np.asarray(faces.images, np.float32) / 255
    reference = fit(pixels, n_components=5, solver=solver, mask=background)
    pixels[:, background] = np.nan
    spoilt = fit(pixels, n_components=5, solver=solver, mask=background)
    np.testing.assert_array_equal(spoilt.components, reference.components)
    np.testing.assert_array_equal(spoilt.weights, reference.weights)


def test_masking_is_the_same_as_dropping_the_pixels(faces):
    """A mask of whole rows, so that the picture without them is a picture."""
    mask = np.zeros(faces.shape[1:], bool)
    mask[40:] = True
    cut = np.ascontiguousarray(np.asarray(faces.images)[:, :40])
    masked = fit(faces, n_components=6, mask=mask, solver="cd")
    dropped = fit(cut, n_components=6, solver="cd")
    assert masked.error == pytest.approx(dropped.error, rel=1e-4)
    np.testing.assert_allclose(masked.components[:, :40], dropped.components, atol=1e-3)
    ours = fit(faces, n_components=6, mask=mask)
    assert ours.error == pytest.approx(dropped.error, rel=0.02)


def test_a_lazy_stack_is_masked_alike(faces, background):
    lazy = da.from_array(np.asarray(faces.images), chunks=(17, -1, -1))
    from_memory = fit(faces, n_components=5, mask=background)
    assert fit(lazy, n_components=5, mask=background).error == pytest.approx(
        from_memory.error, rel=1e-3
    )


def test_encoding_looks_at_what_the_model_knows(faces, background):
    masked = fit(faces, n_components=8, mask=background)
    spoilt = np.array(faces.images)
    spoilt[:, background] = 255
    np.testing.assert_array_equal(masked.encode(spoilt), masked.encode(faces))
    assert masked.errors(spoilt).mean() < 1.1 * masked.error


def test_a_masked_model_is_kept_whole(faces, background, tmp_path):
    masked = fit(faces, n_components=4, mask=background)
    masked.save(tmp_path / "model.npz")
    np.testing.assert_array_equal(LatentFaces.load(tmp_path / "model.npz").mask, background)
    assert "mask = mask_from_text(" in as_python(masked)
    assert "fit(faces, params, mask=mask)" in as_python(masked)


def test_live_pictures_of_a_masked_fit_are_as_bright_as_the_parts(faces, background):
    """On coarse levels, a cell counts its visible pixels only."""

    params = NMFParams(n_components=3, random_state=0)
    steps = list(iter_multilevel(as_stack(faces.images), params, mask=background))
    coarse = next(step for step in reversed(steps) if step.level == 1)
    rebuilt = np.tensordot(coarse.W, coarse.pictures(), 1)[:, ~background]
    X = np.asarray(faces.images, np.float64)[:, ~background] / 255
    assert np.linalg.norm(X - rebuilt) / np.linalg.norm(X) == pytest.approx(
        coarse.error, abs=0.01
    )


@needs_real_data
def test_the_corners_of_orl_can_be_left_out():
    from napari_latent_faces.reading import read_faces

    faces = read_faces(real_data / "orl", lazy=False)
    y, x = np.ogrid[-1:1:112j, -1:1:92j]
    background = y**2 + x**2 > 1
    masked = fit(faces, n_components=20, mask=background)
    assert masked.error < visible_error(faces, fit(faces, n_components=20), background)


@pytest.mark.parametrize(
    ("mask", "error", "words"),
    [
        (np.zeros((3, 3), bool), ValueError, r"mask has the shape \(3, 3\).*\(56, 46\)"),
        (np.zeros((9, 56, 46), bool), ValueError, "mask has the shape"),
        (np.ones((56, 46), bool), ValueError, "leave some"),
        (np.zeros((56, 46)), TypeError, "booleans or integers"),
    ],
)
def test_a_wrong_mask_is_told(faces, mask, error, words):
    with pytest.raises(error, match=words):
        fit(faces, n_components=3, mask=mask)


def test_a_mask_for_each_face_may_be_of_lists(faces):
    marks = np.zeros(faces.shape, bool)
    marks[3, 10:20, 5:30] = True
    listed, array = (fit(faces, n_components=3, mask=each) for each in (marks.tolist(), marks))
    np.testing.assert_array_equal(listed.components, array.components)
    assert listed.mask is None


def test_an_empty_mask_is_none(faces, model):
    unmasked = fit(faces, n_components=8, mask=np.zeros((56, 46), np.uint8))
    assert unmasked.mask is None
    np.testing.assert_array_equal(unmasked.components, model.components)


# -- starts ----------------------------------------------------------------------


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_is_improved(faces, model, solver):
    further = fit(faces, n_components=8, solver=solver, start=model, max_iter=20, tol=0)
    assert further.error <= model.error + 1e-6
    assert further.params.init == "custom"
    assert "start=start" in as_python(further)


def test_a_good_start_takes_few_iterations(faces, model):
    again = fit(faces, n_components=8, start=model)
    assert again.provenance.n_iter < model.provenance.n_iter / 3


@drawn(st.integers(0, 2**32 - 1), st.integers(1, 6))
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


def test_the_start_stays_as_it_is(faces, model):
    W, H = model.weights.copy(), model.components.copy()
    for solver in SOLVERS:
        fit(faces, n_components=8, solver=solver, start=(W, H), max_iter=3, tol=0)
    np.testing.assert_array_equal(W, model.weights)
    np.testing.assert_array_equal(H, model.components)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_start_and_a_mask_go_together(faces, model, background, solver):
    further = fit(faces, n_components=8, start=model, mask=background, solver=solver)
    assert further.components[:, background].max() == 0
    assert further.error <= visible_error(faces, model, background) + 1e-6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"init": "custom"}, "init='custom' needs a start"),
        ({"start": (np.ones((60, 8)), np.ones((8, 9)))}, "start has weights of shape"),
        ({"start": (np.ones((60, 8)), np.ones((8, 56, 46))), "init": "random"}, "exclude"),
        ({"start": (-np.ones((60, 8)), np.ones((8, 56, 46)))}, "not all finite and non-neg"),
        ({"start": (np.ones((60, 8)), np.zeros((8, 56, 46)))}, "0 everywhere"),
    ],
)
def test_a_wrong_start_is_told(faces, options, words):
    with pytest.raises(ValueError, match=words):
        fit(faces, n_components=8, **options)


@pytest.mark.parametrize("option", ["start", "mask"])
def test_other_methods_take_neither(faces, model, background, option):
    given = {"start": model, "mask": background}
    with pytest.raises(ValueError, match=f"{option} does not apply"):
        fit(faces, PCAParams(n_components=3), **{option: given[option]})
