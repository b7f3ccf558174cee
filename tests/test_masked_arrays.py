"""Arrays that say themselves which pixels count, and how they are laid out."""

from __future__ import annotations

import dask.array as da
import numpy as np
import pytest

from napari_latent_faces.fitting import fit
from napari_latent_faces.params import NMFParams

HIDDEN = np.zeros((12, 10), bool)
HIDDEN[3:6] = True
PARAMS = NMFParams(n_components=3, random_state=0, max_iter=300)


@pytest.fixture
def faces():
    y, x = np.mgrid[:12, :10] / 10
    rng = np.random.default_rng(0)
    centres = rng.random((3, 2))
    parts = np.array([np.exp(-((y - a) ** 2 + (x - b) ** 2) * 9) for a, b in centres])
    return np.tensordot(rng.random((20, 3)) + 0.1, parts, 1)


def covered(faces, value):
    return np.where(HIDDEN, value, faces)


def test_the_mask_of_a_masked_array_counts_in_a_fit(faces):
    expected = fit(faces, PARAMS, mask=HIDDEN)
    masked = np.ma.masked_array(covered(faces, 9.0), np.broadcast_to(HIDDEN, faces.shape))
    model = fit(masked, PARAMS)
    assert model.left_out == expected.left_out == (20 * 30, 20 * 120)
    np.testing.assert_array_equal(model.weights, expected.weights)


@pytest.mark.parametrize("wrap", [np.asarray, da.asarray])
def test_nan_is_missing_when_asked(faces, wrap):
    expected = fit(faces, PARAMS, mask=HIDDEN)
    model = fit(wrap(covered(faces, np.nan)), PARAMS, missing="nan")
    assert model.left_out == expected.left_out
    assert model.error == pytest.approx(expected.error, rel=1e-6)
    with pytest.raises(ValueError, match=r"mask="):
        fit(covered(faces, np.nan), PARAMS)


def test_a_mask_of_single_faces_counts(faces):
    hidden = np.random.default_rng(1).random(faces.shape) < 0.1
    expected = fit(faces, PARAMS, mask=hidden)
    masked = np.ma.masked_array(np.where(hidden, np.nan, faces), hidden)
    np.testing.assert_array_equal(fit(masked, PARAMS).weights, expected.weights)


def test_masked_faces_are_encoded_and_mended_as_with_a_mask(faces):
    model = fit(faces, PARAMS)
    bad = covered(faces, np.nan)
    masked = np.ma.masked_array(bad, np.isnan(bad))
    np.testing.assert_array_equal(model.encode(masked), model.encode(bad, HIDDEN))
    np.testing.assert_array_equal(model.encode(masked[0]), model.encode(bad[0], HIDDEN))
    np.testing.assert_array_equal(model.errors(masked), model.errors(bad, mask=HIDDEN))
    np.testing.assert_array_equal(model.mend(masked), model.mend(bad, HIDDEN))


def test_rows_are_pictures_of_a_given_shape(faces):
    expected = fit(faces, PARAMS)
    model = fit(faces.reshape(20, -1), PARAMS, shape=(12, 10))
    np.testing.assert_array_equal(model.components, expected.components)
    with pytest.raises(ValueError, match=r"shape=\(h, w\)"):
        fit(faces.reshape(20, -1), PARAMS)
    with pytest.raises(ValueError, match=r"rows of 99 pixels"):
        fit(faces.reshape(20, -1), PARAMS, shape=(11, 9))


def test_faces_along_the_last_axis_are_warned_of(faces):
    with pytest.warns(UserWarning, match="20 faces along the last axis"):
        fit(np.moveaxis(faces, 0, -1), PARAMS)
