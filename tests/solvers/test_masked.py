"""Fits of faces of which some pixels are missing."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_latent_faces.fitting import fit, iter_fit
from napari_latent_faces.solvers.masked import VisibleParts, same_masks
from napari_latent_faces.solvers.nnls import solve_nnls
from tests.pictures import needs_real_data, real_data
from tests.steps import consume

pytestmark = pytest.mark.filterwarnings("ignore:Not converged")


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


def visible_error(faces, model, mask):
    lost = np.where(mask, 0, faces - model.reconstruct())
    return np.linalg.norm(lost) / np.linalg.norm(np.where(mask, 0, faces))


def test_what_is_missing_is_found_from_the_other_faces(faces, mask):
    spoilt = np.where(mask, np.nan, faces)
    model = fit(spoilt, n_components=4, mask=mask, max_iter=800, tol=1e-5)
    assert model.error == pytest.approx(visible_error(faces, model, mask), abs=1e-6)
    lost = (faces - model.reconstruct())[mask]
    mean = np.nanmean(spoilt, axis=0)
    from_mean = (faces - mean)[mask]
    assert np.linalg.norm(lost) < 0.35 * np.linalg.norm(from_mean)


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


def test_a_model_can_be_improved(faces, mask):
    model = fit(faces, n_components=4, mask=mask, max_iter=40)
    further = fit(faces, n_components=4, mask=mask, start=model, max_iter=100, tol=1e-6)
    assert further.error <= model.error + 1e-6


def test_a_face_or_a_pixel_that_nobody_sees_is_told(faces, mask):
    hidden = mask.copy()
    hidden[5] = True
    with pytest.raises(ValueError, match="hides all of 'face 5'"):
        fit(faces, n_components=2, mask=hidden)
    hidden = mask.copy()
    hidden[:, 3, 2] = True
    with pytest.raises(ValueError, match=r"hides the pixel \(y=3, x=2\) in every face"):
        fit(faces, n_components=2, mask=hidden)


def test_a_visible_bad_pixel_is_told(faces, mask):
    spoilt = faces.copy()
    y, x = np.argwhere(~mask[7])[0]
    spoilt[7, y, x] = np.nan
    with pytest.raises(ValueError, match="face 7"):
        fit(spoilt, n_components=2, mask=mask)


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_only_the_own_solver_takes_masks_of_single_faces(faces, mask, solver):
    with pytest.raises(ValueError, match="choose solver='multilevel'"):
        fit(faces, n_components=2, mask=mask, solver=solver)


@needs_real_data
def test_squares_missing_from_orl_are_closer_than_the_mean_face():
    from napari_latent_faces.reading import read_faces

    faces = read_faces(real_data / "orl", lazy=False)
    X = np.asarray(faces.images, float)
    mask = squares(*faces.shape, 30)
    model = fit(np.where(mask, 255, faces.images), n_components=20, mask=mask)
    lost = np.sqrt(np.mean((X - model.reconstruct())[mask] ** 2))
    from_mean = np.sqrt(np.mean((X - X.mean(axis=0))[mask] ** 2))
    assert lost < 0.8 * from_mean


# -- Visible ---------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 25))
@settings(max_examples=40, deadline=None)
def test_every_face_is_once_in_the_group_of_its_mask(seed, n, p):
    rng = np.random.default_rng(seed)
    hidden = (rng.random((3, p)) < 0.5)[rng.integers(0, 3, n)]
    if n == 1:  # one row would be for all
        return
    groups = {mask: faces for faces, mask in same_masks(hidden, n)}
    assert sorted(face for faces in groups.values() for face in faces) == list(range(n))
    for mask, faces in groups.items():
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), count=p).astype(bool)
        assert (hidden[faces] == bits).all()
    assert len(groups) == len(np.unique(hidden, axis=0))


def test_no_mask_and_a_common_one_are_one_group():
    assert list(same_masks(None, 5)) == [(slice(0, 5), None)]
    [(faces, mask)] = same_masks(np.array([[True, False, True]]), 5)
    assert (faces, mask) == (slice(0, 5), b"\xa0")


def test_parts_are_taken_apart_over_what_is_visible():
    parts = np.random.default_rng(0).random((3, 20))
    parts[1, 4:] = 0
    hidden = np.arange(20) < 4
    [(_, mask)] = same_masks(hidden[None], 1)
    found = VisibleParts.of(parts, mask)
    assert (found.n_visible, found.lost) == (16, (1,))
    np.testing.assert_allclose(found.Q @ found.R, parts[:, ~hidden].T, atol=1e-12)
    whole = VisibleParts.of(parts, None)
    assert (whole.n_visible, whole.lost) == (20, ())
    weights = np.array([[1.0, 2, 3], [0, 0, 5]])
    np.testing.assert_allclose(
        solve_nnls(whole.R, whole.reduced(weights @ parts)), weights, atol=1e-9
    )
    seen = solve_nnls(found.R, found.reduced(weights @ parts))
    np.testing.assert_allclose(seen, weights * [1, 0, 1], atol=1e-9)


def test_nothing_visible_is_no_crash():
    [(_, mask)] = same_masks(np.ones((1, 9), bool), 1)
    found = VisibleParts.of(np.ones((2, 9)), mask)
    assert (found.n_visible, found.lost) == (0, (0, 1))
